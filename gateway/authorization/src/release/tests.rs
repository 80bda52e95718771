use model::{Fingerprint, GapReason, Grant, Period, Quantity, Span, Status, Timestamp};

use super::*;
use crate::by_grants;

const SUPPLIER: Fingerprint = Fingerprint::new([1; 32]);

fn at(quarter: i64) -> Timestamp {
    Timestamp::from_unix_seconds(quarter.saturating_mul(900)).unwrap()
}

fn reading(meter: &str, quarter: i64, value: &str, unit: Unit) -> Reading {
    Reading {
        element: element(meter),
        time: at(quarter),
        quantity: Quantity {
            value: value.parse().unwrap(),
            unit,
        },
        status: Status::GOOD,
    }
}

fn element(meter: &str) -> Element {
    Element {
        meter: meter.parse().unwrap(),
        obis: "1-0:1.8.0*255".parse().unwrap(),
    }
}

fn gap(meter: &str, quarter: i64) -> Gap {
    Gap {
        element: element(meter),
        time: at(quarter),
        reason: GapReason::NoAnswer,
    }
}

fn granted(elements: &str, granted: &str) -> Granted<'static, Query> {
    granted_as(Aggregation::Value, Span::QUARTER_HOUR, (elements, granted))
}

fn granted_as(
    aggregation: Aggregation,
    resolution: Span,
    (elements, granted): (&str, &str),
) -> Granted<'static, Query> {
    let grant = Grant {
        id: "all".to_owned(),
        supplier: SUPPLIER,
        elements: vec![granted.parse().unwrap()],
        finest: Span::QUARTER_HOUR,
        aggregations: Aggregation::ALL.into(),
        history: Span::DAY,
        validity: Period::new(at(0), at(1000)).unwrap(),
        push: None,
        at_most: None,
        delivery: None,
        purpose: "test".parse().unwrap(),
    };
    let query = Query {
        elements: elements.parse().unwrap(),
        period: Period::new(at(10), at(20)).unwrap(),
        resolution,
        aggregation,
    };
    let grants = Box::leak(Box::new([grant]));
    by_grants(&query, SUPPLIER, grants, at(30)).unwrap()
}

#[test]
fn what_was_not_reached_is_left_for_another_query() {
    let mut release = granted("*", "*").begin();
    release.take([reading("M1", 10, "1", Unit::WattHour)], []);
    release.take([reading("M1", 11, "2", Unit::WattHour)], [gap("M1", 12)]);
    let released = release.finish_any(Some(at(13)));
    assert_eq!(released.query.period, Period::new(at(10), at(13)).unwrap());
    let rest = released.rest.unwrap();
    assert_eq!(rest.period, Period::new(at(13), at(20)).unwrap());
    assert_eq!(
        (rest.resolution, rest.elements.to_string()),
        (Span::QUARTER_HOUR, "*/*".to_owned())
    );
    let series = released.series.into_inner();
    assert_eq!(series[0].points().count(), 2);
}

#[test]
fn a_whole_period_leaves_nothing() {
    let whole = granted("*", "*").begin().finish_any(None);
    assert_eq!((whole.rest, whole.query.period.to()), (None, at(20)));
    let none = granted("*", "*").begin().finish_any(Some(at(20)));
    assert_eq!(none.rest, None);
}

const HOUR: u32 = 3_600;

fn hours(aggregation: Aggregation) -> Granted<'static, Query> {
    granted_as(aggregation, Span::from_seconds(HOUR).unwrap(), ("*", "*"))
}

/// The quarters of an hour from the 10th to the 19th, which hold the whole hours that end with the 16th quarter.
fn quarters() -> Vec<Reading> {
    let values = ["1.0", "1.5", "4.0", "2.25", "3.0", "9", "9", "9", "9", "9"];
    let quarters = (10..).zip(values);
    quarters
        .map(|(quarter, value)| reading("M1", quarter, value, Unit::WattHour))
        .collect()
}

