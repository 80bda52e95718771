//! Discovery and selected meters, over TCP and over a serial port.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bus::discovery::{Discovery, scan, search};
use bus::{MbusEndpoint, MbusMaster, MeterConfig, PollError, Port};
use mbus::link::{PrimaryAddress, SecondaryAddress};
use mbus::master::{BaudRate, Instruction, MeterAddress, Recipient, Reply, Station, Timing};
use simulators::Terminal;
use simulators::mbus::{Bus, Numbering, Slave, fleet};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::Rig;

/// A fleet behind a converter, or on a serial port, at 38400 bits per second.
struct Fleet {
    endpoint: MbusEndpoint,
    meters: Vec<SecondaryAddress>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Fleet {
    async fn start(count: u8, on_serial_port: bool) -> Self {
        let slaves = fleet(count, Numbering::Scattered { seed: 1 });
        let meters = slaves.iter().map(Slave::identity).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (mut bus, _handle) = Bus::timed(slaves, BaudRate::B38400);
        let mut endpoint = format!("tcp:{}", listener.local_addr().unwrap());
        if on_serial_port {
            let terminal = Terminal::open().unwrap();
            endpoint = format!("serial:{}:38400", terminal.path());
            bus = bus.with_terminal(terminal);
        }
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move { bus.serve(listener, stopped).await.unwrap() });
        Self {
            endpoint: endpoint.parse().unwrap(),
            meters,
            stop,
            tasks,
        }
    }

    fn timing(&self) -> Timing {
        Timing::new(BaudRate::B38400, Timing::CONVERTER_ALLOWANCE)
    }

    fn master(&self) -> MbusMaster {
        MbusMaster::new(self.endpoint.clone(), self.timing())
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

fn primary(address: u8) -> PrimaryAddress {
    address.try_into().unwrap()
}

/// Returns the addresses of the meters that were found.
fn meters(reports: &[Discovery]) -> BTreeSet<MeterAddress> {
    let address = |report: &Discovery| match report {
        Discovery::Meter { address, .. } => Some(*address),
        Discovery::Asking { .. } | Discovery::Shared(_) | Discovery::Missing { .. } => None,
    };
    reports.iter().filter_map(address).collect()
}

#[tokio::test]
async fn primary_addresses_are_scanned() {
    let fleet = Fleet::start(3, false).await;
    let mut reports = Vec::new();
    let addresses: Vec<_> = (0..6).map(primary).collect();
    scan(&mut fleet.master(), &addresses, 1, |report| reports.push(report))
        .await
        .unwrap();
    let expected: BTreeSet<_> = (1..4).map(|address| primary(address).into()).collect();
    assert_eq!(meters(&reports), expected);
    let asking = reports
        .iter()
        .filter(|report| matches!(report, Discovery::Asking { .. }));
    assert_eq!(asking.count(), 6);
    fleet.stop().await;
}

#[tokio::test]
async fn every_meter_is_found_by_search_known_ones_first() {
    let fleet = Fleet::start(12, false).await;
    let stranger: SecondaryAddress = "ACW-00000001-01-07".parse().unwrap();
    let known = [fleet.meters[3], stranger, fleet.meters[4]];
    let mut reports = Vec::new();
    search(&mut fleet.master(), SecondaryAddress::ALL, &known, 1, |report| {
        reports.push(report)
    })
    .await
    .unwrap();
    let expected: BTreeSet<_> = fleet.meters.iter().copied().map(MeterAddress::from).collect();
    assert_eq!(meters(&reports), expected);
    let first = reports
        .iter()
        .find(|report| matches!(report, Discovery::Meter { .. }));
    assert!(matches!(first, Some(Discovery::Meter { address, .. }) if *address == known[0].into()));
    let missing = reports.iter().any(|report| {
        matches!(report, Discovery::Missing { address, error: PollError::NoAnswer { .. } } if *address == stranger)
    });
    assert!(missing);
    fleet.stop().await;
}

#[tokio::test]
async fn selected_meters_are_read_in_rounds_on_a_serial_port() {
    let fleet = Fleet::start(3, true).await;
    let meter = |meter: &SecondaryAddress| MeterConfig {
        name: meter.to_string(),
        address: Station::new(*meter),
    };
    let mut rig = Rig::new(Port::Mbus {
        endpoint: fleet.endpoint.clone(),
        timing: fleet.timing(),
        meters: fleet.meters.iter().map(meter).collect(),
    });
    for _ in 0..2 {
        for report in rig.round().await {
            assert_eq!(report.outcome.unwrap().id.as_str(), report.meter);
            let link = report.statistics.link;
            assert_eq!((link.damaged, link.timeouts, link.collisions), (0, 0, 0));
            assert_eq!(link.sent, link.received);
        }
    }
    fleet.stop().await;
}

#[tokio::test]
async fn address_and_speed_are_set_on_a_serial_port() {
    let fleet = Fleet::start(1, true).await;
    let mut master = fleet.master();
    let told = master
        .command(
            Recipient::Meter(fleet.meters[0].into()),
            Instruction::SetPrimary(primary(77)),
        )
        .await;
    assert_eq!(told, Ok(Reply::Acknowledged));
    let recipient = Recipient::Meter(primary(77).into());
    let told = master
        .command(recipient, Instruction::SetBaudRate(BaudRate::B9600))
        .await;
    assert_eq!(told, Ok(Reply::Acknowledged));
    let mut station = Station::new(primary(77)).at(BaudRate::B9600);
    assert_eq!(master.read(&mut station).await.unwrap().len(), 1);
    assert!(master.take_counters().sent > 4);
    fleet.stop().await;
}

#[tokio::test]
async fn converter_on_tcp_keeps_its_speed() {
    let fleet = Fleet::start(1, false).await;
    let mut station = Station::new(primary(1)).at(BaudRate::B9600);
    assert_eq!(fleet.master().read(&mut station).await, Err(PollError::RateFixed));
    fleet.stop().await;
}
