//! Flipped bits, in every byte of the database, of its log and of its witness: each is harmless or reported and costs
//! what it hit, none is a wrong number, none lets a request repeat, and none keeps the database shut.
//!
//! All of them: `cargo test --release -p store --lib flips -- --ignored`.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::crash::folder_in_memory;

const ID: [u8; 16] = [7; 16];

/// Every so many bytes are tried by the short form; a prime, so that it meets every place of a page's layout.
const STEP: usize = 211;

/// What is right, and the files that hold it.
struct Right {
    page: Page,
    pending: Pending,
    bundle: Option<InstalledBundle>,
    place: Place,
}

/// A small database with something of each kind, closed or as a power cut leaves it.
fn right(is_closed: bool) -> Right {
    let place = Place::new();
    let database = place.open();
    let register = |time: i64| {
        let readings = [reading("M1", time, "1.5"), reading("M2", time, "2")];
        database.register(&round(readings, [gap("M3", time)])).unwrap();
    };
    (0..12).for_each(|number| register(number * 9_000));
    seal(&database, 86_400);
    for id in 0..3 {
        let message = OutboxMessage {
            id: [id; 16],
            recipient: model::Fingerprint::new([id; 32]),
            content: vec![id; 30],
        };
        database.enqueue(&message).unwrap();
    }
    database.install_bundle(3, [5; 32], b"bundle").unwrap();
    for id in [[3; 16], ID, [9; 16]] {
        assert_eq!(
            database.remember_request(&id, at(100_600), at(100_000)).unwrap(),
            Remembered::Fresh
        );
    }
    (12..15).for_each(|number| register(number * 9_000));
    let copy = Place::new();
    let (page, pending) = (all(&database), database.pending(None).unwrap());
    let bundle = database.bundle().unwrap();
    if is_closed {
        drop(database);
    }
    copy_folder(place.0.path(), copy.0.path());
    Right {
        page,
        pending,
        bundle,
        place: copy,
    }
}

/// What became of a flip.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Outcome {
    Harmless,
    Reported,
}

/// What a flip can cost at most.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Hit {
    /// The row that it hit.
    Row,
    /// The commits from the one that it hit on.
    Commits,
}

/// Opens what is left and says what became of it; panics where something was lost in silence.
fn outcome(right: &Right, place: &Place, hit: Hit) -> Outcome {
    let mut database = place.open();
    // A chunk that is out of reach is brought back by the next start.
    let is_suspected = match database.check(0) {
        Ok(checked) => !checked.losses.is_empty(),
        Err(_) => true,
    };
    if is_suspected {
        drop(database);
        database = place.open();
    }
    let replay = database.remember_request(&ID, at(100_600), at(100_010));
    assert!(
        !matches!(replay, Ok(Remembered::Fresh)),
        "a request was accepted again"
    );
    let mut is_reported = is_suspected || !database.losses().is_empty() || database.damaged_elements() > 0;
    let mut is_right = true;
    let known = &right.page;
    let page = all(&database);
    assert!(
        page.readings
            .iter()
            .all(|reading| known.readings.contains(reading))
    );
    is_right &= (&page.readings, &page.gaps) == (&known.readings, &known.gaps);
    is_reported |= !page.damaged.is_empty();
    let missing: Vec<_> = known
        .readings
        .iter()
        .filter(|reading| !page.readings.contains(reading))
        .collect();
    let are_of = |same: &dyn Fn(&Reading, &Reading) -> bool| missing.iter().all(|one| same(one, missing[0]));
    // One row is a round or a chunk, or the name of an element.
    let is_one_row =
        are_of(&|one, other| one.time == other.time) || are_of(&|one, other| one.element == other.element);
    // The latest ones, and one element alone, are found by other ways.
    for name in ["M1", "M2"] {
        let page = database.readings(&element(name).into(), always()).unwrap();
        let readings = right.page.readings.iter();
        is_right &= page
            .readings
            .iter()
            .eq(readings.filter(|one| one.element == element(name)));
        is_reported |= !page.damaged.is_empty();
    }
    let pending = database.pending(None).unwrap();
    let known = &right.pending.messages;
    assert!(pending.messages.iter().all(|message| known.contains(message)));
    is_right &= pending.messages == *known;
    is_reported |= !pending.damaged.is_empty();
    let lost_messages = known.len() - pending.messages.len();
    match database.bundle() {
        Ok(bundle) => is_right &= bundle == right.bundle,
        Err(_) => is_reported = true,
    }
    if hit == Hit::Row {
        assert!(is_one_row, "sound readings are lost: {missing:?}");
        assert!(
            lost_messages + usize::from(!missing.is_empty()) <= 1,
            "sound messages are lost"
        );
    }
    assert!(is_right || is_reported, "something was lost in silence");
    if is_reported {
        Outcome::Reported
    } else {
        Outcome::Harmless
    }
}

