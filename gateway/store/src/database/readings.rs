//! Readings and gaps: registered by rounds, asked for by element and time.

use std::collections::BTreeMap;

use model::{Element, ElementPattern, Gap, Period, Reading, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::elements::{Elements, NewElements};
use super::rows::{gap_checksum, mantissa_value, read_gap, read_reading, reading_checksum};
use super::{Database, DatabaseError, Inner};

/// The greatest number of rows in a round: every element once.
const MAX_ROUND: usize = Elements::MAX;

/// The number of readings behind which a page ends: some 2 MB in memory.
const PAGE_ROWS: usize = 16_384;

/// The number of rows that are searched for the latest readings at the start: 26 days of 100 elements.
const LATEST_ROWS: usize = 262_144;

/// The number of rows that are deleted at once, so that a round never waits long.
const FORGET_ROWS: usize = 10_000;

/// What one poll of the meters gave for one point of the grid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// The values.
    pub readings: Vec<Reading>,
    /// What should have been there and is not.
    pub gaps: Vec<Gap>,
}

/// What became of a round; it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registered {
    /// The number of readings and gaps that were stored.
    pub stored: usize,
    /// The number of those for whose element and time something was stored before, which stays.
    pub kept: usize,
    /// The number of those that were left out, since the gateway knows too many elements already.
    pub refused: usize,
}

/// The reason why a round is not registered; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It has more rows than there can be elements.
    #[error("the round has {rows} rows, more than {limit}")]
    TooLarge {
        /// The number of its rows.
        rows: usize,
        /// The greatest number.
        limit: usize,
    },
    /// The database failed.
    #[error("the round cannot be stored")]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for RegisterError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A part of the readings and gaps that were asked for, complete up to its end, ordered by time; at one time
/// the elements stand in the order in which they were first registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The values.
    pub readings: Vec<Reading>,
    /// The points that have no value; those that got one later are left out.
    pub gaps: Vec<Gap>,
    /// The rows that are damaged.
    pub damaged: Vec<Damaged>,
    /// What the page had no room for; it is asked for by the next call.
    pub rest: Option<Period>,
}

/// The latest reading of each element, ordered by element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latest {
    /// The values.
    pub readings: Vec<Reading>,
    /// The elements whose latest row is damaged.
    pub damaged: Vec<Damaged>,
}

/// A row that is damaged: its value is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The element; `None` if the element's own row is damaged.
    pub element: Option<Element>,
    /// The time that the row says it belongs to.
    pub time: Timestamp,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// The number of readings and gaps.
    pub rows: usize,
    /// Whether there may be more; then the call is to be repeated.
    pub more: bool,
}

impl Database {
    /// Registers a round for good, all of it or nothing; on return it is on the disk.
    ///
    /// What is stored for an element and time is never overwritten: the first value stays. A value may
    /// follow a gap, a gap never a value.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the round is too large or cannot be stored.
    pub fn register(&self, round: &Round) -> Result<Registered, RegisterError> {
        let rows = round.readings.len().saturating_add(round.gaps.len());
        if rows > MAX_ROUND {
            return Err(RegisterError::TooLarge {
                rows,
                limit: MAX_ROUND,
            });
        }
        self.lock().register(round)
    }

    /// Returns the readings and gaps of the elements that match, as many as fit a page.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the database cannot be read.
    pub fn readings(&self, elements: &ElementPattern, period: Period) -> Result<Page, DatabaseError> {
        self.lock().page(elements, period, PAGE_ROWS)
    }

    /// Returns the latest reading of each element. One that was silent for very long may be absent
    /// after a restart: only the latest 262,144 rows are searched.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the database cannot be read.
    pub fn latest(&self) -> Result<Latest, DatabaseError> {
        self.lock().latest()
    }

    /// Deletes readings and gaps of before a time, the oldest first, a bounded number at once.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they cannot be deleted.
    pub fn forget_before(&self, time: Timestamp) -> Result<Forgotten, DatabaseError> {
        self.lock().forget_before(time, FORGET_ROWS)
    }
}

