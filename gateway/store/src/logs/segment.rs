//! Segments: the files that the entries of a log stand in.
//!
//! A segment is a file of 64 KiB from its beginning, filled with zeros and on the disk before the
//! first entry comes, so that an entry later costs one write in place and no change of the file's
//! size. Its name is the sequence of its first entry in 20 digits, with `.seg` behind.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `SMGWLOG1` |
//! | 1 | number of the log: 1 system, 2 consumer, 3 calibration |
//! | 8 | sequence of the first entry, big-endian |
//! | 32 | base: hash of the entry before that |
//! | 4 | CRC-32C of the above, big-endian |
//! | … | entries, then zeros |
//!
//! A newer version has another digit at the end of its magic number, and a header of the same length with its checksum
//! in the same place: so a flipped bit is damage and no newer version.

use std::path::{Path, PathBuf};

use model::{LogHash, LogKind};

use super::record::{self, MIN_RECORD, Record};
use crate::files::{self, FileError};

/// The length of a segment in bytes: it is written twice, once as zeros, and is what a log is shortened by.
pub(super) const SEGMENT_BYTES: usize = 65_536;
/// The length of a segment's header in bytes.
pub(super) const HEADER_BYTES: usize = 53;

const ZEROS: &[u8] = &[0; SEGMENT_BYTES];
const MAGIC: &[u8; 8] = b"SMGWLOG1";
const SUFFIX: &str = ".seg";
const NAME_DIGITS: usize = 20;

/// The most entries that one segment can have, at 58 bytes each; no sequence in it is farther from its neighbours.
const MAX_ENTRIES: u64 = 1_129;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: u64,
    pub(super) base: LogHash,
}

/// What is in a segment, as far as it can be read.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// The header, if it is whole and of this log.
    pub(super) header: Option<Header>,
    /// The entries up to the end, or up to what is no entry.
    pub(super) records: Vec<Record<'a>>,
    /// The offset behind them.
    pub(super) offset: usize,
    /// What stands behind them.
    pub(super) rest: Rest<'a>,
}

/// What stands behind the last entry that can be read.
#[derive(Debug)]
pub(super) enum Rest<'a> {
    /// Zeros.
    Empty,
    /// An entry, or several that were written at once, of which not everything is there.
    Torn,
    /// Something damaged, and behind it entries of later writes: what was damaged had been acknowledged.
    Damaged(Vec<Record<'a>>),
}

impl<'a> Content<'a> {
    /// Returns every whole entry, those behind damage too.
    pub(super) fn whole(&self) -> impl Iterator<Item = &Record<'a>> {
        let behind: &[Record<'a>] = match &self.rest {
            Rest::Damaged(records) => records,
            Rest::Empty | Rest::Torn => &[],
        };
        self.records.iter().chain(behind)
    }
}

/// Returns a new segment, with room for entries.
pub(super) fn create(kind: LogKind, header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEGMENT_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.push(record::number(kind));
    bytes.extend_from_slice(&header.first.to_be_bytes());
    bytes.extend_from_slice(header.base.as_bytes());
    bytes.extend_from_slice(&record::checksum(&bytes).to_be_bytes());
    bytes.resize(SEGMENT_BYTES, 0);
    bytes
}

/// Reads the bytes of a segment. They may be damaged in every way.
pub(super) fn read(kind: LogKind, bytes: &[u8]) -> Content<'_> {
    let header = read_header(kind, bytes);
    let mut records = Vec::new();
    let mut offset = HEADER_BYTES;
    while let Some(record) = bytes.get(offset..).and_then(record::decode) {
        offset = offset.saturating_add(record.length());
        records.push(record);
    }
    let rest = bytes.get(offset..).unwrap_or_default();
    let last = records.last().map(|record| record.sequence);
    let last = last.or_else(|| header.map(|header| header.first.saturating_sub(1)));
    let rest = if ZEROS.starts_with(rest) {
        Rest::Empty
    } else {
        let salvaged = salvage(rest, last);
        if salvaged.iter().all(|record| record.continued) {
            Rest::Torn
        } else {
            Rest::Damaged(salvaged)
        }
    };
    Content {
        header,
        records,
        offset,
        rest,
    }
}

