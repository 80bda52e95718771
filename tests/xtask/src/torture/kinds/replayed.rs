//! Recorded calls, rebuilt in every prefix: whole, cut off, torn, re-ordered and with garbage.

use std::collections::BTreeMap;

use super::Kind;
use crate::torture::bases::{Base, Bases};
use crate::torture::bench::Bench;
use crate::torture::disk::{Disk, History, Loss};
use crate::torture::error::TortureError;
use crate::torture::verdict::Outcome;

/// How many random fates each prefix is tried with.
const FATES: u64 = 48;

struct Replays<'a> {
    scripts: Vec<(&'a Base, History)>,
    /// Script, number of changes, what happens to the last ones; each with another disk.
    states: Vec<(usize, usize, Loss)>,
}

/// Records the three scripts and finds the disks that differ.
pub(super) fn prepare<'a>(bases: &'a Bases, bench: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let mut scripts = Vec::new();
    for base in &bases.three {
        let calls = base.record(bench)?;
        scripts.push((base, History::new(Disk::read(&base.folder)?, &calls)));
    }
    let mut distinct = BTreeMap::new();
    for (script, (_, history)) in scripts.iter().enumerate() {
        let mut settled = history.begin();
        for until in 1..=history.len() {
            let fates = (0..FATES).map(|fate| {
                let script = u64::try_from(script).unwrap_or(0);
                let until = u64::try_from(until).unwrap_or(0);
                Loss::Random((script << 32) | (until << 8) | fate)
            });
            for loss in [Loss::Nothing, Loss::Everything, Loss::Content]
                .into_iter()
                .chain(fates)
            {
                // Of two prefixes with the same disk the longer one counts: more was acknowledged.
                let digest = history.disk_behind(&mut settled, until, loss).digest();
                distinct.insert(digest, (script, until, loss));
            }
        }
    }
    let mut states: Vec<_> = distinct.into_values().collect();
    states.sort_by_key(|(script, until, loss)| (*script, *until, format!("{loss:?}")));
    Ok(Box::new(Replays { scripts, states }))
}

impl Kind for Replays<'_> {
    fn count(&self) -> usize {
        self.states.len()
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let Some((script, until, loss)) = self.states.get(number).copied() else {
            return Ok(Outcome::default());
        };
        let (base, history) = &self.scripts[script];
        let folder = bench.state_folder()?;
        history.disk(until, loss).write(&folder)?;
        let acknowledged = base.acknowledged_with(&history.acknowledged(until));
        Ok(Outcome {
            what: format!(
                "{}, first {until} of {} changes, lost: {loss:?}",
                base.name,
                history.len()
            ),
            acknowledged: acknowledged.len(),
            verdict: bench.check(&folder.join("store"), &acknowledged, true)?,
            ..Outcome::default()
        })
    }

    fn describe(&self) -> String {
        let changes: usize = self.scripts.iter().map(|(_, history)| history.len()).sum();
        format!(
            "{} distinct disks out of {changes} recorded changes",
            self.states.len()
        )
    }
}
