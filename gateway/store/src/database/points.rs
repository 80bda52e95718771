//! Points as they are found: in rounds and in chunks, by time and element.

use std::collections::{BTreeMap, BTreeSet};

use model::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::elements::Elements;
use super::keys::{Day, part_and_element, part_of_round, round_key};
use super::point::Point;
use super::{chunk, part};

/// The number of points of rounds that are searched for the latest readings at the start: six days of 200
/// elements that were not sealed.
const LATEST_POINTS: usize = 131_072;

/// The number of chunks that are searched for the latest readings at the start: one of each element that
/// there can be.
const LATEST_CHUNKS: usize = 16_384;

pub(super) const ROUNDS: &str = "SELECT key, content FROM round WHERE key >= ?1 AND key < ?2 ORDER BY key";

pub(super) const CHUNKS: &str = "SELECT key, content FROM chunk WHERE key >= ?1 AND key < ?2 ORDER BY key";

const CHUNK: &str = "SELECT key, content FROM chunk WHERE key = ?1";

/// Returns the bytes of column `content`; nothing if damage has made it something else.
pub(super) fn content<'a>(row: &'a Row<'_>) -> rusqlite::Result<&'a [u8]> {
    Ok(match row.get_ref(1)? {
        ValueRef::Blob(content) => content,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => &[],
    })
}

/// Returns what is stored at one time for some elements, each in the form that counts.
pub(super) fn at(
    connection: &Connection,
    elements: &Elements,
    time: i64,
    wanted: &BTreeSet<u32>,
) -> rusqlite::Result<BTreeMap<u32, Point>> {
    let mut found = BTreeMap::new();
    let day = Day::of(time);
    for part in chunk_parts(connection, day)? {
        for id in wanted {
            let points = chunk_at(connection, elements, day.chunk(part, *id))?;
            let points = points.unwrap_or_default().into_iter();
            points
                .filter(|point| point.time == time)
                .for_each(|point| prefer(&mut found, point));
        }
    }
    let mut statement = connection.prepare_cached(ROUNDS)?;
    let mut rows = statement.query([round_key(time, 0), round_key(time.saturating_add(1), 0)])?;
    while let Some(row) = rows.next()? {
        let points = part::read(row.get(0)?, content(row)?).unwrap_or_default();
        let points = points.into_iter().filter(|point| wanted.contains(&point.element));
        points.for_each(|point| prefer(&mut found, point));
    }
    Ok(found)
}

/// Takes up a point unless there is one that counts more, or as much and came first.
pub(super) fn prefer(found: &mut BTreeMap<u32, Point>, point: Point) {
    let known = found.entry(point.element).or_insert(point);
    if point.kind.rank() < known.kind.rank() {
        *known = point;
    }
}

/// Returns the points of the chunk with this key, `None` if there is none or it is damaged.
fn chunk_at(connection: &Connection, elements: &Elements, key: i64) -> rusqlite::Result<Option<Vec<Point>>> {
    let (_, id) = part_and_element(key);
    let Some(element) = elements.name(id) else {
        return Ok(None);
    };
    let read = |row: &Row<'_>| Ok(chunk::read(key, element, content(row)?));
    let found = connection.prepare_cached(CHUNK)?.query_row([key], read);
    Ok(found.optional()?.flatten())
}

/// Returns the parts of chunks that a day has, at most 256.
pub(super) fn chunk_parts(connection: &Connection, day: Day) -> rusqlite::Result<BTreeSet<u8>> {
    let mut parts = BTreeSet::new();
    let mut statement =
        connection.prepare_cached("SELECT min(key) FROM chunk WHERE key >= ?1 AND key < ?2")?;
    let mut from = day.chunks().start;
    // Each key that is found lies in a part behind the one before.
    for _ in 0..=u8::MAX {
        let key: Option<i64> = statement.query_row([from, day.chunks().end], |row| row.get(0))?;
        let Some(key) = key else { break };
        let (part, _) = part_and_element(key);
        parts.insert(part);
        from = day.chunk_part(part).end;
    }
    Ok(parts)
}

