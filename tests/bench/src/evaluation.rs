//! The bench of the sandbox: TAF 2 over 100,000 readings, beside the same work natively.
//!
//! The time is that of a run in a fresh instance, the module loaded; memory is what a process needs that takes the job
//! from its standard input and answers, as the gateway's process for applications does, over one that does nothing.

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use evaluation::calendar::{Calendar, Offsets};
use evaluation::interface::{Channel, Flags, Input, InputReading};
use evaluation::manifest::Value;
use evaluation::{Go, Module, Package, protocol};
use model::{Decimal, Period, Span, Status, Timestamp, Unit};

use crate::error::BenchError;
use crate::figures::{line, median, peak_memory_kib};

const READINGS: u32 = 100_000;
const RUNS: u32 = 51;
const SHORT_RUNS: u32 = 5;
/// A tariff of three years in the time that a page takes to be shown.
const MOST_TIME: Duration = Duration::from_millis(10);
const MOST_MEMORY_KIB: u64 = 8 * 1024;
/// 2026-01-01 00:00 in Berlin.
const BEGIN: i64 = 1_767_222_000;

const CALENDAR: &str = r#"{ "seasons": [{
    "from": "01-01",
    "work": [["00:00", 2], ["06:00", 1], ["22:00", 2]],
    "saturday": [["00:00", 2], ["06:00", 3]],
    "sunday": [["00:00", 2]],
    "holiday": [["00:00", 2]]
}]}"#;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run a few times only.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// A process of its own that answers one job, or does nothing, and says on standard error what memory it had.
#[derive(Debug, Args)]
pub(crate) struct StepOptions {
    /// Do nothing.
    #[arg(long)]
    idle: bool,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let file = package_file();
    let bytes = std::fs::read(&file).map_err(BenchError::file(&file))?;
    let package = Package::parse(&bytes).map_err(world)?;
    let blob = input()?;
    let runs = if options.short { SHORT_RUNS } else { RUNS };
    let load = timed(runs, || loaded(&package).map(|_| ()))?;
    let module = loaded(&package)?;
    let fuel = package.manifest().limits().fuel_for(READINGS);
    let mut made = None;
    let sandbox = timed(runs, || {
        made = Some(
            module
                .run(black_box(&blob), fuel, &mut |_| Go::On)
                .map_err(world)?,
        );
        Ok(())
    })?;
    let made = made.ok_or(BenchError::Frame)?;
    let mut output = vec![0; 64 * 1024];
    let native = timed(runs, || natively(black_box(&blob), &mut output))?;
    let job = protocol::encode_job(&bytes, &blob).map_err(world)?;
    let idle = memory_of(&[], true)?;
    let busy = memory_of(&job, false)?;
    let memory = busy.saturating_sub(idle);
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let mut table = line("TAF 2 over 100,000 readings", "limit", "found");
    table += &line(
        "run in a fresh instance, median",
        &milliseconds(MOST_TIME),
        &milliseconds(sandbox),
    );
    table += &line("the same natively", "", &milliseconds(native));
    table += &line("module checked and loaded", "", &milliseconds(load));
    let limit = format!("{MOST_MEMORY_KIB} KiB");
    table += &line(
        "memory of its process over an idle one",
        &limit,
        &format!("{memory} KiB"),
    );
    table += &line("the whole process", "", &format!("{busy} KiB"));
    table += &line(
        "memory of the guest",
        "",
        &format!("{} KiB", made.memory_bytes / 1024),
    );
    table += &line("fuel", "", &made.fuel.to_string());
    table += &line(
        "fuel for each reading",
        "",
        &(made.fuel / u64::from(READINGS)).to_string(),
    );
    std::io::stdout()
        .write_all(table.as_bytes())
        .map_err(BenchError::Output)?;
    let mut above = Vec::new();
    if sandbox > MOST_TIME {
        above.push("time");
    }
    if memory > MOST_MEMORY_KIB {
        above.push("memory");
    }
    if above.is_empty() || options.no_limits {
        return Ok(());
    }
    Err(BenchError::AboveLimit(above.join(", ")))
}

