//! Batches of cards, killed at any moment.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::stage::{Stage, read};

/// How often the batch is killed.
const KILLS: u32 = 50;
/// How many cards it has; more than are made between two kills.
const CARDS: usize = 40;

/// The GUIDs in the table of the labels.
fn labelled(stage: &Stage) -> BTreeSet<String> {
    let table = read(&stage.path("labels/labels.csv"));
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("guid,short"));
    lines
        .map(|line| line.split(',').next().unwrap().to_owned())
        .collect()
}

#[test]
fn batch_that_is_killed_again_and_again_leaves_nothing_in_doubt() {
    let stage = Stage::founded();
    let line = format!("personalize --card soft:cards --batch {CARDS} --labels labels");
    let mut kills = 0;
    while kills < KILLS {
        let mut child = stage
            .command(&line)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every kill comes at another moment of the work; the odd step keeps it from falling into its rhythm.
        let until = Instant::now() + Duration::from_micros(150_000 + u64::from(kills) * 7_919 % 180_000);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_some() {
            // It was faster: the batch is complete, and another one begins.
            assert_eq!(labelled(&stage).len(), CARDS);
            std::fs::rename(stage.path("labels"), stage.path(&format!("labels-{kills}"))).unwrap();
            std::fs::rename(stage.path("cards"), stage.path(&format!("cards-{kills}"))).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let done = stage.answer(&line);
    let guids: BTreeSet<String> = serde_json::from_value(done["guids"].clone()).unwrap();
    assert_eq!(guids.len(), CARDS);
    assert_eq!(labelled(&stage), guids);
    stage.answer("records verify");

    // Every GUID was given once, and it is known what became of its card.
    let given = stage.guids("guid-given");
    let once: BTreeSet<_> = given.iter().cloned().collect();
    assert_eq!(once.len(), given.len());
    let mut settled = BTreeSet::new();
    for act in ["personalized", "left-blank", "scrapped"] {
        for guid in stage.guids(act) {
            assert!(settled.insert(guid), "settled twice");
        }
    }
    assert_eq!(settled, once);
    for guid in &guids {
        assert!(
            stage
                .path(&format!("labels/{}.svg", guid.replace(':', "-")))
                .exists()
        );
    }
    // Taken up again, the batch has every card show its GUID, and takes only those for complete that the books know as such.
    let again = stage.answer(&line);
    assert_eq!((&again["guids"], &again["failed"]), (&done["guids"], &0.into()));
    assert_eq!(stage.guids("guid-given"), given);
}

#[test]
fn batch_of_another_size_or_at_work_is_refused() {
    let stage = Stage::founded();
    stage.answer("personalize --card soft:cards --batch 2 --labels labels");
    let said = stage.error("personalize --card soft:cards --batch 3 --labels labels");
    assert!(said.contains("was begun with 2 cards"), "{said}");
    let said = stage.error("personalize --card soft:cards --batch 2");
    assert!(said.contains("--labels"), "{said}");
    // Cards of another batch are not taken for this one's.
    let said = stage.error("personalize --card soft:cards --batch 2 --labels other");
    assert!(said.contains("0 of 2 cards are complete"), "{said}");
}

#[test]
fn two_operators_at_once_give_no_guid_twice() {
    let stage = Stage::founded();
    let run = |name: &str| {
        stage
            .command(&format!(
                "personalize --card soft:cards-{name} --batch 15 --labels labels-{name}"
            ))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut one, mut other) = (run("one"), run("other"));
    assert!(one.wait().unwrap().success() && other.wait().unwrap().success());
    let completed: BTreeSet<_> = stage.guids("personalized").into_iter().collect();
    assert_eq!(completed.len(), 30);
    assert_eq!(stage.guids("guid-given").len(), 30);
    stage.answer("records verify");
}
