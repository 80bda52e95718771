//! A disk that loses power: what recorded calls may have left behind.
//!
//! What stood before a completed fsync of its file is there. Of what was written later, each piece may be
//! there, be missing, be torn at a sector, or be garbage in the sectors that it wrote. Names (made,
//! renamed, removed) come onto the disk in their order, as journaling file systems see to it: up to the last
//! one whose folder was forced onto the disk at least, and at most all. `sync_file_range` forces nothing.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use super::calls::{Call, Effect};
use super::content::Content;
use super::error::TortureError;
use super::folders;
use super::random::Random;

/// The piece in bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// A file whose content means nothing to anybody: only its length is followed.
const FILLER: &str = "store/bindings/reserve";

/// Files and folders by their names, and the content of the files by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    names: BTreeMap<PathBuf, Entry>,
    content: BTreeMap<usize, Content>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// A change with the files' numbers found out, so that it can be left out or done out of order.
#[derive(Debug)]
enum Change {
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: usize,
        length: usize,
    },
    Name {
        path: PathBuf,
        change: NameChange,
    },
    SyncFile {
        file: usize,
    },
    SyncFolder {
        path: PathBuf,
    },
    FailedSyncFile {
        file: usize,
    },
    Acknowledge {
        act: String,
    },
}

#[derive(Debug)]
enum NameChange {
    Make(Entry),
    Rename(PathBuf),
    Remove,
}

/// What is done with the changes that no fsync has covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Loss {
    /// All of them are there, as if only the process had died.
    Nothing,
    /// None of them is there.
    Everything,
    /// The names are there, the content of the files is not.
    Content,
    /// Each has a fate of its own.
    Random(u64),
}

/// The changes of one script, from a disk on which it began.
#[derive(Debug)]
pub(super) struct History {
    before: Disk,
    changes: Vec<Change>,
    /// For each change the fsync that forces it onto the disk, if there is one.
    covers: Vec<Option<usize>>,
}

/// The disk behind changes that every power cut from some time on finds there.
#[derive(Debug)]
pub(super) struct Settled {
    changes: usize,
    disk: Disk,
}

impl Disk {
    /// Reads a folder; all of it is on the disk.
    pub(super) fn read(folder: &Path) -> Result<Self, TortureError> {
        let mut disk = Self::default();
        let mut waiting = vec![folder.to_owned()];
        while let Some(next) = waiting.pop() {
            for path in folders::entries(&next)? {
                let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                if path.is_dir() {
                    disk.names.insert(name, Entry::Folder);
                    waiting.push(path);
                } else {
                    let file = disk.content.len();
                    let bytes = fs::read(&path).map_err(TortureError::file(&path))?;
                    disk.content.insert(file, Content::from(bytes.as_slice()));
                    disk.names.insert(name, Entry::File(file));
                }
            }
        }
        Ok(disk)
    }

    /// Writes everything that has a name into an empty folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), TortureError> {
        for (name, entry) in &self.names {
            let path = folder.join(name);
            match entry {
                Entry::Folder => fs::create_dir_all(&path).map_err(TortureError::file(&path))?,
                Entry::File(file) => {
                    let content = self.content.get(file).map_or_else(Vec::new, Content::bytes);
                    fs::write(&path, content).map_err(TortureError::file(&path))?;
                }
            }
        }
        Ok(())
    }

    /// Returns a number that tells disks apart by what can be read from them.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, entry) in &self.names {
            name.hash(&mut hasher);
            match entry {
                Entry::Folder => 0_u8.hash(&mut hasher),
                Entry::File(file) => self.content.get(file).hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    fn write_at(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        self.content.entry(file).or_default().write_at(offset, bytes);
    }

    fn resize(&mut self, file: usize, length: usize) {
        self.content.entry(file).or_default().resize(length);
    }

    fn rename(&mut self, path: &Path, change: &NameChange) {
        match change {
            NameChange::Make(entry) => {
                self.names.insert(path.to_owned(), *entry);
            }
            NameChange::Rename(to) => {
                // What is in a folder goes with it.
                let moved: Vec<PathBuf> = self
                    .names
                    .keys()
                    .filter(|name| name.starts_with(path))
                    .cloned()
                    .collect();
                for name in moved {
                    if let (Some(entry), Ok(rest)) = (self.names.remove(&name), name.strip_prefix(path)) {
                        let there = if rest.as_os_str().is_empty() {
                            to.clone()
                        } else {
                            to.join(rest)
                        };
                        self.names.insert(there, entry);
                    }
                }
            }
            NameChange::Remove => {
                self.names.remove(path);
            }
        }
    }
}

