//! How an answer comes into the store.

use std::collections::BTreeMap;

use messages::content::Answer;
use model::{
    Decimal, Fingerprint, GapReason, Quantity, Query, Reading, Series, Span, Status, Timestamp, Unit,
};
use sha2::{Digest, Sha256};
use sqlx::query;

use crate::store::Kept;
use crate::store::database::{Engine, Turn, number};
use crate::store::error::StoreError;
use crate::store::views;

/// Keeps an answer; the caller has begun a transaction.
pub(super) async fn keep(
    turn: &mut Turn<'_>,
    answer: &Answer,
    signed: &[u8],
    rest: Option<&[Query]>,
) -> Result<Option<Kept>, StoreError> {
    let gateway = gateway(turn, answer).await?;
    if let Some(rest) = rest {
        write_rest(turn, gateway, rest).await?;
    }
    let Some(id) = write_answer(turn, gateway, answer, signed).await? else {
        return Ok(None);
    };
    let mut kept = Kept::default();
    for series in &answer.series {
        let more = keep_series(turn, gateway, id, series).await?;
        kept.add(more);
    }
    Ok(Some(kept))
}

/// Returns the key of the gateway; until the transaction ends, nobody else keeps anything of it.
async fn gateway(turn: &mut Turn<'_>, answer: &Answer) -> Result<i64, StoreError> {
    let guid = answer.gateway.to_string();
    query("INSERT INTO gateways (guid) VALUES ($1) ON CONFLICT (guid) DO NOTHING")
        .bind(guid.clone())
        .execute(turn.connection())
        .await?;
    let statement = match turn.engine {
        Engine::Sqlite => "SELECT id FROM gateways WHERE guid = $1",
        Engine::Postgres => "SELECT id FROM gateways WHERE guid = $1 FOR UPDATE",
    };
    let row = query(statement).bind(guid).fetch_one(turn.connection()).await?;
    number(&row, 0)
}

async fn write_answer(
    turn: &mut Turn<'_>,
    gateway: i64,
    answer: &Answer,
    signed: &[u8],
) -> Result<Option<i64>, StoreError> {
    let digest = Fingerprint::new(Sha256::digest(signed).into());
    let row = query(
        "INSERT INTO answers (gateway, message, request, time, digest, signed) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (gateway, message) DO NOTHING RETURNING id",
    )
    .bind(gateway)
    .bind(answer.id.to_string())
    .bind(answer.in_reply_to.to_string())
    .bind(answer.time.unix_seconds())
    .bind(digest.to_string())
    .bind(signed.to_vec())
    .fetch_optional(turn.connection())
    .await?;
    row.map(|row| number(&row, 0)).transpose()
}

