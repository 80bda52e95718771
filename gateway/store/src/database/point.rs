//! A point: what is stored for one element at one time; and how its kind is coded.
//!
//! A kind is what neighbouring points have in common: it is written once for many of them.
//!
//! | kind | bytes |
//! |---|---|
//! | value | code of the unit (0 to 7F), scaler (1, two's complement), status (number) |
//! | gap | 80 + code of the reason |
//! | lost | FF: a row of version 1 that was damaged when it was migrated |
//!
//! The codes are those of [`unit_code`] and [`reason_code`]. They never change; new ones follow.

use model::{Decimal, Element, Gap, GapReason, Quantity, Reading, Status, Timestamp, Unit};

use super::bytes::{Reader, push};

const GAP: u8 = 0x80;
const LOST: u8 = 0xff;

/// What is stored for one element at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// The time, in seconds since 1970-01-01T00:00:00Z.
    pub(super) time: i64,
    /// The number of the element.
    pub(super) element: u32,
    /// What it is.
    pub(super) kind: Kind,
    /// The digits of a value, else 0.
    pub(super) mantissa: i128,
}

/// What a point is, its digits apart. The order is that of precedence at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value.
    Value {
        /// Its unit.
        unit: Unit,
        /// Its scaler, within what [`Decimal`] permits.
        scaler: i8,
        /// Its status.
        status: Status,
    },
    /// A value that was damaged before it got here.
    Lost,
    /// No value, and why.
    Gap(GapReason),
}

impl Kind {
    /// Returns whether there is a value, be it lost.
    pub(super) const fn is_value(self) -> bool {
        match self {
            Self::Value { .. } | Self::Lost => true,
            Self::Gap(_) => false,
        }
    }

    /// Returns the place in the order in which one of several points at one time is chosen.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Value { .. } => 0,
            Self::Lost => 1,
            Self::Gap(_) => 2,
        }
    }

    /// Appends the bytes.
    pub(super) fn push(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Value { unit, scaler, status } => {
                bytes.push(unit_code(unit));
                bytes.push(scaler.cast_unsigned());
                push(bytes, u128::from(status.bits()));
            }
            Self::Gap(reason) => bytes.push(GAP | reason_code(reason)),
            Self::Lost => bytes.push(LOST),
        }
    }

    /// Takes the bytes; `None` if they are no kind.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let tag = reader.byte()?;
        if tag == LOST {
            return Some(Self::Lost);
        }
        if tag & GAP != 0 {
            let mut reasons = GapReason::ALL.into_iter();
            return reasons
                .find(|reason| GAP | reason_code(*reason) == tag)
                .map(Self::Gap);
        }
        let scaler = reader.byte()?.cast_signed();
        Decimal::new(0, scaler)?;
        Some(Self::Value {
            unit: Unit::ALL.into_iter().find(|unit| unit_code(*unit) == tag)?,
            scaler,
            status: Status::from_bits(reader.number()?.try_into().ok()?),
        })
    }
}

impl Point {
    /// Builds the point of a reading.
    pub(super) fn of_reading(reading: &Reading, element: u32) -> Self {
        let value = reading.quantity.value;
        Self {
            time: reading.time.unix_seconds(),
            element,
            kind: Kind::Value {
                unit: reading.quantity.unit,
                scaler: value.scaler(),
                status: reading.status,
            },
            mantissa: value.mantissa(),
        }
    }

    /// Builds the point of a gap.
    pub(super) fn of_gap(gap: &Gap, element: u32) -> Self {
        Self {
            time: gap.time.unix_seconds(),
            element,
            kind: Kind::Gap(gap.reason),
            mantissa: 0,
        }
    }

    /// Returns the point's time, unless it lies outside what can be represented.
    pub(super) fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_unix_seconds(self.time).ok()
    }

    /// Returns the reading, if the point is one.
    pub(super) fn reading(self, element: &Element) -> Option<Reading> {
        let Kind::Value { unit, scaler, status } = self.kind else {
            return None;
        };
        Some(Reading {
            element: element.clone(),
            time: self.timestamp()?,
            quantity: Quantity {
                value: Decimal::new(self.mantissa, scaler)?,
                unit,
            },
            status,
        })
    }
}

/// Returns the code of a unit.
const fn unit_code(unit: Unit) -> u8 {
    match unit {
        Unit::WattHour => 0,
        Unit::VarHour => 1,
        Unit::VoltAmpereHour => 2,
        Unit::Joule => 3,
        Unit::CubicMetre => 4,
        Unit::Kilogram => 5,
        Unit::Watt => 6,
        Unit::Var => 7,
        Unit::VoltAmpere => 8,
        Unit::JoulePerHour => 9,
        Unit::CubicMetrePerHour => 10,
        Unit::KilogramPerHour => 11,
        Unit::DegreeCelsius => 12,
        Unit::Kelvin => 13,
        Unit::Bar => 14,
        Unit::Second => 15,
        Unit::Volt => 16,
        Unit::Ampere => 17,
        Unit::Hertz => 18,
        Unit::Degree => 19,
        Unit::One => 20,
    }
}

/// Returns the code of a reason.
const fn reason_code(reason: GapReason) -> u8 {
    match reason {
        GapReason::NoAnswer => 0,
        GapReason::BadAnswer => 1,
        GapReason::NotAvailable => 2,
        GapReason::BusDown => 3,
    }
}

/// Points as random tests make them.
#[cfg(test)]
pub(super) mod random {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::database) fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            4 => (prop::sample::select(&Unit::ALL[..]), -30i8..=30, prop_oneof![Just(0), any::<u32>()])
                .prop_map(|(unit, scaler, bits)| Kind::Value { unit, scaler, status: Status::from_bits(bits) }),
            1 => prop::sample::select(&GapReason::ALL[..]).prop_map(Kind::Gap),
            1 => Just(Kind::Lost),
        ]
    }

    pub(in crate::database) fn content() -> impl Strategy<Value = (Kind, i128)> {
        (kind(), prop_oneof![any::<i128>(), -10_000i128..10_000]).prop_map(|(kind, mantissa)| match kind {
            Kind::Value { .. } => (kind, mantissa),
            Kind::Gap(_) | Kind::Lost => (kind, 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_and_reason_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = Unit::ALL.into_iter().map(unit_code).collect();
        assert_eq!(codes.len(), Unit::ALL.len());
        let codes: BTreeSet<_> = GapReason::ALL.into_iter().map(reason_code).collect();
        assert_eq!(codes.len(), GapReason::ALL.len());
    }

    #[test]
    fn what_is_no_kind_is_refused() {
        for bytes in [
            &[][..],
            &[0x7f, 0, 0],
            &[0x84],
            &[0, 31, 0],
            &[0, 0],
            &[0, 0, 0x80],
        ] {
            assert_eq!(Kind::read(&mut Reader::new(bytes)), None, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_kind_is_read_back(kind in random::kind()) {
            let mut bytes = Vec::new();
            kind.push(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Kind::read(&mut reader), Some(kind));
            prop_assert!(reader.is_at_end());
        }
    }
}
