//! Compact frames: values without their formats, which an earlier frame taught.

use std::collections::VecDeque;

use crc::{CRC_16_EN_13757, Crc};

use super::record::{formats, split_format};
use super::telegram::{Telegram, TelegramError};

/// The checksum of formats and of full frames.
///
/// Spec: EN 13757-3:2018, annex G.
const CHECKSUM: Crc<u16> = Crc::<u16>::new(&CRC_16_EN_13757);

/// The formats that were learned, by their signature.
///
/// A meter that sends compact frames sends a full frame or a format frame from time to time. At
/// most [`Formats::MOST`] are kept; the one that was learned first is forgotten first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formats {
    known: VecDeque<(u16, Vec<u8>)>,
}

impl Formats {
    /// The greatest number of formats that are kept: a meter has two or three, a house tens of meters.
    pub const MOST: usize = 64;

    /// Builds an empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns the format of a telegram: the one that it brings, or that of its own records.
    pub fn learn(&mut self, telegram: &Telegram<'_>) {
        if let Some(format) = telegram.format() {
            self.insert(format.to_vec());
        } else if let Some(records) = telegram.learnable() {
            let format: Vec<u8> = formats(records).flatten().copied().collect();
            if !format.is_empty() {
                self.insert(format);
            }
        }
    }

    fn insert(&mut self, format: Vec<u8>) {
        let signature = signature(&format);
        if self.find(signature).is_some() {
            return;
        }
        if self.known.len() >= Self::MOST {
            self.known.pop_front();
        }
        self.known.push_back((signature, format));
    }

    fn find(&self, wanted: u16) -> Option<&[u8]> {
        self.known
            .iter()
            .find(|(signature, _)| *signature == wanted)
            .map(|(_, format)| format.as_slice())
    }
}

/// Returns the signature of a format: DIF to the last VIFE of each record.
///
/// Spec: EN 13757-3:2018, annex G (format signature).
#[must_use]
pub fn signature(format: &[u8]) -> u16 {
    CHECKSUM.checksum(format)
}

/// Takes the length and the signature off a format frame and returns the format.
///
/// The length counts what stands behind it, with or without the signature: meters differ.
///
/// # Errors
///
/// [`TelegramError::Format`] if the lengths disagree or the signature does not fit.
///
/// Spec: EN 13757-3:2018, annex G (format frame, CI `69`, `6A`, `6B`).
pub(super) fn parse_format(data: &[u8]) -> Result<&[u8], TelegramError> {
    let [length, s0, s1, format @ ..] = data else {
        return Err(TelegramError::Format);
    };
    let length = usize::from(*length);
    let counted = format.len() == length || format.len().saturating_add(2) == length;
    if !counted || signature(format) != u16::from_le_bytes([*s0, *s1]) {
        return Err(TelegramError::Format);
    }
    Ok(format)
}

/// The longest full frame that a compact one can stand for: all of its data, and a format.
pub(super) const MAX_FULL: usize = 512;

