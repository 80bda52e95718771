//! The numbers of the elements, looked up in memory.

use std::collections::BTreeMap;

use model::{Element, ElementPattern};
use rusqlite::{Connection, params};

use super::rows::{element_checksum, read_element};

/// The elements by number and the numbers by element.
#[derive(Debug, Default)]
pub(super) struct Elements {
    ids: BTreeMap<Element, i64>,
    names: BTreeMap<i64, Element>,
    damaged: usize,
    greatest: i64,
}

impl Elements {
    /// The greatest number of elements: 300 meters with some 50 each. A meter that invents codes without end must not
    /// fill memory.
    pub(super) const MAX: usize = 16_384;

    /// Reads every element's row.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut elements = Self::default();
        let mut statement = connection.prepare("SELECT id, meter, obis, crc FROM element ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            elements.greatest = elements.greatest.max(row.get(0)?);
            match read_element(row)? {
                Some((id, element)) => elements.add(id, element),
                None => elements.damaged = elements.damaged.saturating_add(1),
            }
        }
        Ok(elements)
    }

    /// Returns the elements, in order.
    pub(super) fn known(&self) -> impl Iterator<Item = &Element> {
        self.ids.keys()
    }

    /// Returns the number of elements whose rows are sound.
    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number of damaged rows.
    pub(super) const fn damaged(&self) -> usize {
        self.damaged
    }

    pub(super) fn id(&self, element: &Element) -> Option<i64> {
        self.ids.get(element).copied()
    }

    /// Returns the elements and their numbers, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = (&Element, i64)> {
        self.ids.iter().map(|(element, id)| (element, *id))
    }

    pub(super) fn name(&self, id: i64) -> Option<&Element> {
        self.names.get(&id)
    }

    /// Returns the numbers and names of the elements that match.
    pub(super) fn matching(&self, pattern: &ElementPattern) -> BTreeMap<i64, &Element> {
        self.names
            .iter()
            .filter(|(_, element)| pattern.matches(element))
            .map(|(id, element)| (*id, element))
            .collect()
    }

    /// Takes up elements whose rows have been committed.
    pub(super) fn extend(&mut self, new: NewElements) {
        for (element, id) in new.ids {
            self.greatest = self.greatest.max(id);
            self.add(id, element);
        }
    }

    fn add(&mut self, id: i64, element: Element) {
        self.ids.insert(element.clone(), id);
        self.names.insert(id, element);
    }
}

/// The elements that a transaction brings, until it is committed.
#[derive(Debug, Default)]
pub(super) struct NewElements {
    ids: BTreeMap<Element, i64>,
    greatest: i64,
}

impl NewElements {
    /// Returns the number of an element, with a new row if it is new; `None` beyond [`Elements::MAX`].
    pub(super) fn id_of(
        &mut self,
        element: &Element,
        known: &Elements,
        connection: &Connection,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = known.id(element).or_else(|| self.ids.get(element).copied()) {
            return Ok(Some(id));
        }
        let count = known
            .count()
            .saturating_add(known.damaged)
            .saturating_add(self.ids.len());
        if count >= Elements::MAX {
            return Ok(None);
        }
        let id = self.greatest.max(known.greatest).saturating_add(1);
        connection
            .prepare_cached("INSERT INTO element (id, meter, obis, crc) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                id,
                element.meter.as_str(),
                element.obis.to_string(),
                element_checksum(id, element),
            ])?;
        self.ids.insert(element.clone(), id);
        self.greatest = id;
        Ok(Some(id))
    }
}
