//! Files and folders, written so that they survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file or folder that could not be reached, read or written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read or written", path.display())]
pub struct FileError {
    /// Where it is.
    pub path: PathBuf,
    /// What the operating system says.
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// Makes a folder that only the gateway's user may enter, with its parents; it may exist.
pub(crate) fn make_folder(folder: &Path) -> Result<(), FileError> {
    let known = folder.ancestors().find(|path| path.is_dir());
    if known == Some(folder) {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(FileError::at(folder))?;
    for made in folder.ancestors() {
        // A relative path ends in the empty one, which stands for the current folder.
        let here = if made.as_os_str().is_empty() {
            Path::new(".")
        } else {
            made
        };
        sync(here)?;
        if Some(made) == known {
            break;
        }
    }
    Ok(())
}

/// Replaces a file at once: whenever the power goes, it has the old content or the new one.
pub(crate) fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), FileError> {
    let path = folder.join(name);
    let temporary = folder.join(format!("{name}.tmp"));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(FileError::at(&path))?;
    sync(folder)
}

/// Returns the content of a file, or `None` if there is none.
///
/// A file of more than `limit` bytes is cut off behind one byte more, which no format of ours has.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    let read = || {
        let mut content = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(File::open(path)?, limit.saturating_add(1)),
            &mut content,
        )?;
        Ok(content)
    };
    match read() {
        Ok(content) => Ok(Some(content)),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::at(path)(error)),
    }
}

/// Forces a file, or the entries of a folder, onto the disk.
pub(crate) fn sync(path: &Path) -> Result<(), FileError> {
    // The parent of a relative path may be the empty one, which stands for the current folder.
    let is_here = path.as_os_str().is_empty();
    File::open(if is_here { Path::new(".") } else { path })
        .and_then(|file| file.sync_all())
        .map_err(FileError::at(path))
}

/// Forces every file of a folder and of its sub-folders onto the disk, then the folders themselves.
pub(crate) fn sync_tree(folder: &Path) -> Result<(), FileError> {
    for path in entries(folder)? {
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            sync(&path)?;
        }
    }
    sync(folder)
}

/// Returns the paths of what is in a folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(FileError::at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(read(&path, 10).unwrap(), None);
        for content in [&b"one"[..], b"two"] {
            replace(folder.path(), "a", content).unwrap();
            assert_eq!(read(&path, 10).unwrap().unwrap(), content);
        }
        assert_eq!(read(&path, 1).unwrap().unwrap(), b"tw");
        assert_eq!(entries(folder.path()).unwrap(), [path]);
        sync_tree(folder.path()).unwrap();
    }

    #[test]
    fn failure_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = replace(&missing, "a", b"").unwrap_err();
        assert!(error.to_string().contains("missing/a"), "{error}");
    }
}
