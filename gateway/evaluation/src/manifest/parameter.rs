//! Parameters: what whoever assigns an application may set, and within which bounds.

use model::Decimal;
use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::limits::MAX_TEXT_BYTES;

use super::{JsonFault, Texts};

/// A parameter and its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name within the manifest.
    pub name: String,
    /// What it means, for people.
    pub label: Texts,
    /// What it may be.
    pub domain: Domain,
    /// What it is if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Whether it may be absent although it has no default.
    #[serde(default)]
    pub optional: bool,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Domain {
    /// A whole number, written as such.
    Integer {
        /// The least that it may be.
        least: i64,
        /// The greatest that it may be.
        most: i64,
    },
    /// An exact decimal, written as a text.
    Decimal {
        /// The least that it may be.
        least: Decimal,
        /// The greatest that it may be.
        most: Decimal,
    },
    /// A text.
    Text {
        /// The most bytes that it may have.
        most_bytes: usize,
    },
    /// A tariff calendar; the guest sees its slots.
    Calendar,
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// An exact decimal.
    Decimal(Decimal),
    /// A text.
    Text(String),
    /// A calendar.
    Calendar(Box<Calendar>),
}

impl Parameter {
    /// Checks the schema itself.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let sensible = match &self.domain {
            Domain::Integer { least, most } => least <= most,
            Domain::Decimal { least, most } => least.compare(*most).is_some_and(std::cmp::Ordering::is_le),
            Domain::Text { most_bytes } => *most_bytes <= MAX_TEXT_BYTES,
            Domain::Calendar => true,
        };
        if !sensible {
            return Err(ParameterError::Bounds);
        }
        match &self.default {
            Some(default) => self.read(default).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Reads the given value, or takes the default.
    pub(super) fn value(&self, given: Option<&serde_json::Value>) -> Result<Option<Value>, ParameterError> {
        match given.or(self.default.as_ref()) {
            Some(json) => self.read(json).map(Some),
            None if self.optional => Ok(None),
            None => Err(ParameterError::Missing {
                name: self.name.clone(),
            }),
        }
    }

    fn read(&self, json: &serde_json::Value) -> Result<Value, ParameterError> {
        let kind = |error: serde_json::Error| ParameterError::Kind {
            name: self.name.clone(),
            source: JsonFault(error.to_string()),
        };
        let (value, within) = match &self.domain {
            Domain::Integer { least, most } => {
                let value = i64::deserialize(json).map_err(kind)?;
                (Value::Integer(value), (*least..=*most).contains(&value))
            }
            Domain::Decimal { least, most } => {
                let value = Decimal::deserialize(json).map_err(kind)?;
                let above = value.compare(*least).is_some_and(std::cmp::Ordering::is_ge);
                let below = value.compare(*most).is_some_and(std::cmp::Ordering::is_le);
                (Value::Decimal(value), above && below)
            }
            Domain::Text { most_bytes } => {
                let value = String::deserialize(json).map_err(kind)?;
                let within = value.len() <= *most_bytes;
                (Value::Text(value), within)
            }
            Domain::Calendar => {
                let value = Calendar::deserialize(json).map_err(kind)?;
                (Value::Calendar(Box::new(value)), true)
            }
        };
        if within {
            Ok(value)
        } else {
            Err(ParameterError::OutOfBounds {
                name: self.name.clone(),
            })
        }
    }
}

/// The reason why a parameter or its schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The bounds exclude everything, or are above those of the interface.
    #[error("the bounds permit nothing, or more than the interface has room for")]
    Bounds,
    /// A parameter that the application does not have.
    #[error("the application has no parameter {name:?}")]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// A parameter that must be given is not.
    #[error("the parameter {name} must be given")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A value of another kind.
    #[error("the parameter {name} is of another kind")]
    Kind {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: JsonFault,
    },
    /// A value outside the bounds.
    #[error("the parameter {name} is out of its bounds")]
    OutOfBounds {
        /// Its name.
        name: String,
    },
}
