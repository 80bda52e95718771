//! Random steps, power cuts among them, against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Register(Vec<(u8, i64, Option<i64>)>),
    Forget(i64),
    Reopen,
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    let point = (0u8..4, 0i64..20, prop::option::of(any::<i64>()));
    prop_oneof![
        6 => prop::collection::vec(point, 0..12).prop_map(Step::Register),
        1 => (0i64..20).prop_map(Step::Forget),
        1 => Just(Step::Reopen),
        1 => Just(Step::PowerCut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn database_does_what_a_map_would(
        steps in prop::collection::vec(step(), 1..24),
        meter in 0u8..4,
        from in 0i64..20,
        length in 1i64..20,
    ) {
        let mut place = Place::new();
        let mut database = Some(place.open());
        let mut values = BTreeMap::new();
        let mut holes = BTreeMap::new();
        for step in steps {
            match step {
                Step::Register(points) => {
                    let mut round = Round::default();
                    for (meter, time, value) in &points {
                        let name = format!("M{meter}");
                        match value {
                            Some(value) => round.readings.push(reading(&name, *time, &value.to_string())),
                            None => round.gaps.push(gap(&name, *time)),
                        }
                    }
                    for reading in &round.readings {
                        values.entry((reading.time, reading.element.clone())).or_insert(reading.quantity.value);
                    }
                    for gap in &round.gaps {
                        let key = (gap.time, gap.element.clone());
                        if !values.contains_key(&key) {
                            holes.insert(key, gap.reason);
                        }
                    }
                    database.as_ref().unwrap().register(&round).unwrap();
                }
                Step::Forget(time) => {
                    database.as_ref().unwrap().forget_before(at(time)).unwrap();
                    values.retain(|(known, _), _| *known >= at(time));
                    holes.retain(|(known, _), _| *known >= at(time));
                }
                Step::Reopen => {
                    database = None;
                    database.replace(place.open());
                }
                Step::PowerCut => {
                    let copy = Place::new();
                    copy_folder(place.0.path(), copy.0.path());
                    database = Some(copy.open());
                    place = copy;
                }
            }
        }
        let database = database.unwrap();
        let page = all(&database);
        let mut found: Vec<_> = page.readings.iter().map(|r| ((r.time, r.element.clone()), r.quantity.value)).collect();
        found.sort_by(|one, two| one.0.cmp(&two.0));
        prop_assert_eq!(found, values.clone().into_iter().collect::<Vec<_>>());
        let mut found: Vec<_> = page.gaps.iter().map(|g| ((g.time, g.element.clone()), g.reason)).collect();
        found.sort_by(|one, two| one.0.cmp(&two.0));
        holes.retain(|key, _| !values.contains_key(key));
        prop_assert_eq!(found, holes.into_iter().collect::<Vec<_>>());
        let wanted = element(&format!("M{meter}"));
        let part_of_it = period(from, from.saturating_add(length));
        let part = database.readings(&wanted.clone().into(), part_of_it).unwrap();
        let mut expected = page.readings;
        expected.retain(|r| r.element == wanted && part_of_it.contains(r.time));
        prop_assert_eq!(part.readings, expected);
        for latest in database.latest().unwrap().readings {
            let greatest = values.keys().filter(|(_, e)| *e == latest.element).map(|(time, _)| *time).max();
            prop_assert_eq!(Some(latest.time), greatest);
        }
    }
}