async fn write_rest(turn: &mut Turn<'_>, gateway: i64, rest: &[Query]) -> Result<(), StoreError> {
    query("DELETE FROM rests WHERE gateway = $1")
        .bind(gateway)
        .execute(turn.connection())
        .await?;
    for (question, place) in rest.iter().zip(0_i64..) {
        query(
            "INSERT INTO rests (gateway, number, elements, begins, ends, step, aggregation)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(gateway)
        .bind(place)
        .bind(question.elements.to_string())
        .bind(question.period.from().unix_seconds())
        .bind(question.period.to().unix_seconds())
        .bind(i64::from(question.resolution.seconds()))
        .bind(question.aggregation.to_string())
        .execute(turn.connection())
        .await?;
    }
    Ok(())
}

/// One point of a series, which has a value or says why not.
struct Point {
    time: Timestamp,
    value: Option<Decimal>,
    status: Status,
    reason: Option<GapReason>,
}

fn points(series: &Series) -> Vec<Point> {
    let reasons: BTreeMap<u32, GapReason> = series.gaps.iter().copied().collect();
    let times = std::iter::successors(Some(series.start), |time| Some(time.saturating_add(series.step)));
    let columns = times.zip(&series.values).zip(&series.status).zip(0_u32..);
    columns
        .map(|(((time, value), status), index)| Point {
            time,
            value: *value,
            status: *status,
            reason: reasons.get(&index).copied(),
        })
        .collect()
}

async fn keep_series(
    turn: &mut Turn<'_>,
    gateway: i64,
    answer: i64,
    series: &Series,
) -> Result<Kept, StoreError> {
    let mut points = points(series);
    points.retain(|point| point.value.is_some() || point.reason.is_some());
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(Kept::default());
    };
    let (first, last) = (first.time, last.time);
    let element = element(turn, gateway, series).await?;
    widen_grid(turn, element, series.step, (first, last)).await?;
    let present = views::values(turn, element, (first, last)).await?;
    let mut kept = Kept::default();
    let (mut new, mut gaps) = (Vec::new(), Vec::new());
    for point in points {
        match (point.value, present.get(&point.time.unix_seconds())) {
            (Some(value), None) => new.push((point.time, value, point.status)),
            (Some(value), Some((other, unit, status)))
                if value.same_value(*other) && *unit == series.unit && *status == point.status =>
            {
                kept.repeated = kept.repeated.saturating_add(1);
            }
            (Some(value), Some(_)) => kept.conflicts.push(Reading {
                element: series.element.clone(),
                time: point.time,
                quantity: Quantity {
                    value,
                    unit: series.unit,
                },
                status: point.status,
            }),
            (None, Some(_)) => {}
            (None, None) => gaps.extend(point.reason.map(|reason| (point.time, reason))),
        }
    }
    kept.new = u64::try_from(new.len()).unwrap_or(u64::MAX);
    kept.gaps = u64::try_from(gaps.len()).unwrap_or(u64::MAX);
    for run in runs(&new, series.step) {
        write_readings(turn, element, answer, series, &run).await?;
    }
    write_gaps(turn, element, series.step, &gaps).await?;
    for conflict in &kept.conflicts {
        write_conflict(turn, element, answer, conflict).await?;
    }
    kept.filled = fill_gaps(turn, element, (first, last)).await?;
    Ok(kept)
}

async fn element(turn: &mut Turn<'_>, gateway: i64, series: &Series) -> Result<i64, StoreError> {
    let within = if series.aggregation.is_value() {
        0
    } else {
        series.step.seconds()
    };
    let bind = |statement| {
        query(statement)
            .bind(gateway)
            .bind(series.element.meter.to_string())
            .bind(series.element.obis.to_string())
            .bind(series.aggregation.to_string())
            .bind(i64::from(within))
    };
    bind(
        "INSERT INTO elements (gateway, meter, obis, aggregation, within) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (gateway, meter, obis, aggregation, within) DO NOTHING",
    )
    .execute(turn.connection())
    .await?;
    let row = bind(
        "SELECT id FROM elements
         WHERE gateway = $1 AND meter = $2 AND obis = $3 AND aggregation = $4 AND within = $5",
    )
    .fetch_one(turn.connection())
    .await?;
    number(&row, 0)
}

/// Has the grid of an element reach at least from the one point to the other.
async fn widen_grid(
    turn: &mut Turn<'_>,
    element: i64,
    step: Span,
    (first, last): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    query(
        "INSERT INTO grids (element, step, first, last) VALUES ($1, $2, $3, $4)
         ON CONFLICT (element, step) DO UPDATE SET
             first = CASE WHEN excluded.first < grids.first THEN excluded.first ELSE grids.first END,
             last = CASE WHEN excluded.last > grids.last THEN excluded.last ELSE grids.last END",
    )
    .bind(element)
    .bind(i64::from(step.seconds()))
    .bind(first.unix_seconds())
    .bind(last.unix_seconds())
    .execute(turn.connection())
    .await?;
    Ok(())
}

/// Consecutive points of one status; a point without a value is passed over.
struct Run {
    start: Timestamp,
    status: Status,
    values: Vec<Option<Decimal>>,
}

/// Gathers points, oldest first, into runs, each of which goes into the database with one statement.
fn runs(points: &[(Timestamp, Decimal, Status)], step: Span) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut next = None;
    for (time, value, status) in points {
        match runs.last_mut() {
            Some(run) if next == Some(*time) && run.status == *status => run.values.push(Some(*value)),
            _ => runs.push(Run {
                start: *time,
                status: *status,
                values: vec![Some(*value)],
            }),
        }
        next = Some(time.saturating_add(step));
    }
    runs
}

