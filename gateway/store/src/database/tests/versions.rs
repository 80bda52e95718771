//! Settings, foreign files and golden files.

use super::*;

#[test]
fn settings_that_durability_rests_on_are_in_force() {
    let place = Place::new();
    let database = place.open();
    let inner = database.lock();
    let text = |name: &str| -> String {
        let value = inner.connection.pragma_query_value(None, name, |row| {
            row.get_ref(0).map(|value| match value {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap().to_owned(),
            })
        });
        value.unwrap()
    };
    assert_eq!(text("journal_mode"), "wal");
    assert_eq!(text("synchronous"), "2");
    assert_eq!(text("locking_mode"), "exclusive");
    assert_eq!(text("journal_size_limit"), WAL_BYTES.to_string());
    assert_eq!(text("wal_autocheckpoint"), WAL_PAGES.to_string());
    assert!(!place.0.path().join("gateway.db-shm").exists());
}

#[test]
fn files_that_are_no_database_of_ours_are_named() {
    let open = |prepare: &dyn Fn(&PathBuf)| {
        let place = Place::new();
        prepare(&place.path());
        Database::open(&place.path()).unwrap_err()
    };
    let sql =
        |sql: &'static str| move |path: &PathBuf| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let error = open(&|path| fs::write(path, "no database at all".repeat(100)).unwrap());
    assert!(matches!(error, DatabaseError::Damaged(_)), "{error:?}");
    for foreign in [
        "CREATE TABLE other (a)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 1",
    ] {
        let error = open(&sql(foreign));
        assert!(matches!(error, DatabaseError::NotOurs), "{foreign}: {error:?}");
    }
    let error = open(&sql(
        "PRAGMA application_id = 0x534d4757; PRAGMA user_version = 6",
    ));
    assert!(
        matches!(error, DatabaseError::TooNew { found: 6, known: 5 }),
        "{error:?}"
    );
    let error = open(&|path| fs::create_dir(path).unwrap());
    assert!(matches!(error, DatabaseError::Engine(_)), "{error:?}");
}

#[test]
fn places_where_no_database_can_be_are_named() {
    let error = Database::open("/nowhere/gateway.db".as_ref()).unwrap_err();
    assert!(matches!(error, DatabaseError::File(_)), "{error:?}");
    let error = Database::open(":memory:".as_ref()).unwrap_err();
    assert!(
        matches!(&error, DatabaseError::JournalMode { found } if found == "memory"),
        "{error:?}"
    );
    let place = Place::new();
    let _owner = place.open();
    let error = Database::open(&place.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::Locked), "{error:?}");
}

/// Copies a golden file, so that it stays as it is.
fn golden(name: &str) -> Place {
    let place = Place::new();
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/store");
    let path = PathBuf::from(vectors).join(name);
    fs::copy(&path, place.path()).unwrap();
    // Version 3 has a witness.
    let witness = path.with_extension("head");
    if witness.exists() {
        fs::copy(witness, place.path().with_extension("head")).unwrap();
    }
    place
}

#[test]
fn empty_database_of_version_1_is_opened() {
    let place = golden("v1-empty.db");
    let database = place.open();
    assert_eq!(all(&database), Page::default());
    assert_eq!(database.bundle().unwrap(), None);
    database.register(&round([reading("M1", 900, "1")], [])).unwrap();
    drop(database);
    assert_eq!(all(&place.open()).readings, [reading("M1", 900, "1")]);
}

#[test]
fn damaged_database_of_version_1_is_not_salvaged() {
    let place = golden("v1-rows.db");
    let mut content = fs::read(place.path()).unwrap();
    // The headers of all pages but the first: no table is in order.
    for page in content.chunks_mut(4_096).skip(1) {
        page[0] ^= 1;
    }
    fs::write(place.path(), &content).unwrap();
    let error = Database::open(&place.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::Damaged(_)), "{error:?}");
    assert!(!place.0.path().join("gateway.db.damaged").exists());
}

