//! What came of the card scripts, for people and as JSON.

use std::fmt;

use card::LifeCycle;
use model::CardId;
use serde::Serialize;

/// What came of each script. The schema is additive within its version.
#[derive(Debug, Serialize)]
pub(crate) struct SelftestView {
    schema: &'static str,
    /// The reader's name, or the soft card's file.
    reader: Option<String>,
    /// Whether the card is a file, or a program on a virtual reader: never so in production.
    soft_card: bool,
    /// The GUID that the card had, if it was somebody.
    guid: Option<CardId>,
    /// The card's state behind the last script; absent if it could not be read any more.
    pub(super) life_cycle: Option<LifeCycle>,
    pub(super) scripts: Vec<ScriptView>,
}

/// What came of a script.
#[derive(Debug, Serialize)]
pub(super) struct ScriptView {
    name: String,
    /// What it shows.
    title: String,
    dangerous: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// Every answer was the one that is asked for.
    Passed,
    /// An answer was another one, or what was computed from it does not come true.
    Failed {
        /// The line of its command, from 1.
        line: usize,
        /// The answer, in hexadecimal digits.
        #[serde(skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
        /// What does not come true, if it is not the answer itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The card was lost on the way.
    Unreachable {
        /// How.
        reason: String,
    },
    /// It was not run.
    Skipped {
        /// Why not.
        reason: String,
    },
}

/// The name of the schema and its version.
const SCHEMA: &str = "smgw.card-selftest/1";

impl SelftestView {
    pub(super) const fn new(reader: Option<String>, soft_card: bool, guid: Option<CardId>) -> Self {
        Self {
            schema: SCHEMA,
            reader,
            soft_card,
            guid,
            life_cycle: None,
            scripts: Vec::new(),
        }
    }

    /// Returns whether a script ran at all and every one that ran passed.
    pub(crate) fn has_passed(&self) -> bool {
        let passed = self.count(|outcome| *outcome == Outcome::Passed);
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped { .. }));
        passed > 0 && passed.saturating_add(skipped) == self.scripts.len()
    }

    fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.scripts.iter().filter(|script| of(&script.outcome)).count()
    }
}

impl ScriptView {
    pub(super) fn of(name: &str, title: &str, dangerous: bool, outcome: Outcome) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            dangerous,
            outcome,
        }
    }
}

impl fmt::Display for SelftestView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reader = self.reader.as_deref().unwrap_or("no reader");
        let soft = if self.soft_card {
            " (SOFT CARD, not for production)"
        } else {
            ""
        };
        writeln!(formatter, "card in {reader}{soft}")?;
        if let Some(guid) = self.guid {
            writeln!(formatter, "GUID {guid}")?;
        }
        for script in &self.scripts {
            writeln!(formatter, "{script}")?;
        }
        let passed = self.count(|outcome| *outcome == Outcome::Passed);
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped { .. }));
        let failed = self.scripts.len().saturating_sub(passed).saturating_sub(skipped);
        write!(formatter, "{passed} passed, {failed} failed, {skipped} not run")?;
        match self.life_cycle {
            Some(life_cycle) => writeln!(formatter, "; the card is {life_cycle}"),
            None => writeln!(formatter, "; the card is out of reach"),
        }
    }
}

impl fmt::Display for ScriptView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed { .. } | Outcome::Unreachable { .. } => "FAILED",
            Outcome::Skipped { .. } => "-",
        };
        write!(formatter, "{word:<7} {:<16} {}", self.name, self.title)?;
        match &self.outcome {
            Outcome::Passed => Ok(()),
            Outcome::Failed { line, answer, reason } => {
                let answer = answer.as_ref();
                let answer = answer.map(|answer| format!("line {line} is answered with {answer}"));
                let said = answer.or_else(|| reason.clone()).unwrap_or_default();
                write!(formatter, "\n          {said}")
            }
            Outcome::Unreachable { reason } | Outcome::Skipped { reason } => {
                write!(formatter, "\n          {reason}")
            }
        }
    }
}
