//! The command lines of `supplier bill`, `supplier proof` and `supplier export`.

use std::path::PathBuf;

use clap::Args;
use messages::content::MessageId;
use model::{CardId, ElementPattern, Timestamp};
use supplier::Format;

use super::StoreChoice;

/// `supplier bill`
#[derive(Debug, Args)]
pub(crate) struct Bill {
    #[command(flatten)]
    pub(crate) store: StoreChoice,
    /// The GUID of the gateway's card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
    /// The beginning: a date, which begins at midnight of the place, or a time such as 2026-11-23T12:00:00Z
    #[arg(long, value_name = "DATE|TIME")]
    pub(crate) from: String,
    /// The end; the reading of this time is the last one
    #[arg(long, value_name = "DATE|TIME")]
    pub(crate) to: String,
    /// The tariff; without one, what was counted is billed without amounts
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) tariff: Option<PathBuf>,
    /// The time zone of dates; the tariff's if it is not said, or UTC
    #[arg(long, value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// Registers, such as */1-0:1.8.0*255; may be repeated. All that count, or that the tariff is about, if none is said
    #[arg(long, value_name = "PATTERN")]
    pub(crate) elements: Vec<ElementPattern>,
    /// Where two values contradict each other, bill the one that came first
    #[arg(long)]
    pub(crate) despite_conflicts: bool,
    /// Print the bill as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `supplier proof`
#[derive(Debug, Args)]
pub(crate) struct Proof {
    #[command(flatten)]
    pub(crate) store: StoreChoice,
    /// The GUID of the gateway's card
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: CardId,
    /// The answer's identity, as a bill or an export names it
    #[arg(long, value_name = "ID")]
    pub(crate) message: MessageId,
    /// The file (DER), which must not be there yet
    #[arg(long, value_name = "FILE.cms")]
    pub(crate) out: PathBuf,
}

/// `supplier export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) store: StoreChoice,
    /// csv, json or parquet
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// The file; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Only the gateway of this GUID
    #[arg(long, value_name = "GUID")]
    pub(crate) guid: Option<CardId>,
    /// Only these elements, such as */1-0:1.8.0*255; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) elements: Vec<ElementPattern>,
    /// Only from this time on
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Timestamp>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Timestamp>,
    /// Write a row for each gap too
    #[arg(long)]
    pub(crate) gaps: bool,
    /// Print what was written as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}
