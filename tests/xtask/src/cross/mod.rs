//! `cargo xtask cross` and `cross-evaluation`: the gateway, and the results and the fuel of the energy applications, on the
//! processors that gateways have.
//!
//! `cross` builds the daemon as the layer does, compares its size with its limit, and runs the tests of the pure crates and
//! of the store. `cross-evaluation` runs the tests of the shipped applications, which compare outputs and fuel with the
//! manifests' vectors. Both run under qemu. Where rustup can be asked, its targets would do; these chores do without.
//! Debian's newest compiler, the one that its browsers are built with, comes with the source of the standard library, which
//! cargo builds for the target. It conflicts with the packages that everything else is built with, and is only unpacked,
//! not installed.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

mod device;
mod libraries;
mod tally;

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use device::{Options, run};

use crate::apps;
use crate::build::{cargo, run_step};
use crate::error::XtaskError;
use crate::packages;

/// What is unpacked: the compiler, its libraries, and the source of the standard library.
const UNPACKED: [&str; 5] = [
    "rustc-web",
    "libstd-rust-web-1.96",
    "libstd-rust-web-dev",
    "libllvm22",
    "rust-web-src",
];

/// A processor: the target, Debian's name, the prefix of the tools, the linker, the emulator, where the libraries of C are, and
/// what the compiler is told for it.
struct Processor {
    target: &'static str,
    debian: &'static str,
    tools: &'static str,
    linker: &'static str,
    emulator: &'static str,
    libraries: &'static str,
    flags: &'static str,
}

const PROCESSORS: [Processor; 2] = [
    Processor {
        target: "aarch64-unknown-linux-gnu",
        debian: "arm64",
        tools: "aarch64-linux-gnu",
        linker: "aarch64-linux-gnu-gcc",
        emulator: "qemu-aarch64",
        libraries: "/usr/aarch64-linux-gnu",
        flags: "",
    },
    Processor {
        target: "armv7-unknown-linux-gnueabihf",
        debian: "armhf",
        tools: "arm-linux-gnueabihf",
        linker: "arm-linux-gnueabihf-gcc",
        emulator: "qemu-arm",
        libraries: "/usr/arm-linux-gnueabihf",
        // Instructions of 16 bits where there are such: the program is a quarter smaller.
        flags: "-Ctarget-feature=+thumb-mode",
    },
];

impl Processor {
    /// Returns what starts a program of this processor.
    fn runner(&self) -> String {
        format!("{} -L {}", self.emulator, self.libraries)
    }

    /// Returns the name of a variable by which cargo is told something for this processor alone.
    fn variable(&self, what: &str) -> String {
        let target = self.target.replace('-', "_").to_uppercase();
        format!("CARGO_TARGET_{target}_{what}")
    }
}

/// Runs the applications' tests on every processor.
///
/// # Errors
///
/// [`XtaskError::Step`] names the processor on which a result or the fuel differs.
pub(crate) fn evaluation() -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_CROSS, &mut |text| println!("{text}"))?;
    apps::run(apps::Options::default())?;
    let compiler = unpack(&apps::target().join("cross"))?;
    for processor in &PROCESSORS {
        println!("== {}", processor.target);
        run_step(processor.target, &mut tests(processor, &compiler))?;
    }
    Ok(())
}

/// Unpacks the compiler into the folder, unless it is there; returns its root.
fn unpack(folder: &Path) -> Result<PathBuf, XtaskError> {
    let root = folder.join("root");
    if root.join("usr/bin/rustc").exists() {
        return Ok(root);
    }
    std::fs::create_dir_all(&root).map_err(XtaskError::file(&root))?;
    let mut download = Command::new("apt-get");
    download.current_dir(folder).arg("download").args(UNPACKED);
    run_step("download Debian's newest compiler", &mut download)?;
    let files = std::fs::read_dir(folder).map_err(XtaskError::file(folder))?;
    for file in files {
        let file = file.map_err(XtaskError::file(folder))?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            run_step(
                "dpkg --extract",
                Command::new("dpkg").arg("--extract").arg(&file).arg(&root),
            )?;
        }
    }
    Ok(root)
}

/// Returns the command that runs the tests on a processor.
fn tests(processor: &Processor, root: &Path) -> Command {
    let mut command = on(
        processor,
        root,
        &["test", "--package", "evaluation", "--test", "it"],
    );
    command.args(["--", "apps::", "sandbox"]);
    command
}

/// Begins a command of cargo that builds for a processor, and runs what it has built there.
fn on(processor: &Processor, root: &Path, arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command
        // The standard library is built from source, which a stable compiler does when it is told that it is not one.
        // What it has in two versions is taken in the smaller one: sorting alone is built for each type of element.
        .args([
            "-Zbuild-std=std,panic_abort",
            "-Zbuild-std-features=optimize_for_size",
        ])
        .args(["--target", processor.target])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", root.join("usr/bin/rustc"))
        .env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"))
        .env(processor.variable("LINKER"), processor.linker)
        .env(processor.variable("RUNNER"), processor.runner());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_is_named_in_the_variables_of_cargo() {
        let command = tests(&PROCESSORS[1], Path::new("/root"));
        let linker = command
            .get_envs()
            .find(|(name, _)| *name == "CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER");
        assert_eq!(
            linker.and_then(|(_, value)| value),
            Some("arm-linux-gnueabihf-gcc".as_ref())
        );
    }
}
