//! Fuse words, alone and together with the files.

use std::io;

use super::otp::Words;
use super::*;

fn otp_file(folder: &Path) -> OtpPlace {
    let file = folder.join("otp");
    if !file.exists() {
        fs::write(&file, [0; 64]).unwrap();
    }
    OtpPlace { file, offset: 8 }
}

fn open_fused(folder: &Path) -> Result<Bindings, BindingsError> {
    let protection = Protection {
        key: device(),
        otp: Some(otp_file(folder)),
    };
    Bindings::open(&folder.join("bindings"), protection)
}

fn bound_and_fused() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bindings = open_fused(folder.path()).unwrap();
    bindings.begin(&intent("fd00::1")).unwrap();
    assert_eq!(bindings.burn(&binding("fd00::1")).unwrap(), Burned::Now);
    folder
}

fn fuse_tampering(folder: &Path) -> Tampering {
    match open_fused(folder) {
        Err(BindingsError::Tampered(tampering)) => tampering,
        other => panic!("{other:?}"),
    }
}

#[test]
fn binding_is_burned_into_files_and_fuses() {
    let folder = bound_and_fused();
    let words = fs::read(folder.path().join("otp")).unwrap();
    assert_eq!(words[..8], [0; 8]);
    // Made with: printf 'smgw-fuse 1\nfd00::1\n%s\n%s\n1795435200\n' 0707… 0909… | sha256sum | cut -c-32
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/store/bindings-v2/fuses");
    assert_eq!(words[8..28], fs::read(golden).unwrap()[..20]);
    assert_eq!(words[28..], [0; 36]);
    let bindings = open_fused(folder.path()).unwrap();
    assert_eq!(bindings.repairs(), []);
    let report = bindings.report().unwrap();
    assert_eq!(report.strength, Strength::FilesAndFuses);
    let fuses = report.parts.last().unwrap();
    assert_eq!((fuses.name, fuses.health), ("fuses", Health::Sound));
    bindings.burn_tamper("x", now()).unwrap();
    bindings.burn_card_terminated(now()).unwrap();
    let words = fs::read(folder.path().join("otp")).unwrap();
    assert_eq!(words[24..36], [1, 0, 0, 0].repeat(3));
}

#[test]
fn files_that_were_deleted_or_put_back_together_are_tampered() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_fused(folder.path()).unwrap());
    let unbound = tempfile::tempdir().unwrap();
    let bindings = folder.path().join("bindings");
    copy_folder(&bindings, unbound.path());
    let folder = bound_and_fused();
    let bindings = folder.path().join("bindings");
    fs::remove_dir_all(&bindings).unwrap();
    let lost = Tampering::LostRow { key: "binding" };
    assert_eq!(fuse_tampering(folder.path()), lost);
    assert_eq!(fuse_tampering(folder.path()), lost);
    fs::remove_dir_all(&bindings).unwrap();
    copy_folder(unbound.path(), &bindings);
    assert_eq!(fuse_tampering(folder.path()), lost);
}

#[test]
fn tamper_lock_cannot_be_put_back_either() {
    let folder = bound_and_fused();
    let bindings = folder.path().join("bindings");
    let before = tempfile::tempdir().unwrap();
    copy_folder(&bindings, before.path());
    open_fused(folder.path())
        .unwrap()
        .burn_tamper("x", now())
        .unwrap();
    fs::remove_dir_all(&bindings).unwrap();
    copy_folder(before.path(), &bindings);
    assert_eq!(
        fuse_tampering(folder.path()),
        Tampering::LostRow { key: "tamper" }
    );
}

#[test]
fn fuses_of_another_binding_are_a_contradiction() {
    let folder = bound_and_fused();
    let original = fs::read(folder.path().join("otp")).unwrap();
    let contradiction = Tampering::Contradiction { key: "binding" };
    for bit in 0..16 * 8 {
        let mut words = original.clone();
        words[8 + bit / 8] ^= 1 << (bit % 8);
        fs::write(folder.path().join("otp"), &words).unwrap();
        assert_eq!(fuse_tampering(folder.path()), contradiction, "bit {bit}");
    }
}

