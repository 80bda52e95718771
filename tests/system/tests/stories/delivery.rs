//! A delivery rule at work: the state of the grid, on a schedule and when a voltage leaves its band, under a pseudonym.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use system::{House, Process, Program, StageError, wait_until};

use crate::over_a_broker::{behind_a_broker, over, text_of};
use crate::steps::{PERIOD, gateway_log, granted, pull_until, read, sql};

/// The store of what comes so.
const STORE: &str = "delivered.db";
/// How long all three causes may take: two pauses between events, and a period of the schedule that settles.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn state_of_the_grid_comes_on_schedule_and_on_events_under_one_pseudonym() {
    let (house, broker) = behind_a_broker("5");
    let query = over(&granted(&house), &broker, "");
    pull_until(&house, &query, |pull| !pull.series.is_empty());
    grant_the_grid(&house, &query.wan);

    let mut receiver = receive(&house, &format!("mqtts://{}", broker.address()));
    let mut causes = BTreeSet::new();
    let mut names = BTreeSet::new();
    let all = wait_until(&house.stage.deadline(PATIENCE), || {
        while let Some(line) = receiver.line_soon() {
            let line: Value = serde_json::from_str(&line).unwrap();
            // What a schedule had left from before may still come.
            if line["grant"] != "grid" {
                continue;
            }
            let delivery = &line["delivery"];
            assert_eq!(delivery["rule"], "voltage", "{line}");
            assert_eq!(
                (delivery["taf"].as_u64(), &delivery["pseudonymous"]),
                (Some(10), &Value::Bool(true))
            );
            causes.insert(match &delivery["cause"] {
                Value::Object(cause) => cause.keys().next().unwrap().clone(),
                cause => cause.as_str().unwrap().to_owned(),
            });
            for series in line["series"].as_array().unwrap() {
                assert_eq!(series["obis"], "1-0:32.7.0*255", "{line}");
                assert_eq!(series["aggregation"], "latest", "{line}");
                names.insert(series["meter"].as_str().unwrap().to_owned());
            }
        }
        Ok::<_, StageError>((causes.len() == 3).then_some(()))
    });
    assert_eq!(all.unwrap(), Some(()), "{causes:?}\n{}", gateway_log(&house));
    assert_eq!(
        causes,
        BTreeSet::from(["due", "left", "returned"].map(str::to_owned))
    );
    assert_eq!(names.len(), 1, "{names:?}");
    let name = names.pop_first().unwrap();
    assert!(name.starts_with("pseudonym-") && name.len() == 40, "{name}");
    receiver.stop().unwrap();

    // The store has it under the pseudonym, and nothing by the meter's name.
    let store = house.supplier.home().join(STORE);
    let meters = sql(
        &store,
        "SELECT DISTINCT meter FROM elements WHERE obis = '1-0:32.7.0*255'",
    );
    assert_eq!(meters, name);
    assert_eq!(sql(&store, "SELECT count(*) FROM conflicts"), "0");

    // The rule names no demand: nobody pulls the values, and both sides can read why.
    let smgw = |verb: &str, words: &[&str]| said(&house, verb, words);
    let element = [
        "--element",
        "*/1-0:32.7.0*255",
        "--resolution",
        PERIOD,
        "--aggregation",
        "latest",
    ];
    let explain = [&["explain", "--supplier", "Supplier"][..], &element[..]].concat();
    let explained = smgw("grants", &explain);
    assert!(explained.contains("not-on-demand"), "{explained}");
    let listed = smgw("grants", &["list"]);
    assert!(listed.contains("delivered by voltage 1.0.0 (TAF 10)"), "{listed}");
    let logged = smgw("log", &["show", "consumer"]);
    assert!(logged.contains("under a pseudonym"), "{logged}");
}

/// Returns all that a command of the gateway's says.
fn said(house: &House, verb: &str, words: &[&str]) -> String {
    let command = house.stage.command(Program::Smgw, verb);
    let command = words.iter().fold(command, |command, word| command.arg(word));
    let command = command.option("--config", &house.config);
    let finished = house.stage.run(&command).unwrap();
    format!("{}\n{}", finished.lines.join("\n"), text_of(&finished))
}

/// Has the TSM grant the voltage of the first phase by a rule, and nothing else. The band's lower end lies where the
/// simulated voltage wavers.
fn grant_the_grid(house: &House, wan: &str) {
    let grants = format!(
        r#"[[grant]]
id = "grid"
elements = ["*/1-0:32.7.0*255", "*/1-0:1.8.0*255"]
finest = "{PERIOD}"
aggregations = ["latest"]
history = "PT10M"
purpose = "state of the grid"
[grant.delivery]
schema = "smgw.delivery/1"
id = "voltage"
version = "1.0.0"
taf = 10
name = {{ de = "Spannung", en = "Voltage" }}
description = {{ de = "Die Spannung des ersten Leiters.", en = "The voltage of the first phase." }}
elements = ["1-x:32.7.0*255"]
finest = "{PERIOD}"
aggregation = "latest"
triggers = [
    {{ every = "PT20S" }},
    {{ outside = {{ obis = "1-0:32.7.0*255", least = "230.2", most = "300", unit = "V" }} }},
]
identity = {{ pseudonym = {{ rotation = "P30D" }} }}
"#
    );
    let file = house.stage.write("grid.toml", &grants).unwrap();
    let command = house
        .stage
        .command(Program::TrustCenter, "install")
        .option("--home", house.stage.trust_center())
        .option("--guid", &house.card.guid)
        .option("--gateway", wan)
        .option("--supplier", house.supplier.home())
        .option("--grants", file);
    let installed = house.stage.run(&command).unwrap();
    assert_eq!(
        installed.code,
        Some(0),
        "{}\n{}",
        text_of(&installed),
        gateway_log(house)
    );
}

fn receive(house: &House, broker: &str) -> Process {
    let command = house
        .stage
        .command(Program::Supplier, "receive")
        .arg("--json")
        .option("--home", house.supplier.home())
        .option("--store", house.supplier.home().join(STORE))
        .option("--broker", broker);
    let receiver = house.stage.start(&command).unwrap();
    assert!(!read(receiver.log()).contains("panicked"));
    receiver
}
