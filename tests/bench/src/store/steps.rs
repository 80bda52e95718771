//! Steps: each runs in a process of its own, so that its memory is its own, and it can be killed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::engines::{Engine, Name};
use super::work::{READINGS_PER_DAY, ROUNDS_PER_DAY, Work, days, time};
use crate::error::BenchError;

/// How often one day of one element is asked for, at most and for each day that there is.
const QUESTIONS: u64 = 2_000;
const QUESTIONS_PER_DAY: u64 = 70;

/// How often everything is exported; the fastest counts, since other work on the machine only adds.
const EXPORTS: u64 = 5;

/// How many rounds are written before the process is killed: enough for a log that is being used again.
const ROUNDS_BEFORE_KILL: u64 = 150;

/// How far the rounds of one process that is killed are from those of the next, so that each has work to do.
const ROUNDS_PER_KILL: u64 = 1_000;

impl StepOptions {
    /// Returns the first round behind what was stored before.
    const fn first_round(&self) -> u64 {
        let stored = self.days.saturating_mul(ROUNDS_PER_DAY);
        stored.saturating_add(self.kill.saturating_mul(ROUNDS_PER_KILL))
    }
}

/// A step of a bench.
#[derive(Debug, Args)]
pub(crate) struct StepOptions {
    /// What to do.
    #[arg(long)]
    task: Task,
    /// With which engine.
    #[arg(long)]
    engine: Name,
    /// Where.
    #[arg(long)]
    folder: PathBuf,
    /// How many days there are.
    #[arg(long)]
    days: u64,
    /// How often a process was killed before.
    #[arg(long, default_value_t = 0)]
    kill: u64,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Task {
    /// Stores the days, each round durably, and closes.
    Fill,
    /// Asks for days of elements, and for everything.
    Read,
    /// Stores rounds behind the days until it is killed.
    Write,
    /// Opens and asks for the last round.
    Open,
}

/// What a step has found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    pub(super) readings: u64,
    /// The sum of all digits, by which engines are compared.
    pub(super) sum: String,
    pub(super) seconds: f64,
    pub(super) slowest_commit_ms: f64,
    pub(super) slowest_sealing_ms: f64,
    /// The size of the files while the engine is open.
    pub(super) open_bytes: u64,
    /// The size of the files when it is closed.
    pub(super) closed_bytes: u64,
    /// What the process had written, by the kernel's count; not what the device wrote.
    pub(super) process_bytes: u64,
    pub(super) day_median_ms: f64,
    pub(super) day_slowest_percent_ms: f64,
    /// One day of one element that is not sealed yet.
    pub(super) fresh_day_median_ms: f64,
    pub(super) export_seconds: f64,
    pub(super) open_ms: f64,
    /// What the process had at most, less what it had when it began.
    pub(super) peak_kib: u64,
}

/// Runs a step and prints what it found in one line.
pub(crate) fn run_step(options: &StepOptions) -> Result<(), BenchError> {
    // The benches are one program, whose own pages grow with whatever else is measured.
    let at_start = kernel_number("/proc/self/status", "VmRSS:");
    let mut found = match options.task {
        Task::Fill => fill(options)?,
        Task::Read => read(options)?,
        Task::Write => return write(options),
        Task::Open => open(options)?,
    };
    found.closed_bytes = file_bytes(&options.folder);
    found.peak_kib = kernel_number("/proc/self/status", "VmHWM:").saturating_sub(at_start);
    found.process_bytes = kernel_number("/proc/self/io", "write_bytes:");
    let line = serde_json::to_string(&found).map_err(|source| BenchError::Step {
        step: format!("{:?}", options.task),
        source,
    })?;
    say(&line)
}

