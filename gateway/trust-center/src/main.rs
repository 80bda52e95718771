//! The trust centre (600) and, in operation the same party, the TSM (150): it makes an authority,
//! certifies suppliers, personalises cards, makes first contact with gateways and installs what
//! suppliers may have.
//!
//! Results go to the standard output, logs and errors to the standard error; the exit code is 0
//! for success, 1 for failure, 2 for a command line that is not understood, and 3 for books that were altered.

mod acl;
mod applications;
mod arguments;
mod authority;
mod batch;
mod books;
mod bundles;
mod card_act;
mod certify;
mod directory;
mod facility;
mod gateways;
mod install;
mod keys;
mod labels;
mod ldap;
mod names;
mod output;
mod pcsc_card;
mod personalize;
mod reader;
mod recorded;
mod relay;
mod renew;
mod revoke;
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

use acl::GatewayRules;
use arguments::{
    Arguments, BooksCommand, BrokerAcl, CardAct, CardPlace, Certify, CertifyBroker, CertifyFacility, Command,
    Common, Crl, Directory, Gateways, Init, Install, Personalize, PublishDirectory, Renew, Requests, Revoke,
    ServeDirectory, ServeTsm, Tsm,
};
use authority::{Authority, AuthorityError, Founding};
use batch::BatchError;
use books::{Books, BooksError, Filter};
use bundles::BundlesError;
use card_act::{CardActError, CardOrder, Sentence};
use certify::{BrokerOrder, CertifyError};
use directory::DirectoryError;
use facility::{FacilityError, FacilityOutput};
use gateways::{GatewayShown, GatewaysError};
use install::{InstallError, Order};
use keys::Token;
use ldap::{PublishError, Published};
use model::Span;
use names::{NameError, Standing};
use output::Output;
use personalize::{Completed, GuidSource, KeySource, PersonalizeError, Workplace};
use reader::{InsertedCard, ReaderError};
use recorded::{move_books, records};
use renew::RenewError;
use revoke::{RevokeError, Whom};
use tsm::operator::{self, OperatorError, RequestShown};
use tsm::server::{self, ServeError};

