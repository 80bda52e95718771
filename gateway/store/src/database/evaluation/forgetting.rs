//! Forgetting evaluations: each value has its own time, and the last one takes the evaluation with it.

use std::collections::BTreeMap;

use model::{Span, Timestamp};
use rusqlite::{Connection, TransactionBehavior, params};

use super::super::history::{Forgotten, days_of, has_days_behind};
use super::super::keys::Day;
use super::super::{Database, DatabaseError, Inner};
use super::row::Made;
use super::{Derived, delete, tally_of_row};

/// The number of evaluations that are looked at in one transaction, so that a round never waits long.
const FORGET_EVALUATIONS: usize = 16;

impl Database {
    /// Forgets what applications have made and is not to be kept any longer, a bounded part at once.
    ///
    /// As with readings, the clock alone decides nothing for good: a value stays until as many later days are registered as it
    /// is kept for, or as readings are, if that is shorter.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if that cannot be stored; nothing has changed then.
    pub fn forget_evaluations(&self, history: Span, now: Timestamp) -> Result<Forgotten, DatabaseError> {
        self.watch(
            self.lock().forget_evaluations(history, now),
            DatabaseError::is_damage,
        )
    }
}

/// Tells which days have so many others behind them.
struct Past<'a> {
    connection: &'a Connection,
    history: u32,
    known: BTreeMap<(Day, u32), bool>,
}

impl Past<'_> {
    fn is_over(&mut self, time: Timestamp, until: Timestamp) -> rusqlite::Result<bool> {
        let kept = u32::try_from(until.seconds_since(time))
            .ok()
            .and_then(Span::from_seconds);
        let days = kept.map_or(0, days_of).min(self.history);
        let day = Day::of(time.unix_seconds());
        if let Some(known) = self.known.get(&(day, days)) {
            return Ok(*known);
        }
        let is_over = has_days_behind(self.connection, day, days)?;
        self.known.insert((day, days), is_over);
        Ok(is_over)
    }
}

impl Inner {
    fn forget_evaluations(&mut self, history: Span, now: Timestamp) -> Result<Forgotten, DatabaseError> {
        let rows = self.evaluations.rows.iter();
        let due: Vec<i64> = rows
            .filter(|(_, entry)| entry.label.due.0 <= now)
            .map(|(number, _)| *number)
            .collect();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut past = Past {
            connection: &transaction,
            history: days_of(history),
            known: BTreeMap::new(),
        };
        let mut head = self.head.next();
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for number in due {
            if gone.len().saturating_add(changed.len()) >= FORGET_EVALUATIONS {
                break;
            }
            let Some(entry) = self.evaluations.rows.get(&number) else {
                continue;
            };
            let content: Vec<u8> = transaction
                .prepare_cached("SELECT made FROM evaluation WHERE number = ?1")?
                .query_row([number], |row| row.get(0))?;
            let made = Made::decode(number, &entry.label, &content).unwrap_or_default();
            let Made { state, values } = made;
            let before = values.len();
            let mut kept: Vec<Derived> = Vec::new();
            for value in values {
                if value.until > now || !past.is_over(value.reading.time, value.until)? {
                    kept.push(value);
                }
            }
            let (window, end) = (entry.label.window, entry.label.due.1);
            if kept.is_empty() && end <= now && past.is_over(window.to(), end)? {
                delete(&transaction, &mut head.days, &[number])?;
                gone.push(number);
            } else if kept.len() < before {
                let mut label = entry.label.clone();
                label.describe(&kept, end);
                let made = Made { state, values: kept };
                head.days.remove_all(tally_of_row(&transaction, number)?);
                transaction
                    .prepare_cached("UPDATE evaluation SET label = ?2, made = ?3 WHERE number = ?1")?
                    .execute(params![number, label.encode(number), made.encode(number, &label)])?;
                head.days.add_all(tally_of_row(&transaction, number)?);
                changed.push((number, label));
            }
        }
        let rows = gone.len().saturating_add(changed.len());
        if rows == 0 {
            return Ok(Forgotten::default());
        }
        head.store(&transaction)?;
        transaction.commit()?;
        gone.into_iter()
            .for_each(|number| self.evaluations.remove(number));
        for (number, label) in changed {
            if let Some(entry) = self.evaluations.rows.get_mut(&number) {
                entry.label = label;
            }
        }
        self.confirm(head)?;
        Ok(Forgotten { rows, more: true })
    }
}