/// Finds the whole entries in bytes that do not begin with one.
fn salvage(bytes: &[u8], last: Option<u64>) -> Vec<Record<'_>> {
    let mut found: Vec<Record<'_>> = Vec::new();
    let bytes = without_zeros(bytes);
    let mut last = last;
    let mut offset = 0usize;
    while let Some(rest) = bytes.get(offset..).filter(|rest| rest.len() >= MIN_RECORD) {
        let near = record::peek_sequence(rest).is_some_and(|sequence| {
            last.is_none_or(|last| sequence > last && sequence <= last.saturating_add(MAX_ENTRIES))
        });
        let step = match record::decode(rest).filter(|_| near) {
            Some(record) => {
                last = Some(record.sequence);
                found.push(record);
                record.length()
            }
            None => 1,
        };
        offset = offset.saturating_add(step);
    }
    found
}

/// Leaves out the blocks of zeros at the end, but for one, since an entry may end in zeros.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    const BLOCK: usize = 512;
    let is_zero = |block: &[u8]| ZEROS.starts_with(block);
    let used = bytes.chunks(BLOCK).rposition(|block| !is_zero(block));
    let blocks = used.map_or(0, |last| last.saturating_add(2));
    bytes.get(..blocks.saturating_mul(BLOCK)).unwrap_or(bytes)
}

fn read_header(kind: LogKind, bytes: &[u8]) -> Option<Header> {
    let covered = sound_header(bytes)?;
    let (magic, rest) = covered.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first()?;
    let (first, base) = rest.split_first_chunk()?;
    let is_ours = magic == MAGIC && *number == record::number(kind);
    let header = Header {
        first: u64::from_be_bytes(*first),
        base: LogHash::new(base.try_into().ok()?),
    };
    (is_ours && header.first > 0).then_some(header)
}

/// Returns what the checksum of a header covers, if it is the checksum of it.
fn sound_header(bytes: &[u8]) -> Option<&[u8]> {
    let (covered, rest) = bytes.split_at_checked(HEADER_BYTES.checked_sub(4)?)?;
    let (crc, _) = rest.split_first_chunk()?;
    (record::checksum(covered) == u32::from_be_bytes(*crc)).then_some(covered)
}

/// Returns the version in a segment's magic number if it is ours and from a newer gateway, and the header is sound.
pub(super) fn newer_version(bytes: &[u8]) -> Option<char> {
    let covered = sound_header(bytes)?;
    let (magic, _) = covered.split_first_chunk::<8>()?;
    let (version, name) = magic.split_last()?;
    let known = MAGIC.last()?;
    (name == b"SMGWLOG" && version.is_ascii_alphanumeric() && version > known).then_some(char::from(*version))
}

/// Returns the name of the segment that begins with the entry.
pub(super) fn name(first: u64) -> String {
    format!("{first:0NAME_DIGITS$}{SUFFIX}")
}

/// Returns the first sequences of the segments in a folder, ascending; none if there is no folder.
pub(super) fn list(folder: &Path) -> Result<Vec<u64>, FileError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut firsts: Vec<u64> = files::entries(folder)?
        .iter()
        .filter_map(|path| first_of(path))
        .collect();
    firsts.sort_unstable();
    Ok(firsts)
}

fn first_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let plain = digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// Returns the bytes of a segment, at most one more than it can have.
pub(super) fn load(folder: &Path, first: u64) -> Result<Vec<u8>, FileError> {
    let limit = u64::try_from(SEGMENT_BYTES).unwrap_or(u64::MAX);
    Ok(files::read(&path(folder, first), limit)?.unwrap_or_default())
}

pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(name(first))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a wrong sum fails the test")]
mod tests {
    use model::Timestamp;

    use super::super::record::{Draft, Moment, encode, genesis};
    use super::*;

    const KIND: LogKind = LogKind::Consumer;

    /// A segment with entries of one byte each, and where each of them ends.
    fn filled(continued: &[bool]) -> (Vec<u8>, Vec<usize>) {
        let mut previous = genesis(KIND);
        let header = Header {
            first: 1,
            base: previous,
        };
        let mut bytes = create(KIND, &header);
        let mut ends = vec![HEADER_BYTES];
        for (sequence, continued) in (1..).zip(continued) {
            let draft = Draft {
                sequence,
                at: Moment {
                    time: Timestamp::EPOCH,
                    clock_trusted: false,
                },
                continued: *continued,
                content: b"1",
            };
            let (record, hash) = encode(KIND, previous, &draft).unwrap();
            let end = ends.last().unwrap() + record.len();
            bytes[end - record.len()..end].copy_from_slice(&record);
            (previous, ends) = (hash, [ends, vec![end]].concat());
        }
        (bytes, ends)
    }

    #[test]
    fn segment_holds_no_more_entries_than_it_says() {
        let most = SEGMENT_BYTES / MIN_RECORD;
        assert_eq!(usize::try_from(MAX_ENTRIES).unwrap(), most);
    }

    #[test]
    fn new_segment_is_empty_and_of_one_log() {
        let (bytes, _) = filled(&[]);
        let content = read(KIND, &bytes);
        assert_eq!(content.header.unwrap().first, 1);
        assert!(matches!(content.rest, Rest::Empty));
        assert_eq!(read(LogKind::System, &bytes).header, None);
    }

    #[test]
    fn damage_of_the_last_write_is_a_torn_write() {
        for continued in [[false, false, false], [false, false, true]] {
            let (mut bytes, ends) = filled(&continued);
            let first_of_last_write = if continued[2] { 1 } else { 2 };
            bytes[ends[first_of_last_write] + 5] ^= 1;
            let content = read(KIND, &bytes);
            assert_eq!(content.records.len(), first_of_last_write);
            assert_eq!(content.offset, ends[first_of_last_write]);
            assert!(matches!(content.rest, Rest::Torn), "{content:?}");
        }
    }

    #[test]
    fn damage_before_the_last_write_is_no_torn_write() {
        let (mut bytes, ends) = filled(&[false, false, false]);
        bytes[ends[0] + 5] ^= 1;
        let content = read(KIND, &bytes);
        assert!(content.records.is_empty());
        let Rest::Damaged(records) = content.rest else {
            panic!("{content:?}")
        };
        let sequences: Vec<_> = records.iter().map(|record| record.sequence).collect();
        assert_eq!(sequences, [2, 3]);
    }

    #[test]
    fn only_names_of_segments_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for file in [&name(12), &name(3), "4.seg", "+0000000000000000004.seg", "x"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        assert_eq!(list(folder.path()).unwrap(), [3, 12]);
        assert_eq!(list(&folder.path().join("none")).unwrap(), [0u64; 0]);
    }

    #[test]
    fn newer_versions_are_told_from_damage() {
        let header = |magic: &[u8]| {
            let mut bytes = [magic, &[0; HEADER_BYTES - 12]].concat();
            bytes.extend(record::checksum(&bytes).to_be_bytes());
            bytes
        };
        assert_eq!(newer_version(&header(b"SMGWLOG2")), Some('2'));
        for magic in [b"SMGWLOG1", b"SMGWLOH2", b"SMGWLOG0"] {
            assert_eq!(newer_version(&header(magic)), None);
        }
        let (mut bytes, _) = filled(&[]);
        bytes[7] = b'3';
        assert_eq!(newer_version(&bytes), None, "a flipped bit");
        assert_eq!(newer_version(b"SMGWLOG2"), None);
    }
}
