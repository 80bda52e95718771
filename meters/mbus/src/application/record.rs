//! Records: the data and value information blocks, and the walk over them.

use super::cursor::{Cursor, EXTENSION, MAX_EXTENSIONS, PLAIN_TEXT, coding_of, split_vib};
use super::fault::RecordError;
use super::fixed::FixedData;
use super::value::{ByteOrder, Coding, Value};
use super::vib::{Vib, VibBlocks};

/// DIF of the maker's own data, which ends the records.
const MANUFACTURER_DATA: u8 = 0x0F;
/// The same, when a further telegram follows.
const MORE_FOLLOWS: u8 = 0x1F;
/// DIF that fills up and stands for nothing.
const IDLE_FILLER: u8 = 0x2F;
/// DIF with which a master asks for all records; it is all of its record.
const GLOBAL_READOUT: u8 = 0x7F;
/// The data field that none but the special DIFs has.
const SPECIAL: u8 = 0x0F;
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
    source: Source<'f>,
}

/// Where the records come from.
#[derive(Debug, Clone)]
enum Source<'f> {
    Variable { rest: &'f [u8], order: ByteOrder },
    Fixed { counters: FixedData<'f>, next: u8 },
    Single(Option<Record<'f>>),
}

impl<'f> Records<'f> {
    pub(super) const fn new(bytes: &'f [u8], order: ByteOrder) -> Self {
        Self {
            source: Source::Variable { rest: bytes, order },
        }
    }

    pub(super) const fn of_fixed(counters: FixedData<'f>) -> Self {
        Self {
            source: Source::Fixed { counters, next: 0 },
        }
    }

    pub(super) const fn single(record: Option<Record<'f>>) -> Self {
        Self {
            source: Source::Single(record),
        }
    }
}

impl<'f> Iterator for Records<'f> {
    type Item = Record<'f>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Variable { rest, order } => next_variable(rest, *order),
            Source::Fixed { counters, next } => {
                let record = counters.record(*next)?;
                *next = next.saturating_add(1);
                Some(record)
            }
            Source::Single(record) => record.take(),
        }
    }
}

#[inline(always)]
fn next_variable<'f>(rest: &mut &'f [u8], order: ByteOrder) -> Option<Record<'f>> {
    let start = skip_fillers(rest);
    if matches!(start, [] | [MANUFACTURER_DATA | MORE_FOLLOWS, ..]) {
        *rest = &[];
        return None;
    }
    let mut blocks = Blocks::new();
    let behind = match blocks.read(start, order) {
        Ok(behind) => behind,
        Err(error) => {
            *rest = &[];
            return Some(Record::faulty(start, error));
        }
    };
    *rest = behind;
    let length = start.len().saturating_sub(behind.len());
    let raw = start.get(..length).unwrap_or(start);
    if matches!(raw, [GLOBAL_READOUT]) {
        return Some(Record::faulty(raw, RecordError::GlobalReadout));
    }
    let vib = Vib::of(&blocks.vib);
    Some(Record {
        function: blocks.function,
        storage: blocks.storage,
        tariff: blocks.tariff,
        subunit: blocks.subunit,
        value: Value::decode(blocks.coding, blocks.data, order, &vib),
        vib,
        raw,
    })
}

impl<'f> Record<'f> {
    /// A record of which nothing is known but its bytes.
    #[cold]
    const fn faulty(raw: &'f [u8], error: RecordError) -> Self {
        Self {
            value: Err(error),
            raw,
            ..Self::EMPTY
        }
    }
}

impl Record<'_> {
    /// A record that says nothing.
    pub(super) const EMPTY: Self = Self {
        function: Function::Instantaneous,
        storage: 0,
        tariff: 0,
        subunit: 0,
        vib: Vib::EMPTY,
        value: Ok(Value::Nothing),
        raw: &[],
    };
}

/// Where the records of a telegram end, and what stands behind them.
pub(super) struct End<'f> {
    pub(super) records: &'f [u8],
    pub(super) manufacturer_data: Option<&'f [u8]>,
    pub(super) more_follows: bool,
    /// The end of each record was found.
    pub(super) sound: bool,
}

