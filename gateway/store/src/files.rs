//! Files and folders, written so that they survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
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
    /// Returns whether it failed because the disk, or the share of it, is full.
    pub(crate) fn is_full(&self) -> bool {
        is_full(&self.source)
    }

    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// Returns whether the operating system says that the disk, or the share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
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

/// Sees that only the gateway's user may enter a folder, or read and write a file, that is there already.
pub(crate) fn make_private(path: &Path) -> Result<(), FileError> {
    let make = || {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let mode = if found.is_dir() { 0o700 } else { 0o600 };
        if found.permissions().mode() & 0o777 == mode {
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    make().map_err(FileError::at(path))
}

/// Replaces a file at once: whenever the power goes, it has the old content or the new one.
pub(crate) fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), FileError> {
    let path = folder.join(name);
    let temporary = folder.join(format!("{name}.tmp"));
    let write = || {
        step(&temporary)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        step(&temporary)?;
        file.write_all(content)?;
        step(&temporary)?;
        file.sync_all()?;
        step(&path)?;
        fs::rename(&temporary, &path)
    };
    write().map_err(FileError::at(&path))?;
    sync(folder)
}

/// Lengthens a file to a length in bytes, or as far as the disk allows; it is made if there is none.
///
/// Every `content.len()` bytes of it are `content` again.
pub(crate) fn lengthen(folder: &Path, name: &str, content: &[u8], length: u64) -> Result<(), FileError> {
    let path = folder.join(name);
    let write = || {
        step(&path)?;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        let mut missing = usize::try_from(length.saturating_sub(file.metadata()?.len())).unwrap_or(0);
        while missing > 0 {
            let (content, _) = content.split_at_checked(missing).unwrap_or((content, &[]));
            // On a full disk the last write is cut off where the space ends.
            if content.is_empty() || file.write_all(content).is_err() {
                break;
            }
            missing = missing.saturating_sub(content.len());
        }
        step(&path)?;
        file.sync_all()
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
    step(path)
        .and_then(|()| File::open(if is_here { Path::new(".") } else { path }))
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

/// Removes a file for good; returns whether there was one.
pub(crate) fn remove(folder: &Path, name: &str) -> Result<bool, FileError> {
    let path = folder.join(name);
    match step(&path).and_then(|()| fs::remove_file(&path)) {
        Ok(()) => sync(folder).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::at(&path)(error)),
    }
}

/// Removes a folder with all that is in it; it may be missing.
pub(crate) fn remove_tree(folder: &Path) -> Result<(), FileError> {
    match step(folder).and_then(|()| fs::remove_dir_all(folder)) {
        Ok(()) => folder.parent().map_or(Ok(()), sync),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::at(folder)(error)),
    }
}

/// Moves a file or folder from one folder into another for good.
pub(crate) fn relocate(from: &Path, to: &Path) -> Result<(), FileError> {
    step(to)
        .and_then(|()| fs::rename(from, to))
        .map_err(FileError::at(from))?;
    for folder in [to.parent(), from.parent()].into_iter().flatten() {
        sync(folder)?;
    }
    Ok(())
}

/// Stands before every single change of the disk, so that a test can make it fail or look at what is
/// on the disk just then.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in tests")]
pub(crate) const fn step(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use faults::step;

/// Steps at which the disk fails, or at which something else is to happen.
#[cfg(test)]
pub(crate) mod faults {
    use std::cell::RefCell;
    use std::io;
    use std::path::Path;

    type AtStep = Box<dyn FnMut(&Path) -> io::Result<()>>;

    thread_local! {
        static AT_STEP: RefCell<Option<AtStep>> = const { RefCell::new(None) };
    }

    /// Calls `at_step` before every change of the disk that this thread makes while `run` runs.
    pub(crate) fn with<T>(
        at_step: impl FnMut(&Path) -> io::Result<()> + 'static,
        run: impl FnOnce() -> T,
    ) -> T {
        AT_STEP.set(Some(Box::new(at_step)));
        let outcome = run();
        AT_STEP.set(None);
        outcome
    }

    pub(crate) fn step(path: &Path) -> io::Result<()> {
        // What is called here may change the disk too.
        let Some(mut at_step) = AT_STEP.take() else {
            return Ok(());
        };
        let outcome = at_step(path);
        AT_STEP.set(Some(at_step));
        outcome
    }
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
    fn files_are_moved_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        replace(folder.path(), "from", b"x").unwrap();
        relocate(&from, &to).unwrap();
        assert_eq!(read(&from, 1).unwrap(), None);
        assert!(remove(folder.path(), "to").unwrap());
        assert!(!remove(folder.path(), "to").unwrap());
        make_folder(&to.join("below")).unwrap();
        remove_tree(&to).unwrap();
        remove_tree(&to).unwrap();
        assert!(entries(folder.path()).unwrap().is_empty());
        for error in [
            remove(&from.join("below"), "\0").unwrap_err(),
            remove_tree(Path::new("\0")).unwrap_err(),
            relocate(&from, &to).unwrap_err(),
        ] {
            assert!(!error.is_full());
        }
    }

    #[test]
    fn file_is_lengthened_and_never_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let content = || fs::read(folder.path().join("a")).unwrap();
        for (length, expected) in [(3, 3), (10_000, 10_000), (5, 10_000)] {
            lengthen(folder.path(), "a", &[7; 5_000], length).unwrap();
            assert_eq!(content(), vec![7; expected]);
        }
        let error = lengthen(&folder.path().join("missing"), "a", b"x", 1).unwrap_err();
        assert!(error.to_string().contains("missing/a"), "{error}");
    }

    #[test]
    fn step_can_be_made_to_fail() {
        let folder = tempfile::tempdir().unwrap();
        let full = |_: &Path| Err(io::ErrorKind::StorageFull.into());
        let error = faults::with(full, || replace(folder.path(), "a", b"")).unwrap_err();
        assert!(error.is_full());
        replace(folder.path(), "a", b"").unwrap();
    }

    #[test]
    fn failure_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = replace(&missing, "a", b"").unwrap_err();
        assert!(error.to_string().contains("missing/a"), "{error}");
    }
}
