//! What a supplier has in its store: everything once, with its proof, and what it makes of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use system::{
    COUNTER, Command, Finished, Grade, House, LogTail, Program, PullSeries, StageError, wait_until,
};

use crate::steps::{ALL_OF_IT, ARRIVAL, granted, house, pull_until, read, sql, told};

/// How many points of the counter a story waits for before it goes on.
const SOME: usize = 4;

#[test]
fn everything_is_in_the_store_once_whatever_happens_to_the_gateway() {
    let mut house = house();
    pull_until(&house, &granted(&house), |pull| {
        points(&pull.series).len() >= SOME
    });
    let before = count(&house, "SELECT count(*) FROM readings");
    assert!(before >= SOME, "{before}");

    // The same again is not new, and what the store ends with is where the next pull begins.
    let again = pull(&house, &["--all", "--last", ALL_OF_IT]);
    let [line] = lines(&again, "supplier.pulled/1").try_into().unwrap();
    assert_eq!((again.code, &line["outcome"]), (Some(0), &Value::from("pulled")));
    assert!(
        number(&line, "repeated") >= before && number(&line, "conflicts") == 0,
        "{line}"
    );
    assert!(
        said(&again).contains("all 1 gateways gave what they have"),
        "{}",
        said(&again)
    );
    let more = until_something_is_new(&house);
    assert!(
        number(&more, "repeated") <= SOME,
        "only what lags behind comes again: {more}"
    );

    // A gateway that is killed fails its pull, and no other; with the further attempts some points of the grid go by.
    house.gateway.kill().unwrap();
    let failed = pull(&house, &["--all", "--last", ALL_OF_IT, "--retries", "3"]);
    let [line] = lines(&failed, "supplier.pulled/1").try_into().unwrap();
    assert_eq!((failed.code, &line["outcome"]), (Some(3), &Value::from("failed")));
    assert!(
        said(&failed).contains("1 of 1 gateways did not give"),
        "{}",
        said(&failed)
    );
    let alone = pull(&house, &["--guid", &house.card.guid, "--last", ALL_OF_IT]);
    assert_eq!(alone.code, Some(1), "{}", said(&alone));
    house.start_gateway_again("operational").unwrap();
    let arrived = until_something_is_new(&house);
    assert!(number(&arrived, "new") > 0, "{arrived}");
    assert_eq!(
        count(&house, "SELECT count(*) FROM readings"),
        count(
            &house,
            "SELECT count(*) FROM (SELECT DISTINCT element, time FROM readings)"
        )
    );
    assert_eq!(count(&house, "SELECT count(*) FROM conflicts"), 0);

    // What it did not measure meanwhile is missing, and is asked for again, but not for ever.
    let gaps = lines(&supplier(&house, "gaps", &["--json"]), "supplier.gap/1");
    assert!(
        !gaps.is_empty(),
        "the gateway was off for some registration periods"
    );
    for _ in 0..5 {
        let filled = pull(
            &house,
            &["--all", "--since-last", "--fill-gaps", "--last", ALL_OF_IT],
        );
        assert_eq!(filled.code, Some(0), "{}", said(&filled));
    }
    let tries = count(&house, "SELECT max(tries) FROM gaps");
    assert!((1..=3).contains(&tries), "{tries}");
}

