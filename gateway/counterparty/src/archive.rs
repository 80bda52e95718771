//! Messages as they went over the WAN, kept for whoever wants to check them.
//!
//! `NNNN-request.cms` and `NNNN-answer.cms`, DER, numbered from 0001 on; a folder that has some
//! already is continued.

use std::path::{Path, PathBuf};

use crate::files::{self, Access, FileError};

/// The reason why a message was not kept.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file cannot be written, or the folder not be read.
    #[error("the message cannot be kept; free the disk or choose another folder")]
    File(#[from] FileError),
    /// The numbers have run out.
    #[error("{} has the greatest number of messages; choose another folder", folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
    },
}

/// A folder of kept messages.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    last: u32,
}

/// A request that is kept, and the place for its answer.
#[derive(Debug)]
pub struct KeptRequest {
    answer: PathBuf,
}

impl Archive {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::File`] if it cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        files::make_folder(folder)?;
        let at_folder = || FileError::at(folder);
        let mut last = 0;
        for entry in std::fs::read_dir(folder).map_err(at_folder())? {
            let name = entry.map_err(at_folder())?.file_name();
            last = last.max(name.to_str().and_then(number).unwrap_or(0));
        }
        Ok(Self {
            folder: folder.to_owned(),
            last,
        })
    }

    /// Keeps a request (DER) under the next number.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] if the file cannot be written, or the numbers have run out.
    pub fn keep_request(&mut self, message: &[u8]) -> Result<KeptRequest, ArchiveError> {
        let number = self.last.checked_add(1).ok_or_else(|| ArchiveError::Full {
            folder: self.folder.clone(),
        })?;
        self.last = number;
        let path = |kind| self.folder.join(format!("{number:04}-{kind}.cms"));
        files::write_new(&path("request"), message, Access::Public)?;
        Ok(KeptRequest {
            answer: path("answer"),
        })
    }
}

impl KeptRequest {
    /// Keeps the answer (DER) under the number of its request.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::File`] if the file cannot be written.
    pub fn keep_answer(self, message: &[u8]) -> Result<(), ArchiveError> {
        Ok(files::write_new(&self.answer, message, Access::Public)?)
    }
}

/// Returns the number of a kept message.
fn number(name: &str) -> Option<u32> {
    let number = name
        .strip_suffix("-request.cms")
        .or_else(|| name.strip_suffix("-answer.cms"))?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn numbering_continues_where_it_ended() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("kept");
        let mut archive = Archive::open(&folder).unwrap();
        archive.keep_request(b"one").unwrap().keep_answer(b"two").unwrap();
        archive.keep_request(b"three").unwrap();
        std::fs::write(folder.join("notes.txt"), "").unwrap();
        let mut archive = Archive::open(&folder).unwrap();
        archive
            .keep_request(b"four")
            .unwrap()
            .keep_answer(b"five")
            .unwrap();
        assert_eq!(
            names(&folder),
            [
                "0001-answer.cms",
                "0001-request.cms",
                "0002-request.cms",
                "0003-answer.cms",
                "0003-request.cms",
                "notes.txt"
            ]
        );
        assert_eq!(std::fs::read(folder.join("0003-answer.cms")).unwrap(), b"five");
    }

    #[test]
    fn kept_messages_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("0001-request.cms"), "other").unwrap();
        let error = archive.keep_request(b"one").unwrap_err();
        assert!(matches!(error, ArchiveError::File(FileError::Exists { .. })));
    }

    #[test]
    fn full_or_impossible_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("4294967295-answer.cms"), "").unwrap();
        let error = Archive::open(folder.path())
            .unwrap()
            .keep_request(b"")
            .unwrap_err();
        assert!(matches!(error, ArchiveError::Full { .. }));
        let below_a_file = folder.path().join("4294967295-answer.cms/kept");
        assert!(matches!(Archive::open(&below_a_file), Err(ArchiveError::File(_))));
    }
}
