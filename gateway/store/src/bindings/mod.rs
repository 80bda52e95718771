//! The once-only rows: the binding and the tamper lock, burned as if into a fuse.
//!
//! No call clears or changes a burned row. A burn is acknowledged only when it is on the disk and
//! has been read back: intent (file, fsync), compare-and-swap from absent, flush, fsync of sled's
//! files and folders, read-back, marker (file, fsync). Whenever the power goes, the gateway finds
//! itself unbound, with an intent, or bound; whatever contradicts itself is [`Tampering`].
//!
//! Limits: rows and markers carry checksums, not yet a tag under a key of the device, and they
//! stand once. Whoever can write to the flash can forge or remove both.

mod engine;
mod error;
mod row;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Binding, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::files::{self, FileError};
use engine::Engine;
use row::{Key, Row};

pub use engine::{EngineError, Repair};
pub use error::{BindingsError, BurnError, Tampering};
pub use row::RowFault;

/// The once-only rows of one gateway.
#[derive(Debug)]
pub struct Bindings {
    folder: PathBuf,
    repairs: Vec<Repair>,
    rows: Mutex<Rows>,
    /// Held until the bindings are dropped.
    _lock: File,
}

#[derive(Debug)]
struct Rows {
    engine: Engine,
    /// A write has failed: what is in memory may not be on the disk.
    halted: bool,
}

/// The first phase of a binding: what the gateway is about to burn.
#[derive(Clone)]
pub struct Intent {
    /// The binding.
    pub binding: Binding,
    /// What the gateway shares with the card from then on, opaque here, at most
    /// [`Intent::MAX_PAIRING`] bytes; secret.
    pub pairing: Zeroizing<Vec<u8>>,
}

impl Intent {
    /// The greatest length of the pairing in bytes: a secret and what belongs to it.
    pub const MAX_PAIRING: usize = 1_024;
}

impl fmt::Debug for Intent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Intent")
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

/// The content of the intent's row; the pairing in hexadecimal digits.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct StoredIntent {
    #[zeroize(skip)]
    binding: Binding,
    pairing: String,
}

/// How a burn went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Burned {
    /// The row was burned by this call.
    Now,
    /// The same row had been burned before, as after a power cut.
    AlreadyBurned,
}

/// The tamper lock: why and when the gateway was given up for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tamper {
    /// Why, in up to [`Tamper::MAX_REASON`] characters.
    pub reason: String,
    /// When, by the gateway's clock.
    pub time: Timestamp,
}

impl Tamper {
    /// The greatest number of characters of a reason; what is longer is cut off, never refused.
    pub const MAX_REASON: usize = 200;
}

