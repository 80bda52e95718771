//! The machine that finds out who answers to an address.

use core::time::Duration;

use super::exchange::{Awaited, Exchange, Expected, Manner, Outcome};
use super::frames::{self, ByteOrder};
use super::line::Line;
use super::script::{Player, Script, Step};
use super::station::MeterAddress;
use super::{Machine, Output, telegram};
use crate::link::{LongFrame, SecondaryAddress};

/// One question to the line: does nobody, one meter or do several answer to this address?
///
/// A primary address is asked with SND_NKE, a secondary one by selection; whoever acknowledges is
/// asked for the first telegram. Everything that is no single sound answer counts as several: two
/// acknowledgements, damaged bytes, a telegram that another one follows.
///
/// [`Machine::poll_output`] gives the [`Found`], once; after that it waits for ever.
///
/// Spec: EN 13757-7:2018 (secondary addressing, collisions).
#[derive(Debug)]
pub struct Probe<'l>(Player<'l, ProbeScript>);

/// Who answers to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nobody.
    Nobody,
    /// One meter.
    Meter {
        /// Its secondary address, as far as its telegram names it.
        address: Option<SecondaryAddress>,
        /// Its first telegram.
        telegram: LongFrame,
    },
    /// Several meters, or one in much noise.
    Several,
    /// Somebody who acknowledges and then sends no telegram, or one of a meter that was not asked.
    Unclear,
}

impl<'l> Probe<'l> {
    /// Begins a probe; who is silent is asked so many times.
    #[must_use]
    pub const fn new(line: &'l mut Line, address: MeterAddress, tries: u8) -> Self {
        Self(Player::new(
            line,
            ProbeScript {
                address,
                tries,
                is_acknowledged: false,
            },
        ))
    }
}

impl Machine for Probe<'_> {
    type Result = Found;

    fn poll_output(&mut self, now: Duration) -> Output<Found> {
        self.0.poll_output(now)
    }

    fn handle_input(&mut self, bytes: &[u8], now: Duration) {
        self.0.handle_input(bytes, now);
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.0.handle_timeout(now);
    }
}

#[derive(Debug)]
struct ProbeScript {
    address: MeterAddress,
    tries: u8,
    is_acknowledged: bool,
}

impl Script for ProbeScript {
    type Result = Found;

    fn begin(&mut self, line: &Line) -> Step<Found> {
        if line.timing().baud_rate == line.home() {
            self.switched(line)
        } else {
            Step::Rate(line.home())
        }
    }

    fn switched(&mut self, line: &Line) -> Step<Found> {
        let frame = match self.address {
            MeterAddress::Single | MeterAddress::Primary(_) => frames::initialise(self.address.field()),
            MeterAddress::Secondary(meters) => frames::select(meters, ByteOrder::LeastFirst),
        };
        let manner = shared(line, self.tries);
        Step::Exchange(Box::new(Exchange::new(&frame, Awaited::Acknowledgement, manner)))
    }

    fn proceed(&mut self, line: &Line, outcome: Outcome, _: Option<Duration>) -> Step<Found> {
        match outcome {
            Outcome::Acknowledged if !self.is_acknowledged => {
                self.is_acknowledged = true;
                let (from, identity) = match self.address {
                    MeterAddress::Single => (None, SecondaryAddress::ALL),
                    MeterAddress::Primary(address) => (Some(address.byte()), SecondaryAddress::ALL),
                    MeterAddress::Secondary(meters) => (None, meters),
                };
                let expected = Expected {
                    from,
                    identity,
                    previous: None,
                };
                let request = frames::request_data(self.address.field(), true);
                // One repetition: the request can get lost, and the acknowledgement was a promise.
                let manner = shared(line, 2);
                Step::Exchange(Box::new(Exchange::new(
                    &request,
                    Awaited::Telegram(expected),
                    manner,
                )))
            }
            Outcome::Telegram(telegram) => Step::Done(Found::Meter {
                address: telegram::secondary_address(&telegram),
                telegram,
            }),
            Outcome::Collision => Step::Done(Found::Several),
            Outcome::Failed { .. } if self.is_acknowledged => Step::Done(Found::Unclear),
            Outcome::Failed { .. } => Step::Done(Found::Nobody),
            Outcome::Sent | Outcome::Acknowledged => Step::Done(Found::Unclear),
        }
    }
}

/// How a question is put to a line on which several may answer.
fn shared(line: &Line, tries: u8) -> Manner {
    let answer = line.timing().answer();
    Manner {
        tries,
        usual: answer,
        longest: answer,
        shared: true,
    }
}
