//! Version 1 had a row for every reading and gap; version 2 has one for every round.
//!
//! The bytes that a row's checksum covered, numbers big-endian, `text` its length in one byte and its
//! bytes, `element` the meter's identity as text and the six groups of the OBIS code:
//!
//! | row | bytes |
//! |---|---|
//! | reading | `R1`, time (8), element, mantissa (16), scaler (1), unit (text), status (4) |
//! | gap | `G1`, time (8), element, reason (text) |
//!
//! A reading whose row is damaged stays one that is lost: its element and time are still reported. So does
//! what belongs to an element whose row is damaged.

use std::collections::BTreeMap;

use model::{Decimal, Element, Gap, GapReason, Quantity, Reading, Status, Timestamp, Unit};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Transaction, params};

use super::super::checksum;
use super::super::elements::{read_element, store_count};
use super::super::keys::{LAST_ELEMENT, round_key};
use super::super::part::Part;
use super::super::point::{Kind, Point};

/// The rows of one point stand together, the reading before the gap.
const ROWS: &str = "SELECT time, element, 0 AS is_gap, mantissa, scaler, unit, status, crc FROM reading \
    UNION ALL SELECT time, element, 1, reason, NULL, NULL, NULL, crc FROM gap \
    ORDER BY time, element, is_gap";

/// Turns the rows of readings and gaps into rounds, and drops their tables.
pub(super) fn carry_over(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let names = element_names(transaction)?;
    let mut round: Vec<Point> = Vec::new();
    let mut statement = transaction.prepare(ROWS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let time: i64 = row.get(0)?;
        // A number or time that no gateway ever gave comes from damage; nothing can be known of the row.
        let (Ok(element), Ok(at)) = (
            u32::try_from(row.get::<_, i64>(1)?),
            Timestamp::from_unix_seconds(time),
        ) else {
            continue;
        };
        if round.last().is_some_and(|last| last.time != time) {
            insert(transaction, &std::mem::take(&mut round))?;
        }
        if element == 0 || round.last().is_some_and(|last| last.element == element) {
            continue;
        }
        round.push(point(row, at, element, names.get(&element))?);
    }
    insert(transaction, &round)?;
    drop(rows);
    drop(statement);
    transaction.execute_batch("DROP TABLE reading; DROP TABLE gap;")
}

/// Returns the elements whose rows are sound, and stores the greatest number.
fn element_names(connection: &Connection) -> rusqlite::Result<BTreeMap<u32, Element>> {
    let mut names = BTreeMap::new();
    let mut statement = connection.prepare("SELECT id, meter, obis, crc FROM element")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        names.extend(read_element(row)?);
    }
    let greatest: Option<i64> = connection.query_row(
        "SELECT max(id) FROM element WHERE id BETWEEN 1 AND ?1",
        [LAST_ELEMENT],
        |row| row.get(0),
    )?;
    if let Some(greatest) = greatest {
        store_count(connection, greatest)?;
    }
    Ok(names)
}

fn insert(connection: &Connection, round: &[Point]) -> rusqlite::Result<()> {
    for (part, number) in Part::split(round).iter().zip(0u16..) {
        let time = round.first().map_or(0, |point| point.time);
        let key = round_key(time, number);
        connection
            .prepare_cached("INSERT INTO round (key, content) VALUES (?1, ?2)")?
            .execute(params![key, part.seal(key, None)])?;
    }
    Ok(())
}

fn point(row: &Row<'_>, time: Timestamp, element: u32, name: Option<&Element>) -> rusqlite::Result<Point> {
    let is_gap: bool = row.get(2)?;
    let known = match name {
        Some(name) if is_gap => read_gap(row, time, name)?.map(|gap| Point::of_gap(&gap, element)),
        Some(name) => read_reading(row, time, name)?.map(|reading| Point::of_reading(&reading, element)),
        None => None,
    };
    Ok(known.unwrap_or_else(|| Point {
        time: time.unix_seconds(),
        element,
        kind: Kind::Lost,
        mantissa: 0,
    }))
}

/// Reads columns `mantissa, scaler, unit, status, crc` from the fourth one on; `None` if the row is damaged.
fn read_reading(row: &Row<'_>, time: Timestamp, element: &Element) -> rusqlite::Result<Option<Reading>> {
    let (mantissa, scaler) = (row.get_ref(3)?, row.get_ref(4)?);
    let (unit, status, crc) = (row.get_ref(5)?, row.get_ref(6)?, row.get_ref(7)?);
    let parse = || {
        let mantissa = match mantissa {
            ValueRef::Integer(mantissa) => i128::from(mantissa),
            other => i128::from_be_bytes(other.as_blob().ok()?.try_into().ok()?),
        };
        let scaler = i8::try_from(scaler.as_i64().ok()?).ok()?;
        let unit: Unit = unit.as_str().ok()?.parse().ok()?;
        Some(Reading {
            element: element.clone(),
            time,
            quantity: Quantity {
                value: Decimal::new(mantissa, scaler)?,
                unit,
            },
            status: Status::from_bits(u32::try_from(status.as_i64().ok()?).ok()?),
        })
    };
    let is_sound = |reading: &Reading| crc == ValueRef::Integer(i64::from(reading_checksum(reading)));
    Ok(parse().filter(is_sound))
}

/// Reads columns `reason` and `crc`, the fourth and the last; `None` if the row is damaged.
fn read_gap(row: &Row<'_>, time: Timestamp, element: &Element) -> rusqlite::Result<Option<Gap>> {
    let (reason, crc) = (row.get_ref(3)?, row.get_ref(7)?);
    let parse = || {
        let reason = reason.as_str().ok()?;
        let mut reasons = GapReason::ALL.into_iter();
        Some(Gap {
            element: element.clone(),
            time,
            reason: reasons.find(|known| known.to_string() == reason)?,
        })
    };
    let is_sound = |gap: &Gap| crc == ValueRef::Integer(i64::from(gap_checksum(gap)));
    Ok(parse().filter(is_sound))
}

fn reading_checksum(reading: &Reading) -> u32 {
    let value = reading.quantity.value;
    let mut digest = checksum::begin();
    digest.update(b"R1");
    digest.update(&reading.time.unix_seconds().to_be_bytes());
    checksum::add_element(&mut digest, &reading.element);
    digest.update(&value.mantissa().to_be_bytes());
    digest.update(&value.scaler().to_be_bytes());
    checksum::add_text(&mut digest, reading.quantity.unit.symbol());
    digest.update(&reading.status.bits().to_be_bytes());
    digest.finalize()
}

fn gap_checksum(gap: &Gap) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"G1");
    digest.update(&gap.time.unix_seconds().to_be_bytes());
    checksum::add_element(&mut digest, &gap.element);
    checksum::add_text(&mut digest, &gap.reason.to_string());
    digest.finalize()
}
