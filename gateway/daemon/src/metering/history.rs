//! The history: days that are past are sealed, and what is older than the policy wants is forgotten.
//!
//! What is sealed is read again and again, a day at a time, so that damage is known before somebody asks.
//!
//! The work is done in small steps with rests between them, on a blocking thread. A round that comes meanwhile
//! waits for one step at most, which takes milliseconds.

use std::sync::Arc;
use std::time::Duration;

use model::{LogEvent, Span, SystemEvent, Timestamp};
use store::{DatabaseError, Store};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::journal::{self, Journal};
use crate::liveness;
use crate::report::Chain;
use crate::threads::ThreadFailed;

/// How long after its end a day is sealed: until then the last rounds have come in, also those of a slow bus.
const GRACE_SECONDS: u32 = 3_600;

/// How long to wait when everything is done; a day is sealed soon enough after its hour of grace.
const BETWEEN_RUNS: Duration = Duration::from_secs(600);

/// How long to rest between two steps, so that whoever waits for the store comes first.
const BETWEEN_STEPS: Duration = Duration::from_millis(50);

/// The most steps of a run: years of history, or a fault that repeats itself; then there is a long rest.
const MAX_STEPS: usize = 100_000;

/// The reason why the history is not looked after any more, and the daemon stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryFailed {
    /// The store failed.
    #[error("the history could not be sealed or forgotten")]
    Store(#[from] DatabaseError),
    /// The thread that wrote to the store has panicked.
    #[error("the store's thread has failed")]
    Thread(#[from] ThreadFailed),
}

/// What was done, in a step or in a run of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Work {
    /// How many rows were forgotten.
    rows: usize,
    /// How many values and gaps were sealed.
    points: usize,
    /// In how many chunks.
    chunks: usize,
    /// Whether there may be more to do.
    more: bool,
}

impl Work {
    const fn add(&mut self, step: Self) {
        self.rows = self.rows.saturating_add(step.rows);
        self.points = self.points.saturating_add(step.points);
        self.chunks = self.chunks.saturating_add(step.chunks);
        self.more = step.more;
    }

    /// Returns what the system log says about it: nothing, most of the time.
    fn events(self) -> Vec<LogEvent> {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let forgotten = SystemEvent::HistoryForgotten {
            rows: number(self.rows),
        };
        let sealed = SystemEvent::HistorySealed {
            points: number(self.points),
            chunks: number(self.chunks),
        };
        let forgotten = (self.rows > 0).then_some(forgotten);
        let sealed = (self.points > 0).then_some(sealed);
        forgotten.into_iter().chain(sealed).map(LogEvent::from).collect()
    }
}

/// Looks after the history until it is stopped, or until the store fails.
pub(crate) async fn keep_the_history(
    store: Arc<Store>,
    journal: Journal,
    history: Span,
    stop: CancellationToken,
) -> Result<(), HistoryFailed> {
    loop {
        let mut work = Work::default();
        for _ in 0..MAX_STEPS {
            let store = Arc::clone(&store);
            let step = liveness::work(move || step(&store, history, clock::now())).await??;
            work.add(step);
            if !step.more || rest(BETWEEN_STEPS, &stop).await {
                break;
            }
        }
        let checked = Arc::clone(&store);
        let mut events = work.events();
        events.extend(liveness::work(move || check(&checked, clock::now())).await??);
        if !events.is_empty() {
            let journal = journal.clone();
            liveness::work(move || journal.note(events)).await?;
        }
        if rest(BETWEEN_RUNS, &stop).await {
            return Ok(());
        }
    }
}

/// Rests, and returns whether it is time to stop.
async fn rest(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(duration) => false,
    }
}

