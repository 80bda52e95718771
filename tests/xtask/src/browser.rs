//! What drives a browser in the tests, in a folder of its own; the versions stand in `tests/browser/package-lock.json`.

use std::fs;
use std::process::{Command, Stdio};

use crate::build::{root, run_step};
use crate::error::XtaskError;

/// What says which modules there are to be.
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Makes sure that `target/browser` has the modules; the tests look there.
///
/// # Errors
///
/// [`XtaskError::File`], [`XtaskError::Start`] or [`XtaskError::Step`] if it cannot be set up.
pub(crate) fn ensure() -> Result<(), XtaskError> {
    let folder = root().join("target").join("browser");
    fs::create_dir_all(&folder).map_err(XtaskError::file(&folder))?;
    for list in LISTS {
        let from = root().join("tests").join("browser").join(list);
        fs::copy(&from, folder.join(list)).map_err(XtaskError::file(&from))?;
    }
    let npm = |arguments: &[&str]| {
        let mut npm = Command::new("npm");
        npm.args(arguments).current_dir(&folder);
        npm
    };
    let listing = npm(&["ls", "--all"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if listing.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    run_step(
        "npm ci",
        &mut npm(&["ci", "--no-audit", "--no-fund", "--ignore-scripts"]),
    )
}
