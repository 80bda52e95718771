//! The witness: a small file beside the database that knows its last head.
//!
//! It is written behind each commit and before the call returns. So a database from which commits are missing, since
//! bits of its log were flipped or an older copy lies in its place, is told from one that is whole.
//!
//! The file has two slots of 4,096 bytes, which are written in turn, so that a write that breaks off costs the older of
//! the two. A slot begins with:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SMGH` |
//! | 1 | version of the format, 1 |
//! | 8 | generation of the head, big-endian |
//! | 8 | first bytes of the SHA-256 digest of the head |
//! | 4 | CRC-32C over all bytes before, big-endian |
//!
//! Where the file system can, the 512 bytes that matter go past the page cache (`O_DIRECT`): a whole page for each
//! round would be a quarter of all that is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::checksum::{self, split_sound};
use super::head::Head;
use crate::FileError;
use crate::files;

const MAGIC: &[u8; 4] = b"SMGH";
const VERSION: u8 = 1;

/// The distance of the slots: no page and no sector holds both.
const SLOT: usize = 4_096;

/// What is written at once: a sector, as most devices have them. Memory and place are aligned to it.
const SECTOR: usize = 512;

/// The number of bytes of a slot that mean something.
const LENGTH: usize = 25;

/// Linux' `O_DIRECT`, where its value is known. Spec: Linux, include/uapi/asm-generic/fcntl.h, and the same file of
/// the 32-bit and 64-bit Arm architectures.
const O_DIRECT: Option<i32> = if cfg!(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "riscv64"
)) {
    Some(0x4000)
} else if cfg!(any(target_arch = "arm", target_arch = "aarch64")) {
    Some(0x1_0000)
} else {
    None
};

/// What the witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement {
    /// The generation of the last head.
    pub(super) generation: u64,
    /// The digest of the last head.
    pub(super) digest: u64,
}

/// The file.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    file: Option<Writer>,
    /// The slot that the next statement goes to.
    next: usize,
    /// What the file says, of two slots the newer one.
    statement: Option<Statement>,
    /// Whether both slots are sound.
    is_whole: bool,
    /// Whether there is room for both slots.
    has_room: bool,
}

#[derive(Debug)]
struct Writer {
    file: File,
    is_direct: bool,
}

impl Witness {
    /// Reads the file beside a database.
    ///
    /// # Errors
    ///
    /// [`FileError`] if there is one and it cannot be read.
    pub(super) fn read(database: &Path) -> Result<Self, FileError> {
        let path = database.with_extension("head");
        let limit = u64::try_from(SLOT.saturating_mul(2)).unwrap_or(u64::MAX);
        let content = files::read(&path, limit)?.unwrap_or_default();
        let slots = [
            content.get(..LENGTH),
            content.get(SLOT..SLOT.saturating_add(LENGTH)),
        ];
        let [first, second] = slots.map(|slot| slot.and_then(Statement::decode));
        let generation = |slot: &Option<Statement>| slot.map(|statement| statement.generation);
        let is_second_newer = generation(&second) > generation(&first);
        Ok(Self {
            path,
            file: None,
            next: if is_second_newer { 0 } else { 1 },
            statement: if is_second_newer { second } else { first },
            is_whole: first.is_some() && second.is_some(),
            has_room: content.len() == SLOT.saturating_mul(2),
        })
    }

    /// Returns what the file says; `None` if there is none, or nothing of it is sound.
    pub(super) const fn statement(&self) -> Option<Statement> {
        self.statement
    }

