//! `cargo xtask torture store`: the store is killed, cut off from power, damaged and refused by the disk.
//!
//! An actor (an example of the store) uses the store as the gateway does and acknowledges each act when the
//! store has confirmed it; a second one looks at what is left and says what is lost, changed or wrong, and
//! tries to burn another binding. Every state has a kind and a number, and can be made again alone.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its progress")]

mod bases;
mod bench;
mod calls;
mod content;
mod disk;
mod error;
mod folders;
mod kinds;
mod mounts;
mod random;
mod verdict;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::build::{FEATURES, cargo, run_step};
use crate::error::XtaskError;
use crate::packages;
use bases::Bases;
use bench::Bench;
pub(crate) use error::TortureError;
use kinds::{KINDS, Kind, Listed};
pub(crate) use random::Random;
use verdict::{Outcome, Tally};

/// The most workers: more would only wait for each other's disks.
const MOST_WORKERS: usize = 8;

/// How many failed states of a kind are printed; the table counts them all.
const SHOWN_FAILURES: usize = 5;

/// What is tortured and how.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What is tortured.
    subject: Subject,
    /// A part of the states only, so many that it takes about a minute on two cores.
    #[arg(long)]
    short: bool,
    /// One state only, like kill-fresh:17, and all that was found.
    #[arg(long, value_name = "KIND:NUMBER", conflicts_with = "short")]
    only: Option<String>,
    /// These kinds only, separated by commas.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', conflicts_with = "only")]
    kinds: Vec<String>,
}

impl Options {
    /// Returns what `cargo verify` asks for.
    pub(crate) const fn short() -> Self {
        Self {
            subject: Subject::Store,
            short: true,
            only: None,
            kinds: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Subject {
    /// The store of the gateway.
    Store,
}

/// Tortures, and prints a table.
///
/// # Errors
///
/// [`TortureError::Failed`] if the store did what it must never do, else what went wrong with the torture.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    let Subject::Store = options.subject;
    packages::ensure(&packages::FOR_TORTURE, &mut |text| println!("{text}"))?;
    let actor = build_actor()?;
    let scratch = bench::scratch()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // A torture that simply died would leave its mounts behind.
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(XtaskError::Signals)?;
    }
    let torture = Torture {
        actor,
        scratch: scratch.path().to_owned(),
        is_short: options.short,
        stop,
    };
    let out = &mut std::io::stdout();
    match &options.only {
        Some(state) => torture.one(state, out),
        None => torture.all(&options.kinds, out),
    }
}

/// Builds the actor and returns where it is: in the target folder that this program is in, too.
fn build_actor() -> Result<PathBuf, XtaskError> {
    let program = std::env::current_exe().map_err(TortureError::program("xtask"))?;
    let target = program.ancestors().nth(2).unwrap_or(&program);
    let mut build = cargo(&[
        "build",
        "--quiet",
        "--release",
        "--workspace",
        "--exclude",
        "xtask",
    ]);
    build.args(["--example", "actor", "--features", FEATURES, "--target-dir"]);
    run_step("build of the actor", build.arg(target))?;
    Ok(target.join("release/examples/actor"))
}

struct Torture {
    actor: PathBuf,
    scratch: PathBuf,
    is_short: bool,
    /// Set by a signal.
    stop: Arc<AtomicBool>,
}

impl Torture {
    /// Tries all kinds, or the named ones.
    fn all(&self, wanted: &[String], out: &mut dyn Write) -> Result<(), XtaskError> {
        let begun = Instant::now();
        let bench = self.bench("preparation")?;
        let bases = Bases::prepare(&self.scratch.join("bases"), &bench)?;
        if let Some(unknown) = wanted
            .iter()
            .find(|name| !KINDS.iter().any(|kind| kind.name == **name))
        {
            let text = unknown.clone();
            return Err(TortureError::NoSuchState { text }.into());
        }
        let mut failed = Vec::new();
        let mut rows = Vec::new();
        for listed in KINDS
            .iter()
            .filter(|kind| wanted.is_empty() || wanted.iter().any(|name| name == kind.name))
        {
            let begun = Instant::now();
            let kind = match (listed.prepare)(&bases, &bench) {
                Ok(kind) => kind,
                Err(error @ TortureError::Impossible { .. }) => {
                    writeln!(out, "{}: {error}", listed.name)?;
                    rows.push(format!("{:<15} {error}", listed.name));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let numbers = self.numbers(listed, kind.count());
            let tally = self.tally(listed, kind.as_ref(), &numbers)?;
            self.report(listed, kind.as_ref(), &tally, out)?;
            rows.push(tally.row(listed.name, begun.elapsed().as_secs_f64()));
            if !tally.failed.is_empty() {
                failed.push(listed.name);
            }
        }
        writeln!(out, "\n{}", Tally::head())?;
        for row in rows {
            writeln!(out, "{row}")?;
        }
        writeln!(out, "{}", LEGEND.trim_end())?;
        writeln!(out, "{:.1} s in all", begun.elapsed().as_secs_f64())?;
        if failed.is_empty() {
            return Ok(());
        }
        let kinds = failed.join(", ");
        Err(TortureError::Failed { kinds }.into())
    }

    /// Tries one state and leaves its folder there.
    fn one(&self, state: &str, out: &mut dyn Write) -> Result<(), XtaskError> {
        let found = state.split_once(':').and_then(|(name, number)| {
            let listed = KINDS.iter().find(|kind| kind.name == name)?;
            Some((listed, number.parse().ok()?))
        });
        let unknown = || TortureError::NoSuchState {
            text: state.to_owned(),
        };
        let (listed, number): (&Listed, usize) = found.ok_or_else(unknown)?;
        let mut bench = self.bench("0")?;
        let bases = Bases::prepare(&self.scratch.join("bases"), &bench)?;
        let kind = (listed.prepare)(&bases, &bench)?;
        if number >= kind.count() {
            return Err(unknown().into());
        }
        let outcome = kind.torture(number, &mut bench)?;
        writeln!(out, "{state}: {}", outcome.what)?;
        writeln!(out, "{:#?}", outcome.verdict)?;
        if outcome.missed {
            writeln!(out, "the point was not reached")?;
        }
        if outcome.elusive {
            writeln!(out, "sled did not make this call again")?;
        }
        if outcome.unreported {
            writeln!(out, "the disk's error was not reported")?;
        }
        let faults = outcome.faults(listed.judgement);
        if faults.is_empty() {
            writeln!(out, "the store stood")?;
            return Ok(());
        }
        writeln!(out, "the store did not stand: {}", faults.join(", "))?;
        Err(TortureError::Failed {
            kinds: state.to_owned(),
        }
        .into())
    }

    fn bench(&self, name: &str) -> Result<Bench, TortureError> {
        Bench::new(&self.actor, self.scratch.join(name))
    }

    /// Returns the numbers of the states that are tried, in order.
    fn numbers(&self, listed: &Listed, count: usize) -> Vec<usize> {
        if !self.is_short || count <= listed.short {
            return (0..count).collect();
        }
        // Spread evenly, and not in step with stores that are taken in turn.
        let spread = (0..listed.short).map(|index| index * count / listed.short + index % 3);
        let within: BTreeSet<usize> = spread.map(|number| number.min(count - 1)).collect();
        within.into_iter().collect()
    }

    /// Tries the states, as many at once as there are processors.
    fn tally(&self, listed: &Listed, kind: &dyn Kind, numbers: &[usize]) -> Result<Tally, TortureError> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let next = AtomicUsize::new(0);
        let work = |worker: usize| -> Result<Vec<(usize, Outcome)>, TortureError> {
            let mut bench = self.bench(&worker.to_string())?;
            let mut outcomes = Vec::new();
            while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(TortureError::Stopped);
                }
                outcomes.push((*number, kind.torture(*number, &mut bench)?));
            }
            Ok(outcomes)
        };
        let mut outcomes = Vec::new();
        std::thread::scope(|scope| {
            let work = &work;
            let workers: Vec<_> = (0..processors.min(MOST_WORKERS))
                .map(|worker| scope.spawn(move || work(worker)))
                .collect();
            for worker in workers {
                let done = worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                outcomes.extend(done?);
            }
            Ok::<_, TortureError>(())
        })?;
        outcomes.sort_by_key(|(number, _)| *number);
        let mut tally = Tally::default();
        for (number, outcome) in &outcomes {
            tally.add(*number, outcome, listed.judgement);
        }
        Ok(tally)
    }

