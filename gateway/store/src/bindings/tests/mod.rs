//! Burning, and everything that can go wrong with what was burned.

mod cuts;
mod damage;
mod faults;
mod full;
mod fuses;
mod golden;

use std::fs;
use std::path::PathBuf;

use super::row::{NO_LINK, Row};
use super::*;
use crate::crash::{copy_folder, this_program};

fn device() -> DeviceKey {
    DeviceKey::new([0x5a; 32])
}

fn open(folder: &Path) -> Result<Bindings, BindingsError> {
    let protection = Protection {
        key: device(),
        otp: None,
    };
    Bindings::open(folder, protection)
}

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
    let bindings = open(folder.path()).unwrap();
    bindings.begin(&intent("fd00::1")).unwrap();
    assert_eq!(bindings.burn(&binding("fd00::1")).unwrap(), Burned::Now);
    folder
}

fn tampering(folder: &Path) -> Tampering {
    match open(folder) {
        Err(BindingsError::Tampered(tampering)) => tampering,
        other => panic!("{other:?}"),
    }
}

#[test]
fn binding_survives_and_keeps_its_intent() {
    let folder = bound();
    let bindings = open(folder.path()).unwrap();
    assert_eq!(bindings.repairs(), []);
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
    let intent = bindings.intent().unwrap().unwrap();
    assert_eq!(intent.binding, binding("fd00::1"));
    assert_eq!(*intent.pairing, b"secret");
    assert!(!format!("{intent:?}").contains("pairing"));
}

#[test]
fn binding_of_a_time_that_32_bits_do_not_hold_is_kept() {
    for time in ["2040-06-01T00:00:00Z", "2106-02-07T06:28:16Z"] {
        let folder = tempfile::tempdir().unwrap();
        let bindings = open(folder.path()).unwrap();
        let late = Binding {
            time: time.parse().unwrap(),
            ..binding("fd00::1")
        };
        bindings.burn(&late).unwrap();
        drop(bindings);
        assert_eq!(open(folder.path()).unwrap().binding().unwrap(), Some(late));
    }
}

#[test]
fn second_binding_is_refused() {
    let folder = bound();
    for _ in 0..2 {
        let bindings = open(folder.path()).unwrap();
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
    let bindings = open(folder.path()).unwrap();
    assert!(bindings.intent().unwrap().is_none());
    bindings.begin(&intent("fd00::1")).unwrap();
    drop(bindings);
    let bindings = open(folder.path()).unwrap();
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
    let bindings = open(folder.path()).unwrap();
    bindings.burn(&binding("fd00::1")).unwrap();
    assert!(bindings.intent().unwrap().unwrap().pairing.is_empty());
}

#[test]
fn overlong_pairing_is_refused_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = open(folder.path()).unwrap();
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
    let bindings = open(folder.path()).unwrap();
    assert_eq!(bindings.tampered().unwrap(), None);
    let long = "card removed ".repeat(100);
    assert_eq!(bindings.burn_tamper(&long, now()).unwrap(), Burned::Now);
    assert_eq!(
        bindings.burn_tamper("other", now()).unwrap(),
        Burned::AlreadyBurned
    );
    drop(bindings);
    let bindings = open(folder.path()).unwrap();
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
    let owner = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, BindingsError::Locked), "{error:?}");
    drop(owner);
    open(folder.path()).unwrap();
}

fn renewed(part: &'static str, was: Health) -> Repair {
    Repair::Renewed { part, was }
}

/// Opens a folder whose one damage is to be put right, and returns what was done.
fn repaired(folder: &Path) -> Vec<Repair> {
    let bindings = open(folder).unwrap();
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
    assert_eq!(*bindings.intent().unwrap().unwrap().pairing, b"secret");
    let error = bindings.burn(&binding("fd00::2")).unwrap_err();
    assert!(matches!(error, BurnError::AlreadyBurned { .. }), "{error:?}");
    let repairs = bindings.repairs().to_vec();
    drop(bindings);
    assert_eq!(open(folder).unwrap().repairs(), []);
    repairs
}

