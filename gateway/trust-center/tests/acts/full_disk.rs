//! A disk that is full in the middle of an act, at every amount of room that it may have left.
//!
//! The disk is a small `tmpfs` in a user and mount namespace of its own, which needs no root.

use std::collections::BTreeSet;
use std::process::Command;

use crate::stage::Stage;

/// How much more room each act finds than the one before it, in KiB: a page of the file system.
const STEP: u32 = 4;
/// With how much room, in KiB, an act must succeed at last.
const ENOUGH: u32 = 2_048;

/// Does one act after the other on a disk with more and more room, until one succeeds. After each, there is room again,
/// and the books must be sound. `$1` is the folder of the stage, `$2` the program, `$3` its arguments.
const SCRIPT: &str = r#"
set -eu
disk="$1/disk"
mkdir "$disk"
mount -t tmpfs -o size=16m none "$disk"
cp -a "$1/center" "$disk/"
mkdir "$disk/cards"
cd "$disk"
room=0
while [ "$room" -le ENOUGH ]; do
    free=$(df --output=avail -k . | tail -n 1)
    fallocate -l "$((free - room))k" filler 2>/dev/null || head -c "$((free - room))k" /dev/zero >filler
    code=0
    "$2" $3 --home center --json >"$1/answer" 2>"$1/said" || code=$?
    rm filler
    if ! "$2" records verify --home center >/dev/null 2>"$1/verify"; then
        echo "room $room: unsound: $(cat "$1/verify")"
        exit 1
    fi
    if [ "$code" = 0 ]; then
        echo "room $room: done"
        "$2" $3 --home center --json >/dev/null
        "$2" records verify --home center >/dev/null
        cp -a center "$1/after"
        exit 0
    fi
    echo "room $room: $(tr '\n' ' ' <"$1/said")"
    room=$((room + STEP))
done
echo "never done"
exit 1
"#;

/// Lets an act meet a full disk again and again; returns what it said each time it failed.
fn fill(stage: &Stage, act: &str) -> Vec<String> {
    let script = SCRIPT
        .replace("ENOUGH", &ENOUGH.to_string())
        .replace("STEP", &STEP.to_string());
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    command
        .arg(stage.folder.path())
        .args([env!("CARGO_BIN_EXE_trust-center"), act])
        .envs(stage.environment.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap();
    assert!(last.ends_with("done") && !lines.is_empty(), "{said}");
    lines
}

/// The GUIDs of the records of an act, in the books as they were afterwards.
fn guids(stage: &Stage, act: &str) -> Vec<String> {
    let output = stage.command_in("after", "records show").output().unwrap();
    assert!(output.status.success());
    let records = String::from_utf8(output.stdout).unwrap();
    let records = records.lines().map(|line| serde_json::from_str(line).unwrap());
    records
        .filter(|record: &serde_json::Value| record["act"] == act)
        .map(|record| record["guid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn full_disk_during_an_act_is_a_clear_error_and_leaves_sound_books() {
    let stage = Stage::founded();
    for line in fill(&stage, "crl") {
        assert!(
            line.contains("disk is not full") || line.contains("free the disk"),
            "{line}"
        );
    }
    // The lists that are in the books are numbered one by one.
    let after = stage.path("after");
    let number = Command::new("openssl")
        .args(["crl", "-noout", "-crlnumber", "-in"])
        .arg(after.join("issuing.crl"))
        .output()
        .unwrap();
    assert!(number.status.success());
}

#[test]
fn full_disk_during_a_batch_leaves_no_card_in_doubt() {
    let stage = Stage::founded();
    for line in fill(&stage, "personalize --card soft:cards --batch 3 --labels labels") {
        assert!(
            ["disk", "cannot be read or written", "cannot be written"]
                .iter()
                .any(|part| line.contains(part)),
            "{line}"
        );
    }
    let given = guids(&stage, "guid-given");
    let once: BTreeSet<_> = given.iter().collect();
    assert_eq!(once.len(), given.len());
    let settled = ["personalized", "left-blank", "scrapped"].map(|act| guids(&stage, act));
    let mut settled = settled.concat();
    settled.sort();
    let mut given = given;
    given.sort();
    assert_eq!(settled, given);
    assert_eq!(guids(&stage, "personalized").len(), 3);
}
