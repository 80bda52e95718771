//! Every file damaged, deleted, cut off or put back, one at a time.
#![expect(clippy::arithmetic_side_effects, reason = "places in files are computed")]

use std::path::PathBuf;

use super::*;
use crate::crash::folder_in_memory;

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
    let copy = folder_in_memory();
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
#[ignore = "takes minutes: every bit; run it with --run-ignored all"]
fn no_flipped_bit_at_all_opens_the_fuse_as_written() {
    println!("{:?}", flip(false, 1));
}

#[test]
#[ignore = "takes minutes: every bit; run it with --run-ignored all"]
fn no_flipped_bit_at_all_opens_the_fuse_as_opened_again() {
    println!("{:?}", flip(true, 1));
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

#[test]
fn file_that_is_gone_or_cut_off_is_put_right() {
    for again in [false, true] {
        let original = in_the_field(again);
        let mut count = Count::default();
        for file in files_below(original.path()) {
            let length = fs::metadata(original.path().join(&file)).unwrap().len();
            let length = usize::try_from(length).unwrap();
            let written = used(&fs::read(original.path().join(&file)).unwrap());
            // sled fills its file up with zeros: what they are cut off from is sampled.
            let zeros = (written..length).step_by(65_536);
            for kept in (0..written).step_by(64).chain(zeros) {
                let what = format!("{} cut off behind {kept}", file.display());
                damaged(original.path(), &file, &what, &mut count, |content| {
                    content.truncate(kept)
                });
            }
            let copy = folder_in_memory();
            copy_folder(original.path(), copy.path());
            fs::remove_file(copy.path().join(&file)).unwrap();
            let what = format!("{} gone", file.display());
            must_not_be_unbound(copy.path(), &what, &mut count);
        }
        assert!(count.opened > 20, "{count:?}");
        assert_eq!(count.refused, 0, "{count:?}");
    }
}

#[test]
fn file_of_an_earlier_time_or_of_another_gateway_opens_no_fuse() {
    let original = in_the_field(true);
    let unbound = tempfile::tempdir().unwrap();
    drop(open(unbound.path()).unwrap());
    drop(open(unbound.path()).unwrap());
    let bound = bound();
    let other = tempfile::tempdir().unwrap();
    open(other.path()).unwrap().burn(&binding("fd00::2")).unwrap();
    for donor in [&unbound, &bound, &other] {
        let mut count = Count::default();
        for file in files_below(original.path()) {
            let given = donor.path().join(&file);
            let content = fs::read(given).unwrap_or_default();
            let what = format!("{} of another time", file.display());
            damaged(original.path(), &file, &what, &mut count, |own| *own = content);
        }
        // The copies of another binding under the same key contradict ours.
        let contradictions = if std::ptr::eq(donor, &other) { 2..=3 } else { 0..=0 };
        assert!(contradictions.contains(&count.refused), "{count:?}");
    }
}

#[test]
fn folders_taken_from_one_another_open_no_fuse() {
    let original = in_the_field(true);
    let unbound = tempfile::tempdir().unwrap();
    drop(open(unbound.path()).unwrap());
    let mut count = Count::default();
    // Any part or two of the three go back to before the burn.
    for back in [
        &["sled"][..],
        &["copy-a"],
        &["copy-b"],
        &["sled", "copy-a"],
        &["sled", "copy-b"],
        &["copy-a", "copy-b"],
    ] {
        let copy = folder_in_memory();
        copy_folder(original.path(), copy.path());
        for part in back {
            let (from, to) = (unbound.path().join(part), copy.path().join(part));
            if from.is_dir() {
                fs::remove_dir_all(&to).unwrap();
                copy_folder(&from, &to);
            } else {
                fs::copy(from, to).unwrap();
            }
        }
        must_not_be_unbound(copy.path(), &format!("{back:?} put back"), &mut count);
    }
    assert_eq!((count.opened, count.refused), (6, 0));
}

#[test]
fn no_flipped_bit_of_the_device_key_opens_the_fuse() {
    let unbound = folder_in_memory();
    drop(open(unbound.path()).unwrap());
    let bound = in_the_field(false);
    for bit in 0..32 * 8 {
        let mut key = [0x5a; 32];
        key[bit / 8] ^= 1 << (bit % 8);
        for folder in [&unbound, &bound] {
            let key = DeviceKey::new(key);
            let error = Bindings::open(folder.path(), Protection { key, otp: None }).unwrap_err();
            assert!(
                matches!(error, BindingsError::Tampered(_)),
                "bit {bit}: {error:?}"
            );
        }
    }
    // Nothing was written with the wrong key.
    assert_eq!(open(bound.path()).unwrap().repairs(), []);
}
