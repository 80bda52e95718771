//! Energy applications, kept under their digests: what a bundle names is here before the bundle is installed.
//!
//! They are opaque bytes here. One that no bundle names any more is removed; one that is damaged is as good as absent, and
//! comes again.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use model::Fingerprint;
use sha2::{Digest, Sha256};

use crate::files::{self, FileError};

/// The ending of the files' names.
const ENDING: &str = ".wasm";

/// The reason why an application is not kept.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// There are as many as may be kept; those that no bundle names go with the next bundle.
    #[error(
        "{} applications are kept already; install a bundle that names fewer",
        Applications::MAX_COUNT
    )]
    Full,
    /// It is larger than any that is kept.
    #[error(
        "the application has {found} bytes; {} are kept at most",
        Applications::MAX_SIZE
    )]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// A file cannot be read or written.
    #[error("the applications are out of reach")]
    File(#[from] FileError),
}

/// The applications of one gateway.
#[derive(Debug)]
pub struct Applications {
    folder: PathBuf,
    /// Held while files come and go.
    turn: Mutex<()>,
}

impl Applications {
    /// The greatest size of an application in bytes.
    pub const MAX_SIZE: usize = 1024 * 1024;
    /// How many are kept at most: those of a bundle, of the one that is to follow, and earlier versions that have made values
    /// which are kept.
    pub const MAX_COUNT: usize = 128;

    pub(crate) fn open(folder: &Path) -> Self {
        Self {
            folder: folder.join("applications"),
            turn: Mutex::new(()),
        }
    }

    /// Keeps an application; on return it is on the disk. Returns its digest.
    ///
    /// # Errors
    ///
    /// [`ApplicationError`] if there is no room for it, or it cannot be written.
    pub fn keep(&self, bytes: &[u8]) -> Result<Fingerprint, ApplicationError> {
        if bytes.len() > Self::MAX_SIZE {
            return Err(ApplicationError::TooLarge { found: bytes.len() });
        }
        let _turn = self
            .turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let digest = digest_of(bytes);
        if self.read(digest)?.is_some() {
            return Ok(digest);
        }
        if self.names()?.len() >= Self::MAX_COUNT {
            return Err(ApplicationError::Full);
        }
        files::make_folder(&self.folder)?;
        files::replace(&self.folder, &format!("{digest}{ENDING}"), bytes)?;
        Ok(digest)
    }

    /// Returns the bytes of an application, unless it is not here or damaged.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be read.
    pub fn read(&self, digest: Fingerprint) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.path(digest);
        let file = match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(FileError::at(&path))?,
        };
        let most = u64::try_from(Self::MAX_SIZE)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut bytes = Vec::new();
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(FileError::at(&path))?;
        Ok(Some(bytes).filter(|bytes| digest_of(bytes) == digest))
    }

    /// Returns the digests of the applications that are here and sound.
    ///
    /// # Errors
    ///
    /// [`FileError`] if they cannot be read.
    pub fn list(&self) -> Result<Vec<Fingerprint>, FileError> {
        let mut found = Vec::new();
        for digest in self.names()? {
            if self.read(digest)?.is_some() {
                found.push(digest);
            }
        }
        Ok(found)
    }

    /// Removes all but these, and what a power cut has left of others.
    ///
    /// # Errors
    ///
    /// [`FileError`] if one cannot be removed.
    pub fn keep_only(&self, wanted: &BTreeSet<Fingerprint>) -> Result<(), FileError> {
        let _turn = self
            .turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for path in self.files()? {
            if digest_in(&path).is_some_and(|digest| wanted.contains(&digest)) {
                continue;
            }
            fs::remove_file(&path).map_err(FileError::at(&path))?;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<Fingerprint>, FileError> {
        Ok(self.files()?.iter().filter_map(|path| digest_in(path)).collect())
    }

    fn files(&self) -> Result<Vec<PathBuf>, FileError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::at(&self.folder))?,
        };
        let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(FileError::at(&self.folder))?;
        paths.sort();
        Ok(paths)
    }

    fn path(&self, digest: Fingerprint) -> PathBuf {
        self.folder.join(format!("{digest}{ENDING}"))
    }
}

fn digest_of(bytes: &[u8]) -> Fingerprint {
    Fingerprint::new(Sha256::digest(bytes).into())
}

fn digest_in(path: &Path) -> Option<Fingerprint> {
    path.file_name()?.to_str()?.strip_suffix(ENDING)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applications() -> (tempfile::TempDir, Applications) {
        let folder = tempfile::tempdir().unwrap();
        let applications = Applications::open(folder.path());
        (folder, applications)
    }

    #[test]
    fn what_is_kept_is_read_again_and_what_is_not_wanted_goes() {
        let (folder, applications) = applications();
        assert_eq!(applications.list().unwrap(), []);
        let one = applications.keep(b"one").unwrap();
        let two = applications.keep(b"two").unwrap();
        assert_eq!(applications.keep(b"one").unwrap(), one);
        let again = Applications::open(folder.path());
        assert_eq!(again.read(one).unwrap().unwrap(), b"one");
        assert_eq!(again.list().unwrap().len(), 2);
        // What a cut has left of a third one.
        fs::write(folder.path().join("applications/x.wasm.tmp"), "half").unwrap();
        again.keep_only(&BTreeSet::from([two])).unwrap();
        assert_eq!(again.read(one).unwrap(), None);
        assert_eq!(again.list().unwrap(), [two]);
        assert_eq!(
            fs::read_dir(folder.path().join("applications")).unwrap().count(),
            1
        );
    }

    #[test]
    fn damaged_application_is_absent_and_can_come_again() {
        let (folder, applications) = applications();
        let digest = applications.keep(b"sound").unwrap();
        let path = folder.path().join("applications").join(format!("{digest}.wasm"));
        fs::write(&path, b"sOund").unwrap();
        assert_eq!(applications.read(digest).unwrap(), None);
        assert_eq!(applications.list().unwrap(), []);
        assert_eq!(applications.keep(b"sound").unwrap(), digest);
        assert_eq!(applications.list().unwrap(), [digest]);
    }

    #[test]
    fn size_and_number_are_bounded() {
        let (_folder, applications) = applications();
        let large = vec![0; Applications::MAX_SIZE + 1];
        assert!(matches!(
            applications.keep(&large),
            Err(ApplicationError::TooLarge { .. })
        ));
        for number in 0..u64::try_from(Applications::MAX_COUNT).unwrap() {
            applications.keep(&number.to_be_bytes()).unwrap();
        }
        assert!(matches!(
            applications.keep(b"one too many"),
            Err(ApplicationError::Full)
        ));
        applications.keep(&0u64.to_be_bytes()).unwrap();
    }
}
