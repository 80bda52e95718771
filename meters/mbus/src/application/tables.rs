//! The VIF tables: what each code measures, in what unit and with what power of ten.

use model::Unit as Model;

use super::measurand::Measurand;
use super::unit::{Base, Unit};

/// What turns the digits of a record into a number in the normal unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) unit: Unit,
    pub(super) power_of_ten: i8,
    pub(super) factor: Factor,
    /// The integer is of type C (unsigned) or D (bits): there is no sign and no invalid value.
    pub(super) unsigned: bool,
}

/// What digits are multiplied by if the meter counts in minutes, hours, days, feet or gallons.
///
/// It is a byte and no number because a scale is copied with each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    /// The meter counts in the normal unit, or in a power of ten of it.
    One,
    /// The seconds of a minute, and the minutes of an hour.
    Sixty,
    /// The seconds of an hour.
    Hour,
    /// The seconds of a day.
    Day,
    /// Cubic feet in units of 10^-12 m3: the international foot is 0.3048 m.
    CubicFoot,
    /// Gallons of the United States in units of 10^-12 m3: one is 231 cubic inches.
    Gallon,
    /// Gallons a minute in units of 10^-12 m3 an hour.
    GallonPerMinute,
}

impl Factor {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::One => 1,
            Self::Sixty => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::CubicFoot => 28_316_846_592,
            Self::Gallon => 3_785_411_784,
            Self::GallonPerMinute => 227_124_707_040,
        }
    }
}

/// How the data of a record is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A number in the unit of the scale.
    Scaled(Scale),
    /// A date, a time, or both, as the length of the data says.
    Date,
    /// A number, text or container whose unit is not known.
    Plain,
}

/// A row of a table.
pub(super) type Meaning = (Measurand, Form);

const UNKNOWN: Meaning = (Measurand::Unknown, Form::Plain);

/// The rows of the primary table, made while the program is built.
static PRIMARY: [Meaning; 128] = {
    let mut rows = [UNKNOWN; 128];
    let mut rest: &mut [Meaning] = &mut rows;
    let mut vif = 0u8;
    while let [row, behind @ ..] = rest {
        *row = primary_row(vif);
        rest = behind;
        vif = vif.saturating_add(1);
    }
    rows
};

/// Returns the row of a primary VIF, whatever its extension bit.
#[inline]
pub(super) fn primary(vif: u8) -> Meaning {
    let place = usize::from(vif & 0x7F);
    PRIMARY.get(place).copied().unwrap_or(UNKNOWN)
}

/// Primary VIFs, `E000 0000` to `E111 1111`.
///
/// Spec: EN 13757-3:2018, table 10.
const fn primary_row(vif: u8) -> Meaning {
    use Measurand as M;
    let eighth = vif & 0x07;
    let quarter = vif & 0x03;
    match vif & 0x7F {
        0x00..=0x07 => (M::Energy, scaled(Model::WattHour, eighth, -3)),
        0x08..=0x0F => (M::Energy, scaled(Model::Joule, eighth, 0)),
        0x10..=0x17 => (M::Volume, scaled(Model::CubicMetre, eighth, -6)),
        0x18..=0x1F => (M::Mass, scaled(Model::Kilogram, eighth, -3)),
        0x20..=0x23 => (M::OnTime, duration(quarter)),
        0x24..=0x27 => (M::OperatingTime, duration(quarter)),
        0x28..=0x2F => (M::Power, scaled(Model::Watt, eighth, -3)),
        0x30..=0x37 => (M::Power, scaled(Model::JoulePerHour, eighth, 0)),
        0x38..=0x3F => (M::VolumeFlow, scaled(Model::CubicMetrePerHour, eighth, -6)),
        0x40..=0x47 => (
            M::VolumeFlow,
            converted(Model::CubicMetrePerHour, eighth, -7, Factor::Sixty),
        ),
        0x48..=0x4F => (
            M::VolumeFlow,
            converted(Model::CubicMetrePerHour, eighth, -9, Factor::Hour),
        ),
        0x50..=0x57 => (M::MassFlow, scaled(Model::KilogramPerHour, eighth, -3)),
        0x58..=0x5B => (M::FlowTemperature, scaled(Model::DegreeCelsius, quarter, -3)),
        0x5C..=0x5F => (M::ReturnTemperature, scaled(Model::DegreeCelsius, quarter, -3)),
        0x60..=0x63 => (M::TemperatureDifference, scaled(Model::Kelvin, quarter, -3)),
        0x64..=0x67 => (M::ExternalTemperature, scaled(Model::DegreeCelsius, quarter, -3)),
        0x68..=0x6B => (M::Pressure, scaled(Model::Bar, quarter, -3)),
        0x6C => (M::Date, Form::Date),
        0x6D => (M::DateTime, Form::Date),
        0x6E => (M::HeatCostAllocation, scaled(Model::One, 0, 0)),
        0x70..=0x73 => (M::AveragingDuration, duration(quarter)),
        0x74..=0x77 => (M::ActualityDuration, duration(quarter)),
        0x78 => (M::FabricationNumber, unsigned()),
        0x79 => (M::EnhancedIdentification, unsigned()),
        0x7A => (M::BusAddress, unsigned()),
        0x7E => (M::Any, Form::Plain),
        0x7F => (M::ManufacturerSpecific, Form::Plain),
        _ => UNKNOWN,
    }
}