async fn write_readings(
    turn: &mut Turn<'_>,
    element: i64,
    answer: i64,
    series: &Series,
    run: &Run,
) -> Result<(), StoreError> {
    let statement = match turn.engine {
        Engine::Sqlite => {
            "INSERT INTO readings (element, time, value, unit, status, answer)
             SELECT $1, $2 + point.key * $3, point.value, $4, $5, $6 FROM json_each($7) AS point"
        }
        Engine::Postgres => {
            "INSERT INTO readings (element, time, value, unit, status, answer)
             SELECT $1, $2 + (point.place - 1) * $3, CAST(point.value AS NUMERIC), $4, $5, $6
             FROM json_array_elements_text(CAST($7 AS JSON)) WITH ORDINALITY AS point (value, place)"
        }
    };
    query(statement)
        .bind(element)
        .bind(run.start.unix_seconds())
        .bind(i64::from(series.step.seconds()))
        .bind(series.unit.to_string())
        .bind(i64::from(run.status.bits()))
        .bind(answer)
        .bind(array(&run.values)?)
        .execute(turn.connection())
        .await?;
    Ok(())
}

/// Writes gaps that nobody knew of, and the present reason of those that were known.
async fn write_gaps(
    turn: &mut Turn<'_>,
    element: i64,
    step: Span,
    gaps: &[(Timestamp, GapReason)],
) -> Result<(), StoreError> {
    let mut rest = gaps;
    while let Some((start, reason)) = rest.first() {
        let run = rest.iter().zip(0_u32..).take_while(|((time, other), index)| {
            let distance = i64::from(step.seconds()).saturating_mul(i64::from(*index));
            other == reason && time.seconds_since(*start) == distance
        });
        let length = run.count();
        let statement = match turn.engine {
            Engine::Sqlite => {
                "INSERT INTO gaps (element, time, reason, tries)
                 SELECT $1, $2 + point.key * $3, $4, 0 FROM json_each($5) AS point WHERE true
                 ON CONFLICT (element, time) DO UPDATE SET reason = excluded.reason"
            }
            Engine::Postgres => {
                "INSERT INTO gaps (element, time, reason, tries)
                 SELECT $1, $2 + (point.place - 1) * $3, $4, 0
                 FROM json_array_elements_text(CAST($5 AS JSON)) WITH ORDINALITY AS point (value, place)
                 ON CONFLICT (element, time) DO UPDATE SET reason = excluded.reason"
            }
        };
        query(statement)
            .bind(element)
            .bind(start.unix_seconds())
            .bind(i64::from(step.seconds()))
            .bind(reason.to_string())
            .bind(array(&vec![None; length])?)
            .execute(turn.connection())
            .await?;
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

fn array(values: &[Option<Decimal>]) -> Result<String, StoreError> {
    serde_json::to_string(values).map_err(|_| StoreError::Damaged { what: "value" })
}

/// Takes gaps away whose points have a value by now; returns how many.
async fn fill_gaps(
    turn: &mut Turn<'_>,
    element: i64,
    (first, last): (Timestamp, Timestamp),
) -> Result<u64, StoreError> {
    let done = query(
        "DELETE FROM gaps WHERE element = $1 AND time BETWEEN $2 AND $3 AND EXISTS
         (SELECT 1 FROM readings WHERE readings.element = gaps.element AND readings.time = gaps.time)",
    )
    .bind(element)
    .bind(first.unix_seconds())
    .bind(last.unix_seconds())
    .execute(turn.connection())
    .await?;
    Ok(done.rows_affected())
}

async fn write_conflict(
    turn: &mut Turn<'_>,
    element: i64,
    answer: i64,
    reading: &Reading,
) -> Result<(), StoreError> {
    let unit: Unit = reading.quantity.unit;
    query(
        "INSERT INTO conflicts (element, time, value, unit, status, answer) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (element, time, value, unit, status) DO NOTHING",
    )
    .bind(element)
    .bind(reading.time.unix_seconds())
    .bind(reading.quantity.value.to_string())
    .bind(unit.to_string())
    .bind(i64::from(reading.status.bits()))
    .bind(answer)
    .execute(turn.connection())
    .await?;
    Ok(())
}
