//! The readings, slots and state of an input blob, read back: what a value was made of.

use model::{Decimal, Obis, Status, Timestamp, Unit};

use super::bytes::Reader;
use super::{ChannelView, Flags, InputView, ViewError};
use crate::calendar::{DayKind, Slot};
use crate::limits::MAX_SLOTS;

/// Where the header has the time from which those of readings count, and the number of each table's entries.
const BASE: usize = 40;
const PARAMETERS: usize = 52;
const CHANNELS: usize = 56;
const SLOTS: usize = 60;
const STATE: usize = 72;
/// The length of the header, and of the entries of the tables.
const HEADER_BYTES: usize = 80;
const PARAMETER_BYTES: usize = 16;
const CHANNEL_BYTES: usize = 24;
const SLOT_BYTES: usize = 24;
/// Texts and state are filled up to a multiple of it.
const ALIGNMENT: usize = 8;
/// Where an entry of the channels has its scaler.
const SCALER: usize = 7;

/// A reading as an application was given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenReading {
    /// The index of its channel.
    pub channel: u16,
    /// What was measured.
    pub obis: Obis,
    /// Its time.
    pub time: Timestamp,
    /// The digits.
    pub value: Decimal,
    /// The unit.
    pub unit: Unit,
    /// The status, of which an application sees the low bits.
    pub status: Status,
    /// Gaps and substitutes.
    pub flags: Flags,
}

impl InputView {
    /// Returns the readings of the blob that this is the view of, in order.
    ///
    /// # Errors
    ///
    /// [`ViewError`] if it is another one.
    pub fn readings(&self, blob: &[u8]) -> Result<Vec<GivenReading>, ViewError> {
        let mut given = Vec::new();
        let base = i64::from_le_bytes(at(blob, BASE)?);
        let parameters = part(count(blob, PARAMETERS)?, PARAMETER_BYTES)?;
        let slots = part(count(blob, SLOTS)?, SLOT_BYTES)?;
        let channels = part(count(blob, CHANNELS)?, CHANNEL_BYTES)?;
        let table = HEADER_BYTES.checked_add(parameters).ok_or(ViewError::Header)?;
        let behind = table.checked_add(channels).and_then(|end| end.checked_add(slots));
        let readings = behind.and_then(|start| blob.get(start..));
        let mut reader = Reader(readings.ok_or(ViewError::Header)?);
        for (index, channel) in self.channels.iter().enumerate() {
            let malformed = || ViewError::Channel { index };
            let entry = part(index, CHANNEL_BYTES)?.checked_add(table);
            let scaler = entry
                .and_then(|entry| entry.checked_add(SCALER))
                .ok_or_else(malformed)?;
            let [scaler] = at(blob, scaler)?;
            for _ in 0..channel.count {
                let reading = reading(&mut reader, (index, channel), scaler.cast_signed(), base);
                given.push(reading.ok_or_else(malformed)?);
            }
        }
        Ok(given)
    }

    /// Returns the slots of the calendar of the blob that this is the view of, in order; none for an application without one.
    ///
    /// # Errors
    ///
    /// [`ViewError`] if it is another one.
    pub fn slots(&self, blob: &[u8]) -> Result<Vec<Slot>, ViewError> {
        let parameters = part(count(blob, PARAMETERS)?, PARAMETER_BYTES)?;
        let channels = part(count(blob, CHANNELS)?, CHANNEL_BYTES)?;
        let place = HEADER_BYTES.checked_add(parameters);
        let place = place.and_then(|place| place.checked_add(channels));
        let table = place.and_then(|place| blob.get(place..));
        let mut reader = Reader(table.ok_or(ViewError::Header)?);
        let mut slots = Vec::new();
        for _ in 0..count(blob, SLOTS)?.min(MAX_SLOTS) {
            slots.push(slot(&mut reader).ok_or(ViewError::Header)?);
        }
        Ok(slots)
    }

