//! TAF 3, load-variable tariff: energy by the mean power of each registration period.
//!
//! Input `register`, parameters `threshold-1` to `threshold-7` in watts, ascending; those behind the first absent one do
//! not count. A period whose mean power is below the first threshold is of stage 1, and each threshold that it reaches
//! raises the stage by one. What was counted over a gap has no mean power of a period: it goes to the register for errors.
#![no_std]

use core::cmp::Ordering;

use guest::{compare, Channel, Fault, Input, Output, Parameter, Stages, ERROR_STAGE, MAX_STAGE};

guest::application!(evaluate, room);

const SECONDS_OF_HOUR: i64 = 3_600;

/// The most records: the registers of each channel.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.channel_count() * (usize::from(MAX_STAGE) + 1)
}

/// Evaluates the window.
///
/// # Errors
///
/// [`Fault::PARAMETER`] for thresholds that do not ascend, [`Fault::BACKWARDS`] if a register counts down.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    let thresholds = Thresholds::read(input)?;
    for channel in input.channels() {
        let mut readings = input.readings(&channel)?;
        let mut before = match readings.next() {
            Some(first) => first,
            None => continue,
        };
        let mut stages = Stages::default();
        for reading in readings {
            let amount = reading.since(&before)?;
            let stage = if reading.follows(&before, &channel) {
                thresholds.stage(amount, &channel)?
            } else {
                ERROR_STAGE
            };
            stages.add(stage, amount, before.status | reading.status)?;
            before = reading;
        }
        stages.write(input, &channel, output)?;
    }
    Ok(())
}

/// The thresholds, ascending.
struct Thresholds {
    numbers: [(i64, i8); MAX_STAGE as usize - 1],
    count: usize,
}

impl Thresholds {
    fn read(input: &Input<'_>) -> Result<Self, Fault> {
        let mut thresholds = Self {
            numbers: [(0, 0); MAX_STAGE as usize - 1],
            count: 0,
        };
        for (index, place) in thresholds.numbers.iter_mut().enumerate() {
            match input.parameter(index)? {
                Parameter::Decimal { mantissa, scaler } => *place = (mantissa, scaler),
                Parameter::Absent => break,
                _ => return Err(Fault::PARAMETER),
            }
            thresholds.count = index + 1;
        }
        for pair in thresholds.known().windows(2) {
            if compare(pair[0], pair[1])? != Ordering::Less {
                return Err(Fault::PARAMETER);
            }
        }
        Ok(thresholds)
    }

    fn known(&self) -> &[(i64, i8)] {
        self.numbers.get(..self.count).unwrap_or_default()
    }

    /// Returns the stage of a period. Nothing is divided: energy times an hour is compared with power times the period.
    fn stage(&self, amount: i64, channel: &Channel) -> Result<u16, Fault> {
        let energy = amount.checked_mul(SECONDS_OF_HOUR).ok_or(Fault::OVERFLOW)?;
        let mut stage = 1;
        for (mantissa, scaler) in self.known() {
            let limit = mantissa
                .checked_mul(i64::from(channel.step))
                .ok_or(Fault::OVERFLOW)?;
            if compare((energy, channel.scaler), (limit, *scaler))? == Ordering::Less {
                break;
            }
            stage += 1;
        }
        Ok(stage)
    }
}
