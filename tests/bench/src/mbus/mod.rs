//! The bench of the M-Bus decoder: instructions under valgrind, because times are noisy, and wall time.
//!
//! A frame is decoded a few times and many times in processes under callgrind; the difference, divided by the
//! difference of the numbers, is what one frame takes. The frames are composed after those of real meters, about
//! 100 bytes each.

mod frames;

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use clap::{Args, ValueEnum};
use mbus::application::Telegram;
use mbus::link::Frame;
use mbus::report::json_line;

use crate::error::BenchError;
use frames::FRAMES;

/// How often a frame is decoded in the shorter of two runs, which pays for the start of the process.
const FEW: u32 = 10;
/// How often in the longer one.
const MANY: u32 = 1010;
/// How often for the wall time.
const TIMED: u32 = 200_000;
const SHORT_TIMED: u32 = 2_000;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measure the wall time over fewer frames.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// A run under valgrind.
#[derive(Debug, Args)]
pub(crate) struct StepOptions {
    task: Task,
    /// Which frame.
    frame: usize,
    /// How often it is decoded.
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Task {
    /// From the bytes of the frame to exact values.
    Values,
    /// From the bytes of the frame to a line of JSON with OBIS codes.
    Json,
}

impl Task {
    const ALL: [Self; 2] = [Self::Values, Self::Json];

    const fn argument(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Json => "json",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Values => "to values",
            Self::Json => "to JSON",
        }
    }

    /// The most instructions that one frame may take.
    const fn limit(self) -> u64 {
        match self {
            Self::Values => 8_000,
            Self::Json => 40_000,
        }
    }
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let timed = if options.short { SHORT_TIMED } else { TIMED };
    let mut table = String::from(
        "frame                 bytes  records  to        instructions    limit  within      time\n",
    );
    let mut above = Vec::new();
    for (number, (name, text)) in FRAMES.iter().enumerate() {
        let bytes = hex::decode(text).map_err(|_| BenchError::Frame)?;
        let records = decode(Task::Values, &bytes)?;
        for task in Task::ALL {
            let instructions = instructions(task, number)?;
            let limit = task.limit();
            let within = instructions <= limit;
            if !within {
                above.push(format!("{name} {}", task.title()));
            }
            let begun = Instant::now();
            for _ in 0..timed {
                decode(task, &bytes)?;
            }
            let nanoseconds = begun.elapsed().as_nanos() / u128::from(timed);
            writeln!(
                table,
                "{name:<20}  {:>5}  {records:>7}  {:<9} {instructions:>12}  {limit:>7}  {:<6}  {nanoseconds:>5} ns",
                bytes.len(),
                task.title(),
                if within { "yes" } else { "NO" },
            )
            .map_err(|_| BenchError::Frame)?;
        }
    }
    std::io::stdout()
        .write_all(table.as_bytes())
        .map_err(BenchError::Output)?;
    if above.is_empty() || options.no_limits {
        return Ok(());
    }
    Err(BenchError::AboveLimit(above.join(", ")))
}

/// Decodes a frame as often as asked, for valgrind to count.
pub(crate) fn run_step(options: &StepOptions) -> Result<(), BenchError> {
    let (_, text) = FRAMES.get(options.frame).ok_or(BenchError::Frame)?;
    let bytes = hex::decode(text).map_err(|_| BenchError::Frame)?;
    for _ in 0..options.count {
        decode(options.task, &bytes)?;
    }
    Ok(())
}

/// Decodes from the bytes; returns the number of records.
fn decode(task: Task, bytes: &[u8]) -> Result<usize, BenchError> {
    let Ok(Frame::Long(frame)) = Frame::parse(black_box(bytes)) else {
        return Err(BenchError::Frame);
    };
    let telegram = Telegram::parse(&frame).map_err(|_| BenchError::Frame)?;
    match task {
        Task::Values => {
            let mut records = 0;
            for record in telegram.records() {
                black_box(&record);
                records += 1;
            }
            Ok(records)
        }
        Task::Json => Ok(black_box(json_line(Some(frame.address()), &telegram)).len()),
    }
}

/// Returns what one frame takes.
fn instructions(task: Task, frame: usize) -> Result<u64, BenchError> {
    let few = counted(task, frame, FEW)?;
    let many = counted(task, frame, MANY)?;
    Ok(many.saturating_sub(few) / u64::from(MANY - FEW))
}

/// Runs a step of this program under callgrind.
fn counted(task: Task, frame: usize, count: u32) -> Result<u64, BenchError> {
    const PROGRAM: &str = "valgrind";
    let this = std::env::current_exe().map_err(|source| BenchError::Start {
        program: "this program".to_owned(),
        source,
    })?;
    let output = Command::new(PROGRAM)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["mbus-step", task.argument()])
        .args([frame.to_string(), count.to_string()])
        .output()
        .map_err(|source| BenchError::Start {
            program: PROGRAM.to_owned(),
            source,
        })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(BenchError::Program {
            program: PROGRAM.to_owned(),
            said,
        });
    }
    collected(&said).ok_or(BenchError::Instructions { said })
}

/// Reads the number behind `Collected :`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_instructions_is_read_from_what_valgrind_says() {
        assert_eq!(
            collected("==1== Events    : Ir\n==1== Collected : 15043\n"),
            Some(15_043)
        );
        assert_eq!(collected("==1== Collected : many"), None);
        assert_eq!(collected(""), None);
    }

    #[test]
    fn frames_are_decoded_without_an_error() {
        for (name, text) in FRAMES {
            let bytes = hex::decode(text).unwrap();
            assert!((90..=125).contains(&bytes.len()), "{name} has {}", bytes.len());
            let Ok(Frame::Long(frame)) = Frame::parse(&bytes) else {
                panic!("{name}");
            };
            let telegram = Telegram::parse(&frame).unwrap();
            assert!(telegram.records().count() >= 10, "{name}");
            assert!(telegram.records().all(|record| record.value.is_ok()), "{name}");
        }
    }
}
