//! Evaluations: what energy applications have made of the readings of a window, revision by revision.
//!
//! What was made stays as it was: readings that come late lead to another revision beside it. The newest revision counts,
//! and its values are handed out as readings of elements that no meter has; an element that a meter has itself is never
//! covered by one that was made. With each revision is kept what it was made of, so that it can be made once more.
//!
//! The labels of all evaluations are held in memory. What was made is read when somebody asks for it.

mod changed;
mod forgetting;
mod questions;
mod row;
mod share;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::{Element, ElementPattern, Fingerprint, Period, Reading, Span, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::elements::Elements;
use super::head::{Head, Tally, tally_of};
use super::keys::LAST_ELEMENT;
use super::pages::Collector;
use super::point::Point;
use super::{Database, DatabaseError, Inner};
use row::Label;

pub use changed::ChangedTimes;
pub use row::Made;

/// How far before a window a reading may lie that is given to it: the last one before, where there is none at its start.
pub const LEAD: Span = match Span::from_seconds(31 * 86_400) {
    Some(month) => month,
    None => Span::DAY,
};
/// The greatest number of elements that are made: all that an output of the longest manifest makes of 64 meters' elements.
const MAX_DERIVED: usize = 4_096;

/// A value that an application has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The value; its time is the end of its period.
    pub reading: Reading,
    /// The start of its period.
    pub from: Timestamp,
    /// The tariff stage; 0 if there is none.
    pub stage: u16,
    /// The readings that it is made of, as indices into what the application was given.
    pub basis: Range<u32>,
    /// From when on it is forgotten.
    pub until: Timestamp,
}

/// What an application has made of a window, on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvaluation {
    /// A digest of what was evaluated for whom: windows with one name and start are the same window.
    pub assignment: [u8; 32],
    /// The window.
    pub window: Period,
    /// When it was evaluated.
    pub time: Timestamp,
    /// The application, by its digest.
    pub application: Fingerprint,
    /// A digest of what the application was given.
    pub digest: [u8; 32],
    /// The values, no two of one element and time.
    pub values: Vec<Derived>,
    /// What the window behind it is given.
    pub state: Vec<u8>,
    /// What the application was given.
    pub given: Vec<u8>,
    /// How long it is kept at least, also without values.
    pub until: Timestamp,
}

/// An evaluation that is stored, without what it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Its number.
    pub number: u64,
    /// A digest of what was evaluated for whom.
    pub assignment: [u8; 32],
    /// The window.
    pub window: Period,
    /// The how-manieth evaluation of the window it is, from 1 on.
    pub revision: u32,
    /// When it was made.
    pub time: Timestamp,
    /// The application, by its digest.
    pub application: Fingerprint,
    /// A digest of what the application was given.
    pub digest: [u8; 32],
    /// Whether what it was made of may have changed since.
    pub is_stale: bool,
    /// Whether there is no later one of its window.
    pub is_newest: bool,
}

/// What became of an evaluation that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is on the disk, as this revision.
    Revision(u32),
    /// The newest one was made of the same by the same application, and stays.
    Same,
    /// Its values are of so many elements that no others find room.
    NoRoom,
    /// A reading of the window was registered after the window was watched; it is to be evaluated anew.
    Overtaken,
}

/// A window whose readings are being evaluated.
#[derive(Debug, Clone, Copy)]
struct Watched {
    window: Period,
    is_touched: bool,
}

/// The labels, and what can be found by them.
#[derive(Debug, Default)]
pub(super) struct Evaluations {
    rows: BTreeMap<i64, Entry>,
    /// The newest evaluation of each window, by assignment and start.
    newest: BTreeMap<([u8; 32], Timestamp), i64>,
    /// The elements that were made; their numbers lie above those of the elements that meters have.
    names: Vec<Element>,
    damaged: usize,
    watched: Option<Watched>,
    changed: ChangedTimes,
}

#[derive(Debug)]
struct Entry {
    label: Label,
    is_stale: bool,
}