fn gas() -> Element {
    Element {
        meter: "ELS-12345678-3C-03".parse().unwrap(),
        obis: "7-0:3.0.0*255".parse().unwrap(),
    }
}

#[test]
fn rows_of_version_1_that_a_foreign_tool_wrote_are_read() {
    let database = golden("v1-rows.db").open();
    let mut cubic = reading("M1", 1_795_435_200, "54.321");
    cubic.element = gas();
    cubic.quantity.unit = Unit::CubicMetre;
    let mut long = reading("M1", 1_795_435_200, "0");
    long.quantity.value = Decimal::new(-170_141_183_460_469_231_731_687_303_715_884_105_728, 5).unwrap();
    long.status = Status::from_bits(0x8000_0003);
    let page = all(&database);
    assert_eq!(page.readings, [cubic, long]);
    assert_eq!(page.damaged, []);
    let silent = Gap {
        element: gas(),
        time: at(1_795_436_100),
        reason: GapReason::BusDown,
    };
    assert_eq!(page.gaps, [silent]);
    let known = database.remember_request(&[0xab; 16], at(1_795_436_000), at(1_795_435_200));
    assert_eq!(known.unwrap(), Remembered::Replayed);
    let bundle = database.bundle().unwrap().unwrap();
    assert_eq!((bundle.version, bundle.content.as_slice()), (3, &b"grants"[..]));
}

#[test]
fn empty_database_of_version_2_is_opened() {
    let place = golden("v2-empty.db");
    let database = place.open();
    assert_eq!(all(&database), Page::default());
    assert_eq!(database.pending(None).unwrap(), Pending::default());
    database.register(&round([reading("M1", 900, "1")], [])).unwrap();
    drop(database);
    assert_eq!(all(&place.open()).readings, [reading("M1", 900, "1")]);
}

/// The readings that `make-v2.py` stores, in the order of their times.
fn readings_of_version_2() -> Vec<Reading> {
    let noon = 1_795_435_200;
    let yesterday = noon / 86_400 * 86_400 - 86_400;
    let gas = |time, mantissa| Reading {
        element: gas(),
        quantity: Quantity {
            value: Decimal::new(mantissa, -3).unwrap(),
            unit: Unit::CubicMetre,
        },
        ..reading("M1", time, "0")
    };
    let power = |time, mantissa, scaler, bits| {
        let mut reading = reading("M1", time, "0");
        reading.quantity.value = Decimal::new(mantissa, scaler).unwrap();
        reading.status = Status::from_bits(bits);
        reading
    };
    let mut readings: Vec<_> = (0..96)
        .map(|quarter| gas(yesterday + 900 * quarter, i128::from(54_000 + 3 * quarter)))
        .collect();
    readings.push(gas(yesterday + 450, 54_001));
    readings.push(power(yesterday, i128::MIN, 5, 0x8000_0003));
    readings.push(power(yesterday + 1, i128::MAX, 5, 0x8000_0003));
    for (second, mantissa) in [(2, 0), (3, -1), (4, 1 << 63)] {
        readings.push(power(yesterday + second, mantissa, 0, 0));
    }
    readings.push(gas(noon, 54_321));
    readings.push(power(noon, 7, 0, 0));
    readings.sort_by_key(|reading| reading.time);
    readings
}

#[test]
fn rows_of_version_2_that_a_foreign_tool_wrote_are_read() {
    let place = golden("v2-rows.db");
    let database = place.open();
    let check = |database: &Database| {
        let page = all(database);
        assert_eq!(page.readings, readings_of_version_2());
        let [gap] = page.gaps.try_into().unwrap();
        assert_eq!((gap.element, gap.reason), (gas(), GapReason::NotAvailable));
        let lost = Damaged {
            element: Some(element("M1")),
            period: period(1_795_436_100, 1_795_436_101),
        };
        assert_eq!(page.damaged, [lost]);
    };
    check(&database);
    let known = database.remember_request(&[0xab; 16], at(1_795_436_000), at(1_795_435_200));
    assert_eq!(known.unwrap(), Remembered::Replayed);
    assert_eq!(database.bundle().unwrap().unwrap().version, 3);
    let [(number, message)] = database.pending(None).unwrap().messages.try_into().unwrap();
    assert_eq!(
        (number, message.id, message.content.as_slice()),
        (7, [0x11; 16], &b"message"[..])
    );
    seal(&database, 1_795_435_200 + 86_400);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (1, 5));
    check(&database);
}

