//! What the calibration log says of the meters: which ones there are, what they report, which gaps
//! are open. It is rebuilt from the log at the start, since that is never overwritten.

use std::collections::BTreeMap;

use bus::Report;
use model::{CalibrationEvent, GapReason, LogEvent, LogKind, LogText, MeterId, Status, Timestamp};
use store::LogError;

use super::Journal;

/// How many rounds in a row a meter must give values until a gap is over, so that a meter on a bad line
/// makes two entries an hour and not eight.
const RECOVERED_ROUNDS: u32 = 4;

/// The errors among the bits of a status.
const ERRORS: [Status; 3] = [
    Status::TEMPORARY_ERROR,
    Status::PERMANENT_ERROR,
    Status::LOW_POWER,
];

/// The meters by their names in the configuration.
#[derive(Debug, Default)]
pub(crate) struct MeterBook {
    meters: BTreeMap<LogText, Page>,
    /// The last point of the grid for which anything was registered.
    last_round: Option<Timestamp>,
}

/// What is known of one meter.
#[derive(Debug, Default)]
struct Page {
    meter: Option<MeterId>,
    status: Status,
    gap: Option<Gap>,
}

#[derive(Debug)]
struct Gap {
    from: Timestamp,
    /// The first point with values again, and how many have followed it.
    recovery: Option<(Timestamp, u32)>,
}

impl MeterBook {
    /// Reads the calibration log from its beginning. `last_round` is the last point that was registered.
    ///
    /// # Errors
    ///
    /// [`LogError`] if it cannot be read.
    pub(crate) fn read(journal: &Journal, last_round: Option<Timestamp>) -> Result<Self, LogError> {
        let mut book = Self {
            last_round,
            ..Self::default()
        };
        let mut after = Some(0);
        while let Some(behind) = after {
            let page = journal.logs().page(LogKind::Calibration, behind, None)?;
            for entry in &page.entries {
                if let Some(LogEvent::Calibration(event)) = entry.event() {
                    book.take_over(event);
                }
            }
            after = page.next;
        }
        Ok(book)
    }

    fn take_over(&mut self, event: CalibrationEvent) {
        match event {
            CalibrationEvent::MeterSeen { name, meter, .. } => self.page(name).meter = Some(meter),
            CalibrationEvent::MeterReplaced { name, now, .. } => {
                let page = self.page(name);
                (page.meter, page.status) = (Some(now), Status::GOOD);
            }
            CalibrationEvent::MeterStatus { name, status, .. } => self.page(name).status = status,
            CalibrationEvent::GapBegun { name, from, .. } => {
                self.page(name).gap = Some(Gap { from, recovery: None });
            }
            CalibrationEvent::GapEnded { name, .. } => self.page(name).gap = None,
            CalibrationEvent::ClockUnset
            | CalibrationEvent::ClockSet
            | CalibrationEvent::ClockJumped { .. }
            | CalibrationEvent::RegistrationInterrupted { .. } => {}
        }
    }

    fn page(&mut self, name: LogText) -> &mut Page {
        self.meters.entry(name).or_default()
    }

    /// Returns what a report has that is worth an entry.
    pub(crate) fn add(&mut self, report: &Report) -> Vec<LogEvent> {
        let name = LogText::cut(&report.meter);
        let page = self.page(name.clone());
        let mut events = Vec::new();
        let reason = match &report.outcome {
            Err(error) => Some(error.gap_reason()),
            Ok(answer) => {
                events.extend(page.identity(&name, answer));
                let all_absent = answer.samples.iter().all(|sample| sample.value.is_err());
                all_absent.then_some(GapReason::NotAvailable)
            }
        };
        events.extend(match reason {
            Some(reason) => page.miss(&name, report.round, reason),
            None => page.hit(&name, report.round),
        });
        events.into_iter().map(LogEvent::from).collect()
    }

