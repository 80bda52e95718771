//! `smgw mbus scan`.

use std::process::ExitCode;

use bus::discovery::scan;
use clap::Args;
use mbus::link::PrimaryAddress;

use super::found::Result;
use super::session::{BusOptions, End, end_progress, failure, print, until_cancelled};

/// Asks each primary address and shows the meters that answer.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 2 wrong usage, 3 the line did not answer well, 69 the bus cannot be reached, 130 cancelled by Ctrl-C; what was found until then is shown.\nWith --json: schema smgw.mbus.scan/1."
)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: BusOptions,
    /// The first primary address.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=250))]
    from: u8,
    /// The last primary address.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u8).range(..=250))]
    to: u8,
    /// How often an address is asked that does not answer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    tries: u8,
}

pub(super) fn run(options: Options) -> ExitCode {
    let Options { bus, from, to, tries } = options;
    let addresses: Vec<PrimaryAddress> = (from..=to)
        .filter_map(|address| PrimaryAddress::try_from(address).ok())
        .collect();
    let mut result = bus.result("smgw.mbus.scan/1");
    let mut master = bus.master();
    let work = scan(&mut master, &addresses, tries, |report| result.take(report));
    let end = match until_cancelled(work) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    result.complete = end == End::Done;
    match print(&result, bus.json, Result::text) {
        Ok(()) => end.exit_code(),
        Err(error) => failure(&error),
    }
}
