//! Requests and answers, and how they go over TCP and over a serial line.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Transaction, protocol, length, unit.
const HEADER_LENGTH: usize = 7;
/// The number of bytes that the length field counts: the unit and 1 to 253 bytes behind it.
const LENGTHS: std::ops::RangeInclusive<u16> = 2..=254;
/// Modbus itself.
const PROTOCOL: u16 = 0;
/// The functions that read bits, eight of which go into a byte, the first one lowest.
const READ_COILS: u8 = 1;
const READ_DISCRETE_INPUTS: u8 = 2;
/// The functions with several values to write, whose number of bytes the request tells.
const WRITE_MULTIPLE: std::ops::RangeInclusive<u8> = 15..=16;
/// Encapsulated Interface Transport; with the interface behind it, Read Device Identification.
const ENCAPSULATED: u8 = 0x2B;
const DEVICE_IDENTIFICATION: u8 = 0x0E;
/// The access to one object of the device identification.
const ONE_OBJECT: u8 = 4;
/// Individual access to the basic objects.
const BASIC_CONFORMITY: u8 = 0x81;
/// What is added to the function code of a request to mark an exception.
const EXCEPTION: u8 = 0x80;
/// The longest frame on a serial line, in bytes.
pub(super) const LONGEST_RTU_FRAME: usize = 256;
/// What the checksum of a serial line begins with, and its polynomial, lowest bit first.
const CHECKSUM_START: u16 = 0xFFFF;
const CHECKSUM_POLYNOMIAL: u16 = 0xA001;

/// A request, without what carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) unit: u8,
    pub(super) function: u8,
    pub(super) wanted: Wanted,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The contents of registers or bits; the meter's own register table refuses other functions.
    Registers { address: u16, count: u16 },
    /// An object of the device identification.
    Object(u8),
    /// Something that no meter here has.
    Unknown,
}

/// What a meter has to say to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Words(Vec<u16>),
    Object(u8, String),
}

impl Request {
    /// Reads what follows the unit: function code and the rest.
    fn read(unit: u8, body: &[u8]) -> Option<Self> {
        let (function, wanted) = match *body {
            [ENCAPSULATED, DEVICE_IDENTIFICATION, ONE_OBJECT, object] => {
                (ENCAPSULATED, Wanted::Object(object))
            }
            [function, a1, a2, c1, c2] => {
                let address = u16::from_be_bytes([a1, a2]);
                let count = u16::from_be_bytes([c1, c2]);
                (function, Wanted::Registers { address, count })
            }
            [function, ..] => (function, Wanted::Unknown),
            [] => return None,
        };
        Some(Self {
            unit,
            function,
            wanted,
        })
    }

    /// Encodes the answer, or the exception: the function code and what follows it.
    pub(super) fn answer(&self, result: Result<&Content, u8>) -> Vec<u8> {
        match result {
            Ok(Content::Words(bits)) if matches!(self.function, READ_COILS | READ_DISCRETE_INPUTS) => {
                let bytes = bits.chunks(8).map(|bits| {
                    let bits = bits.iter().rev();
                    bits.fold(0, |byte, bit| byte << 1 | u8::from(*bit != 0))
                });
                let length = u8::try_from(bits.len().div_ceil(8)).unwrap_or(u8::MAX);
                [self.function, length].into_iter().chain(bytes).collect()
            }
            Ok(Content::Words(words)) => {
                let bytes = words.iter().flat_map(|word| word.to_be_bytes());
                let length = u8::try_from(words.len() * 2).unwrap_or(u8::MAX);
                [self.function, length].into_iter().chain(bytes).collect()
            }
            Ok(Content::Object(object, text)) => {
                let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
                let mut body = vec![self.function, DEVICE_IDENTIFICATION, ONE_OBJECT];
                // No more to follow, no next object, one object.
                body.extend([BASIC_CONFORMITY, 0, 0, 1, *object, length]);
                body.extend(text.as_bytes());
                body
            }
            Err(code) => vec![self.function | EXCEPTION, code],
        }
    }
}

/// What carries a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Tcp { transaction: u16 },
    Serial,
}