#[test]
fn deleted_data_are_never_unbound() {
    let folder = bound();
    fs::remove_file(folder.path().join("sled/db")).unwrap();
    assert_eq!(repaired(folder.path()), [renewed("sled", Health::Missing)]);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    assert_eq!(repaired(folder.path()), [renewed("sled", Health::Missing)]);
    // An empty database in its place is no way round.
    let empty = tempfile::tempdir().unwrap();
    drop(open(empty.path()).unwrap());
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    copy_folder(&empty.path().join("sled"), &folder.path().join("sled"));
    assert_eq!(repaired(folder.path()), [renewed("sled", Health::Old)]);
    assert!(folder.path().join("set-aside/sled/db").is_file());
    for copy in copies::NAMES {
        fs::remove_file(folder.path().join(copy)).unwrap();
        assert_eq!(repaired(folder.path()), [renewed(copy, Health::Missing)]);
    }
}

#[test]
fn damaged_snapshot_of_sled_is_set_aside() {
    let folder = bound();
    drop(open(folder.path()).unwrap());
    for path in files::entries(&folder.path().join("sled")).unwrap() {
        if path.to_string_lossy().contains("snap.") {
            fs::write(path, [0xff; 64]).unwrap();
        }
    }
    assert_eq!(repaired(folder.path()), [Repair::SnapshotsSetAside]);
    assert_eq!(files::entries(&folder.path().join("set-aside")).unwrap().len(), 1);
}

#[test]
fn any_one_part_keeps_the_binding() {
    for kept in ["sled", "copy-a", "copy-b"] {
        let folder = bound();
        fs::remove_file(folder.path().join("reserve")).unwrap();
        if kept != "sled" {
            fs::remove_dir_all(folder.path().join("sled")).unwrap();
        }
        for copy in copies::NAMES.into_iter().filter(|copy| *copy != kept) {
            fs::remove_file(folder.path().join(copy)).unwrap();
        }
        assert_eq!(repaired(folder.path()).len(), 3);
    }
}

#[test]
fn parts_that_are_all_lost_or_say_nothing_are_tampered() {
    let damage = |folder: &Path, name: &str| fs::write(folder.join(name), "?").unwrap();
    let folder = bound();
    for copy in copies::NAMES {
        damage(folder.path(), copy);
    }
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    assert_eq!(tampering(folder.path()), Tampering::NothingAuthentic);
    // Before the burn too: sled alone is not believed when it says that nothing was burned.
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    for copy in copies::NAMES {
        damage(folder.path(), copy);
    }
    assert_eq!(tampering(folder.path()), Tampering::NothingAuthentic);
    for copy in copies::NAMES {
        fs::remove_file(folder.path().join(copy)).unwrap();
    }
    assert_eq!(tampering(folder.path()), Tampering::NothingAuthentic);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    damage(folder.path(), "copy-b");
    assert_eq!(tampering(folder.path()), Tampering::NothingAuthentic);
}

#[test]
fn bindings_of_another_device_are_not_believed() {
    let folder = bound();
    let protection = Protection {
        key: DeviceKey::new([1; 32]),
        otp: None,
    };
    let error = Bindings::open(folder.path(), protection).unwrap_err();
    assert!(matches!(error, BindingsError::Tampered(_)), "{error:?}");
    assert_eq!(repaired(folder.path()), []);
}

#[test]
fn old_copies_are_brought_forward() {
    let folder = tempfile::tempdir().unwrap();
    let before = tempfile::tempdir().unwrap();
    let bindings = open(folder.path()).unwrap();
    bindings.begin(&intent("fd00::1")).unwrap();
    copy_folder(folder.path(), before.path());
    bindings.burn(&binding("fd00::1")).unwrap();
    drop(bindings);
    for copy in copies::NAMES {
        fs::copy(before.path().join(copy), folder.path().join(copy)).unwrap();
        assert_eq!(repaired(folder.path()), [renewed(copy, Health::Old)]);
    }
    let sled = folder.path().join("sled");
    fs::remove_dir_all(&sled).unwrap();
    copy_folder(&before.path().join("sled"), &sled);
    assert_eq!(repaired(folder.path()), [renewed("sled", Health::Old)]);
    // Two of three go back.
    for copy in copies::NAMES {
        fs::copy(before.path().join(copy), folder.path().join(copy)).unwrap();
    }
    let repairs = copies::NAMES.map(|copy| renewed(copy, Health::Old));
    assert_eq!(repaired(folder.path()), repairs);
}

