//! Energy applications: what a package is, whether it does what it says, and the process that runs them.

mod asking;
mod check;
mod filter;
mod host;
mod process;

use std::process::ExitCode;

use crate::cli::ordering::Output;
use crate::cli::schema;

pub(crate) use process::{host, prove};

/// `smgw app`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AppCommand {
    /// Checks the package of an application as an installation does: its form, its module, and every vector of its manifest,
    /// fuel included.
    Check(check::Arguments),
    /// Lists the applications that the gateway keeps, what they are run on, and how far they have come.
    #[command(mut_arg("json", schema("smgw.app.list/1")))]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Runs an application over a period, as if that were a window of its assignments, and shows what it makes.
    #[command(mut_arg("json", schema("smgw.app.run/2")))]
    Run(asking::RunOptions),
    /// Explains a value that an application has made: revisions, versions, the readings that it is made of; and runs the
    /// version that made it once more over them.
    #[command(mut_arg("json", schema("smgw.app.explanation/2")))]
    Explain(asking::ExplainOptions),
}

impl AppCommand {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Check(arguments) => check::run(&arguments),
            Self::List { output } => asking::list(output),
            Self::Run(options) => asking::run(options),
            Self::Explain(options) => asking::explain(options),
        }
    }
}

/// `smgw app-host`: runs the one job that its standard input has. The daemon starts it.
pub(crate) fn serve() -> ExitCode {
    host::run()
}
