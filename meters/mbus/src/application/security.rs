//! Encrypted telegrams: AES-128 in mode 5 and mode 7, and the authentication layer in front of them.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, KeyInit};
use cmac::{Cmac, Mac};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::header::Header;
use super::telegram::TelegramError;

const BLOCK: usize = 16;
/// What each plain text begins with, so that a wrong key is noticed.
const CHECK: [u8; 2] = [0x2F, 0x2F];
/// The mode with an initialisation vector made of address and access number.
pub(super) const MODE_5: u8 = 5;
/// The mode with keys derived for each message.
pub(super) const MODE_7: u8 = 7;

/// The key of a meter (AES-128). It is wiped when it is dropped.
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; BLOCK]);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl Key {
    /// Takes the 16 bytes, in the order in which makers print them.
    #[must_use]
    pub const fn new(bytes: [u8; BLOCK]) -> Self {
        Self(bytes)
    }

    /// Derives the key of one message.
    ///
    /// Spec: OMS specification volume 2, issue 4.1.2, section 9.6 (key derivation function).
    fn derive(&self, purpose: Purpose, counter: [u8; 4], header: &Header) -> Self {
        const PADDING: [u8; 7] = [0x07; 7];
        let mut mac = <Cmac<Aes128> as KeyInit>::new(&self.0.into());
        mac.update(&[purpose.constant()]);
        mac.update(&counter);
        mac.update(&header.identification.digits().to_le_bytes());
        mac.update(&PADDING);
        Self(mac.finalize().into_bytes().into())
    }
}

/// What a derived key is for, with the constant of the derivation; both are of the meter's messages.
#[derive(Clone, Copy)]
enum Purpose {
    Encryption,
    Authentication,
}

impl Purpose {
    const fn constant(self) -> u8 {
        match self {
            Self::Encryption => 0x00,
            Self::Authentication => 0x01,
        }
    }
}

/// The authentication and fragmentation layer (CI `90`) in front of a telegram.
///
/// Spec: OMS specification volume 2, issue 4.1.2, section 6; EN 13757-7:2018.
#[derive(Debug, Clone, Copy)]
pub(super) struct Afl<'f> {
    /// The message control field, 0 if there is none.
    control: u8,
    counter: Option<[u8; 4]>,
    mac: &'f [u8],
    message_length: Option<[u8; 2]>,
    /// The CI field of the telegram and what follows it.
    pub(super) message: &'f [u8],
}

impl<'f> Afl<'f> {
    /// Reads the layer from what stands behind its CI field.
    ///
    /// # Errors
    ///
    /// [`TelegramError::Authentication`] if it ends early, [`TelegramError::Fragment`] if the
    /// telegram is only a part of a longer one.
    pub(super) fn parse(data: &'f [u8]) -> Result<Self, TelegramError> {
        const MORE_FRAGMENTS: u16 = 0x4000;
        const FRAGMENT: u16 = 0x00FF;
        let broken = TelegramError::Authentication;
        let (length, rest) = data.split_first().ok_or(broken)?;
        let (mut fields, message) = rest.split_at_checked((*length).into()).ok_or(broken)?;
        let mut take = |count: usize| {
            let (taken, rest) = fields.split_at_checked(count).ok_or(broken)?;
            fields = rest;
            Ok(taken)
        };
        let flags = two(take(2)?).map_or(0, u16::from_le_bytes);
        if flags & (MORE_FRAGMENTS | FRAGMENT) > 1 {
            return Err(TelegramError::Fragment);
        }
        let present = |bit: u16| flags >> bit & 1 == 1;
        let control = if present(13) { take(1)? } else { &[] };
        let control = control.first().copied().unwrap_or(0);
        if present(9) {
            take(2)?;
        }
        let counter = if present(11) {
            take(4)?.try_into().ok()
        } else {
            None
        };
        let mac = if present(10) {
            take(mac_length(control)?)?
        } else {
            &[]
        };
        let message_length = if present(12) { two(take(2)?) } else { None };
        Ok(Self {
            control,
            counter,
            mac,
            message_length,
            message,
        })
    }

    /// Checks the message authentication code, if there is one.
    fn check(&self, key: &Key, header: &Header) -> Result<(), TelegramError> {
        if self.mac.is_empty() {
            return Ok(());
        }
        let counter = self.counter.ok_or(TelegramError::Authentication)?;
        let key = key.derive(Purpose::Authentication, counter, header);
        let mut mac = <Cmac<Aes128> as KeyInit>::new(&key.0.into());
        mac.update(&[self.control]);
        mac.update(&counter);
        mac.update(self.message_length.as_ref().map_or(&[], |length| &length[..]));
        mac.update(self.message);
        let expected = mac.finalize().into_bytes();
        let expected = expected.get(..self.mac.len()).unwrap_or(&[]);
        if bool::from(expected.ct_eq(self.mac)) {
            Ok(())
        } else {
            Err(TelegramError::Authentication)
        }
    }
}

