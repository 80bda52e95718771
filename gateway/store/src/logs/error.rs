//! What can go wrong with the logs.

use model::LogKind;

use crate::FileError;

/// The reason why a log cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process has them open.
    #[error("another process has the logs open")]
    Locked,
    /// A newer gateway wrote the log; there is no way back.
    #[error("the {log} log has version {version}, which this gateway does not know")]
    TooNew {
        /// Which log.
        log: LogKind,
        /// Its version.
        version: char,
    },
    /// The log takes no more entries: it has reached its size, or the disk is full. Nothing was written.
    #[error("the {log} log is full")]
    Full {
        /// Which log.
        log: LogKind,
    },
    /// An entry is longer than an entry can be. Nothing was written.
    #[error("an entry of the {log} log would have {bytes} bytes, more than fit")]
    TooLong {
        /// Which log.
        log: LogKind,
        /// The length of its content in bytes.
        bytes: usize,
    },
    /// A write has failed; the logs must be opened again before they can be trusted.
    #[error("a write to the {log} log has failed, the logs must be opened again")]
    Halted {
        /// Which log.
        log: LogKind,
    },
    /// The event has no serialized form.
    #[error("an event cannot be written down")]
    Encode(#[source] serde_json::Error),
    /// A file or folder is out of reach.
    #[error("the logs' folder is out of reach")]
    File(#[from] FileError),
}

/// The reason why the heads were not signed.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError<E: std::error::Error + 'static> {
    /// The card did not sign.
    #[error("the heads of the logs were not signed")]
    Anchor(#[source] E),
    /// The logs cannot be read or written.
    #[error("the signed heads of the logs cannot be kept")]
    Log(#[from] LogError),
}
