//! Files that are written whole or not at all, and survive a power cut.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone (mode 0600): private keys.
    Private,
    /// Everybody (mode 0644): certificates.
    Public,
}

impl Access {
    fn permissions(self) -> Permissions {
        Permissions::from_mode(match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        })
    }
}

/// The reason why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there already and is never overwritten.
    #[error("{} is there already and is never overwritten; choose another folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than anything that belongs there.
    #[error("{} has more than {limit} bytes, so it is not the file that belongs there", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: usize,
    },
    /// The operating system refuses.
    #[error("{} cannot be read or written", path.display())]
    Access {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// Builds the error for what the operating system says about a path.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Access { path, source },
        }
    }
}

/// Writes a file that must not be there yet.
///
/// # Errors
///
/// [`FileError::Exists`] if it is, [`FileError::Missing`] without its folder, [`FileError::Access`]
/// otherwise.
pub fn write_new(path: &Path, content: &[u8], access: Access) -> Result<(), FileError> {
    write_beside(path, content, access)?
        .persist_noclobber(path)
        .map_err(|error| FileError::at(path)(error.error))?;
    sync_folder_of(path)
}

/// Writes a file, or replaces it at once: whenever the power goes, it has the old or the new content.
///
/// # Errors
///
/// [`FileError::Missing`] without its folder, [`FileError::Access`] otherwise.
pub fn replace(path: &Path, content: &[u8], access: Access) -> Result<(), FileError> {
    write_beside(path, content, access)?
        .persist(path)
        .map_err(|error| FileError::at(path)(error.error))?;
    sync_folder_of(path)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
///
/// [`FileError::Missing`], [`FileError::TooLarge`] or [`FileError::Access`].
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut content))
        .map_err(FileError::at(path))?;
    if content.len() <= limit {
        Ok(content)
    } else {
        Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        })
    }
}

/// Reads a file of text; bytes that are no UTF-8 show as such to whoever parses it.
///
/// # Errors
///
/// As [`read`].
pub fn read_text(path: &Path, limit: usize) -> Result<String, FileError> {
    read(path, limit).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Makes a folder that only its owner may enter, with its parents; it may be there already.
///
/// # Errors
///
/// [`FileError::Access`] or [`FileError::Exists`] if something else than a folder is in the way.
pub fn make_folder(folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    let made: Vec<_> = folder.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(FileError::at(folder))?;
    made.into_iter().try_for_each(sync_folder_of)
}

fn write_beside(path: &Path, content: &[u8], access: Access) -> Result<NamedTempFile, FileError> {
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(access.permissions())
            .tempfile_in(folder_of(path))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(FileError::at(path))
}

/// Waits until what was made, renamed or removed beside the path survives a power cut.
///
/// # Errors
///
/// [`FileError::Access`] if the folder cannot be written.
pub fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = folder_of(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::at(folder))
}

/// Returns the folder of a path; that of a bare name is the current one.
fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_new(&path, b"secret", Access::Private).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read(&path, 6).unwrap(), b"secret");
    }

    #[test]
    fn existing_file_is_replaced_only_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_new(&path, b"one", Access::Public).unwrap();
        let error = write_new(&path, b"two", Access::Public).unwrap_err();
        assert!(matches!(error, FileError::Exists { .. }), "{error}");
        assert_eq!(read_text(&path, 3).unwrap(), "one");
        replace(&path, b"two", Access::Public).unwrap();
        assert_eq!(read_text(&path, 3).unwrap(), "two");
    }

    #[test]
    fn missing_oversized_and_unreachable_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(matches!(read(&path, 9), Err(FileError::Missing { .. })));
        replace(&path, b"0123456789", Access::Public).unwrap();
        assert!(matches!(
            read(&path, 9),
            Err(FileError::TooLarge { limit: 9, .. })
        ));
        let below_a_file = path.join("b");
        assert!(matches!(read(&below_a_file, 9), Err(FileError::Access { .. })));
    }

    #[test]
    fn folders_are_made_with_their_parents() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();
        let mode = std::fs::metadata(&deep).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
