//! Foreign programs in Python that prove our formats, in an environment of their own.

use std::process::{Command, Stdio};

use crate::build::{root, run_step};
use crate::error::XtaskError;

/// What is installed, with fixed versions, so that a new one cannot break an old commit: a foreign
/// M-Bus master, a foreign Modbus server and client, what both open ports with, the definitions of
/// the SunSpec models, a reader of Parquet, what reads the files of a board's build, a judge of recipes, one of OpenAPI, and
/// a reader of OpenMetrics.
const PACKAGES: [&str; 9] = [
    "kas==5.5",
    "oelint-adv==9.11.0",
    "openapi-spec-validator==0.9.0",
    "prometheus_client==0.26.0",
    "pyarrow==26.0.1",
    "pyMeterBus==0.8.5",
    "pymodbus==3.16.1",
    "pyserial==3.5",
    "pysunspec2==1.3.7",
];

/// Ends well if every package that it is told is there in its version.
const CHECK: &str = "
import importlib.metadata, sys
for package in sys.argv[1:]:
    name, version = package.split('==')
    assert importlib.metadata.version(name) == version, package
";

/// Makes sure that `target/foreign-python` has the packages; the tests look there.
///
/// # Errors
///
/// [`XtaskError::Start`] or [`XtaskError::Step`] if it cannot be set up.
pub(crate) fn ensure() -> Result<(), XtaskError> {
    let folder = root().join("target").join("foreign-python");
    let python = folder.join("bin").join("python");
    let works = Command::new(&python)
        .args(["-c", CHECK])
        .args(PACKAGES)
        .stderr(Stdio::null())
        .status();
    if works.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    run_step("virtualenv", Command::new("virtualenv").arg(&folder))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet"]).args(PACKAGES);
    run_step("pip install", &mut install)
}