/// Writes the full frame that a compact one stands for into `full`; returns its length.
///
/// # Errors
///
/// [`TelegramError::UnknownFormat`] if the format was not learned, [`TelegramError::Compact`] if
/// the values do not fit it or the checksum of the full frame disagrees.
///
/// Spec: EN 13757-3:2018, annex G (compact frame, CI `79`, `7B`, `73`).
pub(super) fn expand(
    data: &[u8],
    known: Option<&Formats>,
    full: &mut [u8; MAX_FULL],
) -> Result<usize, TelegramError> {
    let [s0, s1, c0, c1, values @ ..] = data else {
        return Err(TelegramError::Compact);
    };
    let wanted = u16::from_le_bytes([*s0, *s1]);
    let mut format = known
        .and_then(|known| known.find(wanted))
        .ok_or(TelegramError::UnknownFormat { signature: wanted })?;
    let mut values = values;
    let mut length = 0usize;
    // Each pass takes at least a DIF off the format.
    while !format.is_empty() {
        let (information, data) =
            split_format(&mut format, &mut values).map_err(|_| TelegramError::Compact)?;
        for part in [information, data] {
            let end = length.saturating_add(part.len());
            full.get_mut(length..end)
                .ok_or(TelegramError::Compact)?
                .copy_from_slice(part);
            length = end;
        }
    }
    let written = full.get(..length).unwrap_or(&[]);
    if !values.is_empty() || CHECKSUM.checksum(written) != u16::from_le_bytes([*c0, *c1]) {
        return Err(TelegramError::Compact);
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::super::{Opener, Scratch};
    use super::*;
    use crate::link::{Control, LongFrame};

    fn frame(ci: u8, data: &[u8]) -> LongFrame {
        LongFrame::new(Control::RSP_UD, 1, ci, data.to_vec()).unwrap()
    }

    fn compact(format: &[u8], records: &[u8], values: &[u8]) -> Vec<u8> {
        [
            &signature(format).to_le_bytes()[..],
            &CHECKSUM.checksum(records).to_le_bytes(),
            values,
        ]
        .concat()
    }

    const FORMAT: [u8; 7] = [0x02, 0xFF, 0x20, 0x04, 0x13, 0x44, 0x13];
    const RECORDS: [u8; 17] = [
        0x02, 0xFF, 0x20, 0x71, 0x00, 0x04, 0x13, 0xDA, 0x98, 0x0B, 0x00, 0x44, 0x13, 0xDA, 0x98, 0x0B, 0x00,
    ];
    const VALUES: [u8; 10] = [0x71, 0x00, 0xDA, 0x98, 0x0B, 0x00, 0xDA, 0x98, 0x0B, 0x00];

    fn texts(formats: &Formats, frame: &LongFrame) -> Result<Vec<Vec<u8>>, TelegramError> {
        let mut scratch = Scratch::new();
        let opener = Opener {
            formats: Some(formats),
            ..Opener::default()
        };
        let telegram = Telegram::open(frame, &opener, &mut scratch)?;
        Ok(telegram.records().map(|record| record.raw.to_vec()).collect())
    }

    /// The signatures of Multical 21 and FlowIQ, as Kamstrup's meters send them.
    #[test]
    fn signatures_are_those_that_meters_send() {
        for (format, expected) in [
            ("02FF2004134413", 0xDD34),
            ("02FF2004134413615B6167", 0xA8ED),
            ("02FF20041392013BA1015B8101E7FF0F", 0xC412),
            ("02FF2004134413A1015B8101E7FF0F", 0x61EB),
        ] {
            assert_eq!(signature(&hex::decode(format).unwrap()), expected, "{format}");
        }
    }

    #[test]
    fn compact_frame_is_read_once_its_full_frame_was_seen() {
        let mut formats = Formats::new();
        let short = frame(0x79, &compact(&FORMAT, &RECORDS, &VALUES));
        assert_eq!(
            texts(&formats, &short),
            Err(TelegramError::UnknownFormat { signature: 0xDD34 })
        );
        let full = frame(0x78, &RECORDS);
        formats.learn(&Telegram::parse(&full).unwrap());
        let found = texts(&formats, &short).unwrap();
        assert_eq!(found.concat(), RECORDS);
        assert_eq!(found.len(), 3);
        let short_header = [&[0x55, 0x00, 0x00, 0x00][..], short.data()].concat();
        assert_eq!(texts(&formats, &frame(0x7B, &short_header)).unwrap(), found);
        let long_header = [&[0x78, 0x56, 0x34, 0x12, 0x77, 4, 0x14, 7][..], &short_header].concat();
        assert_eq!(texts(&formats, &frame(0x73, &long_header)).unwrap(), found);
    }

    #[test]
    fn format_frame_teaches_its_format() {
        for counted in [FORMAT.len(), FORMAT.len() + 2] {
            let mut data = vec![u8::try_from(counted).unwrap()];
            data.extend(signature(&FORMAT).to_le_bytes());
            data.extend(FORMAT);
            let teaching = frame(0x69, &data);
            let telegram = Telegram::parse(&teaching).unwrap();
            assert_eq!(telegram.format(), Some(&FORMAT[..]));
            assert_eq!(telegram.records().count(), 0);
            let mut formats = Formats::new();
            formats.learn(&telegram);
            let short = frame(0x79, &compact(&FORMAT, &RECORDS, &VALUES));
            assert_eq!(texts(&formats, &short).unwrap().concat(), RECORDS);
        }
        for data in [&[7, 0x34, 0xDE][..], &[1, 2], &[9, 0x34, 0xDD, 0x02]] {
            assert_eq!(Telegram::parse(&frame(0x69, data)), Err(TelegramError::Format));
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let mut formats = Formats::new();
        formats.insert(FORMAT.to_vec());
        let good = compact(&FORMAT, &RECORDS, &VALUES);
        let mut damaged = good.clone();
        damaged[6] ^= 1;
        let longer = [&good[..], &[0]].concat();
        for data in [&good[..13], &damaged, &longer, &good[..3]] {
            assert_eq!(
                texts(&formats, &frame(0x79, data)),
                Err(TelegramError::Compact),
                "{data:02x?}"
            );
        }
    }

    #[test]
    fn variable_lengths_and_fillers_are_expanded() {
        let records = [0x2F, 0x0D, 0x78, 0x02, 0x42, 0x41, 0x2F, 0x01, 0x13, 0x07];
        let format = [0x2F, 0x0D, 0x78, 0x2F, 0x01, 0x13];
        let mut formats = Formats::new();
        formats.insert(format.to_vec());
        let short = frame(0x79, &compact(&format, &records, &[0x02, 0x42, 0x41, 0x07]));
        assert_eq!(texts(&formats, &short).unwrap().len(), 2);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut formats = Formats::new();
        for number in 0..=u8::try_from(Formats::MOST).unwrap() {
            formats.insert(vec![0x01, number]);
        }
        assert_eq!(formats.known.len(), Formats::MOST);
        assert!(formats.find(signature(&[0x01, 0])).is_none());
        assert!(formats.find(signature(&[0x01, 1])).is_some());
    }
}
