//! The program `simulators`: simulated meters for the demo and the system tests.
//!
//! It prints one line of JSON with the addresses on standard output once everything listens, and
//! lives until SIGINT or SIGTERM.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use simulators::mbus::{Bus, household};
use simulators::modbus::Sdm630;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The unit identifier of the simulated SDM630.
const UNIT: u8 = 1;
/// The serial number of the simulated SDM630.
const SERIAL_NUMBER: u32 = 12_345_678;

/// Simulated meters that speak real wire protocols.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    simulators: Simulators,
}

#[derive(Debug, Subcommand)]
enum Simulators {
    /// The meters of a household: gas, water and heat on an M-Bus, electricity on Modbus TCP.
    Meters(Listen),
}

#[derive(Debug, Args)]
struct Listen {
    /// Address of the M-Bus level converter; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    mbus: SocketAddr,
    /// Address of the Modbus TCP server; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    modbus: SocketAddr,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    match Arguments::parse().simulators {
        Simulators::Meters(listen) => run_meters(listen).await,
    }
}

async fn run_meters(listen: Listen) -> io::Result<()> {
    // Before the line is printed: whoever has read it may end the program at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let converter = TcpListener::bind(listen.mbus).await?;
    let modbus = Sdm630::start(listen.modbus, UNIT, SERIAL_NUMBER).await?;
    print_addresses(converter.local_addr()?, modbus.address())?;

    let (mbus, _handle) = Bus::new(household());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(mbus.serve(converter, stop.clone()));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        Some(ended) = tasks.join_next() => ended?.map_err(io::Error::other)?,
    }
    stop.cancel();
    tasks.join_all().await;
    Ok(())
}

fn print_addresses(mbus: SocketAddr, modbus: SocketAddr) -> io::Result<()> {
    let addresses = serde_json::json!({ "mbus": mbus, "modbus": modbus });
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{addresses}")?;
    stdout.flush()
}
