//! What an application is given of the readings of a window.

use evaluation::calendar::{CalendarError, Offsets};
use evaluation::interface::{Channel, Flags, Input, InputError, InputReading};
use evaluation::limits::MAX_READINGS;
use evaluation::manifest::{InputRole, Misfit, ParameterError, Value};
use model::{Element, MeterId, Period, Reading, Span, Timestamp, Unit};
use sha2::{Digest, Sha256};
use store::{DatabaseError, LEAD, Store};

use super::Assigned;

/// An input, and whose meters its channels are.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) input: Input,
    pub(super) meters: Vec<MeterId>,
    /// What it is known by: the same for the same readings, whenever they are evaluated.
    pub(super) digest: [u8; 32],
}

/// The reason why there is no input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputFault {
    /// There are more readings than an application is given.
    #[error("the window has more than the {MAX_READINGS} readings that an application is given")]
    TooMany,
    /// A reading that belongs to it is damaged.
    #[error("a reading of the window is damaged")]
    Damaged,
    /// The readings of an element have not one unit.
    #[error(
        "the unit of {element} changes from {before} to {after} at {time}, so that no value can be made of the window; end \
         the assignment in front of the change, and begin another one behind it"
    )]
    Unit {
        /// The element.
        element: Element,
        /// The time of the first reading with the other unit.
        time: Timestamp,
        /// The unit before.
        before: Unit,
        /// The other unit.
        after: Unit,
    },
    /// The parameters do not fit the manifest.
    #[error("the parameters do not fit the application")]
    Parameter(#[from] ParameterError),
    /// The calendar cannot be rolled out.
    #[error("the calendar cannot be rolled out over the window")]
    Calendar(#[from] CalendarError),
    /// The input is not one that the application asks for.
    #[error("the application does not take what it was assigned")]
    Misfit(#[from] Misfit),
    /// The input does not fit the interface.
    #[error("the readings do not fit the interface of applications")]
    Interface(#[from] InputError),
}

impl InputFault {
    /// Returns the stable code.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too-many-readings",
            Self::Damaged => "damaged-readings",
            Self::Unit { .. } => "unit-changed",
            Self::Parameter(_) => "parameter",
            Self::Calendar(_) => "calendar",
            Self::Misfit(_) => "misfit",
            Self::Interface(_) => "interface",
        }
    }
}

/// What an input is made of beside the assignment.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) store: &'a Store,
    /// The registration period.
    pub(super) period: Span,
    /// What the window before has left.
    pub(super) state: Vec<u8>,
    pub(super) now: Timestamp,
}

