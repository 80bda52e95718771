//! What one register has counted in a time, by stages.
//!
//! Pure: the readings come in. A stage's consumption is what the register shows at the end of each of its windows less what
//! it shows at the beginning, so that the stages together are always the whole.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::{Decimal, Element, Quantity, Timestamp, Unit};

use crate::tariff::{Stage, Tariff, local};
use crate::{CountError, Shown};

/// How many days a bill is about at most: ten years.
const MAX_DAYS: usize = 3_660;
/// How many missing readings an error names.
const NAMED: usize = 10;

/// What was counted between two readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<R> {
    /// The reading at the beginning.
    pub start: R,
    /// The reading at the end.
    pub end: R,
    /// What was counted, in the unit of the readings.
    pub consumption: Decimal,
}

/// What was counted in one stage.
#[derive(Debug, Clone)]
pub struct Counted<'a, R> {
    /// The stage; none without a tariff.
    pub stage: Option<&'a Stage>,
    /// The unit of the register.
    pub unit: Unit,
    /// The windows in which it held, each between two readings.
    pub parts: Vec<Part<R>>,
}

impl<R> Counted<'_, R> {
    /// Returns what was counted in all windows together.
    ///
    /// # Errors
    ///
    /// [`CountError::Overflow`] if the number is too large.
    pub fn whole(&self) -> Result<Quantity, CountError> {
        let mut parts = self.parts.iter();
        let whole = parts.try_fold(Decimal::whole(0), |sum, part| sum.checked_add(part.consumption));
        Ok(Quantity {
            value: whole.ok_or(CountError::Overflow)?,
            unit: self.unit,
        })
    }
}

/// A part of the time in which one stage holds.
struct Section<'a> {
    begin: Timestamp,
    end: Timestamp,
    stage: Option<&'a Stage>,
}

/// One register and what is known of it, from the beginning of the time to its end, both included.
#[derive(Debug, Clone, Copy)]
pub struct Register<'a, R> {
    /// The register.
    pub element: &'a Element,
    /// Its readings in the order of time: those at the boundaries at least.
    pub readings: &'a [R],
}

impl<R: Shown> Register<'_, R> {
    /// Divides what was counted among the stages; without a tariff it is one.
    ///
    /// # Errors
    ///
    /// [`CountError`] names the reading that is missing, or whatever else keeps the figures from being right.
    pub fn count<'t>(
        &self,
        (from, to): (Timestamp, Timestamp),
        tariff: Option<&'t Tariff>,
    ) -> Result<Vec<Counted<'t, R>>, CountError> {
        let unit = self.check()?;
        let sections = sections(self.element, (from, to), tariff)?;
        let by_time: BTreeMap<Timestamp, &R> = self
            .readings
            .iter()
            .map(|reading| (reading.time(), reading))
            .collect();
        self.check_boundaries(&sections, &by_time)?;
        let mut counted: Vec<Counted<'t, R>> = Vec::new();
        for Section { begin, end, stage } in sections {
            let (Some(start), Some(end)) = (by_time.get(&begin), by_time.get(&end)) else {
                continue;
            };
            let consumption = end.quantity().value.checked_sub(start.quantity().value);
            let part = Part {
                start: (*start).clone(),
                end: (*end).clone(),
                consumption: consumption.ok_or(CountError::Overflow)?,
            };
            let same = |counted: &&mut Counted<'_, R>| match (counted.stage, stage) {
                (Some(one), Some(other)) => std::ptr::eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            match counted.iter_mut().find(same) {
                Some(counted) => counted.parts.push(part),
                None => counted.push(Counted {
                    stage,
                    unit,
                    parts: vec![part],
                }),
            }
        }
        Ok(counted)
    }

    /// Checks that all readings have one unit, and that the register has only counted up.
    fn check(&self) -> Result<Unit, CountError> {
        let element = || self.element.clone();
        let first = self.readings.first().ok_or(CountError::Nothing)?;
        for (one, other) in self.readings.iter().zip(self.readings.iter().skip(1)) {
            if one.quantity().unit != other.quantity().unit {
                return Err(CountError::Units {
                    element: element(),
                    at: other.time(),
                });
            }
            let counted = other.quantity().value.checked_sub(one.quantity().value);
            if counted.ok_or(CountError::Overflow)?.mantissa() < 0 {
                return Err(CountError::WentBack {
                    element: element(),
                    before: Box::new(one.quantity()),
                    last: one.time(),
                    after: Box::new(other.quantity()),
                    at: other.time(),
                });
            }
        }
        Ok(first.quantity().unit)
    }

    fn check_boundaries(
        &self,
        sections: &[Section<'_>],
        by_time: &BTreeMap<Timestamp, &R>,
    ) -> Result<(), CountError> {
        let missing: Vec<Timestamp> = edges(sections)
            .filter(|time| !by_time.contains_key(time))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let times: Vec<_> = missing.iter().take(NAMED).map(ToString::to_string).collect();
        Err(CountError::Missing {
            element: self.element.clone(),
            count: missing.len(),
            times: times.join(", "),
        })
    }
}