/// Returns the number of the next part of the round at this time.
pub(super) fn next_part(connection: &Connection, time: i64) -> rusqlite::Result<u16> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(key) FROM round WHERE key >= ?1 AND key < ?2")?
        .query_row(
            [round_key(time, 0), round_key(time.saturating_add(1), 0)],
            |row| row.get(0),
        )?;
    Ok(last.map_or(0, |key| part_of_round(key).saturating_add(1)))
}

/// Returns the first day, from the given one on, for which anything is stored, or should be.
pub(super) fn next_day(connection: &Connection, from: Day) -> rusqlite::Result<Option<Day>> {
    let chunk: Option<i64> = connection
        .prepare_cached("SELECT min(key) FROM chunk WHERE key >= ?1")?
        .query_row([from.chunks().start], |row| row.get(0))?;
    let round: Option<i64> = connection
        .prepare_cached("SELECT min(key) FROM round WHERE key >= ?1")?
        .query_row([from.rounds().start], |row| row.get(0))?;
    let listed: Option<i64> = connection
        .prepare_cached("SELECT min(key) FROM day WHERE key >= ?1")?
        .query_row([from.number()], |row| row.get(0))?;
    let days = [
        chunk.map(Day::of_chunk),
        round.map(Day::of_round),
        listed.map(Day::with_number),
    ];
    Ok(days.into_iter().flatten().min())
}

/// Finds the time of the latest sound reading of each element.
pub(super) fn load_latest(
    connection: &Connection,
    elements: &Elements,
) -> rusqlite::Result<BTreeMap<u32, Timestamp>> {
    let mut latest = latest_of_rounds(connection, elements)?;
    for (id, time) in latest_of_chunks(connection, elements)? {
        let known = latest.entry(id).or_insert(time);
        *known = time.max(*known);
    }
    Ok(latest)
}

fn latest_of_rounds(
    connection: &Connection,
    elements: &Elements,
) -> rusqlite::Result<BTreeMap<u32, Timestamp>> {
    let mut latest = BTreeMap::new();
    let mut searched = 0usize;
    let mut statement = connection.prepare("SELECT key, content FROM round ORDER BY key DESC")?;
    let mut rows = statement.query([])?;
    while latest.len() < elements.count()
        && searched < LATEST_POINTS
        && let Some(row) = rows.next()?
    {
        let points = part::read(row.get(0)?, content(row)?).unwrap_or_default();
        // A damaged part counts as one point, so that the search ends.
        searched = searched.saturating_add(points.len().max(1));
        for point in points {
            if let (Some(element), Some(time)) = (elements.name(point.element), point.timestamp())
                && point.reading(element).is_some()
            {
                latest.entry(point.element).or_insert(time);
            }
        }
    }
    Ok(latest)
}

fn latest_of_chunks(
    connection: &Connection,
    elements: &Elements,
) -> rusqlite::Result<BTreeMap<u32, Timestamp>> {
    let mut latest = BTreeMap::new();
    let mut searched = 0usize;
    let mut statement = connection.prepare("SELECT key, content FROM chunk ORDER BY key DESC")?;
    let mut rows = statement.query([])?;
    while latest.len() < elements.count()
        && searched < LATEST_CHUNKS
        && let Some(row) = rows.next()?
    {
        searched = searched.saturating_add(1);
        let key = row.get(0)?;
        let (_, id) = part_and_element(key);
        let Some(element) = elements.name(id).filter(|_| !latest.contains_key(&id)) else {
            continue;
        };
        let points = chunk::read(key, element, content(row)?).unwrap_or_default();
        let last = points.iter().rev().find(|point| point.reading(element).is_some());
        latest.extend(last.and_then(|point| Some((id, point.timestamp()?))));
    }
    Ok(latest)
}
