//! Rounds while they come in: the reports of all buses for one point of the grid.

use std::collections::BTreeMap;

use bus::Report;
use model::{Element, Gap, GapReason, Reading, Timestamp};
use store::Round;

use super::registrar::Missed;
use crate::clock;

/// How many points of the grid can be open at once. A bus reads one round at a time, so the round
/// that runs and the one before it are the only ones that are ever open.
const OPEN_ROUNDS: usize = 2;

/// Collects reports into rounds.
#[derive(Debug)]
pub(super) struct OpenRounds {
    buses: usize,
    open: BTreeMap<Timestamp, OpenRound>,
}

#[derive(Debug, Default)]
struct OpenRound {
    round: Round,
    buses_done: usize,
}

impl OpenRounds {
    /// Expects reports of so many buses.
    pub(super) const fn new(buses: usize) -> Self {
        Self {
            buses,
            open: BTreeMap::new(),
        }
    }

    /// Adds a report and returns the rounds that are complete with it, the oldest first.
    ///
    /// A round is complete when every bus has reported its last meter, or when a newer round has
    /// begun and a bus never reported: then what is there is registered.
    pub(super) fn add(&mut self, report: &Report, expected: &[Element]) -> Vec<(Timestamp, Round)> {
        let open = self.open.entry(report.round).or_default();
        fill(&mut open.round, report, expected);
        if report.remaining == 0 {
            open.buses_done = open.buses_done.saturating_add(1);
        }
        self.take_complete()
    }

    /// Notes that a bus could not be read for a round, and returns the rounds that are complete then.
    pub(super) fn miss(&mut self, missed: &Missed, expected: Vec<Element>) -> Vec<(Timestamp, Round)> {
        let open = self.open.entry(missed.time).or_default();
        open.buses_done = open.buses_done.saturating_add(1);
        let gaps = expected.into_iter().map(|element| Gap {
            element,
            time: missed.time,
            reason: GapReason::BusDown,
        });
        open.round.gaps.extend(gaps);
        self.take_complete()
    }

    /// Returns every round that is open, complete or not.
    pub(super) fn take_all(&mut self) -> Vec<(Timestamp, Round)> {
        let open = std::mem::take(&mut self.open);
        open.into_iter().map(|(time, open)| (time, open.round)).collect()
    }

    fn take_complete(&mut self) -> Vec<(Timestamp, Round)> {
        let mut complete = Vec::new();
        while let Some(oldest) = self.open.first_entry() {
            if oldest.get().buses_done < self.buses && self.open.len() <= OPEN_ROUNDS {
                break;
            }
            let Some((time, open)) = self.open.pop_first() else {
                break;
            };
            complete.push((time, open.round));
        }
        complete
    }
}