#[test]
fn copy_of_another_binding_under_the_same_key_is_a_contradiction() {
    let (folder, other) = (bound(), tempfile::tempdir().unwrap());
    open(other.path()).unwrap().burn(&binding("fd00::2")).unwrap();
    fs::copy(other.path().join("copy-a"), folder.path().join("copy-a")).unwrap();
    assert_eq!(
        tampering(folder.path()),
        Tampering::Contradiction { key: "binding" }
    );
}

/// Puts bytes into sled behind the back of the bindings.
fn smuggle(folder: &Path, key: &str, row: &[u8]) {
    let sled = sled::open(folder.join("sled")).unwrap();
    sled.insert(key, row).unwrap();
    sled.flush().unwrap();
}

fn forged(key: Key, place: (u64, row::Link), content: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let content = encode(content).unwrap();
    Row::seal(&device(), key, place, &content).unwrap().bytes
}

#[test]
fn rows_that_the_bindings_did_not_write_are_refused() {
    let folder = bound();
    smuggle(
        folder.path(),
        "binding",
        b"SMGW\x02 and no tag behind it, whatever it says",
    );
    assert_eq!(repaired(folder.path()), [renewed("sled", Health::Damaged)]);
    let folder = bound();
    let row = forged(Key::Binding, (1, NO_LINK), &binding("fd00::2"));
    smuggle(folder.path(), "binding", &row);
    assert_eq!(
        tampering(folder.path()),
        Tampering::Contradiction { key: "binding" }
    );
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    smuggle(
        folder.path(),
        "tamper",
        &forged(Key::Tamper, (1, NO_LINK), &"no lock"),
    );
    assert_eq!(
        tampering(folder.path()),
        Tampering::DamagedRow {
            key: "tamper",
            fault: RowFault::Content
        }
    );
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    smuggle(folder.path(), "tamper", &[0; 100]);
    assert_eq!(
        tampering(folder.path()),
        Tampering::DamagedRow {
            key: "tamper",
            fault: RowFault::Magic
        }
    );
    let folder = bound();
    smuggle(folder.path(), "counter", b"of a newer gateway");
    let error = open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, BindingsError::UnknownRow { name } if name == "counter"),
        "{error:?}"
    );
}

#[test]
fn row_that_a_newer_gateway_wrote_is_left_alone() {
    let folder = bound();
    let mut row = forged(Key::Tamper, (2, NO_LINK), &0).to_vec();
    row.truncate(row.len() - 32);
    row[4] = 3;
    let tag = device().tag(&row);
    row.extend_from_slice(&tag);
    smuggle(folder.path(), "tamper", &row);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, BindingsError::TooNew { found: 3 }), "{error:?}");
}

#[test]
fn row_that_a_head_counts_and_nobody_has_is_missed() {
    let folder = bound();
    let head = Row::seal(&device(), Key::Head, (2, [7; 32]), &[]).unwrap();
    smuggle(folder.path(), "head", &head.bytes);
    let missing = Tampering::MissingRows { counted: 2, found: 1 };
    assert_eq!(tampering(folder.path()), missing);
}

#[test]
fn burn_that_was_cut_off_before_its_head_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let stored = StoredIntent::new(&intent("fd00::1")).unwrap();
    let row = forged(Key::Binding, (1, NO_LINK), &stored);
    smuggle(folder.path(), "binding", &row);
    let expected = [
        renewed("copy-a", Health::Old),
        renewed("copy-b", Health::Old),
        Repair::Completed,
    ];
    assert_eq!(repaired(folder.path()), expected);
}

#[test]
fn counter_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let before = tempfile::tempdir().unwrap();
    let card = Counter::CardSession;
    let bindings = open(folder.path()).unwrap();
    assert_eq!(bindings.counter(card).unwrap(), 0);
    for value in [1, 1, 7] {
        bindings.advance(card, value).unwrap();
        assert_eq!(bindings.counter(card).unwrap(), value);
        if value == 1 {
            copy_folder(folder.path(), before.path());
        }
    }
    let error = bindings.advance(card, 6).unwrap_err();
    assert!(
        matches!(
            error,
            BurnError::Backwards {
                counter: "card-session",
                held: 7,
                offered: 6
            }
        ),
        "{error:?}"
    );
    drop(bindings);
    // Whichever parts go back, the greatest value counts.
    for copy in copies::NAMES {
        fs::copy(before.path().join(copy), folder.path().join(copy)).unwrap();
    }
    assert_eq!(open(folder.path()).unwrap().counter(card).unwrap(), 7);
    fs::remove_dir_all(folder.path().join("sled")).unwrap();
    copy_folder(&before.path().join("sled"), &folder.path().join("sled"));
    let bindings = open(folder.path()).unwrap();
    assert_eq!(bindings.repairs(), [Repair::Completed]);
    assert_eq!(bindings.counter(card).unwrap(), 7);
    assert_eq!(bindings.report().unwrap().counters, [("card-session", 7)]);
}

