//! A disk that is full at every moment of keeping an answer.
//!
//! The disk is a small `tmpfs` in a user and mount namespace of its own, which needs no root. The test starts itself again in
//! there.

use std::path::Path;
use std::process::Command;

use supplier::{Store, StorePlace};

use crate::stage::{POINTS, answer, values};

/// Names the disk, for the test that was started again.
const DISK: &str = "SUPPLIER_TEST_DISK";
/// How much more room each attempt finds than the one before it, in KiB: a page of the file system.
const STEP: u64 = 4;
/// With how much room, in KiB, an attempt must succeed at last.
const ENOUGH: u64 = 2_048;

#[test]
fn full_disk_is_a_clear_error_and_leaves_nothing_half_stored() {
    if let Some(disk) = std::env::var_os(DISK) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.unwrap().block_on(fill(Path::new(&disk)));
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(folder.path()).arg(std::env::current_exe().unwrap());
    let name = "full_disk::full_disk_is_a_clear_error_and_leaves_nothing_half_stored";
    let output = command
        .args(["--exact", name, "--nocapture"])
        .env(DISK, folder.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said:?}");
    assert!(said[0].contains("1 passed"), "{said:?}");
}

async fn fill(disk: &Path) {
    let place = StorePlace::File(disk.join("store.db"));
    let store = Store::open(&place).await.unwrap();
    store.keep(&answer(0), &[7; 30_000], None).await.unwrap();
    let mut failures = 0;
    let mut room = 0;
    loop {
        assert!(room <= ENOUGH, "it never succeeded");
        let filler = fill_up(disk, room);
        let kept = store.keep(&answer(1), &[8; 30_000], None).await;
        std::fs::remove_file(filler).unwrap();
        if let Err(error) = kept {
            failures += 1;
            assert!(error.to_string().contains("disk is not full"), "{error}");
            assert_eq!(values(&store).await.len(), POINTS - 1, "with {room} KiB");
        } else {
            break;
        }
        room += STEP;
    }
    assert!(failures > 3, "{failures}");
    assert_eq!(values(&store).await.len(), 2 * (POINTS - 1));
    let signed = store.signed("fd5a::1".parse().unwrap(), answer(1).id).await;
    assert_eq!(signed.unwrap(), [8; 30_000]);
    store.close().await;
    let again = Store::open(&place).await.unwrap();
    assert_eq!(values(&again).await.len(), 2 * (POINTS - 1));
}

/// Writes a file that leaves so much room, in KiB.
fn fill_up(disk: &Path, room: u64) -> std::path::PathBuf {
    let free = Command::new("df")
        .args(["--output=avail", "-k"])
        .arg(disk)
        .output()
        .unwrap();
    let free = String::from_utf8(free.stdout).unwrap();
    let free: u64 = free.lines().last().unwrap().trim().parse().unwrap();
    let filler = disk.join("filler");
    let length = usize::try_from(free.saturating_sub(room) * 1_024).unwrap();
    // What does not fit is not needed.
    drop(std::fs::write(&filler, vec![0; length]));
    filler
}
