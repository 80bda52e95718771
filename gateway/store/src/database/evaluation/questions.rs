//! What is asked about evaluations.

use std::collections::{BTreeMap, BTreeSet};

use model::{Element, Fingerprint, Reading, Timestamp};
use rusqlite::OptionalExtension;

use super::super::{Database, DatabaseError};
use super::{Derived, Entry, Evaluation, Made, row};

impl Database {
    /// Returns every element that a meter has given, in order: those of [`Database::elements`] that no application has made.
    #[must_use]
    pub fn measured_elements(&self) -> Vec<Element> {
        self.lock().elements.known().cloned().collect()
    }

    /// Returns the time of the latest reading of an element that a meter has given.
    #[must_use]
    pub fn registered_until(&self, element: &Element) -> Option<Timestamp> {
        let inner = self.lock();
        inner.latest.get(&inner.elements.id(element)?).copied()
    }

    /// Returns the newest evaluation of the window that begins at a time.
    #[must_use]
    pub fn evaluation(&self, assignment: &[u8; 32], from: Timestamp) -> Option<Evaluation> {
        let inner = self.lock();
        let number = *inner.evaluations.newest.get(&(*assignment, from))?;
        inner.evaluations.view(number)
    }

    /// Returns the newest evaluation of the last window that ends at a time or before it.
    #[must_use]
    pub fn evaluation_before(&self, assignment: &[u8; 32], time: Timestamp) -> Option<Evaluation> {
        let inner = self.lock();
        let evaluations = &inner.evaluations;
        let of_assignment = (*assignment, Timestamp::EPOCH)..(*assignment, time.max(Timestamp::EPOCH));
        let views = evaluations.newest.range(of_assignment).rev();
        let mut views = views.filter_map(|(_, number)| evaluations.view(*number));
        views.find(|evaluation| evaluation.window.to() <= time)
    }

    /// Returns the newest evaluations of windows of an assignment that may have to be evaluated anew, the earliest first.
    #[must_use]
    pub fn stale_evaluations(&self, assignment: &[u8; 32]) -> Vec<Evaluation> {
        let inner = self.lock();
        let evaluations = &inner.evaluations;
        let of_assignment = evaluations
            .newest
            .range((*assignment, Timestamp::EPOCH)..)
            .take_while(|((found, _), _)| found == assignment);
        let views = of_assignment.filter_map(|(_, number)| evaluations.view(*number));
        views.filter(|evaluation| evaluation.is_stale).collect()
    }

    /// Returns the newest evaluations of windows of all assignments that may have to be evaluated anew.
    #[must_use]
    pub fn all_stale_evaluations(&self) -> Vec<Evaluation> {
        let inner = self.lock();
        let evaluations = &inner.evaluations;
        let views = evaluations.newest.values();
        let views = views.filter_map(|number| evaluations.view(*number));
        views.filter(|evaluation| evaluation.is_stale).collect()
    }

    /// Returns the end of the last window of an assignment that was evaluated.
    #[must_use]
    pub fn evaluated_until(&self, assignment: &[u8; 32]) -> Option<Timestamp> {
        let inner = self.lock();
        let evaluations = &inner.evaluations;
        let of_assignment = evaluations
            .newest
            .range((*assignment, Timestamp::EPOCH)..)
            .take_while(|((found, _), _)| found == assignment);
        let (_, number) = of_assignment.last()?;
        Some(evaluations.rows.get(number)?.label.window.to())
    }

    /// Returns every evaluation that has a value of the element at the time, the latest first.
    ///
    /// # Errors
    ///
    /// The failure of the database.
    pub fn evaluations_at(
        &self,
        element: &Element,
        time: Timestamp,
    ) -> Result<Vec<(Evaluation, Derived)>, DatabaseError> {
        let inner = self.lock();
        let mut found = Vec::new();
        for (number, Entry { label, .. }) in inner.evaluations.rows.iter().rev() {
            let may_have = label.elements.contains(element) && label.span.0 <= time && time <= label.span.1;
            let made = if may_have { inner.made_by(*number)? } else { None };
            let values = made.unwrap_or_default().values;
            let value = values
                .into_iter()
                .find(|value| value.reading.element == *element && value.reading.time == time);
            found.extend(inner.evaluations.view(*number).zip(value));
        }
        Ok(found)
    }

    /// Returns what an evaluation has made and left, or `None` if that is forgotten or damaged.
    ///
    /// # Errors
    ///
    /// The failure of the database.
    pub fn made(&self, number: u64) -> Result<Option<Made>, DatabaseError> {
        self.lock().made_by(number.cast_signed())
    }

    /// Returns what the application of an evaluation was given, or `None` if that is forgotten or damaged.
    ///
    /// # Errors
    ///
    /// The failure of the database.
    pub fn given(&self, number: u64) -> Result<Option<Vec<u8>>, DatabaseError> {
        let number = number.cast_signed();
        let inner = self.lock();
        let mut statement = inner
            .connection
            .prepare_cached("SELECT given FROM evaluation WHERE number = ?1")?;
        let given: Option<Vec<u8>> = statement.query_row([number], |row| row.get(0)).optional()?;
        Ok(given.and_then(|given| row::given(number, &given).map(<[u8]>::to_vec)))
    }

    /// Returns the latest value of each element that was made and that no meter has.
    ///
    /// # Errors
    ///
    /// The failure of the database.
    pub fn latest_derived(&self) -> Result<Vec<Reading>, DatabaseError> {
        let inner = self.lock();
        let mut latest: BTreeMap<Element, Reading> = BTreeMap::new();
        for element in inner
            .evaluations
            .names
            .iter()
            .filter(|name| inner.elements.id(name).is_none())
        {
            let entries = inner.evaluations.newest.values().filter_map(|number| {
                let entry = inner.evaluations.rows.get(number)?;
                entry
                    .label
                    .elements
                    .contains(element)
                    .then_some((entry.label.span.1, *number))
            });
            if let Some((_, number)) = entries.max()
                && let Some(made) = inner.made_by(number)?
            {
                let of_element = made.values.into_iter().map(|value| value.reading);
                let of_element = of_element.filter(|reading| reading.element == *element);
                let last = of_element.max_by_key(|reading| reading.time);
                latest.extend(last.map(|reading| (element.clone(), reading)));
            }
        }
        Ok(latest.into_values().collect())
    }

    /// Returns the start of the first window of an assignment that was evaluated and is kept.
    #[must_use]
    pub fn evaluated_since(&self, assignment: &[u8; 32]) -> Option<Timestamp> {
        let inner = self.lock();
        let later = (*assignment, Timestamp::EPOCH)..;
        let ((found, from), _) = inner.evaluations.newest.range(later).next()?;
        (found == assignment).then_some(*from)
    }

    /// Returns whether an evaluation goes for the next one.
    #[must_use]
    pub fn evaluations_are_full(&self) -> bool {
        self.lock().evaluations.are_full()
    }

    /// Returns the applications that have made anything that is kept.
    #[must_use]
    pub fn evaluated_applications(&self) -> BTreeSet<Fingerprint> {
        let inner = self.lock();
        let rows = inner.evaluations.rows.values();
        rows.map(|entry| entry.label.application).collect()
    }
}
