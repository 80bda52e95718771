//! Texts: the characters of LVAR data and of plain text units.

use std::fmt;

/// A text of a meter, in the order in which it is read.
///
/// The characters are UTF-8 if the bytes are, and ISO 8859-1 if not. Control characters are left
/// out: meters fill up with zeros.
///
/// Spec: EN 13757-3:2018, section 6 (LVAR), annex A.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'f> {
    bytes: &'f [u8],
    last_first: bool,
}

/// Where the letters of a plain text unit stand within its value information block.
///
/// It is small because it is copied with each record, and few records have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Letters {
    pub(super) start: u8,
    pub(super) length: u8,
    pub(super) last_first: bool,
}

impl Letters {
    /// Returns the text, of the block that the place was found in.
    pub(super) fn of(self, block: &[u8]) -> Option<Text<'_>> {
        let letters = block.get(self.start.into()..)?.get(..self.length.into())?;
        Some(Text::new(letters, self.last_first))
    }
}

/// A text is at most this long: 191 bytes by its LVAR, and 255 as a unit.
const MAX_LENGTH: usize = 255;

impl<'f> Text<'f> {
    /// Takes the bytes as they stand on the wire; in the usual byte order the last character comes first.
    pub(super) const fn new(bytes: &'f [u8], last_first: bool) -> Self {
        Self { bytes, last_first }
    }

    /// Returns the bytes as they stand on the wire.
    #[must_use]
    pub const fn wire(&self) -> &'f [u8] {
        self.bytes
    }

    /// Returns whether there are bytes that no text has: other control characters than zeros, which fill
    /// up, and those that part words and lines.
    pub(super) fn is_binary(&self) -> bool {
        self.bytes
            .iter()
            .any(|byte| matches!(byte, 0x01..=0x08 | 0x0B | 0x0C | 0x0E..=0x1F | 0x7F))
    }

    /// Returns whether every byte is one that can be seen or is a blank.
    pub(super) fn is_printable(&self) -> bool {
        self.bytes
            .iter()
            .all(|byte| (0x20..0x7F).contains(byte) || *byte >= 0xA0)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        let mut buffer = [0; MAX_LENGTH];
        let mut length = 0usize;
        let mut put = |byte: u8| {
            if let Some(place) = buffer.get_mut(length) {
                *place = byte;
                length = length.saturating_add(1);
            }
        };
        if self.last_first {
            self.bytes.iter().rev().for_each(|byte| put(*byte));
        } else {
            self.bytes.iter().for_each(|byte| put(*byte));
        }
        let ordered = buffer.get(..length).unwrap_or(&[]);
        let mut write = |character: char| {
            if character.is_control() {
                Ok(())
            } else {
                formatter.write_char(character)
            }
        };
        match std::str::from_utf8(ordered) {
            Ok(text) => text.chars().try_for_each(&mut write),
            Err(_) => ordered.iter().try_for_each(|byte| write(char::from(*byte))),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Text({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_from_their_end_unless_the_order_is_the_other() {
        assert_eq!(Text::new(&[0x33, 0xE4, 0x41], true).to_string(), "Aä3");
        assert_eq!(Text::new(&[0x41, 0xE4, 0x33], false).to_string(), "Aä3");
        assert_eq!(Text::new(&[0xA4, 0xC3, 0x41], true).to_string(), "Aä");
        assert_eq!(Text::new(&[0, 0x42, 0x41, 0], true).to_string(), "AB");
        assert_eq!(Text::new(&[b'x'; 300], true).to_string().len(), 255);
    }

    #[test]
    fn control_characters_are_not_printable() {
        assert!(Text::new(b"HR%", true).is_printable());
        assert!(!Text::new(&[0x03, 0x41], true).is_printable());
        assert!(Text::new(&[0x03, 0x41], true).is_binary());
        assert!(!Text::new(&[0x00, 0x0D, 0x0A, 0x41, 0xE4], true).is_binary());
    }
}
