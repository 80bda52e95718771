//! Secure messaging: commands and answers under keys that both ends have agreed.
//!
//! AES-128 in CBC mode for confidentiality, CMAC (8 bytes) for authenticity, and a send sequence
//! counter of 128 bits that grows before every command and every answer. Any error ends the
//! channel: the methods consume it and give it back only when all is well.
//!
//! Spec: ISO/IEC 7816-4:2020, section 10; BSI TR-03110-3, annex F (AES).

use std::fmt;

use aes::Aes128;
use aes::cipher::block_padding::Iso7816;
use aes::cipher::{Block, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use cmac::{Cmac, Mac};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::tlv::{self, Tlv};
use crate::{CommandApdu, Header, ResponseApdu, StatusWord};

/// The bits of CLA that say "secure messaging, header authenticated".
const PROTECTED: u8 = 0x0C;
/// The classes of the card's commands with these bits. The others that have them are of logical channels,
/// which the card does not have, or none at all.
const PROTECTED_CLASSES: [u8; 2] = [PROTECTED, 0x80 | PROTECTED];
const BLOCK: usize = 16;
/// Length of the checksum in data object 8E.
const CHECKSUM: usize = 8;
/// The padding-content indicator of data object 87: padded after ISO 7816-4.
const PADDED: u8 = 0x01;

const CRYPTOGRAM: u16 = 0x87;
const EXPECTED_LENGTH: u16 = 0x97;
const STATUS: u16 = 0x99;
const MAC: u16 = 0x8E;

/// One end of a protected channel. Its keys are wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Channel {
    encryption: [u8; 16],
    authentication: [u8; 16],
    counter: u128,
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Channel")
    }
}

impl Channel {
    /// Derives the channel's keys from a shared secret and the nonce of the card.
    ///
    /// Spec: BSI TR-03110-3, section A.2.3 (key derivation function, AES-128 with SHA-1).
    #[must_use]
    pub fn new(secret: &[u8], nonce: &[u8]) -> Self {
        Self {
            encryption: derive(secret, nonce, 1),
            authentication: derive(secret, nonce, 2),
            counter: 0,
        }
    }

    /// Returns the token by which the card proves that it derived the same keys: a checksum over
    /// the peer's ephemeral key.
    ///
    /// Spec: BSI TR-03110-3, section A.2.4 (authentication token).
    #[must_use]
    pub fn token(&self, data: &[u8]) -> [u8; CHECKSUM] {
        self.mac(data)
    }

    /// Protects a command.
    ///
    /// # Errors
    ///
    /// [`SmError::Length`] if the protected command does not fit an APDU.
    pub fn wrap_command(mut self, command: &CommandApdu) -> Result<(Self, CommandApdu), SmError> {
        self.advance()?;
        let mut header = command.header();
        header.cla |= PROTECTED;
        let mut objects = Vec::new();
        if !command.data().is_empty() {
            self.push_cryptogram(&mut objects, command.data())?;
        }
        if let Some(expected) = command.expected() {
            let expected = expected_bytes(expected);
            tlv::push(&mut objects, EXPECTED_LENGTH, &expected).map_err(|_| SmError::Length)?;
        }
        let checksum = self.checksum_of(Some(header), &objects);
        tlv::push(&mut objects, MAC, &checksum).map_err(|_| SmError::Length)?;
        Ok((self, CommandApdu::new(header, objects).expecting(65_536)))
    }

    /// Checks and opens a protected command.
    ///
    /// # Errors
    ///
    /// [`SmError`] says which data object is missing or wrong.
    pub fn unwrap_command(mut self, command: &CommandApdu) -> Result<(Self, CommandApdu), SmError> {
        self.advance()?;
        let header = command.header();
        if !is_protected(header) {
            return Err(SmError::ObjectMissing);
        }
        let objects = Objects::parse(command.data())?;
        if objects.status.is_some() {
            return Err(SmError::ObjectWrong);
        }
        self.verify(Some(header), &objects)?;
        let data = self.open_cryptogram(objects.cryptogram)?;
        let plain = Header {
            cla: header.cla & !PROTECTED,
            ..header
        };
        let mut plain = CommandApdu::new(plain, data.to_vec());
        if let Some(expected) = objects.expected {
            plain = plain.expecting(expected_length(expected).ok_or(SmError::ObjectWrong)?);
        }
        Ok((self, plain))
    }

