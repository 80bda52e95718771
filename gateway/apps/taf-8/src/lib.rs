//! TAF 8, extreme values: the greatest and the least mean power of a registration period in the window, with its time.
//!
//! Input `register` in watt hours. Outputs `maximum` and `minimum` in watts, each over the registration period in which it
//! was; of several equal ones the first. Periods with a gap have no mean power and do not count. The registration period
//! must divide an hour, so that nothing is rounded.
#![no_std]

use guest::{Channel, Fault, Input, Output, Record};

guest::application!(evaluate, room);

const SECONDS_OF_HOUR: u32 = 3_600;
/// The unit W.
const WATT: u8 = 27;
/// The registration period does not divide an hour.
pub const STEP: Fault = Fault::new(100, "the registration period does not divide an hour");

/// The most records: two for each channel.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.channel_count() * 2
}

/// Evaluates the window.
///
/// # Errors
///
/// [`STEP`] for a registration period that does not divide an hour, [`Fault::BACKWARDS`] if a register counts down.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    for channel in input.channels() {
        let factor = match SECONDS_OF_HOUR.checked_div(channel.step) {
            Some(factor) if SECONDS_OF_HOUR % channel.step == 0 => i64::from(factor),
            _ => return Err(STEP),
        };
        let mut readings = (0u32..).zip(input.readings(&channel)?);
        let mut before = match readings.next() {
            Some((_, first)) => first,
            None => continue,
        };
        let mut extremes: Option<(Record, Record)> = None;
        for (index, reading) in readings {
            let amount = reading.since(&before)?;
            if reading.follows(&before, &channel) {
                let power = amount.checked_mul(factor).ok_or(Fault::OVERFLOW)?;
                let status = before.status | reading.status;
                let found = found(&channel, (before.time, reading.time), power, status, index);
                let (most, least) = extremes.unwrap_or((found, found));
                extremes = Some((
                    if power > most.value { found } else { most },
                    if power < least.value { found } else { least },
                ));
            }
            before = reading;
        }
        if let Some((most, least)) = extremes {
            output.push(&channel, &most)?;
            output.push(&channel, &Record { output: 1, ..least })?;
        }
    }
    Ok(())
}

fn found(channel: &Channel, (from, to): (i64, i64), power: i64, status: u16, index: u32) -> Record {
    Record {
        output: 0,
        stage: 0,
        status,
        from,
        to,
        value: power,
        scaler: channel.scaler,
        unit: WATT,
        basis_first: channel.first.saturating_add(index).saturating_sub(1),
        basis_count: 2,
    }
}
