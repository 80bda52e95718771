//! Registers by tariff stage: what most tariffs add up.

use crate::{Channel, Fault, Input, Output, Reading, Record};

/// The register for what cannot be assigned to a stage: group E of its OBIS code.
pub const ERROR_STAGE: u16 = 63;
/// The highest stage that the shipped tariffs have registers for.
pub const MAX_STAGE: u16 = 8;

const REGISTERS: usize = MAX_STAGE as usize + 1;

/// The registers of one channel: the stages 1 to [`MAX_STAGE`], and one for what cannot be assigned.
///
/// In the manifest's outputs the register for errors is the first, and the stages follow in order.
#[derive(Debug, Clone)]
pub struct Stages {
    registers: [Register; REGISTERS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Register {
    sum: i64,
    status: u16,
    used: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            registers: [Register::default(); REGISTERS],
        }
    }
}

impl Stages {
    /// Adds an amount to a stage; [`ERROR_STAGE`] is the register for what cannot be assigned.
    ///
    /// # Errors
    ///
    /// [`Fault::CALENDAR`] for a stage that has no register, [`Fault::OVERFLOW`] if the sum does not fit.
    pub fn add(&mut self, stage: u16, amount: i64, status: u16) -> Result<(), Fault> {
        let index = match stage {
            ERROR_STAGE => 0,
            0 => return Err(Fault::CALENDAR),
            stage => usize::from(stage),
        };
        let register = self.registers.get_mut(index).ok_or(Fault::CALENDAR)?;
        register.sum = register.sum.checked_add(amount).ok_or(Fault::OVERFLOW)?;
        register.status |= status;
        register.used = true;
        Ok(())
    }

    /// Writes the registers that have been added to, each over the window, or from the channel's first reading on if it has
    /// none before. What is not read before the window's end is counted by the window after it.
    ///
    /// # Errors
    ///
    /// [`Fault::ROOM`] if there is no more room.
    pub fn write(&self, input: &Input<'_>, channel: &Channel, output: &mut Output<'_>) -> Result<(), Fault> {
        let first = match input.readings(channel)?.next() {
            Some(first) => first,
            None => return Ok(()),
        };
        for (index, register) in self
            .registers
            .iter()
            .enumerate()
            .filter(|(_, register)| register.used)
        {
            let index = u16::try_from(index).map_err(|_| Fault::OVERFLOW)?;
            let record = Record {
                output: index,
                stage: if index == 0 { ERROR_STAGE } else { index },
                status: register.status,
                from: first.time.max(input.from),
                to: input.to,
                value: register.sum,
                scaler: channel.scaler,
                unit: channel.unit,
                basis_first: channel.first,
                basis_count: channel.count,
            };
            output.push(channel, &record)?;
        }
        Ok(())
    }
}

impl Reading {
    /// Returns what the register counted since the reading before.
    ///
    /// # Errors
    ///
    /// [`Fault::BACKWARDS`] if it counts down.
    #[inline]
    pub fn since(&self, before: &Self) -> Result<i64, Fault> {
        let amount = self.value.checked_sub(before.value).ok_or(Fault::OVERFLOW)?;
        if amount < 0 {
            return Err(Fault::BACKWARDS);
        }
        Ok(amount)
    }

    /// Returns whether this is the next point of the grid behind the reading before.
    #[must_use]
    pub fn follows(&self, before: &Self, channel: &Channel) -> bool {
        self.time.checked_sub(before.time) == Some(i64::from(channel.step))
    }

    /// Makes an element of the reading itself.
    #[must_use]
    pub fn record(&self, output: u16, channel: &Channel, index: u32) -> Record {
        Record {
            output,
            stage: 0,
            status: self.status,
            from: self.time,
            to: self.time,
            value: self.value,
            scaler: channel.scaler,
            unit: channel.unit,
            basis_first: channel.first.saturating_add(index),
            basis_count: 1,
        }
    }
}
