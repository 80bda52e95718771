//! What the database itself says is lost.

use store::{Database, Loss, Lost, RowKind};

use crate::verdict::Verdict;

/// The greatest number of sealed days that are checked; a store of the torture has some dozens.
const MAX_DAYS: u64 = 64;

/// The losses that are told of, and so must not be counted as silent ones.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<Lost>);

impl Told {
    /// Has every sealed day checked and asks for the losses.
    pub(super) fn ask(database: &Database, verdict: &mut Verdict) -> Self {
        for step in 0..MAX_DAYS {
            if let Err(error) = database.check(step) {
                verdict.report("check", &error);
                break;
            }
        }
        let losses = database.losses();
        if !losses.is_empty() {
            let losses: Vec<&Lost> = losses.iter().map(|loss| &loss.lost).collect();
            verdict.reported.push(format!("losses: {losses:?}"));
        }
        Self(losses.iter().map(|Loss { lost, .. }| *lost).collect())
    }

    /// Returns whether rows of these kinds are said to be lost, or something that they may be lost with.
    pub(super) fn tell_of(&self, kinds: &[RowKind]) -> bool {
        self.0.iter().any(|lost| match lost {
            Lost::Rows { kind, .. } => kinds.contains(kind),
            Lost::Commits { .. }
            | Lost::Replaced
            | Lost::Head
            | Lost::Witness
            | Lost::Database
            | Lost::Salvaged => true,
        })
    }
}
