//! The format of a row: what is burned, and the intent to burn.
//!
//! All numbers are big-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SMGW` |
//! | 1 | version of the format: 1 |
//! | 1 + n | length of the key, key (ASCII) |
//! | 8 | sequence: the how-manieth row that was burned, or the how-manieth intent, from 1 on |
//! | 4 + n | length of the content, content (JSON) |
//! | 32 | SHA-256 of everything before |
//!
//! The checksum notices damage. It holds off nobody who can write to the flash; that takes a key
//! of the device, with which a later version of the format can authenticate.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const MAGIC: &[u8; 4] = b"SMGW";
const VERSION: u8 = 1;
const DIGEST_LENGTH: usize = 32;

/// The names of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The binding, burned once.
    Binding,
    /// The tamper lock, burned once.
    Tamper,
    /// What is about to be burned; a file, replaced until the binding is burned.
    Intent,
}

impl Key {
    /// The keys that are burned.
    pub(crate) const BURNED: [Self; 2] = [Self::Binding, Self::Tamper];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Tamper => "tamper",
            Self::Intent => "intent",
        }
    }
}

/// A row that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) sequence: u64,
    pub(crate) content: Zeroizing<Vec<u8>>,
}

impl Row {
    /// The greatest length of a row in bytes; its content is a page of JSON at most.
    pub(crate) const MAX_LENGTH: u64 = 8_192;

    /// Writes a row.
    pub(crate) fn encode(key: Key, sequence: u64, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, RowFault> {
        let key = key.name().as_bytes();
        let key_length = u8::try_from(key.len()).map_err(|_| RowFault::Length)?;
        let content_length = u32::try_from(content.len()).map_err(|_| RowFault::Length)?;
        let mut row = Zeroizing::new(Vec::new());
        row.extend_from_slice(MAGIC);
        row.extend_from_slice(&[VERSION, key_length]);
        row.extend_from_slice(key);
        row.extend_from_slice(&sequence.to_be_bytes());
        row.extend_from_slice(&content_length.to_be_bytes());
        row.extend_from_slice(content);
        let digest = Sha256::digest(row.as_slice());
        row.extend_from_slice(&digest);
        let fits = u64::try_from(row.len()).is_ok_and(|length| length <= Self::MAX_LENGTH);
        if fits { Ok(row) } else { Err(RowFault::Length) }
    }

    /// Reads a row that must have the given key.
    pub(crate) fn decode(key: Key, row: &[u8]) -> Result<Self, RowFault> {
        let (signed, digest) = row.split_last_chunk::<DIGEST_LENGTH>().ok_or(RowFault::Length)?;
        let rest = signed.strip_prefix(MAGIC).ok_or(RowFault::Magic)?;
        let (&version, rest) = rest.split_first().ok_or(RowFault::Length)?;
        if version != VERSION {
            return Err(RowFault::Version { found: version });
        }
        if Sha256::digest(signed).as_slice() != digest {
            return Err(RowFault::Checksum);
        }
        let (&length, rest) = rest.split_first().ok_or(RowFault::Length)?;
        let (found, rest) = rest
            .split_at_checked(usize::from(length))
            .ok_or(RowFault::Length)?;
        if found != key.name().as_bytes() {
            return Err(RowFault::Key);
        }
        let (sequence, rest) = rest.split_first_chunk().ok_or(RowFault::Length)?;
        let (length, content) = rest.split_first_chunk().ok_or(RowFault::Length)?;
        if usize::try_from(u32::from_be_bytes(*length)) != Ok(content.len()) {
            return Err(RowFault::Length);
        }
        Ok(Self {
            sequence: u64::from_be_bytes(*sequence),
            content: Zeroizing::new(content.to_vec()),
        })
    }
}

/// What is wrong with a stored row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// It is shorter or longer than its own lengths say.
    #[error("the row is cut off or overlong")]
    Length,
    /// It does not begin like a row.
    #[error("the bytes are no row")]
    Magic,
    /// It is of a version that this gateway cannot read.
    #[error("the row has version {found}, which this gateway cannot read")]
    Version {
        /// The version.
        found: u8,
    },
    /// Its checksum does not fit.
    #[error("the row's checksum does not fit")]
    Checksum,
    /// It belongs to another key.
    #[error("the row stands under a key that is not its own")]
    Key,
    /// Its content is not what belongs under its key.
    #[error("the row's content cannot be understood")]
    Content,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn row_has_a_stable_form() {
        let row = Row::encode(Key::Tamper, 2, b"{}").unwrap();
        let (head, digest) = row.split_at(row.len() - 32);
        assert_eq!(
            head,
            b"SMGW\x01\x06tamper\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x02{}"
        );
        // Made with: printf 'SMGW\x01\x06tamper\0\0\0\0\0\0\0\x02\0\0\0\x02{}' | sha256sum
        assert_eq!(
            hex::encode(digest),
            "b193d067507727a688fb049f1220fb7efc6e330195e85989818105d250bbb077"
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let row = Row::encode(Key::Binding, 1, b"{\"a\":1}").unwrap();
        assert!(Row::decode(Key::Binding, &row).is_ok());
        for bit in 0..row.len() * 8 {
            let mut flipped = row.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Row::decode(Key::Binding, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn faults_are_told_apart() {
        let row = Row::encode(Key::Binding, 1, b"x").unwrap();
        let fault = |bytes: &[u8]| Row::decode(Key::Binding, bytes).unwrap_err();
        assert_eq!(fault(b""), RowFault::Length);
        assert_eq!(fault(&[0; 64]), RowFault::Magic);
        let mut newer = row.to_vec();
        newer[4] = 2;
        assert_eq!(fault(&newer), RowFault::Version { found: 2 });
        assert_eq!(fault(&row[..row.len() - 1]), RowFault::Checksum);
        assert_eq!(Row::decode(Key::Tamper, &row), Err(RowFault::Key));
        assert_eq!(Row::encode(Key::Binding, 1, &[0; 8_192]), Err(RowFault::Length));
        assert_eq!(
            RowFault::Content.to_string(),
            "the row's content cannot be understood"
        );
    }

    proptest! {
        #[test]
        fn rows_round_trip(sequence: u64, content in prop::collection::vec(any::<u8>(), 0..500)) {
            let row = Row::encode(Key::Intent, sequence, &content).unwrap();
            let read = Row::decode(Key::Intent, &row).unwrap();
            prop_assert_eq!((read.sequence, read.content.to_vec()), (sequence, content));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(Row::decode(Key::Binding, &bytes).is_err());
        }
    }
}
