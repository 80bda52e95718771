//! Past days: sealed, added to, forgotten.

use model::Span;

use super::*;

const DAY: i64 = 86_400;

/// Quarter hours of a day, of some meters; every tenth point is a gap.
fn day_of(day: i64, meters: i64) -> Vec<Round> {
    let quarter = |quarter: i64| {
        let mut round = Round::default();
        for meter in 0..meters {
            let time = day * DAY + quarter * 900;
            if (quarter + meter) % 10 == 7 {
                round.gaps.push(gap(&format!("M{meter}"), time));
            } else {
                let value = (time + 17 * meter).to_string();
                round.readings.push(reading(&format!("M{meter}"), time, &value));
            }
        }
        round
    };
    (0..96).map(quarter).collect()
}

fn fill(database: &Database, days: std::ops::Range<i64>, meters: i64) {
    for day in days {
        for round in day_of(day, meters) {
            database.register(&round).unwrap();
        }
    }
}

#[test]
fn sealing_changes_no_answer() {
    let place = Place::new();
    let database = place.open();
    fill(&database, 0..3, 5);
    let before = all(&database);
    let latest = database.latest().unwrap();
    seal(&database, 2 * DAY + 10);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (96, 10));
    assert_eq!(all(&database), before);
    assert_eq!(database.latest().unwrap(), latest);
    seal(&database, 3 * DAY);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (0, 15));
    assert_eq!(all(&database), before);
    drop(database);
    let database = place.open();
    assert_eq!(all(&database), before);
    assert_eq!(database.latest().unwrap(), latest);
    let one = database
        .readings(&element("M3").into(), period(DAY, 2 * DAY))
        .unwrap();
    let is_wanted =
        |reading: &&Reading| reading.element == element("M3") && period(DAY, 2 * DAY).contains(reading.time);
    assert!(one.readings.iter().eq(before.readings.iter().filter(is_wanted)));
}

#[test]
fn call_seals_a_bounded_part_of_one_day() {
    let database = Place::new().open();
    fill(&database, 0..2, 40);
    let before = all(&database);
    let seal = || database.lock().seal_days(at(2 * DAY), 1_600).unwrap();
    // The rest of a day that takes less than a page goes with what is before it.
    let portions = [1_600, 2_240, 1_600, 2_240].map(|points| Sealed {
        points,
        chunks: 40,
        more: true,
    });
    for portion in portions {
        assert_eq!(seal(), portion);
        assert_eq!(all(&database), before);
    }
    assert_eq!(seal(), Sealed::default());
    assert_eq!(rows(&database, "round"), 0);
}

#[test]
fn days_that_are_not_over_are_not_sealed() {
    let database = Place::new().open();
    fill(&database, 0..1, 1);
    assert_eq!(database.seal_days(at(DAY - 1)).unwrap(), Sealed::default());
    assert_eq!(database.seal_days(at(DAY)).unwrap().points, 96);
}

#[test]
fn late_value_for_a_sealed_day_is_kept_and_changes_nothing() {
    let place = Place::new();
    let database = place.open();
    fill(&database, 0..1, 8);
    seal(&database, DAY);
    let before = all(&database);
    // M7 has a gap at the beginning of the day, M0 a value; M9 is new.
    let late = [
        reading("M0", 0, "1"),
        reading("M7", 0, "2"),
        reading("M9", 0, "3"),
    ];
    let registered = database
        .register(&round(late.clone(), [gap("M7", 0), gap("M1", 0)]))
        .unwrap();
    assert_eq!((registered.stored, registered.kept), (2, 3));
    seal(&database, 10 * DAY);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (1, 8));
    drop(database);
    let after = all(&place.open());
    assert_eq!(after.readings.len(), before.readings.len() + 2);
    assert_eq!(after.gaps.len(), before.gaps.len() - 1);
    assert!(
        before
            .readings
            .iter()
            .all(|reading| after.readings.contains(reading))
    );
    assert!(late[1..].iter().all(|reading| after.readings.contains(reading)));
}

