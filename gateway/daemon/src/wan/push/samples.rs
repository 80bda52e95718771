//! The values that delivery rules deliver or watch: those of their grids, held in memory as they are read.
//!
//! Meters are not asked for them: what metering shows of its last values is looked at whenever it changes. Nothing is decided
//! here; what is held leaves only as a grant permits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Aggregation, Element, Grant, Reading, Span, Timestamp};
use store::ScheduleKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::key_of;
use crate::card::Bundle;
use crate::metering::MeterView;
use crate::wan::exchange::Exchange;

/// How many elements are held for one rule: the grid's values of 20 meters of three phases.
const MAX_ELEMENTS: usize = 256;

/// How many values are held of one element: an hour of minutes, which is how long a schedule may be behind.
const MAX_POINTS: usize = 64;

/// The values of every rule that delivers the latest ones. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    held: Arc<Mutex<BTreeMap<ScheduleKey, Held>>>,
    arrived: Arc<Notify>,
}

/// The values of one rule, by their elements and times.
#[derive(Debug, Default)]
struct Held(BTreeMap<Element, BTreeMap<Timestamp, Reading>>);

/// Holds what metering shows, until the daemon stops.
pub(crate) async fn sample(exchange: Exchange, samples: Samples, stop: CancellationToken) {
    let mut meters = exchange.meters();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = meters.changed() => if changed.is_err() {
                // Metering has ended, and the daemon with it.
                stop.cancelled().await;
                return;
            }
        }
        let Ok((_, identity)) = exchange.serving() else {
            continue;
        };
        if let Some(bundle) = &identity.bundle {
            samples.take(bundle, &meters.borrow_and_update());
        }
    }
}

impl Samples {
    /// Waits until a value has come of an element that a rule watches.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn take(&self, bundle: &Bundle, meters: &[MeterView]) {
        let ruled: Vec<_> = bundle.grants().iter().filter_map(ruled).collect();
        let mut held = self.lock();
        let known: BTreeSet<_> = ruled.iter().map(|(grant, _)| key_of(grant)).collect();
        held.retain(|key, _| known.contains(key));
        let mut is_watched = false;
        for (grant, grid) in ruled {
            let of_rule = held.entry(key_of(grant)).or_default();
            for meter in meters {
                let readings = meter.readings().filter(|reading| {
                    grid.has_on_grid(reading.time)
                        && grant.covers(&reading.element)
                        && grant
                            .delivery
                            .as_deref()
                            .is_some_and(|rule| rule.delivers(reading.element.obis))
                });
                for reading in readings {
                    is_watched |= of_rule.add(reading) && super::bands::has_bands(grant);
                }
            }
        }
        if is_watched {
            self.arrived.notify_one();
        }
    }

    /// Returns what is held for the rule of a grant.
    pub(super) fn of(&self, key: &ScheduleKey) -> Vec<Reading> {
        let held = self.lock();
        let of_rule = held.get(key).into_iter();
        of_rule
            .flat_map(|held| held.0.values().flat_map(BTreeMap::values).cloned())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ScheduleKey, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Takes a value, unless it is there; the oldest of the element makes room. Returns whether it is new.
    fn add(&mut self, reading: Reading) -> bool {
        if self.0.len() >= MAX_ELEMENTS && !self.0.contains_key(&reading.element) {
            return false;
        }
        let points = self.0.entry(reading.element.clone()).or_default();
        if points.contains_key(&reading.time) {
            return false;
        }
        points.insert(reading.time, reading);
        if points.len() > MAX_POINTS {
            points.pop_first();
        }
        true
    }
}

/// Returns a grant whose rule delivers the latest values, with the grid of both.
fn ruled(grant: &Grant) -> Option<(&Grant, Span)> {
    let rule = grant.delivery.as_deref()?;
    let grid = grant.finest.common_multiple(rule.finest())?;
    (rule.aggregation() == Aggregation::Latest).then_some((grant, grid))
}

#[cfg(test)]
mod tests {
    use model::{Decimal, Quantity, Status, Unit};

    use super::*;

    fn reading(meter: usize, seconds: i64) -> Reading {
        Reading {
            element: Element {
                meter: format!("M{meter}").parse().unwrap(),
                obis: "1-0:32.7.0*255".parse().unwrap(),
            },
            time: Timestamp::from_unix_seconds(seconds).unwrap(),
            quantity: Quantity {
                value: Decimal::whole(230),
                unit: Unit::Volt,
            },
            status: Status::GOOD,
        }
    }

    #[test]
    fn values_are_held_once_and_bounded_by_points_and_elements() {
        let mut held = Held::default();
        assert!(held.add(reading(1, 60)) && !held.add(reading(1, 60)));
        for minute in 0..200 {
            held.add(reading(1, minute * 60));
        }
        let (_, points) = held.0.first_key_value().unwrap();
        assert_eq!(points.len(), MAX_POINTS);
        assert_eq!(points.last_key_value().unwrap().0.unix_seconds(), 199 * 60);
        for meter in 0..MAX_ELEMENTS * 2 {
            held.add(reading(meter, 0));
        }
        assert_eq!(held.0.len(), MAX_ELEMENTS);
    }
}