impl Sources<'_> {
    /// Builds the input of a window; nothing if no role that has to be played has a reading.
    pub(super) fn prepare(
        &self,
        assigned: &Assigned,
        window: Period,
    ) -> Result<Result<Option<Prepared>, InputFault>, DatabaseError> {
        let elements = self.store.database().measured_elements();
        let mut channels = Vec::new();
        let mut meters = Vec::new();
        for (index, role) in assigned.manifest.inputs().iter().enumerate() {
            let before = channels.len();
            for element in assigned.players(role, &elements) {
                let left = MAX_READINGS.saturating_sub(count(&channels));
                let readings = match self.readings(element, window, left)? {
                    Ok(readings) => readings,
                    Err(fault) => return Ok(Err(fault)),
                };
                let readings = self.led_in(element, role, window, readings)?;
                match self.channel(index, role, &readings) {
                    Ok(Some(channel)) => {
                        channels.push(channel);
                        meters.push(element.meter.clone());
                    }
                    Ok(None) => {}
                    Err(fault) => return Ok(Err(fault)),
                }
            }
            if channels.len() == before && !role.optional {
                return Ok(Ok(None));
            }
        }
        let input = self.input(assigned, window, channels);
        Ok(input.and_then(|input| {
            let comparable = Input {
                cutoff: window.to(),
                ..input.clone()
            };
            let digest = Sha256::digest(comparable.encode()?).into();
            Ok(Some(Prepared {
                input,
                meters,
                digest,
            }))
        }))
    }

    fn input(
        &self,
        assigned: &Assigned,
        window: Period,
        channels: Vec<Channel>,
    ) -> Result<Input, InputFault> {
        let parameters = assigned.manifest.values(&assigned.assignment.parameters)?;
        let calendar = parameters.iter().flatten().find_map(|value| match value {
            Value::Calendar(calendar) => Some(calendar),
            Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => None,
        });
        let slots = match calendar {
            Some(calendar) => {
                let firsts = channels.iter().filter_map(|channel| channel.readings.first());
                let begin = firsts
                    .map(|first| first.time)
                    .min()
                    .unwrap_or_else(|| window.from());
                let rated = Period::new(begin.min(window.from()), window.to()).unwrap_or(window);
                let offsets = Offsets::of(&assigned.assignment.zone, rated)?;
                calendar.slots(rated, &offsets)?
            }
            None => Vec::new(),
        };
        let input = Input {
            run: run_number(assigned, window),
            window,
            cutoff: self.now,
            parameters,
            channels,
            slots,
            state: self.state.clone(),
        };
        assigned.manifest.check_input(&input)?;
        Ok(input)
    }

    /// Returns the readings of an element in a window, both ends included.
    fn readings(
        &self,
        element: &Element,
        window: Period,
        most: usize,
    ) -> Result<Result<Vec<Reading>, InputFault>, DatabaseError> {
        let second = Span::from_seconds(1).unwrap_or(Span::DAY);
        let pattern = element.clone().into();
        let mut rest = Period::new(window.from(), window.to().saturating_add(second)).ok();
        let mut readings = Vec::new();
        while let Some(period) = rest {
            let page = self.store.database().readings(&pattern, period)?;
            if !page.damaged.is_empty() {
                return Ok(Err(InputFault::Damaged));
            }
            readings.extend(page.readings);
            if readings.len() > most {
                return Ok(Err(InputFault::TooMany));
            }
            rest = page.rest;
        }
        Ok(Ok(readings))
    }

    /// Puts the last reading before the window in front, if the role asks for it and the window has none at its start.
    fn led_in(
        &self,
        element: &Element,
        role: &InputRole,
        window: Period,
        mut readings: Vec<Reading>,
    ) -> Result<Vec<Reading>, DatabaseError> {
        let has_start = readings.first().is_none_or(|first| first.time == window.from());
        if !role.lead || has_start {
            return Ok(readings);
        }
        let is_coarse = self.period.is_multiple_of(role.finest);
        let pattern = element.clone().into();
        // It is mostly there at once; the farther back, the more is read.
        for back in [Span::QUARTER_HOUR.max(self.period), Span::DAY, LEAD] {
            let mut rest = Period::new(window.from().saturating_sub(back), window.from()).ok();
            let mut last = None;
            while let Some(period) = rest {
                // What is damaged is left out: what the meter has counted since the one before is counted all the same.
                let page = self.store.database().readings(&pattern, period)?;
                let shown = |reading: &Reading| is_coarse || role.finest.has_on_grid(reading.time);
                last = page.readings.into_iter().rfind(shown).or(last);
                rest = page.rest;
            }
            if let Some(last) = last {
                readings.insert(0, last);
                break;
            }
        }
        Ok(readings)
    }

    /// Returns the channel of an element: those of its readings that are no finer than the role needs to see.
    fn channel(
        &self,
        role: usize,
        manifest: &InputRole,
        readings: &[Reading],
    ) -> Result<Option<Channel>, InputFault> {
        let finest = manifest.finest;
        let is_coarse = self.period.is_multiple_of(finest);
        let step = if is_coarse { self.period } else { finest };
        let shown = readings
            .iter()
            .filter(|reading| is_coarse || finest.has_on_grid(reading.time));
        let mut before: Option<Timestamp> = None;
        let mut unit = None;
        let mut given = Vec::new();
        for reading in shown {
            let before_it = *unit.get_or_insert(reading.quantity.unit);
            if before_it != reading.quantity.unit {
                return Err(InputFault::Unit {
                    element: reading.element.clone(),
                    time: reading.time,
                    before: before_it,
                    after: reading.quantity.unit,
                });
            }
            let distance = before.map_or(0, |before| reading.time.seconds_since(before));
            let has_gap = distance > i64::from(step.seconds());
            given.push(InputReading {
                time: reading.time,
                value: reading.quantity.value,
                status: reading.status,
                flags: if has_gap { Flags::GAP_BEFORE } else { Flags::NONE },
            });
            before = Some(reading.time);
        }
        let of = readings.first().map(|reading| reading.element.obis).zip(unit);
        Ok(of.map(|(obis, unit)| Channel {
            role: u16::try_from(role).unwrap_or(u16::MAX),
            obis,
            unit,
            step,
            readings: given,
        }))
    }
}

fn count(channels: &[Channel]) -> usize {
    channels.iter().map(|channel| channel.readings.len()).sum()
}

/// The number of a run is that of its window: a repetition has the same.
fn run_number(assigned: &Assigned, window: Period) -> u64 {
    let mut digest = Sha256::new();
    digest.update(assigned.key);
    for time in [window.from(), window.to()] {
        digest.update(time.unix_seconds().to_be_bytes());
    }
    let digest: [u8; 32] = digest.finalize().into();
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