    /// Returns what is worth an entry when a meter was not read at all.
    pub(crate) fn miss(&mut self, meter: &str, time: Timestamp, reason: GapReason) -> Vec<LogEvent> {
        let name = LogText::cut(meter);
        let events = self.page(name.clone()).miss(&name, time, reason);
        events.into_iter().map(LogEvent::from).collect()
    }

    /// Returns an entry if nothing at all was registered before the round for longer than a period.
    pub(crate) fn round(&mut self, time: Timestamp, period: model::Span) -> Option<LogEvent> {
        let last = self.last_round.replace(time)?;
        let next = time;
        (next > last.saturating_add(period))
            .then(|| CalibrationEvent::RegistrationInterrupted { last, next }.into())
    }
}

impl Page {
    /// Notices a meter that is new, another one, or that reports other errors than before.
    fn identity(&mut self, name: &LogText, answer: &bus::MeterAnswer) -> Vec<CalibrationEvent> {
        let mut events = Vec::new();
        match self.meter.replace(answer.id.clone()) {
            None => events.push(CalibrationEvent::MeterSeen {
                name: name.clone(),
                meter: answer.id.clone(),
                medium: answer.medium,
            }),
            Some(before) if before != answer.id => {
                self.status = Status::GOOD;
                events.push(CalibrationEvent::MeterReplaced {
                    name: name.clone(),
                    before,
                    now: answer.id.clone(),
                });
            }
            Some(_) => {}
        }
        let reports = |error: &Status| answer.samples.iter().any(|sample| sample.status.contains(*error));
        let status = ERRORS
            .into_iter()
            .filter(reports)
            .fold(Status::GOOD, Status::with);
        if status != self.status {
            self.status = status;
            events.push(CalibrationEvent::MeterStatus {
                name: name.clone(),
                meter: answer.id.clone(),
                status,
            });
        }
        events
    }

    fn miss(&mut self, name: &LogText, time: Timestamp, reason: GapReason) -> Vec<CalibrationEvent> {
        if let Some(gap) = &mut self.gap {
            gap.recovery = None;
            return Vec::new();
        }
        self.gap = Some(Gap {
            from: time,
            recovery: None,
        });
        vec![CalibrationEvent::GapBegun {
            name: name.clone(),
            meter: self.meter.clone(),
            from: time,
            reason,
        }]
    }

    fn hit(&mut self, name: &LogText, time: Timestamp) -> Vec<CalibrationEvent> {
        let (Some(gap), Some(meter)) = (&mut self.gap, &self.meter) else {
            return Vec::new();
        };
        let (to, rounds) = gap.recovery.unwrap_or((time, 0));
        let rounds = rounds.saturating_add(1);
        gap.recovery = Some((to, rounds));
        if rounds < RECOVERED_ROUNDS {
            return Vec::new();
        }
        let event = CalibrationEvent::GapEnded {
            name: name.clone(),
            meter: meter.clone(),
            from: gap.from,
            to,
        };
        self.gap = None;
        vec![event]
    }
}

#[cfg(test)]
mod tests {
    use bus::{MeterAnswer, PollError, RoundKind, Statistics};
    use model::{Element, Medium, Quantity, Sample, Span, Unit};

    use super::*;

