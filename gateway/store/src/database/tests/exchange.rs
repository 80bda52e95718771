//! Seen requests and the bundle.

use super::*;

const ID: [u8; 16] = [1; 16];

#[test]
fn replayed_request_is_recognised_across_restarts() {
    let place = Place::new();
    let remember = |database: &Database, now| database.remember_request(&ID, at(1_000), at(now)).unwrap();
    let database = place.open();
    assert_eq!(remember(&database, 0), Remembered::Fresh);
    assert_eq!(remember(&database, 1), Remembered::Replayed);
    let copy = Place::new();
    copy_folder(place.0.path(), copy.0.path());
    drop(database);
    for place in [place, copy] {
        let database = place.open();
        assert_eq!(remember(&database, 999), Remembered::Replayed);
        assert_eq!(
            database.remember_request(&[2; 16], at(1_000), at(999)).unwrap(),
            Remembered::Fresh
        );
    }
}

#[test]
fn clock_that_is_set_back_lets_no_request_repeat() {
    let database = Place::new().open();
    let remember = |id, expires, now| database.remember_request(&[id; 16], at(expires), at(now));
    assert_eq!(remember(1, 1_000, 0).unwrap(), Remembered::Fresh);
    let error = remember(1, 1_000, 1_000).unwrap_err();
    assert!(
        matches!(error, RequestError::Expired { expires } if expires == at(1_000)),
        "{error:?}"
    );
    assert_eq!(remember(2, 2_100, 2_000).unwrap(), Remembered::Fresh);
    // Request 1 is forgotten by now.
    let error = remember(1, 1_000, 500).unwrap_err();
    assert!(matches!(error, RequestError::Expired { .. }), "{error:?}");
    assert_eq!(remember(3, 1_001, 500).unwrap(), Remembered::Fresh);
    assert_eq!(remember(2, 2_100, 500).unwrap(), Remembered::Replayed);
}

#[test]
fn replay_memory_is_bounded_in_time_and_number() {
    let place = Place::new();
    let database = place.open();
    let longest = 1_800;
    assert_eq!(
        database.remember_request(&ID, at(longest), at(0)).unwrap(),
        Remembered::Fresh
    );
    let error = database
        .remember_request(&[2; 16], at(longest + 1), at(0))
        .unwrap_err();
    assert!(
        matches!(error, RequestError::ValidTooLong { expires, latest } if (expires, latest) == (at(longest + 1), at(longest))),
        "{error:?}"
    );
    let remember =
        |database: &Database, id, expires, now| database.lock().remember(&[id; 16], at(expires), at(now), 3);
    assert_eq!(remember(&database, 2, 100, 0).unwrap(), Remembered::Fresh);
    drop(database);
    let database = place.open();
    assert_eq!(remember(&database, 3, 200, 0).unwrap(), Remembered::Fresh);
    let error = remember(&database, 4, 300, 0).unwrap_err();
    assert!(matches!(error, RequestError::Full), "{error:?}");
    assert_eq!(remember(&database, 3, 200, 0).unwrap(), Remembered::Replayed);
    assert_eq!(remember(&database, 4, 300, 100).unwrap(), Remembered::Fresh);
}

#[test]
fn bundle_only_grows() {
    let place = Place::new();
    let database = place.open();
    assert_eq!(database.bundle().unwrap(), None);
    for version in [1, 7, u64::MAX] {
        database
            .install_bundle(version, [5; 32], &version.to_be_bytes())
            .unwrap();
        let installed = InstalledBundle {
            version,
            digest: [5; 32],
            content: version.to_be_bytes().to_vec(),
        };
        assert_eq!(database.bundle().unwrap(), Some(installed));
    }
    drop(database);
    let database = place.open();
    for offered in [u64::MAX, 7] {
        let error = database.install_bundle(offered, [6; 32], b"").unwrap_err();
        assert!(
            matches!(error, BundleError::StaleBundle { installed: u64::MAX, offered: o } if o == offered),
            "{error:?}"
        );
    }
    let large = vec![0; InstalledBundle::MAX_CONTENT + 1];
    let error = database.install_bundle(8, [6; 32], &large).unwrap_err();
    assert!(
        matches!(error, BundleError::TooLarge { found: 8_388_609 }),
        "{error:?}"
    );
}

#[test]
fn damaged_bundle_is_named_and_can_be_replaced() {
    let damages = [
        "UPDATE bundle SET content = x'00'",
        "UPDATE bundle SET version = 2",
        "UPDATE bundle SET digest = x'00'",
        "UPDATE bundle SET seal = x'00'",
    ];
    for damage in damages {
        let place = Place::new();
        place.open().install_bundle(1, [5; 32], b"content").unwrap();
        place.tamper(damage);
        let database = place.open();
        let error = database.bundle().unwrap_err();
        assert!(matches!(error, BundleError::Damaged), "{damage}: {error:?}");
        database.install_bundle(3, [6; 32], b"new").unwrap();
        assert_eq!(database.bundle().unwrap().unwrap().version, 3);
    }
}
