//! The input blob.

use crate::Fault;

/// A flag of a reading: at least one point of the grid before it has no value.
pub const GAP_BEFORE: u16 = 1;
/// A flag of a reading: the value was put in the place of one that is missing.
pub const SUBSTITUTE: u16 = 2;

const MAGIC: &[u8] = b"STI1";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 80;
const PARAMETER_BYTES: usize = 16;
const CHANNEL_BYTES: usize = 24;
const SLOT_BYTES: usize = 24;
const READING_BYTES: usize = 16;
const ALIGNMENT: usize = 8;

/// The input of a run, its lengths checked.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The start of the period that is evaluated, seconds since the epoch.
    pub from: i64,
    /// Its end; readings at both ends belong to it.
    pub to: i64,
    /// Readings that became known later are not in the input.
    pub cutoff: i64,
    base: i64,
    parameters: &'a [u8],
    channels: &'a [u8],
    slots: &'a [u8],
    readings: &'a [u8],
    texts: &'a [u8],
    /// What the run before has left.
    pub state: &'a [u8],
}

/// A parameter, in the manifest's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// It is not given and has no default.
    Absent,
    /// A whole number.
    Integer(i64),
    /// `mantissa × 10^scaler`.
    Decimal {
        /// The digits.
        mantissa: i64,
        /// The power of ten.
        scaler: i8,
    },
    /// A text, UTF-8.
    Text(&'a [u8]),
    /// A calendar; its slots are [`Input::slots`].
    Calendar,
}

/// The head of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Its index.
    pub index: u16,
    /// What was measured, OBIS groups A to F.
    pub obis: [u8; 6],
    /// The code of the unit, as DLMS has it.
    pub unit: u8,
    /// The power of ten of every value.
    pub scaler: i8,
    /// The index of the manifest's input that it stands for.
    pub role: u16,
    /// The registration period, seconds.
    pub step: u32,
    /// The index of its first reading in the table of all readings.
    pub first: u32,
    /// The number of its readings.
    pub count: u32,
}

/// A time in which one stage holds, within one local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its first second.
    pub from: i64,
    /// The first second behind it.
    pub to: i64,
    /// How far local time is ahead of UTC, minutes.
    pub offset_minutes: i16,
    /// The stage.
    pub stage: u16,
    /// 0 Monday to Friday, 1 Saturday, 2 Sunday, 3 holiday.
    pub day: u8,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Its time, seconds since the epoch.
    pub time: i64,
    /// What is to be known about the value, as bits.
    pub status: u16,
    /// [`GAP_BEFORE`] and [`SUBSTITUTE`].
    pub flags: u16,
    /// The digits, in the channel's scaler.
    pub value: i64,
}