#[test]
fn bill_is_what_the_registers_have_counted_and_its_proof_holds() {
    let house = house();
    let query = house.query(&[COUNTER], Grade::AsGranted, ALL_OF_IT);
    let pull = pull_until(&house, &query, |pull| points(&pull.series).len() >= SOME);
    let counted = points(&pull.series);
    let ((from, first), (to, last)) = (
        counted.first_key_value().unwrap(),
        counted.last_key_value().unwrap(),
    );
    let bill = |options: &[&str]| {
        let mut all = vec!["--json", "--guid", &house.card.guid, "--from", from, "--to", to];
        all.extend(options);
        supplier(&house, "bill", &all)
    };
    let whole = bill(&["--elements", COUNTER]);
    let [whole] = lines(&whole, "supplier.bill/1").try_into().unwrap();
    let line = &whole["lines"][0];
    assert_eq!(
        line["consumption"],
        Value::from(difference(last, first)),
        "{whole}"
    );
    let (start, end) = (&line["proof"][0]["start"], &line["proof"][0]["end"]);
    assert_eq!(
        (&start["value"], &end["value"]),
        (&Value::from(first.as_str()), &Value::from(last.as_str()))
    );
    assert_proof_holds(&house, end);

    // By stages, the parts make the whole.
    let tariff = house.stage.write("tariff.toml", TARIFF).unwrap();
    let staged = bill(&["--tariff", tariff.to_str().unwrap()]);
    let [staged] = lines(&staged, "supplier.bill/1").try_into().unwrap();
    let milli: u64 = staged["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let text = line["consumption"].as_str().unwrap().replace('.', "");
            text.parse::<u64>().unwrap()
        })
        .sum();
    let kilo = line["consumption"].as_str().unwrap().replace('.', "");
    assert_eq!(milli, kilo.parse::<u64>().unwrap(), "{staged}");

    // Nothing is guessed.
    let early = supplier(
        &house,
        "bill",
        &[
            "--guid",
            &house.card.guid,
            "--from",
            "2020-01-01",
            "--to",
            to,
            "--elements",
            COUNTER,
        ],
    );
    assert_eq!(early.code, Some(1));
    for word in ["2020-01-01T00:00:00Z", "are missing", "--fill-gaps"] {
        assert!(said(&early).contains(word), "{}", said(&early));
    }
}

#[test]
fn exports_have_every_reading_of_the_store() {
    let house = house();
    pull_until(&house, &granted(&house), |pull| {
        points(&pull.series).len() >= SOME
    });
    let rows = count(&house, "SELECT count(*) FROM readings");
    let export = |format: &str| {
        let file = house.stage.path(&format!("export.{format}"));
        let done = supplier(
            &house,
            "export",
            &["--json", "--format", format, "--out", file.to_str().unwrap()],
        );
        let [line] = lines(&done, "supplier.exported/1").try_into().unwrap();
        assert_eq!(number(&line, "rows"), rows);
        file
    };
    let csv = read(&export("csv"));
    assert_eq!(csv.lines().count(), rows + 1, "{csv}");
    let json: Value = serde_json::from_str(&read(&export("json"))).unwrap();
    assert_eq!(json["readings"].as_array().unwrap().len(), rows);
    let python = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/foreign-python/bin/python"
    );
    let script = "import sys, pyarrow.parquet as p; print(p.read_table(sys.argv[1]).num_rows)";
    let read = Command::new("python", Path::new(python))
        .arg("-c")
        .arg(script)
        .arg(export("parquet"));
    let read = house.stage.run(&read).unwrap();
    assert_eq!(
        read.lines,
        [rows.to_string()],
        "`cargo verify` installs Arrow: {}",
        said(&read)
    );
}

/// A tariff of two stages.
const TARIFF: &str = r#"
currency = "EUR"
places = 4
time_zone = "Europe/Berlin"

[[stage]]
name = "night"
elements = ["*/1-0:1.8.0*255"]
unit = "kWh"
price = "0.2512"
windows = [{ from = "22:00", to = "06:00" }]

[[stage]]
name = "day"
elements = ["*/1-0:1.8.0*255"]
unit = "kWh"
price = "0.3347"
"#;

