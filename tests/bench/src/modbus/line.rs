//! A full read of an SDM630 at 9600 bits per second, in every way, on the same simulated line.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{ModbusMaster, ModbusStation};
use modbus::{Block, Profile, RegisterImage};
use serde::Deserialize;
use simulators::Terminal;
use simulators::modbus::{Manners, Registers, SerialLine, Site};
use tokio::process::Command;

use super::{Figure, unread};
use crate::error::BenchError;

const PROFILE: &str = "eastron-sdm630";
const UNIT: u8 = 1;
/// The line, as the meter leaves the factory: 8 data bits, no parity, one stop bit.
const LINE: SerialLine = SerialLine {
    baud_rate: 9_600,
    bits: 10,
};
const LATENCY: Duration = Duration::from_millis(20);
/// A full read is at least so many times as fast as one request for each value.
const TIMES_AS_FAST: u32 = 5;
/// The client of pymodbus.
const CLIENT: &str = include_str!("client.py");

/// What the client of pymodbus prints for each way to read.
#[derive(Debug, Deserialize)]
struct Foreign {
    seconds: f64,
    words: Vec<Vec<u16>>,
}

pub(super) async fn measure(short: bool) -> Result<Vec<Figure>, BenchError> {
    let text = modbus::built_in(PROFILE).unwrap_or_default();
    let profile = Profile::parse(text).map_err(unread)?;
    let test = profile.self_tests().first();
    let test = test.ok_or_else(|| unread("the profile has no self-test"))?;
    let image = test.image().map_err(unread)?;
    let singles = values(&profile);

    let terminal = Terminal::open().map_err(unread)?;
    let path = terminal.path().to_owned();
    let manners = Manners {
        latency: LATENCY,
        line: Some(LINE),
        ..Manners::default()
    };
    let registers = Registers::new(image.clone(), profile.limits().registers_per_request);
    let meter = Site::with_manners(manners)
        .with_meter(UNIT, registers)
        .attach(terminal);

    let blocks = profile.blocks().to_vec();
    let foreign = pymodbus(&path, [&singles, &blocks]).await?;
    let rounds = if short { 3 } else { 9 };
    let in_blocks = ours(&path, &profile, &image, rounds).await?;
    let one_by_one = ours(&path, &one_value_per_request(text)?, &image, 1).await?;
    if one_by_one.requests != u64::try_from(singles.len()).unwrap_or(0) {
        return Err(unread("a value was not read by itself"));
    }
    meter.stop().await;

    let mut fastest_single = one_by_one.taken;
    let mut figures = Vec::new();
    for (name, blocks, result) in [
        ("pymodbus, one request for each value", &singles, foreign.first()),
        ("pymodbus, blocks found by hand", &blocks, foreign.get(1)),
    ] {
        let result = result.ok_or_else(|| unread("the client printed too little"))?;
        compare(&image, blocks, &result.words)?;
        let taken = Duration::from_secs_f64(result.seconds);
        if blocks == &singles {
            fastest_single = fastest_single.min(taken);
        }
        figures.push(figure(name, blocks, taken));
    }
    figures.push(figure(
        "smgw, one request for each value",
        &singles,
        one_by_one.taken,
    ));
    figures.push(Figure {
        requests: in_blocks.requests,
        limit: Some(fastest_single / TIMES_AS_FAST),
        ..figure("smgw, blocks", &blocks, in_blocks.taken)
    });
    Ok(figures)
}

fn figure(name: &str, blocks: &[Block], taken: Duration) -> Figure {
    Figure {
        name: format!("SDM630: {name}"),
        requests: u64::try_from(blocks.len()).unwrap_or(u64::MAX),
        taken,
        bound: bound(blocks),
        limit: None,
    }
}

/// What the line takes: each request and its answer, the latency, and a silence before the next request.
fn bound(blocks: &[Block]) -> Duration {
    let one = |block: &Block| {
        let answer = 5 + 2 * usize::from(block.count);
        LINE.characters(8 + answer) + LATENCY + LINE.silence()
    };
    blocks.iter().map(one).sum()
}

