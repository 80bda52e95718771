//! The stores that a torture begins with, each with the script that goes on with it.

use std::path::{Path, PathBuf};

use super::bench::Bench;
use super::calls::{self, Call, Point};
use super::error::TortureError;
use super::folders;

/// A store as a former run has left it.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) name: &'static str,
    /// The folder that the folder `store` is in.
    pub(super) folder: PathBuf,
    /// What it has acknowledged so far.
    pub(super) acknowledged: Vec<String>,
    /// The script that goes on with it.
    pub(super) script: &'static str,
}

/// The runs that make each store, and what is done once it is there.
const SCRIPTS: [(&str, &[&str], &str); 3] = [
    (
        "fresh",
        &[],
        "open round:0 remember:0 log:0 begin burn advance:1 bundle:1 post:0 queue:0 day:0 seal:1 sign reopen \
         receipt:0 round:1 log:1",
    ),
    (
        "bound",
        &[BOUND],
        "open round:10 remember:10 log:10 bundle:10 post:10 receipt:0 forget:1 seal:3 sign reopen advance:10 \
         round:11 tamper round:12 log:12",
    ),
    (
        "reopened",
        &[
            BOUND,
            "open round:1 bundle:2 log:1",
            "open round:2 remember:2 queue:2 sign",
        ],
        "open round:10 advance:10 log:10 receipt:0 reopen remember:11 terminated log:12 reopen round:13",
    ),
];

/// A store that is bound, with a few of everything.
const BOUND: &str =
    "open round:0 remember:0 log:0 days:0-3 seal:2 begin burn advance:1 bundle:1 post:0 queue:0";

/// Some days of readings, four of them sealed, and two days of rounds.
const DAYS: &str = "open begin burn days:0-6 seal:4 mix:0-192 sign";

/// The last run of the store that was given up.
const GIVEN_UP: &str = "open round:3 log:3 tamper";

/// What the store that was killed was at, and behind how many writes of its database's log it is killed.
const KILLED: &str = "open begin burn mix:0-192";
const KILLED_AT: usize = 100;

/// The stores that the kinds of torture share.
#[derive(Debug)]
pub(super) struct Bases {
    /// Nothing yet; bound by one run and never opened since; bound and opened twice.
    pub(super) three: Vec<Base>,
    /// Bound, with some days of readings.
    pub(super) days: Base,
    /// Bound and then given up: the tamper lock is burned.
    pub(super) given_up: Base,
    /// Killed in its first run: what it has acknowledged stands in the database's log only.
    pub(super) killed: Base,
}

impl Bases {
    /// Makes them below a folder.
    pub(super) fn prepare(folder: &Path, bench: &Bench) -> Result<Self, TortureError> {
        let base = |name: &'static str, runs: &[&str], script| {
            let folder = folder.join(name);
            folders::empty(&folder)?;
            let mut acknowledged = Vec::new();
            for run in runs {
                acknowledged.extend(bench.prepare(&folder.join("store"), run)?);
            }
            Ok(Base {
                name,
                folder,
                acknowledged,
                script,
            })
        };
        let three: Result<_, TortureError> = SCRIPTS
            .iter()
            .map(|(name, runs, script)| base(name, runs, script))
            .collect();
        Ok(Self {
            three: three?,
            days: base("days", &[DAYS], "")?,
            given_up: base("given-up", &[BOUND, GIVEN_UP], "")?,
            killed: killed(&folder.join("killed"), bench)?,
        })
    }
}

/// Makes the store that was killed.
fn killed(folder: &Path, bench: &Bench) -> Result<Base, TortureError> {
    folders::empty(folder)?;
    let point = Point::of_file("fdatasync", "store/gateway.db-wal", KILLED_AT);
    let (run, was_killed) = calls::kill_at(bench, folder, KILLED, &point)?;
    if !was_killed {
        return Err(TortureError::Script {
            script: KILLED.to_owned(),
            why: "it was to be killed and was not".to_owned(),
        });
    }
    Ok(Base {
        name: "killed",
        folder: folder.to_owned(),
        acknowledged: run.acknowledged,
        script: "",
    })
}

impl Base {
    /// Copies the store into the folder for a state and returns that.
    pub(super) fn copy(&self, bench: &Bench) -> Result<PathBuf, TortureError> {
        let folder = bench.state_folder()?;
        folders::copy(&self.folder, &folder)?;
        Ok(folder)
    }

    /// Runs the script once, undisturbed, and returns the calls that it made.
    pub(super) fn record(&self, bench: &Bench) -> Result<Vec<Call>, TortureError> {
        let folder = self.copy(bench)?;
        calls::record(bench, &folder, self.script)
    }

    /// Returns what it has acknowledged, with what a later run acknowledged besides.
    pub(super) fn acknowledged_with(&self, later: &[String]) -> Vec<String> {
        self.acknowledged.iter().chain(later).cloned().collect()
    }
}
