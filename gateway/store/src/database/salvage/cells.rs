//! Rows in the pages of a damaged database: found without its trees, so that a page that leads to others costs nothing
//! but itself.
//!
//! Spec: SQLite, Database File Format, sections 1.6 (b-tree pages) and 2.1 (record format).

use std::io;
use std::ops::Range;

use rusqlite::types::ValueRef;

use super::source::{PAGE, Source, half, word};

/// The first bytes of pages with rows of a table, with entries of an index, and with what leads to either.
const TABLE_LEAF: u8 = 0x0d;
const TABLE_INTERIOR: u8 = 0x05;
const INDEX_LEAF: u8 = 0x0a;
const INDEX_INTERIOR: u8 = 0x02;

/// The greatest length of a row in bytes; that of a bundle, the longest there is, is 8 MiB and a little.
const MAX_PAYLOAD: usize = 9 << 20;

/// The greatest number of columns of a row that is ours: the key and four more.
const MAX_COLUMNS: usize = 5;

/// How many bytes of a row its page holds at most, and at least if it goes on elsewhere.
const TABLE_LOCAL: usize = 4_061;
const INDEX_LOCAL: usize = 1_002;
const LEAST_LOCAL: usize = 489;

/// What a page of the continued part of a row holds, behind the number of the next one.
const OVERFLOW: usize = PAGE - 4;

/// What can be read from a page.
#[derive(Debug)]
pub(super) enum Layout {
    /// Rows of a table.
    Rows(Vec<Cell>),
    /// Entries of an index; a table without rowid is one.
    Entries(Vec<Cell>),
    /// Nothing: it leads to other pages, continues a row, or is empty.
    Nothing,
    /// The page is not in order; there may be rows at any place of it.
    Wrecked,
}

/// A row where it stands in a page.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// The rowid; 0 for an entry of an index.
    pub(super) key: i64,
    /// The length of its record in bytes.
    payload: usize,
    /// The part of the record that is in the page.
    local: Range<usize>,
    /// The place behind the row.
    pub(super) end: usize,
}

/// Reads what a page says that it has.
pub(super) fn layout(page: &[u8]) -> Layout {
    let first = page.first().copied().unwrap_or(0);
    let header: usize = match first {
        TABLE_LEAF | INDEX_LEAF => 8,
        TABLE_INTERIOR | INDEX_INTERIOR => 12,
        // The number of the next page stands there, and no database of ours has so many.
        0 => return Layout::Nothing,
        _ => return Layout::Wrecked,
    };
    let count = half(page, 3);
    if header.saturating_add(count.saturating_mul(2)) > half(page, 5) {
        return Layout::Wrecked;
    }
    let places = (0..count).map(|index| half(page, header.saturating_add(index.saturating_mul(2))));
    let spans: Option<Vec<_>> = places
        .map(|place| Some((place, cell(page, place, first)?)))
        .collect();
    match (spans, first) {
        (Some(spans), _) if !is_accounted_for(page, &spans) => Layout::Wrecked,
        (None, _) => Layout::Wrecked,
        (Some(spans), TABLE_LEAF) => Layout::Rows(cells(spans)),
        (Some(spans), INDEX_LEAF | INDEX_INTERIOR) => Layout::Entries(cells(spans)),
        (Some(_), _) => Layout::Nothing,
    }
}

fn cells(spans: Vec<(usize, Cell)>) -> Vec<Cell> {
    spans.into_iter().map(|(_, cell)| cell).collect()
}

/// Returns whether cells and free room make up the page, without overlap.
fn is_accounted_for(page: &[u8], spans: &[(usize, Cell)]) -> bool {
    // The least room that a cell takes, and a piece of free room that is listed.
    const LEAST: usize = 4;
    let mut used: Vec<_> = spans
        .iter()
        .map(|(place, cell)| (*place, cell.end.max(place.saturating_add(LEAST))))
        .collect();
    let mut free = half(page, 1);
    // Each piece stands behind the one before, and a page has an end.
    while free != 0 {
        let (next, length) = (half(page, free), half(page, free.saturating_add(2)));
        if length < LEAST || (next != 0 && next <= free) {
            return false;
        }
        used.push((free, free.saturating_add(length)));
        free = next;
    }
    used.sort_unstable();
    let mut behind = half(page, 5);
    let mut holes = 0usize;
    for (from, to) in used {
        let Some(hole) = from.checked_sub(behind) else {
            return false;
        };
        holes = holes.saturating_add(hole);
        behind = to;
    }
    let Some(hole) = PAGE.checked_sub(behind) else {
        return false;
    };
    let fragments = page.get(7).copied().map_or(0, usize::from);
    holes.saturating_add(hole) == fragments
}

/// Returns the row of a table that may begin at a place of a page that is not in order.
pub(super) fn row_at(page: &[u8], place: usize) -> Option<Cell> {
    let cell = cell(page, place, TABLE_LEAF)?;
    let head = page.get(cell.local.clone())?;
    let (lengths, _) = shape(head)?;
    let length = lengths
        .iter()
        .try_fold(0usize, |sum, (_, length)| sum.checked_add(*length));
    let (header, _) = varint(head)?;
    let whole = usize::try_from(header).ok()?.checked_add(length?)?;
    (whole == cell.payload).then_some(cell)
}

