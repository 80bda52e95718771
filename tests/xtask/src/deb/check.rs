//! The packages in a Debian of their own: installed, looked at, removed, purged.
#![expect(clippy::print_stdout, reason = "a command-line tool prints its result")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::run_step;
use crate::error::XtaskError;
use crate::{apps, vm};

/// What is looked at, inside; each line of it prints `ok WHAT` or `FAILED WHAT`.
const LOOK: &str = include_str!("look");

/// What is wrong with the packages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// They do not do what they are to do.
    #[error("{0} of the checks of the packages failed")]
    Checks(usize),
}

/// Installs the packages in a small Debian, looks at what is there, and removes them.
///
/// # Errors
///
/// [`XtaskError::Step`] names what failed, [`XtaskError::Package`] says that something in there is not as it should be.
pub(super) fn run(packages: &[PathBuf]) -> Result<(), XtaskError> {
    println!("== the packages in a Debian of their own");
    let folder = apps::target().join("vm");
    let place = tempfile::tempdir_in(apps::target()).map_err(XtaskError::file(&folder))?;
    let tree = place.path().join("root");
    vm::unpack_debian(&folder, &tree)?;
    let inside = tree.join("packages");
    std::fs::create_dir(&inside).map_err(XtaskError::file(&inside))?;
    for package in packages {
        let to = inside.join(package.file_name().unwrap_or_default());
        std::fs::copy(package, &to).map_err(XtaskError::file(&to))?;
    }
    let said = look(&tree)?;
    print!("{said}");
    let failed = said.lines().filter(|line| line.starts_with("FAILED")).count();
    let is_done = said.lines().any(|line| line == "done");
    match (failed, is_done) {
        (0, true) => Ok(()),
        _ => Err(PackageError::Checks(failed).into()),
    }
}

/// Runs the checks in there, and returns what they say.
fn look(tree: &Path) -> Result<String, XtaskError> {
    // Whatever dpkg starts needs these, and they go with the namespace.
    const ENTER: &str = "mount --bind /dev \"$1/dev\" && mount -t proc proc \"$1/proc\" && \
        exec chroot \"$1\" env DEBIAN_FRONTEND=noninteractive bash -s <\"$1/look\" >\"$1/said\"";
    let script = tree.join("look");
    std::fs::write(&script, LOOK).map_err(XtaskError::file(&script))?;
    let mut enter = Command::new("unshare");
    enter.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(tree);
    run_step("the Debian of the packages", &mut enter)?;
    let said = tree.join("said");
    std::fs::read_to_string(&said).map_err(XtaskError::file(&said))
}
