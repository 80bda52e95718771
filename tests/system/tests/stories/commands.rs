//! The command line against a gateway that runs, and against one that does not: what it says, in which schema, and with which
//! exit code.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use system::{Finished, GatewayConfig, House, Program, StageError, Status, wait_until};

use crate::steps::{ARRIVAL, granted, house, pull_until};

/// The exit codes of `smgw`.
const FOUND: i32 = 1;
const NO_DAEMON: i32 = 69;
const CONFIGURATION: i32 = 78;

/// Runs a command of `smgw` with the configuration.
fn run_with(house: &House, config: &Path, words: &[&str]) -> Finished {
    let (verb, arguments) = words.split_first().unwrap();
    let mut command = house.stage.command(Program::Smgw, verb);
    for argument in arguments {
        command = command.arg(argument);
    }
    house.stage.run(&command.option("--config", config)).unwrap()
}

fn run(house: &House, words: &[&str]) -> Finished {
    run_with(house, &house.config, words)
}

/// Runs a command with `--json`; returns exit code and document.
fn ask(house: &House, words: &[&str], schema: &str) -> (Option<i32>, Value) {
    ask_with(house, &house.config, words, schema)
}

fn ask_with(house: &House, config: &Path, words: &[&str], schema: &str) -> (Option<i32>, Value) {
    let finished = run_with(house, config, &[words, &["--json"]].concat());
    let line = finished.lines.last();
    let line = line.unwrap_or_else(|| panic!("{words:?}: {}", finished.log_text().unwrap()));
    let document: Value = serde_json::from_str(line).unwrap();
    assert_eq!(document["schema"], schema, "{document}");
    (finished.code, document)
}

/// Returns the check about something.
fn check<'a>(examination: &'a Value, what: &str) -> &'a Value {
    let checks = examination["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["what"] == what);
    found.unwrap_or_else(|| panic!("no {what} in {examination:#}"))
}

fn has_code(examination: &Value, code: &str) -> bool {
    let checks = examination["checks"].as_array().unwrap();
    checks.iter().any(|check| check["code"] == code)
}

#[test]
fn running_gateway_is_told_of_by_every_command() {
    let house = house();
    pull_until(&house, &granted(&house), |pull| !pull.series.is_empty());
    let everybody = wait_until(&house.stage.deadline(ARRIVAL), || {
        let status = house.gateway.status(&house.stage)?;
        Ok::<_, StageError>(status.filter(|status| status.has_read_every_meter()))
    });
    let status = everybody.unwrap().unwrap();
    meters_are_listed_and_shown(&house);
    values_are_read(&house, status.meter_id(GatewayConfig::ELECTRICITY).unwrap());
    identity_and_wan_are_told(&house);
    settings_have_an_origin(&house);
    examination_finds_every_meter(&house);
    offset_of_the_clock_is_measured(&house);
    report_has_no_values(&house, &status);
    status_is_watched(&house);
}

fn meters_are_listed_and_shown(house: &House) {
    let (code, list) = ask(house, &["meter", "list"], "smgw.meters/1");
    let meters = list["meters"].as_array().unwrap();
    assert_eq!((code, meters.len()), (Some(0), 4), "{list}");
    for meter in meters {
        assert!(
            meter["id"].is_string() && meter["age_seconds"].as_i64() < Some(40),
            "{list}"
        );
        assert!(meter.get("values").is_none(), "{list}");
    }
    let name = GatewayConfig::ELECTRICITY;
    let (code, shown) = ask(house, &["meter", "show", name], "smgw.meter/1");
    assert_eq!((code, &shown["name"]), (Some(0), &Value::from(name)));
    assert!(!shown["values"].as_array().unwrap().is_empty(), "{shown}");
    let (code, profile) = ask(house, &["meter", "profile", name], "smgw.meter-profile/1");
    assert_eq!(
        (code, &profile["profile"]["name"]),
        (Some(0), &"eastron-sdm630".into())
    );
    assert_eq!(run(house, &["meter", "show", "nobody"]).code, Some(FOUND));
}

