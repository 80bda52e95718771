//! `smgw app list`, `run` and `explain`: what the daemon knows of applications and of what they have made.

use std::process::ExitCode;

use clap::Args;
use model::{Element, ElementPattern, ParseElementPatternError, Timestamp};

use crate::applications::{AppsView, ExplanationView, RunView};
use crate::cli::ordering::{Output, PeriodArgument, order, question};
use crate::local::apps;

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The application's id, such as taf-2.
    id: String,
    /// Store nothing; values are stored by the daemon alone, when a window is over.
    #[arg(long, required = true)]
    dry: bool,
    /// The window, as in 2026-11-22T00:00:00Z/2026-11-23T00:00:00Z.
    #[arg(long, value_name = "FROM/TO")]
    period: PeriodArgument,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// The element, as in M1/1-0:1.8.1*255.
    element: ElementArgument,
    /// The time of the value, which is the end of its period.
    time: Timestamp,
    #[command(flatten)]
    output: Output,
}

/// An element as it is typed: meter and code.
#[derive(Debug, Clone)]
struct ElementArgument(Element);

/// The reason why a text is no element.
#[derive(Debug, thiserror::Error)]
enum ElementArgumentError {
    #[error("an element has a meter and a whole code, as in M1/1-0:1.8.1*255")]
    Pattern,
    #[error(transparent)]
    Form(#[from] ParseElementPatternError),
}

impl std::str::FromStr for ElementArgument {
    type Err = ElementArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pattern: ElementPattern = text.parse()?;
        pattern.exact().map(Self).ok_or(ElementArgumentError::Pattern)
    }
}

pub(super) fn list(output: Output) -> ExitCode {
    question::<AppsView>(output, apps::APPS)
}

pub(super) fn run(options: RunOptions) -> ExitCode {
    let wanted = apps::Run {
        id: options.id,
        period: options.period.0,
    };
    order::<RunView>(options.output, apps::RUN, &wanted)
}

pub(super) fn explain(options: ExplainOptions) -> ExitCode {
    let wanted = apps::Explain {
        element: options.element.0.into(),
        time: options.time,
    };
    order::<ExplanationView>(options.output, apps::EXPLAIN, &wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_has_a_meter_and_a_whole_code() {
        let element: ElementArgument = "M1/1-0:1.8.1*255".parse().unwrap();
        assert_eq!(element.0.to_string(), "M1 1-0:1.8.1*255");
        for text in ["*/1-0:1.8.1*255", "M1/*", "M1", ""] {
            assert!(text.parse::<ElementArgument>().is_err(), "{text}");
        }
    }
}
