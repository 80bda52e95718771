//! The three logs: what is written into each, with a stable code for every kind of entry.
//!
//! The system log is for the operator, the consumer log for the consumer, the calibration log for
//! the inspector. An entry names ids, codes and counts, never a key, a PIN or a value that was
//! measured. The serialized form of an event is a JSON object whose `event` is its name; how
//! entries are chained and kept is the store's business.
//!
//! Spec: BSI TR-03109-1, version 1.1, logs of the gateway.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::serde_as_text;
use crate::{Fingerprint, ParseIdentityError};

mod calibration;
mod consumer;
mod system;

pub use calibration::CalibrationEvent;
pub use consumer::ConsumerEvent;
pub use system::SystemEvent;

/// One of the three logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// What happened to the gateway and its card, for the operator and the technician.
    System,
    /// Who was given what and who was refused, for the consumer.
    Consumer,
    /// What touches the correctness of measuring, for the inspector; it is never overwritten.
    Calibration,
}

impl LogKind {
    /// Every log, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::System, Self::Consumer, Self::Calibration];

    /// Returns the name: `system`, `consumer`, `calibration`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Consumer => "consumer",
            Self::Calibration => "calibration",
        }
    }
}

impl fmt::Display for LogKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for LogKind {
    type Err = LogWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or(LogWordError::Kind)
    }
}

/// The hash that chains the entries of a log: SHA-256, 32 bytes, in text hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogHash([u8; 32]);

impl LogHash {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for LogHash {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(*text.parse::<Fingerprint>()?.as_bytes()))
    }
}

impl fmt::Display for LogHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LogHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LogHash({self})")
    }
}

/// A text within an entry: at most [`LogText::MAX_LENGTH`] printable characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogText(String);

impl LogText {
    /// The greatest number of characters: a sentence with its causes.
    pub const MAX_LENGTH: usize = 300;

    /// Takes over a text; what is not printable becomes a space, what is too long is cut off.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let printable = |character: char| if character.is_control() { ' ' } else { character };
        Self(text.chars().take(Self::MAX_LENGTH).map(printable).collect())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogText {
    type Err = LogWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cut = Self::cut(text);
        if cut.0 == text {
            Ok(cut)
        } else {
            Err(LogWordError::Text)
        }
    }
}

impl fmt::Display for LogText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

serde_as_text!(LogHash, LogText);

/// The reason why a text is no word of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogWordError {
    /// The text names no log.
    #[error("there are the logs system, consumer and calibration")]
    Kind,
    /// The text is too long or not printable.
    #[error("a text in a log has at most {} printable characters", LogText::MAX_LENGTH)]
    Text,
}

/// Where a chain stands: how many entries it has had, and the hash of the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHead {
    /// The number of entries, which is the sequence of the last one; 0 before the first.
    pub count: u64,
    /// The hash of the last entry; before the first a constant of the log.
    pub hash: LogHash,
}

/// What an entry says, in any of the logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LogEvent {
    /// An event for the system log.
    System(SystemEvent),
    /// An event for the consumer log.
    Consumer(ConsumerEvent),
    /// An event for the calibration log.
    Calibration(CalibrationEvent),
}

impl LogEvent {
    /// Returns the log that the event belongs to.
    #[must_use]
    pub const fn kind(&self) -> LogKind {
        match self {
            Self::System(_) => LogKind::System,
            Self::Consumer(_) => LogKind::Consumer,
            Self::Calibration(_) => LogKind::Calibration,
        }
    }

    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::System(event) => event.code(),
            Self::Consumer(event) => event.code(),
            Self::Calibration(event) => event.code(),
        }
    }
}

impl fmt::Display for LogEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(event) => event.fmt(formatter),
            Self::Consumer(event) => event.fmt(formatter),
            Self::Calibration(event) => event.fmt(formatter),
        }
    }
}

impl From<SystemEvent> for LogEvent {
    fn from(event: SystemEvent) -> Self {
        Self::System(event)
    }
}

impl From<ConsumerEvent> for LogEvent {
    fn from(event: ConsumerEvent) -> Self {
        Self::Consumer(event)
    }
}

impl From<CalibrationEvent> for LogEvent {
    fn from(event: CalibrationEvent) -> Self {
        Self::Calibration(event)
    }
}

#[cfg(test)]
mod tests;
