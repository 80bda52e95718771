//! What is on the command line of two facilities.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use messages::certificate::PartyName;
use model::CardId;

use crate::arguments::{CardPlace, Common};
use crate::books::{DeliveryId, GuidPrefix};

/// The acts of two facilities.
#[derive(Debug, Subcommand)]
pub(crate) enum FacilityCommand {
    /// At the second facility: makes keys, requests for their certificates, and books
    Init(Init),
    /// At the trust centre: answers facilities over TLS connections
    Serve(Serve),
    /// At the trust centre: answers a file of a facility with another one
    Answer(AnswerFile),
    /// At the trust centre: prepares material that nobody has asked for, in a file
    Export(Export),
    /// At the trust centre: lists the deliveries that are pending
    Deliveries(Deliveries),
    /// At the trust centre: gives a pending delivery up that its facility has lost or will not take
    Cancel(Cancel),
    /// At the second facility: fetches material for later, with keys that the trust centre makes
    Order(Order),
    /// At the second facility: takes a file of the trust centre
    Import(Import),
    /// At the second facility: throws material away of which no card is to be made
    Discard(Discard),
    /// At the second facility: makes a card, or a batch of them
    Personalize(Personalize),
    /// At the second facility: tells the trust centre what became of the cards
    Report(Report),
}

/// `trust-center facility init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(super) common: Common,
    /// The facility's name, as certificates carry it
    #[arg(long, value_name = "NAME")]
    pub(super) name: PartyName,
}

/// How the trust centre makes GUIDs for facilities.
#[derive(Debug, Args)]
pub(crate) struct Guids {
    /// The upper half of the GUIDs; the lower one is random
    #[arg(long, value_name = "ADDRESS/64", default_value = GuidPrefix::DEFAULT)]
    pub(super) prefix: GuidPrefix,
    /// Make the GUIDs of the cards' public keys instead
    #[arg(long, conflicts_with = "prefix")]
    pub(super) guid_from_key: bool,
}

/// `trust-center facility serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) guids: Guids,
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:8611")]
    pub(super) listen: SocketAddr,
}

/// `trust-center facility answer`
#[derive(Debug, Args)]
pub(crate) struct AnswerFile {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) guids: Guids,
    /// The facility's file
    #[arg(long, value_name = "FILE.cms")]
    pub(super) file: PathBuf,
    /// Where the answer goes
    #[arg(long, value_name = "FILE.cms")]
    pub(super) out: PathBuf,
}

/// `trust-center facility export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) guids: Guids,
    /// The facility's name
    #[arg(long, value_name = "NAME")]
    pub(super) facility: PartyName,
    /// For how many cards
    #[arg(long, value_name = "CARDS", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(super) cards: u16,
    /// Where the material goes
    #[arg(long, value_name = "FILE.cms")]
    pub(super) out: PathBuf,
}

/// `trust-center facility deliveries`
#[derive(Debug, Args)]
pub(crate) struct Deliveries {
    #[command(flatten)]
    pub(super) common: Common,
}

/// `trust-center facility cancel`
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(super) common: Common,
    /// The delivery's name, as `deliveries` and `export` print it
    #[arg(long, value_name = "DELIVERY")]
    pub(super) delivery: DeliveryId,
}

/// `trust-center facility order`
#[derive(Debug, Args)]
pub(crate) struct Order {
    #[command(flatten)]
    pub(super) common: Common,
    /// Where the trust centre serves facilities
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) center: String,
    /// For how many cards
    #[arg(long, value_name = "CARDS", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(super) cards: u16,
}

/// `trust-center facility import`
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(super) common: Common,
    /// The trust centre's file: material, or the answer to a report
    #[arg(long, value_name = "FILE.cms")]
    pub(super) file: PathBuf,
    /// Where the confirmation goes that material has arrived
    #[arg(long, value_name = "FILE.cms")]
    pub(super) out: Option<PathBuf>,
}

/// `trust-center facility discard`
#[derive(Debug, Args)]
pub(crate) struct Discard {
    #[command(flatten)]
    pub(super) common: Common,
    /// The GUID of the material
    #[arg(long, value_name = "GUID")]
    pub(super) guid: CardId,
}

/// `trust-center facility personalize`
#[derive(Debug, Args)]
pub(crate) struct Personalize {
    #[command(flatten)]
    pub(super) common: Common,
    /// Where the trust centre serves facilities
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "from_material")]
    pub(super) center: Option<String>,
    /// Make the cards of the material in the folder, with the keys that the trust centre has made. That takes no
    /// connection; without --center, `report` tells later what became of the cards
    #[arg(long)]
    pub(super) from_material: bool,
    /// The card: pcsc:READER is the card in a reader, named as `opensc-tool -l` does; soft:FILE is a card in a file, blank
    /// if the file is not there yet
    #[arg(long, value_name = "CARD")]
    pub(super) card: CardPlace,
    /// Make this many cards; soft:FOLDER is then a folder of cards in files. The same command takes a batch up again
    #[arg(long, value_name = "CARDS", requires = "labels", value_parser = clap::value_parser!(u32).range(1..=99_999))]
    pub(super) batch: Option<u32>,
    /// Where the labels of the batch go
    #[arg(long, value_name = "DIR", requires = "batch")]
    pub(super) labels: Option<PathBuf>,
}

/// `trust-center facility report`
#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(super) common: Common,
    /// Where the trust centre serves facilities
    #[arg(
        long,
        value_name = "HOST:PORT",
        required_unless_present = "out",
        conflicts_with = "out"
    )]
    pub(super) center: Option<String>,
    /// Where the report goes instead; `import` takes the answer to it
    #[arg(long, value_name = "FILE.cms")]
    pub(super) out: Option<PathBuf>,
}
