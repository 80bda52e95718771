//! The two sealed copies beside the engine: each is everything that the bindings keep, in one file.
//!
//! All numbers are big-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SMGC` |
//! | 1 | version of the format: 1 |
//! | 8 | generation: grows with each file that is written, so that it tells which is newer |
//! | 1 | number of rows |
//! | 4 + n | for each row: length of the row, row |
//! | 32 | HMAC-SHA-256 of everything before, under the device key |
//!
//! The files are written one behind the other, the older one first, each as a whole beside its old self:
//! at every instant at least one is sound.

use std::path::Path;

use zeroize::Zeroizing;

use super::BindingsError;
use super::device_key::{DeviceKey, TAG_LENGTH};
use super::error::Tampering;
use super::row::{Row, RowFault};
use super::state::State;
use crate::files;

/// The names of the files.
pub(super) const NAMES: [&str; 2] = ["copy-a", "copy-b"];

const MAGIC: &[u8; 4] = b"SMGC";
const VERSION: u8 = 1;

/// The greatest number of rows: every key once, with room for those of later versions.
const MAX_ROWS: usize = 16;

/// The greatest length of a copy in bytes.
const MAX_LENGTH: u64 = 256 << 10;

/// A copy as it was found.
#[derive(Debug)]
pub(super) enum Found {
    Missing,
    /// Cut off, altered, or sealed with another device key.
    Damaged,
    Sound(Copy),
}

/// An authentic copy.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) generation: u64,
    pub(super) rows: Vec<Row>,
}

/// Reads a copy.
///
/// # Errors
///
/// If it is authentic and a newer gateway wrote it, or if the file cannot be read at all.
pub(super) fn read(device: &DeviceKey, folder: &Path, name: &'static str) -> Result<Found, BindingsError> {
    let Some(bytes) = files::read(&folder.join(name), MAX_LENGTH)?.map(Zeroizing::new) else {
        return Ok(Found::Missing);
    };
    let Some((sealed, tag)) = bytes.split_last_chunk::<TAG_LENGTH>() else {
        return Ok(Found::Damaged);
    };
    if !sealed.starts_with(MAGIC) || !device.is_tag(sealed, tag) {
        return Ok(Found::Damaged);
    }
    // It is authentic: what cannot be understood now was written by another version, not damaged.
    match decode(device, sealed)? {
        Some(copy) => Ok(Found::Sound(copy)),
        None => Err(Tampering::Contradiction { key: name }.into()),
    }
}