#[test]
fn burn_that_was_cut_off_in_the_fuses_is_completed() {
    let folder = bound_and_fused();
    let otp = folder.path().join("otp");
    let original = fs::read(&otp).unwrap();
    // The words are burned from the first to the last.
    for burned in 0..5 {
        let mut words = original.clone();
        words[8 + burned * 4..].fill(0);
        fs::write(&otp, &words).unwrap();
        let bindings = open_fused(folder.path()).unwrap();
        assert_eq!(bindings.repairs(), [Repair::FuseBurned { key: "binding" }]);
        assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
        assert_eq!(fs::read(&otp).unwrap(), original);
    }
    // Without the row in the files, even a begun digest is a sign that it was there.
    for burned in 1..5 {
        let mut words = original.clone();
        words[8 + burned * 4..].fill(0);
        fs::write(&otp, &words).unwrap();
        fs::remove_dir_all(folder.path().join("bindings")).unwrap();
        assert_eq!(
            fuse_tampering(folder.path()),
            Tampering::LostRow { key: "binding" }
        );
    }
}

#[test]
fn gateway_that_gets_fuses_later_burns_them_at_its_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("bindings");
    open(&files).unwrap().burn(&binding("fd00::1")).unwrap();
    let bindings = open_fused(folder.path()).unwrap();
    assert_eq!(bindings.repairs(), [Repair::FuseBurned { key: "binding" }]);
}

#[test]
fn fuses_that_change_behind_the_back_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = open_fused(folder.path()).unwrap();
    let otp = folder.path().join("otp");
    fs::write(&otp, [0xff; 64]).unwrap();
    let fuses = bindings.report().unwrap().parts.pop().unwrap();
    assert_eq!(fuses.health, Health::Damaged);
    let error = bindings.burn(&binding("fd00::1")).unwrap_err();
    assert!(
        matches!(
            error,
            BurnError::Bindings(BindingsError::Tampered(Tampering::LostRow { key: "binding" }))
        ),
        "{error:?}"
    );
}

/// Words in memory that behave as fuses do: bits go from 0 to 1. They can be made to fail.
#[derive(Clone, Default)]
struct Board {
    words: Arc<Mutex<Vec<u8>>>,
    fault: Arc<Mutex<Option<Fault>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    ReadFails,
    ShortRead,
    WriteFails,
    ShortWrite,
    BitStays,
}

impl Board {
    fn new() -> Self {
        Self {
            words: Arc::new(Mutex::new(vec![0; 28])),
            ..Self::default()
        }
    }

    fn has(&self, fault: Fault) -> bool {
        *self.fault.lock().unwrap() == Some(fault)
    }
}

impl Words for Board {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        if self.has(Fault::ReadFails) {
            return Err(io::Error::other("EIO"));
        }
        let start = usize::try_from(offset).unwrap();
        let length = if self.has(Fault::ShortRead) {
            2
        } else {
            bytes.len()
        };
        bytes[..length].copy_from_slice(&self.words.lock().unwrap()[start..][..length]);
        Ok(length)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if self.has(Fault::WriteFails) {
            return Err(io::Error::other("EIO"));
        }
        let start = usize::try_from(offset).unwrap();
        let length = if self.has(Fault::ShortWrite) {
            2
        } else {
            bytes.len()
        };
        let mut words = self.words.lock().unwrap();
        for (word, byte) in words[start..].iter_mut().zip(&bytes[..length]) {
            if !self.has(Fault::BitStays) {
                *word |= byte;
            }
        }
        Ok(length)
    }
}

fn fact<'a>(key: Key, content: &'a [u8], digest: FactDigest) -> Fact<'a> {
    Fact { key, content, digest }
}

