//! Memories that take a fact once and keep it: files, fuses, and both together.

use super::BindingsError;
use super::error::Tampering;
use super::otp::Otp;
use super::record::Record;
use super::report::{Health, PartReport, Repair, Strength};
use super::row::Key;

/// What is burned for good, in the forms that the memories keep.
#[derive(Clone, Copy)]
pub(super) struct Fact<'a> {
    /// Which fact.
    pub(super) key: Key,
    /// All of it, for memories that can keep that much; may be secret.
    pub(super) content: &'a [u8],
    /// Its digest, for those that cannot.
    pub(super) digest: FactDigest,
}

/// The SHA-256 digest of a fact, cut off to 128 bits: fuses are few.
pub(super) type FactDigest = [u8; 16];

/// How an attempt to burn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The fact was burned by this attempt.
    Burned,
    /// The same fact had been burned before.
    AlreadyBurned,
    /// Another fact has been burned under its key; nothing was changed.
    Refused,
}

/// A memory that takes each fact once.
pub(super) trait WriteOnce {
    /// Returns what it takes to undo what was burned.
    fn strength(&self) -> Strength;

    /// Returns whether a fact has been burned under the key.
    fn is_burned(&self, key: Key) -> Result<bool, BindingsError>;

    /// Burns a fact unless one has been burned under its key; on return it is there for good.
    ///
    /// Behind an error the outcome is open: the memory must be opened again.
    fn burn(&mut self, fact: &Fact<'_>) -> Result<Outcome, BindingsError>;
}

/// Files and fuses together: the record in the files, its digest in the fuses. They must agree.
#[derive(Debug)]
pub(super) struct Fused {
    pub(super) record: Record,
    pub(super) otp: Otp,
}

impl Fused {
    /// Compares the files with the fuses, and burns into the fuses what was burned into the files alone.
    ///
    /// The files are burned first. So fuses that lag behind were cut off, or are new; files that lag
    /// behind were lost or put back.
    pub(super) fn open(record: Record, otp: Otp, repairs: &mut Vec<Repair>) -> Result<Self, BindingsError> {
        let fused = Self { record, otp };
        for key in Otp::KEYS {
            let Some(fact) = fused.record.fact(key)? else {
                if fused.otp.is_burned(key)? {
                    return Err(Tampering::LostRow { key: key.name() }.into());
                }
                continue;
            };
            match fused.otp.burn_words(&fact)? {
                Outcome::Burned => repairs.push(Repair::FuseBurned { key: key.name() }),
                Outcome::AlreadyBurned => {}
                Outcome::Refused => return Err(Tampering::Contradiction { key: key.name() }.into()),
            }
        }
        Ok(fused)
    }

    /// Looks at the fuses as they are at this moment.
    pub(super) fn part(&self) -> Result<PartReport, BindingsError> {
        let mut health = Health::Sound;
        for key in Otp::KEYS {
            if self.record.is_burned(key)? != self.otp.is_burned(key)? {
                health = Health::Damaged;
            }
        }
        Ok(PartReport {
            name: "fuses",
            health,
            generation: None,
        })
    }
}

impl WriteOnce for Fused {
    fn strength(&self) -> Strength {
        Strength::FilesAndFuses
    }

    fn is_burned(&self, key: Key) -> Result<bool, BindingsError> {
        Ok(self.record.is_burned(key)? || self.otp.is_burned(key)?)
    }

    fn burn(&mut self, fact: &Fact<'_>) -> Result<Outcome, BindingsError> {
        // Fuses that are burned while the files are not were burned behind our back.
        if !self.record.is_burned(fact.key)? && self.otp.is_burned(fact.key)? {
            let key = fact.key.name();
            return Err(Tampering::LostRow { key }.into());
        }
        match self.record.burn(fact)? {
            Outcome::Refused => Ok(Outcome::Refused),
            outcome @ (Outcome::Burned | Outcome::AlreadyBurned) => match self.otp.burn(fact)? {
                Outcome::Refused => {
                    let key = fact.key.name();
                    Err(Tampering::Contradiction { key }.into())
                }
                Outcome::Burned | Outcome::AlreadyBurned => Ok(outcome),
            },
        }
    }
}
