//! The books: every act of the trust centre, in a database that is only ever appended to.
//!
//! By default they are `books.db` in the trust centre's folder (SQLite); `books.url` names a PostgreSQL server instead.
//! An act is on the disk before its effect leaves the house. Each record is chained to the one before it by SHA-256,
//! and the database refuses to alter or delete anything, so that two hands are needed to falsify what was: one that takes
//! the rules away, and one that makes all hashes anew. [`Books::verify`] looks after both.

mod act;
mod certificates;
mod chain;
mod database;
mod import;
mod prefix;
mod queue;
mod requests;
mod schema;
mod tsm_schema;

use std::path::{Path, PathBuf};

use counterparty::files::{self, Access, FileError};
use counterparty::random::RandomError;
use messages::certificate::{Certificate, CertificateError, Revocation, RevocationReason, UnknownReason};
use messages::content::MessageId;
use model::{CardId, Fingerprint, ParseIdentityError, ParseTimeError, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::query;

use certificates::{entry, holding, revoke, revoked, unrevoked, write_issued};
use database::{Database, number, text};

pub(crate) use act::{Act, Witness};
pub(crate) use certificates::serial_of;
pub(crate) use chain::Verified;
pub(crate) use prefix::{GuidPrefix, PrefixError};
pub(crate) use queue::{GatewayEntry, Job, JobOutcome, Leased, later};
pub(crate) use requests::{Filter, NewRequest, RequestEntry, RequestState};

/// How often a GUID is drawn anew; one collision of 64 random bits is a wonder, this many a fault.
const MAX_DRAWS: usize = 8;
/// How many records are read at once.
const PAGE: u64 = 1_000;
/// The greatest length of the file that names the database.
const MAX_ADDRESS: usize = 4_096;

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
        "the books are of version {found}, and this program knows version {} only; use a later one",
        schema::VERSION
    )]
    Version {
        /// The version that was found.
        found: i64,
    },
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
        Self::Database(error)
    }
}

/// One record of the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its number, counted from 1.
    pub(crate) number: u64,
    /// When the act was done.
    pub(crate) time: Timestamp,
    /// The act.
    #[serde(flatten)]
    pub(crate) act: Act,
}

/// For whom a GUID is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Station {
    /// Where the card is: host and place. Nobody else personalises there at the same time.
    pub(crate) place: String,
    /// The batch, empty for a single card.
    pub(crate) batch: String,
}

/// A certificate that is to be written down, with what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: Certificate,
    /// Which key it is about: a slot, `attestation`, `authority` or `server`.
    pub(crate) key: &'static str,
}

/// A certificate of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The certificate.
    pub(crate) certificate: Certificate,
    /// Which key it is about.
    pub(crate) key: String,
    /// Whether it is revoked.
    pub(crate) revoked: bool,
}

/// How the personalisation of a card came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The card is complete.
    Completed,
    /// The card is blank still.
    LeftBlank,
    /// The card is scrap.
    Scrapped,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::LeftBlank => "left-blank",
            Self::Scrapped => "scrapped",
        }
    }
}

/// The books of one trust centre.
#[derive(Debug)]
pub(crate) struct Books {
    database: Database,
}

impl Books {
    /// Begins the books: in the folder, or in the database that the address names.
    pub(crate) fn create(home: &Path, address: Option<&str>) -> Result<Self, BooksError> {
        let database = match address {
            Some(address) => {
                let database = Database::open_server(address)?;
                files::write_new(&home.join("books.url"), address.as_bytes(), Access::Private)?;
                database
            }
            None => {
                let path = home.join("books.db");
                Database::make_file(&path)?;
                Database::open_file(&path)?
            }
        };
        database.define()?;
        database.define_tsm()?;
        Ok(Self { database })
    }

    /// Opens the books. They are never begun anew by the way: a GUID could be given twice.
    pub(crate) fn open(home: &Path) -> Result<Self, BooksError> {
        import::finish(home)?;
        let path = home.join("books.db");
        let database = match files::read_text(&home.join("books.url"), MAX_ADDRESS) {
            Ok(address) => Database::open_server(address.trim())?,
            Err(FileError::Missing { .. }) => {
                std::fs::metadata(&path).map_err(FileError::at(&path))?;
                Database::open_file(&path)?
            }
            Err(error) => return Err(error.into()),
        };
        match database.version()? {
            Some(schema::VERSION) => {
                database.define_tsm()?;
                Ok(Self { database })
            }
            Some(found) => Err(BooksError::Version { found }),
            None => Err(BooksError::Missing),
        }
    }