fn fill(options: &StepOptions) -> Result<Found, BenchError> {
    let mut engine = options.engine.open(&options.folder)?;
    let mut work = Work::new();
    let mut sum = 0i128;
    let mut readings = 0u64;
    let (mut slowest_commit, mut slowest_sealing) = (Duration::ZERO, Duration::ZERO);
    let mut busy = Duration::ZERO;
    for number in 0..options.days.saturating_mul(ROUNDS_PER_DAY) {
        let round = work.round(number);
        readings += u64::try_from(round.len()).unwrap_or(u64::MAX);
        sum += round
            .iter()
            .map(|reading| reading.quantity.value.mantissa())
            .sum::<i128>();
        let begun = Instant::now();
        engine.register(round)?;
        slowest_commit = slowest_commit.max(begun.elapsed());
        busy += begun.elapsed();
        if (number + 1) % ROUNDS_PER_DAY == 0 {
            let begun = Instant::now();
            engine.end_day(time(number + 1))?;
            slowest_sealing = slowest_sealing.max(begun.elapsed());
            busy += begun.elapsed();
        }
    }
    Ok(Found {
        readings,
        sum: sum.to_string(),
        seconds: busy.as_secs_f64(),
        slowest_commit_ms: milliseconds(slowest_commit),
        slowest_sealing_ms: milliseconds(slowest_sealing),
        open_bytes: file_bytes(&options.folder),
        ..Found::default()
    })
}

fn read(options: &StepOptions) -> Result<Found, BenchError> {
    let engine = options.engine.open(&options.folder)?;
    let work = Work::new();
    let elements: Vec<_> = work.elements().collect();
    let mut durations = Vec::new();
    // The first questions warm the caches, and do not count.
    let questions = QUESTIONS.min(options.days.saturating_mul(QUESTIONS_PER_DAY));
    for question in 0..questions * 2 {
        let index = usize::try_from(question.wrapping_mul(7_919)).unwrap_or(0) % elements.len().max(1);
        let period = days(question.wrapping_mul(31) % options.days.max(1), 1);
        let (Some(element), Some(period)) = (elements.get(index), period) else {
            continue;
        };
        let begun = Instant::now();
        let mut readings = 0u64;
        engine.read(Some(element), period, |_| readings += 1)?;
        durations.push(begun.elapsed());
        expect(options, ROUNDS_PER_DAY, readings)?;
    }
    let mut durations = durations.split_off(durations.len() / 2);
    durations.sort_unstable();
    let at = |index: usize| durations.get(index).copied().map_or(0.0, milliseconds);
    let mut fastest = Duration::MAX;
    let (mut readings, mut sum) = (0, 0);
    for _ in 0..EXPORTS {
        let begun = Instant::now();
        (readings, sum) = export(&engine, options.days)?;
        fastest = fastest.min(begun.elapsed());
    }
    Ok(Found {
        readings,
        sum: sum.to_string(),
        export_seconds: fastest.as_secs_f64(),
        day_median_ms: at(durations.len() / 2),
        day_slowest_percent_ms: at(durations.len() * 99 / 100),
        ..Found::default()
    })
}

fn export(engine: &Engine, count: u64) -> Result<(u64, i128), BenchError> {
    let (mut readings, mut sum) = (0u64, 0i128);
    if let Some(period) = days(0, count) {
        engine.read(None, period, |reading| {
            readings += 1;
            sum += reading.quantity.value.mantissa();
        })?;
    }
    Ok((readings, sum))
}

/// Stores rounds behind what is there until the process is killed.
fn write(options: &StepOptions) -> Result<(), BenchError> {
    let mut engine = options.engine.open(&options.folder)?;
    let mut work = Work::new();
    let first = options.first_round();
    for number in 0..u64::MAX {
        let round = work.round(number);
        if number < first {
            continue;
        }
        engine.register(round)?;
        if number - first == ROUNDS_BEFORE_KILL {
            say("written")?;
        }
    }
    Ok(())
}

fn open(options: &StepOptions) -> Result<Found, BenchError> {
    let begun = Instant::now();
    let engine = options.engine.open(&options.folder)?;
    let last = options.first_round().saturating_add(ROUNDS_BEFORE_KILL);
    let mut readings = 0;
    if let Ok(period) = model::Period::new(time(last), time(last + 1)) {
        engine.read(None, period, |_| readings += 1)?;
    }
    let open = begun.elapsed();
    expect(options, READINGS_PER_DAY / ROUNDS_PER_DAY, readings)?;
    Ok(Found {
        readings,
        open_ms: milliseconds(open),
        fresh_day_median_ms: ask_for_fresh_day(options, &engine)?,
        ..Found::default()
    })
}

