//! The short forms of the benches run, and what they compare agrees.

use std::process::Command;

/// Runs a bench that succeeds, and returns what it prints.
#[expect(clippy::unwrap_used, reason = "a bench that cannot be started fails its test")]
fn table_of(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments)
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{table}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    table
}

#[test]
fn short_bench_of_the_store_prints_its_table() {
    let table = table_of(&["store", "--short"]);
    for line in [
        "B/reading",
        "one day of one element",
        "open after a kill",
        "peak memory",
    ] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_decisions_prints_its_table() {
    let table = table_of(&["decision", "--short"]);
    for line in [
        "for a meter each",
        "each permits",
        "among 32 suppliers",
        "the consumer objects",
    ] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_the_decoder_prints_its_table() {
    let table = table_of(&["mbus", "--short", "--no-limits"]);
    for line in ["to values", "to JSON", "within"] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_the_bus_prints_its_table() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["mbus-bus", "--short"])
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    for line in [
        "60 meters at 2400, virtual time",
        "60 selected meters",
        "dead meter",
    ] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_modbus_prints_its_table() {
    let table = table_of(&["modbus", "--short"]);
    for line in [
        "pymodbus, one request for each value",
        "pymodbus, blocks found by hand",
        "smgw, one request for each value",
        "smgw, blocks",
        "60 meters on TCP",
    ] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_the_card_prints_its_table() {
    let table = table_of(&["card", "--short"]);
    for line in [
        "GET CHALLENGE, median",
        "signature",
        "20 parallel handshakes",
        "the stall of the runtime",
    ] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_personalising_prints_its_table() {
    let table = table_of(&["personalize", "--short"]);
    for line in ["software part of one personalisation", "a batch of 50 soft cards"] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_the_tsm_prints_its_table() {
    let table = table_of(&["tsm", "--short"]);
    assert!(
        table.contains("greatest resident memory with 200 gateways"),
        "{table}"
    );
}

#[test]
fn short_bench_of_a_message_prints_its_table() {
    let table = table_of(&["message", "--short"]);
    for line in [
        "a month of four elements, 11904 values",
        "sealing 4 MiB",
        "opening 4 MiB",
    ] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_a_fleet_prints_its_table() {
    let table = table_of(&["fleet", "--short"]);
    for line in ["20 gateways pulled", "memory of a simulated gateway"] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn short_bench_of_the_local_web_prints_its_table() {
    let table = table_of(&["web", "--short"]);
    for line in [
        "/history?by=year",
        "greatest first view",
        "all scripts together",
        "memory (Pss)",
    ] {
        assert!(table.contains(line), "{table}");
    }
}
