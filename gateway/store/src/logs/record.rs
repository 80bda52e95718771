//! The format of an entry on disk.
//!
//! All numbers are big-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length n of the content, 1 to 16,384; 0 stands where no entry follows |
//! | 8 | sequence, from 1 on |
//! | 8 | time in seconds since 1970-01-01T00:00:00Z, signed |
//! | 1 | bit 0: the clock was trusted; bit 1: written at once with the entry before |
//! | n | content (JSON) |
//! | 32 | hash: SHA-256 of `smgw/log-entry/1`, the log's number (1), the hash before (32) and all of the above |
//! | 4 | CRC-32C (RFC 3720, B.4) of all of the above |
//!
//! The checksum tells whole entries from torn ones without knowing the entry before; the hash tells
//! whether an entry is the one that was written there.

use crc::{CRC_32_ISCSI, Crc, Table};
use model::{LogHash, LogKind, Timestamp};
use sha2::{Digest, Sha256};

/// The greatest length of an entry's content in bytes: an answer by a hundred grants.
pub(super) const MAX_CONTENT: usize = 16_384;
/// The length of what stands before the content.
const PREFIX: usize = 21;
/// The length of what stands behind the content.
const SUFFIX: usize = 36;
/// The greatest length of an entry in bytes.
pub(super) const MAX_RECORD: usize = PREFIX + MAX_CONTENT + SUFFIX;
/// The least length of an entry in bytes.
pub(super) const MIN_RECORD: usize = PREFIX + 1 + SUFFIX;

const ENTRY_DOMAIN: &[u8] = b"smgw/log-entry/1";
const GENESIS_DOMAIN: &[u8] = b"smgw/log-genesis/1/";

const CLOCK_TRUSTED: u8 = 1;
const CONTINUED: u8 = 1 << 1;

const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// When something happened, by the gateway's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What the clock showed.
    pub time: Timestamp,
    /// Whether the clock could be trusted.
    pub clock_trusted: bool,
}

/// An entry as it stands on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) sequence: u64,
    pub(super) at: Moment,
    /// Whether it was written at once with the entry before it.
    pub(super) continued: bool,
    pub(super) content: &'a [u8],
    pub(super) hash: LogHash,
    /// What the hash covers besides the hash before.
    body: &'a [u8],
}

impl Record<'_> {
    /// Returns whether the entry's hash is that of its content behind the entry with the given hash.
    pub(super) fn follows(&self, kind: LogKind, previous: LogHash) -> bool {
        hash_of(kind, previous, self.body) == self.hash
    }

    /// Returns its length on disk in bytes.
    pub(super) const fn length(&self) -> usize {
        self.body.len().saturating_add(SUFFIX)
    }
}

/// Returns the number by which entries and segments name their log.
pub(super) const fn number(kind: LogKind) -> u8 {
    match kind {
        LogKind::System => 1,
        LogKind::Consumer => 2,
        LogKind::Calibration => 3,
    }
}

/// Returns the hash that stands before the first entry: SHA-256 of `smgw/log-genesis/1/NAME`.
pub(super) fn genesis(kind: LogKind) -> LogHash {
    let digest = Sha256::new_with_prefix(GENESIS_DOMAIN).chain_update(kind.name());
    LogHash::new(digest.finalize().into())
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// What an entry is to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) sequence: u64,
    pub(super) at: Moment,
    pub(super) continued: bool,
    pub(super) content: &'a [u8],
}

/// Writes an entry behind the one with the given hash; `None` if the content is empty or too long.
pub(super) fn encode(kind: LogKind, previous: LogHash, draft: &Draft<'_>) -> Option<(Vec<u8>, LogHash)> {
    let length = u32::try_from(draft.content.len()).ok()?;
    if draft.content.is_empty() || draft.content.len() > MAX_CONTENT {
        return None;
    }
    let trusted = if draft.at.clock_trusted { CLOCK_TRUSTED } else { 0 };
    let continued = if draft.continued { CONTINUED } else { 0 };
    let mut bytes = Vec::with_capacity(MIN_RECORD.saturating_add(draft.content.len()));
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&draft.sequence.to_be_bytes());
    bytes.extend_from_slice(&draft.at.time.unix_seconds().to_be_bytes());
    bytes.push(trusted | continued);
    bytes.extend_from_slice(draft.content);
    let hash = hash_of(kind, previous, &bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.extend_from_slice(&checksum(&bytes).to_be_bytes());
    Some((bytes, hash))
}

