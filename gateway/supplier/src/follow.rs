//! Following a gateway: when the next pull is due, and what in its answer is new.
//!
//! Pure: the times come in as arguments.

use std::collections::BTreeMap;

use model::{Element, Series, Span, Timestamp};

/// How many steps an element may lag behind and still hold the next request back. What it brings
/// later than that is fetched by a pull of its own, not by following.
const MAX_STEPS_BACK: u32 = 96;
/// How long after a point of the grid its values are asked for, at most: the gateway reads its
/// meters at that point, and a slow bus takes some seconds.
const MAX_SETTLING_SECONDS: u32 = 10;
/// How long is waited after failures at most, unless one step is longer.
const MAX_WAIT_SECONDS: u32 = 30;

/// What of each element has been delivered, so that every value is delivered once.
#[derive(Debug)]
pub struct Backlog {
    step: Span,
    begin: Timestamp,
    next: BTreeMap<Element, Timestamp>,
}

impl Backlog {
    /// Begins with nothing delivered: everything from `begin` on is new.
    #[must_use]
    pub const fn new(step: Span, begin: Timestamp) -> Self {
        Self {
            step,
            begin,
            next: BTreeMap::new(),
        }
    }

    /// Returns from when on the next request has to ask, so that no element misses a value.
    ///
    /// Elements that lag far behind are forgotten, which also bounds the memory.
    pub fn begin_of_request(&mut self, now: Timestamp) -> Timestamp {
        let back = self.step.seconds().saturating_mul(MAX_STEPS_BACK);
        let horizon = Span::from_seconds(back).map_or(now, |back| now.saturating_sub(back));
        let begin = &mut self.begin;
        self.next.retain(|_, next| {
            let kept = *next >= horizon;
            if !kept {
                *begin = (*begin).max(*next);
            }
            kept
        });
        let earliest = self.next.values().min().copied().unwrap_or(self.begin);
        earliest.min(self.step.grid_at_or_before(now))
    }

    /// Returns what of the series has not been delivered yet, and takes it for delivered.
    pub fn take_new(&mut self, series: Vec<Series>) -> Vec<Series> {
        let mut new = Vec::with_capacity(series.len());
        for series in series {
            let begin = self.next.get(&series.element).copied().unwrap_or(self.begin);
            let Some(series) = cut(series, begin) else {
                continue;
            };
            let points = u32::try_from(series.values.len()).unwrap_or(u32::MAX);
            let length = Span::from_seconds(series.step.seconds().saturating_mul(points));
            let next = length.map_or(series.start, |length| series.start.saturating_add(length));
            self.next.insert(series.element.clone(), next);
            new.push(series);
        }
        new
    }
}

/// Returns the series without its points before `begin`, unless none is left.
fn cut(mut series: Series, begin: Timestamp) -> Option<Series> {
    let step = i64::from(series.step.seconds());
    let before = begin.seconds_since(series.start).max(0);
    let points = before.checked_add(step.saturating_sub(1))?.checked_div(step)?;
    let skipped = usize::try_from(points).ok()?;
    if skipped >= series.values.len() {
        return None;
    }
    let skipped_points = u32::try_from(skipped).ok()?;
    series.values.drain(..skipped);
    series.status.drain(..skipped.min(series.status.len()));
    series.gaps = series
        .gaps
        .into_iter()
        .filter_map(|(index, reason)| Some((index.checked_sub(skipped_points)?, reason)))
        .collect();
    if let Some(shift) = Span::from_seconds(series.step.seconds().saturating_mul(skipped_points)) {
        series.start = series.start.saturating_add(shift);
    }
    Some(series)
}

/// When the next pull is due: once per step, and less often while pulls fail.
#[derive(Debug)]
pub struct Schedule {
    step: Span,
    failures: u32,
}

impl Schedule {
    /// Begins with a gateway that answers.
    #[must_use]
    pub const fn new(step: Span) -> Self {
        Self { step, failures: 0 }
    }

    /// Notes that a pull succeeded.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Notes that a pull failed.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Returns when the next pull is due: after the next point of the grid, and after twice as many
    /// steps with each further failure, up to half a minute.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Timestamp {
        let step = self.step.seconds();
        let doubled = 1u32
            .checked_shl(self.failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let most = MAX_WAIT_SECONDS.checked_div(step).unwrap_or(1).max(1);
        let skipped = doubled.min(most).saturating_sub(1);
        let settling = step.checked_div(4).unwrap_or(0).min(MAX_SETTLING_SECONDS);
        let wait = step.saturating_mul(skipped).saturating_add(settling);
        let next = self.step.grid_after(now);
        Span::from_seconds(wait).map_or(next, |wait| next.saturating_add(wait))
    }
}

