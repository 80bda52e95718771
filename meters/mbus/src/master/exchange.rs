//! One request and its answer, in as many tries as there are.

use core::time::Duration;

use super::line::{Line, count};
use super::telegram;
use crate::link::{Decoder, Frame, FrameError, LongFrame, SecondaryAddress};

/// A request, what is awaited for it, and how far it has come.
#[derive(Debug)]
pub(super) struct Exchange {
    request: Vec<u8>,
    awaited: Awaited,
    manner: Manner,
    phase: Phase,
    decoder: Decoder,
    tries: u8,
    /// What came instead of the answer.
    fault: Option<Fault>,
    /// The first fault of the present try was counted.
    counted: bool,
    /// When the first try's request was on the wire as a whole.
    first_sent: Duration,
    /// When the present try's request is on the wire as a whole.
    sent: Duration,
    /// How long the meter took to begin its answer.
    answer_time: Option<Duration>,
}

/// What answers a request.
#[derive(Debug)]
pub(super) enum Awaited {
    /// Nothing: it is a broadcast.
    Nothing,
    /// `E5`.
    Acknowledgement,
    /// A telegram.
    Telegram(Expected),
    /// A telegram, or `E5` for none.
    TelegramOrAcknowledgement(Expected),
}

/// Whose telegram is awaited.
#[derive(Debug)]
pub(super) struct Expected {
    /// The A field, if only one is right.
    pub(super) from: Option<u8>,
    /// What the header's secondary address has to match.
    pub(super) identity: SecondaryAddress,
    /// The telegram before, which is no answer if it comes again.
    pub(super) previous: Option<LongFrame>,
}

/// How a request is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Times that it is sent at most.
    pub(super) tries: u8,
    /// How long each try but the last waits for the beginning of the answer.
    pub(super) usual: Duration,
    /// How long the last try waits for it.
    pub(super) longest: Duration,
    /// Whether several meters may answer: then whatever is no sound answer is a collision, and the
    /// line is listened to until every meter has had its time.
    pub(super) shared: bool,
}

#[derive(Debug)]
enum Phase {
    /// The request is to be sent, as soon as no late acknowledgement can be taken for its own.
    Beginning,
    /// The request is to be sent.
    Sending,
    /// The silence ends the try at `until`, anything else at `limit`.
    Awaiting { until: Duration, limit: Duration },
    /// The telegram has come, and others' may still.
    Listening { until: Duration, telegram: LongFrame },
    /// The outcome is to be fetched.
    Finished(Outcome),
    /// The outcome was fetched.
    Over,
}

/// What the owner of an exchange is to do next.
#[derive(Debug)]
pub(super) enum Poll {
    Send(Vec<u8>),
    Wait(Duration),
    Done(Outcome),
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    Acknowledged,
    Telegram(LongFrame),
    Collision,
    Failed { tries: u8, fault: Option<Fault> },
}

/// What came instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Frame(FrameError),
    WrongAddress { expected: u8, found: u8 },
    WrongMeter { found: SecondaryAddress },
    Unexpected,
    Repeated,
}

impl Exchange {
    pub(super) fn new(request: &Frame, awaited: Awaited, manner: Manner) -> Self {
        Self {
            request: request.encode(),
            awaited,
            manner,
            phase: Phase::Beginning,
            decoder: Decoder::new(),
            tries: 0,
            fault: None,
            counted: false,
            first_sent: Duration::ZERO,
            sent: Duration::ZERO,
            answer_time: None,
        }
    }

    /// Returns how long the meter took to begin its answer, once it has.
    pub(super) const fn answer_time(&self) -> Option<Duration> {
        self.answer_time
    }