impl Evaluations {
    /// Reads every label.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut evaluations = Self::default();
        let mut statement =
            connection.prepare("SELECT number, label, mark FROM evaluation ORDER BY number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            match Label::decode(number, blob(row.get_ref(1)?)) {
                Some(label) => evaluations.add(number, label, row.get_ref(2)? != ValueRef::Integer(0)),
                None => evaluations.damaged = evaluations.damaged.saturating_add(1),
            }
        }
        Ok(evaluations)
    }

    fn add(&mut self, number: i64, label: Label, is_stale: bool) {
        for element in &label.elements {
            if !self.names.contains(element) {
                self.names.push(element.clone());
            }
        }
        let key = (label.assignment, label.window.from());
        let known = self.newest.get(&key).and_then(|known| self.rows.get(known));
        if known.is_none_or(|known| known.label.revision <= label.revision) {
            self.newest.insert(key, number);
        }
        self.rows.insert(number, Entry { label, is_stale });
    }

    fn remove(&mut self, number: i64) {
        let Some(entry) = self.rows.remove(&number) else {
            return;
        };
        let key = (entry.label.assignment, entry.label.window.from());
        if self.newest.get(&key) == Some(&number) {
            self.newest.remove(&key);
        }
    }

    /// Returns the element with a number of those that were made.
    pub(super) fn name(&self, id: u32) -> Option<&Element> {
        let index = id.checked_sub(LAST_ELEMENT)?.checked_sub(1)?;
        self.names.get(usize::try_from(index).ok()?)
    }

    fn id(&self, element: &Element) -> Option<u32> {
        let index = self.names.iter().position(|name| name == element)?;
        LAST_ELEMENT
            .checked_add(1)?
            .checked_add(u32::try_from(index).ok()?)
    }

    /// Returns the elements that were made.
    pub(super) fn names(&self) -> &[Element] {
        &self.names
    }

    /// Returns the numbers of the newest evaluations whose windows a time of registration may change.
    fn touched(&self, time: Timestamp) -> impl Iterator<Item = i64> + '_ {
        self.newest.values().copied().filter(move |number| {
            let entry = self.rows.get(number).filter(|entry| !entry.is_stale);
            entry.is_some_and(|entry| is_given(entry.label.window, time))
        })
    }

    fn view(&self, number: i64) -> Option<Evaluation> {
        let Entry { label, is_stale } = self.rows.get(&number)?;
        let key = (label.assignment, label.window.from());
        Some(Evaluation {
            number: number.cast_unsigned(),
            assignment: label.assignment,
            window: label.window,
            revision: label.revision,
            time: label.time,
            application: label.application,
            digest: label.digest,
            is_stale: *is_stale,
            is_newest: self.newest.get(&key) == Some(&number),
        })
    }
}

/// Returns whether an application is given a reading of that time for a window, or may be.
fn is_given(window: Period, time: Timestamp) -> bool {
    window.from().saturating_sub(LEAD) <= time && time <= window.to()
}

impl Database {
    /// Begins to watch a window whose readings are about to be read: what is registered for it from now on is noticed when
    /// the evaluation is stored. One window is watched at a time.
    pub fn watch_window(&self, window: Period) {
        self.lock().evaluations.watched = Some(Watched {
            window,
            is_touched: false,
        });
    }

    /// Stores what was made of the window that is watched, with all that it was made of, in one transaction; on return it is
    /// on the disk.
    ///
    /// # Errors
    ///
    /// The failure of the database; nothing is stored then.
    pub fn store_evaluation(&self, new: &NewEvaluation) -> Result<Stored, DatabaseError> {
        self.watch(self.lock().store_evaluation(new), DatabaseError::is_damage)
    }

    /// Leaves an evaluation of the window that is watched as it is: it would be made of the same, or cannot be made anew. On
    /// return that is on the disk.
    ///
    /// # Errors
    ///
    /// The failure of the database; nothing has changed then.
    pub fn confirm_evaluation(&self, number: u64) -> Result<Stored, DatabaseError> {
        let confirmed = self.lock().confirm_evaluation(number.cast_signed());
        self.watch(confirmed, DatabaseError::is_damage)
    }
}

impl Inner {
    fn made_by(&self, number: i64) -> Result<Option<Made>, DatabaseError> {
        let Some(entry) = self.evaluations.rows.get(&number) else {
            return Ok(None);
        };
        let mut statement = self
            .connection
            .prepare_cached("SELECT made FROM evaluation WHERE number = ?1")?;
        let made: Option<Vec<u8>> = statement.query_row([number], |row| row.get(0)).optional()?;
        Ok(made.and_then(|made| Made::decode(number, &entry.label, &made)))
    }