/// Checks one sealed day, a later one each time that it is called between two rests: by the clock, so that it goes on
/// behind a restart. Two years of days take five days. Returns what the system log says about the losses found.
fn check(store: &Store, now: Timestamp) -> Result<Vec<LogEvent>, DatabaseError> {
    let seconds = now.unix_seconds().unsigned_abs();
    let turn = seconds.checked_div(BETWEEN_RUNS.as_secs()).unwrap_or_default();
    match store.database().check(turn) {
        Ok(checked) => Ok(journal::lost(&checked.losses)),
        // The loss is found again when there is room to store it.
        Err(error @ DatabaseError::Full) => {
            tracing::warn!("the history is not checked: {}", Chain(&error));
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Forgets first: that makes the room that sealing needs.
fn step(store: &Store, history: Span, now: Timestamp) -> Result<Work, DatabaseError> {
    let grace = Span::from_seconds(GRACE_SECONDS);
    let before = grace.map_or(now, |grace| now.saturating_sub(grace));
    let done = store.database().forget(history, now).and_then(|forgotten| {
        let rows = forgotten.rows;
        if forgotten.more {
            let more = true;
            return Ok(Work {
                rows,
                more,
                ..Work::default()
            });
        }
        let sealed = store.database().seal_days(before)?;
        Ok(Work {
            rows,
            points: sealed.points,
            chunks: sealed.chunks,
            more: sealed.more,
        })
    });
    match done {
        // Nothing was confirmed to anybody, and nothing has changed: the rounds stay as they are.
        Err(error @ DatabaseError::Full) => {
            tracing::warn!("the history is not sealed: {}", Chain(&error));
            Ok(Work::default())
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::{Element, ElementPattern, Period, Quantity, Reading, Status, Unit};
    use store::{DeviceKey, LogLimits, Logs, Protection, Round};

    use super::*;
    use crate::journal::{CardKeyVerifier, moment};

    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn round(seconds: i64) -> Round {
        Round {
            readings: vec![Reading {
                element: Element {
                    meter: "M1".parse().unwrap(),
                    obis: "7-0:3.0.0*255".parse().unwrap(),
                },
                time: at(seconds),
                quantity: Quantity {
                    value: "1.5".parse().unwrap(),
                    unit: Unit::CubicMetre,
                },
                status: Status::GOOD,
            }],
            gaps: Vec::new(),
        }
    }

    fn open(folder: &Path) -> Store {
        let key = DeviceKey::read_or_make(folder, [7; DeviceKey::LENGTH].into()).unwrap();
        Store::open(folder, Ok(Protection { key, otp: None })).unwrap()
    }

    fn times(store: &Store) -> Vec<i64> {
        let period = Period::new(at(0), at(1_000 * DAY)).unwrap();
        let page = store.database().readings(&ElementPattern::ANY, period).unwrap();
        let times = page.readings.iter().map(|reading| reading.time.unix_seconds());
        times.collect()
    }

    #[test]
    fn what_is_old_is_forgotten_and_what_is_past_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        for day in 0..6 {
            store.database().register(&round(day * DAY)).unwrap();
        }
        let history = Span::from_seconds(3 * 86_400).unwrap();
        let now = at(5 * DAY + 100);
        let (mut work, mut steps) = (Work::default(), 0);
        work.add(step(&store, history, now).unwrap());
        while work.more {
            work.add(step(&store, history, now).unwrap());
            steps += 1;
        }
        // Two days are forgotten and two are sealed; the one that has just ended waits for its hour of grace.
        assert_eq!(steps, 2 + 2);
        assert_eq!(times(&store), [2, 3, 4, 5].map(|day| day * DAY));
        let events = work.events();
        let texts: Vec<String> = events.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "2 rows of old history were deleted",
                "2 past values and gaps were sealed",
            ]
        );
        assert!(Work::default().events().is_empty());
        assert_eq!(store.database().seal_days(at(5 * DAY)).unwrap().points, 1);
    }

    #[test]
    fn every_sealed_day_has_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        for day in 0..4 {
            store.database().register(&round(day * DAY)).unwrap();
        }
        while store.database().seal_days(at(4 * DAY)).unwrap().more {}
        let turns = (0..4).map(|turn| store.database().check(turn).unwrap().chunks);
        assert_eq!(turns.sum::<usize>(), 4);
        check(&store, at(600)).unwrap();
        assert_eq!(store.database().losses(), []);
    }

    #[tokio::test]
    async fn task_ends_behind_the_step_in_which_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(open(folder.path()));
        store.database().register(&round(DAY)).unwrap();
        store.database().register(&round(3 * DAY)).unwrap();
        let logs = Logs::open(&folder.path().join("logs"), LogLimits::default(), false, moment()).unwrap();
        let journal = Journal::new(logs, CardKeyVerifier::new(None)).unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        keep_the_history(Arc::clone(&store), journal, Span::DAY, stop)
            .await
            .unwrap();
        assert_eq!(times(&store), [3 * DAY]);
    }
}