#[test]
fn much_that_came_late_is_sealed_too() {
    let database = Place::new().open();
    fill(&database, 0..1, 4);
    seal(&database, DAY);
    let late: Vec<_> = (0..2_000)
        .map(|second| reading("M0", second * 2 + 1, "123456"))
        .collect();
    database.register(&round(late, [])).unwrap();
    let before = all(&database);
    seal(&database, DAY);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (0, 5));
    assert_eq!(all(&database), before);
    let one = database.readings(&element("M0").into(), always()).unwrap();
    assert!(one.readings.is_sorted_by_key(|reading| reading.time) && one.readings.len() > 2_000);
}

#[test]
fn search_for_days_to_seal_is_bounded_and_goes_on() {
    let database = Place::new().open();
    for day in 0..200 {
        database
            .register(&round([reading("M1", day * DAY, "1")], []))
            .unwrap();
    }
    seal(&database, 200 * DAY);
    // One late value for each of the days, which stay rows.
    for day in 0..200 {
        database
            .register(&round([reading("M1", day * DAY + 1, "1")], []))
            .unwrap();
    }
    fill(&database, 200..201, 1);
    let mut calls = 0;
    while database.seal_days(at(201 * DAY)).unwrap().more {
        calls += 1;
    }
    assert_eq!(calls, 4);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (200, 201));
}

#[test]
fn history_is_kept_for_as_long_as_the_policy_wants() {
    let place = Place::new();
    let database = place.open();
    fill(&database, 0..5, 3);
    seal(&database, 4 * DAY);
    let history = Span::from_seconds(3 * 86_400).unwrap();
    let forget = |now: i64| {
        let mut forgotten = 0;
        loop {
            let step = database.forget(history, at(now)).unwrap();
            forgotten += step.rows;
            if !step.more {
                return forgotten;
            }
        }
    };
    assert_eq!(forget(4 * DAY - 1), 0);
    assert_eq!(forget(4 * DAY + 1), 3);
    assert_eq!(all(&database).readings[0].time, at(DAY));
    // The days behind it are three; they stay, whatever the clock says.
    assert_eq!(forget(100 * DAY), 3);
    assert_eq!(forget(1_000_000 * DAY), 0);
    assert_eq!((rows(&database, "round"), rows(&database, "chunk")), (96, 6));
}

#[test]
fn forgetting_is_done_in_portions() {
    let database = Place::new().open();
    fill(&database, 0..3, 12);
    seal(&database, DAY);
    let forget = || database.lock().forget(Span::DAY, at(3 * DAY), 50).unwrap();
    let portion = |rows| Forgotten { rows, more: true };
    assert_eq!(
        [forget(), forget(), forget()],
        [portion(12), portion(50), portion(46)]
    );
    assert_eq!(forget(), Forgotten::default());
    assert_eq!(all(&database).readings[0].time, at(2 * DAY));
}

#[test]
fn room_of_sealed_days_is_used_again() {
    let place = Place::new();
    let database = place.open();
    let mut sizes = Vec::new();
    for day in 0..12 {
        fill(&database, day..day + 1, 40);
        seal(&database, (day + 1) * DAY);
        sizes.push(
            database
                .lock()
                .connection
                .query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))
                .unwrap(),
        );
    }
    // A day of 40 elements takes some 2 pages when it is sealed, and 10 before.
    assert!(sizes[11] - sizes[1] < 4 * 10, "{sizes:?}");
}

#[test]
fn killed_between_steps_the_answer_is_the_same() {
    let mut place = Place::new();
    let mut database = place.open();
    fill(&database, 0..1, 40);
    let before = all(&database);
    loop {
        let more = database.lock().seal_days(at(DAY), 500).unwrap().more;
        let copy = Place::new();
        copy_folder(place.0.path(), copy.0.path());
        database = copy.open();
        place = copy;
        assert_eq!(all(&database), before);
        if !more {
            break;
        }
    }
    assert_eq!(rows(&database, "round"), 0);
}
