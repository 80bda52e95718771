//! `cargo verify`: every check and test, in the order in which a failure is cheapest.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::build::{FEATURES, cargo, run_step};
use crate::error::XtaskError;
use crate::{apps, browser, fuzz, packages, python, torture};

/// The version of the test runner, so that a new one cannot break an old commit.
const NEXTEST: &str = "0.9.143";

/// A check: its name and what to run.
struct Step {
    name: &'static str,
    command: Command,
}

/// Runs every check and prints how long each took.
///
/// # Errors
///
/// The first failure, as [`XtaskError`]; it names the step.
pub(crate) fn run() -> Result<(), XtaskError> {
    let begun = Instant::now();
    let mut durations = Vec::new();
    timed("system packages", &mut durations, || {
        packages::ensure(&packages::FOR_VERIFY, &mut |text| println!("{text}"))?;
        component("fmt", "rustfmt")?;
        component("clippy", "clippy")
    })?;
    timed("foreign programs in Python", &mut durations, python::ensure)?;
    timed("what drives a browser", &mut durations, browser::ensure)?;
    timed("test runner", &mut durations, nextest)?;
    // Tests run the modules.
    timed("energy applications", &mut durations, || {
        apps::check_format()?;
        apps::run(apps::Options::default())
    })?;
    for Step { name, mut command } in steps() {
        timed(name, &mut durations, || run_step(name, &mut command))?;
    }
    timed("fuzz targets, type-checked", &mut durations, fuzz::check_types)?;
    timed("torture, short", &mut durations, || {
        torture::run(&torture::Options::short())
    })?;
    println!("\nEverything is in order:");
    for (name, duration) in &durations {
        println!("  {:>7.1} s  {name}", duration.as_secs_f64());
    }
    println!("  {:>7.1} s  in all", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Runs one step, announced before and timed after.
fn timed(
    name: &'static str,
    durations: &mut Vec<(&'static str, Duration)>,
    step: impl FnOnce() -> Result<(), XtaskError>,
) -> Result<(), XtaskError> {
    println!("\n== {name}");
    let begun = Instant::now();
    let done = step();
    let word = if done.is_ok() { "done" } else { "FAILED" };
    println!("== {name}: {word} after {:.1} s", begun.elapsed().as_secs_f64());
    durations.push((name, begun.elapsed()));
    done
}

/// Returns the checks in their order.
fn steps() -> Vec<Step> {
    let features = ["--features", FEATURES];
    let deny = ["--", "-D", "warnings"];
    let everything = ["--release", "--workspace"];
    let step = |name, command| Step { name, command };
    let with = |mut command: Command, parts: &[&[&str]]| {
        for part in parts {
            command.args(*part);
        }
        command
    };
    let mut documentation = with(cargo(&["doc", "--no-deps"]), &[&everything, &features]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    vec![
        step("format", cargo(&["fmt", "--all", "--check"])),
        step(
            "build",
            with(cargo(&["build", "--all-targets"]), &[&everything, &features]),
        ),
        step(
            "clippy",
            with(
                cargo(&["clippy", "--all-targets"]),
                &[&everything, &features, &deny],
            ),
        ),
        step(
            "clippy, as in production",
            with(
                cargo(&[
                    "clippy",
                    "--all-targets",
                    "--release",
                    "-p",
                    "daemon",
                    "-p",
                    "trust-center",
                ]),
                &[&deny],
            ),
        ),
        step(
            "tests",
            with(cargo(&["nextest", "run"]), &[&everything, &features]),
        ),
        step("energy applications, natively", apps::native_tests()),
        step("energy applications, clippy", apps::native_clippy()),
        step(
            "examples in the documentation",
            with(cargo(&["test", "--doc"]), &[&everything, &features]),
        ),
        step("documentation", documentation),
    ]
}

/// Makes sure that a component of the toolchain works.
fn component(component: &'static str, package: &'static str) -> Result<(), XtaskError> {
    if works(component) {
        return Ok(());
    }
    Err(XtaskError::ComponentMissing { component, package })
}

/// Makes sure that the test runner is there; installs it with cargo when it is not.
fn nextest() -> Result<(), XtaskError> {
    if works("nextest") {
        return Ok(());
    }
    let mut install = cargo(&["install", "cargo-nextest", "--locked", "--version", NEXTEST]);
    run_step("cargo install cargo-nextest", &mut install)
}

fn works(subcommand: &str) -> bool {
    let version = cargo(&[subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_that_builds_does_so_in_one_profile() {
        for Step { name, command } in steps().into_iter().skip(1) {
            let arguments: Vec<_> = command.get_args().collect();
            assert!(
                arguments.iter().any(|argument| *argument == "--release"),
                "{name}"
            );
        }
    }

    #[test]
    fn failed_step_is_timed_too() {
        let mut durations = Vec::new();
        let failed = timed("step", &mut durations, || Err(XtaskError::NoApt("x".into())));
        assert!(failed.is_err());
        assert_eq!(durations.len(), 1);
    }

    #[test]
    fn component_that_does_not_work_is_named() {
        let error = component("no-such-subcommand", "none").unwrap_err();
        assert!(error.to_string().contains("rustup component add none"));
    }
}
