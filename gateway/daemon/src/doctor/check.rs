//! What came of looking at one thing: the same for the examination and for the installation, which each put it into their words.

use std::fmt;
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codes::Code;

/// What part of the gateway a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Area {
    Configuration,
    Service,
    Data,
    Card,
    Clock,
    Wan,
    Meters,
    Logs,
    Web,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// As it should be.
    Good,
    /// It could not be told, for the reason that is said.
    NotChecked,
    /// Worth knowing, and no fault.
    Notice,
    /// It works, and something is wrong.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at: what was found, and, if something is wrong, its code, cause and remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) area: Area,
    /// What was looked at, such as `space` or `meter gas`.
    pub(crate) what: String,
    pub(crate) outcome: Outcome,
    /// What was found or measured, in words.
    pub(crate) found: String,
    /// What was measured alone: names, numbers and their units, the same in every language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) measured: Option<String>,
    /// A time that belongs to it, such as the end of a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<Timestamp>,
    /// How long it took to find out, where that says something, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) took_ms: Option<u64>,
    /// The stable code, if something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// The cause, as the catalogue of codes has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Check {
    /// Notes that something is as it should be.
    pub(crate) fn good(area: Area, what: &str, found: impl Into<String>) -> Self {
        Self::new(area, what, Outcome::Good, found.into(), None)
    }

    /// Notes that it could not be told how something is, and why.
    pub(crate) fn not_checked(area: Area, what: &str, why: impl Into<String>) -> Self {
        Self::new(area, what, Outcome::NotChecked, why.into(), None)
    }

    /// Notes something that is worth knowing.
    pub(crate) fn notice(area: Area, what: &str, code: Code, found: impl Into<String>) -> Self {
        Self::new(area, what, Outcome::Notice, found.into(), Some(code))
    }

    /// Notes something that is wrong, with which the gateway works.
    pub(crate) fn warning(area: Area, what: &str, code: Code, found: impl Into<String>) -> Self {
        Self::new(area, what, Outcome::Warning, found.into(), Some(code))
    }

    /// Notes something that does not work.
    pub(crate) fn error(area: Area, what: &str, code: Code, found: impl Into<String>) -> Self {
        Self::new(area, what, Outcome::Error, found.into(), Some(code))
    }

    fn new(area: Area, what: &str, outcome: Outcome, found: String, code: Option<Code>) -> Self {
        Self {
            area,
            what: what.to_owned(),
            outcome,
            found,
            measured: None,
            time: None,
            took_ms: None,
            code: code.map(|code| code.code.to_owned()),
            cause: code.map(|code| code.cause.to_owned()),
            remedy: code.map(|code| code.remedy.to_owned()),
        }
    }

    /// Takes over what another part has found, with its own code and remedy.
    pub(crate) fn of_code(area: Area, what: &str, code: &str, found: &str, remedy: &str) -> Self {
        let known = crate::codes::find(code);
        Self {
            code: Some(code.to_owned()),
            cause: Some(known.map_or(found, |known| known.cause).to_owned()),
            remedy: Some(remedy.to_owned()),
            ..Self::new(area, what, Outcome::Error, found.to_owned(), None)
        }
    }

    /// Says what was measured, without words.
    pub(crate) fn measuring(mut self, measured: impl Into<String>) -> Self {
        self.measured = Some(measured.into());
        self
    }

    /// Says which time belongs to it.
    pub(crate) const fn at(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// Says how long it took.
    pub(crate) fn within(mut self, time: Duration) -> Self {
        self.took_ms = u64::try_from(time.as_millis()).ok();
        self
    }

    /// Returns whether something is wrong.
    pub(crate) fn is_finding(&self) -> bool {
        self.outcome >= Outcome::Warning
    }
}

impl fmt::Display for Area {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Configuration => "configuration",
            Self::Service => "service",
            Self::Data => "data",
            Self::Card => "card",
            Self::Clock => "clock",
            Self::Wan => "WAN",
            Self::Meters => "meters",
            Self::Logs => "logs",
            Self::Web => "local web",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Good => "good",
            Self::NotChecked => "-",
            Self::Notice => "notice",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            area,
            what,
            outcome,
            found,
            ..
        } = self;
        write!(formatter, "{outcome:<8} {area:<13} {what}: {found}")?;
        match self.took_ms {
            Some(ms) => writeln!(formatter, " ({ms} ms)")?,
            None => writeln!(formatter)?,
        }
        if let (Some(code), Some(cause), Some(remedy)) = (&self.code, &self.cause, &self.remedy) {
            writeln!(formatter, "         {code}: {cause}")?;
            writeln!(formatter, "         {remedy}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::examination as codes;

    #[test]
    fn finding_says_code_cause_and_remedy_and_anything_else_none() {
        let full = Check::error(Area::Data, "space", codes::DATA_FULL, "0 bytes left");
        let text = full.to_string();
        for part in [
            "ERROR",
            "space: 0 bytes left",
            "SMGW-D-0204",
            codes::DATA_FULL.remedy,
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(full.is_finding());
        let good = Check::good(Area::Data, "space", "plenty").within(Duration::from_millis(7));
        assert_eq!(good.to_string(), "good     data          space: plenty (7 ms)\n");
        for check in [good, Check::not_checked(Area::Wan, "broker", "no daemon")] {
            assert!(!check.is_finding());
            let json = serde_json::to_value(&check).unwrap();
            assert!(json.get("code").is_none(), "{json}");
        }
    }
}
