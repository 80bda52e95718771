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
        "PRAGMA application_id = 0x534d4757; PRAGMA user_version = 3",
    ));
    assert!(
        matches!(error, DatabaseError::TooNew { found: 3, known: 2 }),
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
    fs::copy(PathBuf::from(vectors).join(name), place.path()).unwrap();
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
fn rows_of_version_1_that_a_foreign_tool_wrote_are_read() {
    let database = golden("v1-rows.db").open();
    let gas = Element {
        meter: "ELS-12345678-3C-03".parse().unwrap(),
        obis: "7-0:3.0.0*255".parse().unwrap(),
    };
    let mut cubic = reading("M1", 1_795_435_200, "54.321");
    cubic.element = gas.clone();
    cubic.quantity.unit = Unit::CubicMetre;
    let mut long = reading("M1", 1_795_435_200, "0");
    long.quantity.value = Decimal::new(-170_141_183_460_469_231_731_687_303_715_884_105_728, 5).unwrap();
    long.status = Status::from_bits(0x8000_0003);
    let page = all(&database);
    assert_eq!(page.readings, [cubic, long]);
    assert_eq!(page.damaged, []);
    let silent = Gap {
        element: gas,
        time: at(1_795_436_100),
        reason: GapReason::BusDown,
    };
    assert_eq!(page.gaps, [silent]);
    let known = database.remember_request(&[0xab; 16], at(1_795_436_000), at(1_795_435_200));
    assert_eq!(known.unwrap(), Remembered::Replayed);
    let bundle = database.bundle().unwrap().unwrap();
    assert_eq!((bundle.version, bundle.content.as_slice()), (3, &b"grants"[..]));
}
