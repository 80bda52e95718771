//! OBIS codes (IEC 62056-61), which say what a value measures.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// An OBIS code `A-B:C.D.E*F`.
///
/// A is the medium (1 electricity, 6 heat, 7 gas, 8 cold water, 9 warm water), B the channel,
/// C the quantity, D the kind of processing, E the tariff, F the billing period (255: current).
/// Text form `1-0:1.8.0*255`, decimal and without leading zeros.
///
/// Spec: IEC 62056-61:2006, section 4; EN 13757-1:2014, section 6 for gas, water and heat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Obis([u8; 6]);

impl Obis {
    /// Builds the code from its groups A to F.
    #[must_use]
    pub const fn new(groups: [u8; 6]) -> Self {
        Self(groups)
    }

    /// Returns the groups A to F, in this order.
    #[must_use]
    pub const fn groups(self) -> [u8; 6] {
        self.0
    }

    /// Returns group A, which names the medium.
    #[must_use]
    pub const fn medium_group(self) -> u8 {
        let [a, ..] = self.0;
        a
    }
}

impl FromStr for Obis {
    type Err = ParseObisError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let groups = split_groups(text)?;
        let mut code = [0; 6];
        for ((value, text), name) in code.iter_mut().zip(groups).zip(GROUP_NAMES) {
            *value = parse_group(text, name)?;
        }
        Ok(Self(code))
    }
}

impl fmt::Display for Obis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a}-{b}:{c}.{d}.{e}*{f}")
    }
}

impl fmt::Debug for Obis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Obis({self})")
    }
}

/// A set of OBIS codes: a code in which any group may be `x` (every value).
///
/// Text form `1-0:x.8.0*255`; the text `*` stands for every code.
///
/// Each group has nine bits of the number, the first group the highest: one that says whether the group is given, and eight
/// of its value, which are 0 if it is not. So two sets are compared at once; a decision does that with every grant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObisPattern(u64);

impl ObisPattern {
    /// The pattern that every code matches.
    pub const ANY: Self = Self(0);

    const GROUP_BITS: u32 = 9;
    /// The bits that say whether a group is given.
    const GIVEN: u64 = 0o400_400_400_400_400_400;

    fn new(groups: [Option<u8>; 6]) -> Self {
        let packed = groups.into_iter().fold(0, |packed, group| {
            let bits = group.map_or(0, |value| 0x100 | u64::from(value));
            packed << Self::GROUP_BITS | bits
        });
        Self(packed)
    }

    /// Returns the groups from the first to the last, `None` for an open one.
    fn groups(self) -> [Option<u8>; 6] {
        let mut rest = self.0;
        let mut groups = [None; 6];
        for group in groups.iter_mut().rev() {
            let [value, ..] = rest.to_le_bytes();
            *group = (rest & 0x100 != 0).then_some(value);
            rest >>= Self::GROUP_BITS;
        }
        groups
    }

    /// Returns the bits of all values whose groups are given by these numbers.
    const fn values(given: u64) -> u64 {
        let given = given & Self::GIVEN;
        given.wrapping_sub(given >> 8)
    }

    /// Returns whether the code belongs to the set.
    #[must_use]
    pub fn matches(&self, obis: Obis) -> bool {
        Self::from(obis).is_within(self)
    }

    /// Returns the codes that belong to both sets; `None` if there are none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        self.overlaps(other).then_some(Self(self.0 | other.0))
    }

    /// Returns whether some code belongs to both sets.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        (self.0 ^ other.0) & Self::values(self.0 & other.0) == 0
    }

    /// Returns whether every code that belongs to this set and to `other` belongs to `outer`, if there is any.
    #[must_use]
    pub const fn common_is_within(&self, other: &Self, outer: &Self) -> bool {
        Self(self.0 | other.0).is_within(outer)
    }

    /// Returns whether every code of this set belongs to the other one, too.
    #[must_use]
    pub const fn is_within(&self, other: &Self) -> bool {
        let wanted = other.0 & Self::GIVEN | Self::values(other.0);
        (self.0 ^ other.0) & wanted == 0
    }

    /// Returns the only code that matches, if the pattern has no open group.
    #[must_use]
    pub fn exact(&self) -> Option<Obis> {
        let [a, b, c, d, e, f] = self.groups();
        Some(Obis([a?, b?, c?, d?, e?, f?]))
    }
}

impl From<Obis> for ObisPattern {
    fn from(obis: Obis) -> Self {
        Self::new(obis.0.map(Some))
    }
}

impl FromStr for ObisPattern {
    type Err = ParseObisError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::ANY);
        }
        let groups = split_groups(text)?;
        let mut pattern = [None; 6];
        for ((value, text), name) in pattern.iter_mut().zip(groups).zip(GROUP_NAMES) {
            if text != "x" {
                *value = Some(parse_group(text, name)?);
            }
        }
        Ok(Self::new(pattern))
    }
}

