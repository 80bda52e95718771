//! Energy applications: what is checked of a package, on the command line and by the gateway that is to keep it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use system::{Finished, GrantText, House, Program, StageError, grants_of_the_house, wait_until};

use crate::steps::{PERIOD, gateway_log, house, read, told};

/// The digests of those that `cargo xtask apps` builds, each with its file.
const SHIPPED: &str = include_str!("../../../../gateway/apps/digests.txt");
/// How long the TSM's visit, and the vectors, may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn shipped_applications_are_in_order_and_others_are_named_with_their_fault() {
    let house = house();
    let lines = SHIPPED.lines().filter(|line| !line.starts_with('#'));
    for file in lines.map(|line| line.rsplit(' ').next().unwrap()) {
        let name = file.strip_suffix(".wasm").unwrap();
        let package = house.stage.application(name).unwrap();
        let (code, checked) = check(&house, &package);
        assert_eq!(code, Some(0), "{checked}");
        assert_eq!(
            (&checked["schema"], &checked["valid"], &checked["fault"]),
            (&Value::from("smgw.app.check/1"), &Value::from(true), &Value::Null)
        );
        assert!(checked["application"]["vectors"].as_u64() >= Some(1), "{checked}");
    }

    let package = std::fs::read(house.stage.application("taf-2").unwrap()).unwrap();
    let cut = package[..package.len() - 1].to_vec();
    for (bytes, fault) in [
        (Vec::new(), "module"),
        (cut, "section"),
        (other_fuel(&package), "units of fuel"),
        (vec![0; 2 * 1_024 * 1_024], "more than"),
    ] {
        let file = house.stage.path("other.wasm");
        std::fs::write(&file, bytes).unwrap();
        let (code, checked) = check(&house, &file);
        assert_eq!(
            (code, &checked["valid"]),
            (Some(78), &Value::from(false)),
            "{checked}"
        );
        assert!(
            checked["fault"].as_str().unwrap().contains(fault),
            "{fault}: {checked}"
        );
    }
    let (code, checked) = check(&house, &house.stage.path("no such file"));
    assert_eq!(code, Some(78));
    assert!(
        checked["fault"].as_str().unwrap().contains("cannot be read"),
        "{checked}"
    );
}

#[test]
fn gateway_keeps_no_application_that_does_not_do_what_it_says() {
    let house = house();
    let package = std::fs::read(house.stage.application("taf-2").unwrap()).unwrap();
    let file = house.stage.path("other.wasm");
    std::fs::write(&file, other_fuel(&package)).unwrap();
    let file = house.supplier.sign(&house.stage, &file).unwrap();
    let grants = GrantText::file(&grants_of_the_house(PERIOD));
    let grants = house.stage.write("grants.toml", &grants).unwrap();
    house
        .stage
        .write("trust-center/policy.toml", "approve = \"automatic\"\n")
        .unwrap();
    let tsm = house.stage.start_tsm().unwrap();
    house
        .stage
        .register_gateway(&house.card.guid, house.status.wan.as_ref().unwrap())
        .unwrap();
    let asked = tsm.request(
        &house.stage,
        &house.supplier,
        &house.card.guid,
        &grants,
        Some(&file),
    );
    asked.unwrap_or_else(|error| panic!("{}\n{}", told(&error), read(tsm.log())));
    let refused = wait_until(&house.stage.deadline(PATIENCE), || {
        let log = read(house.gateway.log());
        Ok::<_, StageError>(
            log.contains("does not do here what its manifest says")
                .then_some(()),
        )
    });
    assert_eq!(
        refused.unwrap(),
        Some(()),
        "{}\n{}",
        read(tsm.log()),
        gateway_log(&house)
    );
    let kept = std::fs::read_dir(house.stage.path("data/applications"));
    assert_eq!(kept.map_or(0, Iterator::count), 0, "nothing of it is kept");
}

#[test]
fn process_for_applications_can_open_nothing_and_answers_nonsense_with_a_code() {
    let house = house();
    let mut host = std::process::Command::new(house.stage.program(Program::Smgw))
        .arg("app-host")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let confined = wait_until(&house.stage.deadline(PATIENCE), || {
        let limits = read(Path::new(&format!("/proc/{}/limits", host.id())));
        let of = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name));
            line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let is = |name: &str, limit: &str| of(name).is_some_and(|line| line.starts_with(limit));
        // What the filter lets through is tested beside it; it is the last that is set.
        let status = read(Path::new(&format!("/proc/{}/status", host.id())));
        let done = is("Max address space", "Max address space 268435456 268435456")
            && status
                .lines()
                .any(|line| line.split_whitespace().eq(["Seccomp:", "2"]));
        assert!(!done || is("Max open files", "Max open files 3 3"), "{limits}");
        assert!(!done || is("Max file size", "Max file size 0 0"), "{limits}");
        Ok::<_, StageError>(done.then_some(()))
    });
    assert_eq!(confined.unwrap(), Some(()));
    host.stdin.take().unwrap().write_all(b"nonsense").unwrap();
    let mut answer = Vec::new();
    host.stdout.take().unwrap().read_to_end(&mut answer).unwrap();
    assert!(host.wait().unwrap().success());
    assert!(answer.starts_with(b"SMA1\x01\x03\0\0\0job"), "{answer:?}");
}

/// Runs `smgw app check --json`.
fn check(house: &House, package: &Path) -> (Option<i32>, Value) {
    let command = house
        .stage
        .command(Program::Smgw, "app")
        .arg("check")
        .arg("--json");
    let finished: Finished = house.stage.run(&command.arg(PathBuf::from(package))).unwrap();
    let [line] = finished.lines.as_slice() else {
        panic!("{}", finished.log_text().unwrap());
    };
    (finished.code, serde_json::from_str(line).unwrap())
}

/// Returns the package with another amount of fuel in its first vector.
fn other_fuel(package: &[u8]) -> Vec<u8> {
    let mut other = package.to_vec();
    let key = b"\"fuel\":";
    let at = other.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let digit = other[at..]
        .iter_mut()
        .find(|byte| (b'1'..=b'8').contains(byte))
        .unwrap();
    *digit += 1;
    other
}
