//! Burning, and everything that can go wrong with what was burned.

use std::fs;

use super::*;
use crate::crash::copy_folder;

fn binding(card: &str) -> Binding {
    Binding {
        card: card.parse().unwrap(),
        card_key: model::Fingerprint::new([7; 32]),
        gateway: model::GatewayId::new([9; 16]),
        time: now(),
    }
}

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn intent(card: &str) -> Intent {
    Intent {
        binding: binding(card),
        pairing: Zeroizing::new(b"secret".to_vec()),
    }
}

fn bound() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    bindings.begin(&intent("fd00::1")).unwrap();
    assert_eq!(bindings.burn(&binding("fd00::1")).unwrap(), Burned::Now);
    folder
}

fn tampering(folder: &Path) -> Tampering {
    match Bindings::open(folder) {
        Err(BindingsError::Tampered(tampering)) => tampering,
        other => panic!("{other:?}"),
    }
}

#[test]
fn binding_survives_and_keeps_its_intent() {
    let folder = bound();
    let bindings = Bindings::open(folder.path()).unwrap();
    assert_eq!(bindings.repairs(), []);
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
    let intent = bindings.intent().unwrap().unwrap();
    assert_eq!(intent.binding, binding("fd00::1"));
    assert_eq!(*intent.pairing, b"secret");
    assert!(!format!("{intent:?}").contains("pairing"));
}

#[test]
fn second_binding_is_refused() {
    let folder = bound();
    for _ in 0..2 {
        let bindings = Bindings::open(folder.path()).unwrap();
        let error = bindings.burn(&binding("fd00::2")).unwrap_err();
        assert!(
            matches!(&error, BurnError::AlreadyBurned { burned } if *burned == binding("fd00::1")),
            "{error:?}"
        );
        let error = bindings.begin(&intent("fd00::2")).unwrap_err();
        assert!(matches!(error, BurnError::AlreadyBurned { .. }), "{error:?}");
        assert_eq!(bindings.burn(&binding("fd00::1")).unwrap(), Burned::AlreadyBurned);
    }
}

#[test]
fn intent_is_replaced_until_the_burn() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    assert!(bindings.intent().unwrap().is_none());
    bindings.begin(&intent("fd00::1")).unwrap();
    drop(bindings);
    let bindings = Bindings::open(folder.path()).unwrap();
    assert_eq!(bindings.intent().unwrap().unwrap().binding, binding("fd00::1"));
    assert_eq!(bindings.binding().unwrap(), None);
    bindings.begin(&intent("fd00::2")).unwrap();
    let error = bindings.burn(&binding("fd00::1")).unwrap_err();
    assert!(
        matches!(&error, BurnError::OtherIntent { intended } if *intended == binding("fd00::2")),
        "{error:?}"
    );
    assert_eq!(bindings.burn(&binding("fd00::2")).unwrap(), Burned::Now);
}

#[test]
fn burn_without_an_intent_writes_one() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    bindings.burn(&binding("fd00::1")).unwrap();
    assert!(bindings.intent().unwrap().unwrap().pairing.is_empty());
}

#[test]
fn overlong_pairing_is_refused_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    let mut long = intent("fd00::1");
    long.pairing = Zeroizing::new(vec![0; Intent::MAX_PAIRING + 1]);
    let error = bindings.begin(&long).unwrap_err();
    assert!(
        matches!(error, BurnError::PairingTooLong { found: 1_025 }),
        "{error:?}"
    );
    long.pairing.truncate(Intent::MAX_PAIRING);
    bindings.begin(&long).unwrap();
}

