//! The output blob: what an application has made.
//!
//! A header of 24 bytes, records of 48 bytes each, and the state for the next run up to the end.

use super::VERSION;
use super::bytes::Reader;
use crate::limits::{MAX_OUTPUT_BYTES, MAX_OUTPUTS, MAX_STATE_BYTES};

/// The first bytes of an output blob.
pub const MAGIC: [u8; 4] = *b"STO1";

const HEADER_BYTES: u16 = 24;
const RECORD_BYTES: usize = 48;

/// An output blob whose lengths are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputView<'a> {
    /// The elements, as the guest wrote them.
    pub records: Vec<Record>,
    /// What the next run is given.
    pub state: &'a [u8],
}

/// One element as the guest wrote it; nothing in it is checked against a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The index of the manifest's output.
    pub output: u16,
    /// The index of the channel that it was made of.
    pub channel: u16,
    /// The tariff stage; 0 if there is none.
    pub stage: u16,
    /// The status of everything that it was made of, as the low bits of [`model::Status`].
    pub status: u16,
    /// The start of its period, seconds since the epoch.
    pub from: i64,
    /// The end of its period, seconds since the epoch; a value at a point in time begins and ends there.
    pub to: i64,
    /// The number, to be multiplied with the power of ten.
    pub value: i64,
    /// The index of the first reading that it was made of.
    pub basis_first: u32,
    /// How many readings from there on it was made of.
    pub basis_count: u32,
    /// The power of ten.
    pub scaler: i8,
    /// The code of the unit.
    pub unit: u8,
}

impl<'a> OutputView<'a> {
    /// Reads a blob.
    ///
    /// # Errors
    ///
    /// [`OutputError`] says in which part the bytes are no output blob.
    pub fn parse(blob: &'a [u8]) -> Result<Self, OutputError> {
        if blob.len() > MAX_OUTPUT_BYTES {
            return Err(OutputError::TooLong { bytes: blob.len() });
        }
        let mut reader = Reader(blob);
        let (total, count, state) = header(&mut reader).ok_or(OutputError::Header)??;
        if count > MAX_OUTPUTS || state > MAX_STATE_BYTES {
            return Err(OutputError::Counts {
                outputs: count,
                state,
            });
        }
        let wrong = || OutputError::Length { bytes: blob.len() };
        let size = |count| usize::try_from(count).map_err(|_| wrong());
        let count = size(count)?;
        let length = count
            .checked_mul(RECORD_BYTES)
            .and_then(|bytes| bytes.checked_add(usize::from(HEADER_BYTES)))
            .and_then(|bytes| bytes.checked_add(size(state).ok()?));
        if length != Some(blob.len()) || size(total)? != blob.len() {
            return Err(wrong());
        }
        let mut records = Vec::with_capacity(count);
        for index in 0..count {
            records.push(Record::read(&mut reader).ok_or(OutputError::Record { index })?);
        }
        Ok(Self {
            records,
            state: reader.0,
        })
    }

    /// Writes the blob, as a guest does.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let state = u32::try_from(self.state.len()).unwrap_or(u32::MAX);
        let records = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let mut blob = Vec::new();
        blob.extend(MAGIC);
        blob.extend(VERSION.to_le_bytes());
        blob.extend(HEADER_BYTES.to_le_bytes());
        let length = self.records.len().saturating_mul(RECORD_BYTES);
        let length = length
            .saturating_add(usize::from(HEADER_BYTES))
            .saturating_add(self.state.len());
        for count in [u32::try_from(length).unwrap_or(u32::MAX), records, state, 0] {
            blob.extend(count.to_le_bytes());
        }
        for record in &self.records {
            record.write(&mut blob);
        }
        blob.extend(self.state);
        blob
    }
}

/// Reads the header: the whole length, the number of records, the length of the state.
fn header(reader: &mut Reader<'_>) -> Option<Result<(u32, u32, u32), OutputError>> {
    let magic: [u8; 4] = reader.array()?;
    let version = reader.u16()?;
    if magic != MAGIC {
        return Some(Err(OutputError::Header));
    }
    if version != VERSION {
        return Some(Err(OutputError::Version { found: version }));
    }
    if reader.u16()? != HEADER_BYTES {
        return Some(Err(OutputError::Header));
    }
    let counts = (reader.u32()?, reader.u32()?, reader.u32()?);
    let reserved = reader.u32()?;
    Some(if reserved == 0 {
        Ok(counts)
    } else {
        Err(OutputError::Header)
    })
}

