//! `cargo xtask update`: a machine that is updated by RAUC, into two roots, with the layer's settings and boot script.
//!
//! A small Debian with our units starts under qemu from the disk that the layer lays out. RAUC runs in it as on a device:
//! bundles are checked block by block by the kernel while they are written into the root that does not run. In place of a
//! board's U-Boot, `FIRMWARE` runs the layer's script for it, on the environment that `fw_setenv` writes in the machine.
//! What is shown: an update that is not ours or not whole changes nothing; the power goes while a root is written, and the
//! other one starts; a good update starts, answers, and is marked as good, with the data as they were; one whose gateway does
//! not answer is given up behind its third try. It takes root, to make the disks.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

mod disk;
mod machine;
mod roots;

use std::path::PathBuf;

use clap::Args;
use system::Programs;

use crate::build::build_programs;
use crate::error::XtaskError;
use crate::{apps, packages};
use machine::Machine;

/// The versions of the root, in the order in which they come: one to begin with, a good update, one that does not answer.
const VERSIONS: [&str; 3] = ["1", "2", "3"];
/// How often the boot script tries a root (`boot.cmd.in` of the layer).
const TRIES: usize = 3;

/// How the machine is updated.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long into the writing of an update the power is cut, in milliseconds.
    #[arg(long, default_value_t = 1_500)]
    cut_after_ms: u64,
}

/// What an update did that it must not.
#[derive(Debug, thiserror::Error)]
#[error("in the stage \"{stage}\" the machine said {said:?}, without {expected:?}; its console is in {}", log.display())]
pub(crate) struct UpdateError {
    /// What the machine was to do.
    stage: String,
    /// What it said.
    said: Vec<String>,
    /// What it should have said.
    expected: String,
    /// What was on the console.
    log: PathBuf,
}

/// Updates the machine.
///
/// # Errors
///
/// [`XtaskError::Update`] says what went otherwise than it should, [`XtaskError::Step`] what could not be done.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_VM, &mut |text| println!("{text}"))?;
    packages::ensure(&packages::FOR_UPDATE, &mut |text| println!("{text}"))?;
    build_programs()?;
    let folder = apps::target().join("update");
    println!("== the roots and the bundles");
    let made = roots::make(&folder, &Programs::find()?)?;
    let machine = Machine::make(&folder, &made)?;

    println!("== updates that are not ours, or not whole");
    machine.boot("refused")?.judge(
        &[
            "trying 1 A",
            "healthy 1 A success",
            "installed foreign 1",
            "untouched foreign",
            "installed cut 1",
            "untouched cut",
        ],
        &[],
    )?;
    println!("== the power goes while an update is written");
    machine
        .cut("torn", "writing", options.cut_after_ms)?
        .judge(&["healthy 1 A success", "writing"], &["installed good"])?;
    println!("== the root that ran starts, and the update is written once more");
    machine
        .boot("good")?
        .judge(&["healthy 1 A success", "installed good 0"], &[])?;
    println!("== the update starts and is marked as good; one is written whose gateway does not answer");
    machine
        .boot("broken")?
        .judge(&["healthy 2 B success", "installed broken 0", "marker kept"], &[])?;
    for attempt in 1..=TRIES {
        println!("== try {attempt} of {TRIES} of the one that does not answer");
        machine.boot("look")?.judge(&["trying 3 A"], &["healthy"])?;
    }
    println!("== the update before it is back");
    machine
        .boot("look")?
        .judge(&["healthy 2 B success", "marker kept"], &[])
}

#[cfg(test)]
mod tests {
    use crate::build::root;

    use super::*;

    #[test]
    fn boot_script_tries_a_root_as_often_as_is_checked() {
        let script = root().join("yocto-layer/recipes-bsp/boot-script/files/boot.cmd.in");
        let script = std::fs::read_to_string(script).unwrap();
        for slot in ["A", "B"] {
            let set = format!("setenv BOOT_{slot}_LEFT {TRIES}");
            assert!(script.contains(&set), "{script}");
        }
    }
}
