//! What a step has looked at: one thing, what was measured, and what to do about it.

use serde::{Deserialize, Serialize};

use super::what::What;
use crate::mounts::Finding;

/// How it stands with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It is as it should be.
    Good,
    /// It is to be known, and stops nothing.
    Note,
    /// It is to be looked after.
    Problem,
    /// It was not looked at, since something before it failed or it is not wanted here.
    NotReached,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Check {
    pub(super) what: What,
    pub(super) verdict: Verdict,
    /// What was measured or read: names, numbers and their units, the same in every language.
    #[serde(default)]
    pub(super) measured: Option<String>,
    /// A time that belongs to it, such as the end of a certificate.
    #[serde(default)]
    pub(super) time: Option<model::Timestamp>,
    /// The stable code of a fault.
    #[serde(default)]
    pub(super) code: Option<String>,
    /// The cause, in English, as the log and the command line have it.
    #[serde(default)]
    pub(super) cause: Option<String>,
    /// What to do about it, in English, if it is not what is always to be done about such a thing.
    #[serde(default)]
    pub(super) remedy: Option<String>,
}

impl Check {
    /// Looks at something.
    pub(super) const fn new(what: What, verdict: Verdict) -> Self {
        Self {
            what,
            verdict,
            measured: None,
            time: None,
            code: None,
            cause: None,
            remedy: None,
        }
    }

    /// Something that is as it should be, or not.
    pub(super) const fn of(what: What, is_good: bool) -> Self {
        Self::new(what, if is_good { Verdict::Good } else { Verdict::Problem })
    }

    /// With what was measured.
    pub(super) fn measured(mut self, measured: impl Into<String>) -> Self {
        self.measured = Some(measured.into());
        self
    }

    /// With the cause of a fault.
    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With a time.
    pub(super) const fn at(mut self, time: model::Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// A fault that the rest of the gateway has found, with its code.
    pub(super) fn fault(what: What, fault: &Finding) -> Self {
        Self {
            code: Some(fault.code.clone()),
            cause: Some(fault.text.clone()),
            remedy: Some(fault.remedy.clone()),
            ..Self::new(what, Verdict::Problem)
        }
    }
}
