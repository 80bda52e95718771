//! What is written into the calibration log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LogText;
use crate::{GapReason, Medium, MeterId, Status, Timestamp};

/// An event for the calibration log. A meter is named as in the configuration, and by its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CalibrationEvent {
    /// The clock was found unset; values are marked from now on.
    ClockUnset,
    /// The clock can be trusted from now on.
    ClockSet,
    /// The clock has jumped.
    ClockJumped {
        /// What it would have shown without the jump.
        expected: Timestamp,
        /// What it showed.
        found: Timestamp,
    },
    /// A meter was seen for the first time.
    MeterSeen {
        /// Its name.
        name: LogText,
        /// Its identity.
        meter: MeterId,
        /// What it measures.
        medium: Medium,
    },
    /// Another meter answers in the place of one.
    MeterReplaced {
        /// The name.
        name: LogText,
        /// The meter until now.
        before: MeterId,
        /// The meter from now on.
        now: MeterId,
    },
    /// The errors that a meter reports have changed.
    MeterStatus {
        /// Its name.
        name: LogText,
        /// Its identity.
        meter: MeterId,
        /// What it reports from now on; 0 if all is well again.
        status: Status,
    },
    /// From this point of the grid on, a meter's values are absent.
    GapBegun {
        /// Its name.
        name: LogText,
        /// Its identity, if it has ever answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meter: Option<MeterId>,
        /// The first point without values.
        from: Timestamp,
        /// Why.
        reason: GapReason,
    },
    /// A meter's values are registered again.
    GapEnded {
        /// Its name.
        name: LogText,
        /// Its identity.
        meter: MeterId,
        /// The first point without values.
        from: Timestamp,
        /// The first point with values again.
        to: Timestamp,
    },
    /// Nothing at all was registered for a while, as while the gateway was off.
    RegistrationInterrupted {
        /// The last point of the grid before that.
        last: Timestamp,
        /// The first point behind it.
        next: Timestamp,
    },
}

impl CalibrationEvent {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ClockUnset => "SMGW-L-3001",
            Self::ClockSet => "SMGW-L-3002",
            Self::ClockJumped { .. } => "SMGW-L-3003",
            Self::MeterSeen { .. } => "SMGW-L-3004",
            Self::MeterReplaced { .. } => "SMGW-L-3005",
            Self::MeterStatus { .. } => "SMGW-L-3006",
            Self::GapBegun { .. } => "SMGW-L-3007",
            Self::GapEnded { .. } => "SMGW-L-3008",
            Self::RegistrationInterrupted { .. } => "SMGW-L-3009",
        }
    }
}

impl fmt::Display for CalibrationEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockUnset => formatter.write_str("the clock is not set; values are marked"),
            Self::ClockSet => formatter.write_str("the clock can be trusted"),
            Self::ClockJumped { expected, found } => {
                write!(formatter, "the clock jumped from {expected} to {found}")
            }
            Self::MeterSeen { name, meter, medium } => {
                write!(formatter, "meter {name} is {meter} ({medium})")
            }
            Self::MeterReplaced { name, before, now } => {
                write!(formatter, "meter {name} was {before} and is {now}")
            }
            Self::MeterStatus { name, meter, status } => {
                write!(
                    formatter,
                    "meter {name} ({meter}) reports status {:#x}",
                    status.bits()
                )
            }
            Self::GapBegun {
                name, from, reason, ..
            } => {
                write!(formatter, "meter {name} has no values from {from} on: {reason}")
            }
            Self::GapEnded { name, from, to, .. } => {
                write!(formatter, "meter {name} had no values from {from} to {to}")
            }
            Self::RegistrationInterrupted { last, next } => {
                write!(formatter, "nothing was registered between {last} and {next}")
            }
        }
    }
}
