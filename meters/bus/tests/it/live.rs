//! Live rounds: what is read for display between the rounds that are registered, and what it must not do to those.

use std::time::Duration;

use bus::{MeterConfig, ModbusEndpoint, ModbusStation, PollError, Port, Report, RoundKind};
use model::{Status, Timestamp};
use simulators::modbus::{Fault, Manners, Sdm630, Server, Site};
use tokio::time::timeout;

use crate::mbus::Converter;
use crate::modbus::{LOCALHOST, port, sdm630};
use crate::modbus_lines::profile;
use crate::rig::{LONGEST_ROUND, Rig, quantity};

/// Long against what the simulator takes, short against what a test may take.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(400);
/// How long nothing must come for it to be believed that nothing comes.
const QUIET: Duration = Duration::from_millis(300);

const POWER: &str = "1-0:16.7.0*255";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

/// Meters on one host that take some time for an answer, as units 1 to `count`.
async fn slow_host(count: u8) -> (Server, Port) {
    let manners = Manners {
        latency: Duration::from_millis(50),
        ..Manners::default()
    };
    let units = 1..=count;
    let site = units.clone().fold(Site::with_manners(manners), |site, unit| {
        site.with_sdm630(unit, 4_711 + u32::from(unit))
    });
    let server = site.listen(LOCALHOST).await.unwrap();
    let meter = |unit| MeterConfig {
        name: format!("unit {unit}"),
        address: ModbusStation::new(unit, profile("eastron-sdm630")).with_answer_timeout(ANSWER_TIMEOUT),
    };
    let port = Port::Modbus {
        endpoint: ModbusEndpoint::Tcp {
            address: server.address().to_string(),
        },
        meters: units.map(meter).collect(),
    };
    (server, port)
}

async fn next(rig: &mut Rig) -> Report {
    timeout(LONGEST_ROUND, rig.reports.recv()).await.unwrap().unwrap()
}

async fn assert_nothing_comes(rig: &mut Rig) {
    assert!(timeout(QUIET, rig.reports.recv()).await.is_err());
}

#[tokio::test]
async fn live_round_reads_the_fast_values_and_no_others() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    let registered = rig.only().await;
    assert_eq!(registered.kind, RoundKind::Registration);
    let requests = meter.requests();
    rig.bus.start_live(at(905));
    let live = next(&mut rig).await;
    assert_eq!((live.kind, live.round), (RoundKind::Live, at(905)));
    assert_eq!(live.statistics.polls, registered.statistics.polls);
    let (registered, live) = (registered.outcome.unwrap(), live.outcome.unwrap());
    assert_eq!((&live.id, live.medium), (&registered.id, registered.medium));
    quantity(&live.samples, POWER);
    assert!(live.samples.len() < registered.samples.len());
    for sample in &live.samples {
        assert!(
            sample.value.is_ok() && sample.status == Status::FROM_FLOAT,
            "{sample:?}"
        );
        // Group D is 7 for values of this moment.
        assert!(sample.element.obis.to_string().contains(".7."), "{sample:?}");
    }
    assert!(meter.requests() - requests < requests);
}

#[tokio::test]
async fn meter_that_was_not_read_yet_is_not_read_live() {
    let meter = sdm630().await;
    let mut rig = Rig::new(port(&meter, &["house"]));
    rig.bus.start_live(at(5));
    assert_nothing_comes(&mut rig).await;
    assert_eq!((meter.requests(), meter.connections()), (0, 0));
}

#[tokio::test]
async fn live_round_is_given_up_for_a_round_that_is_registered() {
    let (_server, port) = slow_host(4).await;
    let mut rig = Rig::new(port);
    rig.round().await;
    rig.bus.start_live(at(905));
    assert_eq!(next(&mut rig).await.kind, RoundKind::Live);
    // It was started in the middle of the live round, and is neither refused nor left behind it.
    rig.bus.start_round(at(1_800)).unwrap();
    let mut kinds = Vec::new();
    loop {
        let report = next(&mut rig).await;
        kinds.push(report.kind);
        report.outcome.unwrap();
        if report.kind == RoundKind::Registration && report.remaining == 0 {
            break;
        }
    }
    let live = kinds.iter().filter(|kind| **kind == RoundKind::Live).count();
    assert!(live <= 1, "{kinds:?}");
    assert_eq!(kinds[live..], [RoundKind::Registration; 4]);
    assert_nothing_comes(&mut rig).await;
}

