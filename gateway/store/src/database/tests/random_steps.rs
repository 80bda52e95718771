//! Random steps, power cuts among them, against a map.

use std::collections::{BTreeMap, BTreeSet};

use model::Span;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Register(Vec<(u8, i64, Option<i64>)>),
    Seal(i64, usize),
    Forget(i64),
    Reopen,
    PowerCut,
}

/// Times on both sides of the beginnings of days.
fn time() -> impl Strategy<Value = i64> {
    (0i64..5, -3i64..4).prop_map(|(day, second)| day * 86_400 + second)
}

fn step() -> impl Strategy<Value = Step> {
    let point = (0u8..4, time(), prop::option::of(any::<i64>()));
    prop_oneof![
        6 => prop::collection::vec(point, 0..12).prop_map(Step::Register),
        3 => (0i64..6, 1usize..20).prop_map(|(day, limit)| Step::Seal(day, limit)),
        1 => (0i64..6).prop_map(Step::Forget),
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
        from in time(),
        length in prop_oneof![1i64..10, 1i64..400_000],
        limit in 1usize..10,
        surplus in 0usize..10,
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
                Step::Seal(day, limit) => {
                    let mut inner = database.as_ref().unwrap().lock();
                    let mut more = true;
                    while more {
                        more = inner.seal_days(at(day * 86_400), limit).unwrap().more;
                    }
                }
                Step::Forget(day) => {
                    let now = at((day + 1) * 86_400);
                    let latest_day = |time: &Timestamp| time.unix_seconds().div_euclid(86_400);
                    let days: BTreeSet<_> =
                        values.keys().chain(holes.keys()).map(|(time, _)| latest_day(time)).collect();
                    let last = days.last().copied();
                    while database.as_ref().unwrap().forget(Span::DAY, now).unwrap().more {}
                    let stays = |time: &Timestamp| latest_day(time) >= day || Some(latest_day(time)) == last;
                    values.retain(|(known, _), _| stays(known));
                    holes.retain(|(known, _), _| stays(known));
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
        prop_assert_eq!(&page.damaged, &[]);
        prop_assert_eq!(database.losses(), []);
        prop_assert!((0..6).all(|day| database.check(day).unwrap().losses.is_empty()));
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
        let mut paged = Vec::new();
        let mut rest = Some(always());
        while let Some(period) = rest {
            let page = database.lock().page(&ElementPattern::ANY, period, PageSize { limit, surplus }).unwrap();
            paged.extend(page.readings);
            rest = page.rest;
        }
        prop_assert_eq!(&paged, &page.readings);
        let mut expected = page.readings;
        expected.retain(|r| r.element == wanted && part_of_it.contains(r.time));
        prop_assert_eq!(part.readings, expected);
        for latest in database.latest().unwrap().readings {
            let greatest = values.keys().filter(|(_, e)| *e == latest.element).map(|(time, _)| *time).max();
            prop_assert_eq!(Some(latest.time), greatest);
        }
    }
}
