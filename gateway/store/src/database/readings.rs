//! Readings and gaps: registered by rounds, asked for by element and time.

use std::collections::BTreeMap;

use model::{Element, ElementPattern, Gap, Period, Reading, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, TransactionBehavior, params};

use super::elements::{Elements, NewElements};
use super::head::{Head, digest_of};
use super::keys::{Day, LAST_ROUND_PART, round_key};
use super::outbox::{self, Occupancy};
use super::pages::PageSize;
use super::part::Part;
use super::point::Point;
use super::points;
use super::{Database, DatabaseError, Inner, OutboxError, OutboxMessage};

/// The greatest number of rows in a round: every element once.
const MAX_ROUND: usize = Elements::MAX;

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
    /// A message that belongs to it cannot be queued.
    #[error("a message that belongs to the round cannot be queued")]
    Outbox(#[from] OutboxError),
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
    /// What is damaged.
    pub damaged: Vec<Damaged>,
    /// What the page had no room for; it is asked for by the next call.
    pub rest: Option<Period>,
}

/// The latest reading of each element, ordered by element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latest {
    /// The values.
    pub readings: Vec<Reading>,
    /// The elements whose latest reading is damaged.
    pub damaged: Vec<Damaged>,
}

/// What is damaged: its values are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The element; `None` if it cannot be told which ones are concerned: a round is damaged, or the
    /// element's own row.
    pub element: Option<Element>,
    /// The time that it belongs to: a second for a round, a day for a chunk.
    pub period: Period,
}

impl Database {
    /// Registers a round for good, all of it or nothing; on return it is on the disk.
    ///
    /// What is stored for an element and time is never overwritten: the first value stays. A value may
    /// follow a gap, a gap never a value. All of that holds for days that are sealed as well.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the round is too large or cannot be stored.
    pub fn register(&self, round: &Round) -> Result<Registered, RegisterError> {
        self.register_and_enqueue(round, &[])
    }

    /// Registers a round and queues messages in one transaction: both are on the disk on return, or
    /// neither ever will be.
    ///
    /// # Errors
    ///
    /// As [`Database::register`] has, and [`RegisterError::Outbox`] if a message cannot be queued. Measuring goes
    /// on without it: the caller registers the round alone.
    pub fn register_and_enqueue(
        &self,
        round: &Round,
        messages: &[OutboxMessage],
    ) -> Result<Registered, RegisterError> {
        let rows = round.readings.len().saturating_add(round.gaps.len());
        if rows > MAX_ROUND {
            return Err(RegisterError::TooLarge {
                rows,
                limit: MAX_ROUND,
            });
        }
        let is_damage = |error: &RegisterError| match error {
            RegisterError::Database(error) | RegisterError::Outbox(OutboxError::Database(error)) => {
                error.is_damage()
            }
            RegisterError::Outbox(_) | RegisterError::TooLarge { .. } => false,
        };
        self.watch(self.lock().register(round, messages, Occupancy::LIMIT), is_damage)
    }

    /// Returns the readings and gaps of the elements that match, as many as fit a page. What applications have made of others
    /// is among them, in its newest revision.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the database cannot be read.
    pub fn readings(&self, elements: &ElementPattern, period: Period) -> Result<Page, DatabaseError> {
        self.watch(
            self.lock().page(elements, period, PageSize::USUAL),
            DatabaseError::is_damage,
        )
    }

    /// Returns the latest reading of each element. One that was silent for very long may be absent
    /// after a restart: only the latest 131,072 points and 16,384 chunks are searched.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the database cannot be read.
    pub fn latest(&self) -> Result<Latest, DatabaseError> {
        self.watch(self.lock().latest(), DatabaseError::is_damage)
    }
}

/// What is new at one time, by element.
type NewPoints = BTreeMap<u32, Point>;