/// VIFs behind `FB`.
///
/// The feet and gallons of older editions are kept, since meters with them are still on the wall.
///
/// Spec: EN 13757-3:2018, table 14; EN 13757-3:2004, table 12 (gallons, degrees Fahrenheit).
pub(super) fn extension_fb(vif: u8) -> Meaning {
    use Measurand as M;
    let half = vif & 0x01;
    let quarter = vif & 0x03;
    let eighth = vif & 0x07;
    match vif & 0x7F {
        0x00..=0x01 => (M::Energy, scaled(Model::WattHour, half, 5)),
        0x02..=0x03 => (M::ReactiveEnergy, scaled(Model::VarHour, half, 3)),
        0x04..=0x05 => (M::ApparentEnergy, scaled(Model::VoltAmpereHour, half, 3)),
        0x06 => (M::CoefficientOfPerformance, scaled(Model::One, 0, -1)),
        0x08..=0x09 => (M::Energy, scaled(Model::Joule, half, 8)),
        0x0C..=0x0F => (M::Energy, other(Base::Calorie, quarter, 5)),
        0x10..=0x11 => (M::Volume, scaled(Model::CubicMetre, half, 2)),
        0x14..=0x17 => (M::ReactivePower, scaled(Model::Var, quarter, 0)),
        0x18..=0x19 => (M::Mass, scaled(Model::Kilogram, half, 5)),
        0x1A..=0x1B => (M::RelativeHumidity, other(Base::Percent, half, -1)),
        0x20 => (M::Volume, converted(Model::CubicMetre, 0, -12, Factor::CubicFoot)),
        0x21 => (M::Volume, converted(Model::CubicMetre, 0, -13, Factor::CubicFoot)),
        0x22 => (M::Volume, converted(Model::CubicMetre, 0, -13, Factor::Gallon)),
        0x23 => (M::Volume, converted(Model::CubicMetre, 0, -12, Factor::Gallon)),
        0x24 => (M::VolumeFlow, gallons_per_minute(-15)),
        0x25 => (M::VolumeFlow, gallons_per_minute(-12)),
        0x26 => (
            M::VolumeFlow,
            converted(Model::CubicMetrePerHour, 0, -12, Factor::Gallon),
        ),
        0x28..=0x29 => (M::Power, scaled(Model::Watt, half, 5)),
        0x2A => (M::PhaseVoltageToVoltage, scaled(Model::Degree, 0, -1)),
        0x2B => (M::PhaseVoltageToCurrent, scaled(Model::Degree, 0, -1)),
        0x2C..=0x2F => (M::Frequency, scaled(Model::Hertz, quarter, -3)),
        0x30..=0x31 => (M::Power, scaled(Model::JoulePerHour, half, 8)),
        0x34..=0x37 => (M::ApparentPower, scaled(Model::VoltAmpere, quarter, 0)),
        0x58..=0x5B => (M::FlowTemperature, other(Base::Fahrenheit, quarter, -3)),
        0x5C..=0x5F => (M::ReturnTemperature, other(Base::Fahrenheit, quarter, -3)),
        0x60..=0x63 => (M::TemperatureDifference, other(Base::Fahrenheit, quarter, -3)),
        0x64..=0x67 => (M::ExternalTemperature, other(Base::Fahrenheit, quarter, -3)),
        0x68 => (M::ResultingRatingFactor, scaled(Model::One, 0, 0)),
        0x69 => (M::ThermalOutputRatingFactor, scaled(Model::One, 0, 0)),
        0x6A => (M::ThermalCouplingFactor, scaled(Model::One, 0, 0)),
        0x6B => (M::ThermalCouplingFactorRoom, scaled(Model::One, 0, 0)),
        0x6C => (M::ThermalCouplingFactorHeater, scaled(Model::One, 0, 0)),
        0x6D => (M::LowTemperatureFactor, scaled(Model::One, 0, 0)),
        0x6E => (M::DisplayScalingFactor, scaled(Model::One, 0, 0)),
        0x70..=0x73 => (M::TemperatureLimit, other(Base::Fahrenheit, quarter, -3)),
        0x74..=0x77 => (M::TemperatureLimit, scaled(Model::DegreeCelsius, quarter, -3)),
        0x78..=0x7F => (M::CumulativeMaximumPower, scaled(Model::Watt, eighth, -3)),
        _ => UNKNOWN,
    }
}

