//! When was granted what may not be asked for again before some time, across restarts too.

use model::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::head::{Tally, digest_of, tally_of};
use super::{Database, DatabaseError, Inner};

/// The greatest number of entries at once; some 8 MB. It is one for each pattern of elements of each grant of the largest
/// bundle, and of so many nobody asks in the hours that an entry counts.
const MAX_ASKED: i64 = 65_536;

/// An entry: what something is known by, when it was granted, and until when that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// A digest of what was granted, and to whom.
    pub key: [u8; 32],
    /// When it was granted.
    pub time: Timestamp,
    /// Behind this time the entry is forgotten.
    pub expires: Timestamp,
}

/// The reason why it cannot be remembered when something was granted; it is not to be handed out.
#[derive(Debug, thiserror::Error)]
pub enum AskedError {
    /// There are too many entries that count.
    #[error("too much is remembered of what may not be asked for again; ask less often")]
    Full,
    /// The database failed.
    #[error("what was asked for cannot be remembered")]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for AskedError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Database {
    /// Returns when something was granted the last time, if that is remembered.
    ///
    /// # Errors
    ///
    /// The failure of the database.
    pub fn last_asked(&self, key: &[u8; 32]) -> Result<Option<Timestamp>, DatabaseError> {
        let inner = self.lock();
        let mut statement = inner
            .connection
            .prepare_cached("SELECT time FROM asked WHERE key = ?1")?;
        let time: Option<i64> = statement.query_row(params![key], |row| row.get(0)).optional()?;
        // A time that no gateway ever had comes from damage, and is as good as the latest one.
        let latest = |_| Timestamp::from_unix_seconds(i64::from(u32::MAX)).unwrap_or(Timestamp::EPOCH);
        Ok(time.map(|time| Timestamp::from_unix_seconds(time).unwrap_or_else(latest)))
    }

    /// Takes note of what is granted now, in place of what is known of it, and forgets what has expired; on return it is on
    /// the disk.
    ///
    /// # Errors
    ///
    /// [`AskedError`] if it is not; nothing is noted then.
    pub fn remember_asked(&self, entries: &[Asked], now: Timestamp) -> Result<(), AskedError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.lock().remember_asked(entries, now, MAX_ASKED)
    }
}

impl Inner {
    pub(super) fn remember_asked(
        &mut self,
        entries: &[Asked],
        now: Timestamp,
        limit: i64,
    ) -> Result<(), AskedError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = self.head.next();
        forget(&transaction, &mut head.requests, now)?;
        for Asked { key, time, expires } in entries {
            let of_key = "SELECT key, time, expires FROM asked WHERE key = ?1";
            head.requests
                .remove_all(tally_of(&transaction, b'a', of_key, params![key])?);
            let (time, expires) = (time.unix_seconds(), expires.unix_seconds());
            transaction
                .prepare_cached("INSERT OR REPLACE INTO asked (key, time, expires) VALUES (?1, ?2, ?3)")?
                .execute(params![key, time, expires])?;
            let columns = [
                ValueRef::Blob(key),
                ValueRef::Integer(time),
                ValueRef::Integer(expires),
            ];
            head.requests.add(digest_of(b'a', &columns));
        }
        let count: i64 = transaction
            .prepare_cached("SELECT count(*) FROM asked")?
            .query_row([], |row| row.get(0))?;
        if count > limit {
            return Err(AskedError::Full);
        }
        head.store(&transaction)?;
        transaction.commit()?;
        Ok(self.confirm(head)?)
    }
}

/// Forgets what has expired.
fn forget(connection: &Connection, tally: &mut Tally, now: Timestamp) -> rusqlite::Result<()> {
    let now = [now.unix_seconds()];
    let expired = "SELECT key, time, expires FROM asked WHERE expires <= ?1";
    tally.remove_all(tally_of(connection, b'a', expired, now)?);
    connection
        .prepare_cached("DELETE FROM asked WHERE expires <= ?1")?
        .execute(now)?;
    Ok(())
}

/// Returns what the head says about the entries that are there.
pub(super) fn tally(connection: &Connection) -> rusqlite::Result<Tally> {
    tally_of(connection, b'a', "SELECT key, time, expires FROM asked", [])
}
