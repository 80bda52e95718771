//! Databases that are too damaged to be opened: what is sound goes into a new one.

use std::cell::RefCell;
use std::rc::Rc;

use super::losses::{copy_of, found, message, populated, remember};
use super::*;
use crate::crash::folder_in_memory;
use crate::database::salvage::salvage_within;
use crate::files::faults;

const PAGE: usize = 4_096;

/// Many days of several meters, sealed and not, with something of each other kind, in a folder in memory.
fn filled() -> Place {
    let place = Place(folder_in_memory());
    let database = place.open();
    for time in 0..96 * 8 {
        let readings: Vec<_> = (1..9)
            .map(|meter| reading(&format!("M{meter}"), time * 900, &(time * 10 + meter).to_string()))
            .collect();
        database.register(&round(readings, [])).unwrap();
    }
    seal(&database, 86_400 * 6);
    for id in 0..40 {
        database.enqueue(&message(id)).unwrap();
    }
    database.install_bundle(3, [5; 32], &[7; 20_000]).unwrap();
    for id in 0..200 {
        assert_eq!(remember(&database, [id; 16], 100_000).unwrap(), Remembered::Fresh);
    }
    drop(database);
    place
}

/// Overwrites a page as a broken device may.
fn wreck(place: &Place, page: usize) {
    let mut content = fs::read(place.path()).unwrap();
    let mut noise = 0x2545_f491_4f6c_dd1du64;
    for byte in &mut content[page * PAGE..(page + 1) * PAGE] {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        *byte = noise.to_le_bytes()[3];
    }
    fs::write(place.path(), content).unwrap();
}

/// Returns what a sound database has on each of its pages: the table, and how many rows or pieces of rows.
fn rows_by_page(place: &Place) -> Vec<(String, i64)> {
    let connection = Connection::open(place.path()).unwrap();
    let pages = fs::read(place.path()).unwrap().len() / PAGE;
    let mut found = vec![(String::new(), 0); pages];
    let mut statement = connection
        .prepare(
            "SELECT pageno, name, iif(pagetype = 'internal', 0, ncell + (pagetype = 'overflow')) FROM dbstat",
        )
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let page: usize = row.get::<_, i64>(0).unwrap().try_into().unwrap();
        found[page - 1] = (row.get(1).unwrap(), row.get(2).unwrap());
    }
    found
}

/// Opens a database with a wrecked page; `None` if it was not salvaged.
fn opened_by_salvage(place: &Place, owner: &str) -> Option<Database> {
    let mut database = place.open();
    if owner == "chunk" && found(&database).is_empty() {
        // The chunks are not looked at until they are read or checked; the next start knows that.
        let is_met = (0..8).any(|step| match database.check(step) {
            Ok(checked) => !checked.losses.is_empty(),
            Err(error) => matches!(error, DatabaseError::Damaged(_)),
        });
        assert!(is_met);
        drop(database);
        database = place.open();
    }
    let is_salvaged = found(&database).first() == Some(&Lost::Salvaged);
    // Else it is a page of the freelist, or of the bundle, which its own seal covers.
    assert!(is_salvaged || ["", "bundle"].contains(&owner));
    is_salvaged.then_some(database)
}

#[test]
fn wrecked_page_costs_the_rows_that_stood_in_it_and_no_others() {
    let place = filled();
    let tables = ["round", "chunk", "day", "element", "outbox", "bundle"];
    let (before, right) = {
        let database = place.open();
        let before = tables.map(|table| rows(&database, table));
        (before, all(&database))
    };
    let pages = rows_by_page(&place);
    let mut salvaged = 0;
    for (page, (owner, held)) in pages.iter().enumerate() {
        let copy = Place(folder_in_memory());
        copy_folder(place.0.path(), copy.0.path());
        wreck(&copy, page);
        let Some(database) = opened_by_salvage(&copy, owner) else {
            continue;
        };
        salvaged += 1;
        let lost = found(&database);
        for (table, before) in tables.iter().zip(before) {
            let mut least = before - if owner == table { *held } else { 0 };
            // The bundle is taken only under the head that accounts for it.
            if (*table, owner.as_str()) == ("bundle", "head") {
                least = 0;
            }
            let after = rows(&database, table);
            assert!(after >= least, "{page} {owner}: {after} of {before} in {table}");
        }
        let now = all(&database).readings;
        assert!(now.iter().all(|reading| right.readings.contains(reading)));
        if !["round", "chunk", "element"].contains(&owner.as_str()) {
            assert_eq!(now, right.readings, "{page} {owner}");
        }
        let replay = remember(&database, [3; 16], 100_010);
        assert!(!matches!(replay, Ok(Remembered::Fresh)), "{page} {owner}");
        assert!(copy.0.path().join("gateway.db.damaged").exists());
        drop(database);
        // It is whole from then on.
        let database = copy.open();
        assert_eq!(database.new_losses(), [], "{page} {owner}");
        assert_eq!(found_kept(&database), lost, "{page} {owner}");
    }
    assert!(salvaged > 20, "{salvaged} of {}", pages.len());
}

