//! The machine that reads one meter.

use core::time::Duration;

use super::exchange::{Awaited, Exchange, Expected, Fault, Manner, Outcome};
use super::frames;
use super::line::Line;
use super::script::{Player, Script, Step};
use super::station::{Link, MeterAddress, Station};
use super::timing::BaudRate;
use super::{Machine, Output, telegram};
use crate::link::{FrameError, LongFrame, SELECTED, SecondaryAddress};

/// The reading of one meter: selection or SND_NKE if they are due, then REQ_UD2 until no telegram
/// follows.
///
/// [`Machine::poll_output`] gives the long frames of the answer, in order, or a [`ReadError`], once;
/// after that it waits for ever. Dropped before, it leaves the station to begin with SND_NKE.
///
/// A meter that is selected gets the frame count bit set in the first request, since the selection
/// clears what the meter remembers. If the telegram is the one of the last read, byte by byte, it may
/// be an old one of a meter that remembers all the same: then the meter is initialised, selected and
/// asked again.
///
/// Spec: EN 13757-2:2018, section 5; EN 13757-7:2018 (secondary addressing).
#[derive(Debug)]
pub struct Read<'l>(Player<'l, ReadScript<'l>>);

impl<'l> Read<'l> {
    /// The number of times that a request is sent before the meter counts as dead.
    ///
    /// Spec: EN 13757-2:2018, section 5 (one transmission and two repetitions).
    pub const MAX_TRIES: u8 = 3;
    /// The greatest number of telegrams that one read fetches: 4 KiB of records, well above what
    /// meters send, so that a meter which always has more ends all the same.
    pub const MAX_TELEGRAMS: usize = 16;

    /// Begins to read the meter; nothing is sent before the first poll.
    #[must_use]
    pub const fn new(line: &'l mut Line, station: &'l mut Station) -> Self {
        let link = station.link;
        station.link = Link::Unknown;
        Self(Player::new(
            line,
            ReadScript {
                station,
                link,
                stage: Stage::Select,
                second_selection: false,
                frames: Vec::new(),
            },
        ))
    }
}

impl Machine for Read<'_> {
    type Result = Result<Vec<LongFrame>, ReadError>;

    fn poll_output(&mut self, now: Duration) -> Output<Self::Result> {
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
struct ReadScript<'s> {
    station: &'s mut Station,
    /// The link as the station gets it back once the read has succeeded.
    link: Link,
    /// The exchange that is running.
    stage: Stage,
    /// The selection is repeated once if the selected meter then says nothing.
    second_selection: bool,
    frames: Vec<LongFrame>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Select,
    Initialise,
    Reset,
    Request { frame_count_bit: bool },
}

type ReadStep = Step<Result<Vec<LongFrame>, ReadError>>;