/// Reads the entry at the beginning of the bytes; `None` if there is no whole one.
pub(super) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length == 0 || length > MAX_CONTENT {
        return None;
    }
    let (sequence, rest) = rest.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let (flags, rest) = rest.split_first()?;
    let (content, rest) = rest.split_at_checked(length)?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (crc, _) = rest.split_first_chunk()?;
    let body = bytes.get(..PREFIX.checked_add(length)?)?;
    let covered = bytes.get(..body.len().checked_add(hash.len())?)?;
    if checksum(covered) != u32::from_be_bytes(*crc) || flags & !(CLOCK_TRUSTED | CONTINUED) != 0 {
        return None;
    }
    Some(Record {
        sequence: u64::from_be_bytes(*sequence),
        at: Moment {
            time: Timestamp::from_unix_seconds(i64::from_be_bytes(*time)).ok()?,
            clock_trusted: flags & CLOCK_TRUSTED != 0,
        },
        continued: flags & CONTINUED != 0,
        content,
        hash: LogHash::new(*hash),
        body,
    })
}

/// Reads the sequence that stands in an entry's place, without looking at the rest.
pub(super) fn peek_sequence(bytes: &[u8]) -> Option<u64> {
    let (_, rest) = bytes.split_first_chunk::<4>()?;
    rest.first_chunk().map(|sequence| u64::from_be_bytes(*sequence))
}

fn hash_of(kind: LogKind, previous: LogHash, body: &[u8]) -> LogHash {
    let digest = Sha256::new_with_prefix(ENTRY_DOMAIN)
        .chain_update([number(kind)])
        .chain_update(previous.as_bytes())
        .chain_update(body);
    LogHash::new(digest.finalize().into())
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a wrong sum fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draft(content: &[u8], seconds: i64) -> Draft<'_> {
        Draft {
            sequence: 7,
            at: Moment {
                time: Timestamp::from_unix_seconds(seconds).unwrap(),
                clock_trusted: true,
            },
            continued: true,
            content,
        }
    }

    #[test]
    fn empty_and_long_contents_are_no_entries() {
        let previous = genesis(LogKind::System);
        assert!(encode(LogKind::System, previous, &draft(b"", 0)).is_none());
        assert!(encode(LogKind::System, previous, &draft(&[b'a'; MAX_CONTENT + 1], 0)).is_none());
        let longest = encode(LogKind::System, previous, &draft(&[b'a'; MAX_CONTENT], 0)).unwrap();
        assert_eq!(longest.0.len(), MAX_RECORD);
    }

    #[test]
    fn entry_belongs_to_one_log_and_place() {
        let previous = genesis(LogKind::System);
        let (bytes, hash) = encode(LogKind::System, previous, &draft(b"{}", 0)).unwrap();
        let record = decode(&bytes).unwrap();
        assert_eq!((record.hash, record.length()), (hash, bytes.len()));
        assert!(record.follows(LogKind::System, previous));
        assert!(!record.follows(LogKind::Consumer, previous));
        assert!(!record.follows(LogKind::System, hash));
    }

    proptest! {
        #[test]
        fn any_entry_reads_back(content in proptest::collection::vec(any::<u8>(), 1..200), seconds in -9_000_000_000i64..90_000_000_000) {
            let draft = draft(&content, seconds);
            let (bytes, hash) = encode(LogKind::Consumer, genesis(LogKind::Consumer), &draft).unwrap();
            let record = decode(&bytes).unwrap();
            prop_assert_eq!((record.sequence, record.at, record.content, record.hash), (7, draft.at, &content[..], hash));
            prop_assert!(record.continued);
            prop_assert_eq!(peek_sequence(&bytes), Some(7));
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).is_none());
        }
    }
}
