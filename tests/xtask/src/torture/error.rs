//! Why the store could not be tortured, or did not stand it.

use std::path::{Path, PathBuf};

/// The reason why a torture ended without a good result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TortureError {
    /// The store did what it must never do.
    #[error("the store does not stand: {kinds}")]
    Failed {
        /// The kinds of torture that it does not stand.
        kinds: String,
    },
    /// A signal ended it.
    #[error("a signal ended the torture")]
    Stopped,
    /// This machine cannot do it.
    #[error("not possible here: {why}")]
    Impossible {
        /// What is missing.
        why: String,
    },
    /// A program could not be started, or its pipe is gone.
    #[error("{program} could not be started or has gone away")]
    Program {
        /// The program.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A script that must run through did not.
    #[error("the script {script:?} did not run through, though nothing was done to it: {why}")]
    Script {
        /// The script.
        script: String,
        /// The error that it reported.
        why: String,
    },
    /// The log of system calls has a line that cannot be understood.
    #[error("the log of system calls has an odd line: {line}")]
    Log {
        /// The beginning of the line.
        line: String,
    },
    /// No state has that name.
    #[error("{text:?} names no state; it must be like kill-fresh:17, with a kind and a number of the table")]
    NoSuchState {
        /// The text.
        text: String,
    },
    /// A file or folder could not be read or written.
    #[error("{} could not be read or written", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl TortureError {
    /// Builds the error for a file, for use with `map_err`.
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }

    /// Builds the error for a program, for use with `map_err`.
    pub(super) fn program(program: &str) -> impl FnOnce(std::io::Error) -> Self {
        let program = program.to_owned();
        |source| Self::Program { program, source }
    }
}
