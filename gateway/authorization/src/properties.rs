//! For random grants and queries, nothing other than granted is ever released, and all that is.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "the figures of these tests are small"
)]

mod deliveries;
mod layers;

use std::collections::BTreeSet;

use model::{
    Aggregation, Decimal, Element, Fingerprint, Gap, GapReason, Grant, Period, Quantity, Query, Reading,
    Span, Status, Timestamp, Unit,
};
use proptest::prelude::*;

use crate::by_grants;

const NOW: i64 = 20_000;
const METERS: [&str; 3] = ["M1", "M2", "M3"];
const CODES: [&str; 3] = ["1-0:1.8.0*255", "1-0:2.8.0*255", "7-0:3.0.0*255"];
const PATTERNS: [&str; 7] = [
    "*",
    "M1/*",
    "*/1-0:1.8.0*255",
    "*/1-0:x.8.0*255",
    "M2/1-0:2.8.0*255",
    "M3/7-0:3.0.0*255",
    "*/7-x:3.0.0*255",
];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn span() -> impl Strategy<Value = Span> {
    prop::sample::select(vec![60, 90, 120, 300, 600, 900]).prop_map(|s| Span::from_seconds(s).unwrap())
}

fn period() -> impl Strategy<Value = Period> {
    (NOW - 6_000..NOW + 2_000, 1i64..6_000)
        .prop_map(|(from, length)| Period::new(at(from), at(from + length)).unwrap())
}

fn validity() -> impl Strategy<Value = Period> {
    (NOW - 6_000..NOW + 2_000, 1i64..20_000)
        .prop_map(|(from, length)| Period::new(at(from), at(from + length)).unwrap())
}

fn grant() -> impl Strategy<Value = Grant> {
    let elements = prop::collection::vec(prop::sample::select(&PATTERNS[..]), 0..3);
    (0u8..2, elements, span(), 1u32..12_000, validity()).prop_map(
        |(supplier, elements, finest, history, validity)| Grant {
            id: "rule".to_owned(),
            supplier: Fingerprint::new([supplier; 32]),
            elements: elements.iter().map(|text| text.parse().unwrap()).collect(),
            finest,
            aggregations: Aggregation::USUAL.into(),
            history: Span::from_seconds(history).unwrap(),
            validity,
            push: None,
            at_most: None,
            delivery: None,
            purpose: "test".parse().unwrap(),
        },
    )
}

fn query() -> impl Strategy<Value = Query> {
    (prop::sample::select(&PATTERNS[..]), period(), span()).prop_map(|(elements, period, resolution)| Query {
        elements: elements.parse().unwrap(),
        period,
        resolution,
        aggregation: Aggregation::Value,
    })
}

/// A value for every half minute around `NOW` and every element, as a careless store would hand over.
fn everything() -> Vec<Reading> {
    let mut readings = Vec::new();
    for meter in METERS {
        for code in CODES {
            for time in (NOW - 7_000..NOW + 3_000).filter(|time| time % 30 == 0) {
                readings.push(Reading {
                    element: Element {
                        meter: meter.parse().unwrap(),
                        obis: code.parse().unwrap(),
                    },
                    time: at(time),
                    quantity: Quantity {
                        value: Decimal::whole(i128::from(time)),
                        unit: Unit::WattHour,
                    },
                    status: Status::GOOD,
                });
            }
        }
    }
    readings
}

/// Says in one sentence per condition what a grant permits; written apart from the code under test.
fn permitted(grant: &Grant, query: &Query, element: &Element, time: Timestamp) -> bool {
    let seconds = time.unix_seconds();
    grant.supplier == Fingerprint::new([0; 32])
        && grant.covers(element)
        && query.elements.matches(element)
        && grant.validity.contains(at(NOW))
        && query.resolution.is_multiple_of(grant.finest)
        && query.period.from().unix_seconds() >= NOW - i64::from(grant.history.seconds())
        && query.period.contains(time)
        && seconds <= NOW
        && seconds % i64::from(query.resolution.seconds()) == 0
}

