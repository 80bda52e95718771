//! TAF 6, reading on demand: the register at the start of each local day.
//!
//! Input `register`, parameter `days` (a calendar whose stages do not matter; its slots say where local days begin).
//! Output `daily`, which the host keeps for 42 days and hands out on demand only. A day without a reading at its start has
//! no value. Days that began more than 42 days before the end of the window are left out.
#![no_std]

use guest::{Fault, Input, Output};

guest::application!(evaluate, room);

const DAYS: usize = 42;
const SECONDS_OF_DAY: i64 = 86_400;
/// A day longer than so many seconds begins with no other one in it: daylight saving makes one day 25 hours long.
const KEPT_SECONDS: i64 = 42 * SECONDS_OF_DAY + 3_600;

/// The most records: a value for each day and channel, and one for the day on which the window ends.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.channel_count() * (DAYS + 2)
}

/// Evaluates the window.
///
/// # Errors
///
/// [`Fault::CALENDAR`] if no slots say where days begin.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    if input.slots().next().is_none() {
        return Err(Fault::CALENDAR);
    }
    for channel in input.channels() {
        let mut days = input.slots().filter(|slot| {
            let local = slot.from + i64::from(slot.offset_minutes) * 60;
            local.rem_euclid(SECONDS_OF_DAY) == 0 && slot.from >= input.to - KEPT_SECONDS
        });
        let mut day = days.next();
        for (index, reading) in (0u32..).zip(input.readings(&channel)?) {
            while day.map_or(false, |slot| slot.from < reading.time) {
                day = days.next();
            }
            match day {
                Some(slot) if slot.from == reading.time => {
                    output.push(&channel, &reading.record(0, &channel, index))?
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    Ok(())
}
