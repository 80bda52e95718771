//! Who asks for what a delivery rule has a pseudonym for.

use super::*;

const RULE: &str = include_str!("../../../../../apps/taf-14/delivery.json");

fn pseudonymous(supplier: Fingerprint) -> Grant {
    let mut rule: serde_json::Value = serde_json::from_str(RULE).unwrap();
    rule["triggers"] = serde_json::json!(["on-demand"]);
    rule["identity"] = serde_json::json!({"pseudonym": {"rotation": "P1D"}});
    Grant {
        supplier,
        delivery: Some(serde_json::from_value(rule).unwrap()),
        ..grant()
    }
}

fn asked(supplier: Fingerprint, elements: &str) -> Request {
    let mut request = request(vec![Query {
        aggregation: Aggregation::Latest,
        ..two_days_of(elements)
    }]);
    request.sender = supplier;
    request
}

#[test]
fn pseudonym_stands_for_the_meter_and_is_each_recipients_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let room = Room {
        rows: 10,
        bytes: 1 << 20,
    };
    let answered = |supplier: Fingerprint, now: Timestamp| {
        let request = asked(supplier, "*");
        let (answer, notes, _) = written_by(&pseudonymous(supplier), &store, (&request, now), room).unwrap();
        let [note]: [Note; 1] = notes.try_into().ok().unwrap();
        let logged = note.into_event(1, None).to_string();
        assert!(logged.contains("under a pseudonym"), "{logged}");
        assert_eq!(count(&answer), 1);
        answer.series[0].element.meter.to_string()
    };
    let other = Fingerprint::new([9; 32]);
    let now = at(2 * DAY);
    let name = answered(SUPPLIER, now);
    assert!(
        name.starts_with("pseudonym-") && name.len() == MeterId::MAX_LENGTH,
        "{name}"
    );
    assert!(!name.contains("M1"));
    assert_eq!(answered(SUPPLIER, at(2 * DAY + 3_600)), name);
    assert_ne!(answered(other, now), name);
    assert_ne!(answered(SUPPLIER, at(3 * DAY)), name, "another rotation");
}

#[test]
fn who_asks_by_the_meters_name_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let room = Room {
        rows: 10,
        bytes: 1 << 20,
    };
    let request = asked(SUPPLIER, "M1/1-0:1.8.0*255");
    let (answer, _, _) = written_by(&pseudonymous(SUPPLIER), &store, (&request, at(2 * DAY)), room).unwrap();
    assert_eq!(answer.series, []);
    assert_eq!(answer.refusals[0].code.to_string(), "pseudonym-only");
}
