//! TAF 2, time-variable tariff: energy by the stage that the calendar has at its time.
//!
//! Input `register`, parameter `stages` (a calendar). Outputs: the register for errors (group E 63), then the stages 1 to 8.
//! What was counted between two readings belongs to the stage that holds all the time between them, gap or not. If the
//! stage changes in between and there is no reading at the change, nobody knows when it was counted: it goes to the
//! register for errors. So the registers always add up to what the meter counted.
#![no_std]

use guest::{Fault, Input, Output, Slot, Slots, Stages, ERROR_STAGE, MAX_STAGE};

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
        let mut before = match readings.next() {
            Some(first) => first,
            None => continue,
        };
        let mut calendar = Calendar::new(input)?;
        let mut stages = Stages::default();
        for reading in readings {
            let amount = reading.since(&before)?;
            let stage = calendar.stage(before.time, reading.time)?;
            stages.add(stage, amount, before.status | reading.status)?;
            before = reading;
        }
        stages.write(input, &channel, output)?;
    }
    Ok(())
}

/// The calendar, read once from its start to its end.
struct Calendar<'a> {
    slot: Slot,
    rest: Slots<'a>,
}

impl<'a> Calendar<'a> {
    fn new(input: &Input<'a>) -> Result<Self, Fault> {
        let mut rest = input.slots();
        let slot = rest.next().ok_or(Fault::CALENDAR)?;
        Ok(Self { slot, rest })
    }

    /// Returns the stage that holds from one time to the other, or [`ERROR_STAGE`] if it changes in between.
    #[inline]
    fn stage(&mut self, from: i64, to: i64) -> Result<u16, Fault> {
        while self.slot.to <= from {
            self.slot = self.rest.next().ok_or(Fault::CALENDAR)?;
        }
        if from < self.slot.from {
            return Err(Fault::CALENDAR);
        }
        let stage = self.slot.stage;
        while self.slot.to < to {
            self.slot = self.rest.next().ok_or(Fault::CALENDAR)?;
            if self.slot.stage != stage {
                return Ok(ERROR_STAGE);
            }
        }
        Ok(stage)
    }
}
