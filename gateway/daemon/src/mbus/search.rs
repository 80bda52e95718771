//! `smgw mbus search`.

use std::process::ExitCode;

use bus::discovery::search;
use clap::Args;
use mbus::link::SecondaryAddress;

use super::found::Result;
use super::session::{BusOptions, End, end_progress, failure, print, until_cancelled};

/// Searches for meters by their secondary addresses, nibble by nibble.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 2 wrong usage, 3 a known meter is missing or the line did not answer well, 69 the bus cannot be reached, 130 cancelled by Ctrl-C; what was found until then is shown.\nWith --json: schema smgw.mbus.search/1."
)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: BusOptions,
    /// Search only among these: 8 digits, or MAKER-DIGITS-VERSION-TYPE; F and * are wildcards.
    #[arg(long, value_name = "ADDRESS", default_value = "*-*-*-*")]
    mask: SecondaryAddress,
    /// A meter that is known: it is read first, and its collisions are not asked for.
    #[arg(long, value_name = "ADDRESS")]
    known: Vec<SecondaryAddress>,
    /// How often an address is asked that does not answer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    tries: u8,
}

pub(super) fn run(options: Options) -> ExitCode {
    let Options {
        bus,
        mask,
        known,
        tries,
    } = options;
    let mut result = bus.result("smgw.mbus.search/1");
    let mut master = bus.master();
    let work = search(&mut master, mask, &known, tries, |report| result.take(report));
    let end = match until_cancelled(work) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    result.complete = end == End::Done;
    match print(&result, bus.json, Result::text) {
        Ok(()) if end == End::Done && !result.is_sound() => ExitCode::from(super::session::BAD_ANSWER),
        Ok(()) => end.exit_code(),
        Err(error) => failure(&error),
    }
}
