//! The release of what is granted: readings and gaps in, columns out.

mod steps;

use std::collections::{BTreeMap, BTreeSet};

use model::{Aggregation, Element, Gap, Period, Query, Reading, Series, Span, Timestamp, Unit};

use crate::Granted;
use steps::Steps;

/// Takes readings and gaps in, in any number of parts, and gives out what is granted of them.
///
/// Everything else that comes in is left out, whatever the store hands over: elements that the
/// query does not name or no permitting grant covers, times outside the period. Of what lies off the grid
/// of the query's resolution nothing but the aggregation that was granted gets out, and that of whole steps only: what
/// is made of the rest of a step would tell more than the step.
#[derive(Debug)]
#[must_use]
pub struct Release<'a> {
    granted: Granted<'a, Query>,
    registration: Registration,
    columns: BTreeMap<Element, Columns>,
}

/// How often there is a value of an element: what a whole step is held against.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The time between two values of a meter's element. It has not become longer since values of the query's period were
    /// registered; if it has, a step may be given out that is evenly filled with fewer than there were.
    pub period: Span,
    /// The elements that applications make, each at times of its own. A step of them is whole if it is evenly filled.
    pub made: BTreeSet<Element>,
}

impl Registration {
    /// Returns how many values a step has at least.
    fn fewest(&self, element: &Element, step: Span) -> u64 {
        if self.made.contains(element) {
            return 1;
        }
        let (step, period) = (u64::from(step.seconds()), u64::from(self.period.seconds()));
        step.checked_div(period).unwrap_or(1).max(1)
    }
}

/// What has come in of one element.
#[derive(Debug, Default)]
struct Columns {
    /// What lies on the grid, by unit.
    points: BTreeMap<Unit, Vec<Reading>>,
    /// The gaps on the grid.
    holes: Vec<Gap>,
    /// What is made of all that lies between.
    steps: Steps,
}

/// What was released, and what is left of the query.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Released<'a> {
    /// The values.
    pub series: Granted<'a, Vec<Series>>,
    /// The query that they answer: the one that was granted, or its first part.
    pub query: Query,
    /// The later part, which nothing was released of; absent if there is none.
    pub rest: Option<Query>,
}

impl<'a> Release<'a> {
    pub(crate) const fn new(granted: Granted<'a, Query>, registration: Registration) -> Self {
        Self {
            granted,
            registration,
            columns: BTreeMap::new(),
        }
    }

    /// Returns what is granted.
    #[must_use]
    pub const fn query(&self) -> &Query {
        self.granted.query()
    }

    /// Takes a part of what the store has, in the order of its times.
    pub fn take(&mut self, readings: impl IntoIterator<Item = Reading>, gaps: impl IntoIterator<Item = Gap>) {
        for reading in readings {
            let Some(place) = self.place_of(&reading.element, reading.time) else {
                continue;
            };
            let columns = self.columns.entry(reading.element.clone()).or_default();
            match place {
                Place::Point => columns
                    .points
                    .entry(reading.quantity.unit)
                    .or_default()
                    .push(reading),
                Place::StepTo(end) => {
                    let begin = end.saturating_sub(self.granted.query().resolution);
                    columns.steps.add((begin, end), &reading);
                }
            }
        }
        for gap in gaps {
            let Some(place) = self.place_of(&gap.element, gap.time) else {
                continue;
            };
            let columns = self.columns.entry(gap.element.clone()).or_default();
            match place {
                Place::Point => columns.holes.push(gap),
                Place::StepTo(end) => columns.steps.miss(end, gap.reason),
            }
        }
    }

    /// Returns where one point of one element goes, if it is granted.
    ///
    /// What a permitting grant says of resolution, aggregation, history and validity holds for every point of
    /// the query, as [`decide`](crate::decide) has checked.
    fn place_of(&self, element: &Element, time: Timestamp) -> Option<Place> {
        let Query {
            period,
            resolution,
            aggregation,
            ..
        } = *self.query();
        if !period.contains(time) || !self.granted.covers(element) {
            return None;
        }
        match aggregation {
            Aggregation::Value | Aggregation::Difference | Aggregation::Latest => {
                resolution.has_on_grid(time).then_some(Place::Point)
            }
            Aggregation::Minimum | Aggregation::Maximum | Aggregation::Mean => {
                let end = step_end(resolution, time);
                let is_whole = end.saturating_sub(resolution) >= period.from() && period.contains(end);
                is_whole.then_some(Place::StepTo(end))
            }
        }
    }

