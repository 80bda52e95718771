//! The numbers of the elements, looked up in memory.
//!
//! A number is never given twice, since points are stored by it: the greatest one that was ever given is
//! stored apart from the rows, so that a row which is lost does not free its number.
//!
//! | row | bytes of the checksum |
//! |---|---|
//! | element | `E1`, number (8, big-endian), meter (text), groups of the OBIS code (6) |
//! | element_count | `N1`, greatest number (8, big-endian) |

use std::collections::BTreeMap;

use model::{Element, ElementPattern};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::checksum;
use super::head::{Tally, digest_of, tally_of};
use super::keys::LAST_ELEMENT;

/// The elements by number and the numbers by element.
#[derive(Debug, Default)]
pub(super) struct Elements {
    ids: BTreeMap<Element, u32>,
    /// By rising number.
    names: Vec<(u32, Element)>,
    damaged: usize,
    greatest: u32,
}

impl Elements {
    /// The greatest number of elements: 300 meters with some 50 each. A meter that invents codes without end must not
    /// fill memory.
    pub(super) const MAX: usize = 16_384;

    /// How many numbers are left out when the greatest one is not known: no more rows can be lost.
    const SPARE: u32 = 16_384;

    /// Reads every element's row.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut elements = Self::default();
        let mut statement = connection.prepare("SELECT id, meter, obis, crc FROM element ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut any = false;
        while let Some(row) = rows.next()? {
            any = true;
            match read_element(row)? {
                Some((id, element)) => elements.add(id, element),
                None => elements.damaged = elements.damaged.saturating_add(1),
            }
        }
        let stored = connection
            .query_row("SELECT greatest, crc FROM element_count", [], read_count)
            .optional()?
            .flatten();
        let found = elements.names.last().map_or(0, |(id, _)| *id);
        elements.greatest = match stored {
            Some(stored) => found.max(stored),
            None if any => found.saturating_add(Self::SPARE),
            None => 0,
        };
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

    /// Returns whether every number that was ever given has its name.
    pub(super) fn is_whole(&self) -> bool {
        u32::try_from(self.names.len()).is_ok_and(|count| count == self.greatest)
    }

    pub(super) fn id(&self, element: &Element) -> Option<u32> {
        self.ids.get(element).copied()
    }

    /// Returns the elements and their numbers, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = (&Element, u32)> {
        self.ids.iter().map(|(element, id)| (element, *id))
    }

    /// Returns the element with a number.
    pub(super) fn name(&self, id: u32) -> Option<&Element> {
        // Numbers begin at 1 and nearly always leave none out: this is asked for every reading that is read.
        let guess = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        match guess.and_then(|guess| self.names.get(guess)) {
            Some((found, element)) if *found == id => Some(element),
            _ => {
                let place = self.names.binary_search_by_key(&id, |(id, _)| *id).ok()?;
                self.names.get(place).map(|(_, element)| element)
            }
        }
    }