/// Asks for a day that came before the kill and is not sealed, and returns the median time in ms.
fn ask_for_fresh_day(options: &StepOptions, engine: &Engine) -> Result<f64, BenchError> {
    let first = options.first_round();
    let mut durations = Vec::new();
    for element in Work::new().elements() {
        let Ok(period) = model::Period::new(time(first), time(first + ROUNDS_PER_DAY)) else {
            break;
        };
        let begun = Instant::now();
        let mut readings = 0u64;
        engine.read(Some(element), period, |_| readings += 1)?;
        durations.push(begun.elapsed());
        expect(options, ROUNDS_PER_DAY, readings)?;
    }
    durations.sort_unstable();
    Ok(durations
        .get(durations.len() / 2)
        .copied()
        .map_or(0.0, milliseconds))
}

fn expect(options: &StepOptions, expected: u64, found: u64) -> Result<(), BenchError> {
    if expected == found {
        return Ok(());
    }
    Err(BenchError::Content {
        engine: options.engine.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// Runs a step in a process of its own.
pub(super) fn in_process(task: Task, engine: Name, folder: &Path, days: u64) -> Result<Found, BenchError> {
    result_of(task, engine, command(task, engine, folder, days, 0))
}

fn result_of(task: Task, engine: Name, mut command: Command) -> Result<Found, BenchError> {
    let output = command.stderr(Stdio::inherit()).output().map_err(start_error)?;
    let line = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(line.trim()).map_err(|source| BenchError::Step {
        step: format!("{task:?} of {engine}"),
        source,
    })
}

/// Starts a process that writes, kills it while it does, and opens what it has left.
pub(super) fn open_after_kill(
    engine: Name,
    folder: &Path,
    days: u64,
    kill: u64,
) -> Result<Found, BenchError> {
    write_and_kill(engine, folder, days, kill)?;
    result_of(
        Task::Open,
        engine,
        command(Task::Open, engine, folder, days, kill),
    )
}

fn write_and_kill(engine: Name, folder: &Path, days: u64, number: u64) -> Result<(), BenchError> {
    let mut child = command(Task::Write, engine, folder, days, number)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(start_error)?;
    let said = child.stdout.take().map(first_line);
    kill(&mut child)?;
    match said {
        Some(Ok(line)) if line.trim() == "written" => Ok(()),
        Some(Err(source)) => Err(start_error(source)),
        Some(Ok(said)) => Err(BenchError::Program {
            program: format!("the writing step of {engine}"),
            said,
        }),
        None => Ok(()),
    }
}

fn first_line(stdout: ChildStdout) -> std::io::Result<String> {
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    Ok(line)
}

fn kill(child: &mut Child) -> Result<(), BenchError> {
    child.kill().map_err(start_error)?;
    child.wait().map_err(start_error)?;
    Ok(())
}

fn command(task: Task, engine: Name, folder: &Path, days: u64, number: u64) -> Command {
    let task = match task {
        Task::Fill => "fill",
        Task::Read => "read",
        Task::Write => "write",
        Task::Open => "open",
    };
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("bench")));
    command.args(["step", "--task", task, "--engine", engine.argument(), "--days"]);
    command.args([&days.to_string(), "--kill", &number.to_string(), "--folder"]);
    command.arg(folder);
    command
}

fn start_error(source: std::io::Error) -> BenchError {
    BenchError::Start {
        program: "a step of the bench".to_owned(),
        source,
    }
}

fn say(line: &str) -> Result<(), BenchError> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(BenchError::Output)
}

fn file_bytes(folder: &Path) -> u64 {
    let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
    Name::files(folder).into_iter().map(length).sum()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Reads a number that the kernel keeps about this process, 0 if it keeps none.
fn kernel_number(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}
