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
    #[error("the bus could not be connected to: {kind}")]
    Connect {
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The bus did not take the connection in time.
    #[error("the bus did not take the connection in time")]
    ConnectTimeout,
    /// The bus could not be connected to a short time ago, and the next attempt is not yet due.
    #[error("the bus could not be connected to; the next attempt is due in {wait:?}")]
    ConnectPostponed {
        /// The time until the next attempt.
        wait: Duration,
    },
    /// Another bus, or another program on this machine, is connected to a host that serves one client.
    #[error("another program on this machine is connected to the host, which serves one client at a time")]
    EndpointTaken,
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
    /// The Modbus meter has none of its profile's SunSpec models.
    #[error("the meter has not what its profile describes")]
    Placement(#[source] PlacementError),
    /// The registers do not say whose they are.
    #[error("the meter's registers cannot be decoded")]
    Registers(#[source] DecodeError),
}

impl PollError {
    /// Returns the reason that stands in the place of the values.
    #[must_use]
    pub const fn gap_reason(&self) -> GapReason {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout
            | Self::ConnectPostponed { .. }
            | Self::EndpointTaken
            | Self::ConnectionLost
            | Self::RateFixed => GapReason::BusDown,
            Self::NoAnswer { .. } | Self::Skipped { .. } => GapReason::NoAnswer,
            Self::Exception(exception) => exception.gap_reason(),
            Self::Mbus(_)
            | Self::Telegrams(_)
            | Self::Answer(_)
            | Self::OtherMeter(_)
            | Self::Placement(_)
            | Self::Registers(_) => GapReason::BadAnswer,
        }
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