fn found_kept(database: &Database) -> Vec<Lost> {
    database.losses().iter().map(|loss| loss.lost).collect()
}

#[test]
fn salvage_tells_what_it_did_not_find_and_measuring_goes_on() {
    let place = populated();
    let pages = rows_by_page(&place);
    let outbox = pages.iter().position(|(owner, _)| owner == "outbox").unwrap();
    wreck(&place, outbox);
    let database = place.open();
    let lost = found(&database);
    assert_eq!(lost[0], Lost::Salvaged);
    assert!(
        lost.iter().any(|lost| matches!(
            lost,
            Lost::Rows {
                kind: RowKind::Outbox,
                missing: 1..,
                ..
            }
        )),
        "{lost:?}"
    );
    // What was accepted may be missing: nothing is accepted for an hour.
    assert!(matches!(
        remember(&database, [99; 16], 100_010),
        Err(RequestError::Expired { .. })
    ));
    database
        .register(&round([reading("M1", 900_000, "4")], []))
        .unwrap();
    drop(database);
    let database = place.open();
    assert_eq!(database.new_losses(), []);
    assert!(all(&database).readings.contains(&reading("M1", 900_000, "4")));
}

/// A database whose log was not brought into it, with a page of it wrecked.
fn wrecked_with_log() -> (Place, Page) {
    let place = Place(folder_in_memory());
    let database = place.open();
    database.register(&round([reading("M1", 900, "1")], [])).unwrap();
    drop(database);
    let database = place.open();
    database
        .register(&round([reading("M1", 1_800, "2")], []))
        .unwrap();
    database.enqueue(&message(1)).unwrap();
    let right = all(&database);
    let copy = Place(folder_in_memory());
    copy_folder(place.0.path(), copy.0.path());
    drop(database);
    // The descriptions of the tables: no reading stands there.
    wreck(&copy, 0);
    (copy, right)
}

#[test]
fn cut_at_any_step_of_a_salvage_loses_nothing() {
    let (place, right) = wrecked_with_log();
    fs::write(place.0.path().join("gateway.db.damaged"), "older").unwrap();
    fs::write(place.0.path().join("gateway.db.damaged-wal"), "older").unwrap();
    let (damaged, log) = (
        fs::read(place.path()).unwrap(),
        fs::read(place.0.path().join("gateway.db-wal")).unwrap(),
    );
    let start = copy_of(&place);
    let taken = Rc::new(RefCell::new(Vec::new()));
    let keep = {
        let (taken, folder) = (Rc::clone(&taken), place.0.path().to_owned());
        move |_: &Path| {
            let copy = Place(folder_in_memory());
            copy_folder(&folder, copy.0.path());
            taken.borrow_mut().push(copy);
            Ok(())
        }
    };
    drop(faults::with(keep, || place.open()));
    let copies = taken.take();
    assert!(copies.len() > 10, "{}", copies.len());
    for (step, copy) in copies.iter().chain([&start, &place]).enumerate() {
        let database = copy.open();
        assert_eq!(all(&database).readings, right.readings, "{step}");
        assert_eq!(database.pending(None).unwrap().messages.len(), 1, "{step}");
        let lost = found_kept(&database);
        assert_eq!(lost, [Lost::Salvaged], "{step}");
        drop(database);
        let read = |name: &str| fs::read(copy.0.path().join(name)).unwrap();
        assert!(read("gateway.db.damaged") == damaged, "{step}");
        assert!(read("gateway.db.damaged-wal") == log, "{step}");
        assert!(!copy.0.path().join("gateway.db.new").exists(), "{step}");
    }
}

