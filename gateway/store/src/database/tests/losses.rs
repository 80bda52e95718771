//! What was confirmed and is gone: noticed, reported once, never forgotten; and no request is accepted twice.

use std::path::Path;

use super::*;
use crate::files::{entries, faults};

const ID: [u8; 16] = [7; 16];

/// A gateway with something of each kind: sealed days, rounds of today, a request, messages and a bundle.
pub(super) fn populated() -> Place {
    let place = Place::new();
    let database = place.open();
    for time in 0..12 {
        let readings = [reading("M1", time * 9_000, "1"), reading("M2", time * 9_000, "2")];
        database
            .register(&round(readings, [gap("M3", time * 9_000)]))
            .unwrap();
    }
    seal(&database, 86_400);
    for id in 0..3 {
        database.enqueue(&message(id)).unwrap();
    }
    database.install_bundle(3, [5; 32], b"bundle").unwrap();
    assert_eq!(remember(&database, ID, 100_000).unwrap(), Remembered::Fresh);
    database
        .register(&round([reading("M1", 108_000, "3")], []))
        .unwrap();
    place
}

pub(super) fn message(id: u8) -> OutboxMessage {
    OutboxMessage {
        id: [id; 16],
        recipient: model::Fingerprint::new([id; 32]),
        content: vec![id; 30],
    }
}

pub(super) fn remember(database: &Database, id: [u8; 16], now: i64) -> Result<Remembered, RequestError> {
    database.remember_request(&id, at(now + 600), at(now))
}

pub(super) fn found(database: &Database) -> Vec<Lost> {
    database.new_losses().into_iter().map(|loss| loss.lost).collect()
}

fn rows_lost(kind: RowKind, missing: u64, damaged: u64, unexpected: u64) -> Lost {
    Lost::Rows {
        kind,
        missing,
        damaged,
        unexpected,
    }
}

/// What is reported when something is done to the folder of a gateway that is switched off.
fn after(harm: impl FnOnce(&Place)) -> (Place, Vec<Lost>) {
    let place = populated();
    harm(&place);
    let lost = found(&place.open());
    // It is reported once, and listed for ever.
    let database = place.open();
    assert_eq!(database.new_losses(), []);
    let listed: Vec<_> = database.losses().into_iter().map(|loss| loss.lost).collect();
    assert_eq!(listed, lost);
    drop(database);
    (place, lost)
}

/// No request that was accepted before is accepted again; after the longest validity service goes on.
fn is_refused_for_a_while(place: &Place) {
    let database = place.open();
    for now in [100_100i64, 100_599, 100_100 + 2_999] {
        let error = remember(&database, [now.to_le_bytes()[0]; 16], now).unwrap_err();
        assert!(matches!(error, RequestError::Expired { .. }), "{error:?}");
    }
    assert_eq!(
        remember(&database, [9; 16], 100_100 + 3_001).unwrap(),
        Remembered::Fresh
    );
}

#[test]
fn whole_database_has_lost_nothing() {
    let (place, lost) = after(|_| {});
    assert_eq!(lost, []);
    assert_eq!(
        remember(&place.open(), ID, 100_001).unwrap(),
        Remembered::Replayed
    );
    assert_eq!(
        remember(&place.open(), [8; 16], 100_001).unwrap(),
        Remembered::Fresh
    );
}

