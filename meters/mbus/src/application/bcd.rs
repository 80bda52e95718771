//! Numbers in binary coded decimal (type A).

use model::Decimal;

use super::record::RecordError;

/// The digit that stands for a minus sign in front of all others.
const MINUS: u8 = 0xF;

/// Reads two digits a byte, least significant byte first; a leading `F` is a minus sign.
///
/// Any other digit above 9 marks an error of the meter and is never a number.
///
/// Spec: EN 13757-3:2018, annex A (type A) and annex B (error digits).
pub(super) fn decimal_of_bcd(data: &[u8]) -> Result<Decimal, RecordError> {
    let mut digits = data
        .iter()
        .rev()
        .flat_map(|byte| [byte >> 4, byte & 0x0F])
        .peekable();
    let negative = digits.next_if_eq(&MINUS).is_some();
    let mut number = 0i128;
    for found in digits {
        if found > 9 {
            return Err(RecordError::BcdDigit { found });
        }
        number = number
            .checked_mul(10)
            .and_then(|number| number.checked_add(found.into()))
            .ok_or(RecordError::Range)?;
    }
    Ok(Decimal::whole(if negative {
        number.saturating_neg()
    } else {
        number
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Result<i128, RecordError> {
        decimal_of_bcd(data).map(Decimal::mantissa)
    }

    #[test]
    fn digits_are_read_from_the_last_byte() {
        assert_eq!(read(&[0x13, 0x01]), Ok(113));
        assert_eq!(read(&[0x12, 0x90, 0x78, 0x56, 0x34, 0x12]), Ok(123_456_789_012));
    }

    #[test]
    fn leading_f_is_a_minus_sign() {
        assert_eq!(read(&[0x23, 0xF1]), Ok(-123));
        assert_eq!(read(&[0xF5]), Ok(-5));
    }

    #[test]
    fn error_digits_are_never_a_number() {
        for (data, found) in [
            (&[0xBD, 0xEB, 0xDD][..], 0xD),
            (&[0x12, 0xA3], 0xA),
            (&[0x1C, 0x00], 0xC),
            (&[0xFF, 0xFF], 0xF),
            (&[0x0F, 0x00], 0xF),
        ] {
            assert_eq!(read(data), Err(RecordError::BcdDigit { found }), "{data:02x?}");
        }
    }
}