/// Reads where the cell at a place begins and ends.
fn cell(page: &[u8], place: usize, kind: u8) -> Option<Cell> {
    let mut at = place;
    if matches!(kind, TABLE_INTERIOR | INDEX_INTERIOR) {
        at = at.checked_add(4)?;
    }
    let mut next = || {
        let (number, length) = varint(page.get(at..)?)?;
        at = at.checked_add(length)?;
        Some(number)
    };
    if kind == TABLE_INTERIOR {
        let key = next()?;
        return Some(Cell {
            key,
            payload: 0,
            local: at..at,
            end: at,
        });
    }
    let payload = usize::try_from(next()?)
        .ok()
        .filter(|length| *length <= MAX_PAYLOAD)?;
    let key = if kind == TABLE_LEAF { next()? } else { 0 };
    let most = if kind == TABLE_LEAF {
        TABLE_LOCAL
    } else {
        INDEX_LOCAL
    };
    let (local, link) = if payload <= most {
        (payload, 0)
    } else {
        let rest = payload.checked_sub(LEAST_LOCAL)?.checked_rem(OVERFLOW)?;
        let local = LEAST_LOCAL.checked_add(rest)?;
        (if local <= most { local } else { LEAST_LOCAL }, 4)
    };
    let local = at..at.checked_add(local)?;
    let end = local.end.checked_add(link)?;
    (end <= PAGE).then_some(Cell {
        key,
        payload,
        local,
        end,
    })
}

impl Cell {
    /// Reads the whole record; `None` if its continuation leads out of the file.
    pub(super) fn record(&self, page: &[u8], source: &Source) -> io::Result<Option<Vec<u8>>> {
        let mut record = page.get(self.local.clone()).unwrap_or_default().to_vec();
        let mut next = word(page, self.local.end);
        let mut buffer = vec![0; PAGE];
        // Each page brings the record nearer to its length, which is bounded.
        while record.len() < self.payload {
            if next == 0 || next > source.pages() {
                return Ok(None);
            }
            source.read(next, &mut buffer)?;
            next = word(&buffer, 0);
            let missing = self.payload.saturating_sub(record.len());
            record.extend(buffer.iter().skip(4).take(missing));
        }
        Ok(Some(record))
    }
}

/// Takes a record apart; `None` if it is none of ours.
pub(super) fn columns(record: &[u8]) -> Option<Vec<ValueRef<'_>>> {
    let (lengths, mut rest) = shape(record)?;
    let mut columns = Vec::with_capacity(lengths.len());
    for (kind, length) in lengths {
        let (bytes, behind) = rest.split_at_checked(length)?;
        columns.push(match kind {
            0 => ValueRef::Null,
            1..=6 => ValueRef::Integer(integer(bytes)),
            8 => ValueRef::Integer(0),
            9 => ValueRef::Integer(1),
            _ if kind & 1 == 0 => ValueRef::Blob(bytes),
            _ => ValueRef::Text(bytes),
        });
        rest = behind;
    }
    rest.is_empty().then_some(columns)
}

/// The kinds of a record's columns, as SQLite numbers them, and their lengths in bytes.
type Kinds = Vec<(i64, usize)>;

/// Reads the kinds of a record's columns, with their lengths in bytes, and returns what stands behind them.
fn shape(record: &[u8]) -> Option<(Kinds, &[u8])> {
    let (length, begin) = varint(record)?;
    let (header, rest) = record.split_at_checked(usize::try_from(length).ok()?)?;
    let mut kinds = header.get(begin..)?;
    let mut lengths = Vec::new();
    while !kinds.is_empty() {
        let (kind, taken) = varint(kinds)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 => 8,
            // 12 and 13 are a blob and a text without bytes, and so on; reals and what is reserved are none of ours.
            _ => usize::try_from(kind.checked_sub(12)?).ok()?.checked_div(2)?,
        };
        if lengths.len() >= MAX_COLUMNS {
            return None;
        }
        lengths.push((kind, length));
        kinds = kinds.get(taken..)?;
    }
    Some((lengths, rest))
}

/// Reads a signed number of up to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let start: u64 = if is_negative { u64::MAX } else { 0 };
    let number = bytes
        .iter()
        .fold(start, |number, byte| number.wrapping_shl(8) | u64::from(*byte));
    number.cast_signed()
}

/// Reads a number of variable length and returns it with its length: groups of 7 bits, the most significant first; a
/// ninth byte counts whole.
fn varint(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut number = 0u64;
    for (byte, length) in bytes.iter().zip(1..=9usize) {
        if length == 9 {
            return Some(((number.wrapping_shl(8) | u64::from(*byte)).cast_signed(), length));
        }
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number.cast_signed(), length));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_sqlite_writes_them() {
        // Spec: SQLite, Database File Format, section 1.6.
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((-1, 9)));
        assert_eq!(varint(&[0xff; 8]), None);
        assert_eq!(integer(&[0xff, 0xfe]), -2);
        assert_eq!(integer(&[0x01, 0x00, 0x00]), 65_536);
    }

    #[test]
    fn record_is_taken_apart() {
        let record = [6, 0, 1, 9, 16, 15, 0xfe, 7, 8, b'x'];
        let expected = [
            ValueRef::Null,
            ValueRef::Integer(-2),
            ValueRef::Integer(1),
            ValueRef::Blob(&[7, 8]),
            ValueRef::Text(b"x"),
        ];
        assert_eq!(columns(&record).unwrap(), expected);
        assert_eq!(columns(&record[..9]), None);
    }

    proptest! {
        #[test]
        fn any_page_is_read_without_harm(mut page in prop::collection::vec(any::<u8>(), PAGE), first: u8) {
            for kind in [first, TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR] {
                page[0] = kind;
                if let Layout::Rows(cells) | Layout::Entries(cells) = layout(&page) {
                    prop_assert!(cells.iter().all(|cell| cell.end <= PAGE));
                }
            }
            for place in 0..=PAGE {
                if let Some(cell) = row_at(&page, place) {
                    prop_assert!(cell.end <= PAGE);
                }
            }
            columns(&page);
        }
    }
}
