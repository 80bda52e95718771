//! IEEE reals: the one place where a float is read, at once into a decimal.

use std::fmt::{self, Write as _};

use model::Decimal;

use super::fault::RecordError;

/// Returns the shortest decimal that reads back as the same real.
///
/// # Errors
///
/// [`RecordError::NotFinite`] for an infinity or no number, [`RecordError::Range`] for one whose
/// decimal has a scaler outside ±[`Decimal::MAX_SCALER`].
///
/// Spec: EN 13757-3:2018, annex A (type H, IEEE 754 binary32).
pub fn decimal_of_real(real: f32) -> Result<Decimal, RecordError> {
    if !real.is_finite() {
        return Err(RecordError::NotFinite);
    }
    let mut digits = Scientific::default();
    // The library's exponent form has the fewest digits that read back as the same real.
    write!(digits, "{real:e}").map_err(|_| RecordError::Range)?;
    digits.decimal().ok_or(RecordError::Range)
}

/// Reads `-1.25e-3` while it is written, so that no text needs to be kept.
#[derive(Default)]
struct Scientific {
    negative: bool,
    mantissa: i64,
    places: i8,
    exponent: i8,
    exponent_negative: bool,
    part: Part,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Part {
    #[default]
    Whole,
    Fraction,
    Exponent,
}

impl Scientific {
    fn take(&mut self, character: u8) -> Option<()> {
        match (character, self.part) {
            (b'-', Part::Exponent) => self.exponent_negative = true,
            (b'-', _) => self.negative = true,
            (b'.', _) => self.part = Part::Fraction,
            (b'e', _) => self.part = Part::Exponent,
            (digit, Part::Exponent) => {
                let digit = digit_of(digit)?.cast_signed();
                self.exponent = self.exponent.checked_mul(10)?.checked_add(digit)?;
            }
            (digit, part) => {
                let digit = digit_of(digit)?.into();
                self.mantissa = self.mantissa.checked_mul(10)?.checked_add(digit)?;
                if part == Part::Fraction {
                    self.places = self.places.checked_add(1)?;
                }
            }
        }
        Some(())
    }

    fn decimal(&self) -> Option<Decimal> {
        let signed = |negative: bool, value: i8| {
            if negative {
                value.checked_neg()
            } else {
                Some(value)
            }
        };
        let mantissa = if self.negative {
            self.mantissa.checked_neg()?
        } else {
            self.mantissa
        };
        let exponent = signed(self.exponent_negative, self.exponent)?;
        Decimal::new(mantissa.into(), exponent.checked_sub(self.places)?)
    }
}

fn digit_of(character: u8) -> Option<u8> {
    character.checked_sub(b'0').filter(|digit| *digit <= 9)
}

impl fmt::Write for Scientific {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes()
            .try_for_each(|character| self.take(character).ok_or(fmt::Error))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reals_keep_their_shortest_digits() {
        for (real, mantissa, scaler) in [
            (0.1, 1, -1),
            (21.5, 215, -1),
            (-4711.234, -4_711_234, -3),
            (1000.0, 1, 3),
            (0.0, 0, 0),
            (16_777_216.0, 16_777_216, 0),
        ] {
            assert_eq!(
                decimal_of_real(real),
                Ok(Decimal::new(mantissa, scaler).unwrap()),
                "{real}"
            );
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for real in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(decimal_of_real(real), Err(RecordError::NotFinite));
        }
        for real in [f32::MIN_POSITIVE, 1e38] {
            assert_eq!(decimal_of_real(real), Err(RecordError::Range));
        }
    }

    proptest! {
        #[test]
        fn each_decimal_reads_back_as_the_same_real(bits: u32) {
            let real = f32::from_bits(bits);
            if let Ok(decimal) = decimal_of_real(real) {
                prop_assert_eq!(decimal.to_string().parse::<f32>().unwrap(), real);
            }
        }
    }
}