#[test]
fn damage_of_version_1_stays_what_it_is_and_where_it_was() {
    let place = golden("v1-rows.db");
    let damages = [
        "UPDATE reading SET mantissa = 1 WHERE element = 1",
        "UPDATE element SET meter = 'M9' WHERE id = 2",
        "INSERT INTO reading SELECT time, -5, mantissa, scaler, unit, status, crc FROM reading WHERE element = 1",
        "INSERT INTO gap SELECT time, element, 'no-answer', 0 FROM reading WHERE element = 1",
    ];
    place.tamper(&damages.join(";"));
    let database = place.open();
    let page = all(&database);
    assert_eq!((page.readings.len(), page.gaps.len()), (0, 1));
    let lost = |element| Damaged {
        element,
        period: period(1_795_435_200, 1_795_435_201),
    };
    assert_eq!(page.damaged, [lost(Some(gas())), lost(None)]);
    // The first value stays, even where it is lost.
    let registered = database.register(&round(
        [Reading {
            element: gas(),
            ..reading("M1", 1_795_435_200, "1")
        }],
        [],
    ));
    assert_eq!(registered.unwrap().kept, 1);
}

#[test]
fn rows_and_witness_of_version_3_that_a_foreign_tool_wrote_are_read() {
    let noon = 1_795_435_200;
    let yesterday = noon / 86_400 * 86_400 - 86_400;
    let database = golden("v3-rows.db").open();
    let round_of_before = Loss {
        number: 5,
        lost: Lost::Rows {
            kind: RowKind::Round,
            missing: 1,
            damaged: 0,
            unexpected: 0,
        },
        behind: Some(at(noon)),
    };
    assert_eq!(database.losses(), [round_of_before]);
    assert_eq!(database.new_losses(), []);
    assert_eq!(database.lock().head.generation, 43);
    let page = all(&database);
    assert_eq!((page.readings.len(), page.damaged.len()), (4 + 2 + 4, 0));
    assert_eq!(page.readings[9], reading("M1", noon + 1_800, "10"));
    let page = database
        .readings(&element("M1").into(), period(yesterday, noon))
        .unwrap();
    let power = [reading("M1", yesterday, "7"), reading("M1", yesterday + 900, "8")];
    assert_eq!(page.readings, power);
    let checked = database.check(0).unwrap();
    assert_eq!((checked.chunks, checked.losses), (3, Vec::new()));
    let known = database.remember_request(&[0xab; 16], at(noon + 800), at(noon));
    assert_eq!(known.unwrap(), Remembered::Replayed);
    assert_eq!(database.bundle().unwrap().unwrap().version, 3);
    assert_eq!(database.pending(None).unwrap().messages.len(), 1);
}

#[test]
fn version_3_is_accounted_for_through_its_migration() {
    // The witness knows two commits that the table does not; the migration takes nothing for confirmed that was not.
    let place = golden("v3-rows.db");
    drop(place.open());
    let database = place.open();
    assert_eq!((database.new_losses(), database.losses().len()), (Vec::new(), 1));
    assert_eq!(database.restrictions().unwrap(), b"");
    let place = golden("v3-rows.db");
    place.tamper("DELETE FROM round WHERE key = (SELECT max(key) FROM round); DELETE FROM bundle");
    let lost: Vec<_> = place.open().new_losses().iter().map(|loss| loss.lost).collect();
    assert!(
        matches!(
            lost[..],
            [
                Lost::Commits { missing: 1 },
                Lost::Rows {
                    kind: RowKind::Bundle,
                    missing: 1,
                    ..
                }
            ]
        ),
        "{lost:?}"
    );
}

