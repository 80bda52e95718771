//! The logs as a gateway uses them, and as somebody with access to the flash abuses them.

mod anchor;
mod crash;
mod golden;
mod mutation;
mod opening;
mod retention;
mod torn;

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use model::{CalibrationEvent, ConsumerEvent, ElementPattern, Fingerprint, LogText, Period, Span};
use tempfile::TempDir;

use super::*;

/// The folder of the logs of one gateway.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("logs")
    }

    fn open(&self) -> Logs {
        self.open_with(LogLimits::default())
    }

    fn open_with(&self, limits: LogLimits) -> Logs {
        Logs::open(&self.path(), limits, false, at(1)).unwrap()
    }

    fn verify(&self) -> Verification {
        Logs::verify_folder(&self.path(), &TestCard).unwrap()
    }

    /// The first segment of a log.
    fn segment(&self, kind: LogKind) -> PathBuf {
        segment::path(&self.path().join(kind.name()), 1)
    }
}

/// Signs like a card would, for somebody who does not look closely.
struct TestCard;

impl TestCard {
    fn signature(digest: &[u8; 32]) -> HeadSignature {
        HeadSignature {
            signature: [*digest, digest.map(|byte| !byte)].concat().try_into().unwrap(),
            certificate: b"certificate".to_vec(),
        }
    }
}

impl HeadAnchor for TestCard {
    type Error = Infallible;

    fn sign(&mut self, digest: &[u8; 32]) -> Result<HeadSignature, Infallible> {
        Ok(Self::signature(digest))
    }
}

impl HeadVerifier for TestCard {
    fn verify(&self, digest: &[u8; 32], signature: &HeadSignature) -> Result<(), HeadRefusal> {
        let expected = Self::signature(digest);
        if signature.certificate != expected.certificate {
            return Err(HeadRefusal::Key);
        }
        if signature == &expected {
            Ok(())
        } else {
            Err(HeadRefusal::Signature)
        }
    }
}

fn at(seconds: i64) -> Moment {
    Moment {
        time: Timestamp::from_unix_seconds(seconds).unwrap(),
        clock_trusted: true,
    }
}

fn started(version: &str) -> LogEvent {
    SystemEvent::Started {
        version: LogText::cut(version),
    }
    .into()
}

/// An answer with so many rules, whose names take 1,000 bytes each.
fn answered(values: u64, rules: usize) -> LogEvent {
    let period = Period::new(at(0).time, at(900).time).unwrap();
    ConsumerEvent::Answered {
        supplier: Fingerprint::new([7; 32]),
        name: LogText::cut("Stadtwerke"),
        request: LogText::cut("00"),
        rules: vec!["r".repeat(1_000); rules],
        purpose: vec!["billing".parse().unwrap()],
        elements: ElementPattern::ANY,
        period,
        resolution: Span::QUARTER_HOUR,
        aggregation: model::Aggregation::Value,
        values,
        pseudonymous: false,
        bytes: 1,
        content: None,
    }
    .into()
}

fn clock_set() -> LogEvent {
    CalibrationEvent::ClockSet.into()
}

/// Returns all entries of a log, page by page.
fn entries(logs: &Logs, kind: LogKind) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    let mut after = Some(0);
    while let Some(behind) = after {
        let page = logs.page(kind, behind, None).unwrap();
        entries.extend(page.entries);
        after = page.next;
    }
    entries
}

fn fault_of(verification: &Verification, kind: LogKind) -> Option<LogFault> {
    let verdict = verification
        .logs
        .iter()
        .find(|verdict| verdict.log == kind)
        .unwrap();
    verdict.fault
}

/// Returns the offsets in a segment at which its entries begin, and where the last of them ends.
fn offsets(kind: LogKind, bytes: &[u8]) -> Vec<usize> {
    let mut offsets = vec![segment::HEADER_BYTES];
    for record in segment::read(kind, bytes).records {
        let last = offsets.last().copied().unwrap();
        offsets.push(last.saturating_add(record.length()));
    }
    offsets
}

/// Overwrites a file in place; a file that is cut to nothing first is flushed when it is closed, each time.
fn overwrite(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

fn copy(from: &Path, to: &Path) {
    crate::crash::copy_folder(from, to);
}
