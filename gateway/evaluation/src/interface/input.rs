//! The input blob: what an application sees.
//!
//! | part | bytes |
//! |---|---|
//! | header | 80 |
//! | parameters, in the manifest's order | 16 each |
//! | channels | 24 each |
//! | calendar slots, in order | 24 each |
//! | readings, by channel and time | 16 each |
//! | texts of parameters, filled up with zeros to a multiple of 8 | |
//! | state of the run before, filled up with zeros to a multiple of 8 | |

use model::{Decimal, Obis, Period, Span, Status, Timestamp, Unit};

use super::bytes::Reader;
use super::{Flags, VERSION, unit_code, unit_of};
use crate::calendar::Slot;
use crate::limits::{
    MAX_CHANNELS, MAX_INPUT_BYTES, MAX_PARAMETERS, MAX_READINGS, MAX_SLOTS, MAX_STATE_BYTES, MAX_TEXT_BYTES,
};
use crate::manifest::Value;

/// The first bytes of an input blob.
pub const MAGIC: [u8; 4] = *b"STI1";

const HEADER_BYTES: u16 = 80;
const PARAMETER_BYTES: usize = 16;
const CHANNEL_BYTES: usize = 24;
const SLOT_BYTES: usize = 24;
const READING_BYTES: usize = 16;
/// Parts of the blob begin at multiples of it, so that a guest can read them in place.
const ALIGNMENT: usize = 8;

/// What an application is given for one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// A number of the caller's that names the run; the same for every repetition.
    pub run: u64,
    /// The period that is evaluated. Readings belong to it from its start to its end, both included.
    pub window: Period,
    /// Readings that became known later than this are not in the input.
    pub cutoff: Timestamp,
    /// The parameters in the order of the manifest; an absent one is `None`.
    pub parameters: Vec<Option<Value>>,
    /// What was measured.
    pub channels: Vec<Channel>,
    /// The calendar, rolled out over the window; empty for an application without one.
    pub slots: Vec<Slot>,
    /// What the run before has left.
    pub state: Vec<u8>,
}

/// The readings of one element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The index of the manifest's input that the element stands for.
    pub role: u16,
    /// What was measured.
    pub obis: Obis,
    /// The unit of every value.
    pub unit: Unit,
    /// The registration period.
    pub step: Span,
    /// The values, each later than the one before.
    pub readings: Vec<InputReading>,
}

/// One value of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputReading {
    /// The point of the grid that it belongs to.
    pub time: Timestamp,
    /// The meter's own digits.
    pub value: Decimal,
    /// What is to be known about the value; only the low 16 bits are handed on.
    pub status: Status,
    /// Gaps and substitutes.
    pub flags: Flags,
}

impl Input {
    /// Writes the blob.
    ///
    /// The scaler of a channel is the finest of its readings, so that every value keeps its number exactly.
    ///
    /// # Errors
    ///
    /// [`InputError`] names what does not fit the interface.
    pub fn encode(&self) -> Result<Vec<u8>, InputError> {
        let tables = self.tables()?;
        let readings = tables.readings.len().checked_div(READING_BYTES);
        let mut blob = Vec::with_capacity(tables.readings.len().saturating_add(4096));
        blob.extend(MAGIC);
        blob.extend(VERSION.to_le_bytes());
        blob.extend(HEADER_BYTES.to_le_bytes());
        blob.extend(self.run.to_le_bytes());
        for time in [self.window.from(), self.window.to(), self.cutoff, tables.base] {
            blob.extend(time.unix_seconds().to_le_bytes());
        }
        let total_at = blob.len();
        let counts = [
            0,
            self.parameters.len(),
            self.channels.len(),
            self.slots.len(),
            readings.unwrap_or_default(),
            tables.texts.len(),
            self.state.len(),
            0,
        ];
        for count in counts {
            blob.extend(count_u32(count)?.to_le_bytes());
        }
        for table in [
            &tables.parameters,
            &tables.channels,
            &tables.slots,
            &tables.readings,
        ] {
            blob.extend(table);
        }
        for padded in [&tables.texts, &self.state] {
            blob.extend(padded);
            blob.resize(blob.len().next_multiple_of(ALIGNMENT), 0);
        }
        let total = blob.len();
        if total > MAX_INPUT_BYTES {
            return Err(InputError::TooLong { bytes: total });
        }
        let length = count_u32(total)?.to_le_bytes();
        let place = blob.get_mut(total_at..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = length;
        }
        Ok(blob)
    }