/// Where each value of the profile stands, the serial number among them.
fn values(profile: &Profile) -> Vec<Block> {
    let registers = profile.registers().iter().map(|register| register.field.block());
    let serial_number = profile.serial_number().map(|number| number.field.block());
    serial_number.into_iter().chain(registers).collect()
}

/// The same profile without the planner's doing: no request may have more than one value of two registers.
fn one_value_per_request(text: &str) -> Result<Profile, BenchError> {
    let narrow = text.replace("registers_per_request = 80", "registers_per_request = 2");
    Profile::parse(&narrow).map_err(unread)
}

/// What a read took, and how many requests it needed.
struct Read {
    taken: Duration,
    requests: u64,
}

/// Reads as the gateway does; of several reads, the median counts. The port is opened before.
async fn ours(
    path: &str,
    profile: &Profile,
    image: &RegisterImage,
    rounds: usize,
) -> Result<Read, BenchError> {
    let endpoint = format!("rtu:{path}:{}:8N1", LINE.baud_rate);
    let mut master = ModbusMaster::new(endpoint.parse().map_err(unread)?);
    let profile = Arc::new(profile.clone());
    let mut station = ModbusStation::new(UNIT, Arc::clone(&profile));
    if rounds > 1 {
        master.read(&mut station).await.map_err(unread)?;
    }
    let mut taken = Vec::new();
    let mut requests = 0;
    for _ in 0..rounds {
        master.take_counters();
        let begun = Instant::now();
        let reading = master.read(&mut station).await.map_err(unread)?;
        taken.push(begun.elapsed());
        requests = master.take_counters().requests;
        if let Some(fault) = reading.fault {
            return Err(unread(fault));
        }
        let found: Option<Vec<Vec<u16>>> = values(&profile)
            .into_iter()
            .map(|block| reading.image.words(block))
            .collect();
        compare(image, &values(&profile), &found.unwrap_or_default())?;
    }
    taken.sort();
    let median = taken.get(taken.len() / 2).copied().unwrap_or(Duration::MAX);
    Ok(Read {
        taken: median,
        requests,
    })
}

/// Has the client of pymodbus read in each of these ways.
async fn pymodbus(path: &str, ways: [&[Block]; 2]) -> Result<Vec<Foreign>, BenchError> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let python = root.join("target/foreign-python/bin/python");
    let mut client = Command::new(&python);
    client.args(["-c", CLIENT, path, &LINE.baud_rate.to_string(), &UNIT.to_string()]);
    for way in ways {
        let blocks = way
            .iter()
            .map(|block| (block.function.code(), block.address, block.count));
        let blocks: Vec<_> = blocks.collect();
        client.arg(serde_json::json!(blocks).to_string());
    }
    let output = client.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|source| BenchError::Start {
        program: python.display().to_string(),
        source,
    })?;
    if !output.status.success() {
        return Err(BenchError::Program {
            program: "the client of pymodbus".to_owned(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    serde_json::from_slice(&output.stdout).map_err(|source| BenchError::Step {
        step: "the client of pymodbus".to_owned(),
        source,
    })
}

/// Makes sure that a reader got what the meter shows; where it shows nothing, zeros.
fn compare(image: &RegisterImage, blocks: &[Block], found: &[Vec<u16>]) -> Result<(), BenchError> {
    for (place, block) in blocks.iter().enumerate() {
        let shown = |address| {
            let one = Block {
                address,
                count: 1,
                ..*block
            };
            let words = image.words(one);
            words.and_then(|words| words.first().copied()).unwrap_or(0)
        };
        let expected: Vec<u16> = (block.address..).take(block.count.into()).map(shown).collect();
        if found.get(place) != Some(&expected) {
            return Err(BenchError::Content {
                engine: "the reader".to_owned(),
                expected: format!("{expected:04X?} at {:#06x}", block.address),
                found: format!("{:04X?}", found.get(place)),
            });
        }
    }
    Ok(())
}
