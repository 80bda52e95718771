//! The format of a sealed row: what is burned, and what is kept beside it.
//!
//! All numbers are big-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SMGW` |
//! | 1 | version of the format: 2 |
//! | 1 + n | length of the key, key (ASCII) |
//! | 8 | sequence, see below |
//! | 32 | link, see below |
//! | 4 + n | length of the content, content (JSON) |
//! | 32 | HMAC-SHA-256 of everything before, under the device key |
//!
//! | kind | sequence | link | content |
//! |---|---|---|---|
//! | burned row | the how-manieth row that was burned, from 1 on | SHA-256 of all bytes of the row before, zeros in the first | what was burned |
//! | head | how many rows have been burned | SHA-256 of all bytes of the last row, zeros if there is none | none |
//! | counter | its value | zeros | none |
//! | intent | the how-manieth intent | zeros | what is about to be burned |
//!
//! Whatever a later version looks like, its last 32 bytes are this tag over everything before, and the
//! version is the byte behind the first four: so a row of a newer gateway is told from a damaged one.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::device_key::{DeviceKey, TAG_LENGTH};

const MAGIC: &[u8; 4] = b"SMGW";
const VERSION: u8 = 2;

/// The digest that stands for "no row".
pub(super) const NO_LINK: Link = [0; 32];

/// The SHA-256 digest of all bytes of a row.
pub(super) type Link = [u8; 32];

/// The names of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The binding, burned once.
    Binding,
    /// The tamper lock, burned once.
    Tamper,
    /// The lock that says that the card has ended its life, burned once.
    CardTerminated,
    /// How many rows have been burned, and the last one's digest.
    Head,
    /// The card's session counter, which only grows.
    CardSession,
    /// How often a pairing was tried, which only grows.
    PairingAttempt,
    /// How many of these the card has not counted, which only grows.
    PairingFailed,
    /// What is about to be burned, replaced until then.
    Intent,
}

impl Key {
    const ALL: [Self; 8] = [
        Self::Binding,
        Self::Tamper,
        Self::CardTerminated,
        Self::Head,
        Self::CardSession,
        Self::PairingAttempt,
        Self::PairingFailed,
        Self::Intent,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Tamper => "tamper",
            Self::CardTerminated => "card-terminated",
            Self::Head => "head",
            Self::CardSession => "counter/card-session",
            Self::PairingAttempt => "counter/pairing-attempt",
            Self::PairingFailed => "counter/pairing-failed",
            Self::Intent => "intent",
        }
    }

    /// Finds the key that has the name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name().as_bytes() == name)
    }

    /// Returns whether rows of this key are burned, and so have a place in the chain.
    pub(super) const fn is_burned(self) -> bool {
        match self {
            Self::Binding | Self::Tamper | Self::CardTerminated => true,
            Self::Head | Self::CardSession | Self::PairingAttempt | Self::PairingFailed | Self::Intent => {
                false
            }
        }
    }
}

/// An authentic row, with the bytes that it was read from or is written as.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) sequence: u64,
    pub(super) link: Link,
    pub(super) content: Zeroizing<Vec<u8>>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Row {
    /// The greatest length of a row in bytes; its content is a page of JSON at most.
    pub(super) const MAX_LENGTH: usize = 8_192;

    /// Seals a row.
    pub(super) fn seal(
        device: &DeviceKey,
        key: Key,
        (sequence, link): (u64, Link),
        content: &[u8],
    ) -> Result<Self, RowFault> {
        let name = key.name().as_bytes();
        let name_length = u8::try_from(name.len()).map_err(|_| RowFault::Length)?;
        let content_length = u32::try_from(content.len()).map_err(|_| RowFault::Length)?;
        // Allocated once, so that no half-written copy of the content is left behind in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::MAX_LENGTH.saturating_add(content.len())));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, name_length]);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&link);
        bytes.extend_from_slice(&content_length.to_be_bytes());
        bytes.extend_from_slice(content);
        let tag = device.tag(&bytes);
        bytes.extend_from_slice(&tag);
        if bytes.len() > Self::MAX_LENGTH {
            return Err(RowFault::Length);
        }
        Ok(Self {
            key,
            sequence,
            link,
            content: Zeroizing::new(content.to_vec()),
            bytes,
        })
    }

    /// Opens a row that stands under the given key.
    pub(super) fn open(device: &DeviceKey, key: Key, bytes: &[u8]) -> Result<Self, RowFault> {
        let (name, row) = Self::open_any(device, bytes)?;
        match row {
            Some(row) if row.key == key && name == key.name().as_bytes() => Ok(row),
            Some(_) | None => Err(RowFault::Key),
        }
    }

    /// Opens a row that says itself which one it is; `None` if its name is not known.
    pub(super) fn open_any<'a>(
        device: &DeviceKey,
        bytes: &'a [u8],
    ) -> Result<(&'a [u8], Option<Self>), RowFault> {
        let (sealed, tag) = bytes.split_last_chunk::<TAG_LENGTH>().ok_or(RowFault::Length)?;
        let rest = sealed.strip_prefix(MAGIC).ok_or(RowFault::Magic)?;
        let (&version, rest) = rest.split_first().ok_or(RowFault::Length)?;
        match (device.is_tag(sealed, tag), version) {
            (true, VERSION) => {}
            (true, found) if found > VERSION => return Err(RowFault::Newer { found }),
            (_, found) if found != VERSION => return Err(RowFault::Version { found }),
            (_, _) => return Err(RowFault::Tag),
        }
        let (&length, rest) = rest.split_first().ok_or(RowFault::Length)?;
        let (name, rest) = rest
            .split_at_checked(usize::from(length))
            .ok_or(RowFault::Length)?;
        let (sequence, rest) = rest.split_first_chunk().ok_or(RowFault::Length)?;
        let (link, rest) = rest.split_first_chunk().ok_or(RowFault::Length)?;
        let (length, content) = rest.split_first_chunk().ok_or(RowFault::Length)?;
        if usize::try_from(u32::from_be_bytes(*length)) != Ok(content.len()) {
            return Err(RowFault::Length);
        }
        let row = Key::named(name).map(|key| Self {
            key,
            sequence: u64::from_be_bytes(*sequence),
            link: *link,
            content: Zeroizing::new(content.to_vec()),
            bytes: Zeroizing::new(bytes.to_vec()),
        });
        Ok((name, row))
    }

    /// Returns the digest that the row behind it, or the head, carries.
    pub(super) fn digest(&self) -> Link {
        Sha256::digest(self.bytes.as_slice()).into()
    }
}

