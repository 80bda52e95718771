//! `cargo xtask man`: man pages and completions of the programs, for packages.
//!
//! Each program writes its own, from the definition of its command line. It is built for that with a feature of its own, which
//! no program that is delivered has.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::path::PathBuf;

use crate::apps::target;
use crate::build::{cargo, run_step};
use crate::error::XtaskError;

/// The packages and the programs in them.
const PROGRAMS: [(&str, &str); 3] = [
    ("daemon", "smgw"),
    ("trust-center", "trust-center"),
    ("supplier", "supplier"),
];

/// What each writes, and into which folder below that of the target.
const WRITTEN: [(&str, &str); 2] = [("man", "man/man1"), ("completions", "completions")];

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
pub(crate) fn run(options: Options) -> Result<(), XtaskError> {
    let into = options.into.unwrap_or_else(target);
    for (package, program) in PROGRAMS {
        for (what, folder) in WRITTEN {
            let folder = into.join(folder);
            let feature = format!("{package}/manual");
            let mut command = cargo(&["run", "--quiet", "--package", package, "--bin", program]);
            if !options.debug {
                command.arg("--release");
            }
            command.args(["--features", &feature, "--", "generate", what]);
            run_step(program, command.arg(&folder))?;
        }
    }
    for (_, folder) in WRITTEN {
        println!("{}", into.join(folder).display());
    }
    Ok(())
}