/// Answers one job.
pub(crate) fn run_step(options: &StepOptions) -> Result<(), BenchError> {
    if !options.idle {
        let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
        protocol::serve(&mut input, &mut output, &mut |_| Go::On).map_err(BenchError::Output)?;
    }
    let memory = peak_memory_kib(std::process::id())?;
    writeln!(std::io::stderr(), "{memory}").map_err(BenchError::Output)
}

/// Returns the memory of a process that is given the job.
fn memory_of(job: &[u8], idle: bool) -> Result<u64, BenchError> {
    let start = |source| BenchError::Start {
        program: "this program".to_owned(),
        source,
    };
    let mut command = Command::new(std::env::current_exe().map_err(start)?);
    command.arg("evaluation-step");
    if idle {
        command.arg("--idle");
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // An idle one does not read it.
        stdin.write_all(job).map_err(BenchError::Output)?;
    }
    let output = child.wait_with_output().map_err(start)?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !idle {
        protocol::decode_answer(&output.stdout)
            .map_err(world)?
            .map_err(world)?;
    }
    said.parse().map_err(|_| BenchError::Program {
        program: "evaluation-step".to_owned(),
        said,
    })
}

fn loaded(package: &Package<'_>) -> Result<Module, BenchError> {
    Module::load(package.bytes(), package.manifest().limits().memory_bytes).map_err(world)
}

fn natively(blob: &[u8], output: &mut [u8]) -> Result<(), BenchError> {
    let failed = |_| BenchError::Frame;
    let input = guest::Input::parse(blob).map_err(failed)?;
    let mut output = guest::Output::new(output).map_err(failed)?;
    taf_2::evaluate(&input, &mut output).map_err(failed)?;
    black_box(output.finish().map_err(failed)?);
    Ok(())
}

fn timed(runs: u32, mut work: impl FnMut() -> Result<(), BenchError>) -> Result<Duration, BenchError> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let begun = Instant::now();
        work()?;
        times.push(begun.elapsed());
    }
    Ok(median(times))
}

/// Builds the input: a register at each quarter of an hour, and a calendar with weekends and daylight saving.
fn input() -> Result<Vec<u8>, BenchError> {
    let at = |seconds: i64| Timestamp::from_unix_seconds(seconds).map_err(world);
    let changes = [
        (BEGIN, 60),
        (1_774_746_000, 120),
        (1_792_890_000, 60),
        (1_806_195_600, 120),
        (1_824_944_400, 60),
        (1_837_645_200, 120),
        (1_856_394_000, 60),
    ];
    let changes = changes
        .into_iter()
        .map(|(from, minutes)| Ok((at(from)?, minutes)));
    let offsets = Offsets::try_from(changes.collect::<Result<Vec<_>, BenchError>>()?).map_err(world)?;
    let end = BEGIN + i64::from(READINGS) * 900;
    let window = Period::new(at(BEGIN)?, at(end)?).map_err(world)?;
    let calendar: Calendar = serde_json::from_str(CALENDAR).map_err(world)?;
    let mut readings = Vec::new();
    for (number, time) in (0i128..).zip((BEGIN..end).step_by(900)) {
        readings.push(InputReading {
            time: at(time)?,
            value: Decimal::whole(number * 250 + number % 97),
            status: Status::GOOD,
            flags: Flags::NONE,
        });
    }
    let input = Input {
        run: 1,
        window,
        cutoff: window.to(),
        slots: calendar.slots(window, &offsets).map_err(world)?,
        parameters: vec![Some(Value::Calendar(Box::new(calendar)))],
        channels: vec![Channel {
            role: 0,
            obis: "1-0:1.8.0*255".parse().map_err(world)?,
            unit: Unit::WattHour,
            step: Span::QUARTER_HOUR,
            readings,
        }],
        state: Vec::new(),
    };
    input.encode().map_err(world)
}

/// Returns the package, which `cargo xtask apps` has built.
fn package_file() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = target.unwrap_or_else(|| here.ancestors().nth(2).unwrap_or(here).join("target"));
    target.join("apps/taf-2.wasm")
}

fn world(source: impl std::error::Error + Send + Sync + 'static) -> BenchError {
    BenchError::World(Box::new(source))
}
