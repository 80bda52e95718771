//! The words by which energy applications and delivery rules are known: name, version, texts for people.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an application, such as `taf-2`: 1 to 40 small letters, digits and dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(String);

impl AppId {
    /// Returns whether the text is a name: 1 to 40 small letters, digits and dashes.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=40).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AppId {
    type Error = AppWordError;

    fn try_from(text: String) -> Result<Self, AppWordError> {
        if Self::is_name(&text) {
            Ok(Self(text))
        } else {
            Err(AppWordError::Name { name: text })
        }
    }
}

impl From<AppId> for String {
    fn from(id: AppId) -> Self {
        id.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// A version of an application, `1.2.3`; compared by its parts.
///
/// Spec: Semantic Versioning 2.0.0, without pre-releases and build marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    major: u16,
    minor: u16,
    patch: u16,
}

impl FromStr for Version {
    type Err = AppWordError;

    fn from_str(text: &str) -> Result<Self, AppWordError> {
        let number = |part: &str| {
            let canonical = part == "0" || !part.starts_with(['0', '+']);
            part.parse().ok().filter(|_| canonical)
        };
        let mut parts = text.split('.').map(number);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => {
                Ok(Self { major, minor, patch })
            }
            _ => Err(AppWordError::Version),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = AppWordError;

    fn try_from(text: String) -> Result<Self, AppWordError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text in both languages of the user interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// German.
    pub de: String,
    /// English.
    pub en: String,
}

impl Texts {
    /// Returns whether both have 1 to so many bytes, and no control characters.
    #[must_use]
    pub fn fit(&self, most_bytes: usize) -> bool {
        let fits =
            |text: &String| (1..=most_bytes).contains(&text.len()) && !text.chars().any(char::is_control);
        fits(&self.de) && fits(&self.en)
    }
}

/// The reason why a text is no name or version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppWordError {
    /// A name is malformed.
    #[error("{name:?} is not a name of 1 to 40 small letters, digits and dashes")]
    Name {
        /// The text.
        name: String,
    },
    /// The version is malformed.
    #[error("a version has the form 1.2.3")]
    Version,
}
