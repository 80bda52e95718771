//! The proof that something may leave the gateway.

use std::collections::BTreeMap;

use model::{Element, Fingerprint, Gap, Grant, Purpose, Query, Reading, Series, Timestamp, Unit};

/// Something that may leave the gateway, for one supplier, by the grants that permit it.
///
/// It is made by [`decide`](crate::decide) and turned into an answer by [`Granted::release`];
/// nothing else can make or change one.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Granted<T> {
    value: T,
    supplier: Fingerprint,
    grants: Vec<Grant>,
}

/// A grant that permits something, as the consumer's log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// The name of the grant.
    pub id: &'a str,
    /// What the data are for.
    pub purpose: &'a Purpose,
}

impl<T> Granted<T> {
    pub(crate) const fn new(value: T, supplier: Fingerprint, grants: Vec<Grant>) -> Self {
        Self {
            value,
            supplier,
            grants,
        }
    }

    /// Returns the supplier that it is granted to; it is to be sealed for no other.
    #[must_use]
    pub const fn supplier(&self) -> Fingerprint {
        self.supplier
    }

    /// Returns the grants that permit it.
    pub fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        self.grants.iter().map(|grant| Rule {
            id: &grant.id,
            purpose: &grant.purpose,
        })
    }

    /// Returns the value itself, for sealing.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl Granted<Query> {
    /// Returns what is granted: the query that was asked, its period cut off behind the present.
    #[must_use]
    pub const fn query(&self) -> &Query {
        &self.value
    }

    /// Releases the readings and gaps that are granted, in columns, ordered by element.
    ///
    /// Everything else that comes in is left out, whatever the store hands over: elements that the
    /// query does not name or no permitting grant covers, times outside the period or off the grid
    /// of the query's resolution. A series begins with the first point that has a reading or a
    /// gap. An element whose unit changed within the period has a series for each unit, its gaps
    /// in the first; an element of which only gaps are known has none.
    pub fn release(
        self,
        readings: impl IntoIterator<Item = Reading>,
        gaps: impl IntoIterator<Item = Gap>,
    ) -> Granted<Vec<Series>> {
        let mut columns: BTreeMap<Element, BTreeMap<Unit, Vec<Reading>>> = BTreeMap::new();
        for reading in readings {
            if self.permits(&reading.element, reading.time) {
                let units = columns.entry(reading.element.clone()).or_default();
                units.entry(reading.quantity.unit).or_default().push(reading);
            }
        }
        let mut holes: BTreeMap<Element, Vec<Gap>> = BTreeMap::new();
        for gap in gaps {
            if self.permits(&gap.element, gap.time) {
                holes.entry(gap.element.clone()).or_default().push(gap);
            }
        }
        let mut released = Vec::new();
        for (element, units) in columns {
            let mut gaps = holes.remove(&element).unwrap_or_default();
            for readings in units.into_values() {
                released.extend(self.lay_out(&readings, &std::mem::take(&mut gaps)));
            }
        }
        Granted::new(released, self.supplier, self.grants)
    }

    /// Returns whether one point of one element is granted.
    ///
    /// What a permitting grant says of resolution, history and validity holds for every point of
    /// the query, as [`decide`](crate::decide) has checked.
    fn permits(&self, element: &Element, time: Timestamp) -> bool {
        let query = &self.value;
        query.period.contains(time)
            && query.resolution.has_on_grid(time)
            && query.elements.matches(element)
            && self.grants.iter().any(|grant| grant.covers(element))
    }

    fn lay_out(&self, readings: &[Reading], gaps: &[Gap]) -> Option<Series> {
        let times = readings.iter().map(|reading| reading.time);
        let start = times.chain(gaps.iter().map(|gap| gap.time)).min()?;
        Series::from_readings(start, self.value.resolution, readings, gaps)
    }
}

#[cfg(test)]
mod tests {
    use model::{GapReason, Period, Quantity, Span, Status};

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
    fn nothing_in_is_nothing_out() {
        let released = granted("*", "*").release([], [gap("M1", 12)]);
        assert_eq!(released.into_inner(), []);
    }
}