impl<'a> Input<'a> {
    /// Reads a blob; no length in it is believed.
    ///
    /// # Errors
    ///
    /// [`Fault::INPUT`] if it is none of this interface.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Fault> {
        Self::read(blob).ok_or(Fault::INPUT)
    }

    fn read(blob: &'a [u8]) -> Option<Self> {
        let head = blob.get(..HEADER_BYTES)?;
        let fits = head.get(..4)? == MAGIC && u16_at(head, 4)? == VERSION;
        let fits = fits && usize::from(u16_at(head, 6)?) == HEADER_BYTES;
        if !fits || size_at(head, 48)? != blob.len() {
            return None;
        }
        let mut rest = blob.get(HEADER_BYTES..)?;
        let mut table = |at: usize, bytes: usize| {
            let length = size_at(head, at)?.checked_mul(bytes)?;
            take(&mut rest, length)
        };
        let parameters = table(52, PARAMETER_BYTES)?;
        let channels = table(56, CHANNEL_BYTES)?;
        let slots = table(60, SLOT_BYTES)?;
        let readings = table(64, READING_BYTES)?;
        let texts = table(68, 1)?;
        take(&mut rest, padding(texts.len()))?;
        let state = take(&mut rest, size_at(head, 72)?)?;
        take(&mut rest, padding(state.len()))?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            from: i64_at(head, 16)?,
            to: i64_at(head, 24)?,
            cutoff: i64_at(head, 32)?,
            base: i64_at(head, 40)?,
            parameters,
            channels,
            slots,
            readings,
            texts,
            state,
        })
    }

    /// Returns a parameter by its place in the manifest.
    ///
    /// # Errors
    ///
    /// [`Fault::PARAMETER`] if the manifest has none there, [`Fault::INPUT`] if it is malformed.
    pub fn parameter(&self, index: usize) -> Result<Parameter<'a>, Fault> {
        let entry = self.parameters.chunks_exact(PARAMETER_BYTES).nth(index);
        let entry = entry.ok_or(Fault::PARAMETER)?;
        self.read_parameter(entry).ok_or(Fault::INPUT)
    }

    fn read_parameter(&self, entry: &[u8]) -> Option<Parameter<'a>> {
        let value = i64_at(entry, 8)?;
        Some(match *entry.first()? {
            0 => Parameter::Absent,
            1 => Parameter::Integer(value),
            2 => Parameter::Decimal {
                mantissa: value,
                scaler: i8::from_le_bytes([*entry.get(1)?]),
            },
            3 => {
                let from = usize::try_from(value).ok()?;
                let to = from.checked_add(size_at(entry, 4)?)?;
                Parameter::Text(self.texts.get(from..to)?)
            }
            4 => Parameter::Calendar,
            _ => return None,
        })
    }

    /// Returns the channels.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + 'a {
        let entries = self.channels.chunks_exact(CHANNEL_BYTES).enumerate();
        entries.filter_map(|(index, entry)| {
            Some(Channel {
                index: u16::try_from(index).ok()?,
                obis: entry.get(..6)?.try_into().ok()?,
                unit: *entry.get(6)?,
                scaler: i8::from_le_bytes([*entry.get(7)?]),
                role: u16_at(entry, 8)?,
                step: u32_at(entry, 12)?,
                first: u32_at(entry, 16)?,
                count: u32_at(entry, 20)?,
            })
        })
    }

    /// Returns the number of channels.
    #[must_use]
    pub const fn channel_count(&self) -> usize {
        self.channels.len() / CHANNEL_BYTES
    }

    /// Returns the number of readings, of all channels together.
    #[must_use]
    pub const fn reading_count(&self) -> usize {
        self.readings.len() / READING_BYTES
    }

    /// Returns the readings of a channel, in the order of time.
    ///
    /// # Errors
    ///
    /// [`Fault::INPUT`] if it has readings that the blob does not.
    pub fn readings(&self, channel: &Channel) -> Result<Readings<'a>, Fault> {
        let place = |count: u32| usize::try_from(count).ok()?.checked_mul(READING_BYTES);
        let from = place(channel.first).ok_or(Fault::INPUT)?;
        let length = place(channel.count).ok_or(Fault::INPUT)?;
        let to = from.checked_add(length).ok_or(Fault::INPUT)?;
        Ok(Readings {
            base: self.base,
            entries: self
                .readings
                .get(from..to)
                .ok_or(Fault::INPUT)?
                .chunks_exact(READING_BYTES),
        })
    }

    /// Returns the slots of the calendar, in order.
    #[must_use]
    pub fn slots(&self) -> Slots<'a> {
        Slots(self.slots.chunks_exact(SLOT_BYTES))
    }
}

/// The readings of a channel.
#[derive(Debug, Clone)]
pub struct Readings<'a> {
    base: i64,
    entries: core::slice::ChunksExact<'a, u8>,
}

impl Iterator for Readings<'_> {
    type Item = Reading;

    #[inline]
    fn next(&mut self) -> Option<Reading> {
        let entry: &[u8; READING_BYTES] = self.entries.next()?.try_into().ok()?;
        let [a, b, c, d, e, f, g, h, value @ ..] = *entry;
        Some(Reading {
            time: self
                .base
                .wrapping_add(i64::from(u32::from_le_bytes([a, b, c, d]))),
            status: u16::from_le_bytes([e, f]),
            flags: u16::from_le_bytes([g, h]),
            value: i64::from_le_bytes(value),
        })
    }
}

/// The slots of a calendar.
#[derive(Debug, Clone)]
pub struct Slots<'a>(core::slice::ChunksExact<'a, u8>);