    /// Protects an answer and returns the data of the protected one.
    ///
    /// # Errors
    ///
    /// [`SmError::Length`] if the protected answer does not fit an APDU.
    pub fn wrap_response(mut self, response: &ResponseApdu) -> Result<(Self, Vec<u8>), SmError> {
        self.advance()?;
        let mut objects = Vec::new();
        if !response.data().is_empty() {
            self.push_cryptogram(&mut objects, response.data())?;
        }
        let status = response.status().to_bytes();
        tlv::push(&mut objects, STATUS, &status).map_err(|_| SmError::Length)?;
        let checksum = self.checksum_of(None, &objects);
        tlv::push(&mut objects, MAC, &checksum).map_err(|_| SmError::Length)?;
        Ok((self, objects))
    }

    /// Checks and opens the data of a protected answer.
    ///
    /// # Errors
    ///
    /// [`SmError`] says which data object is missing or wrong.
    pub fn unwrap_response(mut self, bytes: &[u8]) -> Result<(Self, ResponseApdu), SmError> {
        self.advance()?;
        let objects = Objects::parse(bytes)?;
        if objects.expected.is_some() {
            return Err(SmError::ObjectWrong);
        }
        self.verify(None, &objects)?;
        let status: [u8; 2] = objects
            .status
            .ok_or(SmError::ObjectMissing)?
            .try_into()
            .map_err(|_| SmError::ObjectWrong)?;
        let data = self.open_cryptogram(objects.cryptogram)?;
        let bytes = Zeroizing::new([&data[..], &status].concat());
        let response = ResponseApdu::parse(&bytes).map_err(|_| SmError::Length)?;
        Ok((self, response))
    }

    /// Counts past a message of the other direction, for an end that sends several commands
    /// before it reads the first answer.
    ///
    /// # Errors
    ///
    /// [`SmError::Length`] if the counter is used up.
    pub fn skip(mut self) -> Result<Self, SmError> {
        self.advance()?;
        Ok(self)
    }

    /// Counts on; the counter would need 2^128 messages to wrap.
    fn advance(&mut self) -> Result<(), SmError> {
        self.counter = self.counter.checked_add(1).ok_or(SmError::Length)?;
        Ok(())
    }

    fn push_cryptogram(&self, objects: &mut Vec<u8>, data: &[u8]) -> Result<(), SmError> {
        let encryptor = cbc::Encryptor::<Aes128>::new(&self.encryption.into(), &self.vector());
        let mut value = vec![PADDED];
        value.extend(encryptor.encrypt_padded_vec::<Iso7816>(data));
        tlv::push(objects, CRYPTOGRAM, &value).map_err(|_| SmError::Length)
    }