    /// Returns the numbers and names of the elements that match.
    pub(super) fn matching(&self, pattern: &ElementPattern) -> BTreeMap<u32, &Element> {
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

    fn add(&mut self, id: u32, element: Element) {
        self.ids.insert(element.clone(), id);
        let place = self.names.partition_point(|(known, _)| *known < id);
        self.names.insert(place, (id, element));
    }
}

/// The elements that a transaction brings, until it is committed.
#[derive(Debug, Default)]
pub(super) struct NewElements {
    ids: BTreeMap<Element, u32>,
    first: Option<u32>,
    greatest: u32,
    /// Their rows.
    rows: Tally,
}

impl NewElements {
    /// Returns the number of an element, with a new row if it is new; `None` beyond [`Elements::MAX`].
    pub(super) fn id_of(
        &mut self,
        element: &Element,
        known: &Elements,
        connection: &Connection,
    ) -> rusqlite::Result<Option<u32>> {
        if let Some(id) = known.id(element).or_else(|| self.ids.get(element).copied()) {
            return Ok(Some(id));
        }
        let count = known
            .count()
            .saturating_add(known.damaged)
            .saturating_add(self.ids.len());
        let id = self.greatest.max(known.greatest).saturating_add(1);
        if count >= Elements::MAX || id > LAST_ELEMENT {
            return Ok(None);
        }
        let (meter, obis) = (element.meter.as_str(), element.obis.to_string());
        let crc = element_checksum(i64::from(id), element);
        connection
            .prepare_cached("INSERT INTO element (id, meter, obis, crc) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![id, meter, obis, crc])?;
        self.rows.add(digest_of(
            b'e',
            &[
                ValueRef::Integer(i64::from(id)),
                ValueRef::Text(meter.as_bytes()),
                ValueRef::Text(obis.as_bytes()),
                ValueRef::Integer(i64::from(crc)),
            ],
        ));
        self.ids.insert(element.clone(), id);
        self.first.get_or_insert(id);
        self.greatest = id;
        Ok(Some(id))
    }

    /// Returns whether the number was given in this transaction.
    pub(super) fn contains(&self, id: u32) -> bool {
        self.first.is_some_and(|first| first <= id)
    }

    /// Stores the greatest number that was given, if there is a new one, and accounts for the new rows.
    pub(super) fn finish(&self, connection: &Connection, tally: &mut Tally) -> rusqlite::Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let count = || tally_of(connection, b'g', "SELECT greatest, crc FROM element_count", []);
        tally.remove_all(count()?);
        store_count(connection, i64::from(self.greatest))?;
        tally.add_all(count()?);
        tally.add_all(self.rows);
        Ok(())
    }
}

/// Stores the greatest number that was given.
pub(super) fn store_count(connection: &Connection, greatest: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO element_count (slot, greatest, crc) VALUES (1, ?1, ?2)")?
        .execute(params![greatest, count_checksum(greatest)])?;
    Ok(())
}

/// Reads columns `greatest, crc`; `None` if they are damaged.
fn read_count(row: &Row<'_>) -> rusqlite::Result<Option<u32>> {
    let (ValueRef::Integer(greatest), ValueRef::Integer(crc)) = (row.get_ref(0)?, row.get_ref(1)?) else {
        return Ok(None);
    };
    Ok(count_of(greatest, crc))
}

/// Returns the greatest number that was given; `None` if it is damaged.
pub(super) fn count_of(greatest: i64, crc: i64) -> Option<u32> {
    let is_sound = crc == i64::from(count_checksum(greatest));
    u32::try_from(greatest).ok().filter(|_| is_sound)
}

/// Reads columns `id, meter, obis, crc`; `None` if the row is damaged.
pub(super) fn read_element(row: &Row<'_>) -> rusqlite::Result<Option<(u32, Element)>> {
    Ok(element_of(
        row.get(0)?,
        [row.get_ref(1)?, row.get_ref(2)?, row.get_ref(3)?],
    ))
}

/// Reads the columns behind an element's number; `None` if the row is damaged.
pub(super) fn element_of(id: i64, [meter, obis, crc]: [ValueRef<'_>; 3]) -> Option<(u32, Element)> {
    let parse = || {
        Some(Element {
            meter: meter.as_str().ok()?.parse().ok()?,
            obis: obis.as_str().ok()?.parse().ok()?,
        })
    };
    let is_sound = |element: &Element| crc == ValueRef::Integer(i64::from(element_checksum(id, element)));
    let number = u32::try_from(id)
        .ok()
        .filter(|id| (1..=LAST_ELEMENT).contains(id));
    number.zip(parse().filter(is_sound))
}

fn element_checksum(id: i64, element: &Element) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"E1");
    digest.update(&id.to_be_bytes());
    checksum::add_element(&mut digest, element);
    digest.finalize()
}

fn count_checksum(greatest: i64) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"N1");
    digest.update(&greatest.to_be_bytes());
    digest.finalize()
}
