//! What tells a family of meters from others.

use model::Decimal;
use serde::Deserialize;

use super::{Field, Place, RegisterType};
use crate::decode::{Content, content};
use crate::image::RegisterImage;

/// Something that holds of every meter of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A register has a certain content.
    Register {
        /// Where the content stands and how it is written.
        field: Field,
        /// What it can be; one of these must fit.
        patterns: Vec<Pattern>,
    },
    /// An object of the device identification (function 43/14) has a certain text.
    Device {
        /// The object.
        object: DeviceObject,
        /// What it can be; one of these must fit.
        patterns: Vec<Pattern>,
    },
}

impl Probe {
    /// The greatest number of probes of one profile; two or three tell any meters apart.
    pub const MAX: usize = 8;
    /// The greatest number of patterns of one probe.
    pub const MAX_PATTERNS: usize = 32;

    /// Returns where the probe looks and what can be there, in words.
    pub(crate) fn words(&self) -> (String, Vec<String>) {
        let (place, patterns) = match self {
            Self::Register { field, patterns } => {
                let function = field.function.code();
                (
                    format!("register {:#06x} of function {function}", field.address),
                    patterns,
                )
            }
            Self::Device { object, patterns } => (
                format!("object {} of the device identification", object.id()),
                patterns,
            ),
        };
        let wanted = patterns.iter().map(|Pattern(text)| format!("\"{text}\""));
        (place, wanted.collect())
    }

    /// Returns whether a register's content fits, and the content in words.
    pub(crate) fn judge_registers(
        field: &Field,
        patterns: &[Pattern],
        image: &RegisterImage,
    ) -> Result<(), String> {
        debug_assert_eq!(field.place, Place::Wire);
        let found = match content(field, image) {
            Ok(Content::Number(number)) => number.to_string(),
            Ok(Content::Text(text)) => text,
            Err(gap) => return Err(gap.to_string()),
        };
        judge(&found, patterns)
    }

    /// Returns whether an object's text fits, and the text.
    pub(crate) fn judge_text(text: &str, patterns: &[Pattern]) -> Result<(), String> {
        judge(text.trim(), patterns)
    }
}

fn judge(found: &str, patterns: &[Pattern]) -> Result<(), String> {
    if patterns.iter().any(|pattern| pattern.fits(found)) {
        return Ok(());
    }
    Err(found.to_owned())
}

/// What a text or a number can be: itself, or whatever begins with the part before a final `*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// Returns whether the text fits; numbers are compared by value.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        if let Some(beginning) = self.0.strip_suffix('*') {
            return text.starts_with(beginning);
        }
        let numbers = (self.0.parse::<Decimal>(), text.parse::<Decimal>());
        match numbers {
            (Ok(wanted), Ok(found)) => wanted.same_value(found),
            _ => self.0 == text,
        }
    }

    /// Returns whether there are contents of the field that fit.
    pub(super) fn can_be_in(&self, field: &Field) -> bool {
        let beginning = self.0.strip_suffix('*');
        let text = beginning.unwrap_or(&self.0);
        if field.register_type == RegisterType::Ascii {
            return text.len() <= usize::from(field.count).saturating_mul(2);
        }
        if beginning.is_some() {
            return text
                .chars()
                .all(|letter| letter.is_ascii_digit() || "-.".contains(letter));
        }
        let Ok(whole) = text.parse::<i128>() else {
            return text.parse::<Decimal>().is_ok();
        };
        field
            .whole_numbers()
            .is_none_or(|numbers| numbers.contains(&whole))
    }
}

/// An object of the device identification that every device with function 43/14 has.
///
/// Spec: Modbus Application Protocol V1.1b3, section 6.21 (basic device identification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceObject {
    /// Object 0.
    VendorName,
    /// Object 1.
    ProductCode,
    /// Object 2.
    MajorMinorRevision,
}

impl DeviceObject {
    /// Returns the object's number on the wire.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::VendorName => 0,
            Self::ProductCode => 1,
            Self::MajorMinorRevision => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_texts_beginnings_and_numbers() {
        let fits = |pattern: &str, text: &str| Pattern(pattern.to_owned()).fits(text);
        assert!(fits("B23*", "B23 112-100"));
        assert!(!fits("B23*", "A43"));
        assert!(fits("112", "112.0"));
        assert!(!fits("112", "1120"));
        assert!(fits("Janitza", "Janitza"));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let patterns = [Pattern("Schneider*".to_owned())];
        assert_eq!(
            Probe::judge_text("Eastron ", &patterns),
            Err("Eastron".to_owned())
        );
        assert_eq!(Probe::judge_text("Schneider Electric", &patterns), Ok(()));
    }

    #[test]
    fn device_objects_have_their_numbers() {
        let objects = [
            DeviceObject::VendorName,
            DeviceObject::ProductCode,
            DeviceObject::MajorMinorRevision,
        ];
        assert_eq!(objects.map(DeviceObject::id), [0, 1, 2]);
    }
}
