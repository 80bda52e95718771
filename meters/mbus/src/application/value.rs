//! Values: the codings of the data field.

use model::Decimal;

use super::bcd::number_of_bcd;
use super::date::{CivilDate, CivilTime, TimeOfDay};
use super::fault::RecordError;
use super::real::decimal_of_real;
use super::tables::{Factor, Form, Scale};
use super::text::Text;
use super::unit::Unit;
use super::vib::Vib;

/// The value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'f> {
    /// The record has no data.
    Nothing,
    /// A number with the meter's own digits.
    Number {
        /// The number, in its normal unit if that is known.
        value: Decimal,
        /// The unit; `None` if the VIF leaves it unknown, so that the number is as the meter sent it.
        unit: Option<Unit>,
        /// The meter sent an IEEE real; the digits are the shortest that read back as it.
        from_real: bool,
    },
    /// A date.
    Date(CivilDate),
    /// A date and the time of day.
    DateTime(CivilTime),
    /// A time of day.
    Time(TimeOfDay),
    /// A text.
    Text(Text<'f>),
    /// A container, a binary number of more than 15 bytes or a text that is none, as it was received.
    Raw(&'f [u8]),
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
    /// A BCD number of LVAR that is negative by its length byte.
    NegativeBcd,
    /// A binary number of LVAR.
    Binary,
}

/// The order of the bytes within a number, and of the letters within a text.
///
/// Spec: EN 13757-3:2018, section 5 (CI field: modes 1 and 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Mode 1, the usual one.
    LeastFirst,
    /// Mode 2, of older meters (CI `76` and `77`).
    MostFirst,
}

/// The longest number in bytes, so that a decimal can hold it; longer ones are raw.
const MAX_NUMBER: usize = 15;

/// The codings by the data field of the DIF, and the lengths of their data.
///
/// Spec: EN 13757-3:2018, section 6 (data field).
static CODINGS: [Option<(Coding, u8)>; 16] = [
    Some((Coding::Nothing, 0)),
    Some((Coding::Integer, 1)),
    Some((Coding::Integer, 2)),
    Some((Coding::Integer, 3)),
    Some((Coding::Integer, 4)),
    Some((Coding::Real, 4)),
    Some((Coding::Integer, 6)),
    Some((Coding::Integer, 8)),
    // Selection for readout.
    Some((Coding::Nothing, 0)),
    Some((Coding::Bcd, 1)),
    Some((Coding::Bcd, 2)),
    Some((Coding::Bcd, 3)),
    Some((Coding::Bcd, 4)),
    // Variable length.
    None,
    Some((Coding::Bcd, 6)),
    // Special functions.
    None,
];

impl Coding {
    /// Returns the coding and the length of the data; `None` for variable data and the special DIFs.
    #[inline]
    pub(super) fn of(dif: u8) -> Option<(Self, usize)> {
        let (coding, length) = (*CODINGS.get(usize::from(dif & 0x0F))?)?;
        Some((coding, length.into()))
    }

    /// Returns the coding and the length of variable data, by its length byte.
    ///
    /// Spec: EN 13757-3:2018, section 6 (LVAR).
    pub(super) fn of_variable(length: u8) -> Result<(Self, usize), RecordError> {
        let above = |least: u8| usize::from(length.saturating_sub(least));
        match length {
            0x00..=0xBF => Ok((Self::Text, length.into())),
            0xC0..=0xC9 => Ok((Self::Bcd, above(0xC0))),
            0xD0..=0xD9 => Ok((Self::NegativeBcd, above(0xD0))),
            0xE0..=0xEF => Ok((Self::Binary, above(0xE0))),
            0xF0..=0xF4 => Ok((Self::Binary, above(0xEC).saturating_mul(4))),
            0xF5 => Ok((Self::Binary, 48)),
            0xF6 => Ok((Self::Binary, 64)),
            0xF8 => Ok((Self::Real, 4)),
            found => Err(RecordError::ReservedLength { found }),
        }
    }
}

