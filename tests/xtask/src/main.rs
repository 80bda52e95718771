//! The chores of the project, in Rust: `cargo demo` and `cargo verify`.
//!
//! `demo` shows the whole system on one machine, `verify` runs every check and test. Both install
//! the system packages that they lack, and build with the same flags, so that neither undoes the
//! other's work. Nothing here is part of the product.

mod build;
mod demo;
mod error;
mod kept;
mod packages;
mod received;
mod table;
mod verify;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::XtaskError;

/// The chores of the project.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Builds and runs the whole system on this machine and shows what the supplier receives.
    Demo(demo::Options),
    /// Runs every check and test: format, clippy, build, tests, documentation.
    Verify,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Demo(options) => demo::run(&options),
        Chore::Verify => verify::run(),
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
fn report(error: &XtaskError) {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
}