#[test]
fn full_disk_leaves_the_damaged_database_as_it_is() {
    let (place, right) = wrecked_with_log();
    let damaged = fs::read(place.path()).unwrap();
    let log = fs::read(place.0.path().join("gateway.db-wal")).unwrap();
    let check = |error: DatabaseError| {
        assert!(matches!(error, DatabaseError::Full), "{error:?}");
        assert!(fs::read(place.path()).unwrap() == damaged);
        assert!(fs::read(place.0.path().join("gateway.db-wal")).unwrap() == log);
        assert!(!place.0.path().join("gateway.db.new").exists());
    };
    check(salvage_within(&place.path(), 5).unwrap_err());
    let no_new_file = |path: &Path| {
        if path.extension().is_some_and(|extension| extension == "new") && !path.exists() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    };
    check(faults::with(no_new_file, || Database::open(&place.path())).unwrap_err());
    // What an earlier salvage has left makes room.
    fs::write(place.0.path().join("gateway.db.damaged"), "older").unwrap();
    let older = place.0.path().join("gateway.db.damaged");
    let no_room = move |path: &Path| {
        if path.extension().is_some_and(|extension| extension == "new") && !path.exists() && older.exists() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    };
    let database = faults::with(no_room, || place.open());
    assert_eq!(all(&database).readings, right.readings);
}

#[test]
fn other_failures_lead_to_no_salvage() {
    let place = populated();
    let owner = place.open();
    let error = Database::open(&place.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::Locked), "{error:?}");
    drop(owner);
    // A witness that cannot be written.
    let failing = |path: &Path| {
        if path.extension().is_some_and(|extension| extension == "head") {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    };
    wreck(&place, 0);
    // Another process salvages.
    let folder = fs::File::open(place.0.path()).unwrap();
    folder.lock().unwrap();
    let error = Database::open(&place.path()).unwrap_err();
    assert!(matches!(error, DatabaseError::Locked), "{error:?}");
    drop(folder);
    assert!(!place.0.path().join("gateway.db.damaged").exists());
    let error = faults::with(failing, || Database::open(&place.path())).unwrap_err();
    assert!(matches!(error, DatabaseError::File(_)), "{error:?}");
    assert_eq!(found_kept(&place.open())[0], Lost::Salvaged);
}

#[test]
fn header_that_names_another_version_or_owner_is_damage() {
    for change in [
        "PRAGMA user_version = 2",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 7",
        "PRAGMA application_id = 5",
    ] {
        let place = populated();
        let right = all(&place.open());
        place.tamper(change);
        let database = place.open();
        assert_eq!(found(&database), [Lost::Salvaged], "{change}");
        assert_eq!(all(&database), right, "{change}");
    }
}

#[test]
fn database_of_a_newer_gateway_is_never_salvaged() {
    let place = populated();
    place.tamper("CREATE TABLE newer (a); PRAGMA user_version = 6");
    let error = Database::open(&place.path()).unwrap_err();
    assert!(
        matches!(error, DatabaseError::TooNew { found: 6, .. }),
        "{error:?}"
    );
    assert!(!place.0.path().join("gateway.db.damaged").exists());
}

#[test]
fn foreign_database_in_the_place_of_ours_is_set_aside() {
    let place = populated();
    fs::remove_file(place.path()).unwrap();
    place.tamper("CREATE TABLE other (a)");
    let foreign = fs::read(place.path()).unwrap();
    let database = place.open();
    assert_eq!(found(&database)[0], Lost::Salvaged);
    assert_eq!(all(&database), Page::default());
    let kept = fs::read(place.0.path().join("gateway.db.damaged")).unwrap();
    // SQLite notes in the header that it was opened with a log.
    assert_eq!(kept[100..], foreign[100..]);
}
