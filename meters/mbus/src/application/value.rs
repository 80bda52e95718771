//! Values: the codings of the data field.

use std::fmt;

use model::{Decimal, Quantity};

use super::bcd::decimal_of_bcd;
use super::date::{CivilDate, CivilTime};
use super::real::decimal_of_real;
use super::record::{Cursor, RecordError};
use super::vif::{Measurand, Scale, Vib};

/// The value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'f> {
    /// The record has no data.
    Nothing,
    /// A number in its normal unit, with the meter's own digits.
    Number {
        /// The number and its unit.
        quantity: Quantity,
        /// The meter sent an IEEE real; the digits are the shortest that read back as it.
        from_real: bool,
    },
    /// A date.
    Date(CivilDate),
    /// A date and the time of day.
    DateTime(CivilTime),
    /// A text.
    Text(Text<'f>),
    /// What the VIF or the coding leaves without a known meaning, as it was received.
    Raw(&'f [u8]),
}

/// A text as it stands on the wire: ISO 8859-1, the last character first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'f>(&'f [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0
            .iter()
            .rev()
            .try_for_each(|byte| formatter.write_char(char::from(*byte)))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Text({self})")
    }
}

/// How the data of a record is coded, by the data field of its DIF.
///
/// Spec: EN 13757-3:2018, section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Nothing,
    Integer,
    Real,
    Bcd,
    Text,
    /// Variable data of another kind, whose length is known.
    Variable,
}

impl Coding {
    /// Returns the coding and the length of the data; variable data has its length in front.
    pub(super) fn of(data_field: u8, cursor: &mut Cursor<'_>) -> Result<(Self, usize), RecordError> {
        Ok(match data_field {
            0x0 | 0x8 => (Self::Nothing, 0),
            0x1 => (Self::Integer, 1),
            0x2 => (Self::Integer, 2),
            0x3 => (Self::Integer, 3),
            0x4 => (Self::Integer, 4),
            0x5 => (Self::Real, 4),
            0x6 => (Self::Integer, 6),
            0x7 => (Self::Integer, 8),
            0x9 => (Self::Bcd, 1),
            0xA => (Self::Bcd, 2),
            0xB => (Self::Bcd, 3),
            0xC => (Self::Bcd, 4),
            0xE => (Self::Bcd, 6),
            _ => Self::of_variable(cursor.byte()?)?,
        })
    }

    /// Spec: EN 13757-3:2018, section 6 (LVAR).
    fn of_variable(length: u8) -> Result<(Self, usize), RecordError> {
        let above = |least: u8| usize::from(length.saturating_sub(least));
        match length {
            0x00..=0xBF => Ok((Self::Text, length.into())),
            0xC0..=0xC9 => Ok((Self::Variable, above(0xC0))),
            0xD0..=0xD9 => Ok((Self::Variable, above(0xD0))),
            0xE0..=0xEF => Ok((Self::Variable, above(0xE0))),
            0xF0..=0xF4 => Ok((Self::Variable, above(0xEC).saturating_mul(4))),
            0xF5 => Ok((Self::Variable, 48)),
            0xF6 => Ok((Self::Variable, 64)),
            found => Err(RecordError::ReservedLength { found }),
        }
    }
}

impl<'f> Value<'f> {
    pub(super) fn decode(coding: Coding, data: &'f [u8], vib: &Vib<'_>) -> Result<Self, RecordError> {
        match (coding, vib.measurand()) {
            (Coding::Nothing, _) => return Ok(Self::Nothing),
            (Coding::Text, _) => return Ok(Self::Text(Text(data))),
            (Coding::Integer, Measurand::Date) if data.len() == 2 => {
                return CivilDate::from_type_g(data).map(Self::Date);
            }
            (Coding::Integer, Measurand::DateTime) if data.len() == 4 => {
                return CivilTime::from_type_f(data).map(Self::DateTime);
            }
            _ => {}
        }
        let Some(scale) = vib.scale() else {
            return Ok(Self::Raw(data));
        };
        let digits = match coding {
            Coding::Integer => Decimal::whole(integer(data, scale.unsigned)?),
            Coding::Real => decimal_of_real(data.try_into().map_or(f32::NAN, f32::from_le_bytes))?,
            Coding::Bcd => decimal_of_bcd(data)?,
            Coding::Nothing | Coding::Text | Coding::Variable => return Ok(Self::Raw(data)),
        };
        let value = scaled(digits, scale).ok_or(RecordError::Range)?;
        Ok(Self::Number {
            quantity: Quantity {
                value,
                unit: scale.unit,
            },
            from_real: coding == Coding::Real,
        })
    }
}

fn scaled(digits: Decimal, scale: Scale) -> Option<Decimal> {
    let mantissa = digits.mantissa().checked_mul(scale.factor)?;
    Decimal::new(mantissa, digits.scaler())?.scaled_by(scale.power_of_ten)
}

/// Reads an integer of up to 8 bytes, least significant first: type B, or type C if `unsigned`.
///
/// The least number of type B stands for a value that is not available.
///
/// Spec: EN 13757-3:2018, annex A.
fn integer(data: &[u8], unsigned: bool) -> Result<i128, RecordError> {
    let magnitude = data
        .iter()
        .rev()
        .fold(0i128, |number, byte| number << 8 | i128::from(*byte));
    let bits = u32::try_from(data.len()).unwrap_or(0).saturating_mul(8);
    let sign = 1i128.checked_shl(bits.saturating_sub(1)).unwrap_or(0);
    if unsigned || magnitude < sign {
        return Ok(magnitude);
    }
    if magnitude == sign {
        return Err(RecordError::NotAvailable);
    }
    Ok(magnitude.saturating_sub(sign).saturating_sub(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_a_sign_and_a_value_for_none() {
        for (data, number) in [
            (&[0x05][..], 5),
            (&[0xFF], -1),
            (&[0x15, 0x31, 0x00], 12_565),
            (&[0xFE, 0xFF, 0xFF], -2),
            (&[0xFF, 0xFF, 0xFF, 0x7F], 2_147_483_647),
            (&[0x01, 0x00, 0x00, 0x00, 0x00, 0x80], -140_737_488_355_327),
            (&[0xFF; 8], -1),
        ] {
            assert_eq!(integer(data, false), Ok(number), "{data:02x?}");
        }
        assert_eq!(integer(&[0x00, 0x80], false), Err(RecordError::NotAvailable));
        assert_eq!(integer(&[0x00, 0x80], true), Ok(0x8000));
        assert_eq!(integer(&[0xFF; 8], true), Ok(i128::from(u64::MAX)));
    }

    #[test]
    fn texts_are_read_from_their_end() {
        assert_eq!(Text(&[0x33, 0xE4, 0x41]).to_string(), "Aä3");
    }

    #[test]
    fn lengths_of_variable_data_follow_their_ranges() {
        for (byte, coding, length) in [
            (0x00, Coding::Text, 0),
            (0xBF, Coding::Text, 191),
            (0xC9, Coding::Variable, 9),
            (0xD4, Coding::Variable, 4),
            (0xEF, Coding::Variable, 15),
            (0xF0, Coding::Variable, 16),
            (0xF4, Coding::Variable, 32),
            (0xF5, Coding::Variable, 48),
            (0xF6, Coding::Variable, 64),
        ] {
            assert_eq!(Coding::of_variable(byte), Ok((coding, length)), "{byte:#04x}");
        }
        for found in [0xCA, 0xDF, 0xF7, 0xFF] {
            assert_eq!(
                Coding::of_variable(found),
                Err(RecordError::ReservedLength { found })
            );
        }
    }
}
