//! The release of what is granted: readings and gaps in, columns out.

mod steps;

use std::collections::BTreeMap;
use std::fmt;

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
    columns: BTreeMap<Element, Columns>,
}

/// How often there is a value of an element: what a whole step is held against.
#[derive(Clone, Copy)]
pub struct Registration<'r> {
    /// The time between two values of a meter's element. It has not become longer since values of the query's period were
    /// registered; if it has, a step may be given out that is evenly filled with fewer than there were.
    pub period: Span,
    /// Says which elements applications make, each at times of its own. A step of them is whole if it is evenly filled.
    pub is_made: &'r dyn Fn(&Element) -> bool,
}

impl fmt::Debug for Registration<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registration")
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}

impl Registration<'_> {
    /// Returns how many values a step has at least.
    fn fewest(self, element: &Element, step: Span) -> u64 {
        if (self.is_made)(element) {
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
    pub(crate) const fn new(granted: Granted<'a, Query>) -> Self {
        Self {
            granted,
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
    pub fn finish(self, reached: Option<Timestamp>, registration: Registration<'_>) -> Released<'a> {
        let Self { granted, columns } = self;
        let whole = granted.query().clone();
        let (query, rest) = split(&whole, reached);
        let mut series = Vec::new();
        for (element, columns) in columns {
            let (units, holes) = columns.into_values(&element, &query, registration);
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
        registration: Registration<'_>,
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
                let fewest = registration.fewest(element, query.resolution);
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
    /// Releases all that is granted of these, at once.
    pub(crate) fn release(
        self,
        readings: impl IntoIterator<Item = Reading>,
        gaps: impl IntoIterator<Item = Gap>,
    ) -> Granted<'a, Vec<Series>> {
        let mut release = self.begin();
        release.take(readings, gaps);
        release.finish_any(None).series
    }
}

#[cfg(test)]
impl<'a> Release<'a> {
    /// Gives out what may be registered at any even distance.
    pub(crate) fn finish_any(self, reached: Option<Timestamp>) -> Released<'a> {
        let period = self.query().resolution;
        let is_made = &|_: &Element| false;
        self.finish(reached, Registration { period, is_made })
    }
}

#[cfg(test)]
mod tests;
