//! TAF 5, event-variable tariff: energy by the stage that events switch.
//!
//! Inputs `register` and `event`: a channel whose values are the stages 1 to 8, each in force from its time on. Parameter
//! `stage` is in force before the first event ever; after that, the state of the run before says what is. What was
//! counted over an event that changes the stage, without a reading at that time, goes to the register for errors; so does what
//! was counted over the start of the window without a reading there.
#![no_std]

use guest::{rescaled, Channel, Fault, Input, Output, Parameter, Readings, Stages, ERROR_STAGE, MAX_STAGE};

guest::application!(evaluate, room);

const REGISTER: u16 = 0;
const EVENT: u16 = 1;

/// The most records: the registers of each channel.
#[must_use]
pub fn room(input: &Input<'_>) -> usize {
    input.channel_count() * (usize::from(MAX_STAGE) + 1)
}

/// Evaluates the window.
///
/// # Errors
///
/// [`Fault::CALENDAR`] for an event of a stage that there is not, [`Fault::PARAMETER`] for two channels of events,
/// [`Fault::BACKWARDS`] if a register counts down.
pub fn evaluate(input: &Input<'_>, output: &mut Output<'_>) -> Result<(), Fault> {
    let mut channels = input.channels().filter(|channel| channel.role == EVENT);
    let events = channels.next();
    if channels.next().is_some() {
        return Err(Fault::PARAMETER);
    }
    let begin = Switch::begin(input, events.as_ref())?;
    for channel in input.channels().filter(|channel| channel.role == REGISTER) {
        let mut readings = input.readings(&channel)?;
        let mut before = match readings.next() {
            Some(first) => first,
            None => continue,
        };
        let mut switch = begin.clone();
        let mut stages = Stages::default();
        for reading in readings {
            let amount = reading.since(&before)?;
            let mut stage = switch.stage(before.time, reading.time)?;
            if before.time < input.from {
                // What happened before the window is known by its last stage alone.
                stage = ERROR_STAGE;
            }
            stages.add(stage, amount, before.status | reading.status)?;
            before = reading;
        }
        stages.write(input, &channel, output)?;
    }
    let mut end = begin;
    end.advance(input.to)?;
    output.leave(&end.stage.to_le_bytes())
}

/// The stage in force, and the events to come.
#[derive(Clone)]
struct Switch<'a> {
    stage: u16,
    next: Option<(i64, u16)>,
    events: Option<Readings<'a>>,
    scaler: i8,
}

impl<'a> Switch<'a> {
    fn begin(input: &Input<'a>, channel: Option<&Channel>) -> Result<Self, Fault> {
        let stage = match (input.state, input.parameter(0)?) {
            ([low, high], _) => u16::from_le_bytes([*low, *high]),
            ([], Parameter::Integer(stage)) => u16::try_from(stage).map_err(|_| Fault::PARAMETER)?,
            _ => return Err(Fault::PARAMETER),
        };
        let events = channel.map(|channel| input.readings(channel)).transpose()?;
        let scaler = channel.map_or(0, |channel| channel.scaler);
        let mut switch = Self {
            stage: known(stage)?,
            next: None,
            events,
            scaler,
        };
        switch.fetch()?;
        Ok(switch)
    }

    fn fetch(&mut self) -> Result<(), Fault> {
        self.next = match self.events.as_mut().and_then(Iterator::next) {
            Some(event) => {
                let stage = rescaled(event.value, self.scaler, 0)?;
                let stage = u16::try_from(stage).map_err(|_| Fault::CALENDAR)?;
                Some((event.time, known(stage)?))
            }
            None => None,
        };
        Ok(())
    }

    /// Lets the events up to and with that time happen.
    fn advance(&mut self, time: i64) -> Result<(), Fault> {
        while let Some((_, stage)) = self.next.filter(|(at, _)| *at <= time) {
            self.stage = stage;
            self.fetch()?;
        }
        Ok(())
    }

    /// Returns the stage in force from one time to the other, or [`ERROR_STAGE`] if it changes in between.
    fn stage(&mut self, from: i64, to: i64) -> Result<u16, Fault> {
        self.advance(from)?;
        let stage = self.stage;
        let mut steady = true;
        while let Some((_, next)) = self.next.filter(|(at, _)| *at < to) {
            steady = steady && next == stage;
            self.stage = next;
            self.fetch()?;
        }
        Ok(if steady { stage } else { ERROR_STAGE })
    }
}

fn known(stage: u16) -> Result<u16, Fault> {
    if (1..=MAX_STAGE).contains(&stage) {
        Ok(stage)
    } else {
        Err(Fault::CALENDAR)
    }
}
