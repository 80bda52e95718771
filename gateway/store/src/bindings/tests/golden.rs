//! Files of every version that was ever in the field, made by a foreign tool where there is one.

use super::*;

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors/store")
        .join(name)
}

/// Copies some files of a golden folder, so that opening changes nothing of it.
fn copied(name: &str, parts: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in parts {
        let (from, to) = (vectors(name).join(part), folder.path().join(part));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
    folder
}

fn open_golden(folder: &Path) -> Bindings {
    let mut key = [0; 32];
    for (value, byte) in (0..).zip(&mut key) {
        *byte = value;
    }
    let fuses = folder.join("fuses");
    let protection = Protection {
        key: DeviceKey::new(key),
        otp: fuses.exists().then_some(OtpPlace {
            file: fuses,
            offset: 0,
        }),
    };
    Bindings::open(folder, protection).unwrap()
}

#[test]
fn rows_of_version_2_are_read_from_each_part() {
    let missing = |part| renewed(part, Health::Missing);
    for (parts, repairs) in [
        (
            &["sled", "copy-a", "copy-b", "fuses"][..],
            vec![Repair::ReserveMade],
        ),
        (&["copy-b", "copy-a"], vec![missing("sled"), Repair::ReserveMade]),
        (
            &["sled"],
            vec![missing("copy-a"), missing("copy-b"), Repair::ReserveMade],
        ),
    ] {
        let folder = copied("bindings-v2", parts);
        let bindings = open_golden(folder.path());
        assert_eq!(bindings.repairs(), repairs, "{parts:?}");
        assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
        assert_eq!(*bindings.intent().unwrap().unwrap().pairing, b"secret");
        let tamper = bindings.tampered().unwrap().unwrap();
        assert_eq!(tamper.reason, "the card was torn out");
        let ended = bindings.card_terminated().unwrap().unwrap();
        assert_eq!(ended.time.to_string(), "2026-11-25T12:00:00Z");
        assert_eq!(bindings.counter(Counter::CardSession).unwrap(), 7);
    }
}

#[test]
fn intent_of_version_2_is_read_and_can_be_burned() {
    let folder = copied("bindings-v2-intent", &["copy-a", "copy-b"]);
    let bindings = open_golden(folder.path());
    assert_eq!(bindings.binding().unwrap(), None);
    assert_eq!(*bindings.intent().unwrap().unwrap().pairing, b"secret");
    assert_eq!(bindings.burn(&binding("fd00::1")).unwrap(), Burned::Now);
    // The row is, byte for byte, the one that the foreign tool seals.
    let golden = copied("bindings-v2", &["copy-a", "copy-b"]);
    let digest = |bindings: &Bindings| bindings.report().unwrap().rows[0].digest;
    assert_eq!(digest(&bindings), digest(&open_golden(golden.path())));
}

#[test]
#[ignore = "makes the golden files of sled; they are never made again"]
fn make_the_golden_sled() {
    let folder = copied("bindings-v2", &["copy-a", "copy-b"]);
    drop(open_golden(folder.path()));
    copy_folder(&folder.path().join("sled"), &vectors("bindings-v2/sled"));
}
