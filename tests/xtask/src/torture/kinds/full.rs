//! A disk that is full, and one that cannot be written.

use std::fs;

use super::Kind;
use super::killed::endless;
use crate::torture::bases::{Base, Bases};
use crate::torture::bench::Bench;
use crate::torture::error::TortureError;
use crate::torture::folders;
use crate::torture::mounts::Mount;
use crate::torture::verdict::Outcome;

/// The unit of the sizes.
const PAGE: u64 = 4_096;

/// The number of sizes that are tried: from next to nothing to 2.7 MB, which is more than a new store takes; the
/// small ones lie closer together.
const SIZES: usize = 60;

/// What is added to the disk when it is to have room again.
const ROOM_BYTES: u64 = 16 << 20;

struct Full<'a> {
    bases: &'a Bases,
}

struct ReadOnly<'a> {
    bases: &'a Bases,
}

/// Prepares disks of many sizes, on which each store runs until there is no room left.
pub(super) fn full<'a>(bases: &'a Bases, bench: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    drop(Mount::memory(PAGE, &bench.folder().join("probe"))?);
    Ok(Box::new(Full { bases }))
}

/// Prepares disks that cannot be written, with each store on them.
pub(super) fn read_only<'a>(bases: &'a Bases, bench: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    drop(Mount::memory(PAGE, &bench.folder().join("probe"))?);
    Ok(Box::new(ReadOnly { bases }))
}

/// Returns the bytes that the files of a store take, in whole pages.
fn bytes(base: &Base) -> Result<u64, TortureError> {
    let mut bytes = 0;
    for file in folders::files(&base.folder)? {
        let path = base.folder.join(file);
        let length = fs::metadata(&path).map_err(TortureError::file(&path))?.len();
        bytes += length.next_multiple_of(PAGE);
    }
    Ok(bytes)
}

impl Kind for Full<'_> {
    fn count(&self) -> usize {
        SIZES * self.bases.three.len()
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let base = &self.bases.three[number % self.bases.three.len()];
        let pages = number / self.bases.three.len();
        let room = PAGE * u64::try_from(pages * (pages + 6) / 6 + 1).unwrap_or(1);
        let size = bytes(base)? + room;
        let mount = Mount::memory(size, &bench.state_folder()?)?;
        folders::copy(&base.folder, mount.folder())?;
        let store = mount.folder().join("store");
        let run = bench.act(&[], &store, endless(base))?;
        let acknowledged = base.acknowledged_with(&run.acknowledged);
        let mut verdict = run.verdict();
        // On the full disk a bound gateway must still know its card; a new one may fail to begin.
        let is_bound = acknowledged.iter().any(|act| act == "burn");
        let mut at_full = bench.check(&store, &acknowledged, false)?;
        if !is_bound {
            at_full.closed.clear();
        }
        at_full
            .closed
            .iter_mut()
            .for_each(|why| why.insert_str(0, "while full: "));
        verdict.add(at_full);
        mount.change(&format!("size={}", size + ROOM_BYTES))?;
        verdict.add(bench.check(&store, &acknowledged, true)?);
        Ok(Outcome {
            what: format!("{}, room for {room} bytes more", base.name),
            acknowledged: acknowledged.len(),
            verdict,
            unreported: run.status.success(),
            ..Outcome::default()
        })
    }

    fn describe(&self) -> String {
        "a small disk in memory: run until it is full, looked at while full and with room again".to_owned()
    }
}

impl Kind for ReadOnly<'_> {
    fn count(&self) -> usize {
        // Each store as its last run left it, and as a kill in the middle of a run leaves it.
        self.bases.three.len() * 2
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let base = &self.bases.three[number / 2];
        let is_killed = number % 2 == 1;
        let mount = Mount::memory(ROOM_BYTES, &bench.state_folder()?)?;
        folders::copy(&base.folder, mount.folder())?;
        let store = mount.folder().join("store");
        let mut acknowledged = base.acknowledged.clone();
        if is_killed {
            let before = ["timeout", "--signal=KILL", "0.03"];
            acknowledged.extend(bench.act(&before, &store, endless(base))?.acknowledged);
        }
        mount.change("ro")?;
        let run = bench.act(&[], &store, base.script)?;
        let mut verdict = run.verdict();
        let mut at_read_only = bench.check(&store, &acknowledged, false)?;
        // Nothing can be kept on such a disk: that it is said is all that is asked for.
        at_read_only.closed.clear();
        at_read_only.reported.clear();
        at_read_only.say_when("while read-only: ");
        verdict.add(at_read_only);
        mount.change("rw")?;
        verdict.add(bench.check(&store, &acknowledged, true)?);
        let state = if is_killed { "killed" } else { "closed" };
        Ok(Outcome {
            what: format!("{}, {state}, then read-only", base.name),
            acknowledged: acknowledged.len(),
            verdict,
            unreported: run.status.success(),
            ..Outcome::default()
        })
    }

    fn describe(&self) -> String {
        "a disk in memory, mounted again read-only, then writable again".to_owned()
    }
}
