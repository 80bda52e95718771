//! What a step has looked at: one thing, what was measured, and what to do about it.

use serde::{Deserialize, Serialize};

use super::what::What;
use crate::doctor::{Check as Examined, Outcome};

/// How it stands with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It is as it should be.
    Good,
    /// It is to be known, and stops nothing.
    Note,
    /// It works, and something is wrong.
    Warning,
    /// It is to be looked after before the step is done.
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
    /// The particulars of a fault, or why it was not looked at, in English, as the log and the command line have them.
    #[serde(default)]
    pub(super) cause: Option<String>,
    /// What to do about it, in English, if it is not what the catalogue of codes has.
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

    /// Takes over what an examination has found: its verdict, its measured value, its code and its particulars.
    pub(super) fn examined(what: What, found: &Examined) -> Self {
        let measured = match (&found.measured, found.took_ms) {
            (Some(measured), Some(took)) => Some(format!("{measured} ({took} ms)")),
            (None, Some(took)) => Some(format!("{took} ms")),
            (measured, None) => measured.clone(),
        };
        let has_reason = found.code.is_some() || found.outcome == Outcome::NotChecked;
        let is_told = has_reason && found.measured.as_ref() != Some(&found.found);
        Self {
            verdict: Verdict::from(found.outcome),
            measured,
            time: found.time,
            code: found.code.clone(),
            cause: is_told.then(|| found.found.clone()),
            remedy: found.remedy.clone(),
            ..Self::new(what, Verdict::Good)
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::Good,
            Outcome::NotChecked => Self::NotReached,
            Outcome::Notice => Self::Note,
            Outcome::Warning => Self::Warning,
            Outcome::Error => Self::Problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::examination as codes;
    use crate::doctor::Area;

    #[test]
    fn what_an_examination_finds_keeps_its_code_remedy_and_measured_value() {
        let found = Examined::warning(Area::Data, "space", codes::DATA_LOW, "5 MiB of 9 MiB are free");
        let check = Check::examined(What::Space, &found.measuring("5 MiB / 9 MiB"));
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(check.code.as_deref(), Some("SMGW-D-0205"));
        assert_eq!(check.remedy.as_deref(), Some(codes::DATA_LOW.remedy));
        assert_eq!(check.measured.as_deref(), Some("5 MiB / 9 MiB"));
        assert_eq!(check.cause.as_deref(), Some("5 MiB of 9 MiB are free"));
        let good =
            Examined::good(Area::Wan, "TCP", "it is there").within(std::time::Duration::from_millis(7));
        let check = Check::examined(What::Tcp, &good);
        assert_eq!((check.measured.as_deref(), check.cause), (Some("7 ms"), None));
    }
}
