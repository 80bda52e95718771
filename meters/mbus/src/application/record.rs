//! Records: the data and value information blocks, and the walk over them.

use super::value::{Coding, Value};
use super::vif::Vib;

/// DIF of the maker's own data, which ends the records.
const MANUFACTURER_DATA: u8 = 0x0F;
/// The same, when a further telegram follows.
const MORE_FOLLOWS: u8 = 0x1F;
/// DIF that fills up and stands for nothing.
const IDLE_FILLER: u8 = 0x2F;
/// The data field that none but the special DIFs has.
const SPECIAL: u8 = 0x0F;
/// Set in each byte of a block that another byte of it follows.
const EXTENSION: u8 = 0x80;
/// The greatest number of DIFEs behind a DIF, and of VIFEs behind a VIF.
///
/// Spec: EN 13757-3:2018, section 6.
const MAX_EXTENSIONS: usize = 10;
/// VIF of a plain text unit, whose length and letters follow.
const PLAIN_TEXT: u8 = 0x7C;

/// One record: what is measured, how it belongs to the meter's state and history, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'f> {
    /// How the value came about.
    pub function: Function,
    /// Storage number, 41 bits; 0 is the present value, others are past ones.
    pub storage: u64,
    /// Tariff, 20 bits; 0 is the total.
    pub tariff: u32,
    /// Part of the device, 10 bits.
    pub subunit: u16,
    /// What is measured, and in what unit.
    pub vib: Vib<'f>,
    /// The value, or the reason why it cannot be read.
    pub value: Result<Value<'f>, RecordError>,
    /// The bytes of the record from its DIF to the end of its data; of a record whose end cannot be
    /// found, all bytes to the end of the telegram.
    pub raw: &'f [u8],
}

/// How a value came about.
///
/// Spec: EN 13757-3:2018, section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// The value at the time of the telegram, or at that of the storage.
    Instantaneous,
    /// The greatest value.
    Maximum,
    /// The least value.
    Minimum,
    /// The value while the meter was in error.
    Error,
}

/// The records of a telegram, in the order of the wire; made by `Telegram::records`.
#[derive(Debug, Clone)]
pub struct Records<'f> {
    rest: &'f [u8],
}

impl<'f> Records<'f> {
    pub(super) const fn new(bytes: &'f [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'f> Iterator for Records<'f> {
    type Item = Record<'f>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = skip_fillers(self.rest);
        if matches!(start, [] | [MANUFACTURER_DATA | MORE_FOLLOWS, ..]) {
            self.rest = &[];
            return None;
        }
        match Blocks::split(start) {
            Ok((blocks, rest)) => {
                self.rest = rest;
                let length = start.len().saturating_sub(rest.len());
                Some(blocks.record(start.get(..length).unwrap_or(start)))
            }
            Err(error) => {
                self.rest = &[];
                Some(Record {
                    value: Err(error),
                    ..Blocks::default().record(start)
                })
            }
        }
    }
}

/// Where the records of a telegram end, and what stands behind them.
pub(super) struct End<'f> {
    pub(super) records: &'f [u8],
    pub(super) manufacturer_data: Option<&'f [u8]>,
    pub(super) more_follows: bool,
}

/// Finds the end of the records; behind a record without end, everything belongs to it.
pub(super) fn scan(bytes: &[u8]) -> End<'_> {
    let mut rest = bytes;
    loop {
        rest = skip_fillers(rest);
        match rest {
            [special @ (MANUFACTURER_DATA | MORE_FOLLOWS), data @ ..] => {
                let length = bytes.len().saturating_sub(rest.len());
                return End {
                    records: bytes.get(..length).unwrap_or(bytes),
                    manufacturer_data: Some(data),
                    more_follows: *special == MORE_FOLLOWS,
                };
            }
            // Each pass takes at least the DIF, so that the loop is bounded by the bytes.
            [_, ..] => match Blocks::split(rest) {
                Ok((_, behind)) => rest = behind,
                Err(_) => break,
            },
            [] => break,
        }
    }
    End {
        records: bytes,
        manufacturer_data: None,
        more_follows: false,
    }
}

fn skip_fillers(bytes: &[u8]) -> &[u8] {
    let fillers = bytes.iter().take_while(|byte| **byte == IDLE_FILLER).count();
    bytes.get(fillers..).unwrap_or(&[])
}

