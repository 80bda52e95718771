//! The machine that tells meters something.

use core::time::Duration;

use super::exchange::{Awaited, Exchange, Expected, Manner, Outcome};
use super::frames::{self, ByteOrder};
use super::line::Line;
use super::read::{Read, ReadError};
use super::script::{Player, Script, Step};
use super::station::MeterAddress;
use super::timing::BaudRate;
use super::{Machine, Output};
use crate::link::{BROADCAST, Frame, LongFrame, PrimaryAddress, SecondaryAddress};

/// Whom a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// One meter. With wildcards in a secondary address, every meter that matches.
    Meter(MeterAddress),
    /// Every meter on the line, by the broadcast address 255; none answers.
    Everybody,
}

/// What meters are told.
///
/// Spec: EN 13757-3:2013, sections 7 and 8 (CI 50, CI 51, CI B8 to BF).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// To initialise their link: SND_NKE. To a secondary address it also ends the selection.
    Initialise,
    /// To reset the application; the subcode chooses what the next telegrams hold.
    ResetApplication {
        /// The subcode, if there is one.
        subcode: Option<u8>,
    },
    /// To take a primary address.
    SetPrimary(PrimaryAddress),
    /// To take an identification, one digit in each nibble.
    SetIdentification(u32),
    /// To take a whole secondary address.
    SetSecondary(SecondaryAddress),
    /// To take another speed. Who is not heard there is looked for at the old one.
    SetBaudRate(BaudRate),
    /// To send their alarm: REQ_UD1.
    SendAlarm,
}

/// What meters answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: it was a broadcast.
    Nothing,
    /// Understood; to [`Instruction::SendAlarm`]: no alarm.
    Acknowledged,
    /// The alarm.
    Telegram(LongFrame),
}

/// A command to meters, and what they answer.
///
/// [`Machine::poll_output`] gives the [`Reply`] or a [`ReadError`], once; after that it waits for ever.
#[derive(Debug)]
pub struct Command<'l>(Player<'l, CommandScript>);

impl<'l> Command<'l> {
    /// Begins a command; nothing is sent before the first poll.
    #[must_use]
    pub const fn new(line: &'l mut Line, recipient: Recipient, instruction: Instruction) -> Self {
        let old_rate = line.timing().baud_rate;
        Self(Player::new(
            line,
            CommandScript {
                recipient,
                instruction,
                stage: Stage::Select,
                old_rate,
            },
        ))
    }
}

impl Machine for Command<'_> {
    type Result = Result<Reply, ReadError>;

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
struct CommandScript {
    recipient: Recipient,
    instruction: Instruction,
    stage: Stage,
    old_rate: BaudRate,
}

/// The exchange that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Select,
    Instruct,
    /// Looking for the meter at its new speed.
    New(BaudRate),
    /// Looking for the meter at its old speed.
    Old(BaudRate),
}

type CommandStep = Step<Result<Reply, ReadError>>;

impl Script for CommandScript {
    type Result = Result<Reply, ReadError>;

    fn begin(&mut self, line: &Line) -> CommandStep {
        match (self.recipient, self.instruction) {
            // A meter that remembers the frame count bit of whatever it was asked last would take the
            // command for a repetition: it is made to forget first.
            (Recipient::Meter(MeterAddress::Secondary(_)), _) => self.call(line),
            (Recipient::Everybody, _) | (Recipient::Meter(_), Instruction::Initialise) => self.instruct(line),
            (Recipient::Meter(_), _) => self.call(line),
        }
    }

    fn switched(&mut self, line: &Line) -> CommandStep {
        if self.recipient == Recipient::Everybody {
            return Step::Done(Ok(Reply::Nothing));
        }
        self.call(line)
    }

