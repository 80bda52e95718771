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
mod deliveries;
mod error;
mod import;
mod moving;
mod prefix;
mod queue;
mod requests;
mod schema;
mod tsm_schema;

use std::path::Path;

use counterparty::files::{self, Access, FileError};
use messages::certificate::{Certificate, Revocation, RevocationReason};
use model::{CardId, Fingerprint, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::query;

use certificates::{entry, holding, revoke, revoked, unrevoked, write_issued};
use database::{Database, number, text};

pub(crate) use act::{Act, DeliveryId, Witness};
pub(crate) use certificates::{from_hex, serial_of};
pub(crate) use chain::Verified;
pub(crate) use deliveries::{Delivery, DeliveryEnd, Giving, PendingDelivery};
pub(crate) use error::BooksError;
pub(crate) use moving::move_to_server;
pub(crate) use prefix::GuidPrefix;
pub(crate) use queue::{GatewayEntry, Job, JobOutcome, Leased, later};
pub(crate) use requests::{Filter, NewRequest, RequestEntry, RequestState};

/// How often a GUID is drawn anew; one collision of 64 random bits is a wonder, this many a fault.
const MAX_DRAWS: usize = 8;
/// How many records are read at once.
const PAGE: u64 = 1_000;
/// The greatest length of the file that names the database.
const MAX_ADDRESS: usize = 4_096;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

    fn parse(text: &str) -> Result<Self, BooksError> {
        let mut all = [Self::Completed, Self::LeftBlank, Self::Scrapped].into_iter();
        all.find(|outcome| outcome.as_str() == text)
            .ok_or(BooksError::Index { table: "cards" })
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
        Ok(Self { database })
    }

    /// Opens the books, and brings those of an earlier version to today's. They are never begun anew by the way: a GUID
    /// could be given twice.
    pub(crate) fn open(home: &Path) -> Result<Self, BooksError> {
        import::finish(home)?;
        moving::finish(home)?;
        let database = match read_address(home)? {
            Some(address) => Database::open_server(&address)?,
            None => {
                let path = home.join("books.db");
                std::fs::metadata(&path).map_err(FileError::at(&path))?;
                Database::open_file(&path)?
            }
        };
        if moving::is_moved(&database)? {
            return Err(BooksError::Moved);
        }
        Self::of(database)
    }

    fn of(database: Database) -> Result<Self, BooksError> {
        match database.version()? {
            Some(schema::VERSION) => {}
            Some(found) if found < schema::VERSION => {
                database.upgrade(found)?;
                tracing::info!(
                    from = found,
                    to = schema::VERSION,
                    "the books have been brought to this program's version"
                );
            }
            Some(found) => return Err(BooksError::Version { found }),
            None => return Err(BooksError::Missing),
        }
        Ok(Self { database })
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
            settle(connection, time, guid, outcome, act).await
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

    /// Returns the GUIDs of cards of which it is known what became of them, in the order of the database, behind this one.
    pub(crate) fn cards(&self, behind: Option<CardId>, most: u32) -> Result<Vec<CardId>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query("SELECT guid FROM cards WHERE guid > $1 ORDER BY guid LIMIT $2")
                .bind(behind.map_or_else(String::new, |guid| guid.to_string()))
                .bind(i64::from(most));
            let rows = rows.fetch_all(connection).await?;
            rows.iter().map(|row| Ok(text(row, "guid")?.parse()?)).collect()
        })
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
            Outcome::parse(&text(&row, "outcome")?).map(Some)
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

    /// Returns the SIG certificates of suppliers and of the TSM that are not revoked, by name.
    pub(crate) fn signers(&self) -> Result<Vec<Certificate>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT pem FROM certificates WHERE slot = 'sig' AND role IN ('Supplier', 'TSM') \
                 AND serial NOT IN (SELECT serial FROM revocations) ORDER BY name, record",
            );
            let rows = rows.fetch_all(connection).await?;
            rows.iter()
                .map(|row| Ok(Certificate::from_pem(&text(row, "pem")?)?))
                .collect()
        })
    }

    /// Returns the certificates of suppliers and facilities that are revoked since their keys were compromised.
    pub(crate) fn compromised(&self) -> Result<Vec<Certificate>, BooksError> {
        self.database.run(async |connection: &mut AnyConnection| {
            let rows = query(
                "SELECT pem FROM certificates JOIN revocations ON revocations.serial = certificates.serial \
                 WHERE role IN ('Supplier', 'Facility') AND reason = $1",
            );
            let reason = RevocationReason::KeyCompromise.as_str().to_owned();
            let rows = rows.bind(reason).fetch_all(connection).await?;
            rows.iter()
                .map(|row| Ok(Certificate::from_pem(&text(row, "pem")?)?))
                .collect()
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
        also: &[CardId],
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
            queue::enqueue_revoked(connection, &entries, also).await?;
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

/// Reads which server keeps the books, if one does.
fn read_address(home: &Path) -> Result<Option<String>, BooksError> {
    match files::read_text(&home.join("books.url"), MAX_ADDRESS) {
        Ok(address) => Ok(Some(address.trim().to_owned())),
        Err(FileError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the address of a database from a file.
pub(crate) fn read_address_file(file: Option<&Path>) -> Result<String, BooksError> {
    let file = file.ok_or(BooksError::Address)?;
    Ok(files::read_text(file, MAX_ADDRESS)?)
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes down how a card came out; what was issued for one that came to nothing is revoked.
async fn settle(
    connection: &mut AnyConnection,
    time: Timestamp,
    guid: CardId,
    outcome: Outcome,
    act: &Act,
) -> Result<(), BooksError> {
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
