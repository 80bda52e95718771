//! The machine that is updated: its firmware, qemu, and what the agent in it says.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::disk::{DISK, Disk};
use super::roots::Roots;
use super::{UpdateError, VERSIONS};
use crate::build::{root, run_step};
use crate::error::XtaskError;

/// The bootloader, in the place of which it stands.
const FIRMWARE: &str = "tests/xtask/src/update/firmware";
/// The layer's script for U-Boot.
const BOOT_SCRIPT: &str = "yocto-layer/recipes-bsp/boot-script/files/boot.cmd.in";
/// How the firmware ends where a board would reset itself; and how often in a row it may: until neither root has tries left,
/// and once more for each.
const RESET: i32 = 3;
const MOST_RESETS: usize = 8;
/// How long a stage may take, in seconds, with an emulated processor.
const PATIENCE_S: &str = "900";

/// The machine, without power between two stages.
#[derive(Debug)]
pub(super) struct Machine {
    folder: PathBuf,
    disk: Disk,
    bundles: PathBuf,
    script: PathBuf,
    log: PathBuf,
}

/// What the machine said in a stage.
#[derive(Debug)]
#[must_use]
pub(super) struct Said<'a> {
    machine: &'a Machine,
    stage: &'a str,
    lines: Vec<String>,
}

impl Machine {
    /// Makes a machine whose disk has the first root.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Step`] names what failed.
    pub(super) fn make(folder: &Path, roots: &Roots) -> Result<Self, XtaskError> {
        let template = root().join(BOOT_SCRIPT);
        let script = std::fs::read_to_string(&template).map_err(XtaskError::file(&template))?;
        let script = script
            .replace("@DISK@", DISK)
            .replace("@MMC@", "0")
            .replace("@KERNEL@", "vmlinuz")
            .replace("@BOOT@", "start");
        let machine = Self {
            folder: folder.to_owned(),
            disk: Disk::make(folder, &roots.image(VERSIONS[0]))?,
            bundles: roots.bundles.clone(),
            script: folder.join("boot.cmd"),
            log: folder.join("console.log"),
        };
        std::fs::write(&machine.script, script).map_err(XtaskError::file(&machine.script))?;
        std::fs::write(&machine.log, "").map_err(XtaskError::file(&machine.log))?;
        Ok(machine)
    }

    /// Gives the machine power until it starts anew or switches itself off.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Step`] if no root can be started.
    pub(super) fn boot<'a>(&'a self, stage: &'a str) -> Result<Said<'a>, XtaskError> {
        self.run(stage, None)
    }

    /// Gives the machine power, and takes it away so many milliseconds behind the moment when it says this.
    ///
    /// # Errors
    ///
    /// As [`Self::boot`].
    pub(super) fn cut<'a>(
        &'a self,
        stage: &'a str,
        behind: &str,
        delay_ms: u64,
    ) -> Result<Said<'a>, XtaskError> {
        self.run(stage, Some((behind, Duration::from_millis(delay_ms))))
    }

    fn run<'a>(&'a self, stage: &'a str, cut: Option<(&str, Duration)>) -> Result<Said<'a>, XtaskError> {
        self.start_firmware()?;
        let mut log = OpenOptions::new()
            .append(true)
            .open(&self.log)
            .map_err(XtaskError::file(&self.log))?;
        let mut qemu = self.qemu(stage)?;
        let mut child = qemu.spawn().map_err(|source| XtaskError::Start {
            program: "qemu-system-x86_64".to_owned(),
            source,
        })?;
        let mut lines = Vec::new();
        let console = child.stdout.take().into_iter().flat_map(|console| {
            let lines = BufReader::new(console).split(b'\n');
            lines.map_while(Result::ok)
        });
        for line in console {
            let line = String::from_utf8_lossy(&line);
            writeln!(log, "{line}").map_err(XtaskError::file(&self.log))?;
            let Some((_, said)) = line.trim_end().split_once("UPDATE ") else {
                continue;
            };
            println!("  {said}");
            lines.push(said.to_owned());
            if let Some((_, delay)) = cut.filter(|(behind, _)| said == *behind) {
                // Nothing is ever sent. What is said meanwhile is read behind the cut.
                let (_sender, never) = mpsc::channel::<()>();
                if never.recv_timeout(delay).is_err() {
                    drop(child.kill());
                }
            }
        }
        drop(child.kill());
        drop(child.wait());
        Ok(Said {
            machine: self,
            stage,
            lines,
        })
    }

    /// Runs the boot script until it starts something.
    fn start_firmware(&self) -> Result<(), XtaskError> {
        let mut resets = 0;
        loop {
            let mut firmware = Command::new("sh");
            firmware.arg(root().join(FIRMWARE)).args([
                &self.script,
                &self.disk.places,
                &self.disk.file,
                &self.folder,
            ]);
            match run_step("the boot script", &mut firmware) {
                Err(XtaskError::Step { status, .. })
                    if status.code() == Some(RESET) && resets < MOST_RESETS =>
                {
                    resets += 1;
                }
                done => return done,
            }
        }
    }

    fn qemu(&self, stage: &str) -> Result<Command, XtaskError> {
        let bootargs = self.folder.join("bootargs");
        let bootargs = std::fs::read_to_string(&bootargs).map_err(XtaskError::file(&bootargs))?;
        let drive = |file: &Path, name: &str, more: &str| {
            let file = file.display();
            format!("file={file},if=none,id={name},format=raw{more}")
        };
        // A machine that does not end has no power after this time.
        let mut command = Command::new("timeout");
        command
            .args(["--signal=KILL", PATIENCE_S, "setpriv", "--pdeathsig", "KILL"])
            .arg("qemu-system-x86_64")
            .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
            .args([
                "-smp",
                "2",
                "-m",
                "1024",
                "-nographic",
                "-no-reboot",
                "-nic",
                "none",
            ])
            .arg("-kernel")
            .arg(self.folder.join("kernel"))
            .arg("-initrd")
            .arg(self.folder.join("initrd"))
            .args(["-drive", &drive(&self.disk.file, "disk", "")])
            .args(["-device", "nvme,drive=disk,serial=disk"])
            .args(["-drive", &drive(&self.bundles, "bundles", ",readonly=on")])
            .args(["-device", "nvme,drive=bundles,serial=bundles"])
            .arg("-append")
            .arg(format!(
                "{bootargs} console=ttyS0 no_timer_check smgw.stage={stage}"
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Ok(command)
    }
}

impl Said<'_> {
    /// Makes sure that some line begins with each of the first, and none with any of the second.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Update`] names the first that is otherwise.
    pub(super) fn judge(self, wanted: &[&str], unwanted: &[&str]) -> Result<(), XtaskError> {
        let is_there = |beginning: &&&str| self.lines.iter().any(|line| line.starts_with(**beginning));
        let missing = wanted.iter().find(|beginning| !is_there(beginning));
        let surplus = unwanted.iter().find(is_there);
        let expected = match (missing, surplus) {
            (None, None) => return Ok(()),
            (Some(missing), _) => (*missing).to_owned(),
            (None, Some(surplus)) => format!("no {surplus}"),
        };
        let error = UpdateError {
            stage: self.stage.to_owned(),
            said: self.lines,
            expected,
            log: self.machine.log.clone(),
        };
        Err(error.into())
    }
}
