//! Fuses: words of a board's one-time programmable memory, whose bits go from 0 to 1 and never back.
//!
//! Linux shows them as a file, such as `/sys/bus/nvmem/devices/imx-ocotp0/nvmem`; where a board has
//! none, or in a test, any file of enough zeros stands for them. Each word is written once, whole, and
//! read back.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 16 | digest of the binding, zeros before it is burned |
//! | 16 | 4 | 01 00 00 00 once the digest is complete: the gateway is provisioned |
//! | 20 | 4 | 01 00 00 00 once the tamper lock is burned |
//! | 24 | 4 | 01 00 00 00 once the card has ended its life |
//!
//! A word counts as burned as soon as any of its bits is 1.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use model::Binding;
use sha2::{Digest, Sha256};

use super::BindingsError;
use super::report::Strength;
use super::row::Key;
use super::write_once::{Fact, FactDigest, Outcome, WriteOnce};

/// The length of a fuse word in bytes; a board programs whole words.
const WORD: usize = 4;

/// A word that says yes.
const MARK: [u8; WORD] = [1, 0, 0, 0];

const PROVISIONED: u64 = 16;
const TAMPER: u64 = 20;
const CARD_TERMINATED: u64 = 24;

/// Where the fuses are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtpPlace {
    /// The nvmem device, or a file that stands for it. It must exist.
    pub file: PathBuf,
    /// Where the gateway's words begin, in bytes from the start of the file; a multiple of 4.
    pub offset: u64,
}

impl OtpPlace {
    /// The number of bytes that the gateway takes up.
    pub const LENGTH: u64 = 28;
    /// The length of a fuse word in bytes.
    pub const WORD: u64 = 4;
}

/// Access to words that can be programmed, by their offset in bytes.
pub(super) trait Words: Send {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
}

impl Words for OtpPlace {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let file = OpenOptions::new().read(true).open(&self.file)?;
        file.read_at(bytes, self.offset.saturating_add(offset))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let file = OpenOptions::new().write(true).open(&self.file)?;
        let written = file.write_at(bytes, self.offset.saturating_add(offset))?;
        match file.sync_all() {
            // A device has nothing to sync, and some say so.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
            Ok(()) | Err(_) => Ok(written),
        }
    }
}

/// The gateway's words.
pub(super) struct Otp {
    words: Box<dyn Words>,
}

impl fmt::Debug for Otp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Otp").finish_non_exhaustive()
    }
}

impl Otp {
    /// The facts that have words.
    pub(super) const KEYS: [Key; 3] = [Key::Binding, Key::Tamper, Key::CardTerminated];

    pub(super) fn new(words: impl Words + 'static) -> Self {
        Self {
            words: Box::new(words),
        }
    }

    /// Burns a fact, or completes it where it was cut off.
    pub(super) fn burn_words(&self, fact: &Fact<'_>) -> Result<Outcome, OtpError> {
        let Some((mark, digest)) = layout(fact) else {
            return Ok(Outcome::Refused);
        };
        let wanted = digest.iter().flat_map(|digest| digest.as_chunks().0);
        let wanted = (0..).step_by(WORD).zip(wanted.copied());
        // The mark comes last: it says that the rest is complete.
        let wanted: Vec<(u64, [u8; WORD])> = wanted.chain([(mark, MARK)]).collect();
        let mut missing = Vec::new();
        for (offset, word) in wanted {
            let found = self.word(offset)?;
            if found.iter().zip(word).any(|(found, word)| found & !word != 0) {
                return Ok(Outcome::Refused);
            }
            if found != word {
                missing.push((offset, word));
            }
        }
        if missing.is_empty() {
            return Ok(Outcome::AlreadyBurned);
        }
        // A complete digest is never added to: words that are missing then belong to another one.
        if missing.iter().all(|(offset, _)| *offset != mark) {
            return Ok(Outcome::Refused);
        }
        for (offset, word) in missing {
            self.program(offset, word)?;
        }
        Ok(Outcome::Burned)
    }

    fn word(&self, offset: u64) -> Result<[u8; WORD], OtpError> {
        let mut word = [0; WORD];
        let read = self.words.read(offset, &mut word).map_err(OtpError::Read)?;
        if read == WORD {
            Ok(word)
        } else {
            Err(OtpError::ShortRead { offset, read })
        }
    }

    fn program(&self, offset: u64, word: [u8; WORD]) -> Result<(), OtpError> {
        let written = self.words.write(offset, &word).map_err(OtpError::Write)?;
        if written != WORD {
            return Err(OtpError::ShortWrite { offset, written });
        }
        let found = self.word(offset)?;
        if found == word {
            Ok(())
        } else {
            Err(OtpError::ReadBack { offset })
        }
    }
}

impl WriteOnce for Otp {
    fn strength(&self) -> Strength {
        Strength::Fuses
    }

    fn is_burned(&self, key: Key) -> Result<bool, BindingsError> {
        let fact = Fact {
            key,
            content: &[],
            digest: FactDigest::default(),
        };
        let Some((mark, digest)) = layout(&fact) else {
            return Ok(false);
        };
        let offsets = (0..PROVISIONED).step_by(WORD).filter(|_| digest.is_some());
        for offset in offsets.chain([mark]) {
            if self.word(offset)? != [0; WORD] {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn burn(&mut self, fact: &Fact<'_>) -> Result<Outcome, BindingsError> {
        Ok(self.burn_words(fact)?)
    }
}

/// Returns the offset of a fact's mark, and its digest if that is burned too; nothing if it has no words.
const fn layout(fact: &Fact<'_>) -> Option<(u64, Option<FactDigest>)> {
    match fact.key {
        Key::Binding => Some((PROVISIONED, Some(fact.digest))),
        Key::Tamper => Some((TAMPER, None)),
        Key::CardTerminated => Some((CARD_TERMINATED, None)),
        Key::Head | Key::CardSession | Key::PairingAttempt | Key::PairingFailed | Key::Intent => None,
    }
}

/// Returns the digest of a binding as it is burned: of one line for each of its parts.
pub(super) fn digest(binding: &Binding) -> FactDigest {
    let text = format!(
        "smgw-fuse 1\n{}\n{}\n{}\n{}\n",
        binding.card,
        binding.card_key,
        binding.gateway,
        binding.time.unix_seconds()
    );
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    digest.first_chunk().copied().unwrap_or_default()
}

/// The reason why fuses cannot be read or burned.
#[derive(Debug, thiserror::Error)]
pub enum OtpError {
    /// They cannot be read.
    #[error("the fuses cannot be read")]
    Read(#[source] io::Error),
    /// There are fewer than the gateway needs.
    #[error("the fuse word at offset {offset} has {read} bytes instead of 4: the file is too short")]
    ShortRead {
        /// The offset in bytes from the gateway's first word.
        offset: u64,
        /// The number of bytes that were read.
        read: usize,
    },
    /// They cannot be written.
    #[error("the fuses cannot be written")]
    Write(#[source] io::Error),
    /// A word was written in part.
    #[error("of the fuse word at offset {offset}, {written} of 4 bytes were written")]
    ShortWrite {
        /// The offset in bytes from the gateway's first word.
        offset: u64,
        /// The number of bytes that were written.
        written: usize,
    },
    /// A word does not say what was written to it.
    #[error("the fuse word at offset {offset} does not say what was burned into it")]
    ReadBack {
        /// The offset in bytes from the gateway's first word.
        offset: u64,
    },
}
