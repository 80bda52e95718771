//! The schedules: what is due, how it rests, and what messages are called.

use authorization::{Asker, Rules};

use super::parcel::{as_fine_as_is_left, id_of};
use super::*;
use crate::grants::Pacing;

const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn grant() -> Grant {
    Grant {
        id: "daily".to_owned(),
        supplier: Fingerprint::new([1; 32]),
        elements: vec![
            "*/1-0:1.8.0*255".parse().unwrap(),
            "*/7-0:3.0.0*255".parse().unwrap(),
        ],
        finest: Span::QUARTER_HOUR,
        aggregations: Aggregation::USUAL.into(),
        history: "P100D".parse().unwrap(),
        validity: Period::new(at(DAY / 2), at(1_000 * DAY)).unwrap(),
        push: Some(Span::DAY),
        at_most: None,
        delivery: None,
        purpose: "billing".parse().unwrap(),
    }
}

fn days(kept_until: Option<i64>, settled: i64) -> Vec<(i64, i64)> {
    let grant = grant();
    let periods = due(&grant, Span::DAY, kept_until.map(at), (at(settled), at(settled)));
    let day = |time: Timestamp| time.unix_seconds() / DAY;
    periods
        .iter()
        .map(|period| (day(period.from()), day(period.to())))
        .collect()
}

#[test]
fn each_period_is_due_once_it_is_over_and_settled() {
    assert_eq!(days(Some(5 * DAY), 6 * DAY - 1), []);
    assert_eq!(days(Some(5 * DAY), 6 * DAY), [(5, 6)]);
    assert_eq!(days(Some(6 * DAY), 6 * DAY + 100), []);
    assert_eq!(days(Some(5 * DAY), 8 * DAY), [(5, 6), (6, 7), (7, 8)]);
}

#[test]
fn what_is_caught_up_with_is_bounded_by_number_history_and_validity() {
    assert_eq!(
        days(None, 500 * DAY).len(),
        usize::try_from(MAX_CAUGHT_UP).unwrap()
    );
    assert_eq!(days(Some(0), 500 * DAY).first(), Some(&(468, 469)));
    // The grant began at noon of the first day, so the first whole day is the second.
    assert_eq!(days(None, 3 * DAY), [(1, 2), (2, 3)]);
    let mut short = grant();
    short.history = "P2D".parse().unwrap();
    assert_eq!(due(&short, Span::DAY, None, (at(9 * DAY), at(9 * DAY))).len(), 2);
    // A clock that was set back sends nothing twice.
    assert_eq!(days(Some(9 * DAY), 5 * DAY), []);
}

#[test]
fn schedule_goes_no_faster_than_grants_and_limits_may_be_asked() {
    let span = |text: &str| text.parse::<Span>().unwrap();
    let limit = |supplier, at_most| Limit {
        id: "policy 1".to_owned(),
        supplier,
        elements: vec![model::ElementPattern::ANY],
        finest: Span::QUARTER_HOUR,
        aggregations: Aggregation::USUAL.into(),
        history: Span::DAY,
        validity: None,
        at_most: Some(at_most),
    };
    let mut grant = grant();
    grant.push = Some(span("PT2H"));
    grant.at_most = Some(span("PT1H"));
    assert_eq!(interval(&grant, &[]), grant.push);
    let other = limit(Some(Fingerprint::new([9; 32])), Span::DAY);
    assert_eq!(interval(&grant, &[other]), grant.push);
    assert_eq!(interval(&grant, &[limit(None, span("PT3H"))]), Some(span("PT6H")));
    grant.push = None;
    assert_eq!(interval(&grant, &[]), None);
}

