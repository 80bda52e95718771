//! The trust centre (600) and, in operation the same party, the TSM (150): it makes an authority,
//! certifies suppliers, personalises cards, makes first contact with gateways and installs what
//! suppliers may have.
//!
//! Results go to the standard output, logs and errors to the standard error; the exit code is 0
//! for success, 1 for failure and 2 for a command line that is not understood.

mod arguments;
mod authority;
mod books;
mod bundles;
mod card_act;
mod certify;
mod grants;
mod install;
mod output;
mod pcsc_card;
mod personalize;
mod reader;
mod relay;
#[cfg(feature = "soft-card")]
mod soft_card;
#[cfg(test)]
#[cfg(feature = "soft-card")]
mod stories;
mod tsm;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use counterparty::archive::{Archive, ArchiveError};
use counterparty::clock;

use arguments::{Arguments, CardAct, Certify, Command, Init, Install, Personalize};
use authority::{Authority, AuthorityError};
use books::{Books, BooksError};
use card_act::{CardActError, CardOrder, Sentence};
use certify::CertifyError;
use install::{InstallError, Order};
use output::Output;
use personalize::PersonalizeError;
use reader::{InsertedCard, ReaderError};

/// How long the end waits for the look-up of a name that nobody answers.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// The reason why the program failed.
#[derive(Debug, thiserror::Error)]
enum ProgramError {
    /// There is no authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// There are no books.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// A supplier was not certified.
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// There is no card.
    #[error("there is no card to personalise")]
    Reader(#[from] ReaderError),
    /// A card was not personalised.
    #[error(transparent)]
    Personalize(#[from] PersonalizeError<ReaderError>),
    /// The messages cannot be kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing was installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A card was not unlocked or terminated.
    #[error(transparent)]
    CardAct(#[from] CardActError),
    /// No runtime for the network.
    #[error("the network cannot be used")]
    Runtime(#[source] io::Error),
    /// The result could not be printed.
    #[error("the result cannot be printed, though the act is done")]
    Output(#[source] io::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_max_level(tracing::Level::INFO)
        .init();
    let done = match arguments.command {
        Command::Init(act) => init(&act),
        Command::Certify(act) => certify(&act),
        Command::Personalize(act) => personalize(&act),
        Command::Install(act) => install(act),
        Command::Unlock(act) => act_on_card(act, Sentence::Unlock),
        Command::Terminate(act) => act_on_card(act, Sentence::Terminate),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error leaves the exit code to speak.
            drop(writeln!(io::stderr(), "trust-center: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn init(act: &Init) -> Result<(), ProgramError> {
    let authority = Authority::init(&act.common.home, &act.name, clock::now())?;
    let output = Output::Init {
        name: authority.anchor().name().clone(),
        fingerprint: authority.anchor().certificate().fingerprint(),
    };
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn certify(act: &Certify) -> Result<(), ProgramError> {
    let now = clock::now();
    let authority = Authority::load(&act.common.home, now)?;
    let books = Books::open(&act.common.home)?;
    let supplier = certify::certify(&authority, &books, &act.requests, now)?;
    let output = Output::certified(&supplier);
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn personalize(act: &Personalize) -> Result<(), ProgramError> {
    let now = clock::now();
    let authority = Authority::load(&act.common.home, now)?;
    let books = Books::open(&act.common.home)?;
    let card = InsertedCard::insert(&act.card)?;
    let (identity, party) = personalize::personalize(&authority, &books, act.prefix, card, now)?;
    let output = Output::personalized(identity.guid, &party);
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn install(act: Install) -> Result<(), ProgramError> {
    let authority = Authority::load(&act.common.home, clock::now())?;
    let books = Books::open(&act.common.home)?;
    let order = Order {
        guid: act.guid,
        gateway: act.gateway,
        supplier: act.supplier,
        grants: act.grants,
    };
    let keep = act.keep.as_deref();
    let mut archive = keep.map(Archive::open).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ProgramError::Runtime)?;
    let archive = archive.as_mut();
    let installed = runtime.block_on(install::install(&authority, &books, &order, archive, clock::now));
    runtime.shutdown_timeout(END_PATIENCE);
    let output = Output::installed(order.guid, &installed?);
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn act_on_card(act: CardAct, sentence: Sentence) -> Result<(), ProgramError> {
    let authority = Authority::load(&act.common.home, clock::now())?;
    let books = Books::open(&act.common.home)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ProgramError::Runtime)?;
    let json = act.common.json;
    let order = CardOrder {
        guid: act.guid,
        way: act.way,
        sentence,
    };
    let output = runtime.block_on(card_act::carry_out(&authority, &books, &order, clock::now));
    runtime.shutdown_timeout(END_PATIENCE);
    output?.print(json).map_err(ProgramError::Output)
}

/// Writes an error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
