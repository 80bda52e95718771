//! The machine: qemu without hardware of this one, and what is said on its console.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use system::{Deadline, Interrupt};

use super::image::Image;
use crate::error::XtaskError;

/// The lines that are kept for a reader that is slow; the machine waits meanwhile.
const LINES_KEPT: usize = 256;
/// How long to wait for a line before the deadline is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long a machine may take to turn itself off.
const OFF_PATIENCE: Duration = Duration::from_secs(120);

/// A machine that runs; it has no power any more when it is dropped.
#[derive(Debug)]
pub(super) struct Machine {
    child: Child,
    said: Receiver<Said>,
}

/// What the machine tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Something is as it should be.
    Ok(String),
    /// Something is not.
    Failed(String),
    /// A figure or a list, by its name.
    Value(String, String),
}

impl Said {
    /// Reads a line of the console: `VM ok WHAT`, `VM FAILED WHAT` or `VM NAME VALUE`, behind whatever else stands there.
    fn read(line: &str) -> Option<Self> {
        let (_, said) = line.trim_end().split_once("VM ")?;
        let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
        let rest = rest.to_owned();
        Some(match word {
            "ok" => Self::Ok(rest),
            "FAILED" => Self::Failed(rest),
            name => Self::Value(name.to_owned(), rest),
        })
    }
}

impl Machine {
    /// Gives a machine power; `stage` is what it is to do. Its console is kept in the log.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Start`] without qemu, [`XtaskError::File`] for the log.
    pub(super) fn start(image: &Image, data: &Path, stage: &str, log: &Path) -> Result<Self, XtaskError> {
        let log = File::create(log).map_err(XtaskError::file(log))?;
        let drive = |file: &Path, more: &str| format!("file={},if=virtio,format=raw{more}", file.display());
        let arch = image.arch;
        // A foreign machine has its meters here, and the network of the emulator to reach them.
        let network = if arch.is_native() {
            "none"
        } else {
            "user,model=virtio-net-pci"
        };
        let mut command = Command::new(arch.emulator());
        command
            .args(["-M", arch.board(), "-cpu", arch.processor()])
            .args(["-accel", "tcg,thread=multi"])
            .args(["-smp", "2", "-m", "1024"])
            .args(["-nographic", "-no-reboot", "-nic", network])
            // A second serial port, to which nothing is connected.
            .args(["-serial", "mon:stdio", "-serial", "null"])
            .arg("-kernel")
            .arg(&image.kernel)
            .arg("-initrd")
            .arg(&image.initrd)
            .args(["-drive", &drive(&image.root, ",readonly=on")])
            .args(["-drive", &drive(data, "")])
            .arg("-append")
            .arg(format!(
                "console={} root=/dev/vda ro quiet panic=-1 net.ifnames=0 smgw.stage={stage}",
                arch.console()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| XtaskError::Start {
            program: arch.emulator().to_owned(),
            source,
        })?;
        let (sender, said) = sync_channel(LINES_KEPT);
        if let Some(console) = child.stdout.take() {
            std::thread::spawn(move || forward(BufReader::new(console), log, &sender));
        }
        Ok(Self { child, said })
    }

    /// Returns what the machine says next, or nothing if the deadline passes or the machine ends first.
    pub(super) fn next(&self, deadline: &Deadline) -> Option<Said> {
        use std::sync::mpsc::RecvTimeoutError;
        while !deadline.has_passed() {
            match self.said.recv_timeout(LOOK_AGAIN.min(deadline.remaining())) {
                Ok(said) => return Some(said),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }
}

impl Machine {
    /// Waits until the machine has turned itself off, for a while.
    pub(super) fn finish(&self) {
        let deadline = Deadline::after(OFF_PATIENCE, &Interrupt::default());
        while self.next(&deadline).is_some() {}
    }
}

impl Drop for Machine {
    /// Takes the power away.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Passes on what is said on the console, until the machine ends or nobody listens.
fn forward(console: impl BufRead, mut log: File, sender: &SyncSender<Said>) {
    for line in console.split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line);
        if writeln!(log, "{line}").is_err() {
            return;
        }
        if let Some(said) = Said::read(&line)
            && sender.send(said).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_is_read_for_what_the_machine_says_of_itself() {
        let value = |name: &str, value: &str| Some(Said::Value(name.to_owned(), value.to_owned()));
        assert_eq!(Said::read("[  OK  ] Started smgw"), None);
        assert_eq!(
            Said::read("login: VM ok it runs\r"),
            Some(Said::Ok("it runs".to_owned()))
        );
        assert_eq!(
            Said::read("VM FAILED it runs"),
            Some(Said::Failed("it runs".to_owned()))
        );
        assert_eq!(Said::read("VM rounds 1 2 \r"), value("rounds", "1 2"));
        assert_eq!(Said::read("VM done"), value("done", ""));
    }
}
