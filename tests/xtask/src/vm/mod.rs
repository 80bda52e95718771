//! `cargo xtask vm`: a machine that boots, with a real systemd, our units, and a power cord that can be pulled.
//!
//! A small Debian with a read-only root and a data partition starts under qemu. A script in it looks at the gateway as nobody
//! outside can: whether it is ready, how little it may do, who reaches it from which side, what the watchdog does to it when
//! it hangs. Then its power is taken away, again and again, and what it had acknowledged has to be there. It takes root, to
//! make the disk, and minutes, since the processor is emulated.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

mod image;
mod machine;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use system::{Deadline, Interrupt, Programs};

use crate::build::{programs, run_step};
use crate::error::XtaskError;
use crate::torture::Random;
use crate::{apps, packages};
use image::Image;
pub(crate) use image::unpack_debian;
use machine::{Machine, Said};

/// How long the machine may take for all that is checked in it, with an emulated processor.
const CHECKS_PATIENCE: Duration = Duration::from_secs(900);
/// How long until it has acknowledged a round.
const ROUND_PATIENCE: Duration = Duration::from_secs(600);
/// Behind how many acknowledged rounds the power is cut at the latest, and how much later, in milliseconds.
const MOST_ROUNDS: usize = 5;
const MOST_DELAY_MS: usize = 2_000;

/// How often the power is cut.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 10)]
    cuts: u32,
    /// What decides when; the same number cuts the same way, as far as the machine does the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the machine did not stand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    /// Something in it is not as it should be.
    #[error("{failed} of the checks failed; the console is in {}", log.display())]
    Checks {
        /// How many.
        failed: usize,
        /// What was on the console.
        log: PathBuf,
    },
    /// It has ended, or taken too long.
    #[error("the machine did not come to an end with its {stage}; the console is in {}", log.display())]
    Silent {
        /// What it was to do.
        stage: &'static str,
        /// What was on the console.
        log: PathBuf,
    },
    /// Rounds are gone that had been acknowledged.
    #[error("{count} rounds were acknowledged and are gone behind cut {cut}")]
    Lost {
        /// How many.
        count: usize,
        /// Behind which cut.
        cut: u32,
    },
}

/// Boots the machine, checks it, and cuts its power.
///
/// # Errors
///
/// [`XtaskError::Machine`] says what it did not stand.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_VM, &mut |text| println!("{text}"))?;
    // Programs that were named are taken as they are.
    if std::env::var_os("SMGW_BIN_DIR").is_none() {
        run_step("build", &mut programs())?;
    }
    let folder = apps::target().join("vm");
    let image = Image::make(&folder, &Programs::find()?)?;
    let data = folder.join("data.img");
    image::make_data(&data)?;
    check(&image, &data, &folder.join("checks.log"))?;
    image::make_data(&data)?;
    cut(options, &image, &data, &folder.join("cuts.log"))
}

/// Has the machine look at itself.
fn check(image: &Image, data: &Path, log: &Path) -> Result<(), XtaskError> {
    println!("== a machine that looks at itself");
    let machine = Machine::start(image, data, "checks", log)?;
    let deadline = Deadline::after(CHECKS_PATIENCE, &Interrupt::default());
    let mut failed = 0_usize;
    while let Some(said) = machine.next(&deadline) {
        match said {
            Said::Ok(what) => println!("  ok      {what}"),
            Said::Failed(what) => {
                println!("  FAILED  {what}");
                failed = failed.saturating_add(1);
            }
            Said::Value(name, _) if name == "done" => {
                return match failed {
                    0 => Ok(()),
                    _ => Err(MachineError::Checks {
                        failed,
                        log: log.to_owned(),
                    }
                    .into()),
                };
            }
            Said::Value(name, value) => println!("          {name}: {value}"),
        }
    }
    Err(silent("checks", log))
}

/// Cuts the power again and again, and looks each time whether what was acknowledged is there.
fn cut(options: &Options, image: &Image, data: &Path, log: &Path) -> Result<(), XtaskError> {
    println!("== a machine whose power is cut {} times", options.cuts);
    let mut random = Random::new(options.seed);
    let mut acknowledged = BTreeSet::new();
    for number in 0..=options.cuts {
        let machine = Machine::start(image, data, "cut", log)?;
        let rounds = rounds_on_the_disk(&machine).ok_or_else(|| silent("rounds", log))?;
        let lost = acknowledged.difference(&rounds).count();
        println!(
            "  cut {number}: {} rounds on the disk, {} acknowledged before, {lost} lost",
            rounds.len(),
            acknowledged.len()
        );
        if lost > 0 {
            return Err(MachineError::Lost {
                count: lost,
                cut: number,
            }
            .into());
        }
        if number < options.cuts && !acknowledge(&machine, &mut random, &mut acknowledged) {
            return Err(silent("rounds", log));
        }
    }
    Ok(())
}

fn rounds_on_the_disk(machine: &Machine) -> Option<BTreeSet<i64>> {
    let deadline = Deadline::after(ROUND_PATIENCE, &Interrupt::default());
    while let Some(said) = machine.next(&deadline) {
        match said {
            Said::Value(name, rounds) if name == "rounds" => {
                return rounds.split_whitespace().map(|time| time.parse().ok()).collect();
            }
            Said::Ok(_) | Said::Failed(_) | Said::Value(..) => {}
        }
    }
    None
}

/// Takes down what the machine acknowledges until its power is to be cut; returns whether it acknowledged anything.
fn acknowledge(machine: &Machine, random: &mut Random, acknowledged: &mut BTreeSet<i64>) -> bool {
    let mut take = |deadline: &Deadline| match machine.next(deadline) {
        Some(Said::Value(name, time)) if name == "acknowledged" => {
            Some(time.parse().is_ok_and(|time| acknowledged.insert(time)))
        }
        Some(_) => Some(false),
        None => None,
    };
    let deadline = Deadline::after(ROUND_PATIENCE, &Interrupt::default());
    let mut wanted = random.below(MOST_ROUNDS).saturating_add(1);
    while wanted > 0 {
        match take(&deadline) {
            Some(true) => wanted = wanted.saturating_sub(1),
            Some(false) => {}
            None => return false,
        }
    }
    let delay = u64::try_from(random.below(MOST_DELAY_MS)).unwrap_or_default();
    let moment = Deadline::after(Duration::from_millis(delay), &Interrupt::default());
    // What is acknowledged in the last moments counts, too.
    while take(&moment).is_some() {}
    true
}

fn silent(stage: &'static str, log: &Path) -> XtaskError {
    let log = log.to_owned();
    MachineError::Silent { stage, log }.into()
}
