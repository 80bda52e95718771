//! The three logs: append-only, each entry chained to the one before it, the heads signed by the card.
//!
//! Each log is a folder of segments of its own and no table of the database, for four reasons. *Wear*:
//! an entry is one write in place into a segment that is there already, forced onto the disk with
//! `fdatasync`, some 2 KB on ext4 with blocks of 1 KiB, new segments included (measured at the block device);
//! a transaction writes pages to the write-ahead log and again at the checkpoint.
//! *Tearing*: only the entry that is being written can be torn, and it has not been acknowledged; when
//! the log is opened, it is cut off, and the system log says so. *Independence*: a damaged database
//! leaves the logs readable, and the other way round. *Audit*: the format is a table of five lines, the
//! contents are JSON that can be read with the eye, and nothing in this module can change an entry.
//!
//! | path in the folder | what it is |
//! |---|---|
//! | `system/`, `consumer/`, `calibration/` | the segments, `N.seg`, N being the first entry in 20 digits |
//! | `heads.json` | the last signed heads |
//! | `lock` | held by the owner |
//!
//! What the chain does and does not prove. Any change, cut, doubling or reordering of entries up to the
//! last signed head is found, since the hash there must be the signed one. Behind it only what the hash
//! chain itself shows is found: whoever can write to the flash can cut off or forge entries that are younger
//! than the last signature, at most a day. A copy of the whole folder from an earlier day is noticed only
//! by the auditor, who knows a later signature; the card has no counter for it.
//!
//! The system and the consumer log are shortened, by whole segments, when they have reached their size;
//! the system log says up to where, before anything is deleted, and the next signature covers it. By
//! age at most one segment of a log goes with each signature, so that a clock which jumps ahead does not
//! empty the log. The calibration log is never shortened; see [`Logs::is_full`].

mod chain;
mod error;
mod heads;
mod limits;
mod reading;
mod record;
mod segment;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a wrong sum fails the test")]
mod tests;
mod verification;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{LogEvent, LogHash, LogHead, LogKind, SystemEvent, Timestamp};

use crate::files::{self, FileError};
use chain::Chain;
use heads::Stored;
use record::genesis;

pub use chain::LogRepair;
pub use error::{AnchorError, LogError};
pub use heads::{HeadAnchor, HeadRefusal, HeadSignature, HeadVerifier, Heads, LogSpan, SignedHeads};
pub use limits::LogLimits;
pub use reading::{LogEntry, LogPage};
pub use record::Moment;
pub use verification::{HeadsFault, HeadsSummary, LogFault, LogVerdict, Verification};

/// The logs of one gateway.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    limits: LogLimits,
    repairs: Vec<LogRepair>,
    inner: Mutex<Inner>,
    /// Held until the logs are dropped.
    _lock: File,
}

#[derive(Debug)]
struct Inner {
    /// In the order of [`LogKind::ALL`].
    chains: [Chain; 3],
    /// The number and time of the last signature.
    signed: Option<(u64, Timestamp)>,
}

/// Heads that wait for their signature, and what is deleted once they have it.
struct Unsigned {
    heads: Heads,
    prune: Vec<(LogKind, LogHead)>,
}

impl Logs {
    /// Opens the logs in a folder, makes them at the first start and repairs what a power cut has left.
    ///
    /// A gateway that is `provisioned` has had logs: where there are none, the new ones begin with a base
    /// that never verifies, and stay so. What else is wrong with a log does not keep it from being opened
    /// and continued; [`Logs::verify`] names it.
    ///
    /// # Errors
    ///
    /// [`LogError::Locked`] if another process has them open, [`LogError::TooNew`] if a newer gateway
    /// wrote them, [`LogError::Full`] if there is no room to begin them, else what failed.
    pub fn open(folder: &Path, limits: LogLimits, provisioned: bool, at: Moment) -> Result<Self, LogError> {
        files::make_folder(folder)?;
        let lock = lock(folder)?;
        let mut begun = provisioned;
        for kind in LogKind::ALL {
            begun = begun || holds_entries(folder, kind)?;
        }
        let mut repairs = Vec::new();
        let mut open = |kind: LogKind| {
            let limit = (kind == LogKind::Calibration).then(|| limits.segments(kind));
            let base = if begun {
                LogHash::new([0; 32])
            } else {
                genesis(kind)
            };
            let (chain, repair) = Chain::open(kind, &folder.join(kind.name()), base, limit)?;
            repairs.extend(repair);
            Ok::<_, LogError>(chain)
        };
        let [system, consumer, calibration] = LogKind::ALL;
        let chains = [open(system)?, open(consumer)?, open(calibration)?];
        let signed = match heads::load(folder)? {
            Stored::Heads(signed) => Some((signed.heads.number, signed.heads.time)),
            Stored::Nothing | Stored::Damaged => None,
        };
        let logs = Self {
            folder: folder.to_owned(),
            limits,
            repairs,
            inner: Mutex::new(Inner { chains, signed }),
            _lock: lock,
        };
        logs.note_repairs(at)?;
        Ok(logs)
    }

