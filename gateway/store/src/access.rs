//! What the local web keeps: who may use it, with passwords and tokens; its key and certificate; what consumers have entered;
//! how far the installation is.
//!
//! A few files, each replaced as a whole, with a checksum; what they say is opaque here. One that is damaged is never taken for
//! one that is missing: a gateway without passwords can be given first ones, and nobody gets in with those of a damaged one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// What a file begins with; the last character is the version of the frame.
const HEADER: &[u8] = b"smgw access 1\n";
/// The length of the checksum at the end in bytes.
const CHECKSUM: usize = 32;
/// The greatest length of what lets somebody in, in bytes: some tens of accounts with their tokens.
const MAX_CONTENT: usize = 64 << 10;
/// The greatest length of what an installation has found, in bytes: the telegrams of a full line of 250 meters.
const MAX_INSTALLATION: usize = 512 << 10;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessRecord {
    /// The accounts, with hashes of passwords and of tokens.
    Accounts,
    /// The private key and the certificate of the local web.
    Certificate,
    /// The prices that consumers have entered, for each its own.
    Prices,
    /// How far the installation wizard has come.
    Installation,
}

impl AccessRecord {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Accounts,
        Self::Certificate,
        Self::Prices,
        Self::Installation,
    ];

    const fn file(self) -> &'static str {
        match self {
            Self::Accounts => "web-accounts",
            Self::Certificate => "web-certificate",
            Self::Prices => "web-prices",
            Self::Installation => "web-installation",
        }
    }

    /// Returns the greatest length of its content in bytes.
    const fn limit(self) -> usize {
        match self {
            Self::Accounts | Self::Certificate | Self::Prices => MAX_CONTENT,
            Self::Installation => MAX_INSTALLATION,
        }
    }

    /// Returns whether nobody gets in while it is damaged; what is of no use to get in is entered anew.
    const fn lets_in(self) -> bool {
        match self {
            Self::Accounts | Self::Certificate => true,
            Self::Prices | Self::Installation => false,
        }
    }
}

/// The reason why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// What was written is damaged; another may be written over it.
    #[error("the file {file} in the data folder is damaged")]
    Damaged {
        /// Its name.
        file: &'static str,
    },
    /// The content is longer than what is kept.
    #[error("the content has {found} bytes, more than are kept for the local web")]
    TooLarge {
        /// Its length in bytes.
        found: usize,
    },
    /// The file is out of reach.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Content that is read, or known to be damaged; what is missing is absent.
type Records = BTreeMap<AccessRecord, Option<Zeroizing<Vec<u8>>>>;

/// Who may use the local web.
pub struct Access {
    folder: PathBuf,
    records: Mutex<Records>,
}

/// What is kept is secret; which of it is there is not.
impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known: Vec<_> = self.lock().keys().copied().collect();
        formatter.debug_struct("Access").field("known", &known).finish()
    }
}

impl Access {
    /// Reads what there is. What cannot be read counts as damaged.
    pub(crate) fn open(folder: &Path) -> Self {
        let read = |record: AccessRecord| {
            let limit = record
                .limit()
                .saturating_add(HEADER.len())
                .saturating_add(CHECKSUM);
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            match files::read(&folder.join(record.file()), limit) {
                Ok(None) => None,
                Ok(Some(bytes)) => Some((record, content(&Zeroizing::new(bytes)))),
                Err(_) => Some((record, None)),
            }
        };
        let records = AccessRecord::ALL.into_iter().filter_map(read).collect();
        Self {
            folder: folder.to_owned(),
            records: Mutex::new(records),
        }
    }

    /// Returns what was written last, or `None` if nothing ever was.
    ///
    /// # Errors
    ///
    /// [`AccessError::Damaged`] if that cannot be told.
    pub fn read(&self, record: AccessRecord) -> Result<Option<Zeroizing<Vec<u8>>>, AccessError> {
        match self.lock().get(&record) {
            None => Ok(None),
            Some(Some(content)) => Ok(Some(content.clone())),
            Some(None) => Err(AccessError::Damaged { file: record.file() }),
        }
    }

