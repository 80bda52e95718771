//! Why a meter gave no values.

use std::io;
use std::time::Duration;

use mbus::master::ReadError;
use mbus::readout::ReadoutError;
use modbus::sunspec::PlacementError;
use modbus::{DecodeError, Misfit};
use model::GapReason;

use crate::{AnswerFault, ModbusException};

/// The reason why a meter gave no values in a round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    /// The bus refused the connection, or there is no way to it.
    #[error("{endpoint} cannot be opened: {text}; {}", remedy(*kind))]
    Connect {
        /// The host and port, or the device.
        endpoint: String,
        /// The kind of what the system says.
        kind: io::ErrorKind,
        /// What the system says, in its words.
        text: String,
    },
    /// The bus did not take the connection in time.
    #[error("{endpoint} did not take the connection in time; look whether it is on and can be reached")]
    ConnectTimeout {
        /// The host and port, or the device.
        endpoint: String,
    },
    /// The bus could not be connected to a short time ago, and the next attempt is not yet due.
    #[error("the next attempt to open the bus is due in {} ms; the last one has failed", wait.as_millis())]
    ConnectPostponed {
        /// The time until the next attempt.
        wait: Duration,
        /// What came of the last one.
        #[source]
        last: Box<Self>,
    },
    /// Another bus, or another program on this machine, is connected to a host that serves one client.
    #[error(
        "another program on this machine, or another bus of the gateway, is connected to {endpoint}, which serves one client at a time; stop it, or try again when its round is over"
    )]
    EndpointTaken {
        /// The host and port.
        endpoint: String,
    },
    /// The connection broke while the meter was asked.
    #[error("the connection to the bus was lost")]
    ConnectionLost,
    /// A meter needs another speed, and the converter has one that cannot be changed from here.
    #[error("the speed of the converter cannot be changed from here")]
    RateFixed,
    /// The meter did not answer.
    #[error("the meter did not answer, {tries} tries were made")]
    NoAnswer {
        /// Times that the request was sent.
        tries: u8,
    },
    /// The meter was not asked, because it has not answered before.
    #[error("the meter has not answered before and is left out of {rounds} rounds")]
    Skipped {
        /// The number of rounds that leave it out from now on, this one included.
        rounds: u32,
    },
    /// The M-Bus meter answered, but with nothing that can be used.
    #[error("the meter's answer on the M-Bus cannot be used")]
    Mbus(#[source] ReadError),
    /// The M-Bus telegrams do not say what a meter measured.
    #[error("the meter's telegrams cannot be read")]
    Telegrams(#[source] ReadoutError),
    /// The Modbus meter refused the request.
    #[error("the meter refused the request: {0}")]
    Exception(ModbusException),
    /// What came is not the answer to the Modbus request.
    #[error("the meter's answer on Modbus cannot be used")]
    Answer(#[source] AnswerFault),
    /// The Modbus meter is not of the family that its profile describes.
    #[error("the meter is not one of its profile")]
    OtherMeter(#[source] Misfit),
    /// The Modbus meter has given values, but not its serial number, and nobody has named it.
    #[error(
        "the meter has values, but its serial number cannot be read, so that nobody knows whose they are; name the meter with id in the configuration"
    )]
    Unidentified(#[source] Box<Self>),
    /// The Modbus meter has none of its profile's SunSpec models.
    #[error("the meter has not what its profile describes")]
    Placement(#[source] PlacementError),
    /// The registers do not say whose they are.
    #[error("the meter's registers cannot be decoded")]
    Registers(#[source] DecodeError),
}

impl PollError {
    /// Returns the reason that stands in the place of the values.
    ///
    /// One rule: what did not come is [`GapReason::NoAnswer`], or [`GapReason::BusDown`] if the way to the
    /// meter is gone; what the meter refuses is [`GapReason::NotAvailable`], whatever the exception; what came
    /// and cannot be used is [`GapReason::BadAnswer`], be it a broken frame, another meter, or one without a name.
    #[must_use]
    pub const fn gap_reason(&self) -> GapReason {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::ConnectPostponed { .. }
            | Self::EndpointTaken { .. }
            | Self::ConnectionLost
            | Self::RateFixed => GapReason::BusDown,
            Self::NoAnswer { .. } | Self::Skipped { .. } => GapReason::NoAnswer,
            Self::Exception(exception) => exception.gap_reason(),
            Self::Mbus(_)
            | Self::Telegrams(_)
            | Self::Answer(_)
            | Self::OtherMeter(_)
            | Self::Unidentified(_)
            | Self::Placement(_)
            | Self::Registers(_) => GapReason::BadAnswer,
        }
    }
}

/// Returns what to do about a port that the system does not open.
const fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::ResourceBusy => {
            "look whether the device is there and no other program has it open (`ls -l /dev/serial/by-id`)"
        }
        io::ErrorKind::PermissionDenied => "the user needs access to the device, as in the group dialout",
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there, or it serves somebody else: look at the host, its port and its clients"
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            "look at the cable, the address and the route"
        }
        _ => "look at its name, its power and its cable",
    }
}

impl From<ReadError> for PollError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoAnswer { tries } => Self::NoAnswer { tries },
            other => Self::Mbus(other),
        }
    }
}
