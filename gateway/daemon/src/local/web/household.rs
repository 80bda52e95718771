//! What somebody's own meters have measured: the last value of each element, and today against the usual.

use std::collections::BTreeMap;

use model::{Decimal, Element, Medium, MeterId, Quantity, Reading, Timestamp};
use store::{Database, DatabaseError};

use super::history::{Point, is_register, mean, read_point};
use super::roster::Own;
use super::zone::Zone;
use crate::metering::MeterView;

/// The days before today that the usual is made of.
const USUAL_DAYS: i32 = 7;
/// Group F of an OBIS code that names no billing period of the past (IEC 62056-61).
const PRESENT: u8 = 255;
/// After how many registration periods without a value it is stale.
const STALE_PERIODS: i64 = 2;

/// The last value of an element.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// The meter's name in the configuration, or its identity.
    pub(super) name: String,
    pub(super) medium: Medium,
    /// The value, be it registered or read for display.
    pub(super) last: Reading,
    /// The last value that was registered.
    pub(super) registered: Option<Reading>,
    pub(super) is_stale: bool,
    /// Whether its meter is not read any more: every configured one is known, and this is none of them.
    pub(super) is_retired: bool,
    /// Why the meter gave nothing the last time, if it did not.
    pub(super) error: Option<String>,
}

impl Measured {
    /// Returns whether differences of it are a consumption.
    pub(super) const fn is_register(&self) -> bool {
        is_register(self.last.quantity.unit, self.medium)
    }

    /// Returns whether it is what a household asks for first: the whole import or export, the energy, the volume; no stage of
    /// a tariff, no phase, and no billing period of the past.
    pub(super) const fn is_main_register(&self) -> bool {
        let [medium, _, quantity, kind, stage, period] = self.last.element.obis.groups();
        let is_main = matches!(
            (medium, quantity, kind, stage),
            (1, 1 | 2, 8, 0) | (4 | 5 | 6 | 8 | 9, 1, 0, 0) | (7, 3, 0, 0)
        );
        is_main && self.is_register() && period == PRESENT
    }
}

/// Returns the last value of each element of somebody's own meters.
pub(super) fn measured(
    database: &Database,
    meters: &[MeterView],
    (own, period): (&Own, model::Span),
    now: Timestamp,
) -> Result<Vec<Measured>, DatabaseError> {
    let mut found: BTreeMap<Element, (Reading, Option<Reading>)> = BTreeMap::new();
    for reading in database.latest()?.readings {
        found.insert(reading.element.clone(), (reading.clone(), Some(reading)));
    }
    for reading in meters.iter().flat_map(MeterView::readings) {
        let known = found.entry(reading.element.clone());
        let (last, _) = known.or_insert_with(|| (reading.clone(), None));
        if reading.time >= last.time {
            *last = reading;
        }
    }
    let limit = i64::from(period.seconds()).saturating_mul(STALE_PERIODS);
    let all_known = meters.iter().all(|meter| meter.id.is_some());
    let own = found
        .into_values()
        .filter(|(last, _)| own.measures(&last.element));
    let mut measured: Vec<_> = own
        .map(|(last, registered)| {
            let meter = view_of(meters, &last.element.meter);
            let is_retired = meter.is_none() && all_known && !meters.is_empty();
            Measured {
                name: meter.map_or_else(|| last.element.meter.to_string(), |meter| meter.name.clone()),
                medium: Medium::of(last.element.obis),
                is_stale: !is_retired && now.seconds_since(last.time) > limit,
                is_retired,
                error: meter.and_then(|meter| meter.error.clone()),
                last,
                registered,
            }
        })
        .collect();
    measured.sort_by(|one, two| {
        let key = |one: &Measured| (one.medium, one.name.clone(), one.last.element.clone());
        key(one).cmp(&key(two))
    });
    Ok(measured)
}

/// Finds what is known of a meter.
pub(super) fn view_of<'a>(meters: &'a [MeterView], id: &MeterId) -> Option<&'a MeterView> {
    meters.iter().find(|meter| meter.id.as_ref() == Some(id))
}

/// Returns the meters that have not answered since the start, and why: nobody knows yet whose they are, so that they are told
/// to a household whose meters are all there are.
pub(super) fn silent<'a>(meters: &'a [MeterView], own: &Own) -> Vec<&'a MeterView> {
    let unknown = |meter: &&MeterView| meter.id.is_none() && meter.error.is_some();
    match own {
        Own::All => meters.iter().filter(unknown).collect(),
        Own::Meters(_) => Vec::new(),
    }
}

/// What was consumed today, and what is usual up to this time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Today {
    pub(super) so_far: Option<Quantity>,
    pub(super) usual: Option<Quantity>,
}