    fn note_repairs(&self, at: Moment) -> Result<(), LogError> {
        let event = |repair: &LogRepair| {
            LogEvent::from(SystemEvent::LogRepaired {
                log: repair.log,
                behind: repair.behind,
                bytes: repair.bytes,
                digest: repair.digest,
            })
        };
        let events: Vec<LogEvent> = self.repairs.iter().map(event).collect();
        match self.append(at, &events) {
            Ok(()) | Err(LogError::Full { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns what was cut off when the logs were opened.
    #[must_use]
    pub fn repairs(&self) -> &[LogRepair] {
        &self.repairs
    }

    /// Appends events to their logs; on return they are on the disk.
    ///
    /// What is for one log is written in one write, all of it or nothing as long as it fits into a segment.
    ///
    /// # Errors
    ///
    /// [`LogError::Full`] and [`LogError::TooLong`] if an entry cannot be taken. Behind any other error the
    /// log refuses every call until the logs are opened again.
    pub fn append(&self, at: Moment, events: &[LogEvent]) -> Result<(), LogError> {
        let mut inner = self.lock();
        for kind in LogKind::ALL {
            let contents = events
                .iter()
                .filter(|event| event.kind() == kind)
                .map(|event| serde_json::to_vec(event).map_err(LogError::Encode))
                .collect::<Result<Vec<_>, _>>()?;
            if !contents.is_empty() && inner.chain_mut(kind).append(at, &contents)? {
                match inner.shorten(at, &self.limits) {
                    // The disk is full: the entry is written, and the next new segment tries again.
                    Ok(()) | Err(LogError::Full { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Returns whether a log has reached the size that it keeps; then the gateway serves no supplier.
    ///
    /// That is said while there is still room for some entries, so that what happens then is logged too. Only
    /// the calibration log can be full in this way; the others are shortened.
    #[must_use]
    pub fn is_full(&self, kind: LogKind) -> bool {
        self.lock().chain(kind).is_full()
    }

    /// Makes sure that each log has room for one of the greatest entries, as when a disk was full.
    ///
    /// Up to 16 KiB of a segment stay unused, so it is not for every day.
    ///
    /// # Errors
    ///
    /// [`LogError::Full`] if the disk is full, else what failed.
    pub fn reserve(&self) -> Result<(), LogError> {
        self.lock().chains.iter_mut().try_for_each(Chain::reserve)
    }

    /// Returns where a log stands.
    #[must_use]
    pub fn head(&self, kind: LogKind) -> LogHead {
        self.lock().chain(kind).head()
    }

    /// Returns a page of a log, its oldest entry first, from the entry behind `after` on.
    ///
    /// With `since`, only entries of that time and later are returned; the clock may have been set back
    /// between two entries.
    ///
    /// # Errors
    ///
    /// [`LogError`] if a segment cannot be read.
    pub fn page(&self, kind: LogKind, after: u64, since: Option<Timestamp>) -> Result<LogPage, LogError> {
        let inner = self.lock();
        let chain = inner.chain(kind);
        reading::page(kind, chain.folder(), chain.segments(), after, since)
    }

    /// Returns number and time of the last signature over the heads.
    #[must_use]
    pub fn last_signed(&self) -> Option<(u64, Timestamp)> {
        self.lock().signed
    }

    /// Has the card sign the heads, keeps the signature, and then deletes what is older than its log keeps.
    ///
    /// The logs take entries while the card signs.
    ///
    /// # Errors
    ///
    /// [`AnchorError`] if the card does not sign or the signature cannot be kept; the earlier one stays.
    pub fn sign<A: HeadAnchor>(
        &self,
        at: Moment,
        anchor: &mut A,
    ) -> Result<SignedHeads, AnchorError<A::Error>> {
        let unsigned = self.lock().unsigned(at, &self.limits)?;
        let signature = anchor
            .sign(&unsigned.heads.digest())
            .map_err(AnchorError::Anchor)?;
        let signed = SignedHeads {
            heads: unsigned.heads,
            signature,
        };
        let mut inner = self.lock();
        heads::save(&self.folder, &signed)?;
        inner.signed = Some((signed.heads.number, signed.heads.time));
        for (kind, base) in unsigned.prune {
            inner.chain_mut(kind).prune(base)?;
        }
        let event = SystemEvent::HeadsSigned {
            number: signed.heads.number,
            certificate: signed.signature.fingerprint(),
        };
        drop(inner);
        self.append(at, &[event.into()])?;
        Ok(signed)
    }

    /// Walks every log and compares it with what the card has signed.
    ///
    /// No entry is taken meanwhile.
    ///
    /// # Errors
    ///
    /// [`LogError`] if a file cannot be read. What is wrong with the logs is in the [`Verification`].
    pub fn verify(&self, verifier: &dyn HeadVerifier) -> Result<Verification, LogError> {
        let _inner = self.lock();
        verification::verify(&self.folder, verifier)
    }

    /// Walks the logs in a folder that no gateway has open. Nothing in it is changed.
    ///
    /// # Errors
    ///
    /// [`LogError::Locked`] if a gateway has them open, else what cannot be read.
    pub fn verify_folder(folder: &Path, verifier: &dyn HeadVerifier) -> Result<Verification, LogError> {
        let path = folder.join(LOCK);
        let lock = File::open(&path);
        if let Ok(lock) = &lock {
            locked(lock.try_lock_shared(), &path)?;
        }
        if !folder.is_dir() {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(FileError::at(folder)(source).into());
        }
        verification::verify(folder, verifier)
    }

    /// A panic under the lock leaves nothing half done: heads move only behind a write.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    const fn chain(&self, kind: LogKind) -> &Chain {
        let [system, consumer, calibration] = &self.chains;
        match kind {
            LogKind::System => system,
            LogKind::Consumer => consumer,
            LogKind::Calibration => calibration,
        }
    }

    const fn chain_mut(&mut self, kind: LogKind) -> &mut Chain {
        let [system, consumer, calibration] = &mut self.chains;
        match kind {
            LogKind::System => system,
            LogKind::Consumer => consumer,
            LogKind::Calibration => calibration,
        }
    }

    /// Deletes the oldest segments of logs that are larger than they may be; the system log says so first.
    ///
    /// The system log may grow by a segment meanwhile, which is at once the last one that it grows by.
    fn shorten(&mut self, at: Moment, limits: &LogLimits) -> Result<(), LogError> {
        for kind in [LogKind::Consumer, LogKind::System] {
            while self.chain(kind).segments().len() > limits.segments(kind) {
                let Some(base) = self.announce(kind, at)? else {
                    break;
                };
                self.chain_mut(kind).prune(base)?;
            }
        }
        Ok(())
    }

    /// Writes down that the oldest segment of a log is deleted, and returns what remains is chained to.
    fn announce(&mut self, kind: LogKind, at: Moment) -> Result<Option<LogHead>, LogError> {
        let Some(base) = self.chain(kind).base_without_oldest()? else {
            return Ok(None);
        };
        let event = SystemEvent::LogPruned { log: kind, base };
        let content = serde_json::to_vec(&event).map_err(LogError::Encode)?;
        self.chain_mut(LogKind::System).append(at, &[content])?;
        Ok(Some(base))
    }

    /// Puts together what is to be signed, and decides what is deleted because of its age.
    fn unsigned(&mut self, at: Moment, limits: &LogLimits) -> Result<Unsigned, LogError> {
        let mut prune = Vec::new();
        for kind in [LogKind::Consumer, LogKind::System] {
            let outdated = self.oldest_is_outdated(kind, at, limits)?;
            if outdated && let Some(base) = self.announce(kind, at)? {
                prune.push((kind, base));
            }
        }
        let span = |kind: LogKind| -> Result<LogSpan, LogError> {
            let planned = prune.iter().find(|(log, _)| *log == kind).map(|(_, base)| *base);
            let chain = self.chain(kind);
            let base = match planned {
                Some(base) => base,
                None => reading::base(kind, chain.folder(), chain.segments())?,
            };
            let head = chain.head();
            Ok(LogSpan { base, head })
        };
        let heads = Heads {
            number: self.signed.map_or(1, |(number, _)| number.saturating_add(1)),
            time: at.time,
            system: span(LogKind::System)?,
            consumer: span(LogKind::Consumer)?,
            calibration: span(LogKind::Calibration)?,
        };
        Ok(Unsigned { heads, prune })
    }

    fn oldest_is_outdated(&self, kind: LogKind, at: Moment, limits: &LogLimits) -> Result<bool, LogError> {
        let chain = self.chain(kind);
        let (Some(age), [oldest, _, ..]) = (limits.age(kind), chain.segments()) else {
            return Ok(false);
        };
        let newest = reading::newest_in(kind, chain.folder(), *oldest)?;
        let limit = at.time.saturating_sub(age);
        Ok(at.clock_trusted && newest.is_some_and(|newest| newest.clock_trusted && newest.time < limit))
    }
}

const LOCK: &str = "lock";

fn lock(folder: &Path) -> Result<File, LogError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(FileError::at(&path))?;
    locked(file.try_lock(), &path)?;
    Ok(file)
}

fn locked(outcome: Result<(), TryLockError>, path: &Path) -> Result<(), LogError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked),
        Err(TryLockError::Error(source)) => Err(FileError::at(path)(source).into()),
    }
}

/// Returns whether there is a log with anything in it, so that a missing one beside it was lost.
fn holds_entries(folder: &Path, kind: LogKind) -> Result<bool, LogError> {
    let folder = folder.join(kind.name());
    let segments = segment::list(&folder)?;
    let [only] = segments.as_slice() else {
        return Ok(!segments.is_empty());
    };
    let bytes = segment::load(&folder, *only)?;
    Ok(!segment::read(kind, &bytes).records.is_empty())
}
