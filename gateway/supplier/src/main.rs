//! The energy supplier (166) as a program: it makes keys, and pulls the elements that it was granted.
//!
//! Results go to the standard output, logs and errors to the standard error; the exit code is 0
//! for success, 1 for failure and 2 for a command line that is not understood.

mod arguments;
mod output;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use counterparty::clock;
use model::{ParseTimeError, Timestamp};
use supplier::{
    Archive, ArchiveError, AskError, Backlog, Exchange, ExchangeError, Home, HomeError, ListError, Order,
    Pull, PullError, Schedule, TsmClient, TsmClientError, request_install,
};
use tokio::signal::unix::{SignalKind, signal};

use arguments::{Arguments, Command};
use output::{Founded, Printer, print_request};

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
    /// The way to the TSM cannot be prepared.
    #[error(transparent)]
    Tsm(#[from] TsmClientError),
    /// The TSM was not asked, or refuses.
    #[error("the TSM has not done what it was asked for")]
    Ask(#[from] AskError),
    /// No runtime for the network, or no signals.
    #[error("the network cannot be used")]
    Runtime(#[source] io::Error),
    /// The result could not be printed.
    #[error("the result cannot be printed")]
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
        Command::Pull(act) => pull(&act),
        Command::RequestInstall(act) => ask_for_installation(act),
        Command::Requests(act) => requests(&act),
        Command::Crl(act) => take_lists(&act),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error leaves the exit code to speak.
            drop(writeln!(io::stderr(), "supplier: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
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

fn pull(act: &arguments::Pull) -> Result<(), ProgramError> {
    let home = Home::load(&act.home, clock::now())?;
    match home.check_lists(clock::now()) {
        Ok(()) => {}
        Err(error) if act.require_lists => return Err(error.into()),
        Err(ListError::None) => {}
        Err(error) => tracing::warn!("{error}"),
    }
    let exchange = Exchange::new(home.identity(), act.guid, act.gateway.clone())?;
    let keep = act.keep.as_deref();
    let mut archive = keep.map(Archive::open).transpose()?;
    let pull = Pull::new(&home, act.guid, &exchange, clock::now);
    let runtime = runtime()?;
    let done = if act.follow {
        runtime.block_on(follow(act, &pull, archive))
    } else {
        runtime.block_on(pull_once(act, &pull, archive.as_mut()))
    };
    runtime.shutdown_timeout(END_PATIENCE);
    done
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
    let order = Order {
        guid: act.guid,
        grants: act.grants,
        application: act.application,
        application_name: act.application_name,
    };
    let runtime = runtime()?;
    let asked = runtime.block_on(request_install(&home, &tsm, &order, clock::now()));
    runtime.shutdown_timeout(END_PATIENCE);
    print_request(&asked?, act.way.json, &mut io::stdout().lock()).map_err(ProgramError::Output)
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

async fn pull_once(
    act: &arguments::Pull,
    pull: &Pull<'_>,
    archive: Option<&mut Archive>,
) -> Result<(), ProgramError> {
    let queries = act.queries(act.period(clock::now())?);
    let answer = pull.ask(&queries, archive).await?;
    Printer::new(act.json)
        .print(&answer, &mut io::stdout().lock())
        .map_err(ProgramError::Output)
}

/// Pulls once per step until a signal comes. A pull that fails is logged and tried again at a later
/// step; only a standard output that is gone ends this otherwise.
async fn follow(
    act: &arguments::Pull,
    pull: &Pull<'_>,
    mut archive: Option<Archive>,
) -> Result<(), ProgramError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProgramError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ProgramError::Runtime)?;
    let begin = act.period(clock::now())?.from();
    let mut backlog = Backlog::new(act.resolution, begin);
    let mut schedule = Schedule::new(act.resolution);
    let mut printer = Printer::new(act.json);
    let follow = async {
        loop {
            match pull_new(act, pull, &mut backlog, archive.as_mut(), &mut printer).await {
                Ok(()) => schedule.succeeded(),
                Err(error @ ProgramError::Output(_)) => return Err(error),
                Err(error) => {
                    schedule.failed();
                    let due = schedule.due(clock::now());
                    tracing::error!(again_at = %due, "{}", chain(&error));
                }
            }
            sleep_until(schedule.due(clock::now())).await;
        }
    };
    tokio::select! {
        ended = follow => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Pulls what is new since the last answer and prints it.
async fn pull_new(
    act: &arguments::Pull,
    pull: &Pull<'_>,
    backlog: &mut Backlog,
    archive: Option<&mut Archive>,
    printer: &mut Printer,
) -> Result<(), ProgramError> {
    let now = clock::now();
    let period = arguments::until_now(backlog.begin_of_request(now), now)?;
    let mut answer = pull.ask(&act.queries(period), archive).await?;
    answer.series = backlog.take_new(answer.series);
    printer
        .print(&answer, &mut io::stdout().lock())
        .map_err(ProgramError::Output)
}

async fn sleep_until(due: Timestamp) {
    let seconds = due.seconds_since(clock::now());
    tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))).await;
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