fn two(bytes: &[u8]) -> Option<[u8; 2]> {
    bytes.try_into().ok()
}

/// Returns the length of the code by the type of authentication.
const fn mac_length(control: u8) -> Result<usize, TelegramError> {
    match control & 0x0F {
        3 => Ok(2),
        4 => Ok(4),
        5 => Ok(8),
        6 => Ok(12),
        7 => Ok(16),
        _ => Err(TelegramError::Authentication),
    }
}

/// Returns how many bytes are encrypted, by the number of blocks in the configuration field.
pub(super) fn encrypted_length(header: &Header) -> usize {
    let [low, _] = header.configuration.to_le_bytes();
    usize::from(low >> 4).saturating_mul(BLOCK)
}

/// Decrypts what stands behind the header into `plain`; returns its length.
///
/// # Errors
///
/// [`TelegramError::Encrypted`] if the mode is none that is read, [`TelegramError::Authentication`]
/// or [`TelegramError::WrongKey`] if the key is not the meter's.
pub(super) fn decrypt(
    header: &Header,
    body: &[u8],
    key: &Key,
    afl: Option<&Afl<'_>>,
    plain: &mut [u8; MAX_PLAIN],
) -> Result<usize, TelegramError> {
    if let Some(afl) = afl {
        afl.check(key, header)?;
    }
    let mode = header.encryption_mode();
    match mode {
        MODE_5 => decrypt_blocks(key, vector(header), body, encrypted_length(header), plain),
        MODE_7 => {
            let (extension, body) = body.split_first().ok_or(TelegramError::Ciphertext)?;
            let key = match (extension >> 4 & 0x03, afl.and_then(|afl| afl.counter)) {
                (0, _) => key.clone(),
                (1, Some(counter)) => key.derive(Purpose::Encryption, counter, header),
                _ => return Err(TelegramError::Encrypted { mode }),
            };
            decrypt_blocks(&key, [0; BLOCK], body, encrypted_length(header), plain)
        }
        _ => Err(TelegramError::Encrypted { mode }),
    }
}

/// The most bytes behind a header: those of a frame.
pub(super) const MAX_PLAIN: usize = 256;

/// Builds the initialisation vector of mode 5.
///
/// Spec: OMS specification volume 2, issue 4.1.2, section 9.4; EN 13757-7:2018.
fn vector(header: &Header) -> [u8; BLOCK] {
    let [m0, m1] = header.manufacturer.bits().to_le_bytes();
    let [i0, i1, i2, i3] = header.identification.digits().to_le_bytes();
    let a = header.access_number;
    let (version, device_type) = (header.version, header.device_type.code());
    [
        m0,
        m1,
        i0,
        i1,
        i2,
        i3,
        version,
        device_type,
        a,
        a,
        a,
        a,
        a,
        a,
        a,
        a,
    ]
}

/// Decrypts the first bytes in CBC mode and copies the others, which are not encrypted.
fn decrypt_blocks(
    key: &Key,
    vector: [u8; BLOCK],
    body: &[u8],
    length: usize,
    plain: &mut [u8; MAX_PLAIN],
) -> Result<usize, TelegramError> {
    let (encrypted, clear) = body.split_at_checked(length).ok_or(TelegramError::Ciphertext)?;
    let target = plain.get_mut(..body.len()).ok_or(TelegramError::Ciphertext)?;
    let (decrypted, rest) = target.split_at_mut(length);
    let cipher = Aes128::new(&key.0.into());
    let mut previous = vector;
    for (place, block) in decrypted
        .chunks_exact_mut(BLOCK)
        .zip(encrypted.as_chunks::<BLOCK>().0)
    {
        let mut work = Array::from(*block);
        cipher.decrypt_block(&mut work);
        for ((place, byte), chained) in place.iter_mut().zip(work).zip(previous) {
            *place = byte ^ chained;
        }
        previous = *block;
    }
    if !decrypted.starts_with(&CHECK) {
        return Err(TelegramError::WrongKey);
    }
    rest.copy_from_slice(clear);
    Ok(body.len())
}

#[cfg(test)]
mod tests {
    use super::super::header::{DeviceType, Identification, Manufacturer, SecondaryAddress};
    use super::super::{Opener, Scratch, Telegram};
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    fn sender(identification: u32, manufacturer: u16, version: u8, device_type: u8) -> SecondaryAddress {
        SecondaryAddress {
            identification: Identification::from_digits(identification),
            manufacturer: Manufacturer::from_bits(manufacturer),
            version,
            device_type: DeviceType::from_code(device_type),
        }
    }

