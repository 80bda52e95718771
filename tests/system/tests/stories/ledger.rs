//! What a supplier that follows a gateway has been given, value by value.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use system::{GRANTED, LogTail, Process, Pull, PullSeries, StageError, read_answer, wait_until};

use crate::scene::Scene;
use crate::steps::{PERIOD, read, sql, told};

/// How long a supplier may take to catch up: half a minute between two attempts in vain, and two minutes for an answer
/// that was lost on its way.
const CATCHING_UP: Duration = Duration::from_secs(200);

/// A meter, an OBIS code and a time.
type Place = (String, String, Timestamp);

/// A supplier that follows, and all that it has printed.
pub(crate) struct Ledger {
    following: Process,
    given: BTreeMap<Place, Vec<String>>,
}

impl Ledger {
    /// Begins to follow the gateway at this address.
    pub(crate) fn open(scene: &Scene, wan: String) -> Self {
        let query = system::Query {
            wan,
            ..scene.query(&GRANTED, PERIOD)
        };
        let following = scene.supplier.follow(&scene.stage, &query);
        Self {
            following: following.unwrap_or_else(|error| panic!("{}", told(&error))),
            given: BTreeMap::new(),
        }
    }

    /// Waits until every meter has a value of this time or later.
    pub(crate) fn wait_for(&mut self, scene: &Scene, time: Timestamp) {
        let caught_up = wait_until(&scene.stage.deadline(CATCHING_UP), || {
            self.take()?;
            Ok::<_, StageError>((self.latest_of_the_slowest() >= Some(time)).then_some(()))
        });
        let why = || {
            let said = read(self.following.log());
            format!(
                "{:?} until {time}\n{said}\n{}",
                self.latest_of_the_slowest(),
                read(scene.gateway.log())
            )
        };
        match caught_up {
            Ok(Some(())) => {}
            Ok(None) => panic!("the supplier does not catch up: {}", why()),
            Err(error) => panic!("{}\n{}", told(&error), why()),
        }
    }

    /// Waits until every meter has a value that is later than this moment.
    pub(crate) fn wait_for_more(&mut self, scene: &Scene) {
        self.wait_for(scene, now());
    }

    /// Holds what was given against what the gateway has, once it is all there: every value of every element exactly
    /// once, and nothing else.
    pub(crate) fn settle(mut self, scene: &Scene) {
        let now = now();
        self.wait_for(scene, now);
        let Self { following, given } = self;
        drop(following);
        // Before another pull fills it up.
        let store = scene.supplier.home().join("store.db");
        let stored = stored(&store);
        assert_eq!(sql(&store, "SELECT count(*) FROM conflicts"), "0");
        // A gateway that has just lost its broker takes a moment to come back.
        let query = scene.query(&GRANTED, PERIOD);
        let pull = wait_until(&scene.stage.deadline(CATCHING_UP), || {
            Ok::<_, StageError>(scene.supplier.pull(&scene.stage, &query).ok())
        });
        let pull = pull.unwrap().expect("the gateway answers in the end");
        let mut registered = BTreeMap::new();
        for (place, value) in pull.series.iter().flat_map(points) {
            assert_eq!(
                registered.insert(place, value),
                None,
                "a value twice in one answer"
            );
        }
        let mut compared = 0;
        for (place, value) in registered.iter().filter(|((_, _, time), _)| *time <= now) {
            let found = given
                .get(place)
                .unwrap_or_else(|| panic!("{place:?} was never given"));
            assert_eq!(found, &vec![value.clone()], "{place:?}");
            assert_eq!(stored.get(place), Some(value), "{place:?} in the store");
            compared += 1;
        }
        let others = given
            .keys()
            .chain(stored.keys())
            .filter(|place| !registered.contains_key(place))
            .count();
        assert!(
            compared > 10 && others == 0,
            "{compared} compared, {others} of nowhere"
        );
    }

    fn take(&mut self) -> Result<(), StageError> {
        let log = || LogTail::of(self.following.log());
        while let Some(line) = self.following.line_soon() {
            let pull: Pull = read_answer("supplier pull", &line, log())?;
            for (place, value) in pull.series.iter().flat_map(points) {
                self.given.entry(place).or_default().push(value);
            }
        }
        self.following.check_running()
    }

    /// Returns the time of the last value of the meter that is furthest behind.
    fn latest_of_the_slowest(&self) -> Option<Timestamp> {
        let mut latest: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for (meter, _, time) in self.given.keys() {
            let entry = latest.entry(meter).or_insert(*time);
            *entry = (*entry).max(*time);
        }
        // Gas, water, heat and electricity.
        (latest.len() == 4).then(|| latest.into_values().min())?
    }
}

fn points(series: &PullSeries) -> Vec<(Place, String)> {
    let points = series.points().unwrap_or_else(|error| panic!("{}", told(&error)));
    let place = |time| (series.meter.clone(), series.obis.clone(), time);
    points
        .into_iter()
        .map(|point| (place(point.time), point.value))
        .collect()
}

/// Returns what the supplier's store has of what was registered; the key of its table lets no value be there twice.
fn stored(store: &Path) -> BTreeMap<Place, String> {
    let rows = sql(
        store,
        "SELECT meter, obis, time, value FROM readings JOIN elements ON elements.id = element WHERE aggregation = 'value'",
    );
    let rows = rows.lines().map(|row| {
        let columns: Vec<&str> = row.split('|').collect();
        let [meter, obis, time, value] = columns.try_into().unwrap();
        let time = Timestamp::from_second(time.parse().unwrap()).unwrap();
        ((meter.to_owned(), obis.to_owned(), time), value.to_owned())
    });
    rows.collect()
}

/// Returns the time by the machine's clock, which gateway and supplier share.
#[expect(
    clippy::disallowed_methods,
    reason = "a story compares with the clock that the programs read"
)]
fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_second(i64::try_from(now.unwrap().as_secs()).unwrap()).unwrap()
}
