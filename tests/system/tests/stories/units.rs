//! The units of `systemd/`: they are understood, they are tight, and what the daemon does is permitted to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use system::{CardPlace, Folder, GatewayConfig, Interrupt, Programs, Stage, wait_until};

use crate::steps::{PERIOD, read, told};

/// How much each unit exposes, in tenths, by the measure of `systemd-analyze security`; 15 is the most that any may have.
/// A unit that became tighter gets a lower number here, so that it stays so.
const EXPOSURES: [(&str, u32); 8] = [
    ("smgw-data-check.service", 9),
    ("smgw-firewall.service", 14),
    ("smgw-first-boot.service", 14),
    ("smgw-health.service", 9),
    ("smgw-recovery.service", 9),
    ("smgw.service", 13),
    ("supplier.service", 11),
    ("trust-center.service", 11),
];
/// Programs that the units start, besides those of the system.
const PROGRAMS: [&str; 9] = [
    "usr/bin/smgw",
    "usr/sbin/nft",
    "usr/libexec/smgw/data-check",
    "usr/libexec/smgw/first-boot",
    "usr/libexec/smgw/health",
    "usr/libexec/smgw/recover",
    "usr/sbin/pcscd",
    "usr/bin/supplier",
    "usr/bin/trust-center",
];
/// Units of others that ours change.
const PCSCD: [&str; 2] = ["pcscd.service", "pcscd.socket"];
/// What is called by root alone: SQLite gives the files beside a database the owner of the database (robustFchown of its
/// os_unix.c). The device runs as another user, tests may not.
const AS_ROOT: [&str; 1] = ["fchown"];
/// How long the daemon under observation may take to start and to have done something of everything.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn units_are_understood_by_systemd() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let sound = verify(folder.path());
    assert!(said(&sound).is_empty(), "{}", said(&sound));

    // A mistyped setting would be ignored on the device, and is noticed here.
    let unit = folder.path().join("usr/lib/systemd/system/smgw.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    std::fs::write(&unit, text.replace("ProtectHome=", "ProtectHouse=")).unwrap();
    let faulty = verify(folder.path());
    assert!(said(&faulty).contains("ProtectHouse"), "{}", said(&faulty));
}

#[test]
fn units_expose_no_more_than_they_did() {
    let expected: Vec<&str> = EXPOSURES.iter().map(|(unit, _)| *unit).collect();
    let mut there: Vec<String> = units().into_iter().filter(|unit| is_service(unit)).collect();
    there.sort();
    assert_eq!(there, expected, "every service has its limit in this table");
    for (unit, most) in EXPOSURES {
        assert!(most <= 15, "{unit}");
        let found = exposure(&systemd().join(unit));
        assert!(
            found <= most,
            "{unit} exposes {found} tenths, {most} at most: `systemd-analyze security --offline=true systemd/{unit}` says why"
        );
    }
}

#[test]
fn a_unit_that_gives_up_a_protection_exposes_more() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(systemd().join("smgw.service")).unwrap();
    for protection in [
        "ProtectSystem=strict",
        "PrivateUsers=yes",
        "CapabilityBoundingSet=",
        "SystemCallFilter=~@privileged @resources",
        "User=smgw",
    ] {
        let looser: String = text
            .lines()
            .filter(|line| *line != protection)
            .map(|line| format!("{line}\n"))
            .collect();
        assert_ne!(looser, text, "{protection}");
        let file = folder.path().join("smgw.service");
        std::fs::write(&file, looser).unwrap();
        assert!(exposure(&file) > exposure_of("smgw.service"), "{protection}");
    }
}

#[test]
fn daemon_makes_only_the_system_calls_that_its_unit_permits() {
    let permitted = permitted_calls("smgw.service");
    for (call, is_permitted) in [("prlimit64", true), ("reboot", false), ("setrlimit", false)] {
        assert_eq!(permitted.contains(call), is_permitted, "{call}");
    }
    let calls = observed_calls();
    // The app-host bounds itself, the store flushes, the watchdog is fed.
    for call in ["prlimit64", "prctl", "fdatasync", "sendto"] {
        assert!(calls.contains(call), "{call} was not observed: {calls:?}");
    }
    let forbidden = calls.difference(&permitted);
    let forbidden: Vec<&String> = forbidden
        .filter(|call| !AS_ROOT.contains(&call.as_str()))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

fn systemd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd")
}

fn is_service(unit: &str) -> bool {
    Path::new(unit).extension().is_some_and(|kind| kind == "service")
}

/// Returns the names of our units.
fn units() -> Vec<String> {
    let files = std::fs::read_dir(systemd()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| is_service(name) || name.ends_with(".mount") || name.ends_with(".slice"))
        .collect()
}

