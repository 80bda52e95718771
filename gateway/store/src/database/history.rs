//! History: rounds of past days become chunks, and what is older than the policy wants is forgotten.

use std::collections::BTreeMap;

use model::{Span, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::chunk::Chunk;
use super::day::{self, Record};
use super::elements::Elements;
use super::head::{Head, Tally, digest_of, digest_of_row, tally_of};
use super::keys::{Day, LAST_CHUNK_PART, round_key, time_of_round};
use super::part::{self, Part};
use super::point::Point;
use super::points::{self, ROUNDS, content};
use super::{Database, DatabaseError, Inner};

/// The number of points behind which a call of [`Database::seal_days`] ends: more than a day of 600
/// elements at quarter hours. It bounds how long a round may have to wait.
const SEAL_POINTS: usize = 65_536;

/// The number of days that one call looks at; those that hold nothing to be sealed cost one search each.
const SEAL_DAYS: usize = 64;

/// Rows of a sealed day that take less than a page are not worth chunks of their own.
const LATE_BYTES: i64 = 4_096;

/// The number of rows that are forgotten at once, so that a round never waits long.
const FORGET_ROWS: usize = 2_048;

/// What was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sealed {
    /// The number of points, values and gaps.
    pub points: usize,
    /// The number of chunks that they are in.
    pub chunks: usize,
    /// Whether there may be more; then the call is to be repeated.
    pub more: bool,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// The number of rows, of rounds and of chunks.
    pub rows: usize,
    /// Whether there may be more; then the call is to be repeated.
    pub more: bool,
}

impl Database {
    /// Seals days of UTC that have ended before a time: their rounds become chunks, which take less
    /// room and are found faster. A call does a bounded part of the work, at most one day, in one transaction.
    ///
    /// What is damaged stays as it is, so that it is still reported. What came late for a sealed day stays
    /// a row, unless it is much.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if that cannot be stored; nothing has changed then.
    pub fn seal_days(&self, before: Timestamp) -> Result<Sealed, DatabaseError> {
        self.watch(
            self.lock().seal_days(before, SEAL_POINTS),
            DatabaseError::is_damage,
        )
    }

    /// Deletes readings and gaps of days that ended longer ago than `history`, the oldest first, a
    /// bounded number at once.
    ///
    /// The clock alone decides nothing for good: the latest days on which anything was registered stay
    /// whatever it says, as many of them as `history` has. So a clock that jumps ten years ahead costs
    /// nothing, and a gateway that was off for a year keeps its last values longer than the policy wants.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they cannot be deleted.
    pub fn forget(&self, history: Span, now: Timestamp) -> Result<Forgotten, DatabaseError> {
        self.watch(
            self.lock().forget(history, now, FORGET_ROWS),
            DatabaseError::is_damage,
        )
    }
}

/// Rounds of one day on their way into chunks.
#[derive(Default)]
struct Slice {
    chunks: BTreeMap<u32, Chunk>,
    points: usize,
    /// The rows that are not needed any more, and what is left of each: points of unknown elements.
    rows: Vec<(i64, Vec<Point>)>,
    /// These rows as the head counts them.
    tally: Tally,
    /// The points of the time that is being read.
    time: i64,
    open: BTreeMap<u32, Point>,
}

impl Inner {
    pub(super) fn seal_days(&mut self, before: Timestamp, limit: usize) -> Result<Sealed, DatabaseError> {
        let end = Day::of(before.unix_seconds()).rounds().start;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut from = self.seal_from;
        for _ in 0..SEAL_DAYS {
            let Some(first) = first_round(&transaction, from, end)? else {
                self.seal_from = from;
                return Ok(Sealed::default());
            };
            let day = Day::of_round(first);
            let Some(part) = free_part(&transaction, day, first)? else {
                from = day.rounds().end;
                continue;
            };
            let (slice, next) = read_slice(&transaction, &self.elements, day, first, limit)?;
            let sealed = Sealed {
                points: slice.points,
                chunks: slice.chunks.len(),
                more: true,
            };
            let mut head = self.head.next();
            if !slice.rows.is_empty() {
                store(&transaction, &mut head, &self.elements, slice, day, part)?;
                head.store(&transaction)?;
                transaction.commit()?;
                self.confirm(head)?;
            }
            self.seal_from = next;
            return Ok(sealed);
        }
        self.seal_from = from;
        Ok(Sealed {
            more: true,
            ..Sealed::default()
        })
    }

