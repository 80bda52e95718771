//! Numbers of variable length, as parts of rounds and chunks hold them.
//!
//! A number is written in groups of 7 bits, the least significant first; bit 7 of a byte says that
//! another one follows (LEB128). A signed number is folded first, so that small ones of either sign
//! stay short: 0, -1, 1, -2 become 0, 1, 2, 3.

/// The greatest number of bytes of a number of 128 bits.
const MAX_BYTES: u32 = 19;

/// The greatest number of bytes, and of their bits, that fit 64 bits.
const SHORT_BYTES: u32 = 9;
const SHORT_BITS: u32 = 63;

/// Appends an unsigned number.
pub(super) fn push(bytes: &mut Vec<u8>, number: u128) {
    let mut rest = number;
    for _ in 0..MAX_BYTES {
        let [group, ..] = rest.to_le_bytes();
        rest = rest.wrapping_shr(7);
        if rest == 0 {
            bytes.push(group & 0x7f);
            return;
        }
        bytes.push(group | 0x80);
    }
}

/// Appends a signed number.
pub(super) fn push_signed(bytes: &mut Vec<u8>, number: i128) {
    push(
        bytes,
        (number.wrapping_shl(1) ^ number.wrapping_shr(127)).cast_unsigned(),
    );
}

/// Bytes that are read from the front.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins at the front.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes one byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Takes an unsigned number; `None` if it has more than 128 bits or breaks off.
    pub(super) fn number(&mut self) -> Option<u128> {
        // Nearly all numbers are short: 9 groups fit 63 bits.
        let mut number = 0u64;
        let mut shift = 0u32;
        while shift < SHORT_BITS {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Some(u128::from(number));
            }
            shift = shift.saturating_add(7);
        }
        self.long_number(u128::from(number))
    }

    /// Takes what follows the first 63 bits of a number.
    fn long_number(&mut self, low: u128) -> Option<u128> {
        let mut number = low;
        for index in SHORT_BYTES..MAX_BYTES {
            let byte = self.byte()?;
            let shift = index.checked_mul(7)?;
            let group = u128::from(byte & 0x7f);
            let shifted = group.checked_shl(shift)?;
            if shifted.checked_shr(shift) != Some(group) {
                return None;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Takes a number that counts something in memory.
    pub(super) fn count(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    /// Takes a signed number.
    pub(super) fn signed(&mut self) -> Option<i128> {
        let folded = self.number()?;
        let magnitude = folded.wrapping_shr(1).cast_signed();
        Some(if folded & 1 == 0 { magnitude } else { !magnitude })
    }

    /// Returns whether everything has been taken.
    pub(super) const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_numbers_of_either_sign_take_one_byte() {
        for (number, byte) in [(0, 0), (-1, 1), (1, 2), (-2, 3), (63, 126), (-64, 127)] {
            let mut bytes = Vec::new();
            push_signed(&mut bytes, number);
            assert_eq!(bytes, [byte], "{number}");
        }
        let mut bytes = Vec::new();
        push(&mut bytes, 300);
        assert_eq!(bytes, [0xac, 0x02]);
    }

    #[test]
    fn what_breaks_off_or_is_too_long_is_no_number() {
        assert_eq!(Reader::new(&[0x80]).number(), None);
        assert_eq!(Reader::new(&[0xff; 30]).number(), None);
        let mut greatest = vec![0xff; 18];
        greatest.push(0x03);
        assert_eq!(Reader::new(&greatest).number(), Some(u128::MAX));
        greatest[18] = 0x04;
        assert_eq!(Reader::new(&greatest).number(), None);
        assert_eq!(Reader::new(&greatest).byte(), Some(0xff));
    }

    proptest! {
        #[test]
        fn any_number_is_read_back(unsigned: u128, signed: i128) {
            let mut bytes = Vec::new();
            push(&mut bytes, unsigned);
            push_signed(&mut bytes, signed);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.number(), Some(unsigned));
            prop_assert_eq!(reader.signed(), Some(signed));
            prop_assert!(reader.is_at_end());
        }
    }
}
