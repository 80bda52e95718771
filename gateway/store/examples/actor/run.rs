//! Doing acts and acknowledging them.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use model::Span;
use store::{
    AnchorError, Bindings, BindingsError, BundleError, BurnError, Counter, DatabaseError, LogError,
    LogLimits, Logs, OutboxError, Receipt, RegisterError, Registered, Remembered, RequestError, Store,
    StoreError,
};

use crate::acts::{self, Act};
use crate::card::TestCard;

/// The greatest number of calls that seal or forget what a script has: a day each.
const MAX_DAYS: usize = 1_000;

/// The reason why an act was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActError {
    /// The script does not begin with `open`.
    #[error("the store is not open")]
    Closed,
    /// The store did something else than it was asked for.
    #[error("the store did something else: {found}")]
    Unexpected {
        /// What it says that it did.
        found: String,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bindings could not be opened.
    #[error("the bindings are closed: {text}")]
    Bindings {
        /// Why, with all causes.
        text: String,
    },
    /// A row could not be burned.
    #[error(transparent)]
    Burn(#[from] BurnError),
    /// A round could not be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Days could not be sealed or forgotten.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A message could not be queued, or its receipt not be taken.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A request could not be remembered.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A bundle could not be installed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The logs could not be opened or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The heads of the logs could not be signed.
    #[error(transparent)]
    Sign(#[from] AnchorError<std::convert::Infallible>),
    /// Standard output is gone.
    #[error("the acknowledgement cannot be printed")]
    Output(#[from] std::io::Error),
}

/// Everything that the gateway keeps.
struct Kept {
    store: Store,
    logs: Logs,
}

/// Does the acts in their order and ends at the first that fails.
pub(crate) fn run(folder: &Path, acts: Vec<Act>) -> ExitCode {
    let mut kept = None;
    for act in acts {
        let done = perform(folder, &mut kept, act).and_then(|()| say(&format!("ack {act}")));
        if let Err(error) = done {
            // If that cannot be printed either, the exit code alone says that the run failed.
            return match say(&format!("error {act}: {}", chain(&error))) {
                Ok(()) => ExitCode::FAILURE,
                Err(_) => ExitCode::from(3),
            };
        }
    }
    ExitCode::SUCCESS
}

/// Prints a line in one write, so that it is there or not.
fn say(line: &str) -> Result<(), ActError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    Ok(stdout.flush()?)
}

/// Returns an error's text with those of its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn perform(folder: &Path, kept: &mut Option<Kept>, act: Act) -> Result<(), ActError> {
    if let Act::Open | Act::Reopen = act {
        *kept = None;
        *kept = Some(open(folder)?);
        return Ok(());
    }
    let Kept { store, logs } = kept.as_ref().ok_or(ActError::Closed)?;
    let database = store.database();
    match act {
        Act::Open | Act::Reopen | Act::WillReceipt(_) | Act::WillForget(_) => {}
        Act::Begin | Act::Burn | Act::Tamper | Act::Terminated | Act::Advance(_) => {
            burn(bindings(store)?, act)?
        }
        Act::Round(_) | Act::Day(_) => {
            let Registered { refused, .. } = database.register(&acts::round(act))?;
            expect(refused == 0, || format!("{refused} rows refused"))?;
        }
        Act::Post(_) => {
            database.register_and_enqueue(&acts::round(act), &[acts::message(act)])?;
        }
        Act::Queue(_) => database.enqueue(&acts::message(act))?,
        Act::Receipt(_) => {
            let message = acts::message(act);
            let receipt = database.receipt(&message.id, message.recipient)?;
            expect(receipt == Receipt::Forgotten, || format!("{receipt:?}"))?;
        }
        Act::Seal(day) => repeat(|| Ok(database.seal_days(acts::day_start(day))?.more))?,
        Act::Forget(day) => {
            let now = acts::day_start(day.saturating_add(1));
            repeat(|| Ok(database.forget(Span::DAY, now)?.more))?;
        }
        Act::Remember(number) => {
            let id = acts::request_id(number);
            let remembered = database.remember_request(&id, acts::request_expiry(), acts::now())?;
            expect(remembered == Remembered::Fresh, || format!("{remembered:?}"))?;
        }
        Act::Bundle(version) => {
            let (digest, content) = acts::bundle(version);
            database.install_bundle(u64::from(version), digest, &content)?;
        }
        Act::Log(number) => logs.append(acts::moment(), &acts::entries(number))?,
        Act::Sign => {
            logs.sign(acts::moment(), &mut TestCard)?;
        }
    }
    Ok(())
}

fn open(folder: &Path) -> Result<Kept, ActError> {
    let store = Store::open(folder, Ok(acts::protection()))?;
    // Closed bindings are an error of the start; the gateway would measure on and serve nothing.
    let binding = bindings(&store)?.binding();
    let is_bound = binding.map_err(BurnError::from)?.is_some();
    let logs = Logs::open(
        &folder.join("logs"),
        LogLimits::default(),
        is_bound,
        acts::moment(),
    )?;
    Ok(Kept { store, logs })
}

fn burn(bindings: &Bindings, act: Act) -> Result<(), ActError> {
    match act {
        Act::Begin => bindings.begin(&acts::intent(true))?,
        Act::Burn => drop(bindings.burn(&acts::binding(true))?),
        Act::Tamper => drop(bindings.burn_tamper(acts::TAMPER, acts::now())?),
        Act::Terminated => drop(bindings.burn_card_terminated(acts::now())?),
        Act::Advance(value) => bindings.advance(Counter::CardSession, u64::from(value))?,
        _ => {}
    }
    Ok(())
}

/// Repeats a call that does a part of its work until there is no more of it.
fn repeat(part: impl Fn() -> Result<bool, ActError>) -> Result<(), ActError> {
    for _ in 0..MAX_DAYS {
        if !part()? {
            return Ok(());
        }
    }
    expect(false, || "there is always more to be done".to_owned())
}

fn bindings(store: &Store) -> Result<&Bindings, ActError> {
    let text = |error: &BindingsError| ActError::Bindings { text: chain(error) };
    store.bindings().map_err(text)
}

fn expect(holds: bool, found: impl FnOnce() -> String) -> Result<(), ActError> {
    if holds {
        return Ok(());
    }
    Err(ActError::Unexpected { found: found() })
}
