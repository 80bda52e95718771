//! `smgw modbus read` and `scan` on simulated meters, over TCP, behind a serial server and on a serial port.

use std::time::Duration;

use serde_json::Value;
use system::{Finished, Folder, Interrupt, Process, Program, Programs, Stage};

/// What the start of the simulator does not take, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Simulated meters and where they are; they end when this is dropped.
struct Meters {
    stage: Stage,
    _simulator: Process,
    endpoint: String,
}

impl Meters {
    /// Starts two meters of the profile, units 1 and 7, on a way of the simulator's.
    fn start(profile: &str, way: &[&str]) -> Self {
        let folder = Folder::temporary().unwrap();
        let stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
        let command = stage
            .command(Program::Simulators, "modbus")
            .option("--profile", profile)
            .option("--unit", "1")
            .option("--unit", "7");
        let command = way
            .iter()
            .fold(command, |command, argument| command.arg(argument));
        let simulator = stage.start(&command).unwrap();
        let line = simulator.next_line(&stage.deadline(PATIENCE)).unwrap().unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        let endpoint = match (&addresses["terminal"], way.first()) {
            (Value::String(terminal), _) => format!("rtu:{terminal}:9600:8N1"),
            (_, Some(&"--tcp")) => format!("tcp:{}", addresses["modbus"].as_str().unwrap()),
            _ => format!("rtutcp:{}", addresses["modbus"].as_str().unwrap()),
        };
        Self {
            stage,
            _simulator: simulator,
            endpoint,
        }
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> Finished {
        let command = self.stage.command(Program::Smgw, "modbus").arg(verb);
        let command = arguments
            .iter()
            .fold(command, |command, argument| command.arg(argument));
        self.stage
            .run(&command.arg(&self.endpoint).arg("--json"))
            .unwrap()
    }

    fn ask(&self, verb: &str, arguments: &[&str]) -> Value {
        let finished = self.run(verb, arguments);
        serde_json::from_str(finished.answer().unwrap()).unwrap()
    }
}

/// The document that a command has printed, whatever its exit code.
fn printed(finished: &Finished) -> Value {
    serde_json::from_str(finished.lines.last().unwrap()).unwrap()
}

/// Returns value and unit of an element.
fn element<'a>(read: &'a Value, obis: &str) -> (&'a str, &'a str) {
    let elements = read["elements"].as_array().unwrap();
    let found = elements.iter().find(|element| element["obis"] == obis).unwrap();
    assert_eq!(found["error"], Value::Null);
    (found["value"].as_str().unwrap(), found["unit"].as_str().unwrap())
}

#[test]
fn meter_is_read_in_three_requests_on_every_way() {
    let mut readings = Vec::new();
    for way in [
        &["--tcp", "127.0.0.1:0"][..],
        &["--serial-server", "127.0.0.1:0"],
        &["--terminal", "--baud", "9600", "--latency-ms", "20"],
    ] {
        let meters = Meters::start("eastron-sdm630", way);
        let read = meters.ask("read", &["--profile", "eastron-sdm630", "--unit", "7"]);
        assert_eq!(read["profile"], "eastron-sdm630");
        assert_eq!(read["requests"], 3, "{way:?}");
        let (value, unit) = element(&read, "1-0:1.8.0*255");
        assert_eq!(unit, "Wh");
        readings.push(value.to_owned());
        let silent = meters.run("read", &["--profile", "eastron-sdm630", "--unit", "3"]);
        assert_eq!(silent.code, Some(3), "{way:?}");
    }
    assert!(readings.iter().all(|value| *value == readings[0]), "{readings:?}");
}

#[test]
fn meters_are_found_and_identified() {
    let meters = Meters::start("abb-b23", &["--tcp", "127.0.0.1:0"]);
    let found = meters.ask("scan", &["--units", "1-8"]);
    let text = found.to_string();
    assert!(text.contains("abb-b23"), "{text}");
    for unit in ["1", "7"] {
        let read = meters.ask("read", &["--profile", "abb-b23", "--unit", unit]);
        assert!(!element(&read, "1-0:1.8.0*255").0.is_empty());
    }
}

