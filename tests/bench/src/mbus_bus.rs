//! The speed of an M-Bus round: a simulated bus of many meters, in virtual time and over TCP, beside what
//! the bit times alone take.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bus::{MbusMaster, PollError};
use clap::Args;
use mbus::link::{LongFrame, PrimaryAddress, SecondaryAddress};
use mbus::master::{BaudRate, Line, Read, Station, Timing};
use simulators::mbus::{Bus, BusHandle, Fault, Numbering, Segment, Slave, fleet};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::BenchError;

/// A round may take so many hundredths of what its bits take.
const LIMIT_PERCENT: u128 = 105;
/// Which meter falls silent.
const DEAD: u8 = 3;

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Few meters at a high speed, over TCP.
    #[arg(long)]
    short: bool,
}

/// What a round took, and what it may take.
struct Figure {
    name: &'static str,
    taken: Duration,
    bound: Duration,
    limit_percent: u128,
}

/// Measures and prints; 60 meters at 2400 bits per second take some two minutes over TCP.
///
/// # Errors
///
/// [`BenchError`] if a meter was not read, or a figure is above its limit.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let mut figures = in_virtual_time()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(BenchError::Output)?;
    let (meters, rate) = if options.short {
        (8, BaudRate::B9600)
    } else {
        (60, BaudRate::B2400)
    };
    figures.extend(runtime.block_on(over_tcp(meters, rate))?);
    println!(
        "{:<44} {:>11} {:>11} {:>7} {:>7}",
        "M-Bus round", "taken", "bound", "ratio", "limit"
    );
    let mut above = Vec::new();
    for figure in &figures {
        let percent = figure.taken.as_nanos() * 100 / figure.bound.as_nanos().max(1);
        println!(
            "{:<44} {:>9.3} s {:>9.3} s {:>5} % {:>5} %",
            figure.name,
            figure.taken.as_secs_f64(),
            figure.bound.as_secs_f64(),
            percent,
            figure.limit_percent
        );
        if figure.taken.as_nanos() * 100 > figure.bound.as_nanos() * figure.limit_percent {
            above.push(figure.name);
        }
    }
    if above.is_empty() {
        return Ok(());
    }
    Err(BenchError::AboveLimit(above.join(", ")))
}

fn stations(meters: u8) -> Vec<Station> {
    let addresses = (1..=meters).filter_map(|address| PrimaryAddress::try_from(address).ok());
    addresses.map(Station::new).collect()
}

/// What the bits of a request of so many bytes and of its answer take, with the slave's shortest pause.
fn bound(timing: Timing, request: usize, answer: usize) -> Duration {
    timing.transmission(request) + timing.least_answer() + timing.transmission(answer)
}

fn bound_of(timing: Timing, frames: &[LongFrame]) -> Duration {
    frames
        .iter()
        .map(|frame| bound(timing, 5, frame.encode().len()))
        .sum()
}

fn unread(error: impl std::fmt::Display) -> BenchError {
    BenchError::Program {
        program: "the simulated bus".to_owned(),
        said: error.to_string(),
    }
}

fn in_virtual_time() -> Result<Vec<Figure>, BenchError> {
    let timing = Timing::new(BaudRate::B2400, Duration::ZERO);
    let slaves = fleet(60, Numbering::Consecutive);
    let selected = slaves
        .iter()
        .map(|slave| Station::new(slave.identity()))
        .collect();
    let mut segment = Segment::timed(slaves, BaudRate::B2400);
    let mut line = Line::new(timing);
    let mut now = Duration::ZERO;
    let mut figures = Vec::new();
    for (name, mut stations, selection) in [
        ("60 meters at 2400, virtual time", stations(60), Duration::ZERO),
        (
            "60 selected meters at 2400, virtual time",
            selected,
            bound(timing, 17, 1),
        ),
    ] {
        let mut last = (Duration::ZERO, Duration::ZERO);
        // The first round initialises the links.
        for _ in 0..2 {
            let begun = now;
            let mut least = Duration::ZERO;
            for station in &mut stations {
                let frames = segment
                    .play(Read::new(&mut line, station), &mut now)
                    .map_err(unread)?;
                least += selection + bound_of(timing, &frames);
            }
            last = (now - begun, least);
        }
        let (taken, bound) = last;
        figures.push(Figure {
            name,
            taken,
            bound,
            limit_percent: LIMIT_PERCENT,
        });
    }
    Ok(figures)
}

async fn over_tcp(meters: u8, rate: BaudRate) -> Result<Vec<Figure>, BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(BenchError::Output)?;
    let address = listener.local_addr().map_err(BenchError::Output)?;
    let slaves = fleet(meters, Numbering::Consecutive);
    let dead = slaves.get(usize::from(DEAD)).map(Slave::identity);
    let (bus, handle) = Bus::timed(slaves, rate);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(bus.serve(listener, stop.clone()));
    let endpoint = format!("tcp:{address}").parse().map_err(unread)?;
    let mut master = MbusMaster::new(endpoint, Timing::new(rate, Timing::CONVERTER_ALLOWANCE));
    let figures = rounds(&mut master, &handle, rate, meters, dead).await;
    stop.cancel();
    let served = serving.await.map_err(unread)?;
    served.map_err(unread)?;
    figures
}

/// Reads every meter in a first round, a sound one, and one in which a meter is dead.
async fn rounds(
    master: &mut MbusMaster,
    handle: &BusHandle,
    rate: BaudRate,
    meters: u8,
    dead: Option<SecondaryAddress>,
) -> Result<Vec<Figure>, BenchError> {
    let bits = Timing::new(rate, Duration::ZERO);
    let mut stations = stations(meters);
    round(master, bits, &mut stations).await?;
    let (taken, bound) = round(master, bits, &mut stations).await?;
    let sound = Figure {
        name: "every meter, over TCP",
        taken,
        bound,
        limit_percent: LIMIT_PERCENT,
    };
    let dead = dead.unwrap_or(SecondaryAddress::ALL);
    handle
        .inject_selected(dead, Fault::Silence, u32::MAX)
        .await
        .map_err(unread)?;
    let (taken, bound) = round(master, bits, &mut stations).await?;
    let allowed = Timing::new(rate, Timing::CONVERTER_ALLOWANCE);
    let timeouts = (bits.transmission(6) + allowed.answer()) * u32::from(Read::MAX_TRIES);
    let with_dead = Figure {
        name: "with a dead meter and its three timeouts",
        taken,
        bound: bound + timeouts,
        limit_percent: LIMIT_PERCENT,
    };
    Ok(vec![sound, with_dead])
}

/// Reads every meter once; returns what it took and what the bits of the answers took.
async fn round(
    master: &mut MbusMaster,
    bits: Timing,
    stations: &mut [Station],
) -> Result<(Duration, Duration), BenchError> {
    let begun = Instant::now();
    let mut least = Duration::ZERO;
    for station in stations {
        match master.read(station).await {
            Ok(frames) => least += bound_of(bits, &frames),
            Err(PollError::NoAnswer { .. }) => {}
            Err(error) => return Err(unread(error)),
        }
    }
    Ok((begun.elapsed(), least))
}
