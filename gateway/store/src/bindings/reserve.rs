//! Space that is kept aside, so that a full disk never keeps the bindings from being opened or burned.
//!
//! A file that is given up right before a burn, or when the disk turns out to be full, and made again
//! behind it. Its content means nothing. It does not compress, or a compressing flash file system
//! would reserve next to nothing.

use std::path::Path;

use crate::files::{self, FileError};

/// The length of the file in bytes: sled's data, once more while they are rebuilt, both copies and
/// what a file system adds (storage facts: 540 KiB of data at most for so few rows).
pub(super) const BYTES: usize = 2 << 20;

const NAME: &str = "reserve";

/// Returns whether the space is kept aside.
pub(super) fn is_there(folder: &Path) -> bool {
    let length = std::fs::metadata(folder.join(NAME)).map(|file| file.len());
    length.ok().and_then(|length| usize::try_from(length).ok()) == Some(BYTES)
}

/// Keeps the space aside; returns whether there was enough.
pub(super) fn keep(folder: &Path) -> bool {
    if is_there(folder) {
        return true;
    }
    let is_kept = files::replace(folder, NAME, &noise()).is_ok();
    if !is_kept {
        // Half a reserve is none, and whoever filled the disk may need the space; it is made next time.
        drop(files::remove(folder, "reserve.tmp"));
    }
    is_kept
}

/// Gives the space up; returns whether there was any.
pub(super) fn give_up(folder: &Path) -> Result<bool, FileError> {
    files::remove(folder, NAME)
}

/// Returns bytes that do not compress, always the same: Marsaglia's xorshift64.
fn noise() -> Vec<u8> {
    let mut noise = Vec::with_capacity(BYTES);
    let mut word: u64 = 0x9e37_79b9_7f4a_7c15;
    while noise.len() < BYTES {
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
            assert!(!is_there(folder));
            assert!(keep(folder) && keep(folder));
            assert!(is_there(folder));
            assert!(give_up(folder).unwrap());
            assert!(!give_up(folder).unwrap());
        }
        std::fs::write(folder.join(NAME), "half").unwrap();
        assert!(!is_there(folder));
        assert!(keep(folder));
        assert!(!keep(&folder.join("missing")));
    }
}
