//! The fonts that every reader of PDF has, how wide their characters are, and which characters they have.
//!
//! Spec: ISO 32000-1, 9.6.2.2 (the standard 14 fonts) and annex D.2 (WinAnsiEncoding). The widths are those of the fonts'
//! metrics, which Nimbus Sans shares.

/// A font.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    /// Helvetica.
    Plain,
    /// Helvetica Bold.
    Bold,
    /// Courier, for what is compared character by character.
    Fixed,
}

impl Font {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Bold, Self::Fixed];

    /// Returns its name in PDF, and the one that a page's resources give it.
    pub(super) const fn names(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Plain => (b"Helvetica", b"F1"),
            Self::Bold => (b"Helvetica-Bold", b"F2"),
            Self::Fixed => (b"Courier", b"F3"),
        }
    }

    /// Returns how wide encoded text is, in thousandths of the font's size.
    pub(super) fn width(self, text: &[u8]) -> u32 {
        let width = |code: &u8| match self {
            Self::Plain => width_in(&PLAIN, *code),
            Self::Bold => width_in(&BOLD, *code),
            Self::Fixed => FIXED,
        };
        text.iter().map(|code| u32::from(width(code))).sum()
    }
}

fn width_in(widths: &[u16; 224], code: u8) -> u16 {
    let place = usize::from(code).checked_sub(usize::from(FIRST));
    place.and_then(|place| widths.get(place)).copied().unwrap_or(0)
}

/// Encodes text. What the fonts do not have stands as `[U+0416]`; what can never be seen, such as a control character, as well.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for character in text.chars() {
        match code_of(character) {
            Some(code) => encoded.push(code),
            None => encoded.extend(format!("[U+{:04X}]", u32::from(character)).bytes()),
        }
    }
    encoded
}

/// Returns whether every character of a text is there.
pub(super) fn has_all(text: &str) -> bool {
    text.chars().all(|character| code_of(character).is_some())
}

/// Returns the code of a character (WinAnsiEncoding).
fn code_of(character: char) -> Option<u8> {
    match character {
        '\t' | '\u{2009}' | '\u{202f}' => Some(b' '),
        '\u{2010}' | '\u{2011}' => Some(b'-'),
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(character)).ok(),
        other => {
            let place = HIGH.iter().position(|one| *one == Some(other))?;
            u8::try_from(place).ok()?.checked_add(0x80)
        }
    }
}

/// The first code that has a width: the space.
const FIRST: u8 = b' ';
/// The characters of the codes 0x80 to 0x9F.
#[rustfmt::skip]
const HIGH: [Option<char>; 32] = [
    Some('€'), None, Some('‚'), Some('ƒ'), Some('„'), Some('…'), Some('†'), Some('‡'),
    Some('ˆ'), Some('‰'), Some('Š'), Some('‹'), Some('Œ'), None, Some('Ž'), None,
    None, Some('‘'), Some('’'), Some('“'), Some('”'), Some('•'), Some('–'), Some('—'),
    Some('˜'), Some('™'), Some('š'), Some('›'), Some('œ'), None, Some('ž'), Some('Ÿ'),
];
/// The width of each character of Courier.
const FIXED: u16 = 600;
/// The widths of Helvetica, from the space on.
const PLAIN: [u16; 224] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584, 0, 556, 0, 222, 556, 333, 1000, 556, 556, 333,
    1000, 667, 333, 1000, 0, 611, 0, 0, 222, 222, 333, 333, 350, 556, 1000, 333, 1000, 500, 333, 944, 0, 500,
    667, 278, 333, 556, 556, 556, 556, 260, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333,
    333, 556, 537, 278, 333, 333, 365, 556, 834, 834, 834, 611, 667, 667, 667, 667, 667, 667, 1000, 722, 667,
    667, 667, 667, 278, 278, 278, 278, 722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667,
    667, 611, 556, 556, 556, 556, 556, 556, 889, 500, 556, 556, 556, 556, 278, 278, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 584, 611, 556, 556, 556, 556, 500, 556, 500,
];
/// The widths of Helvetica Bold, from the space on.
const BOLD: [u16; 224] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278,
    556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584,
    556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556,
    333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584, 0, 556, 0, 278, 556, 500, 1000, 556, 556, 333,
    1000, 667, 333, 1000, 0, 611, 0, 0, 278, 278, 500, 500, 350, 556, 1000, 333, 1000, 556, 333, 944, 0, 500,
    667, 278, 333, 556, 556, 556, 556, 280, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333,
    333, 611, 556, 278, 333, 333, 365, 556, 834, 834, 834, 611, 722, 722, 722, 722, 722, 722, 1000, 722, 667,
    667, 667, 667, 278, 278, 278, 278, 722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667,
    667, 611, 556, 556, 556, 556, 556, 556, 889, 556, 556, 556, 556, 556, 278, 278, 278, 278, 611, 611, 611,
    611, 611, 611, 611, 584, 611, 611, 611, 611, 611, 556, 611, 556,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umlauts_and_the_euro_are_one_character_and_others_are_named() {
        assert_eq!(encode("Zähler für 5 €, m³"), b"Z\xe4hler f\xfcr 5 \x80, m\xb3");
        assert_eq!(encode("„Ja“ – ž"), b"\x84Ja\x93 \x96 \x9e");
        assert_eq!(encode("Ж\u{1f600}\u{7}"), b"[U+0416][U+1F600][U+0007]");
        assert_eq!(encode("u\u{308}"), b"u[U+0308]");
        assert!(has_all("Straße \t10") && !has_all("Łódź") && !has_all("\u{81}"));
    }

    #[test]
    fn every_character_that_can_be_encoded_has_a_width_in_every_font() {
        for character in '\u{0}'..='\u{ffff}' {
            if let Some(code) = code_of(character) {
                for font in Font::ALL {
                    assert!(font.width(&[code]) > 0, "{character:?}");
                }
            }
        }
        // From the metrics of the fonts.
        assert_eq!(Font::Plain.width(b"Wi"), 944 + 222);
        assert_eq!(Font::Bold.width(b"Wi"), 944 + 278);
        assert_eq!(Font::Fixed.width(b"Wi"), 1_200);
    }
}
