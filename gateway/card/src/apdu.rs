//! Command and response APDUs, short and extended.
//!
//! Spec: ISO/IEC 7816-4:2020, section 5.2.

use std::fmt;

use zeroize::Zeroizing;

use crate::StatusWord;

/// What stands around the data of a command at most: header, and extended Lc and Le.
const MAX_FRAME: usize = 9;
/// The greatest number of data bytes in a short command; one more needs extended length.
const MAX_SHORT_DATA: usize = 255;
/// The greatest number of bytes that a short command can expect (Le = 0).
const MAX_SHORT_EXPECTED: usize = 256;
/// The greatest number of bytes that an extended command can expect (Le = 0).
const MAX_EXPECTED: usize = 65_536;

/// Class, instruction and parameters of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Class byte.
    pub cla: u8,
    /// Instruction byte.
    pub ins: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
}

impl Header {
    /// Builds the header from its four bytes in wire order.
    #[must_use]
    pub const fn new([cla, ins, p1, p2]: [u8; 4]) -> Self {
        Self { cla, ins, p1, p2 }
    }

    /// Returns the four bytes in wire order.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        [self.cla, self.ins, self.p1, self.p2]
    }
}

/// A command to the card. Its data are wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandApdu {
    header: Header,
    data: Zeroizing<Vec<u8>>,
    expected: Option<usize>,
}

impl CommandApdu {
    /// Builds a command that sends data and expects none; data over 65 535 bytes cannot be encoded.
    #[must_use]
    pub fn new(header: Header, data: Vec<u8>) -> Self {
        Self {
            header,
            data: Zeroizing::new(data),
            expected: None,
        }
    }

    /// Returns the command with the number of bytes that it expects at most (Ne), 1 to 65 536.
    #[must_use]
    pub fn expecting(mut self, bytes: usize) -> Self {
        self.expected = Some(bytes.clamp(1, MAX_EXPECTED));
        self
    }

    /// Returns the command under another header.
    pub(crate) fn under(self, header: Header) -> Self {
        Self { header, ..self }
    }

    /// Returns class, instruction and parameters.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Returns the data field.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the number of bytes that are expected at most, if any.
    #[must_use]
    pub const fn expected(&self) -> Option<usize> {
        self.expected
    }

    /// Reads a command from its bytes.
    ///
    /// # Errors
    ///
    /// [`ApduError`] if the bytes are no command of one of the seven cases of ISO 7816-4.
    pub fn parse(bytes: &[u8]) -> Result<Self, ApduError> {
        let (header, body) = bytes
            .split_first_chunk::<4>()
            .ok_or(ApduError::TooShort { found: bytes.len() })?;
        let (data, expected) = match body {
            [] => (&[][..], None),
            [le] => (&[][..], Some(short_expected(*le))),
            [0, high, low] => (&[][..], Some(extended_expected([*high, *low]))),
            [0, high, low, rest @ ..] => split_extended(u16::from_be_bytes([*high, *low]), rest)?,
            [lc, rest @ ..] => split_short(*lc, rest)?,
        };
        Ok(Self {
            header: Header::new(*header),
            data: Zeroizing::new(data.to_vec()),
            expected,
        })
    }