impl<'f> Value<'f> {
    #[inline(always)]
    pub(super) fn decode(
        coding: Coding,
        data: &'f [u8],
        order: ByteOrder,
        vib: &Vib<'_>,
    ) -> Result<Self, RecordError> {
        match vib.reported_error() {
            0 => {}
            code => return Err(RecordError::Reported { code }),
        }
        match coding {
            Coding::Nothing => return Ok(Self::Nothing),
            Coding::Text => return Self::text(data, order, vib.form()),
            _ if data.len() > MAX_NUMBER => return Ok(Self::Raw(data)),
            _ => {}
        }
        let mut turned;
        let bytes = match order {
            ByteOrder::LeastFirst => data,
            ByteOrder::MostFirst => {
                turned = [0; MAX_NUMBER];
                for (place, byte) in turned.iter_mut().zip(data.iter().rev()) {
                    *place = *byte;
                }
                turned.get(..data.len()).unwrap_or(&[])
            }
        };
        match vib.form() {
            Form::Date => Self::date(coding, bytes),
            Form::Plain if coding == Coding::Binary => Ok(Self::Raw(data)),
            Form::Plain => {
                let value = number(coding, bytes, Sign::Plain)?;
                Ok(Self::Number {
                    value,
                    unit: None,
                    from_real: coding == Coding::Real,
                })
            }
            Form::Scaled(scale) => Self::scaled(coding, bytes, scale, vib.offset()),
        }
    }

    /// Reads a text; makers send bytes of their own in this coding too, which are left as they are.
    ///
    /// What is no text in the place of a date is one of type M, which is not read.
    fn text(data: &'f [u8], order: ByteOrder, form: Form) -> Result<Self, RecordError> {
        let text = Text::new(data, order == ByteOrder::LeastFirst);
        if form == Form::Date && !text.is_printable() {
            return Err(RecordError::DateCoding);
        }
        Ok(if text.is_binary() {
            Self::Raw(data)
        } else {
            Self::Text(text)
        })
    }

    fn scaled(coding: Coding, bytes: &[u8], scale: Scale, offset: Option<i8>) -> Result<Self, RecordError> {
        let sign = if scale.unsigned {
            Sign::Unsigned
        } else {
            Sign::Signed
        };
        if let (Coding::Integer | Coding::Bcd, Factor::One, None) = (coding, scale.factor, offset) {
            let mantissa = match coding {
                Coding::Integer => integer(bytes, sign)?,
                _ => number_of_bcd(bytes.iter().rev())?.into(),
            };
            return Ok(Self::Number {
                value: Decimal::new(mantissa, scale.power_of_ten).ok_or(RecordError::Range)?,
                unit: Some(scale.unit),
                from_real: false,
            });
        }
        let digits = number(coding, bytes, sign)?;
        let mantissa = match scale.factor {
            Factor::One => digits.mantissa(),
            factor => digits
                .mantissa()
                .checked_mul(factor.number().into())
                .ok_or(RecordError::Range)?,
        };
        let scaler = digits.scaler().saturating_add(scale.power_of_ten);
        let mut value = Decimal::new(mantissa, scaler).ok_or(RecordError::Range)?;
        if let Some(power) = offset {
            value = Decimal::new(1, power)
                .and_then(|constant| value.checked_add(constant))
                .ok_or(RecordError::Range)?;
        }
        Ok(Self::Number {
            value,
            unit: Some(scale.unit),
            from_real: coding == Coding::Real,
        })
    }

    /// Reads a date, whose type follows from the length of the data.
    ///
    /// Spec: EN 13757-3:2018, table 10 (VIFs `6C`, `6D`) and annex A (types F, G, I, J).
    fn date(coding: Coding, bytes: &[u8]) -> Result<Self, RecordError> {
        match (coding, bytes.len()) {
            (Coding::Integer, 2) => CivilDate::from_type_g(bytes).map(Self::Date),
            (Coding::Integer, 3) => TimeOfDay::from_type_j(bytes).map(Self::Time),
            (Coding::Integer, 4) => CivilTime::from_type_f(bytes).map(Self::DateTime),
            (Coding::Integer, 6) => CivilTime::from_type_i(bytes).map(Self::DateTime),
            _ => Err(RecordError::DateCoding),
        }
    }
}

/// What the highest bit of an integer means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Type B: a sign, and the least number stands for a value that is not available.
    Signed,
    /// Types C and D: nothing but a further bit.
    Unsigned,
    /// A sign; of a number without known meaning nothing is known to be invalid.
    Plain,
}

