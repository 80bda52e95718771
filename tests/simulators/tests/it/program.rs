//! The program `simulators`, from its start to its end.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
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
    let addresses = first_line(&mut program).await;
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

#[tokio::test]
async fn meter_of_a_profile_is_reached_over_tcp_and_over_a_serial_port() {
    for (arguments, place, request, answer) in [
        (
            ["--tcp", "127.0.0.1:0"].as_slice(),
            "modbus",
            [0, 1, 0, 0, 0, 6, 7, 4, 0, 0, 0, 1].as_slice(),
            [0, 1, 0, 0, 0, 5, 7, 4, 2, 0x43, 0x65].as_slice(),
        ),
        (
            &["--terminal", "--baud", "9600", "--latency-ms", "20"],
            "terminal",
            &[7, 4, 0, 0, 0, 1, 0x31, 0xAC],
            &[7, 4, 2, 0x43, 0x65, 0xC0, 0x2B],
        ),
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_simulators"))
            .args(["modbus", "--profile", "eastron-sdm630", "--unit", "7"])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let addresses = first_line(&mut program).await;
        let place = addresses[place].as_str().unwrap();
        let mut found = vec![0; answer.len()];
        if place.starts_with('/') {
            let mut port = tokio_serial::new(place, 9600).open_native_async().unwrap();
            port.write_all(request).await.unwrap();
            timeout(PATIENCE, port.read_exact(&mut found))
                .await
                .unwrap()
                .unwrap();
        } else {
            let mut stream = TcpStream::connect(place).await.unwrap();
            stream.write_all(request).await.unwrap();
            timeout(PATIENCE, stream.read_exact(&mut found))
                .await
                .unwrap()
                .unwrap();
        }
        assert_eq!(found, answer);
    }
}

#[tokio::test]
async fn what_goes_into_one_end_of_the_cable_comes_out_of_the_other() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_simulators"))
        .arg("cable")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let addresses = first_line(&mut program).await;
    let end = |index: usize| {
        let path = addresses["terminals"][index].as_str().unwrap().to_owned();
        tokio_serial::new(path, 9600).open_native_async().unwrap()
    };
    let (mut one, mut other) = (end(0), end(1));
    let mut found = [9; 4];
    one.write_all(&[1, 2, 0, 0xFF]).await.unwrap();
    timeout(PATIENCE, other.read_exact(&mut found))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, [1, 2, 0, 0xFF]);
    other.write_all(&[0x0A, 0x0D, 3, 4]).await.unwrap();
    timeout(PATIENCE, one.read_exact(&mut found))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, [0x0A, 0x0D, 3, 4]);
}

/// Reads the addresses that the program prints.
async fn first_line(program: &mut Child) -> serde_json::Value {
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    serde_json::from_str(&line).unwrap()
}
