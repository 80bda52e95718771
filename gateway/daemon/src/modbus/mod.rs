//! `smgw modbus`: the technician's tools for Modbus meters, and their profiles.
//!
//! Nothing here asks the daemon, so that a profile can be written and a meter be read where no
//! gateway is. Results go to standard output, progress to standard error.

mod check;
mod profiles;
mod read;
mod scan;
pub(crate) mod source;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use modbus::Profile;

use crate::cli::{CONFIGURATION, FAILURE, fail};

/// Looks after the profiles of Modbus meters, and speaks to the meters.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reads a meter by its profile and shows its values.
    Read(read::Options),
    /// Asks units and shows which meters they are.
    Scan(scan::Options),
    /// Lists the built-in profiles, or shows one of them, or the form of them all.
    Profiles(profiles::Arguments),
    /// Checks a profile and runs its self-tests; names file, line and field of a fault.
    Check(check::Arguments),
}

impl Command {
    /// Carries out the command and returns the exit code.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Read(options) => read::run(&options),
            Self::Scan(options) => scan::run(options),
            Self::Profiles(arguments) => show(profiles::run(&arguments)),
            Self::Check(arguments) => check::run(&arguments),
        }
    }
}

fn show(result: Result<String, CommandError>) -> ExitCode {
    match result.map(|text| io::stdout().write_all(text.as_bytes())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(FAILURE, &error),
        Err(error) => fail(CONFIGURATION, &error),
    }
}

/// The reason why a command on profiles failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is no built-in profile of that name.
    #[error("there is no profile \"{name}\"; `smgw modbus profiles` lists them")]
    UnknownProfile { name: String },
}

/// Returns how many requests read everything; none for a SunSpec meter, whose registers must be found first.
fn requests(profile: &Profile) -> Option<usize> {
    profile.is_placed().then(|| profile.blocks().len())
}