impl Iterator for Slots<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        let entry = self.0.next()?;
        Some(Slot {
            from: i64_at(entry, 0)?,
            to: i64_at(entry, 8)?,
            offset_minutes: i16::from_le_bytes(array(entry, 16)?),
            stage: u16_at(entry, 18)?,
            day: *entry.get(20)?,
        })
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let taken = rest.get(..length)?;
    *rest = rest.get(length..)?;
    Some(taken)
}

/// Returns how many zeros fill the length up.
const fn padding(length: usize) -> usize {
    (ALIGNMENT - length % ALIGNMENT) % ALIGNMENT
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.get(..N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    array(bytes, at).map(i64::from_le_bytes)
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blob with one parameter of each kind, a channel of two readings, a slot, and three bytes of state.
    fn blob() -> Vec<u8> {
        let mut blob = vec![0; HEADER_BYTES];
        blob[..8].copy_from_slice(b"STI1\x01\0\x50\0");
        for (at, value) in [(16, 1000i64), (24, 2000), (32, 3000), (40, 1000)] {
            blob[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        for (at, count) in [(52, 5u32), (56, 1), (60, 1), (64, 2), (68, 2), (72, 3)] {
            blob[at..at + 4].copy_from_slice(&count.to_le_bytes());
        }
        for (kind, scaler, length, value) in [
            (0u8, 0u8, 0u32, 0i64),
            (1, 0, 0, -5),
            (2, 0xfe, 0, 7),
            (3, 0, 2, 0),
            (4, 0, 0, 0),
        ] {
            blob.extend([kind, scaler, 0, 0]);
            blob.extend(length.to_le_bytes());
            blob.extend(value.to_le_bytes());
        }
        blob.extend([
            1, 0, 1, 8, 0, 255, 30, 0xfd, 2, 0, 0, 0, 0x84, 3, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,
        ]);
        blob.extend(1000i64.to_le_bytes());
        blob.extend(2000i64.to_le_bytes());
        blob.extend([0xc4, 0xff, 3, 0, 2, 0, 0, 0]);
        for (distance, value) in [(0u32, 10i64), (900, -1)] {
            blob.extend(distance.to_le_bytes());
            blob.extend([4, 0, 1, 0]);
            blob.extend(value.to_le_bytes());
        }
        blob.extend(*b"hi\0\0\0\0\0\0abc\0\0\0\0\0");
        let length = u32::try_from(blob.len()).unwrap();
        blob[48..52].copy_from_slice(&length.to_le_bytes());
        blob
    }

    #[test]
    fn every_part_is_read() {
        let blob = blob();
        let input = Input::parse(&blob).unwrap();
        assert_eq!(
            (input.from, input.to, input.cutoff, input.state),
            (1000, 2000, 3000, &b"abc"[..])
        );
        let parameters: Vec<_> = (0..5).map(|index| input.parameter(index).unwrap()).collect();
        assert_eq!(
            parameters,
            [
                Parameter::Absent,
                Parameter::Integer(-5),
                Parameter::Decimal {
                    mantissa: 7,
                    scaler: -2
                },
                Parameter::Text(b"hi"),
                Parameter::Calendar,
            ]
        );
        assert_eq!(input.parameter(5), Err(Fault::PARAMETER));
        let channel = input.channels().next().unwrap();
        assert_eq!(
            (channel.unit, channel.scaler, channel.role, channel.step),
            (30, -3, 2, 900)
        );
        let readings: Vec<_> = input.readings(&channel).unwrap().collect();
        assert_eq!(
            readings[1],
            Reading {
                time: 1900,
                status: 4,
                flags: GAP_BEFORE,
                value: -1
            }
        );
        assert_eq!(input.slots().next().unwrap().offset_minutes, -60);
        assert_eq!((input.channel_count(), input.reading_count()), (1, 2));
    }

    #[test]
    fn no_length_is_believed() {
        let good = blob();
        for cut in 0..good.len() {
            assert_eq!(Input::parse(&good[..cut]).err(), Some(Fault::INPUT));
        }
        for at in (0..8).chain(48..76) {
            let mut wrong = good.clone();
            wrong[at] ^= 0x40;
            assert_eq!(Input::parse(&wrong).err(), Some(Fault::INPUT), "{}", at);
        }
        let input = Input::parse(&good).unwrap();
        let channel = Channel {
            count: 3,
            ..input.channels().next().unwrap()
        };
        assert!(input.readings(&channel).is_err());
    }
}
