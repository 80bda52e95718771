//! The program `simulators`: simulated meters for the demo and the system tests.
//!
//! It prints one line of JSON with the addresses on standard output once everything listens, and
//! lives until SIGINT or SIGTERM.

mod modbus_meter;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use broker::{BrokerAddress, Protocol};
use clap::{Args, Parser, Subcommand};
use mbus::master::{BaudRate, UnknownBaudRate};
use simulators::Terminal;
use simulators::gateways::{self, Center, FleetOptions};
use simulators::mbus::{Bus, Numbering, fleet, household};
use simulators::modbus::Sdm630;
use simulators::proxy::Proxy;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The unit identifier of the simulated SDM630.
const UNIT: u8 = 1;
/// How often it is looked whether the state of a fleet has changed.
const STATE_PAUSE: Duration = Duration::from_millis(500);
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
    /// Water meters on an M-Bus, on which bits take their time.
    Mbus(Fleet),
    /// A Modbus meter of a profile, with the values of the profile's first self-test.
    Modbus(modbus_meter::Options),
    /// Two serial ports with a cable between them: what goes into one comes out of the other.
    Cable,
    /// Gateways behind a broker, with certificates of their own, that answer one supplier.
    Gateways(Gateways),
    /// A bad network: passes TCP connections on to a target, with faults as they are ordered.
    Proxy(BadNetwork),
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

#[derive(Debug, Args)]
struct Fleet {
    /// Address of the level converter; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Opens a pseudo-terminal besides, which a master uses as a serial port.
    #[arg(long)]
    terminal: bool,
    /// How many meters there are, at the primary addresses from 1 on.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u8).range(..=250))]
    meters: u8,
    /// Bits per second; without it, bits take next to no time.
    #[arg(long, value_parser = baud_rate)]
    baud: Option<BaudRate>,
    /// Spreads the identifications from this number on, instead of one after the other.
    #[arg(long, value_name = "SEED")]
    scattered: Option<u32>,
}

#[derive(Debug, Args)]
struct Gateways {
    /// How many there are; each has an open file, which `ulimit -n` has to permit.
    #[arg(long)]
    count: usize,
    /// The trust centre's folder; its passphrase is in it.
    #[arg(long, value_name = "DIR")]
    center: PathBuf,
    /// The supplier's folder, certified; the certificates of the gateways are written there.
    #[arg(long, value_name = "DIR")]
    supplier: PathBuf,
    /// Where the broker listens; of several, each gateway uses one and goes to the next when it loses it.
    #[arg(long, value_name = "HOST:PORT", required = true)]
    broker: Vec<BrokerAddress>,
    /// Speaks MQTT 3.1.1 instead of 5.
    #[arg(long)]
    mqtt_3: bool,
    /// How long it may take until all are connected, in seconds.
    #[arg(long, default_value_t = 300)]
    patience: u64,
}

#[derive(Debug, Args)]
struct BadNetwork {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where connections are passed on to.
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// A Unix socket that takes one line for each connection: heal, delay MS, stall, cut up N, cut down N, rate N,
    /// double, reset, counts.
    #[arg(long, value_name = "SOCKET")]
    control: PathBuf,
}

fn baud_rate(text: &str) -> Result<BaudRate, UnknownBaudRate> {
    BaudRate::try_from(text.parse::<u32>().unwrap_or(0))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    match Arguments::parse().simulators {
        Simulators::Meters(listen) => run_meters(listen).await,
        Simulators::Mbus(options) => run_fleet(options).await,
        Simulators::Modbus(options) => modbus_meter::run(&options).await,
        Simulators::Cable => run_cable().await,
        Simulators::Gateways(options) => run_gateways(options).await,
        Simulators::Proxy(options) => run_proxy(options).await,
    }
}

async fn run_meters(listen: Listen) -> io::Result<()> {
    // Before the line is printed: whoever has read it may end the program at once.
    let end = Ending::new()?;
    let converter = TcpListener::bind(listen.mbus).await?;
    let modbus = Sdm630::start(listen.modbus, UNIT, SERIAL_NUMBER).await?;
    let addresses = serde_json::json!({ "mbus": converter.local_addr()?, "modbus": modbus.address() });
    print_addresses(&addresses)?;
    let (mbus, _handle) = Bus::new(household());
    serve(mbus, converter, end).await
}

