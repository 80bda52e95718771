//! What applications have made: revisions, what marks them, and what is handed out.

use super::*;

const HOUR: i64 = 3_600;

fn made(seconds: i64, value: &str) -> Derived {
    Derived {
        reading: Reading {
            element: made_element(),
            ..reading("M1", seconds, value)
        },
        from: at(seconds - HOUR),
        stage: 2,
        basis: 1..4,
        until: at(seconds + 40 * 86_400),
    }
}

fn made_element() -> Element {
    Element {
        obis: "1-0:1.8.2*255".parse().unwrap(),
        ..element("M1")
    }
}

/// An evaluation of the hour that ends at a time.
fn evaluation(end: i64, digest: u8, values: impl Into<Vec<Derived>>) -> NewEvaluation {
    NewEvaluation {
        assignment: [7; 32],
        window: period(end - HOUR, end),
        time: at(end + 60),
        application: model::Fingerprint::new([9; 32]),
        digest: [digest; 32],
        values: values.into(),
        state: vec![digest],
        given: vec![digest; 5_000],
        until: at(end + 40 * 86_400),
    }
}

fn store(database: &Database, new: &NewEvaluation) -> Stored {
    database.watch_window(new.window);
    database.store_evaluation(new).unwrap()
}

#[test]
fn late_readings_lead_to_another_revision_and_the_newest_is_handed_out() {
    let place = Place::new();
    let database = place.open();
    database
        .register(&round([reading("M1", 0, "1")], [gap("M1", HOUR)]))
        .unwrap();
    assert_eq!(
        store(&database, &evaluation(HOUR, 1, [made(HOUR, "5")])),
        Stored::Revision(1)
    );
    assert!(database.stale_evaluations(&[7; 32]).is_empty());
    // What is registered behind the window changes nothing, at its end it does.
    database
        .register(&round([reading("M1", HOUR + 1, "3")], []))
        .unwrap();
    assert!(database.stale_evaluations(&[7; 32]).is_empty());
    database.register(&round([reading("M1", HOUR, "2")], [])).unwrap();
    drop(database);
    let database = place.open();
    let [stale] = database.stale_evaluations(&[7; 32]).try_into().unwrap();
    assert_eq!((stale.revision, stale.is_newest), (1, true));
    // The same again is none.
    assert_eq!(
        store(&database, &evaluation(HOUR, 1, [made(HOUR, "5")])),
        Stored::Same
    );
    assert!(database.stale_evaluations(&[7; 32]).is_empty());
    // By another application it is one.
    let mut other = evaluation(HOUR, 1, [made(HOUR, "6")]);
    other.application = model::Fingerprint::new([8; 32]);
    assert_eq!(store(&database, &other), Stored::Revision(2));
    drop(database);
    let database = place.open();
    let found = database.evaluations_at(&made_element(), at(HOUR)).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|(evaluation, value)| {
            (
                evaluation.revision,
                evaluation.is_newest,
                value.reading.quantity.value.to_string(),
            )
        })
        .collect();
    assert_eq!(shown, [(2, true, "6".to_owned()), (1, false, "5".to_owned())]);
    assert_eq!(database.given(found[1].0.number).unwrap().unwrap(), [1; 5_000]);
    let page = all(&database);
    assert_eq!(page.readings.len(), 4);
    assert!(page.readings.contains(&made(HOUR, "6").reading));
    assert_eq!(database.elements(), [element("M1"), made_element()]);
    assert_eq!(database.measured_elements(), [element("M1")]);
    assert_eq!(database.latest_derived().unwrap(), [made(HOUR, "6").reading]);
    assert_eq!(database.losses(), []);
}

#[test]
fn window_that_changed_while_it_was_evaluated_is_evaluated_anew() {
    let place = Place::new();
    let database = place.open();
    let new = evaluation(HOUR, 1, [made(HOUR, "5")]);
    assert_eq!(database.store_evaluation(&new).unwrap(), Stored::Overtaken);
    database.watch_window(new.window);
    database.register(&round([reading("M1", HOUR, "2")], [])).unwrap();
    assert_eq!(database.store_evaluation(&new).unwrap(), Stored::Overtaken);
    assert_eq!(store(&database, &new), Stored::Revision(1));
}

#[test]
fn what_a_window_leaves_marks_the_one_behind_it() {
    let place = Place::new();
    let database = place.open();
    store(&database, &evaluation(2 * HOUR, 1, []));
    assert!(database.stale_evaluations(&[7; 32]).is_empty());
    store(&database, &evaluation(HOUR, 1, []));
    let [stale] = database.stale_evaluations(&[7; 32]).try_into().unwrap();
    assert_eq!(stale.window, period(HOUR, 2 * HOUR));
    assert_eq!(database.evaluated_until(&[7; 32]), Some(at(2 * HOUR)));
    assert_eq!(database.evaluated_until(&[8; 32]), None);
    assert_eq!(database.evaluation(&[7; 32], at(0)).unwrap().revision, 1);
}

