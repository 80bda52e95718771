//! Days: which chunks a sealed day has, one row of the table `day`. So a chunk that is missing is noticed.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of the format, 1 |
//! | 1 | 1 if the list is complete; 0 if an earlier one was lost and this one lists what was left |
//! | number | how many chunks were reported as missing or damaged |
//! | number | how many parts follow |
//! | 4 | CRC-32C, big-endian, over `D1`, the row's key (8, big-endian) and all bytes before |
//!
//! | bytes of a part | what |
//! |---|---|
//! | 1 | its number; they rise |
//! | number | how many runs of elements follow |
//! | numbers | of each run: its first element, less the one behind the run before; how many elements there are in it |

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::bytes::{Reader, push};
use super::checksum::{self, split_sound};
use super::elements::Elements;
use super::head::{Tally, digest_of, digest_of_row};
use super::keys::{Day, LAST_ELEMENT, part_and_element};

const VERSION: u8 = 1;

/// The chunks of a day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// Whether every chunk that the day ever had is in the list.
    pub(super) is_complete: bool,
    /// The number of chunks that were reported as missing or damaged.
    pub(super) reported: u64,
    parts: BTreeMap<u8, BTreeSet<u32>>,
}

/// What is known of a day's chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// There is no row.
    Nothing,
    /// The row is damaged.
    Damaged,
    /// The list.
    Listed(Record),
}

impl Record {
    pub(super) fn add(&mut self, key: i64) {
        let (part, element) = part_and_element(key);
        self.parts.entry(part).or_default().insert(element);
    }

    pub(super) fn remove(&mut self, key: i64) {
        let (part, element) = part_and_element(key);
        if let Some(elements) = self.parts.get_mut(&part) {
            elements.remove(&element);
            if elements.is_empty() {
                self.parts.remove(&part);
            }
        }
    }

    /// Returns the chunks, by part and element.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u8, u32)> {
        let elements = |(part, elements): (&u8, &BTreeSet<u32>)| {
            let part = *part;
            elements.clone().into_iter().map(move |element| (part, element))
        };
        self.parts.iter().flat_map(elements)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the greatest part.
    pub(super) fn last_part(&self) -> Option<u8> {
        self.parts.keys().next_back().copied()
    }