impl Inner {
    pub(super) fn register(
        &mut self,
        round: &Round,
        messages: &[OutboxMessage],
        limit: Occupancy,
    ) -> Result<Registered, RegisterError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut new = NewElements::default();
        let mut registered = Registered::default();
        let mut times: BTreeMap<i64, Vec<Point>> = BTreeMap::new();
        let readings = round.readings.iter().map(|reading| {
            let point = |id| Point::of_reading(reading, id);
            (&reading.element, point)
        });
        for (element, point) in readings {
            match new.id_of(element, &self.elements, &transaction)?.map(point) {
                Some(point) => times.entry(point.time).or_default().push(point),
                None => registered.count(None),
            }
        }
        for gap in &round.gaps {
            match new.id_of(&gap.element, &self.elements, &transaction)? {
                Some(id) => {
                    let point = Point::of_gap(gap, id);
                    times.entry(point.time).or_default().push(point);
                }
                None => registered.count(None),
            }
        }
        let mut head = self.head.next();
        new.finish(&transaction, &mut head.elements)?;
        let mut latest = Vec::new();
        let mut changed = Vec::new();
        for (time, points) in &times {
            let fresh = fresh(&transaction, &self.elements, &new, *time, points, &mut registered)?;
            insert(&transaction, &mut head, *time, &fresh)?;
            let is_changed = !fresh.is_empty();
            changed.extend(Timestamp::from_unix_seconds(*time).ok().filter(|_| is_changed));
            let values = fresh.values().filter(|point| point.kind.is_value());
            latest.extend(values.filter_map(|point| Some((point.element, point.timestamp()?))));
        }
        let times_changed = changed.iter().copied();
        let touched = Self::mark_touched(&self.evaluations, &transaction, &mut head, times_changed)?;
        let occupancy = outbox::queue(&transaction, &mut head.outbox, messages, self.outbox, limit)?;
        // The rounds say themselves what the head is; a page for it would be a fifth of all that is written.
        let others = |head: &Head| (head.elements, head.outbox, head.days);
        if others(&head) != others(&self.head) {
            head.store(&transaction)?;
        } else if head.rounds == self.head.rounds {
            return Ok(registered);
        }
        transaction.commit()?;
        self.outbox = occupancy;
        self.elements.extend(new);
        self.evaluations.registered(&touched, changed.into_iter());
        if let Some(earliest) = times.keys().next() {
            self.seal_from = self.seal_from.min(Day::of(*earliest).rounds().start);
        }
        for (id, time) in latest {
            let known = self.latest.entry(id).or_insert(time);
            *known = time.max(*known);
        }
        self.confirm(head)?;
        Ok(registered)
    }
}

/// Returns the points for which nothing is stored yet that must stay, and counts all of them.
fn fresh(
    connection: &Connection,
    elements: &Elements,
    new: &NewElements,
    time: i64,
    points: &[Point],
    registered: &mut Registered,
) -> rusqlite::Result<NewPoints> {
    let wanted = points.iter().map(|point| point.element);
    let wanted = wanted.filter(|id| !new.contains(*id)).collect();
    let stored = points::at(connection, elements, time, &wanted)?;
    let mut fresh = NewPoints::new();
    for point in points {
        let known = fresh.get(&point.element).or_else(|| stored.get(&point.element));
        let stays = known.is_some_and(|known| known.kind.is_value() || !point.kind.is_value());
        if !stays {
            fresh.insert(point.element, *point);
        }
        registered.count(Some(!stays));
    }
    Ok(fresh)
}

/// Stores points of one time behind the parts that this time has.
fn insert(connection: &Connection, head: &mut Head, time: i64, points: &NewPoints) -> rusqlite::Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    let points: Vec<Point> = points.values().copied().collect();
    let first = points::next_part(connection, time)?;
    for (part, number) in Part::split(&points).iter().zip(first..=LAST_ROUND_PART) {
        let key = round_key(time, number);
        let content = part.seal(key, Some(head.before()));
        connection
            .prepare_cached("INSERT INTO round (key, content) VALUES (?1, ?2)")?
            .execute(params![key, content])?;
        head.rounds.add(digest_of(
            b'r',
            &[ValueRef::Integer(key), ValueRef::Blob(&content)],
        ));
    }
    Ok(())
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
