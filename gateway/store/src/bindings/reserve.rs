//! Space that is kept aside, so that a full disk never keeps the bindings from being opened or burned.
//!
//! A file that is given up right before a burn, or when the disk turns out to be full, and made again
//! behind it. Its content means nothing. It does not compress, or a compressing flash file system
//! would reserve next to nothing.

use std::path::Path;

use crate::files::{self, FileError};

/// The length of the file in bytes: sled's data, once more while they are rebuilt, both copies and
/// what a file system adds (storage facts: 540 KiB of data at most for so few rows).
pub(super) const BYTES: u64 = 2 << 20;

const NAME: &str = "reserve";

/// The bytes that do not compress before they repeat: file systems compress 128 KiB at most at a time.
const NOISE: usize = 128 << 10;

/// Returns how much space is kept aside, in bytes.
pub(super) fn kept(folder: &Path) -> u64 {
    std::fs::metadata(folder.join(NAME)).map_or(0, |file| file.len())
}

/// Keeps the space aside, or as much of it as there is; a disk that fails here is noticed elsewhere.
pub(super) fn keep(folder: &Path) {
    if kept(folder) < BYTES {
        drop(files::lengthen(folder, NAME, &noise(), BYTES));
    }
}

/// Gives the space up; returns whether there was any.
pub(super) fn give_up(folder: &Path) -> Result<bool, FileError> {
    files::remove(folder, NAME)
}

/// Returns bytes that do not compress, always the same: Marsaglia's xorshift64.
fn noise() -> Vec<u8> {
    let mut noise = Vec::with_capacity(NOISE);
    let mut word: u64 = 0x9e37_79b9_7f4a_7c15;
    while noise.len() < NOISE {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        noise.extend_from_slice(&word.to_le_bytes());
    }
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_is_kept_given_up_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for _ in 0..2 {
            assert_eq!(kept(folder), 0);
            keep(folder);
            keep(folder);
            assert_eq!(kept(folder), BYTES);
            assert!(give_up(folder).unwrap());
            assert!(!give_up(folder).unwrap());
        }
        std::fs::write(folder.join(NAME), "some").unwrap();
        assert_eq!(kept(folder), 4);
        keep(folder);
        assert_eq!(kept(folder), BYTES);
        keep(&folder.join("missing"));
    }
}
