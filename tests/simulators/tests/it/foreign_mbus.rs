//! The simulated M-Bus meters, read by pyMeterBus.

use std::io::ErrorKind;

use mbus::master::BaudRate;
use simulators::Terminal;
use simulators::mbus::{Bus, Numbering, fleet};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// What the foreign master does on each kind of port: pings a meter, reads it, selects another, reads that.
const FOREIGN_MASTER: &str = "
import sys, serial, meterbus
for open_port in (lambda: serial.serial_for_url('socket://' + sys.argv[1], timeout=2),
                  lambda: serial.Serial(sys.argv[2], 9600, 8, 'E', 1, timeout=2)):
    port = open_port()
    meterbus.send_ping_frame(port, 2)
    assert isinstance(meterbus.load(meterbus.recv_frame(port, 1)), meterbus.TelegramACK)
    meterbus.send_request_frame(port, 2)
    frame = meterbus.load(meterbus.recv_frame(port, meterbus.FRAME_DATA_LENGTH))
    print(frame.secondary_address, frame.records[0].value)
    meterbus.send_select_frame(port, '47110003FFFFFFFF')
    assert isinstance(meterbus.load(meterbus.recv_frame(port, 1)), meterbus.TelegramACK)
    meterbus.send_request_frame(port, 253)
    frame = meterbus.load(meterbus.recv_frame(port, meterbus.FRAME_DATA_LENGTH))
    print(frame.secondary_address, frame.records[0].value)
";

#[tokio::test]
async fn pymeterbus_reads_and_selects_the_simulated_meters() {
    let python = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/foreign-python/bin/python"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let terminal = Terminal::open().unwrap();
    let path = terminal.path().to_owned();
    let (bus, _handle) = Bus::timed(fleet(3, Numbering::Consecutive), BaudRate::B9600);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(bus.with_terminal(terminal).serve(listener, stop.clone()));
    let mut master = Command::new(python);
    let output = master.args(["-c", FOREIGN_MASTER, &address, &path]).output();
    let output = match output.await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("pyMeterBus is missing; `cargo verify` installs it into target/foreign-python")
        }
        output => output.unwrap(),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let faults = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{faults}");
    let (second, third) = ("4711000293153C07 102", "4711000393153C07 103");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, [second, third, second, third]);
    stop.cancel();
    serving.await.unwrap().unwrap();
}
