//! TAF 4, quantity-variable tariff: energy by what was used before in the billing period.
//!
//! Input `register`, parameters `threshold-1` to `threshold-7` in the register's unit, ascending; those behind the first
//! absent one do not count. What is used up to the first threshold is of stage 1, up to the second of stage 2, and so on; an
//! amount that crosses a threshold is split there, to the last digit. Gaps do not matter, since only sums count.
#![no_std]

use guest::{rescaled, Channel, Fault, Input, Output, Parameter, Stages, MAX_STAGE};

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
/// [`Fault::PARAMETER`] for thresholds that do not ascend, [`Fault::OVERFLOW`] for one that is finer than the register,
/// [`Fault::BACKWARDS`] if a register counts down.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    for channel in input.channels() {
        let mut readings = input.readings(&channel)?;
        let mut before = match readings.next() {
            Some(first) => first,
            None => continue,
        };
        let thresholds = thresholds(input, &channel)?;
        let mut stages = Stages::default();
        let mut used = 0i64;
        for reading in readings {
            let status = before.status | reading.status;
            let mut left = reading.since(&before)?;
            loop {
                let passed = thresholds
                    .iter()
                    .take_while(|threshold| **threshold <= used)
                    .count();
                let free = thresholds
                    .get(passed)
                    .map_or(i64::MAX, |threshold| threshold - used);
                let part = left.min(free);
                let stage = u16::try_from(passed + 1).map_err(|_| Fault::PARAMETER)?;
                stages.add(stage, part, status)?;
                used = used.checked_add(part).ok_or(Fault::OVERFLOW)?;
                left -= part;
                if left == 0 {
                    break;
                }
            }
            before = reading;
        }
        stages.write(input, &channel, output)?;
    }
    Ok(())
}

const THRESHOLDS: usize = MAX_STAGE as usize - 1;

/// Returns the thresholds in the digits of the channel; those that are absent are never reached.
fn thresholds(input: &Input<'_>, channel: &Channel) -> Result<[i64; THRESHOLDS], Fault> {
    let mut thresholds = [i64::MAX; THRESHOLDS];
    let mut least = 0;
    for (index, place) in thresholds.iter_mut().enumerate() {
        let threshold = match input.parameter(index)? {
            Parameter::Decimal { mantissa, scaler } => rescaled(mantissa, scaler, channel.scaler)?,
            Parameter::Absent => break,
            _ => return Err(Fault::PARAMETER),
        };
        if threshold <= least {
            return Err(Fault::PARAMETER);
        }
        *place = threshold;
        least = threshold;
    }
    Ok(thresholds)
}