    /// Returns whether anything would be released, and less be left, if nothing from this time on came in any more.
    #[must_use]
    pub fn can_stop_at(&self, reached: Timestamp) -> bool {
        let query = self.query();
        is_of_points(query.aggregation) || last_step(query.resolution, reached) > query.period.from()
    }

    /// Gives out what has come in, in columns, ordered by element. `reached` is the time that was not reached any
    /// more, if not the whole period was handed over.
    ///
    /// A series begins with the first point that has a value or a gap. An element whose unit changed within the
    /// period has a series for each unit, its gaps in the first; an element of which only gaps are known has none.
    /// Where a step is not wholly known, its value is absent.
    pub fn finish(self, reached: Option<Timestamp>) -> Released<'a> {
        let Self {
            granted,
            registration,
            columns,
        } = self;
        let whole = granted.query().clone();
        let (query, rest) = split(&whole, reached);
        let mut series = Vec::new();
        for (element, columns) in columns {
            let fewest = registration.fewest(&element, query.resolution);
            let (units, holes) = columns.into_values(&element, &query, fewest);
            let mut holes = Some(holes);
            for readings in units.into_values() {
                series.extend(lay_out(&query, &readings, &holes.take().unwrap_or_default()));
            }
        }
        Released {
            series: granted.map(|_| series),
            query,
            rest,
        }
    }
}

/// Where a point goes.
enum Place {
    /// It is a value itself, or one end of a difference.
    Point,
    /// It goes into the step that ends there.
    StepTo(Timestamp),
}

impl Columns {
    /// Returns the values and gaps that a query gets.
    fn into_values(
        self,
        element: &Element,
        query: &Query,
        fewest: u64,
    ) -> (BTreeMap<Unit, Vec<Reading>>, Vec<Gap>) {
        let Self { points, holes, steps } = self;
        match query.aggregation {
            Aggregation::Value => (points, holes),
            Aggregation::Latest => (latest_of(points), Vec::new()),
            Aggregation::Difference => {
                let differences = points.into_iter();
                let differences =
                    differences.map(|(unit, points)| (unit, differences_of(&points, query.resolution)));
                (differences.collect(), holes_of_differences(&holes, query))
            }
            Aggregation::Minimum | Aggregation::Maximum | Aggregation::Mean => {
                steps.into_values(element, query, fewest)
            }
        }
    }
}

/// Returns whether each value stands for itself, so that there is no step to be known wholly.
const fn is_of_points(aggregation: Aggregation) -> bool {
    match aggregation {
        Aggregation::Value | Aggregation::Latest => true,
        Aggregation::Difference | Aggregation::Minimum | Aggregation::Maximum | Aggregation::Mean => false,
    }
}

/// Returns the last of all points, in whatever order they came.
fn latest_of(points: BTreeMap<Unit, Vec<Reading>>) -> BTreeMap<Unit, Vec<Reading>> {
    let latest = points.into_values().flatten().max_by_key(|reading| reading.time);
    let latest = latest.map(|reading| (reading.quantity.unit, vec![reading]));
    latest.into_iter().collect()
}

/// Returns what lies between neighbours on the grid, each with the status of both.
fn differences_of(points: &[Reading], resolution: Span) -> Vec<Reading> {
    let neighbours = points.iter().zip(points.iter().skip(1));
    let between = neighbours.filter_map(|(earlier, later)| {
        if earlier.time.saturating_add(resolution) != later.time {
            return None;
        }
        let mut difference = later.clone();
        difference.quantity.value = later.quantity.value.checked_sub(earlier.quantity.value)?;
        difference.status = later.status.with(earlier.status);
        Some(difference)
    });
    between.collect()
}

/// Returns the points at which no difference can be, since one of its ends is missing; the later end says why if both are.
fn holes_of_differences(holes: &[Gap], query: &Query) -> Vec<Gap> {
    let step = query.resolution;
    let mut missing: BTreeMap<Timestamp, Gap> = BTreeMap::new();
    for hole in holes {
        let after = hole.time.saturating_add(step);
        let shifted = Gap {
            time: after,
            ..hole.clone()
        };
        missing.entry(after).or_insert(shifted);
        missing.insert(hole.time, hole.clone());
    }
    let belongs =
        |gap: &Gap| query.period.contains(gap.time) && gap.time.saturating_sub(step) >= query.period.from();
    missing.into_values().filter(belongs).collect()
}