    fn store_evaluation(&mut self, new: &NewEvaluation) -> Result<Stored, DatabaseError> {
        let watched = self
            .evaluations
            .watched
            .filter(|watched| watched.window == new.window);
        if watched.is_none_or(|watched| watched.is_touched) {
            return Ok(Stored::Overtaken);
        }
        if !self.evaluations.has_room_for(&new.values, &self.elements) {
            return Ok(Stored::NoRoom);
        }
        let key = (new.assignment, new.window.from());
        let known = self.evaluations.newest.get(&key).copied();
        let before = known.and_then(|number| Some((number, &self.evaluations.rows.get(&number)?.label)));
        let is_same = before
            .is_some_and(|(_, label)| (label.digest, label.application) == (new.digest, new.application));
        let revision = before.map_or(0, |(_, label)| label.revision).saturating_add(1);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = self.head.next();
        mark(&transaction, &mut head.days, known.as_slice(), false)?;
        let (label, number) = label_of(new, revision, &transaction)?;
        let behind = self.evaluations.behind(new);
        let outdated = self.evaluations.outdated(new.assignment);
        if !is_same {
            insert(&transaction, &mut head.days, number, &label, new)?;
            mark(&transaction, &mut head.days, behind.as_slice(), true)?;
            delete(&transaction, &mut head.days, outdated.as_slice())?;
        }
        head.store(&transaction)?;
        transaction.commit()?;
        self.evaluations.set_stale(known.as_slice(), false);
        if !is_same {
            self.evaluations.add(number, label, false);
            self.evaluations.set_stale(behind.as_slice(), true);
            outdated
                .into_iter()
                .for_each(|number| self.evaluations.remove(number));
        }
        self.confirm(head)?;
        Ok(if is_same {
            Stored::Same
        } else {
            Stored::Revision(revision)
        })
    }

    fn confirm_evaluation(&mut self, number: i64) -> Result<Stored, DatabaseError> {
        let entry = self.evaluations.rows.get(&number);
        let window = entry.map(|entry| entry.label.window);
        let watched = self
            .evaluations
            .watched
            .filter(|watched| Some(watched.window) == window);
        if watched.is_none_or(|watched| watched.is_touched) {
            return Ok(Stored::Overtaken);
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = self.head.next();
        mark(&transaction, &mut head.days, &[number], false)?;
        head.store(&transaction)?;
        transaction.commit()?;
        self.evaluations.set_stale(&[number], false);
        self.confirm(head)?;
        Ok(Stored::Same)
    }

    /// Marks the evaluations that a time of registration concerns; returns which, for when the transaction is committed.
    pub(super) fn mark_touched(
        evaluations: &Evaluations,
        transaction: &Transaction<'_>,
        head: &mut Head,
        times: impl Iterator<Item = Timestamp>,
    ) -> rusqlite::Result<Vec<i64>> {
        let mut touched = BTreeSet::new();
        for time in times {
            touched.extend(evaluations.touched(time));
        }
        let touched: Vec<_> = touched.into_iter().collect();
        mark(transaction, &mut head.days, &touched, true)?;
        Ok(touched)
    }

    /// Puts the values that were made into a page, unless a meter has their elements itself.
    pub(super) fn collect_derived(
        &self,
        pattern: &ElementPattern,
        collector: &mut Collector,
    ) -> Result<(), DatabaseError> {
        let is_wanted = |element: &Element| pattern.matches(element) && self.elements.id(element).is_none();
        let rows = &self.evaluations.rows;
        let mut entries: Vec<_> = self
            .evaluations
            .newest
            .values()
            .filter_map(|number| Some((*number, &rows.get(number)?.label)))
            .filter(|(_, label)| label.span.1.unix_seconds() >= collector.start())
            .filter(|(_, label)| label.elements.iter().any(is_wanted))
            .collect();
        entries.sort_by_key(|(number, label)| (label.span.0, *number));
        for (number, label) in entries {
            if label.span.0.unix_seconds() >= collector.end() {
                break;
            }
            let Some(made) = self.made_by(number)? else {
                let lost = label.elements.iter().filter(|element| is_wanted(element));
                lost.for_each(|element| collector.add_damaged(Some(element), Some(label.window)));
                continue;
            };
            for value in made
                .values
                .iter()
                .filter(|value| is_wanted(&value.reading.element))
            {
                let id = self.evaluations.id(&value.reading.element);
                id.into_iter()
                    .for_each(|id| collector.add(Point::of_reading(&value.reading, id)));
            }
        }
        Ok(())
    }
}

impl Evaluations {
    /// Takes note that something was registered.
    pub(super) fn registered(&mut self, touched: &[i64], times: impl Iterator<Item = Timestamp>) {
        self.set_stale(touched, true);
        for time in times {
            self.changed.add(time);
            if let Some(watched) = &mut self.watched {
                let window = watched.window;
                watched.is_touched |= is_given(window, time);
            }
        }
    }