    /// Writes every table, and refuses what is above a limit.
    fn tables(&self) -> Result<Tables, InputError> {
        let counts = [
            (Part::Parameters, self.parameters.len(), MAX_PARAMETERS),
            (Part::Channels, self.channels.len(), MAX_CHANNELS),
            (Part::Slots, self.slots.len(), MAX_SLOTS),
            (
                Part::Readings,
                self.channels.iter().map(|c| c.readings.len()).sum(),
                MAX_READINGS,
            ),
            (
                Part::State,
                self.state.len(),
                usize::try_from(MAX_STATE_BYTES).unwrap_or(usize::MAX),
            ),
        ];
        if let Some((part, found, limit)) = counts.into_iter().find(|(_, found, limit)| found > limit) {
            return Err(InputError::TooMany { part, found, limit });
        }
        let firsts = self
            .channels
            .iter()
            .filter_map(|channel| channel.readings.first());
        let base = firsts.map(|reading| reading.time).min();
        let mut tables = Tables {
            base: base.unwrap_or_else(|| self.window.from()),
            parameters: Vec::new(),
            channels: Vec::new(),
            slots: Vec::new(),
            readings: Vec::new(),
            texts: Vec::new(),
        };
        for (index, parameter) in self.parameters.iter().enumerate() {
            tables.add_parameter(index, parameter.as_ref())?;
        }
        for (index, channel) in self.channels.iter().enumerate() {
            tables.add_channel(index, channel, self.window)?;
        }
        for slot in &self.slots {
            tables.add_slot(slot);
        }
        Ok(tables)
    }
}

/// The tables of the blob, written out.
struct Tables {
    /// The earliest reading; the times of readings count from it.
    base: Timestamp,
    parameters: Vec<u8>,
    channels: Vec<u8>,
    slots: Vec<u8>,
    readings: Vec<u8>,
    texts: Vec<u8>,
}

impl Tables {
    fn add_parameter(&mut self, index: usize, parameter: Option<&Value>) -> Result<(), InputError> {
        let does_not_fit = || InputError::Parameter { index };
        let (kind, scaler, length, value) = match parameter {
            None => (0u8, 0, 0, 0),
            Some(Value::Integer(value)) => (1, 0, 0, *value),
            Some(Value::Decimal(value)) => {
                let mantissa = i64::try_from(value.mantissa()).map_err(|_| does_not_fit())?;
                (2, value.scaler(), 0, mantissa)
            }
            Some(Value::Text(text)) => {
                if text.len() > MAX_TEXT_BYTES {
                    return Err(does_not_fit());
                }
                let offset = i64::try_from(self.texts.len()).map_err(|_| does_not_fit())?;
                self.texts.extend(text.as_bytes());
                (3, 0, count_u32(text.len())?, offset)
            }
            Some(Value::Calendar(_)) => (4, 0, 0, 0),
        };
        self.parameters.push(kind);
        self.parameters.extend(scaler.to_le_bytes());
        self.parameters.extend([0; 2]);
        self.parameters.extend(length.to_le_bytes());
        self.parameters.extend(value.to_le_bytes());
        Ok(())
    }

    fn add_channel(&mut self, index: usize, channel: &Channel, window: Period) -> Result<(), InputError> {
        let first = self.readings.len().checked_div(READING_BYTES).unwrap_or_default();
        let scalers = channel.readings.iter().map(|reading| reading.value.scaler());
        let scaler = scalers.min().unwrap_or_default();
        let mut before = None;
        for reading in &channel.readings {
            // The first one may lead in.
            let is_early = reading.time < window.from() && before.is_some();
            if is_early || reading.time > window.to() {
                return Err(InputError::OutsideWindow {
                    channel: index,
                    time: reading.time,
                });
            }
            if before.is_some_and(|before| reading.time <= before) {
                return Err(InputError::Order {
                    channel: index,
                    time: reading.time,
                });
            }
            before = Some(reading.time);
            self.add_reading(index, reading, scaler)?;
        }
        self.channels.extend(channel.obis.groups());
        self.channels.push(unit_code(channel.unit));
        self.channels.extend(scaler.to_le_bytes());
        self.channels.extend(channel.role.to_le_bytes());
        self.channels.extend([0; 2]);
        self.channels.extend(channel.step.seconds().to_le_bytes());
        self.channels.extend(count_u32(first)?.to_le_bytes());
        self.channels
            .extend(count_u32(channel.readings.len())?.to_le_bytes());
        Ok(())
    }