/// VIFs behind `FD`.
///
/// Spec: EN 13757-3:2018, table 12.
pub(super) fn extension_fd(vif: u8) -> Meaning {
    use Measurand as M;
    let quarter = vif & 0x03;
    let sixteenth = vif & 0x0F;
    match vif & 0x7F {
        0x00..=0x03 => (M::Credit, other(Base::Currency, quarter, -3)),
        0x04..=0x07 => (M::Debit, other(Base::Currency, quarter, -3)),
        code @ 0x08..=0x1B => administrative(code),
        0x1C => (M::BaudRate, other(Base::Baud, 0, 0)),
        0x1D => (M::ResponseDelay, other(Base::BitTime, 0, 0)),
        0x1E => (M::Retry, unsigned()),
        0x1F => (M::RemoteControl, unsigned()),
        0x20 => (M::FirstStorage, unsigned()),
        0x21 => (M::LastStorage, unsigned()),
        0x22 => (M::StorageBlockSize, unsigned()),
        0x23 => (M::TariffDescriptor, unsigned()),
        0x24..=0x27 => (M::StorageInterval, duration(quarter)),
        0x28 => (M::StorageInterval, other(Base::Month, 0, 0)),
        0x29 => (M::StorageInterval, other(Base::Year, 0, 0)),
        0x2A => (M::OperatorSpecific, Form::Plain),
        0x2B => (M::SecondOfTimePoint, duration(0)),
        0x2C..=0x2F => (M::DurationSinceReadout, duration(quarter)),
        0x30 => (M::TariffStart, Form::Date),
        0x31..=0x33 => (M::TariffDuration, duration(quarter)),
        0x34..=0x37 => (M::TariffPeriod, duration(quarter)),
        0x38 => (M::TariffPeriod, other(Base::Month, 0, 0)),
        0x39 => (M::TariffPeriod, other(Base::Year, 0, 0)),
        0x3A => (M::Dimensionless, scaled(Model::One, 0, 0)),
        0x3B => (M::WirelessContainer, Form::Plain),
        0x3C..=0x3F => (M::TransmissionPeriod, duration(quarter)),
        0x40..=0x4F => (M::Voltage, scaled(Model::Volt, sixteenth, -9)),
        0x50..=0x5F => (M::Current, scaled(Model::Ampere, sixteenth, -12)),
        0x60 => (M::ResetCounter, unsigned()),
        0x61 => (M::CumulationCounter, unsigned()),
        0x62 => (M::ControlSignal, unsigned()),
        0x63 => (M::DayOfWeek, unsigned()),
        0x64 => (M::WeekNumber, unsigned()),
        0x65 => (M::TimeOfDayChange, Form::Plain),
        0x66 => (M::ParameterActivation, unsigned()),
        0x67 => (M::SupplierInformation, Form::Plain),
        0x68..=0x6B => (M::DurationSinceCumulation, long_duration(quarter)),
        0x6C..=0x6F => (M::BatteryOperatingTime, long_duration(quarter)),
        0x70 => (M::BatteryChange, Form::Date),
        0x71 => (M::ReceptionLevel, other(Base::DecibelMilliwatt, 0, 0)),
        0x72 => (M::DaylightSaving, Form::Plain),
        0x73 => (M::ListeningWindow, Form::Plain),
        0x74 => (M::BatteryRemaining, duration(3)),
        0x75 => (M::StopCounter, unsigned()),
        0x76 => (M::MakersContainer, Form::Plain),
        _ => UNKNOWN,
    }
}