#[test]
fn differences_lie_between_neighbours_on_the_grid() {
    let readings = [
        reading("M1", 10, "1.5", Unit::WattHour),
        reading("M1", 11, "2", Unit::WattHour),
        reading("M1", 13, "9", Unit::WattHour),
        reading("M1", 14, "8.75", Unit::WattHour),
    ];
    let granted = granted_as(Aggregation::Difference, Span::QUARTER_HOUR, ("*", "*"));
    let series = granted
        .release(readings, [gap("M1", 12), gap("M1", 19)])
        .into_inner();
    assert_eq!(
        (series.len(), series[0].aggregation),
        (1, Aggregation::Difference)
    );
    let values: Vec<_> = series[0]
        .points()
        .map(|(time, value, _)| (time, value.to_string()))
        .collect();
    assert_eq!(values, [(at(11), "0.5".to_owned()), (at(14), "-0.25".to_owned())]);
    // A missing value is the gap of both differences that it is an end of, but none at the edge of the period.
    let gaps: Vec<_> = series[0].gaps.iter().map(|(index, _)| *index).collect();
    assert_eq!((series[0].start, gaps), (at(11), vec![1, 2, 8]));
}

#[test]
fn steps_are_made_of_all_that_lies_in_them_and_only_whole_ones_are_released() {
    // The hour that ends with quarter 12 began before the period, the one that ends with 20 does not belong to it; the
    // one in between has 2.25, 3.0, 9 and 9.
    for (aggregation, value) in [
        (Aggregation::Minimum, "2.25"),
        (Aggregation::Maximum, "9"),
        (Aggregation::Mean, "5.812"),
    ] {
        let series = hours(aggregation).release(quarters(), []).into_inner();
        let points = series[0].points();
        let values: Vec<_> = points.map(|(time, value, _)| (time, value.to_string())).collect();
        assert_eq!(values, [(at(16), value.to_owned())], "{aggregation}");
        assert_eq!(series[0].aggregation, aggregation);
    }
}

#[test]
fn step_with_a_gap_or_another_unit_has_no_value() {
    let series = hours(Aggregation::Mean).release(quarters(), [gap("M1", 14)]);
    assert_eq!(
        series.into_inner(),
        [],
        "of an element that has only gaps nothing is said"
    );
    let mut readings = quarters();
    readings.push(reading("M1", 15, "1", Unit::Joule));
    assert_eq!(hours(Aggregation::Mean).release(readings, []).into_inner(), []);
}

#[test]
fn step_that_lacks_a_value_for_no_reason_has_none() {
    let every = |period: u32, made: &'static [&str]| (Span::from_seconds(period).unwrap(), made);
    let released = |(period, made): (Span, &[&str]), kept: &[i64]| {
        let mut release = hours(Aggregation::Maximum).begin();
        let kept: Vec<_> = kept.iter().map(|quarter| at(*quarter)).collect();
        release.take(
            quarters()
                .into_iter()
                .filter(|reading| kept.contains(&reading.time)),
            [],
        );
        let is_made = &|element: &Element| made.contains(&element.meter.as_str());
        release
            .finish(None, Registration { period, is_made })
            .series
            .into_inner()
            .len()
    };
    assert_eq!(released(every(900, &[]), &[13, 14, 15, 16]), 1);
    for kept in [
        &[13, 14, 15][..],
        &[13, 14, 16],
        &[13, 15, 16],
        &[14, 15, 16],
        &[14, 16],
        &[15, 16],
        &[13],
        &[16],
    ] {
        assert_eq!(released(every(900, &[]), kept), 0, "{kept:?}");
    }
    // Once a half hour, once an hour, or at times of its own.
    assert_eq!(released(every(1_800, &[]), &[14, 16]), 1);
    assert_eq!(released(every(1_800, &[]), &[16]), 0);
    assert_eq!(released(every(3_600, &[]), &[16]), 1);
    assert_eq!(released(every(900, &["M1"]), &[16]), 1);
    assert_eq!(released(every(900, &["M1"]), &[15, 16]), 0);
    assert_eq!(released(every(900, &["M2"]), &[16]), 0);
}

