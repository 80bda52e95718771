//! `smgw mbus`: the technician's tools for an M-Bus, without a daemon.
//!
//! Results go to standard output, progress to standard error. The daemon must not read the same bus
//! at the same time: two masters talk into each other's answers.

mod decode;
mod found;
mod input;
mod read;
mod scan;
mod search;
pub(crate) mod session;
mod set_address;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use decode::KeyDigits;
pub(crate) use session::{DEFAULT_LATENCY_MS, MAX_LATENCY_MS};

/// What can be done on an M-Bus, or with what was heard on one.
#[derive(Debug, Subcommand)]
pub(crate) enum MbusCommand {
    /// Asks each primary address and shows the meters that answer.
    Scan(scan::Options),
    /// Searches for meters by their secondary addresses, nibble by nibble.
    Search(search::Options),
    /// Reads meters and shows their values.
    Read(read::Options),
    /// Gives a meter another primary address or another identification, and reads it there.
    SetAddress(set_address::Options),
    /// Decodes M-Bus frames given in hexadecimal, without a bus.
    Decode(decode::Options),
}

impl MbusCommand {
    /// Carries out the command and returns the exit code.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Scan(options) => scan::run(options),
            Self::Search(options) => search::run(options),
            Self::Read(options) => read::run(options),
            Self::SetAddress(options) => set_address::run(options),
            Self::Decode(options) => decode::run(&options),
        }
    }
}
