//! Runs that store nothing, and versions that make something else of the same readings.

use super::super::view::RunOf;
use super::*;

/// Makes twice the difference, as another version might.
fn doubled(package: &[u8], input: &[u8]) -> Result<Run, Failure> {
    let run = difference(package, input)?;
    let mut output = OutputView::parse(&run.output).unwrap();
    output.records.iter_mut().for_each(|record| record.value *= 2);
    Ok(Run {
        output: output.encode(),
        ..run
    })
}

/// What an hour comes to without being stored.
fn dry(scene: &Scene) -> String {
    let evaluator = scene.task.evaluator(at(2 * HOUR));
    let hour = Period::new(at(0), at(HOUR)).unwrap();
    let made = evaluator.make(&scene.task.known()[0], hour).unwrap().unwrap();
    made.values[0].reading.quantity.value.to_string()
}

#[test]
fn dry_run_runs_what_is_assigned_whatever_is_stored() {
    let mut scene = Scene::new(difference);
    scene.register(&[(0, 10), (HOUR, 31)]);
    scene.settle(HOUR + 1);
    assert_eq!(dry(&scene), "2.1");
    // The readings are the same; the stored value is none of this version's.
    let mut scene = scene.restart(doubled);
    let digest = scene.keep("1.1.0");
    let all = assigned(scene.task.store(), digest);
    scene.task.assign(all);
    assert_eq!(dry(&scene), "4.2");
    assert_eq!(scene.revisions(HOUR), [(1, "2.1".to_owned())]);
    assert_eq!(scene.settle(HOUR + 2), 0, "nothing has come for it");
    // Once its readings are marked, the new version makes a revision of the very same.
    let mut other = reading(450, 7);
    other.element.obis = "1-0:2.8.0*255".parse().unwrap();
    let round = Round {
        readings: vec![other],
        gaps: Vec::new(),
    };
    scene.task.store().database().register(&round).unwrap();
    scene.settle(HOUR + 2);
    let revisions = [(2, "4.2".to_owned()), (1, "2.1".to_owned())];
    assert_eq!(scene.revisions(HOUR), revisions);
}

#[test]
fn each_run_names_the_version_that_it_is_of() {
    let scene = Scene::new(difference);
    let runs = ["1.0.0", "2.0.0"].map(|version| RunOf {
        application: format!("difference {version}"),
        digest: scene.keep(version),
        name: "house".to_owned(),
        values: Vec::new(),
        failure: None,
    });
    let shown = RunView::new(Period::new(at(0), at(HOUR)).unwrap(), runs.into()).to_string();
    for version in ["1.0.0", "2.0.0"] {
        let line = format!("house by difference {version} ({})", scene.keep(version));
        assert!(shown.contains(&line), "{shown}");
    }
}
