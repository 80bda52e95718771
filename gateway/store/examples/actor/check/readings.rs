//! Looking at readings and gaps: each that was acknowledged is there, or told of as damaged.

use std::collections::BTreeSet;

use model::{Element, ElementPattern, Gap, Reading, Timestamp};
use store::{Damaged, Database, RowKind};

use super::Known;
use super::losses::Told;
use crate::acts::{self, Act};
use crate::verdict::Verdict;

/// The greatest number of pages that are read; a store of the torture has some dozens.
const MAX_PAGES: usize = 1_024;

/// What was found at all.
#[derive(Default)]
pub(super) struct Found {
    /// Times and meters.
    points: BTreeSet<(Timestamp, u32)>,
    damaged: Vec<Damaged>,
    /// The database could not be read: whatever is missing is told of.
    failed: bool,
}

/// Reads everything that is registered.
pub(super) fn read(database: &Database, verdict: &mut Verdict) -> Found {
    let mut found = Found::default();
    found.read(database, verdict);
    look_at_latest(database, verdict);
    if !found.damaged.is_empty() {
        let count = found.damaged.len();
        verdict.reported.push(format!("readings: {count} damaged"));
    }
    found
}

const fn registers(act: Act) -> bool {
    matches!(act, Act::Round(_) | Act::Day(_) | Act::Post(_))
}

impl Found {
    /// Judges what is there; returns the acts whose points are all there.
    pub(super) fn judge(&self, known: &Known, told: &Told, verdict: &mut Verdict) -> Known {
        let there = self.points.iter().filter_map(|(time, _)| acts::act_at(*time));
        let begun: Known = there.collect();
        let mut acts = begun.clone();
        acts.extend(known.iter().filter(|act| registers(**act)));
        let mut whole = Known::new();
        for act in acts {
            if self.judge_act(act, known, begun.contains(&act), told, verdict) {
                whole.insert(act);
            }
        }
        whole
    }

    fn read(&mut self, database: &Database, verdict: &mut Verdict) {
        let mut rest = acts::always();
        for _ in 0..MAX_PAGES {
            let Some(period) = rest else { break };
            let page = match database.readings(&ElementPattern::ANY, period) {
                Ok(page) => page,
                Err(error) => {
                    self.failed = true;
                    verdict.report("readings", &error);
                    break;
                }
            };
            for reading in &page.readings {
                if acts::point(reading.time, &reading.element) == Some(Ok(reading.clone())) {
                    self.add(&reading.element, reading.time, verdict);
                } else {
                    verdict.wrong(format!("{reading:?}"));
                }
            }
            for gap in &page.gaps {
                if acts::point(gap.time, &gap.element) == Some(Err(gap.clone())) {
                    self.add(&gap.element, gap.time, verdict);
                } else {
                    verdict.wrong(format!("{gap:?}"));
                }
            }
            self.damaged.extend(page.damaged);
            rest = page.rest;
        }
    }

    fn add(&mut self, element: &Element, time: Timestamp, verdict: &mut Verdict) {
        let meter = acts::meter_of(element).unwrap_or(u32::MAX);
        let is_new = self.points.insert((time, meter));
        if !is_new || acts::act_at(time).is_none() {
            verdict.wrong(format!(
                "{element:?} stands twice, or where none belongs, at {time}"
            ));
        }
    }

    /// Judges what is there of an act, and returns whether all of it is. A day is forgotten as a whole.
    fn judge_act(&self, act: Act, known: &Known, is_begun: bool, told: &Told, verdict: &mut Verdict) -> bool {
        let is_told = told.tell_of(&[RowKind::Round, RowKind::Day, RowKind::Chunk, RowKind::Element]);
        let round = acts::round(act);
        let of_reading = |reading: &Reading| (reading.time, reading.element.clone());
        let of_gap = |gap: &Gap| (gap.time, gap.element.clone());
        let points = round.readings.iter().map(of_reading);
        let mut missing = points
            .chain(round.gaps.iter().map(of_gap))
            .filter(|(time, element)| {
                acts::meter_of(element).is_none_or(|meter| !self.points.contains(&(*time, meter)))
            })
            .peekable();
        if missing.peek().is_none() {
            let is_forgotten =
                |other: &Act| matches!((act, other), (Act::Day(day), Act::Forget(first)) if day < *first);
            if !is_told && known.iter().any(is_forgotten) {
                verdict.change(format!("{act} came back"));
            }
            return true;
        }
        let is_told = is_told || missing.all(|(time, element)| self.tells_of(time, &element));
        let may_be_forgotten =
            |other: &Act| matches!((act, other), (Act::Day(day), Act::WillForget(first)) if day < *first);
        if !is_begun && known.iter().any(may_be_forgotten) {
            return false;
        }
        if known.contains(&act) {
            verdict.lose(act, is_told);
        } else if !is_told {
            verdict.change(format!("{act} is there in part"));
        }
        false
    }

    fn tells_of(&self, time: Timestamp, element: &Element) -> bool {
        let is_meant = |damaged: &Damaged| {
            damaged.period.contains(time) && damaged.element.as_ref().is_none_or(|meant| meant == element)
        };
        self.failed || self.damaged.iter().any(is_meant)
    }
}

fn look_at_latest(database: &Database, verdict: &mut Verdict) {
    match database.latest() {
        Ok(latest) => {
            for reading in latest.readings {
                if acts::point(reading.time, &reading.element) != Some(Ok(reading.clone())) {
                    verdict.wrong(format!("latest {reading:?}"));
                }
            }
        }
        Err(error) => verdict.report("latest", &error),
    }
}