    fn at(quarter: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + quarter * 900).unwrap()
    }

    fn report(quarter: i64, outcome: Result<MeterAnswer, PollError>) -> Report {
        Report {
            bus: "cellar".to_owned(),
            meter: "gas".to_owned(),
            kind: RoundKind::Registration,
            round: at(quarter),
            remaining: 0,
            outcome,
            statistics: Statistics::default(),
        }
    }

    fn answer(meter: &str, status: Status) -> Result<MeterAnswer, PollError> {
        let meter: MeterId = meter.parse().unwrap();
        Ok(MeterAnswer {
            id: meter.clone(),
            medium: Medium::Gas,
            samples: vec![Sample {
                element: Element {
                    meter,
                    obis: "7-0:3.0.0*255".parse().unwrap(),
                },
                value: Ok(Quantity {
                    value: "1".parse().unwrap(),
                    unit: Unit::CubicMetre,
                }),
                status,
            }],
        })
    }

    fn silence() -> Result<MeterAnswer, PollError> {
        Err(PollError::NoAnswer { tries: 3 })
    }

    fn good() -> Result<MeterAnswer, PollError> {
        answer("M1", Status::GOOD)
    }

    fn codes(events: &[LogEvent]) -> Vec<&'static str> {
        events.iter().map(LogEvent::code).collect()
    }

    #[test]
    fn a_meter_is_seen_once_and_its_exchange_is_noticed() {
        let mut book = MeterBook::default();
        assert_eq!(codes(&book.add(&report(0, good()))), ["SMGW-L-3004"]);
        assert!(book.add(&report(1, good())).is_empty());
        let exchanged = book.add(&report(2, answer("M2", Status::GOOD)));
        assert_eq!(codes(&exchanged), ["SMGW-L-3005"]);
        assert!(book.add(&report(3, answer("M2", Status::GOOD))).is_empty());
    }

    #[test]
    fn errors_of_a_meter_are_logged_when_they_come_and_go() {
        let mut book = MeterBook::default();
        book.add(&report(0, good()));
        let low = || answer("M1", Status::LOW_POWER.with(Status::FROM_FLOAT));
        let events = book.add(&report(1, low()));
        assert_eq!(codes(&events), ["SMGW-L-3006"]);
        assert!(events[0].to_string().ends_with("0x10"), "{}", events[0]);
        assert!(book.add(&report(2, low())).is_empty());
        assert_eq!(codes(&book.add(&report(3, good()))), ["SMGW-L-3006"]);
    }

    #[test]
    fn a_gap_begins_at_once_and_ends_when_the_meter_has_recovered() {
        let mut book = MeterBook::default();
        book.add(&report(0, good()));
        assert_eq!(codes(&book.add(&report(1, silence()))), ["SMGW-L-3007"]);
        for quarter in [2, 4, 6] {
            assert!(book.add(&report(quarter, silence())).is_empty());
            assert!(book.add(&report(quarter + 1, good())).is_empty());
        }
        assert!(book.add(&report(8, good())).is_empty());
        assert!(book.add(&report(9, good())).is_empty());
        let ended = CalibrationEvent::GapEnded {
            name: LogText::cut("gas"),
            meter: "M1".parse().unwrap(),
            from: at(1),
            to: at(7),
        };
        assert_eq!(book.add(&report(10, good())), [LogEvent::from(ended)]);
        assert!(book.add(&report(11, good())).is_empty());
    }

    #[test]
    fn a_meter_without_any_value_leaves_a_gap() {
        let mut book = MeterBook::default();
        let mut empty = good().unwrap();
        empty.samples[0].value = Err(GapReason::NotAvailable);
        let events = book.add(&report(0, Ok(empty)));
        assert_eq!(codes(&events), ["SMGW-L-3004", "SMGW-L-3007"]);
    }

    #[test]
    fn meter_that_nobody_asked_leaves_a_gap_too() {
        let mut book = MeterBook::default();
        let begun = CalibrationEvent::GapBegun {
            name: LogText::cut("gas"),
            meter: None,
            from: at(0),
            reason: GapReason::BusDown,
        };
        let miss = |book: &mut MeterBook, quarter| book.miss("gas", at(quarter), GapReason::BusDown);
        assert_eq!(miss(&mut book, 0), [LogEvent::from(begun)]);
        assert!(miss(&mut book, 1).is_empty());
    }

    #[test]
    fn rounds_that_are_left_out_are_noticed() {
        let mut book = MeterBook::default();
        let period = Span::QUARTER_HOUR;
        assert_eq!(book.round(at(0), period), None);
        assert_eq!(book.round(at(1), period), None);
        let interrupted = CalibrationEvent::RegistrationInterrupted {
            last: at(1),
            next: at(3),
        };
        assert_eq!(book.round(at(3), period), Some(interrupted.into()));
        assert_eq!(book.round(at(3), period), None);
    }
}
