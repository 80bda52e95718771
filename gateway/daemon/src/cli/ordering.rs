//! Orders and questions that the daemon may refuse, and what is typed for them.

use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use model::{ParseTimeError, Period};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ConfigFile, FAILURE, answer, fail, with_config};
use crate::local::control::{self, ControlError};
use crate::local::grants::Outcome;

/// A period as it is typed: two times with a slash between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeriodArgument(pub(crate) Period);

/// The reason why a text is no period.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeriodArgumentError {
    #[error("a period has two times with a slash between")]
    Form,
    #[error(transparent)]
    Time(#[from] ParseTimeError),
}

impl FromStr for PeriodArgument {
    type Err = PeriodArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once('/').ok_or(PeriodArgumentError::Form)?;
        Ok(Self(Period::new(from.parse()?, to.parse()?)?))
    }
}

/// The daemon did not carry out an order.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotDone(String);

/// How the answer is printed, and of which gateway it is.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print one JSON document; the schema is said by each command.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) file: ConfigFile,
}

/// Has the daemon carry out an order, and shows what came of it.
pub(crate) fn order<T: Display + Serialize + DeserializeOwned>(
    output: Output,
    address: &str,
    what: &impl Serialize,
) -> ExitCode {
    with_config(output.file.config, |config| {
        let outcome = control::order::<Outcome<T>>(&config.control_socket, address, what);
        told(outcome, output.json)
    })
}

/// Asks the daemon something that it may refuse, and shows the answer.
pub(crate) fn question<T: Display + Serialize + DeserializeOwned>(output: Output, address: &str) -> ExitCode {
    with_config(output.file.config, |config| {
        let outcome = control::ask_for::<Outcome<T>>(&config.control_socket, address);
        told(outcome, output.json)
    })
}

fn told<T: Display + Serialize>(outcome: Result<Outcome<T>, ControlError>, json: bool) -> ExitCode {
    match outcome {
        Ok(Outcome::Done(done)) => answer(Ok(done), json),
        Ok(Outcome::Refused(reason)) => fail(FAILURE, &NotDone(reason)),
        Err(error) => answer(Err::<T, ControlError>(error), json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_is_two_times_with_a_slash_between() {
        let period: PeriodArgument = "2026-11-22T00:00:00Z/2026-11-23T00:00:00Z".parse().unwrap();
        assert_eq!(period.0.from().to_string(), "2026-11-22T00:00:00Z");
        for text in [
            "2026-11-22T00:00:00Z",
            "2026-11-23T00:00:00Z/2026-11-22T00:00:00Z",
            "a/b",
        ] {
            assert!(text.parse::<PeriodArgument>().is_err(), "{text}");
        }
    }
}
