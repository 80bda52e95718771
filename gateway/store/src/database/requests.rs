//! The replay memory: ids of requests that were accepted.

use model::{Span, Timestamp};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Database, DatabaseError, Inner};

/// The greatest number of ids that are remembered at once; some 4 MB. A supplier that asks every second for
/// 15 minutes each fills a seventieth of it.
const MAX_REQUESTS: usize = 65_536;

/// The longest time that an id is remembered for, so that no one can fill the memory for years: a week.
const MAX_DAYS: u32 = 7;

/// Whether a request was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Remembered {
    /// It was not; now it is remembered, and that is on the disk.
    Fresh,
    /// It was, and is not to be answered again.
    Replayed,
}

/// The reason why it cannot be told whether a request was seen before; it is not to be answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It expires no later than requests that are already forgotten, or has expired.
    #[error("the request expired at {expires}")]
    Expired {
        /// When.
        expires: Timestamp,
    },
    /// It is valid for longer than ids are remembered.
    #[error("the request is valid until {expires}, longer than {latest}")]
    ValidTooLong {
        /// When it expires.
        expires: Timestamp,
        /// When it may expire at the latest.
        latest: Timestamp,
    },
    /// Too many requests are waiting for their expiry.
    #[error("too many requests are remembered, the peers must ask less often")]
    Full,
    /// The database failed.
    #[error("the request cannot be remembered")]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for RequestError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Database {
    /// Remembers a request until it expires, and says whether it was seen before.
    ///
    /// An id is forgotten when its request has expired; a request that expires no later than one that
    /// is forgotten is refused as expired, so that a clock which is set back opens no door to repeats.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if that cannot be told; the request must not be answered then either.
    pub fn remember_request(
        &self,
        id: &[u8; 16],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Remembered, RequestError> {
        if expires <= now {
            return Err(RequestError::Expired { expires });
        }
        let latest = Span::from_seconds(MAX_DAYS.saturating_mul(Span::DAY.seconds()))
            .map_or(now, |span| now.saturating_add(span));
        if expires > latest {
            return Err(RequestError::ValidTooLong { expires, latest });
        }
        self.lock().remember(id, expires, now, MAX_REQUESTS)
    }
}

impl Inner {
    pub(super) fn remember(
        &mut self,
        id: &[u8; 16],
        expires: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Remembered, RequestError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = transaction
            .prepare_cached("SELECT 1 FROM request WHERE id = ?1")?
            .exists(params![id])?;
        if known {
            return Ok(Remembered::Replayed);
        }
        let mut count = self.requests.saturating_sub(forget(&transaction, now)?);
        let floor: Option<i64> = transaction
            .prepare_cached("SELECT expires FROM request_floor")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let outcome = if floor.is_some_and(|floor| expires.unix_seconds() <= floor) {
            Err(RequestError::Expired { expires })
        } else if count >= limit {
            Err(RequestError::Full)
        } else {
            transaction
                .prepare_cached("INSERT INTO request (id, expires) VALUES (?1, ?2)")?
                .execute(params![id, expires.unix_seconds()])?;
            count = count.saturating_add(1);
            Ok(Remembered::Fresh)
        };
        transaction.commit()?;
        self.requests = count;
        outcome
    }
}

/// Forgets the requests that have expired, and raises the floor to the latest of them; returns their number.
fn forget(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let latest: Option<i64> = connection
        .prepare_cached("SELECT max(expires) FROM request WHERE expires <= ?1")?
        .query_row([now.unix_seconds()], |row| row.get(0))?;
    let Some(latest) = latest else {
        return Ok(0);
    };
    connection
        .prepare_cached(
            "INSERT INTO request_floor (slot, expires) VALUES (1, ?1) \
             ON CONFLICT (slot) DO UPDATE SET expires = max(expires, excluded.expires)",
        )?
        .execute([latest])?;
    connection
        .prepare_cached("DELETE FROM request WHERE expires <= ?1")?
        .execute([latest])
}

/// Returns the number of requests that are remembered.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = connection.query_row("SELECT count(*) FROM request", [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}
