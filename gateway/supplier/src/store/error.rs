//! Why the store was not written or read.

use counterparty::files::FileError;
use messages::content::MessageId;
use model::CardId;

use crate::store::schema;

/// The reason why the store was not written or read; nothing of the answer in question is in it then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is missing or cannot be reached.
    #[error("the store cannot be used; name another file (--store), or free the disk")]
    File(#[from] FileError),
    /// The database refuses or is gone.
    #[error("the store cannot be used; check that the database is there, and that its disk is not full")]
    Database(#[source] sqlx::Error),
    /// Another program has held the store for too long.
    #[error("another program is writing in the store and does not come to an end; look for one that hangs")]
    Busy,
    /// The server gave no answer.
    #[error("the server of the store gives no answer; check its address and the network")]
    Silent,
    /// The store is of a later version.
    #[error(
        "the store is of version {found}, and this program knows those up to {} only; use the program that has \
         written it, or a later one",
        schema::VERSION
    )]
    Version {
        /// The version that was found.
        found: i64,
    },
    /// The address names no database.
    #[error("a store is a file, or postgres://USER@HOST/DATABASE; nothing else is known")]
    Address,
    /// The store has no such answer.
    #[error("the store has no answer {message} of the gateway {guid}; correct the GUID or the identity")]
    NoAnswer {
        /// The gateway.
        guid: CardId,
        /// The answer's identity.
        message: MessageId,
    },
    /// Something in the store is not what was written.
    #[error("a {what} in the store cannot be read; restore the store from its backup")]
    Damaged {
        /// What it should be.
        what: &'static str,
    },
}

impl StoreError {
    /// Returns whether the connection is of no more use.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Database(
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::WorkerCrashed
            ) | Self::Silent
        )
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        // SQLITE_BUSY with its extended codes, and lock_not_available of PostgreSQL.
        if code.is_some_and(|code| ["5", "261", "517", "773", "55P03"].contains(&code.as_ref())) {
            return Self::Busy;
        }
        Self::Database(error)
    }
}