impl Bindings {
    /// Opens the bindings in a folder of their own, and makes it at the first start.
    ///
    /// What a power cut can leave behind is repaired, see [`Bindings::repairs`]; every row is checked.
    ///
    /// # Errors
    ///
    /// [`BindingsError::Tampered`] if a row is damaged, lost or contradicted; that is never reported as
    /// "unbound". [`BindingsError::Locked`] if another process has them open. Else what failed.
    pub fn open(folder: &Path) -> Result<Self, BindingsError> {
        files::make_folder(folder)?;
        let lock = lock(folder)?;
        let sled = folder.join("sled");
        if !Engine::exists(&sled) {
            for key in Key::BURNED {
                if read_marker(folder, key)?.is_some() {
                    return Err(Tampering::LostRow { key: key.name() }.into());
                }
            }
        }
        let mut repairs = Vec::new();
        let engine = Engine::open(&sled, &mut repairs)?;
        let rows = Rows {
            engine,
            halted: false,
        };
        rows.check(folder, &mut repairs)?;
        Ok(Self {
            folder: folder.to_owned(),
            repairs,
            rows: Mutex::new(rows),
            _lock: lock,
        })
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
    /// [`BindingsError`] if the row is damaged or cannot be read, or after a failed write.
    pub fn binding(&self) -> Result<Option<Binding>, BindingsError> {
        self.rows()?.content(Key::Binding)
    }

    /// Returns the tamper lock, or `None` if it has not been burned.
    ///
    /// # Errors
    ///
    /// As for [`Bindings::binding`].
    pub fn tampered(&self) -> Result<Option<Tamper>, BindingsError> {
        self.rows()?.content(Key::Tamper)
    }

    /// Returns the intent; behind a burn, it is the one that was burned.
    ///
    /// # Errors
    ///
    /// As for [`Bindings::binding`].
    pub fn intent(&self) -> Result<Option<Intent>, BindingsError> {
        drop(self.rows()?);
        Ok(read_intent(&self.folder)?.map(|(_, intent)| intent))
    }

    /// Writes down what is about to be burned; on return it is on the disk.
    ///
    /// An earlier intent is replaced. That ends with the burn.
    ///
    /// # Errors
    ///
    /// [`BurnError`] if the binding or the tamper lock has been burned, or if the write failed.
    pub fn begin(&self, intent: &Intent) -> Result<(), BurnError> {
        let mut rows = self.rows()?;
        rows.refuse_tampered()?;
        if let Some(burned) = rows.content(Key::Binding)? {
            return Err(BurnError::AlreadyBurned { burned });
        }
        rows.writing(|_| self.write_intent(intent))
    }

    /// Burns the binding; on return it is on the disk, for good.
    ///
    /// Burning the same binding again changes nothing and is no error, so that it can be repeated after a
    /// power cut. Without an intent, one with an empty pairing is written first.
    ///
    /// # Errors
    ///
    /// [`BurnError::AlreadyBurned`] if another binding has been burned, [`BurnError::OtherIntent`] if
    /// another one was begun, [`BurnError::Dead`] behind a tamper lock. Behind any other error the outcome
    /// is open; the bindings refuse every call until they are opened again.
    pub fn burn(&self, binding: &Binding) -> Result<Burned, BurnError> {
        let mut rows = self.rows()?;
        rows.refuse_tampered()?;
        if let Some(burned) = rows.content::<Binding>(Key::Binding)? {
            return if burned == *binding {
                Ok(Burned::AlreadyBurned)
            } else {
                Err(BurnError::AlreadyBurned { burned })
            };
        }
        let intended = read_intent(&self.folder)?.map(|(_, intent)| intent.binding);
        rows.writing(|rows| {
            match intended {
                Some(intended) if intended == *binding => {}
                Some(intended) => return Err(BurnError::OtherIntent { intended }),
                None => self.write_intent(&Intent {
                    binding: binding.clone(),
                    pairing: Zeroizing::default(),
                })?,
            }
            rows.burn(&self.folder, Key::Binding, binding)
        })?;
        Ok(Burned::Now)
    }

    /// Burns the tamper lock; on return it is on the disk, for good. The first reason stays.
    ///
    /// # Errors
    ///
    /// [`BurnError::Bindings`] if the write failed.
    pub fn burn_tamper(&self, reason: &str, time: Timestamp) -> Result<Burned, BurnError> {
        let mut rows = self.rows()?;
        if rows.content::<Tamper>(Key::Tamper)?.is_some() {
            return Ok(Burned::AlreadyBurned);
        }
        let reason = reason.chars().take(Tamper::MAX_REASON).collect();
        let tamper = Tamper { reason, time };
        rows.writing(|rows| rows.burn(&self.folder, Key::Tamper, &tamper))?;
        Ok(Burned::Now)
    }

    fn write_intent(&self, intent: &Intent) -> Result<(), BurnError> {
        if intent.pairing.len() > Intent::MAX_PAIRING {
            return Err(BurnError::PairingTooLong {
                found: intent.pairing.len(),
            });
        }
        let sequence = read_intent(&self.folder)?.map_or(0, |(sequence, _)| sequence);
        let stored = StoredIntent {
            binding: intent.binding.clone(),
            pairing: hex::encode(intent.pairing.as_slice()),
        };
        let row = encode(Key::Intent, sequence.saturating_add(1), &stored)?;
        files::replace(&self.folder, Key::Intent.name(), &row).map_err(BindingsError::from)?;
        Ok(())
    }

    /// Returns the rows, unless a write has failed.
    fn rows(&self) -> Result<MutexGuard<'_, Rows>, BindingsError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.halted {
            return Err(BindingsError::Halted);
        }
        Ok(rows)
    }
}

impl Rows {
    /// Reads and checks one burned row.
    fn row(&self, key: Key) -> Result<Option<(Vec<u8>, Row)>, BindingsError> {
        let Some(bytes) = self.engine.row(key)? else {
            return Ok(None);
        };
        let row = Row::decode(key, &bytes).map_err(|fault| damaged(key, fault))?;
        Ok(Some((bytes, row)))
    }

    fn content<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, BindingsError> {
        self.row(key)?
            .map(|(_, row)| parse(key, &row.content))
            .transpose()
    }

    fn refuse_tampered(&self) -> Result<(), BurnError> {
        match self.content(Key::Tamper)? {
            Some(tamper) => Err(BurnError::Dead { tamper }),
            None => Ok(()),
        }
    }

