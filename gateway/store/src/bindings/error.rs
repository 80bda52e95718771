//! What can be wrong with the bindings.

use model::Binding;

use super::{DeviceKeyError, EngineError, OtpError, RowFault, Tamper, Termination};
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
    /// They are authentic, and a newer gateway wrote them; there is no way back.
    #[error("the bindings have version {found}, which only a newer gateway can read")]
    TooNew {
        /// The version of the format.
        found: u8,
    },
    /// There is no device key to check them with.
    #[error("the bindings cannot be checked without the device key")]
    DeviceKey(#[from] DeviceKeyError),
    /// The fuses failed.
    #[error("the fuses that the bindings must agree with failed")]
    Otp(#[from] OtpError),
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

impl BindingsError {
    pub(super) fn unknown_row(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name).into_owned();
        Self::UnknownRow { name }
    }

    /// Returns whether it failed because the disk is full.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_full(),
            Self::File(error) => error.is_full(),
            Self::Locked
            | Self::Tampered(_)
            | Self::UnknownRow { .. }
            | Self::TooNew { .. }
            | Self::DeviceKey(_)
            | Self::Otp(_)
            | Self::Halted
            | Self::Encode(_) => false,
        }
    }
}

/// How the bindings contradict themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tampering {
    /// A row is damaged, and nothing authentic stands in for it.
    #[error("the row {key} is damaged")]
    DamagedRow {
        /// The name of the row.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        fault: RowFault,
    },
    /// The fuses say that a row has been burned, and it is gone: the files were deleted or put back.
    #[error("the row {key} was burned and is gone")]
    LostRow {
        /// The name of the row.
        key: &'static str,
    },
    /// Two authentic sources say different things, or one says what it never should.
    #[error("the row {key} is not the one that was written")]
    Contradiction {
        /// The name of the row or of the copy.
        key: &'static str,
    },
    /// Rows are gone that an authentic head counts.
    #[error("{counted} rows were burned and only {found} of them are there")]
    MissingRows {
        /// The number of rows that were burned.
        counted: u64,
        /// The number of rows that were found.
        found: u64,
    },
    /// The bindings are there, and too little of them is authentic to tell what was burned.
    #[error("nothing authentic is left of the bindings: they are damaged, or belong to another device key")]
    NothingAuthentic,
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
    /// The lock that says that the card has ended its life has been burned; nothing can be bound any more.
    #[error("the card ended its life at {}", termination.time)]
    CardTerminated {
        /// The lock.
        termination: Termination,
    },
    /// A counter only grows.
    #[error("the counter {counter} stands at {held} and cannot go back to {offered}")]
    Backwards {
        /// The name of the counter.
        counter: &'static str,
        /// What it stands at.
        held: u64,
        /// What was asked for.
        offered: u64,
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