    fn add_reading(&mut self, channel: usize, reading: &InputReading, scaler: i8) -> Result<(), InputError> {
        let does_not_fit = || InputError::Value {
            channel,
            time: reading.time,
        };
        let distance = u32::try_from(reading.time.seconds_since(self.base)).map_err(|_| does_not_fit())?;
        let value = reading.value.rescaled(scaler).ok_or_else(does_not_fit)?;
        let value = i64::try_from(value.mantissa()).map_err(|_| does_not_fit())?;
        let [low, high, _, _] = reading.status.bits().to_le_bytes();
        self.readings.extend(distance.to_le_bytes());
        self.readings.extend([low, high]);
        self.readings.extend(reading.flags.bits().to_le_bytes());
        self.readings.extend(value.to_le_bytes());
        Ok(())
    }

    fn add_slot(&mut self, slot: &Slot) {
        self.slots.extend(slot.from.unix_seconds().to_le_bytes());
        self.slots.extend(slot.to.unix_seconds().to_le_bytes());
        self.slots.extend(slot.offset_minutes.to_le_bytes());
        self.slots.extend(slot.stage.to_le_bytes());
        self.slots.push(slot.day.code());
        self.slots.extend([0; 3]);
    }
}

fn count_u32(count: usize) -> Result<u32, InputError> {
    u32::try_from(count).map_err(|_| InputError::TooLong { bytes: count })
}

/// A part of an input that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The parameters.
    Parameters,
    /// The channels.
    Channels,
    /// The slots of the calendar.
    Slots,
    /// The readings of all channels.
    Readings,
    /// The state of the run before, in bytes.
    State,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Parameters => "parameters",
            Self::Channels => "channels",
            Self::Slots => "slots",
            Self::Readings => "readings",
            Self::State => "bytes of state",
        })
    }
}

/// The reason why an input cannot be written as a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A part has more entries than the interface permits.
    #[error("the input has {found} {part}, more than {limit}")]
    TooMany {
        /// The part.
        part: Part,
        /// What it has.
        found: usize,
        /// What it may have.
        limit: usize,
    },
    /// The blob would be longer than [`MAX_INPUT_BYTES`].
    #[error("the input takes {bytes} bytes, more than the interface permits")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A decimal parameter has too many digits, or a text is too long.
    #[error("parameter {index} does not fit the interface")]
    Parameter {
        /// Its index.
        index: usize,
    },
    /// A value has more digits than 64 bits hold in the channel's scaler.
    #[error("the value of channel {channel} at {time} does not fit into 64 bits")]
    Value {
        /// The channel's index.
        channel: usize,
        /// The time of the reading.
        time: Timestamp,
    },
    /// A reading is not later than the one before it.
    #[error("the reading of channel {channel} at {time} is not later than the one before")]
    Order {
        /// The channel's index.
        channel: usize,
        /// The time of the reading.
        time: Timestamp,
    },
    /// A reading lies outside the window.
    #[error("the reading of channel {channel} at {time} lies outside the window")]
    OutsideWindow {
        /// The channel's index.
        channel: usize,
        /// The time of the reading.
        time: Timestamp,
    },
}

/// What the host needs to know of an input blob to check what was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputView {
    /// The period that is evaluated.
    pub window: Period,
    /// The channels, in the order of the blob.
    pub channels: Vec<ChannelView>,
    /// The number of readings, of all channels together.
    pub readings: u32,
}

/// A channel of an input blob, without its readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelView {
    /// The index of the manifest's input.
    pub role: u16,
    /// What was measured.
    pub obis: Obis,
    /// The unit of every value.
    pub unit: Unit,
    /// The index of its first reading.
    pub first: u32,
    /// The number of its readings.
    pub count: u32,
}

impl ChannelView {
    /// Returns whether one of its readings is among these, by their indices into the input.
    #[must_use]
    pub const fn is_in(&self, basis: &std::ops::Range<u32>) -> bool {
        let end = self.first.saturating_add(self.count);
        basis.start < end && self.first < basis.end
    }
}