/// `FD 08` to `FD 1B`: identification, access and flags.
fn administrative(vif: u8) -> Meaning {
    use Measurand as M;
    let measurand = match vif {
        0x08 => M::AccessNumber,
        0x09 => M::DeviceType,
        0x0A => M::Manufacturer,
        0x0B => M::ParameterSet,
        0x0C => M::ModelVersion,
        0x0D => M::HardwareVersion,
        0x0E => M::FirmwareVersion,
        0x0F => M::SoftwareVersion,
        0x10 => M::CustomerLocation,
        0x11 => M::Customer,
        0x12 => M::AccessCodeUser,
        0x13 => M::AccessCodeOperator,
        0x14 => M::AccessCodeSystemOperator,
        0x15 => M::AccessCodeDeveloper,
        0x16 => M::Password,
        0x17 => M::ErrorFlags,
        0x18 => M::ErrorMask,
        0x19 => M::SecurityKey,
        0x1A => M::DigitalOutput,
        0x1B => M::DigitalInput,
        _ => M::Unknown,
    };
    (measurand, unsigned())
}

/// VIFs behind `FD FD`.
///
/// Spec: EN 13757-3:2018, table 13.
pub(super) fn extension_fd_fd(vif: u8) -> Meaning {
    use Measurand as M;
    match vif & 0x7F {
        0x00 => (M::SelectedApplication, unsigned()),
        0x02 => (M::BatteryRemaining, other(Base::Month, 0, 0)),
        0x03 => (M::BatteryRemaining, other(Base::Year, 0, 0)),
        0x3E => (M::MoistureLevel, other(Base::Percent, 0, 0)),
        _ => UNKNOWN,
    }
}

const fn form(base: Base, step: u8, least_power: i8, factor: Factor) -> Form {
    Form::Scaled(Scale {
        unit: Unit::new(base),
        power_of_ten: least_power.saturating_add_unsigned(step),
        factor,
        unsigned: false,
    })
}

const fn scaled(unit: Model, step: u8, least_power: i8) -> Form {
    form(Base::Model(unit), step, least_power, Factor::One)
}

const fn converted(unit: Model, step: u8, least_power: i8, factor: Factor) -> Form {
    form(Base::Model(unit), step, least_power, factor)
}

const fn other(base: Base, step: u8, least_power: i8) -> Form {
    form(base, step, least_power, Factor::One)
}

const fn gallons_per_minute(power: i8) -> Form {
    form(
        Base::Model(Model::CubicMetrePerHour),
        0,
        power,
        Factor::GallonPerMinute,
    )
}

/// A number without unit and without sign.
pub(super) const fn unsigned() -> Form {
    Form::Scaled(Scale {
        unit: Unit::new(Base::Model(Model::One)),
        power_of_ten: 0,
        factor: Factor::One,
        unsigned: true,
    })
}

/// A number in a unit that the meter writes out.
pub(super) const fn written_out() -> Form {
    form(Base::WrittenOut, 0, 0, Factor::One)
}

/// Seconds, minutes, hours, days.
pub(super) const fn duration(step: u8) -> Form {
    let factor = match step {
        0 => Factor::One,
        1 => Factor::Sixty,
        2 => Factor::Hour,
        _ => Factor::Day,
    };
    form(Base::Model(Model::Second), 0, 0, factor)
}

