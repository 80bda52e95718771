//! `smgw mbus set-address`: the primary address and the identification.

use std::process::ExitCode;

use bus::{MbusMaster, PollError};
use clap::Args;
use mbus::link::{LongFrame, PrimaryAddress, SecondaryAddress};
use mbus::master::{Found, Instruction, MeterAddress, Read, Recipient, Station};

use super::found::Result;
use super::session::{
    BAD_ANSWER, BusOptions, End, end_progress, failure, meter_address, print, say, until_cancelled,
};

/// Gives a meter another primary address or another identification, and reads it there.
#[derive(Debug, Args)]
#[command(
    after_help = "What is new has to be free: it is asked first. An address that two meters have cannot be told apart any more. Many meters permit their identification to be changed only while they are not sealed.\nExit codes: 0 done, 2 wrong usage, 3 the meter did not answer or did not take it, or the address is taken, 69 the bus cannot be reached, 130 cancelled by Ctrl-C.\nWith --json: schema smgw.mbus.set-address/1."
)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: BusOptions,
    /// The meter: its primary address, 0 to 250, 254 for the only one on the line, or its secondary address such as 12345678 or ACW-12345678-14-07.
    #[arg(value_name = "METER", value_parser = meter_address)]
    meter: MeterAddress,
    /// The new primary address, 1 to 250.
    #[arg(value_name = "ADDRESS", value_parser = clap::value_parser!(u8).range(1..=250), required_unless_present = "identification")]
    address: Option<u8>,
    /// The new identification: the 8 digits with which the secondary address begins.
    #[arg(long, value_name = "DIGITS", value_parser = identification)]
    identification: Option<u32>,
}

/// Takes 8 decimal digits; what comes out has one of them in each nibble.
fn identification(text: &str) -> std::result::Result<u32, String> {
    if text.len() == SecondaryAddress::DIGITS
        && text.bytes().all(|digit| digit.is_ascii_digit())
        && let Ok(digits) = u32::from_str_radix(text, 16)
    {
        return Ok(digits);
    }
    Err("an identification has 8 decimal digits".to_owned())
}

pub(super) fn run(options: Options) -> ExitCode {
    let mut result = options.bus.result("smgw.mbus.set-address/1");
    let mut master = options.bus.master();
    let mut refused = None;
    let work = set(&mut master, &options, &mut result, &mut refused);
    let end = match until_cancelled(work) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    result.complete = end == End::Done && refused.is_none();
    match (print(&result, options.bus.json, Result::text), refused) {
        (Ok(()), Some(refused)) => {
            say(&format!("smgw: {refused}"));
            ExitCode::from(BAD_ANSWER)
        }
        (Ok(()), None) => end.exit_code(),
        (Err(error), _) => failure(&error),
    }
}

/// Why a meter did not get what it was to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("the address {0} is taken; nothing was changed")]
    AddressTaken(PrimaryAddress),
    #[error("the identification {0:08X} is taken; nothing was changed")]
    IdentificationTaken(u32),
    #[error("the meter has acknowledged the identification {0:08X} and has kept its own; it may be sealed")]
    IdentificationKept(u32),
}

async fn set(
    master: &mut MbusMaster,
    options: &Options,
    result: &mut Result,
    refused: &mut Option<Refused>,
) -> std::result::Result<(), PollError> {
    let new = options
        .address
        .and_then(|address| PrimaryAddress::try_from(address).ok());
    *refused = taken(master, new, options.identification).await?;
    if refused.is_some() {
        return Ok(());
    }
    let mut meter = options.meter;
    if let Some(new) = new {
        let recipient = Recipient::Meter(meter);
        master.command(recipient, Instruction::SetPrimary(new)).await?;
        meter = new.into();
    }
    if let Some(digits) = options.identification {
        let instruction = Instruction::SetIdentification(digits);
        master.command(Recipient::Meter(meter), instruction).await?;
        if let MeterAddress::Secondary(_) = meter {
            meter = with_digits(digits).into();
        }
    }
    let mut station = result.station(meter);
    let telegrams = master.read(&mut station).await?;
    if let (Some(digits), Some(identity)) = (options.identification, identity(&mut station, &telegrams))
        && identity.identification() != digits
    {
        *refused = Some(Refused::IdentificationKept(digits));
    }
    result.add(meter, &telegrams);
    Ok(())
}

/// Asks whether somebody has what the meter is to get.
async fn taken(
    master: &mut MbusMaster,
    address: Option<PrimaryAddress>,
    identification: Option<u32>,
) -> std::result::Result<Option<Refused>, PollError> {
    if let Some(address) = address
        && master.probe(address.into(), Read::MAX_TRIES).await? != Found::Nobody
    {
        return Ok(Some(Refused::AddressTaken(address)));
    }
    if let Some(digits) = identification
        && master.probe(with_digits(digits).into(), Read::MAX_TRIES).await? != Found::Nobody
    {
        return Ok(Some(Refused::IdentificationTaken(digits)));
    }
    Ok(None)
}

/// Selects whoever has the identification.
const fn with_digits(identification: u32) -> SecondaryAddress {
    SecondaryAddress::new(identification, u16::MAX, u8::MAX, u8::MAX)
}

/// Returns the secondary address that the telegrams name, if they name one.
fn identity(station: &mut Station, telegrams: &[LongFrame]) -> Option<SecondaryAddress> {
    let readout = station.readout(telegrams).ok()?;
    readout.meter.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identification_has_eight_decimal_digits() {
        assert_eq!(identification("01234567"), Ok(0x0123_4567));
        for text in ["1234567", "123456789", "1234567F", "+1234567", ""] {
            assert!(identification(text).unwrap_err().contains("8 decimal"), "{text}");
        }
    }
}