impl Carrier {
    /// Wraps an answer of that unit up for the wire.
    pub(super) fn wrap(self, unit: u8, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Tcp { transaction } => {
                let length = u16::try_from(body.len() + 1).unwrap_or(u16::MAX);
                let mut frame = Vec::with_capacity(HEADER_LENGTH + body.len());
                frame.extend(transaction.to_be_bytes());
                frame.extend(PROTOCOL.to_be_bytes());
                frame.extend(length.to_be_bytes());
                frame.push(unit);
                frame.extend(body);
                frame
            }
            Self::Serial => {
                let mut frame = Vec::with_capacity(body.len() + 3);
                frame.push(unit);
                frame.extend(body);
                frame.extend(checksum(&frame).to_le_bytes());
                frame
            }
        }
    }

    /// Spoils the part of a frame that says that it is one.
    pub(super) fn spoil(self, frame: &mut [u8]) {
        let spoiled = match self {
            // The lower byte of the protocol identifier.
            Self::Tcp { .. } => frame.get_mut(3),
            Self::Serial => frame.last_mut(),
        };
        if let Some(byte) = spoiled {
            *byte ^= 1;
        }
    }
}

/// Reads the next request from TCP with its transaction; `None` if the connection ended or what came
/// is no Modbus.
pub(super) async fn receive_tcp(connection: &mut (impl AsyncRead + Unpin)) -> Option<(u16, Request)> {
    let mut header = [0; HEADER_LENGTH];
    connection.read_exact(&mut header).await.ok()?;
    let [t1, t2, p1, p2, l1, l2, unit] = header;
    let length = u16::from_be_bytes([l1, l2]);
    if u16::from_be_bytes([p1, p2]) != PROTOCOL || !LENGTHS.contains(&length) {
        return None;
    }
    let mut body = vec![0; usize::from(length) - 1];
    connection.read_exact(&mut body).await.ok()?;
    Some((u16::from_be_bytes([t1, t2]), Request::read(unit, &body)?))
}

/// What has come from a serial line since the last frame.
#[derive(Debug, Default)]
pub(super) struct SerialInput(Vec<u8>);

impl SerialInput {
    /// Takes bytes in; more than a frame can have are none.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        if self.0.len() > LONGEST_RTU_FRAME {
            self.0.clear();
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next request with its length in bytes, once it is complete.
    ///
    /// Bytes whose checksum does not fit are dropped, and so is all that is behind them: a slave
    /// looks for the next frame behind a silence.
    pub(super) fn take(&mut self) -> Option<(usize, Request)> {
        let length = self.length()?;
        if self.0.len() < length {
            return None;
        }
        let frame: Vec<u8> = self.0.drain(..length).collect();
        let request = whole(&frame);
        if request.is_none() {
            self.0.clear();
        }
        Some((length, request?))
    }

    /// Takes what there is for a frame, since a silence has ended it.
    pub(super) fn end(&mut self) -> Option<(usize, Request)> {
        let frame = std::mem::take(&mut self.0);
        Some((frame.len(), whole(&frame)?))
    }

    /// Returns how long the frame is, as far as its function tells.
    fn length(&self) -> Option<usize> {
        match *self.0.as_slice() {
            [_, 1..=6, ..] => Some(8),
            [_, ENCAPSULATED, ..] => Some(7),
            [_, function, _, _, _, _, bytes, ..] if WRITE_MULTIPLE.contains(&function) => {
                Some(9 + usize::from(bytes))
            }
            _ => None,
        }
    }
}

/// Reads a frame of a serial line, if its checksum fits.
fn whole(frame: &[u8]) -> Option<Request> {
    let (content, found) = frame.split_last_chunk::<2>()?;
    if checksum(content) != u16::from_le_bytes(*found) {
        return None;
    }
    let (unit, body) = content.split_first()?;
    Request::read(*unit, body)
}

