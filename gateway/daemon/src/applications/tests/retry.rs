//! Windows that failed: when they are tried again, and by whose fault they are not.

use super::*;

/// Fails as long as the window's last reading is odd.
fn wants_even(package: &[u8], input: &[u8]) -> Result<Run, Failure> {
    let view = InputView::parse(input).unwrap();
    let readings = view.readings(input).unwrap();
    if readings.last().unwrap().value.mantissa() % 2 == 0 {
        difference(package, input)
    } else {
        loops(package, input)
    }
}

fn dies(_: &[u8], _: &[u8]) -> Result<Run, Failure> {
    Err(Failure {
        code: "died".to_owned(),
        text: "the process for applications ended without an answer".to_owned(),
    })
}

/// Lets time go by until a window was tried as often as it is.
fn exhaust(scene: &mut Scene, mut now: i64) -> i64 {
    for _ in 0..4 {
        scene.settle(now);
        now += 300;
    }
    now
}

#[test]
fn window_that_was_left_is_tried_again_when_a_reading_comes_for_it() {
    let mut scene = Scene::new(wants_even);
    scene.register(&[(0, 10), (2_700, 15)]);
    let now = exhaust(&mut scene, HOUR + 900);
    assert_eq!(scene.failures().len(), 3);
    // The hours behind it are evaluated meanwhile.
    scene.register(&[(HOUR + 900, 20), (2 * HOUR, 30)]);
    scene.settle(now.max(2 * HOUR));
    assert_eq!(scene.revisions(2 * HOUR), [(1, "1.0".to_owned())]);
    assert_eq!(scene.failures().len(), 3, "that was nothing for the first");
    // At its very end a reading belongs to it.
    scene.register(&[(HOUR, 16)]);
    scene.settle(2 * HOUR + 300);
    assert_eq!(scene.revisions(HOUR), [(1, "0.6".to_owned())]);
    assert_eq!(scene.failures().len(), 3);
}

#[test]
fn window_whose_revision_failed_is_tried_again_when_a_reading_comes_for_it() {
    let mut scene = Scene::new(wants_even);
    scene.register(&[(0, 10), (1_800, 14)]);
    scene.settle(HOUR + 900);
    assert_eq!(scene.revisions(HOUR), [(1, "0.4".to_owned())]);
    scene.register(&[(2_700, 15)]);
    let now = exhaust(&mut scene, HOUR + 900);
    assert_eq!(scene.failures().len(), 3);
    assert_eq!(scene.settle(now), 0);
    scene.register(&[(3_000, 16)]);
    scene.settle(now);
    assert_eq!(scene.revisions(HOUR)[0], (2, "0.6".to_owned()));
}

#[test]
fn what_the_system_is_at_fault_for_is_no_try() {
    let mut scene = Scene::new(dies);
    scene.register(&[(0, 10), (HOUR, 31)]);
    let mut now = HOUR + 1;
    let rests = [60, 120, 240, 480, 960, 1_920, 3_840, 3_840, 3_840];
    for rest in rests {
        assert_eq!(scene.settle(now), 1);
        assert_eq!(scene.settle(now + rest - 1), 0, "it is left alone for {rest} s");
        now += rest;
    }
    assert_eq!(scene.failures().len(), rests.len());
    assert!(scene.failures()[0].contains("(died)"), "{:?}", scene.failures());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whichever hours fail, and in whatever order readings put them right: in the end each hour is evaluated.
    #[test]
    fn every_window_that_readings_put_right_is_evaluated(
        fails in prop::collection::vec(0i64..4, 2),
        order in Just([0i64, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut scene = Scene::new(wants_even);
        for hour in 0..4 {
            let last = if fails.contains(&hour) { 5 } else { 4 };
            scene.register(&[(hour * HOUR + 900, 2), (hour * HOUR + 1_800, last)]);
        }
        let mut now = 4 * HOUR + 900;
        // Six failures in a row: the application rests for half an hour behind the last.
        for _ in 0..14 {
            scene.settle(now);
            now += 400;
        }
        for hour in order {
            scene.register(&[(hour * HOUR + 2_700, 8)]);
            scene.settle(now);
            now += 400;
        }
        for hour in 0..4 {
            let newest = scene.revisions((hour + 1) * HOUR).first().cloned();
            prop_assert_eq!(newest.map(|(_, value)| value), Some("0.6".to_owned()));
        }
    }
}
