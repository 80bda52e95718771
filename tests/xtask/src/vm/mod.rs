//! `cargo xtask vm`: a machine that boots, with a real systemd, our units, and a power cord that can be pulled.
//!
//! A small Debian with a read-only root and a data partition starts under qemu. A script in it looks at the gateway as nobody
//! outside can: whether it is ready, how little it may do, who reaches it from which side, what the watchdog does to it when
//! it hangs. It takes away and spoils what a gateway needs, up to the data partition, and looks whether the device says so
//! and recovers by itself. Then its power is taken away, again and again, and what it had acknowledged has to be there. It
//! takes root, to make the disk, and minutes, since the processor is emulated.
//!
//! With `--arch aarch64` the machine is one like a gateway's board, and what is looked at is how soon it is ready.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

mod arch;
mod figures;
mod image;
mod machine;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use system::{Deadline, Folder, Interrupt, Programs, Stage};

use crate::build::build_programs;
use crate::error::XtaskError;
use crate::torture::Random;
use crate::{apps, packages};
use arch::Arch;
use figures::Figures;
use image::{Image, Load};
pub(crate) use image::{install, install_all, make_disk, unpack_debian, unpack_debian_with};
use machine::{Machine, Said};

/// How long the machine may take for all that is checked in it at one stage, with an emulated processor.
const CHECKS_PATIENCE: Duration = Duration::from_secs(1_800);
/// How long until it has acknowledged a round.
const ROUND_PATIENCE: Duration = Duration::from_secs(600);
/// Behind how many acknowledged rounds the power is cut at the latest, and how much later, in milliseconds.
const MOST_ROUNDS: usize = 5;
const MOST_DELAY_MS: usize = 2_000;
/// Where `cargo xtask cross` puts the program for the processor of a gateway.
const FOREIGN: &str = "aarch64-unknown-linux-gnu/device/smgw";

/// Which machine, and how often its power is cut.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The processor: all is checked on this machine's, readiness on a gateway's.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// The daemon for a gateway's processor; that of `cargo xtask cross aarch64`, if it is not said.
    #[arg(long, value_name = "FILE")]
    smgw: Option<PathBuf>,
    /// Only this stage, on the data partition that an earlier run has left.
    #[arg(long, value_parser = ["checks", "faults", "lost", "damaged", "cuts"])]
    only: Option<String>,
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
        stage: String,
        /// What was on the console.
        log: PathBuf,
    },
    /// There is no daemon for the processor of a gateway.
    #[error("{} does not exist; `cargo xtask cross aarch64` makes it, or name another with --smgw", smgw.display())]
    NotBuilt {
        /// Where it was looked for.
        smgw: PathBuf,
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
    let begun = Instant::now();
    packages::ensure(&packages::FOR_VM, &mut |text| println!("{text}"))?;
    build_programs()?;
    match options.arch {
        Arch::X86 => whole(options)?,
        Arch::Arm => readiness(options)?,
    }
    println!("== done after {} s", begun.elapsed().as_secs());
    Ok(())
}

/// Looks at everything.
fn whole(options: &Options) -> Result<(), XtaskError> {
    let folder = apps::target().join("vm");
    let image = Image::make(options.arch, &folder, &Load::Native(&Programs::find()?))?;
    let data = folder.join("data.img");
    let is_wanted = |stage: &str| options.only.as_deref().is_none_or(|only| only == stage);
    if is_wanted("checks") {
        image::make_data(&data)?;
        look(&image, &data, "checks", &folder)?;
    }
    if is_wanted("faults") {
        look(&image, &data, "faults", &folder)?;
    }
    if is_wanted("lost") {
        image::label(&data, "lost")?;
        look(&image, &data, "lost", &folder)?;
    }
    if is_wanted("damaged") {
        image::damage(&data)?;
        look(&image, &data, "damaged", &folder)?;
    }
    if is_wanted("cuts") {
        image::make_data(&data)?;
        cut(options, &image, &data, &folder)?;
    }
    Ok(())
}