/// A record whose blocks are told apart, but not yet read.
#[derive(Clone, Copy)]
struct Blocks<'f> {
    function: Function,
    storage: u64,
    tariff: u32,
    subunit: u16,
    vib: Vib<'f>,
    coding: Coding,
    data: &'f [u8],
}

impl Default for Blocks<'_> {
    fn default() -> Self {
        Self {
            function: Function::Instantaneous,
            storage: 0,
            tariff: 0,
            subunit: 0,
            vib: Vib::of(&[]),
            coding: Coding::Nothing,
            data: &[],
        }
    }
}

impl<'f> Blocks<'f> {
    /// Splits the first record off; returns it and what stands behind it.
    fn split(bytes: &'f [u8]) -> Result<(Self, &'f [u8]), RecordError> {
        let mut cursor = Cursor { rest: bytes };
        let dif = cursor.byte()?;
        if dif & SPECIAL == SPECIAL {
            return Err(RecordError::ReservedDif { found: dif });
        }
        let mut blocks = Self {
            function: match dif & 0x30 {
                0x00 => Function::Instantaneous,
                0x10 => Function::Maximum,
                0x20 => Function::Minimum,
                _ => Function::Error,
            },
            storage: u64::from(dif >> 6 & 1),
            ..Self::default()
        };
        blocks.read_difes(dif, &mut cursor)?;
        blocks.vib = Vib::of(split_vib(&mut cursor)?);
        let (coding, length) = Coding::of(dif & 0x0F, &mut cursor)?;
        blocks.coding = coding;
        blocks.data = cursor.take(length)?;
        Ok((blocks, cursor.rest))
    }

    fn read_difes(&mut self, dif: u8, cursor: &mut Cursor<'f>) -> Result<(), RecordError> {
        let mut more = dif & EXTENSION != 0;
        for place in 0..MAX_EXTENSIONS {
            if !more {
                return Ok(());
            }
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            let dife = cursor.byte()?;
            let shifted = |bits: u8, width: u32, before: u32| {
                let shift = width.saturating_mul(place).saturating_add(before);
                u64::from(bits).checked_shl(shift).unwrap_or(0)
            };
            self.storage |= shifted(dife & 0x0F, 4, 1);
            // Ten fields of two bits and of one bit fit their types.
            self.tariff |= u32::try_from(shifted(dife >> 4 & 0x03, 2, 0)).unwrap_or(0);
            self.subunit |= u16::try_from(shifted(dife >> 6 & 0x01, 1, 0)).unwrap_or(0);
            more = dife & EXTENSION != 0;
        }
        if more { Err(RecordError::DifeChain) } else { Ok(()) }
    }

    fn record(self, raw: &'f [u8]) -> Record<'f> {
        Record {
            function: self.function,
            storage: self.storage,
            tariff: self.tariff,
            subunit: self.subunit,
            vib: self.vib,
            value: Value::decode(self.coding, self.data, &self.vib),
            raw,
        }
    }
}

/// Splits off the VIF, its VIFEs and the plain text of the unit, if it is one.
fn split_vib<'f>(cursor: &mut Cursor<'f>) -> Result<&'f [u8], RecordError> {
    let start = cursor.rest;
    let vif = cursor.byte()?;
    if vif == PLAIN_TEXT {
        let length = cursor.byte()?;
        cursor.take(length.into())?;
    } else if vif == PLAIN_TEXT | EXTENSION {
        // Meters disagree on whether the text stands before or behind the VIFEs.
        return Err(RecordError::PlainTextPlace);
    } else {
        let mut more = vif & EXTENSION != 0;
        for _ in 0..MAX_EXTENSIONS {
            if !more {
                break;
            }
            more = cursor.byte()? & EXTENSION != 0;
        }
        if more {
            return Err(RecordError::VifeChain);
        }
    }
    let length = start.len().saturating_sub(cursor.rest.len());
    Ok(start.get(..length).unwrap_or(start))
}

/// Takes bytes off the front of a record.
pub(super) struct Cursor<'f> {
    rest: &'f [u8],
}

impl<'f> Cursor<'f> {
    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        match self.take(1)? {
            [byte] => Ok(*byte),
            _ => Err(RecordError::Truncated { missing: 1 }),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'f [u8], RecordError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| RecordError::Truncated {
                missing: length.saturating_sub(self.rest.len()),
            })?;
        self.rest = rest;
        Ok(taken)
    }
}

