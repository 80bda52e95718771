//! What can be wrong with the database.

use rusqlite::ErrorCode;

use crate::FileError;

/// The reason why the database cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Another process has it open.
    #[error("another process has the database open")]
    Locked,
    /// The file is a database of something else.
    #[error("the file is no database of a gateway")]
    NotOurs,
    /// A newer gateway wrote it; there is no way back.
    #[error("the database has version {found}, this gateway knows versions up to {known}")]
    TooNew {
        /// The version of the database.
        found: i64,
        /// The newest version that this gateway knows.
        known: i64,
    },
    /// The disk is full; nothing of the call was stored.
    #[error("the disk is full")]
    Full,
    /// SQLite found its file damaged.
    #[error("the database is damaged")]
    Damaged(#[source] rusqlite::Error),
    /// A table is not in order: searches would not find what is stored.
    #[error("the database is damaged in table {table}: {found}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// What SQLite says about it.
        found: String,
    },
    /// The file system does not allow a write-ahead log, without which nothing can be promised.
    #[error("the database runs with journal mode {found:?} instead of a write-ahead log")]
    JournalMode {
        /// The mode that is in force.
        found: String,
    },
    /// A file or folder is out of reach.
    #[error("the database's folder is out of reach")]
    File(#[from] FileError),
    /// SQLite reports something else, such as a failed write or fsync.
    #[error("the database failed")]
    Engine(#[source] rusqlite::Error),
}

impl DatabaseError {
    /// Returns whether SQLite met damage.
    pub(super) const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error),
            _ => Self::Engine(error),
        }
    }
}
