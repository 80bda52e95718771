//! A disk that is really full: a small file system in memory, mounted in a namespace of its own.
//!
//! The child is this test binary itself, started again inside the namespace; that takes no root where
//! the kernel lets users make namespaces.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use super::*;

const FOLDER: &str = "SMGW_STORE_FULL_DISK";

/// The size of the disk in KiB: the bindings with their reserve, and some room to fill up.
const DISK_KIB: u32 = 4_096;

/// Fills the disk to the last byte.
fn fill(folder: &Path) {
    let mut filler = File::options()
        .create(true)
        .append(true)
        .open(folder.join("filler"))
        .unwrap();
    for size in [65_536, 4_096, 1] {
        while filler.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn child_on_the_full_disk() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let disk = Path::new(&folder);
    let folder = disk.join("bindings");
    drop(open(&folder).unwrap());
    fill(disk);
    // An unbound gateway is opened, bound and counts.
    let bindings = open(&folder).unwrap();
    assert_eq!(bindings.repairs()[0], Repair::ReserveUsed);
    fill(disk);
    bindings.begin(&intent("fd00::1")).unwrap();
    assert_eq!(bindings.burn(&binding("fd00::1")).unwrap(), Burned::Now);
    fill(disk);
    for value in 1..300 {
        bindings.advance(Counter::CardSession, value).unwrap();
        fill(disk);
    }
    drop(bindings);
    // Nothing of it is lost, and sled can be made again from the copies.
    for damage in ["sled/conf", "sled/db", "copy-a"] {
        fill(disk);
        fs::remove_file(folder.join(damage)).unwrap();
        fill(disk);
        let bindings = open(&folder).unwrap();
        assert_eq!(bindings.binding().unwrap(), Some(binding("fd00::1")));
        assert_eq!(bindings.counter(Counter::CardSession).unwrap(), 299);
    }
    fill(disk);
    let bindings = open(&folder).unwrap();
    fill(disk);
    assert_eq!(bindings.burn_tamper("x", now()).unwrap(), Burned::Now);
    fill(disk);
    drop(bindings);
    let bindings = open(&folder).unwrap();
    assert!(bindings.tampered().unwrap().is_some());
    // With room again, it is kept aside again.
    drop(bindings);
    fs::remove_file(disk.join("filler")).unwrap();
    drop(open(&folder).unwrap());
    assert_eq!(reserve::kept(&folder), reserve::BYTES);
}

#[test]
fn full_disk_keeps_no_binding_shut_and_no_lock_unburned() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size={DISK_KIB}k none \"$1\" && shift && exec \"$@\" --exact {} --nocapture",
        "bindings::tests::full::child_on_the_full_disk"
    );
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"])
        .arg(folder.path())
        .args(this_program())
        .env(FOLDER, folder.path())
        .output()
        .expect("this test needs unshare (package util-linux)");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "the child failed, or the kernel permits no mount in a namespace of its own:\n{said}"
    );
    assert!(said.contains("1 passed"), "{said}");
}
