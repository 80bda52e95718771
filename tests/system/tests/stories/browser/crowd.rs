//! The wizard and the pages of a house with a hundred meters, and those of a gateway without any, whose clock was never set.

use std::path::{Path, PathBuf};

use serde_json::Value;
use system::{Folder, Gateway, Interrupt, Process, Program, Programs, Stage, StageError, wait_until};

use super::Script;
use crate::local_web::ask;
use crate::steps::{ARRIVAL, give_clock, read, told};

/// How many meters there are.
const METERS: usize = 100;
/// The views of a hundred meters, and those without any.
const LOOKED_AT_MANY: u64 = 8;
const LOOKED_AT_NONE: u64 = 2 * (9 + 5);

/// A gateway without a card, and its configuration.
fn gateway(stage: &Stage, more: &str) -> (Gateway, PathBuf) {
    let quoted = |name: &str| Value::from(stage.path(name).display().to_string());
    let config = format!(
        "data = {}\nregistration_period = \"PT20S\"\n[card]\nsoft = {}\nbinding = \"confirmed\"\n[control]\nsocket = {}\n\
         [web.https]\nlisten = \"127.0.0.1:0\"\n[wan]\nlisten = \"[::1]:0\"\n{more}",
        quoted("data"),
        quoted("no-card"),
        quoted("smgw.sock"),
    );
    let config = stage.write("smgw.toml", &config).unwrap();
    let gateway = stage.start_gateway(&config);
    (gateway.unwrap_or_else(|error| panic!("{}", told(&error))), config)
}

/// Has a script told with first passwords of both accounts.
fn tell(stage: &Stage, config: &Path, (name, looked): (&str, u64), line: &str) {
    let passwords = ["consumer", "technician"].map(|account| {
        let issued = ask(stage, config, &["web", "password", account]);
        issued["password"].as_str().unwrap().to_owned()
    });
    let status = ask(stage, config, &["status"]);
    let script = Script {
        stage,
        name,
        web: status["https"].as_str().unwrap(),
        variables: &[
            ("CONSUMER", &passwords[0]),
            ("TECHNICIAN", &passwords[1]),
            ("MBUS", line),
        ],
        looked,
    };
    script.tell();
}

/// Starts a hundred meters on a line, and returns where that is.
fn hundred_meters(stage: &Stage) -> (Process, String) {
    let command = stage.command(Program::Simulators, "mbus");
    let process = stage
        .start(&command.option("--meters", METERS.to_string()))
        .unwrap();
    let line = process.next_line(&stage.deadline(ARRIVAL)).unwrap().unwrap();
    let addresses: Value = serde_json::from_str(&line).unwrap();
    let endpoint = format!("tcp:{}", addresses["mbus"].as_str().unwrap());
    (process, endpoint)
}

fn stage() -> Stage {
    let folder = Folder::temporary().unwrap();
    Stage::bare(Programs::find().unwrap(), folder, Interrupt::default()).unwrap()
}

#[test]
fn hundred_meters_are_found_shown_and_compared_in_a_browser() {
    let stage = stage();
    let (_line, endpoint) = hundred_meters(&stage);
    let (_other, free) = hundred_meters(&stage);
    let meters: String = (1..=METERS)
        .map(|primary| format!("[[bus.meter]]\nname = \"flat {primary}\"\nprimary = {primary}\n"))
        .collect();
    let bus = format!("[[bus]]\nname = \"cellar\"\nmbus = \"{endpoint}\"\n{meters}");
    let (gateway, config) = gateway(&stage, &bus);
    let every = wait_until(&stage.deadline(ARRIVAL), || {
        let status = gateway.status(&stage)?;
        Ok::<_, StageError>(status.filter(|status| {
            let meters = status.meters.iter();
            meters.filter(|meter| meter.last_success.is_some()).count() == METERS
        }))
    });
    assert!(every.unwrap().is_some(), "{}", read(gateway.log()));
    tell(&stage, &config, ("hundred_meters", LOOKED_AT_MANY), &free);
}

#[test]
fn gateway_without_meters_whose_clock_stands_in_1970_answers_in_a_browser() {
    let mut stage = stage();
    give_clock(&mut stage, "@1970-01-02 00:00:00");
    let (_gateway, config) = gateway(&stage, "");
    tell(&stage, &config, ("new_and_in_1970", LOOKED_AT_NONE), "");
}