#[test]
fn rows_and_witness_of_version_4_that_a_foreign_tool_wrote_are_read() {
    let noon = 1_795_435_200;
    let place = golden("v4-rows.db");
    let database = place.open();
    assert_eq!(
        (database.losses(), database.lock().head.generation),
        (Vec::new(), 41)
    );
    assert_eq!(database.last_asked(&[0xcd; 32]).unwrap(), Some(at(noon - 60)));
    assert_eq!(database.restrictions().unwrap(), b"restrictions");
    assert_eq!(database.bundle().unwrap().unwrap().version, 3);
    database.set_restrictions(b"others").unwrap();
    drop(database);
    place.tamper("DELETE FROM asked");
    let database = place.open();
    assert_eq!(database.new_losses().len(), 1);
    assert_eq!(database.restrictions().unwrap(), b"others");
}

#[test]
fn rows_and_witness_of_version_5_that_a_foreign_tool_wrote_are_read() {
    let noon = 1_795_435_200;
    let place = golden("v5-rows.db");
    let database = place.open();
    assert_eq!(
        (database.losses(), database.lock().head.generation),
        (Vec::new(), 41)
    );
    let made = Element {
        meter: "M1".parse().unwrap(),
        obis: "1-0:1.8.1*255".parse().unwrap(),
    };
    assert_eq!(database.elements().len(), 2);
    let [(newest, value), (first, before)] = database
        .evaluations_at(&made, at(noon))
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        (newest.revision, newest.is_newest, newest.is_stale),
        (2, true, true)
    );
    assert_eq!((first.revision, first.is_newest), (1, false));
    assert_eq!(newest.window, period(noon - 3_600, noon));
    assert_eq!((newest.assignment, newest.digest), ([0xa1; 32], [0xd2; 32]));
    assert_eq!(
        (newest.time, newest.application),
        (at(noon + 7), model::Fingerprint::new([0xb1; 32]))
    );
    let expected = Derived {
        reading: Reading {
            element: made,
            ..reading("M1", noon, "-12.5")
        },
        from: at(noon - 3_600),
        stage: 1,
        basis: 0..3,
        until: at(noon + 86_400),
    };
    assert_eq!(
        (&value, before.reading.quantity.value.to_string()),
        (&expected, "-12.4".to_owned())
    );
    assert_eq!(
        database.made(newest.number).unwrap().unwrap(),
        Made {
            values: vec![expected.clone()],
            state: b"state".to_vec()
        }
    );
    assert_eq!(database.given(newest.number).unwrap().unwrap(), b"input");
    assert!(all(&database).readings.contains(&expected.reading));
    drop(database);
    place.tamper("DELETE FROM evaluation WHERE number = 4");
    assert_eq!(place.open().new_losses().len(), 1);
}

#[test]
fn version_4_is_accounted_for_through_its_migration() {
    let place = golden("v4-rows.db");
    drop(place.open());
    assert_eq!(place.open().losses(), []);
    let place = golden("v4-rows.db");
    place.tamper("DELETE FROM asked");
    assert_eq!(place.open().new_losses().len(), 1);
}

#[test]
fn version_2_is_accounted_for_from_its_migration_on() {
    let place = golden("v2-rows.db");
    let database = place.open();
    assert_eq!(database.losses(), []);
    assert_eq!(rows(&database, "day"), 1);
    drop(database);
    place.tamper("DELETE FROM chunk WHERE (key >> 24) & 255 = 1; DELETE FROM round WHERE key & 65535 = 1");
    let database = place.open();
    assert!(matches!(
        database.new_losses()[..],
        [Loss {
            lost: Lost::Rows {
                kind: RowKind::Round,
                missing: 1,
                ..
            },
            ..
        }]
    ));
    // The value that was lost before the migration, and the chunk.
    assert_eq!(all(&database).damaged.len(), 2);
    assert_eq!(database.check(0).unwrap().losses.len(), 1);
}
