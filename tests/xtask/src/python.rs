//! Foreign programs in Python that prove our formats, in an environment of their own.

use std::process::Command;

use crate::build::{root, run_step};
use crate::error::XtaskError;

/// What is installed, with fixed versions, so that a new one cannot break an old commit: a foreign
/// M-Bus master, and what it opens ports with.
const PACKAGES: [&str; 2] = ["pyMeterBus==0.8.5", "pyserial==3.5"];

/// Makes sure that `target/foreign-python` has the packages; the tests look there.
///
/// # Errors
///
/// [`XtaskError::Start`] or [`XtaskError::Step`] if it cannot be set up.
pub(crate) fn ensure() -> Result<(), XtaskError> {
    let folder = root().join("target").join("foreign-python");
    let python = folder.join("bin").join("python");
    let works = Command::new(&python)
        .args(["-c", "import meterbus, serial"])
        .status();
    if works.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    run_step("virtualenv", Command::new("virtualenv").arg(&folder))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet"]).args(PACKAGES);
    run_step("pip install", &mut install)
}
