//! For random delivery rules, nothing finer or other than granted leaves through one, and no name beside a pseudonym.

use std::convert::Infallible;

use model::{DeliveryRule, MeterId};

use super::*;
use crate::{Asker, DenialReason, Occasion, Rules, decide};

const RULE: &str = include_str!("../../../apps/taf-10/delivery.json");
const OBIS: [&str; 4] = ["1-0:1.8.0*255", "1-0:x.8.0*255", "7-0:3.0.0*255", "x-x:x.x.x*x"];

/// Builds a rule from the shipped one.
fn rule_of(
    obis: &[&str],
    finest: Span,
    aggregation: Aggregation,
    triggers: &str,
    identity: &str,
) -> DeliveryRule {
    let mut rule: serde_json::Value = serde_json::from_str(RULE).unwrap();
    rule["taf"] = 14.into();
    rule["elements"] = obis.iter().copied().collect();
    rule["finest"] = finest.to_string().into();
    rule["aggregation"] = aggregation.to_string().into();
    rule["triggers"] = serde_json::from_str(triggers).unwrap();
    rule["identity"] = serde_json::from_str(identity).unwrap();
    serde_json::from_value(rule).unwrap()
}

fn rule() -> impl Strategy<Value = DeliveryRule> {
    (
        prop::collection::vec(prop::sample::select(&OBIS[..]), 1..3),
        span(),
        prop::sample::select(vec![Aggregation::Value, Aggregation::Latest]),
        prop::sample::select(vec![r#"["on-demand"]"#, r#"[{"every":"PT1H"}]"#]),
        prop::sample::select(vec![r#""meter""#, r#"{"pseudonym":{"rotation":"P1D"}}"#]),
    )
        .prop_filter("a schedule lies on the grid", |(_, finest, _, triggers, _)| {
            triggers.contains("demand") || 3_600 % finest.seconds() == 0
        })
        .prop_map(|(obis, finest, aggregation, triggers, identity)| {
            rule_of(&obis, finest, aggregation, triggers, identity)
        })
}

fn ruled_grant() -> impl Strategy<Value = Grant> {
    (grant(), prop::option::of(rule())).prop_map(|(grant, rule)| Grant {
        aggregations: [Aggregation::Value, Aggregation::Latest].into(),
        delivery: rule.map(Box::new),
        ..grant
    })
}

fn own() -> Fingerprint {
    Fingerprint::new([0; 32])
}

/// Says in one sentence per condition what a grant with a rule permits; written apart from the code under test.
fn delivered(
    grant: &Grant,
    query: &Query,
    occasion: &Occasion<'_>,
    element: &Element,
    time: Timestamp,
) -> bool {
    let by_rule = match (&grant.delivery, occasion) {
        (None, Occasion::Delivered) | (Some(_), Occasion::Scheduled) => false,
        (None, _) => true,
        (Some(rule), occasion) => {
            (matches!(occasion, Occasion::Delivered) || rule.is_on_demand())
                && rule.delivers(element.obis)
                && rule.aggregation() == query.aggregation
                && query.resolution.is_multiple_of(rule.finest())
                && !(rule.is_pseudonymous() && query.elements.meter.is_some())
        }
    };
    by_rule && permitted(grant, query, element, time)
}

fn pseudonym(meter: &MeterId) -> MeterId {
    format!("pseudonym-{}", &meter.as_str()[1..]).parse().unwrap()
}

fn name_of(pseudonym: &MeterId) -> MeterId {
    pseudonym.as_str().replace("pseudonym-", "M").parse().unwrap()
}

proptest! {
    #[test]
    fn nothing_finer_or_other_than_granted_leaves_through_a_rule(
        grants in prop::collection::vec(ruled_grant(), 0..5),
        query in query(),
        aggregation in prop::sample::select(vec![Aggregation::Value, Aggregation::Latest]),
        kind in 0u8..3,
    ) {
        let query = Query { aggregation, ..query };
        let occasion = match kind {
            0 => Occasion::FIRST,
            1 => Occasion::Scheduled,
            _ => Occasion::Delivered,
        };
        let rules = Rules { grants: &grants, policy: &[], restrictions: &[] };
        let asker = Asker { supplier: own(), name: "" };
        let Ok(granted) = decide(&query, asker, &rules, &occasion, at(NOW)) else {
            return Ok(());
        };
        let is_pseudonymous = granted.pseudonymous().is_some();
        let permitting: Vec<&Grant> = grants
            .iter()
            .filter(|grant| grant.pseudonymous().is_some() == is_pseudonymous)
            .collect();
        let series = granted.release(everything(), []).into_series(|_, meter| Ok::<_, Infallible>(pseudonym(meter)));
        for mut series in series.unwrap() {
            prop_assert_eq!(series.element.meter.as_str().starts_with("pseudonym-"), is_pseudonymous);
            if is_pseudonymous {
                series.element.meter = name_of(&series.element.meter);
            }
            prop_assert_eq!(series.step, query.resolution);
            for (time, ..) in series.points() {
                let by = |grant: &&Grant| delivered(grant, &query, &occasion, &series.element, time);
                prop_assert!(permitting.iter().any(by), "{} at {}", series.element, time);
            }
        }
    }

    #[test]
    fn what_grant_and_rule_have_in_common_is_delivered(grant in grant(), rule in rule(), query in query()) {
        let query = Query { aggregation: rule.aggregation(), ..query };
        let grant = Grant {
            aggregations: [rule.aggregation()].into(),
            delivery: Some(Box::new(rule)),
            supplier: own(),
            ..grant
        };
        let all = everything();
        let expected: BTreeSet<_> = all
            .iter()
            .filter(|r| delivered(&grant, &query, &Occasion::Delivered, &r.element, r.time))
            .map(|r| r.element.clone())
            .collect();
        let grants = std::slice::from_ref(&grant);
        let rules = Rules { grants, policy: &[], restrictions: &[] };
        let asker = Asker { supplier: own(), name: "" };
        let named = grant.pseudonymous().is_some() && grant.elements.iter().any(|one| one.meter.is_some());
        let Ok(granted) = decide(&query, asker, &rules, &Occasion::Delivered, at(NOW)) else {
            prop_assert!(expected.is_empty() || named);
            return Ok(());
        };
        let series = granted.release(all, []).into_series(|_, meter| Ok::<_, Infallible>(meter.clone()));
        let found: BTreeSet<_> = series.unwrap().into_iter().map(|series| series.element).collect();
        prop_assert_eq!(found, expected);
    }
}

fn granted_by(identity: &str, triggers: &str) -> Grant {
    let rule = rule_of(
        &["1-0:1.8.0*255"],
        Span::QUARTER_HOUR,
        Aggregation::Value,
        triggers,
        identity,
    );
    Grant {
        id: "grid".to_owned(),
        supplier: own(),
        elements: vec!["*/*".parse().unwrap()],
        finest: Span::from_seconds(300).unwrap(),
        aggregations: [Aggregation::Value].into(),
        history: Span::DAY,
        validity: Period::new(at(0), at(NOW * 2)).unwrap(),
        push: None,
        at_most: None,
        delivery: Some(Box::new(rule)),
        purpose: "test".parse().unwrap(),
    }
}

fn reason(grant: &Grant, elements: &str, resolution: u32, occasion: &Occasion<'_>) -> Option<DenialReason> {
    let query = Query {
        elements: elements.parse().unwrap(),
        period: Period::new(at(NOW - 3_600), at(NOW)).unwrap(),
        resolution: Span::from_seconds(resolution).unwrap(),
        aggregation: Aggregation::Value,
    };
    let rules = Rules {
        grants: std::slice::from_ref(grant),
        policy: &[],
        restrictions: &[],
    };
    let asker = Asker {
        supplier: own(),
        name: "",
    };
    decide(&query, asker, &rules, occasion, at(NOW))
        .err()
        .map(|denied| denied.reason)
}

#[test]
fn rule_says_on_which_occasion_what_leaves() {
    let demand = granted_by(r#""meter""#, r#"["on-demand"]"#);
    let schedule = granted_by(r#""meter""#, r#"[{"every":"PT1H"}]"#);
    assert_eq!(reason(&demand, "*", 900, &Occasion::FIRST), None);
    assert_eq!(reason(&schedule, "*", 900, &Occasion::Delivered), None);
    let late = Some(DenialReason::NotOnDemand);
    assert_eq!(reason(&schedule, "*", 900, &Occasion::FIRST), late);
    assert_eq!(reason(&schedule, "*", 900, &Occasion::Scheduled), late);
    // The grant alone would permit 5 minutes, and gas.
    let finest = Span::QUARTER_HOUR;
    let asked = Span::from_seconds(300).unwrap();
    let fine = Some(DenialReason::TooFine { asked, finest });
    assert_eq!(reason(&demand, "*", 300, &Occasion::FIRST), fine);
    let other = Some(DenialReason::ElementNotGranted);
    assert_eq!(reason(&demand, "*/7-0:3.0.0*255", 900, &Occasion::FIRST), other);
}

#[test]
fn meter_is_not_named_to_whom_gets_it_under_a_pseudonym() {
    let pseudonym = r#"{"pseudonym":{"rotation":"P30D"}}"#;
    let grid = granted_by(pseudonym, r#"["on-demand"]"#);
    assert_eq!(reason(&grid, "*", 900, &Occasion::FIRST), None);
    let only = Some(DenialReason::PseudonymOnly);
    assert_eq!(reason(&grid, "M1/1-0:1.8.0*255", 900, &Occasion::FIRST), only);
    let named = Grant {
        elements: vec!["M1/*".parse().unwrap()],
        ..grid
    };
    assert_eq!(reason(&named, "*", 900, &Occasion::Delivered), only);
}