#[test]
fn rows_that_are_missing_damaged_or_unexpected_are_counted() {
    let cases = [
        (
            "DELETE FROM round WHERE key = 90000 << 16",
            rows_lost(RowKind::Round, 1, 0, 0),
        ),
        ("DELETE FROM day", rows_lost(RowKind::Day, 1, 0, 0)),
        ("UPDATE day SET content = x'00'", rows_lost(RowKind::Day, 0, 1, 0)),
        (
            "DELETE FROM element WHERE id = 2",
            rows_lost(RowKind::Element, 1, 0, 0),
        ),
        (
            "UPDATE element_count SET greatest = 9",
            rows_lost(RowKind::Element, 0, 1, 0),
        ),
        (
            "DELETE FROM outbox WHERE number = 2",
            rows_lost(RowKind::Outbox, 1, 0, 0),
        ),
        (
            "UPDATE outbox SET id = zeroblob(15) WHERE number = 2",
            rows_lost(RowKind::Outbox, 0, 1, 0),
        ),
        ("DELETE FROM bundle", rows_lost(RowKind::Bundle, 1, 0, 0)),
        (
            "UPDATE bundle SET version = 2",
            rows_lost(RowKind::Bundle, 0, 1, 0),
        ),
        (
            "INSERT INTO round VALUES (5, x'00')",
            rows_lost(RowKind::Round, 0, 1, 1),
        ),
        (
            "INSERT INTO loss VALUES (5, x'00')",
            rows_lost(RowKind::Loss, 0, 0, 1),
        ),
    ];
    for (sql, expected) in cases {
        let (_, lost) = after(|place| place.tamper(sql));
        assert_eq!(lost, [expected], "{sql}");
    }
    // The round of the last commit is its head, too.
    let (place, lost) =
        after(|place| place.tamper("UPDATE round SET content = x'00' WHERE key = 108000 << 16"));
    assert_eq!(lost[0], Lost::Commits { missing: 1 });
    assert!(
        matches!(
            lost[1],
            Lost::Rows {
                kind: RowKind::Round,
                damaged: 1,
                ..
            }
        ),
        "{lost:?}"
    );
    assert_eq!(all(&place.open()).damaged.len(), 1);
}

#[test]
fn request_that_is_lost_or_changed_is_not_accepted_again() {
    for (sql, lost) in [
        ("DELETE FROM request", rows_lost(RowKind::Request, 1, 0, 0)),
        (
            "UPDATE request SET id = zeroblob(16)",
            rows_lost(RowKind::Request, 0, 1, 0),
        ),
        (
            "UPDATE request SET expires = 5",
            rows_lost(RowKind::Request, 0, 1, 0),
        ),
        (
            "INSERT INTO request_floor VALUES (1, 5)",
            rows_lost(RowKind::Request, 0, 0, 1),
        ),
        ("DELETE FROM head", Lost::Head),
        ("UPDATE head SET content = x'00'", Lost::Head),
    ] {
        let (place, found) = after(|place| place.tamper(sql));
        assert_eq!(found, [lost], "{sql}");
        is_refused_for_a_while(&place);
    }
}

#[test]
fn description_of_a_table_that_has_changed_leads_to_a_salvage() {
    let place = populated();
    let right = all(&place.open());
    place.tamper("CREATE TABLE other (a)");
    let database = place.open();
    assert_eq!(found(&database), [Lost::Salvaged]);
    assert_eq!(all(&database), right);
}