    fn open_cryptogram(&self, value: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, SmError> {
        let Some(value) = value else {
            return Ok(Zeroizing::new(Vec::new()));
        };
        let [PADDED, ciphertext @ ..] = value else {
            return Err(SmError::ObjectWrong);
        };
        let decryptor = cbc::Decryptor::<Aes128>::new(&self.encryption.into(), &self.vector());
        let data = decryptor
            .decrypt_padded_vec::<Iso7816>(ciphertext)
            .map_err(|_| SmError::ObjectWrong)?;
        Ok(Zeroizing::new(data))
    }

    /// The initialisation vector is the encrypted send sequence counter.
    fn vector(&self) -> Block<Aes128> {
        let mut block = self.counter.to_be_bytes().into();
        Aes128::new(&self.encryption.into()).encrypt_block(&mut block);
        block
    }

    /// Computes the checksum over the counter, the header of a command and the data objects.
    fn checksum_of(&self, header: Option<Header>, objects: &[u8]) -> [u8; CHECKSUM] {
        let mut input = self.counter.to_be_bytes().to_vec();
        if let Some(header) = header {
            input.extend(padded(&header.to_bytes()));
        }
        if !objects.is_empty() {
            input.extend(padded(objects));
        }
        self.mac(&input)
    }

    fn mac(&self, input: &[u8]) -> [u8; CHECKSUM] {
        let mut mac = <Cmac<Aes128> as KeyInit>::new(&self.authentication.into());
        mac.update(input);
        let mut checksum = [0; CHECKSUM];
        for (byte, value) in checksum.iter_mut().zip(mac.finalize().into_bytes()) {
            *byte = value;
        }
        checksum
    }

    fn verify(&self, header: Option<Header>, objects: &Objects<'_>) -> Result<(), SmError> {
        let expected = self.checksum_of(header, objects.authenticated);
        if bool::from(expected.as_slice().ct_eq(objects.mac)) {
            Ok(())
        } else {
            Err(SmError::ObjectWrong)
        }
    }
}

/// Returns whether a command says that it is protected.
pub(crate) fn is_protected(header: Header) -> bool {
    PROTECTED_CLASSES.contains(&header.cla)
}

/// Derives a key of 16 bytes; the purpose is 1 for encryption, 2 for authentication, 3 for the nonce
/// of PACE.
///
/// Spec: BSI TR-03110-3, section A.2.3; ICAO Doc 9303-11, section 9.7.1.
pub(crate) fn derive(secret: &[u8], nonce: &[u8], purpose: u32) -> [u8; 16] {
    let mut hash = Sha1::new();
    hash.update(secret);
    hash.update(nonce);
    hash.update(purpose.to_be_bytes());
    let mut digest: [u8; 20] = hash.finalize().into();
    let mut key = [0; 16];
    for (byte, value) in key.iter_mut().zip(digest) {
        *byte = value;
    }
    digest.zeroize();
    key
}

/// Appends 80 and as many zeros as fill the last block.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    padded
}

/// Writes Ne as Le in as few bytes as it needs.
fn expected_bytes(expected: usize) -> Vec<u8> {
    match u8::try_from(expected) {
        Ok(short) => vec![short],
        Err(_) if expected == 256 => vec![0],
        Err(_) => u16::try_from(expected).unwrap_or(0).to_be_bytes().to_vec(),
    }
}

fn expected_length(le: &[u8]) -> Option<usize> {
    match le {
        [0] => Some(256),
        [le] => Some(usize::from(*le)),
        [0, 0] => Some(65_536),
        [high, low] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// The data objects of a protected message, in the only order that is accepted.
struct Objects<'a> {
    cryptogram: Option<&'a [u8]>,
    expected: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    mac: &'a [u8],
    /// Everything before the checksum.
    authenticated: &'a [u8],
}

impl<'a> Objects<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, SmError> {
        let mut values = [None; 4];
        let mut slots = [CRYPTOGRAM, EXPECTED_LENGTH, STATUS, MAC]
            .into_iter()
            .zip(values.iter_mut());
        for object in tlv::Reader::new(bytes) {
            let Tlv { tag, value } = object.map_err(|_| SmError::ObjectWrong)?;
            // Taking the slots in order refuses objects twice or out of order.
            let (_, slot) = slots
                .find(|(expected, _)| *expected == tag)
                .ok_or(SmError::ObjectWrong)?;
            *slot = Some(value);
        }
        let [cryptogram, expected, status, mac] = values;
        let mac = mac.ok_or(SmError::ObjectMissing)?;
        let checksum_object = mac.len().checked_add(2).ok_or(SmError::Length)?;
        let authenticated = bytes
            .len()
            .checked_sub(checksum_object)
            .ok_or(SmError::ObjectWrong)?;
        if mac.len() != CHECKSUM {
            return Err(SmError::ObjectWrong);
        }
        Ok(Self {
            cryptogram,
            expected,
            status,
            mac,
            authenticated: bytes.get(..authenticated).ok_or(SmError::ObjectWrong)?,
        })
    }
}

/// The reason why a protected message is refused; the channel is gone with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SmError {
    /// A data object is missing.
    #[error("a data object of secure messaging is missing")]
    ObjectMissing,
    /// A data object is malformed, out of order, or its checksum does not fit.
    #[error("a data object of secure messaging is wrong")]
    ObjectWrong,
    /// The message does not fit an APDU.
    #[error("the protected message does not fit an APDU")]
    Length,
}

