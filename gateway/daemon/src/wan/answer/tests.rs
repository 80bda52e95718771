mod pseudonyms;

use model::{Element, Grant, LogEvent, Quantity, Status, Unit};
use store::{DeviceKey, Protection, Round};

use super::*;

fn note(outcome: Outcome) -> Note {
    let at = |text: &str| text.parse().unwrap();
    let period = Period::new(at("2026-11-22T00:00:00Z"), at("2026-11-23T00:00:00Z"));
    Note {
        supplier: Fingerprint::new([1; 32]),
        name: LogText::cut("Stadtwerke"),
        request: LogText::cut(&MessageId::new([0xab; 16]).to_string()),
        query: Query {
            elements: "*/1-0:1.8.0*255".parse().unwrap(),
            period: period.unwrap(),
            resolution: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
        },
        outcome,
    }
}

const SUPPLIER: Fingerprint = Fingerprint::new([1; 32]);
const METERS: usize = 90;
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn open(folder: &std::path::Path) -> Store {
    let key = DeviceKey::read_or_make(folder, [7; DeviceKey::LENGTH].into()).unwrap();
    Store::open(folder, Ok(Protection { key, otp: None })).unwrap()
}

/// Two days of 90 meters, each more than a page of the store.
fn two_days(folder: &std::path::Path) -> Store {
    let store = open(folder);
    for time in (0..2 * DAY).step_by(900).map(at) {
        let readings = (0..METERS).map(|meter| Reading {
            element: Element {
                meter: format!("M{meter}").parse().unwrap(),
                obis: "1-0:1.8.0*255".parse().unwrap(),
            },
            time,
            quantity: Quantity {
                value: "12345.678".parse().unwrap(),
                unit: Unit::WattHour,
            },
            status: Status::GOOD,
        });
        let round = Round {
            readings: readings.collect(),
            gaps: Vec::new(),
        };
        store.database().register(&round).unwrap();
    }
    store
}

fn request(queries: Vec<Query>) -> Request {
    Request {
        id: MessageId::new([2; 16]),
        sender: SUPPLIER,
        recipient: "fd5a::1".parse().unwrap(),
        time: at(2 * DAY),
        queries,
    }
}

fn written(store: &Store, request: &Request, room: Room) -> Result<(Answer, Vec<Note>), Rejection> {
    let (answer, notes, _) = written_by(&grant(), store, (request, at(2 * DAY)), room)?;
    Ok((answer, notes))
}

fn grant() -> Grant {
    Grant {
        id: "all".to_owned(),
        supplier: SUPPLIER,
        elements: vec![model::ElementPattern::ANY],
        finest: Span::QUARTER_HOUR,
        aggregations: Aggregation::ALL.into(),
        history: "P10D".parse().unwrap(),
        validity: Period::new(at(0), at(9 * DAY)).unwrap(),
        push: None,
        at_most: None,
        delivery: None,
        purpose: "billing".parse().unwrap(),
    }
}

fn written_by(
    grant: &Grant,
    store: &Store,
    (request, now): (&Request, Timestamp),
    room: Room,
) -> Result<(Answer, Vec<Note>, Vec<Asked>), Rejection> {
    let restrictions = Restrictions::of(store, now)?;
    let meters = watch::channel(in_memory()).1;
    let desk = Desk {
        request,
        rules: Rules {
            grants: std::slice::from_ref(grant),
            policy: &[],
            restrictions: &restrictions,
        },
        pacing: Pacing::Asked,
        name: "Stadtwerke",
        sources: Sources {
            store,
            meters: &meters,
            registration_period: Span::QUARTER_HOUR,
            held: &[],
        },
        now,
    };
    let (written, _) = desk.write("fd5a::1".parse().unwrap(), room, Content::Answer)?;
    let Content::Answer(answer) = Content::parse(&written.json).unwrap() else {
        panic!("no answer");
    };
    assert_eq!(answer.id, written.id);
    assert!(written.json.len() <= room.bytes);
    Ok((answer, written.notes, written.asked))
}

/// A meter whose value was read some seconds after the one that was registered.
fn in_memory() -> Vec<MeterView> {
    let meter: serde_json::Value = serde_json::json!({
        "name": "house", "bus": "cellar", "id": "M1", "medium": null, "last_success": null, "error": null,
        "values": [{"obis": "1-0:1.8.0*255", "value": "7.5", "unit": "Wh", "time": at(2 * DAY - 10), "status": 2}],
    });
    let mut meter: MeterView = serde_json::from_value(meter).unwrap();
    let mut registered = meter.values.clone();
    for value in &mut registered {
        (value.time, value.value) = (at(2 * DAY - 900), "7".parse().unwrap());
    }
    meter.registered = registered;
    vec![meter]
}

