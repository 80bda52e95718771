//! What a gateway sends by itself, on the schedule of a grant, to a supplier that only waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use system::{
    Broker, COUNTER, GrantText, House, LogTail, Process, Program, PullSeries, Query, StageError, wait_until,
};

use crate::over_a_broker::{behind_a_broker, over, text_of};
use crate::steps::{PERIOD, RESENDING, gateway_log, granted, pull_until, read, sql, told, waiting};

/// The store of what comes so.
const STORE: &str = "pushed.db";
/// How many further messages a story waits for.
const SOME: usize = 3;
/// How often the gateway sends.
const EVERY: &str = "PT10S";
/// How long the first message may take, and each further one: one period to pass, one to settle, and two looks.
const PUSH: Duration = Duration::from_secs(60);

#[test]
fn what_a_grant_schedules_reaches_a_supplier_that_only_waits() {
    let (house, broker) = behind_a_broker("5");
    let query = over(&granted(&house), &broker, "");
    grant_a_schedule(&house, &query);

    // Nobody listens: what is due waits in the gateway.
    let waits = wait_until(&house.stage.deadline(PUSH), || {
        let count = waiting(&house.stage).and_then(|count| count.parse::<u32>().ok());
        Ok::<_, StageError>(count.filter(|count| *count >= 2))
    });
    assert!(waits.unwrap().is_some(), "{}", gateway_log(&house));

    let mut receiver = receive(&house, &address(&broker), &[]);
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
    let receiver = receive(&house, &address(&broker), &["--for", "PT75S"]);
    take(&line_of(&house, &receiver), &mut points);
    let ended = receiver.finish(&house.stage.deadline(RESENDING)).unwrap();
    assert_eq!(ended.code, Some(0), "{}", text_of(&ended));
    for line in &ended.lines {
        take(&serde_json::from_str(line).unwrap(), &mut points);
    }

    // What was printed is in the store, each point once and all of them without a hole.
    let store = house.supplier.home().join(STORE);
    let stored = sql(&store, "SELECT count(*) FROM readings");
    assert_eq!(stored, points.len().to_string(), "{points:?}");
    assert_eq!(sql(&store, "SELECT count(*) FROM conflicts"), "0");
    // And it is all that was registered, from the first point to the last.
    let query = Query {
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

#[test]
fn receiver_outlives_its_broker_and_ends_with_its_store() {
    let (house, mut broker) = behind_a_broker("3.1.1");
    let query = over(&granted(&house), &broker, "?mqtt=3.1.1");
    grant_a_schedule(&house, &query);
    let address = format!("{}?mqtt=3.1.1", address(&broker));
    let receiver = receive(&house, &address, &[]);
    let mut periods = BTreeSet::new();
    periods.insert(period_of(&line_of(&house, &receiver)));
    broker.kill().unwrap();
    wait_until_it_says(&house, &receiver, "nothing is received for now");
    broker.start_again(&house.stage).unwrap();
    periods.insert(period_of(&line_of(&house, &receiver)));
    let store = house.supplier.home().join(STORE);
    sql(
        &store,
        "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    let ended = receiver.finish(&house.stage.deadline(RESENDING)).unwrap();
    assert_eq!(ended.code, Some(1));
    assert!(text_of(&ended).contains("no room"), "{}", text_of(&ended));
    sql(&store, "DROP TRIGGER full");
    let rest = ended.lines.iter().map(|line| serde_json::from_str(line).unwrap());
    periods.extend(rest.map(|line| period_of(&line)));

    // What was not kept had no receipt: it comes again, so that one period follows the other.
    let receiver = receive(&house, &address, &[]);
    let least = periods.len() + SOME;
    let whole = wait_until(&house.stage.deadline(RESENDING), || {
        while let Some(line) = receiver.line_soon() {
            periods.insert(period_of(&serde_json::from_str(&line).unwrap()));
        }
        let mut pairs = periods.iter().zip(periods.iter().skip(1));
        let whole = periods.len() >= least && pairs.all(|((_, end), (begin, _))| end == begin);
        Ok::<_, StageError>(whole.then_some(()))
    });
    assert_eq!(whole.unwrap(), Some(()), "{periods:?} {}", read(receiver.log()));
}

/// Returns the beginning and the end of what a message is for; in UTC, so that they sort as texts.
fn period_of(line: &Value) -> (String, String) {
    let end = |name: &str| {
        line["period"][name]
            .as_str()
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned()
    };
    (end("from"), end("to"))
}

#[test]
fn workers_share_what_comes_and_take_nothing_of_who_is_unknown_or_revoked() {
    let (house, broker) = behind_a_broker("5");
    let query = over(&granted(&house), &broker, "");
    grant_a_schedule(&house, &query);
    let known = house.supplier.home().join("gateways");
    let hidden = house.stage.path("hidden");
    std::fs::rename(&known, &hidden).unwrap();
    let workers = [1, 2].map(|_| receive(&house, &address(&broker), &["--share", "workers"]));
    let refused = || {
        workers
            .iter()
            .map(|worker| read(worker.log()).matches("is not taken").count())
    };
    let all = wait_until(&house.stage.deadline(PUSH), || {
        Ok::<_, StageError>((refused().sum::<usize>() >= 2).then_some(()))
    });
    assert_eq!(all.unwrap(), Some(()), "{:?}", refused().collect::<Vec<_>>());
    // No new start is needed for certificates that have come since.
    std::fs::rename(&hidden, &known).unwrap();
    let mut points = BTreeMap::new();
    let mut taken = 0;
    let several = wait_until(&house.stage.deadline(RESENDING), || {
        for worker in &workers {
            while let Some(line) = worker.line_soon() {
                // No point is in two messages, whoever of the workers has taken them.
                take(&serde_json::from_str(&line).unwrap(), &mut points);
                taken += 1;
            }
        }
        Ok::<_, StageError>((taken >= 4).then_some(()))
    });
    assert_eq!(several.unwrap(), Some(()), "{taken}");

    let center = |words: &[&str]| {
        let command = house.stage.command(Program::TrustCenter, words[0]);
        let command = words[1..].iter().fold(command, |command, word| command.arg(word));
        let command = command.option("--home", house.stage.trust_center());
        house.stage.run(&command).unwrap().success().unwrap();
    };
    center(&["revoke", "--guid", &house.card.guid, "--reason", "key-compromise"]);
    center(&["crl"]);
    let crl = house.stage.command(Program::Supplier, "crl");
    let crl = crl.option("--home", house.supplier.home());
    let crl = crl.option("--file", house.stage.trust_center().join("issuing.crl"));
    house.stage.run(&crl).unwrap().success().unwrap();
    let told = wait_until(&house.stage.deadline(PUSH), || {
        let told = workers
            .iter()
            .any(|worker| read(worker.log()).contains("was revoked at"));
        Ok::<_, StageError>(told.then_some(()))
    });
    assert_eq!(
        told.unwrap(),
        Some(()),
        "{}{}",
        read(workers[0].log()),
        read(workers[1].log())
    );
}

/// Has the TSM grant the counter on a schedule, and nothing else.
fn grant_a_schedule(house: &House, query: &Query) {
    pull_until(house, query, |pull| !pull.series.is_empty());
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
    installed.unwrap_or_else(|error| panic!("{}\n{}", told(&error), gateway_log(house)));
}

fn address(broker: &Broker) -> String {
    format!("mqtts://{}", broker.address())
}

fn wait_until_it_says(house: &House, receiver: &Process, words: &str) {
    let said = wait_until(&house.stage.deadline(PUSH), || {
        Ok::<_, StageError>(read(receiver.log()).contains(words).then_some(()))
    });
    assert_eq!(said.unwrap(), Some(()), "{}", read(receiver.log()));
}

fn receive(house: &House, broker: &str, words: &[&str]) -> Process {
    let command = house
        .stage
        .command(Program::Supplier, "receive")
        .arg("--json")
        .option("--home", house.supplier.home())
        .option("--store", house.supplier.home().join(STORE))
        .option("--broker", broker);
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
fn points_of<'a>(series: impl IntoIterator<Item = &'a PullSeries>) -> BTreeMap<String, String> {
    let points = series.into_iter().flat_map(|series| series.points().unwrap());
    points
        .map(|point| (point.time.to_string(), point.value))
        .collect()
}
