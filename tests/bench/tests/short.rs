//! The short form of the bench of the store runs, and its engines agree about the content.

use std::process::Command;

#[test]
fn short_bench_of_the_store_prints_its_table() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["store", "--short"])
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for line in [
        "B/reading",
        "one day of one element",
        "open after a kill",
        "peak memory",
    ] {
        assert!(table.contains(line), "{table}");
    }
}
