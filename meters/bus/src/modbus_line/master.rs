//! The master of a Modbus line or host: one request at a time.

use std::time::Duration;

use modbus::{Limits, Question};
use model::GapReason;
use tokio::time::{Instant, sleep, sleep_until};

use super::claim::Claim;
use super::endpoint::ModbusEndpoint;
use super::frames::{AnswerFault, Framing};
use super::link::{Failure, Link, Reply, Waits};
use super::patience::Patience;
use super::port::ModbusPort;
use super::wire::Wire;
use crate::connector::Connector;
use crate::{ModbusException, PollError};

/// What USB converters add between the parts of an answer: they collect bytes before they pass them on.
const CONVERTER_ALLOWANCE: Duration = Duration::from_millis(100);
/// How long the next part of an answer is waited for on TCP at least: a lost packet is sent again.
const LEAST_TCP_GAP: Duration = Duration::from_millis(500);
/// How long a unit is left alone that says that it is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How long after a request its answer can still come. No meter and no converter is known to keep
/// one for as long as that.
const LATEST_ANSWER: Duration = Duration::from_secs(10);
/// How long somebody else is waited for who is connected where only one may be: a read by hand, or a
/// round of few meters, is over by then.
const CLAIM_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether that is over.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);
/// Characters of a request on a serial line.
const REQUEST_CHARACTERS: u32 = 8;

/// The master of one Modbus line or host. Its port is kept open from one call to the next until it
/// breaks.
///
/// A late answer is never taken for another one. On Modbus TCP the connection is dropped after a
/// timeout, and with it whatever comes on it. On a serial line there is no connection and no number
/// of the request: after a timeout the line must be silent for longer than it is since the first
/// request that may still be answered, before the unit is asked anything else; and an answer to a
/// repeated question counts only if in that time no other one follows it. A meter that answers
/// everything, each after the same time, has then answered all of it.
///
/// A call that is dropped leaves the master in order: what was being asked counts as unanswered.
#[derive(Debug)]
pub struct ModbusMaster {
    connector: Connector,
    endpoint: ModbusEndpoint,
    claim: Option<Claim>,
    link: Option<Link>,
    /// The unit that has not answered lately.
    late: Option<Late>,
    /// The end of the pause that a meter needs.
    not_before: Instant,
    counters: ModbusCounters,
}

/// A unit whose answer has not come, and may still do.
#[derive(Debug, Clone, Copy)]
struct Late {
    unit: u8,
    question: Question,
    /// How long it was waited for.
    waited: Duration,
    /// When the first request was sent that it may still answer.
    first: Instant,
    /// When the last one was sent.
    since: Instant,
}

impl Late {
    /// Returns the silence behind which no answer is to be expected any more.
    ///
    /// Whatever was heard last came no later behind its request than it is now since the first one; a meter
    /// that works one request off after the other takes as long for each of the others.
    fn silence(&self) -> Duration {
        let latency = self.first.elapsed();
        let margin = latency.checked_div(4).unwrap_or_default();
        latency
            .saturating_add(margin)
            .saturating_add(CONVERTER_ALLOWANCE)
            .max(self.waited)
            .min(LATEST_ANSWER)
    }
}

/// What was counted on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModbusCounters {
    /// Requests that were sent, repetitions included.
    pub requests: u64,
    /// Requests among them that repeated an earlier one.
    pub retries: u64,
    /// Connections that were opened.
    pub connections: u64,
}

/// Who is asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) unit: u8,
    pub(super) limits: &'a Limits,
    pub(super) patience: &'a mut Patience,
}

impl ModbusMaster {
    /// Builds the master; the port is opened when it is needed.
    #[must_use]
    pub fn new(endpoint: ModbusEndpoint) -> Self {
        Self {
            connector: Connector::new(endpoint.address().clone()),
            endpoint,
            claim: None,
            link: None,
            late: None,
            not_before: Instant::now(),
            counters: ModbusCounters::default(),
        }
    }

    /// Returns where the master speaks.
    #[must_use]
    pub const fn endpoint(&self) -> &ModbusEndpoint {
        &self.endpoint
    }

    /// Returns what was counted on the line since the last call.
    pub fn take_counters(&mut self) -> ModbusCounters {
        std::mem::take(&mut self.counters)
    }

