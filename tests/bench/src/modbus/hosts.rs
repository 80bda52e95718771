//! Many meters, each its own Modbus TCP server, read in one round.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bus, BusConfig, MeterConfig, ModbusStation, Port};
use modbus::Profile;
use model::Timestamp;
use simulators::modbus::{Manners, Registers, Server, Site};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Figure, unread};
use crate::error::BenchError;

const PROFILE: &str = "eastron-sdm630";
const LATENCY: Duration = Duration::from_millis(50);
const METERS: u16 = 250;
const METERS_SHORT: u16 = 60;
/// A round may take that long.
const LIMIT: Duration = Duration::from_secs(1);
/// Rounds: one that opens the connections, and one on open connections.
const ROUNDS: [&str; 2] = ["with opening the connections", "on open connections"];

pub(super) async fn measure(short: bool) -> Result<Vec<Figure>, BenchError> {
    let meters = if short { METERS_SHORT } else { METERS };
    let text = modbus::built_in(PROFILE).unwrap_or_default();
    let profile = Arc::new(Profile::parse(text).map_err(unread)?);
    let servers = servers(&profile, meters).await?;
    let (sender, mut reports) = mpsc::channel(usize::from(METERS));
    let mut tasks = JoinSet::new();
    let stop = CancellationToken::new();
    let buses: Vec<Bus> = servers
        .iter()
        .map(|server| config(server, &profile))
        .map(|config| Ok(bus::spawn(config?, &mut tasks, stop.clone(), sender.clone())))
        .collect::<Result<_, BenchError>>()?;
    let per_meter = u64::try_from(profile.blocks().len()).unwrap_or(u64::MAX);
    let mut figures = Vec::new();
    for (number, name) in (1..).zip(ROUNDS) {
        let before: u64 = servers.iter().map(|server| server.requests()).sum();
        let time = Timestamp::from_unix_seconds(number * 900).map_err(unread)?;
        let begun = Instant::now();
        for bus in &buses {
            bus.start_round(time).map_err(unread)?;
        }
        for _ in &buses {
            let report = reports.recv().await.ok_or_else(|| unread("a bus ended"))?;
            let answer = report.outcome.map_err(unread)?;
            if answer.samples.len() < profile.registers().len() {
                return Err(unread("a meter gave fewer values than it has"));
            }
        }
        let taken = begun.elapsed();
        let after: u64 = servers.iter().map(|server| server.requests()).sum();
        figures.push(Figure {
            name: format!("{meters} meters on TCP, 50 ms, {name}"),
            requests: after - before,
            taken,
            bound: LATENCY * u32::try_from(per_meter).unwrap_or(u32::MAX),
            limit: Some(LIMIT),
        });
    }
    stop.cancel();
    drop(reports);
    while tasks.join_next().await.is_some() {}
    for server in servers {
        server.stop().await;
    }
    Ok(figures)
}

async fn servers(profile: &Profile, meters: u16) -> Result<Vec<Server>, BenchError> {
    let test = profile.self_tests().first();
    let test = test.ok_or_else(|| unread("the profile has no self-test"))?;
    let image = test.image().map_err(unread)?;
    let registers = Registers::new(image, profile.limits().registers_per_request);
    let manners = Manners {
        latency: LATENCY,
        ..Manners::default()
    };
    let mut servers = Vec::new();
    for _ in 0..meters {
        let site = Site::with_manners(manners).with_meter(1, registers.clone());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        servers.push(site.listen(listen).await.map_err(BenchError::Network)?);
    }
    Ok(servers)
}

fn config(server: &Server, profile: &Arc<Profile>) -> Result<BusConfig, BenchError> {
    let name = server.address().to_string();
    let meter = MeterConfig {
        name: name.clone(),
        address: ModbusStation::new(1, Arc::clone(profile)),
    };
    Ok(BusConfig {
        port: Port::Modbus {
            endpoint: format!("tcp:{name}").parse().map_err(unread)?,
            meters: vec![meter],
        },
        name,
    })
}