/// Finds the end of the records; behind a record without end, everything belongs to it.
pub(super) fn scan(bytes: &[u8], order: ByteOrder) -> End<'_> {
    let mut rest = bytes;
    let mut sound = true;
    loop {
        rest = skip_fillers(rest);
        match rest {
            [special @ (MANUFACTURER_DATA | MORE_FOLLOWS), data @ ..] => {
                let length = bytes.len().saturating_sub(rest.len());
                return End {
                    records: bytes.get(..length).unwrap_or(bytes),
                    manufacturer_data: Some(data),
                    more_follows: *special == MORE_FOLLOWS,
                    sound,
                };
            }
            // Each pass takes at least the DIF, so that the loop is bounded by the bytes.
            [_, ..] => match skim(rest).map_or_else(|| Blocks::new().read(rest, order), Ok) {
                Ok(behind) => rest = behind,
                Err(_) => {
                    sound = false;
                    break;
                }
            },
            [] => break,
        }
    }
    End {
        records: bytes,
        manufacturer_data: None,
        more_follows: false,
        sound,
    }
}

/// Returns what stands behind the first record, if its end is found at a glance.
///
/// It is a short cut: of a record with a text, or without end, it says nothing.
fn skim(bytes: &[u8]) -> Option<&[u8]> {
    let (dif, rest) = bytes.split_first()?;
    let (_, length) = Coding::of(*dif)?;
    let (vif, rest) = behind_chain(*dif, rest)?.split_first()?;
    if vif & !EXTENSION == PLAIN_TEXT {
        return None;
    }
    behind_chain(*vif, rest)?.get(length..)
}

/// Returns what stands behind the extensions of a DIF or VIF, if there are no more than may be.
#[inline(always)]
fn behind_chain(first: u8, mut rest: &[u8]) -> Option<&[u8]> {
    let mut last = first;
    let mut left = MAX_EXTENSIONS;
    while last & EXTENSION != 0 {
        left = left.checked_sub(1)?;
        let (next, behind) = rest.split_first()?;
        (last, rest) = (*next, behind);
    }
    Some(rest)
}

/// Splits the first record into its format (DIF to the last VIFE) and its data (with its length
/// byte if it is variable); returns what stands behind it too. Fillers have a format and no data.
///
/// # Errors
///
/// [`RecordError`] if the end of the record cannot be found.
pub(super) fn split_format<'f>(
    format: &mut &'f [u8],
    data: &mut &'f [u8],
) -> Result<(&'f [u8], &'f [u8]), RecordError> {
    let start = *format;
    let mut cursor = Cursor { rest: start };
    let dif = cursor.byte()?;
    let mut blocks = Blocks::new();
    if dif != IDLE_FILLER {
        blocks.read_information(dif, &mut cursor, ByteOrder::LeastFirst)?;
    }
    let format_length = start.len().saturating_sub(cursor.rest.len());
    *format = cursor.rest;
    let mut values = Cursor { rest: data };
    let begin = *data;
    if dif != IDLE_FILLER {
        let (_, length) = coding_of(dif, &mut values)?;
        values.take(length)?;
    }
    let data_length = begin.len().saturating_sub(values.rest.len());
    *data = values.rest;
    Ok((
        start.get(..format_length).unwrap_or(start),
        begin.get(..data_length).unwrap_or(begin),
    ))
}

/// Walks the formats of records that stand with their data, DIF to the last VIFE.
pub(super) fn formats(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let start = rest;
        if start.is_empty() {
            return None;
        }
        let mut cursor = Cursor { rest: start };
        let dif = cursor.byte().ok()?;
        let mut format_end = cursor.rest.len();
        if dif != IDLE_FILLER {
            Blocks::new()
                .read_information(dif, &mut cursor, ByteOrder::LeastFirst)
                .ok()?;
            format_end = cursor.rest.len();
            let (_, length) = coding_of(dif, &mut cursor).ok()?;
            cursor.take(length).ok()?;
        }
        rest = cursor.rest;
        start.get(..start.len().saturating_sub(format_end))
    })
}

