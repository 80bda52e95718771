//! The machine that reads one meter.

use core::time::Duration;

use super::station::{Link, Station};
use super::timing::Timing;
use crate::application::Telegram;
use crate::link::{Control, Decoder, Frame, FrameError, LongFrame};

/// What the driver is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<T> {
    /// Discard what the port holds unread, write all of these bytes, then poll again.
    Send(Vec<u8>),
    /// Wait for input until that time, then hand in the input or the timeout.
    ///
    /// `Duration::MAX` stands for nothing left to wait for.
    Wait {
        /// The time, on the caller's clock.
        until: Duration,
    },
    /// It is over, with this result.
    Done(T),
}

/// The reading of one meter: SND_NKE if it is due, then REQ_UD2 until no telegram follows.
///
/// [`Read::poll_output`] gives the long frames of the answer, in order, or a [`ReadError`], once;
/// after that it waits for ever. Dropped before, it leaves the station to begin with SND_NKE.
///
/// Spec: EN 13757-2:2018, section 5.
#[derive(Debug)]
pub struct Read<'s> {
    station: &'s mut Station,
    timing: Timing,
    phase: Phase,
    /// The link as the station gets it back once the read has succeeded.
    link: Link,
    decoder: Decoder,
    /// Times that the present request was sent.
    tries: u8,
    /// What came instead of the answer to the present request.
    fault: Option<Fault>,
    frames: Vec<LongFrame>,
}

#[derive(Debug)]
enum Phase {
    /// The answer to an earlier request may still come, and must not be taken for this one's.
    Settling { until: Duration },
    /// The next request is to be sent.
    Sending,
    /// The request is sent; the silence ends the try at `until`, anything else at `limit`.
    Awaiting { until: Duration, limit: Duration },
    /// The result is to be fetched.
    Finished(Result<Vec<LongFrame>, ReadError>),
    /// The result was fetched.
    Over,
}

/// What came instead of an answer.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Frame(FrameError),
    WrongAddress { found: u8 },
    Unexpected,
    Repeated,
}

impl<'s> Read<'s> {
    /// The number of times that a request is sent before the meter counts as dead.
    ///
    /// Spec: EN 13757-2:2018, section 5 (one transmission and two repetitions).
    pub const MAX_TRIES: u8 = 3;
    /// The greatest number of telegrams that one read fetches: 4 KiB of records, well above what
    /// meters send, so that a meter which always has more ends all the same.
    pub const MAX_TELEGRAMS: usize = 16;

    /// Begins to read the meter; nothing is sent before the first poll.
    #[must_use]
    pub fn new(station: &'s mut Station, timing: Timing, now: Duration) -> Self {
        let link = station.link;
        station.link = Link::Unknown;
        let phase = if now < station.late_until {
            Phase::Settling {
                until: station.late_until,
            }
        } else {
            Phase::Sending
        };
        Self {
            station,
            timing,
            phase,
            link,
            decoder: Decoder::new(),
            tries: 0,
            fault: None,
            frames: Vec::new(),
        }
    }

