//! `cargo xtask fuzz`: builds the fuzz targets and runs them, on the toolchain that builds everything else.
//!
//! `cargo fuzz` wants a nightly compiler for its sanitizers. What the targets need is libFuzzer, which comes as source
//! with `libfuzzer-sys`, and its counters in the code, which the stable compiler's LLVM can set. There is no `unsafe` of
//! ours for a sanitizer to watch.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::build::{cargo, root, run_step};
use crate::error::XtaskError;
use crate::{apps, packages};

/// Every target, in the order of their names.
const TARGETS: [&str; 16] = [
    "answers",
    "apdu",
    "applet",
    "blob",
    "cms",
    "content",
    "decoder",
    "decrypt",
    "grant",
    "link",
    "package",
    "profile",
    "script",
    "secure_messaging",
    "tlv",
    "topic",
];

/// Sets libFuzzer's counters on every edge and traces what is compared with what.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Which targets, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The targets; all of them if none is named.
    #[arg(value_name = "TARGET", value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// How long each target runs, in seconds.
    #[arg(long, value_name = "N", default_value_t = 120)]
    seconds: u32,
}

/// What libFuzzer says at its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    executions: u64,
    /// Edges of the code that were reached.
    edges: u64,
}

/// Builds the targets and runs one after the other; what they have learned stays in `tests/fuzz/target/corpus`.
///
/// # Errors
///
/// [`XtaskError::Findings`] if an input breaks a property; it is kept, and its target's log says how.
pub(crate) fn run(options: &Options) -> Result<(), XtaskError> {
    packages::ensure(&packages::FOR_FUZZ, &mut |text| println!("{text}"))?;
    let folder = root().join("tests/fuzz");
    let host = host()?;
    // With a target named, cargo keeps the flags from build scripts.
    let mut build = cargo(&["build", "--release", "--bins", "--target", &host]);
    run_step(
        "build the fuzz targets",
        build.current_dir(&folder).env("RUSTFLAGS", INSTRUMENTATION),
    )?;
    let programs = folder.join("target").join(&host).join("release");
    let mut findings = Vec::new();
    println!("{:<18} {:>12} {:>8}  result", "target", "executions", "edges");
    for target in TARGETS {
        if !options.targets.is_empty() && !options.targets.iter().any(|wanted| wanted == target) {
            continue;
        }
        let log = folder.join("target").join(format!("{target}.log"));
        let passed = fuzz(&programs.join(target), target, &folder, &log, options.seconds)?;
        let text = std::fs::read(&log).map_err(XtaskError::file(&log))?;
        let Figures { executions, edges } = Figures::of(&String::from_utf8_lossy(&text));
        let result = if passed {
            "nothing found".to_owned()
        } else {
            format!("FOUND, see {}", log.display())
        };
        println!("{target:<18} {executions:>12} {edges:>8}  {result}");
        if !passed {
            findings.push(target);
        }
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(XtaskError::Findings(findings.join(", ")))
    }
}

/// Checks the types of the targets, which are a workspace of their own that nothing else builds, with the crates of the product in
/// its versions.
///
/// libFuzzer itself is left out: nothing is linked.
///
/// # Errors
///
/// [`XtaskError::Step`] if a target does not fit to what it calls.
pub(crate) fn check_types() -> Result<(), XtaskError> {
    let folder = root().join("tests/fuzz");
    let versions = folder.join("Cargo.lock");
    std::fs::copy(root().join("Cargo.lock"), &versions).map_err(XtaskError::file(&versions))?;
    run_step(
        "check the fuzz targets",
        cargo(&["check", "--bins", "--no-default-features"])
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", apps::target().join("fuzz"))
            .env("RUSTFLAGS", "--cfg fuzzing -D warnings"),
    )
}

/// Runs one target and returns whether every input kept its property.
fn fuzz(program: &Path, target: &str, folder: &Path, log: &Path, seconds: u32) -> Result<bool, XtaskError> {
    let learned = folder.join("target/corpus").join(target);
    let found = folder.join("artifacts").join(target);
    for needed in [&learned, &found] {
        std::fs::create_dir_all(needed).map_err(XtaskError::file(needed))?;
    }
    let output = File::create(log).map_err(XtaskError::file(log))?;
    let status = Command::new(program)
        .arg(&learned)
        .arg(folder.join("corpus").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", found.display()))
        .stderr(output)
        .status()
        .map_err(|source| XtaskError::Start {
            program: PathBuf::from(program).display().to_string(),
            source,
        })?;
    Ok(status.success())
}

/// Returns the name of the machine as the compiler has it.
fn host() -> Result<String, XtaskError> {
    const PROGRAM: &str = "rustc";
    let start = |source| XtaskError::Start {
        program: PROGRAM.to_owned(),
        source,
    };
    let output = Command::new(PROGRAM).arg("-vV").output().map_err(start)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| XtaskError::Step {
        step: "rustc -vV".to_owned(),
        status: output.status,
    })
}

impl Figures {
    /// Reads the last figures of a log; what is not in it is 0.
    fn of(log: &str) -> Self {
        let mut figures = Self::default();
        for line in log.lines() {
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                let number = match word {
                    "stat::number_of_executed_units:" => &mut figures.executions,
                    "cov:" => &mut figures.edges,
                    _ => continue,
                };
                if let Some(value) = words.next().and_then(|value| value.parse().ok()) {
                    *number = value;
                }
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_folder_is_known_and_has_a_corpus() {
        let folder = root().join("tests/fuzz");
        let files = std::fs::read_dir(folder.join("fuzz_targets")).unwrap();
        let mut found: Vec<String> = files
            .map(|file| {
                let name = file.unwrap().file_name().into_string().unwrap();
                name.trim_end_matches(".rs").to_owned()
            })
            .collect();
        found.sort();
        assert_eq!(found, TARGETS);
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target}");
            let mut corpus = std::fs::read_dir(folder.join("corpus").join(target)).unwrap();
            assert!(corpus.next().is_some(), "{target}");
        }
    }

    #[test]
    fn figures_are_the_last_ones_of_the_log() {
        let log =
            "#2 INITED cov: 7 ft: 8\n#9 DONE   cov: 152 ft: 234\nstat::number_of_executed_units: 4287080\n";
        let figures = Figures {
            executions: 4_287_080,
            edges: 152,
        };
        assert_eq!(Figures::of(log), figures);
        assert_eq!(Figures::of("nothing"), Figures::default());
    }

    #[test]
    fn target_that_fails_is_a_finding() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let passed = |program: &str| fuzz(Path::new(program), "apdu", folder.path(), &log, 1).unwrap();
        assert!(passed("/bin/true"));
        assert!(!passed("/bin/false"));
    }
}
