//! Sites asked byte by byte, over TCP and as on a serial line.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_serial::{SerialPortBuilderExt, SerialStream};

use super::frame::Carrier;
use super::*;
use crate::Terminal;

const LOCALHOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// How long nothing has to come to count as silence.
const SILENCE: Duration = Duration::from_millis(200);
/// A request to unit 1 for its serial number, and the answer, without what carries them.
const BODY: [u8; 5] = [3, 0xFC, 0, 0, 2];
const SERIAL_NUMBER: [u8; 6] = [3, 4, 0x00, 0xBC, 0x61, 0x4E];
const REQUEST: [u8; 12] = [0, 7, 0, 0, 0, 6, 1, 3, 0xFC, 0, 0, 2];
const ANSWER: [u8; 13] = [0, 7, 0, 0, 0, 7, 1, 3, 4, 0x00, 0xBC, 0x61, 0x4E];

async fn meter() -> (Sdm630, TcpStream) {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let meter = Sdm630::start(listen, 1, 12_345_678).await.unwrap();
    let connection = TcpStream::connect(meter.address()).await.unwrap();
    (meter, connection)
}

async fn ask(connection: &mut TcpStream) {
    connection.write_all(&REQUEST).await.unwrap();
}

async fn assert_answer(connection: &mut (impl tokio::io::AsyncRead + Unpin), expected: &[u8]) {
    let mut answer = vec![0; expected.len()];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn the_serial_number_is_read() {
    let (meter, mut connection) = meter().await;
    ask(&mut connection).await;
    assert_answer(&mut connection, &ANSWER).await;
    assert_eq!((meter.requests(), meter.connections()), (1, 1));
}

#[tokio::test]
async fn a_meter_of_a_profile_shows_what_it_was_given() {
    let profile = modbus::Profile::parse(modbus::built_in("wirenboard-mcm8-gas").unwrap()).unwrap();
    let contents = Contents {
        values: [("7-0:3.0.0*255".parse().unwrap(), "1234.56".parse().unwrap())].into(),
        ..Default::default()
    };
    let registers = contents.fill(&profile).unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let meter = Server::start(listen, 1, registers).await.unwrap();
    let mut connection = TcpStream::connect(meter.address()).await.unwrap();
    connection
        .write_all(&[0, 8, 0, 0, 0, 6, 1, 4, 0, 60, 0, 2])
        .await
        .unwrap();
    // 123456 pulses of 0.01 m3
    assert_answer(&mut connection, &[0, 8, 0, 0, 0, 7, 1, 4, 4, 0, 1, 0xE2, 0x40]).await;
    meter.stop().await;
}

#[tokio::test]
async fn a_stopped_meter_leaves_its_address_free() {
    let (meter, mut connection) = meter().await;
    ask(&mut connection).await;
    assert_answer(&mut connection, &ANSWER).await;
    let address = meter.address();
    meter.stop().await;
    assert!(connection.read_u8().await.is_err());
    assert_eq!(Sdm630::start(address, 1, 2).await.unwrap().address(), address);
}

#[tokio::test]
async fn another_unit_is_not_behind_the_gateway() {
    let (_meter, mut connection) = meter().await;
    let mut request = REQUEST;
    request[6] = 9;
    connection.write_all(&request).await.unwrap();
    assert_answer(&mut connection, &[0, 7, 0, 0, 0, 3, 9, 0x83, 11]).await;
}

#[tokio::test]
async fn faults_happen_to_as_many_requests_as_were_asked_for() {
    let (meter, mut connection) = meter().await;
    meter.inject(Fault::Exception(6), 1);
    meter.inject(Fault::WrongUnit, 1);
    meter.inject(Fault::WrongTransaction, 1);
    meter.inject(Fault::TooShort, 1);
    meter.inject(Fault::Silence, 1);
    meter.inject(Fault::Late, 1);
    for expected in [
        [0, 7, 0, 0, 0, 3, 1, 0x83, 6].as_slice(),
        [0, 7, 0, 0, 0, 7, 2, 3, 4, 0x00, 0xBC, 0x61, 0x4E].as_slice(),
        [0, 6, 0, 0, 0, 7, 1, 3, 4, 0x00, 0xBC, 0x61, 0x4E].as_slice(),
        [0, 7, 0, 0, 0, 5, 1, 3, 2, 0x00, 0xBC].as_slice(),
    ] {
        ask(&mut connection).await;
        assert_answer(&mut connection, expected).await;
    }
    // Silence, then a held answer, then the held and the true one.
    for _ in 0..3 {
        ask(&mut connection).await;
    }
    assert_answer(&mut connection, &[ANSWER, ANSWER].concat()).await;
}

#[tokio::test]
async fn a_closed_connection_and_a_healed_meter() {
    let (meter, mut connection) = meter().await;
    meter.inject(Fault::Close, 5);
    ask(&mut connection).await;
    assert!(connection.read_u8().await.is_err());
    meter.heal();
    let mut connection = TcpStream::connect(meter.address()).await.unwrap();
    ask(&mut connection).await;
    assert_answer(&mut connection, &ANSWER).await;
}

fn on_a_line(unit: u8, body: &[u8]) -> Vec<u8> {
    Carrier::Serial.wrap(unit, body)
}

/// A site with two meters behind a serial server, and a connection to it.
async fn serial_server(manners: Manners) -> (Server, TcpStream) {
    let site = Site::with_manners(manners)
        .with_sdm630(1, 12_345_678)
        .with_sdm630(2, 2);
    let server = site.listen_serial(LOCALHOST).await.unwrap();
    let connection = TcpStream::connect(server.address()).await.unwrap();
    (server, connection)
}

async fn assert_silence(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    assert!(timeout(SILENCE, stream.read_u8()).await.is_err());
}

#[tokio::test]
async fn meters_on_a_line_answer_to_their_own_unit_only() {
    let (server, mut connection) = serial_server(Manners::default()).await;
    connection.write_all(&on_a_line(1, &BODY)).await.unwrap();
    assert_answer(&mut connection, &on_a_line(1, &SERIAL_NUMBER)).await;
    connection.write_all(&on_a_line(2, &BODY)).await.unwrap();
    assert_answer(&mut connection, &on_a_line(2, &[3, 4, 0, 0, 0, 2])).await;
    connection.write_all(&on_a_line(3, &BODY)).await.unwrap();
    assert_silence(&mut connection).await;
    assert_eq!((server.requests_to(1), server.requests_to(2)), (1, 1));
    assert_eq!((server.requests_to(3), server.requests()), (0, 3));
}

#[tokio::test]
async fn frames_in_pieces_are_read_and_beginnings_are_forgotten() {
    let (server, mut connection) = serial_server(Manners::default()).await;
    let request = on_a_line(1, &BODY);
    connection.write_all(&request[..3]).await.unwrap();
    connection.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    connection.write_all(&request[3..]).await.unwrap();
    assert_answer(&mut connection, &on_a_line(1, &SERIAL_NUMBER)).await;
    connection.write_all(&request[..3]).await.unwrap();
    assert_silence(&mut connection).await;
    connection.write_all(&request).await.unwrap();
    assert_answer(&mut connection, &on_a_line(1, &SERIAL_NUMBER)).await;
    let mut spoiled = request.clone();
    Carrier::Serial.spoil(&mut spoiled);
    connection.write_all(&spoiled).await.unwrap();
    assert_silence(&mut connection).await;
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn faults_on_a_line_are_those_of_a_line() {
    let (server, mut connection) = serial_server(Manners::default()).await;
    let good = on_a_line(1, &SERIAL_NUMBER);
    let mut wrong_checksum = good.clone();
    *wrong_checksum.last_mut().unwrap() ^= 1;
    let half = good[..good.len() / 2].to_vec();
    for (fault, expected) in [
        (Fault::BUSY, on_a_line(1, &[0x83, 6])),
        (Fault::WrongUnit, on_a_line(2, &SERIAL_NUMBER)),
        (
            Fault::WrongFunction,
            on_a_line(1, &[4, 4, 0x00, 0xBC, 0x61, 0x4E]),
        ),
        (Fault::WrongChecksum, wrong_checksum),
        (Fault::HalfFrame, half),
        (Fault::TooShort, on_a_line(1, &[3, 2, 0x00, 0xBC])),
        (
            Fault::TooLong,
            on_a_line(1, &[3, 6, 0x00, 0xBC, 0x61, 0x4E, 0, 0]),
        ),
        (Fault::WrongTransaction, good.clone()),
    ] {
        assert!(server.inject_into(1, fault, 1));
        connection.write_all(&on_a_line(1, &BODY)).await.unwrap();
        assert_answer(&mut connection, &expected).await;
    }
    assert!(!server.inject_into(9, Fault::Silence, 1));
    // What came before is answered once more, to whatever is asked.
    server.inject(Fault::WrongTransaction, 1);
    connection
        .write_all(&on_a_line(1, &[4, 0, 0, 0, 2]))
        .await
        .unwrap();
    assert_answer(&mut connection, &good).await;
    server.inject(Fault::Close, 1);
    connection.write_all(&on_a_line(1, &BODY)).await.unwrap();
    assert!(connection.read_u8().await.is_err());
}

#[tokio::test]
async fn a_fault_of_one_unit_leaves_the_others_alone() {
    let (server, mut connection) = serial_server(Manners::default()).await;
    assert!(server.inject_into(1, Fault::Silence, 1));
    connection.write_all(&on_a_line(2, &BODY)).await.unwrap();
    assert_answer(&mut connection, &on_a_line(2, &[3, 4, 0, 0, 0, 2])).await;
    connection.write_all(&on_a_line(1, &BODY)).await.unwrap();
    assert_silence(&mut connection).await;
    assert!(server.inject_into(1, Fault::Silence, 1));
    server.heal();
    connection.write_all(&on_a_line(1, &BODY)).await.unwrap();
    assert_answer(&mut connection, &on_a_line(1, &SERIAL_NUMBER)).await;
}

#[tokio::test]
async fn a_delayed_answer_comes_later() {
    let (server, mut connection) = serial_server(Manners::default()).await;
    server.inject(Fault::Delayed(SILENCE * 2), 1);
    connection.write_all(&on_a_line(1, &BODY)).await.unwrap();
    let asked = Instant::now();
    assert_silence(&mut connection).await;
    assert_answer(&mut connection, &on_a_line(1, &SERIAL_NUMBER)).await;
    assert!(asked.elapsed() >= SILENCE * 2);
}

#[tokio::test]
async fn bits_and_thoughts_take_their_time() {
    let line = SerialLine::new(9_600);
    let latency = Duration::from_millis(20);
    let manners = Manners {
        latency,
        line: Some(line),
        ..Manners::default()
    };
    let (server, mut connection) = serial_server(manners).await;
    let asked = Instant::now();
    connection
        .write_all(&on_a_line(1, &[4, 0, 0, 0, 80]))
        .await
        .unwrap();
    let mut answer = [0; 165];
    connection.read_exact(&mut answer).await.unwrap();
    assert!(asked.elapsed() >= line.characters(8) + latency + line.characters(165));
    // Two at once: the second one waits for the line.
    let asked = Instant::now();
    let twice = [on_a_line(1, &BODY), on_a_line(2, &BODY)].concat();
    connection.write_all(&twice).await.unwrap();
    let mut answers = [0; 18];
    connection.read_exact(&mut answers).await.unwrap();
    assert!(asked.elapsed() >= (line.characters(8 + 9) + latency) * 2);
    assert!(server.hurried_requests().await >= 1);
}

#[tokio::test]
async fn a_gateway_before_a_line_puts_one_request_after_the_other_on_it() {
    let line = SerialLine::new(9_600);
    let manners = Manners {
        latency: Duration::from_millis(20),
        line: Some(line),
        ..Manners::default()
    };
    let server = Site::with_manners(manners)
        .with_sdm630(1, 12_345_678)
        .listen(LOCALHOST)
        .await
        .unwrap();
    let mut first = TcpStream::connect(server.address()).await.unwrap();
    let mut second = TcpStream::connect(server.address()).await.unwrap();
    let asked = Instant::now();
    ask(&mut first).await;
    ask(&mut second).await;
    assert_answer(&mut first, &ANSWER).await;
    assert_answer(&mut second, &ANSWER).await;
    assert!(asked.elapsed() >= (line.characters(8 + 9) + manners.latency) * 2);
}

#[tokio::test]
async fn one_connection_is_the_only_one() {
    let manners = Manners {
        one_connection: true,
        ..Manners::default()
    };
    let server = Site::with_manners(manners)
        .with_sdm630(1, 12_345_678)
        .listen(LOCALHOST)
        .await
        .unwrap();
    let mut first = TcpStream::connect(server.address()).await.unwrap();
    ask(&mut first).await;
    assert_answer(&mut first, &ANSWER).await;
    let mut second = TcpStream::connect(server.address()).await.unwrap();
    assert!(second.read_u8().await.is_err());
    assert_eq!((server.connections(), server.refused_connections()), (1, 1));
    drop(first);
    let mut third = TcpStream::connect(server.address()).await.unwrap();
    ask(&mut third).await;
    assert_answer(&mut third, &ANSWER).await;
}

fn port(path: &str, baud_rate: u32) -> SerialStream {
    tokio_serial::new(path, baud_rate)
        .parity(tokio_serial::Parity::Even)
        .open_native_async()
        .unwrap()
}

#[tokio::test]
async fn meters_on_a_serial_port_understand_their_own_speed_only() {
    let terminal = Terminal::open().unwrap();
    let path = terminal.path().to_owned();
    let manners = Manners {
        line: Some(SerialLine::new(9_600)),
        ..Manners::default()
    };
    let service = Site::with_manners(manners)
        .with_sdm630(1, 12_345_678)
        .attach(terminal);
    let mut master = port(&path, 19_200);
    master.write_all(&on_a_line(1, &BODY)).await.unwrap();
    assert_silence(&mut master).await;
    drop(master);
    // A port is closed and opened as often as a master likes.
    for _ in 0..2 {
        let mut master = port(&path, 9_600);
        // The line stays as it is, whatever the fault.
        service.inject(Fault::Close, 1);
        master.write_all(&on_a_line(1, &BODY)).await.unwrap();
        assert_silence(&mut master).await;
        master.write_all(&on_a_line(1, &BODY)).await.unwrap();
        assert_answer(&mut master, &on_a_line(1, &SERIAL_NUMBER)).await;
    }
    assert_eq!(service.requests(), 4);
    service.stop().await;
}

#[tokio::test]
async fn a_meter_of_a_profile_identifies_itself() {
    let profile = modbus::Profile::parse(include_str!("../../../../meters/modbus/example.toml")).unwrap();
    let contents = Contents {
        serial_number: "42".to_owned(),
        ..Contents::default()
    };
    let registers = contents.fill(&profile).unwrap();
    let server = Site::new()
        .with_meter(1, registers)
        .listen_serial(LOCALHOST)
        .await
        .unwrap();
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    // The register 0x0100 with 112, and the maker's name.
    connection
        .write_all(&on_a_line(1, &[3, 1, 0, 0, 1]))
        .await
        .unwrap();
    assert_answer(&mut connection, &on_a_line(1, &[3, 2, 0, 112])).await;
    connection
        .write_all(&on_a_line(1, &[0x2B, 0x0E, 4, 0]))
        .await
        .unwrap();
    let name = [0x2B, 0x0E, 4, 0x81, 0, 0, 1, 0, 4, b'A', b'c', b'm', b'e'];
    assert_answer(&mut connection, &on_a_line(1, &name)).await;
}