impl Inner {
    fn register(&mut self, round: &Round) -> Result<Registered, RegisterError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut new = NewElements::default();
        let mut registered = Registered::default();
        let mut latest = Vec::new();
        for reading in &round.readings {
            let Some(id) = new.id_of(&reading.element, &self.elements, &transaction)? else {
                registered.count(None);
                continue;
            };
            let is_new = insert_reading(&transaction, id, reading)?;
            registered.count(Some(is_new));
            if is_new {
                latest.push((id, reading.time));
            }
        }
        for gap in &round.gaps {
            let id = new.id_of(&gap.element, &self.elements, &transaction)?;
            let is_new = id.map(|id| insert_gap(&transaction, id, gap)).transpose()?;
            registered.count(is_new);
        }
        transaction.commit()?;
        self.elements.extend(new);
        for (id, time) in latest {
            let known = self.latest.entry(id).or_insert(time);
            *known = time.max(*known);
        }
        Ok(registered)
    }

    /// Collects a page; it ends before the first time that would bring it beyond `limit` rows of a kind.
    pub(super) fn page(
        &self,
        elements: &ElementPattern,
        period: Period,
        limit: usize,
    ) -> Result<Page, DatabaseError> {
        let wanted = self.elements.matching(elements);
        let readings = self.scan(READINGS, &wanted, period, limit, read_reading)?;
        let gaps = match period_until(period, readings.end) {
            Some(period) => self.scan(GAPS, &wanted, period, limit, read_gap)?,
            None => Scan::none(readings.end),
        };
        let end = gaps.end;
        let mut page = Page {
            rest: Period::new(end, period.to()).ok(),
            ..Page::default()
        };
        for (time, row) in readings.rows {
            match row {
                _ if time >= end => {}
                Ok(reading) => page.readings.push(reading),
                Err(damaged) => page.damaged.push(damaged),
            }
        }
        for (_, row) in gaps.rows {
            match row {
                Ok(gap) => page.gaps.push(gap),
                Err(damaged) => page.damaged.push(damaged),
            }
        }
        Ok(page)
    }

    /// Reads the rows of a period whose elements are wanted, and those whose elements are not known.
    fn scan<T>(
        &self,
        sql: &str,
        wanted: &BTreeMap<i64, &Element>,
        period: Period,
        limit: usize,
        read: impl Fn(&Row<'_>, Timestamp, &Element) -> rusqlite::Result<Option<T>>,
    ) -> rusqlite::Result<Scan<T>> {
        let mut scan = Scan::none(period.to());
        let mut statement = self.connection.prepare_cached(sql)?;
        let bounds = [period.from().unix_seconds(), period.to().unix_seconds()];
        let mut rows = statement.query(bounds)?;
        while let Some(row) = rows.next()? {
            let Ok(time) = Timestamp::from_unix_seconds(row.get(0)?) else {
                continue;
            };
            let is_full = scan.rows.len() >= limit;
            if is_full && scan.rows.last().is_some_and(|(last, _)| *last < time) {
                scan.end = time;
                break;
            }
            let id = row.get(1)?;
            let element = wanted.get(&id).copied();
            if element.is_none() && self.elements.name(id).is_some() {
                continue;
            }
            let sound = element.map(|element| read(row, time, element)).transpose()?;
            let damaged = || Damaged {
                element: element.cloned(),
                time,
            };
            scan.rows.push((time, sound.flatten().ok_or_else(damaged)));
        }
        Ok(scan)
    }

    fn latest(&self) -> Result<Latest, DatabaseError> {
        let mut latest = Latest::default();
        let mut statement = self.connection.prepare_cached(READING)?;
        for (element, id) in self.elements.ids() {
            let Some(time) = self.latest.get(&id).copied() else {
                continue;
            };
            let read = |row: &Row<'_>| read_reading(row, time, element);
            match statement.query_row([time.unix_seconds(), id], read).optional()? {
                Some(Some(reading)) => latest.readings.push(reading),
                Some(None) => latest.damaged.push(Damaged {
                    element: Some(element.clone()),
                    time,
                }),
                None => {}
            }
        }
        Ok(latest)
    }

    pub(super) fn forget_before(
        &mut self,
        time: Timestamp,
        limit: usize,
    ) -> Result<Forgotten, DatabaseError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let bound = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut forgotten = Forgotten::default();
        for sql in [FORGET_READINGS, FORGET_GAPS] {
            let rows = transaction
                .prepare_cached(sql)?
                .execute([time.unix_seconds(), bound])?;
            forgotten.rows = forgotten.rows.saturating_add(rows);
            forgotten.more |= rows >= limit;
        }
        transaction.commit()?;
        Ok(forgotten)
    }
}

