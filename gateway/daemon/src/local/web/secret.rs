//! Secrets that are drawn and never kept: ids of sessions, tokens of forms, tokens for reading, first passwords.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::random::{self, RandomError};

/// 256 random bits; as text 64 hexadecimal digits.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<[u8; Self::LENGTH]>);

impl Secret {
    /// The length in bytes.
    pub(super) const LENGTH: usize = 32;

    /// Takes bytes, for a test.
    #[cfg(test)]
    pub(super) fn of(bytes: [u8; Self::LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Draws one.
    pub(super) fn draw() -> Result<Self, RandomError> {
        Ok(Self(Zeroizing::new(random::bytes()?)))
    }

    /// Reads what somebody claims to be one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        hex::decode_to_slice(text, bytes.as_mut_slice()).ok()?;
        Some(Self(bytes))
    }

    /// Writes it out, for the one who is to have it.
    pub(super) fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.as_slice()))
    }

    /// Returns what is kept of it: 256 random bits need no slow hash.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_slice()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// The characters of first passwords: none that is read as another one on a label. 32 of them, 5 bits each.
const CHARACTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789+";
/// The number of characters of a first password: 80 bits, and changed at the first login.
const CHARACTERS_OF_A_FIRST: usize = 16;
/// The number of characters between two hyphens.
const GROUP: usize = 4;

/// Writes a first password of random bytes, such as `abcd-efgh-jkmn-pqrs`.
pub(super) fn first_password(random: &[u8; CHARACTERS_OF_A_FIRST]) -> Zeroizing<String> {
    let mut password = Zeroizing::new(String::with_capacity(2 * CHARACTERS_OF_A_FIRST));
    for (place, byte) in random.iter().enumerate() {
        if place > 0 && place.is_multiple_of(GROUP) {
            password.push('-');
        }
        let character = CHARACTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'a');
        password.push(char::from(character));
    }
    password
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn secret_reads_back_what_it_reveals() {
        let secret = Secret::draw().unwrap();
        assert!(Secret::parse(&secret.reveal()).unwrap() == secret);
        assert!(Secret::draw().unwrap() != secret);
        for text in ["", "00", "zz"] {
            assert!(Secret::parse(text).is_none(), "{text}");
        }
        assert!(Secret::parse(&format!("{}0", *secret.reveal())).is_none());
    }

    #[test]
    fn first_passwords_have_five_bits_a_character() {
        assert_eq!(BTreeSet::from(*CHARACTERS).len(), 32);
        let password = first_password(&[0, 1, 2, 31, 32, 33, 255, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(*password, "abc+-ab+e-fghj-kmnp");
    }
}
