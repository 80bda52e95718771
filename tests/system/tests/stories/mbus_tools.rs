//! `smgw mbus` on a simulated bus, over TCP and on a serial port.

use std::time::Duration;

use serde_json::Value;
use system::{Finished, Folder, Interrupt, Process, Program, Programs, Stage};

/// What the start of the simulator does not take, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The simulator and where its bus is; it ends when this is dropped.
struct Bus {
    stage: Stage,
    _simulator: Process,
    tcp: String,
    serial: String,
}

impl Bus {
    /// Starts three meters, whose numbers begin with different digits.
    fn start() -> Self {
        let folder = Folder::temporary().unwrap();
        let stage = Stage::set(Programs::find().unwrap(), folder, Interrupt::default()).unwrap();
        let command = stage
            .command(Program::Simulators, "mbus")
            .arg("--terminal")
            .option("--meters", "3")
            .option("--scattered", "1")
            .option("--baud", "38400");
        let simulator = stage.start(&command).unwrap();
        let line = simulator.next_line(&stage.deadline(PATIENCE)).unwrap().unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        Self {
            stage,
            _simulator: simulator,
            tcp: format!("tcp:{}", addresses["mbus"].as_str().unwrap()),
            serial: format!("serial:{}:38400", addresses["terminal"].as_str().unwrap()),
        }
    }

    fn run(&self, bus: &str, verb: &str, arguments: &[&str]) -> Finished {
        let command = self.stage.command(Program::Smgw, "mbus").arg(verb).arg(bus);
        let command = arguments
            .iter()
            .fold(command.arg("--json"), |command, argument| command.arg(argument));
        self.stage.run(&command).unwrap()
    }

    /// Runs a command that succeeds and returns its document.
    fn ask(&self, bus: &str, verb: &str, arguments: &[&str]) -> Value {
        let finished = self.run(bus, verb, arguments);
        let document: Value = serde_json::from_str(finished.answer().unwrap()).unwrap();
        assert_eq!(document["schema"], format!("smgw.mbus.{verb}/1"));
        assert_eq!(document["complete"], true);
        document
    }
}

fn texts<'a>(document: &'a Value, key: &str) -> Vec<&'a str> {
    let meters = document["meters"].as_array().unwrap();
    meters.iter().map(|meter| meter[key].as_str().unwrap()).collect()
}

#[test]
fn meters_are_found_read_and_moved_from_the_command_line() {
    let bus = Bus::start();
    for line in [&bus.tcp, &bus.serial] {
        let found = bus.ask(line, "search", &[]);
        let mut secondary = texts(&found, "secondary");
        secondary.sort_unstable();
        assert_eq!(secondary.len(), 3);
        assert!(
            secondary.iter().all(|meter| meter.starts_with("ELS-")),
            "{secondary:?}"
        );

        let known = bus.ask(line, "search", &["--known", secondary[2]]);
        assert_eq!(texts(&known, "secondary")[0], secondary[2]);
        assert_eq!(texts(&known, "secondary").len(), 3);

        let read = bus.ask(line, "read", &[secondary[0], "2"]);
        assert_eq!(texts(&read, "secondary")[0], secondary[0]);
        let reading = &read["meters"][1]["readings"][0];
        assert_eq!(
            (&reading["value"], &reading["unit"]),
            (&"102.000".into(), &"m3".into())
        );
        assert_eq!(texts(&read, "manufacturer"), ["ELS", "ELS"]);
    }
    let scanned = bus.ask(&bus.serial, "scan", &["--to", "4"]);
    assert_eq!(texts(&scanned, "address"), ["1", "2", "3"]);

    let taken = bus.run(&bus.tcp, "set-address", &["1", "3"]);
    assert_eq!(taken.code, Some(3));
    assert!(taken.log_text().unwrap().contains("3 is taken"));
    let secondary = texts(&scanned, "secondary")[0];
    let moved = bus.ask(&bus.tcp, "set-address", &[secondary, "40"]);
    assert_eq!(texts(&moved, "address"), ["40"]);
    assert_eq!(texts(&moved, "secondary"), [secondary]);
    assert_eq!(bus.ask(&bus.tcp, "read", &["40"])["meters"][0]["primary"], 40);

    let number = secondary.split('-').nth(1).unwrap();
    let taken = bus.run(&bus.tcp, "set-address", &["2", "--identification", number]);
    assert_eq!(taken.code, Some(3));
    assert!(taken.log_text().unwrap().contains("is taken"));
    let renamed = bus.ask(&bus.tcp, "set-address", &["2", "--identification", "00000042"]);
    assert_eq!(texts(&renamed, "id"), ["00000042"]);
    let again = bus.ask(
        &bus.serial,
        "set-address",
        &["00000042", "41", "--identification", "00000043"],
    );
    assert_eq!(
        (texts(&again, "address"), texts(&again, "id")),
        (vec!["41"], vec!["00000043"])
    );
    let nothing = bus.run(&bus.tcp, "set-address", &["2"]);
    assert_eq!(nothing.code, Some(2));
}

#[test]
fn what_is_wrong_on_a_bus_has_its_exit_code() {
    let bus = Bus::start();
    let silent = bus.run(&bus.tcp, "read", &["9", "1"]);
    assert_eq!(silent.code, Some(3));
    let document: Value = serde_json::from_str(&silent.lines[0]).unwrap();
    assert_eq!(document["missing"][0]["address"], "9");
    assert_eq!(texts(&document, "address"), ["1"]);
    let unreachable = bus.run("tcp:127.0.0.1:1", "read", &["1"]);
    assert_eq!(unreachable.code, Some(69));
    let unreachable = bus.run("serial:/dev/no-such-port:2400", "scan", &[]);
    assert_eq!(unreachable.code, Some(69));
    let misspelt = bus.run("cellar", "scan", &[]);
    assert_eq!(misspelt.code, Some(2));
    assert!(misspelt.log_text().unwrap().contains("tcp:HOST:PORT"));
}
