//! The card in a file: the applet of the crate `card` with a memory that survives.
//!
//! The state is on the disk before an answer is given, as a chip writes its memory before it
//! answers. The private keys of the card are in that file, so this is for demonstrations and tests.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use card::Transport;
use card::applet::{Applet, CardState, CardStateError};
use counterparty::files::{self, Access, FileError};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

/// The greatest size of a state in bytes; that of a card with sixteen suppliers has some 20,000.
const MAX_STATE: usize = 256 * 1_024;

/// The reason why a soft card cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SoftCardError {
    /// Another reader holds the card.
    #[error("the soft card {} is in another reader; stop the program that uses it", path.display())]
    InUse {
        /// The card's file.
        path: PathBuf,
    },
    /// The state or its lock cannot be read or written.
    #[error("the soft card cannot be read or written")]
    File(#[from] FileError),
    /// The file holds no card.
    #[error("{} holds no soft card; name another file", path.display())]
    State {
        /// The card's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CardStateError,
    },
    /// The state could not be written before, so that the card is without power.
    #[error("the soft card is without power, since its state could not be written; insert it again")]
    NoPower,
}

/// A soft card that is inserted; nobody else can insert it meanwhile.
#[derive(Debug)]
pub(crate) struct SoftCard {
    path: PathBuf,
    applet: Option<Applet>,
    /// Held until the card is dropped.
    _lock: File,
}

impl SoftCard {
    /// Inserts the card of a file; a file that is not there is a blank card.
    pub(crate) fn insert(path: &Path) -> Result<Self, SoftCardError> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = lock(Path::new(&lock_path), path)?;
        let state = match files::read(path, MAX_STATE).map(Zeroizing::new) {
            Ok(bytes) => CardState::from_bytes(&bytes).map_err(at(path))?,
            Err(FileError::Missing { .. }) => CardState::blank(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            path: path.to_owned(),
            applet: Some(Applet::power_on(state)),
            _lock: lock,
        })
    }
}

impl Transport for SoftCard {
    type Error = SoftCardError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, SoftCardError> {
        // The applet keeps its power only if its state has been written.
        let mut applet = self.applet.take().ok_or(SoftCardError::NoPower)?;
        // The kernel's generator does not fail once it has given keys to the program's start.
        let answer = applet.process(command, &mut UnwrapErr(SysRng));
        if answer.changed {
            let state = applet.state().to_bytes().map_err(at(&self.path))?;
            files::replace(&self.path, &state, Access::Private)?;
        }
        self.applet = Some(applet);
        Ok(answer.response)
    }
}

fn lock(lock_path: &Path, card: &Path) -> Result<File, SoftCardError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_path)
        .map_err(FileError::at(lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let path = card.to_owned();
            Err(SoftCardError::InUse { path })
        }
        Err(TryLockError::Error(source)) => Err(FileError::at(lock_path)(source).into()),
    }
}

fn at(path: &Path) -> impl FnOnce(CardStateError) -> SoftCardError {
    let path = path.to_owned();
    move |source| SoftCardError::State { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SELECT_FILE_GUID: [u8; 7] = [0x00, 0xA4, 0x02, 0x0C, 0x02, 0x01, 0x01];

    fn write_guid() -> Vec<u8> {
        [&[0x00, 0xD6, 0x00, 0x00, 0x10, 0xfd][..], &[0x5a; 15]].concat()
    }

    #[test]
    fn card_survives_being_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        let mut card = SoftCard::insert(&path).unwrap();
        assert_eq!(card.transmit(&SELECT_FILE_GUID).unwrap().as_slice(), [0x90, 0x00]);
        assert!(!path.exists());
        assert_eq!(card.transmit(&write_guid()).unwrap().as_slice(), [0x90, 0x00]);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(card);
        let mut card = SoftCard::insert(&path).unwrap();
        card.transmit(&SELECT_FILE_GUID).unwrap();
        let read = card.transmit(&[0x00, 0xB0, 0x00, 0x00, 0x00]).unwrap();
        assert_eq!((read[0], read.len()), (0xfd, 18));
    }

    #[test]
    fn card_is_in_one_reader_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        let card = SoftCard::insert(&path).unwrap();
        let second = SoftCard::insert(&path);
        assert!(matches!(second, Err(SoftCardError::InUse { .. })));
        drop(card);
        assert!(SoftCard::insert(&path).is_ok());
    }

    #[test]
    fn file_that_is_no_card_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(
            SoftCard::insert(&path),
            Err(SoftCardError::State { .. })
        ));
        let missing = folder.path().join("missing/card");
        assert!(matches!(SoftCard::insert(&missing), Err(SoftCardError::File(_))));
    }

    #[test]
    fn card_whose_state_cannot_be_written_gives_no_answer_and_dies() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let mut card = SoftCard::insert(&inner.join("card")).unwrap();
        card.transmit(&SELECT_FILE_GUID).unwrap();
        std::fs::remove_dir_all(&inner).unwrap();
        assert!(matches!(
            card.transmit(&write_guid()),
            Err(SoftCardError::File(_))
        ));
        assert!(matches!(
            card.transmit(&SELECT_FILE_GUID),
            Err(SoftCardError::NoPower)
        ));
    }
}
