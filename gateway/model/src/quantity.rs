//! Exact decimals with a unit: the meter's own digits, never a float.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::serde_as_text;

/// An exact decimal `mantissa × 10^scaler`, as the meter gave it.
///
/// `12.340` keeps its trailing zero: mantissa 12340, scaler -3. Two decimals are equal when their
/// digits and scalers are; [`Decimal::same_value`] compares by value. Text form: an optional
/// minus sign, digits, and a decimal point if the scaler is negative; a positive scaler is
/// written out with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i128,
    scaler: i8,
}

impl Decimal {
    /// The greatest absolute scaler, which bounds the length of the text form.
    pub const MAX_SCALER: u8 = 30;

    /// Builds the decimal, unless the scaler lies outside ±[`Decimal::MAX_SCALER`].
    #[must_use]
    pub const fn new(mantissa: i128, scaler: i8) -> Option<Self> {
        if scaler.unsigned_abs() > Self::MAX_SCALER {
            return None;
        }
        Some(Self { mantissa, scaler })
    }

    /// Builds a whole number (scaler 0).
    #[must_use]
    pub const fn whole(mantissa: i128) -> Self {
        Self { mantissa, scaler: 0 }
    }

    /// Returns the digits, with their sign.
    #[must_use]
    pub const fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// Returns the power of ten that the digits are multiplied by.
    #[must_use]
    pub const fn scaler(self) -> i8 {
        self.scaler
    }

    /// Multiplies by a power of ten, exactly; the digits stay as they are.
    ///
    /// Returns `None` if the new scaler lies outside ±[`Decimal::MAX_SCALER`].
    #[must_use]
    pub const fn scaled_by(self, power_of_ten: i8) -> Option<Self> {
        match self.scaler.checked_add(power_of_ten) {
            Some(scaler) => Self::new(self.mantissa, scaler),
            None => None,
        }
    }

    /// Returns the same value with the given scaler, if that needs no rounding and fits.
    #[must_use]
    pub fn rescaled(self, scaler: i8) -> Option<Self> {
        let shift = i16::from(self.scaler).checked_sub(i16::from(scaler))?;
        let factor = 10i128.checked_pow(u32::from(shift.unsigned_abs()))?;
        let mantissa = if shift >= 0 {
            self.mantissa.checked_mul(factor)?
        } else if self.mantissa.checked_rem(factor)? == 0 {
            self.mantissa.checked_div(factor)?
        } else {
            return None;
        };
        Self::new(mantissa, scaler)
    }

    /// Adds exactly, in the finer of the two scalers; `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let scaler = self.scaler.min(other.scaler);
        let sum = self
            .rescaled(scaler)?
            .mantissa
            .checked_add(other.rescaled(scaler)?.mantissa)?;
        Self::new(sum, scaler)
    }

    /// Subtracts exactly, in the finer of the two scalers; `None` on overflow.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let negative = Self::new(other.mantissa.checked_neg()?, other.scaler)?;
        self.checked_add(negative)
    }

    /// Compares the numbers, whatever their scalers; `None` if the coarser one does not fit the finer scaler.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        let scaler = self.scaler.min(other.scaler);
        Some(
            self.rescaled(scaler)?
                .mantissa
                .cmp(&other.rescaled(scaler)?.mantissa),
        )
    }

    /// Returns whether both stand for the same number, whatever their scalers.
    #[must_use]
    pub fn same_value(self, other: Self) -> bool {
        let scaler = self.scaler.min(other.scaler);
        match (self.rescaled(scaler), other.rescaled(scaler)) {
            (Some(one), Some(two)) => one == two,
            (one, two) => one.is_none() && two.is_none() && self == other,
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        let places = usize::from(self.scaler.unsigned_abs());
        let text = if self.scaler >= 0 {
            let zeros = if self.mantissa == 0 { 0 } else { places };
            format!("{digits}{}", "0".repeat(zeros))
        } else {
            let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
            let (whole, fraction) = padded.split_at(padded.len().saturating_sub(places));
            format!("{whole}.{fraction}")
        };
        formatter.pad_integral(self.mantissa >= 0, "", &text)
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let unsigned = whole.strip_prefix('-').unwrap_or(whole);
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let dangling_point = text.contains('.') && fraction.is_empty();
        if unsigned.is_empty() || dangling_point || !all_digits(unsigned) || !all_digits(fraction) {
            return Err(ParseDecimalError::Form);
        }
        let places = i8::try_from(fraction.len()).map_err(|_| ParseDecimalError::Range)?;
        let mantissa = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| ParseDecimalError::Range)?;
        Self::new(mantissa, places.saturating_neg()).ok_or(ParseDecimalError::Range)
    }
}

