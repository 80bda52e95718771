//! Verification: walks each log from its oldest entry to its newest, and compares it with what the
//! card has signed. It only reads.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Fingerprint, LogHash, LogHead, LogKind, SystemEvent, Timestamp};

use super::error::LogError;
use super::heads::{self, HeadRefusal, HeadVerifier, Heads, LogSpan, Stored};
use super::record::{Record, genesis};
use super::segment::{self, Content, Rest, SEGMENT_BYTES};

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// The header of a segment is damaged.
    #[error("the file that begins with entry {sequence} has a damaged header")]
    Header {
        /// The first entry in the file, by the file's name.
        sequence: u64,
    },
    /// An entry is damaged.
    #[error("entry {sequence} is damaged")]
    Damaged {
        /// Which.
        sequence: u64,
    },
    /// Entries are gone, doubled or out of order.
    #[error("entry {found} stands where entry {sequence} belongs")]
    Sequence {
        /// The entry that belongs there.
        sequence: u64,
        /// The entry that is there.
        found: u64,
    },
    /// An entry is not the one that was written behind the entry before it.
    #[error("entry {sequence} does not follow from the entries before it")]
    Chain {
        /// Which.
        sequence: u64,
    },
    /// The oldest entries are gone, and nothing says that they were deleted because of size or age.
    #[error("the entries before {sequence} are gone")]
    Base {
        /// The oldest entry that is there.
        sequence: u64,
    },
    /// Entries that the card has signed are gone.
    #[error("the log ends before entry {sequence}, the card has signed {signed} entries")]
    Shorter {
        /// The first entry that is gone.
        sequence: u64,
        /// How many entries the card has signed.
        signed: u64,
    },
    /// An entry is not the one that the card has signed.
    #[error("entry {sequence} is not the one that the card has signed")]
    Different {
        /// Which.
        sequence: u64,
    },
}

impl LogFault {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Header { .. } => "header",
            Self::Damaged { .. } => "damaged",
            Self::Sequence { .. } => "sequence",
            Self::Chain { .. } => "chain",
            Self::Base { .. } => "base",
            Self::Shorter { .. } => "shorter",
            Self::Different { .. } => "different",
        }
    }

    /// Returns the first entry that is bad.
    #[must_use]
    pub const fn sequence(self) -> u64 {
        match self {
            Self::Header { sequence }
            | Self::Damaged { sequence }
            | Self::Sequence { sequence, .. }
            | Self::Chain { sequence }
            | Self::Base { sequence }
            | Self::Shorter { sequence, .. }
            | Self::Different { sequence } => sequence,
        }
    }
}

/// What is wrong with the signed heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadsFault {
    /// The system log says that the heads were signed, and they are gone.
    #[error("the card has signed the heads of the logs {number} times, and they are gone")]
    Missing {
        /// How often.
        number: u64,
    },
    /// The file is damaged.
    #[error("the file of the signed heads is damaged")]
    Damaged,
    /// The system log says that the heads were signed again since.
    #[error("the signed heads are number {found}, the card has signed them {number} times")]
    Older {
        /// How often.
        number: u64,
        /// The number that is there.
        found: u64,
    },
    /// The signature is not the bound card's over these heads.
    #[error(transparent)]
    Refused(#[from] HeadRefusal),
}

impl HeadsFault {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing { .. } => "heads-missing",
            Self::Damaged => "heads-damaged",
            Self::Older { .. } => "heads-older",
            Self::Refused(HeadRefusal::Key) => "heads-key",
            Self::Refused(HeadRefusal::Signature) => "heads-signature",
        }
    }
}

/// What was found out about one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogVerdict {
    /// Which log.
    pub log: LogKind,
    /// What was deleted because of the log's size or age.
    pub base: LogHead,
    /// The last entry that is sound.
    pub head: LogHead,
    /// The number of entries that the card has signed; 0 if it never has.
    pub signed: u64,
    /// The number of bytes of an unfinished entry at the end, as a power cut leaves it.
    pub torn: usize,
    /// The first thing that is wrong.
    pub fault: Option<LogFault>,
}

