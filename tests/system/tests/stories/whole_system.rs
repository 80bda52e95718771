//! From four meters on their buses to a supplier that reads them, and not more than it may.

use std::collections::{BTreeMap, BTreeSet};

use system::{COUNTER, Grade, Pull, Status, UNGRANTED};

use crate::steps::{ALL_OF_IT, ARRIVAL, granted, house, pull_until};

/// The media of the house and the unit that each is billed in.
const MEDIA: [(&str, &str); 3] = [("electricity", "Wh"), ("gas", "m3"), ("water", "m3")];

#[test]
fn two_registration_periods_of_every_medium_reach_the_supplier() {
    let house = house();
    let pull = pull_until(&house, &granted(&house), |pull| {
        let times = times_by_medium(pull);
        times.len() == 4 && times.values().all(|times| times.len() >= 2)
    });
    assert_eq!(pull.guid, house.card.guid);
    assert!(pull.refusals.is_empty(), "{:?}", pull.refusals);
    for (medium, unit) in MEDIA {
        assert!(
            pull.series
                .iter()
                .any(|series| series.medium == medium && series.unit == unit),
            "no series of {medium} in {unit}: {:?}",
            pull.series
        );
    }
    for series in &pull.series {
        assert_eq!(series.step, house.period);
    }
    let ungranted = UNGRANTED.trim_start_matches("*/");
    assert!(pull.series.iter().all(|series| series.obis != ungranted));
}

#[test]
fn what_is_not_granted_or_finer_than_granted_is_refused_with_its_reason() {
    let mut house = house();
    // The element exists: the gateway itself shows it.
    let shown = UNGRANTED.trim_start_matches("*/");
    let what = "the power of this moment";
    let read = house.gateway.wait_for(&house.stage, what, ARRIVAL, |status| {
        let mut values = status.meters.iter().flat_map(|meter| &meter.values);
        values.any(|value| value.obis == shown)
    });
    read.unwrap();
    for (elements, grade, code) in [
        (&[UNGRANTED][..], Grade::AsGranted, "element-not-granted"),
        (&[COUNTER][..], Grade::Finer, "too-fine"),
    ] {
        let query = house.query(elements, grade, ALL_OF_IT);
        let pull = house.supplier.pull(&house.stage, &query).unwrap();
        assert!(pull.series.is_empty(), "{code}: {:?}", pull.series);
        let [refusal] = pull.refusals.as_slice() else {
            panic!("{code}: {:?}", pull.refusals)
        };
        assert_eq!(refusal.code, code);
        assert_eq!(refusal.elements, elements[0]);
        assert!(refusal.reason.contains(' '), "{refusal:?}");
        let rule = (grade == Grade::Finer).then_some("billing");
        assert_eq!(refusal.rule.as_deref(), rule);
    }
}

#[test]
fn status_shows_every_meter_with_its_values() {
    let mut house = house();
    let what = "a read of every meter";
    let status = house
        .gateway
        .wait_for(&house.stage, what, ARRIVAL, Status::has_read_every_meter)
        .unwrap();
    assert!(status.soft_card, "a soft card must be shown as one");
    assert_eq!(status.guid.as_deref(), Some(house.card.guid.as_str()));
    let media: BTreeSet<_> = status
        .meters
        .iter()
        .filter_map(|meter| meter.medium.as_deref())
        .collect();
    assert_eq!(media, BTreeSet::from(["electricity", "gas", "heat", "water"]));
    for meter in &status.meters {
        assert!(meter.error.is_none() && !meter.values.is_empty(), "{meter:?}");
    }
    let ids: BTreeSet<_> = status
        .meters
        .iter()
        .filter_map(|meter| meter.id.as_deref())
        .collect();
    assert_eq!(ids.len(), 4, "every meter has an identity of its own");
}

fn times_by_medium(pull: &Pull) -> BTreeMap<&str, BTreeSet<String>> {
    let mut times: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for series in &pull.series {
        let points = series.points().unwrap();
        let of_medium = times.entry(&series.medium).or_default();
        of_medium.extend(points.into_iter().map(|point| point.time.to_string()));
    }
    times
}
