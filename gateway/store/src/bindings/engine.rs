//! sled 0.34.7, made safe.
//!
//! On Linux its `flush` does not fsync, a left-over of an interrupted snapshot keeps it shut for
//! ever, its configuration file is written without fsync, and it can panic at a damaged file. So
//! left-overs are removed before it is opened, every write is followed by fsync of its files and
//! folders, and every call is made behind a panic boundary. That a flipped bit can make it lose a
//! row without an error is noticed one level up, by the sealed copies.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};

use super::report::Repair;
use super::row::Key;
use crate::files::{self, FileError};

/// sled's page cache in bytes; the rows are a few kilobytes, and sled takes 1 GB if left alone.
const CACHE_BYTES: u64 = 1 << 20;

/// The greatest number of rows that are read: every key once, with room for those of later versions.
const MAX_ROWS: usize = 64;

/// How often and at what distance it is looked whether sled has let go of its file: two seconds, where
/// it takes some milliseconds.
const RELEASE_TRIES: u32 = 2_000;
const RELEASE_PAUSE: Duration = Duration::from_millis(1);

/// The only configuration that sled is ever opened with, as it writes it down.
const CONFIGURATION: &[u8] = b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n";

/// The greatest length of a configuration file in bytes that is looked at.
const MAX_CONFIGURATION: u64 = 4_096;

/// The reason why sled cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// sled reports an error of its own.
    #[error("sled cannot read or write its files")]
    Sled(#[from] sled::Error),
    /// sled panicked; what it holds in memory is not to be trusted.
    #[error("sled panicked")]
    Panicked,
    /// sled's configuration is sound but is not the one that this gateway writes.
    #[error("sled's files were written by another version or with other settings")]
    ForeignConfiguration,
    /// A file or folder of sled's is out of reach.
    #[error("sled's folder is out of reach")]
    File(#[from] FileError),
}

impl EngineError {
    /// Returns whether it failed because the disk is full.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Sled(sled::Error::Io(error)) => files::is_full(error),
            Self::File(error) => error.is_full(),
            Self::Sled(_) | Self::Panicked | Self::ForeignConfiguration => false,
        }
    }
}

/// sled and the folder that its files are in.
#[derive(Debug)]
pub(super) struct Engine {
    /// There until it is dropped.
    sled: Option<sled::Db>,
    folder: PathBuf,
}

/// sled panics if the fsync fails that it ends with. All that counts has been forced onto the disk by then.
impl Drop for Engine {
    fn drop(&mut self) {
        let sled = self.sled.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(sled))));
    }
}

/// The rows of the engine as they stand in it: name and bytes.
pub(super) type Content = Vec<(Vec<u8>, Vec<u8>)>;

impl Engine {
    /// Returns whether sled's data file is there.
    pub(super) fn exists(folder: &Path) -> bool {
        folder.join("db").is_file()
    }

    /// Repairs what can be repaired safely, opens sled, forces what that wrote onto the disk and reads all
    /// rows.
    pub(super) fn open(folder: &Path, repairs: &mut Vec<Repair>) -> Result<(Self, Content), EngineError> {
        files::make_folder(folder)?;
        remove_left_overs(folder, repairs)?;
        restore_configuration(folder, repairs)?;
        await_release(folder)?;
        let config = sled::Config::new()
            .path(folder)
            .mode(sled::Mode::LowSpace)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        files::step(folder).map_err(FileError::at(folder))?;
        let sled = Some(contained(|| config.open())?);
        let engine = Self {
            sled,
            folder: folder.to_owned(),
        };
        files::sync_tree(folder)?;
        let content = engine.content()?;
        Ok((engine, content))
    }

    fn sled(&self) -> Result<&sled::Db, EngineError> {
        self.sled.as_ref().ok_or(EngineError::Panicked)
    }

    /// Returns all rows.
    pub(super) fn content(&self) -> Result<Content, EngineError> {
        let sled = self.sled()?;
        contained(|| {
            let rows = sled.iter().take(MAX_ROWS);
            rows.map(|row| row.map(|(name, row)| (name.to_vec(), row.to_vec())))
                .collect()
        })
    }