impl History {
    /// Finds out which file each call changed.
    pub(super) fn new(before: Disk, calls: &[Call]) -> Self {
        // How the disk looks if nothing is lost, without the content of its files.
        let mut now = Disk {
            names: before.names.clone(),
            content: BTreeMap::new(),
        };
        let lengths = before
            .content
            .iter()
            .map(|(file, content)| (*file, content.len()));
        let mut lengths: BTreeMap<usize, usize> = lengths.collect();
        let mut changes = Vec::new();
        for call in calls {
            let entry = now.names.get(&call.path).copied();
            let next = before.content.len() + changes.len();
            let Some(change) = change_of(call, entry, next, &lengths) else {
                continue;
            };
            match &change {
                Change::Name { path, change } => now.rename(path, change),
                Change::Write { file, offset, bytes } => {
                    let length = lengths.entry(*file).or_default();
                    *length = (*length).max(offset + bytes.len());
                }
                Change::Truncate { file, length } => drop(lengths.insert(*file, *length)),
                _ => {}
            }
            changes.push(change);
        }
        let covers = (0..changes.len()).map(|index| cover(&changes, index)).collect();
        Self {
            before,
            changes,
            covers,
        }
    }

    /// Returns the disk before the first change.
    pub(super) fn begin(&self) -> Settled {
        Settled {
            changes: 0,
            disk: self.before.clone(),
        }
    }

    /// Returns the number of changes.
    pub(super) const fn len(&self) -> usize {
        self.changes.len()
    }

    /// Returns the acts that were acknowledged within the first changes.
    pub(super) fn acknowledged(&self, until: usize) -> Vec<String> {
        let acts = self.changes.iter().take(until).filter_map(|change| match change {
            Change::Acknowledge { act } => Some(act.clone()),
            _ => None,
        });
        acts.collect()
    }

    /// Returns a disk that lost power behind the first changes.
    pub(super) fn disk(&self, until: usize, loss: Loss) -> Disk {
        self.disk_behind(&mut self.begin(), until, loss)
    }

    /// Returns the same, and settles what is settled by then: the next disk must not be an earlier one.
    pub(super) fn disk_behind(&self, settled: &mut Settled, until: usize, loss: Loss) -> Disk {
        let until = until.min(self.changes.len());
        let is_covered = |index: usize| self.covers[index].is_some_and(|cover| cover < until);
        let is_name = |index: &usize| matches!(self.changes[*index], Change::Name { .. });
        let mut names = (0..until).rev().filter(is_name);
        let least = names.find(|name| is_covered(*name)).map_or(0, |name| name + 1);
        for index in settled.changes..until {
            match &self.changes[index] {
                Change::Name { path, change } if index < least => settled.disk.rename(path, change),
                Change::Write { file, offset, bytes } if is_covered(index) => {
                    settled.disk.write_at(*file, *offset, bytes);
                }
                Change::Truncate { file, length } if is_covered(index) => settled.disk.resize(*file, *length),
                Change::Name { .. } | Change::Write { .. } | Change::Truncate { .. } => break,
                _ => {}
            }
            settled.changes = index + 1;
        }
        let mut random = Random::new(match loss {
            Loss::Random(seed) => seed,
            _ => 0,
        });
        let names_until = match loss {
            Loss::Nothing | Loss::Content => until,
            Loss::Everything => least,
            Loss::Random(_) => least + random.below(until - least + 1),
        };
        let mut disk = settled.disk.clone();
        for index in settled.changes..until {
            match &self.changes[index] {
                Change::Name { path, change } if index < names_until => disk.rename(path, change),
                Change::Write { file, offset, bytes } if is_covered(index) => {
                    disk.write_at(*file, *offset, bytes);
                }
                Change::Write { file, offset, bytes } => {
                    write_perhaps(&mut disk, (*file, *offset), bytes, loss, &mut random);
                }
                Change::Truncate { file, length } => {
                    let is_there = match loss {
                        Loss::Nothing => true,
                        Loss::Everything | Loss::Content => false,
                        Loss::Random(_) => random.below(2) == 0,
                    };
                    if is_there || is_covered(index) {
                        disk.resize(*file, *length);
                    }
                }
                _ => {}
            }
        }
        disk
    }
}

