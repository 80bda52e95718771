//! Where the programs of the system are.

use std::path::{Path, PathBuf};

use crate::StageError;

/// A program of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The gateway.
    Smgw,
    /// The trust centre and TSM.
    TrustCenter,
    /// The energy supplier.
    Supplier,
    /// The simulated meters.
    Simulators,
    /// The soft card for a virtual reader.
    SoftCard,
}

impl Program {
    /// Every program, in the order of the enum.
    pub const ALL: [Self; 5] = [
        Self::Smgw,
        Self::TrustCenter,
        Self::Supplier,
        Self::Simulators,
        Self::SoftCard,
    ];

    /// Returns the file name of the program.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smgw => "smgw",
            Self::TrustCenter => "trust-center",
            Self::Supplier => "supplier",
            Self::Simulators => "simulators",
            Self::SoftCard => "softcard",
        }
    }
}

/// The folder that holds every program of the system.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Takes the programs from the folder.
    ///
    /// # Errors
    ///
    /// [`StageError::NotBuilt`] names the first program that is missing.
    pub fn in_folder(folder: &Path) -> Result<Self, StageError> {
        let programs = Self {
            folder: folder.to_owned(),
        };
        for program in Program::ALL {
            let path = programs.path(program);
            if !path.is_file() {
                return Err(StageError::NotBuilt { path });
            }
        }
        Ok(programs)
    }

    /// Finds the programs in `SMGW_BIN_DIR`, or else beside the running executable.
    ///
    /// A test runs from `target/PROFILE/deps`, `xtask` from `target/PROFILE`.
    ///
    /// # Errors
    ///
    /// [`StageError::NotBuilt`] names the first program that is missing.
    pub fn find() -> Result<Self, StageError> {
        if let Some(folder) = std::env::var_os("SMGW_BIN_DIR") {
            return Self::in_folder(Path::new(&folder));
        }
        let executable = std::env::current_exe().map_err(StageError::NoExecutable)?;
        Self::in_folder(&profile_folder(&executable))
    }

    /// Returns the path of the program.
    #[must_use]
    pub fn path(&self, program: Program) -> PathBuf {
        self.folder.join(program.name())
    }

    /// Returns the path of an energy application, such as `taf-2`, that `cargo xtask apps` has built beside the profiles.
    ///
    /// # Errors
    ///
    /// [`StageError::NoApplication`] if it is missing.
    pub fn application(&self, name: &str) -> Result<PathBuf, StageError> {
        let path = self.folder.join("../apps").join(name).with_extension("wasm");
        if path.is_file() {
            Ok(path)
        } else {
            Err(StageError::NoApplication { path })
        }
    }
}

/// Returns the folder of the build profile that the executable belongs to.
fn profile_folder(executable: &Path) -> PathBuf {
    let folder = executable.parent().unwrap_or(executable);
    if folder.ends_with("deps") {
        return folder.parent().unwrap_or(folder).to_owned();
    }
    folder.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_tools_find_the_same_folder() {
        for executable in ["/t/release/deps/stories-1a2b", "/t/release/xtask"] {
            assert_eq!(profile_folder(Path::new(executable)), Path::new("/t/release"));
        }
    }

    #[test]
    fn missing_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("smgw"), "").unwrap();
        let error = Programs::in_folder(folder.path()).unwrap_err();
        assert!(matches!(error, StageError::NotBuilt { path } if path.ends_with("trust-center")));
    }
}