    fn set_stale(&mut self, numbers: &[i64], is_stale: bool) {
        for number in numbers {
            if let Some(entry) = self.rows.get_mut(number) {
                entry.is_stale = is_stale;
            }
        }
    }

    /// Returns the evaluation that was given what a window leaves: that of the next window that was evaluated.
    fn behind(&self, new: &NewEvaluation) -> Option<i64> {
        let later = (new.assignment, new.window.to())..;
        let ((found, _), number) = self.newest.range(later).next()?;
        (*found == new.assignment).then_some(*number)
    }

    /// Returns whether so many elements are made that no others may be.
    pub(super) fn has_room_for(&self, values: &[Derived], elements: &Elements) -> bool {
        let elements: BTreeSet<_> = values
            .iter()
            .map(|value| &value.reading.element)
            .filter(|element| elements.id(element).is_none() && !self.names.contains(element))
            .collect();
        self.names.len().saturating_add(elements.len()) <= MAX_DERIVED
    }
}

fn label_of(new: &NewEvaluation, revision: u32, connection: &Connection) -> rusqlite::Result<(Label, i64)> {
    let last: Option<i64> =
        connection.query_row("SELECT max(number) FROM evaluation", [], |row| row.get(0))?;
    let mut label = Label {
        assignment: new.assignment,
        window: new.window,
        revision,
        time: new.time,
        application: new.application,
        digest: new.digest,
        span: (new.window.from(), new.window.to()),
        due: (new.until, new.until),
        elements: Vec::new(),
    };
    label.describe(&new.values, new.until);
    Ok((label, last.unwrap_or_default().saturating_add(1)))
}

fn insert(
    connection: &Connection,
    tally: &mut Tally,
    number: i64,
    label: &Label,
    new: &NewEvaluation,
) -> rusqlite::Result<()> {
    let made = Made {
        state: new.state.clone(),
        values: new.values.clone(),
    };
    connection
        .prepare_cached(
            "INSERT INTO evaluation (number, label, mark, made, given) VALUES (?1, ?2, 0, ?3, ?4)",
        )?
        .execute(params![
            number,
            label.encode(number),
            made.encode(number, label),
            row::seal_given(number, &new.given)
        ])?;
    tally.add_all(tally_of_row(connection, number)?);
    Ok(())
}

fn mark(connection: &Connection, tally: &mut Tally, numbers: &[i64], is_stale: bool) -> rusqlite::Result<()> {
    for number in numbers {
        tally.remove_all(tally_of_row(connection, *number)?);
        connection
            .prepare_cached("UPDATE evaluation SET mark = ?2 WHERE number = ?1")?
            .execute(params![number, i64::from(is_stale)])?;
        tally.add_all(tally_of_row(connection, *number)?);
    }
    Ok(())
}

fn delete(connection: &Connection, tally: &mut Tally, numbers: &[i64]) -> rusqlite::Result<()> {
    for number in numbers {
        tally.remove_all(tally_of_row(connection, *number)?);
        connection
            .prepare_cached("DELETE FROM evaluation WHERE number = ?1")?
            .execute([number])?;
    }
    Ok(())
}

const COLUMNS: &str = "SELECT number, label, mark, length(made), length(given) FROM evaluation";

fn tally_of_row(connection: &Connection, number: i64) -> rusqlite::Result<Tally> {
    tally_of(
        connection,
        b'v',
        &format!("{COLUMNS} WHERE number = ?1"),
        [number],
    )
}

/// Returns what the head says about the evaluations that are there.
pub(super) fn tally(connection: &Connection) -> rusqlite::Result<Tally> {
    tally_of(connection, b'v', COLUMNS, [])
}

/// Returns whether the columns are those of an evaluation.
pub(super) fn is_sound(number: i64, label: &[u8], made: &[u8], given: &[u8]) -> bool {
    row::is_sound(number, label, made, given)
}

fn blob(value: ValueRef<'_>) -> &[u8] {
    value.as_blob().unwrap_or_default()
}