/// Returns what a call changes on what its path names; a file that it makes gets the number `next`.
fn change_of(
    call: &Call,
    entry: Option<Entry>,
    next: usize,
    lengths: &BTreeMap<usize, usize>,
) -> Option<Change> {
    let name = |change| {
        let path = call.path.clone();
        Some(Change::Name { path, change })
    };
    let file = match entry {
        Some(Entry::File(file)) => Some(file),
        _ => None,
    };
    let end_of = |file| lengths.get(&file).copied().unwrap_or(0);
    let number = |number: u64| usize::try_from(number).unwrap_or(0);
    match (&call.effect, file) {
        (Effect::Create { .. }, None) => name(NameChange::Make(Entry::File(next))),
        (Effect::Create { empties: true }, Some(file)) => Some(Change::Truncate { file, length: 0 }),
        (Effect::Write { offset, bytes }, Some(file)) => {
            let offset = offset.map_or_else(|| end_of(file), number);
            if call.path == Path::new(FILLER) {
                let length = end_of(file).max(offset + bytes.len());
                return Some(Change::Truncate { file, length });
            }
            let bytes = bytes.clone();
            Some(Change::Write { file, offset, bytes })
        }
        (Effect::Truncate { length }, Some(file)) => Some(Change::Truncate {
            file,
            length: number(*length),
        }),
        (Effect::Lengthen { length }, Some(file)) => Some(Change::Truncate {
            file,
            length: end_of(file).max(number(*length)),
        }),
        (Effect::Rename { to }, _) if entry.is_some() => name(NameChange::Rename(to.clone())),
        (Effect::Unlink, _) if entry.is_some() => name(NameChange::Remove),
        (Effect::MakeFolder, _) if entry.is_none() => name(NameChange::Make(Entry::Folder)),
        (Effect::Sync, Some(file)) => Some(Change::SyncFile { file }),
        (Effect::FailedSync, Some(file)) => Some(Change::FailedSyncFile { file }),
        (Effect::Sync, None) => Some(Change::SyncFolder {
            path: call.path.clone(),
        }),
        (Effect::Acknowledge { act }, _) => Some(Change::Acknowledge { act: act.clone() }),
        _ => None,
    }
}

/// Returns the fsync that forces a change onto the disk. Once one has failed, none that follows covers it: the
/// kernel takes it for written.
fn cover(changes: &[Change], index: usize) -> Option<usize> {
    let later = || changes.iter().enumerate().skip(index);
    match &changes[index] {
        Change::Write { file, .. } | Change::Truncate { file, .. } => {
            let mut outcomes = later().filter_map(|(place, change)| match change {
                Change::SyncFile { file: synced } if synced == file => Some(Some(place)),
                Change::FailedSyncFile { file: failed } if failed == file => Some(None),
                _ => None,
            });
            outcomes.next().flatten()
        }
        Change::Name { path, .. } => {
            let parent = path.parent();
            let is_sync = |change: &Change| matches!(change, Change::SyncFolder { path: folder } if Some(folder.as_path()) == parent);
            later()
                .find(|(_, change)| is_sync(change))
                .map(|(place, _)| place)
        }
        _ => None,
    }
}