/// The content is left out: it may be secret.
impl fmt::Debug for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Row")
            .field("key", &self.key)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
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
    /// It is authentic, and of a version that only a newer gateway can read.
    #[error("the row has version {found}: a newer gateway wrote it")]
    Newer {
        /// The version.
        found: u8,
    },
    /// Its tag does not fit: it is damaged, or was sealed with another device key.
    #[error("the row's tag does not fit under this device key")]
    Tag,
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

    fn device() -> DeviceKey {
        DeviceKey::new([0x5a; 32])
    }

    fn row(key: Key, content: &[u8]) -> Zeroizing<Vec<u8>> {
        Row::seal(&device(), key, (2, [3; 32]), content).unwrap().bytes
    }

    #[test]
    fn row_has_a_stable_form() {
        let row = row(Key::Tamper, b"{}");
        let (head, tag) = row.split_at(row.len() - 32);
        let mut expected = b"SMGW\x02\x06tamper\x00\x00\x00\x00\x00\x00\x00\x02".to_vec();
        expected.extend_from_slice(&[3; 32]);
        expected.extend_from_slice(b"\x00\x00\x00\x02{}");
        assert_eq!(head, expected);
        // Made with Python 3.11: hmac.new(b"\x5a" * 32, expected, "sha256").hexdigest()
        assert_eq!(
            hex::encode(tag),
            "2caac91e669f0b4243169002119f4b7b1c0bb34ac24b9f56c4f2ef73fa026637"
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let row = row(Key::Binding, b"{\"a\":1}");
        assert!(Row::open(&device(), Key::Binding, &row).is_ok());
        for bit in 0..row.len() * 8 {
            let mut flipped = row.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Row::open(&device(), Key::Binding, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn row_of_another_device_is_refused() {
        let row = row(Key::Binding, b"x");
        let other = DeviceKey::new([0x5b; 32]);
        assert_eq!(Row::open(&other, Key::Binding, &row), Err(RowFault::Tag));
    }

    /// A row whose version is another, with a tag that fits.
    fn of_version(version: u8) -> Vec<u8> {
        let row = row(Key::Binding, b"x");
        let mut row = row
            .strip_suffix(row.last_chunk::<32>().unwrap())
            .unwrap()
            .to_vec();
        row[4] = version;
        let tag = device().tag(&row);
        row.extend_from_slice(&tag);
        row
    }

    #[test]
    fn faults_are_told_apart() {
        let row = row(Key::Binding, b"x");
        let fault = |bytes: &[u8]| Row::open(&device(), Key::Binding, bytes).unwrap_err();
        assert_eq!(fault(b""), RowFault::Length);
        assert_eq!(fault(&[0; 64]), RowFault::Magic);
        let mut newer = row.to_vec();
        newer[4] = 3;
        assert_eq!(fault(&newer), RowFault::Version { found: 3 });
        assert_eq!(fault(&of_version(3)), RowFault::Newer { found: 3 });
        assert_eq!(fault(&of_version(1)), RowFault::Version { found: 1 });
        assert_eq!(fault(&row[..row.len() - 1]), RowFault::Tag);
        assert_eq!(Row::open(&device(), Key::Tamper, &row), Err(RowFault::Key));
        let sealed = Row::seal(&device(), Key::Binding, (1, NO_LINK), &[0; 8_192]);
        assert_eq!(sealed, Err(RowFault::Length));
        assert_eq!(
            RowFault::Content.to_string(),
            "the row's content cannot be understood"
        );
    }

    #[test]
    fn names_lead_back_to_their_keys() {
        for key in Key::ALL {
            assert_eq!(Key::named(key.name().as_bytes()), Some(key));
        }
        assert_eq!(Key::named(b"fuse"), None);
    }

    proptest! {
        #[test]
        fn rows_round_trip(sequence: u64, link: [u8; 32], content in prop::collection::vec(any::<u8>(), 0..500)) {
            let row = Row::seal(&device(), Key::Intent, (sequence, link), &content).unwrap();
            prop_assert_eq!(&row, &Row::open(&device(), Key::Intent, &row.bytes).unwrap());
            prop_assert_eq!((row.sequence, row.link, row.content.to_vec()), (sequence, link, content));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(Row::open(&device(), Key::Binding, &bytes).is_err());
        }
    }
}
