//! What is read between the registered rounds: shown at once, handed out by name only, and kept nowhere.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use system::{House, Program, Pull, StageError, Supplier, UNGRANTED, wait_until};

use crate::steps::{ARRIVAL, gateway_log, told};

/// The registration period: many live ones, and still short for a story.
const PERIOD: &str = "PT10S";
const PERIOD_SECONDS: i64 = 10;
/// What the supplier is granted of the power of the moment, every second; the second grant comes later.
const WITHOUT: &str = r#"["value"]"#;
const WITH: &str = r#"["value", "latest"]"#;
/// How long a gateway may take that was stopped and started.
const AGAIN: Duration = Duration::from_secs(40);

#[test]
fn latest_value_is_newer_than_the_registered_one_and_is_granted_by_name() {
    let mut house = House::for_a_story(PERIOD).unwrap_or_else(|error| panic!("{}", told(&error)));
    read_live(&mut house);
    install(&house, WITHOUT);
    let refused = pull(&house, "latest", "PT1M").unwrap();
    assert!(refused.series.is_empty(), "{:?}", refused.series);
    let [refusal] = refused.refusals.as_slice() else {
        panic!("{:?}", refused.refusals)
    };
    assert_eq!(refusal.code, "aggregation-not-granted");
    assert_eq!(refusal.rule.as_deref(), Some("display"));

    install(&house, WITH);
    let newer = wait_until(&house.stage.deadline(ARRIVAL), || {
        let registered = times(&pull(&house, "value", "PT10M")?)?.pop();
        let latest = times(&pull(&house, "latest", "PT1M")?)?;
        assert!(latest.len() <= 1, "{latest:?}");
        let latest = latest.first().copied().zip(registered);
        Ok::<_, StageError>(latest.filter(|(latest, registered)| latest > registered))
    });
    let (latest, _) = newer
        .unwrap_or_else(|error| panic!("{}\n{}", told(&error), gateway_log(&house)))
        .expect("a value that is newer than what is registered");
    assert!(latest.as_second() % PERIOD_SECONDS != 0, "{latest}");

    // Every second is asked for, and only what was registered is there.
    let history = times(&pull(&house, "value", "PT10M").unwrap()).unwrap();
    assert!(!history.is_empty());
    for time in &history {
        assert_eq!(time.as_second() % PERIOD_SECONDS, 0, "{history:?}");
    }
    let log = supplier_log(&house);
    assert!(log.contains("1 latest values of"), "{log}");
}

/// Has the gateway read live every second, and waits until its status shows a value of no registered round.
fn read_live(house: &mut House) {
    let config = std::fs::read_to_string(&house.config).unwrap();
    std::fs::write(&house.config, format!("live_period = \"PT1S\"\n{config}")).unwrap();
    house.gateway.stop().unwrap();
    house
        .start_gateway_again("operational")
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    let status = house.stage.command(Program::Smgw, "status").arg("--json");
    let status = status.option("--config", &house.config);
    let seen = wait_until(&house.stage.deadline(AGAIN), || {
        let finished = house.stage.run(&status)?;
        let status: Value = serde_json::from_str(finished.answer()?).unwrap();
        let values = status["meters"].as_array().into_iter().flatten();
        let mut values = values.flat_map(|meter| meter["values"].as_array().into_iter().flatten());
        let is_live = values.any(|value| {
            let time: Timestamp = value["time"].as_str().unwrap().parse().unwrap();
            UNGRANTED.ends_with(value["obis"].as_str().unwrap()) && time.as_second() % PERIOD_SECONDS != 0
        });
        assert_eq!(status["live_period"], "PT1S");
        Ok::<_, StageError>(is_live.then_some(()))
    });
    seen.unwrap_or_else(|error| panic!("{}", told(&error)))
        .unwrap_or_else(|| panic!("no live value is shown: {}", gateway_log(house)));
}

fn install(house: &House, aggregations: &str) {
    let grants = format!(
        "[[grant]]\nid = \"display\"\nelements = [\"{UNGRANTED}\"]\nfinest = \"PT1S\"\nhistory = \"P1D\"\n\
         purpose = \"display\"\naggregations = {aggregations}\n"
    );
    let stage = &house.stage;
    let grants = stage.write("live-grants.toml", &grants).unwrap();
    let command = stage.command(Program::TrustCenter, "install");
    let command = command
        .option("--home", stage.trust_center())
        .option("--guid", &house.card.guid)
        .option("--gateway", house.status.wan.as_deref().unwrap())
        .option("--supplier", house.supplier.home())
        .option("--grants", grants);
    let finished = stage.run(&command).unwrap();
    finished
        .success()
        .unwrap_or_else(|error| panic!("{}", told(&error)));
}

fn pull(house: &House, aggregation: &str, last: &str) -> Result<Pull, StageError> {
    let command = house.stage.command(Program::Supplier, "pull").arg("--json");
    let command = command
        .option("--home", house.supplier.home())
        .option("--guid", &house.card.guid)
        .option("--gateway", house.status.wan.as_deref().unwrap())
        .option("--elements", UNGRANTED)
        .option("--resolution", "PT1S")
        .option("--aggregation", aggregation)
        .option("--last", last);
    Supplier::read(house.stage.run(&command)?)
}

/// Returns the times of all values, in order.
fn times(pull: &Pull) -> Result<Vec<Timestamp>, StageError> {
    let mut times = Vec::new();
    for series in &pull.series {
        times.extend(series.points()?.into_iter().map(|point| point.time));
    }
    times.sort();
    Ok(times)
}

/// Returns what the consumer reads.
fn supplier_log(house: &House) -> String {
    let command = house
        .stage
        .command(Program::Smgw, "log")
        .arg("show")
        .arg("consumer");
    let finished = house
        .stage
        .run(&command.option("--config", &house.config))
        .unwrap();
    finished.lines.join("\n")
}
