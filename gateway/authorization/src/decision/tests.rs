//! One query against grants alone, and against the rules of all layers.

use model::{Effect, Fingerprint};

use super::*;
use crate::by_grants;

const SUPPLIER: Fingerprint = Fingerprint::new([1; 32]);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-23T12:00:00Z")
}

fn period(from: &str, to: &str) -> Period {
    Period::new(at(from), at(to)).unwrap()
}

fn grant() -> Grant {
    Grant {
        id: "billing".to_owned(),
        supplier: SUPPLIER,
        elements: vec!["*/1-0:1.8.0*255".parse().unwrap()],
        finest: Span::QUARTER_HOUR,
        aggregations: Aggregation::USUAL.into(),
        history: "P30D".parse().unwrap(),
        validity: period("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        push: None,
        at_most: None,
        delivery: None,
        purpose: "billing".parse().unwrap(),
    }
}

fn query() -> Query {
    Query {
        elements: "M1/1-0:1.8.0*255".parse().unwrap(),
        period: period("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
        resolution: Span::QUARTER_HOUR,
        aggregation: Aggregation::Value,
    }
}

fn refusal(query: &Query, grants: &[Grant]) -> Denied {
    by_grants(query, SUPPLIER, grants, now()).unwrap_err()
}

fn by_rule(reason: DenialReason) -> Denied {
    Denied {
        reason,
        layer: Layer::Grant,
        rule: Some("billing".to_owned()),
    }
}

#[test]
fn covered_query_is_granted_with_its_rule() {
    let grants = [grant()];
    let granted = by_grants(&query(), SUPPLIER, &grants, now()).unwrap();
    assert_eq!(granted.query(), &query());
    assert_eq!(granted.supplier(), SUPPLIER);
    let rules: Vec<_> = granted
        .rules()
        .map(|rule| (rule.id, rule.purpose.to_string()))
        .collect();
    assert_eq!(rules, [("billing", "billing".to_owned())]);
}

#[test]
fn stranger_is_refused() {
    let stranger = Fingerprint::new([2; 32]);
    let denied = by_grants(&query(), stranger, &[grant()], now()).unwrap_err();
    assert_eq!(denied, DenialReason::NoGrant.into());
    assert_eq!(refusal(&query(), &[]), DenialReason::NoGrant.into());
}

#[test]
fn other_elements_are_refused() {
    for elements in ["M1/7-0:3.0.0*255", "*/7-0:x.0.0*255", "M1/1-0:x.7.0*255"] {
        let elements = elements.parse().unwrap();
        let denied = refusal(&Query { elements, ..query() }, &[grant()]);
        assert_eq!(denied, DenialReason::ElementNotGranted.into());
    }
}

#[test]
fn query_for_many_elements_needs_one_in_common() {
    for elements in ["*", "M1/*", "*/1-0:x.8.0*255", "M1/1-0:1.8.x*255"] {
        let elements = elements.parse().unwrap();
        assert!(by_grants(&Query { elements, ..query() }, SUPPLIER, &[grant()], now()).is_ok());
    }
    let one_meter = Grant {
        elements: vec!["M2/*".parse().unwrap()],
        ..grant()
    };
    let elements = "M1/*".parse().unwrap();
    assert_eq!(
        refusal(&Query { elements, ..query() }, &[one_meter]),
        DenialReason::ElementNotGranted.into()
    );
}

#[test]
fn finer_than_granted_is_refused() {
    let resolution = "PT1M".parse().unwrap();
    let finest = Span::QUARTER_HOUR;
    assert_eq!(
        refusal(
            &Query {
                resolution,
                ..query()
            },
            &[grant()]
        ),
        by_rule(DenialReason::TooFine {
            asked: resolution,
            finest
        })
    );
}

#[test]
fn coarser_but_shifted_is_refused() {
    let resolution = "PT16M".parse().unwrap();
    let finest = Span::QUARTER_HOUR;
    assert_eq!(
        refusal(
            &Query {
                resolution,
                ..query()
            },
            &[grant()]
        ),
        by_rule(DenialReason::OffGrid {
            asked: resolution,
            finest
        })
    );
    let resolution = Span::DAY;
    assert!(
        by_grants(
            &Query {
                resolution,
                ..query()
            },
            SUPPLIER,
            &[grant()],
            now()
        )
        .is_ok()
    );
}

#[test]
fn what_is_made_of_values_in_between_is_granted_by_name() {
    let of = |aggregation| Query {
        aggregation,
        resolution: Span::DAY,
        ..query()
    };
    let asked = Aggregation::Mean;
    assert_eq!(
        refusal(&of(asked), &[grant()]),
        by_rule(DenialReason::AggregationNotGranted { asked })
    );
    assert!(by_grants(&of(Aggregation::Difference), SUPPLIER, &[grant()], now()).is_ok());
    let means = Grant {
        aggregations: [Aggregation::Mean].into(),
        ..grant()
    };
    assert!(by_grants(&of(asked), SUPPLIER, std::slice::from_ref(&means), now()).is_ok());
    let asked = Aggregation::Value;
    assert_eq!(
        refusal(&of(asked), &[means]),
        by_rule(DenialReason::AggregationNotGranted { asked })
    );
}

#[test]
fn history_is_bounded_to_the_second() {
    let earliest = at("2026-10-24T12:00:00Z");
    let end = query().period.to();
    let just = Period::new(earliest, end).unwrap();
    assert!(
        by_grants(
            &Query {
                period: just,
                ..query()
            },
            SUPPLIER,
            &[grant()],
            now()
        )
        .is_ok()
    );
    let early = period("2026-10-24T11:59:59Z", "2026-11-23T00:00:00Z");
    assert_eq!(
        refusal(
            &Query {
                period: early,
                ..query()
            },
            &[grant()]
        ),
        by_rule(DenialReason::TooFarBack { earliest })
    );
}

#[test]
fn grant_holds_only_within_its_validity() {
    let later = Grant {
        validity: period("2026-11-23T12:00:01Z", "2027-01-01T00:00:00Z"),
        ..grant()
    };
    let from = later.validity.from();
    assert_eq!(
        refusal(&query(), &[later]),
        by_rule(DenialReason::NotYetValid { from })
    );
    let over = Grant {
        validity: period("2026-01-01T00:00:00Z", "2026-11-23T12:00:00Z"),
        ..grant()
    };
    let since = over.validity.to();
    assert_eq!(
        refusal(&query(), &[over]),
        by_rule(DenialReason::Expired { since })
    );
}

#[test]
fn future_is_cut_off_behind_now() {
    let open = Query {
        period: period("2026-11-23T00:00:00Z", "2026-12-01T00:00:00Z"),
        ..query()
    };
    let grants = [grant()];
    let granted = by_grants(&open, SUPPLIER, &grants, now()).unwrap();
    assert_eq!(granted.query().period.to(), at("2026-11-23T12:00:01Z"));
    let period = period("2026-11-23T12:00:01Z", "2026-12-01T00:00:00Z");
    assert_eq!(
        refusal(&Query { period, ..query() }, &[grant()]),
        DenialReason::InFuture { from: period.from() }.into()
    );
}

#[test]
fn period_of_too_many_points_is_refused() {
    let long = Grant {
        history: "P2000D".parse().unwrap(),
        ..grant()
    };
    let asked = Query {
        period: period("2022-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ..query()
    };
    let (points, limit) = (Series::MAX_POINTS + 1, Series::MAX_POINTS);
    assert_eq!(
        refusal(&asked, &[long]),
        DenialReason::TooManyPoints { points, limit }.into()
    );
}

#[test]
fn refusal_names_the_rule_that_came_closest() {
    let coarse = Grant {
        id: "monthly".to_owned(),
        finest: Span::DAY,
        ..grant()
    };
    let gas = Grant {
        id: "gas".to_owned(),
        elements: vec!["*/7-0:3.0.0*255".parse().unwrap()],
        ..grant()
    };
    let short = Grant {
        history: Span::QUARTER_HOUR,
        ..grant()
    };
    let earliest = at("2026-11-23T11:45:00Z");
    assert_eq!(
        refusal(&query(), &[gas, coarse, short]),
        by_rule(DenialReason::TooFarBack { earliest })
    );
}

/// Rules of several layers, and when was asked before.
struct Case {
    grants: Vec<Grant>,
    policy: Vec<Limit>,
    restrictions: Vec<Restriction>,
    last: Option<Timestamp>,
    continues: Option<Timestamp>,
}

impl Case {
    fn new() -> Self {
        Self {
            grants: vec![grant()],
            policy: Vec::new(),
            restrictions: Vec::new(),
            last: None,
            continues: None,
        }
    }

    fn limited(policy: impl Into<Vec<Limit>>) -> Self {
        Self {
            policy: policy.into(),
            ..Self::new()
        }
    }

    fn restricted(restrictions: impl Into<Vec<Restriction>>) -> Self {
        Self {
            restrictions: restrictions.into(),
            ..Self::new()
        }
    }

    fn explain(&self, query: &Query) -> Explanation {
        let rules = Rules {
            grants: &self.grants,
            policy: &self.policy,
            restrictions: &self.restrictions,
        };
        let asker = Asker {
            supplier: SUPPLIER,
            name: "City Works",
        };
        let occasion = Occasion::Asked {
            last: &|_, _| self.last,
            continues: self.continues,
        };
        let explanation = explain(query, asker, &rules, &occasion, now());
        let decided = decide(query, asker, &rules, &occasion, now());
        let decided = decided.map(|granted| granted.rules().map(|rule| rule.id.to_owned()).collect());
        assert_eq!(
            decided, explanation.outcome,
            "what is explained is what is decided"
        );
        explanation
    }

    fn code(&self, query: &Query) -> Option<(&'static str, Layer, Option<String>)> {
        let denied = self.explain(query).outcome.err()?;
        Some((denied.reason.code(), denied.layer, denied.rule))
    }
}

fn limit() -> Limit {
    Limit {
        id: "policy 1".to_owned(),
        supplier: None,
        elements: vec![ElementPattern::ANY],
        finest: Span::QUARTER_HOUR,
        aggregations: Aggregation::USUAL.into(),
        history: "P30D".parse().unwrap(),
        validity: None,
        at_most: None,
    }
}

fn restriction(effect: Effect) -> Restriction {
    Restriction {
        id: 1,
        supplier: None,
        elements: ElementPattern::ANY,
        effect,
        from: at("2026-01-01T00:00:00Z"),
    }
}

fn every(resolution: &str) -> Query {
    Query {
        resolution: resolution.parse().unwrap(),
        ..query()
    }
}

fn by(code: &'static str, layer: Layer, rule: &str) -> Option<(&'static str, Layer, Option<String>)> {
    Some((code, layer, Some(rule.to_owned())))
}

#[test]
fn narrower_of_grant_and_limit_wins_in_every_dimension() {
    let hours = "PT1H".parse().unwrap();
    let short = "P1D".parse().unwrap();
    let gas: ElementPattern = "*/7-0:3.0.0*255".parse().unwrap();
    let over = period("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let later = period("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z");
    let (mean, asked) = ([Aggregation::Mean].into(), query());
    for (limit, code) in [
        (
            Limit {
                finest: hours,
                ..limit()
            },
            "too-fine",
        ),
        (
            Limit {
                history: short,
                ..limit()
            },
            "too-far-back",
        ),
        (
            Limit {
                aggregations: mean,
                ..limit()
            },
            "aggregation-not-granted",
        ),
        (
            Limit {
                validity: Some(over),
                ..limit()
            },
            "expired",
        ),
        (
            Limit {
                validity: Some(later),
                ..limit()
            },
            "not-yet-valid",
        ),
    ] {
        assert_eq!(
            Case::limited([limit]).code(&asked),
            by(code, Layer::Policy, "policy 1")
        );
    }
    let other = Limit {
        elements: vec![gas],
        ..limit()
    };
    let nothing = ("element-not-granted", Layer::Policy, None);
    assert_eq!(Case::limited([other]).code(&asked), Some(nothing));
    assert_eq!(Case::limited([limit()]).code(&asked), None);
    assert_eq!(Case::limited([]).code(&asked), None);
    // What a limit would leave is not granted by it.
    let wide = Limit {
        finest: "PT1M".parse().unwrap(),
        ..limit()
    };
    assert_eq!(
        Case::limited([wide]).code(&every("PT1M")),
        by("too-fine", Layer::Grant, "billing")
    );
}

#[test]
fn limits_of_one_supplier_narrow_what_those_of_all_leave_and_those_of_others_do_not_count() {
    let own = |supplier, finest: &str| Limit {
        id: "own".to_owned(),
        supplier: Some(supplier),
        finest: finest.parse().unwrap(),
        ..limit()
    };
    let case = Case::limited([limit(), own(SUPPLIER, "PT1H")]);
    assert_eq!(case.code(&query()), by("too-fine", Layer::Policy, "own"));
    assert_eq!(case.code(&every("PT1H")), None);
    assert_eq!(
        Case::limited([limit(), own(Fingerprint::new([2; 32]), "PT1H")]).code(&query()),
        None
    );
    // Two limits for the same suppliers stand each for itself.
    assert_eq!(
        Case::limited([limit(), own(SUPPLIER, "PT1H"), own(SUPPLIER, "PT15M")]).code(&query()),
        None
    );
}

#[test]
fn grids_of_grant_limit_and_restriction_meet_in_their_least_common_multiple() {
    let mut case = Case::limited([Limit {
        finest: "PT10M".parse().unwrap(),
        ..limit()
    }]);
    case.restrictions = vec![restriction(Effect::Coarser("PT20M".parse().unwrap()))];
    for (resolution, code) in [
        ("PT15M", by("off-grid", Layer::Policy, "policy 1")),
        ("PT30M", by("consumer-coarser", Layer::Consumer, "restriction 1")),
        ("PT1H", None),
        ("PT2H", None),
        ("PT90M", by("consumer-coarser", Layer::Consumer, "restriction 1")),
    ] {
        assert_eq!(case.code(&every(resolution)), code, "{resolution}");
    }
}

#[test]
fn consumer_objects_to_elements_suppliers_and_times() {
    let object = || restriction(Effect::Object);
    let denied = by("consumer-objects", Layer::Consumer, "restriction 1");
    let element = |text: &str| text.parse::<ElementPattern>().unwrap();
    for (restriction, code) in [
        (object(), denied.clone()),
        (
            Restriction {
                elements: element("*/1-0:1.8.0*255"),
                ..object()
            },
            denied.clone(),
        ),
        (
            Restriction {
                elements: element("*/7-0:3.0.0*255"),
                ..object()
            },
            None,
        ),
        (
            Restriction {
                from: at("2026-11-23T12:00:01Z"),
                ..object()
            },
            None,
        ),
        (
            Restriction {
                from: now(),
                ..object()
            },
            denied.clone(),
        ),
    ] {
        assert_eq!(Case::restricted([restriction]).code(&query()), code);
    }
    let meant = |byte, name: &str| Restriction {
        supplier: Some(model::RestrictedSupplier {
            fingerprint: Fingerprint::new([byte; 32]),
            name: name.parse().unwrap(),
        }),
        ..object()
    };
    assert_eq!(Case::restricted([meant(1, "Other")]).code(&query()), denied);
    // With its next certificate it is the same supplier.
    assert_eq!(Case::restricted([meant(2, "City Works")]).code(&query()), denied);
    assert_eq!(Case::restricted([meant(2, "Country Works")]).code(&query()), None);
}

#[test]
fn query_for_many_elements_is_denied_only_if_nothing_of_it_is_left() {
    let element = |text: &str| text.parse::<ElementPattern>().unwrap();
    let all = Query {
        elements: ElementPattern::ANY,
        ..query()
    };
    let mut case = Case::restricted([Restriction {
        elements: element("M1/*"),
        ..restriction(Effect::Object)
    }]);
    assert_eq!(case.code(&all), None);
    let restricted = Query {
        elements: element("M1/*"),
        ..query()
    };
    assert!(case.code(&restricted).is_some());
    case.restrictions[0].elements = element("*/1-0:1.x.0*255");
    assert!(case.code(&all).is_some(), "all that is granted is restricted");
    // A grant and a limit that have nothing in common with each other.
    let mut case = Case::limited([Limit {
        elements: vec![element("M2/*")],
        ..limit()
    }]);
    case.grants[0].elements = vec![element("M1/*")];
    assert_eq!(
        case.code(&all),
        Some(("element-not-granted", Layer::Policy, None))
    );
}

#[test]
fn grant_is_asked_as_often_as_it_and_the_limits_say() {
    let hour: Span = "PT1H".parse().unwrap();
    let at_most = Some(hour);
    let mut case = Case::new();
    case.grants[0].at_most = at_most;
    assert_eq!(case.code(&query()), None);
    case.last = Some(at("2026-11-23T11:00:01Z"));
    let Err(denied) = case.explain(&query()).outcome else {
        panic!("it was asked before");
    };
    let again = at("2026-11-23T12:00:01Z");
    assert_eq!(denied, by_rule(DenialReason::TooOften { at_most: hour, again }));
    assert!(
        denied.to_string().contains("from 2026-11-23T12:00:01Z on"),
        "{denied}"
    );
    // The rest of what was asked for then belongs to that time.
    case.continues = case.last;
    assert_eq!(case.code(&query()), None);
    case.continues = None;
    case.last = Some(at("2026-11-23T11:00:00Z"));
    assert_eq!(case.code(&query()), None);
    // A clock that was set back opens no door.
    case.last = Some(at("2026-11-24T11:00:00Z"));
    assert_eq!(case.code(&query()), by("too-often", Layer::Grant, "billing"));
    // The longer of both counts.
    case.last = Some(at("2026-11-23T10:30:00Z"));
    case.policy = vec![Limit {
        at_most: "PT2H".parse().ok(),
        ..limit()
    }];
    assert_eq!(case.code(&query()), by("too-often", Layer::Policy, "policy 1"));
    case.grants[0].at_most = None;
    assert_eq!(case.code(&query()), by("too-often", Layer::Policy, "policy 1"));
    case.policy.clear();
    assert_eq!(case.code(&query()), None);
    let rules = Rules {
        grants: &case.grants,
        policy: &[],
        restrictions: &[],
    };
    let asker = Asker {
        supplier: SUPPLIER,
        name: "",
    };
    assert!(decide(&query(), asker, &rules, &Occasion::Scheduled, now()).is_ok());
}

#[test]
fn what_has_to_wait_is_each_pattern_that_was_granted_for_the_longer_time() {
    let mut grants = [
        grant(),
        Grant {
            id: "free".to_owned(),
            ..grant()
        },
    ];
    grants[0].at_most = "PT1H".parse().ok();
    grants[0].elements.push("*/7-0:3.0.0*255".parse().unwrap());
    let paced = |policy: &[Limit]| -> Vec<(String, String, u32)> {
        let rules = Rules {
            grants: &grants,
            policy,
            restrictions: &[],
        };
        let asker = Asker {
            supplier: SUPPLIER,
            name: "",
        };
        let granted = decide(&query(), asker, &rules, &Occasion::FIRST, now()).unwrap();
        let paced = granted.paced();
        paced
            .map(|one| {
                (
                    one.grant.id.clone(),
                    one.pattern.to_string(),
                    one.at_most.seconds(),
                )
            })
            .collect()
    };
    let row = |id: &str, seconds| (id.to_owned(), "*/1-0:1.8.0*255".to_owned(), seconds);
    assert_eq!(paced(&[]), [row("billing", 3_600)]);
    let slow = Limit {
        at_most: "PT2H".parse().ok(),
        ..limit()
    };
    assert_eq!(paced(&[slow]), [row("billing", 7_200), row("free", 7_200)]);
}

#[test]
fn explanation_names_every_rule_of_every_layer_and_the_one_that_decided() {
    let mut case = Case::limited([limit()]);
    case.grants.push(Grant {
        id: "monthly".to_owned(),
        finest: Span::DAY,
        ..grant()
    });
    case.grants.push(Grant {
        id: "stranger".to_owned(),
        supplier: Fingerprint::new([9; 32]),
        ..grant()
    });
    case.restrictions = vec![restriction(Effect::Coarser("PT1H".parse().unwrap()))];
    let said = |explanation: &Explanation| -> Vec<(Layer, String, bool, bool)> {
        let looked = explanation.looked.iter();
        looked
            .map(|looked| {
                (
                    looked.layer,
                    looked.rule.clone(),
                    looked.refuses.is_none(),
                    explanation.has_decided(looked),
                )
            })
            .collect()
    };
    let line = |layer, rule: &str, permits, decided| (layer, rule.to_owned(), permits, decided);
    assert_eq!(
        said(&case.explain(&query())),
        [
            line(Layer::Grant, "billing", true, false),
            line(Layer::Grant, "monthly", false, false),
            line(Layer::Policy, "policy 1", true, false),
            line(Layer::Consumer, "restriction 1", false, true),
        ]
    );
    assert_eq!(
        said(&case.explain(&every("PT1H")))[..2],
        [
            line(Layer::Grant, "billing", true, true),
            line(Layer::Grant, "monthly", false, false)
        ]
    );
}
