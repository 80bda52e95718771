//! Looking at a folder after it was tortured: what is there, what is lost, what can be burned a second time.

mod bindings;
mod logs;
mod losses;
mod outbox;
mod readings;

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use store::{Bindings, BundleError, Database, Remembered, RequestError, RowKind, Store};

use crate::acts::{self, Act};
use crate::verdict::Verdict;
use losses::Told;

/// The number of what a repaired store must take on: no script gets so far.
const LATER: u32 = 2_000_000;

/// The number of panics of this process, contained ones too.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// A folder to look at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    folder: PathBuf,
    /// The acts that the store had acknowledged.
    acknowledged: Vec<String>,
    /// Whether the store must work on as if nothing had happened: it is written to, and looked at twice.
    repair: bool,
}

/// The acts that were acknowledged.
pub(crate) type Known = BTreeSet<Act>;

/// Answers requests until standard input ends.
pub(crate) fn serve() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    for line in std::io::stdin().lock().lines() {
        let Some(request) = line
            .ok()
            .and_then(|line| serde_json::from_str::<Request>(&line).ok())
        else {
            return ExitCode::from(2);
        };
        let Some(verdict) = check(&request) else {
            return ExitCode::from(2);
        };
        let verdict = serde_json::to_string(&verdict).unwrap_or_default();
        let mut stdout = std::io::stdout().lock();
        if writeln!(stdout, "{verdict}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn check(request: &Request) -> Option<Verdict> {
    let acts = request.acknowledged.iter().map(|word| acts::parse(word));
    let mut known: Known = acts.collect::<Option<_>>()?;
    let mut verdict = Verdict::default();
    let before = PANICS.load(Ordering::Relaxed);
    let looks = if request.repair { 2 } else { 1 };
    let looked = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..looks {
            look(&request.folder, request.repair, &mut known, &mut verdict);
        }
    }));
    let panics = PANICS.load(Ordering::Relaxed).saturating_sub(before);
    verdict.panics = usize::from(looked.is_err());
    verdict.contained = panics.saturating_sub(verdict.panics);
    Some(verdict)
}

/// Opens everything and looks at all of it. What is written meanwhile is known from then on.
fn look(folder: &Path, repair: bool, known: &mut Known, verdict: &mut Verdict) {
    // Both read what they find before anything is written.
    let store = Store::open(folder, Ok(acts::protection()));
    let logs = logs::open(folder, known, verdict);
    match &store {
        Ok(store) => {
            look_at_database(store.database(), known, verdict);
            match store.bindings() {
                Ok(bindings) => bindings::look(bindings, known, repair, verdict),
                Err(error) => verdict.close("bindings", error),
            }
        }
        Err(error) => {
            verdict.close("store", error);
            // What the database keeps shut, a burn could still be tried behind.
            match Bindings::open(&folder.join("bindings"), acts::protection()) {
                Ok(bindings) => bindings::look(&bindings, known, repair, verdict),
                Err(error) => verdict.close("bindings", &error),
            }
        }
    }
    if let Some(logs) = &logs {
        logs::look(logs, known, verdict);
    }
    if repair {
        if let Ok(store) = &store {
            work_on(store.database(), known, verdict);
        }
        if let Some(logs) = &logs {
            logs::work_on(logs, known, verdict);
        }
    }
}

/// A store that was only interrupted works on.
fn work_on(database: &Database, known: &mut Known, verdict: &mut Verdict) {
    let posted = Act::Post(LATER);
    let message = acts::message(posted);
    if known.contains(&posted) {
        match database.receipt(&message.id, message.recipient) {
            Ok(_) => known.extend([Act::WillReceipt(LATER), Act::Receipt(LATER)]),
            Err(error) => verdict.stick("receipt", &error),
        }
        return;
    }
    match database.register_and_enqueue(&acts::round(posted), &[message]) {
        Ok(_) => drop(known.insert(posted)),
        Err(error) => verdict.stick("register", &error),
    }
    if let Err(error) = database.seal_days(acts::now()) {
        verdict.stick("seal", &error);
    }
}

fn look_at_database(database: &Database, known: &Known, verdict: &mut Verdict) {
    let found = readings::read(database, verdict);
    // Behind the reading, which must tell by itself of a chunk that is missing.
    let told = Told::ask(database, verdict);
    let whole = found.judge(known, &told, verdict);
    outbox::look(database, known, &whole, &told, verdict);
    look_at_bundle(database, known, &told, verdict);
    for act in known {
        if let Act::Remember(number) = act {
            let id = acts::request_id(*number);
            match database.remember_request(&id, acts::request_expiry(), acts::now()) {
                // While requests may be missing, none is answered that could be one of them.
                Ok(Remembered::Replayed) | Err(RequestError::Expired { .. }) => {}
                // Whoever is told of the loss has still answered a request twice.
                Ok(Remembered::Fresh) => verdict.lose(*act, false),
                Err(error) => verdict.report("request", &error),
            }
        }
    }
}

fn look_at_bundle(database: &Database, known: &Known, told: &Told, verdict: &mut Verdict) {
    let last = known.iter().rev().find_map(|act| match act {
        Act::Bundle(version) => Some(*version),
        _ => None,
    });
    let found = match database.bundle() {
        Ok(Some(bundle)) => {
            let version = u32::try_from(bundle.version).unwrap_or(u32::MAX);
            if (bundle.digest, bundle.content) != acts::bundle(version) {
                verdict.wrong(format!("bundle {version}"));
            }
            Some(version)
        }
        Ok(None) => None,
        Err(error @ (BundleError::Damaged | BundleError::Database(_))) => {
            return verdict.report("bundle", &error);
        }
        Err(error) => return verdict.stick("bundle", &error),
    };
    if let Some(last) = last.filter(|last| found < Some(*last)) {
        verdict.lose(Act::Bundle(last), told.tell_of(&[RowKind::Bundle]));
    }
}
