//! The bench of personalising: a batch of soft cards, by the program as its operator calls it.
//!
//! A soft card's own work, its keys, signatures and files, is in the figures: a real card takes longer, but on its own
//! processor. So what the software takes beside a card is less than what is printed for one.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use system::{Folder, Interrupt, Program, Programs, Stage};

use crate::error::BenchError;

/// How many cards a batch has.
const CARDS: u32 = 1_000;
const SHORT_CARDS: u32 = 50;
/// How long a batch of [`CARDS`] may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer cards: to see that it works.
    #[arg(long)]
    short: bool,
    /// Succeed even if a figure is above its limit.
    #[arg(long)]
    no_limits: bool,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let cards = if options.short { SHORT_CARDS } else { CARDS };
    let stage = Stage::set(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
    let begun = Instant::now();
    let command = stage.command(Program::TrustCenter, "personalize");
    let command = command
        .option("--home", stage.trust_center())
        .option("--card", format!("soft:{}", stage.path("cards").display()))
        .option("--batch", cards.to_string())
        .option("--labels", stage.path("labels"));
    stage.run(&command)?.success()?;
    let whole = begun.elapsed();
    let each = whole.checked_div(cards).unwrap_or(whole);
    let text = format!(
        "{:<60} {:>10} {:>10}\n{:<60} {:>10} {:>10}\n{:<60} {:>10} {:>10}\n",
        "",
        "limit",
        "found",
        format!("a batch of {cards} soft cards (limit for {CARDS})"),
        format!("{LIMIT:?}"),
        format!("{whole:.1?}"),
        "divided by the cards, the soft card's own work included",
        "-",
        format!("{each:.1?}")
    );
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)?;
    if options.short || options.no_limits || whole <= LIMIT {
        return Ok(());
    }
    Err(BenchError::AboveLimit("personalising".to_owned()))
}