/// Returns the end of the step that a time belongs to.
fn step_end(resolution: Span, time: Timestamp) -> Timestamp {
    if resolution.has_on_grid(time) {
        time
    } else {
        resolution.grid_after(time)
    }
}

/// Returns the end of the last step that is known wholly when everything before `reached` is.
fn last_step(resolution: Span, reached: Timestamp) -> Timestamp {
    let before = Timestamp::from_unix_seconds(reached.unix_seconds().saturating_sub(1));
    before.map_or(reached, |before| resolution.grid_at_or_before(before))
}

/// Splits a query at the time that was not reached any more: between two values, or behind the last step that is whole.
/// What is the latest has no later part.
fn split(whole: &Query, reached: Option<Timestamp>) -> (Query, Option<Query>) {
    let part = |period: Period| Query {
        period,
        ..whole.clone()
    };
    let Some(reached) = reached.filter(|_| whole.aggregation != Aggregation::Latest) else {
        return (whole.clone(), None);
    };
    let (end, begin) = if is_of_points(whole.aggregation) {
        (reached, reached)
    } else {
        let last = last_step(whole.resolution, reached);
        (
            Span::from_seconds(1).map_or(last, |second| last.saturating_add(second)),
            last,
        )
    };
    let rest = Period::new(begin.max(whole.period.from()), whole.period.to()).ok();
    let first = rest.and_then(|_| Period::new(whole.period.from(), end).ok());
    (part(first.unwrap_or(whole.period)), rest.map(part))
}

fn lay_out(query: &Query, readings: &[Reading], gaps: &[Gap]) -> Option<Series> {
    let times = readings.iter().map(|reading| reading.time);
    let start = times.chain(gaps.iter().map(|gap| gap.time)).min()?;
    let series = Series::from_readings(start, query.resolution, readings, gaps)?;
    Some(Series {
        aggregation: query.aggregation,
        ..series
    })
}

#[cfg(test)]
impl<'a> Granted<'a, Query> {
    /// Releases all that is granted of these, at once. One value is registered a step, and more may be.
    pub(crate) fn release(
        self,
        readings: impl IntoIterator<Item = Reading>,
        gaps: impl IntoIterator<Item = Gap>,
    ) -> Granted<'a, Vec<Series>> {
        let mut release = self.begin_any();
        release.take(readings, gaps);
        release.finish(None).series
    }

    /// Begins to release what may be registered at any even distance.
    pub(crate) fn begin_any(self) -> Release<'a> {
        let period = self.query().resolution;
        self.begin(Registration {
            period,
            made: BTreeSet::new(),
        })
    }
}

#[cfg(test)]
mod tests {
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
        let mut release = granted("*", "*").begin_any();
        release.take([reading("M1", 10, "1", Unit::WattHour)], []);
        release.take([reading("M1", 11, "2", Unit::WattHour)], [gap("M1", 12)]);
        let released = release.finish(Some(at(13)));
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
        let whole = granted("*", "*").begin_any().finish(None);
        assert_eq!((whole.rest, whole.query.period.to()), (None, at(20)));
        let none = granted("*", "*").begin_any().finish(Some(at(20)));
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
        let every = |period: u32, made: &[&str]| Registration {
            period: Span::from_seconds(period).unwrap(),
            made: made.iter().map(|meter| element(meter)).collect(),
        };
        let released = |registration: Registration, kept: &[i64]| {
            let mut release = hours(Aggregation::Maximum).begin(registration);
            let kept: Vec<_> = kept.iter().map(|quarter| at(*quarter)).collect();
            release.take(
                quarters()
                    .into_iter()
                    .filter(|reading| kept.contains(&reading.time)),
                [],
            );
            release.finish(None).series.into_inner().len()
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
        let mut release = hours(Aggregation::Maximum).begin_any();
        release.take(quarters().into_iter().filter(|reading| reading.time < at(18)), []);
        assert!(!release.can_stop_at(at(10)), "no step is whole");
        assert!(release.can_stop_at(at(18)));
        let released = release.finish(Some(at(18)));
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
        let mut release = granted_as(Aggregation::Latest, Span::QUARTER_HOUR, ("*", "*")).begin_any();
        release.take(readings, [gap("M1", 16)]);
        assert!(release.can_stop_at(at(10)));
        let released = release.finish(Some(at(17)));
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
}
