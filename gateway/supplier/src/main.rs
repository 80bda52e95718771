//! The energy supplier (166) as a program: it makes keys, and pulls the elements that it was granted.
//!
//! Results go to the standard output, logs and errors to the standard error; the exit code is 0
//! for success, 1 for failure, 2 for a command line that is not understood, and 3 if not every gateway gave what it was
//! asked for.

mod arguments;
mod output;
mod pulling;
mod receiving;
mod reports;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use counterparty::clock;
use model::ParseTimeError;
use supplier::{
    ApplicationError, ArchiveError, AskError, BillError, ExchangeError, ExportError, FileError, Home,
    HomeError, InstallationOrder, KnownError, ListError, PullError, PullerError, ReceiveError, StoreError,
    TariffFileError, TsmClient, TsmClientError, request_install, sign,
};

use arguments::{Arguments, Command};
use output::{Founded, print_request};

/// How long the end waits for the look-up of a name that nobody answers.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// The reason why the program failed.
#[derive(Debug, thiserror::Error)]
enum ProgramError {
    /// There is no supplier.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A list was not taken, or is missing or old.
    #[error(transparent)]
    Lists(#[from] ListError),
    /// The times make no period.
    #[error("the times cannot be asked for; correct --last, or --from and --to")]
    Period(#[from] ParseTimeError),
    /// The messages cannot be kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The way to the gateway cannot be prepared.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The pull failed.
    #[error("the pull failed")]
    Pull(#[from] PullError),
    /// A pull into the store failed.
    #[error("the pull failed")]
    Puller(#[from] PullerError),
    /// What gateways send cannot be received.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no bill.
    #[error("there is no bill")]
    Bill(#[from] BillError),
    /// The tariff cannot be used.
    #[error("there is no bill")]
    Tariff(#[from] TariffFileError),
    /// The signed message cannot be written.
    #[error("the signed message cannot be written; choose another file")]
    Proof(#[from] FileError),
    /// There is no export.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// It is not known which gateways to ask, or where.
    #[error(transparent)]
    Known(#[from] KnownError),
    /// The manual cannot be written.
    #[cfg(feature = "manual")]
    #[error(transparent)]
    Manual(#[from] manual::ManualError),
    /// The way to the TSM cannot be prepared.
    #[error(transparent)]
    Tsm(#[from] TsmClientError),
    /// The TSM was not asked, or refuses.
    #[error("the TSM has not done what it was asked for")]
    Ask(#[from] AskError),
    /// The application is not signed.
    #[error("the application is not signed")]
    Application(#[from] ApplicationError),
    /// No runtime for the network, or no signals.
    #[error("the network cannot be used")]
    Runtime(#[source] io::Error),
    /// The result could not be printed.
    #[error("the result cannot be printed")]
    Output(#[source] io::Error),
}

/// What a command has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// It has done all.
    Whole,
    /// Not every gateway gave what it was asked for.
    InPart,
}

/// The exit code if not every gateway gave what it was asked for.
const IN_PART: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_max_level(tracing::Level::INFO)
        .init();
    let done = match arguments.command {
        Command::Init(act) => init(&act).map(whole),
        Command::Pull(act) => pulling::pull(&act),
        Command::Receive(act) => receiving::receive(&act).map(whole),
        Command::RequestInstall(act) => ask_for_installation(act).map(whole),
        Command::Requests(act) => requests(&act).map(whole),
        Command::App {
            act: arguments::App::Sign(act),
        } => sign_application(&act).map(whole),
        Command::Crl(act) => take_lists(&act).map(whole),
        Command::Gateways { act } => reports::gateways(&act).map(whole),
        Command::Gaps(act) => reports::gaps(&act).map(whole),
        Command::Conflicts(act) => reports::conflicts(&act).map(whole),
        Command::Proof(act) => reports::proof(&act).map(whole),
        Command::Bill(act) => reports::bill(&act).map(whole),
        Command::Export(act) => reports::export(&act).map(whole),
        #[cfg(feature = "manual")]
        Command::Generate(options) => options
            .write(<Arguments as clap::CommandFactory>::command())
            .map(whole)
            .map_err(Into::into),
    };
    match done {
        Ok(Done::Whole) => ExitCode::SUCCESS,
        Ok(Done::InPart) => ExitCode::from(IN_PART),
        Err(error) => {
            // A closed standard error leaves the exit code to speak.
            drop(writeln!(io::stderr(), "supplier: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

const fn whole((): ()) -> Done {
    Done::Whole
}

fn init(act: &arguments::Init) -> Result<(), ProgramError> {
    Home::init(&act.home, &act.name)?;
    let founded = Founded { name: &act.name };
    founded.print(act.json).map_err(ProgramError::Output)
}

fn take_lists(act: &arguments::Crl) -> Result<(), ProgramError> {
    let home = Home::load_without_lists(&act.home, clock::now())?;
    let taken = match &act.from.directory {
        Some(directory) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(ProgramError::Runtime)?;
            let taken = runtime.block_on(home.fetch_lists(directory, clock::now()));
            runtime.shutdown_timeout(END_PATIENCE);
            taken?
        }
        None => {
            let files = act.from.files.iter();
            let taken = files.map(|file| home.import_list(file, clock::now()));
            taken.collect::<Result<_, _>>()?
        }
    };
    output::print_lists(&taken, act.json).map_err(ProgramError::Output)
}

fn runtime() -> Result<tokio::runtime::Runtime, ProgramError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ProgramError::Runtime)
}

fn ask_for_installation(act: arguments::RequestInstall) -> Result<(), ProgramError> {
    let home = Home::load(&act.way.home, clock::now())?;
    let tsm = TsmClient::new(home.identity(), act.way.tsm, clock::now)?;
    let order = InstallationOrder {
        guid: act.guid,
        grants: act.grants,
        application: act.application,
        application_name: act.application_name,
        assignments: act.assignment,
    };
    let runtime = runtime()?;
    let asked = runtime.block_on(request_install(&home, &tsm, &order, clock::now()));
    runtime.shutdown_timeout(END_PATIENCE);
    print_request(&asked?, act.way.json, &mut io::stdout().lock()).map_err(ProgramError::Output)
}

fn sign_application(act: &arguments::SignApplication) -> Result<(), ProgramError> {
    let home = Home::load(&act.home, clock::now())?;
    let out = act.out.as_deref().unwrap_or(&act.file);
    let digest = sign(&home, &act.file, out, clock::now())?;
    output::print_signed(out, digest, act.json).map_err(ProgramError::Output)
}

fn requests(act: &arguments::Requests) -> Result<(), ProgramError> {
    let home = Home::load(&act.way.home, clock::now())?;
    let tsm = TsmClient::new(home.identity(), act.way.tsm.clone(), clock::now)?;
    let runtime = runtime()?;
    let done = runtime.block_on(supplier::requests(&home, &tsm, clock::now, |request| {
        print_request(request, act.way.json, &mut io::stdout().lock()).map_err(ProgramError::Output)
    }));
    runtime.shutdown_timeout(END_PATIENCE);
    done
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
