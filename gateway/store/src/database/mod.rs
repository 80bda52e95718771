//! The database: readings and gaps, the outbox, seen requests, the bundle and the consumer's restrictions, in one SQLite
//! file.
//!
//! A write-ahead log with `synchronous = FULL`: what a call has confirmed is on the disk. The database
//! belongs to one process at a time. SQLite has no checksums, so every row carries one that is
//! checked when it is read; a damaged row costs itself, is reported and is never a wrong number. A row
//! that is missing is noticed too: all rows are accounted for (`head`), and a file beside the database
//! knows the last commit (`witness`).
//!
//! What is registered at one time is a row, a round (`part`). When a day is past, its rounds become
//! chunks, one for each element (`chunk`): that takes a third of the room, and a day of one element is
//! one row. What energy applications make of the readings has rows of its own (`evaluation`). Pages that are freed are used again, by the next day's rounds, so the file is never
//! vacuumed: it has a day of them to spare, and moving pages about would wear the flash.

mod asked;
mod bundle;
mod bytes;
mod checks;
mod checksum;
mod chunk;
mod day;
mod elements;
mod error;
mod evaluation;
mod examination;
mod head;
mod history;
mod holdings;
mod keys;
mod loss;
mod migration;
mod outbox;
mod pages;
mod part;
mod point;
mod points;
mod readings;
mod requests;
mod restrictions;
mod salvage;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Element, Timestamp};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::files;
use elements::Elements;
use evaluation::Evaluations;
use head::Head;
use keys::Day;
use loss::Losses;
use outbox::Occupancy;
use witness::Witness;

pub use asked::{Asked, AskedError};
pub use bundle::{BundleError, InstalledBundle};
pub use checks::Checked;
pub use error::DatabaseError;
pub use evaluation::{ChangedTimes, Derived, Evaluation, LEAD, Made, NewEvaluation, Stored};
pub use head::RowKind;
pub use history::{Forgotten, Sealed};
pub use holdings::Holdings;
pub use loss::{Loss, Lost};
pub use outbox::{Arrears, OutboxError, OutboxMessage, Pending, Receipt};
pub use readings::{Damaged, Latest, Page, RegisterError, Registered, Round};
pub use requests::{Remembered, RequestError};
pub use restrictions::RestrictionsError;

/// The number of pages in the write-ahead log behind which they are brought into the database, some 1 MB: a hundred
/// rounds. A longer log would save little wear, and take room and time at the next start.
const WAL_PAGES: i64 = 250;

/// The length in bytes that the write-ahead log is cut back to, when much was written at once.
const WAL_BYTES: i64 = 2 << 20;

/// SQLite's page cache in kibibytes; the gateway's memory is small.
const CACHE_KIB: i64 = 1_024;

/// The database of one gateway.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Apart from the connection, so that nobody who asks for them waits for the disk.
    losses: Mutex<Losses>,
}

/// The connection, and what is known about its content; that changes only after a commit.
#[derive(Debug)]
struct Inner {
    connection: Connection,
    /// The head of the last commit.
    head: Head,
    witness: Witness,
    elements: Elements,
    /// What applications have made.
    evaluations: Evaluations,
    /// The time of the latest reading of each element.
    latest: BTreeMap<u32, Timestamp>,
    /// The number of requests that are remembered.
    requests: usize,
    /// What the outbox holds.
    outbox: Occupancy,
    /// The key of rounds before which there is nothing to be sealed.
    seal_from: i64,
}

impl Database {
    /// Opens the database in a file, makes it at the first start and migrates it forward.
    ///
    /// What was confirmed and is missing or damaged does not keep it shut: [`Database::new_losses`] says what it is,
    /// and [`Database::losses`] at later starts, too. Which chunks of the history are lost is found when they are
    /// read, or by [`Database::check`].
    ///
    /// If it is damaged in such a way that nothing could be relied on, its sound rows are brought into a new one, which
    /// is opened in its place ([`crate::Lost::Salvaged`]); the damaged one stays beside it with `.damaged` behind its
    /// name.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Locked`] if another process has it open, [`DatabaseError::TooNew`] if a newer gateway
    /// wrote it, [`DatabaseError::NotOurs`] if the file is another database, [`DatabaseError::Damaged`] if nothing says
    /// that it is or was a database of ours, [`DatabaseError::Full`] if there is no room for a new one, else what
    /// failed.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        Opening::begin(path)?.finish(false)
    }

    /// Returns every element that was ever registered or made of others, in order.
    #[must_use]
    pub fn elements(&self) -> Vec<Element> {
        let inner = self.lock();
        let all = inner.elements.known().chain(inner.evaluations.names());
        let all: BTreeSet<_> = all.collect();
        all.into_iter().cloned().collect()
    }

    /// Returns whether an element was made of others and is no meter's.
    #[must_use]
    pub fn is_made(&self, element: &Element) -> bool {
        let inner = self.lock();
        inner.evaluations.names().contains(element) && inner.elements.id(element).is_none()
    }

    /// Returns how many rows of elements are damaged; their readings are reported as damaged too.
    #[must_use]
    pub fn damaged_elements(&self) -> usize {
        self.lock().elements.damaged()
    }

    /// A panic under the lock leaves nothing half done: the transaction is rolled back, and what is kept
    /// beside it changes only behind a commit.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next start look at every tree if the call has met damage.
    fn watch<T, E>(&self, result: Result<T, E>, is_damage: impl FnOnce(&E) -> bool) -> Result<T, E> {
        if result.as_ref().is_err_and(is_damage) {
            self.suspect();
        }
        result
    }

    /// Has the next start look at every tree. If that cannot be stored, damage is met again.
    fn suspect(&self) {
        salvage::suspect(&self.path).ok();
    }

    fn losses_in_memory(&self) -> MutexGuard<'_, Losses> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database that belongs to this process, before its content is examined.
