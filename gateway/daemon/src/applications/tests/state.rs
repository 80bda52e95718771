//! What a window leaves to the one behind it, whatever becomes of those in between.

use super::*;

/// A reading with these digits has the application fail.
const POISON: i128 = 13;

/// Makes of a window the stage that it was given, 1 if none, and leaves the digits of its last reading as that of the next.
fn switches(_: &[u8], input: &[u8]) -> Result<Run, Failure> {
    let view = InputView::parse(input).unwrap();
    let readings = view.readings(input).unwrap();
    if readings.iter().any(|reading| reading.value.mantissa() == POISON) {
        return loops(&[], &[]);
    }
    let stage = view.state(input).unwrap().first().copied().unwrap_or(1);
    let last = readings.last().unwrap().value.mantissa();
    let channel = view.channels[0];
    let record = Record {
        output: 0,
        channel: 0,
        stage: 1,
        status: 0,
        from: view.window.from().unix_seconds(),
        to: view.window.to().unix_seconds(),
        value: stage.into(),
        basis_first: channel.first,
        basis_count: channel.count,
        scaler: 0,
        unit: unit_code(channel.unit),
    };
    let output = OutputView {
        records: vec![record],
        state: &[u8::try_from(last).unwrap()],
    };
    Ok(Run {
        output: output.encode(),
        fuel: 1,
        memory_bytes: 1,
        log: Vec::new(),
        log_is_cut: false,
    })
}

/// Returns the stage that the newest revision of an hour was given.
fn stage(scene: &Scene, hour: i64) -> Option<String> {
    scene
        .revisions(hour * HOUR)
        .first()
        .map(|(_, value)| value.clone())
}

#[test]
fn window_without_readings_hands_on_what_it_was_given() {
    let mut scene = Scene::new(switches);
    scene.register(&[(900, 3)]);
    scene.settle(2 * HOUR - 1);
    // The second and the third hour have none.
    scene.settle(4 * HOUR - 1);
    scene.register(&[(3 * HOUR + 900, 4)]);
    scene.settle(5 * HOUR);
    assert_eq!(stage(&scene, 4).as_deref(), Some("3"));
    // What comes late for the first goes through all of them.
    scene.register(&[(1_800, 5)]);
    let mut scene = scene.restart(switches);
    scene.settle(5 * HOUR);
    assert_eq!(stage(&scene, 4).as_deref(), Some("5"));
}

#[test]
fn window_that_fails_keeps_nothing_from_the_one_behind_it() {
    let mut scene = Scene::new(switches);
    scene.register(&[(900, 3), (HOUR + 900, 13)]);
    let mut now = 2 * HOUR + 900;
    for _ in 0..4 {
        scene.settle(now);
        now += 1_000;
    }
    assert_eq!(scene.failures().len(), 3, "the second hour is left");
    scene.register(&[(2 * HOUR + 900, 4), (3 * HOUR + 900, 7)]);
    scene.settle(5 * HOUR);
    assert_eq!(stage(&scene, 2), None);
    assert_eq!(stage(&scene, 3).as_deref(), Some("3"));
    assert_eq!(stage(&scene, 4).as_deref(), Some("4"));
    // A later look at the first reaches the third past the second.
    scene.register(&[(1_800, 5)]);
    scene.settle(5 * HOUR);
    assert_eq!(stage(&scene, 3).as_deref(), Some("5"));
}

#[test]
fn run_over_a_part_of_a_window_is_given_what_the_one_before_it_has_left() {
    let mut scene = Scene::new(switches);
    scene.register(&[(900, 3), (HOUR + 900, 4), (HOUR + 2_700, 5)]);
    scene.settle(3 * HOUR);
    let evaluator = scene.task.evaluator(at(3 * HOUR));
    let part = Period::new(at(HOUR + 1_800), at(2 * HOUR)).unwrap();
    let made = evaluator.make(&scene.task.known()[0], part).unwrap().unwrap();
    assert_eq!(made.values[0].reading.quantity.value.to_string(), "3");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whichever hours have no readings or get theirs late, and whichever fails: an hour is given what the last one before it
    /// that was evaluated has left.
    #[test]
    fn stage_is_that_of_the_last_window_that_was_evaluated(
        hours in prop::collection::vec((prop::option::of(1i64..9), any::<bool>()), 5),
        failing in 0usize..8,
        restart: bool,
    ) {
        let mut scene = Scene::new(switches);
        let mut hours = hours;
        hours.get_mut(failing).into_iter().for_each(|hour| hour.0 = Some(13));
        let mut now = 5 * HOUR + 900;
        for is_late in [false, true] {
            if restart && is_late {
                scene = scene.restart(switches);
            }
            for (hour, (value, late)) in (0i64..).zip(&hours) {
                if let Some(value) = value.filter(|_| *late == is_late) {
                    scene.register(&[(hour * HOUR + 900, value)]);
                }
            }
            // A late reading may have the window that fails tried anew; six failures in a row rest for an hour in all.
            for _ in 0..14 {
                scene.settle(now);
                now += 300;
            }
        }
        let mut expected = "1".to_owned();
        for (hour, (value, _)) in (1i64..).zip(&hours) {
            match value {
                Some(13) => prop_assert_eq!(stage(&scene, hour), None),
                Some(value) => {
                    prop_assert_eq!(stage(&scene, hour), Some(expected));
                    expected = value.to_string();
                }
                None => {}
            }
        }
    }
}