/// Installs this system's units, ours, and something for each program that they start.
fn install(root: &Path) {
    let folder = root.join("usr/lib/systemd");
    std::fs::create_dir_all(&folder).unwrap();
    ran(Command::new("cp")
        .args(["-r", "/usr/lib/systemd/system"])
        .arg(&folder));
    for unit in units() {
        std::fs::copy(systemd().join(&unit), folder.join("system").join(&unit)).unwrap();
    }
    for changed in PCSCD {
        let changes = systemd().join(format!("{changed}.d"));
        ran(Command::new("cp")
            .arg("-r")
            .arg(changes)
            .arg(folder.join("system")));
    }
    for program in PROGRAMS {
        let place = root.join(program);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy("/bin/true", place).unwrap();
    }
}

fn verify(root: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    command
        .args(["verify", "--man=no"])
        .arg(format!("--root={}", root.display()));
    command.args(units()).args(PCSCD);
    command.output().unwrap()
}

/// Returns what a program has to complain about, with its exit code if it is not 0.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        text
    } else {
        format!("{text} ({})", output.status)
    }
}

fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn exposure_of(unit: &str) -> u32 {
    exposure(&systemd().join(unit))
}

/// Returns the exposure of a unit, in tenths.
fn exposure(unit: &Path) -> u32 {
    let mut command = Command::new("systemd-analyze");
    command
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit);
    let text = ran(&mut command);
    let overall = text
        .lines()
        .rev()
        .find(|line| line.contains("Overall exposure level"))
        .unwrap();
    let level = overall.rsplit(": ").next().unwrap().split(' ').next().unwrap();
    level.replace('.', "").parse().unwrap()
}

/// Returns the system calls that the filters of a unit leave, as systemd applies them: one after the other.
fn permitted_calls(unit: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(systemd().join(unit)).unwrap();
    let filters = text
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let mut permitted = BTreeSet::new();
    for filter in filters {
        let (forbids, names) = match filter.strip_prefix('~') {
            Some(names) => (true, names),
            None => (false, filter),
        };
        for call in names.split(' ').flat_map(group) {
            if forbids {
                permitted.remove(&call);
            } else {
                permitted.insert(call);
            }
        }
    }
    // They are permitted to every unit, whatever its filters say (systemd.exec).
    permitted.extend(group("@default"));
    permitted
}

/// Returns the system calls of a group, and of the groups in it.
fn group(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let text = ran(Command::new("systemd-analyze").args(["syscall-filter", name]));
    let members = text.lines().skip(1).map(str::trim);
    members
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(group)
        .collect()
}

/// Has a gateway start, bind its card, register, check an application, and stop, and returns every system call that it
/// and its children made.
fn observed_calls() -> BTreeSet<String> {
    let mut stage = Stage::set(
        Programs::find().unwrap(),
        Folder::temporary().unwrap(),
        Interrupt::default(),
    )
    .unwrap_or_else(|error| panic!("{}", told(&error)));
    let card = stage.personalize("card").unwrap();
    let meters = stage.start_meters().unwrap();
    let config = GatewayConfig::on(&stage, CardPlace::File(card.file), &meters, PERIOD);
    let config = stage.write_config("smgw.toml", &config).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(stage.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    stage.give("NOTIFY_SOCKET", stage.path("notify"));
    stage.give("WATCHDOG_USEC", "30000000");
    let application = stage.application("taf-2").unwrap();
    let program = stage.program(system::Program::Smgw);
    let observed = |name: &str| {
        let trace = stage.path(name);
        let command = system::Command::new(name, Path::new("strace"));
        let command = command.arg("-f").arg("-qq").option("-o", &trace);
        (command.option("-e", "signal=none").arg(&program), trace)
    };
    let (command, checked) = observed("check.trace");
    let finished = stage
        .run(&command.arg("app").arg("check").arg(application))
        .unwrap();
    assert_eq!(finished.code, Some(0), "{}", read(&finished.log));
    let (command, lived) = observed("run.trace");
    let mut daemon = stage
        .start(&command.arg("run").option("--config", &config))
        .unwrap();
    let registered = wait_until(&stage.deadline(PATIENCE), || {
        daemon.check_running()?;
        let status = stage.command(system::Program::Smgw, "status").arg("--json");
        let finished = stage.run(&status.option("--config", &config))?;
        let text = finished.lines.join("\n");
        Ok::<_, system::StageError>(
            (text.contains("\"bound\"") && text.contains("last_success\":\"2")).then_some(()),
        )
    });
    assert!(registered.unwrap().is_some(), "{}", read(daemon.log()));
    daemon.stop().unwrap();
    [checked, lived].iter().flat_map(|trace| calls(trace)).collect()
}

/// Returns the system calls of a trace: `PID name(arguments`, or `PID <... name resumed>`.
fn calls(trace: &Path) -> BTreeSet<String> {
    let text = read(trace);
    let calls = text.lines().filter_map(|line| {
        let (_, call) = line.split_once(' ')?;
        let (name, _) = call.trim_start().split_once('(')?;
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            .then(|| name.to_owned())
    });
    calls.collect()
}