#[test]
fn table_that_searches_fail_in_leads_to_a_salvage() {
    let place = populated();
    let right = all(&place.open());
    // An index that does not know a row: the row would not be found.
    place.tamper(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = \
         (SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_outbox_1') WHERE name = 'request_by_expiry'",
    );
    let database = place.open();
    assert_eq!(found(&database), [Lost::Salvaged]);
    assert_eq!(all(&database), right);
}

fn remove(place: &Place, ending: &str) {
    for path in entries(place.0.path()).unwrap() {
        if path.to_string_lossy().ends_with(ending) {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn file_that_is_deleted_is_missed() {
    let (place, lost) = after(|place| remove(place, ".db"));
    assert_eq!(lost, [Lost::Database]);
    is_refused_for_a_while(&place);
    let (place, lost) = after(|place| remove(place, ".head"));
    assert_eq!(lost, [Lost::Witness]);
    is_refused_for_a_while(&place);
    // Both together: whether there was a past the bindings know, which `Store` asks.
    let place = populated();
    remove(&place, ".db");
    remove(&place, ".head");
    let database = Opening::begin(&place.path()).unwrap().finish(true).unwrap();
    assert_eq!(found(&database), [Lost::Database]);
    drop(database);
    is_refused_for_a_while(&place);
}

#[test]
fn gateway_that_was_never_used_misses_nothing() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(place.open().losses(), []);
        remove(&place, ".head");
    }
    drop(Opening::begin(&place.path()).unwrap());
    assert_eq!(place.open().losses(), []);
}

/// Copies a folder while its database is open, as it stands.
pub(super) fn copy_of(place: &Place) -> Place {
    let copy = Place::new();
    copy_folder(place.0.path(), copy.0.path());
    copy
}

fn bring(from: &Place, to: &Place, name: &str) {
    let path = |place: &Place| place.0.path().join(name);
    drop(fs::remove_file(path(to)));
    if path(from).exists() {
        fs::copy(path(from), path(to)).unwrap();
    }
}

#[test]
fn older_copy_of_any_file_is_noticed_or_harmless() {
    for files in 1..8u8 {
        let place = populated();
        let database = place.open();
        let old = copy_of(&place);
        for time in 0..4 {
            database
                .register(&round([reading("M1", 120_000 + time, "4")], []))
                .unwrap();
        }
        assert_eq!(remember(&database, [8; 16], 100_001).unwrap(), Remembered::Fresh);
        let now = copy_of(&place);
        drop(database);
        for (bit, name) in ["gateway.db", "gateway.db-wal", "gateway.head"]
            .into_iter()
            .enumerate()
        {
            if files & (1 << bit) != 0 {
                bring(&old, &now, name);
            }
        }
        // All three together are the whole past, which only hardware could tell; the log was not yet brought into
        // the database, so that the database need not be among them.
        let is_past = files == 7 || files == 6;
        let Ok(database) = Database::open(&now.path()) else {
            continue;
        };
        let has_all = all(&database).readings.len() == 12 * 2 + 1 + 4;
        let is_reported = !database.new_losses().is_empty();
        assert!(has_all || is_reported || is_past, "{files:b}");
        if !is_past {
            let again = remember(&database, [8; 16], 100_002);
            assert!(!matches!(again, Ok(Remembered::Fresh)), "{files:b}");
        }
    }
}

#[test]
fn log_that_is_cut_short_is_noticed() {
    let place = populated();
    let database = place.open();
    for time in 0..6 {
        database
            .register(&round([reading("M1", 120_000 + time, "4")], []))
            .unwrap();
    }
    let whole = copy_of(&place);
    let length = fs::metadata(whole.0.path().join("gateway.db-wal")).unwrap().len();
    for kept in (0..length).step_by(1_111) {
        let cut = copy_of(&whole);
        let log = fs::OpenOptions::new()
            .write(true)
            .open(cut.0.path().join("gateway.db-wal"));
        log.unwrap().set_len(kept).unwrap();
        let database = cut.open();
        let missing = 12 * 2 + 1 + 6 - all(&database).readings.len();
        let [Lost::Commits { missing: commits }] = found(&database)[..] else {
            panic!("{:?}", database.losses());
        };
        assert_eq!(usize::try_from(commits).unwrap(), missing, "{kept}");
        drop(database);
        is_refused_for_a_while(&cut);
    }
}

#[test]
fn commit_that_was_not_witnessed_stays_and_is_no_loss() {
    let place = populated();
    let database = place.open();
    let before = copy_of(&place);
    for readings in 1..4 {
        database
            .register(&round([reading("M1", 120_000 + readings, "4")], []))
            .unwrap();
        let cut = copy_of(&place);
        bring(&before, &cut, "gateway.head");
        let database = cut.open();
        assert_eq!(database.losses(), []);
        assert_eq!(
            i64::try_from(all(&database).readings.len()).unwrap(),
            12 * 2 + 1 + readings
        );
    }
}

#[test]
fn full_disk_does_not_keep_the_database_shut() {
    let place = populated();
    let before = copy_of(&place);
    place
        .open()
        .register(&round([reading("M1", 120_000, "4")], []))
        .unwrap();
    // The power went between the commit and its witness; and a slot is damaged.
    bring(&before, &place, "gateway.head");
    let witness = place.0.path().join("gateway.head");
    let mut content = fs::read(&witness).unwrap();
    content[0] ^= 1;
    fs::write(&witness, content).unwrap();
    let no_new_file = |path: &Path| {
        let is_new = path.extension().is_some_and(|extension| extension == "tmp");
        if is_new {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    };
    let database = faults::with(no_new_file, || place.open());
    assert_eq!(database.losses(), []);
    assert_eq!(all(&database).readings.len(), 12 * 2 + 1 + 1);
}

#[test]
fn commit_is_not_confirmed_without_its_witness() {
    let place = populated();
    let database = place.open();
    let fails = |path: &Path| {
        let is_witness = path.extension().is_some_and(|extension| extension == "head");
        if is_witness {
            Err(std::io::ErrorKind::Other.into())
        } else {
            Ok(())
        }
    };
    let error = faults::with(fails, || {
        database.register(&round([reading("M1", 120_000, "4")], []))
    });
    let error = error.unwrap_err();
    assert!(
        matches!(error, RegisterError::Database(DatabaseError::File(_))),
        "{error:?}"
    );
    database
        .register(&round([reading("M1", 120_001, "4")], []))
        .unwrap();
    drop(database);
    let database = place.open();
    assert_eq!(database.losses(), []);
    assert_eq!(all(&database).readings.len(), 12 * 2 + 1 + 2);
}

#[test]
fn chunk_that_is_missing_is_reported_by_pages_and_once_by_the_check() {
    let (place, lost) = after(|place| place.tamper("DELETE FROM chunk WHERE key & 0xffffff = 2"));
    assert_eq!(lost, []);
    let database = place.open();
    let damaged = |name: Option<&str>| Damaged {
        element: name.map(element),
        period: period(0, 86_400),
    };
    assert_eq!(all(&database).damaged, [damaged(Some("M2"))]);
    let page = database.readings(&element("M1").into(), always()).unwrap();
    assert_eq!((page.readings.len(), page.damaged.len()), (13, 0));
    let checked = database.check(4).unwrap();
    let [loss] = checked.losses[..] else {
        panic!("{checked:?}")
    };
    assert_eq!(loss.lost, rows_lost(RowKind::Chunk, 1, 0, 0));
    assert_eq!((checked.chunks, loss.behind), (3, Some(at(108_000))));
    assert_eq!(database.check(5).unwrap().losses, []);
    drop(database);
    place.tamper("UPDATE chunk SET content = x'00' WHERE key & 0xffffff = 1");
    let database = place.open();
    assert_eq!(all(&database).damaged.len(), 2);
    assert_eq!(
        database.check(0).unwrap().losses[0].lost,
        rows_lost(RowKind::Chunk, 0, 1, 0)
    );
    assert_eq!(database.check(0).unwrap().losses, []);
    drop(database);
    let database = place.open();
    assert_eq!((database.losses().len(), database.new_losses().len()), (2, 0));
    // A list that is damaged costs the certainty about its day.
    drop(database);
    place.tamper("UPDATE day SET content = x'00'; DELETE FROM chunk WHERE key & 0xffffff = 3");
    let database = place.open();
    assert_eq!(found(&database), [rows_lost(RowKind::Day, 0, 1, 0)]);
    assert!(all(&database).damaged.contains(&damaged(None)));
    assert_eq!(database.check(0).unwrap().losses.len(), 2);
    assert!(all(&database).damaged.contains(&damaged(None)));
}

#[test]
fn losses_are_bounded_and_the_latest_stay() {
    let place = populated();
    let database = place.open();
    let mut inner = database.lock();
    let mut head = inner.head.next();
    let transaction = inner.connection.transaction().unwrap();
    for _ in 0..1_100 {
        loss::store(&transaction, &mut head.losses, Lost::Witness, None).unwrap();
    }
    head.store(&transaction).unwrap();
    transaction.commit().unwrap();
    inner.confirm(head).unwrap();
    drop(inner);
    assert_eq!(rows(&database, "loss"), 1_024);
    drop(database);
    let database = place.open();
    assert_eq!(database.new_losses(), []);
    let numbers: Vec<_> = database.losses().iter().map(|loss| loss.number).collect();
    assert_eq!(numbers, (1_037..=1_100).collect::<Vec<_>>());
}

#[test]
fn files_belong_to_the_gateway_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = populated();
    for path in entries(place.0.path()).unwrap() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _database = place.open();
    let mut names = Vec::new();
    for path in entries(place.0.path()).unwrap() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path:?}");
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["gateway.db", "gateway.db-wal", "gateway.head"]);
}
