//! The store in a file: what is kept, and what is not.

use messages::content::Answer;
use model::{
    CardId, Decimal, Element, GapReason, Medium, Period, Query, Series, Span, Status, Timestamp, Unit,
};
use sqlx::{AssertSqlSafe, raw_sql};

use super::database::Database;
use super::*;

/// The tables of the first version, with one answer.
const VERSION_1: &str = include_str!("../../../../tests/vectors/supplier/version-1.sql");

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn step() -> Span {
    Span::QUARTER_HOUR
}

fn guid() -> CardId {
    "fd5a::1".parse().unwrap()
}

fn series(meter: &str, start: i64, values: &[Option<&str>]) -> Series {
    let values: Vec<Option<Decimal>> = values
        .iter()
        .map(|value| value.map(|value| value.parse().unwrap()))
        .collect();
    Series {
        element: Element {
            meter: meter.parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        },
        medium: Medium::Electricity,
        unit: Unit::WattHour,
        start: at(start),
        step: step(),
        aggregation: model::Aggregation::Value,
        status: vec![Status::GOOD; values.len()],
        gaps: Vec::new(),
        values,
    }
}

fn answer(number: u8, series: Vec<Series>) -> Answer {
    Answer {
        id: MessageId::new([number; 16]),
        in_reply_to: MessageId::new([0xff; 16]),
        gateway: guid(),
        supplier: model::Fingerprint::new([1; 32]),
        time: at(1_000_000),
        series,
        refusals: Vec::new(),
        rest: Vec::new(),
    }
}

async fn store(folder: &tempfile::TempDir) -> Store {
    let place = StorePlace::File(folder.path().join("store.db"));
    Store::open(&place).await.unwrap()
}

async fn texts(store: &Store) -> Vec<(String, i64, String)> {
    let mut texts = Vec::new();
    for element in store.elements(None).await.unwrap() {
        for reading in store
            .readings(element.key, Timestamp::EPOCH, 1_000)
            .await
            .unwrap()
        {
            let meter = element.element.meter.to_string();
            texts.push((meter, reading.time.unix_seconds(), reading.quantity.to_string()));
        }
    }
    texts
}

#[tokio::test]
async fn readings_are_kept_once_with_their_own_digits() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let first = answer(
        1,
        vec![
            series("M1", 900, &[Some("12.340"), Some("-0.5")]),
            series("M2", 900, &[Some("170141183460469231731687303715884105727")]),
        ],
    );
    let kept = store.keep(&first, b"signed", None).await.unwrap().unwrap();
    assert_eq!((kept.new, kept.repeated), (3, 0));
    assert_eq!(
        store.keep(&first, b"signed", None).await.unwrap(),
        None,
        "the same message"
    );
    let more = answer(
        2,
        vec![series("M1", 900, &[Some("12.34"), Some("-0.5"), Some("7")])],
    );
    let kept = store.keep(&more, b"more", None).await.unwrap().unwrap();
    assert_eq!((kept.new, kept.repeated, kept.conflicts.len()), (1, 2, 0));
    store.close().await;

    let store = self::store(&folder).await;
    let expected = [
        ("M1", 900, "12.340 Wh"),
        ("M1", 1_800, "-0.5 Wh"),
        ("M1", 2_700, "7 Wh"),
        ("M2", 900, "170141183460469231731687303715884105727 Wh"),
    ];
    let expected = expected.map(|(meter, time, text)| (meter.to_owned(), time, text.to_owned()));
    assert_eq!(texts(&store).await, expected);
    let element = &store.elements(Some(guid())).await.unwrap()[0];
    let reading = &store.readings(element.key, at(901), 1).await.unwrap()[0];
    assert_eq!(
        (reading.time, reading.proof.message),
        (at(1_800), MessageId::new([1; 16]))
    );
    assert_eq!(
        reading.proof.digest.to_string(),
        "4a3cdfae6f291c8f544daea5b72905cf9e74c1ed427d831ad0d7ca00c73c794d"
    );
    assert_eq!(
        store.signed(guid(), MessageId::new([2; 16])).await.unwrap(),
        b"more"
    );
    let nobody = store.signed(guid(), MessageId::new([3; 16])).await;
    assert!(matches!(nobody, Err(StoreError::NoAnswer { .. })));
}