#[test]
fn card_that_ended_its_life_ends_every_binding() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = open(folder.path()).unwrap();
    assert_eq!(bindings.card_terminated().unwrap(), None);
    assert_eq!(bindings.burn_card_terminated(now()).unwrap(), Burned::Now);
    assert_eq!(
        bindings.burn_card_terminated(now()).unwrap(),
        Burned::AlreadyBurned
    );
    drop(bindings);
    let bindings = open(folder.path()).unwrap();
    let termination = bindings.card_terminated().unwrap().unwrap();
    assert_eq!(termination.time, now());
    for error in [
        bindings.begin(&intent("fd00::1")).unwrap_err(),
        bindings.burn(&binding("fd00::1")).unwrap_err(),
    ] {
        assert!(matches!(error, BurnError::CardTerminated { .. }), "{error:?}");
    }
    // The tamper lock can still be burned behind it.
    assert_eq!(bindings.burn_tamper("gone", now()).unwrap(), Burned::Now);
}

#[test]
fn report_shows_rows_and_parts_and_no_secret() {
    let folder = bound();
    let bindings = open(folder.path()).unwrap();
    bindings.burn_tamper("x", now()).unwrap();
    let report = bindings.report().unwrap();
    assert_eq!(report.strength, Strength::Files);
    assert_eq!(report.reserved_bytes, reserve::BYTES);
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.key, row.sequence, row.time))
        .collect();
    assert_eq!(rows, [("binding", 1, now()), ("tamper", 2, now())]);
    assert_ne!(report.rows[0].digest, report.rows[1].digest);
    let secret = hex::encode("secret");
    assert!(!format!("{report:?}{bindings:?}").contains(&secret));
    let healths = |bindings: &Bindings| {
        let parts = bindings.report().unwrap().parts;
        parts
            .iter()
            .map(|part| (part.name, part.health))
            .collect::<Vec<_>>()
    };
    let sound = ["sled", "copy-a", "copy-b"].map(|name| (name, Health::Sound));
    assert_eq!(healths(&bindings), sound);
    fs::write(folder.path().join("copy-a"), "?").unwrap();
    fs::remove_file(folder.path().join("copy-b")).unwrap();
    let found = [Health::Sound, Health::Damaged, Health::Missing];
    assert_eq!(
        healths(&bindings)
            .iter()
            .map(|(_, health)| *health)
            .collect::<Vec<_>>(),
        found
    );
}

#[test]
fn failed_write_halts_everything_until_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = open(folder.path()).unwrap();
    bindings.begin(&intent("fd00::1")).unwrap();
    let obstacle = folder.path().join("copy-b.tmp");
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
    let bindings = open(folder.path()).unwrap();
    assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
}

#[test]
fn content_that_fits_into_no_row_and_a_broken_engine_are_named() {
    let folder = bound();
    let mut rows = open(folder.path()).unwrap();
    let memory = rows.memory.get_mut().unwrap().as_mut().unwrap();
    let error = memory.record_mut().intend(&[b'x'; 9_000]).unwrap_err();
    assert!(
        matches!(error, BindingsError::Encode(RowFault::Length)),
        "{error:?}"
    );
    drop(rows);
    for copy in copies::NAMES {
        fs::remove_file(folder.path().join(copy)).unwrap();
    }
    let configuration = folder.path().join("sled/conf");
    fs::remove_file(&configuration).unwrap();
    fs::create_dir(&configuration).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(
        matches!(error, BindingsError::Engine(EngineError::File(_))),
        "{error:?}"
    );
}

#[test]
fn copy_taken_while_open_has_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let bindings = open(folder.path()).unwrap();
    let copied = || {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let copied = open(copy.path()).unwrap();
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