    /// Runs a write; if the disk fails it, nothing more is done until the bindings are opened again.
    fn writing(&mut self, write: impl FnOnce(&Self) -> Result<(), BurnError>) -> Result<(), BurnError> {
        let result = write(self);
        self.halted = matches!(result, Err(BurnError::Bindings(_)));
        result
    }

    /// Burns a row whose key is free, and marks it.
    fn burn(&self, folder: &Path, key: Key, content: &impl Serialize) -> Result<(), BurnError> {
        let burned = self.engine.names().map_err(BindingsError::from)?.len();
        let sequence = u64::try_from(burned).unwrap_or(u64::MAX).saturating_add(1);
        let row = encode(key, sequence, content)?;
        let is_burned = self.engine.burn(key, &row).map_err(BindingsError::from)?;
        let read_back = self.engine.row(key).map_err(BindingsError::from)?;
        if !is_burned || read_back.as_deref() != Some(row.as_slice()) {
            let key = key.name();
            return Err(BindingsError::from(Tampering::Contradiction { key }).into());
        }
        write_marker(folder, key, &row)?;
        Ok(())
    }

    /// Checks every row, its marker and the intent, and completes a burn that was cut off.
    fn check(&self, folder: &Path, repairs: &mut Vec<Repair>) -> Result<(), BindingsError> {
        for name in self.engine.names()? {
            if !Key::BURNED.iter().any(|key| key.name().as_bytes() == name) {
                let name = String::from_utf8_lossy(&name).into_owned();
                return Err(BindingsError::UnknownRow { name });
            }
        }
        for key in Key::BURNED {
            let row = self.row(key)?;
            match (row, read_marker(folder, key)?) {
                (None, None) => {}
                (None, Some(_)) => return Err(Tampering::LostRow { key: key.name() }.into()),
                (Some((row, _)), None) => {
                    self.engine.sync()?;
                    write_marker(folder, key, &row)?;
                    repairs.push(Repair::Marker { key: key.name() });
                }
                (Some((row, _)), Some(marked)) => {
                    if marked != marker(key, &row) {
                        return Err(Tampering::Contradiction { key: key.name() }.into());
                    }
                }
            }
        }
        self.content::<Tamper>(Key::Tamper)?;
        let intended = read_intent(folder)?.map(|(_, intent)| intent.binding);
        let burned = self.content::<Binding>(Key::Binding)?;
        if burned.is_some() && burned != intended {
            let key = Key::Intent.name();
            return Err(Tampering::Contradiction { key }.into());
        }
        Ok(())
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

fn damaged(key: Key, fault: RowFault) -> BindingsError {
    let key = key.name();
    Tampering::DamagedRow { key, fault }.into()
}

fn encode(key: Key, sequence: u64, content: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, BindingsError> {
    let content = serde_json::to_vec(content).map(Zeroizing::new);
    let content = content.map_err(|_| BindingsError::Encode(RowFault::Content))?;
    Row::encode(key, sequence, &content).map_err(BindingsError::Encode)
}

fn parse<T: DeserializeOwned>(key: Key, content: &[u8]) -> Result<T, BindingsError> {
    serde_json::from_slice(content).map_err(|_| damaged(key, RowFault::Content))
}

fn read_intent(folder: &Path) -> Result<Option<(u64, Intent)>, BindingsError> {
    let key = Key::Intent;
    let Some(bytes) = files::read(&folder.join(key.name()), Row::MAX_LENGTH)? else {
        return Ok(None);
    };
    let row = Row::decode(key, &Zeroizing::new(bytes)).map_err(|fault| damaged(key, fault))?;
    let stored: StoredIntent = parse(key, &row.content)?;
    let pairing = hex::decode(stored.pairing.as_bytes()).map_err(|_| damaged(key, RowFault::Content))?;
    let intent = Intent {
        binding: stored.binding.clone(),
        pairing: Zeroizing::new(pairing),
    };
    Ok(Some((row.sequence, intent)))
}

/// Returns the marker of a row: one line with its key and the SHA-256 digest of all its bytes.
fn marker(key: Key, row: &[u8]) -> Vec<u8> {
    let digest = hex::encode(Sha256::digest(row));
    format!("smgw-burned 1 {} {digest}\n", key.name()).into_bytes()
}

fn marker_name(key: Key) -> String {
    format!("{}.burned", key.name())
}

fn read_marker(folder: &Path, key: Key) -> Result<Option<Vec<u8>>, BindingsError> {
    Ok(files::read(&folder.join(marker_name(key)), Row::MAX_LENGTH)?)
}

fn write_marker(folder: &Path, key: Key, row: &[u8]) -> Result<(), BindingsError> {
    Ok(files::replace(folder, &marker_name(key), &marker(key, row))?)
}
