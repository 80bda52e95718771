//! The simulated Modbus meters, read by mbpoll.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use modbus::Profile;
use simulators::Terminal;
use simulators::modbus::{Fault, Manners, Registers, Sdm630, SerialLine, Site};
use tokio::process::Command;

const LOCALHOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Has mbpoll read a value; `place` says where the meter is.
async fn mbpoll(place: &[&str], table: &str, address: &str) -> f64 {
    let mut mbpoll = Command::new("mbpoll");
    mbpoll.args(["-a", "1", "-0", "-1", "-B", "-q", "-o", "5"]);
    mbpoll.args(["-t", table, "-r", address]).args(place);
    let output = match mbpoll.output().await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("mbpoll is missing; install it with: apt-get install mbpoll")
        }
        output => output.unwrap(),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{faults}");
    let (_, value) = text.trim_end().rsplit_once(char::is_whitespace).unwrap();
    value.parse().unwrap()
}

#[tokio::test]
async fn mbpoll_reads_the_simulated_meter() {
    let meter = Sdm630::start(LOCALHOST, 1, 12_345_678).await.unwrap();
    let port = meter.address().port().to_string();
    // Table and type, address, and between what the value must lie.
    for (table, address, least, greatest) in [
        ("3:float", "0", 220.0, 240.0),
        ("3:float", "70", 49.9, 50.1),
        ("3:float", "72", 1234.6, 1300.0),
        ("4:int", "64512", 12_345_678.0, 12_345_678.0),
    ] {
        let value = mbpoll(&["-m", "tcp", "-p", &port, "127.0.0.1"], table, address).await;
        assert!((least..=greatest).contains(&value), "address {address}: {value}");
    }
}

#[tokio::test]
async fn mbpoll_reads_meters_of_profiles_on_a_serial_line() {
    // Profile, table and type, and a register of its first self-test with the value in it.
    for (name, table, address, expected) in [
        ("eastron-sdm630", "3:float", "0", 229.8),
        ("eastron-sdm630", "3:float", "52", 2370.0),
        ("abb-b23", "4:int", "23298", 2314.0),
        ("abb-b23", "4", "23340", 5000.0),
        ("wirenboard-mcm8", "3:int", "62", 1235.0),
    ] {
        let profile = Profile::parse(modbus::built_in(name).unwrap()).unwrap();
        let image = profile.self_tests()[0].image().unwrap();
        let manners = Manners {
            latency: Duration::from_millis(20),
            line: Some(SerialLine::new(9_600)),
            ..Manners::default()
        };
        let terminal = Terminal::open().unwrap();
        let path = terminal.path().to_owned();
        let registers = Registers::new(image, profile.limits().registers_per_request);
        let meter = Site::with_manners(manners)
            .with_meter(1, registers)
            .attach(terminal);
        let place = ["-m", "rtu", "-b", "9600", "-P", "even", &path];
        let value = mbpoll(&place, table, address).await;
        assert!((value - expected).abs() < 0.01, "{name} {address}: {value}");
        assert_eq!((meter.requests(), meter.hurried_requests().await), (1, 0));
        meter.stop().await;
    }
}

/// Has mbpoll read the first voltage, which goes wrong, and returns what it says.
async fn failing_mbpoll(place: &[&str]) -> String {
    let mut mbpoll = Command::new("mbpoll");
    mbpoll.args([
        "-a", "1", "-0", "-1", "-q", "-o", "0.3", "-t", "3:float", "-r", "0",
    ]);
    let output = mbpoll.args(place).output().await.unwrap();
    let heard = [output.stdout, output.stderr].concat();
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(!output.status.success(), "{heard}");
    heard
}

#[tokio::test]
async fn mbpoll_names_the_faults_of_a_meter() {
    let meter = Sdm630::start(LOCALHOST, 1, 12_345_678).await.unwrap();
    let port = meter.address().port().to_string();
    for (fault, said) in [
        (Fault::Exception(2), "Illegal data address"),
        (Fault::BUSY, "Slave device or server is busy"),
        (Fault::Silence, "timed out"),
        (Fault::HalfFrame, "timed out"),
        (Fault::Delayed(Duration::from_secs(1)), "timed out"),
        (Fault::WrongTransaction, "Invalid data"),
        (Fault::TooShort, "Invalid data"),
        (Fault::TooLong, "Invalid data"),
        (Fault::WrongFunction, "Invalid data"),
        (Fault::Close, "Connection reset"),
    ] {
        meter.inject(fault, 1);
        let heard = failing_mbpoll(&["-m", "tcp", "-p", &port, "127.0.0.1"]).await;
        assert!(heard.contains(said), "{fault:?}: {heard}");
    }
}

#[tokio::test]
async fn mbpoll_names_the_faults_of_a_meter_on_a_serial_line() {
    let terminal = Terminal::open().unwrap();
    let path = terminal.path().to_owned();
    let meter = Site::new().with_sdm630(1, 12_345_678).attach(terminal);
    for (fault, said) in [
        (Fault::BUSY, "Slave device or server is busy"),
        (Fault::WrongChecksum, "Invalid CRC"),
        (Fault::HalfFrame, "timed out"),
        (Fault::Silence, "timed out"),
        (Fault::Close, "timed out"),
        (Fault::WrongUnit, "Response not from requested slave"),
    ] {
        meter.inject(fault, 1);
        let heard = failing_mbpoll(&["-m", "rtu", "-b", "9600", "-P", "even", &path]).await;
        assert!(heard.contains(said), "{fault:?}: {heard}");
    }
}
