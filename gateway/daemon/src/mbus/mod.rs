//! `smgw mbus`: the M-Bus on the command line.

mod decode;
mod input;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum MbusCommand {
    /// Decodes M-Bus frames given in hexadecimal, without a bus and without a daemon.
    Decode(decode::Options),
}

impl MbusCommand {
    /// Carries out the command and returns the exit code.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Decode(options) => decode::run(&options),
        }
    }
}
