//! Salvage: a database whose structure is damaged is read row by row into a new one, so that metering goes on.
//!
//! A flipped bit in a page's header keeps SQLite from opening a database that is sound but for it. Then its pages are
//! read without SQLite: one that leads to other pages or describes the tables may be lost, and asking SQLite would cost
//! all rows behind it. What has a sound checksum goes into a new database, under the head that was found; what that head
//! counts and the new database does not have is a loss, as at every start. Requests may be missing, so the memory of
//! them is unsure from then on.
//!
//! | file | what it is |
//! |---|---|
//! | `gateway.db.new` | the new database while it is made, or while it takes the other's place |
//! | `gateway.db.suspect` | empty; a call met damage, so that the next start looks at every tree |
//! | `gateway.db.damaged`, `gateway.db.damaged-wal` | the latest database that was salvaged, and its log, as they were |
//!
//! The new database is on the disk before the damaged one is renamed, and the damaged one's log is renamed before the
//! new one gets its name, so that the log never meets it. If the power goes in between, the next start goes on: there
//! is no `gateway.db` only while a whole `gateway.db.new` waits for its name.
//!
//! What an earlier salvage has left is given up if the disk has no room otherwise. If there is none even so,
//! [`DatabaseError::Full`] says it, and all stays as it is: the damaged database is never changed.

mod cells;
mod rows;
mod source;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::witness::Witness;
use super::{CACHE_KIB, DatabaseError, examination, migration};
use crate::FileError;
use crate::files;
use source::Source;

/// What a SQLite database begins with, and where it has the version of the format for writers, our version and our name.
const MAGIC: &[u8] = b"SQLite format 3\0";
const WRITE_VERSION: usize = 18;
const USER_VERSION: usize = 60;
const APPLICATION: usize = 68;

/// SQLite's code for a statement that does not fit the tables. Ours do, so the description of a table is damaged.
const SQL_ERROR: i32 = 1;

/// The first version whose rows can be told without its tables; the readings of version 1 cannot.
const FIRST_VERSION: u32 = 2;

/// The files.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    database: PathBuf,
}

/// Keeps two processes from a salvage at once, for as long as it lives.
#[derive(Debug)]
struct Guard(#[expect(dead_code, reason = "it holds the lock until it is closed")] File);

/// Returns whether a database that could not be opened is one of ours that is damaged; not if its files cannot be read.
pub(super) fn is_called_for(error: &DatabaseError, path: &Path) -> bool {
    let Ok(first) = first_bytes(path) else {
        return false;
    };
    let is_structural = match error {
        DatabaseError::Damaged(_) | DatabaseError::Inconsistent { .. } | DatabaseError::NotOurs => true,
        DatabaseError::Engine(error) => is_structural(error, &first),
        DatabaseError::Locked
        | DatabaseError::TooNew { .. }
        | DatabaseError::Full
        | DatabaseError::JournalMode { .. }
        | DatabaseError::File(_) => false,
    };
    let has_witness = || Witness::read(path).is_ok_and(|witness| witness.statement().is_some());
    is_structural && (is_named_ours(&first) || has_witness())
}

/// Returns whether only a damaged database gives this error.
fn is_structural(error: &rusqlite::Error, first: &[u8]) -> bool {
    let found = match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error),
        error => error.sqlite_error(),
    };
    match found {
        Some(found) => match found.code {
            ErrorCode::Unknown => found.extended_code == SQL_ERROR,
            ErrorCode::TooBig | ErrorCode::TypeMismatch => true,
            // Not the file system but the file says so.
            ErrorCode::ReadOnly => first.get(WRITE_VERSION).is_some_and(|version| *version > 2),
            _ => false,
        },
        None => matches!(
            error,
            rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
        ),
    }
}

fn is_named_ours(first: &[u8]) -> bool {
    first.starts_with(MAGIC)
        && i64::from(source::word(first, APPLICATION)) == migration::APPLICATION_ID
        && source::word(first, USER_VERSION) >= FIRST_VERSION
}

/// Returns what a file begins with.
fn first_bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    const HEADER: u64 = 100;
    Ok(files::read(path, HEADER)?.unwrap_or_default())
}

/// Has the next start look at every tree: that of the chunks is long, and is not looked at otherwise.
///
/// # Errors
///
/// [`FileError`] if that cannot be stored.
pub(super) fn suspect(path: &Path) -> Result<(), FileError> {
    let files = Files::of(path);
    let name = files.suspicion();
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    files::replace(&files.folder, &name, &[])
}

/// Returns whether a call met damage since the last start.
///
/// # Errors
///
/// [`FileError`] if that cannot be told.
pub(super) fn is_suspected(path: &Path) -> Result<bool, FileError> {
    exists(&Files::of(path).suspicion())
}

/// Drops the suspicion: every tree was looked at.
///
/// # Errors
///
/// [`FileError`] if that cannot be stored.
pub(super) fn trust(path: &Path) -> Result<(), FileError> {
    let files = Files::of(path);
    files.remove(&files.suspicion()).map(|_| ())
}

