//! One telegram: a header and records.

use super::compact::{Formats, MAX_FULL, expand, parse_format};
use super::fault::RecordError;
use super::fixed::FixedData;
use super::header::{Header, SecondaryAddress};
use super::measurand::Measurand;
use super::record::{Function, Record, Records, scan};
use super::security::{Afl, Key, MAX_PLAIN, MODE_5, MODE_7, decrypt, encrypted_length};
use super::tables::{Form, unsigned};
use super::value::{ByteOrder, Coding, Value};
use super::vib::Vib;
use crate::link::LongFrame;

/// CI field of the authentication and fragmentation layer, behind which another one stands.
const AUTHENTICATION_LAYER: u8 = 0x90;

/// One telegram of a meter, borrowed from its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telegram<'f> {
    header: Header,
    content: Content<'f>,
    manufacturer_data: Option<&'f [u8]>,
    more_follows: bool,
    sound: bool,
}

/// What stands behind the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content<'f> {
    Records { bytes: &'f [u8], order: ByteOrder },
    Fixed(FixedData<'f>),
    Format(&'f [u8]),
    Alarm(&'f [u8]),
    Clock { bytes: &'f [u8], absolute: bool },
}

/// What is needed to open telegrams that do not say everything themselves.
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
#[derive(Clone, Copy, Default)]
pub struct Opener<'k> {
    /// The key of the meter, for encrypted telegrams.
    pub key: Option<&'k Key>,
    /// The formats that were learned, for compact frames.
    pub formats: Option<&'k Formats>,
    /// Who sends, if the link says so, for telegrams without a long header.
    pub sender: Option<SecondaryAddress>,
    /// Whether a telegram that its header calls encrypted is read without a key if it is in plain
    /// beyond reasonable doubt, as those of meters are that have a signature of their own making in the
    /// header. Not for values that count: the doubt is small, and not none.
    pub is_lenient: bool,
}

/// Room for what a telegram says once it is decrypted, and once its compact form is expanded.
#[derive(Debug, Clone)]
pub struct Scratch {
    plain: [u8; MAX_PLAIN],
    full: [u8; MAX_FULL],
}

impl Scratch {
    /// Builds the room; it can be used again for each telegram.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            plain: [0; MAX_PLAIN],
            full: [0; MAX_FULL],
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Which header a CI field announces, and what stands behind it.
///
/// Spec: EN 13757-7:2018, table 2 (CI fields); EN 13757-3:2004 (`73`, `76`, `77`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    header: Announced,
    body: Body,
    order: ByteOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    Long,
    Short,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Records,
    Fixed,
    Compact,
    Format,
    Error,
    Alarm,
    Clock { absolute: bool },
}

impl Layout {
    fn of(control_information: u8, length: usize) -> Result<Self, TelegramError> {
        use {Announced as H, Body as B};
        let (header, body) = match control_information {
            0x69 => (H::None, B::Format),
            0x6A => (H::Short, B::Format),
            0x6B => (H::Long, B::Format),
            0x6C => (H::Long, B::Clock { absolute: true }),
            0x6D => (H::Long, B::Clock { absolute: false }),
            0x6E => (H::Short, B::Error),
            0x6F => (H::Long, B::Error),
            0x70 => (H::None, B::Error),
            0x71 => (H::None, B::Alarm),
            0x72 | 0x76 => (H::Long, B::Records),
            // A later edition gave the code of the fixed structure to compact frames with a long header.
            0x73 if length > FixedData::LENGTH => (H::Long, B::Compact),
            0x73 | 0x77 => (H::None, B::Fixed),
            0x74 => (H::Short, B::Alarm),
            0x75 => (H::Long, B::Alarm),
            0x78 => (H::None, B::Records),
            0x79 => (H::None, B::Compact),
            0x7A => (H::Short, B::Records),
            0x7B => (H::Short, B::Compact),
            found => return Err(TelegramError::ControlInformation { found }),
        };
        let order = match control_information {
            0x76 | 0x77 => ByteOrder::MostFirst,
            _ => ByteOrder::LeastFirst,
        };
        Ok(Self { header, body, order })
    }

    /// Splits the header off.
    fn header<'f>(
        self,
        data: &'f [u8],
        sender: Option<&SecondaryAddress>,
    ) -> Result<(Header, &'f [u8]), TelegramError> {
        let too_short = |expected| TelegramError::HeaderTooShort {
            expected,
            found: data.len(),
        };
        match self.header {
            Announced::Long => {
                let (header, body) = data
                    .split_first_chunk()
                    .ok_or_else(|| too_short(Header::LENGTH))?;
                Ok((Header::from_bytes(*header, self.order), body))
            }
            Announced::Short => {
                let (header, body) = data
                    .split_first_chunk()
                    .ok_or_else(|| too_short(Header::SHORT_LENGTH))?;
                Ok((Header::from_short(*header, sender), body))
            }
            Announced::None => Ok((Header::sent_by(sender), data)),
        }
    }
}

impl<'f> Telegram<'f> {
    /// Takes a response apart that needs no key and no format.
    ///
    /// # Errors
    ///
    /// [`TelegramError`] if the data is of another kind, too short, encrypted, or an error report.
    pub fn parse(frame: &'f LongFrame) -> Result<Self, TelegramError> {
        let (data, layout) = plain_layout(frame)?;
        let (header, body) = layout.header(data, None)?;
        if is_encrypted(&header, body, layout.order) {
            return Err(TelegramError::Encrypted {
                mode: header.encryption_mode(),
            });
        }
        match layout.body {
            Body::Compact => Err(unknown_format(body)),
            _ => Self::of_body(header, layout, body),
        }
    }

    /// Takes a response apart that may be encrypted or compact.
    ///
    /// # Errors
    ///
    /// [`TelegramError`], as [`Telegram::parse`]; besides, if the key is wrong or the format unknown.
    pub fn open(
        frame: &'f LongFrame,
        opener: &Opener<'_>,
        scratch: &'f mut Scratch,
    ) -> Result<Self, TelegramError> {
        Self::open_message(frame.control_information(), frame.data(), opener, scratch)
    }

    /// Takes the message of another link layer apart: its CI field and what stands behind it.
    ///
    /// # Errors
    ///
    /// [`TelegramError`], as [`Telegram::open`].
    pub fn open_message(
        control_information: u8,
        data: &'f [u8],
        opener: &Opener<'_>,
        scratch: &'f mut Scratch,
    ) -> Result<Self, TelegramError> {
        let mut afl = None;
        let (mut ci, mut data) = (control_information, data);
        if ci == AUTHENTICATION_LAYER {
            let layer = Afl::parse(data)?;
            let (inner, behind) = layer.message.split_first().ok_or(TelegramError::Authentication)?;
            (ci, data) = (*inner, behind);
            afl = Some(layer);
        }
        let layout = Layout::of(ci, data.len())?;
        let (header, mut body) = layout.header(data, opener.sender.as_ref())?;
        if is_encrypted(&header, body, layout.order) {
            let mode = header.encryption_mode();
            if let Some(key) = opener.key {
                let length = decrypt(&header, body, key, afl.as_ref(), &mut scratch.plain)?;
                body = scratch.plain.get(..length).unwrap_or(&[]);
            } else if !opener.is_lenient || !is_in_plain(body, layout.order) {
                return Err(TelegramError::Encrypted { mode });
            }
        }
        if layout.body == Body::Compact {
            let values = skip_check(body);
            let length = expand(values, opener.formats, &mut scratch.full)?;
            body = scratch.full.get(..length).unwrap_or(&[]);
        }
        Self::of_body(header, layout, body)
    }

    fn of_body(header: Header, layout: Layout, body: &'f [u8]) -> Result<Self, TelegramError> {
        let order = layout.order;
        let (header, content) = match layout.body {
            Body::Records | Body::Compact => {
                let end = scan(body, order);
                return Ok(Self {
                    header,
                    content: Content::Records {
                        bytes: end.records,
                        order,
                    },
                    manufacturer_data: end.manufacturer_data,
                    more_follows: end.more_follows,
                    sound: end.sound,
                });
            }
            Body::Fixed => {
                let (header, fixed) =
                    FixedData::parse(body, order).ok_or(TelegramError::FixedLength { found: body.len() })?;
                (header, Content::Fixed(fixed))
            }
            Body::Format => (header, Content::Format(parse_format(skip_check(body))?)),
            Body::Error => {
                return Err(TelegramError::Reported {
                    code: body.first().copied().unwrap_or(0),
                });
            }
            Body::Alarm => (header, Content::Alarm(body)),
            Body::Clock { absolute } => (
                header,
                Content::Clock {
                    bytes: body,
                    absolute,
                },
            ),
        };
        Ok(Self {
            header,
            content,
            manufacturer_data: None,
            more_follows: false,
            sound: true,
        })
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Walks the records, in the order of the wire.
    #[must_use]
    pub fn records(&self) -> Records<'f> {
        match self.content {
            Content::Records { bytes, order } => Records::new(bytes, order),
            Content::Fixed(fixed) => Records::of_fixed(fixed),
            Content::Format(_) => Records::new(&[], ByteOrder::LeastFirst),
            Content::Alarm(bytes) => Records::single(alarm(bytes)),
            Content::Clock { bytes, absolute } => Records::single(clock(bytes, absolute)),
        }
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

    /// Returns the format that the telegram teaches, if it is a format frame.
    #[must_use]
    pub const fn format(&self) -> Option<&'f [u8]> {
        match self.content {
            Content::Format(format) => Some(format),
            _ => None,
        }
    }

    /// Returns the records of which a format can be learned, if they are whole and in the usual order.
    pub(super) const fn learnable(&self) -> Option<&'f [u8]> {
        match self.content {
            Content::Records {
                bytes,
                order: ByteOrder::LeastFirst,
            } if self.sound && self.manufacturer_data.is_none() => Some(bytes),
            _ => None,
        }
    }
}

/// Returns the data and layout of a frame; without a key an authentication layer says nothing.
fn plain_layout(frame: &LongFrame) -> Result<(&[u8], Layout), TelegramError> {
    let ci = frame.control_information();
    if ci != AUTHENTICATION_LAYER {
        return Ok((frame.data(), Layout::of(ci, frame.data().len())?));
    }
    let message = Afl::parse(frame.data())?.message;
    let (inner, data) = message.split_first().ok_or(TelegramError::Authentication)?;
    Ok((data, Layout::of(*inner, data.len())?))
}

/// Leaves out the two fillers that every decrypted text begins with.
const fn skip_check(body: &[u8]) -> &[u8] {
    match body {
        [0x2F, 0x2F, rest @ ..] => rest,
        _ => body,
    }
}

fn unknown_format(body: &[u8]) -> TelegramError {
    match skip_check(body) {
        [s0, s1, _, _, ..] => TelegramError::UnknownFormat {
            signature: u16::from_le_bytes([*s0, *s1]),
        },
        _ => TelegramError::Compact,
    }
}

/// Returns whether the body is in plain, whatever the header says of it.
///
/// A cipher text has next to no chance: its bytes would have to be [`PLAIN_RECORDS`] records or more of
/// quantities that are known, each with a value that is sound and numbers that meters have, to the last
/// byte.
fn is_in_plain(body: &[u8], order: ByteOrder) -> bool {
    let end = scan(body, order);
    let mut count = 0_usize;
    let all_are_sound = Records::new(end.records, order).all(|record| {
        count = count.saturating_add(1);
        is_beyond_doubt(&record)
    });
    end.sound && all_are_sound && count >= PLAIN_RECORDS && end.records.len() >= PLAIN_BYTES
}

/// The least number of records that speak for a body in plain.
const PLAIN_RECORDS: usize = 5;
/// The least number of bytes of them: two blocks of a cipher.
const PLAIN_BYTES: usize = 32;

/// Returns whether a record is one that real meters send: no rare coding, no far storage, a sound value.
fn is_beyond_doubt(record: &Record<'_>) -> bool {
    const GREATEST_STORAGE: u64 = 63;
    const GREATEST_TARIFF: u32 = 9;
    let is_sound = match record.value {
        Ok(Value::Text(_) | Value::Raw(_) | Value::Nothing) => false,
        Ok(_) | Err(RecordError::InvalidDate) => true,
        Err(_) => false,
    };
    let is_known = !matches!(
        record.vib.measurand(),
        Measurand::Unknown | Measurand::ManufacturerSpecific
    );
    is_sound
        && is_known
        && record.function != Function::Error
        && record.storage <= GREATEST_STORAGE
        && record.tariff <= GREATEST_TARIFF
        && record.vib.modifiers().next().is_none()
}

/// Returns whether the body is encrypted, as far as the header says.
///
/// Older meters have a signature, of their own making, where the configuration field stands now.
/// It is taken for what it is if it cannot be a configuration field: no block or more than there
/// are would be encrypted, or the mode is reserved and the records make sense as they stand.
fn is_encrypted(header: &Header, body: &[u8], order: ByteOrder) -> bool {
    /// DES (2, 3), AES without vector (4), counter modes (8 to 10), TLS (13).
    const KNOWN: [u8; 7] = [2, 3, 4, 8, 9, 10, 13];
    match header.encryption_mode() {
        0 => false,
        MODE_5 | MODE_7 => encrypted_length(header) != 0 && !reads_well(header, body, order),
        mode if KNOWN.contains(&mode) => header.configuration & 0x00FF != 0,
        _ => !scan(body, order).sound,
    }
}

/// Returns whether more than the whole body would be encrypted, and the body is in plain.
fn reads_well(header: &Header, body: &[u8], order: ByteOrder) -> bool {
    encrypted_length(header) > body.len() && scan(body, order).sound
}

/// Reads the state of an alarm.
///
/// Spec: EN 13757-3:2018, section 9 (alarm protocol).
fn alarm(bytes: &[u8]) -> Option<Record<'_>> {
    let vib = Vib::known(&[0xFD, 0x17], Measurand::Alarm, unsigned());
    single(bytes, vib)
}