#[tokio::test]
async fn another_value_is_a_conflict_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let keep = async |answer: Answer| store.keep(&answer, b"", None).await.unwrap().unwrap();
    keep(answer(1, vec![series("M1", 900, &[Some("1"), Some("2")])])).await;
    for number in 2..4 {
        let kept = keep(answer(number, vec![series("M1", 900, &[Some("1"), Some("3")])])).await;
        assert_eq!((kept.new, kept.repeated, kept.conflicts.len()), (0, 1, 1));
    }
    let mut marked = series("M1", 900, &[Some("1")]);
    marked.status = vec![Status::CLOCK_UNKNOWN];
    assert_eq!(keep(answer(4, vec![marked])).await.conflicts.len(), 1);
    let mut other = series("M1", 900, &[Some("1")]);
    other.unit = Unit::VarHour;
    assert_eq!(keep(answer(5, vec![other])).await.conflicts.len(), 1);
    assert_eq!(texts(&store).await[1].2, "2 Wh");
    let key = store.elements(None).await.unwrap()[0].key;
    let conflicts = store.conflicts(key, (at(1_800), at(1_800))).await.unwrap();
    assert_eq!(conflicts.len(), 1, "it is kept once");
    assert_eq!(
        (
            conflicts[0].quantity.to_string().as_str(),
            conflicts[0].proof.message
        ),
        ("3 Wh", MessageId::new([2; 16]))
    );
}

#[tokio::test]
async fn gaps_have_reasons_until_a_value_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let keep = async |answer: Answer| store.keep(&answer, b"", None).await.unwrap().unwrap();
    let mut holes = series("M1", 0, &[None, Some("1"), None, None, None, Some("6")]);
    holes.gaps = vec![(2, GapReason::NoAnswer), (3, GapReason::BusDown)];
    assert_eq!(keep(answer(1, vec![holes.clone()])).await.gaps, 2);
    let element = store.elements(None).await.unwrap().remove(0);
    let missing = store.missing(&element).await.unwrap();
    let short: Vec<_> = missing
        .iter()
        .map(|run| (run.first.unix_seconds(), run.points, run.reason, run.tries))
        .collect();
    assert_eq!(
        short,
        [
            (1_800, 1, Some(GapReason::NoAnswer), 0),
            (2_700, 1, Some(GapReason::BusDown), 0),
            (3_600, 1, None, 0)
        ],
        "before the first known point nothing is missing"
    );
    for _ in 0..2 {
        store.note_tries(&missing, 1).await.unwrap();
    }
    assert!(
        store
            .missing(&element)
            .await
            .unwrap()
            .iter()
            .all(|run| run.tries == 2)
    );
    // A gap never replaces a value, and a value always a gap.
    let kept = keep(answer(2, vec![series("M1", 2_700, &[Some("4"), Some("5")])])).await;
    assert_eq!((kept.new, kept.filled), (2, 2));
    let gone = keep(answer(3, vec![holes])).await;
    assert_eq!((gone.gaps, gone.conflicts.len(), gone.repeated), (1, 0, 2));
    let gaps = store.gaps(element.key, (at(0), at(9_000))).await.unwrap();
    assert_eq!(
        gaps,
        [StoredGap {
            time: at(1_800),
            reason: GapReason::NoAnswer
        }]
    );
    assert_eq!(store.missing(&element).await.unwrap().len(), 1);
}

#[tokio::test]
async fn points_between_two_answers_are_missing_on_each_grid() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let keep = async |answer: Answer| store.keep(&answer, b"", None).await.unwrap().unwrap();
    keep(answer(1, vec![series("M1", 0, &[Some("1")])])).await;
    keep(answer(2, vec![series("M1", 3_600, &[Some("1")])])).await;
    let mut coarse = series("M1", 7_200, &[Some("2"), None, Some("3")]);
    coarse.step = Span::from_seconds(3_600).unwrap();
    keep(answer(3, vec![coarse])).await;
    let element = store.elements(None).await.unwrap().remove(0);
    let missing = store.missing(&element).await.unwrap();
    let short: Vec<_> = missing
        .iter()
        .map(|run| (run.step.seconds(), run.first.unix_seconds(), run.points))
        .collect();
    assert_eq!(short, [(900, 900, 3), (3_600, 10_800, 1)]);
}

#[tokio::test]
async fn what_is_made_of_values_is_kept_apart_for_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let values = series("M1", 0, &[Some("1"), Some("2"), Some("3")]);
    let means = Series {
        aggregation: model::Aggregation::Mean,
        ..series("M1", 0, &[Some("1.5"), None, Some("2.5")])
    };
    let hourly = Series {
        step: Span::from_seconds(3_600).unwrap(),
        ..means.clone()
    };
    let kept = store
        .keep(&answer(1, vec![values, means.clone(), hourly]), b"", None)
        .await;
    let kept = kept.unwrap().unwrap();
    assert_eq!((kept.new, kept.conflicts.len()), (7, 0));
    let elements = store.elements(None).await.unwrap();
    let short: Vec<_> = elements
        .iter()
        .map(|element| (element.aggregation.as_str(), element.within().map(Span::seconds)))
        .collect();
    assert_eq!(
        short,
        [("mean", Some(900)), ("mean", Some(3_600)), ("value", None)]
    );
    let missing = store.missing(&elements[0]).await.unwrap();
    assert_eq!(
        (missing.len(), missing[0].aggregation),
        (1, model::Aggregation::Mean)
    );
    let again = store
        .keep(&answer(2, vec![means]), b"", None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((again.new, again.repeated), (0, 2));
}

