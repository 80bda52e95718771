//! One log while it is written: its segments, its head, and where the next entry goes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use model::{LogHash, LogHead, LogKind};
use sha2::{Digest, Sha256};

use super::error::LogError;
use super::record::{self, Draft, MAX_RECORD, Moment};
use super::segment::{self, HEADER_BYTES, Header, Rest, SEGMENT_BYTES};
use crate::files::{self, FileError};

/// What was cut off the end of a log when it was opened, as after a power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRepair {
    /// Which log.
    pub log: LogKind,
    /// The last entry that stayed.
    pub behind: u64,
    /// The number of bytes that were cut off.
    pub bytes: u64,
    /// Their SHA-256 digest.
    pub digest: LogHash,
}

/// A log that is open.
#[derive(Debug)]
pub(super) struct Chain {
    kind: LogKind,
    folder: PathBuf,
    /// The first sequences of the segments, ascending; never empty.
    segments: Vec<u64>,
    head: LogHead,
    /// The last segment, and the offset in it at which the next entry goes.
    file: File,
    offset: usize,
    /// The most segments, or none if old ones are deleted instead.
    limit: Option<usize>,
    halted: bool,
}

/// What is about to be written at once.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    head: Option<LogHead>,
}

impl Chain {
    /// Opens a log in its folder, and repairs its end. `base` begins a log of which there is nothing.
    pub(super) fn open(
        kind: LogKind,
        folder: &Path,
        base: LogHash,
        limit: Option<usize>,
    ) -> Result<(Self, Option<LogRepair>), LogError> {
        files::make_folder(folder)?;
        remove_unfinished(folder)?;
        let mut segments = segment::list(folder)?;
        let Some(last) = segments.last().copied() else {
            let header = Header { first: 1, base };
            let file = create(kind, folder, &header)?;
            segments.push(header.first);
            let head = LogHead { count: 0, hash: base };
            return Ok((Self::at(kind, folder, segments, head, file, limit), None));
        };
        let bytes = segment::load(folder, last)?;
        if let Some(version) = segment::newer_version(&bytes) {
            return Err(LogError::TooNew { log: kind, version });
        }
        let content = segment::read(kind, &bytes);
        let before = content.header.map_or(LogHash::new([0; 32]), |header| header.base);
        let whole = content.records.last();
        let head = LogHead {
            count: whole.map_or_else(|| last.saturating_sub(1), |record| record.sequence),
            hash: whole.map_or(before, |record| record.hash),
        };
        let file = open(folder, last)?;
        let mut chain = Self::at(kind, folder, segments, head, file, limit);
        chain.offset = content.offset;
        let mut repair = None;
        match &content.rest {
            Rest::Damaged(behind) => chain.leave_behind(last, behind.last())?,
            _ if content.header.is_none() => chain.leave_behind(last, whole)?,
            Rest::Empty if bytes.len() == SEGMENT_BYTES => {}
            Rest::Empty | Rest::Torn => {
                repair = chain.cut_back(bytes.get(content.offset..).unwrap_or_default())?;
            }
        }
        Ok((chain, repair))
    }

    fn at(
        kind: LogKind,
        folder: &Path,
        segments: Vec<u64>,
        head: LogHead,
        file: File,
        limit: Option<usize>,
    ) -> Self {
        Self {
            kind,
            folder: folder.to_owned(),
            segments,
            head,
            file,
            offset: HEADER_BYTES,
            limit,
            halted: false,
        }
    }

    /// Fills the end of the last segment with zeros, in the place of what is no entry.
    fn cut_back(&mut self, torn: &[u8]) -> Result<Option<LogRepair>, LogError> {
        let path = segment::path(&self.folder, self.last());
        let zeros = vec![0; SEGMENT_BYTES.saturating_sub(self.offset)];
        let offset = u64::try_from(self.offset).unwrap_or(u64::MAX);
        self.file
            .set_len(offset)
            .and_then(|()| self.file.write_all_at(&zeros, offset))
            .and_then(|()| self.file.sync_all())
            .map_err(FileError::at(&path))?;
        let end = torn
            .iter()
            .rposition(|byte| *byte != 0)
            .map(|last| last.saturating_add(1));
        let Some(torn) = end.and_then(|end| torn.get(..end)) else {
            return Ok(None);
        };
        Ok(Some(LogRepair {
            log: self.kind,
            behind: self.head.count,
            bytes: u64::try_from(torn.len()).unwrap_or(u64::MAX),
            digest: LogHash::new(Sha256::digest(torn).into()),
        }))
    }

    /// Leaves a damaged segment as it is, for the auditor, and goes on in a new one behind its last whole
    /// entry.
    fn leave_behind(&mut self, first: u64, last: Option<&record::Record<'_>>) -> Result<(), LogError> {
        self.head = LogHead {
            // A segment of which nothing can be read may have had its first entry.
            count: last.map_or(first, |record| record.sequence.max(first)),
            hash: last.map_or(self.head.hash, |record| record.hash),
        };
        self.begin_segment()
    }

