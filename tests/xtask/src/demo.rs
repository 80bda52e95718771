//! `cargo demo`: the whole system on one machine, and what its supplier receives.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use system::{
    COUNTER, Folder, GRANTED, Grade, House, Interrupt, LogTail, Process, Program, Programs, Pull, Query,
    StageError, Status, UNGRANTED, read_answer,
};

use crate::build::{self, run_step};
use crate::error::XtaskError;
use crate::kept::Kept;
use crate::packages;
use crate::received::Received;
use crate::table::Screen;

/// What is allowed beyond the rounds themselves, for meters that answer late or not at once.
const ROUNDS_PATIENCE: Duration = Duration::from_secs(60);
/// How long the gateway may take to tell its status at the end.
const STATUS_PATIENCE: Duration = Duration::from_secs(10);
/// How many registration periods every pull looks back, so that a value that comes late is not lost.
const PERIODS_PER_PULL: i64 = 3;

/// How the demonstration is to be run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Ends after so many registration periods have arrived at the supplier.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// Prints progress on standard error and a summary as the last line of standard output.
    #[arg(long)]
    json: bool,
    /// Writes every message that went over the WAN, keys and certificates into this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The registration period (ISO 8601, PT2S to PT1H).
    #[arg(long, default_value = "PT5S")]
    period: Period,
}

/// A registration period for the demonstration, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    seconds: u32,
}

impl FromStr for Period {
    type Err = XtaskError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed: Option<SignedDuration> = text.parse().ok();
        parsed
            .filter(|duration| duration.subsec_nanos() == 0)
            .and_then(|duration| u32::try_from(duration.as_secs()).ok())
            .filter(|seconds| (2..=3600).contains(seconds))
            .map(|seconds| Self { seconds })
            .ok_or_else(|| XtaskError::Period {
                text: text.to_owned(),
            })
    }
}

/// The last line of `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    schema: &'static str,
    elements: usize,
    media: Vec<String>,
    readings: u64,
    refused: usize,
    guid: String,
    first_reading_ms: u64,
    rss_kb: u64,
    binary_bytes: u64,
}

/// Builds and runs the whole system until the rounds have arrived or a signal comes.
///
/// # Errors
///
/// [`XtaskError`] names what failed; the last words of the program are in it.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    let mut screen = Screen::new(options.json);
    let kept = options.keep.as_deref().map(Kept::prepare).transpose()?;
    let mut said = Ok(());
    packages::ensure(&packages::FOR_DEMO, &mut |text| said = screen.say(text))?;
    said?;
    screen.say("building the programs; the first time this takes some minutes")?;
    run_step("build", &mut build::programs())?;
    let interrupt = Interrupt::default();
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, interrupt.flag()).map_err(XtaskError::Signals)?;
    }
    match play(options, kept, screen, interrupt) {
        // A demonstration without an end is ended by a signal, whenever it comes.
        Err(XtaskError::System(StageError::Interrupted { .. })) if options.rounds.is_none() => Ok(()),
        played => played,
    }
}

/// Runs the system, which has been built, from beginning to end.
fn play(
    options: &Options,
    kept: Option<Kept>,
    screen: Screen,
    interrupt: Interrupt,
) -> Result<(), XtaskError> {
    let mut demo = Demo::begin(options, kept, screen, interrupt)?;
    demo.watch()?;
    let summary = demo.summary()?;
    demo.end(&summary)?;
    if options.json {
        let line = serde_json::to_string(&summary).map_err(std::io::Error::from)?;
        println!("{line}");
    }
    Ok(())
}

/// A demonstration that runs. Its fields are dropped, and so ended, in their order.
struct Demo {
    supplier: Process,
    house: House,
    received: Received,
    refused: usize,
    begun: Instant,
    first_reading: Option<Duration>,
    wanted_rounds: Option<u32>,
    period: Period,
    kept: Option<Kept>,
    screen: Screen,
    interrupt: Interrupt,
}

