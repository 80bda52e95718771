//! The soft card: the applet in process, its state in a file.
//!
//! For demonstrations and tests. Taking the file away is taking the card out of the reader.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use card::Transport;
use card::applet::{Applet, CardState};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;

use super::reader::ReaderError;

/// A card whose memory is a file.
pub(super) struct SoftCard {
    applet: Applet,
    file: PathBuf,
    /// Held for as long as the card has power: a card is in one reader at a time.
    _lock: File,
}

impl SoftCard {
    /// Inserts the card whose memory is the file.
    pub(super) fn insert(file: &Path) -> Result<Self, ReaderError> {
        if !file.exists() {
            return Err(ReaderError::NoCard);
        }
        let mut lock_file = file.as_os_str().to_owned();
        lock_file.push(".lock");
        let lock = File::create(PathBuf::from(lock_file))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ReaderError::InUse,
            TryLockError::Error(error) => ReaderError::File(error),
        })?;
        let state = CardState::from_bytes(&std::fs::read(file)?)?;
        Ok(Self {
            applet: Applet::power_on(state),
            file: file.to_owned(),
            _lock: lock,
        })
    }

    /// Replaces the file as a whole; on return the new state is on the disk.
    fn persist(&self) -> Result<(), ReaderError> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let mut next = tempfile::NamedTempFile::new_in(folder)?;
        next.write_all(&self.applet.state().to_bytes()?)?;
        next.as_file().sync_all()?;
        next.persist(&self.file).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()?;
        Ok(())
    }
}

impl Transport for SoftCard {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError> {
        if !self.file.exists() {
            return Err(ReaderError::NoCard);
        }
        let answer = self.applet.process(command, &mut UnwrapErr(SysRng));
        if answer.changed {
            self.persist()?;
        }
        Ok(answer.response.to_vec())
    }
}
