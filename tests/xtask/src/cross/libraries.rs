//! The libraries of another processor that the gateway is linked with, from Debian and beside the system.
//!
//! apt would take a foreign architecture into the system for good. Here it gets lists of its own in the folder of the chore,
//! downloads from there, and nothing is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Processor;
use crate::build::run_step;
use crate::error::XtaskError;

/// The library of PC/SC, and the name by which a linker finds it.
const PACKAGES: [&str; 2] = ["libpcsclite1", "libpcsclite-dev"];

/// Unpacks the libraries into the folder, unless they are there; returns where a linker finds them.
///
/// # Errors
///
/// [`XtaskError::Step`] if they cannot be had.
pub(super) fn unpack(processor: &Processor, folder: &Path) -> Result<PathBuf, XtaskError> {
    let folder = folder.join(processor.debian);
    let libraries = folder.join("root/usr/lib").join(processor.tools);
    if libraries.join("libpcsclite.so").exists() {
        return Ok(libraries);
    }
    for part in ["lists/partial", "cache/archives/partial", "root"] {
        let part = folder.join(part);
        std::fs::create_dir_all(&part).map_err(XtaskError::file(&part))?;
    }
    let status = folder.join("status");
    std::fs::write(&status, "").map_err(XtaskError::file(&status))?;
    // A list that cannot be had, as of a mirror that is behind, is no failure: the download tells what is missing.
    let mut update = apt(processor, &folder, &["update"]);
    if !update.status().is_ok_and(|status| status.success()) {
        tell(&format!(
            "some of Debian's lists for {} are missing",
            processor.debian
        ));
    }
    let packages = PACKAGES.map(|package| format!("{package}:{}", processor.debian));
    run_step(
        "download the libraries of the processor",
        apt(processor, &folder, &["download"]).args(packages),
    )?;
    for file in std::fs::read_dir(&folder).map_err(XtaskError::file(&folder))? {
        let file = file.map_err(XtaskError::file(&folder))?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            let mut extract = Command::new("dpkg");
            extract.arg("--extract").arg(&file).arg(folder.join("root"));
            run_step("dpkg --extract", &mut extract)?;
        }
    }
    Ok(libraries)
}

/// Begins a command of apt with lists of the folder's own, for this processor and nothing else.
fn apt(processor: &Processor, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(folder).arg("--quiet").args(arguments);
    let own = |name: &str, file: &str| format!("{name}={}", folder.join(file).display());
    for option in [
        format!("APT::Architectures::={}", processor.debian),
        own("Dir::State::lists", "lists"),
        own("Dir::State::status", "status"),
        own("Dir::Cache", "cache"),
        // The folder may be closed to apt's own user, and what is downloaded is checked all the same.
        "APT::Sandbox::User=root".to_owned(),
    ] {
        command.args(["-o", &option]);
    }
    command
}

#[expect(clippy::print_stdout, reason = "a command-line tool says what it does")]
fn tell(text: &str) {
    println!("{text}");
}
