//! Folders, copied and emptied.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::TortureError;

/// Copies a folder with its sub-folders, as it stands, over another.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), TortureError> {
    fs::create_dir_all(to).map_err(TortureError::file(to))?;
    for path in entries(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(TortureError::file(&path))?;
        }
    }
    Ok(())
}

/// Makes an empty folder, whatever was there.
pub(super) fn empty(folder: &Path) -> Result<(), TortureError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(TortureError::file(folder))?;
    }
    fs::create_dir_all(folder).map_err(TortureError::file(folder))
}

/// Returns what is in a folder, in order.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, TortureError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().map_err(TortureError::file(folder))?;
    paths.sort();
    Ok(paths)
}

/// Returns all files below a folder, as paths from there, in order.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, TortureError> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for path in entries(&next)? {
            if path.is_dir() {
                waiting.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_copied_listed_and_emptied() {
        let top = tempfile::tempdir().unwrap();
        let from = top.path().join("a");
        fs::create_dir_all(from.join("b")).unwrap();
        fs::write(from.join("b/c"), "c").unwrap();
        fs::write(from.join("d"), "d").unwrap();
        let to = top.path().join("e");
        copy(&from, &to).unwrap();
        assert_eq!(files(&to).unwrap(), [Path::new("b/c"), Path::new("d")]);
        empty(&to).unwrap();
        assert!(files(&to).unwrap().is_empty());
        let error = entries(&top.path().join("x")).unwrap_err();
        assert!(matches!(error, TortureError::File { .. }));
    }
}