async fn run_fleet(options: Fleet) -> io::Result<()> {
    let end = Ending::new()?;
    let converter = TcpListener::bind(options.listen).await?;
    let numbering = options
        .scattered
        .map_or(Numbering::Consecutive, |seed| Numbering::Scattered { seed });
    let slaves = fleet(options.meters, numbering);
    let (mut mbus, _handle) = match options.baud {
        Some(rate) => Bus::timed(slaves, rate),
        None => Bus::new(slaves),
    };
    let mut path = None;
    if options.terminal {
        let terminal = Terminal::open().map_err(io::Error::other)?;
        path = Some(terminal.path().to_owned());
        mbus = mbus.with_terminal(terminal);
    }
    print_addresses(&serde_json::json!({ "mbus": converter.local_addr()?, "terminal": path }))?;
    serve(mbus, converter, end).await
}

async fn run_cable() -> io::Result<()> {
    let mut end = Ending::new()?;
    let mut ends = [
        Terminal::open().map_err(io::Error::other)?,
        Terminal::open().map_err(io::Error::other)?,
    ];
    print_addresses(&serde_json::json!({ "terminals": ends.each_ref().map(Terminal::path) }))?;
    let [one, other] = &mut ends;
    tokio::select! {
        () = end.wait() => Ok(()),
        broken = one.connect(other) => broken,
    }
}

/// Prints a line when all are connected, and then one whenever something has changed.
async fn run_gateways(options: Gateways) -> io::Result<()> {
    let mut end = Ending::new()?;
    let center = Center::open(&options.center, &options.supplier).map_err(io::Error::other)?;
    let fleet = FleetOptions {
        count: options.count,
        brokers: options.broker,
        protocol: if options.mqtt_3 {
            Protocol::ThreeOneOne
        } else {
            Protocol::Five
        },
    };
    let mut fleet = gateways::Fleet::start(center, &fleet).map_err(io::Error::other)?;
    let patience = Duration::from_secs(options.patience);
    let connected = tokio::select! {
        () = end.wait() => return Ok(()),
        connected = fleet.wait_until_connected(options.count, patience) => connected,
    };
    if !connected {
        let state = fleet.state();
        return Err(io::Error::other(format!(
            "not all gateways get connected: {state:?}"
        )));
    }
    let mut printed = None;
    loop {
        let state = fleet.state();
        if printed != Some(state) {
            print_addresses(&serde_json::json!({
                "connected": state.connected, "answered": state.answered, "receipts": state.receipts,
                "repeated": state.repeated, "refused": state.refused,
            }))?;
            printed = Some(state);
        }
        tokio::select! {
            () = end.wait() => return Ok(()),
            () = fleet.ended() => return Err(io::Error::other("a gateway has failed")),
            () = tokio::time::sleep(STATE_PAUSE) => {}
        }
    }
}

async fn run_proxy(options: BadNetwork) -> io::Result<()> {
    let mut end = Ending::new()?;
    let proxy = Proxy::bind(options.listen, &options.to).await?;
    let orders = proxy.handle().take_orders(&options.control);
    print_addresses(&serde_json::json!({ "listen": proxy.address()? }))?;
    tokio::select! {
        () = end.wait() => Ok(()),
        ended = proxy.run() => ended,
        ended = orders => ended,
    }
}

/// The signals that end the program.
struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn serve(mbus: Bus, converter: TcpListener, mut end: Ending) -> io::Result<()> {
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(mbus.serve(converter, stop.clone()));
    tokio::select! {
        () = end.wait() => {}
        Some(ended) = tasks.join_next() => ended?.map_err(io::Error::other)?,
    }
    stop.cancel();
    tasks.join_all().await;
    Ok(())
}

fn print_addresses(addresses: &serde_json::Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{addresses}")?;
    stdout.flush()
}