#[test]
fn what_a_window_leaves_passes_over_windows_that_were_not_evaluated() {
    let place = Place::new();
    let database = place.open();
    store(&database, &evaluation(5 * HOUR, 1, []));
    let mut other = evaluation(3 * HOUR, 1, []);
    other.assignment = [8; 32];
    store(&database, &other);
    store(&database, &evaluation(HOUR, 1, []));
    let [stale] = database.stale_evaluations(&[7; 32]).try_into().unwrap();
    assert_eq!(stale.window, period(4 * HOUR, 5 * HOUR));
    let before = |end| {
        database
            .evaluation_before(&[7; 32], at(end))
            .map(|found| found.window)
    };
    assert_eq!(before(4 * HOUR), Some(period(0, HOUR)));
    assert_eq!(before(5 * HOUR), Some(period(4 * HOUR, 5 * HOUR)));
    assert_eq!(before(HOUR - 1), None, "the window is not over then");
}

#[test]
fn element_that_a_meter_has_is_never_covered() {
    let place = Place::new();
    let database = place.open();
    let mut own = made(HOUR, "5");
    own.reading.element = element("M1");
    database
        .register(&round([reading("M1", 0, "1")], [gap("M1", HOUR)]))
        .unwrap();
    store(&database, &evaluation(HOUR, 1, [own]));
    let page = all(&database);
    assert_eq!((page.readings.len(), page.gaps.len()), (1, 1));
    assert_eq!(database.latest_derived().unwrap(), []);
    assert_eq!(
        database.evaluations_at(&element("M1"), at(HOUR)).unwrap().len(),
        1
    );
}

#[test]
fn pages_end_in_order_whatever_is_made() {
    let place = Place::new();
    let database = place.open();
    let values: Vec<_> = (1..=20_000).map(|second| made(second, "1")).collect();
    let mut long = evaluation(HOUR, 1, values);
    long.window = period(0, 86_400);
    store(&database, &long);
    for second in 1..=40 {
        database
            .register(&round([reading("M1", second * 500, "1")], []))
            .unwrap();
    }
    let (mut rest, mut found, mut pages) = (Some(always()), Vec::new(), 0);
    while let Some(period) = rest {
        let page = database.readings(&ElementPattern::ANY, period).unwrap();
        assert!(page.readings.len() <= 8_192 + 16_384 + 2);
        found.extend(
            page.readings
                .into_iter()
                .map(|reading| (reading.time, reading.element)),
        );
        (rest, pages) = (page.rest, pages + 1);
    }
    assert!(found.is_sorted());
    assert_eq!((found.len(), pages), (20_040, 1));
    let few: ElementPattern = made_element().into();
    let page = database.readings(&few, period(100, 200)).unwrap();
    assert_eq!(page.readings.len(), 100);
}

#[test]
fn values_are_forgotten_one_by_one_and_the_clock_alone_forgets_nothing() {
    let place = Place::new();
    let database = place.open();
    let history = Span::from_seconds(400 * 86_400).unwrap();
    let day = 86_400;
    let values = [made(day, "1"), made(2 * day, "2")];
    let mut new = evaluation(2 * day, 1, values);
    new.window = period(day, 3 * day);
    new.until = at(3 * day);
    store(&database, &new);
    let forget = |now| {
        let mut rows = 0;
        loop {
            let forgotten = database.forget_evaluations(history, at(now)).unwrap();
            rows += forgotten.rows;
            if !forgotten.more {
                return rows;
            }
        }
    };
    assert_eq!(forget(1_000 * day), 0);
    for later in 0..=41 {
        database
            .register(&round([reading("M1", later * day, "1")], []))
            .unwrap();
    }
    assert_eq!(forget(41 * day - 1), 0);
    assert_eq!(forget(41 * day), 1);
    assert_eq!(
        database.evaluations_at(&made_element(), at(day)).unwrap().len(),
        0
    );
    assert_eq!(
        database
            .evaluations_at(&made_element(), at(2 * day))
            .unwrap()
            .len(),
        1
    );
    assert_eq!(database.evaluated_applications().len(), 1);
    for later in 42..=44 {
        database
            .register(&round([reading("M1", later * day, "1")], []))
            .unwrap();
    }
    assert_eq!(forget(44 * day), 1);
    assert_eq!(
        (
            rows(&database, "evaluation"),
            database.evaluated_applications().len()
        ),
        (0, 0)
    );
    drop(database);
    assert_eq!(place.open().losses(), []);
}

#[test]
fn damage_is_reported_and_never_a_value() {
    let place = Place::new();
    let database = place.open();
    store(&database, &evaluation(HOUR, 1, [made(HOUR, "5")]));
    drop(database);
    place.tamper("UPDATE evaluation SET made = x'01'");
    let database = place.open();
    let page = all(&database);
    assert_eq!((page.readings.len(), page.damaged.len()), (0, 1));
    assert_eq!(page.damaged[0].element, Some(made_element()));
    assert_eq!(database.made(1).unwrap(), None);
}

#[test]
fn evaluations_survive_a_salvage() {
    let place = Place::new();
    let database = place.open();
    database.register(&round([reading("M1", 0, "1")], [])).unwrap();
    store(&database, &evaluation(HOUR, 1, [made(HOUR, "5")]));
    drop(database);
    place.tamper("PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE TABLE bundle (x)' WHERE name = 'bundle'");
    let database = place.open();
    assert!(database.losses().iter().any(|loss| loss.lost == Lost::Salvaged));
    assert_eq!(database.evaluation(&[7; 32], at(0)).unwrap().revision, 1);
    assert!(all(&database).readings.contains(&made(HOUR, "5").reading));
    assert_eq!(database.losses().len(), 1, "{:?}", database.losses());
}
