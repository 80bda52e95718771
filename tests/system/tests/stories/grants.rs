//! Who gets what is decided in three layers: the consumer restricts what a supplier is granted, the TSM's policy holds over
//! grants that were there before, and a grant is asked as often as it says. Each refusal is told, logged and explained.

use std::time::Duration;

use serde_json::Value;
use system::{Command, Finished, GRANTED, Grade, House, Program, Pull, Query, StageError, wait_until};

use crate::steps::{ALL_OF_IT, ARRIVAL, gateway_log, granted, house, let_pass, pull_until, told};

/// What the consumer objects to, and what stays.
const GAS: &str = "*/7-x:x.x.x*255";

#[test]
fn consumer_objects_and_lifts_and_everybody_is_told() {
    let mut house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let gas = house.query(&[GAS], Grade::AsGranted, ALL_OF_IT);
    pull_until(&house, &gas, |pull| !pull.series.is_empty());

    let set = grants(
        &house,
        &["restrict", "--supplier", house.supplier.name(), "--object", GAS],
    );
    assert_eq!(
        set["restriction"]["supplier"]["fingerprint"],
        house.supplier.fingerprint()
    );
    let id = set["restriction"]["id"].as_u64().unwrap().to_string();
    assert_refused(
        &pull(&house, &gas),
        "consumer-objects",
        &format!("restriction {id}"),
    );
    // Other elements are handed out as before.
    pull_until(&house, &granted(&house), |pull| {
        !pull.series.is_empty() && pull.refusals.len() == 1
    });

    let explained = explain(&house, GAS, "PT2S");
    assert_eq!(explained["granted"], false, "{explained}");
    assert_eq!(explained["denied"]["layer"], "consumer");
    assert_eq!(explained["denied"]["code"], "consumer-objects");
    assert_eq!(decided(&explained), ["restriction 1"]);
    let looked: Vec<_> = explained["looked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["layer"].clone())
        .collect();
    assert_eq!(looked, ["grant", "consumer"]);

    // It holds across a power cut.
    house.gateway.kill().unwrap();
    house.start_gateway_again("operational").unwrap();
    let gas = house.query(&[GAS], Grade::AsGranted, ALL_OF_IT);
    assert_refused(&pull(&house, &gas), "consumer-objects", "restriction 1");

    grants(&house, &["lift", &id]);
    pull_until(&house, &gas, |pull| !pull.series.is_empty());
    assert_eq!(explain(&house, GAS, "PT2S")["granted"], true);

    let log = consumer_log(&house);
    for code in ["SMGW-L-2004", "SMGW-L-2005"] {
        assert!(log.iter().any(|entry| entry["code"] == code), "{code}");
    }
    let denied = log
        .iter()
        .find(|entry| entry["event"]["code"] == "consumer-objects");
    let denied = denied.expect("the consumer reads who was refused");
    assert_eq!(denied["event"]["rule"], "restriction 1");
    assert_eq!(denied["event"]["name"], house.supplier.name());
}

#[test]
fn consumer_leaves_coarser_values_only() {
    let house = house();
    let fine = granted(&house);
    pull_until(&house, &fine, |pull| !pull.series.is_empty());
    grants(&house, &["restrict", "--all", "--finest", "PT6S"]);
    let refused = pull(&house, &fine);
    assert_refused(&refused, "consumer-coarser", "restriction 1");
    assert!(refused.refusals[0].reason.contains("PT6S"), "{refused:?}");
    let coarser = Query {
        resolution: "PT6S".to_owned(),
        ..fine.clone()
    };
    let pulled = pull_until(&house, &coarser, |pull| !pull.series.is_empty());
    for point in pulled.series.iter().flat_map(|series| series.points().unwrap()) {
        assert_eq!(point.time.as_second() % 6, 0);
    }
    // No multiple of what is left: two of these would give the values in between.
    let shifted = Query {
        resolution: "PT10S".to_owned(),
        ..fine.clone()
    };
    assert_refused(&pull(&house, &shifted), "consumer-coarser", "restriction 1");
    let shown = grants(&house, &["list"]);
    assert_eq!(shown["restrictions"][0]["effect"]["coarser"], "PT6S", "{shown}");
    grants(&house, &["lift", "1"]);
    pull_until(&house, &fine, |pull| !pull.series.is_empty());
}

#[test]
fn policy_holds_over_earlier_grants_and_grants_are_asked_as_often_as_they_say() {
    let mut house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let stage = &house.stage;
    let policy = "[[limit]]\nelements = [\"*/7-x:x.x.x*255\"]\nfinest = \"PT2S\"\nhistory = \"P1D\"\nat_most = \"PT1H\"\n";
    stage.write("trust-center/policy.toml", policy).unwrap();
    // Another supplier comes; the grants of the first one stay as they were.
    let other = stage
        .found_supplier("other", "Country Works", &stage.trust_center())
        .unwrap();
    let rules = stage
        .write(
            "other.toml",
            "[[grant]]\nid = \"gas\"\nelements = [\"*/7-0:3.0.0*255\"]\nfinest = \"PT2S\"\nhistory = \"P1D\"\n\
             purpose = \"gas\"\n",
        )
        .unwrap();
    let command = stage.command(Program::TrustCenter, "install");
    let command = command
        .option("--home", stage.trust_center())
        .option("--guid", &house.card.guid)
        .option("--gateway", house.status.wan.as_deref().unwrap())
        .option("--supplier", other.home())
        .option("--grants", rules);
    stage
        .run(&command)
        .unwrap()
        .success()
        .unwrap_or_else(|error| panic!("{}\n{}", told(&error), gateway_log(&house)));

    let shown = grants(&house, &["list"]);
    assert_eq!(shown["policy"][0]["id"], "policy 1", "{shown}");
    let all_but_gas = GRANTED.into_iter().find(|pattern| *pattern != GAS).unwrap();
    let power = house.query(&[all_but_gas], Grade::AsGranted, ALL_OF_IT);
    let refused = pull(&house, &power);
    assert_eq!(refused.refusals[0].code, "element-not-granted", "{refused:?}");
    let layer = explain(&house, all_but_gas, "PT2S");
    assert_eq!(layer["denied"]["layer"], "policy", "{layer}");

    let gas = house.query(&[GAS], Grade::AsGranted, ALL_OF_IT);
    assert!(pull(&house, &gas).refusals.is_empty());
    // Within the same second it would be the same question, which is answered again.
    let_pass(&house.stage, Duration::from_millis(1_100));
    let often = pull(&house, &gas);
    assert_refused(&often, "too-often", "policy 1");
    assert!(often.refusals[0].reason.contains("again from 20"), "{often:?}");
    // The time is kept across a power cut, and the other supplier waits for itself.
    house.gateway.kill().unwrap();
    house.start_gateway_again("operational").unwrap();
    let gas = house.query(&[GAS], Grade::AsGranted, ALL_OF_IT);
    assert_refused(&pull(&house, &gas), "too-often", "policy 1");
    let own = other.pull(&house.stage, &gas).unwrap();
    assert!(own.refusals.is_empty(), "{own:?}");
    let explained = explain(&house, GAS, "PT2S");
    assert_eq!(explained["denied"]["code"], "too-often", "{explained}");
    assert_eq!(decided(&explained), ["policy 1"]);
}

/// Pulls once; a supplier whose gateway has just been started again is given some time.
fn pull(house: &House, query: &Query) -> Pull {
    let pulled = wait_until(&house.stage.deadline(ARRIVAL), || {
        let finished = house.supplier.try_pull(&house.stage, query)?;
        Ok::<_, StageError>(system::Supplier::read(finished).ok())
    });
    pulled
        .unwrap()
        .unwrap_or_else(|| panic!("no answer\n{}", gateway_log(house)))
}

fn assert_refused(pull: &Pull, code: &str, rule: &str) {
    assert!(pull.series.is_empty(), "{pull:?}");
    assert!(!pull.refusals.is_empty());
    for refusal in &pull.refusals {
        assert_eq!(
            (refusal.code.as_str(), refusal.rule.as_deref()),
            (code, Some(rule)),
            "{pull:?}"
        );
    }
}

/// Returns the rules that decided.
fn decided(explained: &Value) -> Vec<&str> {
    let looked = explained["looked"].as_array().unwrap().iter();
    let decided = looked.filter(|rule| rule["decided"] == true);
    decided.map(|rule| rule["rule"].as_str().unwrap()).collect()
}

fn explain(house: &House, element: &str, resolution: &str) -> Value {
    let supplier = house.supplier.fingerprint();
    let words = [
        "explain",
        "--supplier",
        supplier,
        "--element",
        element,
        "--resolution",
        resolution,
    ];
    let in_words = run(house, &words, false);
    assert!(in_words.lines[0].contains("asks for"), "{:?}", in_words.lines);
    grants(house, &words)
}

/// Runs a command about grants and returns its document.
fn grants(house: &House, words: &[&str]) -> Value {
    let finished = run(house, words, true);
    serde_json::from_str(finished.answer().unwrap()).unwrap()
}

fn run(house: &House, words: &[&str], json: bool) -> Finished {
    let mut command: Command = house.stage.command(Program::Smgw, "grants");
    for word in words {
        command = command.arg(word);
    }
    if json {
        command = command.arg("--json");
    }
    let finished = house
        .stage
        .run(&command.option("--config", &house.config))
        .unwrap();
    finished
        .success()
        .unwrap_or_else(|error| panic!("{}\n{}", told(&error), gateway_log(house)));
    finished
}

fn consumer_log(house: &House) -> Vec<Value> {
    let command = house
        .stage
        .command(Program::Smgw, "log")
        .arg("show")
        .arg("consumer")
        .arg("--json");
    let finished = house
        .stage
        .run(&command.option("--config", &house.config))
        .unwrap();
    finished
        .lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
