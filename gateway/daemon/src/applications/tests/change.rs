//! Tariffs that change at a date, and what becomes of the windows before it.

use super::*;

/// An application with a price for each hour.
const PRICED: &str = r#""parameters": [
    { "name": "price", "label": { "de": "Preis", "en": "Price" }, "domain": { "integer": { "least": 0, "most": 99 } }, "default": 1 }
],"#;

impl Scene {
    /// A gateway with the application that has a price.
    fn priced(host: Host) -> (Self, Fingerprint) {
        let mut scene = Self::new(host);
        let manifest = MANIFEST.replace("\"inputs\"", &format!("{PRICED} \"inputs\""));
        let bytes = with_manifest(b"\0asm\x01\0\0\0", manifest.as_bytes()).unwrap();
        let digest = scene.task.store().applications().keep(&bytes).unwrap();
        scene.assign(digest, vec![priced(1, 0, None)]);
        (scene, digest)
    }

    /// Puts a bundle in force in which the application has these assignments.
    fn assign(&mut self, digest: Fingerprint, assignments: Vec<Assignment>) {
        let entry = entry(digest, assignments);
        let all = Assigned::all(
            self.task.store(),
            (&[entry], &[]),
            &std::collections::BTreeMap::new(),
        );
        check_assignments(&all, frame()).unwrap();
        self.task.assign(all);
    }

    /// Returns the revisions and values of the hours that end at these.
    fn newest(&self, hours: std::ops::RangeInclusive<i64>) -> Vec<Option<(u32, String)>> {
        hours
            .map(|hour| self.revisions(hour * HOUR).into_iter().next())
            .collect()
    }
}

fn priced(price: i64, from_hour: i64, to_hour: Option<i64>) -> Assignment {
    Assignment {
        parameters: [("price".to_owned(), price.into())].into(),
        from: at(from_hour * HOUR),
        to: to_hour.map(|hour| at(hour * HOUR)),
        ..assignment("house", "register", "*/1-0:1.8.0*255")
    }
}

/// Makes the difference of a window's readings, times the price.
fn costs(package: &[u8], input: &[u8]) -> Result<Run, Failure> {
    let run = difference(package, input)?;
    let mut output = OutputView::parse(&run.output).unwrap();
    // The first parameter stands behind the header, its value in its second half.
    let price = i64::from_le_bytes(input[88..96].try_into().unwrap());
    output.records.iter_mut().for_each(|record| record.value *= price);
    Ok(Run {
        output: output.encode(),
        ..run
    })
}

fn made_in(revision: u32, value: &str) -> Option<(u32, String)> {
    Some((revision, value.to_owned()))
}

#[test]
fn late_readings_do_not_rate_the_past_by_the_tariff_that_follows() {
    let (mut scene, digest) = Scene::priced(costs);
    scene.register(&[(0, 0), (HOUR, 10), (2 * HOUR, 20), (3 * HOUR, 30)]);
    scene.settle(2 * HOUR + 10);
    // From the third hour on it costs ten times as much.
    scene.assign(digest, vec![priced(1, 0, Some(2)), priced(10, 2, None)]);
    scene.settle(3 * HOUR + 10);
    let before = [made_in(1, "1.0"), made_in(1, "1.0"), made_in(1, "10.0")];
    assert_eq!(scene.newest(1..=3), before);
    scene.register(&[(HOUR - 900, 5), (HOUR + 900, 15)]);
    scene.register(&[(2 * HOUR + 900, 25)]);
    scene.settle(3 * HOUR + 10);
    let found = scene.newest(1..=3);
    assert_eq!(found, [made_in(2, "1.0"), made_in(2, "1.0"), made_in(2, "10.0")]);
}

#[test]
fn windows_that_the_change_overtakes_are_evaluated_by_the_tariff_that_they_begin_in() {
    let (mut scene, digest) = Scene::priced(costs);
    scene.assign(digest, vec![priced(1, 0, Some(2)), priced(10, 2, None)]);
    scene.register(&[(0, 0), (HOUR, 10), (2 * HOUR, 20), (3 * HOUR, 30), (4 * HOUR, 40)]);
    // The tariff that follows is looked at first, and does not hide what is left of the one before.
    let mut all = scene.task.known().to_vec();
    all.reverse();
    scene.task.assign(all);
    scene.settle(4 * HOUR + 10);
    let found = scene.newest(1..=4);
    let expected = ["1.0", "1.0", "10.0", "10.0"].map(|value| made_in(1, value));
    assert_eq!(found, expected);
    // A change in the middle of an hour holds from the next one on.
    let mut ended = priced(10, 2, Some(5));
    ended.to = Some(at(4 * HOUR + 1_800));
    let mut next = priced(50, 4, None);
    next.from = at(4 * HOUR + 1_800);
    scene.assign(digest, vec![ended, next]);
    scene.register(&[(5 * HOUR, 50), (6 * HOUR, 60)]);
    scene.settle(6 * HOUR + 10);
    assert_eq!(scene.newest(5..=6), [made_in(1, "10.0"), made_in(1, "50.0")]);
    // And what has an end has no window behind it.
    scene.assign(digest, vec![priced(50, 5, Some(6))]);
    scene.register(&[(7 * HOUR, 70)]);
    scene.settle(8 * HOUR);
    assert_eq!(scene.newest(7..=7), [None]);
}

