//! Meters and their measurement elements.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::serde_as_text;
use crate::{Obis, ObisPattern};

/// The stable identity of a meter, 1 to 40 characters of `A-Z a-z 0-9 - . _`.
///
/// An M-Bus meter is named by its secondary address (EN 13757-3: manufacturer, identification,
/// version and medium, as in `ELS-12345678-3C-03`), a Modbus meter by maker and serial number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId(String);

impl MeterId {
    /// The greatest length of the text, bounded so that a row and a topic can hold it.
    pub const MAX_LENGTH: usize = 40;

    /// Returns the text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MeterId {
    type Error = MeterIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.len() > Self::MAX_LENGTH {
            return Err(MeterIdError::Length { found: text.len() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(MeterIdError::Character { character });
        }
        Ok(Self(text))
    }
}

impl FromStr for MeterId {
    type Err = MeterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for MeterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for MeterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MeterId({})", self.0)
    }
}

/// The reason why a text names no meter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeterIdError {
    /// The text is empty or too long.
    #[error("a meter's identity has 1 to 40 characters, found {found}")]
    Length {
        /// The length that was given, in bytes.
        found: usize,
    },
    /// A character outside the permitted ones.
    #[error("a meter's identity cannot contain {character:?}")]
    Character {
        /// The first character that is not permitted.
        character: char,
    },
}

/// The kind of energy or good that is metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// Electricity (OBIS group A = 1).
    Electricity,
    /// Heat cost allocator units (4).
    HeatCostAllocator,
    /// Cooling (5).
    Cooling,
    /// Heat (6).
    Heat,
    /// Gas (7).
    Gas,
    /// Cold water (8).
    Water,
    /// Warm water (9).
    WarmWater,
    /// Anything else, and abstract objects (0).
    Other,
}

impl Medium {
    /// Returns the medium that an OBIS code belongs to, by its group A.
    ///
    /// Spec: IEC 62056-61:2006, table 1; EN 13757-1:2014, section 6.
    #[must_use]
    pub const fn of(obis: Obis) -> Self {
        match obis.medium_group() {
            1 => Self::Electricity,
            4 => Self::HeatCostAllocator,
            5 => Self::Cooling,
            6 => Self::Heat,
            7 => Self::Gas,
            8 => Self::Water,
            9 => Self::WarmWater,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Medium {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Electricity => "electricity",
            Self::HeatCostAllocator => "heat-cost-allocator",
            Self::Cooling => "cooling",
            Self::Heat => "heat",
            Self::Gas => "gas",
            Self::Water => "water",
            Self::WarmWater => "warm-water",
            Self::Other => "other",
        })
    }
}

/// A measurement element: what one meter measures under one OBIS code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Element {
    /// The meter.
    pub meter: MeterId,
    /// What it measures.
    pub obis: Obis,
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.meter, self.obis)
    }
}

/// A set of elements: one meter or every meter, and a pattern of OBIS codes.
///
/// Text form `METER/PATTERN`, where METER is a meter's identity or `*`: `*/1-0:1.8.0*255`.
/// The text `*` alone stands for every element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementPattern {
    /// The only meter whose elements belong to the set, or every meter.
    pub meter: Option<MeterId>,
    /// The codes that belong to the set.
    pub obis: ObisPattern,
}

impl ElementPattern {
    /// The pattern that every element matches.
    pub const ANY: Self = Self {
        meter: None,
        obis: ObisPattern::ANY,
    };

    /// Returns whether the element belongs to the set.
    #[must_use]
    pub fn matches(&self, element: &Element) -> bool {
        self.meter.as_ref().is_none_or(|meter| *meter == element.meter) && self.obis.matches(element.obis)
    }

    /// Returns whether some element belongs to both sets.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        // The codes first: they differ more often than the meters, and cost less.
        self.obis.overlaps(&other.obis) && self.has_meter_of(other)
    }

    /// Returns whether every element that belongs to this set and to `other` belongs to `outer`, if there is any.
    #[must_use]
    pub fn common_is_within(&self, other: &Self, outer: &Self) -> bool {
        let meter = self.meter.as_ref().or(other.meter.as_ref());
        self.obis.common_is_within(&other.obis, &outer.obis)
            && (outer.meter.is_none() || meter == outer.meter.as_ref())
    }

    /// Returns the elements that belong to both sets; `None` if there can be none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let obis = self.obis.intersection(&other.obis)?;
        self.has_meter_of(other).then(|| Self {
            meter: self.meter.as_ref().or(other.meter.as_ref()).cloned(),
            obis,
        })
    }

    /// Returns whether every element of this set belongs to the other one, too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.obis.is_within(&other.obis) && (other.meter.is_none() || self.meter == other.meter)
    }

    fn has_meter_of(&self, other: &Self) -> bool {
        match (&self.meter, &other.meter) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        }
    }

    /// Returns the only element that matches, if the pattern leaves nothing open.
    #[must_use]
    pub fn exact(&self) -> Option<Element> {
        Some(Element {
            meter: self.meter.clone()?,
            obis: self.obis.exact()?,
        })
    }
}

impl From<Element> for ElementPattern {
    fn from(element: Element) -> Self {
        Self {
            meter: Some(element.meter),
            obis: element.obis.into(),
        }
    }
}

