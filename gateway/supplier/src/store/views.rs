//! What is read from the store.

use std::collections::BTreeMap;

use messages::content::MessageId;
use model::{
    Aggregation, CardId, Decimal, Element, Fingerprint, GapReason, Period, Quantity, Query, Span, Status,
    Timestamp, Unit,
};
use sqlx::any::AnyRow;
use sqlx::{Row, query};

use crate::store::database::{Turn, number, word};
use crate::store::error::StoreError;

/// Under which key the store has an element of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey(pub(super) i64);

/// An element of a gateway that has readings, as they were registered or as something was made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredElement {
    /// Under which key the store has it.
    pub key: ElementKey,
    /// The gateway, by its card's GUID.
    pub guid: CardId,
    /// The meter and what it measures.
    pub element: Element,
    /// How each value is made of what was registered.
    pub aggregation: Aggregation,
    /// Its grids: each distance between two values that answers had, with the first and the last known point.
    pub grids: Vec<(Span, Timestamp, Timestamp)>,
}

impl StoredElement {
    /// Returns the length of the steps that its values are made of, unless they were registered themselves.
    #[must_use]
    pub fn within(&self) -> Option<Span> {
        let (step, ..) = self.grids.first()?;
        (!self.aggregation.is_value()).then_some(*step)
    }

    /// Returns the first and the last point of which something is known.
    #[must_use]
    pub fn known(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.grids.iter().map(|(_, first, _)| *first).min()?;
        let last = self.grids.iter().map(|(_, _, last)| *last).max()?;
        Some((first, last))
    }
}

/// Which signed answer proves a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The answer's identity.
    pub message: MessageId,
    /// The SHA-256 of the signed message, as it is in the store.
    pub digest: Fingerprint,
}

/// A reading, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReading {
    /// The point of the grid.
    pub time: Timestamp,
    /// The meter's own digits and their unit.
    pub quantity: Quantity,
    /// What is to be known about the value.
    pub status: Status,
    /// The answer that it came with first.
    pub proof: Proof,
}

/// A point without a value, and the gateway's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredGap {
    /// The point of the grid.
    pub time: Timestamp,
    /// Why it has none.
    pub reason: GapReason,
}

/// A value that contradicts a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConflict {
    /// The point of the grid.
    pub time: Timestamp,
    /// The value that came later.
    pub quantity: Quantity,
    /// The answer that it came with.
    pub proof: Proof,
}

/// Returns the values that a series may meet, by their times.
pub(super) async fn values(
    turn: &mut Turn<'_>,
    element: i64,
    (first, last): (Timestamp, Timestamp),
) -> Result<BTreeMap<i64, (Decimal, Unit, Status)>, StoreError> {
    let rows = query(
        "SELECT time, CAST(value AS TEXT), unit, status FROM readings
         WHERE element = $1 AND time BETWEEN $2 AND $3",
    )
    .bind(element)
    .bind(first.unix_seconds())
    .bind(last.unix_seconds())
    .fetch_all(turn.connection())
    .await?;
    let values = rows.iter().map(|row| {
        let value = (word(row, 1, "value")?, word(row, 2, "unit")?, status(row, 3)?);
        Ok((number(row, 0)?, value))
    });
    values.collect()
}

pub(super) async fn rest(turn: &mut Turn<'_>, guid: CardId) -> Result<Vec<Query>, StoreError> {
    let rows = query(
        "SELECT elements, begins, ends, step, aggregation FROM rests JOIN gateways ON gateways.id = rests.gateway
         WHERE guid = $1 ORDER BY number",
    )
    .bind(guid.to_string())
    .fetch_all(turn.connection())
    .await?;
    let queries = rows.iter().map(|row| {
        let period = Period::new(time(row, 1)?, time(row, 2)?);
        Ok(Query {
            elements: word(row, 0, "pattern of elements")?,
            period: period.map_err(|_| StoreError::Damaged { what: "period" })?,
            resolution: span(row, 3)?,
            aggregation: word(row, 4, "aggregation")?,
        })
    });
    queries.collect()
}

pub(super) async fn elements(
    turn: &mut Turn<'_>,
    guid: Option<CardId>,
) -> Result<Vec<StoredElement>, StoreError> {
    let all = "SELECT elements.id, guid, meter, obis, step, first, last, aggregation FROM grids
         JOIN elements ON elements.id = grids.element JOIN gateways ON gateways.id = elements.gateway
         WHERE ($1 = '' OR guid = $1) ORDER BY guid, meter, obis, aggregation, within, step";
    let rows = query(all)
        .bind(guid.map(|guid| guid.to_string()).unwrap_or_default())
        .fetch_all(turn.connection())
        .await?;
    let mut elements: Vec<StoredElement> = Vec::new();
    for row in &rows {
        let key = ElementKey(number(row, 0)?);
        let grid = (span(row, 4)?, time(row, 5)?, time(row, 6)?);
        match elements.last_mut() {
            Some(last) if last.key == key => last.grids.push(grid),
            _ => elements.push(StoredElement {
                key,
                guid: word(row, 1, "GUID")?,
                element: Element {
                    meter: word(row, 2, "meter")?,
                    obis: word(row, 3, "OBIS code")?,
                },
                aggregation: word(row, 7, "aggregation")?,
                grids: vec![grid],
            }),
        }
    }
    Ok(elements)
}

