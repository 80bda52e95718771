//! M-Bus over a TCP converter, against the simulated household.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bus::{MeterConfig, PollError, Port};
use mbus::link::{Control, LongFrame, PrimaryAddress};
use mbus::master::{BaudRate, ReadError, Station, Timing};
use mbus::readout::ReadoutError;
use model::{GapReason, Medium};
use simulators::mbus::{Bus, BusHandle, Fault, household};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, quantity};

/// A converter with the household's meters behind it.
pub(crate) struct Converter {
    address: SocketAddr,
    handle: BusHandle,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Converter {
    async fn start(listen: SocketAddr) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (bus, handle) = Bus::new(household());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move { bus.serve(listener, stopped).await.unwrap() });
        Self {
            address,
            handle,
            stop,
            tasks,
        }
    }

    /// Stops the converter, closes its connections and returns the address that is free now.
    async fn stop(self) -> SocketAddr {
        self.stop.cancel();
        self.tasks.join_all().await;
        self.address
    }

    pub(crate) async fn on_any_port() -> Self {
        Self::start((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    async fn inject(&self, address: u8, fault: Fault, answers: u32) {
        let address = address.try_into().unwrap();
        self.handle.inject(address, fault, answers).await.unwrap();
    }

    /// The converter as a bus with the meters at those primary addresses.
    pub(crate) fn port(&self, addresses: &[u8]) -> Port {
        let meter = |address: &u8| MeterConfig {
            name: format!("meter {address}"),
            address: Station::new(PrimaryAddress::try_from(*address).unwrap()),
        };
        Port::Mbus {
            endpoint: format!("tcp:{}", self.address).parse().unwrap(),
            timing: Timing::new(BaudRate::B9600, Timing::CONVERTER_ALLOWANCE),
            meters: addresses.iter().map(meter).collect(),
        }
    }
}

#[tokio::test]
async fn the_household_is_read_over_one_connection() {
    let converter = Converter::on_any_port().await;
    let mut rig = Rig::new(converter.port(&[1, 2, 3]));
    let reports = rig.round().await;
    let answers: Vec<_> = reports
        .into_iter()
        .map(|report| report.outcome.unwrap())
        .collect();
    let media: Vec<Medium> = answers.iter().map(|answer| answer.medium).collect();
    assert_eq!(media, [Medium::Gas, Medium::Water, Medium::Heat]);
    assert_eq!(answers[0].id.as_str(), "ELS-40615273-3C-03");
    assert_eq!(
        quantity(&answers[1].samples, "8-0:1.0.0*255").to_string(),
        "182.467 m3"
    );

    let statistics: Vec<_> = rig.round().await.iter().map(|report| report.statistics).collect();
    assert_eq!(
        statistics.iter().map(|counted| counted.connections).sum::<u64>(),
        1
    );
    for counted in statistics {
        assert_eq!((counted.polls, counted.answers, counted.retries), (2, 2, 0));
        assert!(counted.answer_time.is_some());
    }
}

#[tokio::test]
async fn a_silent_meter_does_not_keep_the_others_from_being_read() {
    let converter = Converter::on_any_port().await;
    let mut rig = Rig::new(converter.port(&[1, 2, 3]));
    converter.inject(1, Fault::Silence, 3).await;
    let mut reports = rig.round().await;
    let error = reports.remove(0).outcome.unwrap_err();
    assert_eq!(error, PollError::NoAnswer { tries: 3 });
    assert_eq!(error.gap_reason(), GapReason::NoAnswer);
    assert!(reports.iter().all(|report| report.outcome.is_ok()));

    let reports = rig.round().await;
    assert_eq!(reports[2].outcome, Err(PollError::Skipped { rounds: 1 }));
    assert_eq!(reports[2].statistics.requests, 3);
    let reports = rig.round().await;
    assert!(reports.iter().all(|report| report.outcome.is_ok()));
}

#[tokio::test]
async fn a_damaged_answer_is_asked_for_again_and_never_taken() {
    let converter = Converter::on_any_port().await;
    let mut rig = Rig::new(converter.port(&[2]));
    assert!(rig.only().await.outcome.is_ok());
    converter.inject(2, Fault::WrongChecksum, 2).await;
    let report = rig.only().await;
    assert!(report.outcome.is_ok());
    assert_eq!(report.statistics.retries, 2);

    converter.inject(2, Fault::WrongChecksum, 3).await;
    let error = rig.only().await.outcome.unwrap_err();
    assert!(
        matches!(error, PollError::Mbus(ReadError::Frame { tries: 3, .. })),
        "{error:?}"
    );
    assert_eq!(error.gap_reason(), GapReason::BadAnswer);
    assert!(rig.only().await.outcome.is_ok());
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    let converter = Converter::on_any_port().await;
    let mut rig = Rig::new(converter.port(&[1, 2]));
    assert!(rig.round().await.iter().all(|report| report.outcome.is_ok()));
    // The answers come while the next meter is asked, or after it.
    converter
        .inject(1, Fault::Late(Duration::from_millis(1000)), 3)
        .await;
    for _ in 0..4 {
        for report in rig.round().await {
            if let Ok(answer) = report.outcome {
                let id = match report.meter.as_str() {
                    "meter 1" => "ELS-40615273-3C-03",
                    _ => "SEN-20834719-1A-16",
                };
                assert_eq!(answer.id.as_str(), id);
            }
        }
    }
    let reports = rig.round().await;
    assert!(reports.iter().all(|report| report.outcome.is_ok()), "{reports:?}");
}

#[tokio::test]
async fn a_converter_that_closed_the_idle_connection_is_read_at_once() {
    let converter = Converter::on_any_port().await;
    let mut rig = Rig::new(converter.port(&[3]));
    assert!(rig.only().await.outcome.is_ok());
    let address = converter.stop().await;
    let _converter = Converter::start(address).await;
    let report = rig.only().await;
    assert!(report.outcome.is_ok(), "{:?}", report.outcome);
    assert_eq!(report.statistics.connections, 2);
}

#[tokio::test]
async fn a_bus_that_was_down_is_read_when_it_is_back() {
    let converter = Converter::on_any_port().await;
    let mut rig = Rig::new(converter.port(&[3]));
    let address = converter.stop().await;
    let error = rig.only().await.outcome.unwrap_err();
    assert!(matches!(error, PollError::Connect { .. }), "{error:?}");
    assert_eq!(error.gap_reason(), GapReason::BusDown);
    let _converter = Converter::start(address).await;
    assert!(rig.until_connected().await.outcome.is_ok());
}

#[tokio::test]
async fn a_telegram_that_cannot_be_read_gives_no_values() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut rig = Rig::new(Port::Mbus {
        endpoint: format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap(),
        timing: Timing::new(BaudRate::B9600, Timing::CONVERTER_ALLOWANCE),
        meters: vec![MeterConfig {
            name: "stranger".to_owned(),
            address: Station::new(PrimaryAddress::try_from(1).unwrap()),
        }],
    });
    let meter = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 5];
        connection.read_exact(&mut request).await.unwrap();
        connection.write_all(&[0xE5]).await.unwrap();
        connection.read_exact(&mut request).await.unwrap();
        // A variable data structure whose header is missing.
        let telegram = LongFrame::new(Control::RSP_UD, 1, 0x72, Vec::new()).unwrap();
        connection.write_all(&telegram.encode()).await.unwrap();
        connection
    });
    let error = rig.only().await.outcome.unwrap_err();
    assert!(
        matches!(error, PollError::Telegrams(ReadoutError::Telegram(_))),
        "{error:?}"
    );
    assert_eq!(error.gap_reason(), GapReason::BadAnswer);
    meter.await.unwrap();
}