    pub(super) fn poll(&mut self, line: &mut Line, now: Duration) -> Poll {
        self.handle_timeout(line, now);
        match core::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Beginning => {
                self.phase = Phase::Beginning;
                Poll::Wait(line.late_until)
            }
            Phase::Sending => Poll::Send(self.send(line, now)),
            Phase::Finished(outcome) => Poll::Done(outcome),
            Phase::Over => Poll::Wait(Duration::MAX),
            waiting @ (Phase::Awaiting { until, .. } | Phase::Listening { until, .. }) => {
                self.phase = waiting;
                Poll::Wait(until)
            }
        }
    }

    /// Takes what the port received. What comes while nothing is awaited is discarded.
    pub(super) fn handle_input(&mut self, line: &mut Line, bytes: &[u8], now: Duration) {
        self.handle_timeout(line, now);
        if bytes.is_empty() {
            return;
        }
        let silence = now.saturating_add(line.timing.silence());
        match &mut self.phase {
            Phase::Awaiting { until, limit } => *until = silence.max(*until).min(*limit),
            Phase::Listening { .. } => {
                let limit = self.limit(line);
                let until = silence.max(self.everybody(line));
                self.fault = Some(Fault::Unexpected);
                let until = until.min(limit);
                self.phase = Phase::Awaiting { until, limit };
            }
            Phase::Beginning | Phase::Sending | Phase::Finished(_) | Phase::Over => return,
        }
        self.note_answer_time(line, now);
        let mut input = bytes;
        while let Phase::Awaiting { .. } = self.phase {
            let Some(received) = self.decoder.next_frame(&mut input) else {
                return;
            };
            self.receive(line, received, now);
        }
        if self.manner.shared && !input.is_empty() {
            // One meter has answered well, and another one begins at once.
            self.collide(line, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, line: &mut Line, now: Duration) {
        match &self.phase {
            Phase::Beginning if now >= line.late_until || !self.is_mistakable() => {
                self.phase = Phase::Sending;
            }
            Phase::Awaiting { until, .. } if now >= *until => {
                while let Phase::Awaiting { .. } = self.phase {
                    match self.decoder.end_of_transmission() {
                        Some(received) => self.receive(line, received, now),
                        None => self.give_up_try(line, now),
                    }
                }
            }
            Phase::Listening { until, telegram } if now >= *until => {
                self.phase = Phase::Finished(Outcome::Telegram(telegram.clone()));
            }
            Phase::Beginning
            | Phase::Awaiting { .. }
            | Phase::Listening { .. }
            | Phase::Sending
            | Phase::Finished(_)
            | Phase::Over => {}
        }
    }

    /// Returns whether somebody else's late answer could be taken for this one's.
    ///
    /// An acknowledgement names nobody. Those who share the line compare what follows it with what
    /// they asked for, and need not wait.
    const fn is_mistakable(&self) -> bool {
        match &self.awaited {
            Awaited::Acknowledgement | Awaited::TelegramOrAcknowledgement(_) => !self.manner.shared,
            Awaited::Nothing | Awaited::Telegram(_) => false,
        }
    }

    fn send(&mut self, line: &mut Line, now: Duration) -> Vec<u8> {
        self.decoder.clear();
        self.tries = self.tries.saturating_add(1);
        self.counted = false;
        count(&mut line.counters.sent);
        self.sent = now.saturating_add(line.timing.transmission(self.request.len()));
        if self.tries == 1 {
            self.first_sent = self.sent;
        } else {
            count(&mut line.counters.retries);
        }
        let last = self.tries >= self.manner.tries;
        let patience = if last {
            self.manner.longest
        } else {
            self.manner.usual
        };
        self.phase = Phase::Awaiting {
            until: self
                .sent
                .saturating_add(patience)
                .saturating_add(first_byte(line)),
            limit: self.limit(line),
        };
        self.request.clone()
    }

    /// Returns when the first byte of every meter's answer is there at the latest.
    fn everybody(&self, line: &Line) -> Duration {
        self.sent
            .saturating_add(self.manner.longest)
            .saturating_add(first_byte(line))
    }

    /// Returns when the present try ends, whatever is still coming.
    fn limit(&self, line: &Line) -> Duration {
        self.everybody(line)
            .saturating_add(line.timing.transmission(Frame::MAX_LENGTH))
            .saturating_add(line.timing.silence())
    }

    /// Keeps the time to the first byte; what comes before a meter can answer belongs to an earlier try.
    fn note_answer_time(&mut self, line: &Line, now: Duration) {
        if self.answer_time.is_none() {
            let own = now.checked_sub(self.sent);
            let time = own.filter(|time| *time >= line.timing.least_answer() || self.tries == 1);
            self.answer_time = Some(time.unwrap_or_else(|| now.saturating_sub(self.first_sent)));
        }
    }

    /// Weighs one frame or fault while an answer is awaited.
    fn receive(&mut self, line: &mut Line, received: Result<Frame, FrameError>, now: Duration) {
        let fault = match (received, &self.awaited) {
            (
                Ok(Frame::Acknowledgement),
                Awaited::Acknowledgement | Awaited::TelegramOrAcknowledgement(_),
            ) => {
                return self.accept(line, Outcome::Acknowledged, now);
            }
            (
                Ok(Frame::Long(frame)),
                Awaited::Telegram(expected) | Awaited::TelegramOrAcknowledgement(expected),
            ) if frame.control().is_rsp_ud() => match expected.judge(&frame) {
                None => return self.accept(line, Outcome::Telegram(frame), now),
                Some(fault) => fault,
            },
            // The late acknowledgement of a repetition, which the meter had already acknowledged.
            (Ok(Frame::Acknowledgement), _) if now <= line.late_until => {
                return count(&mut line.counters.strays);
            }
            (Ok(_), _) => Fault::Unexpected,
            (Err(error), _) => Fault::Frame(error),
        };
        if !self.counted {
            self.counted = true;
            match fault {
                Fault::Frame(_) => count(&mut line.counters.damaged),
                Fault::WrongAddress { .. }
                | Fault::WrongMeter { .. }
                | Fault::Unexpected
                | Fault::Repeated => count(&mut line.counters.strays),
            }
        }
        self.fault = Some(fault);
    }

    fn accept(&mut self, line: &mut Line, outcome: Outcome, now: Duration) {
        if self.manner.shared && self.fault.is_some() {
            // Something else came before; the try goes on to its end as a collision.
            return;
        }
        count(&mut line.counters.received);
        if self.tries > 1 && outcome == Outcome::Acknowledged {
            // It may be the answer to the first try, and then those to the others follow just as late.
            let latest = now.saturating_sub(self.first_sent);
            line.late_until = line.late_until.max(self.sent.saturating_add(latest));
        }
        let everybody = self.everybody(line);
        self.phase = match outcome {
            Outcome::Telegram(telegram) if self.manner.shared && now < everybody => Phase::Listening {
                until: everybody,
                telegram,
            },
            outcome => Phase::Finished(outcome),
        };
    }

    /// Waits until the line is silent again, and then says that several meters have answered.
    fn collide(&mut self, line: &Line, now: Duration) {
        self.fault = Some(Fault::Unexpected);
        let limit = self.limit(line);
        let until = now.saturating_add(line.timing.silence());
        let until = until.max(self.everybody(line));
        self.phase = Phase::Awaiting {
            until: until.min(limit),
            limit,
        };
    }

    /// The answer did not come in time; the same request is sent again, or the exchange has failed.
    fn give_up_try(&mut self, line: &mut Line, now: Duration) {
        if let Awaited::Nothing = self.awaited {
            self.phase = Phase::Finished(Outcome::Sent);
            return;
        }
        if self.manner.shared && self.fault.is_some() {
            count(&mut line.counters.collisions);
            self.phase = Phase::Finished(Outcome::Collision);
            return;
        }
        if self.fault.is_none() {
            count(&mut line.counters.timeouts);
        }
        line.late_until = now.saturating_add(line.timing.answer());
        let (tries, fault) = (self.tries, self.fault);
        self.phase = if tries < self.manner.tries {
            Phase::Sending
        } else {
            Phase::Finished(Outcome::Failed { tries, fault })
        };
    }
}

/// A meter may begin at the last moment, and its first byte is only there when it is complete.
fn first_byte(line: &Line) -> Duration {
    line.timing.transmission(1)
}

impl Expected {
    /// Returns what speaks against the frame.
    fn judge(&self, frame: &LongFrame) -> Option<Fault> {
        let found = frame.address();
        if let Some(expected) = self.from.filter(|expected| *expected != found) {
            return Some(Fault::WrongAddress { expected, found });
        }
        if let Some(found) = telegram::secondary_address(frame)
            && !self.identity.matches(found)
        {
            return Some(Fault::WrongMeter { found });
        }
        // The late answer to an earlier try, or a meter that ignores the frame count bit.
        (self.previous.as_ref() == Some(frame)).then_some(Fault::Repeated)
    }
}