#[inline(always)]
fn number(coding: Coding, bytes: &[u8], sign: Sign) -> Result<Decimal, RecordError> {
    Ok(match coding {
        Coding::Integer | Coding::Binary => Decimal::whole(integer(bytes, sign)?),
        Coding::Real => decimal_of_real(bytes.try_into().map_or(f32::NAN, f32::from_le_bytes))?,
        Coding::Bcd => Decimal::whole(number_of_bcd(bytes.iter().rev())?.into()),
        Coding::NegativeBcd => {
            Decimal::whole(i128::from(number_of_bcd(bytes.iter().rev())?).saturating_neg())
        }
        Coding::Nothing | Coding::Text => return Err(RecordError::Range),
    })
}

/// Reads an integer of up to 15 bytes, least significant first: type B, or type C if unsigned.
///
/// Spec: EN 13757-3:2018, annex A.
#[inline(always)]
fn integer(data: &[u8], sign: Sign) -> Result<i128, RecordError> {
    // The usual lengths first, in the arithmetic of the machine.
    match *data {
        [a] => return small(a.cast_signed().into(), i8::MIN.into(), a.into(), sign),
        [a, b] => {
            let bytes = [a, b];
            let number = i16::from_le_bytes(bytes).into();
            return small(number, i16::MIN.into(), u16::from_le_bytes(bytes).into(), sign);
        }
        [a, b, c, d] => {
            let bytes = [a, b, c, d];
            let number = i32::from_le_bytes(bytes);
            return small(number, i32::MIN, u32::from_le_bytes(bytes), sign);
        }
        _ => {}
    }
    let mut magnitude = 0i128;
    for byte in data.iter().rev() {
        magnitude = magnitude << 8 | i128::from(*byte);
    }
    let bits = u32::try_from(data.len()).unwrap_or(0).saturating_mul(8);
    let highest = 1i128.checked_shl(bits.saturating_sub(1)).unwrap_or(0);
    if sign == Sign::Unsigned || magnitude < highest || data.is_empty() {
        return Ok(magnitude);
    }
    if sign == Sign::Signed && magnitude == highest {
        return Err(RecordError::NotAvailable);
    }
    Ok(magnitude.saturating_sub(highest).saturating_sub(highest))
}

#[inline(always)]
fn small(number: i32, least: i32, unsigned: u32, sign: Sign) -> Result<i128, RecordError> {
    match sign {
        Sign::Unsigned => Ok(unsigned.into()),
        Sign::Signed if number == least => Err(RecordError::NotAvailable),
        Sign::Signed | Sign::Plain => Ok(number.into()),
    }
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
            (&[0x01, 0x00, 0x00, 0x80], -2_147_483_647),
            (&[0x01, 0x00, 0x00, 0x00, 0x00, 0x80], -140_737_488_355_327),
            (&[0xFF; 8], -1),
            (&[0xFF; 15], -1),
            (&[], 0),
        ] {
            assert_eq!(integer(data, Sign::Signed), Ok(number), "{data:02x?}");
        }
        for data in [&[0x00, 0x80][..], &[0x00, 0x00, 0x00, 0x80]] {
            assert_eq!(integer(data, Sign::Signed), Err(RecordError::NotAvailable));
            assert!(integer(data, Sign::Plain).unwrap() < 0);
            assert!(integer(data, Sign::Unsigned).unwrap() > 0);
        }
        assert_eq!(integer(&[0xFF; 8], Sign::Unsigned), Ok(i128::from(u64::MAX)));
        assert_eq!(integer(&[0xFF; 4], Sign::Unsigned), Ok(i128::from(u32::MAX)));
    }

    #[test]
    fn lengths_of_variable_data_follow_their_ranges() {
        for (byte, coding, length) in [
            (0x00, Coding::Text, 0),
            (0xBF, Coding::Text, 191),
            (0xC0, Coding::Bcd, 0),
            (0xC9, Coding::Bcd, 9),
            (0xD4, Coding::NegativeBcd, 4),
            (0xEF, Coding::Binary, 15),
            (0xF0, Coding::Binary, 16),
            (0xF4, Coding::Binary, 32),
            (0xF5, Coding::Binary, 48),
            (0xF6, Coding::Binary, 64),
            (0xF8, Coding::Real, 4),
        ] {
            assert_eq!(Coding::of_variable(byte), Ok((coding, length)), "{byte:#04x}");
        }
        for found in [0xCA, 0xDF, 0xF7, 0xF9, 0xFF] {
            assert_eq!(
                Coding::of_variable(found),
                Err(RecordError::ReservedLength { found })
            );
        }
    }
}