/// Hours, days, months, years.
const fn long_duration(step: u8) -> Form {
    match step {
        0 => duration(2),
        1 => duration(3),
        2 => form(Base::Month, 0, 0, Factor::One),
        _ => form(Base::Year, 0, 0, Factor::One),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row((measurand, form): Meaning) -> String {
        match form {
            Form::Scaled(Scale {
                unit,
                power_of_ten,
                factor,
                ..
            }) => format!("{} {}e{power_of_ten} {unit}", measurand.words(), factor.number()),
            Form::Date => format!("{} date", measurand.words()),
            Form::Plain => format!("{} plain", measurand.words()),
        }
    }

    fn check(table: fn(u8) -> Meaning, rows: &[(u8, &str)]) {
        for (vif, expected) in rows {
            assert_eq!(row(table(*vif)), *expected, "{vif:#04x}");
        }
    }

    /// First and last VIF of each row of the standard's tables, here and below.
    #[test]
    fn primary_table_is_that_of_the_standard() {
        check(
            primary,
            &[
                (0x00, "energy 1e-3 Wh"),
                (0x07, "energy 1e4 Wh"),
                (0x08, "energy 1e0 J"),
                (0x0F, "energy 1e7 J"),
                (0x10, "volume 1e-6 m3"),
                (0x17, "volume 1e1 m3"),
                (0x18, "mass 1e-3 kg"),
                (0x1F, "mass 1e4 kg"),
                (0x20, "on time 1e0 s"),
                (0x23, "on time 86400e0 s"),
                (0x25, "operating time 60e0 s"),
                (0x26, "operating time 3600e0 s"),
                (0x28, "power 1e-3 W"),
                (0x2F, "power 1e4 W"),
                (0x30, "power 1e0 J/h"),
                (0x37, "power 1e7 J/h"),
                (0x38, "volume flow 1e-6 m3/h"),
                (0x3F, "volume flow 1e1 m3/h"),
                (0x40, "volume flow 60e-7 m3/h"),
                (0x47, "volume flow 60e0 m3/h"),
                (0x48, "volume flow 3600e-9 m3/h"),
                (0x4F, "volume flow 3600e-2 m3/h"),
                (0x50, "mass flow 1e-3 kg/h"),
                (0x57, "mass flow 1e4 kg/h"),
                (0x58, "flow temperature 1e-3 degC"),
                (0x5B, "flow temperature 1e0 degC"),
                (0x5C, "return temperature 1e-3 degC"),
                (0x5F, "return temperature 1e0 degC"),
                (0x60, "temperature difference 1e-3 K"),
                (0x63, "temperature difference 1e0 K"),
                (0x64, "external temperature 1e-3 degC"),
                (0x67, "external temperature 1e0 degC"),
                (0x68, "pressure 1e-3 bar"),
                (0x6B, "pressure 1e0 bar"),
                (0x6C, "date date"),
                (0x6D, "date and time date"),
                (0x6E, "heat cost allocation 1e0 1"),
                (0x6F, "unknown plain"),
                (0x71, "averaging duration 60e0 s"),
                (0x77, "actuality duration 86400e0 s"),
                (0x78, "fabrication number 1e0 1"),
                (0x79, "enhanced identification 1e0 1"),
                (0x7A, "bus address 1e0 1"),
                (0x7E, "any plain"),
                (0x7F, "manufacturer specific plain"),
            ],
        );
    }

    #[test]
    fn alternate_extension_is_that_of_the_standard() {
        check(
            extension_fb,
            &[
                (0x00, "energy 1e5 Wh"),
                (0x01, "energy 1e6 Wh"),
                (0x02, "reactive energy 1e3 varh"),
                (0x05, "apparent energy 1e4 VAh"),
                (0x06, "coefficient of performance 1e-1 1"),
                (0x07, "unknown plain"),
                (0x08, "energy 1e8 J"),
                (0x09, "energy 1e9 J"),
                (0x0C, "energy 1e5 cal"),
                (0x0F, "energy 1e8 cal"),
                (0x10, "volume 1e2 m3"),
                (0x11, "volume 1e3 m3"),
                (0x14, "reactive power 1e0 var"),
                (0x17, "reactive power 1e3 var"),
                (0x18, "mass 1e5 kg"),
                (0x19, "mass 1e6 kg"),
                (0x1A, "relative humidity 1e-1 %"),
                (0x1B, "relative humidity 1e0 %"),
                (0x20, "volume 28316846592e-12 m3"),
                (0x21, "volume 28316846592e-13 m3"),
                (0x23, "volume 3785411784e-12 m3"),
                (0x25, "volume flow 227124707040e-12 m3/h"),
                (0x28, "power 1e5 W"),
                (0x29, "power 1e6 W"),
                (0x2A, "phase angle of voltage to voltage 1e-1 deg"),
                (0x2B, "phase angle of voltage to current 1e-1 deg"),
                (0x2C, "frequency 1e-3 Hz"),
                (0x2F, "frequency 1e0 Hz"),
                (0x30, "power 1e8 J/h"),
                (0x31, "power 1e9 J/h"),
                (0x34, "apparent power 1e0 VA"),
                (0x37, "apparent power 1e3 VA"),
                (0x58, "flow temperature 1e-3 degF"),
                (0x67, "external temperature 1e0 degF"),
                (0x68, "resulting rating factor 1e0 1"),
                (0x6E, "display output scaling factor 1e0 1"),
                (0x70, "cold or warm temperature limit 1e-3 degF"),
                (0x77, "cold or warm temperature limit 1e0 degC"),
                (0x78, "cumulative maximum of active power 1e-3 W"),
                (0x7F, "cumulative maximum of active power 1e4 W"),
            ],
        );
    }

    #[test]
    fn main_extension_is_that_of_the_standard() {
        check(
            extension_fd,
            &[
                (0x00, "credit 1e-3 currency"),
                (0x07, "debit 1e0 currency"),
                (0x08, "access number 1e0 1"),
                (0x0C, "model or version 1e0 1"),
                (0x0E, "firmware version 1e0 1"),
                (0x10, "customer location 1e0 1"),
                (0x17, "error flags 1e0 1"),
                (0x1B, "digital input 1e0 1"),
                (0x1C, "baud rate 1e0 Bd"),
                (0x1D, "response delay time 1e0 bit time"),
                (0x22, "size of storage block 1e0 1"),
                (0x24, "storage interval 1e0 s"),
                (0x27, "storage interval 86400e0 s"),
                (0x28, "storage interval 1e0 month"),
                (0x29, "storage interval 1e0 year"),
                (0x2F, "duration since last readout 86400e0 s"),
                (0x30, "start of tariff date"),
                (0x31, "duration of tariff 60e0 s"),
                (0x33, "duration of tariff 86400e0 s"),
                (0x34, "period of tariff 1e0 s"),
                (0x39, "period of tariff 1e0 year"),
                (0x3A, "dimensionless 1e0 1"),
                (0x3B, "data container for wireless M-Bus plain"),
                (0x40, "voltage 1e-9 V"),
                (0x4F, "voltage 1e6 V"),
                (0x50, "current 1e-12 A"),
                (0x5F, "current 1e3 A"),
                (0x60, "reset counter 1e0 1"),
                (0x67, "special supplier information plain"),
                (0x68, "duration since last cumulation 3600e0 s"),
                (0x6B, "duration since last cumulation 1e0 year"),
                (0x6C, "operating time of battery 3600e0 s"),
                (0x6E, "operating time of battery 1e0 month"),
                (0x70, "date and time of battery change date"),
                (0x71, "reception level 1e0 dBm"),
                (0x74, "remaining battery life time 86400e0 s"),
                (0x76, "data container for manufacturer specific protocol plain"),
                (0x7F, "unknown plain"),
            ],
        );
        check(
            extension_fd_fd,
            &[
                (0x00, "currently selected application 1e0 1"),
                (0x02, "remaining battery life time 1e0 month"),
                (0x03, "remaining battery life time 1e0 year"),
                (0x3E, "moisture level 1e0 %"),
                (0x3F, "unknown plain"),
            ],
        );
    }
}
