//! The speed of Modbus: an SDM630 on a slow serial line beside a client of pymodbus and beside one request
//! for each value, and many meters on TCP in one round.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod hosts;
mod line;

use std::time::Duration;

use clap::Args;

use crate::error::BenchError;

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Few meters on TCP, and fewer reads of the line.
    #[arg(long)]
    short: bool,
}

/// What something took, and what it may take.
struct Figure {
    name: String,
    /// How many requests went over the wire.
    requests: u64,
    taken: Duration,
    /// What bits and meters alone take.
    bound: Duration,
    /// None for what is measured for comparison.
    limit: Option<Duration>,
}

/// Measures and prints; it takes some ten seconds.
///
/// # Errors
///
/// [`BenchError`] if a meter was not read, readers disagree, or a figure is above its limit.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(BenchError::Output)?;
    let mut figures = runtime.block_on(line::measure(options.short))?;
    figures.extend(runtime.block_on(hosts::measure(options.short))?);
    println!(
        "{:<56} {:>8} {:>9} {:>9} {:>9}",
        "Modbus; the SDM630 at 9600 baud with 20 ms latency", "requests", "taken", "bound", "limit"
    );
    let mut above = Vec::new();
    for figure in &figures {
        let limit = figure.limit.map_or_else(String::new, seconds);
        println!(
            "{:<56} {:>8} {:>9} {:>9} {:>9}",
            figure.name,
            figure.requests,
            seconds(figure.taken),
            seconds(figure.bound),
            limit
        );
        if figure.limit.is_some_and(|limit| figure.taken > limit) {
            above.push(figure.name.clone());
        }
    }
    println!(
        "bound: what bits, silences and latency take; limit: a fifth of the faster single reads, or 1 s"
    );
    if above.is_empty() {
        return Ok(());
    }
    Err(BenchError::AboveLimit(above.join(", ")))
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// Names what a meter or a reader did wrong.
fn unread(error: impl std::fmt::Display) -> BenchError {
    BenchError::Program {
        program: "the simulated meter".to_owned(),
        said: error.to_string(),
    }
}