    /// Returns what opens the port and remembers in vain attempts.
    pub(super) const fn connector(&mut self) -> &mut Connector {
        &mut self.connector
    }

    /// Closes the port, so that others can be served.
    pub fn disconnect(&mut self) {
        self.link = None;
        self.claim = None;
    }

    /// Asks a unit, in as many tries as there are. An exception comes as an error.
    pub(super) async fn ask(
        &mut self,
        asked: &mut Asked<'_>,
        question: Question,
    ) -> Result<Reply, PollError> {
        let tries = asked.patience.tries();
        let mut number = 0_u8;
        loop {
            number = number.saturating_add(1);
            if number > 1 {
                self.counters.retries = self.counters.retries.saturating_add(1);
            }
            let error = match self.ask_once(asked, question, number).await {
                Ok((reply, answer_time)) => {
                    asked.patience.answered(answer_time);
                    match reply {
                        Reply::Exception(code) => PollError::Exception(ModbusException::new(code)),
                        reply => return Ok(reply),
                    }
                }
                Err(error) => error,
            };
            match error {
                PollError::NoAnswer { .. } if number >= tries => {
                    asked.patience.unanswered();
                    return Err(PollError::NoAnswer { tries: number });
                }
                PollError::Exception(exception) if exception.is_passing() && number < tries => {
                    sleep(BUSY_PAUSE).await;
                }
                PollError::NoAnswer { .. } | PollError::ConnectionLost | PollError::Answer(_)
                    if number < tries => {}
                PollError::Exception(exception) if exception.gap_reason() == GapReason::NoAnswer => {
                    asked.patience.unanswered();
                    return Err(error);
                }
                last => return Err(last),
            }
        }
    }

    /// Sends the request once and waits for its answer.
    async fn ask_once(
        &mut self,
        asked: &Asked<'_>,
        question: Question,
        number: u8,
    ) -> Result<(Reply, Duration), PollError> {
        let waits = self.waits(asked.patience.wait(number));
        // The link is out of its place while it is used: a call that is dropped takes it along.
        let mut link = self.open(asked, question).await?;
        let late = self.late.filter(|late| late.since.elapsed() < LATEST_ANSWER);
        let now = Instant::now();
        let own = late.filter(|late| late.unit == asked.unit);
        self.late = Some(Late {
            unit: asked.unit,
            question,
            waited: waits.answer,
            first: own.map_or(now, |late| late.first),
            since: now,
        });
        self.counters.requests = self.counters.requests.saturating_add(1);
        let outcome = link
            .call(asked.unit, question, waits, late.map(|late| late.unit))
            .await;
        self.not_before = later(asked.limits.pause);
        let outcome = match outcome {
            Ok(answer) if self.endpoint.is_rtu() => {
                let silence = own.map_or_else(|| self.silence(), |late| late.silence());
                settle(&link.wire, silence, own.is_some()).await.map(|()| answer)
            }
            outcome => outcome,
        };
        match outcome {
            Ok(answer) => {
                self.late = late.filter(|late| late.unit != asked.unit);
                self.link = Some(link);
                Ok(answer)
            }
            Err(failure) => {
                self.recover(link, failure, waits).await;
                Err(match failure {
                    Failure::Silence => PollError::NoAnswer { tries: 1 },
                    Failure::Fault(fault) => PollError::Answer(fault),
                    Failure::Lost => PollError::ConnectionLost,
                })
            }
        }
    }

    /// Makes sure that the port is open and nothing is on its way, and takes it.
    async fn open(&mut self, asked: &Asked<'_>, question: Question) -> Result<Link, PollError> {
        self.claim(asked.limits.one_connection).await?;
        let silence = self.silence_before(asked.unit, question);
        if let Some(link) = self.link.take() {
            sleep_until(self.not_before).await;
            if is_clear(&link.wire, silence, self.endpoint.is_rtu()).await {
                return Ok(link);
            }
            // The host has closed the idle connection, or has sent what nobody asked for.
        }
        let port = ModbusPort::open(&mut self.connector, &self.endpoint).await?;
        self.counters.connections = self.counters.connections.saturating_add(1);
        let link = Link::new(port, self.framing());
        sleep_until(self.not_before.max(later(asked.limits.connect_delay))).await;
        // What comes on a fresh connection of TCP is no answer to anything.
        if self.endpoint.is_rtu() && !is_clear(&link.wire, silence, true).await {
            return Err(PollError::ConnectionLost);
        }
        Ok(link)
    }

