//! `cargo xtask man`: man pages and completions of the programs, for packages, and the catalogue by which systemd's journal
//! explains the codes of the gateway.
//!
//! Each program writes its own, from the definition of its command line. It is built for that with a feature of its own, which
//! no program that is delivered has.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::path::PathBuf;
use std::process::Command;

use crate::apps::target;
use crate::build::{cargo, root, run_step};
use crate::error::XtaskError;

/// The packages and the programs in them.
const PROGRAMS: [(&str, &str); 3] = [
    ("daemon", "smgw"),
    ("trust-center", "trust-center"),
    ("supplier", "supplier"),
];

/// What each writes, and into which folder below that of the target.
const WRITTEN: [(&str, &str); 2] = [("man", "man/man1"), ("completions", "completions")];

/// Where the catalogue is kept.
const CATALOGUE: &str = "systemd/smgw.catalog";

/// Options of the chore.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Build as for a test, which takes less time and writes the same.
    #[arg(long)]
    debug: bool,
    /// The folder to write into; the target's, if it is not said.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// Writes them all.
///
/// # Errors
///
/// [`XtaskError::Step`] names the program that cannot be built or that fails.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    let into = options.into.clone().unwrap_or_else(target);
    for (package, program) in PROGRAMS {
        for (what, folder) in WRITTEN {
            let mut command = writer(options, package, program);
            run_step(program, command.args(["generate", what]).arg(into.join(folder)))?;
        }
    }
    let catalogue = root().join(CATALOGUE);
    let (package, program) = PROGRAMS[0];
    let mut command = writer(options, package, program);
    run_step(program, command.arg("catalogue").arg(&catalogue))?;
    for (_, folder) in WRITTEN {
        println!("{}", into.join(folder).display());
    }
    println!("{}", catalogue.display());
    Ok(())
}

/// Begins a call of a program that is built to write.
fn writer(options: &Options, package: &str, program: &str) -> Command {
    let mut command = cargo(&["run", "--quiet", "--package", package, "--bin", program]);
    if !options.debug {
        command.arg("--release");
    }
    command.args(["--features", &format!("{package}/manual"), "--"]);
    command
}