    /// Returns the bytes, in extended length only where that is needed.
    ///
    /// # Errors
    ///
    /// [`ApduError::TooLong`] if the data do not fit extended length.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ApduError> {
        let length = self.data.len();
        // Set aside at once, so that a key is not left behind where a growing buffer stood.
        let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(MAX_FRAME)));
        bytes.extend_from_slice(&self.header.to_bytes());
        let expected = self.expected.unwrap_or(0);
        if length > MAX_SHORT_DATA || expected > MAX_SHORT_EXPECTED {
            let lc = u16::try_from(length).map_err(|_| ApduError::TooLong { found: length })?;
            bytes.push(0);
            if lc > 0 {
                bytes.extend_from_slice(&lc.to_be_bytes());
                bytes.extend_from_slice(&self.data);
            }
            if expected > 0 {
                // Ne of 65 536 is written as 0000, which is what wrapping to 16 bits gives.
                let le = u16::try_from(expected).unwrap_or(0);
                bytes.extend_from_slice(&le.to_be_bytes());
            }
        } else {
            if let Some(lc) = u8::try_from(length).ok().filter(|lc| *lc > 0) {
                bytes.push(lc);
                bytes.extend_from_slice(&self.data);
            }
            if expected > 0 {
                // Ne of 256 is written as 00.
                bytes.push(u8::try_from(expected).unwrap_or(0));
            }
        }
        Ok(bytes)
    }
}

impl fmt::Debug for CommandApdu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CommandApdu")
            .field("header", &self.header)
            .field("data_length", &self.data.len())
            .field("expected", &self.expected)
            .finish()
    }
}

const fn short_expected(le: u8) -> usize {
    if le == 0 { MAX_SHORT_EXPECTED } else { le as usize }
}

const fn extended_expected(le: [u8; 2]) -> usize {
    let le = u16::from_be_bytes(le);
    if le == 0 { MAX_EXPECTED } else { le as usize }
}

/// Splits what follows a short Lc into data and Le.
fn split_short(lc: u8, rest: &[u8]) -> Result<(&[u8], Option<usize>), ApduError> {
    match rest.split_at_checked(usize::from(lc)) {
        Some((data, [])) if lc > 0 => Ok((data, None)),
        Some((data, [le])) if lc > 0 => Ok((data, Some(short_expected(*le)))),
        _ => Err(ApduError::Length),
    }
}

/// Splits what follows an extended Lc into data and Le.
fn split_extended(lc: u16, rest: &[u8]) -> Result<(&[u8], Option<usize>), ApduError> {
    match rest.split_at_checked(usize::from(lc)) {
        Some((data, [])) if lc > 0 => Ok((data, None)),
        Some((data, [high, low])) if lc > 0 => Ok((data, Some(extended_expected([*high, *low])))),
        _ => Err(ApduError::Length),
    }
}

/// The card's answer: data and status word. Its data are wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseApdu {
    data: Zeroizing<Vec<u8>>,
    status: StatusWord,
}

impl ResponseApdu {
    /// Builds an answer with data and the status word 9000.
    #[must_use]
    pub fn ok(data: Vec<u8>) -> Self {
        Self {
            data: Zeroizing::new(data),
            status: StatusWord::OK,
        }
    }

    /// Builds an answer with data and a status word.
    pub(crate) fn with_status(data: Vec<u8>, status: StatusWord) -> Self {
        Self {
            data: Zeroizing::new(data),
            status,
        }
    }

    /// Builds an answer that is a status word only.
    #[must_use]
    pub fn status_only(status: StatusWord) -> Self {
        Self {
            data: Zeroizing::new(Vec::new()),
            status,
        }
    }

    /// Returns the data field.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the status word.
    #[must_use]
    pub const fn status(&self) -> StatusWord {
        self.status
    }

    /// Reads an answer from its bytes.
    ///
    /// # Errors
    ///
    /// [`ApduError::TooShort`] without a status word, [`ApduError::TooLong`] over 65 536 data bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ApduError> {
        let (data, status) = bytes
            .split_last_chunk::<2>()
            .ok_or(ApduError::TooShort { found: bytes.len() })?;
        if data.len() > MAX_EXPECTED {
            return Err(ApduError::TooLong { found: data.len() });
        }
        Ok(Self {
            data: Zeroizing::new(data.to_vec()),
            status: StatusWord::new(u16::from_be_bytes(*status)),
        })
    }

    /// Returns the bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = self.data.clone();
        bytes.extend_from_slice(&self.status.to_bytes());
        bytes
    }
}