impl FromStr for ElementPattern {
    type Err = ParseElementPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::ANY);
        }
        let (meter, obis) = text.split_once('/').ok_or(ParseElementPatternError::Form)?;
        let meter = match meter {
            "*" => None,
            meter => Some(meter.parse()?),
        };
        Ok(Self {
            meter,
            obis: obis.parse()?,
        })
    }
}

impl fmt::Display for ElementPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.meter {
            Some(meter) => write!(formatter, "{meter}/{}", self.obis),
            None => write!(formatter, "*/{}", self.obis),
        }
    }
}

/// The reason why a text is no pattern of elements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseElementPatternError {
    /// There is no slash between meter and code.
    #[error("a pattern of elements has the form METER/OBIS, such as */1-0:1.8.0*255")]
    Form,
    /// The part before the slash names no meter.
    #[error("the pattern's meter is neither * nor an identity")]
    Meter(#[from] MeterIdError),
    /// The part behind the slash is no OBIS pattern.
    #[error("the pattern's OBIS code is malformed")]
    Obis(#[from] crate::ParseObisError),
}

serde_as_text!(MeterId, ElementPattern);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParseObisError;

    fn element(meter: &str, obis: &str) -> Element {
        Element {
            meter: meter.parse().unwrap(),
            obis: obis.parse().unwrap(),
        }
    }

    #[test]
    fn meter_identity_is_bounded_and_plain() {
        assert!("ELS-12345678-3C-03".parse::<MeterId>().is_ok());
        assert_eq!("".parse::<MeterId>(), Err(MeterIdError::Length { found: 0 }));
        assert_eq!(
            "a".repeat(41).parse::<MeterId>(),
            Err(MeterIdError::Length { found: 41 })
        );
        assert_eq!(
            "a/b".parse::<MeterId>(),
            Err(MeterIdError::Character { character: '/' })
        );
    }

    #[test]
    fn pattern_selects_by_meter_and_code() {
        let pattern: ElementPattern = "M1/7-0:x.0.0*255".parse().unwrap();
        assert!(pattern.matches(&element("M1", "7-0:3.0.0*255")));
        assert!(!pattern.matches(&element("M2", "7-0:3.0.0*255")));
        assert!(!pattern.matches(&element("M1", "8-0:1.0.0*255")));
        assert!(ElementPattern::ANY.matches(&element("M2", "8-0:1.0.0*255")));
    }

    #[test]
    fn patterns_have_in_common_what_matches_both() {
        let pattern = |text: &str| text.parse::<ElementPattern>().unwrap();
        for (one, other, common) in [
            ("*", "M1/*", Some("M1/*")),
            ("M1/*", "M2/*", None),
            ("M1/1-0:x.8.0*255", "*/1-0:1.x.0*255", Some("M1/1-0:1.8.0*255")),
            ("*/1-0:1.8.0*255", "*/7-0:3.0.0*255", None),
        ] {
            let (one, other) = (pattern(one), pattern(other));
            for (one, other) in [(&one, &other), (&other, &one)] {
                assert_eq!(one.intersection(other), common.map(pattern));
                assert_eq!(one.overlaps(other), common.is_some());
            }
        }
        assert!(pattern("M1/1-0:1.8.0*255").is_within(&pattern("*/1-0:x.8.0*255")));
        assert!(!pattern("*/1-0:1.8.0*255").is_within(&pattern("M1/*")));
        assert!(!pattern("M1/*").is_within(&pattern("M2/*")));
        let common_is_within =
            |outer: &str| pattern("M1/*").common_is_within(&pattern("*/1-0:1.x.0*255"), &pattern(outer));
        assert!(common_is_within("M1/1-0:1.x.0*255") && common_is_within("*"));
        assert!(!common_is_within("M2/*") && !common_is_within("M1/1-0:1.8.0*255"));
    }

    #[test]
    fn exact_pattern_is_its_element() {
        let one = element("M1", "7-0:3.0.0*255");
        assert_eq!(ElementPattern::from(one.clone()).exact(), Some(one));
        assert_eq!(ElementPattern::ANY.exact(), None);
    }

    #[test]
    fn patterns_read_back_their_text_and_name_their_faults() {
        for text in ["M1/7-0:x.0.0*255", "*/1-0:1.8.0*255", "*/*"] {
            assert_eq!(text.parse::<ElementPattern>().unwrap().to_string(), text);
        }
        assert_eq!("*".parse(), Ok(ElementPattern::ANY));
        assert_eq!(
            "M1".parse::<ElementPattern>(),
            Err(ParseElementPatternError::Form)
        );
        assert_eq!(
            "M 1/*".parse::<ElementPattern>(),
            Err(ParseElementPatternError::Meter(MeterIdError::Character {
                character: ' '
            }))
        );
        assert_eq!(
            "*/1".parse::<ElementPattern>(),
            Err(ParseElementPatternError::Obis(ParseObisError::Form))
        );
    }

    #[test]
    fn medium_follows_group_a() {
        for (code, medium) in [
            ("1-0:1.8.0*255", Medium::Electricity),
            ("6-0:1.0.0*255", Medium::Heat),
            ("7-0:3.0.0*255", Medium::Gas),
            ("8-0:1.0.0*255", Medium::Water),
            ("0-0:96.1.0*255", Medium::Other),
        ] {
            assert_eq!(Medium::of(code.parse().unwrap()), medium, "{code}");
        }
    }
}