    /// Says what was tried, and the first failures with how to see them again.
    fn report(
        &self,
        listed: &Listed,
        kind: &dyn Kind,
        tally: &Tally,
        out: &mut dyn Write,
    ) -> Result<(), XtaskError> {
        let name = listed.name;
        let reduced = if tally.states < kind.count() {
            format!("short: {} of {} states of ", tally.states, kind.count())
        } else {
            String::new()
        };
        writeln!(out, "{name}: {reduced}{}", kind.describe())?;
        if tally.contained > 0 {
            writeln!(
                out,
                "  {} panics of sled were contained by the store",
                tally.contained
            )?;
        }
        for (number, why) in tally.failed.iter().take(SHOWN_FAILURES) {
            writeln!(out, "  FAILED {name}:{number} {why}")?;
            writeln!(out, "    again: cargo xtask torture store --only {name}:{number}")?;
        }
        let more = tally.failed.len().saturating_sub(SHOWN_FAILURES);
        if more > 0 {
            writeln!(out, "  and {more} more")?;
        }
        out.flush()?;
        Ok(())
    }
}

/// What the columns of the table mean.
const LEGEND: &str = "\
acts: acknowledged acts that were looked for; lost: not there (damaged files: and nothing is reported);
changed: there in half or in another form; burned2: second burns accepted; shut: states that do not open or
work on; untold: errors of the disk that the store dealt with by itself; reported: states with damage or
refusal reported; missed: calls of sled's threads that were not made again
";

#[cfg(test)]
mod tests {
    use super::*;

    fn torture(is_short: bool) -> Torture {
        Torture {
            actor: PathBuf::new(),
            scratch: PathBuf::new(),
            is_short,
            stop: Arc::default(),
        }
    }

    #[test]
    fn short_form_spreads_its_states() {
        let listed = &KINDS[3];
        assert_eq!(torture(false).numbers(listed, 1_000).len(), 1_000);
        let numbers = torture(true).numbers(listed, 1_000);
        assert_eq!(numbers.len(), listed.short);
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(torture(true).numbers(listed, 3), [0, 1, 2]);
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
    }

    #[test]
    fn unknown_state_is_named() {
        for text in ["", "kill-fresh", "kill-fresh:x", "nothing:1"] {
            let error = torture(false).one(text, &mut Vec::new()).unwrap_err();
            let is_named = matches!(&error, XtaskError::Torture(TortureError::NoSuchState { text: named }) if named == text);
            assert!(is_named, "{error:?}");
        }
    }
}
