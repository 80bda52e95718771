//! Orthogonal VIFEs: what changes the meaning of any VIF.

use std::fmt;

/// VIFE behind which one of the second table of orthogonal VIFEs stands.
pub(super) const SECOND_TABLE: u8 = 0x7C;
/// VIFE behind which all VIFEs are the maker's own.
pub(super) const MAKERS: u8 = 0x7F;
const CODE: u8 = 0x7F;

/// An orthogonal VIFE.
///
/// Text form: a few words, empty if the number or its unit already shows what the VIFE means.
///
/// Spec: EN 13757-3:2018, tables 15 and 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modifier {
    /// A VIFE of the first table, without its extension bit.
    First(u8),
    /// A VIFE of the second table, behind `FC`, without its extension bit.
    Second(u8),
    /// A VIFE of the maker, without its extension bit.
    Maker(u8),
}

impl Modifier {
    /// Returns the words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::First(code @ 0x40..=0x6F) => limit_words(code),
            Self::First(code) => first_words(code),
            Self::Second(code) => second_words(code),
            Self::Maker(_) => "manufacturer specific",
        }
    }
}

impl fmt::Display for Modifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

const fn first_words(code: u8) -> &'static str {
    match code {
        0x12 => "average",
        0x13 => "inverse compact profile",
        0x14 => "relative deviation",
        0x1D => "standard conform data content",
        0x1E => "compact profile with register numbers",
        0x1F => "compact profile",
        0x28 => "increment per input pulse on channel 0",
        0x29 => "increment per input pulse on channel 1",
        0x2A => "increment per output pulse on channel 0",
        0x2B => "increment per output pulse on channel 1",
        0x39 => "start date",
        0x3A => "uncorrected",
        0x3B => "positive contributions only",
        0x3C => "negative contributions only",
        0x3D => "non-metric unit",
        0x3E => "at base conditions",
        0x3F => "OBIS declaration",
        0x7E => "future value",
        MAKERS => "manufacturer specific",
        // Corrections and ratios are in the number and its unit; error codes are the record's error.
        _ => "",
    }
}

const fn limit_words(code: u8) -> &'static str {
    match code {
        0x40 => "lower limit",
        0x41 => "number of exceeds of lower limit",
        0x42 => "begin of first exceed of lower limit",
        0x43 => "end of first exceed of lower limit",
        0x46 => "begin of last exceed of lower limit",
        0x47 => "end of last exceed of lower limit",
        0x48 => "upper limit",
        0x49 => "number of exceeds of upper limit",
        0x4A => "begin of first exceed of upper limit",
        0x4B => "end of first exceed of upper limit",
        0x4E => "begin of last exceed of upper limit",
        0x4F => "end of last exceed of upper limit",
        0x50..=0x53 => "duration of first exceed of lower limit",
        0x54..=0x57 => "duration of last exceed of lower limit",
        0x58..=0x5B => "duration of first exceed of upper limit",
        0x5C..=0x5F => "duration of last exceed of upper limit",
        0x60..=0x63 => "duration of first",
        0x64..=0x67 => "duration of last",
        0x68 => "during exceed of lower limit",
        0x69 => "leakage",
        0x6A => "begin of first",
        0x6B => "end of first",
        0x6C => "during exceed of upper limit",
        0x6D => "overflow",
        0x6E => "begin of last",
        0x6F => "end of last",
        _ => "reserved",
    }
}

const fn second_words(code: u8) -> &'static str {
    match code {
        0x01 => "phase L1",
        0x02 => "phase L2",
        0x03 => "phase L3",
        0x04 => "neutral",
        0x05 => "phases L1-L2",
        0x06 => "phases L2-L3",
        0x07 => "phases L3-L1",
        0x08 => "quadrant Q1",
        0x09 => "quadrant Q2",
        0x0A => "quadrant Q3",
        0x0B => "quadrant Q4",
        0x0C => "delta between import and export",
        0x0D => "alternative non-metric unit",
        0x0E => "secondary sensor",
        0x0F => "higher resolution",
        0x10 => "absolute contributions",
        0x11 | 0x12 => "",
        0x13 => "end date",
        0x14 => "from partner to meter",
        0x15 => "from meter to partner",
        _ => "reserved",
    }
}

/// The orthogonal VIFEs of a record, in the order of the wire.
#[derive(Debug, Clone, Copy)]
pub struct Modifiers<'f> {
    rest: &'f [u8],
    makers: bool,
}

impl<'f> Modifiers<'f> {
    /// Walks the VIFEs; of a maker's own VIF all of them are the maker's.
    pub(super) const fn new(rest: &'f [u8], makers: bool) -> Self {
        Self { rest, makers }
    }
}

impl Iterator for Modifiers<'_> {
    type Item = Modifier;

    fn next(&mut self) -> Option<Modifier> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let code = first & CODE;
        if self.makers {
            return Some(Modifier::Maker(code));
        }
        match (code, rest) {
            // Nothing but that the maker changes the meaning.
            (MAKERS, []) => Some(Modifier::First(MAKERS)),
            (MAKERS, _) => {
                self.makers = true;
                self.next()
            }
            (SECOND_TABLE, [second, rest @ ..]) => {
                self.rest = rest;
                Some(Modifier::Second(second & CODE))
            }
            _ => Some(Modifier::First(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8], makers: bool) -> Vec<Modifier> {
        Modifiers::new(bytes, makers).collect()
    }

    #[test]
    fn both_tables_and_the_makers_vifes_are_told_apart() {
        assert_eq!(
            walk(&[0xBC, 0xFC, 0x81, 0xFF, 0x85, 0x06], false),
            [
                Modifier::First(0x3C),
                Modifier::Second(0x01),
                Modifier::Maker(0x05),
                Modifier::Maker(0x06)
            ]
        );
        assert_eq!(walk(&[0xFC], true), [Modifier::Maker(0x7C)]);
        assert_eq!(walk(&[0x7C], false), [Modifier::First(0x7C)]);
        assert_eq!(walk(&[0x7F], false), [Modifier::First(0x7F)]);
    }

    #[test]
    fn words_are_those_of_the_standard() {
        for (modifier, words) in [
            (Modifier::First(0x22), ""),
            (Modifier::First(0x3C), "negative contributions only"),
            (Modifier::First(0x4E), "begin of last exceed of upper limit"),
            (Modifier::First(0x57), "duration of last exceed of lower limit"),
            (Modifier::First(0x6F), "end of last"),
            (Modifier::First(0x74), ""),
            (Modifier::First(0x7E), "future value"),
            (Modifier::First(0x7F), "manufacturer specific"),
            (Modifier::Second(0x03), "phase L3"),
            (Modifier::Second(0x10), "absolute contributions"),
            (Modifier::Maker(0x01), "manufacturer specific"),
        ] {
            assert_eq!(modifier.to_string(), words);
        }
    }
}