/// Returns the times at which readings are needed to tell what a register has counted by the stages of a tariff, in order.
///
/// # Errors
///
/// [`CountError`] if the tariff does not say which stage holds, or the time is too long.
pub fn boundaries(
    element: &Element,
    period: (Timestamp, Timestamp),
    tariff: Option<&Tariff>,
) -> Result<Vec<Timestamp>, CountError> {
    Ok(edges(&sections(element, period, tariff)?).collect())
}

fn edges(sections: &[Section<'_>]) -> impl Iterator<Item = Timestamp> {
    let begins = sections.iter().map(|section| section.begin);
    begins.chain(sections.last().map(|section| section.end))
}

/// Cuts the time where another stage begins; without a tariff it is whole.
fn sections<'t>(
    element: &Element,
    (from, to): (Timestamp, Timestamp),
    tariff: Option<&'t Tariff>,
) -> Result<Vec<Section<'t>>, CountError> {
    let Some(tariff) = tariff else {
        return Ok(vec![Section {
            begin: from,
            end: to,
            stage: None,
        }]);
    };
    let stages = tariff.stages_of(element);
    let mut cuts = vec![from];
    cuts.extend(changes(&stages, &tariff.zone, (from, to)).ok_or(CountError::TooLong)?);
    cuts.push(to);
    let mut sections: Vec<Section<'t>> = Vec::new();
    for (begin, end) in cuts.iter().zip(cuts.iter().skip(1)) {
        let stage = stage_at(element, &stages, &tariff.zone, *begin)?;
        match sections.last_mut() {
            Some(section) if section.stage.is_some_and(|before| std::ptr::eq(before, stage)) => {
                section.end = *end;
            }
            _ => sections.push(Section {
                begin: *begin,
                end: *end,
                stage: Some(stage),
            }),
        }
    }
    Ok(sections)
}

/// Returns the stage that holds at a time: the one whose window is open, or the one that has none.
fn stage_at<'t>(
    element: &Element,
    stages: &[&'t Stage],
    zone: &TimeZone,
    time: Timestamp,
) -> Result<&'t Stage, CountError> {
    let open = stages.iter().filter(|stage| stage.is_open(zone, time));
    let mut open: Vec<&'t Stage> = open.copied().collect();
    if open.is_empty() {
        open = stages
            .iter()
            .filter(|stage| !stage.has_windows())
            .copied()
            .collect();
    }
    match open.as_slice() {
        [stage] => Ok(stage),
        [] => Err(CountError::NoStage {
            element: element.clone(),
            at: time,
        }),
        [one, other, ..] => Err(CountError::TwoStages {
            element: element.clone(),
            at: time,
            one: one.name.clone(),
            other: other.name.clone(),
        }),
    }
}

/// Returns every time within a span at which a window may begin or end, in order; `None` if the span is too long.
fn changes(stages: &[&Stage], zone: &TimeZone, (from, to): (Timestamp, Timestamp)) -> Option<Vec<Timestamp>> {
    if !stages.iter().any(|stage| stage.has_windows()) {
        return Some(Vec::new());
    }
    let (first, last) = (local(zone, from)?.date(), local(zone, to)?.date());
    let days: Vec<Date> = first
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day <= last)
        .take(MAX_DAYS.saturating_add(1))
        .collect();
    if days.len() > MAX_DAYS {
        return None;
    }
    let mut changes = Vec::new();
    for day in days {
        for edge in stages.iter().flat_map(|stage| stage.edges()) {
            // The clock may pass an edge twice, or leap over it; where nothing changes then, nothing is cut.
            let time = zone.to_ambiguous_timestamp(day.to_datetime(edge));
            changes.push(time.earlier().ok()?.as_second());
            changes.push(time.later().ok()?.as_second());
        }
    }
    let begin = jiff::Timestamp::from_second(from.unix_seconds()).ok()?;
    let leaps = zone.following(begin).map(|leap| leap.timestamp().as_second());
    changes.extend(leaps.take_while(|leap| *leap < to.unix_seconds()).take(MAX_DAYS));
    changes.sort_unstable();
    changes.dedup();
    changes.retain(|time| from.unix_seconds() < *time && *time < to.unix_seconds());
    changes
        .into_iter()
        .map(|time| Timestamp::from_unix_seconds(time).ok())
        .collect()
}
