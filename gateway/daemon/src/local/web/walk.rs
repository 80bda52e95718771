//! One register over a time, reading by reading: what stands at certain times, and where it did not go on from what it showed
//! before.
//!
//! Two readings alone do not tell what lies between them: a register that was reset, has overflowed, or belongs to another
//! meter shows less at first, and may show more again before the end. Whoever looks at every reading sees it.

use std::collections::BTreeMap;

use billing::Part;
use model::{Element, ElementPattern, Period, Reading, Span, Timestamp};
use store::{Database, DatabaseError, Page};

use super::history::Point;

/// The most readings that are looked at: a year of one each minute. It bounds how long a page takes.
const MOST_READINGS: usize = 530_000;
/// The most breaks that are told; a register with more is broken itself.
pub(super) const MOST_BREAKS: usize = 50;

/// A place where a register did not go on: it went back, or counts in another unit since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Break {
    /// The last reading before.
    pub(super) before: Reading,
    /// The first reading behind.
    pub(super) after: Reading,
}

/// What was found on the way.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// What stands at the times that were asked for.
    pub(super) points: BTreeMap<Timestamp, Point>,
    pub(super) breaks: Vec<Break>,
    first: Option<Reading>,
    last: Option<Reading>,
    /// Whether the end was reached.
    pub(super) is_whole: bool,
}

impl Walk {
    /// Walks from one time to another, both included, and looks at what stands at `times`, which rise.
    pub(super) fn over(
        database: &Database,
        element: &Element,
        (from, to): (Timestamp, Timestamp),
        times: &[Timestamp],
    ) -> Result<Self, DatabaseError> {
        let mut walk = Self::default();
        let behind = Span::from_seconds(1).map_or(to, |second| to.saturating_add(second));
        let pattern = ElementPattern::from(element.clone());
        let mut rest = Period::new(from, behind).ok();
        let mut count = 0usize;
        while let Some(period) = rest {
            if count >= MOST_READINGS || walk.breaks.len() >= MOST_BREAKS {
                return Ok(walk);
            }
            let page = database.readings(&pattern, period)?;
            count = count.saturating_add(page.readings.len().max(1));
            rest = page.rest;
            walk.take(page, times);
        }
        walk.is_whole = true;
        Ok(walk)
    }

    /// Makes a walk on which nothing was seen but what stands at certain times.
    #[cfg(test)]
    pub(super) fn standing(points: BTreeMap<Timestamp, Point>) -> Self {
        Self {
            points,
            ..Self::default()
        }
    }

    fn take(&mut self, page: Page, times: &[Timestamp]) {
        let is_asked_for = |time: &Timestamp| times.binary_search(time).is_ok();
        for reading in page.readings {
            if is_asked_for(&reading.time) {
                let point = Point::Reading(reading.quantity, reading.status);
                self.points.insert(reading.time, point);
            }
            self.go_on(reading);
        }
        for gap in page.gaps.iter().filter(|gap| is_asked_for(&gap.time)) {
            self.points.entry(gap.time).or_insert(Point::Gap(gap.reason));
        }
        for damaged in &page.damaged {
            let within = |time: &&Timestamp| (damaged.period.from()..damaged.period.to()).contains(*time);
            for time in times.iter().filter(within) {
                self.points.entry(*time).or_insert(Point::Damaged);
            }
        }
    }

    fn go_on(&mut self, reading: Reading) {
        let Some(before) = self.last.replace(reading.clone()) else {
            self.first = Some(reading);
            return;
        };
        let is_break = before.quantity.unit != reading.quantity.unit
            || reading
                .quantity
                .value
                .compare(before.quantity.value)
                .is_none_or(std::cmp::Ordering::is_lt);
        if is_break && self.breaks.len() < MOST_BREAKS {
            let after = reading;
            self.breaks.push(Break { before, after });
        }
    }

    /// Returns whether the register did not go on somewhere between two times.
    pub(super) fn is_broken(&self, from: Timestamp, to: Timestamp) -> bool {
        self.breaks
            .iter()
            .any(|one| from <= one.before.time && one.after.time <= to)
    }

    /// Returns the parts of the time in which the register has only counted up, each with the readings at its ends. What lies
    /// between two of them nobody has seen.
    pub(super) fn runs(&self) -> Vec<Part<Reading>> {
        let begins = self.first.iter().chain(self.breaks.iter().map(|one| &one.after));
        let ends = self.breaks.iter().map(|one| &one.before).chain(self.last.iter());
        let run = |(start, end): (&Reading, &Reading)| {
            let consumption = end.quantity.value.checked_sub(start.quantity.value)?;
            Some(Part {
                start: start.clone(),
                end: end.clone(),
                consumption,
            })
        };
        begins.zip(ends).filter_map(run).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::{Quantity, Status, Unit};

    use super::super::testing::store;
    use super::*;

    fn reading(hour: i64, value: &str, unit: Unit) -> Reading {
        Reading {
            element: Element {
                meter: "M1".parse().unwrap(),
                obis: "1-0:1.8.0*255".parse().unwrap(),
            },
            time: Timestamp::from_unix_seconds(hour * 3_600).unwrap(),
            quantity: Quantity {
                value: value.parse().unwrap(),
                unit,
            },
            status: Status::GOOD,
        }
    }

    #[test]
    fn register_that_went_back_and_caught_up_is_seen_and_its_runs_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let values = ["100", "150.5", "0", "60", "220"];
        let readings: Vec<_> = (0..)
            .zip(values)
            .map(|(hour, value)| reading(hour, value, Unit::WattHour))
            .chain([reading(5, "230", Unit::Joule)])
            .collect();
        let store = store(folder.path(), readings.clone());
        let time = |hour: usize| readings[hour].time;
        let times = [time(0), time(4)];
        let walk = Walk::over(store.database(), &readings[0].element, (time(0), time(5)), &times).unwrap();
        assert!(walk.is_whole);
        let at: Vec<_> = walk.points.keys().copied().collect();
        assert_eq!(at, times);
        let told: Vec<_> = walk
            .breaks
            .iter()
            .map(|one| (one.before.time, one.after.time))
            .collect();
        assert_eq!(told, [(time(1), time(2)), (time(4), time(5))]);
        let runs: Vec<_> = walk
            .runs()
            .iter()
            .map(|run| run.consumption.to_string())
            .collect();
        assert_eq!(runs, ["50.5", "220", "0"]);
        assert!(walk.is_broken(time(0), time(2)) && walk.is_broken(time(1), time(4)));
        assert!(!walk.is_broken(time(2), time(4)) && !walk.is_broken(time(0), time(1)));
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let one = reading(0, "1", Unit::WattHour);
        let store = store(folder.path(), Vec::new());
        let end = Timestamp::from_unix_seconds(86_400).unwrap();
        let walk = Walk::over(store.database(), &one.element, (one.time, end), &[one.time, end]).unwrap();
        assert!(walk.is_whole && walk.points.is_empty() && walk.runs().is_empty());
    }
}
