//! Value information: what is measured, and in what unit.

use model::Unit;

const EXTENSION: u8 = 0x80;
/// VIF behind which a VIF of the table "FD" stands.
const FD_TABLE: u8 = 0xFD;

/// The value information block of a record: its VIF and VIFEs, as bytes and with their meaning.
///
/// Spec: EN 13757-3:2018, section 6 (primary VIFs, table FD).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vib<'f> {
    bytes: &'f [u8],
    measurand: Measurand,
    scale: Option<Scale>,
}

/// What a record measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measurand {
    /// Energy, in Wh or J.
    Energy,
    /// Volume, in m3.
    Volume,
    /// Mass, in kg.
    Mass,
    /// Time since the meter was switched on, in s.
    OnTime,
    /// Time during which the meter has worked, in s.
    OperatingTime,
    /// Power, in W or J/h.
    Power,
    /// Flow of volume, in m3/h.
    VolumeFlow,
    /// Flow of mass, in kg/h.
    MassFlow,
    /// Temperature of the flow, in degC.
    FlowTemperature,
    /// Temperature of the return, in degC.
    ReturnTemperature,
    /// Difference of both, in K.
    TemperatureDifference,
    /// Temperature outside, in degC.
    ExternalTemperature,
    /// Pressure, in bar.
    Pressure,
    /// A date.
    Date,
    /// A date and the time of day.
    DateTime,
    /// Units of a heat cost allocator.
    HeatCostAllocation,
    /// Time over which a value is averaged, in s.
    AveragingDuration,
    /// Age of a value, in s.
    ActualityDuration,
    /// The number that the factory gave.
    FabricationNumber,
    /// Identification beyond that of the header.
    EnhancedIdentification,
    /// Primary address.
    BusAddress,
    /// Error flags, as bits.
    ErrorFlags,
    /// Something else; the bytes of the block tell what.
    Unknown,
}

/// What turns the digits of a record into a number in the normal unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) unit: Unit,
    pub(super) power_of_ten: i8,
    /// 1, unless the meter counts in minutes, hours or days.
    pub(super) factor: i128,
    /// The integer is of type C (unsigned) or D (bits): there is no sign and no invalid value.
    pub(super) unsigned: bool,
}

impl<'f> Vib<'f> {
    /// Reads the block; any other than those of the tables is [`Measurand::Unknown`].
    pub(super) fn of(bytes: &'f [u8]) -> Self {
        let (measurand, scale) = match *bytes {
            [vif] => primary(vif),
            [FD_TABLE, vif] => extension_fd(vif),
            // VIFEs change what is measured, so that the plain meaning would be a wrong one.
            _ => (Measurand::Unknown, None),
        };
        Self {
            bytes,
            measurand,
            scale,
        }
    }

    /// Returns the bytes: VIF, VIFEs, and the text of a plain text unit with its length.
    #[must_use]
    pub const fn bytes(&self) -> &'f [u8] {
        self.bytes
    }

    /// Returns what is measured.
    #[must_use]
    pub const fn measurand(&self) -> Measurand {
        self.measurand
    }

    /// Returns the unit that numbers of the record are given in, if it holds numbers.
    #[must_use]
    pub fn unit(&self) -> Option<Unit> {
        self.scale.map(|scale| scale.unit)
    }

    pub(super) const fn scale(&self) -> Option<Scale> {
        self.scale
    }
}