    /// Puts a row in place of an expected one, in memory; returns `false` if another one stands there.
    pub(super) fn swap(&self, key: Key, old: Option<&[u8]>, new: &[u8]) -> Result<bool, EngineError> {
        files::step(&self.folder).map_err(FileError::at(&self.folder))?;
        let sled = self.sled()?;
        let swapped = contained(|| sled.compare_and_swap(key.name(), old, Some(new)))?;
        Ok(swapped.is_ok())
    }

    /// Returns the bytes of a row.
    pub(super) fn row(&self, key: Key) -> Result<Option<Vec<u8>>, EngineError> {
        let sled = self.sled()?;
        contained(|| Ok(sled.get(key.name())?.map(|row| row.to_vec())))
    }

    /// Forces everything that was swapped onto the disk.
    pub(super) fn persist(&self) -> Result<(), EngineError> {
        files::step(&self.folder).map_err(FileError::at(&self.folder))?;
        let sled = self.sled()?;
        contained(|| sled.flush())?;
        Ok(files::sync_tree(&self.folder)?)
    }
}

/// Moves sled's snapshots into another folder; returns whether there were any.
///
/// They hold nothing of their own: sled reads its data file from the start without them.
pub(super) fn set_snapshots_aside(folder: &Path, aside: &Path) -> Result<bool, FileError> {
    let mut were_any = false;
    for path in files::entries(folder)? {
        let name = path.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with("snap.") {
            if !were_any {
                files::remove_tree(aside)?;
                files::make_folder(aside)?;
            }
            files::relocate(&path, &aside.join(name))?;
            were_any = true;
        }
    }
    Ok(were_any)
}

/// Calls into sled; a panic of its becomes an error.
fn contained<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Ok(result?),
        Err(_) => Err(EngineError::Panicked),
    }
}

/// Waits until sled's threads have let go of the data file.
///
/// They may hold its lock for a moment after a sled of this process has been dropped. If someone
/// else holds it, sled reports that when it is opened.
fn await_release(folder: &Path) -> Result<(), FileError> {
    if !Engine::exists(folder) {
        return Ok(());
    }
    let path = folder.join("db");
    let file = File::open(&path).map_err(FileError::at(&path))?;
    for _ in 0..RELEASE_TRIES {
        if file.try_lock().is_ok() {
            break;
        }
        std::thread::park_timeout(RELEASE_PAUSE);
    }
    Ok(())
}

/// Removes `snap.*.generating`: copies that sled was still writing, and would read as finished ones.
fn remove_left_overs(folder: &Path, repairs: &mut Vec<Repair>) -> Result<(), FileError> {
    for path in files::entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            files::remove(folder, &name)?;
            let file = name.into_owned();
            repairs.push(Repair::LeftOverSnapshot { file });
        }
    }
    Ok(())
}

/// Writes sled's configuration again if it is missing or torn while data are there.
///
/// That is safe because the gateway never uses another one. A sound configuration that differs is
/// another version's and is left alone.
fn restore_configuration(folder: &Path, repairs: &mut Vec<Repair>) -> Result<(), EngineError> {
    let ours = with_checksum(CONFIGURATION);
    let found = files::read(&folder.join("conf"), MAX_CONFIGURATION)?;
    if found.as_ref() == Some(&ours) || (found.is_none() && !Engine::exists(folder)) {
        return Ok(());
    }
    if let Some((text, _)) = found.as_ref().and_then(|found| found.split_last_chunk::<4>())
        && found.as_ref() == Some(&with_checksum(text))
    {
        return Err(EngineError::ForeignConfiguration);
    }
    files::replace(folder, "conf", &ours)?;
    repairs.push(Repair::Configuration);
    Ok(())
}

