//! Reading the logs, page by page.

use std::path::Path;

use model::{CalibrationEvent, ConsumerEvent, LogEvent, LogHash, LogHead, LogKind, SystemEvent, Timestamp};

use super::error::LogError;
use super::record::{Moment, Record};
use super::segment;

/// The number of segments that one page looks into: 256 KiB.
const PAGE_SEGMENTS: usize = 4;
/// The greatest number of entries on a page.
const PAGE_ENTRIES: usize = 256;

/// An entry as it stands in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Which log.
    pub log: LogKind,
    /// The how-manieth entry of the log it is, from 1 on.
    pub sequence: u64,
    /// When it was written.
    pub at: Moment,
    /// The content, JSON.
    pub content: String,
    /// The hash that chains it.
    pub hash: LogHash,
}

impl LogEntry {
    fn new(kind: LogKind, record: &Record<'_>) -> Self {
        Self {
            log: kind,
            sequence: record.sequence,
            at: record.at,
            content: String::from_utf8_lossy(record.content).into_owned(),
            hash: record.hash,
        }
    }

    /// Returns what the entry says; `None` if a newer gateway wrote what this one does not know.
    #[must_use]
    pub fn event(&self) -> Option<LogEvent> {
        let content = self.content.as_str();
        match self.log {
            LogKind::System => serde_json::from_str::<SystemEvent>(content)
                .ok()
                .map(LogEvent::from),
            LogKind::Consumer => serde_json::from_str::<ConsumerEvent>(content)
                .ok()
                .map(LogEvent::from),
            LogKind::Calibration => serde_json::from_str::<CalibrationEvent>(content)
                .ok()
                .map(LogEvent::from),
        }
    }
}

/// A part of a log, its oldest entry first. Damaged entries are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// The entries.
    pub entries: Vec<LogEntry>,
    /// The entry behind which the next page begins; `None` if there is none.
    pub next: Option<u64>,
}

pub(super) fn page(
    kind: LogKind,
    folder: &Path,
    segments: &[u64],
    after: u64,
    since: Option<Timestamp>,
) -> Result<LogPage, LogError> {
    let mut page = LogPage::default();
    // The segment that the entry behind `after` is in is the last one that begins no later.
    let behind = segments.partition_point(|first| *first <= after.saturating_add(1));
    let here = segments.get(behind.saturating_sub(1)..).unwrap_or_default();
    let mut reached = after;
    for first in here.iter().take(PAGE_SEGMENTS) {
        let bytes = segment::load(folder, *first)?;
        for record in segment::read(kind, &bytes).whole() {
            if record.sequence <= reached {
                continue;
            }
            if page.entries.len() >= PAGE_ENTRIES {
                page.next = Some(reached);
                return Ok(page);
            }
            reached = record.sequence;
            if since.is_none_or(|since| record.at.time >= since) {
                page.entries.push(LogEntry::new(kind, record));
            }
        }
    }
    if let Some(first) = here.get(PAGE_SEGMENTS) {
        page.next = Some(first.saturating_sub(1));
    }
    Ok(page)
}

/// Returns what the log is chained to, by its oldest segment.
pub(super) fn base(kind: LogKind, folder: &Path, segments: &[u64]) -> Result<LogHead, LogError> {
    let first = segments.first().copied().unwrap_or(1);
    let bytes = segment::load(folder, first)?;
    let header = segment::read(kind, &bytes).header;
    Ok(LogHead {
        count: first.saturating_sub(1),
        hash: header.map_or(LogHash::new([0; 32]), |header| header.base),
    })
}

/// Returns when the last entry of a segment was written; `None` if nothing in it can be read.
pub(super) fn newest_in(kind: LogKind, folder: &Path, first: u64) -> Result<Option<Moment>, LogError> {
    let bytes = segment::load(folder, first)?;
    Ok(segment::read(kind, &bytes).whole().last().map(|record| record.at))
}
