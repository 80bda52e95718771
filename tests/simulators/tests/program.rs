//! The program `simulators`, from its start to its end.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_serial::SerialPortBuilderExt;

/// What neither the start nor the end takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn meters_print_their_addresses_and_end_well_when_told_to() {
    for signal in ["-INT", "-TERM"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_simulators"))
            .args(["meters", "--mbus", "127.0.0.1:0", "--modbus", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(addresses.as_object().unwrap().len(), 2);
        for name in ["mbus", "modbus"] {
            let address = addresses[name].as_str().unwrap();
            timeout(PATIENCE, TcpStream::connect(address))
                .await
                .unwrap()
                .unwrap();
        }
        let pid = program.id().unwrap().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status().await.unwrap();
        assert!(kill.success());
        let status = timeout(PATIENCE, program.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(lines.next_line().await.unwrap(), None);
    }
}

#[tokio::test]
async fn fleet_is_reached_over_tcp_and_over_a_serial_port() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_simulators"))
        .args(["mbus", "--meters", "2", "--baud", "9600", "--terminal"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut stream = TcpStream::connect(addresses["mbus"].as_str().unwrap())
        .await
        .unwrap();
    let mut answer = [0; 1];
    stream.write_all(&[0x10, 0x40, 0x02, 0x42, 0x16]).await.unwrap();
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, [0xE5]);
    let path = addresses["terminal"].as_str().unwrap();
    let mut port = tokio_serial::new(path, 9600)
        .parity(tokio_serial::Parity::Even)
        .open_native_async()
        .unwrap();
    port.write_all(&[0x10, 0x40, 0x01, 0x41, 0x16]).await.unwrap();
    timeout(PATIENCE, port.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, [0xE5]);
}
