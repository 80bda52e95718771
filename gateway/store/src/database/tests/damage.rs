//! Damaged rows, flipped bits, a full disk.

use super::*;

#[test]
fn damaged_row_costs_itself_and_is_reported() {
    let damages = [
        "UPDATE reading SET mantissa = mantissa + 1 WHERE time = 900",
        "UPDATE reading SET mantissa = x'00' WHERE time = 900",
        "UPDATE reading SET scaler = 0 WHERE time = 900",
        "UPDATE reading SET scaler = 100 WHERE time = 900",
        "UPDATE reading SET unit = 'W' WHERE time = 900",
        "UPDATE reading SET unit = '?' WHERE time = 900",
        "UPDATE reading SET status = 1 WHERE time = 900",
        "UPDATE reading SET status = -1 WHERE time = 900",
        "UPDATE reading SET crc = crc + 1 WHERE time = 900",
        "UPDATE reading SET time = 901 WHERE time = 900",
    ];
    for damage in damages {
        let place = Place::new();
        let readings = [reading("M1", 900, "1.0"), reading("M1", 1800, "2")];
        place.open().register(&round(readings.clone(), [])).unwrap();
        place.tamper(damage);
        let page = all(&place.open());
        assert_eq!(page.readings, readings[1..], "{damage}");
        assert_eq!(page.damaged.len(), 1, "{damage}");
        assert_eq!(page.damaged[0].element, Some(element("M1")));
        assert!((900..902).contains(&page.damaged[0].time.unix_seconds()));
    }
}

#[test]
fn reading_never_changes_its_meter() {
    let place = Place::new();
    let readings = [reading("M1", 900, "1"), reading("M2", 900, "2")];
    place
        .open()
        .register(&round(readings, [gap("M1", 1800)]))
        .unwrap();
    place.tamper("UPDATE element SET meter = 'M3' WHERE meter = 'M1'");
    let database = place.open();
    assert_eq!(database.elements(), [element("M2")]);
    assert_eq!(database.damaged_elements(), 1);
    let page = all(&database);
    assert_eq!(page.readings, [reading("M2", 900, "2")]);
    let lost = |seconds| Damaged {
        element: None,
        time: at(seconds),
    };
    assert_eq!(page.damaged, [lost(900), lost(1800)]);
    // The element gets a new number, and its old point stays what it is.
    database.register(&round([reading("M1", 2700, "3")], [])).unwrap();
    assert_eq!(all(&database).readings.len(), 2);
    drop(database);
    place.tamper("UPDATE reading SET element = 2 WHERE element = 3; UPDATE gap SET reason = 'x'");
    let page = all(&place.open());
    assert_eq!((page.readings.len(), page.damaged.len()), (1, 3));
}

#[test]
fn no_flipped_bit_becomes_a_wrong_number() {
    let original = Place::new();
    let database = original.open();
    for time in 0..40 {
        let readings: Vec<_> = (0..5)
            .map(|m| reading(&format!("M{m}"), time * 900, &format!("{time}.{m}")))
            .collect();
        database
            .register(&round(readings, [gap("M9", time * 900)]))
            .unwrap();
    }
    let expected = all(&database);
    drop(database);
    let content = fs::read(original.path()).unwrap();
    let mut noticed = 0;
    for place in (0..content.len()).step_by(131) {
        let copy = Place::new();
        let mut flipped = content.clone();
        flipped[place] ^= 1 << (place % 8);
        fs::write(copy.path(), flipped).unwrap();
        let Ok(database) = Database::open(&copy.path()) else {
            noticed += 1;
            continue;
        };
        let Ok(page) = database.readings(&ElementPattern::ANY, always()) else {
            noticed += 1;
            continue;
        };
        noticed += usize::from(!page.damaged.is_empty());
        assert!(
            page.readings
                .iter()
                .all(|reading| expected.readings.contains(reading))
        );
        assert!(
            page.gaps
                .iter()
                .all(|gap| expected.gaps.contains(gap) || page.readings.len() < 200)
        );
    }
    assert!(noticed > 10);
}

#[test]
fn full_disk_is_named_and_nothing_is_half_stored() {
    let place = Place::new();
    let database = place.open();
    database.register(&round([reading("M1", 900, "1")], [])).unwrap();
    let limit = |pages: i64| {
        let inner = database.lock();
        inner
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    limit(1);
    let many: Vec<_> = (0..500).map(|time| reading("M2", time, "1")).collect();
    let error = database.register(&round(many.clone(), [])).unwrap_err();
    assert!(
        matches!(error, RegisterError::Database(DatabaseError::Full)),
        "{error:?}"
    );
    let error = database.install_bundle(1, [0; 32], &[0; 10_000]).unwrap_err();
    assert!(
        matches!(error, BundleError::Database(DatabaseError::Full)),
        "{error:?}"
    );
    let error = (0..=u8::MAX).find_map(|id| database.remember_request(&[id; 16], at(10), at(0)).err());
    assert!(
        matches!(error, Some(RequestError::Database(DatabaseError::Full))),
        "{error:?}"
    );
    assert_eq!(database.elements(), [element("M1")]);
    assert_eq!(all(&database).readings, [reading("M1", 900, "1")]);
    limit(1_000_000);
    assert_eq!(database.register(&round(many, [])).unwrap().stored, 500);
}