/// The reason why a text is no decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDecimalError {
    /// The text is not of the form `-12.340`.
    #[error("a decimal has the form -12.340")]
    Form,
    /// The number has too many digits.
    #[error("the decimal has more digits than this gateway keeps")]
    Range,
}

/// A unit of measurement.
///
/// The symbols are those of the text form: `m3` for cubic metre, `degC` for degree Celsius,
/// `1` for a number without unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the units' own")]
pub enum Unit {
    WattHour,
    VarHour,
    VoltAmpereHour,
    Joule,
    CubicMetre,
    Kilogram,
    Watt,
    Var,
    VoltAmpere,
    JoulePerHour,
    CubicMetrePerHour,
    KilogramPerHour,
    DegreeCelsius,
    Kelvin,
    Bar,
    Second,
    Volt,
    Ampere,
    Hertz,
    Degree,
    One,
}

impl Unit {
    /// Every unit, in the order of the enum.
    pub const ALL: [Self; 21] = [
        Self::WattHour,
        Self::VarHour,
        Self::VoltAmpereHour,
        Self::Joule,
        Self::CubicMetre,
        Self::Kilogram,
        Self::Watt,
        Self::Var,
        Self::VoltAmpere,
        Self::JoulePerHour,
        Self::CubicMetrePerHour,
        Self::KilogramPerHour,
        Self::DegreeCelsius,
        Self::Kelvin,
        Self::Bar,
        Self::Second,
        Self::Volt,
        Self::Ampere,
        Self::Hertz,
        Self::Degree,
        Self::One,
    ];

    /// Returns the symbol.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::WattHour => "Wh",
            Self::VarHour => "varh",
            Self::VoltAmpereHour => "VAh",
            Self::Joule => "J",
            Self::CubicMetre => "m3",
            Self::Kilogram => "kg",
            Self::Watt => "W",
            Self::Var => "var",
            Self::VoltAmpere => "VA",
            Self::JoulePerHour => "J/h",
            Self::CubicMetrePerHour => "m3/h",
            Self::KilogramPerHour => "kg/h",
            Self::DegreeCelsius => "degC",
            Self::Kelvin => "K",
            Self::Bar => "bar",
            Self::Second => "s",
            Self::Volt => "V",
            Self::Ampere => "A",
            Self::Hertz => "Hz",
            Self::Degree => "deg",
            Self::One => "1",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.symbol())
    }
}

impl FromStr for Unit {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.symbol() == text)
            .ok_or_else(|| ParseUnitError {
                symbol: text.to_owned(),
            })
    }
}

/// The error for a symbol that names no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{symbol:?} is not the symbol of a unit")]
pub struct ParseUnitError {
    /// The symbol that was given.
    pub symbol: String,
}

serde_as_text!(Decimal, Unit);