    /// Has the file say what the head is, as the head is known when the database is opened. A file that has room for it
    /// is written in place, so that a full disk does not keep the database shut.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be written.
    pub(super) fn settle(&mut self, head: &Head) -> Result<(), FileError> {
        if self.has_room {
            self.open()?;
            if !self.is_whole || self.statement != Some(Statement::of(head)) {
                self.write(head)?;
            }
            return Ok(());
        }
        let mut content = vec![0; SLOT.saturating_mul(2)];
        for slot in content.chunks_mut(SLOT) {
            let bytes = Statement::of(head).encode();
            slot.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        files::replace(
            self.path.parent().unwrap_or_else(|| Path::new(".")),
            &name,
            &content,
        )?;
        self.statement = Some(Statement::of(head));
        self.open()
    }

    /// Keeps the file open for what is to be written.
    fn open(&mut self) -> Result<(), FileError> {
        files::make_private(&self.path)?;
        let writer = Writer::open(&self.path).map_err(FileError::at(&self.path))?;
        self.file = Some(writer);
        Ok(())
    }

    /// Writes the head of a commit, onto the disk.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be written.
    pub(super) fn write(&mut self, head: &Head) -> Result<(), FileError> {
        let at = FileError::at(&self.path);
        let mut writer = match self.file.take() {
            Some(writer) => writer,
            // A write before this one has failed.
            None => Writer::open(&self.path).map_err(FileError::at(&self.path))?,
        };
        let place = u64::try_from(self.next.saturating_mul(SLOT)).unwrap_or_default();
        let statement = Statement::of(head);
        files::step(&self.path)
            .and_then(|()| writer.write(&self.path, &statement.encode(), place))
            .map_err(at)?;
        self.file = Some(writer);
        self.next ^= 1;
        self.statement = Some(statement);
        Ok(())
    }
}

impl Writer {
    /// Opens the file past the page cache, or as usual where that cannot be done.
    fn open(path: &Path) -> io::Result<Self> {
        let direct = O_DIRECT.map(|flag| OpenOptions::new().write(true).custom_flags(flag).open(path));
        match direct {
            Some(Ok(file)) => Ok(Self {
                file,
                is_direct: true,
            }),
            Some(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
            Some(Err(_)) | None => Self::open_usual(path),
        }
    }

    fn open_usual(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: OpenOptions::new().write(true).open(path)?,
            is_direct: false,
        })
    }

    fn write(&mut self, path: &Path, bytes: &[u8; LENGTH], place: u64) -> io::Result<()> {
        let mut buffer = vec![0; SECTOR.saturating_mul(2)];
        let start = buffer.as_ptr().align_offset(SECTOR);
        let sector = buffer.get_mut(start..start.saturating_add(SECTOR));
        let sector = sector.ok_or(io::ErrorKind::OutOfMemory)?;
        sector
            .iter_mut()
            .zip(bytes)
            .for_each(|(place, byte)| *place = *byte);
        match self.file.write_all_at(sector, place) {
            // The device has greater sectors, or the file system lets a file be opened so and not written.
            Err(error) if self.is_direct && error.kind() == io::ErrorKind::InvalidInput => {
                *self = Self::open_usual(path)?;
                self.file.write_all_at(sector, place)?;
            }
            done => done?,
        }
        self.file.sync_data()
    }
}

impl Statement {
    pub(super) fn of(head: &Head) -> Self {
        Self {
            generation: head.generation,
            digest: head.digest(),
        }
    }

    /// Returns whether it is about this head.
    pub(super) fn is_of(self, head: &Head) -> bool {
        self == Self::of(head)
    }

    fn encode(self) -> [u8; LENGTH] {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.digest.to_be_bytes());
        let sum = checksum_of(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes.try_into().unwrap_or([0; LENGTH])
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = split_sound(bytes, checksum_of)?;
        let bytes = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
        let (generation, digest) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            generation: u64::from_be_bytes(*generation),
            digest: u64::from_be_bytes(digest.try_into().ok()?),
        })
    }
}

fn checksum_of(content: &[u8]) -> u32 {
    let mut digest = checksum::begin();
    digest.update(content);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn head(generation: u64) -> Head {
        Head {
            generation,
            ..Head::default()
        }
    }

    fn generation(database: &Path) -> Option<u64> {
        let statement = Witness::read(database).unwrap().statement();
        statement.map(|statement| statement.generation)
    }

    #[test]
    fn last_head_is_known_and_a_broken_write_costs_one_statement() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let mut witness = Witness::read(&database).unwrap();
        assert_eq!(witness.statement(), None);
        witness.settle(&head(1)).unwrap();
        for number in 2..9 {
            witness.write(&head(number)).unwrap();
            assert_eq!(generation(&database), Some(number));
            let whole = fs::read(folder.path().join("x.head")).unwrap();
            assert_eq!(whole.len(), 8_192);
            for place in 0..whole.len() {
                if place % SLOT >= LENGTH {
                    continue;
                }
                let mut flipped = whole.clone();
                flipped[place] ^= 1;
                fs::write(folder.path().join("y.head"), flipped).unwrap();
                let found = generation(&folder.path().join("y.db")).unwrap();
                assert!([number - 1, number].contains(&found), "{place}");
            }
        }
        let mut witness = Witness::read(&database).unwrap();
        witness.write(&head(9)).unwrap();
        assert_eq!(generation(&database), Some(9));
    }

    #[test]
    fn statement_has_the_bytes_that_are_written_down() {
        let statement = Statement {
            generation: 3,
            digest: 4,
        };
        let bytes = statement.encode();
        assert_eq!(bytes[..21], *b"SMGH\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04");
        assert_eq!(Statement::decode(&bytes), Some(statement));
    }
}
