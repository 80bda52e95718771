//! `smgw mbus set-address`.

use std::process::ExitCode;

use bus::{MbusMaster, PollError};
use clap::Args;
use mbus::link::PrimaryAddress;
use mbus::master::{Found, Instruction, MeterAddress, Read, Recipient, Station};

use super::found::Result;
use super::session::{
    BAD_ANSWER, BusOptions, End, end_progress, failure, meter_address, print, say, until_cancelled,
};

/// Gives a meter another primary address, and reads it there.
#[derive(Debug, Args)]
#[command(
    after_help = "The new address has to be free: it is asked first. An address that two meters have cannot be told apart any more.\nExit codes: 0 done, 2 wrong usage, 3 the meter did not answer, or the address is taken, 69 the bus cannot be reached, 130 cancelled by Ctrl-C.\nWith --json: schema smgw.mbus.set-address/1."
)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: BusOptions,
    /// The meter: its primary address, 0 to 250, or its secondary one such as 12345678 or ACW-12345678-14-07.
    #[arg(value_name = "METER", value_parser = meter_address)]
    meter: MeterAddress,
    /// The new primary address, 1 to 250.
    #[arg(value_name = "ADDRESS", value_parser = clap::value_parser!(u8).range(1..=250))]
    address: u8,
}

pub(super) fn run(options: Options) -> ExitCode {
    let mut result = Result::new("smgw.mbus.set-address/1", options.bus.name());
    let mut master = options.bus.master();
    let mut is_taken = false;
    let work = set(&mut master, &options, &mut result, &mut is_taken);
    let end = match until_cancelled(work) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    result.complete = end == End::Done && !is_taken;
    match print(&result, options.bus.json, Result::text) {
        Ok(()) if is_taken => {
            say(&format!(
                "smgw: the address {} is taken; nothing was changed",
                options.address
            ));
            ExitCode::from(BAD_ANSWER)
        }
        Ok(()) => end.exit_code(),
        Err(error) => failure(&error),
    }
}

async fn set(
    master: &mut MbusMaster,
    options: &Options,
    result: &mut Result,
    is_taken: &mut bool,
) -> std::result::Result<(), PollError> {
    let Ok(new) = PrimaryAddress::try_from(options.address) else {
        return Ok(());
    };
    if master.probe(new.into(), Read::MAX_TRIES).await? != Found::Nobody {
        *is_taken = true;
        return Ok(());
    }
    let recipient = Recipient::Meter(options.meter);
    master.command(recipient, Instruction::SetPrimary(new)).await?;
    let telegrams = master.read(&mut Station::new(new)).await?;
    result.add(new.into(), &telegrams);
    Ok(())
}
