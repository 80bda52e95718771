//! TAF 7, register series: the register at each point of the grid.
//!
//! Input `register`, parameter `step` in seconds. Output `register`: every reading on the grid from the start of the window
//! (included) to its end (excluded): 92, 96 or 100 values a local day at a quarter of an hour, as daylight saving has it.
//! A gap stays a gap.
#![no_std]

use guest::{Fault, Input, Output, Parameter};

guest::application!(evaluate, room);

/// The most records: one for each reading.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.reading_count()
}

/// Evaluates the window.
///
/// # Errors
///
/// [`Fault::PARAMETER`] if the step is no positive number.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    let step = match input.parameter(0)? {
        Parameter::Integer(step) if step > 0 => step,
        _ => return Err(Fault::PARAMETER),
    };
    for channel in input.channels() {
        for (index, reading) in (0u32..).zip(input.readings(&channel)?) {
            if reading.time < input.to && reading.time.rem_euclid(step) == 0 {
                output.push(&channel, &reading.record(0, &channel, index))?;
            }
        }
    }
    Ok(())
}
