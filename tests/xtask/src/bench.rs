//! `cargo xtask bench`: builds the benches and runs one.
#![expect(
    clippy::print_stderr,
    reason = "a command-line tool tells its progress on standard error"
)]

use clap::Args;

use crate::build::{cargo, programs, run_step};
use crate::error::XtaskError;
use crate::{apps, packages, python};

/// Which bench, and its options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The bench and its options, such as `store --short`; `--help` names them.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "BENCH"
    )]
    arguments: Vec<String>,
}

/// Builds as the product is built, and runs the bench.
///
/// # Errors
///
/// [`XtaskError::Start`] if cargo cannot be started, [`XtaskError::Step`] if the bench fails or a figure is above its
/// limit; the bench has said which.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_VERIFY, &mut |text| eprintln!("{text}"))?;
    match options.arguments.first().map(String::as_str) {
        // They measure the programs as they are, so these stand beside it.
        Some("card" | "fleet" | "personalize" | "tsm" | "web") => run_step("build", &mut programs())?,
        Some("evaluation") => apps::run(apps::Options::default())?,
        // It measures a client in Python besides.
        Some("modbus") => python::ensure()?,
        _ => {}
    }
    let mut command = cargo(&["run", "--quiet", "--release", "--package", "bench", "--"]);
    run_step("bench", command.args(&options.arguments))
}