impl LogVerdict {
    /// Returns the number of entries that are sound.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.head.count.saturating_sub(self.base.count)
    }
}

/// A signature over heads, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadsSummary {
    /// The how-manieth it is.
    pub number: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The fingerprint of the certificate of the key that made it.
    pub certificate: Fingerprint,
}

/// What was found out about the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Each log, in the order of [`LogKind::ALL`].
    pub logs: Vec<LogVerdict>,
    /// The last signature, if there is one that can be read.
    pub signed: Option<HeadsSummary>,
    /// What is wrong with it.
    pub fault: Option<HeadsFault>,
}

impl Verification {
    /// Returns whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.fault.is_none() && self.logs.iter().all(|log| log.fault.is_none())
    }
}

/// Walks all logs of a folder.
pub(super) fn verify(folder: &Path, verifier: &dyn HeadVerifier) -> Result<Verification, LogError> {
    let stored = heads::load(folder)?;
    let signed = match &stored {
        Stored::Heads(signed) => Some(signed),
        Stored::Nothing | Stored::Damaged => None,
    };
    let anchor = signed.map(|signed| &signed.heads);
    let mut marks = Marks::default();
    let mut logs = Vec::new();
    for kind in LogKind::ALL {
        let walk = Walk::new(kind, anchor.map(|heads| heads.of(kind)));
        let walk = walk.through(&folder.join(kind.name()), &mut marks)?;
        logs.push(walk);
    }
    let fault = match (&stored, marks.signatures) {
        (Stored::Damaged, _) => Some(HeadsFault::Damaged),
        (Stored::Nothing, Some(number)) => Some(HeadsFault::Missing { number }),
        (Stored::Nothing, None) => None,
        (Stored::Heads(signed), Some(number)) if number > signed.heads.number => Some(HeadsFault::Older {
            number,
            found: signed.heads.number,
        }),
        (Stored::Heads(signed), _) => {
            let verified = verifier.verify(&signed.heads.digest(), &signed.signature);
            verified.err().map(HeadsFault::from)
        }
    };
    Ok(Verification {
        logs: logs
            .into_iter()
            .map(|walk| walk.verdict(&marks, anchor))
            .collect(),
        signed: signed.map(|signed| HeadsSummary {
            number: signed.heads.number,
            time: signed.heads.time,
            certificate: signed.signature.fingerprint(),
        }),
        fault,
    })
}

/// What the system log says about the logs themselves.
#[derive(Debug, Default)]
struct Marks {
    /// The number of the last signature.
    signatures: Option<u64>,
    /// The bases that logs were shortened to: the hash by log and count.
    bases: BTreeMap<(LogKind, u64), LogHash>,
}

