//! When was granted what has to wait, and what the consumer has restricted.

use super::*;

fn asked(key: u8, time: i64, expires: i64) -> Asked {
    Asked {
        key: [key; 32],
        time: at(time),
        expires: at(expires),
    }
}

#[test]
fn what_was_granted_is_known_across_restarts_until_it_expires() {
    let place = Place::new();
    let database = place.open();
    assert_eq!(database.last_asked(&[1; 32]).unwrap(), None);
    database
        .remember_asked(&[asked(1, 100, 3_700), asked(2, 100, 200)], at(100))
        .unwrap();
    drop(database);
    let database = place.open();
    assert_eq!(database.new_losses(), []);
    assert_eq!(database.last_asked(&[1; 32]).unwrap(), Some(at(100)));
    database.remember_asked(&[asked(1, 250, 3_850)], at(250)).unwrap();
    assert_eq!(database.last_asked(&[1; 32]).unwrap(), Some(at(250)));
    assert_eq!(database.last_asked(&[2; 32]).unwrap(), None, "it has expired");
    drop(database);
    assert_eq!(place.open().losses(), []);
}

#[test]
fn what_is_remembered_is_bounded() {
    let place = Place::new();
    let database = place.open();
    let many: Vec<_> = (0..4).map(|key| asked(key, 0, 100)).collect();
    let error = database.lock().remember_asked(&many, at(0), 3).unwrap_err();
    assert!(matches!(error, AskedError::Full), "{error:?}");
    assert_eq!(database.last_asked(&[0; 32]).unwrap(), None);
    database.lock().remember_asked(&many[..3], at(0), 3).unwrap();
    database.lock().remember_asked(&many[..3], at(1), 3).unwrap();
    assert!(database.lock().remember_asked(&many[3..], at(2), 3).is_err());
    database.lock().remember_asked(&many[3..], at(100), 3).unwrap();
}

#[test]
fn time_that_is_missing_is_a_loss() {
    let place = Place::new();
    place
        .open()
        .remember_asked(&[asked(1, 100, 3_700)], at(100))
        .unwrap();
    place.tamper("DELETE FROM asked");
    let [loss] = place.open().new_losses().try_into().unwrap();
    assert!(
        matches!(
            loss.lost,
            Lost::Rows {
                kind: RowKind::Request,
                missing: 1,
                ..
            }
        ),
        "{loss:?}"
    );
}

#[test]
fn restrictions_are_known_across_restarts() {
    let place = Place::new();
    let database = place.open();
    assert_eq!(database.restrictions().unwrap(), b"");
    for content in [&b"one"[..], b"", b"two"] {
        database.set_restrictions(content).unwrap();
        assert_eq!(database.restrictions().unwrap(), content);
    }
    database.install_bundle(1, [5; 32], b"bundle").unwrap();
    drop(database);
    let database = place.open();
    assert_eq!(
        (database.restrictions().unwrap().as_slice(), database.losses()),
        (&b"two"[..], vec![])
    );
    let error = database.set_restrictions(&[0; 65_537]).unwrap_err();
    assert!(
        matches!(error, RestrictionsError::TooLarge { found: 65_537 }),
        "{error:?}"
    );
    assert_eq!(database.restrictions().unwrap(), b"two");
}

#[test]
fn restrictions_that_are_lost_or_damaged_are_never_taken_for_none() {
    for damage in [
        "DELETE FROM restriction",
        "UPDATE restriction SET content = x''",
        "UPDATE restriction SET version = 0",
        "UPDATE restriction SET seal = x'00'",
    ] {
        let place = Place::new();
        place.open().set_restrictions(b"restricted").unwrap();
        place.tamper(damage);
        let database = place.open();
        let error = database.restrictions().unwrap_err();
        assert!(matches!(error, RestrictionsError::Damaged), "{damage}: {error:?}");
        database.set_restrictions(b"anew").unwrap();
        drop(database);
        assert_eq!(place.open().restrictions().unwrap(), b"anew", "{damage}");
    }
    // The row is there from the first start on.
    let place = Place::new();
    drop(place.open());
    place.tamper("DELETE FROM restriction");
    assert!(matches!(
        place.open().restrictions(),
        Err(RestrictionsError::Damaged)
    ));
}