/// Does what a power cut can do to a write that no fsync has covered.
fn write_perhaps(
    disk: &mut Disk,
    (file, offset): (usize, usize),
    bytes: &[u8],
    loss: Loss,
    random: &mut Random,
) {
    let is_random = match loss {
        Loss::Nothing => false,
        Loss::Everything | Loss::Content => return,
        Loss::Random(_) => true,
    };
    let fate = if is_random { random.below(6) } else { 0 };
    let sectors = bytes.len().div_ceil(SECTOR);
    let piece = |sector: usize| sector * SECTOR..((sector + 1) * SECTOR).min(bytes.len());
    match fate {
        0 | 1 => disk.write_at(file, offset, bytes),
        2 => {
            let end = (random.below(sectors + 1) * SECTOR).min(bytes.len());
            disk.write_at(file, offset, &bytes[..end]);
        }
        3 => {
            for range in (0..sectors).map(piece) {
                if random.below(2) == 0 {
                    disk.write_at(file, offset + range.start, &bytes[range]);
                }
            }
        }
        4 => {
            disk.write_at(file, offset, bytes);
            for range in (0..sectors).map(piece) {
                if random.below(2) == 0 {
                    let garbage: Vec<u8> = range.clone().map(|_| random.next().to_le_bytes()[0]).collect();
                    disk.write_at(file, offset + range.start, &garbage);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &str, effect: Effect) -> Call {
        Call {
            thread: 1,
            order: 1,
            name: String::new(),
            path: path.into(),
            effect,
        }
    }

    /// A file is replaced the careful way, then a folder and a file in it are made carelessly.
    fn history() -> History {
        let write = |bytes: &[u8]| Effect::Write {
            offset: Some(0),
            bytes: bytes.to_vec(),
        };
        let calls = [
            call("a.tmp", Effect::Create { empties: true }),
            call("a.tmp", write(b"new")),
            call("a.tmp", Effect::Sync),
            call("a.tmp", Effect::Rename { to: "a".into() }),
            call("", Effect::Sync),
            call("", Effect::Acknowledge { act: "one".into() }),
            call("b", Effect::MakeFolder),
            call("b/c", Effect::Create { empties: false }),
            call("b/c", write(&[7; 2_000])),
        ];
        let before = Disk {
            names: BTreeMap::from([("a".into(), Entry::File(0))]),
            content: BTreeMap::from([(0, Content::from(&b"old"[..]))]),
        };
        History::new(before, &calls)
    }

    fn read(disk: &Disk, name: &str) -> Option<Vec<u8>> {
        match disk.names.get(Path::new(name))? {
            Entry::Folder => Some(Vec::new()),
            Entry::File(file) => Some(disk.content.get(file).map_or_else(Vec::new, Content::bytes)),
        }
    }

    #[test]
    fn what_was_forced_onto_the_disk_is_there() {
        let history = history();
        for seed in 0..100 {
            let disk = history.disk(history.len(), Loss::Random(seed));
            assert_eq!(read(&disk, "a").unwrap(), b"new");
        }
        assert_eq!(history.acknowledged(5), [""; 0]);
        assert_eq!(history.acknowledged(6), ["one"]);
    }

    #[test]
    fn what_was_not_can_be_there_or_not() {
        let history = history();
        let end = history.len();
        let all = history.disk(end, Loss::Nothing);
        assert_eq!(read(&all, "b/c").unwrap(), [7; 2_000]);
        assert_eq!(read(&history.disk(end, Loss::Everything), "b"), None);
        assert_eq!(read(&history.disk(end, Loss::Content), "b/c").unwrap(), b"");
        let digests: std::collections::BTreeSet<u64> = (0..200)
            .map(|seed| history.disk(end, Loss::Random(seed)).digest())
            .collect();
        assert!(digests.len() > 20, "{}", digests.len());
        // Going on from what is settled gives the same disks as going through all of it.
        let mut settled = history.begin();
        for until in 0..=end {
            for seed in 0..9 {
                let loss = Loss::Random(seed);
                let behind = history.disk_behind(&mut settled, until, loss);
                assert_eq!(behind.digest(), history.disk(until, loss).digest());
            }
        }
        assert_eq!(settled.changes, 6);
        // Before the folder is forced onto the disk, the old name may still be the one that counts.
        assert_eq!(read(&history.disk(4, Loss::Everything), "a").unwrap(), b"old");
        assert_eq!(read(&history.disk(4, Loss::Nothing), "a").unwrap(), b"new");
    }

    #[test]
    fn fsync_that_failed_once_is_not_made_good_by_the_next() {
        let write = |bytes: &[u8]| Effect::Write {
            offset: Some(0),
            bytes: bytes.to_vec(),
        };
        let calls = [
            call("a", write(b"new")),
            call("a", Effect::FailedSync),
            call("a", Effect::Sync),
        ];
        let before = history().before;
        let disk = History::new(before.clone(), &calls).disk(3, Loss::Everything);
        assert_eq!(read(&disk, "a").unwrap(), b"old");
        let disk = History::new(before, &calls[..1]).disk(1, Loss::Nothing);
        assert_eq!(read(&disk, "a").unwrap(), b"new");
    }

    #[test]
    fn disk_is_written_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let disk = history().disk(usize::MAX, Loss::Nothing);
        disk.write(folder.path()).unwrap();
        assert_eq!(Disk::read(folder.path()).unwrap().digest(), disk.digest());
    }
}