/// Spec: MODBUS over Serial Line V1.02, section 6.2.2 (CRC generation).
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(CHECKSUM_START, |checksum, byte| {
        (0..8).fold(checksum ^ u16::from(*byte), |checksum, _| {
            let shifted = checksum >> 1;
            if checksum & 1 == 1 {
                shifted ^ CHECKSUM_POLYNOMIAL
            } else {
                shifted
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request = Request {
        unit: 1,
        function: 4,
        wanted: Wanted::Registers {
            address: 0x48,
            count: 2,
        },
    };
    const TCP: Carrier = Carrier::Tcp { transaction: 0x1234 };

    #[tokio::test]
    async fn a_request_is_read_as_the_guide_lays_it_out() {
        let bytes = [0x12, 0x34, 0, 0, 0, 6, 1, 4, 0, 0x48, 0, 2];
        assert_eq!(receive_tcp(&mut bytes.as_slice()).await, Some((0x1234, REQUEST)));
    }

    #[tokio::test]
    async fn what_is_no_modbus_is_no_request() {
        for bytes in [
            [0x12, 0x34, 0, 1, 0, 6, 1, 4, 0, 0x48, 0, 2].as_slice(),
            [0x12, 0x34, 0, 0, 0, 1, 1].as_slice(),
            [0x12, 0x34, 0, 0, 1, 0, 1].as_slice(),
            [0x12, 0x34, 0, 0, 0, 6, 1, 4].as_slice(),
        ] {
            let mut bytes = bytes;
            assert_eq!(receive_tcp(&mut bytes).await, None);
        }
    }

    #[test]
    fn answers_are_laid_out_as_the_guide_says() {
        let words = Content::Words(vec![0x449A, 0x5333]);
        let body = REQUEST.answer(Ok(&words));
        assert_eq!(
            TCP.wrap(1, &body),
            [0x12, 0x34, 0, 0, 0, 7, 1, 4, 4, 0x44, 0x9A, 0x53, 0x33]
        );
        let bits = Request {
            function: READ_COILS,
            ..REQUEST
        };
        let nine = Content::Words(vec![1, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bits.answer(Ok(&nine)), [1, 2, 0b101, 1]);
        assert_eq!(REQUEST.answer(Err(2)), [0x84, 2]);
    }

    #[test]
    fn checksums_are_those_of_the_specification() {
        // The check value of CRC-16/MODBUS, and the example of appendix B of the specification.
        assert_eq!(checksum(b"123456789"), 0x4B37);
        assert_eq!(checksum(&[2, 7]), 0x1241);
        assert_eq!(Carrier::Serial.wrap(2, &[7]), [2, 7, 0x41, 0x12]);
    }

    #[test]
    fn frames_are_taken_from_a_serial_line_when_they_are_complete() {
        let frame = Carrier::Serial.wrap(1, &[4, 0, 0x48, 0, 2]);
        let mut input = SerialInput::default();
        input.extend(&frame[..5]);
        assert_eq!(input.take(), None);
        input.extend(&frame[5..]);
        input.extend(&frame);
        assert_eq!(input.take(), Some((8, REQUEST)));
        assert_eq!(input.take(), Some((8, REQUEST)));
        assert!(input.is_empty());
    }

    #[test]
    fn frames_of_other_functions_are_known_by_their_length_or_by_silence() {
        let mut input = SerialInput::default();
        let identification = Carrier::Serial.wrap(3, &[0x2B, 0x0E, 4, 1]);
        input.extend(&identification);
        let (_, request) = input.take().unwrap();
        assert_eq!(request.wanted, Wanted::Object(1));
        input.extend(&Carrier::Serial.wrap(3, &[16, 0, 0, 0, 1, 2, 0, 7]));
        assert_eq!(input.take().unwrap().1.wanted, Wanted::Unknown);
        input.extend(&Carrier::Serial.wrap(3, &[0x11]));
        assert_eq!(input.take(), None);
        assert_eq!(input.end().unwrap().1.function, 0x11);
    }

    #[test]
    fn a_wrong_checksum_drops_all_until_the_next_silence() {
        let mut frame = Carrier::Serial.wrap(1, &[4, 0, 0x48, 0, 2]);
        Carrier::Serial.spoil(&mut frame);
        let mut input = SerialInput::default();
        input.extend(&frame);
        input.extend(&[1, 4, 0]);
        assert_eq!(input.take(), None);
        assert!(input.is_empty());
        input.extend(&[0; LONGEST_RTU_FRAME + 1]);
        assert!(input.is_empty());
    }

    #[test]
    fn an_object_is_answered_with_its_text() {
        let request = Request {
            function: ENCAPSULATED,
            wanted: Wanted::Object(0),
            ..REQUEST
        };
        let name = Content::Object(0, "Acme".to_owned());
        let expected = [0x2B, 0x0E, 4, 0x81, 0, 0, 1, 0, 4, b'A', b'c', b'm', b'e'];
        assert_eq!(request.answer(Ok(&name)), expected);
    }
}
