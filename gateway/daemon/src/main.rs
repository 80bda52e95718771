//! `smgw`: the gateway, its local web and its command line in one binary.

mod again;
mod app;
mod applications;
mod binding;
mod card;
mod cli;
mod clock;
mod codes;
mod config;
mod diagnostics;
mod doctor;
mod grants;
mod heap;
mod http;
mod journal;
mod life;
mod liveness;
mod local;
mod losses;
mod mbus;
mod metering;
mod modbus;
mod mounts;
mod network;
mod random;
mod report;
mod status;
mod threads;
mod wan;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