    fn proceed(&mut self, line: &Line, outcome: Outcome, _: Option<Duration>) -> CommandStep {
        match (self.stage, outcome) {
            (Stage::Select, Outcome::Acknowledged) => self.instruct(line),
            (Stage::Instruct, Outcome::Acknowledged | Outcome::Sent) => match self.instruction {
                Instruction::SetBaudRate(rate) if rate != self.old_rate => {
                    self.stage = Stage::New(rate);
                    Step::Rate(rate)
                }
                _ if self.recipient == Recipient::Everybody => Step::Done(Ok(Reply::Nothing)),
                _ => Step::Done(Ok(Reply::Acknowledged)),
            },
            (Stage::Instruct, Outcome::Telegram(telegram)) => Step::Done(Ok(Reply::Telegram(telegram))),
            (Stage::New(_), Outcome::Acknowledged) => Step::Done(Ok(Reply::Acknowledged)),
            (Stage::New(rate), Outcome::Failed { .. }) => {
                self.stage = Stage::Old(rate);
                Step::Rate(self.old_rate)
            }
            (Stage::Old(rate), Outcome::Acknowledged) => Step::Done(Err(ReadError::RateRefused { rate })),
            (Stage::Old(rate), Outcome::Failed { .. }) => Step::Done(Err(ReadError::RateLost { rate })),
            (Stage::Select | Stage::Instruct, Outcome::Failed { tries, fault }) => {
                let asked = match self.recipient {
                    Recipient::Meter(address) => address,
                    Recipient::Everybody => SecondaryAddress::ALL.into(),
                };
                Step::Done(Err(ReadError::from_fault(tries, fault, asked)))
            }
            (_, Outcome::Sent | Outcome::Telegram(_) | Outcome::Collision) => {
                Step::Done(Err(ReadError::Unexpected { tries: 1 }))
            }
        }
    }
}

impl CommandScript {
    /// Selects the meter, or asks with SND_NKE whether it is there.
    fn call(&self, line: &Line) -> CommandStep {
        let frame = match self.recipient {
            Recipient::Meter(MeterAddress::Secondary(meter)) => frames::select(meter, ByteOrder::LeastFirst),
            recipient => frames::initialise(field(recipient)),
        };
        exchange(&frame, Awaited::Acknowledgement, line, Read::MAX_TRIES)
    }

    fn instruct(&mut self, line: &Line) -> CommandStep {
        self.stage = Stage::Instruct;
        let address = field(self.recipient);
        // Behind a selection or SND_NKE the bit is set; a meter that was neither selected nor
        // initialised just before takes either.
        let bit = true;
        let frame = match self.instruction {
            Instruction::Initialise => frames::initialise(address),
            Instruction::ResetApplication { subcode } => frames::application_reset(address, bit, subcode),
            Instruction::SetPrimary(new) => frames::set_primary(address, bit, new),
            Instruction::SetIdentification(digits) => frames::set_identification(address, bit, digits),
            Instruction::SetSecondary(new) => frames::set_secondary(address, bit, new),
            Instruction::SetBaudRate(rate) => frames::set_baud_rate(address, bit, rate),
            Instruction::SendAlarm => frames::request_alarm(address, bit),
        };
        let awaited = match (self.recipient, self.instruction) {
            (Recipient::Everybody, _) => Awaited::Nothing,
            (recipient, Instruction::SendAlarm) => Awaited::TelegramOrAcknowledgement(expected(recipient)),
            _ => Awaited::Acknowledgement,
        };
        let tries = match self.instruction {
            // A repeated one would reach the meter at the wrong speed; it is looked for instead.
            Instruction::SetBaudRate(_) => 1,
            _ => Read::MAX_TRIES,
        };
        exchange(&frame, awaited, line, tries)
    }
}

/// Returns the A field for a recipient.
const fn field(recipient: Recipient) -> u8 {
    match recipient {
        Recipient::Meter(address) => address.field(),
        Recipient::Everybody => BROADCAST,
    }
}

fn expected(recipient: Recipient) -> Expected {
    let (from, identity) = match recipient {
        Recipient::Meter(MeterAddress::Primary(address)) => (Some(address.byte()), SecondaryAddress::ALL),
        Recipient::Meter(MeterAddress::Secondary(meter)) => (None, meter),
        Recipient::Meter(MeterAddress::Single) | Recipient::Everybody => (None, SecondaryAddress::ALL),
    };
    Expected {
        from,
        identity,
        previous: None,
    }
}

fn exchange(frame: &Frame, awaited: Awaited, line: &Line, tries: u8) -> CommandStep {
    let answer = line.timing().answer();
    let manner = Manner {
        tries,
        usual: answer,
        longest: answer,
        shared: false,
    };
    Step::Exchange(Box::new(Exchange::new(frame, awaited, manner)))
}
