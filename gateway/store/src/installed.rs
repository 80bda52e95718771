//! The meters that were installed through the local web: files of configuration, which the daemon reads beside its own.
//!
//! What they say is opaque here. Each is replaced as a whole, and is on the disk when a call returns.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::files::{self, FileError};

/// The folder within the store's.
const FOLDER: &str = "meters.d";
/// What a file is called, around its number.
const NAME: (&str, &str) = ("meter-", ".toml");

/// The reason why no file was written.
#[derive(Debug, thiserror::Error)]
pub enum InstalledError {
    /// There are as many as there may be.
    #[error("there are {} meters already, and no more can be installed", Installed::MOST)]
    TooMany,
    /// The content is longer than what a meter needs.
    #[error(
        "the configuration of a meter has {found} bytes, more than {}",
        Installed::LONGEST
    )]
    TooLarge {
        /// Its length in bytes.
        found: usize,
    },
    /// The folder or the file is out of reach.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The files of the installed meters.
#[derive(Debug)]
pub struct Installed {
    folder: PathBuf,
    /// Held while a file is written or removed.
    changing: Mutex<()>,
}

impl Installed {
    /// How many there are at most: a full line of an M-Bus.
    pub const MOST: usize = 250;
    /// The greatest length of one in bytes.
    pub const LONGEST: usize = 8 << 10;

    pub(crate) fn open(store: &Path) -> Self {
        Self {
            folder: Self::folder(store),
            changing: Mutex::new(()),
        }
    }

    /// Returns the folder within the one of a store.
    #[must_use]
    pub fn folder(store: &Path) -> PathBuf {
        store.join(FOLDER)
    }

    /// Returns the names of the files within the folder, in order; what nobody here has written is left out.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, FileError> {
        if !self.folder.is_dir() {
            return Ok(Vec::new());
        }
        let entries = files::entries(&self.folder)?;
        let names = entries.iter().filter_map(|path| path.file_name()?.to_str());
        let mut names: Vec<_> = names
            .filter(|name| number(name).is_some())
            .map(str::to_owned)
            .collect();
        names.sort_by_key(|name| number(name));
        Ok(names)
    }

    /// Writes another one, and returns its name; on return it is on the disk.
    ///
    /// # Errors
    ///
    /// [`InstalledError`]; nothing is written then.
    pub fn add(&self, content: &str) -> Result<String, InstalledError> {
        let found = content.len();
        if found > Self::LONGEST {
            return Err(InstalledError::TooLarge { found });
        }
        let _changing = self.lock();
        let taken: Vec<_> = self.names()?.iter().filter_map(|name| number(name)).collect();
        let free = (1..=Self::MOST).find(|number| !taken.contains(number));
        let (before, behind) = NAME;
        let name = format!("{before}{}{behind}", free.ok_or(InstalledError::TooMany)?);
        files::make_folder(&self.folder)?;
        files::replace(&self.folder, &name, content.as_bytes())?;
        Ok(name)
    }

    /// Removes one; on return it is gone from the folder. Returns whether there was one of this name.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<bool, FileError> {
        let _changing = self.lock();
        if number(name).is_none() || !self.folder.is_dir() {
            return Ok(false);
        }
        files::remove(&self.folder, name)
    }

    /// A panic under the lock leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number in the name of a file, if it is one of ours.
fn number(name: &str) -> Option<usize> {
    let (before, behind) = NAME;
    let digits = name.strip_prefix(before)?.strip_suffix(behind)?;
    let number = digits.parse().ok()?;
    let is_ours = (1..=Installed::MOST).contains(&number) && format!("{number}") == digits;
    is_ours.then_some(number)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_come_and_go_and_free_numbers_are_taken_first() {
        let store = tempfile::tempdir().unwrap();
        let installed = Installed::open(store.path());
        assert!(installed.names().unwrap().is_empty());
        assert!(!installed.remove("meter-1.toml").unwrap());
        for number in 1..=3 {
            assert_eq!(installed.add("one = 1").unwrap(), format!("meter-{number}.toml"));
        }
        assert!(installed.remove("meter-2.toml").unwrap());
        assert!(!installed.remove("meter-2.toml").unwrap());
        assert_eq!(installed.names().unwrap(), ["meter-1.toml", "meter-3.toml"]);
        assert_eq!(
            Installed::open(store.path()).add("two = 2").unwrap(),
            "meter-2.toml"
        );
        let file = Installed::folder(store.path()).join("meter-2.toml");
        assert_eq!(fs::read_to_string(file).unwrap(), "two = 2");
    }

    #[test]
    fn nothing_is_written_or_removed_that_is_none_of_ours() {
        let store = tempfile::tempdir().unwrap();
        let installed = Installed::open(store.path());
        installed.add("one = 1").unwrap();
        let other = Installed::folder(store.path()).join("mine.toml");
        fs::write(&other, "x").unwrap();
        for name in [
            "mine.toml",
            "../meter-1.toml",
            "meter-01.toml",
            "meter-0.toml",
            "meter-251.toml",
            "",
        ] {
            assert!(!installed.remove(name).unwrap(), "{name}");
        }
        assert!(other.exists());
        assert_eq!(installed.names().unwrap(), ["meter-1.toml"]);
        let found = Installed::LONGEST + 1;
        let error = installed.add(&"x".repeat(found)).unwrap_err();
        assert!(matches!(error, InstalledError::TooLarge { found: length } if length == found));
    }

    #[test]
    fn there_are_as_many_as_a_line_has_meters() {
        let store = tempfile::tempdir().unwrap();
        let installed = Installed::open(store.path());
        fs::create_dir(Installed::folder(store.path())).unwrap();
        for number in 1..=Installed::MOST {
            fs::write(
                Installed::folder(store.path()).join(format!("meter-{number}.toml")),
                "x",
            )
            .unwrap();
        }
        assert!(matches!(installed.add("x"), Err(InstalledError::TooMany)));
        assert_eq!(installed.names().unwrap().last().unwrap(), "meter-250.toml");
    }

    #[test]
    fn what_cannot_be_written_is_told_and_leaves_nothing() {
        let store = tempfile::tempdir().unwrap();
        let installed = Installed::open(store.path());
        let full = |_: &Path| Err(std::io::ErrorKind::StorageFull.into());
        let error = files::faults::with(full, || installed.add("x")).unwrap_err();
        assert!(matches!(error, InstalledError::File(_)));
        assert!(installed.names().unwrap().is_empty());
    }
}
