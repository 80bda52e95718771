//! The once-only rows: the binding and the locks, burned as if into a fuse, and counters that only grow.
//!
//! No call clears or changes a burned row. A burn is acknowledged only when it is on the disk several
//! times and has been read back: intent (both copies), compare-and-swap from absent, flush, fsync of
//! sled's files and folders, read-back, both sealed copies (file, fsync, rename, fsync), and the fuses
//! if the board has any. Whenever the power goes, the gateway finds itself unbound, with an intent, or
//! bound; whatever contradicts itself is [`Tampering`], and never "unbound".
//!
//! | path in the folder | what it is |
//! |---|---|
//! | `sled/` | rows, head and counters |
//! | `copy-a`, `copy-b` | everything, sealed, each in one file |
//! | `reserve` | space that is given up when the disk is full |
//! | `set-aside/` | what was left of a damaged sled, the last time |
//! | `lock` | held by the owner |
//!
//! Limits: files alone cannot tell that all of them were put back together to an earlier state, or
//! deleted together; that takes fuses ([`OtpPlace`]). Whoever has the device key can forge everything.

mod copies;
mod device_key;
mod engine;
mod error;
mod otp;
mod record;
mod report;
mod reserve;
mod row;
mod state;
#[cfg(test)]
mod tests;
mod words;
mod write_once;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Binding, Timestamp};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::files::{self, FileError};
use otp::Otp;
use record::{Place, Record};
use row::Key;
use words::StoredIntent;
use write_once::{Fact, FactDigest, Fused, Outcome, WriteOnce};

pub use device_key::{DeviceKey, DeviceKeyError};
pub use engine::EngineError;
pub use error::{BindingsError, BurnError, Tampering};
pub use otp::{OtpError, OtpPlace};
pub use report::{Health, PartReport, Repair, Report, RowReport, Strength};
pub use row::RowFault;
pub use words::{Burned, Counter, Intent, Tamper, Termination};

/// What the bindings are protected with.
#[expect(missing_debug_implementations, reason = "it holds the device key")]
pub struct Protection {
    /// What rows and copies are sealed with.
    pub key: DeviceKey,
    /// The fuses, if the board has any.
    pub otp: Option<OtpPlace>,
}

/// The once-only rows of one gateway.
#[derive(Debug)]
pub struct Bindings {
    place: Arc<Place>,
    otp: Option<OtpPlace>,
    repairs: Vec<Repair>,
    /// Gone after a failed write: what was in memory may not be on the disk.
    memory: Mutex<Option<Memory>>,
    /// Held until the bindings are dropped.
    _lock: File,
}

/// Where the rows are written.
#[derive(Debug)]
enum Memory {
    Files(Record),
    FilesAndFuses(Fused),
}

impl Bindings {
    /// Opens the bindings in a folder of their own, and makes it at the first start.
    ///
    /// What a power cut or a damaged file can leave behind is repaired, see [`Bindings::repairs`]; every row
    /// is checked. sled runs on the caller's thread, which must be one that may block.
    ///
    /// # Errors
    ///
    /// [`BindingsError::Tampered`] if rows are lost, damaged beyond repair or contradicted; that is never
    /// reported as "unbound". [`BindingsError::Locked`] if another process has them open. Else what failed.
    pub fn open(folder: &Path, protection: Protection) -> Result<Self, BindingsError> {
        files::make_folder(folder)?;
        let lock = lock(folder)?;
        let place = Arc::new(Place {
            folder: folder.to_owned(),
            device: protection.key,
        });
        let is_first = copies::NAMES
            .iter()
            .chain(&["sled"])
            .all(|part| !folder.join(part).exists());
        let mut repairs = Vec::new();
        let memory = Memory::open(&place, protection.otp.as_ref(), &mut repairs)?;
        let kept = reserve::kept(folder);
        reserve::keep(folder);
        if reserve::kept(folder) > kept && !is_first {
            repairs.push(Repair::ReserveMade);
        }
        Ok(Self {
            place,
            otp: protection.otp,
            repairs,
            memory: Mutex::new(Some(memory)),
            _lock: lock,
        })
    }