/// A measured quantity: an exact decimal and its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// The number.
    pub value: Decimal,
    /// What it counts.
    pub unit: Unit,
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.value, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(mantissa: i128, scaler: i8) -> Decimal {
        Decimal::new(mantissa, scaler).unwrap()
    }

    #[test]
    fn text_keeps_the_meters_own_digits() {
        for (value, text) in [
            (decimal(54321, -3), "54.321"),
            (decimal(-5, -3), "-0.005"),
            (decimal(12340, -3), "12.340"),
            (decimal(0, -2), "0.00"),
            (decimal(7, 0), "7"),
        ] {
            assert_eq!(value.to_string(), text);
            assert_eq!(text.parse(), Ok(value));
        }
        assert_eq!(decimal(12, 3).to_string(), "12000");
        assert_eq!(decimal(0, 3).to_string(), "0");
    }

    #[test]
    fn texts_that_are_no_decimals_are_refused() {
        for text in ["", "-", ".5", "5.", "1e3", "+1", "1,5", "--1", "1.-5"] {
            assert_eq!(text.parse::<Decimal>(), Err(ParseDecimalError::Form), "{text:?}");
        }
        assert_eq!("9".repeat(60).parse::<Decimal>(), Err(ParseDecimalError::Range));
        assert_eq!(
            format!("0.{}", "0".repeat(31)).parse::<Decimal>(),
            Err(ParseDecimalError::Range)
        );
    }

    #[test]
    fn scalers_are_bounded() {
        assert_eq!(Decimal::new(1, 31), None);
        assert_eq!(Decimal::new(1, i8::MIN), None);
        assert_eq!(decimal(1, 30).scaled_by(1), None);
        assert_eq!(decimal(5, -1).scaled_by(3), Decimal::new(5, 2));
    }

    #[test]
    fn rescaling_never_rounds() {
        assert_eq!(decimal(15, -1).rescaled(-3), Decimal::new(1500, -3));
        assert_eq!(decimal(1500, -3).rescaled(-1), Decimal::new(15, -1));
        assert_eq!(decimal(1501, -3).rescaled(-1), None);
        assert!(decimal(15, -1).same_value(decimal(150, -2)));
        assert!(!decimal(15, -1).same_value(decimal(151, -2)));
    }

    #[test]
    fn differences_have_a_sign_and_numbers_an_order() {
        let difference = decimal(15, -1).checked_sub(decimal(2, 0)).unwrap();
        assert_eq!(difference.to_string(), "-0.5");
        assert_eq!(decimal(15, -1).compare(decimal(150, -2)), Some(Ordering::Equal));
        assert_eq!(decimal(2, 0).compare(decimal(150, -2)), Some(Ordering::Greater));
        assert_eq!(decimal(i128::MAX, 30).compare(decimal(1, -30)), None);
        assert_eq!(decimal(0, 0).checked_sub(decimal(i128::MIN, 0)), None);
    }

    #[test]
    fn sums_are_exact_or_absent() {
        assert_eq!(
            decimal(15, -1).checked_add(decimal(5, -3)),
            Decimal::new(1505, -3)
        );
        assert_eq!(Decimal::whole(i128::MAX).checked_add(Decimal::whole(1)), None);
    }

    #[test]
    fn every_unit_reads_back_its_symbol() {
        for unit in Unit::ALL {
            assert_eq!(unit.symbol().parse(), Ok(unit));
        }
        let error = "kWh".parse::<Unit>().unwrap_err();
        assert_eq!(error.to_string(), "\"kWh\" is not the symbol of a unit");
    }

    proptest! {
        #[test]
        fn fractions_round_trip(mantissa: i128, scaler in -30i8..=0) {
            let value = decimal(mantissa, scaler);
            prop_assert_eq!(value.to_string().parse::<Decimal>(), Ok(value));
        }

        #[test]
        fn written_out_zeros_keep_the_value(mantissa in -1_000_000i128..1_000_000, scaler in 1i8..=20) {
            let value = decimal(mantissa, scaler);
            prop_assert!(value.same_value(value.to_string().parse().unwrap()));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            if let Ok(value) = text.parse::<Decimal>() {
                prop_assert_eq!(value.to_string().parse::<Decimal>(), Ok(value));
            }
        }
    }
}