/// Puts what a meter gave, or the gaps that it left, at its point of the grid.
fn fill(round: &mut Round, report: &Report, expected: &[Element]) {
    let time = report.round;
    let answer = match &report.outcome {
        Ok(answer) => answer,
        Err(error) => {
            let reason = error.gap_reason();
            let gaps = expected.iter().cloned().map(|element| Gap {
                element,
                time,
                reason,
            });
            round.gaps.extend(gaps);
            return;
        }
    };
    let left_out = expected
        .iter()
        .filter(|element| !answer.samples.iter().any(|sample| sample.element == **element));
    round.gaps.extend(left_out.map(|element| Gap {
        element: element.clone(),
        time,
        reason: GapReason::NotAvailable,
    }));
    for sample in &answer.samples {
        let element = sample.element.clone();
        match sample.value {
            Ok(quantity) => round.readings.push(Reading {
                element,
                time,
                quantity,
                status: sample.status.with(clock::status_at(time)),
            }),
            Err(reason) => round.gaps.push(Gap {
                element,
                time,
                reason,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use bus::{MeterAnswer, PollError, RoundKind, Statistics};
    use model::{Medium, Quantity, Sample, Status, Unit};

    use super::*;

    fn element() -> Element {
        Element {
            meter: "M1".parse().unwrap(),
            obis: "7-0:3.0.0*255".parse().unwrap(),
        }
    }

    fn report(seconds: i64, remaining: usize, outcome: Result<MeterAnswer, PollError>) -> Report {
        Report {
            bus: "b".to_owned(),
            meter: "m".to_owned(),
            kind: RoundKind::Registration,
            round: Timestamp::from_unix_seconds(seconds).unwrap(),
            remaining,
            outcome,
            statistics: Statistics::default(),
        }
    }

    fn answer() -> Result<MeterAnswer, PollError> {
        Ok(MeterAnswer {
            id: "M1".parse().unwrap(),
            medium: Medium::Gas,
            samples: vec![Sample {
                element: element(),
                value: Ok(Quantity {
                    value: "1.5".parse().unwrap(),
                    unit: Unit::CubicMetre,
                }),
                status: Status::GOOD,
            }],
        })
    }

    #[test]
    fn a_round_is_complete_when_every_bus_is_through() {
        let mut rounds = OpenRounds::new(2);
        assert!(rounds.add(&report(1_800_000_000, 1, answer()), &[]).is_empty());
        assert!(rounds.add(&report(1_800_000_000, 0, answer()), &[]).is_empty());
        let complete = rounds.add(&report(1_800_000_000, 0, answer()), &[]);
        assert_eq!(complete.len(), 1);
        assert_eq!(complete[0].1.readings.len(), 3);
    }

    #[test]
    fn a_bus_that_never_reports_does_not_hold_a_round_for_ever() {
        let mut rounds = OpenRounds::new(2);
        assert!(rounds.add(&report(10, 0, answer()), &[]).is_empty());
        assert!(rounds.add(&report(20, 0, answer()), &[]).is_empty());
        let complete = rounds.add(&report(30, 0, answer()), &[]);
        assert_eq!(complete.len(), 1);
        assert_eq!(complete[0].0.unix_seconds(), 10);
    }

    #[test]
    fn a_silent_meter_leaves_gaps_with_the_reason() {
        let mut rounds = OpenRounds::new(1);
        let silent = report(10, 0, Err(PollError::NoAnswer { tries: 3 }));
        let complete = rounds.add(&silent, &[element()]);
        assert_eq!(complete[0].1.gaps[0].reason, GapReason::NoAnswer);
        assert!(complete[0].1.readings.is_empty());
    }

    #[test]
    fn values_of_an_unset_clock_are_marked() {
        let mut rounds = OpenRounds::new(1);
        let complete = rounds.add(&report(10, 0, answer()), &[]);
        assert!(complete[0].1.readings[0].status.contains(Status::CLOCK_UNKNOWN));
    }

    #[test]
    fn an_element_that_a_meter_left_out_is_a_gap() {
        let other = Element {
            obis: "7-0:43.15.0*255".parse().unwrap(),
            ..element()
        };
        let mut rounds = OpenRounds::new(1);
        let complete = rounds.add(&report(10, 0, answer()), &[element(), other.clone()]);
        let gaps: Vec<_> = complete[0]
            .1
            .gaps
            .iter()
            .map(|gap| (&gap.element, gap.reason))
            .collect();
        assert_eq!(gaps, [(&other, GapReason::NotAvailable)]);
        assert_eq!(complete[0].1.readings.len(), 1);
    }

    #[test]
    fn a_bus_that_was_busy_leaves_gaps_and_holds_nobody_up() {
        let mut rounds = OpenRounds::new(2);
        assert!(rounds.add(&report(10, 0, answer()), &[]).is_empty());
        let missed = Missed {
            bus: "b".to_owned(),
            time: Timestamp::from_unix_seconds(10).unwrap(),
        };
        let complete = rounds.miss(&missed, vec![element()]);
        assert_eq!(complete[0].1.gaps[0].reason, GapReason::BusDown);
        assert_eq!(complete[0].1.readings.len(), 1);
    }

    #[test]
    fn what_is_open_at_the_end_is_not_lost() {
        let mut rounds = OpenRounds::new(2);
        assert!(rounds.add(&report(10, 0, answer()), &[]).is_empty());
        assert_eq!(rounds.take_all()[0].1.readings.len(), 1);
        assert!(rounds.take_all().is_empty());
    }
}