#[derive(Debug)]
pub(crate) struct Opening {
    connection: Connection,
    path: PathBuf,
    /// The number of the first loss that was found by a salvage just now.
    salvaged: Option<u64>,
}

impl Opening {
    /// Locks the database, makes it if there is none, and migrates it forward.
    ///
    /// # Errors
    ///
    /// As [`Database::open`] has.
    pub(crate) fn begin(path: &Path) -> Result<Self, DatabaseError> {
        salvage::resume(path)?;
        match Self::lock(path) {
            Err(error) if salvage::is_called_for(&error, path) => Self::begin_salvaged(path),
            opening => opening,
        }
    }

    /// Salvages the database and locks the new one.
    fn begin_salvaged(path: &Path) -> Result<Self, DatabaseError> {
        let first = salvage::salvage(path)?;
        Ok(Self {
            salvaged: Some(first),
            ..Self::lock(path)?
        })
    }

    fn lock(path: &Path) -> Result<Self, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let folder = path.parent().unwrap_or(path);
        files::sync(folder)?;
        let mut connection = Connection::open_with_flags(path, flags)?;
        // A database that turns out to be damaged stays as it is, and so does its log.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        configure(&connection)?;
        migration::migrate(&mut connection)?;
        // The log has a name behind the database's, whatever that ends in.
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        for file in [path, Path::new(&log)] {
            files::make_private(file)?;
        }
        // The file may be new; SQLite forces its content onto the disk, the folder's entry is ours to.
        files::sync(folder)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            salvaged: None,
        })
    }

    /// Examines the content. `is_provisioned` says whether the gateway has a past: then a database without one is
    /// a loss.
    ///
    /// # Errors
    ///
    /// As [`Database::open`] has.
    pub(crate) fn finish(self, is_provisioned: bool) -> Result<Database, DatabaseError> {
        let (path, is_salvaged) = (self.path.clone(), self.salvaged.is_some());
        match self.examine(is_provisioned) {
            // Once is enough: what was made just now is whole.
            Err(error) if !is_salvaged && salvage::is_called_for(&error, &path) => {
                Self::begin_salvaged(&path)?.examine(is_provisioned)
            }
            database => database,
        }
    }

    fn examine(self, is_provisioned: bool) -> Result<Database, DatabaseError> {
        let Self {
            mut connection,
            path,
            salvaged,
        } = self;
        let mut witness = Witness::read(&path)?;
        examination::check_trees(&connection, salvage::is_suspected(&path)?)?;
        let mut losses = Losses::load(&connection)?;
        if let Some(first) = salvaged {
            losses.are_new_from(first);
        }
        let head = examination::examine(&mut connection, &witness, is_provisioned, &mut losses)?;
        witness.settle(&head)?;
        let elements = Elements::load(&connection)?;
        let evaluations = Evaluations::load(&connection)?;
        let latest = points::load_latest(&connection, &elements)?;
        let requests = requests::count(&connection)?;
        let outbox = outbox::occupancy(&connection)?;
        salvage::trust(&path)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(Database {
            path,
            inner: Mutex::new(Inner {
                connection,
                head,
                witness,
                elements,
                evaluations,
                latest,
                requests,
                outbox,
                seal_from: Day::FIRST.rounds().start,
            }),
            losses: Mutex::new(losses),
        })
    }
}

/// Sets up the connection; the exclusive lock is taken by the first access behind it.
fn configure(connection: &Connection) -> Result<(), DatabaseError> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(DatabaseError::JournalMode { found: mode });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", WAL_PAGES, |_| Ok(()))?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB.saturating_neg())?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}