fn values_are_read(house: &House, id: &str) {
    let lines = |words: &[&str]| {
        let finished = run(house, words);
        finished.success().unwrap();
        finished.lines
    };
    let name = GatewayConfig::ELECTRICITY;
    let energy = "1-0:1.8.0*255";
    let wanted = ["readings", "--meter", name, "--element", energy];
    let json = lines(&[&wanted[..], &["--json"]].concat());
    assert!(!json.is_empty());
    for line in &json {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["schema"], "smgw.reading/1");
        assert_eq!((&line["meter"], &line["obis"]), (&id.into(), &energy.into()));
        assert!(line["value"].is_string() || line["gap"].is_string(), "{line}");
    }
    let csv = lines(&[&wanted[..], &["--csv"]].concat());
    assert_eq!(csv[0].trim_end(), "time,meter,obis,value,unit,status,gap");
    assert!(csv.len() > json.len(), "{csv:?}");
    let coarse = lines(&[&wanted[..], &["--resolution", "PT1M", "--json"]].concat());
    assert!(
        coarse.len() < json.len() || json.len() == 1,
        "{coarse:?} {json:?}"
    );
    let early = lines(&["readings", "--to", "2026-01-02T00:00:00Z"]);
    assert_eq!(early, [] as [String; 0]);
    assert_eq!(run(house, &["readings", "--meter", "nobody"]).code, Some(FOUND));
}

fn identity_and_wan_are_told(house: &House) {
    let (code, identity) = ask(house, &["identity"], "smgw.identity/1");
    assert_eq!((code, &identity["asked_daemon"]), (Some(0), &true.into()));
    assert_eq!(identity["guid"], identity["card"]["guid"], "{identity}");
    assert!(identity["gateway"].is_string(), "{identity}");
    let certificates = identity["card"]["certificates"].as_array().unwrap();
    assert!(
        certificates.iter().all(|one| one["fingerprint"].is_string()),
        "{identity}"
    );
    let (code, wan) = ask(house, &["wan", "status"], "smgw.wan/1");
    assert_eq!(code, Some(0));
    assert!(
        wan["listen"].is_string() && wan["bundle_version"].is_u64(),
        "{wan}"
    );
    let (code, ladder) = ask(house, &["wan", "check"], "smgw.wan-check/1");
    let rungs = ladder["rungs"].as_array().unwrap();
    let contact = rungs.iter().find(|rung| rung["what"] == "first contact").unwrap();
    assert_eq!(contact["outcome"], "good", "{ladder}");
    // This machine may have no network but its own.
    let expected = if ladder["well"] == true { 0 } else { FOUND };
    assert_eq!(code, Some(expected), "{ladder}");
}

fn settings_have_an_origin(house: &House) {
    let (code, shown) = ask(house, &["config", "show", "--effective"], "smgw.config/1");
    assert_eq!(code, Some(0));
    let settings = shown["settings"].as_array().unwrap();
    let origin = |key: &str| {
        let found = settings.iter().find(|setting| setting["key"] == key);
        &found.unwrap_or_else(|| panic!("{key}: {shown:#}"))["origin"]
    };
    assert_eq!(origin("data")["line"], 1);
    assert_eq!(*origin("card.heartbeat_ms"), "default");
    let finished = run(house, &["config", "show", "--origin"]);
    assert!(finished.lines[0].ends_with("smgw.toml:1"), "{:?}", finished.lines);
}

fn examination_finds_every_meter(house: &House) {
    let (code, found) = ask(house, &["doctor"], "smgw.doctor/1");
    assert_eq!(found["asked_daemon"], true);
    for what in ["file", "chains", "bus cellar"] {
        let outcome = check(&found, what)["outcome"].as_str().unwrap();
        assert!(["good", "not-checked"].contains(&outcome), "{found:#}");
    }
    // On a slow machine a round of so short a period may be late.
    for what in ["meter gas", "meter electricity"] {
        let said = check(&found, what)["found"].as_str().unwrap();
        assert!(said.contains("last values of"), "{found:#}");
    }
    // The card of a story is a file, and that is said.
    assert!(has_code(&found, "SMGW-D-0401"), "{found:#}");
    assert_eq!((code, &found["well"]), (Some(FOUND), &false.into()));
    let explained = run(house, &["doctor", "--explain", "d-0401"]);
    assert!(
        explained.lines[0].starts_with("SMGW-D-0401  The card"),
        "{:?}",
        explained.lines
    );
    assert_eq!(
        run(house, &["doctor", "--explain", "SMGW-X-0000"]).code,
        Some(FOUND)
    );
    let (code, catalogue) = ask(house, &["doctor", "--list"], "smgw.codes/1");
    let codes = catalogue["codes"].as_array().unwrap();
    assert_eq!(code, Some(0));
    for check in found["checks"].as_array().unwrap() {
        let code = &check["code"];
        assert!(
            code.is_null() || codes.iter().any(|known| known["code"] == *code),
            "{check}"
        );
    }
}

