//! Test vectors: inputs with what must come out of them, fuel included.

use std::collections::BTreeMap;

use model::{Decimal, Obis, Period, Span, Status, Timestamp, Unit};
use serde::{Deserialize, Serialize};

use super::{Manifest, Misfit, ParameterError, Value};
use crate::calendar::{CalendarError, Offsets};
use crate::interface::{Channel, Flags, Input, InputReading};

/// The most readings of one vector.
pub(crate) const MAX_READINGS: usize = 1_000;

/// One run with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// What it shows.
    pub name: String,
    /// The period that is evaluated.
    pub window: Period,
    /// The parameters that are given.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// The offsets of the zone, for an application with a calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Offsets>,
    /// What was measured.
    pub channels: Vec<VectorChannel>,
    /// What the run before has left.
    #[serde(default)]
    pub state: Vec<u8>,
    /// What must come out.
    pub outputs: Vec<ExpectedOutput>,
    /// What the next run must be given.
    #[serde(default)]
    pub next_state: Vec<u8>,
    /// The fuel that the run must take, to the unit.
    pub fuel: u64,
}

/// A channel of a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorChannel {
    /// The role that it plays.
    pub role: String,
    /// What was measured.
    pub obis: Obis,
    /// The unit of every value.
    pub unit: Unit,
    /// The registration period.
    pub step: Span,
    /// The values.
    pub readings: Vec<VectorReading>,
}

/// A reading of a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorReading {
    /// Its time.
    pub at: Timestamp,
    /// The digits.
    pub value: Decimal,
    /// The status.
    #[serde(default)]
    pub status: Status,
    /// The flags, as bits.
    #[serde(default)]
    pub flags: u16,
}

/// An element that must come out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedOutput {
    /// The manifest's name for it.
    pub output: String,
    /// Its code.
    pub obis: Obis,
    /// Its stage.
    #[serde(default)]
    pub stage: u16,
    /// The start of its period.
    pub from: Timestamp,
    /// The end of its period.
    pub to: Timestamp,
    /// The digits.
    pub value: Decimal,
    /// The unit.
    pub unit: Unit,
    /// The status.
    #[serde(default)]
    pub status: Status,
    /// The first reading that it is made of, and how many.
    pub basis: (u32, u32),
}

impl Vector {
    /// Builds the input of the run.
    ///
    /// # Errors
    ///
    /// [`VectorInputError`] says what of the vector does not fit the manifest.
    pub(crate) fn input(&self, manifest: &Manifest) -> Result<Input, VectorInputError> {
        let count: usize = self.channels.iter().map(|channel| channel.readings.len()).sum();
        if count > MAX_READINGS {
            return Err(VectorInputError::TooManyReadings);
        }
        let parameters = manifest.values(&self.parameters)?;
        let calendar = parameters.iter().flatten().find_map(|value| match value {
            Value::Calendar(calendar) => Some(calendar),
            Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => None,
        });
        let slots = match (calendar, &self.offsets) {
            (Some(calendar), Some(offsets)) => calendar.slots(self.window, offsets)?,
            (Some(_), None) => return Err(VectorInputError::NoOffsets),
            (None, _) => Vec::new(),
        };
        let channels = self.channels.iter().map(|channel| channel.build(manifest));
        let input = Input {
            run: 1,
            window: self.window,
            cutoff: self.window.to(),
            channels: channels.collect::<Result<_, _>>()?,
            parameters,
            slots,
            state: self.state.clone(),
        };
        manifest.check_input(&input)?;
        Ok(input)
    }
}

impl VectorChannel {
    fn build(&self, manifest: &Manifest) -> Result<Channel, VectorInputError> {
        let role = manifest.inputs().iter().position(|input| input.role == self.role);
        let role = role
            .and_then(|role| u16::try_from(role).ok())
            .ok_or(VectorInputError::Role)?;
        let readings = self.readings.iter().map(|reading| InputReading {
            time: reading.at,
            value: reading.value,
            status: reading.status,
            flags: Flags::from_bits(reading.flags),
        });
        Ok(Channel {
            role,
            obis: self.obis,
            unit: self.unit,
            step: self.step,
            readings: readings.collect(),
        })
    }
}

/// The reason why a vector gives no input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VectorInputError {
    /// More readings than a vector may have.
    #[error("a vector has at most {MAX_READINGS} readings")]
    TooManyReadings,
    /// A channel plays a role that the manifest does not have.
    #[error("a channel of the vector plays no role of the manifest")]
    Role,
    /// The application has a calendar and the vector no offsets.
    #[error("the vector has a calendar and no offsets of a zone")]
    NoOffsets,
    /// The input is none that the manifest asks for.
    #[error("the vector gives another input than its manifest asks for")]
    Misfit(#[from] Misfit),
    /// The parameters do not fit.
    #[error("the parameters of the vector do not fit")]
    Parameter(#[from] ParameterError),
    /// The calendar cannot be rolled out.
    #[error("the calendar of the vector cannot be rolled out")]
    Calendar(#[from] CalendarError),
}