    /// Returns the tag of some bytes under the device key; what they begin with says what it is for.
    pub(crate) fn tag(&self, bytes: &[u8]) -> [u8; 32] {
        self.place.device.tag(bytes)
    }

    /// Returns what was put right when the bindings were opened, for the log.
    #[must_use]
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Returns the binding, or `None` if none has been burned.
    ///
    /// # Errors
    ///
    /// [`BindingsError::Halted`] after a failed write.
    pub fn binding(&self) -> Result<Option<Binding>, BindingsError> {
        self.read(Memory::binding)
    }

    /// Returns the tamper lock, or `None` if it has not been burned.
    ///
    /// # Errors
    ///
    /// As for [`Bindings::binding`].
    pub fn tampered(&self) -> Result<Option<Tamper>, BindingsError> {
        self.read(|memory| memory.record().state().content(Key::Tamper))
    }

    /// Returns the lock that says that the card has ended its life, or `None` if it has not been burned.
    ///
    /// # Errors
    ///
    /// As for [`Bindings::binding`].
    pub fn card_terminated(&self) -> Result<Option<Termination>, BindingsError> {
        self.read(|memory| memory.record().state().content(Key::CardTerminated))
    }

    /// Returns the value of a counter, 0 before it is first advanced.
    ///
    /// # Errors
    ///
    /// As for [`Bindings::binding`].
    pub fn counter(&self, counter: Counter) -> Result<u64, BindingsError> {
        self.read(|memory| Ok(memory.value(counter)))
    }

    /// Returns the intent; behind a burn, it is the one that was burned.
    ///
    /// # Errors
    ///
    /// As for [`Bindings::binding`].
    pub fn intent(&self) -> Result<Option<Intent>, BindingsError> {
        self.read(Memory::intent)
    }

    /// Returns everything that may be shown: strength, rows, counters, and every part as it is now.
    ///
    /// # Errors
    ///
    /// As for [`Bindings::binding`], or if a part cannot be read.
    pub fn report(&self) -> Result<Report, BindingsError> {
        self.read(|memory| {
            Ok(Report {
                strength: memory.write_once_ref().strength(),
                rows: memory.rows()?,
                counters: memory.counters(),
                parts: memory.parts()?,
                reserved_bytes: reserve::kept(&self.place.folder),
                repairs: self.repairs.clone(),
            })
        })
    }

    /// Writes down what is about to be burned; on return it is on the disk.
    ///
    /// An earlier intent is replaced. That ends with the burn.
    ///
    /// # Errors
    ///
    /// [`BurnError`] if the binding or a lock has been burned, or if the write failed.
    pub fn begin(&self, intent: &Intent) -> Result<(), BurnError> {
        let stored = StoredIntent::new(intent)?;
        self.write(|memory| {
            memory.refuse_locked()?;
            if let Some(burned) = memory.binding()? {
                return Err(BurnError::AlreadyBurned { burned });
            }
            Ok(memory.record_mut().intend(&encode(&stored)?)?)
        })
    }

    /// Burns the binding; on return it is on the disk, for good.
    ///
    /// Burning the same binding again changes nothing and is no error, so that it can be repeated after a
    /// power cut. Without an intent, one with an empty pairing is written first.
    ///
    /// # Errors
    ///
    /// [`BurnError::AlreadyBurned`] if another binding has been burned, [`BurnError::OtherIntent`] if
    /// another one was begun, [`BurnError::Dead`] or [`BurnError::CardTerminated`] behind a lock. Behind any
    /// other error the outcome is open; the bindings refuse every call until they are opened again.
    pub fn burn(&self, binding: &Binding) -> Result<Burned, BurnError> {
        self.burning(|memory| {
            memory.refuse_locked()?;
            if let Some(burned) = memory.binding()? {
                return if burned == *binding {
                    Ok(Burned::AlreadyBurned)
                } else {
                    Err(BurnError::AlreadyBurned { burned })
                };
            }
            let intent = match memory.intent()? {
                Some(intent) if intent.binding == *binding => StoredIntent::new(&intent)?,
                Some(Intent {
                    binding: intended, ..
                }) => return Err(BurnError::OtherIntent { intended }),
                None => {
                    let intent = StoredIntent::without_pairing(binding);
                    memory.record_mut().intend(&encode(&intent)?)?;
                    intent
                }
            };
            memory.burn(Key::Binding, &intent, otp::digest(binding))
        })
    }

