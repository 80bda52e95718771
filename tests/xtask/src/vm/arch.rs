//! The processors that can be emulated, and what is called otherwise on each.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::build::run_step;
use crate::error::XtaskError;

/// Where the kernel says which emulator runs programs of another processor, and whether it can be told.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// A processor that is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Arch {
    /// That of a server or a desk.
    #[value(name = "x86_64")]
    X86,
    /// That of a gateway.
    #[value(name = "aarch64")]
    Arm,
}

impl Arch {
    /// Returns what Debian calls it.
    pub(super) const fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm => "arm64",
        }
    }

    /// Returns the emulator.
    pub(super) const fn emulator(self) -> &'static str {
        match self {
            Self::X86 => "qemu-system-x86_64",
            Self::Arm => "qemu-system-aarch64",
        }
    }

    /// Returns the board that the emulator shows.
    pub(super) const fn board(self) -> &'static str {
        match self {
            Self::X86 => "pc",
            Self::Arm => "virt",
        }
    }

    /// Returns the processor that the emulator shows: all that it can, or that of a Raspberry Pi 4.
    pub(super) const fn processor(self) -> &'static str {
        match self {
            Self::X86 => "max",
            Self::Arm => "cortex-a72",
        }
    }

    /// Returns the device that the console is on.
    pub(super) const fn console(self) -> &'static str {
        match self {
            Self::X86 => "ttyS0",
            Self::Arm => "ttyAMA0",
        }
    }

    /// Returns the program that takes symbols out of programs.
    pub(super) const fn strip(self) -> &'static str {
        match self {
            Self::X86 => "strip",
            Self::Arm => "aarch64-linux-gnu-strip",
        }
    }

    /// Says whether this machine runs its programs by itself.
    pub(super) const fn is_native(self) -> bool {
        match self {
            Self::X86 => cfg!(target_arch = "x86_64"),
            Self::Arm => cfg!(target_arch = "aarch64"),
        }
    }

    /// Has the kernel run its programs under an emulator, which a Debian for it is made with.
    ///
    /// # Errors
    ///
    /// [`XtaskError::Step`] if the kernel does not take that; it takes root.
    pub(super) fn make_runnable(self) -> Result<(), XtaskError> {
        if self.is_native() || Path::new(BINFMT).join("qemu-aarch64").exists() {
            return Ok(());
        }
        if !Path::new(BINFMT).join("register").exists() {
            let mut mount = Command::new("mount");
            run_step("mount", mount.args(["-t", "binfmt_misc", "binfmt_misc", BINFMT]))?;
        }
        let mut register = Command::new("/usr/lib/systemd/systemd-binfmt");
        run_step("systemd-binfmt", register.arg("qemu-aarch64.conf"))
    }
}