/// Checks the signed message behind a reading: it is what the digest is of, and OpenSSL finds the card's signature good.
fn assert_proof_holds(house: &House, reading: &Value) {
    let message = reading["message"].as_str().unwrap();
    let file = house.stage.path("proof.cms");
    let options = [
        "--guid",
        &house.card.guid,
        "--message",
        message,
        "--out",
        file.to_str().unwrap(),
    ];
    let written = supplier(house, "proof", &options);
    assert_eq!(written.code, Some(0), "{}", said(&written));
    let digest = Command::new("sha256sum", Path::new("/usr/bin/sha256sum")).arg(&file);
    let digest = house.stage.run(&digest).unwrap();
    assert!(
        digest.lines[0].starts_with(reading["digest"].as_str().unwrap()),
        "{:?}",
        digest.lines
    );
    let verify = Command::new("openssl", Path::new("/usr/bin/openssl"))
        .arg("cms")
        .arg("-verify")
        .arg("-binary")
        .option("-purpose", "any")
        .option("-CAfile", house.supplier.home().join("root.pem"))
        .option("-inform", "DER")
        .option("-in", &file)
        .option("-out", house.stage.path("sealed.der"));
    let verified = house.stage.run(&verify).unwrap();
    assert_eq!(verified.code, Some(0), "{}", said(&verified));
}

/// Runs a command of the supplier in the house.
fn supplier(house: &House, verb: &str, options: &[&str]) -> Finished {
    let command = house.stage.command(Program::Supplier, verb);
    let command = command.option("--home", house.supplier.home());
    let command = options
        .iter()
        .fold(command, |command, option| command.arg(option));
    house
        .stage
        .run(&command)
        .unwrap_or_else(|error| panic!("{}", told(&error)))
}

/// Pulls what is granted at the gateway's present address.
fn pull(house: &House, options: &[&str]) -> Finished {
    let wan = house.status.wan.clone().unwrap();
    let mut all = vec!["--json", "--gateway", &wan, "--resolution", &house.period];
    for pattern in system::GRANTED {
        all.extend(["--elements", pattern]);
    }
    all.extend(options);
    supplier(house, "pull", &all)
}

/// Pulls from where the store ends until there is something new.
fn until_something_is_new(house: &House) -> Value {
    let arrived = wait_until(&house.stage.deadline(ARRIVAL), || {
        let pulled = pull(house, &["--all", "--since-last", "--last", ALL_OF_IT]);
        let line = lines(&pulled, "supplier.pulled/1").pop().unwrap();
        Ok::<_, StageError>(Some(line).filter(|line| number(line, "new") > 0))
    });
    arrived.unwrap().expect("new readings arrive in time")
}

/// Reads lines of JSON, each of the schema.
fn lines(finished: &Finished, schema: &str) -> Vec<Value> {
    let lines = finished
        .lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    assert!(
        lines.iter().all(|line| line["schema"] == schema),
        "{lines:?}: {}",
        said(finished)
    );
    lines
}

fn number(line: &Value, key: &str) -> usize {
    usize::try_from(line[key].as_u64().unwrap()).unwrap()
}

fn said(finished: &Finished) -> String {
    LogTail::of(&finished.log).to_string()
}

/// Has sqlite3 count something in the store.
fn count(house: &House, statement: &str) -> usize {
    let store = house.supplier.home().join("store.db");
    sql(&store, statement).parse().unwrap()
}

/// The values of the counter of drawn electricity, by their times.
fn points(series: &[PullSeries]) -> BTreeMap<String, String> {
    let counter = COUNTER.trim_start_matches("*/");
    let counters = series.iter().filter(|series| series.obis == counter);
    let points = counters.flat_map(|series| series.points().unwrap());
    points
        .map(|point| (point.time.to_string(), point.value))
        .collect()
}

/// Subtracts two texts with as many digits behind the point.
fn difference(end: &str, start: &str) -> String {
    let places = end.split_once('.').map_or(0, |(_, places)| places.len());
    let digits = |text: &str| text.replace('.', "").parse::<i128>().unwrap();
    let counted = digits(end) - digits(start);
    if places == 0 {
        return counted.to_string();
    }
    let padded = format!("{counted:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    format!("{whole}.{fraction}")
}