#[test]
fn latest_values_are_answered_from_memory_and_only_on_the_granted_grid() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let room = Room {
        rows: 10,
        bytes: 1 << 20,
    };
    let latest = |resolution| Query {
        resolution,
        aggregation: Aggregation::Latest,
        ..two_days_of("*")
    };
    let fine = Span::from_seconds(10).unwrap();
    let asked = request(vec![latest(Span::QUARTER_HOUR), latest(fine)]);
    let (answer, notes) = written(&store, &asked, room).unwrap();
    let points: Vec<_> = answer.series.iter().flat_map(Series::points).collect();
    // The grant's finest is a quarter of an hour, and the value of the moment is none of its grid.
    let value = "7".parse().unwrap();
    assert_eq!(points, [(at(2 * DAY - 900), value, Status::FROM_FLOAT)]);
    assert_eq!(answer.refusals[0].code.to_string(), "too-fine");
    assert_eq!(
        (answer.series[0].aggregation, answer.rest.len()),
        (Aggregation::Latest, 0)
    );
    let logged: Vec<String> = notes
        .into_iter()
        .map(|note| note.into_event(1, None).to_string())
        .collect();
    assert!(
        logged.iter().any(|text| text.contains("1 latest values of")),
        "{logged:?}"
    );
}

fn count(answer: &Answer) -> usize {
    answer.series.iter().map(|series| series.points().count()).sum()
}

fn two_days_of(elements: &str) -> Query {
    Query {
        elements: elements.parse().unwrap(),
        period: Period::new(at(0), at(2 * DAY)).unwrap(),
        resolution: Span::QUARTER_HOUR,
        aggregation: Aggregation::Value,
    }
}

#[test]
fn what_has_no_room_is_left_to_the_next_request_and_logged_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = two_days(folder.path());
    let room = Room {
        rows: 100,
        bytes: 1 << 20,
    };
    let mut queries = vec![two_days_of("*"), two_days_of("M1/*")];
    let (mut values, mut answers) = (0, 0);
    while !queries.is_empty() {
        let (answer, notes) = written(&store, &request(queries), room).unwrap();
        let logged = notes.into_iter().map(|note| match note.outcome {
            Outcome::Answered { values, .. } => usize::try_from(values).unwrap(),
            Outcome::Denied { .. } => panic!("denied"),
        });
        assert_eq!(logged.sum::<usize>(), count(&answer));
        values += count(&answer);
        answers += 1;
        queries = answer.rest;
    }
    // Each day has more rows than a page: one answer for each, and one for what was not begun.
    assert_eq!((values, answers), ((METERS + 1) * 2 * 96, 3));
}

#[test]
fn grant_is_asked_as_often_as_it_says_and_a_rest_is_no_new_occasion() {
    let folder = tempfile::tempdir().unwrap();
    let store = two_days(folder.path());
    let grant = Grant {
        at_most: "PT1H".parse().ok(),
        ..grant()
    };
    let room = Room {
        rows: 100,
        bytes: 1 << 20,
    };
    let asks = |queries: Vec<Query>, seconds| {
        let now = at(2 * DAY + seconds);
        let (answer, _, asked) = written_by(&grant, &store, (&request(queries), now), room).unwrap();
        store.database().remember_asked(&asked, now).unwrap();
        answer
    };
    let all = || vec![two_days_of("*"), two_days_of("M1/*")];
    let first = asks(all(), 0);
    assert_eq!((first.refusals.len(), first.rest.len()), (0, 2));
    // The rest is answered, more than once if need be; what is asked anew has to wait.
    for seconds in [10, 20] {
        let rest = asks(first.rest.clone(), seconds);
        assert_eq!((rest.refusals.len(), rest.series.is_empty()), (0, false));
    }
    // So is the very query that was granted, if its answer was lost: it brings nothing newer.
    assert_eq!(asks(all(), 30).refusals.len(), 0);
    let from = |second| {
        let mut queries = all();
        for query in &mut queries {
            query.period = Period::new(at(second), at(2 * DAY)).unwrap();
        }
        queries
    };
    let refused = asks(from(1), 3_599);
    assert_eq!((refused.refusals.len(), refused.series.len()), (2, 0));
    assert_eq!(refused.refusals[0].code.as_str(), "too-often");
    let reason = refused.refusals[0].reason.to_string();
    assert!(reason.contains("again from 1970-01-03T01:00:00Z on"), "{reason}");
    assert!(!asks(from(1), 3_600).series.is_empty());
    assert_eq!(asks(vec![two_days_of("M2/*")], 7_199).refusals.len(), 1);
}

