//! Every file damaged, deleted, cut off or put back, one at a time.
#![expect(clippy::arithmetic_side_effects, reason = "places in files are computed")]

use std::path::PathBuf;

use super::*;
use crate::crash::copy_folder;

/// What was made of a damaged folder, counted.
#[derive(Debug, Default)]
struct Count {
    opened: usize,
    refused: usize,
}

/// Opens a damaged folder: whatever it answers, it is neither unbound nor bound to another card.
fn must_not_be_unbound(folder: &Path, what: &str, count: &mut Count) {
    match open(folder) {
        Err(BindingsError::Tampered(_)) => count.refused += 1,
        Err(error) => panic!("{what}: {error:?}"),
        Ok(bindings) => {
            assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")), "{what}");
            assert_eq!(bindings.counter(Counter::CardSession).unwrap(), 3, "{what}");
            let intent = bindings.intent().unwrap().unwrap();
            assert_eq!(*intent.pairing, b"secret", "{what}");
            let error = bindings.burn(&binding("fd00::2")).unwrap_err();
            assert!(
                matches!(error, BurnError::AlreadyBurned { .. }),
                "{what}: {error:?}"
            );
            count.opened += 1;
        }
    }
}

/// Bindings of a gateway in the field: bound, and with a counter.
///
/// Once as written, and once opened again, when sled has a snapshot and a padded data file.
fn in_the_field(again: bool) -> tempfile::TempDir {
    let folder = bound();
    open(folder.path())
        .unwrap()
        .advance(Counter::CardSession, 3)
        .unwrap();
    if again {
        drop(open(folder.path()).unwrap());
    }
    folder
}

/// Returns the paths of the files below a folder, without the folder, but for the reserve.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = files::entries(folder).unwrap();
    found.extend(files::entries(&folder.join("sled")).unwrap());
    let found = found.into_iter().filter(|path| path.is_file());
    let relative = found.map(|path| path.strip_prefix(folder).unwrap().to_owned());
    relative.filter(|path| !path.ends_with("reserve")).collect()
}

/// Lets `damage` change the content of a file of a copy of the folder, and opens that.
fn damaged(original: &Path, file: &Path, what: &str, count: &mut Count, damage: impl FnOnce(&mut Vec<u8>)) {
    // Memory, where the machine has it: a disk would have to sync some 100,000 times.
    let memory = Path::new("/dev/shm");
    let copy = if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    copy_folder(original, copy.path());
    let mut content = fs::read(original.join(file)).unwrap();
    damage(&mut content);
    fs::write(copy.path().join(file), content).unwrap();
    must_not_be_unbound(copy.path(), what, count);
}

/// The offset behind the last byte of a file that is not zero.
fn used(content: &[u8]) -> usize {
    content
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1)
}

/// Flips every `distance`th bit of the used part of every file, and some bits of the rest.
fn flip(again: bool, distance: usize) -> Count {
    let original = in_the_field(again);
    let mut count = Count::default();
    for file in files_below(original.path()) {
        let content = fs::read(original.path().join(&file)).unwrap();
        let written = used(&content) * 8;
        let rest = (written..content.len() * 8).step_by((content.len() / 16) | 1);
        for bit in (0..written).step_by(distance).chain(rest) {
            let what = format!("{} bit {bit}", file.display());
            damaged(original.path(), &file, &what, &mut count, |content| {
                content[bit / 8] ^= 1 << (bit % 8);
            });
        }
    }
    count
}

#[test]
fn no_flipped_bit_opens_the_fuse() {
    for again in [false, true] {
        // A prime, so that all bits of a byte have their turn.
        let count = flip(again, 61);
        assert!(count.opened > 0, "{count:?}");
        assert_eq!(count.refused, 0, "one damaged file is always put right");
    }
}
