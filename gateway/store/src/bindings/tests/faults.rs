//! Calls of sled's own that the disk refuses. strace refuses them, to a child that is this test binary itself.

use std::process::Command;

use super::*;

const FOLDER: &str = "SMGW_STORE_FAULTY_DISK";

/// Runs the child on a folder whose disk fails the calls; says what strace is to do with which.
fn run_child(child: &str, folder: &Path, file: &str, fault: &str) {
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,fdatasync,pread64",
        ])
        .arg("-P")
        .arg(folder.join(file))
        .args(["-e", &format!("inject={fault}")])
        .args(this_program())
        .args(["--exact", child, "--nocapture"])
        .env(FOLDER, folder)
        .output()
        .expect("this test needs strace (package strace)");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "the child failed:\n{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn child_that_opens_and_closes() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    // Opened or not, it must not panic.
    match open(Path::new(&folder)) {
        Ok(bindings) => assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1"))),
        Err(error) => assert!(matches!(error, BindingsError::Engine(_)), "{error:?}"),
    }
}

#[test]
fn panic_of_sled_at_a_failed_fsync_is_contained() {
    let folder = bound();
    // Some are ours, when the bindings are opened; the last one is sled's, when they are closed.
    for first in 1..=5 {
        run_child(
            "bindings::tests::faults::child_that_opens_and_closes",
            folder.path(),
            "sled/db",
            &format!("fsync:error=EIO:when={first}+"),
        );
        let bindings = open(folder.path()).unwrap();
        assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
    }
}
