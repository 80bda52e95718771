//! The replay memory: ids of requests that were accepted.

use model::{Span, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::head::{Tally, digest_of, tally_of};
use super::{Database, DatabaseError, Inner};

/// The greatest number of ids that are remembered at once; some 4 MB. A supplier that asks every second for
/// 15 minutes each fills a seventieth of it.
const MAX_REQUESTS: usize = 65_536;

/// The longest time in seconds that a request may be valid and its id is remembered for: three times what the WAN
/// asks for.
const MAX_SECONDS: u32 = 1_800;

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
    /// It expires no later than requests that are already forgotten or lost, or has expired.
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
    /// When the memory may have lost ids ([`crate::Lost`]), the first request behind that raises the mark by twice
    /// the longest time that a request may be valid, an hour in all: what expires earlier is refused. So nothing that
    /// was accepted before is accepted again, be its expiry its own or counted from when it comes.
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
        let latest = after_longest(now);
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
        let mut head = self.head.next();
        if std::mem::take(&mut head.is_unsure) {
            raise_floor(
                &transaction,
                &mut head.requests,
                after_longest(after_longest(now)),
            )?;
        }
        let mut count = self
            .requests
            .saturating_sub(forget(&transaction, &mut head.requests, now)?);
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
            let expires = ValueRef::Integer(expires.unix_seconds());
            head.requests.add(digest_of(b'q', &[ValueRef::Blob(id), expires]));
            count = count.saturating_add(1);
            Ok(Remembered::Fresh)
        };
        if (head.requests, head.is_unsure) != (self.head.requests, self.head.is_unsure) {
            head.store(&transaction)?;
            transaction.commit()?;
            self.requests = count;
            self.confirm(head)?;
        }
        outcome
    }
}

/// Returns the time by which every request that is valid now has expired.
fn after_longest(now: Timestamp) -> Timestamp {
    Span::from_seconds(MAX_SECONDS).map_or(now, |span| now.saturating_add(span))
}

/// Raises the time up to which expired requests are forgotten.
fn raise_floor(connection: &Connection, tally: &mut Tally, to: Timestamp) -> rusqlite::Result<()> {
    let floor = || tally_of(connection, b'x', "SELECT expires FROM request_floor", []);
    tally.remove_all(floor()?);
    connection
        .prepare_cached(
            "INSERT INTO request_floor (slot, expires) VALUES (1, ?1) \
             ON CONFLICT (slot) DO UPDATE SET expires = max(expires, excluded.expires)",
        )?
        .execute([to.unix_seconds()])?;
    tally.add_all(floor()?);
    Ok(())
}

/// Forgets the requests that have expired, and raises the floor to the latest of them; returns their number.
fn forget(connection: &Connection, tally: &mut Tally, now: Timestamp) -> rusqlite::Result<usize> {
    let latest: Option<i64> = connection
        .prepare_cached("SELECT max(expires) FROM request WHERE expires <= ?1")?
        .query_row([now.unix_seconds()], |row| row.get(0))?;
    let Some(latest) = latest.and_then(|latest| Timestamp::from_unix_seconds(latest).ok()) else {
        return Ok(0);
    };
    raise_floor(connection, tally, latest)?;
    let latest = [latest.unix_seconds()];
    let expired = "SELECT id, expires FROM request WHERE expires <= ?1";
    tally.remove_all(tally_of(connection, b'q', expired, latest)?);
    connection
        .prepare_cached("DELETE FROM request WHERE expires <= ?1")?
        .execute(latest)
}

/// Returns the number of requests that are remembered.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = connection.query_row("SELECT count(*) FROM request", [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}