#[tokio::test]
async fn what_remains_to_be_asked_stands_with_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let query = |elements: &str| Query {
        elements: elements.parse().unwrap(),
        period: Period::new(at(0), at(900)).unwrap(),
        resolution: step(),
        aggregation: model::Aggregation::Value,
    };
    let rest = [query("M1/*"), query("*/1-0:1.8.0*255")];
    store
        .keep(&answer(1, Vec::new()), b"", Some(&rest))
        .await
        .unwrap();
    assert_eq!(store.rest(guid()).await.unwrap(), rest);
    store.keep(&answer(2, Vec::new()), b"", None).await.unwrap();
    assert_eq!(store.rest(guid()).await.unwrap(), rest);
    store.keep(&answer(3, Vec::new()), b"", Some(&[])).await.unwrap();
    assert_eq!(store.rest(guid()).await.unwrap(), []);
}

#[tokio::test]
async fn work_that_is_given_up_leaves_nothing_or_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let values = vec![Some("1"); 5_000];
    let large = answer(1, vec![series("M1", 0, &values)]);
    for polls in 1..40 {
        let mut keeping = Box::pin(store.keep(&large, b"", None));
        let mut left = polls;
        let given_up = std::future::poll_fn(|context| {
            left -= 1;
            match keeping.as_mut().poll(context) {
                std::task::Poll::Ready(_) => std::task::Poll::Ready(false),
                std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(true),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        })
        .await;
        drop(keeping);
        if !given_up {
            break;
        }
        // It may have been given up while it was being confirmed.
        let elements = store.elements(None).await.unwrap();
        if let [element] = elements.as_slice() {
            let readings = store.readings(element.key, Timestamp::EPOCH, u32::MAX).await;
            assert_eq!(readings.unwrap().len(), values.len(), "after {polls} polls");
            break;
        }
    }
    store.keep(&large, b"", None).await.unwrap();
    assert_eq!(store.elements(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_programs_write_in_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = tokio::join!(store(&folder), store(&folder));
    let keep = async |store: &Store, numbers: std::ops::Range<u8>| {
        for number in numbers {
            let start = i64::from(number) * 900;
            let values = vec![series("M1", start, &[Some("1"), Some("1")])];
            store.keep(&answer(number, values), b"", None).await.unwrap();
        }
    };
    tokio::join!(keep(&one, 0..20), keep(&other, 20..40));
    assert_eq!(texts(&one).await.len(), 41);
}

#[tokio::test]
async fn store_of_the_first_version_is_read_and_one_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = StorePlace::File(folder.path().join("old.db"));
    let StorePlace::File(path) = &place else {
        unreachable!()
    };
    let made = std::process::Command::new("sqlite3")
        .arg(path)
        .arg(VERSION_1)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let store = Store::open(&place).await.unwrap();
    assert_eq!(
        texts(&store).await,
        [
            ("M1".to_owned(), 900, "12.340 Wh".to_owned()),
            ("M1".to_owned(), 2_700, "12.5 Wh".to_owned())
        ]
    );
    let element = store.elements(None).await.unwrap().remove(0);
    assert_eq!(
        store.missing(&element).await.unwrap()[0].reason,
        Some(GapReason::NoAnswer)
    );
    let database = Database::open(&place).await.unwrap();
    let mut turn = database.turn().await.unwrap();
    let later = "INSERT INTO store VALUES (99)".to_owned();
    raw_sql(AssertSqlSafe(later))
        .execute(turn.connection())
        .await
        .unwrap();
    drop(turn);
    let error = Store::open(&place).await.unwrap_err();
    assert!(matches!(error, StoreError::Version { found: 99 }), "{error}");
}

#[tokio::test]
async fn places_that_are_no_store_are_named() {
    for text in ["", "mysql://x", "sqlite://x"] {
        assert!(
            matches!(text.parse::<StorePlace>(), Err(StoreError::Address)),
            "{text}"
        );
    }
    let server: StorePlace = "postgres://user:secret@nowhere/db".parse().unwrap();
    assert!(!format!("{server:?}").contains("secret"));
    let folder = tempfile::tempdir().unwrap();
    let file = StorePlace::File(folder.path().join("missing.db"));
    assert!(matches!(
        Store::open_existing(&file).await,
        Err(StoreError::File(FileError::Missing { .. }))
    ));
    let file = StorePlace::File(folder.path().join("missing/store.db"));
    assert!(matches!(
        Store::open(&file).await,
        Err(StoreError::File(FileError::Missing { .. }))
    ));
    let garbage = folder.path().join("garbage # 100%.db");
    std::fs::write(&garbage, "no database".repeat(100)).unwrap();
    let error = Store::open(&StorePlace::File(garbage)).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    let odd = StorePlace::File(folder.path().join("a store?mode=ro # 100%.db"));
    Store::open(&odd).await.unwrap();
    assert!(folder.path().join("a store?mode=ro # 100%.db").exists());
}