    fn seal(&self, key: i64) -> Vec<u8> {
        let mut bytes = vec![VERSION, u8::from(self.is_complete)];
        push(&mut bytes, u128::from(self.reported));
        push_count(&mut bytes, self.parts.len());
        for (part, elements) in &self.parts {
            bytes.push(*part);
            let runs = runs(elements);
            push_count(&mut bytes, runs.len());
            let mut behind = 0u32;
            for (first, count) in runs {
                push(&mut bytes, u128::from(first.saturating_sub(behind)));
                push(&mut bytes, u128::from(count));
                behind = first.saturating_add(count);
            }
        }
        let sum = checksum_of(key, &bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn read(key: i64, bytes: &[u8]) -> Option<Self> {
        let bytes = split_sound(bytes, |content| checksum_of(key, content))?;
        let mut reader = Reader::new(bytes);
        let (version, is_complete) = (reader.byte()?, reader.byte()?);
        if version != VERSION || is_complete > 1 {
            return None;
        }
        let mut record = Self {
            is_complete: is_complete == 1,
            reported: reader.number()?.try_into().ok()?,
            parts: BTreeMap::new(),
        };
        let parts = reader
            .count()
            .filter(|count| *count <= usize::from(u8::MAX).saturating_add(1))?;
        for _ in 0..parts {
            let part = reader.byte()?;
            let elements = read_elements(&mut reader)?;
            if elements.is_empty() || record.parts.insert(part, elements).is_some() {
                return None;
            }
        }
        reader.is_at_end().then_some(record)
    }
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    push(bytes, u128::try_from(count).unwrap_or(u128::MAX));
}

/// Returns the elements as runs without holes: the first one, and how many there are.
fn runs(elements: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for element in elements {
        match runs.last_mut() {
            Some((first, count)) if first.checked_add(*count) == Some(*element) => {
                *count = count.saturating_add(1);
            }
            _ => runs.push((*element, 1)),
        }
    }
    runs
}

/// Takes the elements of a part; each is greater than the one before, and none is greater than there can be.
fn read_elements(reader: &mut Reader<'_>) -> Option<BTreeSet<u32>> {
    let mut elements = BTreeSet::new();
    let mut behind = 0u32;
    for _ in 0..reader.count()? {
        let first = behind.checked_add(u32::try_from(reader.number()?).ok()?)?;
        let count = u32::try_from(reader.number()?).ok().filter(|count| *count > 0)?;
        behind = first
            .checked_add(count)
            .filter(|behind| *behind <= LAST_ELEMENT.saturating_add(1))?;
        let length = elements.len().saturating_add(usize::try_from(count).ok()?);
        if length > Elements::MAX {
            return None;
        }
        elements.extend(first..behind);
    }
    Some(elements)
}

/// Returns what is known of a day's chunks.
pub(super) fn load(connection: &Connection, day: Day) -> rusqlite::Result<Known> {
    let read = |row: &Row<'_>| Ok(Record::read(row.get(0)?, super::points::content(row)?));
    let found = connection
        .prepare_cached("SELECT key, content FROM day WHERE key = ?1")?
        .query_row([day.number()], read)
        .optional()?;
    Ok(match found {
        None => Known::Nothing,
        Some(None) => Known::Damaged,
        Some(Some(record)) => Known::Listed(record),
    })
}

/// Returns whether the bytes are a list.
pub(super) fn is_sound(key: i64, bytes: &[u8]) -> bool {
    Record::read(key, bytes).is_some()
}

/// Returns a list to go on with: the one that is stored, or if that is lost, one of the chunks that are there.
pub(super) fn load_or_list(connection: &Connection, day: Day) -> rusqlite::Result<Record> {
    let known = load(connection, day)?;
    if let Known::Listed(record) = known {
        return Ok(record);
    }
    let mut record = list(connection, day)?;
    record.is_complete = known == Known::Nothing && record.is_empty();
    Ok(record)
}

/// Lists the chunks that are there.
pub(super) fn list(connection: &Connection, day: Day) -> rusqlite::Result<Record> {
    let mut record = Record {
        is_complete: true,
        ..Record::default()
    };
    let chunks = day.chunks();
    let mut statement = connection.prepare_cached("SELECT key FROM chunk WHERE key >= ?1 AND key < ?2")?;
    let mut rows = statement.query([chunks.start, chunks.end])?;
    while let Some(row) = rows.next()? {
        record.add(row.get(0)?);
    }
    Ok(record)
}

/// Stores a day's list in place of the earlier one; an empty one is removed.
pub(super) fn store(
    connection: &Connection,
    tally: &mut Tally,
    day: Day,
    record: &Record,
) -> rusqlite::Result<()> {
    let key = day.number();
    let earlier = connection
        .prepare_cached("SELECT key, content FROM day WHERE key = ?1")?
        .query_row([key], |row| digest_of_row(b'd', row))
        .optional()?;
    if let Some(earlier) = earlier {
        tally.remove(earlier);
    }
    if record.is_empty() {
        connection
            .prepare_cached("DELETE FROM day WHERE key = ?1")?
            .execute([key])?;
        return Ok(());
    }
    let content = record.seal(key);
    connection
        .prepare_cached("INSERT OR REPLACE INTO day (key, content) VALUES (?1, ?2)")?
        .execute(params![key, content])?;
    tally.add(digest_of(
        b'd',
        &[ValueRef::Integer(key), ValueRef::Blob(&content)],
    ));
    Ok(())
}

fn checksum_of(key: i64, content: &[u8]) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"D1");
    digest.update(&key.to_be_bytes());
    digest.update(content);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn record_has_the_bytes_that_are_written_down() {
        let mut record = Record {
            is_complete: true,
            reported: 5,
            ..Record::default()
        };
        let day = Day::of(86_400);
        for (part, element) in [(0, 1), (0, 2), (0, 3), (0, 300), (7, 2)] {
            record.add(day.chunk(part, element));
        }
        let bytes = record.seal(1);
        let expected = [1, 1, 5, 2, 0, 2, 1, 3, 0xa8, 0x02, 1, 7, 1, 2, 1];
        assert_eq!(bytes[..bytes.len() - 4], expected);
        assert_eq!(Record::read(1, &bytes), Some(record.clone()));
        assert_eq!(Record::read(2, &bytes), None);
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            assert_eq!(Record::read(1, &flipped), None, "{place}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_back(
            chunks in prop::collection::btree_set((any::<u8>(), 0u32..3_000), 0..200),
            is_complete: bool,
            reported: u64,
        ) {
            let mut record = Record { is_complete, reported, ..Record::default() };
            let day = Day::of(0);
            chunks.iter().for_each(|(part, element)| record.add(day.chunk(*part, *element)));
            prop_assert_eq!(Record::read(9, &record.seal(9)), Some(record.clone()));
            prop_assert_eq!(record.chunks().collect::<BTreeSet<_>>(), chunks.clone());
            chunks.iter().for_each(|(part, element)| record.remove(day.chunk(*part, *element)));
            prop_assert!(record.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(key: i64, mut bytes: Vec<u8>) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let sum = checksum_of(key, &bytes);
            bytes.extend_from_slice(&sum.to_be_bytes());
            let _record: Option<Record> = Record::read(key, &bytes);
        }
    }
}
