//! Steps: what is made of all values of a stretch of time.

use std::collections::BTreeMap;

use model::{
    Aggregation, Decimal, Element, Gap, GapReason, Quantity, Query, Reading, Status, Summary, Timestamp, Unit,
};

/// The steps of one element, by their ends. There are no more of them than points that have come in.
#[derive(Debug, Default)]
pub(super) struct Steps(BTreeMap<Timestamp, Step>);

/// What is known of a step.
#[derive(Debug)]
enum Step {
    /// All values so far.
    Known {
        unit: Unit,
        summary: Summary,
        status: Status,
        times: Times,
    },
    /// No value can be made of it, for this reason if a gap is.
    Broken(Option<GapReason>),
}

/// The times of the values of a step so far: one as far behind the other as the first is behind the step's begin.
#[derive(Debug, Clone, Copy)]
struct Times {
    last: Timestamp,
    apart: u64,
    count: u64,
}

impl Times {
    fn first(begin: Timestamp, time: Timestamp) -> Self {
        Self {
            last: time,
            apart: seconds_between(begin, time),
            count: 1,
        }
    }

    /// Returns them with another one, unless one is missing in between.
    fn with(self, time: Timestamp) -> Option<Self> {
        (seconds_between(self.last, time) == self.apart).then_some(Self {
            last: time,
            count: self.count.saturating_add(1),
            ..self
        })
    }

    /// Returns whether none is missing of a step that ends there and has at least so many.
    fn are_whole(self, end: Timestamp, fewest: u64) -> bool {
        self.last == end && self.count >= fewest
    }
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> u64 {
    later.unix_seconds().abs_diff(earlier.unix_seconds())
}

impl Steps {
    /// Adds a value to the step between two times, in the order of the values' times. A step in which the unit changes has no
    /// value, nor one whose sum no decimal holds, nor one whose values are not evenly apart: where one is missing between
    /// others, whatever the reason, the rest would stand for less than a step.
    pub(super) fn add(&mut self, (begin, end): (Timestamp, Timestamp), reading: &Reading) {
        let value = reading.quantity.value;
        let first = Step::Known {
            unit: reading.quantity.unit,
            summary: Summary::of(value),
            status: reading.status,
            times: Times::first(begin, reading.time),
        };
        self.0
            .entry(end)
            .and_modify(|step| {
                if let Step::Known {
                    unit,
                    summary,
                    status,
                    times,
                } = step
                {
                    match (summary.with(value), times.with(reading.time)) {
                        (Some(more), Some(further)) if *unit == reading.quantity.unit => {
                            *summary = more;
                            *times = further;
                            *status = status.with(reading.status);
                        }
                        _ => *step = Step::Broken(None),
                    }
                }
            })
            .or_insert(first);
    }

    /// Takes note that a value is missing in the step that ends there; the first reason stands.
    pub(super) fn miss(&mut self, end: Timestamp, reason: GapReason) {
        let step = self.0.entry(end).or_insert(Step::Broken(Some(reason)));
        match step {
            Step::Known { .. } | Step::Broken(None) => *step = Step::Broken(Some(reason)),
            Step::Broken(Some(_)) => {}
        }
    }

    /// Returns the values that a query gets, and the gaps. A step is given out if it has at least so many values.
    pub(super) fn into_values(
        self,
        element: &Element,
        query: &Query,
        fewest: u64,
    ) -> (BTreeMap<Unit, Vec<Reading>>, Vec<Gap>) {
        let mut values: BTreeMap<Unit, Vec<Reading>> = BTreeMap::new();
        let mut gaps = Vec::new();
        for (time, step) in self.0 {
            if !query.period.contains(time) {
                continue;
            }
            match step {
                Step::Known {
                    unit,
                    summary,
                    status,
                    times,
                } if times.are_whole(time, fewest) => {
                    let reading = value_of(query.aggregation, &summary).map(|value| Reading {
                        element: element.clone(),
                        time,
                        quantity: Quantity { value, unit },
                        status,
                    });
                    values.entry(unit).or_default().extend(reading);
                }
                Step::Broken(Some(reason)) => gaps.push(Gap {
                    element: element.clone(),
                    time,
                    reason,
                }),
                Step::Known { .. } | Step::Broken(None) => {}
            }
        }
        (values, gaps)
    }
}

fn value_of(aggregation: Aggregation, summary: &Summary) -> Option<Decimal> {
    match aggregation {
        Aggregation::Minimum => Some(summary.least()),
        Aggregation::Maximum => Some(summary.greatest()),
        Aggregation::Mean => summary.mean(),
        // They are made of single points, not of steps.
        Aggregation::Value | Aggregation::Difference | Aggregation::Latest => None,
    }
}