pub(super) async fn readings(
    turn: &mut Turn<'_>,
    element: ElementKey,
    from: Timestamp,
    limit: u32,
) -> Result<Vec<StoredReading>, StoreError> {
    let rows = query(
        "SELECT readings.time, CAST(value AS TEXT), unit, status, message, digest FROM readings
         JOIN answers ON answers.id = readings.answer
         WHERE element = $1 AND readings.time >= $2 ORDER BY readings.time LIMIT $3",
    )
    .bind(element.0)
    .bind(from.unix_seconds())
    .bind(i64::from(limit))
    .fetch_all(turn.connection())
    .await?;
    let readings = rows.iter().map(|row| {
        Ok(StoredReading {
            time: time(row, 0)?,
            quantity: quantity(row)?,
            status: status(row, 3)?,
            proof: proof(row, 4)?,
        })
    });
    readings.collect()
}

pub(super) async fn gaps(
    turn: &mut Turn<'_>,
    element: ElementKey,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<StoredGap>, StoreError> {
    let rows = query(
        "SELECT time, reason FROM gaps
         WHERE element = $1 AND time BETWEEN $2 AND $3 AND reason <> '' ORDER BY time",
    )
    .bind(element.0)
    .bind(from.unix_seconds())
    .bind(to.unix_seconds())
    .fetch_all(turn.connection())
    .await?;
    let gaps = rows.iter().map(|row| {
        Ok(StoredGap {
            time: time(row, 0)?,
            reason: reason(&row.try_get::<String, _>(1)?)?,
        })
    });
    gaps.collect()
}

pub(super) async fn conflicts(
    turn: &mut Turn<'_>,
    element: ElementKey,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<StoredConflict>, StoreError> {
    let rows = query(
        "SELECT conflicts.time, value, unit, message, digest FROM conflicts
         JOIN answers ON answers.id = conflicts.answer
         WHERE element = $1 AND conflicts.time BETWEEN $2 AND $3 ORDER BY conflicts.time, conflicts.value",
    )
    .bind(element.0)
    .bind(from.unix_seconds())
    .bind(to.unix_seconds())
    .fetch_all(turn.connection())
    .await?;
    let conflicts = rows.iter().map(|row| {
        Ok(StoredConflict {
            time: time(row, 0)?,
            quantity: quantity(row)?,
            proof: proof(row, 3)?,
        })
    });
    conflicts.collect()
}

pub(super) async fn signed(
    turn: &mut Turn<'_>,
    guid: CardId,
    message: MessageId,
) -> Result<Vec<u8>, StoreError> {
    let row = query(
        "SELECT signed FROM answers JOIN gateways ON gateways.id = answers.gateway
         WHERE guid = $1 AND message = $2",
    )
    .bind(guid.to_string())
    .bind(message.to_string())
    .fetch_optional(turn.connection())
    .await?;
    let row = row.ok_or(StoreError::NoAnswer { guid, message })?;
    Ok(row.try_get(0)?)
}

/// Reads the reason of a gap.
pub(super) fn reason(text: &str) -> Result<GapReason, StoreError> {
    let damaged = StoreError::Damaged { what: "reason" };
    GapReason::ALL
        .into_iter()
        .find(|reason| reason.to_string() == text)
        .ok_or(damaged)
}

pub(super) fn time(row: &AnyRow, column: usize) -> Result<Timestamp, StoreError> {
    let seconds = number(row, column)?;
    Timestamp::from_unix_seconds(seconds).map_err(|_| StoreError::Damaged { what: "time" })
}

pub(super) fn span(row: &AnyRow, column: usize) -> Result<Span, StoreError> {
    let seconds = u32::try_from(number(row, column)?).ok();
    let span = seconds.and_then(Span::from_seconds);
    span.ok_or(StoreError::Damaged { what: "span" })
}

fn status(row: &AnyRow, column: usize) -> Result<Status, StoreError> {
    let bits = u32::try_from(number(row, column)?);
    bits.map(Status::from_bits)
        .map_err(|_| StoreError::Damaged { what: "status" })
}

/// Reads the second and the third column.
fn quantity(row: &AnyRow) -> Result<Quantity, StoreError> {
    Ok(Quantity {
        value: word(row, 1, "value")?,
        unit: word(row, 2, "unit")?,
    })
}

/// Reads a column and the one behind it.
fn proof(row: &AnyRow, column: usize) -> Result<Proof, StoreError> {
    Ok(Proof {
        message: word(row, column, "message's identity")?,
        digest: word(row, column.saturating_add(1), "digest")?,
    })
}
