//! The kinds of torture.

mod files;
mod flips;
mod full;
mod interrupted;
mod killed;
mod power;
mod replayed;

use super::bases::Bases;
use super::bench::Bench;
use super::error::TortureError;
use super::verdict::{Judgement, Outcome};

/// States of one kind, each with a number.
pub(super) trait Kind: Sync {
    /// Returns the number of states.
    fn count(&self) -> usize;

    /// Makes the state of a number and looks at it.
    ///
    /// # Errors
    ///
    /// [`TortureError`] if it could not be made; what the store did wrong is in the outcome.
    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError>;

    /// Says what the states are.
    fn describe(&self) -> String;
}

/// How the states of a kind are made ready.
type Prepare = for<'a> fn(&'a Bases, &Bench) -> Result<Box<dyn Kind + 'a>, TortureError>;

/// A kind by its name.
pub(super) struct Listed {
    pub(super) name: &'static str,
    pub(super) judgement: Judgement,
    /// How many states the short form tries, spread evenly over all.
    pub(super) short: usize,
    pub(super) prepare: Prepare,
}

/// Every kind, the quickest to find a fault first.
pub(super) const KINDS: [Listed; 19] = [
    listed("kill-fresh", Judgement::Interrupted, 120, |bases, bench| {
        interrupted::kills(&bases.three[0], bench)
    }),
    listed("kill-bound", Judgement::Interrupted, 100, |bases, bench| {
        interrupted::kills(&bases.three[1], bench)
    }),
    listed("kill-reopened", Judgement::Interrupted, 100, |bases, bench| {
        interrupted::kills(&bases.three[2], bench)
    }),
    listed("kill-random", Judgement::Interrupted, 100, killed::prepare),
    listed("power", Judgement::Interrupted, 12, power::prepare),
    listed("replay", Judgement::Interrupted, 500, replayed::prepare),
    listed("eio", Judgement::Interrupted, 45, |bases, bench| {
        interrupted::errors(bases, bench, "EIO")
    }),
    listed("enospc", Judgement::Interrupted, 25, |bases, bench| {
        interrupted::errors(bases, bench, "ENOSPC")
    }),
    listed("full", Judgement::Interrupted, 18, full::full),
    listed("read-only", Judgement::Interrupted, 6, full::read_only),
    listed("flip-bindings", Judgement::Damaged, 600, flips::bindings),
    listed("flip-readings", Judgement::Damaged, 400, flips::readings),
    listed("flip-witness", Judgement::Damaged, 100, flips::witness),
    listed("flip-wal", Judgement::Damaged, 100, flips::wal),
    listed("flip-logs", Judgement::Damaged, 100, flips::logs),
    listed("files-bindings", Judgement::Damaged, 90, files::bindings),
    listed("files-readings", Judgement::Damaged, 80, files::readings),
    listed("files-logs", Judgement::Damaged, 80, files::logs),
    listed("taken-back", Judgement::TakenBack, 10, files::taken_back),
];

const fn listed(name: &'static str, judgement: Judgement, short: usize, prepare: Prepare) -> Listed {
    Listed {
        name,
        judgement,
        short,
        prepare,
    }
}