#[test]
fn what_is_sent_is_as_fine_as_limits_and_restrictions_leave() {
    use model::{Effect, Restriction};
    let period = Period::new(at(8 * DAY), at(9 * DAY)).unwrap();
    let grants = [grant()];
    let restricted = |effect| Restriction {
        id: 1,
        supplier: None,
        elements: "*/1-0:1.8.0*255".parse().unwrap(),
        effect,
        from: at(0),
    };
    let sent = |restriction| {
        let rules = Rules {
            grants: &grants,
            policy: &[],
            restrictions: &[restriction],
        };
        let asker = Asker {
            supplier: grants[0].supplier,
            name: "",
        };
        let [power, gas] = queries(&grants[0], period).try_into().unwrap();
        let resolution = |query| {
            as_fine_as_is_left(query, asker, (&rules, Pacing::Scheduled), at(9 * DAY))
                .resolution
                .seconds()
        };
        (resolution(power), resolution(gas))
    };
    assert_eq!(
        sent(restricted(Effect::Coarser("PT10M".parse().unwrap()))),
        (1_800, 900)
    );
    assert_eq!(sent(restricted(Effect::Object)), (900, 900));
}

#[test]
fn schedule_that_fails_rests_for_longer_each_time_and_alone() {
    let (failing, other) = ([1; 16], [2; 16]);
    let mut pauses = Pauses::default();
    let mut now = at(0);
    let mut rests = Vec::new();
    for _ in 0..10 {
        pauses.begin(failing, now);
        assert!(!pauses.holds(&other, now));
        let begun = now;
        while pauses.holds(&failing, now) {
            now = now.saturating_add(Span::from_seconds(1).unwrap());
        }
        rests.push(now.seconds_since(begun));
    }
    assert_eq!(rests, [20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
    pauses.begin(failing, now);
    assert!(!pauses.holds(&failing, at(-100_000)), "a clock that was set back");
    pauses.end(&failing);
    assert!(!pauses.holds(&failing, now));
    pauses.begin(failing, now);
    pauses.keep_only(&BTreeSet::from([other]));
    assert!(!pauses.holds(&failing, now));
}

#[test]
fn gateways_are_spread_and_wait_until_values_have_settled() {
    let delays: BTreeSet<u32> = (0..200)
        .map(|number: u16| delay(format!("fd5a::{number:x}").parse().unwrap(), Span::DAY).seconds())
        .collect();
    assert!(delays.len() > 150, "{}", delays.len());
    assert!(delays.first() >= Some(&SETTLING_SECONDS));
    assert!(delays.last() <= Some(&(SETTLING_SECONDS + SPREAD_SECONDS)));
    let fine = delay("fd5a::1".parse().unwrap(), Span::from_seconds(2).unwrap());
    assert!(fine.seconds() <= 3);
}

#[test]
fn messages_are_named_by_card_supplier_grant_period_and_part() {
    let guid: CardId = "fd5a::1".parse().unwrap();
    let period = Period::new(at(0), at(DAY)).unwrap();
    let one = id_of(guid, &grant(), (period, None), 0);
    assert_eq!(one, id_of(guid, &grant(), (period, None), 0));
    let mut other = grant();
    other.id.push('x');
    let mut more = grant();
    more.elements.push("*/8-0:1.0.0*255".parse().unwrap());
    let later = Period::new(at(DAY), at(2 * DAY)).unwrap();
    let all = [
        one,
        id_of("fd5a::2".parse().unwrap(), &grant(), (period, None), 0),
        id_of(guid, &other, (period, None), 0),
        id_of(guid, &grant(), (later, None), 0),
        id_of(guid, &grant(), (period, None), 1),
        id_of(guid, &more, (period, None), 0),
    ];
    assert_eq!(BTreeSet::from(all).len(), 6);
    assert_ne!(key_of(&grant()), key_of(&other));
}

#[test]
fn steps_belong_to_the_period_in_which_they_end() {
    let period = Period::new(at(0), at(DAY)).unwrap();
    let values = queries(&grant(), period);
    assert_eq!((values.len(), values[0].period), (2, period));
    let mut means = grant();
    means.aggregations = [Aggregation::Mean].into();
    let [query, _] = queries(&means, period).try_into().unwrap();
    assert!(query.period.contains(at(DAY)) && query.aggregation == Aggregation::Mean);
}