/// Primary VIFs, `E000 0000` to `E111 1111`.
fn primary(vif: u8) -> (Measurand, Option<Scale>) {
    let eighth = vif & 0x07;
    let quarter = vif & 0x03;
    match vif & !EXTENSION {
        0x00..=0x07 => (Measurand::Energy, decimal(Unit::WattHour, eighth, -3)),
        0x08..=0x0F => (Measurand::Energy, decimal(Unit::Joule, eighth, 0)),
        0x10..=0x17 => (Measurand::Volume, decimal(Unit::CubicMetre, eighth, -6)),
        0x18..=0x1F => (Measurand::Mass, decimal(Unit::Kilogram, eighth, -3)),
        0x20..=0x23 => (Measurand::OnTime, duration(quarter)),
        0x24..=0x27 => (Measurand::OperatingTime, duration(quarter)),
        0x28..=0x2F => (Measurand::Power, decimal(Unit::Watt, eighth, -3)),
        0x30..=0x37 => (Measurand::Power, decimal(Unit::JoulePerHour, eighth, 0)),
        0x38..=0x3F => (
            Measurand::VolumeFlow,
            decimal(Unit::CubicMetrePerHour, eighth, -6),
        ),
        0x40..=0x47 => (
            Measurand::VolumeFlow,
            per_hour(decimal(Unit::CubicMetrePerHour, eighth, -7), 60),
        ),
        0x48..=0x4F => (
            Measurand::VolumeFlow,
            per_hour(decimal(Unit::CubicMetrePerHour, eighth, -9), 3600),
        ),
        0x50..=0x57 => (Measurand::MassFlow, decimal(Unit::KilogramPerHour, eighth, -3)),
        0x58..=0x5B => (
            Measurand::FlowTemperature,
            decimal(Unit::DegreeCelsius, quarter, -3),
        ),
        0x5C..=0x5F => (
            Measurand::ReturnTemperature,
            decimal(Unit::DegreeCelsius, quarter, -3),
        ),
        0x60..=0x63 => (
            Measurand::TemperatureDifference,
            decimal(Unit::Kelvin, quarter, -3),
        ),
        0x64..=0x67 => (
            Measurand::ExternalTemperature,
            decimal(Unit::DegreeCelsius, quarter, -3),
        ),
        0x68..=0x6B => (Measurand::Pressure, decimal(Unit::Bar, quarter, -3)),
        0x6C => (Measurand::Date, None),
        0x6D => (Measurand::DateTime, None),
        0x6E => (Measurand::HeatCostAllocation, decimal(Unit::One, 0, 0)),
        0x70..=0x73 => (Measurand::AveragingDuration, duration(quarter)),
        0x74..=0x77 => (Measurand::ActualityDuration, duration(quarter)),
        0x78 => (Measurand::FabricationNumber, unsigned()),
        0x79 => (Measurand::EnhancedIdentification, unsigned()),
        0x7A => (Measurand::BusAddress, unsigned()),
        _ => (Measurand::Unknown, None),
    }
}

/// VIFs behind `FD`.
fn extension_fd(vif: u8) -> (Measurand, Option<Scale>) {
    match vif {
        0x17 => (Measurand::ErrorFlags, unsigned()),
        _ => (Measurand::Unknown, None),
    }
}

fn decimal(unit: Unit, step: u8, least_power: i8) -> Option<Scale> {
    Some(Scale {
        unit,
        power_of_ten: least_power.saturating_add_unsigned(step),
        factor: 1,
        unsigned: false,
    })
}

fn unsigned() -> Option<Scale> {
    decimal(Unit::One, 0, 0).map(|scale| Scale {
        unsigned: true,
        ..scale
    })
}

fn per_hour(scale: Option<Scale>, factor: i128) -> Option<Scale> {
    scale.map(|scale| Scale { factor, ..scale })
}

