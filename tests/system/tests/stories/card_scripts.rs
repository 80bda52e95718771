//! Every card script, run by `smgw card selftest` on cards in a real reader's service.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use system::{
    CardReader, Finished, Folder, House, Interrupt, Program, Programs, Stage, StageError, wait_until,
};

use crate::steps::{ARRIVAL, PERIOD, told};

/// Where the scripts stand.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/card");
/// The exit code of a test that is refused.
const REFUSED: Option<i32> = Some(77);

/// Writes the configuration of a bench: a reader, and no gateway.
fn bench(stage: &Stage) -> PathBuf {
    let text = format!(
        "data = \"no-data\"\n[control]\nsocket = \"nobody\"\n[card]\nreader = \"{}\"\n",
        CardReader::NAME
    );
    stage.write("bench.toml", &text).unwrap()
}

fn selftest(stage: &Stage, config: &Path, options: &[&str]) -> Finished {
    let command = stage.command(Program::Smgw, "card").arg("selftest").arg("--json");
    let command = options
        .iter()
        .fold(command, |command, option| command.arg(*option));
    stage.run(&command.option("--config", config)).unwrap()
}

/// Runs the scripts and returns the names of those that passed; none may fail.
fn passed(stage: &Stage, config: &Path, options: &[&str]) -> BTreeSet<String> {
    let finished = selftest(stage, config, options);
    let view = finished.lines.last().cloned().unwrap_or_default();
    let log = finished.log_text().unwrap();
    assert_eq!(finished.code, Some(0), "{view}\n{log}");
    let view: Value = serde_json::from_str(&view).unwrap();
    assert_eq!(
        (&view["schema"], &view["reader"], &view["soft_card"]),
        (
            &"smgw.card-selftest/1".into(),
            &CardReader::NAME.into(),
            &true.into()
        )
    );
    let scripts = view["scripts"].as_array().unwrap().iter();
    scripts
        .filter(|script| script["outcome"] == "passed")
        .map(|script| script["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until the reader shows a card in the state.
fn wait_for_card(stage: &Stage, config: &Path, state: &str) {
    let shown = wait_until(&stage.deadline(ARRIVAL), || {
        let command = stage.command(Program::Smgw, "card").arg("status").arg("--json");
        let finished = stage.run(&command.option("--config", config))?;
        let line = finished.lines.last().cloned().unwrap_or_default();
        let view: Value = serde_json::from_str(&line).unwrap_or_default();
        Ok::<_, StageError>((view["life_cycle"] == state).then_some(()))
    });
    assert!(shown.unwrap().is_some(), "no {state} card is seen");
}

/// Returns the last characters of the GUID, by which a card is confirmed.
fn confirmation(guid: &str) -> &str {
    &guid[guid.len() - 4..]
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The scripts of a gateway's own card, which they leave as it is, and those that end such a card.
const OF_BOUND_CARDS: [&str; 4] = ["in-clear", "pairing", "reading", "tsm-order"];
const END_OF_BOUND_CARDS: [&str; 3] = ["another-gateway", "same-gateway", "wrong-secret"];
const OF_SPARE_CARDS: [&str; 7] = [
    "bind",
    "blank",
    "blank-refused",
    "imported-keys",
    "paired",
    "refused",
    "terminated",
];

#[test]
fn every_script_is_in_one_of_the_stories() {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        files.extend(name.strip_suffix(".script").map(str::to_owned));
    }
    let stories = [&OF_BOUND_CARDS[..], &END_OF_BOUND_CARDS, &OF_SPARE_CARDS].concat();
    assert_eq!(files, set(&stories));
}

#[test]
fn scripts_run_on_spare_cards_in_a_reader() {
    let folder = Folder::temporary().unwrap();
    let mut stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
    let reader = stage.start_reader("pcscd").unwrap();
    let config = bench(&stage);
    let mut run = BTreeSet::new();

    let blank = reader.insert(&stage, &stage.path("blank-card")).unwrap();
    wait_for_card(&stage, &config, "blank");
    assert_eq!(passed(&stage, &config, &[]), set(&["blank-refused"]));
    assert_eq!(selftest(&stage, &config, &["--dangerous"]).code, REFUSED);
    run.extend(passed(&stage, &config, &["--dangerous", "--confirm", "blank"]));
    drop(blank);

    let card = stage.personalize("card").unwrap();
    let first = reader.insert(&stage, &card.file).unwrap();
    wait_for_card(&stage, &config, "personalized");
    let confirm = ["--dangerous", "--confirm", confirmation(&card.guid)];
    run.extend(passed(&stage, &config, &confirm));
    assert_eq!(passed(&stage, &config, &[]), set(&["terminated"]));
    drop(first);

    // Two scripts bind a card, and none is bound twice.
    let card = stage.personalize("second-card").unwrap();
    let _second = reader.insert(&stage, &card.file).unwrap();
    wait_for_card(&stage, &config, "personalized");
    let bind = format!("{FOLDER}/bind.script");
    let confirm = ["--dangerous", "--confirm", confirmation(&card.guid), &bind];
    assert_eq!(passed(&stage, &config, &confirm), set(&[&bind]));
    run.insert("bind".to_owned());

    for of_other_cards in ["reading", "wrong-secret", "another-gateway"] {
        assert!(run.remove(of_other_cards), "{of_other_cards}");
    }
    assert_eq!(run, set(&OF_SPARE_CARDS));
}

#[test]
fn scripts_leave_a_gateways_card_as_it_is_unless_it_is_on_a_bench() {
    let mut house =
        House::for_a_story_with_a_reader(PERIOD).unwrap_or_else(|error| panic!("{}", told(&error)));
    let own = house.config.clone();
    assert_eq!(
        selftest(&house.stage, &own, &[]).code,
        Some(1),
        "the gateway has the card"
    );
    house.gateway.stop().unwrap();
    assert_eq!(passed(&house.stage, &own, &[]), set(&OF_BOUND_CARDS));
    let guid = house.card.guid.clone();
    let confirm = ["--dangerous", "--confirm", confirmation(&guid)];
    let refused = selftest(&house.stage, &own, &confirm);
    assert_eq!(refused.code, REFUSED);
    let log = refused.log_text().unwrap();
    assert!(log.contains("a gateway keeps its bindings in"), "{log}");
    house.start_gateway_again("operational").unwrap();

    house.gateway.stop().unwrap();
    let bench = bench(&house.stage);
    let mut run = passed(&house.stage, &bench, &confirm);
    for harmless in OF_BOUND_CARDS {
        assert!(run.remove(harmless), "{harmless}");
    }
    assert!(run.remove("terminated"));
    assert_eq!(run, set(&END_OF_BOUND_CARDS));
}
