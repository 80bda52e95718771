//! TAF 2, time-variable tariff: energy by the stage that the calendar has at its time.
//!
//! Input `register`, parameter `stages` (a calendar). Outputs: the register for errors (group E 63), then the stages 1 to 8.
//! What was counted between two readings belongs to the stage that holds all the time between them, gap or not. If the
//! stage changes in between and there is no reading at the change, nobody knows when it was counted: it goes to the
//! register for errors. So the registers always add up to what the meter counted.
#![no_std]

use guest::{Fault, Input, Output, Reading, Readings, Slot, Slots, Stages, ERROR_STAGE, MAX_STAGE};

guest::application!(evaluate, room);

/// The most records: the registers of each channel.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.channel_count() * (usize::from(MAX_STAGE) + 1)
}

/// Evaluates the window.
///
/// # Errors
///
/// [`Fault::CALENDAR`] if the calendar does not cover the readings, [`Fault::BACKWARDS`] if a register counts down.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    for channel in input.channels() {
        let mut readings = input.readings(&channel)?;
        if let Some(first) = readings.next() {
            let mut stages = Stages::default();
            add_up(input, first, readings, &mut stages)?;
            stages.write(input, &channel, output)?;
        }
    }
    Ok(())
}

/// Adds up what was counted between the readings.
///
/// Most readings lie in the stage of the one before: nothing is done for them but to look whether the register ran
/// backwards, and a stage is added up when it ends.
fn add_up(
    input: &Input<'_>,
    first: Reading,
    readings: Readings<'_>,
    stages: &mut Stages,
) -> Result<(), Fault> {
    let mut calendar = Calendar::new(input)?;
    // The stage that holds is not known before the first interval.
    let (mut from, mut status, mut end) = (first, first.status, i64::MIN);
    let mut before = first;
    for reading in readings {
        if reading.value < before.value {
            return Err(Fault::BACKWARDS);
        }
        if reading.time > end {
            Part {
                from,
                to: before,
                status,
            }
            .add(calendar.stage, stages)?;
            if before.time >= end {
                end = calendar.seek(before.time)?;
            }
            (from, status) = (before, before.status);
            if reading.time > end {
                Part {
                    from,
                    to: reading,
                    status: status | reading.status,
                }
                .add(ERROR_STAGE, stages)?;
                // The next reading looks for its stage, if there is one.
                (from, status, end) = (reading, reading.status, reading.time);
            }
        }
        status |= reading.status;
        before = reading;
    }
    Part {
        from,
        to: before,
        status,
    }
    .add(calendar.stage, stages)
}

/// What was counted between two readings.
struct Part {
    from: Reading,
    to: Reading,
    /// The status of all readings from the one to the other.
    status: u16,
}

impl Part {
    #[cold]
    #[inline(never)]
    fn add(&self, stage: u16, stages: &mut Stages) -> Result<(), Fault> {
        if self.to.time == self.from.time {
            return Ok(());
        }
        stages.add(stage, self.to.since(&self.from)?, self.status)
    }
}

/// The calendar, read once from its start to its end.
struct Calendar<'a> {
    /// The stage that was found last.
    stage: u16,
    next: Option<Slot>,
    rest: Slots<'a>,
}

impl<'a> Calendar<'a> {
    fn new(input: &Input<'a>) -> Result<Self, Fault> {
        let mut rest = input.slots();
        let next = rest.next();
        if next.is_none() {
            return Err(Fault::CALENDAR);
        }
        Ok(Self { stage: 0, next, rest })
    }

    /// Finds the stage that holds from a time on, and returns when it ends. Times must not go back.
    #[cold]
    #[inline(never)]
    fn seek(&mut self, time: i64) -> Result<i64, Fault> {
        let mut slot = self.next.ok_or(Fault::CALENDAR)?;
        while slot.to <= time {
            slot = self.rest.next().ok_or(Fault::CALENDAR)?;
        }
        if time < slot.from {
            return Err(Fault::CALENDAR);
        }
        self.stage = slot.stage;
        let mut end = slot.to;
        self.next = self.rest.next();
        while let Some(next) = self
            .next
            .filter(|next| next.stage == slot.stage && next.from == end)
        {
            end = next.to;
            self.next = self.rest.next();
        }
        Ok(end)
    }
}