/// Looks at how soon a machine like a gateway is ready; its meters are here.
fn readiness(options: &Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_FOREIGN_VM, &mut |text| println!("{text}"))?;
    let smgw = options.smgw.clone();
    let smgw = smgw.unwrap_or_else(|| apps::target().join(FOREIGN));
    if !smgw.is_file() {
        return Err(MachineError::NotBuilt { smgw }.into());
    }
    let stage = Stage::bare(Programs::find()?, Folder::temporary()?, Interrupt::default())?;
    let meters = stage.start_meters()?;
    let folder = apps::target().join("vm-aarch64");
    let image = Image::make(options.arch, &folder, &Load::Foreign(&smgw, &meters))?;
    let data = folder.join("data.img");
    image::make_data(&data)?;
    look(&image, &data, "starts", &folder)
}

/// Has the machine look at itself.
fn look(image: &Image, data: &Path, stage: &str, folder: &Path) -> Result<(), XtaskError> {
    println!("== a machine that looks at itself: {stage}");
    let log = folder.join(stage).with_extension("log");
    let machine = Machine::start(image, data, stage, &log)?;
    let deadline = Deadline::after(CHECKS_PATIENCE, &Interrupt::default());
    let mut failed = 0_usize;
    let mut figures = Figures::default();
    while let Some(said) = machine.next(&deadline) {
        match said {
            Said::Ok(what) => println!("  ok      {what}"),
            Said::Failed(what) => {
                println!("  FAILED  {what}");
                failed = failed.saturating_add(1);
            }
            Said::Value(name, _) if name == "done" => {
                machine.finish();
                // One start of a machine that does something else as well says little; some of one that does not say more.
                let too_slow = figures.print();
                let counted = if stage == "starts" { too_slow } else { 0 };
                return match failed.saturating_add(counted) {
                    0 => Ok(()),
                    failed => Err(MachineError::Checks { failed, log }.into()),
                };
            }
            Said::Value(name, value) => {
                println!("          {name}: {value}");
                figures.take(&name, &value);
            }
        }
    }
    Err(silent(stage, &log))
}

/// Cuts the power again and again, and looks each time whether what was acknowledged is there.
fn cut(options: &Options, image: &Image, data: &Path, folder: &Path) -> Result<(), XtaskError> {
    println!("== a machine whose power is cut {} times", options.cuts);
    let mut random = Random::new(options.seed);
    let mut acknowledged = BTreeSet::new();
    for number in 0..=options.cuts {
        let log = folder.join(format!("cut-{number}.log"));
        let machine = Machine::start(image, data, "cut", &log)?;
        let (rounds, failed) = rounds_on_the_disk(&machine).ok_or_else(|| silent("rounds", &log))?;
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
        if failed > 0 {
            return Err(MachineError::Checks { failed, log }.into());
        }
        if number < options.cuts && !acknowledge(&machine, &mut random, &mut acknowledged) {
            return Err(silent("rounds", &log));
        }
    }
    Ok(())
}

/// Waits until the machine shows what is on its disk; returns that, and how many of its checks failed before.
fn rounds_on_the_disk(machine: &Machine) -> Option<(BTreeSet<i64>, usize)> {
    let deadline = Deadline::after(ROUND_PATIENCE, &Interrupt::default());
    let mut failed = 0_usize;
    while let Some(said) = machine.next(&deadline) {
        match said {
            Said::Value(name, rounds) if name == "rounds" => {
                let rounds = rounds.split_whitespace().map(|time| time.parse().ok());
                return Some((rounds.collect::<Option<_>>()?, failed));
            }
            Said::Failed(what) => {
                println!("  FAILED  {what}");
                failed = failed.saturating_add(1);
            }
            Said::Ok(_) | Said::Value(..) => {}
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

fn silent(stage: &str, log: &Path) -> XtaskError {
    let (stage, log) = (stage.to_owned(), log.to_owned());
    MachineError::Silent { stage, log }.into()
}
