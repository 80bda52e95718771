//! The output blob.

use crate::{Channel, Fault};

/// The bytes of the header.
pub const HEADER_BYTES: usize = 24;
/// The bytes of a record.
pub const RECORD_BYTES: usize = 48;
/// The most bytes of state.
pub const MAX_STATE_BYTES: usize = 16 * 1024;

/// The output of a run, written into bytes that the caller gives.
#[derive(Debug)]
pub struct Output<'a> {
    bytes: &'a mut [u8],
    used: usize,
    records: u32,
    state: u32,
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The index of the manifest's output.
    pub output: u16,
    /// The tariff stage; 0 if there is none.
    pub stage: u16,
    /// The status of everything that it is made of.
    pub status: u16,
    /// The start of its period.
    pub from: i64,
    /// The end of its period; a value at a point in time begins and ends there.
    pub to: i64,
    /// The digits.
    pub value: i64,
    /// The power of ten.
    pub scaler: i8,
    /// The code of the unit.
    pub unit: u8,
    /// The index of the first reading that it is made of, in the table of all readings.
    pub basis_first: u32,
    /// How many readings it is made of, from there on.
    pub basis_count: u32,
}

impl<'a> Output<'a> {
    /// Begins an output in the bytes.
    ///
    /// # Errors
    ///
    /// [`Fault::ROOM`] if they have no room for the header.
    pub fn new(bytes: &'a mut [u8]) -> Result<Self, Fault> {
        let head = bytes.get_mut(..HEADER_BYTES).ok_or(Fault::ROOM)?;
        head.fill(0);
        Ok(Self {
            bytes,
            used: HEADER_BYTES,
            records: 0,
            state: 0,
        })
    }

    /// Writes an element of the channel.
    ///
    /// # Errors
    ///
    /// [`Fault::ROOM`] if there is no more room, or a state was written.
    pub fn push(&mut self, channel: &Channel, record: &Record) -> Result<(), Fault> {
        let end = self
            .used
            .checked_add(RECORD_BYTES)
            .filter(|_| self.state == 0)
            .ok_or(Fault::ROOM)?;
        let place: &mut [u8] = self.bytes.get_mut(self.used..end).ok_or(Fault::ROOM)?;
        let place: &mut [u8; RECORD_BYTES] = place.try_into().map_err(|_| Fault::ROOM)?;
        place[..2].copy_from_slice(&record.output.to_le_bytes());
        place[2..4].copy_from_slice(&channel.index.to_le_bytes());
        place[4..6].copy_from_slice(&record.stage.to_le_bytes());
        place[6..8].copy_from_slice(&record.status.to_le_bytes());
        place[8..16].copy_from_slice(&record.from.to_le_bytes());
        place[16..24].copy_from_slice(&record.to.to_le_bytes());
        place[24..32].copy_from_slice(&record.value.to_le_bytes());
        place[32..36].copy_from_slice(&record.basis_first.to_le_bytes());
        place[36..40].copy_from_slice(&record.basis_count.to_le_bytes());
        place[40..].copy_from_slice(&[record.scaler.to_le_bytes()[0], record.unit, 0, 0, 0, 0, 0, 0]);
        self.used = end;
        self.records = self.records.checked_add(1).ok_or(Fault::ROOM)?;
        Ok(())
    }

    /// Leaves a state to the next run; it comes last, and once.
    ///
    /// # Errors
    ///
    /// [`Fault::ROOM`] if there is no room for it, or there is one already.
    pub fn leave(&mut self, state: &[u8]) -> Result<(), Fault> {
        let end = self
            .used
            .checked_add(state.len())
            .filter(|_| self.state == 0)
            .ok_or(Fault::ROOM)?;
        if state.len() > MAX_STATE_BYTES {
            return Err(Fault::ROOM);
        }
        self.bytes
            .get_mut(self.used..end)
            .ok_or(Fault::ROOM)?
            .copy_from_slice(state);
        self.used = end;
        self.state = u32::try_from(state.len()).map_err(|_| Fault::ROOM)?;
        Ok(())
    }

    /// Ends the output and returns the blob.
    ///
    /// # Errors
    ///
    /// [`Fault::ROOM`] if its length has no place in 32 bits.
    pub fn finish(self) -> Result<&'a [u8], Fault> {
        let Self {
            bytes,
            used,
            records,
            state,
        } = self;
        let length = u32::try_from(used).map_err(|_| Fault::ROOM)?;
        let head = bytes.get_mut(..HEADER_BYTES).ok_or(Fault::ROOM)?;
        head[..8].copy_from_slice(b"STO1\x01\0\x18\0");
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[12..16].copy_from_slice(&records.to_le_bytes());
        head[16..20].copy_from_slice(&state.to_le_bytes());
        bytes.get(..used).ok_or(Fault::ROOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: Channel = Channel {
        index: 3,
        obis: [1, 0, 1, 8, 0, 255],
        unit: 30,
        scaler: 0,
        role: 0,
        step: 900,
        first: 0,
        count: 2,
    };
    const RECORD: Record = Record {
        output: 1,
        stage: 2,
        status: 4,
        from: -1,
        to: 1,
        value: i64::MIN,
        scaler: -3,
        unit: 30,
        basis_first: 5,
        basis_count: 7,
    };

    #[test]
    fn blob_has_the_documented_bytes() {
        let mut bytes = [0xaa; HEADER_BYTES + RECORD_BYTES + 2];
        let mut output = Output::new(&mut bytes).unwrap();
        output.push(&CHANNEL, &RECORD).unwrap();
        output.leave(b"ab").unwrap();
        let blob = output.finish().unwrap();
        assert_eq!(
            blob[..24],
            *b"STO1\x01\0\x18\0\x4a\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0"
        );
        assert_eq!(blob[24..32], [1, 0, 3, 0, 2, 0, 4, 0]);
        assert_eq!(blob[56..72], [5, 0, 0, 0, 7, 0, 0, 0, 0xfd, 30, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&blob[72..], b"ab");
    }

    #[test]
    fn what_has_no_room_is_refused() {
        assert!(Output::new(&mut [0; HEADER_BYTES - 1]).is_err());
        let mut bytes = [0; HEADER_BYTES + RECORD_BYTES];
        let mut output = Output::new(&mut bytes).unwrap();
        output.push(&CHANNEL, &RECORD).unwrap();
        assert_eq!(output.push(&CHANNEL, &RECORD), Err(Fault::ROOM));
        assert_eq!(output.leave(b"a"), Err(Fault::ROOM));
        let mut bytes = [0; 200];
        let mut output = Output::new(&mut bytes).unwrap();
        output.leave(b"a").unwrap();
        assert_eq!(output.leave(b"a"), Err(Fault::ROOM));
        assert_eq!(output.push(&CHANNEL, &RECORD), Err(Fault::ROOM));
    }
}