    pub(super) const fn head(&self) -> LogHead {
        self.head
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the first sequences of the segments, ascending.
    pub(super) fn segments(&self) -> &[u64] {
        &self.segments
    }

    fn last(&self) -> u64 {
        self.segments.last().copied().unwrap_or(1)
    }

    /// Returns whether the log has a size that it keeps, and no room for one of the greatest entries in it.
    pub(super) fn is_full(&self) -> bool {
        let room = SEGMENT_BYTES.saturating_sub(self.offset);
        self.limit.is_some_and(|limit| self.segments.len() >= limit) && room < MAX_RECORD
    }

    /// Appends entries; on return they are on the disk. Returns whether a new segment was begun.
    pub(super) fn append(&mut self, at: Moment, contents: &[Vec<u8>]) -> Result<bool, LogError> {
        if self.halted {
            return Err(LogError::Halted { log: self.kind });
        }
        let mut pending = Pending::default();
        let mut rolled = false;
        for content in contents {
            let (bytes, head) = self.encode(&pending, at, content)?;
            let end = self
                .offset
                .saturating_add(pending.bytes.len())
                .saturating_add(bytes.len());
            let (bytes, head) = if end > SEGMENT_BYTES {
                self.commit(std::mem::take(&mut pending))?;
                self.roll()?;
                rolled = true;
                self.encode(&pending, at, content)?
            } else {
                (bytes, head)
            };
            pending.bytes.extend_from_slice(&bytes);
            pending.head = Some(head);
        }
        self.commit(pending)?;
        Ok(rolled)
    }

    /// Begins a new segment if the last one has no room for one of the greatest entries.
    pub(super) fn reserve(&mut self) -> Result<(), LogError> {
        if SEGMENT_BYTES.saturating_sub(self.offset) < MAX_RECORD && !self.is_full() {
            self.roll()?;
        }
        Ok(())
    }

    fn encode(&self, pending: &Pending, at: Moment, content: &[u8]) -> Result<(Vec<u8>, LogHead), LogError> {
        let before = pending.head.unwrap_or(self.head);
        let draft = Draft {
            sequence: before.count.saturating_add(1),
            at,
            continued: pending.head.is_some(),
            content,
        };
        let (bytes, hash) = record::encode(self.kind, before.hash, &draft).ok_or(LogError::TooLong {
            log: self.kind,
            bytes: content.len(),
        })?;
        let count = draft.sequence;
        Ok((bytes, LogHead { count, hash }))
    }

    /// Writes what is pending in one write, and forces it onto the disk.
    fn commit(&mut self, pending: Pending) -> Result<(), LogError> {
        let Some(head) = pending.head else { return Ok(()) };
        let offset = u64::try_from(self.offset).unwrap_or(u64::MAX);
        let written = self
            .file
            .write_all_at(&pending.bytes, offset)
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Nobody knows what is on the disk now; opening the log again finds out.
            self.halted = true;
            let path = segment::path(&self.folder, self.last());
            return Err(FileError { path, source }.into());
        }
        self.offset = self.offset.saturating_add(pending.bytes.len());
        self.head = head;
        Ok(())
    }

    /// Begins a new segment; it is on the disk before the first entry goes into it.
    fn roll(&mut self) -> Result<(), LogError> {
        if self.limit.is_some_and(|limit| self.segments.len() >= limit) {
            return Err(LogError::Full { log: self.kind });
        }
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<(), LogError> {
        let header = Header {
            first: self.head.count.saturating_add(1),
            base: self.head.hash,
        };
        self.file = create(self.kind, &self.folder, &header)?;
        self.segments.push(header.first);
        self.offset = HEADER_BYTES;
        Ok(())
    }

    /// Returns what the log is chained to when its oldest segment is gone; `None` if it has only one, or
    /// if the next one does not say.
    pub(super) fn base_without_oldest(&self) -> Result<Option<LogHead>, LogError> {
        let Some(second) = self.segments.get(1) else {
            return Ok(None);
        };
        let bytes = segment::load(&self.folder, *second)?;
        let header = segment::read(self.kind, &bytes).header;
        Ok(header.map(|header| LogHead {
            count: header.first.saturating_sub(1),
            hash: header.base,
        }))
    }

    /// Deletes the oldest segments whose entries all stand before or at the base.
    pub(super) fn prune(&mut self, base: LogHead) -> Result<(), LogError> {
        while self
            .segments
            .get(1)
            .is_some_and(|second| *second <= base.count.saturating_add(1))
        {
            let path = segment::path(&self.folder, self.segments.remove(0));
            fs::remove_file(&path).map_err(FileError::at(&path))?;
        }
        files::sync(&self.folder)?;
        Ok(())
    }
}

/// Makes a segment; a full disk is a full log.
fn create(kind: LogKind, folder: &Path, header: &Header) -> Result<File, LogError> {
    let name = segment::name(header.first);
    match files::replace(folder, &name, &segment::create(kind, header)) {
        Ok(()) => open(folder, header.first),
        Err(error) if is_full_disk(&error.source) => {
            remove_unfinished(folder)?;
            Err(LogError::Full { log: kind })
        }
        Err(error) => Err(error.into()),
    }
}

fn is_full_disk(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn open(folder: &Path, first: u64) -> Result<File, LogError> {
    let path = segment::path(folder, first);
    let file = OpenOptions::new().read(true).write(true).open(&path);
    Ok(file.map_err(FileError::at(&path))?)
}

/// Removes segments that were begun and never finished, as by a power cut.
fn remove_unfinished(folder: &Path) -> Result<(), LogError> {
    for path in files::entries(folder)? {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(&path).map_err(FileError::at(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
impl Chain {
    /// Puts another file in the place of the last segment, so that writes fail.
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = file;
    }
}
