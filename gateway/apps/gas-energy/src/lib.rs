//! Gas: the energy of the window's volume, with calorific value and state number.
//!
//! Input `volume` in cubic metres, parameters `calorific-value` in kWh/m3 and `state-number`. Output `energy` in Wh: volume ×
//! state number × calorific value with every digit of the product; rounding is for the bill.
//!
//! Spec: DVGW G 685.
#![no_std]

use guest::{Fault, Input, Output, Parameter, Record};

guest::application!(evaluate, room);

/// The unit Wh.
const WATT_HOUR: u8 = 30;
/// From kWh to Wh.
const KILO: i8 = 3;

/// The most records: one for each channel.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.channel_count()
}

/// Evaluates the window.
///
/// # Errors
///
/// [`Fault::PARAMETER`] without both factors, [`Fault::OVERFLOW`] if the product does not fit, [`Fault::BACKWARDS`] if the
/// register counts down.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    let (calorific, calorific_scaler) = decimal(input, 0)?;
    let (state, state_scaler) = decimal(input, 1)?;
    for channel in input.channels() {
        let mut readings = input.readings(&channel)?;
        let first = match readings.next() {
            Some(first) => first,
            None => continue,
        };
        let mut last = first;
        let mut status = first.status;
        for reading in readings {
            reading.since(&last)?;
            status |= reading.status;
            last = reading;
        }
        if channel.count < 2 {
            continue;
        }
        let volume = last.since(&first)?;
        let energy = volume
            .checked_mul(state)
            .and_then(|product| product.checked_mul(calorific));
        let scaler = channel
            .scaler
            .checked_add(state_scaler)
            .and_then(|sum| sum.checked_add(calorific_scaler));
        let record = Record {
            output: 0,
            stage: 0,
            status,
            from: first.time.max(input.from),
            to: input.to,
            value: energy.ok_or(Fault::OVERFLOW)?,
            scaler: scaler
                .and_then(|sum| sum.checked_add(KILO))
                .ok_or(Fault::OVERFLOW)?,
            unit: WATT_HOUR,
            basis_first: channel.first,
            basis_count: channel.count,
        };
        output.push(&channel, &record)?;
    }
    Ok(())
}

fn decimal(input: &Input<'_>, index: usize) -> Result<(i64, i8), Fault> {
    match input.parameter(index)? {
        Parameter::Decimal { mantissa, scaler } => Ok((mantissa, scaler)),
        _ => Err(Fault::PARAMETER),
    }
}