#[test]
fn tamper_lock_ends_everything_and_keeps_its_first_reason() {
    let folder = bound();
    let bindings = Bindings::open(folder.path()).unwrap();
    assert_eq!(bindings.tampered().unwrap(), None);
    let long = "card removed ".repeat(100);
    assert_eq!(bindings.burn_tamper(&long, now()).unwrap(), Burned::Now);
    assert_eq!(
        bindings.burn_tamper("other", now()).unwrap(),
        Burned::AlreadyBurned
    );
    drop(bindings);
    let bindings = Bindings::open(folder.path()).unwrap();
    let tamper = bindings.tampered().unwrap().unwrap();
    assert_eq!(tamper.reason, long[..Tamper::MAX_REASON]);
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
    for error in [
        bindings.begin(&intent("fd00::1")).unwrap_err(),
        bindings.burn(&binding("fd00::1")).unwrap_err(),
    ] {
        assert!(matches!(error, BurnError::Dead { .. }), "{error:?}");
    }
}

#[test]
fn bindings_have_one_owner() {
    let folder = bound();
    let owner = Bindings::open(folder.path()).unwrap();
    let error = Bindings::open(folder.path()).unwrap_err();
    assert!(matches!(error, BindingsError::Locked), "{error:?}");
    drop(owner);
    Bindings::open(folder.path()).unwrap();
}

#[test]
fn deleted_data_are_never_unbound() {
    let folder = bound();
    fs::remove_file(folder.path().join("sled/db")).unwrap();
    let lost = Tampering::LostRow { key: "binding" };
    assert_eq!(tampering(folder.path()), lost);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    assert_eq!(tampering(folder.path()), lost);
    // An empty database in its place is no way round.
    let empty = tempfile::tempdir().unwrap();
    drop(Bindings::open(empty.path()).unwrap());
    copy_folder(&empty.path().join("sled"), &folder.path().join("sled"));
    assert_eq!(tampering(folder.path()), lost);
}

#[test]
fn burn_that_was_cut_off_before_its_marker_is_completed() {
    let folder = bound();
    fs::remove_file(folder.path().join("binding.burned")).unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    assert_eq!(bindings.repairs(), [Repair::Marker { key: "binding" }]);
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
    drop(bindings);
    assert_eq!(Bindings::open(folder.path()).unwrap().repairs(), []);
}

#[test]
fn damaged_or_foreign_files_beside_the_row_are_noticed() {
    let contradiction = |key| Tampering::Contradiction { key };
    let folder = bound();
    fs::write(folder.path().join("binding.burned"), "smgw-burned 1 binding 00").unwrap();
    assert_eq!(tampering(folder.path()), contradiction("binding"));
    let folder = bound();
    fs::write(folder.path().join("tamper.burned"), "").unwrap();
    assert_eq!(tampering(folder.path()), Tampering::LostRow { key: "tamper" });
    let folder = bound();
    fs::remove_file(folder.path().join("intent")).unwrap();
    assert_eq!(tampering(folder.path()), contradiction("intent"));
    let folder = bound();
    fs::write(folder.path().join("intent"), [0; 100]).unwrap();
    assert_eq!(
        tampering(folder.path()),
        Tampering::DamagedRow {
            key: "intent",
            fault: RowFault::Magic
        }
    );
}

/// Puts bytes into sled behind the back of the bindings.
fn smuggle(folder: &Path, key: &str, row: &[u8]) {
    let sled = sled::open(folder.join("sled")).unwrap();
    sled.insert(key, row).unwrap();
    sled.flush().unwrap();
}

#[test]
fn rows_that_the_bindings_did_not_write_are_refused() {
    let folder = bound();
    smuggle(
        folder.path(),
        "binding",
        b"SMGW\x01 and no checksum behind it, whatever it says",
    );
    assert_eq!(
        tampering(folder.path()),
        Tampering::DamagedRow {
            key: "binding",
            fault: RowFault::Checksum
        }
    );
    let folder = bound();
    let forged = encode(Key::Binding, 1, &binding("fd00::2")).unwrap();
    smuggle(folder.path(), "binding", &forged);
    assert_eq!(
        tampering(folder.path()),
        Tampering::Contradiction { key: "binding" }
    );
    let folder = tempfile::tempdir().unwrap();
    drop(Bindings::open(folder.path()).unwrap());
    smuggle(
        folder.path(),
        "tamper",
        &encode(Key::Tamper, 1, &"no lock").unwrap(),
    );
    assert_eq!(
        tampering(folder.path()),
        Tampering::DamagedRow {
            key: "tamper",
            fault: RowFault::Content
        }
    );
    let folder = bound();
    smuggle(folder.path(), "counter", b"of a newer gateway");
    let error = Bindings::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, BindingsError::UnknownRow { name } if name == "counter"),
        "{error:?}"
    );
}