#[cfg(test)]
mod tests {
    use model::{GapReason, Medium, Status, Unit};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn step() -> Span {
        Span::from_seconds(5).unwrap()
    }

    fn series(meter: &str, start: i64, values: &[Option<&str>]) -> Series {
        Series {
            element: Element {
                meter: meter.parse().unwrap(),
                obis: "7-0:3.0.0*255".parse().unwrap(),
            },
            medium: Medium::Gas,
            unit: Unit::CubicMetre,
            start: at(start),
            step: step(),
            aggregation: model::Aggregation::Value,
            values: values
                .iter()
                .map(|value| value.map(|value| value.parse().unwrap()))
                .collect(),
            status: vec![Status::GOOD; values.len()],
            gaps: (0u32..)
                .zip(values)
                .filter(|(_, value)| value.is_none())
                .map(|(index, _)| (index, GapReason::NoAnswer))
                .collect(),
        }
    }

    #[test]
    fn every_value_is_delivered_once() {
        let mut backlog = Backlog::new(step(), at(100));
        assert_eq!(backlog.begin_of_request(at(112)), at(100));
        let first = series("M1", 100, &[Some("1"), None, Some("3")]);
        assert_eq!(backlog.take_new(vec![first.clone()])[0], first);
        assert_eq!(backlog.begin_of_request(at(117)), at(115));
        assert_eq!(backlog.take_new(vec![first]), []);
        let more = series("M1", 100, &[Some("1"), None, Some("3"), None, Some("5")]);
        let new = backlog.take_new(vec![more]);
        assert_eq!(new, [series("M1", 115, &[None, Some("5")])]);
        assert_eq!(new[0].check(), Ok(()));
    }

    #[test]
    fn slow_element_holds_the_request_back_but_not_for_ever() {
        let mut backlog = Backlog::new(step(), at(0));
        backlog.take_new(vec![
            series("M1", 1_000, &[Some("1"); 3]),
            series("M2", 1_000, &[Some("1")]),
        ]);
        assert_eq!(backlog.begin_of_request(at(1_016)), at(1_005));
        backlog.take_new(vec![series("M1", 1_005, &[Some("1"); 200])]);
        assert_eq!(backlog.begin_of_request(at(2_005)), at(2_005));
        // It comes back later than it was waited for: only what is new since then is taken.
        let late = backlog.take_new(vec![series("M2", 1_000, &[Some("1"), Some("2")])]);
        assert_eq!(late, [series("M2", 1_005, &[Some("2")])]);
    }

    #[test]
    fn request_never_begins_in_the_future() {
        let mut backlog = Backlog::new(step(), at(0));
        backlog.take_new(vec![series("M1", 1_000, &[Some("1"); 3])]);
        assert_eq!(backlog.begin_of_request(at(1_007)), at(1_005));
    }

    #[test]
    fn series_that_begins_off_the_grid_loses_only_what_is_old() {
        let mut backlog = Backlog::new(step(), at(101));
        let new = backlog.take_new(vec![series("M1", 100, &[Some("1"), Some("2")])]);
        assert_eq!(new, [series("M1", 105, &[Some("2")])]);
    }

    #[test]
    fn pulls_follow_the_grid_and_failures_stretch_it() {
        let mut schedule = Schedule::new(step());
        assert_eq!(schedule.due(at(100)), at(106));
        assert_eq!(schedule.due(at(104)), at(106));
        let mut dues = Vec::new();
        for _ in 0..6 {
            schedule.failed();
            dues.push(schedule.due(at(100)).unix_seconds());
        }
        assert_eq!(dues, [106, 111, 121, 131, 131, 131]);
        schedule.succeeded();
        assert_eq!(schedule.due(at(100)), at(106));
        let mut quarter = Schedule::new(Span::QUARTER_HOUR);
        assert_eq!(quarter.due(at(0)), at(910));
        for _ in 0..100 {
            quarter.failed();
        }
        assert_eq!(quarter.due(at(0)), at(910));
        assert_eq!(Schedule::new(Span::from_seconds(1).unwrap()).due(at(7)), at(8));
    }
}
