//! The release of what is granted: readings and gaps in, columns out.

use std::collections::BTreeMap;

use model::{Element, Gap, Period, Query, Reading, Series, Timestamp, Unit};

use crate::Granted;

/// Takes readings and gaps in, in any number of parts, and gives out what is granted of them.
///
/// Everything else that comes in is left out, whatever the store hands over: elements that the
/// query does not name or no permitting grant covers, times outside the period or off the grid
/// of the query's resolution.
#[derive(Debug)]
#[must_use]
pub struct Release {
    granted: Granted<Query>,
    columns: BTreeMap<Element, BTreeMap<Unit, Vec<Reading>>>,
    holes: BTreeMap<Element, Vec<Gap>>,
}

/// What was released, and what is left of the query.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Released {
    /// The values.
    pub series: Granted<Vec<Series>>,
    /// The query that they answer: the one that was granted, or its first part.
    pub query: Query,
    /// The later part, which nothing was released of; absent if there is none.
    pub rest: Option<Query>,
}

impl Release {
    pub(crate) const fn new(granted: Granted<Query>) -> Self {
        Self {
            granted,
            columns: BTreeMap::new(),
            holes: BTreeMap::new(),
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
            if self.granted.permits(&reading.element, reading.time) {
                let units = self.columns.entry(reading.element.clone()).or_default();
                units.entry(reading.quantity.unit).or_default().push(reading);
            }
        }
        for gap in gaps {
            if self.granted.permits(&gap.element, gap.time) {
                self.holes.entry(gap.element.clone()).or_default().push(gap);
            }
        }
    }

    /// Gives out what has come in, in columns, ordered by element. `reached` is the time that was not reached any
    /// more, if not the whole period was handed over.
    ///
    /// A series begins with the first point that has a reading or a gap. An element whose unit changed within the
    /// period has a series for each unit, its gaps in the first; an element of which only gaps are known has none.
    pub fn finish(self, reached: Option<Timestamp>) -> Released {
        let Self {
            granted,
            columns,
            mut holes,
        } = self;
        let whole = granted.query().clone();
        let (query, rest) = split(&whole, reached);
        let mut series = Vec::new();
        for (element, units) in columns {
            let mut gaps = holes.remove(&element).unwrap_or_default();
            for readings in units.into_values() {
                series.extend(lay_out(&query, &readings, &std::mem::take(&mut gaps)));
            }
        }
        Released {
            series: granted.map(|_| series),
            query,
            rest,
        }
    }
}

/// Splits a query at the time that was not reached any more.
fn split(whole: &Query, reached: Option<Timestamp>) -> (Query, Option<Query>) {
    let part = |period: Period| Query {
        period,
        ..whole.clone()
    };
    let rest = reached.and_then(|reached| Period::new(reached, whole.period.to()).ok());
    let first = rest.and_then(|rest| Period::new(whole.period.from(), rest.from()).ok());
    (part(first.unwrap_or(whole.period)), rest.map(part))
}

fn lay_out(query: &Query, readings: &[Reading], gaps: &[Gap]) -> Option<Series> {
    let times = readings.iter().map(|reading| reading.time);
    let start = times.chain(gaps.iter().map(|gap| gap.time)).min()?;
    Series::from_readings(start, query.resolution, readings, gaps)
}

#[cfg(test)]
mod tests {
    use model::{Fingerprint, GapReason, Grant, Period, Quantity, Span, Status, Timestamp};

    use super::*;
    use crate::decide;

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

    fn granted(elements: &str, granted: &str) -> Granted<Query> {
        let grant = Grant {
            id: "all".to_owned(),
            supplier: SUPPLIER,
            elements: vec![granted.parse().unwrap()],
            finest: Span::QUARTER_HOUR,
            history: Span::DAY,
            validity: Period::new(at(0), at(1000)).unwrap(),
            purpose: "test".parse().unwrap(),
        };
        let query = Query {
            elements: elements.parse().unwrap(),
            period: Period::new(at(10), at(20)).unwrap(),
            resolution: Span::QUARTER_HOUR,
        };
        decide(&query, SUPPLIER, &[grant], at(30)).unwrap()
    }

    fn release(
        granted: Granted<Query>,
        readings: impl IntoIterator<Item = Reading>,
        gaps: impl IntoIterator<Item = Gap>,
    ) -> Granted<Vec<Series>> {
        let mut release = granted.begin();
        release.take(readings, gaps);
        release.finish(None).series
    }

    #[test]
    fn what_was_not_reached_is_left_for_another_query() {
        let mut release = granted("*", "*").begin();
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
        let whole = granted("*", "*").begin().finish(None);
        assert_eq!((whole.rest, whole.query.period.to()), (None, at(20)));
        let none = granted("*", "*").begin().finish(Some(at(20)));
        assert_eq!(none.rest, None);
    }

    #[test]
    fn only_what_is_granted_is_released() {
        let readings = [
            reading("M1", 9, "1", Unit::WattHour),
            reading("M1", 10, "2", Unit::WattHour),
            reading("M1", 20, "3", Unit::WattHour),
            reading("M2", 10, "4", Unit::WattHour),
        ];
        let released = release(
            granted("*", "M1/*"),
            readings,
            [gap("M1", 12), gap("M2", 12), gap("M1", 25)],
        );
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
        let released = release(
            granted("*", "*"),
            [reading("M1", 15, "1", Unit::WattHour)],
            [gap("M1", 14)],
        );
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
        let series = release(granted("*", "*"), readings, [gap("M1", 12)]).into_inner();
        let points: usize = series.iter().map(|series| series.points().count()).sum();
        assert_eq!((series.len(), points), (2, 2));
        assert_eq!(series.iter().map(|series| series.gaps.len()).sum::<usize>(), 1);
    }

    #[test]
    fn nothing_in_is_nothing_out() {
        let released = release(granted("*", "*"), [], [gap("M1", 12)]);
        assert_eq!(released.into_inner(), []);
    }
}
