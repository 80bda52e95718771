//! What can go wrong on the stage, and the last words of the program that it went wrong with.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most bytes of a log that an error message quotes: some twenty lines.
const TAIL_BYTES: u64 = 4096;

/// The last lines of a program's log, for an error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail(String);

impl LogTail {
    /// Reads the last lines of the file; a file that cannot be read has none.
    #[must_use]
    pub fn of(log: &Path) -> Self {
        let mut bytes = Vec::new();
        let mut read = || -> std::io::Result<()> {
            let mut file = File::open(log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(())
        };
        match read() {
            Ok(()) => Self(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Err(_) => Self(String::new()),
        }
    }
}

impl fmt::Display for LogTail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("its log is empty");
        }
        write!(formatter, "its log ends with:\n{}", self.0)
    }
}

/// The reason why the story could not go on.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A program of the system has not been built.
    #[error("{} does not exist; build the programs with `cargo verify`, or name their folder in SMGW_BIN_DIR", path.display())]
    NotBuilt {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// An energy application has not been built.
    #[error("{} does not exist; build the applications with `cargo xtask apps`", path.display())]
    NoApplication {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The folder of the running executable is not known.
    #[error("the folder of the running executable is not known")]
    NoExecutable(#[source] std::io::Error),
    /// No ports are free for a virtual card reader.
    #[error("no two ports in a row are free among the {count} from {first} on")]
    NoPorts {
        /// The first port.
        first: u16,
        /// How many were looked at.
        count: u16,
    },
    /// A program could not be started.
    #[error("{name} could not be started; `setpriv` (Debian package util-linux) must be installed")]
    Start {
        /// The program.
        name: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A program ended with another code than it should.
    #[error("{name} ended with {}; {log}", exit_text(*code))]
    Failed {
        /// The program.
        name: String,
        /// Its exit code, unless a signal ended it.
        code: Option<i32>,
        /// Its last words.
        log: LogTail,
    },
    /// A program did not do in time what was waited for.
    #[error("{name}: {what} did not happen within {allowed:?}; {log}")]
    TooLate {
        /// The program.
        name: String,
        /// What was waited for.
        what: String,
        /// The time that was allowed.
        allowed: Duration,
        /// Its last words.
        log: LogTail,
    },
    /// A signal asked to end while something was waited for.
    #[error("interrupted while {name} was waited for")]
    Interrupted {
        /// The program.
        name: String,
    },
    /// A program printed something else than the contract says.
    #[error("{name} answered what is not of the form {schema}: {line:?}; {log}")]
    Answer {
        /// The program.
        name: String,
        /// The form that was expected.
        schema: &'static str,
        /// What was printed.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
        /// Its last words.
        log: LogTail,
    },
    /// A program answered in another form or another version of it.
    #[error("{name} answered in the form {found:?}, expected {expected}")]
    Schema {
        /// The program.
        name: String,
        /// The form that was expected.
        expected: &'static str,
        /// The form that was named.
        found: String,
    },
    /// A program ended without the line that was waited for.
    #[error("{name} ended without an answer; {log}")]
    Silent {
        /// The program.
        name: String,
        /// Its last words.
        log: LogTail,
    },
    /// There is no network of the run's own.
    #[error(
        "this machine gives no {what}; run the stories in network namespaces as root, with the Debian package iproute2; {log}"
    )]
    Network {
        /// What could not be had.
        what: String,
        /// What was said.
        log: LogTail,
    },
    /// A network has no such host.
    #[error("the network has no host {name}; name it when the network is built")]
    NoHost {
        /// The name.
        name: String,
    },
    /// A time or span in an answer cannot be computed with.
    #[error("{text:?} is no time or span that this harness can compute with")]
    Time {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: jiff::Error,
    },
    /// A file of the stage could not be read or written.
    #[error("{} could not be read or written", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl StageError {
    /// Builds the error for a part of a network, with what was said.
    pub(crate) fn network(what: &str, log: &Path) -> Self {
        Self::Network {
            what: what.to_owned(),
            log: LogTail::of(log),
        }
    }

    /// Builds the error for a file, for use with `map_err`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}

/// Says how a program ended.
fn exit_text(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_holds_the_last_lines_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, format!("{}\nthe last line\n", "x".repeat(10_000))).unwrap();
        let text = LogTail::of(&log).to_string();
        assert!(text.ends_with("the last line"));
        assert!(text.len() < 4200);
    }

    #[test]
    fn log_that_is_not_there_is_called_empty() {
        assert_eq!(
            LogTail::of(Path::new("/does/not/exist")).to_string(),
            "its log is empty"
        );
    }

    #[test]
    fn failure_names_program_code_and_last_words() {
        let failed = |code| StageError::Failed {
            name: "supplier pull".into(),
            code,
            log: LogTail("no grant".into()),
        };
        assert_eq!(
            failed(Some(1)).to_string(),
            "supplier pull ended with exit code 1; its log ends with:\nno grant"
        );
        assert!(
            failed(None)
                .to_string()
                .starts_with("supplier pull ended with a signal")
        );
    }
}