#[inline(always)]
fn skip_fillers(mut bytes: &[u8]) -> &[u8] {
    while let [IDLE_FILLER, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// A record whose blocks are told apart, but not yet read.
#[derive(Clone, Copy)]
struct Blocks<'f> {
    function: Function,
    storage: u64,
    tariff: u32,
    subunit: u16,
    vib: VibBlocks<'f>,
    coding: Coding,
    data: &'f [u8],
}

impl<'f> Blocks<'f> {
    const fn new() -> Self {
        Self {
            function: Function::Instantaneous,
            storage: 0,
            tariff: 0,
            subunit: 0,
            vib: VibBlocks {
                bytes: &[],
                vif: 0,
                vifes: &[],
                letters: None,
            },
            coding: Coding::Nothing,
            data: &[],
        }
    }

    /// Reads the first record; returns what stands behind it.
    #[inline(always)]
    fn read(&mut self, bytes: &'f [u8], order: ByteOrder) -> Result<&'f [u8], RecordError> {
        let mut cursor = Cursor { rest: bytes };
        let dif = cursor.byte()?;
        if dif == GLOBAL_READOUT {
            return Ok(cursor.rest);
        }
        self.read_information(dif, &mut cursor, order)?;
        let (coding, length) = coding_of(dif, &mut cursor)?;
        self.coding = coding;
        self.data = cursor.take(length)?;
        Ok(cursor.rest)
    }

    /// Reads what stands between the DIF and the data.
    #[inline(always)]
    fn read_information(
        &mut self,
        dif: u8,
        cursor: &mut Cursor<'f>,
        order: ByteOrder,
    ) -> Result<(), RecordError> {
        if dif & SPECIAL == SPECIAL {
            return Err(RecordError::ReservedDif { found: dif });
        }
        self.function = match dif & 0x30 {
            0x00 => Function::Instantaneous,
            0x10 => Function::Maximum,
            0x20 => Function::Minimum,
            _ => Function::Error,
        };
        self.storage = u64::from(dif >> 6 & 1);
        if dif & EXTENSION != 0 {
            let (difes, rest) = Difes::read(cursor.rest)?;
            cursor.rest = rest;
            self.storage |= difes.storage;
            self.tariff = difes.tariff;
            self.subunit = difes.subunit;
        }
        self.vib = split_vib(cursor, dif, order)?;
        Ok(())
    }
}

/// What the DIFEs of a record say.
struct Difes {
    storage: u64,
    tariff: u32,
    subunit: u16,
}

impl Difes {
    /// Reads at most ten DIFEs; returns what stands behind them too.
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), RecordError> {
        let mut cursor = Cursor { rest: bytes };
        let mut difes = Self {
            storage: 0,
            tariff: 0,
            subunit: 0,
        };
        for place in 0..MAX_EXTENSIONS {
            let dife = cursor.byte()?;
            let shifted = |bits: u8, width: u32, before: u32| {
                let shift = width.saturating_mul(place).saturating_add(before);
                u64::from(bits).checked_shl(shift).unwrap_or(0)
            };
            difes.storage |= shifted(dife & 0x0F, 4, 1);
            // Ten fields of two bits and of one bit fit their types.
            difes.tariff |= u32::try_from(shifted(dife >> 4 & 0x03, 2, 0)).unwrap_or(0);
            difes.subunit |= u16::try_from(shifted(dife >> 6 & 0x01, 1, 0)).unwrap_or(0);
            if dife & EXTENSION == 0 {
                return Ok((difes, cursor.rest));
            }
        }
        Err(RecordError::DifeChain)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::super::measurand::Measurand;
    use super::*;

    fn records(bytes: &[u8]) -> Vec<Record<'_>> {
        Records::new(bytes, ByteOrder::LeastFirst).collect()
    }

    fn only(bytes: &[u8]) -> Record<'_> {
        let found = records(bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    }

    fn text(record: &Record<'_>) -> String {
        match record.value {
            Ok(Value::Number { value, unit, .. }) => {
                unit.map_or_else(|| value.to_string(), |unit| format!("{value} {unit}"))
            }
            Ok(Value::Date(date)) => date.to_string(),
            Ok(Value::DateTime(time)) => time.to_string(),
            Ok(Value::Time(time)) => time.to_string(),
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
            (&[0x0D, 0xFD, 0x3A, 0xE2, 0x34, 0x12], "4660 1"),
            (&[0x00, 0x13], "-"),
            (&[0x08, 0x13], "-"),
            (&[0x02, 0x7F, 0x34, 0x12], "4660"),
            (&[0x01, 0x7F, 0x80], "-128"),
            (&[0x02, 0xFD, 0x17, 0x00, 0x80], "32768 1"),
            (&[0x0D, 0xFD, 0x3B, 0xE2, 0x34, 0x12], "3412"),
            (&[0x0D, 0x13, 0xC2, 0x34, 0x12], "1.234 m3"),
            (&[0x0D, 0x5A, 0xD1, 0x25], "-2.5 degC"),
            (&[0x0D, 0x13, 0xE3, 0xFF, 0xFF, 0xFF], "-0.001 m3"),
            (&[0x0D, 0x2B, 0xF8, 0x00, 0x00, 0xC0, 0x3F], "1.5 W"),
            (&[0x0D, 0xFD, 0x10, 0x02, 0x31, 0x41], "A1"),
            (&[0x03, 0x6D, 0x1E, 0x05, 0x0C], "12:05:30"),
            (
                &[0x06, 0x6D, 0x1E, 0x05, 0x0C, 0x57, 0x3B, 0x30],
                "2026-11-23T12:05:30",
            ),
            (&[0x02, 0xAB, 0x4E, 0x57, 0x3B], "2026-11-23"),
            (&[0x04, 0xFD, 0x70, 0x05, 0x0C, 0x57, 0x3B], "2026-11-23T12:05"),
            (&[0x01, 0xAB, 0x5E, 0x02], "7200 s"),
            (&[0x01, 0x93, 0x49, 0x02], "2 1"),
            (&[0x01, 0xDB, 0x7B, 0x15], "22 degC"),
            (&[0x01, 0xDA, 0x79, 0x15], "2.11 degC"),
            (&[0x01, 0x93, 0x77, 0x02], "0.02 m3"),
            (&[0x01, 0x93, 0x7D, 0x02], "2 m3"),
            (&[0x02, 0xFD, 0x48, 0xFC, 0x08], "230.0 V"),
            (&[0x01, 0xFB, 0x20, 0x02], "0.056633693184 m3"),
            (&[0x01, 0x93, 0x3D, 0x02], "2"),
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
            (&[0x0A, 0x6C, 0x23, 0x11], RecordError::DateCoding),
            (&[0x0D, 0x6D, 0xE4, 0, 0, 0, 0], RecordError::DateCoding),
            (&[0x0D, 0x6D, 0x04, 5, 12, 23, 11], RecordError::DateCoding),
            (&[0x01, 0x93, 0x15, 0x05], RecordError::Reported { code: 0x15 }),
            (&[0x7F], RecordError::GlobalReadout),
            (&[0x0A, 0x5A, 0xE3, 0x11], RecordError::BcdDigit { found: 0xE }),
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
            (&[0x01, 0xFC, 0x74, 0x01, 0x02, 0x01], RecordError::PlainTextPlace),
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
        assert_eq!(text(&found[0]), "21 ");
        assert_eq!(found[0].vib.plain_text().unwrap().to_string(), "%RH");
        assert_eq!(text(&found[1]), "0.007 m3");
    }

    #[test]
    fn plain_text_stands_in_front_of_the_vifes_or_behind_them() {
        for bytes in [
            &[
                0x02, 0xFC, 0x03, 0x48, 0x52, 0x25, 0x74, 0x44, 0x0D, 0x01, 0x13, 0x07,
            ][..],
            &[
                0x02, 0xFC, 0x74, 0x03, 0x48, 0x52, 0x25, 0x44, 0x0D, 0x01, 0x13, 0x07,
            ],
        ] {
            let found = records(bytes);
            assert_eq!(text(&found[0]), "33.96 ");
            assert_eq!(found[0].vib.plain_text().unwrap().to_string(), "%RH");
            assert_eq!(text(&found[1]), "0.007 m3");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..253)) {
            let end = scan(&bytes, ByteOrder::LeastFirst);
            let mut walked = 0;
            for record in Records::new(&bytes, ByteOrder::LeastFirst) {
                prop_assert!(!record.raw.is_empty());
                walked += record.raw.len();
                text(&record);
            }
            prop_assert!(walked <= end.records.len());
        }
    }
}