impl Script for ReadScript<'_> {
    type Result = Result<Vec<LongFrame>, ReadError>;

    fn begin(&mut self, line: &Line) -> ReadStep {
        let rate = self.station.baud_rate().unwrap_or_else(|| line.home());
        if rate == line.timing().baud_rate {
            self.switched(line)
        } else {
            Step::Rate(rate)
        }
    }

    fn switched(&mut self, line: &Line) -> ReadStep {
        match (self.station.address(), self.link) {
            (MeterAddress::Secondary(_), _) => self.enter(Stage::Select, line),
            (MeterAddress::Single | MeterAddress::Primary(_), Link::Unknown) => {
                self.enter(Stage::Initialise, line)
            }
            (MeterAddress::Single | MeterAddress::Primary(_), Link::Initialised { frame_count_bit }) => {
                self.ask(frame_count_bit, line)
            }
        }
    }

    fn proceed(&mut self, line: &Line, outcome: Outcome, answer_time: Option<Duration>) -> ReadStep {
        if let (Some(time), Outcome::Acknowledged | Outcome::Telegram(_)) = (answer_time, &outcome) {
            self.station.learn(time);
            self.station.lost = false;
        }
        match (self.stage, outcome) {
            (Stage::Select, Outcome::Acknowledged) => match self.link {
                Link::Unknown => self.enter(Stage::Initialise, line),
                // The selection has cleared what the meter remembers.
                Link::Initialised { .. } => self.ask(true, line),
            },
            (Stage::Initialise, Outcome::Acknowledged) => self.initialised(line),
            // Some meters do not acknowledge what deselects them.
            (Stage::Initialise, Outcome::Failed { .. })
                if matches!(self.station.address(), MeterAddress::Secondary(_)) =>
            {
                self.initialised(line)
            }
            (Stage::Reset, Outcome::Acknowledged) => {
                let frame_count_bit = self.bit();
                self.enter(Stage::Request { frame_count_bit }, line)
            }
            (Stage::Request { frame_count_bit }, Outcome::Telegram(frame)) => {
                self.receive(frame, frame_count_bit, line)
            }
            (Stage::Request { .. }, Outcome::Failed { fault: None, .. })
                if self.frames.is_empty()
                    && !self.second_selection
                    && matches!(self.station.address(), MeterAddress::Secondary(_)) =>
            {
                // The acknowledgement may have been somebody else's.
                self.second_selection = true;
                self.enter(Stage::Select, line)
            }
            (_, Outcome::Failed { tries, fault }) => {
                self.station.lost = fault.is_none();
                Step::Done(Err(ReadError::from_fault(tries, fault, self.station.address())))
            }
            (_, Outcome::Sent | Outcome::Acknowledged | Outcome::Telegram(_) | Outcome::Collision) => {
                Step::Done(Err(ReadError::Unexpected { tries: 1 }))
            }
        }
    }
}

