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
    },
    /// No value can be made of it, for this reason if a gap is.
    Broken(Option<GapReason>),
}

impl Steps {
    /// Adds a value to the step that ends there. A step in which the unit changes has no value, nor one whose sum no decimal
    /// holds.
    pub(super) fn add(&mut self, end: Timestamp, reading: &Reading) {
        let value = reading.quantity.value;
        let first = Step::Known {
            unit: reading.quantity.unit,
            summary: Summary::of(value),
            status: reading.status,
        };
        self.0
            .entry(end)
            .and_modify(|step| {
                if let Step::Known {
                    unit,
                    summary,
                    status,
                } = step
                {
                    match summary.with(value) {
                        Some(more) if *unit == reading.quantity.unit => {
                            *summary = more;
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

    /// Returns the values that a query gets, and the gaps.
    pub(super) fn into_values(
        self,
        element: &Element,
        query: &Query,
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
                } => {
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
                Step::Broken(None) => {}
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