impl Record {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let record = Self {
            output: reader.u16()?,
            channel: reader.u16()?,
            stage: reader.u16()?,
            status: reader.u16()?,
            from: reader.i64()?,
            to: reader.i64()?,
            value: reader.i64()?,
            basis_first: reader.u32()?,
            basis_count: reader.u32()?,
            scaler: reader.i8()?,
            unit: reader.u8()?,
        };
        (reader.array::<6>()? == [0; 6]).then_some(record)
    }

    fn write(&self, blob: &mut Vec<u8>) {
        for word in [self.output, self.channel, self.stage, self.status] {
            blob.extend(word.to_le_bytes());
        }
        for word in [self.from, self.to, self.value] {
            blob.extend(word.to_le_bytes());
        }
        for word in [self.basis_first, self.basis_count] {
            blob.extend(word.to_le_bytes());
        }
        blob.extend(self.scaler.to_le_bytes());
        blob.push(self.unit);
        blob.extend([0; 6]);
    }
}

/// The reason why bytes are no output blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The blob is longer than [`MAX_OUTPUT_BYTES`].
    #[error("the application wrote {bytes} bytes, more than the interface permits")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The header is cut off or malformed.
    #[error("the application wrote no header of this interface")]
    Header,
    /// The blob is of another version.
    #[error("the application wrote version {found} of the interface")]
    Version {
        /// The version that it states.
        found: u16,
    },
    /// The header states more elements or state than the interface permits.
    #[error(
        "the application states {outputs} elements and {state} bytes of state, more than the interface permits"
    )]
    Counts {
        /// The number of elements.
        outputs: u32,
        /// The length of the state.
        state: u32,
    },
    /// The length is not the one that the header gives.
    #[error("the application wrote {bytes} bytes, which its header does not say")]
    Length {
        /// The length that was found.
        bytes: usize,
    },
    /// A record has something where zeros must be.
    #[error("element {index} that the application wrote is malformed")]
    Record {
        /// The record's index.
        index: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            output: 1,
            channel: 0,
            stage: 2,
            status: 4,
            from: -1,
            to: 1,
            value: i64::MIN,
            basis_first: 3,
            basis_count: 7,
            scaler: -3,
            unit: 30,
        }
    }

    #[test]
    fn records_have_the_documented_bytes() {
        let view = OutputView {
            records: vec![record()],
            state: b"ab",
        };
        let blob = view.encode();
        assert_eq!(blob.len(), 24 + 48 + 2);
        assert_eq!(
            blob[..24],
            [
                b'S', b'T', b'O', b'1', 1, 0, 24, 0, 74, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(blob[24..32], [1, 0, 0, 0, 2, 0, 4, 0]);
        assert_eq!(blob[56..66], [3, 0, 0, 0, 7, 0, 0, 0, 0xfd, 30]);
        assert_eq!(OutputView::parse(&blob), Ok(view));
    }

    #[test]
    fn malformed_blobs_name_their_fault() {
        let good = OutputView {
            records: vec![record()],
            state: b"",
        }
        .encode();
        let changed = |at: usize, byte: u8| {
            let mut blob = good.clone();
            blob[at] = byte;
            OutputView::parse(&blob).map(|_| ()).unwrap_err()
        };
        assert_eq!(OutputView::parse(&[]), Err(OutputError::Header));
        assert_eq!(changed(0, 0), OutputError::Header);
        assert_eq!(changed(4, 2), OutputError::Version { found: 2 });
        assert_eq!(changed(12, 2), OutputError::Length { bytes: 72 });
        assert_eq!(
            changed(15, 1),
            OutputError::Counts {
                outputs: 0x0100_0001,
                state: 0
            }
        );
        assert_eq!(changed(71, 1), OutputError::Record { index: 0 });
        let long = vec![0; MAX_OUTPUT_BYTES + 1];
        assert_eq!(
            OutputView::parse(&long),
            Err(OutputError::TooLong {
                bytes: MAX_OUTPUT_BYTES + 1
            })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut blob: Vec<u8>, framed: bool) {
            if framed {
                let state = blob.clone();
                blob = OutputView { records: vec![record()], state: &state }.encode();
            }
            if let Ok(view) = OutputView::parse(&blob) {
                prop_assert_eq!(view.encode(), blob);
            }
        }
    }
}