    /// Appends an act; when this returns, it is on the disk.
    pub(crate) fn record(&self, time: Timestamp, act: &Act) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let record = chain::append(connection, time, act).await?;
            write_terminated(connection, act, record).await
        })
    }

    /// Returns whether a card has ended its life.
    pub(crate) fn is_terminated(&self, guid: CardId) -> Result<bool, BooksError> {
        self.database
            .run(async |connection: &mut AnyConnection| is_terminated(connection, guid).await)
    }

    /// Appends an act together with the certificates that it is about.
    pub(crate) fn record_issued(
        &self,
        time: Timestamp,
        act: &Act,
        certificates: &[Issued],
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            chain::append(connection, time, act).await?;
            write_issued(connection, time, certificates).await
        })
    }

    /// Writes certificates down that were issued to one party.
    pub(crate) fn issued(&self, time: Timestamp, certificates: &[Issued]) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            write_issued(connection, time, certificates).await
        })
    }

    /// Gives a GUID away that was never given before, and issues the certificates that carry it. All of that is on the
    /// disk when this returns.
    pub(crate) fn give_guid<T: Send>(
        &self,
        station: &Station,
        time: Timestamp,
        mut draw: impl FnMut() -> Result<CardId, BooksError> + Send,
        issue: impl FnOnce(CardId) -> Result<(T, Vec<Issued>), BooksError> + Send,
    ) -> Result<(CardId, T), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let guid = unused_guid(connection, &mut draw).await?;
            let record = chain::append(connection, time, &Act::GuidGiven { guid }).await?;
            query("INSERT INTO guids (guid, station, batch, record) VALUES ($1, $2, $3, $4)")
                .bind(guid.to_string())
                .bind(station.place.clone())
                .bind(station.batch.clone())
                .bind(record)
                .execute(&mut *connection)
                .await?;
            let (value, certificates) = issue(guid)?;
            write_issued(connection, time, &certificates).await?;
            Ok((guid, value))
        })
    }

    /// Writes down how the personalisation of a card came out, which is never doubtful and never changes.
    pub(crate) fn settle(
        &self,
        time: Timestamp,
        guid: CardId,
        outcome: Outcome,
        act: &Act,
    ) -> Result<(), BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let record = chain::append(connection, time, act).await?;
            query("INSERT INTO cards (guid, outcome, record) VALUES ($1, $2, $3)")
                .bind(guid.to_string())
                .bind(outcome.as_str())
                .bind(record)
                .execute(&mut *connection)
                .await?;
            if outcome == Outcome::Completed {
                return Ok(());
            }
            let entries = holding(connection, &guid.to_string()).await?;
            revoke(
                connection,
                time,
                &guid.to_string(),
                &entries,
                RevocationReason::CessationOfOperation,
            )
            .await
        })
    }

    /// Returns the GUIDs that were given at this place, and of whose cards it is not known yet what became of them.
    pub(crate) fn unsettled(&self, place: &str) -> Result<Vec<CardId>, BooksError> {
        self.guids(
            "SELECT guid FROM guids WHERE station = $1 AND guid NOT IN (SELECT guid FROM cards) ORDER BY record",
            place,
        )
    }

    /// Returns the GUIDs of the cards of a batch that are complete, oldest first.
    pub(crate) fn completed(&self, batch: &str) -> Result<Vec<CardId>, BooksError> {
        self.guids(
            "SELECT guid FROM guids WHERE batch = $1 AND guid IN \
             (SELECT guid FROM cards WHERE outcome = 'completed') ORDER BY record",
            batch,
        )
    }

    fn guids(&self, statement: &'static str, argument: &str) -> Result<Vec<CardId>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(statement).bind(argument.to_owned());
            let rows = rows.fetch_all(connection).await?;
            rows.iter().map(|row| Ok(text(row, "guid")?.parse()?)).collect()
        })
    }

    /// Returns how the personalisation of the card with this GUID came out, if that is known.
    pub(crate) fn outcome(&self, guid: CardId) -> Result<Option<Outcome>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query("SELECT outcome FROM cards WHERE guid = $1").bind(guid.to_string());
            let Some(row) = row.fetch_optional(connection).await? else {
                return Ok(None);
            };
            let found = text(&row, "outcome")?;
            let mut all = [Outcome::Completed, Outcome::LeftBlank, Outcome::Scrapped].into_iter();
            let outcome = all.find(|outcome| outcome.as_str() == found);
            outcome.map(Some).ok_or(BooksError::Index { table: "cards" })
        })
    }

    /// Returns the certificates that were issued to this name (for a card, its GUID), oldest first.
    pub(crate) fn certificates(&self, name: &str) -> Result<Vec<Entry>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT pem, slot, revocations.serial AS gone FROM certificates \
                 LEFT JOIN revocations ON revocations.serial = certificates.serial \
                 WHERE name = $1 ORDER BY certificates.record",
            );
            let rows = rows.bind(name.to_owned()).fetch_all(connection).await?;
            rows.iter().map(entry).collect()
        })
    }

    /// Returns the certificate with this serial number (hexadecimal digits).
    pub(crate) fn certificate(&self, serial: &str) -> Result<Option<Entry>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query(
                "SELECT pem, slot, revocations.serial AS gone FROM certificates \
                 LEFT JOIN revocations ON revocations.serial = certificates.serial \
                 WHERE certificates.serial = $1",
            );
            let row = row.bind(serial.to_owned()).fetch_optional(connection).await?;
            row.as_ref().map(entry).transpose()
        })
    }

    /// Revokes the certificates of the card, supplier or broker of this name, or only the one with the serial number.
    pub(crate) fn revoke(
        &self,
        time: Timestamp,
        name: &str,
        serial: Option<&str>,
        reason: RevocationReason,
    ) -> Result<usize, BooksError> {
        self.database.transact(async |connection: &mut AnyConnection| {
            let entries = match serial {
                Some(serial) => unrevoked(connection, serial).await?,
                None => holding(connection, name).await?,
            };
            if entries.is_empty() {
                let whom = name.to_owned();
                return Err(BooksError::NotIssued { whom });
            }
            revoke(connection, time, name, &entries, reason).await?;
            queue::enqueue_revoked(connection, &entries).await?;
            Ok(entries.len())
        })
    }

    /// Returns what is revoked of what the authority with this certificate has issued, by serial number.
    pub(crate) fn revoked(&self, issuer: &Certificate) -> Result<Vec<(Vec<u8>, Revocation)>, BooksError> {
        self.database
            .run(async |connection: &mut AnyConnection| revoked(connection, issuer).await)
    }

    /// Signs the next list of what the authority has revoked, and keeps it.
    pub(crate) fn sign_list(
        &self,
        issuer: &Certificate,
        time: Timestamp,
        next: Timestamp,
        sign: impl FnOnce(u64, &[(Vec<u8>, Revocation)]) -> Result<String, BooksError> + Send,
    ) -> Result<(u64, String), BooksError> {
        let fingerprint = issuer.fingerprint();
        self.database.transact(async |connection: &mut AnyConnection| {
            let last = query("SELECT coalesce(max(list), 0) AS list FROM lists WHERE issuer = $1");
            let last = last
                .bind(fingerprint.to_string())
                .fetch_one(&mut *connection)
                .await?;
            let list = number(&last, "list")?.saturating_add(1);
            let pem = sign(list, &revoked(connection, issuer).await?)?;
            let act = Act::ListSigned {
                issuer: fingerprint,
                list,
                next,
            };
            let record = chain::append(connection, time, &act).await?;
            query("INSERT INTO lists (issuer, list, pem, record) VALUES ($1, $2, $3, $4)")
                .bind(fingerprint.to_string())
                .bind(i64::try_from(list).map_err(|_| BooksError::Broken)?)
                .bind(pem.clone())
                .bind(record)
                .execute(connection)
                .await?;
            Ok((list, pem))
        })
    }

    /// Returns the last list that the authority has signed, PEM.
    pub(crate) fn list(&self, issuer: Fingerprint) -> Result<Option<String>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let row = query("SELECT pem FROM lists WHERE issuer = $1 ORDER BY list DESC LIMIT 1");
            let row = row.bind(issuer.to_string()).fetch_optional(connection).await?;
            row.as_ref().map(|row| text(row, "pem")).transpose()
        })
    }

    /// Reads up to a page of records behind this number.
    pub(crate) fn page(&self, behind: u64) -> Result<Vec<Record>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = chain::page(connection, behind, PAGE).await?;
            rows.iter().map(chain::Row::record).collect()
        })
    }

    /// Verifies the chain of the records, and that the tables say what the records say.
    pub(crate) fn verify(&self) -> Result<Verified, BooksError> {
        self.database
            .run(async |connection: &mut AnyConnection| chain::verify(connection, PAGE).await)
    }
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn is_terminated(connection: &mut AnyConnection, guid: CardId) -> Result<bool, BooksError> {
    let row = query("SELECT guid FROM terminations WHERE guid = $1").bind(guid.to_string());
    Ok(row.fetch_optional(connection).await?.is_some())
}

/// Writes down which card has ended its life, if the act of this record says so. It may be said again; the first time
/// counts.
async fn write_terminated(connection: &mut AnyConnection, act: &Act, record: i64) -> Result<(), BooksError> {
    let Act::Terminated { guid, .. } = act else {
        return Ok(());
    };
    if is_terminated(connection, *guid).await? {
        return Ok(());
    }
    query("INSERT INTO terminations (guid, record) VALUES ($1, $2)")
        .bind(guid.to_string())
        .bind(record)
        .execute(connection)
        .await?;
    Ok(())
}

async fn unused_guid(
    connection: &mut AnyConnection,
    draw: &mut impl FnMut() -> Result<CardId, BooksError>,
) -> Result<CardId, BooksError> {
    for _ in 0..MAX_DRAWS {
        let guid = draw()?;
        let row = query("SELECT guid FROM guids WHERE guid = $1").bind(guid.to_string());
        if row.fetch_optional(&mut *connection).await?.is_none() {
            return Ok(guid);
        }
    }
    Err(BooksError::Exhausted)
}

#[cfg(test)]
mod tests;