    /// Returns the state of the blob that this is the view of: what the run before had left.
    ///
    /// # Errors
    ///
    /// [`ViewError`] if it is another one.
    pub fn state<'a>(&self, blob: &'a [u8]) -> Result<&'a [u8], ViewError> {
        let length = count(blob, STATE)?;
        let padded = length.checked_next_multiple_of(ALIGNMENT);
        let place = padded.and_then(|padded| blob.len().checked_sub(padded));
        let rest = place.and_then(|place| blob.get(place..));
        rest.and_then(|rest| rest.get(..length)).ok_or(ViewError::Header)
    }
}

fn slot(reader: &mut Reader<'_>) -> Option<Slot> {
    let (from, to) = (reader.i64()?, reader.i64()?);
    let (offset, stage) = (reader.u16()?, reader.u16()?);
    let [day, ..] = reader.array::<4>()?;
    Some(Slot {
        from: Timestamp::from_unix_seconds(from).ok()?,
        to: Timestamp::from_unix_seconds(to).ok()?,
        offset_minutes: offset.cast_signed(),
        stage,
        day: DayKind::of_code(day)?,
    })
}

fn reading(
    reader: &mut Reader<'_>,
    (index, channel): (usize, &ChannelView),
    scaler: i8,
    base: i64,
) -> Option<GivenReading> {
    let seconds = base.checked_add(i64::from(reader.u32()?))?;
    let (status, flags) = (reader.u16()?, reader.u16()?);
    let digits = reader.i64()?;
    Some(GivenReading {
        channel: u16::try_from(index).ok()?,
        obis: channel.obis,
        time: Timestamp::from_unix_seconds(seconds).ok()?,
        value: Decimal::new(i128::from(digits), scaler)?,
        unit: channel.unit,
        status: Status::from_bits(u32::from(status)),
        flags: Flags::from_bits(flags),
    })
}

fn at<const N: usize>(blob: &[u8], place: usize) -> Result<[u8; N], ViewError> {
    let bytes = blob.get(place..).and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or(ViewError::Header)
}

fn count(blob: &[u8], place: usize) -> Result<usize, ViewError> {
    usize::try_from(u32::from_le_bytes(at(blob, place)?)).map_err(|_| ViewError::Header)
}

fn part(count: usize, bytes: usize) -> Result<usize, ViewError> {
    count.checked_mul(bytes).ok_or(ViewError::Header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{berlin, calendar, input, window};

    #[test]
    fn readings_are_read_back_as_they_were_given() {
        let input = input();
        let blob = input.encode().unwrap();
        let given = InputView::parse(&blob).unwrap().readings(&blob).unwrap();
        let written: Vec<_> = input
            .channels
            .iter()
            .flat_map(|channel| &channel.readings)
            .collect();
        assert_eq!(given.len(), written.len());
        for (given, written) in given.iter().zip(written) {
            assert_eq!((given.time, given.flags), (written.time, written.flags));
            assert_eq!(
                given.value.compare(written.value),
                Some(std::cmp::Ordering::Equal)
            );
        }
        assert_eq!(given[0].obis, input.channels[0].obis);
        let view = InputView::parse(&blob).unwrap();
        assert!(view.readings(&blob[..blob.len() / 2]).is_err());
        assert!(view.readings(b"").is_err());
    }

    #[test]
    fn slots_and_state_are_read_back_as_they_were_given() {
        let mut input = input();
        let window = window("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        input.slots = calendar().slots(window, &berlin()).unwrap();
        assert!(input.slots.len() > 1);
        for state in [&b"state"[..], b"", b"eight by", &[7; 300]] {
            input.state = state.to_vec();
            let blob = input.encode().unwrap();
            let view = InputView::parse(&blob).unwrap();
            assert_eq!(view.slots(&blob).unwrap(), input.slots);
            assert_eq!(view.state(&blob).unwrap(), state);
            assert!(view.slots(&blob[..100]).is_err());
            assert!(view.state(&blob[..70]).is_err());
        }
    }
}
