//! Benches: figures that have a limit, measured and printed beside it.
//!
//! `cargo xtask bench store`, `mbus`, `mbus-bus`, `modbus`, `card`, `decision`, `evaluation`, `fleet`, `message`, `personalize`,
//! `tsm` and `web` build and run this. It is a program of its own, outside the default members, because it may name the database's
//! engine for comparison and nothing else may.

mod card;
mod decision;
mod error;
mod evaluation;
mod figures;
mod fleet;
mod mbus;
mod mbus_bus;
mod message;
mod modbus;
mod personalize;
mod store;
mod tsm;
mod web;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Figures that have a limit.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Disk, flash, time and memory of the readings, beside SQLite with one row for each reading.
    Store(store::Options),
    /// Instructions and time of the M-Bus decoder, under valgrind.
    Mbus(mbus::Options),
    /// The time of a round on a simulated M-Bus, beside what the bit times take.
    MbusBus(mbus_bus::Options),
    /// A full Modbus read on a slow line beside pymodbus and beside single reads, and many meters on TCP.
    Modbus(modbus::Options),
    /// Commands of the card through a real pcscd, and what slow signatures do to the gateway.
    Card(card::Options),
    /// A tariff over 100,000 readings in the sandbox, beside the same natively.
    Evaluation(evaluation::Options),
    /// A decision over a thousand grants.
    Decision(decision::Options),
    /// Thousands of simulated gateways behind one broker, pulled by a supplier.
    Fleet(fleet::Options),
    /// A month of values from the gateway's store to the supplier, and the bulk path beside AES-GCM alone.
    Message(message::Options),
    /// A batch of soft cards, as the trust centre personalises it.
    Personalize(personalize::Options),
    /// The memory of a TSM with many gateways and their queues.
    Tsm(tsm::Options),
    /// Every page of the local web with two years of quarter hours, what a browser loads, and the gateway's memory.
    Web(web::Options),
    /// A step of a bench in a process of its own.
    #[command(hide = true)]
    Step(store::StepOptions),
    /// A step of the bench of the M-Bus decoder.
    #[command(hide = true)]
    MbusStep(mbus::StepOptions),
    /// A step of the bench of the sandbox.
    #[command(hide = true)]
    EvaluationStep(evaluation::StepOptions),
    /// A step of the bench of the card.
    #[command(hide = true)]
    CardStep(card::StepOptions),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().bench {
        Bench::Store(options) => store::run(&options),
        Bench::Mbus(options) => mbus::run(&options),
        Bench::MbusBus(options) => mbus_bus::run(&options),
        Bench::Modbus(options) => modbus::run(&options),
        Bench::Card(options) => card::run(&options),
        Bench::Evaluation(options) => evaluation::run(&options),
        Bench::Decision(options) => decision::run(&options),
        Bench::Fleet(options) => fleet::run(&options),
        Bench::Message(options) => message::run(&options),
        Bench::Personalize(options) => personalize::run(&options),
        Bench::Tsm(options) => tsm::run(&options),
        Bench::Web(options) => web::run(&options),
        Bench::Step(options) => store::run_step(&options),
        Bench::MbusStep(options) => mbus::run_step(&options),
        Bench::EvaluationStep(options) => evaluation::run_step(&options),
        Bench::CardStep(options) => card::run_step(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints the error and all that it came from, once.
#[expect(
    clippy::print_stderr,
    reason = "a command-line tool tells its failure on standard error"
)]
fn report(error: &error::BenchError) {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
