//! The bench of the card: commands through a real pcscd and the soft card, and what slow signatures do to the gateway.

mod handshakes;
mod latency;

use std::fmt;
use std::io::Write;

use clap::Args;
use system::{CardReader, Folder, House, Interrupt, Programs, Stage};

use crate::error::BenchError;

/// How often each command is sent.
const ROUNDS: usize = 2_000;
const SHORT_ROUNDS: usize = 200;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer rounds: to see that it works.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// A figure with its limit.
#[derive(Debug)]
struct Figure {
    name: &'static str,
    limit_ms: Option<f64>,
    ms: f64,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let rounds = if options.short { SHORT_ROUNDS } else { ROUNDS };
    let mut figures = Vec::new();
    {
        let mut stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
        let personalized = stage.personalize("card")?;
        let reader = stage.start_reader("pcscd")?;
        let _card = reader.insert(&stage, &personalized.file)?;
        let (variable, socket) = reader.environment();
        let step = std::env::current_exe().and_then(|program| {
            std::process::Command::new(program)
                .args([
                    "card-step",
                    "--rounds",
                    &rounds.to_string(),
                    "--reader",
                    CardReader::NAME,
                ])
                .env(variable, socket)
                .output()
        });
        figures.extend(latency::read(&step.map_err(BenchError::Network)?)?);
    }
    let mut house = House::for_a_story_with_a_reader("PT5S")?;
    figures.extend(handshakes::measure(&mut house)?);
    print(&figures)?;
    let above: Vec<_> = figures
        .iter()
        .filter(|figure| figure.is_above())
        .map(|figure| figure.name)
        .collect();
    if above.is_empty() || options.short || options.no_limits {
        return Ok(());
    }
    Err(BenchError::AboveLimit(above.join(", ")))
}

pub(crate) use latency::{StepOptions, run_step};

impl Figure {
    fn is_above(&self) -> bool {
        self.limit_ms.is_some_and(|limit| self.ms > limit)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self
            .limit_ms
            .map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        write!(formatter, "{:<70} {limit:>7} {:>10.3}", self.name, self.ms)
    }
}

fn print(figures: &[Figure]) -> Result<(), BenchError> {
    let mut text = format!("{:<70} {:>7} {:>10}\n", "ms", "limit", "found");
    for figure in figures {
        text.push_str(&format!("{figure}\n"));
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)
}

/// Returns the value below which the given share (0 to 1) of the values lies.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index among some thousand figures"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_above_its_limit_is_found() {
        let figure = |ms| Figure {
            name: "GET CHALLENGE",
            limit_ms: Some(0.2),
            ms,
        };
        assert!(!figure(0.2).is_above() && figure(0.3).is_above());
        assert!(figure(0.1).to_string().contains("GET CHALLENGE"));
    }

    #[test]
    fn median_is_in_the_middle() {
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 1.0), 9.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
