//! The three logs, read and verified through the command line of the running gateway.

use std::path::PathBuf;

use serde_json::Value;
use system::{Finished, Grade, House, Program, StageError, UNGRANTED, wait_until};

use crate::steps::{ALL_OF_IT, ARRIVAL, gateway_log, granted, house, pull_until};

/// The exit code of `smgw log verify` when an entry is bad.
const DAMAGED: i32 = 3;

#[test]
fn logs_say_what_happened_and_who_was_given_what() {
    let mut house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let refused = house.query(&[UNGRANTED], Grade::AsGranted, ALL_OF_IT);
    house.supplier.pull(&house.stage, &refused).unwrap();

    let consumer = show(&house, "consumer");
    // The first answers may have had nothing to say yet.
    let has_values = |entry: &&Value| entry["event"]["values"].as_u64() > Some(0);
    let answered = consumer.iter().find(has_values).expect("an answer with values");
    assert_eq!(answered["schema"], "smgw.log/1");
    assert_eq!(answered["code"], "SMGW-L-2001");
    assert_eq!(answered["event"]["supplier"], house.supplier.fingerprint());
    assert_eq!(answered["event"]["purpose"][0], "billing by consumption");
    let denied = entry(&consumer, "SMGW-L-2002");
    assert_eq!(denied["event"]["code"], "element-not-granted");
    entry(&consumer, "SMGW-L-2003");

    let system = show(&house, "system");
    // Started, bound, a bundle installed, the configuration read.
    for code in ["SMGW-L-1001", "SMGW-L-1004", "SMGW-L-1005", "SMGW-L-1014"] {
        entry(&system, code);
    }
    let seen = |entry: &&Value| entry["code"] == "SMGW-L-3004";
    let all_seen = wait_until(&house.stage.deadline(ARRIVAL), || {
        let meters = show(&house, "calibration").iter().filter(seen).count();
        Ok::<_, StageError>((meters == 4).then_some(()))
    });
    assert_eq!(all_seen.unwrap(), Some(()), "every meter is seen, once");

    house.gateway.stop().unwrap();
    house.start_gateway_again("operational").unwrap();
    let (code, report) = verify(&house);
    assert_eq!(
        (code, &report["sound"]),
        (Some(0), &Value::Bool(true)),
        "{report}"
    );
    assert_eq!(report["key_compared"], true);
    assert!(report["signature"]["number"].as_u64() > Some(0), "{report}");
    let system = show(&house, "system");
    for code in ["SMGW-L-1002", "SMGW-L-1008"] {
        entry(&system, code);
    }
}

#[test]
fn damaged_entry_is_named_and_the_supplier_is_told() {
    let mut house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    house.gateway.stop().unwrap();
    let segment = logs(&house).join("consumer/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    // The header has some 60 bytes; this is in the first entry.
    bytes[90] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    assert_first_entry_is_bad(&house);

    house.start_gateway_again("degraded").unwrap();
    assert_eq!(house.status.code, "SMGW-S-0203");
    assert_first_entry_is_bad(&house);
    assert_supplier_is_told(&house);
    let mut findings = house.status.findings.iter();
    let lost = findings.find(|finding| finding.code == "SMGW-F-0201").unwrap();
    assert!(lost.remedy.contains("auditor"), "{lost:?}");
}

#[test]
fn lost_logs_are_missed_and_measuring_goes_on() {
    let mut house = house();
    house.gateway.stop().unwrap();
    std::fs::remove_dir_all(logs(&house)).unwrap();
    house.start_gateway_again("degraded").unwrap();
    assert_supplier_is_told(&house);
    let (code, report) = verify(&house);
    assert_eq!((code, &report["sound"]), (Some(DAMAGED), &Value::Bool(false)));
    entry(&show(&house, "system"), "SMGW-L-1011");
    let before = newest(&house);
    let what = "a round after the logs were lost";
    let measured = house.gateway.wait_for(&house.stage, what, ARRIVAL, |status| {
        let newest = status
            .meters
            .iter()
            .filter_map(|meter| meter.last_success.clone());
        newest.max() > before
    });
    measured.unwrap();
    // The next start does not forget it.
    house.gateway.stop().unwrap();
    house.start_gateway_again("degraded").unwrap();
}

fn newest(house: &House) -> Option<String> {
    let meters = house.status.meters.iter();
    meters.filter_map(|meter| meter.last_success.clone()).max()
}

fn logs(house: &House) -> PathBuf {
    house.stage.path("data").join("logs")
}

/// Runs `smgw log` with a verb of it and perhaps the name of a log.
fn run(house: &House, arguments: &[&str]) -> Finished {
    let mut command = house.stage.command(Program::Smgw, "log");
    for argument in arguments {
        command = command.arg(argument);
    }
    let command = command.arg("--json").option("--config", &house.config);
    house.stage.run(&command).unwrap()
}

/// Reads every entry of a log.
fn show(house: &House, log: &str) -> Vec<Value> {
    let finished = run(house, &["show", log]);
    finished.success().unwrap();
    let lines = finished.lines.iter();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the first entry with a code.
fn entry<'a>(entries: &'a [Value], code: &str) -> &'a Value {
    let found = entries.iter().find(|entry| entry["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {entries:#?}"))
}

/// Verifies the logs; returns the exit code and what was found.
fn verify(house: &House) -> (Option<i32>, Value) {
    let finished = run(house, &["verify"]);
    let report = serde_json::from_str(finished.lines.last().unwrap()).unwrap();
    (finished.code, report)
}

/// Asserts that the first entry of the consumer log, and nothing else, is named as bad.
fn assert_first_entry_is_bad(house: &House) {
    let (code, report) = verify(house);
    assert_eq!(code, Some(DAMAGED), "{report}");
    let [system, consumer, calibration] = [0, 1, 2].map(|log| &report["logs"][log]);
    assert_eq!(consumer["log"], "consumer");
    assert_eq!(consumer["fault"]["sequence"], 1, "{report}");
    for sound in [system, calibration] {
        assert_eq!(sound["fault"], Value::Null, "{report}");
    }
}

/// Asserts that the supplier gets no values and is told why.
fn assert_supplier_is_told(house: &House) {
    let finished = house.supplier.try_pull(&house.stage, &granted(house)).unwrap();
    assert_eq!(finished.code, Some(1), "{:?}", finished.lines);
    let said = finished.log_text().unwrap();
    assert!(said.contains("log-damaged"), "{said}\n{}", gateway_log(house));
}