    /// Returns how long the line must have been silent before the unit can be asked.
    fn silence_before(&self, unit: u8, question: Question) -> Duration {
        let late = self.late.filter(|late| late.since.elapsed() < LATEST_ANSWER);
        match late {
            _ if !self.endpoint.is_rtu() => Duration::ZERO,
            // A late answer could look like the one to another question.
            Some(late) if late.unit == unit && late.question != question => late.silence(),
            Some(_) => self.silence(),
            None => Duration::ZERO,
        }
    }

    /// Keeps the port for the next request if nothing of this one can come on it.
    async fn recover(&mut self, mut link: Link, failure: Failure, waits: Waits) {
        let is_kept = match self.endpoint {
            ModbusEndpoint::Tcp { .. } | ModbusEndpoint::RtuOverTcp { .. } => false,
            ModbusEndpoint::Rtu { .. } => match failure {
                Failure::Silence => true,
                // The rest of what is no answer.
                Failure::Fault(_) => link.wire.discard_until_silent(waits.gap).await.is_ok(),
                Failure::Lost => false,
            },
        };
        if is_kept {
            link.renew();
            self.link = Some(link);
        }
    }

    /// Takes the right to be connected where only one may be.
    async fn claim(&mut self, one_connection: bool) -> Result<(), PollError> {
        let is_shared = match self.endpoint {
            ModbusEndpoint::Tcp { .. } => !one_connection,
            // Two masters behind a converter talk into each other's answers.
            ModbusEndpoint::RtuOverTcp { .. } => false,
            // The port has a lock of its own.
            ModbusEndpoint::Rtu { .. } => true,
        };
        if is_shared || self.claim.is_some() {
            return Ok(());
        }
        let until = later(CLAIM_PATIENCE);
        loop {
            if let Ok(claim) = Claim::take(self.endpoint.address()) {
                self.claim = Some(claim);
                return Ok(());
            }
            if Instant::now() >= until {
                let endpoint = self.endpoint.address().clone();
                return Err(PollError::EndpointTaken { endpoint });
            }
            sleep(CLAIM_PAUSE).await;
        }
    }

    const fn framing(&self) -> Framing {
        if self.endpoint.is_rtu() {
            Framing::Rtu
        } else {
            Framing::Tcp
        }
    }

    /// Returns the silence that ends a frame; behind a converter it cannot be seen.
    fn silence(&self) -> Duration {
        match self.endpoint {
            ModbusEndpoint::Tcp { .. } | ModbusEndpoint::RtuOverTcp { .. } => Duration::ZERO,
            ModbusEndpoint::Rtu { characters, .. } => characters.silence(),
        }
    }

    fn waits(&self, answer: Duration) -> Waits {
        match self.endpoint {
            ModbusEndpoint::Tcp { .. } | ModbusEndpoint::RtuOverTcp { .. } => Waits {
                answer,
                gap: answer.max(LEAST_TCP_GAP),
            },
            ModbusEndpoint::Rtu { characters, .. } => Waits {
                answer: answer.saturating_add(characters.transmission(REQUEST_CHARACTERS)),
                gap: characters.silence().saturating_add(CONVERTER_ALLOWANCE),
            },
        }
    }
}

fn later(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

/// Discards what has come since the last answer; returns whether the next request can be sent.
async fn is_clear(wire: &Wire, silence: Duration, is_rtu: bool) -> bool {
    match wire.discard_until_silent(silence).await {
        Ok(discarded) => discarded == 0 || is_rtu,
        Err(_) => false,
    }
}

/// Waits for the end of the answer on a serial line, behind which nothing may follow. After an
/// answer that was late, another one may.
async fn settle(wire: &Wire, silence: Duration, was_late: bool) -> Result<(), Failure> {
    match wire.discard_until_silent(silence).await {
        Ok(0) => Ok(()),
        Ok(_) if was_late => Err(Failure::Fault(AnswerFault::Ambiguous)),
        Ok(surplus) => Err(Failure::Fault(AnswerFault::Surplus { surplus })),
        Err(_) => Err(Failure::Lost),
    }
}