#[tokio::test]
async fn later_live_round_stands_for_the_one_that_waits() {
    let (_server, port) = slow_host(1).await;
    let mut rig = Rig::new(port);
    rig.round().await;
    rig.bus.start_round(at(1_800)).unwrap();
    rig.bus.start_live(at(1_801));
    rig.bus.start_live(at(1_802));
    let told = [next(&mut rig).await, next(&mut rig).await];
    assert_eq!(told.map(|report| report.round), [at(1_800), at(1_802)]);
    assert_nothing_comes(&mut rig).await;
}

#[tokio::test]
async fn meters_on_an_m_bus_are_not_read_live() {
    let converter = Converter::on_any_port().await;
    let mut rig = Rig::new(converter.port(&[1, 2]));
    let requests = |reports: Vec<Report>| -> Vec<u64> {
        let counted = reports.iter().map(|report| report.statistics.requests);
        counted.collect()
    };
    let first = requests(rig.round().await);
    rig.bus.start_live(at(905));
    assert_nothing_comes(&mut rig).await;
    let second = requests(rig.round().await);
    let third = requests(rig.round().await);
    for meter in 0..2 {
        assert!(first[meter] > 0);
        assert_eq!(second[meter] - first[meter], third[meter] - second[meter]);
    }
}

#[tokio::test]
async fn meter_that_falls_silent_is_left_out_and_its_next_round_is_as_if_it_had_not_been_asked() {
    let (server, port) = slow_host(2).await;
    let mut rig = Rig::new(port);
    rig.round().await;
    assert!(server.inject_into(1, Fault::Silence, u32::MAX));
    rig.bus.start_live(at(905));
    let dead = next(&mut rig).await;
    assert_eq!((dead.meter.as_str(), dead.kind), ("unit 1", RoundKind::Live));
    assert_eq!(dead.outcome, Err(PollError::NoAnswer { tries: 3 }));
    next(&mut rig).await.outcome.unwrap();
    let asked = server.requests_to(1);
    rig.bus.start_live(at(906));
    let alive = next(&mut rig).await;
    assert_eq!(alive.meter, "unit 2");
    alive.outcome.unwrap();
    assert_eq!(server.requests_to(1), asked);
    // It is asked in its turn, and with all the patience that it had.
    server.heal();
    assert!(server.inject_into(1, Fault::Silence, 2));
    let reports = rig.round().await;
    assert_eq!(reports[0].meter, "unit 1");
    let counted = reports[0].statistics;
    assert_eq!((counted.polls, counted.answers, counted.skipped), (2, 2, 0));
    // Once it has answered, it is read live again.
    rig.bus.start_live(at(1_805));
    assert_eq!(next(&mut rig).await.meter, "unit 1");
}

#[tokio::test]
async fn meter_that_did_not_answer_its_round_is_not_read_live() {
    let (server, port) = slow_host(2).await;
    let mut rig = Rig::new(port);
    rig.round().await;
    assert!(server.inject_into(1, Fault::Silence, 3));
    rig.round().await;
    let asked = server.requests_to(1);
    rig.bus.start_live(at(1_805));
    let alive = next(&mut rig).await;
    assert_eq!(alive.meter, "unit 2");
    assert_nothing_comes(&mut rig).await;
    assert_eq!(server.requests_to(1), asked);
}

#[tokio::test]
async fn host_that_was_away_for_a_live_round_is_there_for_the_next_round() {
    let meter = sdm630().await;
    let address = meter.address();
    let mut rig = Rig::new(port(&meter, &["house", "stable"]));
    rig.round().await;
    meter.stop().await;
    rig.bus.start_live(at(905));
    let lost = next(&mut rig).await.outcome.unwrap_err();
    assert!(matches!(lost, PollError::Connect { .. }), "{lost}");
    // One attempt stands for all meters of the line.
    assert_nothing_comes(&mut rig).await;
    let _meter = Sdm630::start(address, 1, 12_345_678).await.unwrap();
    for report in rig.round().await {
        report.outcome.unwrap();
    }
}
