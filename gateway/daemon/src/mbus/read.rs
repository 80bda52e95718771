//! `smgw mbus read`.

use std::process::ExitCode;

use bus::{MbusMaster, PollError};
use clap::Args;
use mbus::master::MeterAddress;
use model::GapReason;

use super::found::Result;
use super::session::{
    BAD_ANSWER, BusOptions, End, end_progress, failure, meter_address, print, show_progress, until_cancelled,
};

/// Reads meters and shows their values.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 2 wrong usage, 3 a meter did not answer or not well, 69 the bus cannot be reached, 130 cancelled by Ctrl-C; what was read until then is shown.\nWith --json: schema smgw.mbus.read/1."
)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: BusOptions,
    /// The meters: primary addresses, 0 to 250, 254 for the only meter on the line, or secondary ones such as 12345678 or ACW-12345678-14-07.
    #[arg(required = true, value_name = "METER", value_parser = meter_address)]
    meters: Vec<MeterAddress>,
    /// Resets the application of each meter first, with this subcode, which chooses what it sends.
    #[arg(long, value_name = "SUBCODE")]
    application_reset: Option<u8>,
}

pub(super) fn run(options: Options) -> ExitCode {
    let mut result = options.bus.result("smgw.mbus.read/1");
    let mut master = options.bus.master();
    let end = match until_cancelled(read_all(&mut master, &options, &mut result)) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    result.complete = end == End::Done;
    match print(&result, options.bus.json, Result::text) {
        Ok(()) if end == End::Done && !result.is_sound() => ExitCode::from(BAD_ANSWER),
        Ok(()) => end.exit_code(),
        Err(error) => failure(&error),
    }
}

async fn read_all(
    master: &mut MbusMaster,
    options: &Options,
    result: &mut Result,
) -> std::result::Result<(), PollError> {
    for address in &options.meters {
        show_progress(&format!("reading {address}"));
        let mut station = result.station(*address);
        if let Some(subcode) = options.application_reset {
            station = station.with_application_reset(subcode);
        }
        match master.read(&mut station).await {
            Ok(telegrams) => result.add(*address, &telegrams),
            Err(error) if error.gap_reason() == GapReason::BusDown => return Err(error),
            Err(error) => result.miss(*address, &error),
        }
    }
    Ok(())
}