impl fmt::Debug for ResponseApdu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ResponseApdu")
            .field("data_length", &self.data.len())
            .field("status", &self.status)
            .finish()
    }
}

/// The reason why bytes are no APDU, or an APDU has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApduError {
    /// Fewer bytes than a header or a status word.
    #[error("an APDU of {found} bytes is too short")]
    TooShort {
        /// The number of bytes that were given.
        found: usize,
    },
    /// Lc or Le contradicts the number of bytes.
    #[error("the length fields of the command contradict its length")]
    Length,
    /// More data than extended length can carry.
    #[error("{found} data bytes do not fit an APDU")]
    TooLong {
        /// The number of data bytes.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header = Header::new([0x00, 0xB0, 0x81, 0x02]);
    /// The greatest number of data bytes in a command of extended length.
    const MAX_DATA: usize = 65_535;

    #[test]
    fn the_seven_cases_encode_as_the_standard_says() {
        let bytes = |command: CommandApdu| hex::encode(command.to_bytes().unwrap().as_slice());
        let command = |length| CommandApdu::new(HEADER, vec![0xAA; length]);
        assert_eq!(bytes(command(0)), "00b08102");
        assert_eq!(bytes(command(0).expecting(16)), "00b0810210");
        assert_eq!(bytes(command(0).expecting(256)), "00b0810200");
        assert_eq!(bytes(command(2)), "00b0810202aaaa");
        assert_eq!(bytes(command(2).expecting(256)), "00b0810202aaaa00");
        assert_eq!(bytes(command(0).expecting(257)), "00b08102000101");
        assert_eq!(bytes(command(0).expecting(65_536)), "00b08102000000");
        assert_eq!(&bytes(command(256))[..14], "00b08102000100");
        assert!(bytes(command(256).expecting(65_536)).ends_with("aa0000"));
    }

    #[test]
    fn contradictory_lengths_are_refused() {
        assert_eq!(
            CommandApdu::parse(&[0, 0xB0]),
            Err(ApduError::TooShort { found: 2 })
        );
        for body in [
            &[2, 0xAA][..],
            &[1, 0xAA, 0, 0],
            &[0, 0, 0, 0xAA],
            &[0, 0, 2, 0xAA],
        ] {
            let bytes = [&HEADER.to_bytes(), body].concat();
            assert_eq!(CommandApdu::parse(&bytes), Err(ApduError::Length), "{body:02x?}");
        }
        let long = CommandApdu::new(HEADER, vec![0; MAX_DATA + 1]);
        assert_eq!(long.to_bytes(), Err(ApduError::TooLong { found: MAX_DATA + 1 }));
    }

    #[test]
    fn answers_end_with_the_status_word() {
        let answer = ResponseApdu::parse(&[1, 2, 0x90, 0]).unwrap();
        assert_eq!((answer.data(), answer.status()), (&[1, 2][..], StatusWord::OK));
        assert_eq!(answer.to_bytes().as_slice(), [1, 2, 0x90, 0]);
        assert_eq!(
            ResponseApdu::parse(&[0x90]),
            Err(ApduError::TooShort { found: 1 })
        );
        assert_eq!(
            ResponseApdu::parse(&vec![0; MAX_EXPECTED + 3]),
            Err(ApduError::TooLong {
                found: MAX_EXPECTED + 1
            })
        );
    }

    proptest! {
        #[test]
        fn any_command_round_trips(header: [u8; 4], length in 0usize..600, expected in 0usize..70_000) {
            let mut command = CommandApdu::new(Header::new(header), vec![0x5A; length]);
            if expected > 0 {
                command = command.expecting(expected);
            }
            prop_assert_eq!(CommandApdu::parse(&command.to_bytes().unwrap()).unwrap(), command);
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            if let Ok(command) = CommandApdu::parse(&bytes) {
                prop_assert_eq!(CommandApdu::parse(&command.to_bytes().unwrap()).unwrap(), command);
            }
        }
    }
}
