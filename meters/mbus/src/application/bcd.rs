//! Numbers in binary coded decimal (type A).

use super::fault::RecordError;

/// The digit that stands for a minus sign in front of all others.
const MINUS: u8 = 0xF;
/// The most bytes of a number, 18 digits: those of the longest LVAR.
const MAX_BYTES: usize = 9;

/// Reads two digits a byte, the most significant byte first; a leading `F` is a minus sign.
///
/// Any other digit above 9 marks an error of the meter and is never a number.
///
/// Spec: EN 13757-3:2018, annex A (type A) and annex B (error digits).
#[inline]
pub(super) fn number_of_bcd<'b>(bytes: impl ExactSizeIterator<Item = &'b u8>) -> Result<i64, RecordError> {
    if bytes.len() > MAX_BYTES {
        return Err(RecordError::Range);
    }
    let mut number = 0u64;
    let mut negative = false;
    let mut is_first = true;
    for byte in bytes {
        let mut high = byte >> 4;
        let low = byte & 0x0F;
        if is_first && high == MINUS {
            negative = true;
            high = 0;
        }
        is_first = false;
        if high > 9 || low > 9 {
            return Err(RecordError::BcdDigit {
                found: if high > 9 { high } else { low },
            });
        }
        // 18 digits fit: neither the product nor the sum can wrap.
        let pair = u64::from(high).wrapping_mul(10).wrapping_add(u64::from(low));
        number = number.wrapping_mul(100).wrapping_add(pair);
    }
    let number = number.cast_signed();
    Ok(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Result<i64, RecordError> {
        number_of_bcd(data.iter().rev())
    }

    #[test]
    fn digits_are_read_from_the_last_byte() {
        assert_eq!(read(&[0x13, 0x01]), Ok(113));
        assert_eq!(read(&[0x12, 0x90, 0x78, 0x56, 0x34, 0x12]), Ok(123_456_789_012));
        assert_eq!(read(&[0x99; 9]), Ok(999_999_999_999_999_999));
        assert_eq!(read(&[0x00; 10]), Err(RecordError::Range));
        assert_eq!(read(&[]), Ok(0));
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
            (&[0xFE], 0xE),
        ] {
            assert_eq!(read(data), Err(RecordError::BcdDigit { found }), "{data:02x?}");
        }
    }
}
