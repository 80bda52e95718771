//! Applications at work, on a store of their own; what runs them is played.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use evaluation::Run;
use evaluation::interface::{InputView, OutputView, Record, unit_code};
use evaluation::package::with_manifest;
use evaluation::protocol::Failure;
use messages::certificate::RevocationReason;
use messages::content::{ApplicationEntry, Assignment, RevokedCertificate};
use model::{Decimal, Element, Fingerprint, Period, Quantity, Reading, Span, Status, Timestamp, Unit};
use proptest::prelude::*;
use store::{DeviceKey, LogLimits, Logs, Protection, Round};

use super::task::ApplicationsTask;
use super::*;
use crate::journal::{CardKeyVerifier, Journal, moment};

mod change;
mod dry;
mod explained;
mod retry;
mod state;

const HOUR: i64 = 3_600;

/// What an application is that makes the difference of the readings at the ends of its window.
const MANIFEST: &str = r#"{
    "schema": "smgw.manifest/1", "id": "difference", "version": "1.0.0", "interface": "smgw:tariff/1",
    "name": { "de": "Differenz", "en": "Difference" }, "description": { "de": "Differenz", "en": "Difference" },
    "inputs": [{ "role": "register", "obis": "1-0:1.8.0*255", "units": ["Wh"], "finest": "PT15M", "history": "P30D", "at_most": 2 }],
    "outputs": [{ "output": "energy", "obis": "x-x:x.x.1*255", "keep": "P42D" }]
}"#;

/// A gateway's store with a task, as after a start.
struct Scene {
    folder: tempfile::TempDir,
    task: ApplicationsTask,
}

impl Scene {
    fn new(host: Host) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let task = task(folder.path(), host);
        let mut scene = Self { folder, task };
        let digest = scene.keep("1.0.0");
        scene.task.assign(assigned(scene.task.store(), digest));
        scene
    }

    /// Keeps a version of the application; returns its digest.
    fn keep(&self, version: &str) -> Fingerprint {
        let manifest = MANIFEST.replace("1.0.0", version);
        let bytes = with_manifest(b"\0asm\x01\0\0\0", manifest.as_bytes()).unwrap();
        self.task.store().applications().keep(&bytes).unwrap()
    }

    /// Ends the task and its store, and starts both again.
    fn restart(self, host: Host) -> Self {
        let Self { folder, task: old } = self;
        let all = old.known().to_vec();
        drop(old);
        let mut task = task(folder.path(), host);
        task.assign(all);
        Self { folder, task }
    }

    fn register(&self, readings: &[(i64, i64)]) {
        let readings = readings.iter().map(|(time, value)| reading(*time, *value));
        let round = Round {
            readings: readings.collect(),
            gaps: Vec::new(),
        };
        self.task.store().database().register(&round).unwrap();
    }

    /// Has the task do what is due, and returns how many steps it made.
    fn settle(&mut self, now: i64) -> usize {
        (0..5_000).find(|_| !self.task.step_once(at(now))).unwrap()
    }

    /// Returns the revisions and values of the hour that ends at a time.
    fn revisions(&self, end: i64) -> Vec<(u32, String)> {
        let found = self
            .task
            .store()
            .database()
            .evaluations_at(&made(), at(end))
            .unwrap();
        let shown = found
            .iter()
            .map(|(evaluation, value)| (evaluation.revision, value.reading.quantity.value.to_string()));
        shown.collect()
    }

    fn failures(&self) -> Vec<String> {
        let page = self
            .task
            .journal()
            .logs()
            .page(model::LogKind::System, 0, None)
            .unwrap();
        let events = page.entries.iter().filter_map(|entry| entry.event());
        let events = events.filter(|event| event.code() == "SMGW-L-1019");
        events.map(|event| event.to_string()).collect()
    }
}

fn task(folder: &Path, host: Host) -> ApplicationsTask {
    let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
    let store = store::Store::open(&folder.join("data"), Ok(Protection { key, otp: None })).unwrap();
    let logs = Logs::open(&folder.join("logs"), LogLimits::default(), false, moment()).unwrap();
    let journal = Journal::new(logs, CardKeyVerifier::new(None)).unwrap();
    let standing = tokio::sync::watch::channel(crate::card::Standing::unknown()).1;
    let periods = (Span::QUARTER_HOUR, "P730D".parse().unwrap());
    ApplicationsTask::new((store.into(), journal), standing, periods, host).0
}

