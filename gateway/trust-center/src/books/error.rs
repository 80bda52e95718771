//! Why the books were not written or read.

use std::path::PathBuf;

use counterparty::files::FileError;
use counterparty::random::RandomError;
use messages::certificate::{CertificateError, UnknownReason};
use messages::content::MessageId;
use model::{ParseIdentityError, ParseTimeError};

use crate::books::prefix::PrefixError;
use crate::books::{MAX_DRAWS, RequestState, requests, schema};

/// The reason why the books were not written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BooksError {
    /// The file is missing or cannot be reached.
    #[error("the books cannot be kept; restore them from their backup or free the disk")]
    File(#[from] FileError),
    /// The database refuses or is gone.
    #[error("the books cannot be kept; check that the database is there, and that its disk is not full")]
    Database(#[source] sqlx::Error),
    /// Another operator has held the books for too long.
    #[error(
        "another operator is writing in the books and does not come to an end; look for a program that hangs"
    )]
    Busy,
    /// There is a database, but no books in it.
    #[error(
        "there are no books in the database; name the right one in books.url, or restore it from its backup"
    )]
    Missing,
    /// There are books in the database already.
    #[error("the database holds somebody's books already; name another one")]
    Exists,
    /// The books are of a later version.
    #[error(
        "the books are of version {found}, and this program knows those up to {} only; use the program that has \
         written them, or a later one",
        schema::VERSION
    )]
    Version {
        /// The version that was found.
        found: i64,
    },
    /// The books have been moved to a server.
    #[error(
        "the books have been moved to a server; start the program again, and if books.url is missing, \
         `trust-center books move` with the same address"
    )]
    Moved,
    /// The books are on a server already.
    #[error("the books are on a server already; only those in the file books.db can be moved")]
    OnServer,
    /// The new books are not what the old ones are.
    #[error("the books on the server are not those in the file; name another, empty database")]
    Different,
    /// The address names no database.
    #[error("the books are in a folder, or at postgres://USER@HOST/DATABASE; nothing else is known")]
    Address,
    /// A line of the books of an earlier version is no act.
    #[error("line {line} of {} is damaged; restore the books from their backup", path.display())]
    Damaged {
        /// The books.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A record is not what was written.
    #[error("record {number} of the books is not what was written; restore them from their backup")]
    Altered {
        /// The number of the first such record.
        number: u64,
    },
    /// A table says something else than the records.
    #[error(
        "the table {table} of the books does not say what the records say; restore them from their backup"
    )]
    Index {
        /// The table.
        table: &'static str,
    },
    /// An act could not be written as JSON, or read.
    #[error("an act cannot be written down or read")]
    Act(#[source] serde_json::Error),
    /// A time in the books is none.
    #[error("a time in the books cannot be read")]
    Time(#[from] ParseTimeError),
    /// A GUID in the books is none.
    #[error("a GUID in the books cannot be read")]
    Identity(#[from] ParseIdentityError),
    /// A reason in the books is none.
    #[error("the reason of a revocation in the books cannot be read")]
    Reason(#[from] UnknownReason),
    /// A certificate cannot be read or written.
    #[error("a certificate in the books cannot be read or written")]
    Certificate(#[from] CertificateError),
    /// No random bytes could be drawn.
    #[error("no GUID can be drawn")]
    Random(#[from] RandomError),
    /// Every GUID that was drawn had been given away before.
    #[error(
        "{MAX_DRAWS} random GUIDs in a row had been given away before; the random number generator is broken"
    )]
    Exhausted,
    /// The prefix makes no GUIDs.
    #[error("the prefix makes no GUIDs")]
    Prefix(#[from] PrefixError),
    /// No certificate of that number, name or GUID was issued, or all are revoked.
    #[error("no certificate that holds was issued to {whom}; `trust-center records show` lists what was")]
    NotIssued {
        /// Who was looked for.
        whom: String,
    },
    /// No supplier has made a request of this identity.
    #[error("there is no request {id}; `trust-center tsm requests list` has those that there are")]
    NoRequest {
        /// The identity.
        id: MessageId,
    },
    /// Somebody has decided already.
    #[error("the request {id} is {state} already; `trust-center records show` says since when")]
    DecidedAlready {
        /// The identity.
        id: MessageId,
        /// What became of it.
        state: RequestState,
    },
    /// Another request has the identity.
    #[error("another request has the identity {id} already; ask again with a new one")]
    OtherRequest {
        /// The identity.
        id: MessageId,
    },
    /// A supplier has too many requests that wait.
    #[error(
        "{} requests of the supplier wait already; wait until some are in force or rejected",
        requests::MAX_OPEN
    )]
    TooManyRequests,
    /// The certificates could not be issued.
    #[error("the certificates cannot be issued")]
    Issue(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No runtime for the database.
    #[error("the database cannot be used")]
    Runtime(#[source] std::io::Error),
    /// A fault of this program, after which the books are not used any more.
    #[error("the books are in a state that they should never be in; start the program again")]
    Broken,
}

impl From<sqlx::Error> for BooksError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        // SQLITE_BUSY, and lock_not_available of PostgreSQL.
        if code.is_some_and(|code| code == "5" || code == "55P03") {
            return Self::Busy;
        }
        if error
            .as_database_error()
            .is_some_and(|error| error.message() == schema::MOVED_TEXT)
        {
            return Self::Moved;
        }
        Self::Database(error)
    }
}