/// Appends the CRC-32 of the text, little-endian, as sled 0.34 does.
fn with_checksum(text: &[u8]) -> Vec<u8> {
    let checksum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(text);
    [text, &checksum.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(folder: &Path) -> (Result<(Engine, Content), EngineError>, Vec<Repair>) {
        let mut repairs = Vec::new();
        let engine = Engine::open(folder, &mut repairs);
        (engine, repairs)
    }

    fn content() -> Content {
        vec![(b"binding".to_vec(), b"row".to_vec())]
    }

    fn burned() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (engine, repairs) = open(folder.path());
        assert_eq!(repairs, []);
        let (engine, found) = engine.unwrap();
        assert_eq!(found, []);
        assert!(engine.swap(Key::Binding, None, b"row").unwrap());
        engine.persist().unwrap();
        folder
    }

    #[test]
    fn key_is_burned_once() {
        let folder = burned();
        let (engine, found) = open(folder.path()).0.unwrap();
        assert_eq!(found, content());
        assert!(!engine.swap(Key::Binding, None, b"other").unwrap());
        assert_eq!(engine.row(Key::Binding).unwrap().unwrap(), b"row");
        assert_eq!(engine.content().unwrap(), content());
    }

    #[test]
    fn configuration_is_the_one_that_sled_writes() {
        let folder = burned();
        let written = fs::read(folder.path().join("conf")).unwrap();
        assert_eq!(written, with_checksum(CONFIGURATION));
    }

    #[test]
    fn interrupted_snapshot_is_removed() {
        let folder = burned();
        fs::write(folder.path().join("snap.00FF.generating"), b"torn").unwrap();
        let (engine, repairs) = open(folder.path());
        assert_eq!(engine.unwrap().1, content());
        let file = "snap.00FF.generating".to_owned();
        assert_eq!(repairs, [Repair::LeftOverSnapshot { file }]);
    }

    #[test]
    fn damaged_configuration_is_written_again() {
        let folder = burned();
        for torn in [None, Some(&b""[..]), Some(b"seg"), Some(&[0; 62])] {
            let path = folder.path().join("conf");
            match torn {
                Some(torn) => fs::write(path, torn).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            let (engine, repairs) = open(folder.path());
            assert_eq!(engine.unwrap().1, content());
            assert_eq!(repairs, [Repair::Configuration]);
        }
    }

    #[test]
    fn configuration_of_another_version_is_left_alone() {
        let folder = burned();
        let foreign = with_checksum(b"segment_size: 524288\nuse_compression: false\nversion: 0.35\n");
        fs::write(folder.path().join("conf"), foreign).unwrap();
        let error = open(folder.path()).0.unwrap_err();
        assert!(matches!(error, EngineError::ForeignConfiguration), "{error:?}");
    }

    #[test]
    fn panic_of_sled_is_contained() {
        let error = contained::<()>(|| panic!("as sled does")).unwrap_err();
        assert!(matches!(error, EngineError::Panicked), "{error:?}");
    }

    #[test]
    fn damaged_snapshots_are_set_aside_and_hold_nothing_of_their_own() {
        let folder = burned();
        let aside = tempfile::tempdir().unwrap();
        let aside = aside.path().join("aside");
        assert!(!set_snapshots_aside(folder.path(), &aside).unwrap());
        drop(open(folder.path()));
        for path in files::entries(folder.path()).unwrap() {
            if path.to_string_lossy().contains("snap.") {
                fs::write(path, [0xff; 64]).unwrap();
            }
        }
        let error = open(folder.path()).0.unwrap_err();
        assert!(matches!(error, EngineError::Sled(_)), "{error:?}");
        assert!(set_snapshots_aside(folder.path(), &aside).unwrap());
        assert_eq!(open(folder.path()).0.unwrap().1, content());
        assert_eq!(files::entries(&aside).unwrap().len(), 1);
    }

    #[test]
    fn errors_of_the_files_and_a_full_disk_are_told_apart() {
        let folder = burned();
        let error = open(&folder.path().join("db")).0.unwrap_err();
        assert!(matches!(error, EngineError::File(_)), "{error:?}");
        assert!(!error.is_full() && !EngineError::Panicked.is_full());
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert!(EngineError::Sled(sled::Error::Io(full())).is_full());
        assert!(EngineError::File(FileError::at(folder.path())(full())).is_full());
    }
}
