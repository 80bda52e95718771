//! What a value is made of: whose readings, and what else is told of it.

use super::*;

/// A calendar with two stages a day.
const STAGED: &str = r#""parameters": [
    { "name": "stages", "label": { "de": "Stufen", "en": "Stages" }, "domain": "calendar" }
],"#;

/// Says of each value that it is made of all readings, whoever's they are.
fn takes_all(package: &[u8], input: &[u8]) -> Result<Run, Failure> {
    let run = difference(package, input)?;
    let view = InputView::parse(input).unwrap();
    let mut output = OutputView::parse(&run.output).unwrap();
    for record in &mut output.records {
        (record.basis_first, record.basis_count) = (0, view.readings);
    }
    Ok(Run {
        output: output.encode(),
        ..run
    })
}

/// Registers readings of an element.
fn register(scene: &Scene, element: &Element, readings: &[(i64, i64)]) {
    let readings = readings.iter().map(|(time, value)| Reading {
        element: element.clone(),
        ..reading(*time, *value)
    });
    let round = Round {
        readings: readings.collect(),
        gaps: Vec::new(),
    };
    scene.task.store().database().register(&round).unwrap();
}

/// Keeps an application with parameters, and has it assigned.
fn assign(scene: &mut Scene, parameters: &str, assignments: Vec<Assignment>) {
    let manifest = MANIFEST.replace("\"inputs\"", &format!("{parameters} \"inputs\""));
    let manifest = manifest.replace("1-0:1.8.0*255", "1-0:x.8.0*255");
    let bytes = with_manifest(b"\0asm\x01\0\0\0", manifest.as_bytes()).unwrap();
    let digest = scene.task.store().applications().keep(&bytes).unwrap();
    let suppliers = [(Fingerprint::new([1; 32]), "City Works".to_owned())].into();
    let all = Assigned::all(
        scene.task.store(),
        (&[entry(digest, assignments)], &[]),
        &suppliers,
    );
    check_assignments(&all, frame()).unwrap();
    scene.task.assign(all);
}

#[test]
fn value_that_is_made_of_another_meters_readings_is_refused() {
    let mut other = element("1-0:1.8.0*255");
    other.meter = "M2".parse().unwrap();
    for (second, is_refused) in [(other, true), (element("1-0:2.8.0*255"), false)] {
        let mut scene = Scene::new(takes_all);
        assign(&mut scene, "", vec![assignment("house", "register", "*")]);
        scene.register(&[(0, 10), (HOUR, 31)]);
        register(&scene, &second, &[(0, 5), (HOUR, 6)]);
        scene.settle(HOUR + 1);
        assert_eq!(scene.revisions(HOUR).is_empty(), is_refused);
        let failures = scene.failures();
        assert_eq!(
            failures
                .first()
                .is_some_and(|text| text.contains("(foreign-basis)")),
            is_refused,
            "{failures:?}"
        );
    }
}

#[test]
fn explanation_names_assignment_parameters_slots_and_meters() {
    let mut scene = Scene::new(difference);
    let day = serde_json::json!([["00:00", 1], ["00:30", 2]]);
    let season =
        serde_json::json!({ "from": "01-01", "work": day, "saturday": day, "sunday": day, "holiday": day });
    let mut house = assignment("house", "register", "*/1-0:1.8.0*255");
    house.parameters = [("stages".to_owned(), serde_json::json!({ "seasons": [season] }))].into();
    assign(&mut scene, STAGED, vec![house]);
    scene.register(&[(0, 10), (HOUR, 31)]);
    scene.settle(HOUR + 1);
    // No bundle knows of it any more.
    scene.task.assign(Vec::new());
    let shown = scene.task.explain(&made(), at(HOUR)).to_string();
    for line in [
        "assignment house for City Works",
        "  with stages = {\"seasons\":[",
        "  stage 1\n    stage 1 from 1970-01-01T00:00:00Z to 1970-01-01T00:30:00Z\n  of the window",
        "    1970-01-01T01:00:00Z  M1 1-0:1.8.0*255  3.1 Wh",
        "  run once more, the same came out",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn revisions_of_several_assignments_are_told_apart() {
    let mut scene = Scene::new(difference);
    let mut one = assignment("one", "register", "*/1-0:1.8.0*255");
    assign(&mut scene, "", vec![one.clone()]);
    scene.register(&[(0, 10), (HOUR, 31)]);
    scene.settle(HOUR + 1);
    scene.register(&[(900, 12)]);
    scene.settle(HOUR + 1);
    // Another one takes its place, and makes the same hour anew.
    one.name = "two".parse().unwrap();
    assign(&mut scene, "", vec![one]);
    scene.settle(HOUR + 1);
    let shown = scene.task.explain(&made(), at(HOUR)).to_string();
    let heads: Vec<_> = shown
        .lines()
        .filter(|line| line.starts_with("assignment") || line.starts_with("revision"))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        heads,
        [
            "assignment two for City Works",
            "revision 1",
            "assignment one for City Works",
            "revision 2",
            "revision 1"
        ]
    );
}
