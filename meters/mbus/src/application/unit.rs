//! Units: those of the model, and what meters count in besides.

use std::fmt;

/// The unit of a record's number.
///
/// Text form: the symbol of the unit, and that of what it is divided or multiplied by, as in `m3/d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unit {
    base: Base,
    ratio: Option<Ratio>,
}

/// A unit without what an orthogonal VIFE divides or multiplies it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// A unit in which this gateway keeps readings.
    Model(model::Unit),
    /// Calendar months, which have no length in seconds.
    Month,
    /// Calendar years, which have no length in seconds.
    Year,
    /// Hundredths.
    Percent,
    /// Calories; which of several the standard does not say, so that they are no joules.
    Calorie,
    /// Degrees Fahrenheit, which are no finite decimal of degrees Celsius.
    Fahrenheit,
    /// The legal currency where the meter stands.
    Currency,
    /// The time of one bit on the bus.
    BitTime,
    /// Bits per second.
    Baud,
    /// Decibels over one milliwatt.
    DecibelMilliwatt,
    /// What the meter wrote out as text beside the VIF.
    WrittenOut,
}

impl Base {
    /// Returns the symbol; that of a unit which the meter wrote out is empty.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Model(unit) => unit.symbol(),
            Self::Month => "month",
            Self::Year => "year",
            Self::Percent => "%",
            Self::Calorie => "cal",
            Self::Fahrenheit => "degF",
            Self::Currency => "currency",
            Self::BitTime => "bit time",
            Self::Baud => "Bd",
            Self::DecibelMilliwatt => "dBm",
            Self::WrittenOut => "",
        }
    }
}

/// What an orthogonal VIFE divides or multiplies a unit by, by the VIFE.
///
/// Spec: EN 13757-3:2018, table 15 (`E010 0000` to `E011 1000`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ratio(u8);

impl Ratio {
    /// Returns the ratio that the VIFE, without its extension bit, stands for.
    pub(super) const fn of(vife: u8) -> Option<Self> {
        match vife {
            0x20..=0x38 => Some(Self(vife)),
            _ => None,
        }
    }

    /// Returns the symbol with its operator in front.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self.0 {
            0x20 => "/s",
            0x21 => "/min",
            0x22 => "/h",
            0x23 => "/d",
            0x24 => "/week",
            0x25 => "/month",
            0x26 => "/year",
            0x27 => "/revolution",
            0x28 | 0x29 => "/input pulse",
            0x2A | 0x2B => "/output pulse",
            0x2C => "/l",
            0x2D => "/m3",
            0x2E => "/kg",
            0x2F => "/K",
            0x30 => "/kWh",
            0x31 => "/GJ",
            0x32 => "/kW",
            0x33 => "/(K.l)",
            0x34 => "/V",
            0x35 => "/A",
            0x36 => ".s",
            0x37 => ".s/V",
            _ => ".s/A",
        }
    }
}

impl Unit {
    /// Builds a unit without ratio.
    pub(super) const fn new(base: Base) -> Self {
        Self { base, ratio: None }
    }

    /// Divides or multiplies the unit; a flow that has a unit of its own gets that.
    ///
    /// Of two ratios the last one counts: the standard has no record with two.
    pub(super) const fn with(self, ratio: Ratio) -> Self {
        const PER_HOUR: u8 = 0x22;
        let flow = match (self.base, self.ratio, ratio.0) {
            (Base::Model(model::Unit::CubicMetre), None, PER_HOUR) => model::Unit::CubicMetrePerHour,
            (Base::Model(model::Unit::Kilogram), None, PER_HOUR) => model::Unit::KilogramPerHour,
            (Base::Model(model::Unit::Joule), None, PER_HOUR) => model::Unit::JoulePerHour,
            (Base::Model(model::Unit::WattHour), None, PER_HOUR) => model::Unit::Watt,
            _ => {
                return Self {
                    base: self.base,
                    ratio: Some(ratio),
                };
            }
        };
        Self::new(Base::Model(flow))
    }

    /// Returns the unit without its ratio.
    #[must_use]
    pub const fn base(self) -> Base {
        self.base
    }

    /// Returns what the unit is divided or multiplied by.
    #[must_use]
    pub const fn ratio(self) -> Option<Ratio> {
        self.ratio
    }

    /// Returns the unit of the model, if it is one.
    #[must_use]
    pub const fn of_model(self) -> Option<model::Unit> {
        match self {
            Self {
                base: Base::Model(unit),
                ratio: None,
            } => Some(unit),
            _ => None,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.base.symbol())?;
        self.ratio
            .map_or(Ok(()), |ratio| formatter.write_str(ratio.symbol()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_have_units_of_their_own_and_other_ratios_are_written_out() {
        let per = |base, vife| Unit::new(base).with(Ratio::of(vife).unwrap()).to_string();
        assert_eq!(per(Base::Model(model::Unit::CubicMetre), 0x22), "m3/h");
        assert_eq!(per(Base::Model(model::Unit::WattHour), 0x22), "W");
        assert_eq!(per(Base::Model(model::Unit::CubicMetre), 0x23), "m3/d");
        assert_eq!(per(Base::Model(model::Unit::Ampere), 0x38), "A.s/A");
        assert_eq!(Unit::new(Base::Month).to_string(), "month");
        assert_eq!(Unit::new(Base::Month).of_model(), None);
    }

    #[test]
    fn only_ratios_of_the_table_are_taken() {
        for vife in 0..=0x7F {
            assert_eq!(
                Ratio::of(vife).is_some(),
                (0x20..=0x38).contains(&vife),
                "{vife:#04x}"
            );
        }
    }
}