/// A time server of the story's own, as somebody has configured it, tells another time and then the right one.
fn offset_of_the_clock_is_measured(house: &House) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let folder = house.config.with_file_name("time.d");
    std::fs::create_dir(&folder).unwrap();
    let line = format!("server 127.0.0.1 port {port} iburst\n");
    std::fs::write(folder.join("story.sources"), line).unwrap();
    let own = socket.try_clone().unwrap();
    let ahead_seconds = Arc::new(AtomicU64::new(3_600));
    let told = Arc::clone(&ahead_seconds);
    let server = std::thread::spawn(move || {
        while tell_the_time(&socket, || Duration::from_secs(told.load(Ordering::SeqCst))) {}
    });
    let (code, wrong) = ask(house, &["doctor"], "smgw.doctor/1");
    let time = check(&wrong, "time");
    assert_eq!(
        (code, &time["code"]),
        (Some(FOUND), &"SMGW-D-0503".into()),
        "{time}"
    );
    assert!(time["measured"].as_str().unwrap().starts_with("-3"), "{time}");
    ahead_seconds.store(0, Ordering::SeqCst);
    let (_, right) = ask(house, &["wan", "check"], "smgw.wan-check/1");
    own.send_to(b"", own.local_addr().unwrap()).unwrap();
    server.join().unwrap();
    let rungs = right["rungs"].as_array().unwrap();
    let time = rungs.iter().find(|rung| rung["what"] == "time").unwrap();
    assert_eq!(time["outcome"], "good", "{right}");
    assert!(time["measured"].as_str().unwrap().contains(" ms ± "), "{time}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Answers one question as a server of stratum 1 does (RFC 4330, section 4), with a clock that is ahead. Anything else ends it.
fn tell_the_time(socket: &UdpSocket, ahead: impl Fn() -> Duration) -> bool {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let mut question = [0; 48];
    let (length, from) = socket.recv_from(&mut question).unwrap();
    if length != question.len() {
        return false;
    }
    #[expect(clippy::disallowed_methods, reason = "a time server has a clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead();
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let time = ((now.as_secs() + FROM_1900_TO_1970) << 32 | fraction).to_be_bytes();
    let mut answer = [0; 48];
    answer[..4].copy_from_slice(&[0b00_100_100, 1, 6, 0xec]);
    answer[12..16].copy_from_slice(b"GPS\0");
    answer[24..32].copy_from_slice(&question[40..48]);
    answer[32..40].copy_from_slice(&time);
    answer[40..48].copy_from_slice(&time);
    socket.send_to(&answer, from).unwrap();
    true
}

fn report_has_no_values(house: &House, status: &Status) {
    let file = house.stage.path("report.json");
    let words = ["report", "--output", &file.to_string_lossy()];
    run(house, &words).success().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["schema"], "smgw.report/1");
    let meters = report["status"]["meters"].as_array().unwrap();
    assert_eq!(meters.len(), 4);
    assert!(
        meters
            .iter()
            .all(|meter| meter["values"] == Value::Array(Vec::new()))
    );
    for part in ["settings", "identity", "examination", "binding"] {
        assert!(report[part]["schema"].is_string(), "{part}: {report:#}");
    }
    assert!(!report["system_log"].as_array().unwrap().is_empty());
    for meter in &status.meters {
        for value in meter.values.iter().filter(|value| value.value.len() > 4) {
            assert!(!text.contains(&format!("\"{}\"", value.value)), "{}", value.value);
        }
    }
    assert_eq!(
        run(house, &words).code,
        Some(FOUND),
        "it is never written over a file"
    );
}