    /// Burns the tamper lock; on return it is on the disk, for good. The first reason stays.
    ///
    /// # Errors
    ///
    /// [`BurnError::Bindings`] if the write failed.
    pub fn burn_tamper(&self, reason: &str, time: Timestamp) -> Result<Burned, BurnError> {
        let reason: String = reason.chars().take(Tamper::MAX_REASON).collect();
        self.burn_lock(Key::Tamper, &Tamper { reason, time })
    }

    /// Burns the lock that says that the card has ended its life; on return it is on the disk, for good.
    ///
    /// # Errors
    ///
    /// [`BurnError::Bindings`] if the write failed.
    pub fn burn_card_terminated(&self, time: Timestamp) -> Result<Burned, BurnError> {
        self.burn_lock(Key::CardTerminated, &Termination { time })
    }

    /// Advances a counter; on return it is on the disk. The value that it has already is no error.
    ///
    /// # Errors
    ///
    /// [`BurnError::Backwards`] if it is greater already, [`BurnError::Bindings`] if the write failed.
    pub fn advance(&self, counter: Counter, value: u64) -> Result<(), BurnError> {
        self.write(|memory| {
            let held = memory.value(counter);
            if value < held {
                return Err(BurnError::Backwards {
                    counter: counter.name(),
                    held,
                    offered: value,
                });
            }
            if value > held {
                memory.record_mut().count(counter.key(), value)?;
            }
            Ok(())
        })
    }

    fn burn_lock(&self, key: Key, lock: &impl Serialize) -> Result<Burned, BurnError> {
        self.burning(|memory| {
            if memory.write_once_ref().is_burned(key)? {
                return Ok(Burned::AlreadyBurned);
            }
            memory.burn(key, lock, FactDigest::default())
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Memory) -> Result<T, BindingsError>) -> Result<T, BindingsError> {
        read(self.memory().as_ref().ok_or(BindingsError::Halted)?)
    }

    /// Runs a burn, and keeps the space aside again that it was given.
    fn burning(&self, burn: impl Fn(&mut Memory) -> Result<Burned, BurnError>) -> Result<Burned, BurnError> {
        let outcome = self.write(burn);
        reserve::keep(&self.place.folder);
        outcome
    }

    /// Runs a write; if the disk fails it, nothing more is done until the bindings are opened again.
    ///
    /// If the disk is full, they are opened again here, with the space that is kept aside, and the write
    /// is repeated once.
    fn write<T>(&self, write: impl Fn(&mut Memory) -> Result<T, BurnError>) -> Result<T, BurnError> {
        let mut memory = self.memory();
        let mut opened = memory.take().ok_or(BindingsError::Halted)?;
        let mut outcome = write(&mut opened);
        if let Err(BurnError::Bindings(error)) = &outcome
            && error.is_full()
        {
            drop(opened);
            reserve::give_up(&self.place.folder).map_err(BindingsError::from)?;
            opened = Memory::open(&self.place, self.otp.as_ref(), &mut Vec::new())?;
            outcome = write(&mut opened);
            reserve::keep(&self.place.folder);
        }
        if !matches!(outcome, Err(BurnError::Bindings(_))) {
            *memory = Some(opened);
        }
        outcome
    }

    fn memory(&self) -> MutexGuard<'_, Option<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn open(
        place: &Arc<Place>,
        otp: Option<&OtpPlace>,
        repairs: &mut Vec<Repair>,
    ) -> Result<Self, BindingsError> {
        let record = Record::open(place, repairs)?;
        match otp {
            None => Ok(Self::Files(record)),
            Some(otp) => Fused::open(record, Otp::new(otp.clone()), repairs).map(Self::FilesAndFuses),
        }
    }