/// Seconds, minutes, hours, days.
fn duration(step: u8) -> Option<Scale> {
    let factor = match step {
        0 => 1,
        1 => 60,
        2 => 3600,
        _ => 86_400,
    };
    per_hour(decimal(Unit::Second, 0, 0), factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale_of(bytes: &[u8]) -> Option<(Measurand, Unit, i8, i128)> {
        let vib = Vib::of(bytes);
        let scale = vib.scale()?;
        Some((vib.measurand(), scale.unit, scale.power_of_ten, scale.factor))
    }

    /// First and last VIF of each row of the standard's table.
    #[test]
    fn primary_table_is_that_of_the_standard() {
        for (vif, measurand, unit, power, factor) in [
            (0x00, Measurand::Energy, Unit::WattHour, -3, 1),
            (0x07, Measurand::Energy, Unit::WattHour, 4, 1),
            (0x08, Measurand::Energy, Unit::Joule, 0, 1),
            (0x0F, Measurand::Energy, Unit::Joule, 7, 1),
            (0x10, Measurand::Volume, Unit::CubicMetre, -6, 1),
            (0x17, Measurand::Volume, Unit::CubicMetre, 1, 1),
            (0x18, Measurand::Mass, Unit::Kilogram, -3, 1),
            (0x1F, Measurand::Mass, Unit::Kilogram, 4, 1),
            (0x20, Measurand::OnTime, Unit::Second, 0, 1),
            (0x23, Measurand::OnTime, Unit::Second, 0, 86_400),
            (0x25, Measurand::OperatingTime, Unit::Second, 0, 60),
            (0x26, Measurand::OperatingTime, Unit::Second, 0, 3600),
            (0x28, Measurand::Power, Unit::Watt, -3, 1),
            (0x2F, Measurand::Power, Unit::Watt, 4, 1),
            (0x30, Measurand::Power, Unit::JoulePerHour, 0, 1),
            (0x37, Measurand::Power, Unit::JoulePerHour, 7, 1),
            (0x38, Measurand::VolumeFlow, Unit::CubicMetrePerHour, -6, 1),
            (0x3F, Measurand::VolumeFlow, Unit::CubicMetrePerHour, 1, 1),
            (0x40, Measurand::VolumeFlow, Unit::CubicMetrePerHour, -7, 60),
            (0x4F, Measurand::VolumeFlow, Unit::CubicMetrePerHour, -2, 3600),
            (0x50, Measurand::MassFlow, Unit::KilogramPerHour, -3, 1),
            (0x57, Measurand::MassFlow, Unit::KilogramPerHour, 4, 1),
            (0x58, Measurand::FlowTemperature, Unit::DegreeCelsius, -3, 1),
            (0x5B, Measurand::FlowTemperature, Unit::DegreeCelsius, 0, 1),
            (0x5C, Measurand::ReturnTemperature, Unit::DegreeCelsius, -3, 1),
            (0x5F, Measurand::ReturnTemperature, Unit::DegreeCelsius, 0, 1),
            (0x60, Measurand::TemperatureDifference, Unit::Kelvin, -3, 1),
            (0x63, Measurand::TemperatureDifference, Unit::Kelvin, 0, 1),
            (0x64, Measurand::ExternalTemperature, Unit::DegreeCelsius, -3, 1),
            (0x6B, Measurand::Pressure, Unit::Bar, 0, 1),
            (0x6E, Measurand::HeatCostAllocation, Unit::One, 0, 1),
            (0x71, Measurand::AveragingDuration, Unit::Second, 0, 60),
            (0x74, Measurand::ActualityDuration, Unit::Second, 0, 1),
            (0x78, Measurand::FabricationNumber, Unit::One, 0, 1),
            (0x79, Measurand::EnhancedIdentification, Unit::One, 0, 1),
            (0x7A, Measurand::BusAddress, Unit::One, 0, 1),
        ] {
            assert_eq!(
                scale_of(&[vif]),
                Some((measurand, unit, power, factor)),
                "{vif:#04x}"
            );
        }
        assert_eq!(Vib::of(&[0x6C]).measurand(), Measurand::Date);
        assert_eq!(Vib::of(&[0x6D]).measurand(), Measurand::DateTime);
        assert_eq!(
            scale_of(&[0xFD, 0x17]),
            Some((Measurand::ErrorFlags, Unit::One, 0, 1))
        );
    }

    #[test]
    fn unknown_information_keeps_its_bytes() {
        for bytes in [
            &[][..],
            &[0x6F],
            &[0x7F],
            &[0x93, 0x3E],
            &[0xFD, 0x3A],
            &[0xFD, 0x97, 0x1D],
            &[0xFB, 0x00],
        ] {
            let vib = Vib::of(bytes);
            assert_eq!(
                (vib.measurand(), vib.unit(), vib.bytes()),
                (Measurand::Unknown, None, bytes)
            );
        }
    }
}