impl InputView {
    /// Reads the head and the channels of a blob.
    ///
    /// # Errors
    ///
    /// [`ViewError`] says in which part the blob is not one of this interface.
    pub fn parse(blob: &[u8]) -> Result<Self, ViewError> {
        let mut reader = Reader(blob);
        let head = Head::read(&mut reader).ok_or(ViewError::Header)??;
        if head.length(blob.len()) != Some(blob.len()) || blob.len() > MAX_INPUT_BYTES {
            return Err(ViewError::Length { bytes: blob.len() });
        }
        if head.channels > MAX_CHANNELS || head.readings > MAX_READINGS {
            return Err(ViewError::Channel { index: head.channels });
        }
        let skipped = head.parameters.checked_mul(PARAMETER_BYTES);
        skipped
            .and_then(|bytes| reader.take(bytes))
            .ok_or(ViewError::Header)?;
        let readings = u32::try_from(head.readings).map_err(|_| ViewError::Header)?;
        let mut channels = Vec::with_capacity(head.channels);
        let mut next = 0u32;
        for index in 0..head.channels {
            let channel = ChannelView::read(&mut reader).filter(|channel| channel.first == next);
            let channel = channel.ok_or(ViewError::Channel { index })?;
            next = next
                .checked_add(channel.count)
                .ok_or(ViewError::Channel { index })?;
            channels.push(channel);
        }
        if next != readings {
            return Err(ViewError::Channel { index: head.channels });
        }
        Ok(Self {
            window: head.window,
            channels,
            readings,
        })
    }
}

/// The header of an input blob.
struct Head {
    window: Period,
    total: usize,
    parameters: usize,
    channels: usize,
    slots: usize,
    readings: usize,
    texts: usize,
    state: usize,
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Option<Result<Self, ViewError>> {
        if reader.array()? != MAGIC || reader.u16()? != VERSION || reader.u16()? != HEADER_BYTES {
            return Some(Err(ViewError::Header));
        }
        let _run = reader.u64()?;
        let [from, to, _cutoff, _base] = [reader.i64()?, reader.i64()?, reader.i64()?, reader.i64()?];
        let count = |reader: &mut Reader<'_>| usize::try_from(reader.u32()?).ok();
        let at = |seconds| Timestamp::from_unix_seconds(seconds).ok();
        let window = Period::new(at(from)?, at(to)?).ok()?;
        let head = Self {
            window,
            total: count(reader)?,
            parameters: count(reader)?,
            channels: count(reader)?,
            slots: count(reader)?,
            readings: count(reader)?,
            texts: count(reader)?,
            state: count(reader)?,
        };
        let _reserved = reader.u32()?;
        Some(Ok(head))
    }

    /// Returns the length that the counts give, if the blob states it as well.
    fn length(&self, found: usize) -> Option<usize> {
        let tables = [
            (self.parameters, PARAMETER_BYTES),
            (self.channels, CHANNEL_BYTES),
            (self.slots, SLOT_BYTES),
            (self.readings, READING_BYTES),
        ];
        let mut length = usize::from(HEADER_BYTES);
        for (count, bytes) in tables {
            length = length.checked_add(count.checked_mul(bytes)?)?;
        }
        for padded in [self.texts, self.state] {
            length = length.checked_add(padded.checked_next_multiple_of(ALIGNMENT)?)?;
        }
        (self.total == found).then_some(length)
    }
}

impl ChannelView {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let obis = Obis::new(reader.array()?);
        let unit = unit_of(reader.u8()?)?;
        let _scaler = reader.i8()?;
        let role = reader.u16()?;
        let _reserved = reader.u16()?;
        let _step = reader.u32()?;
        Some(Self {
            role,
            obis,
            unit,
            first: reader.u32()?,
            count: reader.u32()?,
        })
    }
}

/// The reason why bytes are no input blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The header is cut off, or of another interface or version.
    #[error("the blob has no header of this interface")]
    Header,
    /// The length is not the one that the header states or its counts give.
    #[error("the blob has {bytes} bytes, which its header does not say")]
    Length {
        /// The length that was found.
        bytes: usize,
    },
    /// A channel is malformed, or its readings are not those behind the channel before.
    #[error("channel {index} of the blob is malformed")]
    Channel {
        /// The channel's index.
        index: usize,
    },
}

#[cfg(test)]
mod tests;