/// Reads the time of a command that sets a clock, behind its control byte.
///
/// Spec: EN 13757-3:2018, annex H (clock synchronisation, CI `6C` and `6D`).
fn clock(bytes: &[u8], absolute: bool) -> Option<Record<'_>> {
    let (measurand, length) = if absolute {
        (Measurand::DateTime, 6)
    } else {
        (Measurand::TimeCorrection, 3)
    };
    let time = bytes.get(1..)?.get(..length)?;
    single(time, Vib::known(&[0x6D], measurand, Form::Date))
}

fn single<'f>(bytes: &'f [u8], vib: Vib<'f>) -> Option<Record<'f>> {
    if bytes.is_empty() {
        return None;
    }
    Some(Record {
        value: Value::decode(Coding::Integer, bytes, ByteOrder::LeastFirst, &vib),
        vib,
        raw: bytes,
        ..Record::EMPTY
    })
}

/// The reason why a frame is no telegram that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TelegramError {
    /// The data is of a kind that is not read.
    #[error("the meter's data is of kind {found:#04x}, which is none of a meter's answers")]
    ControlInformation {
        /// The CI field.
        found: u8,
    },
    /// The data ends within the header.
    #[error("the meter's header has {found} of {expected} bytes")]
    HeaderTooShort {
        /// The length of the header.
        expected: usize,
        /// The bytes behind the CI field.
        found: usize,
    },
    /// The fixed data structure has another length.
    #[error("the meter's fixed data has {found} bytes instead of {}", FixedData::LENGTH)]
    FixedLength {
        /// The bytes behind the CI field.
        found: usize,
    },
    /// The records are encrypted, and there is no key or the mode is not read.
    #[error("the meter's records are encrypted in mode {mode}, and there is no key for it")]
    Encrypted {
        /// The mode, after the configuration field.
        mode: u8,
    },
    /// What was decrypted does not begin as it must.
    #[error("the key is not the one of the meter")]
    WrongKey,
    /// The message authentication code does not fit, or its layer is damaged.
    #[error("the meter's telegram is not authentic: altered on the way, or the key is not the meter's")]
    Authentication,
    /// More would be encrypted than there is.
    #[error("the meter's encrypted part is shorter than its header says")]
    Ciphertext,
    /// The telegram is a part of a longer one.
    #[error("the meter's telegram is a fragment of a longer one")]
    Fragment,
    /// The length or the signature of a format frame is wrong.
    #[error("the meter's format frame contradicts itself")]
    Format,
    /// The format of a compact frame was not learned.
    #[error("the format {signature:#06x} of the meter's compact frame is not known; a full frame teaches it")]
    UnknownFormat {
        /// The signature of the format.
        signature: u16,
    },
    /// The values of a compact frame do not fit its format.
    #[error("the values of the meter's compact frame do not fit their format")]
    Compact,
    /// The meter reports that it could not do what it was asked.
    #[error("the meter reports error {code:#04x}: {}", reported(*code))]
    Reported {
        /// The code of the report.
        code: u8,
    },
}