#[test]
fn values_that_the_consumer_restricts_are_refused_and_none_are_handed_out_when_that_cannot_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = two_days(folder.path());
    let document = r#"{"version":1,"next":2,"restrictions":[{"id":1,"elements":"M1/*","effect":"object","from":"1970-01-01T00:00:00Z"}]}"#;
    store.database().set_restrictions(document.as_bytes()).unwrap();
    let room = Room {
        rows: 100,
        bytes: 1 << 20,
    };
    let asked = request(vec![two_days_of("M1/*"), two_days_of("M2/*")]);
    let (answer, notes) = written(&store, &asked, room).unwrap();
    assert_eq!(answer.refusals[0].code.as_str(), "consumer-objects");
    assert_eq!(
        answer.refusals[0].rule.as_ref().unwrap().as_str(),
        "restriction 1"
    );
    assert_eq!(
        (answer.refusals.len(), answer.series.len(), notes.len()),
        (1, 1, 2)
    );
    store.database().set_restrictions(br#"{"version":2}"#).unwrap();
    let error = written(&store, &asked, room).err().unwrap();
    assert_eq!(error.code(), "restrictions-lost");
}

#[test]
fn aggregation_is_read_on_until_its_first_step_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = two_days(folder.path());
    let room = Room {
        rows: 1,
        bytes: 1 << 20,
    };
    let mut queries = vec![Query {
        aggregation: Aggregation::Mean,
        resolution: Span::DAY,
        ..two_days_of("M1/*")
    }];
    queries[0].period = Period::new(at(0), at(2 * DAY + 1)).unwrap();
    let mut means = Vec::new();
    while !queries.is_empty() {
        let (answer, notes) = written(&store, &request(queries), room).unwrap();
        assert_eq!(notes.len(), 1);
        let points = answer.series.iter().flat_map(Series::points);
        means.extend(points.map(|(time, value, _)| (time, value.to_string())));
        queries = answer.rest;
    }
    let mean = "12345.6780".to_owned();
    // The second day lacks its last value.
    assert_eq!(means, [(at(DAY), mean)]);
}

#[test]
fn answer_that_turns_out_too_long_is_made_from_fewer_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = two_days(folder.path());
    let all = request(vec![two_days_of("*")]);
    let (half, _) = written(
        &store,
        &all,
        Room {
            rows: 20_000,
            bytes: 200_000,
        },
    )
    .unwrap();
    assert_eq!((count(&half), half.rest.len()), (METERS * 96, 1));
    let too_little = Room {
        rows: 20_000,
        bytes: 1_000,
    };
    let error = written(&store, &all, too_little).err().unwrap();
    assert_eq!(error.code(), "too-much");
}

#[test]
fn the_consumer_reads_who_was_given_what_and_for_which_purpose() {
    let answered = note(Outcome::Answered {
        rules: vec!["billing".to_owned()],
        purpose: vec!["billing by consumption".parse().unwrap()],
        values: 96,
        pseudonymous: false,
    });
    let event = LogEvent::from(answered.into_event(4_711, Some(Fingerprint::new([0xcd; 32]))));
    let json = serde_json::to_value(&event).unwrap();
    for (key, value) in [
        ("event", "answered"),
        ("name", "Stadtwerke"),
        ("request", "abababababababababababababababab"),
        ("content", &"cd".repeat(32)),
    ] {
        assert_eq!(json[key], value);
    }
    assert_eq!(
        (json["values"].as_u64(), json["bytes"].as_u64()),
        (Some(96), Some(4_711))
    );
    assert!(
        event
            .to_string()
            .ends_with("every PT15M, for billing by consumption"),
        "{event}"
    );
}

#[test]
fn the_consumer_reads_what_was_denied_and_by_which_rule() {
    let denied = note(Outcome::Denied {
        code: "too-fine",
        rule: Some("billing".to_owned()),
    });
    let event = LogEvent::from(denied.into_event(100, None));
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(
        (&json["code"], &json["rule"]),
        (&"too-fine".into(), &"billing".into())
    );
    assert_eq!(event.code(), "SMGW-L-2002");
}