    fn raw_records(ci: u8, data: &[u8], opener: &Opener<'_>) -> Result<Vec<String>, TelegramError> {
        let mut scratch = Scratch::new();
        let telegram = Telegram::open_message(ci, data, opener, &mut scratch)?;
        Ok(telegram.records().map(|record| hex::encode(record.raw)).collect())
    }

    /// The gas meter of OMS volume 2, annex N (mode 5), behind its link layer.
    const GAS: &str = "2A 00 20 25 59 23 C9 5A AA 26 D1 B2 E7 49 3B 01 3E C4 A6 F6 D3 52 9B 52 0E DF F0 EA 6D EF \
                       C9 9D 6D 69 EB F3";

    fn gas_key() -> Key {
        Key::new(bytes("0102030405060708090A0B0C0D0E0F11").try_into().unwrap())
    }

    #[test]
    fn mode_5_example_of_oms_is_decrypted() {
        let key = gas_key();
        let opener = Opener {
            key: Some(&key),
            sender: Some(sender(0x1234_5678, 0x1593, 0x33, 0x03)),
            ..Opener::default()
        };
        assert_eq!(
            raw_records(0x7A, &bytes(GAS), &opener).unwrap(),
            ["0c1427048502", "046d32371f15", "02fd170000"]
        );
        // The long header carries the same address, so that nothing needs to be known from the link.
        let long = [&bytes("78 56 34 12 93 15 33 03")[..], &bytes(GAS)].concat();
        let opener = Opener {
            key: Some(&key),
            ..Opener::default()
        };
        assert_eq!(raw_records(0x72, &long, &opener).unwrap().len(), 3);
    }

    #[test]
    fn no_key_and_a_wrong_key_are_told_apart() {
        let plain = Opener::default();
        assert_eq!(
            raw_records(0x7A, &bytes(GAS), &plain),
            Err(TelegramError::Encrypted { mode: 5 })
        );
        let key = Key::new([7; 16]);
        let opener = Opener {
            key: Some(&key),
            ..Opener::default()
        };
        assert_eq!(
            raw_records(0x7A, &bytes(GAS), &opener),
            Err(TelegramError::WrongKey)
        );
        let short = &bytes(GAS)[..30];
        assert_eq!(raw_records(0x7A, short, &opener), Err(TelegramError::Ciphertext));
    }

    /// The derivation of OMS volume 2, annex N.
    #[test]
    fn derived_keys_are_those_of_oms() {
        let master = Key::new(bytes("000102030405060708090A0B0C0D0E0F").try_into().unwrap());
        let header = Header::sent_by(Some(&sender(0x1234_5678, 0x1593, 0x33, 0x03)));
        let counter = [0xB3, 0x0A, 0, 0];
        let derived = |purpose| hex::encode(master.derive(purpose, counter, &header).0);
        assert_eq!(derived(Purpose::Encryption), "eccf39d475d730b8284fdfdc1995d52f");
        assert_eq!(
            derived(Purpose::Authentication),
            "c9cd19ff5a9aad5a6bbda13bd2c4c7ad"
        );
    }

    /// Made with Python's `cryptography` by `tests/vectors/mbus/make_encrypted.py`.
    const MODE_7: &str = include_str!("../../../../tests/vectors/mbus/mode-7.hex");

    #[test]
    fn mode_7_is_authenticated_and_decrypted() {
        let key = Key::new(bytes("000102030405060708090A0B0C0D0E0F").try_into().unwrap());
        let opener = Opener {
            key: Some(&key),
            ..Opener::default()
        };
        let message = bytes(MODE_7.trim());
        assert_eq!(
            raw_records(0x90, &message, &opener).unwrap(),
            ["0c1427048502", "046d32371f15", "02fd170000"]
        );
        for place in [3, 5, 9, 20, message.len() - 1] {
            let mut altered = message.clone();
            altered[place] ^= 0x01;
            assert_eq!(
                raw_records(0x90, &altered, &opener),
                Err(TelegramError::Authentication),
                "{place}"
            );
        }
        let other = Key::new([1; 16]);
        let opener = Opener {
            key: Some(&other),
            ..Opener::default()
        };
        assert_eq!(
            raw_records(0x90, &message, &opener),
            Err(TelegramError::Authentication)
        );
        assert_eq!(
            raw_records(0x90, &message, &Opener::default()),
            Err(TelegramError::Encrypted { mode: 7 })
        );
    }

    #[test]
    fn authentication_layers_that_are_cut_or_fragments_are_refused() {
        let whole = bytes(MODE_7.trim());
        for length in 0..16 {
            assert!(Afl::parse(&whole[..length]).is_err(), "{length}");
        }
        let error = Afl::parse(&[0x02, 0x00, 0x40, 0x78]).unwrap_err();
        assert_eq!(error, TelegramError::Fragment);
        assert_eq!(mac_length(0), Err(TelegramError::Authentication));
    }
}