#[test]
fn reading_stops_behind_a_whole_step_and_goes_on_there() {
    let mut release = hours(Aggregation::Maximum).begin();
    release.take(quarters().into_iter().filter(|reading| reading.time < at(18)), []);
    assert!(!release.can_stop_at(at(10)), "no step is whole");
    assert!(release.can_stop_at(at(18)));
    let released = release.finish_any(Some(at(18)));
    let series = released.series.into_inner();
    assert_eq!(
        series[0].points().map(|(time, ..)| time).collect::<Vec<_>>(),
        [at(16)]
    );
    assert_eq!(
        released.rest.unwrap().period,
        Period::new(at(16), at(20)).unwrap()
    );
    assert!(released.query.period.contains(at(16)) && !released.query.period.contains(at(17)));
}

#[test]
fn only_what_is_granted_is_released() {
    let readings = [
        reading("M1", 9, "1", Unit::WattHour),
        reading("M1", 10, "2", Unit::WattHour),
        reading("M1", 20, "3", Unit::WattHour),
        reading("M2", 10, "4", Unit::WattHour),
    ];
    let released = granted("*", "M1/*").release(readings, [gap("M1", 12), gap("M2", 12), gap("M1", 25)]);
    assert_eq!(released.supplier(), SUPPLIER);
    assert_eq!(released.rules().count(), 1);
    let series = released.into_inner();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].element, element("M1"));
    assert_eq!(series[0].start, at(10));
    assert_eq!(series[0].values, [Some("2".parse().unwrap()), None, None]);
    assert_eq!(series[0].gaps, [(2, GapReason::NoAnswer)]);
}

#[test]
fn series_begins_with_what_is_known() {
    let released = granted("*", "*").release([reading("M1", 15, "1", Unit::WattHour)], [gap("M1", 14)]);
    let series = released.into_inner();
    assert_eq!(series[0].start, at(14));
    assert_eq!(series[0].gaps, [(0, GapReason::NoAnswer)]);
}

#[test]
fn change_of_unit_loses_no_value() {
    let readings = [
        reading("M1", 10, "1", Unit::Joule),
        reading("M1", 11, "2", Unit::WattHour),
    ];
    let series = granted("*", "*").release(readings, [gap("M1", 12)]).into_inner();
    let points: usize = series.iter().map(|series| series.points().count()).sum();
    assert_eq!((series.len(), points), (2, 2));
    assert_eq!(series.iter().map(|series| series.gaps.len()).sum::<usize>(), 1);
}

#[test]
fn latest_is_the_last_point_of_each_element_and_nothing_is_left() {
    let off_the_grid = Reading {
        time: Timestamp::from_unix_seconds(15 * 900 + 10).unwrap(),
        ..reading("M1", 15, "9", Unit::WattHour)
    };
    let readings = [
        reading("M1", 15, "3", Unit::WattHour),
        reading("M1", 14, "2", Unit::Joule),
        off_the_grid,
        reading("M1", 20, "4", Unit::WattHour),
        reading("M2", 12, "5", Unit::WattHour),
    ];
    let mut release = granted_as(Aggregation::Latest, Span::QUARTER_HOUR, ("*", "*")).begin();
    release.take(readings, [gap("M1", 16)]);
    assert!(release.can_stop_at(at(10)));
    let released = release.finish_any(Some(at(17)));
    assert_eq!((released.rest, released.query.period.to()), (None, at(20)));
    let series = released.series.into_inner();
    let points = series.iter().flat_map(|series| {
        assert_eq!((series.aggregation, series.gaps.len()), (Aggregation::Latest, 0));
        series.points()
    });
    let points: Vec<_> = points.map(|(time, value, _)| (time, value.to_string())).collect();
    assert_eq!(points, [(at(15), "3".to_owned()), (at(12), "5".to_owned())]);
}

#[test]
fn nothing_in_is_nothing_out() {
    let released = granted("*", "*").release([], [gap("M1", 12)]);
    assert_eq!(released.into_inner(), []);
}
