//! The simulated meters, read by programs that nobody of this project wrote.

use std::io::ErrorKind;
use std::net::SocketAddr;

use simulators::modbus::Sdm630;
use tokio::process::Command;

#[tokio::test]
async fn mbpoll_reads_the_simulated_meter() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let meter = Sdm630::start(listen, 1, 12_345_678).await.unwrap();
    let port = meter.address().port().to_string();
    // Table and type, address, and between what the value must lie.
    for (table, address, least, greatest) in [
        ("3:float", "0", 220.0, 240.0),
        ("3:float", "70", 49.9, 50.1),
        ("3:float", "72", 1234.6, 1300.0),
        ("4:int", "64512", 12_345_678.0, 12_345_678.0),
    ] {
        let arguments = ["-m", "tcp", "-p", &port, "-a", "1", "-0", "-1", "-B", "-q"];
        let mut mbpoll = Command::new("mbpoll");
        mbpoll
            .args(arguments)
            .args(["-t", table, "-r", address, "127.0.0.1"]);
        let output = match mbpoll.output().await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("mbpoll is missing; install it with: apt-get install mbpoll")
            }
            output => output.unwrap(),
        };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{:?}", output.stderr);
        let (_, value) = text.trim_end().rsplit_once(char::is_whitespace).unwrap();
        let value: f64 = value.parse().unwrap();
        assert!((least..=greatest).contains(&value), "address {address}: {text}");
    }
}