#[test]
fn failed_write_halts_everything_until_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    let obstacle = folder.path().join("binding.burned");
    fs::create_dir(&obstacle).unwrap();
    let error = bindings.burn(&binding("fd00::1")).unwrap_err();
    assert!(
        matches!(error, BurnError::Bindings(BindingsError::File(_))),
        "{error:?}"
    );
    assert!(matches!(bindings.binding(), Err(BindingsError::Halted)));
    assert!(matches!(bindings.intent(), Err(BindingsError::Halted)));
    assert!(matches!(
        bindings.burn_tamper("x", now()),
        Err(BurnError::Bindings(BindingsError::Halted))
    ));
    drop(bindings);
    fs::remove_dir(&obstacle).unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
}

#[test]
fn content_that_fits_into_no_row_and_a_broken_engine_are_named() {
    let error = encode(Key::Tamper, 1, &"x".repeat(9_000)).unwrap_err();
    assert!(
        matches!(error, BindingsError::Encode(RowFault::Length)),
        "{error:?}"
    );
    let folder = bound();
    let configuration = folder.path().join("sled/conf");
    fs::remove_file(&configuration).unwrap();
    fs::create_dir(&configuration).unwrap();
    let error = Bindings::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, BindingsError::Engine(EngineError::File(_))),
        "{error:?}"
    );
}

/// Opens a damaged folder: whatever it answers, it is neither unbound nor bound to another card.
fn must_not_be_unbound(folder: &Path, what: &str) -> bool {
    let Ok(bindings) = Bindings::open(folder) else {
        return false;
    };
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")), "{what}");
    let error = bindings.burn(&binding("fd00::2")).unwrap_err();
    assert!(
        matches!(error, BurnError::AlreadyBurned { .. }),
        "{what}: {error:?}"
    );
    true
}

#[test]
fn no_flipped_byte_opens_the_fuse() {
    // Once as written, and once opened again, when sled has a snapshot and a padded data file.
    for again in [false, true] {
        let original = bound();
        if again {
            drop(Bindings::open(original.path()).unwrap());
        }
        let mut noticed = 0;
        let mut files = files::entries(original.path()).unwrap();
        files.extend(files::entries(&original.path().join("sled")).unwrap());
        for path in files.into_iter().filter(|path| path.is_file()) {
            let content = fs::read(&path).unwrap();
            let written = content
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            // At most some 60 places in each file, at odd distances.
            let distance = (written / 60) | 1;
            for place in (0..written).step_by(distance) {
                let copy = tempfile::tempdir().unwrap();
                copy_folder(original.path(), copy.path());
                let mut flipped = content.clone();
                flipped[place] ^= 1 << (place % 8);
                let file = path.strip_prefix(original.path()).unwrap();
                fs::write(copy.path().join(file), flipped).unwrap();
                let what = format!("{} byte {place}", file.display());
                noticed += usize::from(!must_not_be_unbound(copy.path(), &what));
            }
        }
        assert!(noticed > 0);
    }
}

#[test]
fn copy_taken_while_open_has_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::open(folder.path()).unwrap();
    let copied = || {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let copied = Bindings::open(copy.path()).unwrap();
        let intended = copied.intent().unwrap().map(|intent| intent.binding);
        (intended, copied.binding().unwrap())
    };
    let burned = Some(binding("fd00::1"));
    assert_eq!(copied(), (None, None));
    bindings.begin(&intent("fd00::1")).unwrap();
    assert_eq!(copied(), (burned.clone(), None));
    bindings.burn(&binding("fd00::1")).unwrap();
    assert_eq!(copied(), (burned.clone(), burned));
}