    pub(super) fn forget(
        &mut self,
        history: Span,
        now: Timestamp,
        limit: usize,
    ) -> Result<Forgotten, DatabaseError> {
        let first_kept = Day::of(now.saturating_sub(history).unix_seconds());
        let oldest = points::next_day(&self.connection, Day::FIRST)?;
        let Some(oldest) = oldest.filter(|day| *day < first_kept) else {
            return Ok(Forgotten::default());
        };
        if !has_days_behind(&self.connection, oldest, days_of(history))? {
            return Ok(Forgotten::default());
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = self.head.next();
        let chunks = forget_chunks(&transaction, &mut head.days, oldest, limit)?;
        let limit = limit.saturating_sub(chunks);
        let rounds = forget_rounds(&transaction, &mut head.rounds, oldest, limit)?;
        head.store(&transaction)?;
        transaction.commit()?;
        self.confirm(head)?;
        let rows = chunks.saturating_add(rounds);
        Ok(Forgotten { rows, more: true })
    }
}

/// Forgets chunks of a day, the first of those that are left; the day's list forgets them too.
fn forget_chunks(
    transaction: &Transaction<'_>,
    tally: &mut Tally,
    day: Day,
    limit: usize,
) -> rusqlite::Result<usize> {
    let keys = first_chunks(transaction, day, limit)?;
    let mut record = day::load_or_list(transaction, day)?;
    for key in &keys {
        transaction
            .prepare_cached("DELETE FROM chunk WHERE key = ?1")?
            .execute([key])?;
        record.remove(*key);
    }
    // Behind the last chunk there is nothing left to be listed, be it missing.
    let record = if keys.len() < limit {
        Record::default()
    } else {
        record
    };
    day::store(transaction, tally, day, &record)?;
    Ok(keys.len())
}

fn first_chunks(connection: &Connection, day: Day, limit: usize) -> rusqlite::Result<Vec<i64>> {
    let chunks = day.chunks();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached("SELECT key FROM chunk WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3")?
        .query_map([chunks.start, chunks.end, limit], |row| row.get(0))?
        .collect()
}

/// Forgets rounds of a day, the first of those that are left.
fn forget_rounds(
    transaction: &Transaction<'_>,
    tally: &mut Tally,
    day: Day,
    limit: usize,
) -> rusqlite::Result<usize> {
    let bounds = [day.rounds().end, i64::try_from(limit).unwrap_or(i64::MAX)];
    let sql = "SELECT key, content FROM round WHERE key < ?1 ORDER BY key LIMIT ?2";
    tally.remove_all(tally_of(transaction, b'r', sql, bounds)?);
    transaction.prepare_cached(FORGET_ROUNDS)?.execute(bounds)
}

const FORGET_ROUNDS: &str =
    "DELETE FROM round WHERE key IN (SELECT key FROM round WHERE key < ?1 ORDER BY key LIMIT ?2)";

/// Returns how many days a history has, begun ones included.
pub(super) fn days_of(history: Span) -> u32 {
    history.seconds().div_ceil(Span::DAY.seconds())
}

/// Returns whether something is stored for so many days behind the given one.
pub(super) fn has_days_behind(connection: &Connection, day: Day, days: u32) -> rusqlite::Result<bool> {
    let mut last = day;
    for _ in 0..days {
        match points::next_day(connection, last.next())? {
            Some(next) => last = next,
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn first_round(connection: &Connection, from: i64, end: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(key) FROM round WHERE key >= ?1 AND key < ?2")?
        .query_row([from, end], |row| row.get(0))
}

/// Returns the part that the rows of a day from `first` on get, `None` if they stay rows.
fn free_part(connection: &Connection, day: Day, first: i64) -> rusqlite::Result<Option<u8>> {
    let present = points::chunk_parts(connection, day)?.last().copied();
    // The place of a chunk that is missing stays empty, so that it is known to be missing.
    let listed = day::load_or_list(connection, day)?.last_part();
    let Some(last) = present.max(listed) else {
        return Ok(Some(0));
    };
    let is_worth_it = bytes_from(connection, day, first)? >= LATE_BYTES && last < LAST_CHUNK_PART;
    Ok(is_worth_it.then(|| last.saturating_add(1)))
}

/// Returns how many bytes the rows of a day have, from a key on.
fn bytes_from(connection: &Connection, day: Day, first: i64) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(sum(length(content)), 0) FROM round WHERE key >= ?1 AND key < ?2")?
        .query_row([first, day.rounds().end], |row| row.get(0))
}

/// Reads rounds of a day from a key on, until there are `limit` points, and returns where to go on. A rest that
/// would not be worth a chunk is read as well.
fn read_slice(
    connection: &Connection,
    elements: &Elements,
    day: Day,
    first: i64,
    limit: usize,
) -> rusqlite::Result<(Slice, i64)> {
    let mut slice = Slice::default();
    let mut next = day.rounds().end;
    let mut statement = connection.prepare_cached(ROUNDS)?;
    let mut rows = statement.query([first, day.rounds().end])?;
    while let Some(row) = rows.next()? {
        let key = row.get(0)?;
        if time_of_round(key) != slice.time {
            slice.close_time(time_of_round(key));
            let from = round_key(slice.time, 0);
            if slice.points >= limit && bytes_from(connection, day, from)? >= LATE_BYTES {
                next = from;
                break;
            }
        }
        if let Some(points) = part::read(key, content(row)?)
            && slice.add(key, points, elements)
        {
            slice.tally.add(digest_of_row(b'r', row)?);
        }
    }
    slice.close_time(i64::MAX);
    Ok((slice, next))
}

impl Slice {
    /// Takes up the points of a row, and returns whether there is one of an element that is known.
    fn add(&mut self, key: i64, points: Vec<Point>, elements: &Elements) -> bool {
        let is_known = |point: &Point| elements.name(point.element).is_some();
        let (known, unknown): (Vec<_>, Vec<_>) = points.into_iter().partition(is_known);
        if known.is_empty() {
            return false;
        }
        for point in known {
            points::prefer(&mut self.open, point);
        }
        self.rows.push((key, unknown));
        true
    }

    /// Puts the points of the time that was read into the chunks.
    fn close_time(&mut self, next: i64) {
        self.time = next;
        for (id, point) in std::mem::take(&mut self.open) {
            self.chunks.entry(id).or_insert_with(Chunk::new).add(&point);
            self.points = self.points.saturating_add(1);
        }
    }
}

/// Stores the chunks, lists them and deletes the rows that they come from.
fn store(
    transaction: &Transaction<'_>,
    head: &mut Head,
    elements: &Elements,
    slice: Slice,
    day: Day,
    part: u8,
) -> rusqlite::Result<()> {
    let mut record = day::load_or_list(transaction, day)?;
    for (id, chunk) in slice.chunks {
        let Some(element) = elements.name(id) else {
            continue;
        };
        let key = day.chunk(part, id);
        transaction
            .prepare_cached("INSERT INTO chunk (key, content) VALUES (?1, ?2)")?
            .execute(params![key, chunk.seal(key, element)])?;
        record.add(key);
    }
    day::store(transaction, &mut head.days, day, &record)?;
    head.rounds.remove_all(slice.tally);
    for (key, unknown) in slice.rows {
        let Some(rest) = Part::split(&unknown).into_iter().next() else {
            transaction
                .prepare_cached("DELETE FROM round WHERE key = ?1")?
                .execute([key])?;
            continue;
        };
        let content = rest.seal(key, None);
        transaction
            .prepare_cached("UPDATE round SET content = ?2 WHERE key = ?1")?
            .execute(params![key, content])?;
        head.rounds.add(digest_of(
            b'r',
            &[ValueRef::Integer(key), ValueRef::Blob(&content)],
        ));
    }
    Ok(())
}