    /// Says what is to be done next.
    #[must_use = "the output is what the driver has to do"]
    pub fn poll_output(&mut self, now: Duration) -> Output<Result<Vec<LongFrame>, ReadError>> {
        match core::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Sending => Output::Send(self.send(now)),
            Phase::Finished(result) => Output::Done(result),
            Phase::Over => Output::Wait { until: Duration::MAX },
            waiting @ (Phase::Settling { until } | Phase::Awaiting { until, .. }) => {
                self.phase = waiting;
                Output::Wait { until }
            }
        }
    }

    /// Takes what the port received, in any pieces.
    ///
    /// What comes while nothing is awaited, and what comes after its time, is discarded.
    pub fn handle_input(&mut self, bytes: &[u8], now: Duration) {
        self.handle_timeout(now);
        let Phase::Awaiting { until, limit } = &mut self.phase else {
            return;
        };
        if !bytes.is_empty() {
            let silence = now.saturating_add(self.timing.silence());
            *until = silence.max(*until).min(*limit);
        }
        let mut input = bytes;
        while let Phase::Awaiting { .. } = self.phase {
            let Some(received) = self.decoder.next_frame(&mut input) else {
                return;
            };
            self.receive(received);
        }
    }

    /// Takes notice that it is `now`; harmless before the time that [`Output::Wait`] gave.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.phase {
            Phase::Settling { until } if now >= until => self.phase = Phase::Sending,
            Phase::Awaiting { until, .. } if now >= until => {
                while let Phase::Awaiting { .. } = self.phase {
                    match self.decoder.end_of_transmission() {
                        Some(received) => self.receive(received),
                        None => self.give_up_try(now),
                    }
                }
            }
            Phase::Settling { .. }
            | Phase::Awaiting { .. }
            | Phase::Sending
            | Phase::Finished(_)
            | Phase::Over => {}
        }
    }

    fn send(&mut self, now: Duration) -> Vec<u8> {
        let control = match self.link {
            Link::Unknown => Control::SND_NKE,
            Link::Initialised { frame_count_bit } => Control::req_ud2(frame_count_bit),
        };
        let request = Frame::Short {
            control,
            address: self.station.address().byte(),
        }
        .encode();
        self.decoder.clear();
        self.tries = self.tries.saturating_add(1);
        let until = now
            .saturating_add(self.timing.transmission(request.len()))
            .saturating_add(self.timing.answer());
        let limit = until
            .saturating_add(self.timing.transmission(Frame::MAX_LENGTH))
            .saturating_add(self.timing.silence());
        self.phase = Phase::Awaiting { until, limit };
        request
    }

    /// Weighs one frame or fault while an answer is awaited.
    fn receive(&mut self, received: Result<Frame, FrameError>) {
        match (received, self.link) {
            (Ok(Frame::Acknowledgement), Link::Unknown) => {
                // The first request behind SND_NKE has the frame count bit set.
                self.proceed(true);
            }
            (Ok(Frame::Long(frame)), Link::Initialised { frame_count_bit })
                if frame.control().is_rsp_ud() =>
            {
                self.receive_telegram(frame, frame_count_bit);
            }
            (Ok(_), _) => self.fault = Some(Fault::Unexpected),
            (Err(error), _) => self.fault = Some(Fault::Frame(error)),
        }
    }

    fn receive_telegram(&mut self, frame: LongFrame, frame_count_bit: bool) {
        if frame.address() != self.station.address().byte() {
            self.fault = Some(Fault::WrongAddress {
                found: frame.address(),
            });
            return;
        }
        if self.frames.last() == Some(&frame) {
            // The late answer to an earlier try, or a meter that ignores the frame count bit.
            self.fault = Some(Fault::Repeated);
            return;
        }
        let more_follows = Telegram::parse(&frame).is_ok_and(|telegram| telegram.more_follows());
        self.frames.push(frame);
        self.proceed(!frame_count_bit);
        if !more_follows {
            let frames = core::mem::take(&mut self.frames);
            self.finish(Ok(frames));
        } else if self.frames.len() >= Self::MAX_TELEGRAMS {
            self.finish(Err(ReadError::TooManyTelegrams));
        }
    }

    /// Goes on to the next request.
    fn proceed(&mut self, frame_count_bit: bool) {
        self.link = Link::Initialised { frame_count_bit };
        self.tries = 0;
        self.fault = None;
        self.phase = Phase::Sending;
    }

    /// The answer did not come in time; the same request is sent again, or the read has failed.
    fn give_up_try(&mut self, now: Duration) {
        self.station.late_until = now.saturating_add(self.timing.answer());
        if self.tries < Self::MAX_TRIES {
            self.phase = Phase::Sending;
            return;
        }
        let tries = self.tries;
        self.finish(Err(match self.fault {
            None => ReadError::NoAnswer { tries },
            Some(Fault::Frame(source)) => ReadError::Frame { tries, source },
            Some(Fault::WrongAddress { found }) => ReadError::WrongAddress {
                expected: self.station.address().byte(),
                found,
            },
            Some(Fault::Unexpected) => ReadError::Unexpected { tries },
            Some(Fault::Repeated) => ReadError::Repeated { tries },
        }));
    }

    fn finish(&mut self, result: Result<Vec<LongFrame>, ReadError>) {
        if result.is_ok() {
            self.station.link = self.link;
        }
        self.phase = Phase::Finished(result);
    }
}

/// The reason why a meter could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing was heard.
    #[error("the meter did not answer, {tries} tries were made")]
    NoAnswer {
        /// Times that the request was sent.
        tries: u8,
    },
    /// Only damaged frames were heard.
    #[error("the meter's answer was damaged, {tries} tries were made")]
    Frame {
        /// Times that the request was sent.
        tries: u8,
        /// The last fault.
        #[source]
        source: FrameError,
    },
    /// Another meter answered.
    #[error("the meter at primary address {found} answered in place of {expected}")]
    WrongAddress {
        /// The address that was asked.
        expected: u8,
        /// The address that answered.
        found: u8,
    },
    /// Sound frames were heard, but none that answers the request.
    #[error("the meter sent frames that answer nothing, {tries} tries were made")]
    Unexpected {
        /// Times that the request was sent.
        tries: u8,
    },
    /// The meter sent the telegram before the requested one again.
    #[error("the meter repeated its last telegram instead of sending the next, {tries} tries were made")]
    Repeated {
        /// Times that the request was sent.
        tries: u8,
    },
    /// The meter announced more telegrams than are fetched.
    #[error("the meter announces more than {} telegrams", Read::MAX_TELEGRAMS)]
    TooManyTelegrams,
}