/// Goes on with a salvage that a power cut has ended.
///
/// # Errors
///
/// [`DatabaseError::Locked`] if another process is salvaging, [`DatabaseError::File`] if files are out of reach.
pub(super) fn resume(path: &Path) -> Result<(), DatabaseError> {
    let files = Files::of(path);
    if !exists(&files.replacement())? {
        return Ok(());
    }
    let _guard = Guard::take(&files.folder)?;
    if exists(path)? {
        files.remove(&files.replacement())?;
        return Ok(());
    }
    if exists(&files.replacement())? {
        files.swap()?;
    }
    Ok(())
}

/// Puts a new database with all sound rows in the place of a damaged one, which nobody has open, and returns the number
/// of the first loss that is stored with it.
///
/// # Errors
///
/// [`DatabaseError::Full`] if there is no room for the new database, [`DatabaseError::Locked`] if another process is
/// salvaging, else what failed; the damaged database stays as it is.
pub(super) fn salvage(path: &Path) -> Result<u64, DatabaseError> {
    salvage_within(path, i64::from(u32::MAX))
}

/// Salvages into a database of so many pages at most.
pub(super) fn salvage_within(path: &Path, pages: i64) -> Result<u64, DatabaseError> {
    let files = Files::of(path);
    let guard = Guard::take(&files.folder)?;
    let mut made = files.make(pages);
    if matches!(made, Err(DatabaseError::Full)) {
        let mut has_room = files.remove(&files.damaged_log())?;
        has_room |= files.remove(&files.damaged())?;
        if has_room {
            made = files.make(pages);
        }
    }
    let first = match made {
        Ok(first) => first,
        Err(error) => {
            files.remove(&files.replacement())?;
            return Err(error);
        }
    };
    files.swap().map_err(|error| match error.is_full() {
        true => DatabaseError::Full,
        false => error.into(),
    })?;
    drop(guard);
    Ok(first)
}

impl Files {
    fn of(database: &Path) -> Self {
        let folder = database.parent().unwrap_or(database);
        // The parent of a relative path may be the empty one, which stands for the current folder.
        let is_here = folder.as_os_str().is_empty();
        Self {
            folder: if is_here { Path::new(".") } else { folder }.to_owned(),
            database: database.to_owned(),
        }
    }

    fn with_ending(&self, ending: &str) -> PathBuf {
        let mut path = self.database.as_os_str().to_owned();
        path.push(ending);
        path.into()
    }

    fn log(&self) -> PathBuf {
        self.with_ending("-wal")
    }

    fn replacement(&self) -> PathBuf {
        self.with_ending(".new")
    }

    fn suspicion(&self) -> PathBuf {
        self.with_ending(".suspect")
    }

    fn damaged(&self) -> PathBuf {
        self.with_ending(".damaged")
    }

    fn damaged_log(&self) -> PathBuf {
        self.with_ending(".damaged-wal")
    }

    fn remove(&self, path: &Path) -> Result<bool, FileError> {
        if !exists(path)? {
            return Ok(false);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files::remove(&self.folder, &name)
    }

    /// Makes the new database, onto the disk, and returns the number of its first loss.
    fn make(&self, pages: i64) -> Result<u64, DatabaseError> {
        let new = self.replacement();
        self.remove(&new)?;
        let made = self.fill(pages);
        match made.and_then(|first| Ok(files::sync(&new).map(|()| first)?)) {
            Err(DatabaseError::File(error)) if error.is_full() => Err(DatabaseError::Full),
            made => made,
        }
    }

    fn fill(&self, pages: i64) -> Result<u64, DatabaseError> {
        let at = |error| FileError::at(&self.database)(error);
        let source = Source::open(&self.database, &self.log()).map_err(at)?;
        let witness = Witness::read(&self.database)?;
        let new = self.replacement();
        files::step(&new).map_err(FileError::at(&new))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&new, flags)?;
        // Nobody reads it before it is whole and forced onto the disk at once, so it needs neither log nor fsync.
        connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", CACHE_KIB.saturating_neg())?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        migration::migrate(&mut connection)?;
        files::make_private(&new)?;
        let head = rows::carry_over(&source, &connection, at)?;
        let losses = examination::examine_salvaged(&mut connection, &witness, head)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(losses.first().map_or(0, |loss| loss.number))
    }

    /// Puts the new database in the place of the damaged one; may be done again from wherever it was cut off.
    fn swap(&self) -> Result<(), FileError> {
        if exists(&self.database)? {
            // An earlier log is not that of the database that comes to lie beside it.
            self.remove(&self.damaged_log())?;
            files::relocate(&self.database, &self.damaged())?;
        }
        if exists(&self.log())? {
            files::relocate(&self.log(), &self.damaged_log())?;
        }
        files::relocate(&self.replacement(), &self.database)
    }
}

impl Guard {
    /// Locks the folder. SQLite's own lock is on the damaged file, and ends before it is read.
    fn take(folder: &Path) -> Result<Self, DatabaseError> {
        let file = File::open(folder).map_err(FileError::at(folder))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(DatabaseError::Locked),
            Err(TryLockError::Error(error)) => Err(FileError::at(folder)(error).into()),
        }
    }
}

fn exists(path: &Path) -> Result<bool, FileError> {
    fs::exists(path).map_err(FileError::at(path))
}
