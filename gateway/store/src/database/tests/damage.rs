//! Damaged rows, flipped bits, a full disk.

use super::*;

#[test]
fn damaged_round_costs_itself_and_is_reported() {
    let length = {
        let place = Place::new();
        place
            .open()
            .register(&round([reading("M1", 900, "1.0")], []))
            .unwrap();
        let mut length = 0;
        place.alter("round", round_key(900, 0), |content| length = content.len());
        length
    };
    for byte in 0..length {
        let place = Place::new();
        let readings = [reading("M1", 900, "1.0"), reading("M1", 1800, "2")];
        place.open().register(&round(readings.clone(), [])).unwrap();
        place.alter("round", round_key(900, 0), |content| content[byte] ^= 0x10);
        let page = all(&place.open());
        assert_eq!(page.readings, readings[1..], "{byte}");
        let lost = Damaged {
            element: None,
            period: period(900, 901),
        };
        assert_eq!(page.damaged, [lost], "{byte}");
    }
}

#[test]
fn round_that_was_moved_to_another_time_is_damaged() {
    let place = Place::new();
    place
        .open()
        .register(&round([reading("M1", 900, "1")], []))
        .unwrap();
    place.tamper("UPDATE round SET key = key + 1");
    assert_eq!(all(&place.open()).damaged.len(), 1);
    place.tamper("UPDATE round SET key = key + (900 << 16)");
    let page = all(&place.open());
    assert_eq!((page.readings.len(), page.damaged.len()), (0, 1));
}

#[test]
fn damaged_chunk_costs_itself_and_is_reported() {
    let place = Place::new();
    let database = place.open();
    let readings: Vec<_> = (0..96).map(|quarter| reading("M1", quarter * 900, "1")).collect();
    let others: Vec<_> = (0..96).map(|quarter| reading("M2", quarter * 900, "2")).collect();
    database
        .register(&round([readings, others.clone()].concat(), []))
        .unwrap();
    seal(&database, 86_400);
    drop(database);
    place.alter("chunk", 1, |content| content[10] ^= 1);
    let database = place.open();
    let page = all(&database);
    assert_eq!(page.readings, others);
    let lost = |from, to| Damaged {
        element: Some(element("M1")),
        period: period(from, to),
    };
    assert_eq!(page.damaged, [lost(0, 86_400)]);
    let part = database
        .readings(&element("M1").into(), period(900, 1_800))
        .unwrap();
    assert_eq!(
        (part.readings.len(), part.damaged.as_slice()),
        (0, &[lost(900, 1_800)][..])
    );
    let other = database
        .readings(&element("M2").into(), period(900, 1_800))
        .unwrap();
    assert_eq!((other.readings.len(), other.damaged.len()), (1, 0));
}

#[test]
fn damaged_round_is_not_sealed_but_reported_on() {
    let place = Place::new();
    let readings = [reading("M1", 900, "1"), reading("M1", 1800, "2")];
    place.open().register(&round(readings.clone(), [])).unwrap();
    place.alter("round", round_key(900, 0), |content| content[5] ^= 1);
    let database = place.open();
    seal(&database, 86_400);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (1, 1));
    let page = all(&database);
    assert_eq!(
        (page.readings.as_slice(), page.damaged.len()),
        (&readings[1..], 1)
    );
}

#[test]
fn reading_never_changes_its_meter() {
    let place = Place::new();
    let readings = [reading("M1", 900, "1"), reading("M2", 900, "2")];
    let database = place.open();
    database.register(&round(readings, [gap("M1", 1800)])).unwrap();
    drop(database);
    place.tamper("UPDATE element SET meter = 'M3' WHERE meter = 'M1'");
    let database = place.open();
    assert_eq!(database.elements(), [element("M2")]);
    assert_eq!(database.damaged_elements(), 1);
    let lost = |seconds| Damaged {
        element: None,
        period: period(seconds, seconds + 1),
    };
    let page = all(&database);
    assert_eq!(page.readings, [reading("M2", 900, "2")]);
    assert_eq!(page.damaged, [lost(900), lost(1800)]);
    // Asked for by name, too: it may have been that element's.
    let page = database.readings(&element("M2").into(), always()).unwrap();
    assert_eq!((page.readings.len(), page.damaged.len()), (1, 2));
    // What is known is sealed, the rest stays a row. The element gets a new number.
    seal(&database, 86_400);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (2, 1));
    database.register(&round([reading("M1", 2700, "3")], [])).unwrap();
    drop(database);
    let page = all(&place.open());
    assert_eq!(page.readings, [reading("M2", 900, "2"), reading("M1", 2700, "3")]);
    assert_eq!(page.damaged, [lost(900), lost(1800)]);
    // A chunk knows its meter by name.
    place.tamper("UPDATE chunk SET key = (key >> 24 << 24) + 3");
    let page = all(&place.open());
    assert_eq!((page.readings.len(), page.damaged.len()), (1, 4));
}

#[test]
fn number_of_an_element_whose_row_is_lost_is_not_given_again() {
    for count_is_damaged in [false, true] {
        let place = Place::new();
        place
            .open()
            .register(&round([reading("M1", 900, "1")], []))
            .unwrap();
        place.tamper("DELETE FROM element");
        if count_is_damaged {
            place.tamper("UPDATE element_count SET greatest = 0");
            place.tamper("INSERT INTO element VALUES (7, 'x', 'y', 0)");
        }
        let database = place.open();
        database.register(&round([reading("M2", 1800, "2")], [])).unwrap();
        let page = all(&database);
        assert_eq!(
            (page.readings.as_slice(), page.damaged.len()),
            (&[reading("M2", 1800, "2")][..], 1)
        );
    }
}

#[test]
fn no_flipped_bit_becomes_a_wrong_number() {
    let original = Place::new();
    let database = original.open();
    for time in 0..40 {
        let readings: Vec<_> = (0..5)
            .map(|m| reading(&format!("M{m}"), time * 9_000, &format!("{time}.{m}")))
            .collect();
        database
            .register(&round(readings, [gap("M9", time * 9_000)]))
            .unwrap();
    }
    seal(&database, 2 * 86_400);
    let late = (0..5).map(|m| reading(&format!("M{m}"), 450, "7"));
    database.register(&round(late.collect::<Vec<_>>(), [])).unwrap();
    let message = |id| OutboxMessage {
        id: [id; 16],
        recipient: model::Fingerprint::new([id; 32]),
        content: vec![id; 3_000],
    };
    for id in 0..5 {
        database.enqueue(&message(id)).unwrap();
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
                .all(|gap| expected.gaps.contains(gap) || page.readings.len() < 205)
        );
        let pending = database
            .pending(None)
            .map(|pending| pending.messages)
            .unwrap_or_default();
        assert!(pending.iter().all(|(_, found)| *found == message(found.id[0])));
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
    let many: Vec<_> = (0..5_000).map(|time| reading("M2", time, "1")).collect();
    let error = database.register(&round(many.clone(), [])).unwrap_err();
    assert!(
        matches!(error, RegisterError::Database(DatabaseError::Full)),
        "{error:?}"
    );
    let error = database.install_bundle(1, [0; 32], &[0; 100_000]).unwrap_err();
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
    assert_eq!(database.register(&round(many, [])).unwrap().stored, 5_000);
}