impl Demo {
    /// Starts everything, from the blank card to the supplier's first pull.
    fn begin(
        options: &Options,
        kept: Option<Kept>,
        mut screen: Screen,
        interrupt: Interrupt,
    ) -> Result<Self, XtaskError> {
        let programs = Programs::find()?;
        let begun = Instant::now();
        let period = format!("PT{}S", options.period.seconds);
        screen.say("starting trust centre, meters, gateway and supplier")?;
        let first_contact = kept.as_ref().map(Kept::first_contact);
        let mut house = House::open(
            programs,
            Folder::temporary()?,
            interrupt.clone(),
            &period,
            first_contact.as_deref(),
        )?;
        screen.say(&format!(
            "gateway {} is {}; its page: {}",
            house.card.guid,
            house.status.state,
            house.status.web.as_deref().unwrap_or("none")
        ))?;
        // The first answer is to have readings in it, so it is asked for when there are some.
        let House { gateway, stage, .. } = &mut house;
        let patience = ROUNDS_PATIENCE + Duration::from_secs(u64::from(options.period.seconds));
        gateway.wait_for(
            stage,
            "a read of every meter",
            patience,
            Status::has_read_every_meter,
        )?;
        let query = Query {
            keep: kept.as_ref().map(|kept| kept.folder().to_owned()),
            ..house.query(&GRANTED, Grade::AsGranted, &last(options.period))
        };
        let supplier = house.supplier.follow(&house.stage, &query)?;
        Ok(Self {
            supplier,
            house,
            received: Received::default(),
            refused: 0,
            begun,
            first_reading: None,
            wanted_rounds: options.rounds,
            period: options.period,
            kept,
            screen,
            interrupt,
        })
    }

    /// Shows what arrives until enough has, or a signal comes.
    fn watch(&mut self) -> Result<(), XtaskError> {
        let allowed = self.wanted_rounds.map_or(Duration::MAX, |rounds| {
            ROUNDS_PATIENCE + Duration::from_secs(u64::from(self.period.seconds)) * rounds
        });
        let begun = Instant::now();
        loop {
            if let Some(line) = self.supplier.line_soon() {
                self.take(&line)?;
            } else {
                self.supplier.check_running()?;
            }
            self.house.gateway.check_running()?;
            self.house.meters.check_running()?;
            let found = self.received.rounds();
            let enough = self
                .wanted_rounds
                .is_some_and(|wanted| usize::try_from(wanted).is_ok_and(|w| found >= w));
            if enough {
                return Ok(());
            }
            match self.wanted_rounds {
                None if self.interrupt.is_set() => return Ok(()),
                Some(wanted) if self.interrupt.is_set() || begun.elapsed() > allowed => {
                    return Err(XtaskError::TooFewRounds { wanted, found });
                }
                _ => {}
            }
        }
    }

    /// Takes in one pull of the supplier's; asks for too much once something has arrived.
    fn take(&mut self, line: &str) -> Result<(), XtaskError> {
        let pull: Pull = read_answer(self.supplier.name(), line, LogTail::of(self.supplier.log()))?;
        let new = self.received.take(&pull)?;
        self.refused += pull.refusals.len();
        self.screen.show(&self.received, &new)?;
        if self.first_reading.is_none() && !new.is_empty() {
            self.first_reading = Some(self.begun.elapsed());
            self.ask_too_much("not-granted", &[UNGRANTED], Grade::AsGranted)?;
            self.ask_too_much("too-fine", &[COUNTER], Grade::Finer)?;
        }
        Ok(())
    }

    /// Asks for something that is not granted and shows why it is refused.
    fn ask_too_much(
        &mut self,
        what: &'static str,
        elements: &[&str],
        grade: Grade,
    ) -> Result<(), XtaskError> {
        let query = Query {
            keep: self.kept.as_ref().map(|kept| kept.refused(what)),
            ..self.house.query(elements, grade, &last(self.period))
        };
        let pull = self.house.supplier.pull(&self.house.stage, &query)?;
        if pull.refusals.is_empty() || !pull.series.is_empty() {
            return Err(XtaskError::NotRefused { asked: what });
        }
        for refusal in &pull.refusals {
            let text = format!(
                "refused {} ({}): {}",
                refusal.elements, refusal.code, refusal.reason
            );
            self.screen.say(&text)?;
        }
        self.refused += pull.refusals.len();
        Ok(())
    }

