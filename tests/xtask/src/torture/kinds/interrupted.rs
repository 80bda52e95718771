//! Something happens at one call that a script makes: the process is killed before it, or it fails.
//!
//! The calls are enumerated from a recording of the script and not drawn by lot: random kills have found
//! none of three fatal points in 2,600 tries.

use std::path::Path;

use super::Kind;
use crate::torture::bases::{Base, Bases};
use crate::torture::bench::Bench;
use crate::torture::calls::{self, CHANGING, Call, Effect, Point, READING};
use crate::torture::disk::{Disk, History, Loss};
use crate::torture::error::TortureError;
use crate::torture::verdict::Outcome;

/// A script, the points of it, and what happens there.
struct Interruptions<'a> {
    scripts: Vec<(&'a Base, Vec<Point>)>,
    /// The number of calls that the points stand for.
    calls: usize,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Kill,
    Error(&'static str),
}

/// Prepares kills before every call of a script that changes a file, and one run that is left alone.
pub(super) fn kills<'a>(base: &'a Base, bench: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let calls = base.record(bench)?;
    let points = calls::points(&calls, changes);
    Ok(Box::new(Interruptions {
        scripts: vec![(base, points)],
        calls: calls.iter().filter(|call| changes(call)).count(),
        what: What::Kill,
    }))
}

/// How often a point in a thread of sled's is tried: it gathers writes, so one run makes two calls where another
/// makes one.
const SLED_TRIES: usize = 8;

/// Prepares a failure of every call of the three scripts, and one run of each that is left alone.
pub(super) fn errors<'a>(
    bases: &'a Bases,
    bench: &Bench,
    error: &'static str,
) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let is_full_disk = error == "ENOSPC";
    let mut scripts = Vec::new();
    let mut all = 0;
    for base in &bases.three {
        let calls = base.record(bench)?;
        let wanted = |call: &Call| changes(call) || (!is_full_disk && READING.contains(&call.name.as_str()));
        all += calls.iter().filter(|call| wanted(call)).count();
        scripts.push((base, calls::points(&calls, wanted)));
    }
    Ok(Box::new(Interruptions {
        scripts,
        calls: all,
        what: What::Error(error),
    }))
}

/// Whether the call changes a file: opening one counts if that makes or empties it.
fn changes(call: &Call) -> bool {
    let is_open = call.name == "openat";
    let is_act = matches!(call.effect, Effect::Acknowledge { .. });
    !is_act
        && CHANGING.contains(&call.name.as_str())
        && (!is_open || matches!(call.effect, Effect::Create { .. }))
}

impl Interruptions<'_> {
    /// Returns the script of a number, and its point; none stands for a run that is left alone.
    fn find(&self, mut number: usize) -> Option<(&Base, Option<&Point>)> {
        for (base, points) in &self.scripts {
            if number <= points.len() {
                return Some((base, points.get(number)));
            }
            number -= points.len() + 1;
        }
        None
    }
}

impl Interruptions<'_> {
    fn interrupt(
        &self,
        base: &Base,
        point: &Point,
        folder: &Path,
        bench: &mut Bench,
    ) -> Result<Outcome, TortureError> {
        match self.what {
            What::Kill => kill(base, point, folder, bench),
            What::Error(error) => fail(base, point, error, folder, bench),
        }
    }
}

fn kill(base: &Base, point: &Point, folder: &Path, bench: &mut Bench) -> Result<Outcome, TortureError> {
    let (run, was_reached) = calls::kill_at(bench, folder, base.script, point)?;
    let acknowledged = base.acknowledged_with(&run.acknowledged);
    Ok(Outcome {
        acknowledged: acknowledged.len(),
        verdict: bench.check(&folder.join("store"), &acknowledged, true)?,
        missed: !was_reached,
        ..Outcome::default()
    })
}

/// Has a call fail and looks at the store; then at what would be left if the power went next.
///
/// What an fsync failed for is gone then: so an error that nobody was told of is found where it costs something.
fn fail(
    base: &Base,
    point: &Point,
    error: &str,
    folder: &Path,
    bench: &mut Bench,
) -> Result<Outcome, TortureError> {
    let (run, was_reached, calls) = calls::fail_at(bench, folder, base.script, point, error)?;
    let acknowledged = base.acknowledged_with(&run.acknowledged);
    let mut verdict = run.verdict();
    verdict.add(bench.check(&folder.join("store"), &acknowledged, true)?);
    if let Some(calls) = calls {
        let history = History::new(Disk::read(&base.folder)?, &calls);
        for loss in [Loss::Everything, Loss::Content] {
            let folder = bench.state_folder()?;
            history.disk(history.len(), loss).write(&folder)?;
            let mut behind = bench.check(&folder.join("store"), &acknowledged, true)?;
            behind.say_when("without power next: ");
            verdict.add(behind);
        }
    }
    Ok(Outcome {
        acknowledged: acknowledged.len(),
        verdict,
        unreported: was_reached && run.status.success(),
        missed: !was_reached,
        ..Outcome::default()
    })
}

impl Kind for Interruptions<'_> {
    fn count(&self) -> usize {
        self.scripts.iter().map(|(_, points)| points.len() + 1).sum()
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let Some((base, point)) = self.find(number) else {
            return Ok(Outcome::default());
        };
        let folder = base.copy(bench)?;
        let store = folder.join("store");
        let Some(point) = point else {
            let acknowledged = base.acknowledged_with(&bench.prepare(&store, base.script)?);
            return Ok(Outcome {
                what: format!("{} left alone", base.name),
                acknowledged: acknowledged.len(),
                verdict: bench.check(&store, &acknowledged, true)?,
                ..Outcome::default()
            });
        };
        let mut outcome = self.interrupt(base, point, &folder, bench)?;
        let mut tries = 1;
        while outcome.missed && !point.is_main && tries < SLED_TRIES {
            let folder = base.copy(bench)?;
            outcome = self.interrupt(base, point, &folder, bench)?;
            tries += 1;
        }
        if !point.is_main {
            outcome.elusive = std::mem::take(&mut outcome.missed);
        }
        outcome.what = format!(
            "{}, {} {} {} of {}",
            base.name,
            match self.what {
                What::Kill => "killed before",
                What::Error(error) => error,
            },
            point.name,
            point.number,
            point.path.display()
        );
        Ok(outcome)
    }

    fn describe(&self) -> String {
        let points: usize = self.scripts.iter().map(|(_, points)| points.len()).sum();
        let scripts = self.scripts.iter();
        let scripts: Vec<String> = scripts
            .map(|(base, _)| format!("{} store: {:?}", base.name, base.script))
            .collect();
        format!("{points} points of {} calls ({})", self.calls, scripts.join("; "))
    }
}
