//! The bench of personalising: one card after the other, and a batch of soft cards, by the program as its operator calls it.
//!
//! For one card the program says how long the card took, and how long it took itself beside that: certificates, books and
//! checks, on the disk too. In a batch the soft cards' own work is in the figures, their keys, signatures and files: a real
//! card takes longer, but on its own processor.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use system::{Folder, Interrupt, Personalized, Program, Programs, Stage};

use crate::error::BenchError;
use crate::figures::{line, median};

/// How many cards a batch has.
const CARDS: u32 = 1_000;
const SHORT_CARDS: u32 = 50;
/// How long a batch of [`CARDS`] may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How many cards are personalised one by one.
const SINGLE: usize = 11;
/// How long the software part of one personalisation may take, at the median.
const SOFTWARE_LIMIT: Duration = Duration::from_millis(20);

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
    let (software, card) = single(&stage)?;
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
    let mut text = line("", "limit", "found");
    text += &line(
        &format!("software part of one personalisation, median of {SINGLE}"),
        &format!("{SOFTWARE_LIMIT:?}"),
        &format!("{software:.1?}"),
    );
    text += &line("what the soft card takes beside it", "-", &format!("{card:.1?}"));
    text += &line(
        &format!("a batch of {cards} soft cards (limit for {CARDS})"),
        &format!("{LIMIT:?}"),
        &format!("{whole:.1?}"),
    );
    text += &line(
        "divided by the cards, the soft card's own work included",
        "-",
        &format!("{each:.1?}"),
    );
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)?;
    if options.short || options.no_limits || (whole <= LIMIT && software <= SOFTWARE_LIMIT) {
        return Ok(());
    }
    Err(BenchError::AboveLimit("personalising".to_owned()))
}

/// Personalises cards one by one; returns how long the software took, and the card, at the median.
fn single(stage: &Stage) -> Result<(Duration, Duration), BenchError> {
    let (mut software, mut card) = (Vec::new(), Vec::new());
    for number in 0..SINGLE {
        let command = stage.command(Program::TrustCenter, "personalize").arg("--json");
        let place = stage.path(&format!("single-{number}"));
        let personalized: Personalized = stage.ask(
            &command
                .option("--home", stage.trust_center())
                .option("--card", format!("soft:{}", place.display())),
        )?;
        software.push(Duration::from_micros(personalized.center_us));
        card.push(Duration::from_micros(personalized.card_us));
    }
    Ok((median(software), median(card)))
}
