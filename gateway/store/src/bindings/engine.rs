//! sled 0.34.7, made safe.
//!
//! On Linux its `flush` does not fsync, a left-over of an interrupted snapshot keeps it shut for
//! ever, its configuration file is written without fsync, and it can panic at a damaged file. So
//! left-overs are removed before it is opened, every write is followed by fsync of its files and
//! folders, and every call is made behind a panic boundary. That a flipped bit can make it lose a
//! row without an error is noticed one level up, by the markers.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};

use super::row::Key;
use crate::files::{self, FileError};

/// sled's page cache in bytes; the rows are a few kilobytes, and sled takes 1 GB if left alone.
const CACHE_BYTES: u64 = 1 << 20;

/// How often and at what distance it is looked whether sled has let go of its file: two seconds, where
/// it takes some milliseconds.
const RELEASE_TRIES: u32 = 2_000;
const RELEASE_PAUSE: Duration = Duration::from_millis(1);

/// The only configuration that sled is ever opened with, as it writes it down.
const CONFIGURATION: &[u8] = b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n";

/// The greatest length of a configuration file in bytes that is looked at.
const MAX_CONFIGURATION: u64 = 4_096;

/// What was put right before the bindings were opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// The left-over of an interrupted snapshot was removed; it holds nothing of its own.
    LeftOverSnapshot {
        /// The name of the file.
        file: String,
    },
    /// sled's configuration file was missing or damaged, and was written again.
    Configuration,
    /// A row was burned but not yet marked when the power went; its marker was written.
    Marker {
        /// The name of the row.
        key: &'static str,
    },
}

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

/// sled and the folder that its files are in.
#[derive(Debug)]
pub(super) struct Engine {
    sled: sled::Db,
    folder: PathBuf,
}

impl Engine {
    /// Returns whether sled's data file is there.
    pub(super) fn exists(folder: &Path) -> bool {
        folder.join("db").is_file()
    }

    /// Repairs what can be repaired safely, opens sled and forces what that wrote onto the disk.
    pub(super) fn open(folder: &Path, repairs: &mut Vec<Repair>) -> Result<Self, EngineError> {
        files::make_folder(folder)?;
        remove_left_overs(folder, repairs)?;
        restore_configuration(folder, repairs)?;
        await_release(folder)?;
        let config = sled::Config::new()
            .path(folder)
            .mode(sled::Mode::LowSpace)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let sled = contained(|| config.open())?;
        files::sync_tree(folder)?;
        let folder = folder.to_owned();
        Ok(Self { sled, folder })
    }

    /// Returns the names of the rows.
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, EngineError> {
        contained(|| {
            let names = self.sled.iter().keys();
            names.map(|name| name.map(|name| name.to_vec())).collect()
        })
    }

    /// Returns the bytes of a row.
    pub(super) fn row(&self, key: Key) -> Result<Option<Vec<u8>>, EngineError> {
        contained(|| Ok(self.sled.get(key.name())?.map(|row| row.to_vec())))
    }

    /// Burns a row unless one is there; on success it is on the disk.
    ///
    /// Returns `false` if the key is taken.
    pub(super) fn burn(&self, key: Key, row: &[u8]) -> Result<bool, EngineError> {
        let absent = None::<&[u8]>;
        let swapped = contained(|| self.sled.compare_and_swap(key.name(), absent, Some(row)))?;
        if swapped.is_err() {
            return Ok(false);
        }
        contained(|| self.sled.flush())?;
        self.sync()?;
        Ok(true)
    }

    /// Forces sled's files and folders onto the disk.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        files::sync_tree(&self.folder)
    }
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
            fs::remove_file(&path).map_err(FileError::at(&path))?;
            files::sync(folder)?;
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
    use super::*;

    fn open(folder: &Path) -> (Result<Engine, EngineError>, Vec<Repair>) {
        let mut repairs = Vec::new();
        let engine = Engine::open(folder, &mut repairs);
        (engine, repairs)
    }

    fn burned() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (engine, repairs) = open(folder.path());
        assert_eq!(repairs, []);
        assert!(engine.unwrap().burn(Key::Binding, b"row").unwrap());
        folder
    }

    #[test]
    fn key_is_burned_once() {
        let folder = burned();
        let engine = open(folder.path()).0.unwrap();
        assert!(!engine.burn(Key::Binding, b"other").unwrap());
        assert_eq!(engine.row(Key::Binding).unwrap().unwrap(), b"row");
        assert_eq!(engine.names().unwrap(), [b"binding"]);
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
        assert_eq!(engine.unwrap().row(Key::Binding).unwrap().unwrap(), b"row");
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
            assert_eq!(engine.unwrap().row(Key::Binding).unwrap().unwrap(), b"row");
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
    fn errors_of_sled_and_of_the_files_are_told_apart() {
        let folder = burned();
        let db = folder.path().join("db");
        let snapshots = || files::entries(folder.path()).unwrap();
        drop(open(folder.path()));
        for path in snapshots().into_iter().filter(|path| path.is_file()) {
            if path.to_string_lossy().contains("snap.") {
                fs::write(path, [0xff; 64]).unwrap();
            }
        }
        let error = open(folder.path()).0.unwrap_err();
        assert!(matches!(error, EngineError::Sled(_)), "{error:?}");
        let error = open(&db).0.unwrap_err();
        assert!(matches!(error, EngineError::File(_)), "{error:?}");
    }
}