fn status_is_watched(house: &House) {
    let meter = ["meter", "show", GatewayConfig::ELECTRICITY];
    for words in [&["status"][..], &["wan", "status"], &["meter", "list"], &meter] {
        let mut command = house.stage.command(Program::Smgw, words[0]);
        for word in &words[1..] {
            command = command.arg(word);
        }
        let command = command.arg("--watch=1").arg("--json");
        let mut watching = house
            .stage
            .start(&command.option("--config", &house.config))
            .unwrap();
        for _ in 0..2 {
            let line = watching
                .next_line(&house.stage.deadline(ARRIVAL))
                .unwrap()
                .unwrap();
            let document: Value = serde_json::from_str(&line).unwrap();
            assert!(
                document["schema"].as_str().unwrap().starts_with("smgw."),
                "{line}"
            );
        }
        watching.kill().unwrap();
    }
}

#[test]
fn gateway_that_does_not_run_is_examined_and_what_is_wrong_is_named() {
    let mut house = house();
    house.gateway.stop().unwrap();
    for words in [&["meter", "list"][..], &["readings"], &["wan", "status"]] {
        assert_eq!(run(&house, words).code, Some(NO_DAEMON), "{words:?}");
    }
    let (code, found) = ask(&house, &["doctor"], "smgw.doctor/1");
    assert_eq!((code, &found["asked_daemon"]), (Some(FOUND), &false.into()));
    assert!(has_code(&found, "SMGW-D-0301"), "{found:#}");
    assert_eq!(check(&found, "chains")["outcome"], "good", "{found:#}");
    assert_eq!(check(&found, "bus cellar")["outcome"], "good", "{found:#}");
    assert_eq!(check(&found, "values")["outcome"], "not-checked", "{found:#}");
    let (code, identity) = ask(&house, &["identity"], "smgw.identity/1");
    assert_eq!((code, &identity["asked_daemon"]), (Some(0), &false.into()));
    assert!(identity["card"]["guid"].is_string(), "{identity}");

    let text = std::fs::read_to_string(&house.config).unwrap();
    let broken = house
        .stage
        .write("broken.toml", &format!("speed = 1\n{text}"))
        .unwrap();
    let (_, found) = ask_with(&house, &broken, &["doctor"], "smgw.doctor/1");
    assert!(has_code(&found, "SMGW-D-0102"), "{found:#}");
    let found = check(&found, "file")["found"].as_str().unwrap();
    assert!(found.contains("line 1") && found.contains("speed"), "{found}");
    let missing = house.stage.path("none.toml");
    let (_, found) = ask_with(&house, &missing, &["doctor"], "smgw.doctor/1");
    assert!(has_code(&found, "SMGW-D-0101"), "{found:#}");
    assert_eq!(
        run_with(&house, &broken, &["meter", "list"]).code,
        Some(CONFIGURATION)
    );

    let nowhere = format!(
        "data = \"{}\"\n[control]\nsocket = \"{}\"\n[card]\nreader = \"nowhere\"\n[wan.broker]\naddress = \
         \"broker.invalid:8883\"\n[[bus]]\nname = \"line\"\nmbus = \"serial:/dev/ttyNONE:2400\"\n[[bus.meter]]\nname = \
         \"gas\"\nprimary = 1\n",
        house.stage.path("no-data").display(),
        house.stage.path("no.sock").display(),
    );
    let nowhere = house.stage.write("nowhere.toml", &nowhere).unwrap();
    let (_, found) = ask_with(&house, &nowhere, &["doctor"], "smgw.doctor/1");
    for code in ["SMGW-D-0201", "SMGW-D-0603", "SMGW-D-0704"] {
        assert!(has_code(&found, code), "{code}: {found:#}");
    }
    // No service, no reader, or others than the one that is named: as this machine has it.
    let reader = ["SMGW-C-0105", "SMGW-C-0102", "SMGW-C-0104", "SMGW-C-0106"];
    assert!(reader.iter().any(|code| has_code(&found, code)), "{found:#}");
}