    const fn record(&self) -> &Record {
        match self {
            Self::Files(record) | Self::FilesAndFuses(Fused { record, .. }) => record,
        }
    }

    const fn record_mut(&mut self) -> &mut Record {
        match self {
            Self::Files(record) | Self::FilesAndFuses(Fused { record, .. }) => record,
        }
    }

    fn write_once_ref(&self) -> &dyn WriteOnce {
        match self {
            Self::Files(record) => record,
            Self::FilesAndFuses(fused) => fused,
        }
    }

    fn write_once(&mut self) -> &mut dyn WriteOnce {
        match self {
            Self::Files(record) => record,
            Self::FilesAndFuses(fused) => fused,
        }
    }

    fn burn(&mut self, key: Key, content: &impl Serialize, digest: FactDigest) -> Result<Burned, BurnError> {
        let content = &*encode(content)?;
        let fact = Fact { key, content, digest };
        self.record().give_up_reserve()?;
        match self.write_once().burn(&fact)? {
            Outcome::Burned => Ok(Burned::Now),
            Outcome::AlreadyBurned => Ok(Burned::AlreadyBurned),
            Outcome::Refused => Err(BindingsError::from(Tampering::Contradiction { key: key.name() }).into()),
        }
    }

    fn binding(&self) -> Result<Option<Binding>, BindingsError> {
        let stored = self.record().state().content::<StoredIntent>(Key::Binding)?;
        Ok(stored.map(|stored| stored.binding.clone()))
    }

    fn intent(&self) -> Result<Option<Intent>, BindingsError> {
        let state = self.record().state();
        let burned = state.content::<StoredIntent>(Key::Binding)?;
        let (key, stored) = match burned {
            Some(burned) => (Key::Binding, Some(burned)),
            None => (Key::Intent, state.content(Key::Intent)?),
        };
        stored.map(|stored: StoredIntent| stored.open(key)).transpose()
    }

    fn refuse_locked(&self) -> Result<(), BurnError> {
        let state = self.record().state();
        if let Some(tamper) = state.content(Key::Tamper)? {
            return Err(BurnError::Dead { tamper });
        }
        match state.content(Key::CardTerminated)? {
            Some(termination) => Err(BurnError::CardTerminated { termination }),
            None => Ok(()),
        }
    }

    fn value(&self, counter: Counter) -> u64 {
        let row = self.record().state().row(counter.key());
        row.map_or(0, |row| row.sequence)
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let values = Counter::ALL.map(|counter| (counter.name(), self.value(counter)));
        values.into_iter().filter(|(_, value)| *value > 0).collect()
    }

    fn rows(&self) -> Result<Vec<RowReport>, BindingsError> {
        let state = self.record().state();
        let report = |row: &row::Row| {
            Ok(RowReport {
                key: row.key.name(),
                sequence: row.sequence,
                time: words::time_of(state, row.key)?,
                digest: row.digest(),
            })
        };
        state.burned().iter().map(report).collect()
    }

    fn parts(&self) -> Result<Vec<PartReport>, BindingsError> {
        let mut parts = self.record().parts()?;
        if let Self::FilesAndFuses(fused) = self {
            parts.push(fused.part()?);
        }
        Ok(parts)
    }
}

/// Takes the folder for this process.
fn lock(folder: &Path) -> Result<File, BindingsError> {
    let path = folder.join("lock");
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = open.map_err(FileError::at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BindingsError::Locked),
        Err(TryLockError::Error(error)) => Err(FileError::at(&path)(error).into()),
    }
}

fn encode(content: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, BindingsError> {
    let content = serde_json::to_vec(content).map(Zeroizing::new);
    content.map_err(|_| BindingsError::Encode(RowFault::Content))
}
