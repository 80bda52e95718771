//! Energy applications: what a package is, whether it does what it says, and the process that runs them.

mod check;
mod host;
mod process;

use std::process::ExitCode;

pub(crate) use process::prove;

/// `smgw app`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AppCommand {
    /// Checks the package of an application as an installation does: its form, its module, and every vector of its manifest,
    /// fuel included.
    Check(check::Arguments),
}

impl AppCommand {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Check(arguments) => check::run(&arguments),
        }
    }
}

/// `smgw app-host`: runs the one job that its standard input has. The daemon starts it.
pub(crate) fn serve() -> ExitCode {
    host::run()
}