proptest! {
    #[test]
    fn exactly_what_is_granted_is_released(
        grants in prop::collection::vec(grant(), 0..5),
        query in query(),
    ) {
        let all = everything();
        let expected: BTreeSet<_> = all
            .iter()
            .filter(|r| grants.iter().any(|grant| permitted(grant, &query, &r.element, r.time)))
            .map(|r| (r.element.clone(), r.time, r.quantity.value.mantissa()))
            .collect();
        let Ok(granted) = by_grants(&query, Fingerprint::new([0; 32]), &grants, at(NOW)) else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        let mut released = BTreeSet::new();
        for series in granted.release(all, []).into_inner() {
            prop_assert_eq!(series.step, query.resolution);
            for (time, value, _) in series.points() {
                released.insert((series.element.clone(), time, value.mantissa()));
            }
        }
        prop_assert_eq!(released, expected);
    }

    #[test]
    fn gaps_reveal_no_more_than_readings(
        grants in prop::collection::vec(grant(), 0..5),
        query in query(),
    ) {
        let Ok(granted) = by_grants(&query, Fingerprint::new([0; 32]), &grants, at(NOW)) else {
            return Ok(());
        };
        // Readings at every second minute, gaps at every half minute.
        let readings = everything().into_iter().filter(|r| r.time.unix_seconds() % 120 == 0);
        let gaps = everything().into_iter().map(|r| Gap {
            element: r.element,
            time: r.time,
            reason: GapReason::NoAnswer,
        });
        for series in granted.release(readings, gaps).into_inner() {
            for (index, _) in &series.gaps {
                let offset = i64::from(*index) * i64::from(series.step.seconds());
                let time = at(series.start.unix_seconds() + offset);
                let is_permitted = |grant: &Grant| permitted(grant, &query, &series.element, time);
                prop_assert!(grants.iter().any(is_permitted));
            }
        }
    }

    #[test]
    fn aggregations_are_made_of_whole_granted_steps(
        grant in grant(),
        query in query(),
        aggregation in prop::sample::select(&Aggregation::ALL[1..5]),
        cut in prop::option::of(NOW - 6_000..NOW),
    ) {
        let grant = Grant { aggregations: [aggregation].into(), ..grant };
        let query = Query { aggregation, ..query };
        let Ok(granted) = by_grants(&query, grant.supplier, std::slice::from_ref(&grant), at(NOW)) else {
            return Ok(());
        };
        let period = granted.query().period;
        let step = i64::from(query.resolution.seconds());
        let mut release = granted.begin();
        let reached = cut.map(at).filter(|cut| period.contains(*cut) && release.can_stop_at(*cut));
        let before = |reading: &Reading| reached.is_none_or(|reached| reading.time < reached);
        release.take(everything().into_iter().filter(before), []);
        for series in release.finish_any(reached).series.into_inner() {
            prop_assert!(grant.covers(&series.element));
            for (time, value, _) in series.points() {
                let end = time.unix_seconds();
                prop_assert!(end % step == 0 && grant.finest.has_on_grid(time));
                prop_assert!(period.contains(time) && period.contains(at(end - step)));
                // There is a value every half minute, which is its time.
                let (first, last) = ((end - step).div_euclid(30) * 30 + 30, end);
                let expected = match aggregation {
                    Aggregation::Difference => Decimal::whole(i128::from(step)),
                    Aggregation::Minimum => Decimal::whole(i128::from(first)),
                    Aggregation::Maximum => Decimal::whole(i128::from(last)),
                    _ => Decimal::new(i128::from(first + last) * 5, -1).unwrap(),
                };
                prop_assert!(value.same_value(expected), "{} at {}: {}", aggregation, end, value);
            }
        }
    }

    #[test]
    fn what_lacks_a_value_is_no_step(
        grant in grant(),
        query in query(),
        aggregation in prop::sample::select(&[Aggregation::Minimum, Aggregation::Maximum, Aggregation::Mean]),
        lost in prop::collection::btree_set(0_i64..340, 0..40),
    ) {
        let grant = Grant { aggregations: [aggregation].into(), ..grant };
        let query = Query { aggregation, ..query };
        let Ok(granted) = by_grants(&query, grant.supplier, std::slice::from_ref(&grant), at(NOW)) else {
            return Ok(());
        };
        let lost: BTreeSet<_> = lost.iter().map(|index| NOW - 7_000 + (7_000 - NOW).rem_euclid(30) + index * 30).collect();
        let period = Span::from_seconds(30).unwrap();
        let registration = crate::Registration { period, is_made: &|_| false };
        let mut release = granted.begin();
        release.take(everything().into_iter().filter(|r| !lost.contains(&r.time.unix_seconds())), []);
        let step = i64::from(query.resolution.seconds());
        for series in release.finish(None, registration).series.into_inner() {
            for (time, ..) in series.points() {
                let end = time.unix_seconds();
                prop_assert_eq!(lost.range(end - step + 1..=end).count(), 0, "{} to {}", end - step, end);
            }
        }
    }

    #[test]
    fn latest_is_one_granted_point_of_each_element(
        grant in grant(),
        query in query(),
        backwards in any::<bool>(),
    ) {
        let grant = Grant { aggregations: [Aggregation::Latest].into(), ..grant };
        let query = Query { aggregation: Aggregation::Latest, ..query };
        let Ok(granted) = by_grants(&query, grant.supplier, std::slice::from_ref(&grant), at(NOW)) else {
            return Ok(());
        };
        let own = Grant { supplier: Fingerprint::new([0; 32]), ..grant.clone() };
        let mut all = everything();
        let mut expected = std::collections::BTreeMap::new();
        for reading in all.iter().filter(|r| permitted(&own, &query, &r.element, r.time)) {
            expected.insert(reading.element.clone(), reading.time);
        }
        if backwards {
            all.reverse();
        }
        let mut released = std::collections::BTreeMap::new();
        for series in granted.release(all, []).into_inner() {
            prop_assert_eq!((series.aggregation, series.step), (Aggregation::Latest, query.resolution));
            let points: Vec<_> = series.points().collect();
            prop_assert_eq!((points.len(), series.values.len()), (1, 1));
            prop_assert!(grant.finest.has_on_grid(points[0].0));
            prop_assert!(released.insert(series.element.clone(), points[0].0).is_none());
        }
        prop_assert_eq!(released, expected);
    }

    #[test]
    fn nothing_between_the_granted_points_can_be_pieced_together(
        grant in grant(),
        queries in prop::collection::vec(query(), 1..6),
    ) {
        for query in queries {
            let Ok(granted) = by_grants(&query, grant.supplier, std::slice::from_ref(&grant), at(NOW)) else {
                continue;
            };
            for series in granted.release(everything(), []).into_inner() {
                for (time, ..) in series.points() {
                    prop_assert!(grant.finest.has_on_grid(time));
                }
            }
        }
    }
}
