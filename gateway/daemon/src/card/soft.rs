//! The soft card: the applet in process, its state in a file.
//!
//! For demonstrations and tests. Taking the file away is taking the card out of the reader.

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use card::Transport;
use card::applet::{Applet, CardState};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::reader::ReaderError;

/// A card whose memory is a file.
pub(super) struct SoftCard {
    /// Absent once the state could not be written: what the applet holds then never happened.
    applet: Option<Applet>,
    file: PathBuf,
    /// By what the file is known to be the one that was inserted.
    mark: Mark,
    /// Held for as long as the card has power: a card is in one reader at a time.
    _lock: File,
}

/// What changes when another file takes the place of the card's, or somebody else writes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Mark {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl SoftCard {
    /// Inserts the card whose memory is the file.
    pub(super) fn insert(file: &Path) -> Result<Self, ReaderError> {
        let mark = mark_of(file)?;
        let mut lock_file = file.as_os_str().to_owned();
        lock_file.push(".lock");
        let lock = File::create(PathBuf::from(lock_file))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ReaderError::InUse,
            TryLockError::Error(error) => ReaderError::File(error),
        })?;
        let state = CardState::from_bytes(&Zeroizing::new(std::fs::read(file)?))?;
        Ok(Self {
            applet: Some(Applet::power_on(state)),
            file: file.to_owned(),
            mark,
            _lock: lock,
        })
    }

    /// Replaces the file as a whole; on return the new state is on the disk.
    fn persist(&mut self, state: &[u8]) -> Result<(), ReaderError> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let mut next = tempfile::NamedTempFile::new_in(folder)?;
        next.write_all(state)?;
        next.as_file().sync_all()?;
        let written = next.persist(&self.file).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()?;
        self.mark = Mark::from(&written.metadata()?);
        Ok(())
    }
}

impl Transport for SoftCard {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        // The applet comes back only when all went well; otherwise the card is without power.
        let mut applet = self.applet.take().ok_or(ReaderError::NoCard)?;
        if mark_of(&self.file)? != self.mark {
            return Err(ReaderError::NoCard);
        }
        let answer = applet.process(command, &mut UnwrapErr(SysRng));
        if answer.changed {
            self.persist(&applet.state().to_bytes()?)?;
        }
        self.applet = Some(applet);
        Ok(answer.response)
    }
}

fn mark_of(file: &Path) -> Result<Mark, ReaderError> {
    match std::fs::metadata(file) {
        Ok(metadata) => Ok(Mark::from(&metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReaderError::NoCard),
        Err(error) => Err(error.into()),
    }
}
