//! What is registered is found again, once.

use super::*;

#[test]
fn first_value_stays() {
    let place = Place::new();
    let database = place.open();
    let first = round([reading("M1", 900, "1.0"), reading("M2", 900, "2")], []);
    let registered = database.register(&first).unwrap();
    assert_eq!((registered.stored, registered.kept), (2, 0));
    let second = round([reading("M1", 900, "9"), reading("M1", 1800, "3")], []);
    let registered = database.register(&second).unwrap();
    assert_eq!((registered.stored, registered.kept), (1, 1));
    let expected = [
        reading("M1", 900, "1.0"),
        reading("M2", 900, "2"),
        reading("M1", 1800, "3"),
    ];
    assert_eq!(all(&database).readings, expected);
    drop(database);
    assert_eq!(all(&place.open()).readings, expected);
}

#[test]
fn value_may_follow_a_gap_but_no_gap_a_value() {
    let database = Place::new().open();
    let registered = database.register(&round(
        [reading("M1", 900, "1")],
        [gap("M1", 900), gap("M1", 1800)],
    ));
    assert_eq!(
        registered.unwrap(),
        Registered {
            stored: 2,
            kept: 1,
            refused: 0
        }
    );
    assert_eq!(all(&database).gaps, [gap("M1", 1800)]);
    database.register(&round([reading("M1", 1800, "2")], [])).unwrap();
    let page = all(&database);
    assert_eq!((page.readings.len(), page.gaps.len()), (2, 0));
}

#[test]
fn times_that_32_bits_do_not_hold_are_kept_on_every_processor() {
    let place = Place::new();
    // Before and behind the ends of 31 and of 32 bits: 2038-01-19T03:14:07Z and 2106-02-07T06:28:15Z.
    let ends = [i64::from(i32::MAX), i64::from(u32::MAX)];
    let times = ends
        .into_iter()
        .flat_map(|end| [end - 900, end, end + 1, end + 900]);
    let readings: Vec<_> = times.map(|time| reading("M1", time, "1")).collect();
    for reading in &readings {
        place.open().register(&round([reading.clone()], [])).unwrap();
    }
    assert_eq!(all(&place.open()).readings, readings);
}

#[test]
fn every_digit_and_remark_is_kept() {
    let place = Place::new();
    let mut readings = Vec::new();
    let mantissas = [
        0,
        -1,
        i128::from(i64::MAX),
        i128::from(i64::MIN),
        i128::MAX,
        i128::MIN,
    ];
    for (index, mantissa) in mantissas.into_iter().enumerate() {
        for (unit, scaler) in Unit::ALL.into_iter().zip([-30, -3, 0, 5, 30].into_iter().cycle()) {
            let mut reading = reading(&format!("M{index}"), readings.len().try_into().unwrap(), "0");
            let value = Decimal::new(mantissa, scaler).unwrap();
            reading.quantity = Quantity { value, unit };
            reading.status = Status::from_bits(u32::MAX - u32::try_from(index).unwrap());
            readings.push(reading);
        }
    }
    place.open().register(&round(readings.clone(), [])).unwrap();
    assert_eq!(all(&place.open()).readings, readings);
}

#[test]
fn query_selects_by_element_and_time() {
    let database = Place::new().open();
    let readings = [
        reading("M1", 900, "1"),
        reading("M2", 900, "2"),
        reading("M1", 1800, "3"),
    ];
    database
        .register(&round(readings.clone(), [gap("M2", 1800)]))
        .unwrap();
    let page = database
        .readings(&"M1/*".parse().unwrap(), period(900, 1800))
        .unwrap();
    assert_eq!(
        (page.readings.as_slice(), page.gaps.as_slice()),
        (&readings[..1], &[][..])
    );
    let page = database
        .readings(&"M2/*".parse().unwrap(), period(901, 1801))
        .unwrap();
    assert_eq!((page.readings.len(), page.gaps.len()), (0, 1));
    let none = database.readings(&"M3/*".parse().unwrap(), always()).unwrap();
    assert_eq!(none, Page::default());
}

#[test]
fn long_answer_comes_in_pages_that_miss_nothing() {
    let database = Place::new().open();
    let mut expected = (Vec::new(), Vec::new());
    for time in 0..20 {
        for meter in ["M1", "M2", "M3"] {
            if (time + i64::from(meter == "M2")) % 3 == 0 {
                expected.1.push(gap(meter, time));
            } else {
                expected.0.push(reading(meter, time, "1"));
            }
        }
    }
    database
        .register(&round(expected.0.clone(), expected.1.clone()))
        .unwrap();
    for (limit, surplus) in [(1, 0), (2, 0), (3, 0), (7, 0), (7, 10), (100, 0), (7, 100)] {
        let mut found = (Vec::new(), Vec::new());
        let mut rest = Some(period(0, 100));
        while let Some(period) = rest {
            let page = database
                .lock()
                .page(&ElementPattern::ANY, period, PageSize { limit, surplus })
                .unwrap();
            assert!(page.readings.len() + page.gaps.len() < limit + surplus.max(3));
            found.0.extend(page.readings);
            found.1.extend(page.gaps);
            rest = page.rest;
        }
        found
            .0
            .sort_by_key(|reading| (reading.time, reading.element.clone()));
        assert!(found == expected, "{limit} {surplus}");
    }
}

#[test]
fn latest_reading_of_each_element_is_known_across_restarts() {
    let place = Place::new();
    let database = place.open();
    assert_eq!(database.latest().unwrap(), Latest::default());
    database
        .register(&round([reading("M1", 1800, "2"), reading("M2", 900, "1")], []))
        .unwrap();
    database
        .register(&round([reading("M1", 900, "1")], [gap("M3", 900)]))
        .unwrap();
    let expected = [reading("M1", 1800, "2"), reading("M2", 900, "1")];
    assert_eq!(database.latest().unwrap().readings, expected);
    drop(database);
    assert_eq!(place.open().latest().unwrap().readings, expected);
    // The latest row that is sound counts.
    place.alter("round", round_key(1800, 0), |content| content[4] ^= 1);
    let database = place.open();
    let expected = [reading("M1", 900, "1"), reading("M2", 900, "1")];
    assert_eq!(database.latest().unwrap().readings, expected);
    database
        .lock()
        .connection
        .execute("UPDATE round SET content = x'01'", [])
        .unwrap();
    let latest = database.latest().unwrap();
    assert_eq!((latest.readings.len(), latest.damaged.len()), (0, 2));
}

#[test]
fn oversized_round_is_refused_whole() {
    let database = Place::new().open();
    let many = vec![gap("M1", 0); ElementTable::MAX + 1];
    let error = database.register(&round([], many)).unwrap_err();
    assert!(
        matches!(
            error,
            RegisterError::TooLarge {
                rows: 16_385,
                limit: 16_384
            }
        ),
        "{error:?}"
    );
}

#[test]
fn element_beyond_the_limit_is_left_out_and_counted() {
    let place = Place::new();
    let database = place.open();
    let many: Vec<_> = (0..ElementTable::MAX).map(|m| gap(&format!("M{m}"), 0)).collect();
    assert_eq!(
        database.register(&round([], many)).unwrap().stored,
        ElementTable::MAX
    );
    let registered = database.register(&round([reading("new", 900, "1"), reading("M1", 900, "1")], []));
    assert_eq!(
        registered.unwrap(),
        Registered {
            stored: 1,
            kept: 0,
            refused: 1
        }
    );
    drop(database);
    assert_eq!(place.open().elements().len(), ElementTable::MAX);
}
