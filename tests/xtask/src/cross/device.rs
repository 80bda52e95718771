//! The gateway for another processor: its size, and the tests of what has no way out.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};

use super::tally::{self, Tally};
use super::{PROCESSORS, Processor, libraries, on, unpack};
use crate::build::run_step;
use crate::error::XtaskError;
use crate::{apps, packages};

/// The most bytes of the program for aarch64, stripped: 12 MB; another processor has the same limit.
const MOST_BYTES: u64 = 12_000_000;

/// What the compiler and the linker are told besides the profile, as the layer tells them (`smgw.inc`): relocations that take
/// some bits in place of 24 bytes, which glibc 2.36 and later read; and what of the code occurs more than once becomes a
/// function only if that saves more than its entry in the tables of unwinding takes.
const LEAN: &str = "-Clink-arg=-Wl,-z,pack-relative-relocs -Cllvm-args=-outliner-benefit-threshold=32";

/// Debian's newest linker, since its usual one does not pack relocations for these processors, and how it is called: it also
/// keeps of functions that have the same code one.
const LINKER: &str = "/usr/bin/ld.lld-16";
const LINKED: &str = "-Clink-arg=-fuse-ld=lld -Clink-arg=-Wl,--icf=all";

/// The crates whose tests run under qemu: those without I/O, and the one that formats what is on the disk.
const TESTED: [&str; 10] = [
    "model",
    "card",
    "messages",
    "authorization",
    "evaluation",
    "billing",
    "broker",
    "mbus",
    "modbus",
    "store",
];

/// The tests of these that an emulated processor cannot run, by their whole names, and why.
const LEFT_OUT: [(&str, &str); 0] = [];

/// The variable by which a test that starts itself again learns what emulates its processor.
const EMULATOR: &str = "SMGW_TEST_EMULATOR";

/// For which processor, and how much.
#[derive(Debug, Args)]
pub(crate) struct Options {
    processor: Target,
    /// Builds the program and runs no tests.
    #[arg(long)]
    build_only: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Target {
    /// 64 bit: Raspberry Pi 4, i.MX 8M.
    Aarch64,
    /// 32 bit: BeagleBone.
    Armv7,
}

impl Target {
    const fn processor(self) -> &'static Processor {
        let [aarch64, armv7] = &PROCESSORS;
        match self {
            Self::Aarch64 => aarch64,
            Self::Armv7 => armv7,
        }
    }
}

/// Builds the daemon as the layer does and runs the tests.
///
/// # Errors
///
/// [`XtaskError::Step`] names what failed, [`XtaskError::TooLarge`] the program that has outgrown its limit.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_CROSS, &mut |text| println!("{text}"))?;
    let processor = options.processor.processor();
    let folder = apps::target().join("cross");
    let compiler = unpack(&folder)?;
    let libraries = libraries::unpack(processor, &folder)?;
    println!("== the daemon for {}", processor.target);
    let linker = linker(&folder)?;
    run_step(
        "the daemon",
        &mut program(processor, &compiler, &libraries, &linker),
    )?;
    let size = measure(processor);
    if !options.build_only {
        // Tests run the modules.
        apps::run(apps::Options::default())?;
        println!("== tests for {}", processor.target);
        let tally = tally::run("tests under qemu", tests(processor, &compiler))?;
        judge(processor, &tally)?;
    }
    size
}

/// Prints how many tests there were, and which were left out and why.
fn judge(processor: &Processor, tally: &Tally) -> Result<(), XtaskError> {
    println!("== tests on {} under {}", processor.target, processor.emulator);
    println!("{tally}");
    for (test, reason) in LEFT_OUT {
        println!("  left out: {test}: {reason}");
    }
    let total = tally.total();
    if total.failed > 0 || total.left_out != LEFT_OUT.len() {
        return Err(XtaskError::Tests {
            failed: total.failed,
            left_out: total.left_out,
            named: LEFT_OUT.len(),
        });
    }
    Ok(())
}

/// Returns the command that builds the daemon.
fn program(processor: &Processor, compiler: &Path, libraries: &Path, linker: &Path) -> Command {
    let arguments = [
        "build",
        "--locked",
        "--profile",
        "device",
        "--package",
        "daemon",
        "--bin",
        "smgw",
    ];
    let mut command = on(processor, compiler, &arguments);
    let (linker, flags) = (linker.display(), processor.flags);
    command.env("PCSC_LIB_DIR", libraries).env(
        processor.variable("RUSTFLAGS"),
        format!("{LEAN} {LINKED} -Clink-arg=-B{linker} {flags}"),
    );
    command
}

/// Returns a folder in which the compiler finds the linker under the name that it looks for.
fn linker(folder: &Path) -> Result<PathBuf, XtaskError> {
    let place = folder.join("lld");
    std::fs::create_dir_all(&place).map_err(XtaskError::file(&place))?;
    let link = place.join("ld.lld");
    if !link.exists() {
        std::os::unix::fs::symlink(LINKER, &link).map_err(XtaskError::file(&link))?;
    }
    Ok(place)
}

/// Returns the command that runs the tests.
fn tests(processor: &Processor, compiler: &Path) -> Command {
    let mut command = on(
        processor,
        compiler,
        &[
            "test",
            "--locked",
            "--release",
            "--no-fail-fast",
            "--lib",
            "--tests",
        ],
    );
    for package in TESTED {
        command.args(["--package", package]);
    }
    command.env(EMULATOR, processor.runner());
    command.arg("--");
    for (test, _) in LEFT_OUT {
        command.args(["--skip", test]);
    }
    command
}

/// Prints the size of the program without what is for debuggers, beside its limit.
fn measure(processor: &Processor) -> Result<(), XtaskError> {
    let built = apps::target().join(processor.target).join("device/smgw");
    let stripped = built.with_extension("stripped");
    let mut strip = Command::new(format!("{}-strip", processor.tools));
    run_step("strip", strip.arg("-o").arg(&stripped).arg(&built))?;
    let bytes = std::fs::metadata(&stripped)
        .map_err(XtaskError::file(&stripped))?
        .len();
    println!(
        "smgw for {}: {bytes} bytes stripped, {MOST_BYTES} at most",
        processor.target
    );
    if bytes > MOST_BYTES {
        return Err(XtaskError::TooLarge {
            bytes,
            most: MOST_BYTES,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_built_as_the_layer_builds_it() {
        let recipe = crate::build::root().join("yocto-layer/recipes-smgw/smgw/smgw.inc");
        let recipe = std::fs::read_to_string(recipe).unwrap();
        let place = Path::new("/place");
        let built = program(Target::Armv7.processor(), place, place, place);
        let arguments: Vec<_> = built
            .get_args()
            .filter_map(|argument| argument.to_str())
            .collect();
        assert!(
            arguments.windows(2).any(|pair| pair == ["--profile", "device"]),
            "{arguments:?}"
        );
        assert!(recipe.contains("--profile device"), "{recipe}");
        assert!(
            arguments.contains(&"armv7-unknown-linux-gnueabihf"),
            "{arguments:?}"
        );
        let flags = PROCESSORS
            .iter()
            .flat_map(|processor| processor.flags.split_whitespace());
        for flag in LEAN.split_whitespace().chain(flags) {
            assert!(recipe.contains(flag), "{flag}: {recipe}");
        }
    }
}
