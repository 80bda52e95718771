//! What the commands on a bus have in common: the bus, the way out, what is printed.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use bus::{MbusEndpoint, MbusMaster, PollError};
use clap::Args;
use mbus::link::{PrimaryAddress, SecondaryAddress};
use mbus::master::{BaudRate, MeterAddress, Timing, UnknownBaudRate};
use model::GapReason;
use serde::Serialize;

use super::decode::KeyDigits;
use crate::report::Chain;

/// A meter did not answer, or not well; or the line did not do what it was told.
pub(crate) const BAD_ANSWER: u8 = 3;
/// The bus cannot be reached.
pub(super) const UNAVAILABLE: u8 = 69;
/// Ctrl-C: 128 and the number of SIGINT. What was found until then is shown.
pub(super) const CANCELLED: u8 = 130;
const FAILURE: u8 = 1;

/// What USB and TCP converters add at most, in milliseconds.
pub(crate) const DEFAULT_LATENCY_MS: u64 = 100;
/// The greatest latency, in milliseconds: that of a satellite link, behind which nobody reads a bus.
pub(crate) const MAX_LATENCY_MS: u64 = 5_000;

/// The bus that a command is for.
#[derive(Debug, Args)]
pub(super) struct BusOptions {
    /// The bus: tcp:HOST:PORT, or serial:DEVICE:BAUD such as serial:/dev/ttyUSB0:2400.
    #[arg(value_name = "BUS")]
    bus: MbusEndpoint,
    /// The speed behind a converter on TCP, 300 to 38400.
    #[arg(long, value_parser = baud_rate)]
    baud: Option<BaudRate>,
    /// What the converter adds to the time of an answer, in milliseconds; more finds slow meters.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT_LATENCY_MS, value_parser = clap::value_parser!(u64).range(..=MAX_LATENCY_MS))]
    latency_ms: u64,
    /// The AES key of meters whose telegrams are encrypted: 32 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = KeyDigits::parse)]
    key: Option<KeyDigits>,
    /// Print one JSON document.
    #[arg(long)]
    pub(super) json: bool,
}

fn baud_rate(text: &str) -> Result<BaudRate, UnknownBaudRate> {
    BaudRate::try_from(text.parse::<u32>().unwrap_or(0))
}

/// The text of the test address.
const SINGLE: &str = "254";

/// Takes a primary address, 0 to 250, 254 for the only meter on the line, or a secondary address.
pub(super) fn meter_address(text: &str) -> Result<MeterAddress, String> {
    if text == SINGLE {
        return Ok(MeterAddress::Single);
    }
    if let Some(primary) = primary(text) {
        return Ok(primary.into());
    }
    let address: SecondaryAddress = text
        .parse()
        .map_err(|error| format!("{error}; a primary address lies between 0 and 250"))?;
    Ok(address.into())
}

/// Takes up to three decimal digits for a primary address: eight are a secondary one.
fn primary(text: &str) -> Option<PrimaryAddress> {
    let address: u8 = text.parse().ok()?;
    PrimaryAddress::try_from(address).ok().filter(|_| text.len() <= 3)
}

impl BusOptions {
    /// Builds the master of the bus; the port is not opened yet.
    pub(super) fn master(&self) -> MbusMaster {
        let baud_rate = match (&self.bus, self.baud) {
            (MbusEndpoint::Tcp { .. }, Some(baud)) => baud,
            (endpoint, _) => endpoint.baud_rate(),
        };
        let timing = Timing::new(baud_rate, Duration::from_millis(self.latency_ms));
        MbusMaster::new(self.bus.clone(), timing)
    }

    /// Begins the result of a command on the bus.
    pub(super) fn result(&self, schema: &'static str) -> super::found::Result {
        let key = self.key.as_ref().map(|digits| digits.0.clone());
        super::found::Result::new(schema, self.bus.to_string(), key)
    }
}

/// How a command came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Cancelled,
    Failed(PollError),
}

/// Runs what is to be done on the bus until it is done or Ctrl-C is pressed.
pub(crate) fn until_cancelled(work: impl Future<Output = Result<(), PollError>>) -> Result<End, io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            cancelled = tokio::signal::ctrl_c() => cancelled.map(|()| End::Cancelled),
            done = work => Ok(match done {
                Ok(()) => End::Done,
                Err(error) => End::Failed(error),
            }),
        }
    })
}

impl End {
    /// Says on standard error what is to be said, and returns the exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Cancelled => {
                say("smgw: cancelled");
                ExitCode::from(CANCELLED)
            }
            Self::Failed(error) => {
                say(&format!("smgw: {}", Chain(error)));
                match error.gap_reason() {
                    GapReason::BusDown => ExitCode::from(UNAVAILABLE),
                    GapReason::NoAnswer | GapReason::BadAnswer | GapReason::NotAvailable => {
                        ExitCode::from(BAD_ANSWER)
                    }
                }
            }
        }
    }
}

/// Says something on standard error; if even that fails, the exit code still tells.
pub(crate) fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Shows how far it has come, if somebody is watching.
pub(crate) fn show_progress(text: &str) {
    if io::stderr().is_terminal() {
        drop(write!(io::stderr(), "\r\x1b[K{text}"));
    }
}

/// Wipes what the progress has left.
pub(crate) fn end_progress() {
    show_progress("");
}

/// Prints the result as JSON, or as `text` says it.
pub(crate) fn print<T: Serialize>(
    result: &T,
    json: bool,
    text: impl FnOnce(&T) -> String,
) -> Result<(), io::Error> {
    let text = if json {
        format!("{}\n", serde_json::to_string(result)?)
    } else {
        text(result)
    };
    io::stdout().write_all(text.as_bytes())
}

/// The exit code when the machine itself fails: no runtime, no output.
pub(crate) fn failure(error: &io::Error) -> ExitCode {
    say(&format!("smgw: {}", Chain(error)));
    ExitCode::from(FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_are_named_by_either_address() {
        assert_eq!(meter_address("17").unwrap().to_string(), "17");
        assert_eq!(meter_address("254"), Ok(MeterAddress::Single));
        assert_eq!(MeterAddress::Single.to_string(), "254");
        assert_eq!(meter_address("00000017").unwrap().to_string(), "*-00000017-*-*");
        assert_eq!(
            meter_address("ACW-12345678-14-07").unwrap().to_string(),
            "ACW-12345678-14-07"
        );
        for text in ["251", "253", "255", "-1", "1234", ""] {
            assert!(meter_address(text).unwrap_err().contains("0 and 250"), "{text}");
        }
    }

    #[test]
    fn work_that_fails_says_who_is_at_fault() {
        let error = PollError::ConnectTimeout {
            endpoint: "127.0.0.1:10001".to_owned(),
        };
        let end = until_cancelled(async { Err(error.clone()) }).unwrap();
        assert_eq!(end, End::Failed(error));
        assert_eq!(end.exit_code(), ExitCode::from(UNAVAILABLE));
        let end = End::Failed(PollError::NoAnswer { tries: 3 });
        assert_eq!(end.exit_code(), ExitCode::from(BAD_ANSWER));
        assert_eq!(End::Cancelled.exit_code(), ExitCode::from(CANCELLED));
    }
}
