//! Processes that are killed while they write: nothing that they acknowledged is lost.
//!
//! The child is this test binary itself, started again with a folder in its environment.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use model::{Binding, Element, ElementPattern, Period, Quantity, Reading, Status, Timestamp, Unit};

use crate::{Bindings, Burned, Database, DeviceKey, Intent, Protection, Round};

pub(crate) const FOLDER: &str = "SMGW_STORE_CRASH_FOLDER";
/// Names what starts this program, word by word, where the processor is an emulated one (`cargo xtask cross`).
const EMULATOR: &str = "SMGW_TEST_EMULATOR";
pub(crate) const KILLS: u64 = 20;
const ELEMENTS: i64 = 5;

/// A folder in memory, where the machine has some: a disk would have to sync some 10,000 times.
pub(crate) fn folder_in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Copies a folder with its sub-folders, as it stands, over another.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in crate::files::entries(from).unwrap() {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Returns the words that start this test binary again.
pub(crate) fn this_program() -> Vec<OsString> {
    let emulator = std::env::var(EMULATOR).unwrap_or_default();
    let mut words: Vec<_> = emulator.split_whitespace().map(OsString::from).collect();
    words.push(std::env::current_exe().unwrap().into());
    words
}

/// Starts a test of this binary as a child, kills it, and returns what it had acknowledged.
///
/// It is killed `delay` after it has acknowledged `wanted` times, or when it has ended.
pub(crate) fn run_and_kill(test: &str, folder: &Path, wanted: usize, delay: Duration) -> Vec<String> {
    let program = this_program();
    let mut child = Command::new(&program[0])
        .args(&program[1..])
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = lines.filter_map(|line| line.unwrap().strip_prefix("ack ").map(str::to_owned));
    let mut seen: Vec<_> = acknowledged.by_ref().take(wanted).collect();
    // Nothing is ever sent: this waits without blocking a processor.
    let (_sender, never) = mpsc::channel::<()>();
    never.recv_timeout(delay).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(acknowledged);
    seen
}

pub(crate) fn acknowledge(what: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "ack {what}").unwrap();
    stdout.flush().unwrap();
}

/// Delays between 0 and 16 ms that look random and are the same in every run.
pub(crate) fn delay(kill: u64) -> Duration {
    Duration::from_micros(kill.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50)
}

fn round(number: i64) -> Round {
    let reading = |element: i64| Reading {
        element: Element {
            meter: format!("M{element}").parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        },
        time: time(number),
        quantity: Quantity {
            value: format!("{number}.{element}").parse().unwrap(),
            unit: Unit::WattHour,
        },
        status: Status::GOOD,
    };
    Round {
        readings: (0..ELEMENTS).map(reading).collect(),
        gaps: Vec::new(),
    }
}

fn time(number: i64) -> Timestamp {
    Timestamp::from_unix_seconds(number.saturating_mul(900)).unwrap()
}

/// Returns the rounds that are stored, each of which must be complete.
fn stored_rounds(folder: &Path) -> Vec<i64> {
    let database = Database::open(&folder.join("gateway.db")).unwrap();
    assert_eq!(database.losses(), []);
    let mut rest = Some(Period::new(time(0), time(1_000_000)).unwrap());
    let mut readings = Vec::new();
    while let Some(period) = rest {
        let page = database.readings(&ElementPattern::ANY, period).unwrap();
        assert_eq!(page.damaged, []);
        readings.extend(page.readings);
        rest = page.rest;
    }
    let mut numbers = Vec::new();
    for stored in readings.chunks(usize::try_from(ELEMENTS).unwrap()) {
        let number = stored[0].time.unix_seconds() / 900;
        assert_eq!(stored, round(number).readings);
        numbers.push(number);
    }
    numbers
}

#[test]
fn registering_child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let database = Database::open(&Path::new(&folder).join("gateway.db")).unwrap();
    let latest = database.latest().unwrap().readings;
    let next = latest
        .first()
        .map_or(0, |reading| reading.time.unix_seconds() / 900 + 1);
    for number in next..1_000_000 {
        database.register(&round(number)).unwrap();
        acknowledge(&number.to_string());
    }
}

#[test]
fn killed_process_loses_no_acknowledged_round() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = 0;
    for kill in 0..KILLS {
        let wanted = usize::try_from(kill % 7).unwrap();
        let acknowledged = run_and_kill("crash::registering_child", folder.path(), wanted, delay(kill));
        let last = acknowledged.last().map(|number| number.parse::<i64>().unwrap());
        expected = last.map_or(expected, |last| last + 1);
        let stored = stored_rounds(folder.path());
        let count = i64::try_from(stored.len()).unwrap();
        assert_eq!(stored, (0..count).collect::<Vec<_>>());
        // One more may have been stored when the process was killed before it could say so.
        assert!((expected..=expected + 1).contains(&count), "{expected} {count}");
        expected = count;
    }
    assert!(expected > 0);
}

#[test]
fn copy_taken_while_writing_has_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("gateway.db")).unwrap();
    for number in 0..30 {
        database.register(&round(number)).unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        assert_eq!(stored_rounds(copy.path()), (0..=number).collect::<Vec<_>>());
    }
}

fn binding() -> Binding {
    Binding {
        card: "fd00::1".parse().unwrap(),
        card_key: model::Fingerprint::new([7; 32]),
        gateway: model::GatewayId::new([9; 16]),
        time: time(1),
    }
}

fn open_bindings(folder: &Path) -> Bindings {
    let protection = Protection {
        key: DeviceKey::new([0x5a; 32]),
        otp: None,
    };
    Bindings::open(folder, protection).unwrap()
}

#[test]
fn burning_child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let bindings = open_bindings(Path::new(&folder));
    acknowledge("open");
    if bindings.binding().unwrap().is_none() {
        let intent = Intent {
            binding: binding(),
            pairing: b"secret".to_vec().into(),
        };
        bindings.begin(&intent).unwrap();
        acknowledge("begun");
    }
    bindings.burn(&binding()).unwrap();
    acknowledge("burned");
}

#[test]
fn killed_process_is_unbound_intended_or_bound() {
    for kill in 0..KILLS {
        let folder = tempfile::tempdir().unwrap();
        let wanted = usize::try_from(kill % 4).unwrap();
        // The steps of a burn take some milliseconds together.
        let acknowledged = run_and_kill("crash::burning_child", folder.path(), wanted, delay(kill) / 8);
        let has = |what: &str| acknowledged.iter().any(|line| line == what);
        let bindings = open_bindings(folder.path());
        let intent = bindings.intent().unwrap();
        assert!(intent.is_some() || !has("begun"));
        assert!(intent.is_none_or(|intent| *intent.pairing == b"secret"));
        let burned = bindings.binding().unwrap();
        assert!(burned.is_some() || !has("burned"));
        assert!(burned.is_none_or(|burned| burned == binding()));
        assert!(matches!(
            bindings.burn(&binding()),
            Ok(Burned::Now | Burned::AlreadyBurned)
        ));
    }
}