    fn summary(&mut self) -> Result<Summary, XtaskError> {
        // The signal that ended the demonstration has had its effect; what follows is bounded.
        self.interrupt.clear();
        let House { gateway, stage, .. } = &mut self.house;
        let status = gateway.wait_for(stage, "its last status", STATUS_PATIENCE, |_| true)?;
        let first_reading = self.first_reading.unwrap_or_default();
        Ok(Summary {
            schema: "smgw.demo/1",
            elements: self.received.elements().len(),
            media: self.received.media(),
            readings: self.received.readings(),
            refused: self.refused,
            guid: self.house.card.guid.clone(),
            first_reading_ms: u64::try_from(first_reading.as_millis()).unwrap_or(u64::MAX),
            rss_kb: status.rss_kb,
            binary_bytes: stripped_bytes(&self.house.stage.program(Program::Smgw))?,
        })
    }

    /// Keeps what is to be kept and ends everything in order: supplier, gateway, meters.
    fn end(mut self, summary: &Summary) -> Result<(), XtaskError> {
        if let Some(kept) = &self.kept {
            kept.copy_keys(&self.house)?;
        }
        self.supplier.stop()?;
        self.house.gateway.stop()?;
        self.screen.say(&format!(
            "{} readings of {} elements arrived, {} requests were refused; gateway {}: {} KiB of memory, {} bytes of program",
            summary.readings, summary.elements, summary.refused, summary.guid, summary.rss_kb, summary.binary_bytes
        ))?;
        if let Some(kept) = &self.kept {
            let text = format!(
                "every message is in {}; its README says how to open one",
                kept.folder().display()
            );
            self.screen.say(&text)?;
        }
        Ok(())
    }
}

/// Returns how far every pull looks back, ISO 8601.
fn last(period: Period) -> String {
    format!("PT{}S", i64::from(period.seconds) * PERIODS_PER_PULL)
}

/// Returns the size of a program without its symbols, as it is installed.
fn stripped_bytes(program: &Path) -> Result<u64, XtaskError> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("stripped");
    std::fs::copy(program, &copy).map_err(XtaskError::file(program))?;
    run_step("strip", Command::new("strip").arg(&copy))?;
    let size = std::fs::metadata(&copy).map_err(XtaskError::file(&copy))?.len();
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_is_whole_seconds_within_its_bounds() {
        assert_eq!("PT5S".parse::<Period>().unwrap(), Period { seconds: 5 });
        assert_eq!("PT1H".parse::<Period>().unwrap(), Period { seconds: 3600 });
        for text in ["PT1S", "PT2H", "PT2.5S", "-PT5S", "5", ""] {
            assert!(
                matches!(text.parse::<Period>(), Err(XtaskError::Period { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn every_pull_looks_back_some_periods() {
        assert_eq!(last(Period { seconds: 5 }), "PT15S");
    }

    #[test]
    fn program_is_measured_without_its_symbols() {
        let whole = std::env::current_exe().unwrap();
        let bytes = stripped_bytes(&whole).unwrap();
        assert!(bytes > 0 && bytes < std::fs::metadata(&whole).unwrap().len());
    }

    #[test]
    fn summary_has_a_stable_form() {
        let summary = Summary {
            schema: "smgw.demo/1",
            elements: 4,
            media: vec!["electricity".into(), "gas".into()],
            readings: 12,
            refused: 2,
            guid: "fd5a::1".into(),
            first_reading_ms: 4321,
            rss_kb: 20_000,
            binary_bytes: 8_000_000,
        };
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            r#"{"schema":"smgw.demo/1","elements":4,"media":["electricity","gas"],"readings":12,"refused":2,"guid":"fd5a::1","first_reading_ms":4321,"rss_kb":20000,"binary_bytes":8000000}"#
        );
    }
}