/// Takes an authentic copy apart; `None` if it is not what this gateway writes.
fn decode(device: &DeviceKey, sealed: &[u8]) -> Result<Option<Copy>, BindingsError> {
    let Some((&version, rest)) = sealed.strip_prefix(MAGIC).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if version > VERSION {
        return Err(BindingsError::TooNew { found: version });
    }
    let Some((generation, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    let Some((&count, mut rest)) = rest.split_first() else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    for _ in 0..usize::from(count).min(MAX_ROWS) {
        let Some((length, behind)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((bytes, behind)) = behind.split_at_checked(length) else {
            return Ok(None);
        };
        match Row::open_any(device, bytes) {
            Ok((_, Some(row))) => rows.push(row),
            Ok((name, None)) => return Err(BindingsError::unknown_row(name)),
            Err(RowFault::Newer { found }) => return Err(BindingsError::TooNew { found }),
            Err(_) => return Ok(None),
        }
        rest = behind;
    }
    let is_whole = rest.is_empty() && usize::from(count) == rows.len() && version == VERSION;
    let generation = u64::from_be_bytes(*generation);
    Ok(is_whole.then_some(Copy { generation, rows }))
}

/// Replaces a copy and reads it back; on return it is on the disk.
pub(super) fn write(
    device: &DeviceKey,
    folder: &Path,
    name: &'static str,
    generation: u64,
    state: &State,
) -> Result<(), BindingsError> {
    let bytes = encode(device, generation, state).map_err(BindingsError::Encode)?;
    files::replace(folder, name, &bytes)?;
    let read_back = files::read(&folder.join(name), MAX_LENGTH)?.map(Zeroizing::new);
    if read_back.as_ref().map(|bytes| bytes.as_slice()) == Some(bytes.as_slice()) {
        Ok(())
    } else {
        Err(Tampering::Contradiction { key: name }.into())
    }
}

fn encode(device: &DeviceKey, generation: u64, state: &State) -> Result<Zeroizing<Vec<u8>>, RowFault> {
    let count = u8::try_from(state.rows().count()).map_err(|_| RowFault::Length)?;
    let length: usize = state.rows().map(|row| row.bytes.len().saturating_add(4)).sum();
    // Allocated once, so that no half-written copy is left behind in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(64)));
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.push(count);
    for row in state.rows() {
        let length = u32::try_from(row.bytes.len()).map_err(|_| RowFault::Length)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&row.bytes);
    }
    let tag = device.tag(&bytes);
    bytes.extend_from_slice(&tag);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::row::Key;
    use super::*;

    fn device() -> DeviceKey {
        DeviceKey::new([1; 32])
    }

    fn state() -> State {
        let mut state = State::blank(&device()).unwrap();
        let next = state.next(&device(), Key::Binding, b"{}").unwrap();
        state.push(next);
        state
    }

    /// Puts an authentic file there, whatever it says.
    fn sealed(folder: &Path, content: &[u8]) -> Result<Found, BindingsError> {
        let tag = device().tag(content);
        fs::write(folder.join("copy-a"), [content, &tag].concat()).unwrap();
        read(&device(), folder, "copy-a")
    }

    #[test]
    fn copy_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        write(&device(), folder.path(), "copy-a", 7, &state()).unwrap();
        let Found::Sound(copy) = read(&device(), folder.path(), "copy-a").unwrap() else {
            panic!("not sound");
        };
        assert_eq!(copy.generation, 7);
        assert!(copy.rows.iter().eq(state().rows()));
        assert!(matches!(
            read(&device(), folder.path(), "copy-b"),
            Ok(Found::Missing)
        ));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = encode(&device(), 7, &state()).unwrap();
        let is_damaged = |bytes: &[u8]| {
            fs::write(folder.path().join("copy-a"), bytes).unwrap();
            matches!(read(&device(), folder.path(), "copy-a"), Ok(Found::Damaged))
        };
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(is_damaged(&flipped), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(is_damaged(&bytes[..length]), "length {length}");
        }
    }

    #[test]
    fn copy_of_a_newer_gateway_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let newer = sealed(folder, b"SMGC\x02");
        assert!(
            matches!(newer, Err(BindingsError::TooNew { found: 2 })),
            "{newer:?}"
        );
        let mut row = b"SMGW\x02\x04fuse".to_vec();
        row.extend_from_slice(&[0; 44]);
        row.extend_from_slice(&device().tag(&row));
        let length = u8::try_from(row.len()).unwrap();
        let head = b"SMGC\x01\0\0\0\0\0\0\0\x01\x01\0\0\0";
        let unknown = sealed(folder, &[head.as_slice(), &[length], &row].concat());
        assert!(
            matches!(&unknown, Err(BindingsError::UnknownRow { name }) if name == "fuse"),
            "{unknown:?}"
        );
        let mut row = b"SMGW\x03".to_vec();
        row.extend_from_slice(&device().tag(&row));
        let length = u8::try_from(row.len()).unwrap();
        let newer = sealed(folder, &[head.as_slice(), &[length], &row].concat());
        assert!(
            matches!(newer, Err(BindingsError::TooNew { found: 3 })),
            "{newer:?}"
        );
    }

    #[test]
    fn authentic_copy_that_is_not_ours_is_a_contradiction() {
        let folder = tempfile::tempdir().unwrap();
        for content in [
            &b"SMGC"[..],
            b"SMGC\x01",
            b"SMGC\x01\0\0\0\0\0\0\0\x01",
            b"SMGC\x00\0\0\0\0\0\0\0\x01\x00",
            b"SMGC\x01\0\0\0\0\0\0\0\x01\x00more",
            b"SMGC\x01\0\0\0\0\0\0\0\x01\x01\0\0",
            b"SMGC\x01\0\0\0\0\0\0\0\x01\x01\0\0\0\x09row",
            b"SMGC\x01\0\0\0\0\0\0\0\x01\x01\0\0\0\x03row",
        ] {
            let found = sealed(folder.path(), content);
            let contradiction = Tampering::Contradiction { key: "copy-a" };
            assert!(
                matches!(&found, Err(BindingsError::Tampered(tampering)) if *tampering == contradiction),
                "{found:?}"
            );
        }
    }
}
