//! What can be wrong with the bindings.

use model::Binding;

use super::{EngineError, RowFault, Tamper};
use crate::FileError;

/// The reason why the bindings cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum BindingsError {
    /// Another process has them open.
    #[error("another process has the bindings open")]
    Locked,
    /// They contradict themselves; the gateway serves nothing.
    #[error("the stored bindings contradict themselves")]
    Tampered(#[from] Tampering),
    /// A row that this gateway does not know: a newer one was at work here.
    #[error("the bindings have a row {name:?} that this gateway does not know")]
    UnknownRow {
        /// The name of the row.
        name: String,
    },
    /// A write has failed; they must be opened again before they can be trusted.
    #[error("a write to the bindings failed, they must be opened again")]
    Halted,
    /// What is to be written does not fit into a row.
    #[error("the content does not fit into a row")]
    Encode(#[source] RowFault),
    /// The engine failed.
    #[error("the bindings' engine failed")]
    Engine(#[from] EngineError),
    /// A file or folder is out of reach.
    #[error("the bindings' folder is out of reach")]
    File(#[from] FileError),
}

/// How the bindings contradict themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tampering {
    /// A row is damaged.
    #[error("the row {key} is damaged")]
    DamagedRow {
        /// The name of the row.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        fault: RowFault,
    },
    /// A marker says that a row has been burned, and it is gone.
    #[error("the row {key} was burned and is gone")]
    LostRow {
        /// The name of the row.
        key: &'static str,
    },
    /// A row is other than what was burned, or than what its marker or the binding says.
    #[error("the row {key} is not the one that was written")]
    Contradiction {
        /// The name of the row.
        key: &'static str,
    },
}

/// The reason why a row cannot be burned.
#[derive(Debug, thiserror::Error)]
pub enum BurnError {
    /// A binding has been burned.
    #[error("a binding to card {} has been burned already", burned.card)]
    AlreadyBurned {
        /// The binding that was burned.
        burned: Binding,
    },
    /// The binding is not the one that was begun.
    #[error("a binding to card {} was begun, another one cannot be burned", intended.card)]
    OtherIntent {
        /// The binding that was begun.
        intended: Binding,
    },
    /// The tamper lock has been burned; nothing can be bound any more.
    #[error("the gateway was given up at {}", tamper.time)]
    Dead {
        /// The tamper lock.
        tamper: Tamper,
    },
    /// The pairing is longer than [`Intent::MAX_PAIRING`](super::Intent::MAX_PAIRING).
    #[error("the pairing has {found} bytes, more than fit")]
    PairingTooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The bindings cannot be read or written.
    #[error("the bindings cannot be read or written")]
    Bindings(#[from] BindingsError),
}