    /// Returns the names of the files that are damaged, and without which nobody gets in.
    #[must_use]
    pub fn damaged(&self) -> Vec<&'static str> {
        let records = self.lock();
        let damaged = records
            .iter()
            .filter(|(record, content)| record.lets_in() && content.is_none());
        damaged.map(|(record, _)| record.file()).collect()
    }

    /// Writes a record in place of the earlier one; on return it is on the disk.
    ///
    /// # Errors
    ///
    /// [`AccessError::TooLarge`], or the failure of the file; the earlier one stays then.
    pub fn write(&self, record: AccessRecord, content: &[u8]) -> Result<(), AccessError> {
        if content.len() > record.limit() {
            return Err(AccessError::TooLarge { found: content.len() });
        }
        let mut records = self.lock();
        let checksum: [u8; CHECKSUM] = Sha256::digest([HEADER, content].concat()).into();
        let bytes = Zeroizing::new([HEADER, content, &checksum].concat());
        files::replace(&self.folder, record.file(), &bytes)?;
        records.insert(record, Some(Zeroizing::new(content.to_vec())));
        Ok(())
    }

    /// Deletes a record; on return it is gone from the folder.
    ///
    /// # Errors
    ///
    /// [`AccessError::File`] if it cannot be deleted.
    pub fn delete(&self, record: AccessRecord) -> Result<(), AccessError> {
        let mut records = self.lock();
        files::remove(&self.folder, record.file())?;
        records.remove(&record);
        Ok(())
    }

    /// A panic under the lock leaves nothing half done: what is in memory changes behind the disk.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the content out of its frame, if that is sound.
fn content(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (framed, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    let sound = Sha256::digest(framed).as_slice() == checksum;
    let content = framed.strip_prefix(HEADER)?;
    sound.then(|| Zeroizing::new(content.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(access: &Access, record: AccessRecord) -> Option<Vec<u8>> {
        access.read(record).unwrap().map(|content| content.to_vec())
    }

    #[test]
    fn what_was_written_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path());
        assert_eq!(read(&access, AccessRecord::Accounts), None);
        access.write(AccessRecord::Accounts, b"one").unwrap();
        access.write(AccessRecord::Certificate, b"two").unwrap();
        access.write(AccessRecord::Accounts, b"three").unwrap();
        for access in [access, Access::open(folder.path())] {
            assert_eq!(read(&access, AccessRecord::Accounts).unwrap(), b"three");
            assert_eq!(read(&access, AccessRecord::Certificate).unwrap(), b"two");
            assert!(access.damaged().is_empty());
        }
        Access::open(folder.path())
            .delete(AccessRecord::Accounts)
            .unwrap();
        let again = Access::open(folder.path());
        assert_eq!(read(&again, AccessRecord::Accounts), None);
        assert_eq!(read(&again, AccessRecord::Certificate).unwrap(), b"two");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_damage_and_never_nothing() {
        let folder = tempfile::tempdir().unwrap();
        Access::open(folder.path())
            .write(AccessRecord::Accounts, b"accounts")
            .unwrap();
        let path = folder.path().join("web-accounts");
        let sound = fs::read(&path).unwrap();
        for place in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[place] ^= 1;
            for damaged in [&flipped[..], &sound[..place]] {
                fs::write(&path, damaged).unwrap();
                let access = Access::open(folder.path());
                let error = access.read(AccessRecord::Accounts).unwrap_err();
                assert!(matches!(error, AccessError::Damaged { .. }), "{place}: {error}");
                assert_eq!(access.damaged(), ["web-accounts"]);
            }
        }
        let access = Access::open(folder.path());
        access.write(AccessRecord::Accounts, b"new").unwrap();
        assert_eq!(
            read(&Access::open(folder.path()), AccessRecord::Accounts).unwrap(),
            b"new"
        );
    }

    #[test]
    fn what_cannot_be_written_leaves_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path());
        access.write(AccessRecord::Accounts, b"one").unwrap();
        let large = vec![0; MAX_CONTENT + 1];
        let error = access.write(AccessRecord::Accounts, &large).unwrap_err();
        assert!(matches!(error, AccessError::TooLarge { found } if found == MAX_CONTENT + 1));
        let full = |_: &Path| Err(std::io::ErrorKind::StorageFull.into());
        let error = files::faults::with(full, || access.write(AccessRecord::Accounts, b"two"));
        assert!(matches!(error, Err(AccessError::File(_))), "{error:?}");
        for access in [access, Access::open(folder.path())] {
            assert_eq!(read(&access, AccessRecord::Accounts).unwrap(), b"one");
        }
        assert!(!format!("{:?}", Access::open(folder.path())).contains("one"));
    }

    #[test]
    fn damaged_installation_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path());
        let large = vec![b'x'; MAX_INSTALLATION];
        access.write(AccessRecord::Installation, &large).unwrap();
        let again = Access::open(folder.path());
        assert_eq!(read(&again, AccessRecord::Installation).unwrap(), large);
        fs::write(folder.path().join("web-installation"), "torn").unwrap();
        let damaged = Access::open(folder.path());
        assert!(damaged.damaged().is_empty());
        assert!(matches!(
            damaged.read(AccessRecord::Installation),
            Err(AccessError::Damaged { .. })
        ));
    }

    #[test]
    fn greatest_content_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let large = vec![7; MAX_CONTENT];
        Access::open(folder.path())
            .write(AccessRecord::Certificate, &large)
            .unwrap();
        assert_eq!(
            read(&Access::open(folder.path()), AccessRecord::Certificate).unwrap(),
            large
        );
    }
}