/// The reason why a record's value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The telegram ends within the record.
    #[error("the meter's telegram ends within the record, at least {missing} bytes are missing")]
    Truncated {
        /// The least number of bytes that are missing.
        missing: usize,
    },
    /// The standard gives the DIF no meaning, so that the record's end is unknown.
    #[error("the meter's record begins with the reserved DIF {found:#04x}")]
    ReservedDif {
        /// The DIF.
        found: u8,
    },
    /// The standard gives the length of variable data no meaning, so that its end is unknown.
    #[error("the meter's record has the reserved length {found:#04x}")]
    ReservedLength {
        /// The length byte.
        found: u8,
    },
    /// More than ten DIFEs.
    #[error("the meter's record has more than 10 DIFEs")]
    DifeChain,
    /// More than ten VIFEs.
    #[error("the meter's record has more than 10 VIFEs")]
    VifeChain,
    /// A plain text unit with VIFEs, so that the place of the text is unknown.
    #[error("the meter's record has a plain text unit with VIFEs, whose place is ambiguous")]
    PlainTextPlace,
    /// A BCD digit that is none: the meter marks an error in this way.
    #[error("the meter marks the value as faulty with the digit {found:X}")]
    BcdDigit {
        /// The first such digit from the left, 10 to 15.
        found: u8,
    },
    /// The meter marks the value as not available.
    #[error("the meter marks the value as not available")]
    NotAvailable,
    /// The real is infinite or not a number.
    #[error("the meter sent a real that is no finite number")]
    NotFinite,
    /// The number has a scaler that a decimal cannot have.
    #[error("the meter's number is too great or too small to be kept exactly")]
    Range,
    /// The date or time does not exist, or the meter marks it as invalid.
    #[error("the meter sent no valid date")]
    InvalidDate,
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::super::vif::Measurand;
    use super::*;

    fn records(bytes: &[u8]) -> Vec<Record<'_>> {
        Records::new(bytes).collect()
    }

    fn only(bytes: &[u8]) -> Record<'_> {
        let found = records(bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    }

    fn text(record: &Record<'_>) -> String {
        match record.value {
            Ok(Value::Number { quantity, .. }) => quantity.to_string(),
            Ok(Value::Date(date)) => date.to_string(),
            Ok(Value::DateTime(time)) => time.to_string(),
            Ok(Value::Text(text)) => text.to_string(),
            Ok(Value::Nothing) => "-".to_owned(),
            Ok(Value::Raw(bytes)) => hex::encode(bytes),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn blocks_give_function_storage_tariff_and_subunit() {
        let record = only(&[0xDA, 0x02, 0x3B, 0x13, 0x01]);
        assert_eq!(record.function, Function::Maximum);
        assert_eq!((record.storage, record.tariff, record.subunit), (5, 0, 0));
        assert_eq!(text(&record), "0.113 m3/h");
        let record = only(&[0x8B, 0x60, 0x04, 0x37, 0x18, 0x02]);
        assert_eq!((record.storage, record.tariff, record.subunit), (0, 2, 1));
        assert_eq!(text(&record), "218370 Wh");
        assert_eq!(only(&[0x21, 0x13, 0x01]).function, Function::Minimum);
        assert_eq!(only(&[0x31, 0x13, 0x01]).function, Function::Error);
    }

    #[test]
    fn longest_chains_are_read_and_longer_ones_refused() {
        let mut bytes = vec![0xC1];
        bytes.extend([0xFF; 9]);
        bytes.extend([0x7F, 0x13, 0x01]);
        let record = only(&bytes);
        assert_eq!(
            (record.storage, record.tariff, record.subunit),
            ((1 << 41) - 1, (1 << 20) - 1, 1023)
        );
        assert_eq!(text(&record), "0.001 m3");
        bytes[10] = 0xFF;
        assert_eq!(only(&bytes).value, Err(RecordError::DifeChain));
        let long = [&[0x01, 0x93][..], &[0x80; 10], &[0x00, 0x01]].concat();
        assert_eq!(only(&long).value, Err(RecordError::VifeChain));
    }

    #[test]
    fn each_coding_gives_its_value() {
        for (bytes, expected) in [
            (&[0x01, 0x5B, 0xFE][..], "-2 degC"),
            (&[0x02, 0x5A, 0x1A, 0x02], "53.8 degC"),
            (&[0x03, 0x13, 0x15, 0x31, 0x00], "12.565 m3"),
            (&[0x04, 0x06, 0x39, 0x30, 0x00, 0x00], "12345000 Wh"),
            (&[0x05, 0x2B, 0x00, 0x00, 0xC0, 0x3F], "1.5 W"),
            (&[0x06, 0x10, 1, 0, 0, 0, 0, 0], "0.000001 m3"),
            (&[0x07, 0x0E, 1, 0, 0, 0, 0, 0, 0, 0], "1000000 J"),
            (&[0x09, 0x13, 0x21], "0.021 m3"),
            (&[0x0A, 0x5A, 0x23, 0xF1], "-12.3 degC"),
            (&[0x0B, 0x3B, 0x21, 0x43, 0x05], "54.321 m3/h"),
            (&[0x0C, 0x78, 0x78, 0x56, 0x34, 0x12], "12345678 1"),
            (
                &[0x0E, 0x13, 0x12, 0x90, 0x78, 0x56, 0x34, 0x12],
                "123456789.012 m3",
            ),
            (&[0x02, 0x23, 0x02, 0x00], "172800 s"),
            (&[0x01, 0x40, 0x05], "0.0000300 m3/h"),
            (&[0x02, 0x6C, 0x57, 0x3B], "2026-11-23"),
            (&[0x04, 0x6D, 0x05, 0x0C, 0x57, 0x3B], "2026-11-23T12:05"),
            (&[0x0D, 0x13, 0x03, 0x43, 0x42, 0x41], "ABC"),
            (&[0x0D, 0xFD, 0x3A, 0xE2, 0x34, 0x12], "3412"),
            (&[0x00, 0x13], "-"),
            (&[0x08, 0x13], "-"),
            (&[0x02, 0x7F, 0x34, 0x12], "3412"),
            (&[0x02, 0xFD, 0x17, 0x00, 0x80], "32768 1"),
            (&[0x04, 0x6C, 0x57, 0x3B, 0x00, 0x00], "573b0000"),
        ] {
            assert_eq!(text(&only(bytes)), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn value_fault_leaves_later_records_alone() {
        for (faulty, error) in [
            (
                &[0x0A, 0x3B, 0xEB, 0xDD][..],
                RecordError::BcdDigit { found: 0xD },
            ),
            (&[0x02, 0x5A, 0x00, 0x80], RecordError::NotAvailable),
            (&[0x05, 0x2B, 0x00, 0x00, 0xC0, 0x7F], RecordError::NotFinite),
            (&[0x05, 0x2B, 0x01, 0x00, 0x00, 0x00], RecordError::Range),
            (&[0x02, 0x6C, 0xFF, 0xFF], RecordError::InvalidDate),
        ] {
            let bytes = [faulty, &[0x01, 0x13, 0x07]].concat();
            let found = records(&bytes);
            assert_eq!(found[0].value, Err(error));
            assert_eq!(found[0].raw, faulty);
            assert_eq!(text(&found[1]), "0.007 m3");
        }
    }

    #[test]
    fn record_without_end_is_the_last_and_keeps_its_bytes() {
        for (bytes, error) in [
            (&[0x04, 0x13, 0x01][..], RecordError::Truncated { missing: 3 }),
            (&[0x84], RecordError::Truncated { missing: 1 }),
            (&[0x0D, 0x13, 0x05, 0x41], RecordError::Truncated { missing: 4 }),
            (
                &[0x3F, 0x01, 0x13, 0x01],
                RecordError::ReservedDif { found: 0x3F },
            ),
            (
                &[0x0D, 0x13, 0xFF, 0x01],
                RecordError::ReservedLength { found: 0xFF },
            ),
            (&[0x01, 0xFC, 0x74, 0x01, 0x41, 0x01], RecordError::PlainTextPlace),
        ] {
            let record = only(bytes);
            assert_eq!((record.value, record.raw), (Err(error), bytes));
            assert_eq!(record.vib.measurand(), Measurand::Unknown);
        }
    }

    #[test]
    fn plain_text_unit_keeps_the_records_in_step() {
        let bytes = [0x01, 0x7C, 0x03, 0x48, 0x52, 0x25, 0x15, 0x01, 0x13, 0x07];
        let found = records(&bytes);
        assert_eq!(found[0].vib.bytes(), [0x7C, 0x03, 0x48, 0x52, 0x25]);
        assert_eq!(found[0].value, Ok(Value::Raw(&[0x15])));
        assert_eq!(text(&found[1]), "0.007 m3");
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..253)) {
            let end = scan(&bytes);
            let mut walked = 0;
            for record in Records::new(&bytes) {
                prop_assert!(!record.raw.is_empty());
                walked += record.raw.len();
                text(&record);
            }
            prop_assert!(walked <= end.records.len());
        }
    }
}