impl SmError {
    pub(crate) const fn status(self) -> StatusWord {
        match self {
            Self::ObjectMissing => StatusWord::SM_OBJECT_MISSING,
            Self::ObjectWrong => StatusWord::SM_OBJECT_WRONG,
            Self::Length => StatusWord::WRONG_LENGTH,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header = Header::new([0x00, 0xD6, 0x00, 0x00]);

    fn channel() -> Channel {
        Channel::new(&[0x42; 32], &[1, 2, 3, 4, 5, 6, 7, 8])
    }

    /// ICAO Doc 9303-11, appendix G.1: the shared secret of the PACE example and its keys.
    #[test]
    fn keys_are_derived_as_in_the_published_example() {
        let secret = hex::decode("28768d20701247dae81804c9e780ede582a9996db4a315020b2733197db84925").unwrap();
        assert_eq!(
            hex::encode(derive(&secret, &[], 1)),
            "f5f0e35c0d7161ee6724ee513a0d9a7f"
        );
        assert_eq!(
            hex::encode(derive(&secret, &[], 2)),
            "fe251c7858b356b24514b3bd5f4297d1"
        );
    }

    #[test]
    fn commands_and_answers_pass_in_turn() {
        let (mut gateway, mut card) = (channel(), channel());
        for round in 0..3u8 {
            let command = CommandApdu::new(HEADER, vec![round; 40]).expecting(256);
            let (sender, wrapped) = gateway.wrap_command(&command).unwrap();
            let (receiver, opened) = card.unwrap_command(&wrapped).unwrap();
            assert_eq!(opened, command);
            let answer = ResponseApdu::ok(vec![round; 16]);
            let (receiver, wrapped) = receiver.wrap_response(&answer).unwrap();
            let (sender, opened) = sender.unwrap_response(&wrapped).unwrap();
            assert_eq!(opened, answer);
            (gateway, card) = (sender, receiver);
        }
    }

    #[test]
    fn replayed_and_reordered_commands_are_refused() {
        let command = CommandApdu::new(HEADER, vec![1]);
        let (sender, first) = channel().wrap_command(&command).unwrap();
        let (_, second) = sender.wrap_command(&command).unwrap();
        let refused = channel().unwrap_command(&second).map(|_| ());
        assert_eq!(refused, Err(SmError::ObjectWrong));
        let (card, _) = channel().unwrap_command(&first).unwrap();
        assert_eq!(card.unwrap_command(&first).map(|_| ()), Err(SmError::ObjectWrong));
    }

    #[test]
    fn missing_and_unprotected_objects_are_named() {
        let plain = CommandApdu::new(HEADER, vec![]);
        assert_eq!(
            channel().unwrap_command(&plain).map(|_| ()),
            Err(SmError::ObjectMissing)
        );
        let header = Header::new([0x0C, 0xD6, 0, 0]);
        let bare = CommandApdu::new(header, vec![]);
        assert_eq!(
            channel().unwrap_command(&bare).map(|_| ()),
            Err(SmError::ObjectMissing)
        );
        assert_eq!(
            channel().unwrap_response(&[]).map(|_| ()),
            Err(SmError::ObjectMissing)
        );
    }

    #[test]
    fn a_message_too_long_for_an_apdu_is_refused() {
        let command = CommandApdu::new(HEADER, vec![0; 65_535]);
        assert_eq!(channel().wrap_command(&command).map(|_| ()), Err(SmError::Length));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_never_accepted(data: Vec<u8>, position: prop::sample::Index, bit in 0u8..8) {
            let command = CommandApdu::new(HEADER, data);
            let (_, wrapped) = channel().wrap_command(&command).unwrap();
            let mut objects = wrapped.data().to_vec();
            let position = position.index(objects.len());
            objects[position] ^= 1 << bit;
            let forged = CommandApdu::new(wrapped.header(), objects);
            prop_assert!(channel().unwrap_command(&forged).is_err());
        }

        #[test]
        fn any_bytes_are_opened_or_refused(bytes: Vec<u8>) {
            let command = CommandApdu::new(Header::new([0x0C, 0xD6, 0, 0]), bytes.clone());
            prop_assert!(channel().unwrap_command(&command).is_err());
            prop_assert!(channel().unwrap_response(&bytes).is_err());
        }
    }
}