/// Flips a bit in every `step`th byte of a file, beginning with one, and counts what became of it.
fn flip(right: &Right, name: &str, begin: usize, step: usize) -> [usize; 2] {
    let content = fs::read(right.place.0.path().join(name)).unwrap();
    let hit = if name.ends_with("-wal") {
        Hit::Commits
    } else {
        Hit::Row
    };
    let counts = [const { AtomicUsize::new(0) }; 2];
    for byte in (begin..content.len()).step_by(step) {
        let copy = Place(folder_in_memory());
        copy_folder(right.place.0.path(), copy.0.path());
        let mut flipped = content.clone();
        flipped[byte] ^= 1 << (byte % 8);
        fs::write(copy.0.path().join(name), flipped).unwrap();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| outcome(right, &copy, hit)));
        let found = found.unwrap_or_else(|_| panic!("byte {byte} of {name}"));
        counts[found as usize].fetch_add(1, Ordering::Relaxed);
    }
    counts.map(AtomicUsize::into_inner)
}

/// The places of the database that a flip costs most: headers of pages and their first pointers to rows.
fn flip_page_headers(right: &Right) -> [usize; 2] {
    let mut counts = [0; 2];
    let length = fs::read(right.place.path()).unwrap().len();
    for page in 0..length / 4_096 {
        for byte in [0, 1, 3, 4, 5, 8, 9, 11] {
            let begin = page * 4_096 + byte + if page == 0 { 100 } else { 0 };
            let found = flip(right, "gateway.db", begin, usize::MAX);
            counts
                .iter_mut()
                .zip(found)
                .for_each(|(count, found)| *count += found);
        }
    }
    counts
}

#[test]
fn flipped_bit_in_the_database_costs_what_it_hit() {
    let right = right(true);
    let [harmless, reported] = flip(&right, "gateway.db", 0, STEP);
    assert!(reported > 7, "{harmless} {reported}");
    // Trees that are not in order are salvaged as a rule.
    let [harmless, reported] = flip_page_headers(&right);
    assert!(reported > 50, "{harmless} {reported}");
}

#[test]
fn flipped_bit_in_the_log_costs_what_it_hit() {
    let right = right(false);
    let [harmless, reported] = flip(&right, "gateway.db-wal", 0, STEP * 5);
    assert!(reported > 50, "{harmless} {reported}");
}

#[test]
fn flipped_bit_in_the_witness_is_harmless() {
    let right = right(true);
    for begin in [0, 4_096] {
        let used = 25;
        for byte in begin..begin + used {
            assert_eq!(flip(&right, "gateway.head", byte, usize::MAX), [1, 0], "{byte}");
        }
    }
}

#[test]
#[ignore = "takes many minutes; the command stands above"]
fn no_byte_of_any_file_is_lost_in_silence() {
    let (closed, open) = (right(true), right(false));
    for (right, name) in [
        (&closed, "gateway.db"),
        (&closed, "gateway.head"),
        (&open, "gateway.db"),
        (&open, "gateway.db-wal"),
        (&open, "gateway.head"),
    ] {
        let [harmless, reported] = flip(right, name, 0, 1);
        let counts = format!("{name}: {harmless} harmless, {reported} reported\n");
        std::io::Write::write_all(&mut std::io::stderr(), counts.as_bytes()).unwrap();
    }
}