const READINGS: &str = "SELECT time, element, mantissa, scaler, unit, status, crc FROM reading \
    WHERE time >= ?1 AND time < ?2 ORDER BY time, element";

const GAPS: &str = "SELECT time, element, reason, crc FROM gap \
    WHERE time >= ?1 AND time < ?2 AND NOT EXISTS \
    (SELECT 1 FROM reading WHERE reading.time = gap.time AND reading.element = gap.element) \
    ORDER BY time, element";

const READING: &str = "SELECT time, element, mantissa, scaler, unit, status, crc FROM reading \
    WHERE time = ?1 AND element = ?2";

const NEWEST: &str = "SELECT time, element, mantissa, scaler, unit, status, crc FROM reading \
    ORDER BY time DESC, element DESC LIMIT ?1";

const FORGET_READINGS: &str = "DELETE FROM reading WHERE (time, element) IN \
    (SELECT time, element FROM reading WHERE time < ?1 ORDER BY time, element LIMIT ?2)";

const FORGET_GAPS: &str = "DELETE FROM gap WHERE (time, element) IN \
    (SELECT time, element FROM gap WHERE time < ?1 ORDER BY time, element LIMIT ?2)";

const INSERT_READING: &str = "INSERT INTO reading (time, element, mantissa, scaler, unit, status, crc) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (time, element) DO NOTHING";

const INSERT_GAP: &str = "INSERT INTO gap (time, element, reason, crc) SELECT ?1, ?2, ?3, ?4 \
    WHERE NOT EXISTS (SELECT 1 FROM reading WHERE time = ?1 AND element = ?2) \
    ON CONFLICT (time, element) DO NOTHING";

/// Rows of one table, complete up to `end`.
struct Scan<T> {
    rows: Vec<(Timestamp, Result<T, Damaged>)>,
    end: Timestamp,
}

impl<T> Scan<T> {
    const fn none(end: Timestamp) -> Self {
        let rows = Vec::new();
        Self { rows, end }
    }
}

impl Registered {
    /// Counts a row that was stored or kept, or refused for its element.
    const fn count(&mut self, is_new: Option<bool>) {
        let counter = match is_new {
            Some(true) => &mut self.stored,
            Some(false) => &mut self.kept,
            None => &mut self.refused,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Returns the part of the period that lies before `end`.
fn period_until(period: Period, end: Timestamp) -> Option<Period> {
    Period::new(period.from(), end).ok()
}

/// Stores a reading unless there is one; returns whether it was stored.
fn insert_reading(connection: &Connection, id: i64, reading: &Reading) -> rusqlite::Result<bool> {
    let value = reading.quantity.value;
    let rows = connection.prepare_cached(INSERT_READING)?.execute(params![
        reading.time.unix_seconds(),
        id,
        mantissa_value(value.mantissa()),
        value.scaler(),
        reading.quantity.unit.symbol(),
        reading.status.bits(),
        reading_checksum(reading),
    ])?;
    Ok(rows > 0)
}

/// Stores a gap unless there is a reading or a gap; returns whether it was stored.
fn insert_gap(connection: &Connection, id: i64, gap: &Gap) -> rusqlite::Result<bool> {
    let rows = connection.prepare_cached(INSERT_GAP)?.execute(params![
        gap.time.unix_seconds(),
        id,
        gap.reason.to_string(),
        gap_checksum(gap),
    ])?;
    Ok(rows > 0)
}

/// Finds the time of the latest sound reading of each element.
pub(super) fn load_latest(
    connection: &Connection,
    elements: &Elements,
) -> rusqlite::Result<BTreeMap<i64, Timestamp>> {
    let mut latest = BTreeMap::new();
    let mut statement = connection.prepare(NEWEST)?;
    let mut rows = statement.query([i64::try_from(LATEST_ROWS).unwrap_or(i64::MAX)])?;
    while latest.len() < elements.count()
        && let Some(row) = rows.next()?
    {
        let id = row.get(1)?;
        let time = Timestamp::from_unix_seconds(row.get(0)?).ok();
        if let (Some(time), Some(element)) = (time, elements.name(id))
            && !latest.contains_key(&id)
            && read_reading(row, time, element)?.is_some()
        {
            latest.insert(id, time);
        }
    }
    Ok(latest)
}
