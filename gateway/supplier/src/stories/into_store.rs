//! Pulls into a store: page by page, cut off and taken up again, from many gateways of which some fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use messages::content::Answer;
use model::{Decimal, GapReason, Period, Series, Status, Timestamp};

use super::*;
use crate::fleet::{Outcome, Target, pull_fleet};
use crate::puller::{Order, Pulled, Puller, PullerError, Witness};
use crate::store::{Store, StorePlace};

/// A day on which the gateway has a value every five seconds, or not.
fn hour() -> Period {
    let end = Span::from_seconds(3_600).unwrap().grid_at_or_before(now());
    Period::new(end.saturating_sub(Span::from_seconds(100).unwrap()), end).unwrap()
}

fn step() -> Span {
    Span::from_seconds(5).unwrap()
}

fn order(since_last: bool) -> Order {
    Order {
        elements: vec!["*".parse().unwrap()],
        resolution: step(),
        aggregation: model::Aggregation::Value,
        period: hour(),
        since_last,
        fill_gaps: false,
        retries: 0,
    }
}

/// Lays out a value for every point of a period but those that are absent, which have a reason or none.
fn values(answer: &mut Answer, absent: &BTreeMap<i64, Option<GapReason>>, period: Period) {
    let Some(series) = answer.series.first_mut() else {
        return;
    };
    series.start = period.from();
    series.values.clear();
    series.gaps.clear();
    let mut time = period.from();
    while period.contains(time) {
        let seconds = time.unix_seconds();
        let index = u32::try_from(series.values.len()).unwrap();
        let value = Decimal::new(i128::from(seconds), -3).unwrap();
        match absent.get(&seconds) {
            None => series.values.push(Some(value)),
            Some(reason) => {
                series.values.push(None);
                series.gaps.extend(reason.map(|reason| (index, reason)));
            }
        }
        time = time.saturating_add(step());
    }
    series.status = vec![Status::GOOD; series.values.len()];
}

fn asked(answer: &Answer) -> Timestamp {
    answer.series[0].start
}

struct StoreScene {
    scene: Scene,
    store: Store,
    puller: Puller,
}

async fn into_store() -> StoreScene {
    let scene = scene();
    let store = Store::open(&StorePlace::File(scene.folder.path().join("store.db")))
        .await
        .unwrap();
    let home = Arc::new(Home::load(scene.folder.path(), now()).unwrap());
    let puller = Puller::new(home, store.clone(), now);
    StoreScene { scene, store, puller }
}

impl StoreScene {
    async fn pull(&self, order: &Order) -> Result<Pulled, PullerError> {
        let mut witness = Witness {
            archive: None,
            show: &mut |_| {},
        };
        self.puller
            .pull(guid(), &self.scene.exchange, order, &mut witness)
            .await
    }

    async fn readings(&self) -> usize {
        let mut count = 0;
        for element in self.store.elements(None).await.unwrap() {
            let readings = self.store.readings(element.key, Timestamp::EPOCH, 10_000).await;
            count += readings.unwrap().len();
        }
        count
    }