impl ReadScript<'_> {
    /// The meter has forgotten its frame count bit: the next request has it set.
    fn initialised(&mut self, line: &Line) -> ReadStep {
        self.link = Link::Initialised {
            frame_count_bit: true,
        };
        match self.station.address() {
            MeterAddress::Single | MeterAddress::Primary(_) => self.ask(true, line),
            MeterAddress::Secondary(_) => self.enter(Stage::Select, line),
        }
    }

    /// Goes on to the data, by way of the application reset if the meter is to have one.
    fn ask(&mut self, frame_count_bit: bool, line: &Line) -> ReadStep {
        self.link = Link::Initialised { frame_count_bit };
        if self.station.application_reset().is_some() {
            self.enter(Stage::Reset, line)
        } else {
            self.enter(Stage::Request { frame_count_bit }, line)
        }
    }

    fn enter(&mut self, stage: Stage, line: &Line) -> ReadStep {
        self.stage = stage;
        let address = self.station.address();
        let field = address.field();
        let usual = self.station.manner(line.timing(), Read::MAX_TRIES);
        let (frame, awaited, manner) = match stage {
            Stage::Select => {
                let meter = match address {
                    MeterAddress::Secondary(meter) => meter,
                    MeterAddress::Single | MeterAddress::Primary(_) => SecondaryAddress::ALL,
                };
                let frame = frames::select(meter, self.station.byte_order());
                (frame, Awaited::Acknowledgement, usual)
            }
            Stage::Initialise => {
                let deselects = field == SELECTED;
                let manner = if deselects {
                    Manner { tries: 1, ..usual }
                } else {
                    usual
                };
                (frames::initialise(field), Awaited::Acknowledgement, manner)
            }
            Stage::Reset => {
                let bit = self.bit();
                let subcode = self.station.application_reset();
                let frame = frames::application_reset(field, bit, subcode);
                self.link = Link::Initialised {
                    frame_count_bit: !bit,
                };
                (frame, Awaited::Acknowledgement, usual)
            }
            Stage::Request { frame_count_bit } => (
                frames::request_data(field, frame_count_bit),
                Awaited::Telegram(self.expected()),
                usual,
            ),
        };
        Step::Exchange(Box::new(Exchange::new(&frame, awaited, manner)))
    }

    /// Returns the next frame count bit; the first one behind an initialisation is set.
    const fn bit(&self) -> bool {
        match self.link {
            Link::Unknown => true,
            Link::Initialised { frame_count_bit } => frame_count_bit,
        }
    }

    fn expected(&self) -> Expected {
        let (from, identity) = match self.station.address() {
            MeterAddress::Single => (None, SecondaryAddress::ALL),
            MeterAddress::Primary(address) => (Some(address.byte()), SecondaryAddress::ALL),
            MeterAddress::Secondary(meter) => (None, meter),
        };
        Expected {
            from,
            identity,
            previous: self.frames.last().cloned(),
        }
    }

    fn receive(&mut self, frame: LongFrame, frame_count_bit: bool, line: &Line) -> ReadStep {
        if self.frames.is_empty() && self.is_suspect(&frame) {
            return self.enter(Stage::Initialise, line);
        }
        let more_follows = telegram::more_follows(&frame, &self.station.opener());
        self.frames.push(frame);
        self.link = Link::Initialised {
            frame_count_bit: !frame_count_bit,
        };
        if !more_follows {
            self.station.link = self.link;
            return Step::Done(Ok(core::mem::take(&mut self.frames)));
        }
        if self.frames.len() >= Read::MAX_TELEGRAMS {
            return Step::Done(Err(ReadError::TooManyTelegrams));
        }
        self.enter(
            Stage::Request {
                frame_count_bit: !frame_count_bit,
            },
            line,
        )
    }

    /// Returns whether the first telegram may be an old one, and remembers it for the next time.
    fn is_suspect(&mut self, frame: &LongFrame) -> bool {
        if let MeterAddress::Single | MeterAddress::Primary(_) = self.station.address() {
            return false;
        }
        let repeated = self.station.last_telegram.as_ref() == Some(frame);
        if !repeated {
            self.station.last_telegram = Some(frame.clone());
            self.station.stands_still = false;
            return false;
        }
        // What comes again behind SND_NKE is no old telegram; the meter need not be asked twice again.
        !core::mem::replace(&mut self.station.stands_still, true)
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
    /// Another meter than the selected one answered.
    #[error("the meter {found} answered to the selection of {expected}")]
    WrongMeter {
        /// The secondary address that was selected.
        expected: SecondaryAddress,
        /// The secondary address that answered.
        found: SecondaryAddress,
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
    /// The meter acknowledged another speed, but is heard at the old one only.
    #[error("the meter acknowledged {} bits per second, but stayed at its speed", rate.bits_per_second())]
    RateRefused {
        /// The speed that it was told to take.
        rate: BaudRate,
    },
    /// The meter acknowledged another speed, and is heard neither there nor at the old one.
    #[error(
        "the meter was told to take {} bits per second and is heard at no speed; it falls back by itself in some minutes",
        rate.bits_per_second()
    )]
    RateLost {
        /// The speed that it was told to take.
        rate: BaudRate,
    },
}

impl ReadError {
    pub(super) const fn from_fault(tries: u8, fault: Option<Fault>, asked: MeterAddress) -> Self {
        match fault {
            None => Self::NoAnswer { tries },
            Some(Fault::Frame(source)) => Self::Frame { tries, source },
            Some(Fault::WrongAddress { expected, found }) => Self::WrongAddress { expected, found },
            Some(Fault::WrongMeter { found }) => match asked {
                MeterAddress::Secondary(expected) => Self::WrongMeter { expected, found },
                MeterAddress::Single | MeterAddress::Primary(_) => Self::Unexpected { tries },
            },
            Some(Fault::Unexpected) => Self::Unexpected { tries },
            Some(Fault::Repeated) => Self::Repeated { tries },
        }
    }
}