impl TelegramError {
    /// Returns a short name for the cause, for programs: lower case with hyphens, stable.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ControlInformation { .. } => "control-information",
            Self::HeaderTooShort { .. } => "header-too-short",
            Self::FixedLength { .. } => "fixed-length",
            Self::Encrypted { .. } => "encrypted",
            Self::WrongKey => "wrong-key",
            Self::Authentication => "authentication",
            Self::Ciphertext => "ciphertext",
            Self::Fragment => "fragment",
            Self::Format => "format",
            Self::UnknownFormat { .. } => "unknown-format",
            Self::Compact => "compact",
            Self::Reported { .. } => "application-error",
        }
    }
}

/// Returns what the code of an error report means.
///
/// Spec: EN 13757-3:2018, section 8 (application errors).
const fn reported(code: u8) -> &'static str {
    match code {
        0x00 => "an error that it does not name",
        0x01 => "the CI field is not implemented",
        0x02 => "its buffer was too short, and the command was cut",
        0x03 => "there were too many records",
        0x04 => "a record ended early",
        0x05 => "there were more than 10 DIFEs",
        0x06 => "there were more than 10 VIFEs",
        0x08 => "it is too busy for a readout",
        0x09 => "it was read too often",
        0x10 => "access is denied",
        0x11 => "the command is not known",
        0x12 => "a parameter is missing or wrong",
        0x13 => "the address of the receiver is not known",
        0x14 => "it could not decrypt",
        0x15 => "the encryption is not supported",
        0x16 => "the signature is not supported",
        0xF0 => "an error that its data describes",
        _ => "an error with a reserved code",
    }
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
            Telegram::parse(&frame(0x50, HEADER.to_vec())),
            Err(TelegramError::ControlInformation { found: 0x50 })
        );
        assert_eq!(
            Telegram::parse(&frame(0x72, HEADER[..11].to_vec())),
            Err(TelegramError::HeaderTooShort {
                expected: 12,
                found: 11
            })
        );
        let mut encrypted = HEADER.to_vec();
        encrypted[10..].copy_from_slice(&[0x10, 0x05]);
        encrypted.extend([0x01; 16]);
        assert_eq!(
            Telegram::parse(&frame(0x72, encrypted)),
            Err(TelegramError::Encrypted { mode: 5 })
        );
        assert_eq!(
            Telegram::parse(&frame(0x73, vec![0; 15])),
            Err(TelegramError::FixedLength { found: 15 })
        );
        assert_eq!(
            Telegram::parse(&frame(0x7A, vec![0; 3])),
            Err(TelegramError::HeaderTooShort {
                expected: 4,
                found: 3
            })
        );
        assert_eq!(
            Telegram::parse(&frame(0x79, vec![1, 2, 3, 4])),
            Err(TelegramError::UnknownFormat { signature: 0x0201 })
        );
        assert_eq!(
            Telegram::parse(&frame(0x79, vec![1, 2, 3])),
            Err(TelegramError::Compact)
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

    #[test]
    fn error_reports_name_their_cause() {
        for (ci, data, code, words) in [
            (0x70, vec![], 0x00, "an error that it does not name"),
            (0x70, vec![0x08], 0x08, "it is too busy for a readout"),
            (0x6E, vec![1, 0, 0, 0, 0x09], 0x09, "it was read too often"),
            (
                0x6F,
                [&HEADER[..], &[0x01]].concat(),
                0x01,
                "the CI field is not implemented",
            ),
        ] {
            let error = Telegram::parse(&frame(ci, data)).unwrap_err();
            assert_eq!(error, TelegramError::Reported { code });
            assert_eq!(
                error.to_string(),
                format!("the meter reports error {code:#04x}: {words}")
            );
        }
    }

    #[test]
    fn headers_of_each_length_are_read() {
        use super::super::header::HeaderKind;
        let records = [0x01, 0x13, 0x05];
        for (ci, data, kind) in [
            (0x72, [&HEADER[..], &records].concat(), HeaderKind::Long),
            (
                0x7A,
                [&[0x55, 0x04, 0, 0][..], &records].concat(),
                HeaderKind::Short,
            ),
            (0x78, records.to_vec(), HeaderKind::None),
        ] {
            let frame = frame(ci, data);
            let telegram = Telegram::parse(&frame).unwrap();
            assert_eq!(telegram.header().kind, kind);
            assert_eq!(telegram.records().count(), 1);
        }
    }

    #[test]
    fn both_byte_orders_say_the_same() {
        let usual = with_records(&[0x04, 0x13, 0x15, 0x31, 0, 0, 0x0B, 0x3B, 0x21, 0x43, 0x05]);
        let mut header = HEADER;
        header[..4].reverse();
        header[4..6].reverse();
        let other = frame(
            0x76,
            [
                &header[..],
                &[0x04, 0x13, 0, 0, 0x31, 0x15, 0x0B, 0x3B, 0x05, 0x43, 0x21],
            ]
            .concat(),
        );
        let (usual, other) = (Telegram::parse(&usual).unwrap(), Telegram::parse(&other).unwrap());
        assert_eq!(usual.header(), other.header());
        let values = |telegram: &Telegram<'_>| {
            telegram
                .records()
                .map(|r| format!("{:?}", r.value))
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&usual), values(&other));
        assert_eq!(values(&usual).len(), 2);
    }

    #[test]
    fn alarms_and_clock_commands_are_one_record() {
        let shown = |ci, data: &[u8]| {
            let frame = frame(ci, data.to_vec());
            let telegram = Telegram::parse(&frame).unwrap();
            let found: Vec<_> = telegram
                .records()
                .map(|record| match record.value {
                    Ok(Value::Number { value, .. }) => format!("{} {value}", record.vib.measurand().words()),
                    Ok(Value::DateTime(time)) => format!("{} {time}", record.vib.measurand().words()),
                    Ok(Value::Time(time)) => format!("{} {time}", record.vib.measurand().words()),
                    other => format!("{other:?}"),
                })
                .collect();
            found.join("; ")
        };
        assert_eq!(shown(0x71, &[0x05]), "alarm 5");
        assert_eq!(shown(0x71, &[]), "");
        assert_eq!(shown(0x75, &[&HEADER[..], &[0x81]].concat()), "alarm 129");
        let clock = [&HEADER[..], &[0, 30, 5, 12, 0x57, 0x3B, 0, 0, 0, 0]].concat();
        assert_eq!(shown(0x6C, &clock), "date and time 2026-11-23T12:05:30");
        let correction = [&HEADER[..], &[1, 10, 2, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(shown(0x6D, &correction), "time correction 00:02:10");
    }

    /// The records of a heat meter.
    const HEAT: &str = "0c1321430500 0c0678563412 023b1000 0a5a8812 0a5e1605 026c8c11 0227370d 0c2201020304";

    #[test]
    fn signature_that_reads_as_a_known_mode_is_no_encryption_of_a_text_in_plain() {
        let records = hex::decode(HEAT.replace(' ', "")).unwrap();
        let key = Key::new([7; 16]);
        for signature in [0x2727_u16, 0x2005, 0x1005, 0x0A0D, 0xFF02] {
            let mut header = HEADER;
            header[10..].copy_from_slice(&signature.to_be_bytes());
            let frame = frame(0x72, [&header[..], &records].concat());
            let mut scratch = Scratch::new();
            let lenient = Opener {
                is_lenient: true,
                ..Opener::default()
            };
            let telegram = Telegram::open(&frame, &lenient, &mut scratch).unwrap();
            assert_eq!(telegram.records().count(), 8, "{signature:04x}");
            let mut scratch = Scratch::new();
            let strict = Telegram::open(&frame, &Opener::default(), &mut scratch);
            assert!(matches!(strict, Err(TelegramError::Encrypted { .. })));
            // Who has a key takes nothing that anybody could have written.
            if telegram.header().encryption_mode() == MODE_5 {
                let with = Opener {
                    key: Some(&key),
                    ..lenient
                };
                let mut scratch = Scratch::new();
                let opened = Telegram::open(&frame, &with, &mut scratch);
                assert_eq!(opened, Err(TelegramError::WrongKey));
            }
        }
    }

    #[test]
    fn cipher_text_is_hardly_ever_taken_for_a_text_in_plain() {
        // A generator after Marsaglia (xorshift64), so that every run tries the same bodies.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut taken = 0;
        for length in [32, 48, 64, 96] {
            for _ in 0..50_000 {
                let body: Vec<u8> = (0..length / 8)
                    .flat_map(|_| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        state.to_le_bytes()
                    })
                    .collect();
                taken += u32::from(is_in_plain(&body, ByteOrder::LeastFirst));
            }
        }
        // Of 200,000: rare enough to show a telegram, too often to register its values.
        assert!(taken <= 4, "{taken}");
    }

    #[test]
    fn signature_of_an_older_meter_is_no_encryption() {
        let records = [0x05, 0x2E, 0, 0, 0, 0, 0x01, 0x13, 0x05];
        // Mode 22 is reserved; in mode 5 with 14 blocks more would be encrypted than there is.
        for signature in [[0x27, 0xB6], [0xE0, 0x05], [0x00, 0x05]] {
            let mut header = HEADER;
            header[10..].copy_from_slice(&signature);
            let frame = frame(0x72, [&header[..], &records].concat());
            assert_eq!(Telegram::parse(&frame).unwrap().records().count(), 2);
        }
        for (signature, records) in [([0x27, 0xB6], &[0x3F, 1][..]), ([0x10, 0x03], &records)] {
            let mut header = HEADER;
            header[10..].copy_from_slice(&signature);
            let frame = frame(0x72, [&header[..], records].concat());
            assert!(matches!(
                Telegram::parse(&frame),
                Err(TelegramError::Encrypted { .. })
            ));
        }
    }
}
