//! How everything is built: one profile, one set of features, so that nothing is built twice.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::XtaskError;

/// The features of the demonstration and of the tests: the card lives in a file.
pub(crate) const FEATURES: &str = "daemon/soft-card,trust-center/soft-card";

/// Returns the top folder of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Begins a command of cargo at the top of the repository.
///
/// `cargo run` describes `xtask` in the environment, and build scripts that look there (ring's does)
/// would run again after every change between `cargo demo` and `cargo build`: it is taken out.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| describes_xtask(name)) {
        command.env_remove(name);
    }
    command
}

fn describes_xtask(name: &str) -> bool {
    const OTHERS: [&str; 6] = [
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "OUT_DIR",
    ];
    name.starts_with("CARGO_PKG_") || OTHERS.contains(&name)
}

/// Begins the command that builds the programs of the system.
///
/// `xtask` is left out: it runs, and has just been built.
pub(crate) fn programs() -> Command {
    let mut command = cargo(&[
        "build",
        "--release",
        "--workspace",
        "--exclude",
        "xtask",
        "--bins",
    ]);
    command.args(["--features", FEATURES]);
    command
}

/// Builds the programs of the system, unless they were named: then they are taken as they are.
///
/// # Errors
///
/// As [`run_step`].
pub(crate) fn build_programs() -> Result<(), XtaskError> {
    if std::env::var_os("SMGW_BIN_DIR").is_some() {
        return Ok(());
    }
    run_step("build", &mut programs())
}

/// Runs a command as the named step, with its output shown.
///
/// # Errors
///
/// [`XtaskError::Start`] if it cannot be started, [`XtaskError::Step`] if it fails.
pub(crate) fn run_step(step: &str, command: &mut Command) -> Result<(), XtaskError> {
    let status = command.status().map_err(|source| XtaskError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(XtaskError::Step {
        step: step.to_owned(),
        status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.starts_with("[workspace]"));
    }

    #[test]
    fn description_of_xtask_is_not_handed_on() {
        let command = cargo(&["build"]);
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).collect();
        assert!(removed.iter().any(|(name, _)| *name == "CARGO_PKG_NAME"));
        assert!(!describes_xtask("CARGO_TARGET_DIR") && !describes_xtask("CARGO_HOME"));
    }

    #[test]
    fn failed_step_is_named_with_its_end() {
        let error = run_step("the step", Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(
            matches!(&error, XtaskError::Step { step, status } if step == "the step" && status.code() == Some(3))
        );
        let error = run_step("ghost", &mut Command::new("/does/not/exist")).unwrap_err();
        assert!(matches!(error, XtaskError::Start { .. }));
    }
}
