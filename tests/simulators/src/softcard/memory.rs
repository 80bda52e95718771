//! The memory of the card: a file that is replaced as a whole, flushed before the card answers.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use card::applet::{Applet, CardState};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::SoftCardError;

/// The greatest size of a state in bytes; that of a card with sixteen suppliers has some 20,000.
const MAX_STATE: u64 = 256 * 1024;
/// The rights of the state's file: its owner reads and writes it, since the private keys are in it.
const PRIVATE: u32 = 0o600;

/// A card with its memory; nobody else has it meanwhile.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    /// Absent once the state could not be written: what the applet holds then never happened.
    applet: Option<Applet>,
    /// Held until the card is dropped; the same lock as that of the daemon and the trust centre.
    _lock: File,
}

impl Memory {
    /// Opens the card of a file; a file that is not there is a blank card.
    pub(super) fn open(path: &Path) -> Result<Self, SoftCardError> {
        let lock = lock(path)?;
        let state = match read(path) {
            Ok(bytes) => CardState::from_bytes(&bytes).map_err(SoftCardError::state(path))?,
            Err(error) if error.kind() == ErrorKind::NotFound => CardState::blank(),
            Err(error) => return Err(SoftCardError::file(path)(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            applet: Some(Applet::power_on(state)),
            _lock: lock,
        })
    }

    /// Takes the power away and gives it back: the card forgets everything that is not in its file.
    pub(super) fn power_cycle(&mut self) {
        self.applet = self
            .applet
            .take()
            .map(|applet| Applet::power_on(applet.state().clone()));
    }

    /// Carries out a command; on return the new state is on the disk.
    pub(super) fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, SoftCardError> {
        // The applet keeps its power only if its state has been written.
        let mut applet = self.applet.take().ok_or(SoftCardError::NoPower)?;
        // The kernel's generator does not fail once it has given keys to the program's start.
        let answer = applet.process(command, &mut UnwrapErr(SysRng));
        if answer.changed {
            let state = applet
                .state()
                .to_bytes()
                .map_err(SoftCardError::state(&self.path))?;
            replace(&self.path, &state).map_err(SoftCardError::file(&self.path))?;
        }
        self.applet = Some(applet);
        Ok(answer.response)
    }
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(MAX_STATE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces the file as a whole: after a cut it holds the old state or the new one, and the new one on return. What is
/// written first is always the same file beside it, so that a cut leaves one at most; whoever has the lock has it alone.
fn replace(path: &Path, state: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let next = beside(path, ".next");
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(PRIVATE)
        .open(&next)?;
    file.write_all(state)?;
    file.sync_all()?;
    std::fs::rename(&next, path)?;
    File::open(folder)?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn lock(card: &Path) -> Result<File, SoftCardError> {
    let path = beside(card, ".lock");
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(SoftCardError::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SoftCardError::InUse {
            path: card.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(SoftCardError::file(&path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELECT_GUID: [u8; 7] = [0x00, 0xA4, 0x02, 0x0C, 0x02, 0x01, 0x01];

    fn write_guid() -> Vec<u8> {
        [&[0x00, 0xD6, 0x00, 0x00, 0x10, 0xfd][..], &[0x5a; 15]].concat()
    }

    #[test]
    fn state_is_on_the_disk_before_the_answer_and_survives_the_card() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        let mut card = Memory::open(&path).unwrap();
        card.transmit(&SELECT_GUID).unwrap();
        assert_eq!(card.transmit(&write_guid()).unwrap().as_slice(), [0x90, 0x00]);
        let written = CardState::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            written.guid(),
            Some("fd5a:5a5a:5a5a:5a5a:5a5a:5a5a:5a5a:5a5a".parse().unwrap())
        );
        drop(card);
        let mut card = Memory::open(&path).unwrap();
        card.transmit(&SELECT_GUID).unwrap();
        assert_eq!(card.transmit(&[0x00, 0xB0, 0x00, 0x00, 0x00]).unwrap().len(), 18);
    }

    #[test]
    fn power_cycle_forgets_the_session_and_keeps_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let mut card = Memory::open(&folder.path().join("card")).unwrap();
        card.transmit(&SELECT_GUID).unwrap();
        card.transmit(&write_guid()).unwrap();
        card.power_cycle();
        let refused = card.transmit(&[0x00, 0xB0, 0x00, 0x00, 0x00]).unwrap();
        assert_eq!(refused.len(), 2, "no file is selected any more");
    }

    #[test]
    fn card_is_in_one_reader_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        let card = Memory::open(&path).unwrap();
        assert!(matches!(Memory::open(&path), Err(SoftCardError::InUse { .. })));
        drop(card);
        assert!(Memory::open(&path).is_ok());
    }

    #[test]
    fn file_that_is_no_card_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(Memory::open(&path), Err(SoftCardError::State { .. })));
        let missing = folder.path().join("missing/card");
        assert!(matches!(Memory::open(&missing), Err(SoftCardError::File { .. })));
    }

    #[test]
    fn card_whose_state_cannot_be_written_gives_no_answer_and_dies() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let mut card = Memory::open(&inner.join("card")).unwrap();
        card.transmit(&SELECT_GUID).unwrap();
        std::fs::remove_dir_all(&inner).unwrap();
        assert!(matches!(
            card.transmit(&write_guid()),
            Err(SoftCardError::File { .. })
        ));
        assert!(matches!(card.transmit(&SELECT_GUID), Err(SoftCardError::NoPower)));
    }
}
