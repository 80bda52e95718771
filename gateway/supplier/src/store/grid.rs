//! The grid of an element: which points should have a value and have none.

use std::collections::{BTreeMap, BTreeSet};

use model::{Aggregation, CardId, Element, GapReason, Span, Timestamp};
use sqlx::query;

use crate::store::database::{Turn, number};
use crate::store::error::StoreError;
use crate::store::views::{ElementKey, StoredElement, reason};

/// How often a missing point is asked for again at most: what a gateway does not have after that, it will not have later.
pub const MAX_TRIES: u32 = 3;

/// How many points of a grid are looked at, counted from the last one: four years of quarter hours.
const MAX_GRID_POINTS: u32 = 140_256;

/// Consecutive points of a grid that have no value, for one and the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRun {
    /// Under which key the store has the element.
    pub key: ElementKey,
    /// The gateway, by its card's GUID.
    pub guid: CardId,
    /// The meter and what it measures.
    pub element: Element,
    /// How each value is made of what was registered.
    pub aggregation: Aggregation,
    /// The distance between two points.
    pub step: Span,
    /// The first missing point.
    pub first: Timestamp,
    /// The last missing point.
    pub last: Timestamp,
    /// How many points.
    pub points: u32,
    /// Why, as the gateway says; without one it has said nothing, or was never asked.
    pub reason: Option<GapReason>,
    /// How often the points were asked for again.
    pub tries: u32,
}

/// Finds the missing points of an element on each of its grids.
pub(super) async fn missing(
    turn: &mut Turn<'_>,
    element: &StoredElement,
) -> Result<Vec<MissingRun>, StoreError> {
    let mut runs = Vec::new();
    for (step, first, last) in &element.grids {
        let most = step.seconds().saturating_mul(MAX_GRID_POINTS);
        let horizon = Span::from_seconds(most).map_or(*first, |most| last.saturating_sub(most));
        let first = (*first).max(step.grid_at_or_before(horizon));
        let present = present(turn, element.key, (first, *last)).await?;
        let known = known_gaps(turn, element.key, (first, *last)).await?;
        let mut time = first;
        let mut open: Option<MissingRun> = None;
        while time <= *last {
            let seconds = time.unix_seconds();
            if present.contains(&seconds) {
                runs.extend(open.take());
            } else {
                let (reason, tries) = known.get(&seconds).copied().unwrap_or((None, 0));
                match &mut open {
                    Some(run) if run.reason == reason && run.tries == tries => {
                        run.last = time;
                        run.points = run.points.saturating_add(1);
                    }
                    _ => {
                        runs.extend(open.take());
                        open = Some(MissingRun {
                            key: element.key,
                            guid: element.guid,
                            element: element.element.clone(),
                            aggregation: element.aggregation,
                            step: *step,
                            first: time,
                            last: time,
                            points: 1,
                            reason,
                            tries,
                        });
                    }
                }
            }
            time = time.saturating_add(*step);
        }
        runs.extend(open);
    }
    Ok(runs)
}

async fn present(
    turn: &mut Turn<'_>,
    key: ElementKey,
    (first, last): (Timestamp, Timestamp),
) -> Result<BTreeSet<i64>, StoreError> {
    let rows = query("SELECT time FROM readings WHERE element = $1 AND time BETWEEN $2 AND $3")
        .bind(key.0)
        .bind(first.unix_seconds())
        .bind(last.unix_seconds())
        .fetch_all(turn.connection())
        .await?;
    rows.iter().map(|row| number(row, 0)).collect()
}

async fn known_gaps(
    turn: &mut Turn<'_>,
    key: ElementKey,
    (first, last): (Timestamp, Timestamp),
) -> Result<BTreeMap<i64, (Option<GapReason>, u32)>, StoreError> {
    let rows = query("SELECT time, tries, reason FROM gaps WHERE element = $1 AND time BETWEEN $2 AND $3")
        .bind(key.0)
        .bind(first.unix_seconds())
        .bind(last.unix_seconds())
        .fetch_all(turn.connection())
        .await?;
    let gaps = rows.iter().map(|row| {
        let text: String = sqlx::Row::try_get(row, 2)?;
        let why = if text.is_empty() {
            None
        } else {
            Some(reason(&text)?)
        };
        let tries = u32::try_from(number(row, 1)?).unwrap_or(MAX_TRIES);
        Ok((number(row, 0)?, (why, tries)))
    });
    gaps.collect()
}

/// Notes that points were asked for again; the caller has begun a transaction.
pub(super) async fn note_tries(
    turn: &mut Turn<'_>,
    runs: &[MissingRun],
    tries: u32,
) -> Result<(), StoreError> {
    for run in runs {
        let mut time = run.first;
        for _ in 0..run.points {
            query(
                "INSERT INTO gaps (element, time, reason, tries)
                 SELECT $1, $2, '', $3 WHERE NOT EXISTS
                     (SELECT 1 FROM readings WHERE element = $1 AND time = $2)
                 ON CONFLICT (element, time) DO UPDATE SET tries = gaps.tries + excluded.tries",
            )
            .bind(run.key.0)
            .bind(time.unix_seconds())
            .bind(i64::from(tries))
            .execute(turn.connection())
            .await?;
            time = time.saturating_add(run.step);
        }
    }
    Ok(())
}
