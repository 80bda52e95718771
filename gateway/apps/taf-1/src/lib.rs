//! TAF 1, data-sparse tariff: one reading at the end of a billing period, which is a month at least.
//!
//! Input `register`. Output `register`: the latest reading of the window, with its own time.
//! Gives up with [`Fault::WINDOW`] if the window is shorter than 28 days: more values would be no sparse tariff.
#![no_std]

use guest::{Fault, Input, Output};

guest::application!(evaluate, room);

/// The shortest billing period, a February less the hour that daylight saving takes.
const SHORTEST_SECONDS: i64 = 28 * 86_400 - 3_600;

/// The most records: one for each channel.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.channel_count()
}

/// Evaluates the window.
///
/// # Errors
///
/// [`Fault::WINDOW`] if it is shorter than a month.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    if input.to.saturating_sub(input.from) < SHORTEST_SECONDS {
        return Err(Fault::WINDOW);
    }
    for channel in input.channels() {
        if let Some(last) = input.readings(&channel)?.last() {
            output.push(
                &channel,
                &last.record(0, &channel, channel.count.saturating_sub(1)),
            )?;
        }
    }
    Ok(())
}