fn frame() -> Frame {
    Frame {
        period: Span::QUARTER_HOUR,
        history: "P730D".parse().unwrap(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn element(obis: &str) -> Element {
    Element {
        meter: "M1".parse().unwrap(),
        obis: obis.parse().unwrap(),
    }
}

fn made() -> Element {
    element("1-0:1.8.1*255")
}

fn reading(time: i64, value: i64) -> Reading {
    Reading {
        element: element("1-0:1.8.0*255"),
        time: at(time),
        quantity: Quantity {
            value: Decimal::new(value.into(), -1).unwrap(),
            unit: Unit::WattHour,
        },
        status: Status::GOOD,
    }
}

fn assignment(name: &str, role: &str, elements: &str) -> Assignment {
    Assignment {
        name: name.parse().unwrap(),
        inputs: [(role.to_owned(), vec![elements.parse().unwrap()])].into(),
        parameters: std::collections::BTreeMap::new(),
        window: "PT1H".parse().unwrap(),
        zone: "UTC0".parse().unwrap(),
        from: at(0),
        to: None,
    }
}

fn entry(digest: Fingerprint, assignments: Vec<Assignment>) -> ApplicationEntry {
    ApplicationEntry {
        supplier: Fingerprint::new([1; 32]),
        name: "Difference".parse().unwrap(),
        digest,
        size: 1,
        assignments,
    }
}

fn assigned(store: &store::Store, digest: Fingerprint) -> Vec<Assigned> {
    let entry = entry(digest, vec![assignment("house", "register", "*/1-0:1.8.0*255")]);
    Assigned::all(store, (&[entry], &[]), &std::collections::BTreeMap::new())
}

/// Makes of each channel the difference between its last reading and its first, as the application does.
fn difference(_: &[u8], input: &[u8]) -> Result<Run, Failure> {
    let view = InputView::parse(input).unwrap();
    let readings = view.readings(input).unwrap();
    let mut records = Vec::new();
    for (index, channel) in (0u16..).zip(&view.channels) {
        let own: Vec<_> = readings
            .iter()
            .filter(|reading| reading.channel == index)
            .collect();
        let (first, last) = (own[0], own[own.len() - 1]);
        let digits = last.value.mantissa() - first.value.mantissa();
        records.push(Record {
            output: 0,
            channel: index,
            stage: 1,
            status: 0,
            from: view.window.from().unix_seconds(),
            to: view.window.to().unix_seconds(),
            value: digits.try_into().unwrap(),
            basis_first: channel.first,
            basis_count: channel.count,
            scaler: last.value.scaler(),
            unit: unit_code(channel.unit),
        });
    }
    let output = OutputView { records, state: b"" };
    Ok(Run {
        output: output.encode(),
        fuel: 1,
        memory_bytes: 1,
        log: Vec::new(),
        log_is_cut: false,
    })
}

fn loops(_: &[u8], _: &[u8]) -> Result<Run, Failure> {
    Err(Failure {
        code: "out-of-fuel".to_owned(),
        text: "the application took more fuel than it may".to_owned(),
    })
}

static RUNS: AtomicU32 = AtomicU32::new(0);

fn counted(package: &[u8], input: &[u8]) -> Result<Run, Failure> {
    RUNS.fetch_add(1, Ordering::Relaxed);
    difference(package, input)
}

#[test]
fn window_is_evaluated_once_whatever_is_restarted() {
    let mut scene = Scene::new(counted);
    scene.register(&[(0, 10), (900, 15)]);
    assert_eq!(scene.settle(HOUR - 1), 0, "the hour is not over");
    assert_eq!(scene.settle(HOUR + 1), 0, "its last reading is not in");
    scene.register(&[(HOUR, 31)]);
    assert_eq!(scene.settle(HOUR + 1), 1);
    assert_eq!(scene.revisions(HOUR), [(1, "2.1".to_owned())]);
    let before = RUNS.load(Ordering::Relaxed);
    let mut scene = scene.restart(counted);
    assert_eq!(scene.settle(HOUR + 2), 0);
    assert_eq!(RUNS.load(Ordering::Relaxed), before, "it does not even run again");
    assert_eq!(scene.revisions(HOUR), [(1, "2.1".to_owned())]);
    // What it was made of shows that it is right, also behind a restart.
    let shown = scene.task.explain(&made(), at(HOUR)).to_string();
    assert!(
        shown.contains("by difference 1.0.0") && shown.contains("the same came out"),
        "{shown}"
    );
    assert_eq!(shown.matches("1-0:1.8.0*255").count(), 3, "{shown}");
}

#[test]
fn stopped_application_makes_nothing_more_and_what_it_has_made_is_explained() {
    let mut scene = Scene::new(difference);
    scene.register(&[(0, 10), (HOUR, 31)]);
    assert_eq!(scene.settle(HOUR + 1), 1);
    let running = scene.task.known().to_vec();
    let mut stopped = running.clone();
    stopped[0].stopped = Some(RevokedCertificate {
        certificate: Fingerprint::new([2; 32]),
        time: at(HOUR),
        reason: RevocationReason::KeyCompromise,
    });
    scene.task.assign(stopped);
    scene.register(&[(900, 15), (2 * HOUR, 40)]);
    assert_eq!(scene.settle(2 * HOUR + 1), 0);
    assert_eq!(scene.revisions(HOUR), [(1, "2.1".to_owned())]);
    let shown = scene.task.explain(&made(), at(HOUR)).to_string();
    assert!(shown.contains("the same came out"), "{shown}");
    // Signed anew, it goes on where it was.
    scene.task.assign(running);
    scene.settle(2 * HOUR + 1);
    assert_eq!(scene.revisions(2 * HOUR), [(1, "0.9".to_owned())]);
}

#[test]
fn reading_that_comes_late_makes_a_revision_and_the_same_makes_none() {
    let mut scene = Scene::new(difference);
    scene.register(&[(900, 15), (HOUR, 31)]);
    scene.settle(HOUR + 1);
    scene.register(&[(HOUR + 900, 40)]);
    assert_eq!(scene.settle(HOUR + 1_000), 0);
    scene.register(&[(0, 10)]);
    // A power cut between the reading and the revision loses neither.
    let mut scene = scene.restart(difference);
    assert_eq!(scene.settle(HOUR + 1_000), 1);
    let revisions = [(2, "2.1".to_owned()), (1, "1.6".to_owned())];
    assert_eq!(scene.revisions(HOUR), revisions);
    // A value of another meter in the window changes nothing.
    let mut other = reading(450, 7);
    other.element.obis = "1-0:2.8.0*255".parse().unwrap();
    let round = Round {
        readings: vec![other],
        gaps: Vec::new(),
    };
    scene.task.store().database().register(&round).unwrap();
    assert_eq!(scene.settle(HOUR + 1_000), 1);
    assert_eq!(scene.revisions(HOUR), revisions);
    let period = Period::new(at(0), at(HOUR + 1)).unwrap();
    let page = scene
        .task
        .store()
        .database()
        .readings(&made().into(), period)
        .unwrap();
    assert_eq!(page.readings[0].quantity.value.to_string(), "2.1");
}

#[test]
fn window_without_readings_is_done_and_opens_again() {
    let mut scene = Scene::new(difference);
    assert_eq!(scene.settle(HOUR + 899), 0);
    assert_eq!(scene.settle(HOUR + 900), 1);
    assert_eq!(scene.settle(HOUR + 900), 0);
    scene.register(&[(0, 10), (HOUR, 31)]);
    assert_eq!(scene.settle(HOUR + 900), 1);
    assert_eq!(scene.revisions(HOUR), [(2, "2.1".to_owned())]);
}

#[test]
fn failing_application_is_named_and_left_alone_for_longer_each_time() {
    let mut scene = Scene::new(loops);
    scene.register(&[(0, 10), (HOUR, 31)]);
    let mut now = HOUR + 1;
    for rest in [60, 120] {
        assert_eq!(scene.settle(now), 1);
        assert_eq!(scene.settle(now + rest - 1), 0, "it is left alone for {rest} s");
        now += rest;
    }
    assert_eq!(scene.settle(now), 1);
    let failures = scene.failures();
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert!(
        failures[0].contains("difference 1.0.0") && failures[0].contains("(out-of-fuel)"),
        "{failures:?}"
    );
    // Behind so many tries the window is left until its readings change.
    assert_eq!(scene.settle(now + 3_000), 0);
    // A later version that works has its own tries, and metering has gone on meanwhile.
    let mut scene = scene.restart(difference);
    assert_eq!(scene.settle(now), 1);
    assert_eq!(scene.revisions(HOUR), [(1, "2.1".to_owned())]);
}

#[test]
fn what_is_past_its_time_is_forgotten_and_not_made_again() {
    let mut scene = Scene::new(difference);
    scene.register(&[(0, 10), (HOUR, 31)]);
    scene.settle(HOUR + 1);
    let day = 86_400;
    for later in 1..=43 {
        scene.register(&[(later * day, 100 + later)]);
    }
    let packages = scene.task.store().database().evaluated_applications();
    assert_eq!(packages.len(), 1);
    // The history of the role is 30 days: older windows are not evaluated any more.
    scene.settle(43 * day + HOUR);
    assert_eq!(scene.revisions(HOUR), []);
    assert_eq!(scene.settle(43 * day + HOUR), 0);
}

#[test]
fn window_in_which_the_unit_changes_gets_no_value_and_says_why() {
    let mut scene = Scene::new(difference);
    let mut other = reading(HOUR + 900, 20);
    other.quantity.unit = Unit::VarHour;
    scene.register(&[(0, 10), (HOUR, 15)]);
    let round = Round {
        readings: vec![other],
        gaps: Vec::new(),
    };
    scene.task.store().database().register(&round).unwrap();
    scene.settle(2 * HOUR + 900);
    assert_eq!(scene.revisions(HOUR), [(1, "0.5".to_owned())]);
    assert_eq!(scene.revisions(2 * HOUR), []);
    let failures = scene.failures();
    assert!(
        failures[0].contains("(unit-changed)")
            && failures[0].contains("from Wh to varh at 1970-01-01T01:15:00Z"),
        "{failures:?}"
    );
}

#[test]
fn assignments_that_cannot_be_carried_out_are_named() {
    let scene = Scene::new(difference);
    let store = scene.task.store();
    let digest = scene.task.known()[0].digest;
    let fault = |assignments: Vec<Assignment>| {
        let all = Assigned::all(
            store,
            (&[entry(digest, assignments)], &[]),
            &std::collections::BTreeMap::new(),
        );
        check_assignments(&all, frame()).map_err(|(_, fault)| fault)
    };
    let good = assignment("house", "register", "M1/1-0:1.8.0*255");
    assert!(fault(vec![good.clone()]).is_ok());
    let other = assignment("house", "volume", "*");
    assert!(matches!(fault(vec![other]), Err(AssignmentFault::Role { .. })));
    let mut empty = good.clone();
    empty.inputs.clear();
    assert!(matches!(
        fault(vec![empty]),
        Err(AssignmentFault::Unplayed { .. })
    ));
    let mut unknown = good.clone();
    unknown.parameters.insert("step".to_owned(), 1.into());
    assert!(matches!(fault(vec![unknown]), Err(AssignmentFault::Parameter(_))));
    let mut again = assignment("again", "register", "*/1-0:1.8.0*255");
    assert!(matches!(
        fault(vec![good.clone(), again.clone()]),
        Err(AssignmentFault::Overlap { elements, .. }) if elements.to_string() == "M1/1-0:1.8.1*255"
    ));
    again.inputs = [("register".to_owned(), vec!["M2/1-0:1.8.0*255".parse().unwrap()])].into();
    assert!(fault(vec![good.clone(), again.clone()]).is_ok());
    // One that follows upon another may make the same, under another name, too.
    again.inputs = good.inputs.clone();
    again.from = at(9 * HOUR);
    let mut ended = good.clone();
    ended.to = Some(at(9 * HOUR));
    assert!(fault(vec![ended.clone(), again.clone()]).is_ok());
    assert!(fault(vec![again.clone(), ended]).is_ok());
    assert!(matches!(
        fault(vec![good.clone(), again]),
        Err(AssignmentFault::Overlap { .. })
    ));
    let entries = ["M1/1-0:1.8.0*255", "M2/1-0:1.8.0*255"].map(|elements| {
        let assignment = assignment("house", "register", elements);
        entry(digest, vec![assignment])
    });
    let all = Assigned::all(store, (&entries, &[]), &std::collections::BTreeMap::new());
    let (_, twice) = check_assignments(&all, frame()).unwrap_err();
    assert!(matches!(twice, AssignmentFault::Twice { .. }), "{twice}");
}

#[test]
fn assignments_that_would_flush_out_others_are_refused() {
    let scene = Scene::new(difference);
    let store = scene.task.store();
    // Its values are kept for 42 days.
    let digest = scene.task.known()[0].digest;
    let fault = |windows: &[(&str, &str)]| {
        let assignments = windows.iter().map(|(meter, window)| Assignment {
            window: window.parse().unwrap(),
            ..assignment(meter, "register", &format!("{meter}/1-0:1.8.0*255"))
        });
        let all = Assigned::all(
            store,
            (&[entry(digest, assignments.collect())], &[]),
            &std::collections::BTreeMap::new(),
        );
        check_assignments(&all, frame()).map_err(|(name, fault)| (name, fault.to_string()))
    };
    let (_, short) = fault(&[("M1", "PT5M")]).unwrap_err();
    assert!(short.contains("shorter than the registration period"), "{short}");
    assert_eq!(fault(&[("M1", "PT15M"), ("M2", "day"), ("M3", "month")]), Ok(()));
    let quarters = [
        ("M1", "day"),
        ("M2", "PT15M"),
        ("M3", "PT15M"),
        ("M4", "PT15M"),
        ("M5", "PT15M"),
    ];
    assert_eq!(fault(&quarters), Ok(()));
    let six = [&quarters[..], &[("M6", "PT15M")]].concat();
    let (name, many) = fault(&six).unwrap_err();
    assert!(name.starts_with('M') && !name.starts_with("M1"), "{name}");
    assert!(many.contains("4032 windows") && many.contains("20000"), "{many}");
    // What follows upon another one takes no more room.
    let mut all = Assigned::all(
        store,
        (&[entry(digest, vec![assignment("house", "register", "*")])], &[]),
        &std::collections::BTreeMap::new(),
    );
    all[0].assignment.window = "PT15M".parse().unwrap();
    let series: Vec<_> = (0..6)
        .map(|hour| {
            let mut one = all[0].clone();
            (one.assignment.from, one.assignment.to) = (at(hour * HOUR), Some(at((hour + 1) * HOUR)));
            one
        })
        .collect();
    assert!(check_assignments(&series, frame()).is_ok());
}

#[test]
fn element_that_the_meter_has_itself_is_not_made() {
    let mut scene = Scene::new(difference);
    let mut own = reading(0, 1);
    own.element = made();
    let round = Round {
        readings: vec![own],
        gaps: Vec::new(),
    };
    scene.task.store().database().register(&round).unwrap();
    scene.register(&[(0, 10), (HOUR, 31)]);
    scene.settle(HOUR + 1);
    assert!(
        scene.failures()[0].contains("(own-element)"),
        "{:?}",
        scene.failures()
    );
    assert_eq!(scene.revisions(HOUR), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever order readings come in, and whenever the gateway is restarted: the newest values of all hours add up to what
    /// the meter has counted between the readings at their ends.
    #[test]
    fn hours_add_up_whatever_comes_late(
        amounts in prop::collection::vec(0i64..1_000_000, 12),
        late in prop::collection::vec(any::<bool>(), 13),
        restart: bool,
    ) {
        let mut value = 7;
        let mut readings = vec![(0, value)];
        for (index, amount) in (1i64..).zip(&amounts) {
            value += amount;
            readings.push((index * 900, value));
        }
        let mut scene = Scene::new(difference);
        let (second, first): (Vec<_>, Vec<_>) = readings.iter().zip(&late).partition(|(_, late)| **late);
        for ((time, value), _) in first {
            scene.register(&[(*time, *value)]);
            scene.settle(time + 1);
        }
        scene.settle(3 * HOUR + 100);
        for ((time, value), _) in second {
            scene.register(&[(*time, *value)]);
        }
        if restart {
            scene = scene.restart(difference);
        }
        scene.settle(3 * HOUR + 100);
        let sum: i64 = (1..=3)
            .map(|hour| {
                let newest = scene.revisions(hour * HOUR).first().cloned().unwrap().1;
                let value: Decimal = newest.parse().unwrap();
                i64::try_from(value.rescaled(-1).unwrap().mantissa()).unwrap()
            })
            .sum();
        prop_assert_eq!(sum, amounts.iter().sum::<i64>());
    }
}
