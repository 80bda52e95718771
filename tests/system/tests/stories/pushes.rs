//! What a gateway sends by itself, on the schedule of a grant, to a supplier that only waits.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use system::{
    Broker, COUNTER, GrantText, House, LogTail, Process, Program, PullSeries, StageError, wait_until,
};

use crate::over_a_broker::{behind_a_broker, over, text_of};
use crate::steps::{PERIOD, RESENDING, gateway_log, granted, pull_until, told, waiting};

/// How often the gateway sends.
const EVERY: &str = "PT10S";
/// How long the first message may take, and each further one: one period to pass, one to settle, and two looks.
const PUSH: Duration = Duration::from_secs(60);

#[test]
fn what_a_grant_schedules_reaches_a_supplier_that_only_waits() {
    let (house, broker) = behind_a_broker("5");
    let query = over(&granted(&house), &broker, "");
    pull_until(&house, &query, |pull| !pull.series.is_empty());
    let grants = [GrantText {
        id: "daily".to_owned(),
        elements: vec![COUNTER.to_owned()],
        finest: PERIOD.to_owned(),
        history: "P1D".to_owned(),
        purpose: "a schedule".to_owned(),
        push: Some(EVERY.to_owned()),
    }];
    let installed = house
        .stage
        .install(&house.card.guid, &query.wan, &house.supplier, &grants, None);
    installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), gateway_log(&house)));

    // Nobody listens: what is due waits in the gateway.
    let waits = wait_until(&house.stage.deadline(PUSH), || {
        let count = waiting(&house.stage).and_then(|count| count.parse::<u32>().ok());
        Ok::<_, StageError>(count.filter(|count| *count >= 2))
    });
    assert!(waits.unwrap().is_some(), "{}", gateway_log(&house));

    let mut receiver = receive(&house, &broker, &[]);
    let mut points = BTreeMap::new();
    let mut periods = Vec::new();
    // The two that waited come again after a while, and others meanwhile.
    while periods.len() < 4 {
        let line = line_of(&house, &receiver);
        assert_eq!(line["schema"], "supplier.received/1", "{line}");
        assert_eq!(line["guid"], house.card.guid.as_str(), "{line}");
        assert_eq!(line["grant"], "daily", "{line}");
        periods.push(line["period"].to_string());
        take(&line, &mut points);
    }
    periods.sort();
    periods.dedup();
    assert_eq!(periods.len(), 4, "each period comes once: {periods:?}");
    receiver.stop().unwrap();

    // Who comes back has what was sent meanwhile, and a time that is given ends it by itself.
    let receiver = receive(&house, &broker, &["--for", "PT75S"]);
    take(&line_of(&house, &receiver), &mut points);
    let ended = receiver.finish(&house.stage.deadline(RESENDING)).unwrap();
    assert_eq!(ended.code, Some(0), "{}", text_of(&ended));
    for line in &ended.lines {
        take(&serde_json::from_str(line).unwrap(), &mut points);
    }

    // What was printed is in the store, each point once and all of them without a hole.
    let stored = sql(&house, "SELECT count(*) FROM readings");
    assert_eq!(stored, points.len(), "{points:?}");
    assert_eq!(sql(&house, "SELECT count(*) FROM conflicts"), 0);
    // And it is all that was registered, from the first point to the last.
    let query = system::Query {
        elements: vec![COUNTER.to_owned()],
        ..query
    };
    let pulled = house.supplier.pull(&house.stage, &query).unwrap();
    let mut registered = points_of(&pulled.series);
    let (first, last) = (
        points.first_key_value().unwrap(),
        points.last_key_value().unwrap(),
    );
    registered.retain(|time, _| (first.0..=last.0).contains(&time));
    assert_eq!(points, registered);
    let log = house
        .stage
        .command(Program::Smgw, "log")
        .arg("show")
        .arg("consumer")
        .arg("--json");
    let log = house.stage.run(&log.option("--config", &house.config)).unwrap();
    assert!(
        log.lines.iter().any(|line| line.contains("a schedule")),
        "{}",
        text_of(&log)
    );
}

fn receive(house: &House, broker: &Broker, words: &[&str]) -> Process {
    let command = house
        .stage
        .command(Program::Supplier, "receive")
        .arg("--json")
        .option("--home", house.supplier.home())
        .option("--store", house.supplier.home().join("pushed.db"))
        .option("--broker", format!("mqtts://{}", broker.address()));
    let command = words.iter().fold(command, |command, word| command.arg(word));
    house.stage.start(&command).unwrap()
}

/// Waits for the next message that is printed.
fn line_of(house: &House, receiver: &Process) -> Value {
    let line = receiver.next_line(&house.stage.deadline(RESENDING)).unwrap();
    let log = LogTail::of(receiver.log());
    let line = line.unwrap_or_else(|| panic!("nothing comes\n{log}\n{}", gateway_log(house)));
    serde_json::from_str(&line).unwrap()
}

/// Takes the points of a message; none of them was in another one.
fn take(line: &Value, points: &mut BTreeMap<String, String>) {
    let series: Vec<PullSeries> = serde_json::from_value(line["series"].clone()).unwrap();
    for (time, value) in points_of(&series) {
        assert_eq!(points.insert(time, value), None, "{line}");
    }
}

/// Returns the values by their times, which are in UTC and order as texts.
fn points_of(series: &[PullSeries]) -> BTreeMap<String, String> {
    let points = series.iter().flat_map(|series| series.points().unwrap());
    points
        .map(|point| (point.time.to_string(), point.value))
        .collect()
}

fn sql(house: &House, statement: &str) -> usize {
    let output = std::process::Command::new("sqlite3")
        .arg(house.supplier.home().join("pushed.db"))
        .arg(statement)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
