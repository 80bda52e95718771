use bus::{PollError, Statistics};
use model::{Decimal, ElementPattern, LogKind, Medium, Period, Quantity, Sample, Status, Unit};
use store::{DeviceKey, LogLimits, Logs, Protection};
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::journal::{CardKeyVerifier, moment};

const CONFIG: &str = r#"
data = "/var/lib/smgw"
live_period = "PT10S"

[control]
socket = "/run/smgw/smgw.sock"

[[bus]]
name = "board"
modbus = "127.0.0.1:502"

[[bus.meter]]
name = "house"
unit = 1
profile = "eastron-sdm630"
"#;

const ENERGY: &str = "1-0:1.8.0*255";
const POWER: &str = "1-0:16.7.0*255";
/// A point of the registration grid.
const POINT: i64 = 2_000 * 900_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(POINT + seconds).unwrap()
}

/// A registrar at work, and what it can be seen by.
struct Scene {
    store: Arc<Store>,
    journal: Journal,
    reports: mpsc::Sender<Report>,
    views: watch::Receiver<Vec<MeterView>>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), RegistrationFailed>>,
    _missed: mpsc::Sender<Missed>,
    _folder: TempDir,
}

impl Scene {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = DeviceKey::new([7; DeviceKey::LENGTH]);
        let store = Store::open(&folder.path().join("data"), Ok(Protection { key, otp: None })).unwrap();
        let store = Arc::new(store);
        let logs = Logs::open(&folder.path().join("logs"), LogLimits::default(), false, moment()).unwrap();
        let journal = Journal::new(logs, CardKeyVerifier::new(None)).unwrap();
        let config = Config::parse(CONFIG).unwrap();
        let (registrar, views) = Registrar::new(
            Arc::clone(&store),
            (journal.clone(), MeterBook::default()),
            (&config.buses, config.registration_period),
        );
        let (reports, receiver) = mpsc::channel(8);
        let (missed, misses) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let running = tokio::spawn(registrar.run(receiver, misses, stop.clone()));
        Self {
            store,
            journal,
            reports,
            views,
            stop,
            running,
            _missed: missed,
            _folder: folder,
        }
    }

    /// Has the registrar take a report, the `number`th.
    async fn take(&mut self, number: u64, report: Report) -> MeterView {
        let statistics = Statistics {
            requests: number,
            ..Statistics::default()
        };
        self.reports.send(Report { statistics, ..report }).await.unwrap();
        let shown = |views: &Vec<MeterView>| views[0].statistics.requests == number;
        self.views.wait_for(shown).await.unwrap()[0].clone()
    }

    /// Ends the registrar, and returns the times of what was registered of an element, and of its gaps.
    async fn registered(self, obis: &str) -> (Vec<Timestamp>, Vec<Timestamp>) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        let elements: ElementPattern = format!("*/{obis}").parse().unwrap();
        let period = Period::new(at(-1_000), at(10_000)).unwrap();
        let page = self.store.database().readings(&elements, period).unwrap();
        (
            page.readings.iter().map(|reading| reading.time).collect(),
            page.gaps.iter().map(|gap| gap.time).collect(),
        )
    }

    fn entries(&self) -> usize {
        let page = self.journal.logs().page(LogKind::Calibration, 0, None).unwrap();
        page.entries.len()
    }
}

fn report(kind: RoundKind, seconds: i64, outcome: Result<MeterAnswer, PollError>) -> Report {
    Report {
        bus: "board".to_owned(),
        meter: "house".to_owned(),
        kind,
        round: at(seconds),
        remaining: 0,
        outcome,
        statistics: Statistics::default(),
    }
}

fn answer(meter: &str, values: &[(&str, &str)]) -> Result<MeterAnswer, PollError> {
    let samples = values.iter().map(|(obis, value)| Sample {
        element: Element {
            meter: meter.parse().unwrap(),
            obis: obis.parse().unwrap(),
        },
        value: Ok(Quantity {
            value: value.parse().unwrap(),
            unit: if *obis == POWER {
                Unit::Watt
            } else {
                Unit::WattHour
            },
        }),
        status: Status::FROM_FLOAT,
    });
    Ok(MeterAnswer {
        id: meter.parse().unwrap(),
        medium: Medium::Electricity,
        samples: samples.collect(),
    })
}

fn whole() -> Result<MeterAnswer, PollError> {
    answer("M1", &[(ENERGY, "1000"), (POWER, "200")])
}

fn shown(view: &MeterView, obis: &str) -> (Decimal, Timestamp) {
    let obis = obis.parse().unwrap();
    let value = view.values.iter().find(|value| value.obis == obis).unwrap();
    assert_eq!(value.status, Status::FROM_FLOAT);
    (value.value, value.time)
}

#[tokio::test]
async fn live_values_are_shown_and_never_registered() {
    let mut scene = Scene::open();
    let registered = scene.take(1, report(RoundKind::Registration, 0, whole())).await;
    assert_eq!(shown(&registered, POWER), ("200".parse().unwrap(), at(0)));
    let live = report(RoundKind::Live, 10, answer("M1", &[(POWER, "300")]));
    let view = scene.take(2, live).await;
    assert_eq!(shown(&view, POWER), ("300".parse().unwrap(), at(10)));
    assert_eq!(shown(&view, ENERGY), ("1000".parse().unwrap(), at(0)));
    assert_eq!(view.last_success, Some(at(0)));
    // Both are in memory, so that a coarser grid finds what it is granted.
    let power = view
        .readings()
        .filter(|reading| reading.element.obis.to_string() == POWER);
    let times: Vec<_> = power.map(|reading| reading.time).collect();
    assert_eq!(times, [at(0), at(10)]);
    // What the live round did not read is no gap, and the next round goes on as usual.
    scene.take(3, report(RoundKind::Registration, 900, whole())).await;
    assert_eq!(scene.registered(POWER).await, (vec![at(0), at(900)], vec![]));
}

#[tokio::test]
async fn live_read_that_fails_is_no_failure_of_the_meter() {
    let mut scene = Scene::open();
    scene.take(1, report(RoundKind::Registration, 0, whole())).await;
    let silence = Err(PollError::NoAnswer { tries: 3 });
    let view = scene.take(2, report(RoundKind::Live, 10, silence)).await;
    assert_eq!((view.error.as_deref(), view.values.len()), (None, 2));
    scene.take(3, report(RoundKind::Registration, 900, whole())).await;
    scene.take(4, report(RoundKind::Live, 910, whole())).await;
    // The meter was seen once, and nothing else is worth an entry.
    assert_eq!(scene.entries(), 1);
    assert_eq!(scene.registered(ENERGY).await, (vec![at(0), at(900)], vec![]));
}

#[tokio::test]
async fn live_value_that_is_late_or_of_another_meter_is_not_shown() {
    let mut scene = Scene::open();
    scene.take(1, report(RoundKind::Registration, 900, whole())).await;
    let late = report(RoundKind::Live, 890, answer("M1", &[(POWER, "300")]));
    let other = report(RoundKind::Live, 910, answer("M2", &[(POWER, "400")]));
    for (number, live) in (2..).zip([late, other]) {
        let view = scene.take(number, live).await;
        assert_eq!(shown(&view, POWER), ("200".parse().unwrap(), at(900)));
    }
}
