//! One telegram: a header and records.

use super::header::Header;
use super::record::{Records, scan};
use crate::link::LongFrame;

/// Variable data structure with a long header, least significant byte first.
const VARIABLE_DATA: u8 = 0x72;

/// One telegram of a meter, borrowed from its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telegram<'f> {
    header: Header,
    records: &'f [u8],
    manufacturer_data: Option<&'f [u8]>,
    more_follows: bool,
}

impl<'f> Telegram<'f> {
    /// Takes a response apart: header, records, the maker's own data.
    ///
    /// # Errors
    ///
    /// [`TelegramError`] if the data is of another kind, too short, or encrypted.
    pub fn parse(frame: &'f LongFrame) -> Result<Self, TelegramError> {
        let found = frame.control_information();
        if found != VARIABLE_DATA {
            return Err(TelegramError::ControlInformation { found });
        }
        let data = frame.data();
        let (header, records) = data
            .split_first_chunk()
            .ok_or(TelegramError::HeaderTooShort { found: data.len() })?;
        let header = Header::from_bytes(*header);
        match header.encryption_mode() {
            0 => {}
            mode => return Err(TelegramError::Encrypted { mode }),
        }
        let end = scan(records);
        Ok(Self {
            header,
            records: end.records,
            manufacturer_data: end.manufacturer_data,
            more_follows: end.more_follows,
        })
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Walks the records, in the order of the wire.
    #[must_use]
    pub const fn records(&self) -> Records<'f> {
        Records::new(self.records)
    }

    /// Returns the maker's own data behind the records (DIF `0F` or `1F`), if there is such a part.
    #[must_use]
    pub const fn manufacturer_data(&self) -> Option<&'f [u8]> {
        self.manufacturer_data
    }

    /// Returns whether the meter has a further telegram that belongs to this one (DIF `1F`).
    #[must_use]
    pub const fn more_follows(&self) -> bool {
        self.more_follows
    }
}

/// The reason why a frame is no telegram that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TelegramError {
    /// The data is of a kind that is not read.
    #[error("the meter's data is of kind {found:#04x}; variable data (0x72) is read")]
    ControlInformation {
        /// The CI field.
        found: u8,
    },
    /// The data ends within the header.
    #[error("the meter's header has {found} of {} bytes", Header::LENGTH)]
    HeaderTooShort {
        /// The bytes behind the CI field.
        found: usize,
    },
    /// The records are encrypted.
    #[error("the meter's records are encrypted in mode {mode}")]
    Encrypted {
        /// The mode, after the configuration field.
        mode: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Control;

    const HEADER: [u8; 12] = [
        0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x01, 0x07, 0x55, 0x00, 0x00, 0x00,
    ];

    fn frame(control_information: u8, data: Vec<u8>) -> LongFrame {
        LongFrame::new(Control::RSP_UD, 1, control_information, data).unwrap()
    }

    fn with_records(records: &[u8]) -> LongFrame {
        frame(0x72, [&HEADER, records].concat())
    }

    #[test]
    fn other_data_is_refused_with_its_cause() {
        assert_eq!(
            Telegram::parse(&frame(0x73, HEADER.to_vec())),
            Err(TelegramError::ControlInformation { found: 0x73 })
        );
        assert_eq!(
            Telegram::parse(&frame(0x72, HEADER[..11].to_vec())),
            Err(TelegramError::HeaderTooShort { found: 11 })
        );
        let mut encrypted = HEADER.to_vec();
        encrypted[11] = 0x05;
        assert_eq!(
            Telegram::parse(&frame(0x72, encrypted)),
            Err(TelegramError::Encrypted { mode: 5 })
        );
    }

    #[test]
    fn special_dif_ends_the_records() {
        let records = [0x2F, 0x01, 0x13, 0x05, 0x2F];
        for (special, more) in [(0x0F, false), (0x1F, true)] {
            let frame = with_records(&[&records[..], &[special, 0xAA, 0xBB]].concat());
            let telegram = Telegram::parse(&frame).unwrap();
            assert_eq!(telegram.more_follows(), more);
            assert_eq!(telegram.manufacturer_data(), Some(&[0xAA, 0xBB][..]));
            assert_eq!(telegram.records().count(), 1);
        }
        let frame = with_records(&records);
        let telegram = Telegram::parse(&frame).unwrap();
        assert_eq!(
            (telegram.more_follows(), telegram.manufacturer_data()),
            (false, None)
        );
    }

    #[test]
    fn special_dif_within_a_value_ends_nothing() {
        let frame = with_records(&[0x02, 0x13, 0x1F, 0x0F, 0x01, 0x13, 0x05]);
        let telegram = Telegram::parse(&frame).unwrap();
        assert!(!telegram.more_follows());
        assert_eq!(telegram.records().count(), 2);
    }
}
