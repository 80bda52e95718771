//! Checks of the history: each sealed chunk is read now and then, so that damage is known before somebody asks.

use rusqlite::{OptionalExtension, Row, TransactionBehavior};

use super::day::{self, Known, Record};
use super::head::RowKind;
use super::keys::Day;
use super::loss::{self, Loss, Lost};
use super::points::content;
use super::{Database, DatabaseError, Inner, chunk, examination};

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// The number of chunks that should be there.
    pub chunks: usize,
    /// What is lost and was not reported before; it is stored.
    pub losses: Vec<Loss>,
}

impl Database {
    /// Reads every chunk of one sealed day and reports those that are missing or damaged, each once.
    ///
    /// Steps with numbers that follow each other check days that follow each other, again and again: after as many
    /// steps as there are sealed days, every chunk has been read. A chunk that is missing may only be out of reach: then
    /// the next start looks at the whole tree, and brings it back by a salvage.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the database cannot be read, or a loss cannot be stored.
    pub fn check(&self, step: u64) -> Result<Checked, DatabaseError> {
        let checked = self.watch(self.lock().check(step), DatabaseError::is_damage)?;
        if checked.losses.iter().any(|loss| is_missing_chunk(loss.lost)) {
            self.suspect();
        }
        for loss in &checked.losses {
            self.losses_in_memory().add(*loss);
        }
        Ok(checked)
    }
}

/// The chunks of a day that are not what they were.
#[derive(Debug, Default)]
struct Faults {
    missing: u64,
    damaged: u64,
}

impl Inner {
    fn check(&mut self, step: u64) -> Result<Checked, DatabaseError> {
        let Some(day) = self.day_of_step(step)? else {
            return Ok(Checked::default());
        };
        let known = day::load(&self.connection, day)?;
        let mut record = day::load_or_list(&self.connection, day)?;
        let faults = self.faults(day, &record)?;
        let chunks = record.chunks().count();
        let mut lost = Vec::new();
        if known == Known::Damaged {
            lost.push(rows(RowKind::Day, 0, 1));
        }
        let found = faults.missing.saturating_add(faults.damaged);
        if found > record.reported {
            // What was reported before may have been missing or damaged; the missing ones are named first.
            let missing = faults.missing.saturating_sub(record.reported);
            let reported = record.reported.saturating_sub(faults.missing);
            lost.push(rows(
                RowKind::Chunk,
                missing,
                faults.damaged.saturating_sub(reported),
            ));
            record.reported = found;
        }
        let losses = if lost.is_empty() {
            Vec::new()
        } else {
            self.report(day, &record, &lost)?
        };
        Ok(Checked { chunks, losses })
    }

    /// Returns the day whose turn it is.
    fn day_of_step(&self, step: u64) -> rusqlite::Result<Option<Day>> {
        let days: i64 = self
            .connection
            .query_row("SELECT count(*) FROM day", [], |row| row.get(0))?;
        let Some(turn) = step.checked_rem(days.unsigned_abs()) else {
            return Ok(None);
        };
        let turn = i64::try_from(turn).unwrap_or_default();
        self.connection
            .prepare_cached("SELECT key FROM day ORDER BY key LIMIT 1 OFFSET ?1")?
            .query_row([turn], |row| Ok(Day::with_number(row.get(0)?)))
            .optional()
    }

    fn faults(&self, day: Day, record: &Record) -> rusqlite::Result<Faults> {
        let mut faults = Faults::default();
        let mut statement = self
            .connection
            .prepare_cached("SELECT key, content FROM chunk WHERE key = ?1")?;
        for (part, id) in record.chunks() {
            // The checksum covers the element's name: without it nothing can be said, and its own loss was reported.
            let element = self.elements.name(id);
            let is_sound = |row: &Row<'_>| {
                let bytes = content(row)?;
                let key = row.get(0)?;
                Ok(element.is_none_or(|element| chunk::read(key, element, bytes).is_some()))
            };
            let fault = match statement.query_row([day.chunk(part, id)], is_sound).optional()? {
                Some(true) => continue,
                Some(false) => &mut faults.damaged,
                None => &mut faults.missing,
            };
            *fault = fault.saturating_add(1);
        }
        Ok(faults)
    }

    /// Stores losses, and that they were reported.
    fn report(&mut self, day: Day, record: &Record, lost: &[Lost]) -> Result<Vec<Loss>, DatabaseError> {
        let mut head = self.head.next();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let behind = examination::latest_time(&transaction)?;
        let mut losses = Vec::new();
        for lost in lost {
            losses.push(loss::store(&transaction, &mut head.losses, *lost, behind)?);
        }
        day::store(&transaction, &mut head.days, day, record)?;
        head.store(&transaction)?;
        transaction.commit()?;
        self.confirm(head)?;
        Ok(losses)
    }
}

const fn is_missing_chunk(lost: Lost) -> bool {
    matches!(
        lost,
        Lost::Rows {
            kind: RowKind::Chunk,
            missing: 1..,
            ..
        }
    )
}

const fn rows(kind: RowKind, missing: u64, damaged: u64) -> Lost {
    Lost::Rows {
        kind,
        missing,
        damaged,
        unexpected: 0,
    }
}
