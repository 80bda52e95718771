//! `smgw modbus`: the profiles of Modbus meters.
//!
//! Nothing here asks the daemon, so that a profile can be written where no gateway is.

mod check;
mod profiles;

use std::path::PathBuf;

use clap::Subcommand;
use modbus::{Profile, ProfileError, SelfTestError};

/// Looks after the profiles of Modbus meters.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the built-in profiles, or shows one of them, or the form of them all.
    Profiles(profiles::Arguments),
    /// Checks a profile and runs its self-tests; names file, line and field of a fault.
    Check(check::Arguments),
}

impl Command {
    /// Carries out the command and returns what it prints.
    pub(crate) fn run(self) -> Result<String, CommandError> {
        match self {
            Self::Profiles(arguments) => profiles::run(&arguments),
            Self::Check(arguments) => check::run(&arguments),
        }
    }
}

/// The reason why a command on profiles failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is no built-in profile of that name.
    #[error("there is no profile {name:?}; `smgw modbus profiles` lists them")]
    UnknownProfile { name: String },
    /// The file cannot be read.
    #[error("{}: it cannot be read", file.display())]
    File { file: PathBuf, source: std::io::Error },
    /// The file is no profile.
    #[error("{}", file.display())]
    Profile { file: PathBuf, source: ProfileError },
    /// The file is not called as the profile in it.
    #[error("{}: name: the profile {name:?} belongs in a file {name}.toml", file.display())]
    FileName { file: PathBuf, name: String },
    /// Nothing shows that the profile is right.
    #[error("{}: self_tests: the profile has none", file.display())]
    NoSelfTest { file: PathBuf },
    /// A self-test does not give what it must.
    #[error("{}: self_tests[{index}]: {title:?} fails", file.display())]
    SelfTest {
        file: PathBuf,
        index: usize,
        title: String,
        source: Box<SelfTestError>,
    },
}

/// Returns how many requests read everything; none for a SunSpec meter, whose registers must be found first.
fn requests(profile: &Profile) -> Option<usize> {
    profile.is_placed().then(|| profile.blocks().len())
}