/// How long the end waits for the look-up of a name that nobody answers.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// The exit code for books that somebody has altered.
const ALTERED: u8 = 3;

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
    /// The trust centre cannot have the name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no card.
    #[error("there is no card to personalise")]
    Reader(#[from] ReaderError),
    /// A card was not personalised.
    #[error(transparent)]
    Personalize(#[from] PersonalizeError<ReaderError>),
    /// A batch was not completed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A certificate was not renewed.
    #[error(transparent)]
    Renew(#[from] RenewError),
    /// What is in force on gateways cannot be read.
    #[error("what is in force on the gateways cannot be read, so nothing is revoked")]
    Bundles(#[from] BundlesError),
    /// Nothing was revoked, or no list signed.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// The directory cannot be served.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The TSM does not serve.
    #[error(transparent)]
    Tsm(#[from] ServeError),
    /// A request was not shown or decided.
    #[error(transparent)]
    Request(#[from] OperatorError),
    /// Gateways were not shown or registered.
    #[error(transparent)]
    Gateways(#[from] GatewaysError),
    /// The directory was not published.
    #[error("the directory is not published as a whole")]
    Publish(#[from] PublishError),
    /// Two facilities did not come together.
    #[error(transparent)]
    Facility(#[from] FacilityError),
    /// The messages cannot be kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing was installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A card was not unlocked or terminated.
    #[error(transparent)]
    CardAct(#[from] CardActError),
    /// The manual cannot be written.
    #[cfg(feature = "manual")]
    #[error(transparent)]
    Manual(#[from] manual::ManualError),
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
        #[cfg(feature = "manual")]
        Command::Generate(options) => options
            .write(<Arguments as clap::CommandFactory>::command())
            .map_err(Into::into),
        Command::Certify(act) => certify(&act),
        Command::CertifyFacility(act) => certify_facility(&act),
        Command::CertifyBroker(act) => certify_broker(act),
        Command::BrokerAcl(act) => broker_acl(&act),
        Command::Renew(act) => renew(&act),
        Command::Revoke(act) => revoke(act),
        Command::Crl(act) => sign_lists(&act),
        Command::Personalize(act) => personalize(&act),
        Command::Facility { command } => facility::run(command).map_err(Into::into),
        Command::Records { command } => records(&command),
        Command::Books {
            command: BooksCommand::Move(act),
        } => move_books(&act),
        Command::Directory {
            command: Directory::Serve(act),
        } => serve_directory(&act),
        Command::Directory {
            command: Directory::Publish(act),
        } => publish_directory(act),
        Command::Install(act) => install(act),
        Command::Tsm {
            command: Tsm::Serve(act),
        } => serve_tsm(&act),
        Command::Tsm {
            command: Tsm::Requests { command },
        } => requests(&command),
        Command::Gateways { command } => gateways(&command),
        Command::Unlock(act) => act_on_card(act, Sentence::Unlock),
        Command::Terminate(act) => act_on_card(act, Sentence::Terminate),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error leaves the exit code to speak.
            drop(writeln!(io::stderr(), "trust-center: {}", chain(&error)));
            match error {
                ProgramError::Books(BooksError::Altered { .. } | BooksError::Index { .. }) => {
                    ExitCode::from(ALTERED)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Opens the books of a trust centre and loads its authority.
fn open(common: &Common) -> Result<(Authority, Books), ProgramError> {
    let books = Books::open(&common.home)?;
    let authority = Authority::load(&common.home, &common.secrets, &books, clock::now())?;
    Ok((authority, books))
}

fn init(act: &Init) -> Result<(), ProgramError> {
    names::check(&act.name)?;
    let token = act.hsm_module.as_ref().zip(act.hsm_token.as_ref());
    let token = token.map(|(module, label)| Token {
        module: module.clone(),
        label: label.clone(),
    });
    let founding = Founding {
        name: &act.name,
        secrets: &act.common.secrets,
        token: token.as_ref(),
        books: act.books.as_deref(),
    };
    let authority = Authority::init(&act.common.home, &founding, clock::now())?;
    let output = Output::Init {
        name: authority.anchor().name().clone(),
        fingerprint: authority.anchor().certificate().fingerprint(),
    };
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn certify(act: &Certify) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let supplier = certify::certify(
        &authority,
        &books,
        &act.requests,
        Standing::Newcomer,
        clock::now(),
    )?;
    let output = Output::certified(&supplier);
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn certify_facility(act: &CertifyFacility) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let facility = certify::certify_facility(&authority, &books, &act.requests, clock::now())?;
    let output = FacilityOutput::Certified {
        fingerprint: facility.sig.certificate().fingerprint(),
        name: facility.name,
    };
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn certify_broker(act: CertifyBroker) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let order = BrokerOrder {
        request: act.request,
        names: act.dns,
        certificate: act.out,
    };
    let certificate = certify::certify_broker(&authority, &books, &order, clock::now())?;
    let fingerprint = certificate.fingerprint();
    let output = Output::CertifyBroker { fingerprint };
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn broker_acl(act: &BrokerAcl) -> Result<(), ProgramError> {
    let books = Books::open(&act.common.home)?;
    let gateways = if act.gateways {
        GatewayRules::Each
    } else {
        GatewayRules::Patterns
    };
    let rules = acl::rules(&books, gateways, clock::now())?;
    for name in &rules.left_out {
        tracing::warn!(
            "{name:?} gets no rules, since a broker would take the name for others; certify it by another name"
        );
    }
    output::print(act.common.json, &rules, || rules.rules.trim_end().to_owned()).map_err(ProgramError::Output)
}

fn renew(act: &Renew) -> Result<(), ProgramError> {
    let (mut authority, books) = open(&act.common)?;
    let now = clock::now();
    if act.whose.issuing {
        let certificate = authority.renew_issuing(&books, now)?;
        let output = Output::Renew {
            fingerprint: certificate.fingerprint(),
            name: authority.anchor().name().clone(),
        };
        return output.print(act.common.json).map_err(ProgramError::Output);
    }
    let party = match (&act.whose.requests, act.whose.guid) {
        (Some(folder), _) => certify::certify(&authority, &books, folder, Standing::Holder, now)?,
        (None, Some(guid)) => renew::card(&authority, &books, guid, now)?,
        (None, None) => authority.renew_tsm(&books, now)?,
    };
    let output = Output::Renew {
        fingerprint: party.sig.certificate().fingerprint(),
        name: party.name,
    };
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn revoke(act: Revoke) -> Result<(), ProgramError> {
    let books = Books::open(&act.common.home)?;
    let whom = match (act.whose.guid, act.whose.name, act.whose.certificate) {
        (Some(guid), ..) => Whom::Card(guid),
        (_, Some(name), _) => Whom::Party(name),
        (.., file) => Whom::File(file.unwrap_or_default()),
    };
    let reason = act.reason;
    bundles::adopt_all(&act.common.home, &books)?;
    let revoked = revoke::revoke((&act.common.home, &books), &whom, reason, clock::now())?;
    let output = Output::Revoke { revoked, reason };
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn sign_lists(act: &Crl) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let validity = Span::from_seconds(act.days.saturating_mul(Span::DAY.seconds())).unwrap_or(Span::DAY);
    let lists = revoke::sign_lists(&authority, &books, !act.issuing_only, validity, clock::now())?;
    let output = Output::lists(lists);
    output.print(act.common.json).map_err(ProgramError::Output)
}

/// Starts the runtime of a program that serves others.
fn serving_runtime() -> Result<tokio::runtime::Runtime, ProgramError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ProgramError::Runtime)
}

fn serve_tsm(act: &ServeTsm) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let runtime = serving_runtime()?;
    let serving = server::serve(authority, books, act.listen, act.common.json, clock::now);
    let served = runtime.block_on(serving);
    runtime.shutdown_timeout(END_PATIENCE);
    Ok(served?)
}

fn requests(command: &Requests) -> Result<(), ProgramError> {
    let now = clock::now();
    let show = |shown: &RequestShown, json: bool| {
        output::print(json, shown, || shown.to_string()).map_err(ProgramError::Output)
    };
    match command {
        Requests::List(act) => {
            let books = Books::open(&act.common.home)?;
            let mut filter = Filter {
                state: act.state,
                ..Filter::default()
            };
            loop {
                let page = books.requests(filter)?;
                let Some(last) = page.last() else {
                    return Ok(());
                };
                filter.behind = last.number;
                for entry in &page {
                    show(&operator::shown(entry)?, act.common.json)?;
                }
            }
        }
        Requests::Show(act) => {
            let (authority, books) = open(&act.common)?;
            let shown = operator::shown_with_difference(&authority, &books, act.id, now)?;
            show(&shown, act.common.json)
        }
        Requests::Approve(act) => {
            let (authority, books) = open(&act.common)?;
            let shown = operator::approve(&authority, &books, act.id, now)?;
            show(&shown, act.common.json)
        }
        Requests::Reject(act) => {
            let books = Books::open(&act.common.home)?;
            show(
                &operator::reject(&books, act.id, &act.reason, now)?,
                act.common.json,
            )
        }
    }
}

fn gateways(command: &Gateways) -> Result<(), ProgramError> {
    let now = clock::now();
    match command {
        Gateways::List(act) => {
            let books = Books::open(&act.common.home)?;
            let json = act.common.json;
            if !json {
                output::print(false, &(), GatewayShown::head).map_err(ProgramError::Output)?;
            }
            let forecast = gateways::list(&books, act.expiring_within, now, |shown| {
                output::print(json, shown, || shown.row()).map_err(ProgramError::Output)
            })?;
            output::print(json, &forecast, || forecast.to_string()).map_err(ProgramError::Output)
        }
        Gateways::Show(act) => {
            let shown = gateways::show(&Books::open(&act.common.home)?, act.guid, now)?;
            output::print(act.common.json, &shown, || shown.to_string()).map_err(ProgramError::Output)
        }
        Gateways::Register(act) => {
            let books = Books::open(&act.common.home)?;
            let gateways = match (&act.from, act.guid) {
                (Some(list), _) => gateways::register_all(&books, list, now)?,
                (None, Some(guid)) => {
                    let address = act.gateway.as_ref().map(ToString::to_string);
                    books.register(now, guid, address.as_deref())?;
                    1
                }
                (None, None) => 0,
            };
            let output = Output::Registered { gateways };
            output.print(act.common.json).map_err(ProgramError::Output)
        }
    }
}

fn serve_directory(act: &ServeDirectory) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let runtime = serving_runtime()?;
    let served = runtime.block_on(directory::serve(authority, books, act.listen, act.common.json));
    runtime.shutdown_timeout(END_PATIENCE);
    Ok(served?)
}

fn publish_directory(act: PublishDirectory) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let json = act.common.json;
    let order = ldap::Order {
        server: act.ldap,
        base: act.base,
        bind: act.bind.zip(act.password_file),
        starttls: act.starttls,
        authority: act.ca,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ProgramError::Runtime)?;
    let published = runtime.block_on(ldap::publish(&authority, &books, &order));
    runtime.shutdown_timeout(END_PATIENCE);
    let Published {
        added,
        changed,
        removed,
        unchanged,
    } = published?;
    let output = Output::Publish {
        added,
        changed,
        removed,
        unchanged,
    };
    output.print(json).map_err(ProgramError::Output)
}

fn personalize(act: &Personalize) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    // Whoever cannot issue certificates touches no card.
    authority.ready()?;
    let source = if act.guid_from_key {
        GuidSource::CardKey
    } else {
        GuidSource::Prefix(act.prefix)
    };
    let keys = if act.keys_from_center {
        KeySource::Center
    } else {
        KeySource::Card
    };
    let output = match (act.batch, &act.labels) {
        (Some(cards), Some(labels)) => {
            let order = batch::Order {
                place: act.card.clone(),
                cards,
                labels: labels.clone(),
                source,
                keys,
            };
            let batch::Done { batch, guids, failed } = batch::run(&authority, &books, &order)?;
            Output::Batch { batch, guids, failed }
        }
        _ => {
            let workplace = Workplace {
                authority: &authority,
                books: &books,
                source,
                keys,
                station: batch::station(&act.card, ""),
                keeps_its_card: matches!(act.card, CardPlace::Soft(_)),
            };
            let card = InsertedCard::insert(&act.card)?;
            let Completed {
                guid, party, took, ..
            } = personalize::personalize(&workplace, card, clock::now())?;
            Output::personalized(guid, &party, took)
        }
    };
    output.print(act.common.json).map_err(ProgramError::Output)
}

fn install(act: Install) -> Result<(), ProgramError> {
    let (authority, books) = open(&act.common)?;
    let order = Order {
        guid: act.guid,
        gateway: act.gateway,
        supplier: act.supplier,
        grants: act.grants,
        application: act.application,
        assignments: act.assignment,
    };
    if act.dry_run {
        let difference = install::preview(&authority, &books, &order, clock::now())?;
        let output = Output::DryRun(difference);
        return output.print(act.common.json).map_err(ProgramError::Output);
    }
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
    let (authority, books) = open(&act.common)?;
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
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