#[test]
fn window_whose_assignment_is_gone_is_revised_by_what_it_was_made_by() {
    let (mut scene, digest) = Scene::priced(costs);
    scene.register(&[(0, 0), (HOUR, 10), (2 * HOUR, 20)]);
    scene.assign(digest, vec![priced(3, 0, None)]);
    scene.settle(2 * HOUR + 10);
    assert_eq!(scene.newest(1..=2), [made_in(1, "3.0"), made_in(1, "3.0")]);
    // Another application takes its place; the new bundle says nothing about what was before.
    let other = scene.keep("2.0.0");
    let mut late = assignment("house", "register", "*/1-0:1.8.0*255");
    late.from = at(2 * HOUR);
    scene.assign(other, vec![late]);
    let mut scene = scene.restart(costs);
    scene.register(&[(900, 4), (HOUR + 900, 14)]);
    scene.settle(2 * HOUR + 10);
    assert_eq!(scene.newest(1..=2), [made_in(2, "3.0"), made_in(2, "3.0")]);
    let found = scene.task.store().database();
    let found = found.evaluations_at(&made(), at(HOUR)).unwrap();
    assert_eq!(found[0].0.application, digest, "the version that has made it");
    assert_eq!(found[0].1.basis, 0..3);
    assert_eq!(scene.settle(2 * HOUR + 10), 0);
}

#[test]
fn window_of_which_no_assignment_is_known_stays_as_it_is() {
    let (mut scene, digest) = Scene::priced(costs);
    scene.register(&[(0, 0), (HOUR, 10)]);
    scene.settle(HOUR + 10);
    // As an earlier version of the gateway has kept it: without what it was assigned to.
    let evaluation = {
        let key = scene.task.known()[0].key;
        let evaluator = scene.task.evaluator(at(HOUR + 10));
        let hour = Period::new(at(0), at(HOUR)).unwrap();
        let made = evaluator.make(&scene.task.known()[0], hour).unwrap().unwrap();
        store::NewEvaluation {
            assignment: key,
            window: hour,
            time: at(HOUR + 10),
            application: digest,
            digest: [1; 32],
            values: made.values,
            state: Vec::new(),
            given: made.given,
            until: at(90 * 86_400),
        }
    };
    scene.task.store().database().watch_window(evaluation.window);
    let stored = scene.task.store().database().store_evaluation(&evaluation);
    assert_eq!(stored.unwrap(), store::Stored::Revision(2));
    scene.assign(digest, vec![priced(10, 1, None)]);
    scene.register(&[(900, 4)]);
    scene.settle(HOUR + 10);
    assert_eq!(scene.newest(1..=1), [made_in(2, "1.0")]);
    assert_eq!(scene.task.store().database().all_stale_evaluations(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whenever the price changes, whatever comes late, and whether or not a later bundle still tells of the earlier prices:
    /// each hour is rated by the price that held when it began.
    #[test]
    fn each_hour_has_the_price_that_held_when_it_began(
        amounts in prop::collection::vec(1i64..1_000, 6),
        late in prop::collection::vec(any::<bool>(), 6),
        change in 1i64..5,
        is_dropped: bool,
        restart: bool,
    ) {
        let (mut scene, digest) = Scene::priced(costs);
        let mut value = 0;
        scene.register(&[(0, 0)]);
        let mut halves = Vec::new();
        for (hour, (amount, is_late)) in (0i64..).zip(amounts.iter().zip(&late)) {
            let half = (hour * HOUR + 1_800, value + amount / 2);
            value += amount;
            scene.register(&[((hour + 1) * HOUR, value)]);
            if *is_late {
                halves.push(half);
            } else {
                scene.register(&[half]);
            }
            if hour + 1 == change {
                scene.settle(change * HOUR + 10);
                let new = priced(7, change, None);
                scene.assign(digest, if is_dropped { vec![new] } else { vec![priced(1, 0, Some(change)), new] });
            }
        }
        scene.settle(6 * HOUR + 10);
        if restart {
            scene = scene.restart(costs);
        }
        scene.register(&halves);
        scene.settle(6 * HOUR + 10);
        for (hour, (amount, is_late)) in (0i64..).zip(amounts.iter().zip(&late)) {
            let price = if hour < change { 1 } else { 7 };
            let expected = Decimal::new((amount * price).into(), -1).unwrap().to_string();
            let revision = if *is_late { 2 } else { 1 };
            prop_assert_eq!(scene.newest(hour + 1..=hour + 1), [made_in(revision, &expected)]);
        }
    }
}
