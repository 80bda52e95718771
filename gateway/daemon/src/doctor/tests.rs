//! Examinations of made-up gateways that do not run.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A folder with a configuration, and its data folder.
fn gateway(more: &str) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    let file = root.path().join("smgw.toml");
    let shown = root.path().display();
    let text = format!("data = \"{shown}/data\"\n{more}\n[control]\nsocket = \"{shown}/socket\"\n");
    fs::write(&file, text).unwrap();
    (root, file)
}

fn codes_of(examination: &Examination) -> Vec<&str> {
    let codes = examination
        .checks
        .iter()
        .filter_map(|check| check.code.as_deref());
    codes.collect()
}

#[test]
fn missing_configuration_and_a_wrong_line_are_told_apart() {
    let missing = examine(Path::new("/nonexistent/smgw.toml"), |_| {});
    assert_eq!(codes_of(&missing)[0], "SMGW-D-0101");
    assert!(!missing.is_well());
    let (_root, file) = gateway("colour = 1");
    let wrong = examine(&file, |_| {});
    assert_eq!(codes_of(&wrong)[0], "SMGW-D-0102");
    let found = &wrong.checks[0].found;
    assert!(found.contains("line 2") && found.contains("colour"), "{found}");
}

#[test]
fn gateway_that_does_not_run_is_examined_from_outside_and_says_so() {
    let (_root, file) = gateway("");
    let found = examine(&file, |_| {});
    let codes = codes_of(&found);
    for code in ["SMGW-D-0103", "SMGW-D-0104", "SMGW-D-0301"] {
        assert!(codes.contains(&code), "{code}: {found}");
    }
    let text = found.to_string();
    assert!(text.starts_with("No running gateway was asked"), "{text}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(
        (&json["schema"], &json["asked_daemon"], &json["well"]),
        (&"smgw.doctor/1".into(), &false.into(), &false.into())
    );
}

#[test]
fn missing_port_and_missing_folder_are_named() {
    let (root, file) = gateway("");
    let bus = "[[bus]]\nname = \"cellar\"\nmbus = \"serial:/dev/ttyNONE:2400\"\n[[bus.meter]]\nname = \"gas\"\nprimary = 1\n";
    let text = fs::read_to_string(&file).unwrap() + bus;
    fs::write(&file, text).unwrap();
    fs::remove_dir(root.path().join("data")).unwrap();
    let found = examine(&file, |_| {});
    let codes = codes_of(&found);
    assert!(
        codes.contains(&"SMGW-D-0704") && codes.contains(&"SMGW-D-0201"),
        "{found}"
    );
}

#[test]
fn daemon_that_is_away_is_told_from_one_that_refuses() {
    let (path, source) = (PathBuf::new(), io::Error::from(io::ErrorKind::NotFound));
    assert_eq!(
        refusal(&ControlError::NoDaemon { path, source }),
        codes::NO_DAEMON
    );
    let (path, source) = (PathBuf::new(), io::Error::from(io::ErrorKind::PermissionDenied));
    let refused = ControlError::NotPermitted { path, source };
    assert_eq!(refusal(&refused), codes::CONTROL_REFUSED);
    assert_eq!(refusal(&ControlError::Timeout), codes::CONTROL_SILENT);
}

#[test]
fn card_and_lines_of_a_daemon_that_does_not_answer_are_left_alone() {
    let (_root, file) = gateway("");
    let bus =
        "[[bus]]\nname = \"cellar\"\nmbus = \"127.0.0.1:1\"\n[[bus.meter]]\nname = \"gas\"\nprimary = 1\n";
    let text = fs::read_to_string(&file).unwrap() + bus;
    let config = Config::parse(&text).unwrap();
    let silent = Daemon::of(Err(ControlError::Timeout));
    let mut checks = reader(&config, &silent);
    checks.extend(meters(&config, &silent));
    checks.push(logs(&config, &silent));
    assert_eq!(checks.len(), 4);
    assert!(
        checks.iter().all(|check| check.outcome == Outcome::NotChecked),
        "{checks:?}"
    );
}

#[test]
fn own_web_is_reached_where_it_listens() {
    for (listen, reached) in [
        ("0.0.0.0:443", "127.0.0.1:443"),
        ("[::]:443", "[::1]:443"),
        ("192.0.2.7:443", "192.0.2.7:443"),
    ] {
        assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
    }
}
