//! Why there is no soft card.

use std::path::{Path, PathBuf};

use card::applet::CardStateError;

/// The reason why a soft card cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SoftCardError {
    /// Another reader holds the card.
    #[error("the soft card {} is in another reader; stop the program that uses it", path.display())]
    InUse {
        /// The card's file.
        path: PathBuf,
    },
    /// A file, its lock or a socket cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no card.
    #[error("{} holds no soft card; name another file", path.display())]
    State {
        /// The card's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CardStateError,
    },
    /// The state could not be written before, so that the card is without power.
    #[error("the soft card is without power, since its state could not be written")]
    NoPower,
    /// The system gave no thread.
    #[error("the system gives no thread")]
    Thread(#[source] std::io::Error),
}

impl SoftCardError {
    /// Builds the error for a file, for use with `map_err`.
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }

    /// Builds the error for a file that holds no card, for use with `map_err`.
    pub(super) fn state(path: &Path) -> impl FnOnce(CardStateError) -> Self {
        let path = path.to_owned();
        |source| Self::State { path, source }
    }
}
