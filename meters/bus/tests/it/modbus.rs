//! Modbus TCP against the simulated SDM630.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bus::{AnswerFault, MeterConfig, ModbusEndpoint, ModbusException, ModbusStation, PollError, Port};
use modbus::{DecodeError, Profile};
use model::{GapReason, Medium, Status};
use simulators::modbus::{Fault, Sdm630};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::rig::{Rig, quantity};

pub(crate) const LOCALHOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Long against what the simulator takes, short against what a test may take.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(400);

pub(crate) async fn sdm630() -> Sdm630 {
    Sdm630::start(LOCALHOST, 1, 12_345_678).await.unwrap()
}

/// The meter as a bus, under one or several names.
pub(crate) fn port(meter: &Sdm630, names: &[&str]) -> Port {
    port_at(meter.address(), names)
}

fn port_at(address: SocketAddr, names: &[&str]) -> Port {
    let text = modbus::built_in("eastron-sdm630").unwrap();
    let profile = Arc::new(Profile::parse(text).unwrap());
    let meter = |name: &&str| MeterConfig {
        name: (*name).to_owned(),
        address: ModbusStation::new(1, Arc::clone(&profile)).with_answer_timeout(ANSWER_TIMEOUT),
    };
    Port::Modbus {
        endpoint: ModbusEndpoint::Tcp {
            address: address.to_string(),
        },
        meters: names.iter().map(meter).collect(),
    }
}

#[tokio::test]
async fn the_sdm630_is_read_in_three_requests_over_one_connection() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    let report = rig.only().await;
    let answer = report.outcome.unwrap();
    assert_eq!(answer.id.as_str(), "EAS-12345678");
    assert_eq!(answer.medium, Medium::Electricity);
    assert_eq!(answer.samples.len(), 51);
    assert!(
        answer
            .samples
            .iter()
            .all(|sample| sample.status == Status::FROM_FLOAT)
    );
    assert!(
        answer
            .samples
            .iter()
            .all(|sample| sample.element.meter == answer.id)
    );
    assert_eq!(
        quantity(&answer.samples, "1-0:1.8.0*255").to_string(),
        "1234600 Wh"
    );
    assert_eq!(quantity(&answer.samples, "1-0:13.7.0*255").to_string(), "0.97 1");

    let statistics = rig.only().await.statistics;
    assert_eq!((statistics.polls, statistics.answers), (2, 2));
    assert_eq!((statistics.requests, statistics.retries), (6, 0));
    assert_eq!((statistics.connections, statistics.skipped), (1, 0));
    assert!(statistics.answer_time.is_some());
    assert_eq!((meter.requests(), meter.connections()), (6, 1));
}

#[tokio::test]
async fn a_refusal_is_named_and_not_repeated() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    meter.inject(Fault::Exception(1), 3);
    let error = rig.only().await.outcome.unwrap_err();
    assert_eq!(error, PollError::Exception(ModbusException::new(1)));
    assert_eq!(
        error.to_string(),
        "the meter refused the request: illegal function (1)"
    );
    assert_eq!(error.gap_reason(), GapReason::NotAvailable);
    assert!(rig.only().await.outcome.is_ok());
    assert_eq!((meter.requests(), meter.connections()), (3 + 3, 1));
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    meter.inject(Fault::Late, 1);
    let report = rig.only().await;
    assert_eq!(report.outcome.unwrap().id.as_str(), "EAS-12345678");
    assert_eq!(report.statistics.retries, 1);
    // The connection on which the answer would still have come is gone.
    assert_eq!((meter.requests(), meter.connections()), (4, 2));
}

#[tokio::test]
async fn answers_to_other_requests_give_no_values() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    let unit = AnswerFault::Unit {
        expected: 1,
        found: 2,
    };
    // Each connection counts its transactions from 0.
    let transaction = AnswerFault::Transaction {
        expected: 0,
        found: u16::MAX,
    };
    for (fault, named) in [(Fault::WrongUnit, unit), (Fault::WrongTransaction, transaction)] {
        // Three tries for each of the three requests.
        meter.inject(fault, 9);
        let error = rig.only().await.outcome.unwrap_err();
        assert_eq!(error, PollError::Answer(named), "{fault:?}");
        assert_eq!(error.gap_reason(), GapReason::BadAnswer);
        meter.inject(fault, 2);
        assert!(rig.only().await.outcome.is_ok(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_short_answer_gives_no_values() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    meter.inject(Fault::TooShort, 9);
    let error = rig.only().await.outcome.unwrap_err();
    assert_eq!(
        error,
        PollError::Answer(AnswerFault::TooShort {
            expected: 160,
            found: 158
        })
    );
    assert_eq!(error.gap_reason(), GapReason::BadAnswer);
    assert!(rig.only().await.outcome.is_ok());
}

#[tokio::test]
async fn bytes_that_are_no_modbus_give_no_values() {
    let listener = TcpListener::bind(LOCALHOST).await.unwrap();
    let mut rig = Rig::new(port_at(listener.local_addr().unwrap(), &["house"]));
    let server = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 12];
            connection.read_exact(&mut request).await.unwrap();
            connection
                // An exception as Modbus has it, but with protocol identifier 1.
                .write_all(&[0, 0, 0, 1, 0, 3, 1, 0x83, 2])
                .await
                .unwrap();
        }
    });
    let error = rig.only().await.outcome.unwrap_err();
    assert_eq!(error, PollError::Answer(AnswerFault::Protocol { found: 1 }));
    assert_eq!(error.gap_reason(), GapReason::BadAnswer);
    server.await.unwrap();
}

#[tokio::test]
async fn a_meter_without_a_serial_number_is_nobody() {
    let meter = Sdm630::start(LOCALHOST, 1, 0).await.unwrap();
    let mut rig = Rig::new(port(&meter, &["house"]));
    let error = rig.only().await.outcome.unwrap_err();
    assert_eq!(error, PollError::Registers(DecodeError::SerialNumberNotAvailable));
    assert_eq!(error.gap_reason(), GapReason::BadAnswer);
}

#[tokio::test]
async fn a_connection_that_is_closed_is_opened_again() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    meter.inject(Fault::Close, 3);
    let error = rig.only().await.outcome.unwrap_err();
    assert_eq!(error, PollError::ConnectionLost);
    assert_eq!(error.gap_reason(), GapReason::BusDown);
    meter.inject(Fault::Close, 1);
    let report = rig.only().await;
    assert!(report.outcome.is_ok());
    assert_eq!(report.statistics.connections, 5);
}

#[tokio::test]
async fn a_bus_that_was_down_is_read_when_it_is_back() {
    let meter = sdm630().await;
    let address = meter.address();
    let mut rig = Rig::new(port(&meter, &["house"]));
    assert!(rig.only().await.outcome.is_ok());
    meter.stop().await;
    let error = rig.only().await.outcome.unwrap_err();
    let PollError::Connect { endpoint, kind, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (endpoint, *kind),
        (&address.to_string(), std::io::ErrorKind::ConnectionRefused)
    );
    assert_eq!(error.gap_reason(), GapReason::BusDown);
    let _meter = Sdm630::start(address, 1, 12_345_678).await.unwrap();
    assert!(rig.until_connected().await.outcome.is_ok());
}