    /// Has the gateway answer what the closure makes of its answer; returns from when on it was asked each time.
    fn behave(&self, change: impl Fn(&mut Answer) -> bool + Send + 'static) -> Arc<Mutex<Vec<Timestamp>>> {
        let times = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&times);
        self.scene.gateway.behave(move |gateway, message| {
            let mut answer = gateway.answer_to(message);
            noted.lock().unwrap().push(asked(&answer));
            if change(&mut answer) {
                gateway.says(&Content::Answer(answer))
            } else {
                None
            }
        });
        times
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_that_is_cut_off_goes_on_with_what_was_left() {
    let scene = into_store().await;
    let middle = hour().from().saturating_add(Span::from_seconds(50).unwrap());
    let parts = move |answer: &mut Answer| {
        let from = asked(answer);
        if from == hour().from() {
            values(answer, &BTreeMap::new(), Period::new(from, middle).unwrap());
            let rest = Query {
                period: Period::new(middle, hour().to()).unwrap(),
                ..query("*")
            };
            answer.rest = vec![rest];
        } else {
            values(answer, &BTreeMap::new(), Period::new(from, hour().to()).unwrap());
        }
        true
    };
    scene.behave(move |answer| asked(answer) == hour().from() && parts(answer));
    let cut = scene.pull(&order(false)).await.unwrap_err();
    assert!(
        matches!(cut, PullerError::Pull(PullError::Conversation(_))),
        "{cut}"
    );
    assert_eq!(scene.readings().await, 10);
    assert_eq!(scene.store.rest(guid()).await.unwrap().len(), 1);

    // Something else in between does not let it be forgotten.
    let times = scene.behave(move |answer| {
        values(
            answer,
            &BTreeMap::new(),
            Period::new(hour().from(), middle).unwrap(),
        );
        true
    });
    let other = Order {
        period: Period::new(hour().from(), middle).unwrap(),
        ..order(false)
    };
    assert_eq!(scene.pull(&other).await.unwrap().kept.repeated, 10);
    assert_eq!(times.lock().unwrap().len(), 1);
    assert_eq!(scene.store.rest(guid()).await.unwrap().len(), 1);

    let times = scene.behave(parts);
    let pulled = scene.pull(&order(true)).await.unwrap();
    assert_eq!((pulled.kept.new, pulled.kept.repeated), (10, 0));
    assert_eq!(
        *times.lock().unwrap(),
        [middle],
        "only what was left is asked for, and once"
    );
    assert_eq!(scene.store.rest(guid()).await.unwrap(), []);
    // Now everything is there, and nothing is due.
    let pulled = scene.pull(&order(true)).await.unwrap();
    assert_eq!((pulled.answers.len(), times.lock().unwrap().len()), (0, 1));
    assert_eq!(scene.readings().await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_always_has_more_does_not_keep_the_pull_for_ever() {
    let scene = into_store().await;
    scene.behave(|answer| {
        answer.series.clear();
        answer.rest = vec![Query {
            period: hour(),
            ..query("*")
        }];
        true
    });
    let stalled = scene.pull(&order(false)).await.unwrap_err();
    assert!(matches!(stalled, PullerError::Stalled { .. }), "{stalled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_points_are_asked_for_again_and_not_for_ever() {
    let scene = into_store().await;
    let at = |number: i64| hour().from().unix_seconds() + 5 * number;
    let absent = BTreeMap::from([
        (at(3), Some(GapReason::NoAnswer)),
        (at(7), None),
        (at(8), None),
        (at(12), None),
    ]);
    let first = absent.clone();
    scene.behave(move |answer| {
        values(answer, &first, hour());
        true
    });
    let pulled = scene.pull(&order(false)).await.unwrap();
    assert_eq!((pulled.kept.new, pulled.kept.gaps), (16, 1));

    // What comes at last is taken; the rest is asked for three times, and what has a reason once.
    let times = scene.behave(move |answer| {
        // The double answers the first query: the one of the point that has a reason.
        let from = asked(answer);
        let end = from.saturating_add(step());
        let mut absent = absent.clone();
        absent.remove(&at(12));
        values(answer, &absent, Period::new(from, end).unwrap());
        answer.refusals.clear();
        true
    });
    let fill = Order {
        fill_gaps: true,
        ..order(true)
    };
    for _ in 0..6 {
        scene.pull(&fill).await.unwrap();
    }
    let asked: Vec<_> = times
        .lock()
        .unwrap()
        .iter()
        .map(|time| time.unix_seconds())
        .collect();
    assert_eq!(asked, [at(3), at(7), at(7)], "{asked:?}");
    let element = scene.store.elements(None).await.unwrap().remove(0);
    let missing = scene.store.missing(&element).await.unwrap();
    assert!(missing.iter().all(|run| run.tries > 0), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_farther_back_than_the_grant_reaches_is_asked_for_once() {
    let scene = into_store().await;
    let at = |number: i64| hour().from().unix_seconds() + 5 * number;
    let absent = BTreeMap::from([(at(3), None)]);
    scene.behave(move |answer| {
        values(answer, &absent, hour());
        true
    });
    scene.pull(&order(false)).await.unwrap();
    let times = scene.behave(|answer| {
        let from = asked(answer);
        let end = from.saturating_add(Span::from_seconds(1).unwrap());
        answer.refusals = vec![messages::content::Refusal {
            query: Query {
                period: Period::new(from, end).unwrap(),
                ..query("M1/7-0:3.0.0*255")
            },
            code: "too-far-back".parse().unwrap(),
            reason: "it is".parse().unwrap(),
            rule: None,
        }];
        answer.series.clear();
        true
    });
    let fill = Order {
        fill_gaps: true,
        ..order(true)
    };
    for _ in 0..3 {
        scene.pull(&fill).await.unwrap();
    }
    assert_eq!(times.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_cannot_be_kept_fails_the_pull() {
    let scene = into_store().await;
    scene.behave(|answer| {
        let mut twin: Series = answer.series[0].clone();
        twin.element.meter = "M2".parse().unwrap();
        answer.series.push(twin);
        true
    });
    let file = scene.scene.folder.path().join("store.db");
    let spoilt = std::process::Command::new("sqlite3")
        .arg(&file)
        .arg("CREATE TRIGGER full BEFORE INSERT ON readings WHEN NEW.element = 2 BEGIN SELECT RAISE(ABORT, 'full'); END")
        .status();
    assert!(spoilt.unwrap().success());
    let failed = scene.pull(&order(false)).await.unwrap_err();
    assert!(
        matches!(
            &failed,
            PullerError::Pull(PullError::Conversation(ConversationError::Keep(_)))
        ),
        "{failed}"
    );
    assert_eq!(scene.readings().await, 0, "nothing is half stored");
}

/// Another gateway of the authority, known to the supplier.
fn further(authority: &TestAuthority, folder: &Path, home: &Home, guid: CardId) -> GatewayDouble {
    let gateway = Gateway::new(authority, guid, home.party());
    CardFolder::of_gateway(folder, guid)
        .write(gateway.certificates())
        .unwrap();
    GatewayDouble::start(gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broken_gateway_never_stops_the_others() {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let home = Arc::new(Home::load(folder.path(), now()).unwrap());
    let store = Store::open(&StorePlace::File(folder.path().join("store.db")))
        .await
        .unwrap();
    let puller = Puller::new(Arc::clone(&home), store.clone(), now);
    let guids: Vec<CardId> = (1..=8)
        .map(|number| format!("fd5a::{number}").parse().unwrap())
        .collect();
    let doubles: Vec<_> = guids
        .iter()
        .map(|guid| further(&authority, folder.path(), &home, *guid))
        .collect();
    doubles[0].behave(|_, _| None);
    doubles[1].behave(|gateway, message| gateway.says(&refused(gateway.answer_to(message))));
    doubles[2].behave(|gateway, message| {
        let mut answer = gateway.answer_to(message);
        answer.series.clear();
        answer.refusals = vec![messages::content::Refusal {
            query: query("*"),
            code: "no-grant".parse().unwrap(),
            reason: "there is no grant".parse().unwrap(),
            rule: None,
        }];
        gateway.says(&Content::Answer(answer))
    });
    for (guid, double) in guids.iter().zip(&doubles) {
        home.set_address(*guid, &double.address()).unwrap();
    }
    let list = folder.path().join("list");
    std::fs::write(&list, "# two\nfd5a::9 [::1]:1\n\nfd5a::1 # again\n").unwrap();
    let mut known = home.gateways().unwrap();
    known.extend(home.read_list(&list).unwrap());
    let targets: Vec<Target> = known
        .into_iter()
        .map(|gateway| gateway.target(None).unwrap())
        .collect();
    assert_eq!(targets.len(), 10);
    let mut outcomes = BTreeMap::new();
    pull_fleet(
        &puller,
        targets,
        &order(false),
        3,
        |Outcome { target, result }| {
            assert!(
                outcomes.insert(target.guid, result).is_none(),
                "each has one outcome"
            );
        },
    )
    .await;
    let told: Vec<_> = outcomes
        .values()
        .map(|result| match result {
            Ok(pulled) if pulled.is_refused() => "refused",
            Ok(pulled) if pulled.kept.new == 1 => "pulled",
            Ok(_) => "nothing",
            Err(_) => "failed",
        })
        .collect();
    let expected = [
        "failed", "failed", "refused", "pulled", "pulled", "pulled", "pulled", "pulled", "failed",
    ];
    assert_eq!(told, expected);
    assert_eq!(store.elements(None).await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_comes_back_is_asked_again() {
    let scene = into_store().await;
    let left = Mutex::new(2);
    scene.behave(move |_| {
        let mut left = left.lock().unwrap();
        let away = *left > 0;
        *left -= i32::from(away);
        !away
    });
    assert!(scene.pull(&order(false)).await.is_err());
    let patient = Order {
        retries: 1,
        ..order(false)
    };
    assert_eq!(scene.pull(&patient).await.unwrap().kept.new, 1);
}

#[test]
fn lists_and_addresses_that_are_none_are_named() {
    let authority = TestAuthority::new("Trust centre");
    let folder = certified(&authority);
    let home = Home::load(folder.path(), now()).unwrap();
    assert_eq!(home.gateways().unwrap(), []);
    let unknown = home.set_address(guid(), &"[::1]:1".parse().unwrap());
    assert!(matches!(unknown, Err(crate::known::KnownError::Unknown { .. })));
    let list = folder.path().join("list");
    for (text, wrong) in [
        ("x", 1),
        ("fd5a::1\nfd5a::2 nowhere", 2),
        ("fd5a::1 [::1]:1 more", 1),
    ] {
        std::fs::write(&list, text).unwrap();
        let error = home.read_list(&list).unwrap_err();
        assert!(
            matches!(error, crate::known::KnownError::Line { line, .. } if line == wrong),
            "{text}: {error}"
        );
    }
    let own = home.known(guid()).unwrap().target(None).unwrap();
    assert_eq!(own.address.to_string(), "[fd5a:6d67:7700::1]:8443");
    let all = "mqtts://broker.example:8883".parse().unwrap();
    let target = home.known(guid()).unwrap().target(Some(&all)).unwrap();
    assert!(target.address.is_broker());
}