impl fmt::Display for ObisPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            return formatter.write_str("*");
        }
        for (group, before) in self.groups().iter().zip(["", "-", ":", ".", ".", "*"]) {
            formatter.write_str(before)?;
            match group {
                Some(value) => write!(formatter, "{value}")?,
                None => formatter.write_str("x")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ObisPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ObisPattern({self})")
    }
}

serde_as_text!(Obis, ObisPattern);

const GROUP_NAMES: [char; 6] = ['A', 'B', 'C', 'D', 'E', 'F'];

/// Splits `A-B:C.D.E*F` into the texts of its six groups.
fn split_groups(text: &str) -> Result<[&str; 6], ParseObisError> {
    let form = || ParseObisError::Form;
    let (a, rest) = text.split_once('-').ok_or_else(form)?;
    let (b, rest) = rest.split_once(':').ok_or_else(form)?;
    let (c, rest) = rest.split_once('.').ok_or_else(form)?;
    let (d, rest) = rest.split_once('.').ok_or_else(form)?;
    let (e, f) = rest.split_once('*').ok_or_else(form)?;
    Ok([a, b, c, d, e, f])
}

fn parse_group(text: &str, name: char) -> Result<u8, ParseObisError> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    match text.parse() {
        Ok(value) if canonical => Ok(value),
        _ => Err(ParseObisError::Group { name }),
    }
}

/// The reason why a text is no OBIS code or pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseObisError {
    /// The separators are not those of `A-B:C.D.E*F`.
    #[error("an OBIS code has the form A-B:C.D.E*F, such as 1-0:1.8.0*255")]
    Form,
    /// A group is not a number from 0 to 255.
    #[error("OBIS group {name} is not a number from 0 to 255 without leading zeros")]
    Group {
        /// The name of the group, A to F.
        name: char,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn code_reads_back_its_text() {
        let import: Obis = "1-0:1.8.0*255".parse().unwrap();
        assert_eq!(import, Obis::new([1, 0, 1, 8, 0, 255]));
        assert_eq!(import.to_string(), "1-0:1.8.0*255");
        assert_eq!(import.medium_group(), 1);
    }

    #[test]
    fn malformed_codes_name_their_fault() {
        assert_eq!("1.8.0".parse::<Obis>(), Err(ParseObisError::Form));
        assert_eq!(
            "1-0:1.8.256*255".parse::<Obis>(),
            Err(ParseObisError::Group { name: 'E' })
        );
        assert_eq!(
            "01-0:1.8.0*255".parse::<Obis>(),
            Err(ParseObisError::Group { name: 'A' })
        );
        assert_eq!(
            "1-0:x.8.0*255".parse::<Obis>(),
            Err(ParseObisError::Group { name: 'C' })
        );
    }

    #[test]
    fn pattern_matches_open_groups_only() {
        let pattern: ObisPattern = "1-0:x.8.0*255".parse().unwrap();
        assert!(pattern.matches(Obis::new([1, 0, 2, 8, 0, 255])));
        assert!(!pattern.matches(Obis::new([1, 0, 2, 7, 0, 255])));
        assert_eq!(pattern.exact(), None);
        assert_eq!(pattern.to_string(), "1-0:x.8.0*255");
        assert!(
            "*".parse::<ObisPattern>()
                .unwrap()
                .matches(Obis::new([7, 0, 3, 0, 0, 255]))
        );
    }

    proptest! {
        #[test]
        fn any_code_round_trips(groups: [u8; 6]) {
            let obis = Obis::new(groups);
            prop_assert_eq!(obis.to_string().parse::<Obis>(), Ok(obis));
            let pattern = ObisPattern::from(obis);
            prop_assert_eq!(pattern.exact(), Some(obis));
            prop_assert_eq!(pattern.to_string().parse::<ObisPattern>(), Ok(pattern));
        }

        #[test]
        fn sets_have_in_common_what_matches_both(
            one in prop::array::uniform6(prop::option::of(0u8..3)),
            other in prop::array::uniform6(prop::option::of(0u8..3)),
            outer in prop::array::uniform6(prop::option::of(0u8..3)),
            code in prop::array::uniform6(0u8..3),
        ) {
            let (one, other, code) = (ObisPattern::new(one), ObisPattern::new(other), Obis::new(code));
            let is_in_both = one.matches(code) && other.matches(code);
            let common = one.intersection(&other);
            prop_assert_eq!(common.is_some_and(|common| common.matches(code)), is_in_both);
            prop_assert_eq!(one.is_within(&other), common == Some(one));
            prop_assert_eq!(one.overlaps(&other), common.is_some());
            let outer = ObisPattern::new(outer);
            if let Some(common) = common {
                prop_assert_eq!(one.common_is_within(&other, &outer), common.is_within(&outer));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            if let Ok(pattern) = text.parse::<ObisPattern>() {
                prop_assert_eq!(pattern.to_string().parse::<ObisPattern>(), Ok(pattern));
            }
        }
    }
}
