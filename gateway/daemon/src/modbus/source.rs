//! Where a profile comes from: one that is built in, or a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use modbus::{Profile, ProfileError};

/// Loads the built-in profile of that name, or the one in that file: what has a slash in it or ends
/// in `.toml` is a file.
///
/// # Errors
///
/// [`SourceError`] names the profile or the file, and what is wrong with it.
pub(crate) fn load(name: &str) -> Result<Profile, SourceError> {
    if name.contains('/') || name.to_ascii_lowercase().ends_with(".toml") {
        return read(Path::new(name));
    }
    let unknown = || SourceError::Unknown {
        name: name.to_owned(),
        known: modbus::built_in_names().collect::<Vec<_>>().join(", "),
    };
    let text = modbus::built_in(name).ok_or_else(unknown)?;
    Profile::parse(text).map_err(|source| SourceError::Profile {
        file: PathBuf::from(name),
        source,
    })
}

/// Reads the profile in a file.
///
/// # Errors
///
/// [`SourceError`] names the file, and what is wrong with it.
pub(crate) fn read(file: &Path) -> Result<Profile, SourceError> {
    let text = text_of(file)?;
    Profile::parse(&text).map_err(|source| SourceError::Profile {
        file: file.to_owned(),
        source,
    })
}

/// Reads the text in a file.
///
/// # Errors
///
/// [`SourceError::File`] names the file, and what the system says.
pub(super) fn text_of(file: &Path) -> Result<String, SourceError> {
    read_text(file).map_err(|source| SourceError::File {
        file: file.to_owned(),
        source,
    })
}

/// Reads the file, but no more of it than shows that it is too long.
fn read_text(file: &Path) -> io::Result<String> {
    let most = u64::try_from(Profile::MAX_LENGTH)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut text = String::new();
    File::open(file)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// The reason why there is no such profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// No built-in profile has the name.
    #[error("there is no profile \"{name}\"; there are {known}, or the path of a file")]
    Unknown { name: String, known: String },
    /// The file cannot be read.
    #[error("{}: it cannot be read", file.display())]
    File { file: PathBuf, source: io::Error },
    /// The file is no profile.
    #[error("{}", file.display())]
    Profile { file: PathBuf, source: ProfileError },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_named_or_in_a_file() {
        assert_eq!(load("eastron-sdm630").unwrap().name(), "eastron-sdm630");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, modbus::built_in("saia-ale3").unwrap()).unwrap();
        assert_eq!(load(file.to_str().unwrap()).unwrap().name(), "saia-ale3");
    }

    #[test]
    fn what_is_no_profile_is_named() {
        let error = load("acme-none").unwrap_err().to_string();
        assert!(
            error.contains("\"acme-none\"; there are 2flow-mag11, "),
            "{error}"
        );
        assert!(matches!(load("none.toml"), Err(SourceError::File { .. })));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broken.toml");
        std::fs::write(&file, "name = 1").unwrap();
        let error = load(file.to_str().unwrap()).unwrap_err();
        assert!(matches!(error, SourceError::Profile { .. }));
    }
}