#[test]
fn what_is_wrong_has_its_exit_code() {
    let meters = Meters::start("eastron-sdm630", &["--tcp", "127.0.0.1:0"]);
    let unknown = meters.run("read", &["--profile", "acme-1", "--unit", "1"]);
    assert_eq!(unknown.code, Some(78), "{:?}", unknown.log_text());
    let no_unit = meters.run("read", &["--profile", "eastron-sdm630"]);
    assert_eq!(no_unit.code, Some(2));
    let Meters { stage, .. } = meters;
    let command = stage
        .command(Program::Smgw, "modbus")
        .arg("read")
        .option("--profile", "eastron-sdm630")
        .option("--unit", "1");
    let unreachable = stage.run(&command.arg("tcp:127.0.0.1:1")).unwrap();
    assert_eq!(unreachable.code, Some(69));
    let command = stage
        .command(Program::Smgw, "modbus")
        .arg("scan")
        .arg("tcp:127.0.0.1:1");
    let unreachable = stage.run(&command.arg("--json")).unwrap();
    assert_eq!(unreachable.code, Some(69));
    let document = printed(&unreachable);
    let error = document["error"].as_str().unwrap();
    assert!(
        error.contains("127.0.0.1:1 cannot be opened: Connection refused"),
        "{error}"
    );
}

#[test]
fn line_with_an_echo_is_read() {
    let meters = Meters::start("eastron-sdm630", &["--terminal", "--baud", "9600", "--echo"]);
    let read = meters.ask("read", &["--profile", "eastron-sdm630", "--unit", "7"]);
    assert_eq!((&read["requests"], &read["error"]), (&3.into(), &Value::Null));
    assert_eq!(read["schema"], "smgw.modbus.read/1");
}

#[test]
fn meter_of_another_family_is_named_and_read_only_by_force() {
    let meters = Meters::start("abb-b23", &["--tcp", "127.0.0.1:0"]);
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/../../meters/modbus/profiles/");
    let text = std::fs::read_to_string(format!("{profiles}abb-b23.toml")).unwrap();
    let text = text.replace("\"A43*\", \"A44*\", \"B23*\", \"B24*\"", "\"X9*\"");
    assert!(text.contains("X9*"));
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let arguments = ["--profile", file.path().to_str().unwrap(), "--unit", "1"];
    let other = meters.run("read", &arguments);
    assert_eq!(other.code, Some(3));
    let document = printed(&other);
    assert_eq!(document["identification"], "mismatch");
    let error = document["error"].as_str().unwrap();
    assert!(error.contains("not one of its profile: probe 1"), "{error}");
    let forced = meters.run("read", &[&arguments[..], &["--force"]].concat());
    let document = printed(&forced);
    assert_eq!(document["identification"], "skipped");
    let read = meters.ask("read", &["--profile", "abb-b23", "--unit", "1"]);
    assert_eq!(read["identification"], "fits");
}

#[test]
fn profile_is_checked_with_file_line_and_field() {
    let meters = Meters::start("wirenboard-mcm8-gas", &["--tcp", "127.0.0.1:0"]);
    let check = |file: &str| {
        let command = meters
            .stage
            .command(Program::Smgw, "modbus")
            .arg("check")
            .arg(file);
        let finished = meters.stage.run(&command.arg("--json")).unwrap();
        let document = printed(&finished);
        (finished.code, document)
    };
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../meters/modbus/example.toml");
    let (code, document) = check(example);
    assert_eq!((code, &document["valid"]), (Some(0), &true.into()));
    assert_eq!(document["warnings"][0]["field"], "name");
    let text = std::fs::read_to_string(example).unwrap();
    let broken = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(broken.path(), text.replace("\"230.1\"", "\"230.2\"")).unwrap();
    let (code, document) = check(broken.path().to_str().unwrap());
    assert_eq!((code, &document["valid"]), (Some(78), &false.into()));
    assert_eq!(document["findings"][0]["field"], "self_tests[0].elements[0]");
    assert!(document["findings"][0]["line"].as_u64().unwrap() > 100);
}
