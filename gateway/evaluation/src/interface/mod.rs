//! The interface `smgw:tariff/1` between host and guest: two blobs, little-endian, every length checked.
//!
//! `gateway/apps/README.md` is the description for those who write applications, `gateway/apps/smgw-tariff-1.wit` the same
//! in WIT. [`Input`] writes the input blob and [`InputView`] reads its tables back, [`OutputView`] reads an output blob.

mod bytes;
mod given;
mod input;
mod output;

pub use given::GivenReading;
pub use input::{
    Channel, ChannelView, Input, InputError, InputReading, InputView, MAGIC as INPUT_MAGIC, Part, ViewError,
};
pub use output::{MAGIC as OUTPUT_MAGIC, OutputError, OutputView, Record};

use model::Unit;

/// The name of the interface, as manifests state it.
pub const NAME: &str = "smgw:tariff/1";
/// The version of the interface, as blobs and modules state it.
pub const VERSION: u16 = 1;
/// The namespace of the functions that the host offers.
pub const NAMESPACE: &str = "smgw1";

/// What is to be known about a reading besides its status, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// At least one point of the registration grid before this reading has no value.
    pub const GAP_BEFORE: Self = Self(1);
    /// The value was put in the place of one that is missing.
    pub const SUBSTITUTE: Self = Self(1 << 1);

    /// Builds the set from its bits.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns the union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Returns the code of a unit in the blobs.
///
/// `kg/h` has no code in the standard, which knows kg/s only; it has a private one.
///
/// Spec: DLMS UA Blue Book, the enumerated values for physical units.
#[must_use]
pub const fn unit_code(unit: Unit) -> u8 {
    match unit {
        Unit::Second => 7,
        Unit::Degree => 8,
        Unit::DegreeCelsius => 9,
        Unit::CubicMetre => 13,
        Unit::CubicMetrePerHour => 15,
        Unit::Kilogram => 20,
        Unit::Bar => 24,
        Unit::Joule => 25,
        Unit::JoulePerHour => 26,
        Unit::Watt => 27,
        Unit::VoltAmpere => 28,
        Unit::Var => 29,
        Unit::WattHour => 30,
        Unit::VoltAmpereHour => 31,
        Unit::VarHour => 32,
        Unit::Ampere => 33,
        Unit::Volt => 35,
        Unit::Hertz => 44,
        Unit::Kelvin => 52,
        Unit::KilogramPerHour => 200,
        Unit::One => 255,
    }
}

/// Returns the unit that a code in a blob stands for.
#[must_use]
pub fn unit_of(code: u8) -> Option<Unit> {
    Unit::ALL.into_iter().find(|unit| unit_code(*unit) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_a_code_of_its_own() {
        for unit in Unit::ALL {
            assert_eq!(unit_of(unit_code(unit)), Some(unit));
        }
        assert_eq!(unit_of(0), None);
    }

    #[test]
    fn flags_add_up() {
        let both = Flags::GAP_BEFORE.with(Flags::SUBSTITUTE);
        assert_eq!(both.bits(), 3);
        assert_eq!(Flags::from_bits(3), both);
    }
}
