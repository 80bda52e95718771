//! How far each schedule has been kept: what the gateway sends by itself is sent once, across restarts too.
//!
//! One file, replaced as a whole, with a checksum. One that is lost or damaged is as good as empty: what is sent again then is
//! told apart by its recipient.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use sha2::{Digest, Sha256};

use crate::files::{self, FileError};

/// The name of the file.
const NAME: &str = "schedules";
/// The first line of the file.
const HEADER: &str = "smgw schedules 1";
/// The greatest length of the file in bytes: a line for each schedule, header and checksum.
const MAX_FILE: u64 = 256 * 1_024;

/// Names a schedule: a digest of whatever it belongs to.
pub type ScheduleKey = [u8; 16];

/// How far each schedule has been kept.
#[derive(Debug)]
pub struct Schedules {
    folder: PathBuf,
    kept: Mutex<BTreeMap<ScheduleKey, Timestamp>>,
}

impl Schedules {
    /// How many schedules are known at most: one for each grant of a bundle, and as many of delivery rules.
    pub const MAX_COUNT: usize = 2_048;

    /// Reads what is known; nothing, if the file is damaged.
    pub(crate) fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            kept: Mutex::new(read(&folder.join(NAME)).unwrap_or_default()),
        }
    }

    /// Returns up to when a schedule has been kept, if it is known.
    #[must_use]
    pub fn kept_until(&self, schedule: &ScheduleKey) -> Option<Timestamp> {
        self.lock().get(schedule).copied()
    }

    /// Takes note that a schedule has been kept up to a time; on return it is on the disk. Beyond
    /// [`Schedules::MAX_COUNT`] a schedule is not remembered.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be written; nothing is noted then.
    pub fn keep(&self, schedule: ScheduleKey, until: Timestamp) -> Result<(), FileError> {
        let mut kept = self.lock();
        if kept.len() >= Self::MAX_COUNT && !kept.contains_key(&schedule) {
            return Ok(());
        }
        let mut next = kept.clone();
        next.insert(schedule, until);
        self.write(&next)?;
        *kept = next;
        Ok(())
    }

    /// Forgets all schedules but these.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be written; nothing is forgotten then.
    pub fn keep_only(&self, wanted: &BTreeSet<ScheduleKey>) -> Result<(), FileError> {
        let mut kept = self.lock();
        let mut next = kept.clone();
        next.retain(|schedule, _| wanted.contains(schedule));
        if next.len() < kept.len() {
            self.write(&next)?;
            *kept = next;
        }
        Ok(())
    }

    fn write(&self, kept: &BTreeMap<ScheduleKey, Timestamp>) -> Result<(), FileError> {
        let lines = kept
            .iter()
            .map(|(schedule, until)| format!("{} {}\n", hex(schedule), until.unix_seconds()));
        let text = format!("{HEADER}\n{}", lines.collect::<String>());
        let sum = hex(&Sha256::digest(&text));
        files::replace(&self.folder, NAME, format!("{text}{sum}\n").as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ScheduleKey, Timestamp>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Option<BTreeMap<ScheduleKey, Timestamp>> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<BTreeMap<ScheduleKey, Timestamp>> {
    let (body, sum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let body = format!("{body}\n");
    if hex(&Sha256::digest(&body)) != sum {
        return None;
    }
    let lines = body.strip_prefix(HEADER)?.strip_prefix('\n')?.lines();
    let entries = lines.take(Schedules::MAX_COUNT).map(|line| {
        let (schedule, until) = line.split_once(' ')?;
        let until = Timestamp::from_unix_seconds(until.parse().ok()?).ok()?;
        Some((from_hex(schedule)?, until))
    });
    entries.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<ScheduleKey> {
    let number = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok())?;
    number.map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    #[test]
    fn what_was_kept_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let schedules = Schedules::open(folder.path());
        assert_eq!(schedules.kept_until(&[1; 16]), None);
        schedules.keep([1; 16], at(900)).unwrap();
        schedules.keep([2; 16], at(-1)).unwrap();
        schedules.keep([1; 16], at(1_800)).unwrap();
        let again = Schedules::open(folder.path());
        assert_eq!(again.kept_until(&[1; 16]), Some(at(1_800)));
        assert_eq!(again.kept_until(&[2; 16]), Some(at(-1)));
        again.keep_only(&BTreeSet::from([[2; 16]])).unwrap();
        let last = Schedules::open(folder.path());
        assert_eq!(
            (last.kept_until(&[1; 16]), last.kept_until(&[2; 16])),
            (None, Some(at(-1)))
        );
    }

    #[test]
    fn damaged_schedules_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        Schedules::open(folder.path()).keep([1; 16], at(900)).unwrap();
        let path = folder.path().join(NAME);
        let sound = fs::read(&path).unwrap();
        for place in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[place] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(
                Schedules::open(folder.path()).kept_until(&[1; 16]),
                None,
                "{place}"
            );
            fs::write(&path, &sound[..place]).unwrap();
            assert_eq!(
                Schedules::open(folder.path()).kept_until(&[1; 16]),
                None,
                "{place}"
            );
        }
        let again = Schedules::open(folder.path());
        again.keep([1; 16], at(1)).unwrap();
        assert_eq!(Schedules::open(folder.path()).kept_until(&[1; 16]), Some(at(1)));
    }

    #[test]
    fn their_number_is_bounded_and_the_file_holds_them_all() {
        let folder = tempfile::tempdir().unwrap();
        let all: BTreeMap<ScheduleKey, Timestamp> = (0..Schedules::MAX_COUNT)
            .map(|number| (u128::try_from(number).unwrap().to_be_bytes(), at(4_000_000_000)))
            .collect();
        let schedules = Schedules::open(folder.path());
        schedules.write(&all).unwrap();
        let full = Schedules::open(folder.path());
        assert_eq!(full.lock().len(), Schedules::MAX_COUNT);
        full.keep([0xff; 16], at(1)).unwrap();
        assert_eq!(full.kept_until(&[0xff; 16]), None);
        full.keep([0; 16], at(2)).unwrap();
        assert_eq!(full.kept_until(&[0; 16]), Some(at(2)));
    }
}
