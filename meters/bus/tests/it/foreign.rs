//! Modbus meters that pymodbus serves: neither the server nor the contents of its registers are of
//! this project.

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bus::{ModbusEndpoint, ModbusMaster, ModbusReading, ModbusStation};
use modbus::{Profile, ValueFault};
use model::{Decimal, GapReason};
use serde_json::Value;
use simulators::Terminal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What no start of a Python program takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const UNIT: u8 = 7;

/// A server in Python, and what it says that a reader must find.
struct Foreign {
    profile: Arc<Profile>,
    said: Value,
    /// It ends with this.
    _program: Child,
}

impl Foreign {
    async fn serve(profile: &str, arguments: &[&str]) -> Self {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut python = Command::new(format!("{root}/target/foreign-python/bin/python"));
        python
            .arg(format!("{root}/tests/vectors/modbus/serve.py"))
            .args([profile, "--unit", &UNIT.to_string()])
            .args(arguments);
        let mut program = match python.stdout(Stdio::piped()).kill_on_drop(true).spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("pymodbus is missing; `cargo verify` installs it into target/foreign-python")
            }
            program => program.unwrap(),
        };
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        Self {
            profile: Arc::new(Profile::parse(modbus::built_in(profile).unwrap()).unwrap()),
            said: serde_json::from_str(&line.unwrap()).unwrap(),
            _program: program,
        }
    }

    fn address(&self) -> &str {
        self.said["address"].as_str().unwrap()
    }

    fn station(&self) -> ModbusStation {
        ModbusStation::new(UNIT, Arc::clone(&self.profile))
    }

    /// Compares what was read with what the server has; what it does not have must be absent.
    fn assert_read(&self, reading: &ModbusReading) {
        assert_eq!(reading.fault, None, "{}", self.profile.name());
        if let Some(meter) = self.said["meter"].as_str() {
            let found = reading.profile.identity(&reading.image).unwrap();
            assert_eq!(found.as_str(), meter);
        }
        let values = reading.profile.values(&reading.image);
        let expected = self.said["elements"].as_array().unwrap();
        for element in expected {
            let obis = element["obis"].as_str().unwrap();
            let decoded = values.iter().find(|value| value.obis.to_string() == obis);
            let found = decoded.unwrap().value;
            match element["value"].as_str() {
                None => assert_eq!(
                    found.map_err(ValueFault::gap_reason),
                    Err(GapReason::NotAvailable),
                    "{obis}"
                ),
                Some(text) => {
                    let value: Decimal = text.parse().unwrap();
                    let quantity = found.unwrap();
                    assert!(
                        quantity.value.same_value(value),
                        "{obis}: {quantity} is not {text}"
                    );
                    assert_eq!(
                        quantity.unit.to_string(),
                        element["unit"].as_str().unwrap(),
                        "{obis}"
                    );
                }
            }
        }
        let known = |obis: &str| expected.iter().any(|element| element["obis"] == obis);
        for value in values.iter().filter(|value| !known(&value.obis.to_string())) {
            let is_other_direction = value.value.is_ok_and(|quantity| quantity.value.mantissa() == 0);
            assert!(value.value.is_err() || is_other_direction, "{value:?}");
        }
    }
}

async fn read_twice(foreign: &Foreign, endpoint: &str) -> u64 {
    let endpoint: ModbusEndpoint = endpoint.parse().unwrap();
    let mut master = ModbusMaster::new(endpoint);
    let mut station = foreign.station();
    foreign.assert_read(&master.read(&mut station).await.unwrap());
    master.take_counters();
    // What was refused the first time is not asked for again.
    foreign.assert_read(&master.read(&mut station).await.unwrap());
    let counters = master.take_counters();
    assert_eq!((counters.retries, counters.connections), (0, 0));
    counters.requests
}

#[tokio::test]
async fn profiles_are_what_foreign_libraries_say() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    // The self-tests as pymodbus reads them; the SunSpec maps as pysunspec2 has the models.
    for script in ["check-profiles.py", "check-sunspec.py"] {
        let mut python = Command::new(format!("{root}/target/foreign-python/bin/python"));
        let output = match python
            .arg(format!("{root}/tests/vectors/modbus/{script}"))
            .output()
            .await
        {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("pymodbus is missing; `cargo verify` installs it into target/foreign-python")
            }
            output => output.unwrap(),
        };
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[tokio::test]
async fn meters_of_pymodbus_are_read_over_tcp() {
    for name in [
        "eastron-sdm630",
        "abb-b23",
        "carlogavazzi-em340",
        "schneider-iem3155",
        "siemens-pac2200",
        "2flow-mag11",
        "wirenboard-mcm8-gas",
        "abb-aquamaster3",
        "sunspec-20x",
    ] {
        let foreign = Foreign::serve(name, &["--tcp"]).await;
        read_twice(&foreign, &format!("tcp:{}", foreign.address())).await;
    }
}

#[tokio::test]
async fn meters_of_pymodbus_are_read_as_rtu_over_tcp() {
    for name in ["eastron-sdm630", "carlogavazzi-em340"] {
        let foreign = Foreign::serve(name, &["--rtu-over-tcp"]).await;
        read_twice(&foreign, &format!("rtutcp:{}", foreign.address())).await;
    }
}

#[tokio::test]
async fn meters_of_pymodbus_are_read_over_a_serial_line() {
    for name in ["eastron-sdm630", "abb-b23", "sunspec-20x"] {
        let (mut ours, mut theirs) = (Terminal::open().unwrap(), Terminal::open().unwrap());
        let (device, port) = (theirs.path().to_owned(), ours.path().to_owned());
        let cable = tokio::spawn(async move { ours.connect(&mut theirs).await });
        let foreign = Foreign::serve(name, &["--serial", &device]).await;
        read_twice(&foreign, &format!("rtu:{port}:9600:8E1")).await;
        cable.abort();
    }
}

#[tokio::test]
async fn a_foreign_sdm630_that_has_no_holes_is_read_in_three_requests() {
    let foreign = Foreign::serve("eastron-sdm630", &["--tcp", "--whole"]).await;
    let endpoint: ModbusEndpoint = format!("tcp:{}", foreign.address()).parse().unwrap();
    let mut master = ModbusMaster::new(endpoint);
    let reading = master.read(&mut foreign.station()).await.unwrap();
    assert_eq!(reading.fault, None);
    assert_eq!(master.take_counters().requests, 3);
    let values = reading.profile.values(&reading.image);
    let import = values
        .iter()
        .find(|value| value.obis.to_string() == "1-0:1.8.0*255");
    assert_eq!(import.unwrap().value.unwrap().to_string(), "12345600 Wh");
}
