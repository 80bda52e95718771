//! Readings: one value of one element at one time, or the reason why there is none.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Element, Quantity, Timestamp};

/// One value of one element at one time, with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What was measured.
    pub element: Element,
    /// The point of the registration grid that the value belongs to.
    pub time: Timestamp,
    /// The meter's own digits and their unit.
    pub quantity: Quantity,
    /// What is to be known about the value.
    pub status: Status,
}

/// An absent value: nothing was registered for the element at that time, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What should have been measured.
    pub element: Element,
    /// The point of the registration grid that has no value.
    pub time: Timestamp,
    /// Why it has none.
    pub reason: GapReason,
}

/// The reason why a point of the grid has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The meter did not answer.
    NoAnswer,
    /// The meter answered, but with a broken or foreign frame.
    BadAnswer,
    /// The meter answered that it has no valid value.
    NotAvailable,
    /// The bus could not be reached, or was still being read for an earlier time.
    BusDown,
}

impl GapReason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::NoAnswer, Self::BadAnswer, Self::NotAvailable, Self::BusDown];
}

impl fmt::Display for GapReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::NoAnswer => "no-answer",
            Self::BadAnswer => "bad-answer",
            Self::NotAvailable => "not-available",
            Self::BusDown => "bus-down",
        })
    }
}

/// What the meter gave for one element in one poll, before it is put on the grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What was measured.
    pub element: Element,
    /// The value, or the reason why there is none.
    pub value: Result<Quantity, GapReason>,
    /// What is to be known about the value.
    pub status: Status,
}

/// What is to be known about a value, as a set of bits; 0 is a value without remarks.
///
/// | bit | meaning |
/// |---|---|
/// | 0 | the gateway's clock could not be trusted when the value was registered |
/// | 1 | the meter sent an IEEE real; the digits are the shortest that read back as it |
/// | 2 | the meter reports a temporary error |
/// | 3 | the meter reports a permanent error |
/// | 4 | the meter reports low power |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Status(u32);

impl Status {
    /// A value without remarks.
    pub const GOOD: Self = Self(0);
    /// The gateway's clock could not be trusted when the value was registered.
    pub const CLOCK_UNKNOWN: Self = Self(1);
    /// The meter sent an IEEE real.
    pub const FROM_FLOAT: Self = Self(1 << 1);
    /// The meter reports a temporary error.
    pub const TEMPORARY_ERROR: Self = Self(1 << 2);
    /// The meter reports a permanent error.
    pub const PERMANENT_ERROR: Self = Self(1 << 3);
    /// The meter reports low power.
    pub const LOW_POWER: Self = Self(1 << 4);

    /// Builds the set from its bits; unknown bits are kept, since a newer gateway may have set them.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns the union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all bits of the other set are in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Status({:#06b})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_bits_add_up() {
        let status = Status::FROM_FLOAT.with(Status::LOW_POWER);
        assert!(status.contains(Status::FROM_FLOAT));
        assert!(!status.contains(Status::CLOCK_UNKNOWN));
        assert_eq!(Status::from_bits(status.bits()), status);
    }

    #[test]
    fn reasons_are_written_as_they_are_serialized() {
        for reason in GapReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }
}