/// Returns what was consumed today, and what is usual: the mean of the days before, as far as their values are there.
pub(super) fn today(
    database: &Database,
    zone: &Zone,
    registered: &Reading,
    now: Timestamp,
) -> Result<Today, DatabaseError> {
    let (day, clock) = (zone.day(now), zone.wall_clock(registered.time));
    if clock.date() != day {
        return Ok(Today::default());
    }
    let element = &registered.element;
    let unit = registered.quantity.unit;
    let register = |time: Option<Timestamp>| -> Result<Option<Decimal>, DatabaseError> {
        let Some(time) = time else { return Ok(None) };
        Ok(match read_point(database, element, time)? {
            Some(Point::Reading(quantity, _)) if quantity.unit == unit => Some(quantity.value),
            _ => None,
        })
    };
    let between = |from: Option<Decimal>, to: Option<Decimal>| {
        let consumed = to?.checked_sub(from?)?;
        (consumed.mantissa() >= 0).then_some(consumed)
    };
    let so_far = between(register(zone.midnight(day))?, Some(registered.quantity.value));
    let mut before = Vec::new();
    let mut earlier = day;
    for _ in 0..USUAL_DAYS {
        let Ok(yesterday) = earlier.yesterday() else { break };
        earlier = yesterday;
        let to = register(zone.time(earlier.to_datetime(clock.time())))?;
        before.extend(between(register(zone.midnight(earlier))?, to));
    }
    let quantity = |value| Quantity { value, unit };
    Ok(Today {
        so_far: so_far.map(quantity),
        usual: mean(&before).map(quantity),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::super::testing::store;
    use super::*;
    use model::{Span, Status, Unit};

    fn reading(meter: &str, time: &str, value: i128) -> Reading {
        Reading {
            element: Element {
                meter: meter.parse().unwrap(),
                obis: "1-0:1.8.0*255".parse().unwrap(),
            },
            time: time.parse().unwrap(),
            quantity: Quantity {
                value: Decimal::new(value, -1).unwrap(),
                unit: Unit::WattHour,
            },
            status: Status::GOOD,
        }
    }

    #[test]
    fn today_is_held_against_the_days_before_at_the_same_time_by_the_wall_clock() {
        let folder = tempfile::tempdir().unwrap();
        // Berlin put its clock forward on the 29th of March: noon was at 11 before, and at 10 UTC behind.
        let last = reading("M1", "2026-03-30T10:00:00Z", 1_000);
        let store = store(
            folder.path(),
            vec![
                reading("M1", "2026-03-26T23:00:00Z", 100),
                reading("M1", "2026-03-27T11:00:00Z", 200),
                reading("M1", "2026-03-28T23:00:00Z", 500),
                reading("M1", "2026-03-29T10:00:00Z", 705),
                reading("M1", "2026-03-29T22:00:00Z", 900),
                last.clone(),
            ],
        );
        let zone = Zone::central_europe();
        let now = "2026-03-30T10:05:00Z".parse().unwrap();
        let today = today(store.database(), &zone, &last, now).unwrap();
        assert_eq!(today.so_far.unwrap().value.to_string(), "10.0");
        assert_eq!(today.usual.unwrap().value.to_string(), "15.2");
        let tomorrow = "2026-03-31T10:05:00Z".parse().unwrap();
        let none = super::today(store.database(), &zone, &last, tomorrow).unwrap();
        assert_eq!(none, Today::default());
    }

    #[test]
    fn meter_that_was_exchanged_is_no_fault_for_ever_and_one_that_never_answered_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(
            folder.path(),
            vec![
                reading("M1", "2026-03-01T10:00:00Z", 1),
                reading("M2", "2026-03-30T10:00:00Z", 2),
            ],
        );
        let view = |id: Option<&str>| MeterView {
            name: "gas".to_owned(),
            bus: "cellar".to_owned(),
            id: id.map(|id| id.parse().unwrap()),
            medium: None,
            last_success: None,
            error: id.is_none().then(|| "no answer".to_owned()),
            values: Vec::new(),
            registered: Vec::new(),
            statistics: crate::metering::StatisticsView::default(),
        };
        let now = "2026-03-30T10:05:00Z".parse().unwrap();
        let seen = |meters: &[MeterView]| {
            let all = (&Own::All, Span::QUARTER_HOUR);
            let seen = measured(store.database(), meters, all, now).unwrap();
            let told = |one: &Measured| (one.last.element.meter.to_string(), one.is_stale, one.is_retired);
            let old = seen.iter().map(told).find(|(meter, ..)| meter == "M1").unwrap();
            (old.1, old.2)
        };
        assert_eq!(seen(&[view(Some("M2"))]), (false, true));
        // One that has not answered may be it.
        let unknown = [view(Some("M2")), view(None)];
        assert_eq!(seen(&unknown), (true, false));
        assert_eq!(seen(&[]), (true, false));
        assert_eq!(silent(&unknown, &Own::All).len(), 1);
        let own = Own::Meters(Arc::new(BTreeSet::from(["M2".parse().unwrap()])));
        assert!(silent(&unknown, &own).is_empty());
    }

    #[test]
    fn only_own_meters_are_seen_and_old_values_are_stale() {
        let folder = tempfile::tempdir().unwrap();
        let mine = reading("M1", "2026-03-30T10:00:00Z", 1);
        let store = store(
            folder.path(),
            vec![mine, reading("M2", "2026-03-30T10:00:00Z", 2)],
        );
        let own = Own::Meters(Arc::new(BTreeSet::from(["M1".parse().unwrap()])));
        let seen = |own: &Own, now: &str| {
            let now = now.parse().unwrap();
            measured(store.database(), &[], (own, Span::QUARTER_HOUR), now).unwrap()
        };
        let found = seen(&own, "2026-03-30T10:30:00Z");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].is_stale), ("M1", false));
        assert!(found[0].is_main_register());
        assert!(seen(&own, "2026-03-30T10:30:01Z")[0].is_stale);
        assert_eq!(seen(&Own::All, "2026-03-30T10:30:00Z").len(), 2);
    }
}