/// What holds for every memory that takes a fact once.
fn takes_each_fact_once(memory: &mut dyn WriteOnce) {
    let first = StoredIntent::new(&intent("fd00::1")).unwrap();
    let second = StoredIntent::new(&intent("fd00::2")).unwrap();
    let (first, second) = (encode(&first).unwrap(), encode(&second).unwrap());
    let first = fact(Key::Binding, &first, otp::digest(&binding("fd00::1")));
    let second = fact(Key::Binding, &second, otp::digest(&binding("fd00::2")));
    assert!(!memory.is_burned(Key::Binding).unwrap());
    assert_eq!(memory.burn(&first).unwrap(), Outcome::Burned);
    assert!(memory.is_burned(Key::Binding).unwrap());
    assert_eq!(memory.burn(&second).unwrap(), Outcome::Refused);
    assert_eq!(memory.burn(&first).unwrap(), Outcome::AlreadyBurned);
    let lock = Tamper {
        reason: "x".to_owned(),
        time: now(),
    };
    let lock = encode(&lock).unwrap();
    let lock = fact(Key::Tamper, &lock, FactDigest::default());
    assert!(!memory.is_burned(Key::Tamper).unwrap());
    assert_eq!(memory.burn(&lock).unwrap(), Outcome::Burned);
    assert_eq!(memory.burn(&lock).unwrap(), Outcome::AlreadyBurned);
    assert!(!memory.is_burned(Key::CardTerminated).unwrap());
    assert!(!memory.is_burned(Key::CardSession).unwrap());
}

#[test]
fn every_memory_takes_each_fact_once() {
    let folder = tempfile::tempdir().unwrap();
    let record = |name: &str| {
        let place = Place {
            folder: folder.path().join(name),
            device: device(),
        };
        files::make_folder(&place.folder).unwrap();
        Record::open(&Arc::new(place), &mut Vec::new()).unwrap()
    };
    let fuses = |name: &str| {
        let file = folder.path().join(name);
        fs::write(&file, [0; 28]).unwrap();
        Otp::new(OtpPlace { file, offset: 0 })
    };
    let mut files = record("files");
    assert_eq!(files.strength(), Strength::Files);
    takes_each_fact_once(&mut files);
    let mut otp = fuses("fuses");
    assert_eq!(otp.strength(), Strength::Fuses);
    takes_each_fact_once(&mut otp);
    let mut both = Fused::open(record("both"), fuses("both-fuses"), &mut Vec::new()).unwrap();
    assert_eq!(both.strength(), Strength::FilesAndFuses);
    takes_each_fact_once(&mut both);
}

#[test]
fn fuses_that_fail_are_named_and_can_be_completed() {
    let board = Board::new();
    let mut otp = Otp::new(board.clone());
    let fact = fact(Key::Binding, &[], [0x55; 16]);
    let mut with = |fault| {
        *board.fault.lock().unwrap() = Some(fault);
        match otp.burn(&fact).unwrap_err() {
            BindingsError::Otp(error) => error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(with(Fault::ReadFails), OtpError::Read(_)));
    assert!(matches!(
        with(Fault::ShortRead),
        OtpError::ShortRead { offset: 0, read: 2 }
    ));
    assert!(matches!(with(Fault::WriteFails), OtpError::Write(_)));
    assert!(matches!(with(Fault::BitStays), OtpError::ReadBack { offset: 0 }));
    assert!(matches!(
        with(Fault::ShortWrite),
        OtpError::ShortWrite {
            offset: 0,
            written: 2
        }
    ));
    *board.fault.lock().unwrap() = None;
    assert_eq!(otp.burn(&fact).unwrap(), Outcome::Burned);
    assert_eq!(board.words.lock().unwrap()[..16], [0x55; 16]);
}

#[test]
fn digest_is_never_added_to() {
    let mut otp = Otp::new(Board::new());
    let mut burn = |digest| otp.burn(&fact(Key::Binding, &[], digest)).unwrap();
    assert_eq!(burn([0; 16]), Outcome::Burned);
    // Its bits are all free, and it is complete.
    assert_eq!(burn([1; 16]), Outcome::Refused);
    assert_eq!(
        otp.burn(&fact(Key::Intent, &[], [0; 16])).unwrap(),
        Outcome::Refused
    );
}

#[test]
fn file_that_is_missing_or_too_short_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = otp_file(folder.path());
    fs::write(&place.file, [0; 9]).unwrap();
    let error = open_fused(folder.path()).unwrap_err();
    assert!(
        matches!(
            error,
            BindingsError::Otp(OtpError::ShortRead { offset: 0, read: 1 })
        ),
        "{error:?}"
    );
    fs::remove_file(&place.file).unwrap();
    fs::create_dir(&place.file).unwrap();
    let error = open_fused(folder.path()).unwrap_err();
    assert!(
        matches!(error, BindingsError::Otp(OtpError::Read(_))),
        "{error:?}"
    );
}