impl Marks {
    fn note(&mut self, content: &[u8]) {
        match serde_json::from_slice(content) {
            Ok(SystemEvent::HeadsSigned { number, .. }) => {
                self.signatures = self.signatures.max(Some(number))
            }
            Ok(SystemEvent::LogPruned { log, base }) => {
                self.bases.insert((log, base.count), base.hash);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// The walk through one log.
#[derive(Debug)]
struct Walk {
    kind: LogKind,
    span: Option<LogSpan>,
    base: Option<LogHead>,
    head: LogHead,
    torn: usize,
    fault: Option<LogFault>,
}

impl Walk {
    fn new(kind: LogKind, span: Option<LogSpan>) -> Self {
        Self {
            kind,
            span,
            base: None,
            head: LogHead {
                count: 0,
                hash: genesis(kind),
            },
            torn: 0,
            fault: None,
        }
    }

    fn through(mut self, folder: &Path, marks: &mut Marks) -> Result<Self, LogError> {
        let segments = segment::list(folder)?;
        let last = segments.last().copied();
        for first in segments {
            let bytes = segment::load(folder, first)?;
            let content = segment::read(self.kind, &bytes);
            if self.kind == LogKind::System {
                // Behind a fault too: a damaged system log must not make the others look damaged.
                content.whole().for_each(|record| marks.note(record.content));
            }
            if self.fault.is_some() {
                continue;
            }
            let whole = bytes.len() == SEGMENT_BYTES;
            self.fault = self
                .segment(first, &content)
                .or_else(|| self.rest(&content.rest, whole, Some(first) == last));
            if self.fault.is_none() && !matches!(content.rest, Rest::Empty) {
                self.torn = bytes.len().saturating_sub(content.offset);
            }
        }
        Ok(self)
    }

    fn segment(&mut self, name: u64, content: &Content<'_>) -> Option<LogFault> {
        let Some(header) = content.header.filter(|header| header.first == name) else {
            return Some(LogFault::Header { sequence: name });
        };
        let base = LogHead {
            count: header.first.saturating_sub(1),
            hash: header.base,
        };
        if self.base.is_none() {
            self.base = Some(base);
            self.head = base;
            if let Some(fault) = self.compare() {
                return Some(fault);
            }
        }
        let next = self.head.count.saturating_add(1);
        if header.first != next {
            return Some(LogFault::Sequence {
                sequence: next,
                found: header.first,
            });
        }
        if header.base != self.head.hash {
            return Some(LogFault::Chain { sequence: next });
        }
        content.records.iter().find_map(|record| self.entry(record))
    }

    fn entry(&mut self, record: &Record<'_>) -> Option<LogFault> {
        let next = self.head.count.saturating_add(1);
        if record.sequence != next {
            return Some(LogFault::Sequence {
                sequence: next,
                found: record.sequence,
            });
        }
        if !record.follows(self.kind, self.head.hash) {
            return Some(LogFault::Chain { sequence: next });
        }
        self.head = LogHead {
            count: record.sequence,
            hash: record.hash,
        };
        self.compare()
    }

    /// Judges what stands behind the entries of a segment. Only the last one may end in a torn entry.
    fn rest(&self, rest: &Rest<'_>, whole: bool, is_last: bool) -> Option<LogFault> {
        let next = self.head.count.saturating_add(1);
        match rest {
            Rest::Empty if whole || is_last => None,
            Rest::Torn if is_last => None,
            Rest::Empty | Rest::Torn | Rest::Damaged(_) => Some(LogFault::Damaged { sequence: next }),
        }
    }

    /// Compares the place that the walk has reached with what was signed for it.
    fn compare(&self) -> Option<LogFault> {
        let span = self.span?;
        let differs = |signed: LogHead| signed.count == self.head.count && signed.hash != self.head.hash;
        (differs(span.base) || differs(span.head)).then_some(LogFault::Different {
            sequence: self.head.count,
        })
    }

    fn verdict(self, marks: &Marks, heads: Option<&Heads>) -> LogVerdict {
        let base = self.base.unwrap_or(self.head);
        let signed = heads.map_or(0, |heads| heads.of(self.kind).head.count);
        let shorter = || {
            (self.head.count < signed).then(|| LogFault::Shorter {
                sequence: self.head.count.saturating_add(1),
                signed,
            })
        };
        let base_fault = || {
            (!self.base_is_accounted_for(base, marks)).then(|| LogFault::Base {
                sequence: base.count.saturating_add(1),
            })
        };
        LogVerdict {
            log: self.kind,
            base,
            head: self.head,
            signed,
            torn: self.torn,
            fault: base_fault().or(self.fault).or_else(shorter),
        }
    }

    /// Returns whether the log begins with its first entry, or where it was shortened to: the calibration
    /// log never is.
    fn base_is_accounted_for(&self, base: LogHead, marks: &Marks) -> bool {
        if base.count == 0 {
            return base.hash == genesis(self.kind);
        }
        let signed = self.span.is_some_and(|span| base.count <= span.base.count);
        let noted = marks.bases.get(&(self.kind, base.count)) == Some(&base.hash);
        self.kind != LogKind::Calibration && (signed || noted)
    }
}
