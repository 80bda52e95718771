//! The chores of the project, in Rust: `cargo demo`, `cargo verify`, `cargo xtask apps`, `bench`, `crates`, `cross`, `deb`, `man`,
//! `torture`, `fuzz`, `update` and `vm`.
//!
//! `demo` shows the whole system on one machine, `verify` runs every check and test, `torture` kills,
//! cuts off and damages the store. All install the system packages that they lack, and build with the
//! same flags, so that none undoes the others' work. Nothing here is part of the product.

mod apps;
mod bench;
mod browser;
mod build;
mod crates;
mod cross;
mod deb;
mod demo;
mod error;
mod fuzz;
mod kept;
mod manual;
mod packages;
mod python;
mod received;
mod table;
mod torture;
mod update;
mod verify;
mod vm;

use std::error::Error;
use std::ffi::OsString;
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
    /// Builds the energy applications and compares their digests.
    Apps(apps::Options),
    /// Lists the crates for the recipes of the Yocto layer, anew after a change of Cargo.lock.
    Crates,
    /// Builds the daemon for the processor of a gateway, compares its size with its limit, and runs tests under qemu.
    Cross(cross::Options),
    /// Holds the results and the fuel of the energy applications against each other on aarch64 and armv7, under qemu.
    CrossEvaluation,
    /// Makes packages for Debian of gateway, trust centre and supplier, and has lintian judge them.
    Deb(deb::Options),
    /// Builds and runs the whole system on this machine and shows what the supplier receives.
    Demo(demo::Options),
    /// Measures figures that have a limit and prints them beside it: `bench store`, `bench mbus`, `bench mbus-bus`,
    /// `bench modbus`, `bench card`, `bench evaluation`.
    Bench(bench::Options),
    /// Writes man pages and completions of the programs into the target folder, for packages.
    Man(manual::Options),
    /// Runs every check and test: format, clippy, build, tests, documentation.
    Verify,
    /// Boots a machine with our units under a real systemd, looks at it from inside, and cuts its power.
    Vm(vm::Options),
    /// Boots a machine that is updated by RAUC: into the other root, cut in the middle, and back where the gateway does not answer.
    Update(update::Options),
    /// Kills, cuts off and damages a part of the system, and says what it does not stand.
    Torture(torture::Options),
    /// Throws bytes at whatever takes them from outside: `fuzz applet --seconds 600`.
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let arguments = without_separator(std::env::args_os().collect());
    let done = match Arguments::parse_from(arguments).chore {
        Chore::Apps(options) => apps::run(options),
        Chore::Crates => crates::run(),
        Chore::Cross(options) => cross::run(&options),
        Chore::CrossEvaluation => cross::evaluation(),
        Chore::Deb(options) => deb::run(&options),
        Chore::Demo(options) => demo::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Man(options) => manual::run(&options),
        Chore::Verify => verify::run(),
        Chore::Vm(options) => vm::run(&options),
        Chore::Update(options) => update::run(&options),
        Chore::Torture(options) => torture::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Leaves out the `--` of `cargo demo -- --rounds 3`: the alias has one of its own before the chore, so
/// that this one arrives here, behind it.
fn without_separator(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const BEHIND_THE_CHORE: usize = 2;
    if arguments
        .get(BEHIND_THE_CHORE)
        .is_some_and(|argument| argument == "--")
    {
        arguments.remove(BEHIND_THE_CHORE);
    }
    arguments
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn chores_are_called_with_and_without_a_separator() {
        for line in ["xtask demo -- --rounds 3 --json", "xtask demo --rounds 3 --json"] {
            let arguments = line.split(' ').map(OsString::from).collect();
            let parsed = Arguments::try_parse_from(without_separator(arguments));
            assert!(matches!(parsed.unwrap().chore, Chore::Demo(_)), "{line}");
        }
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_a_bench_are_its_own() {
        let parsed = Arguments::try_parse_from(["xtask", "bench", "store", "--short"]);
        assert!(matches!(parsed.unwrap().chore, Chore::Bench(_)));
        assert!(Arguments::try_parse_from(["xtask", "bench"]).is_err());
        assert!(Arguments::try_parse_from(["xtask", "fuzz", "applet", "--seconds", "5"]).is_ok());
        assert!(Arguments::try_parse_from(["xtask", "fuzz", "nothing"]).is_err());
    }
}
