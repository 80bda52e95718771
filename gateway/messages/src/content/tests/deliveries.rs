//! Grants with delivery rules, and what is sent by them.

use model::{DeliveryRule, GrantError};

use super::*;

fn rule() -> Box<DeliveryRule> {
    let json = include_str!("../../../../apps/taf-10/delivery.json");
    serde_json::from_str(json).unwrap()
}

fn granted() -> Grant {
    Grant {
        id: "grid".to_owned(),
        elements: vec!["*/1-0:32.7.0*255".parse().unwrap()],
        finest: "PT1M".parse().unwrap(),
        aggregations: [model::Aggregation::Latest].into(),
        delivery: Some(rule()),
        ..grant()
    }
}

#[test]
fn bundle_with_a_delivery_rule_reads_back_its_json() {
    let world = world();
    let content = Content::Bundle(Bundle {
        grants: vec![granted()],
        ..bundle(&world)
    });
    assert_eq!(Content::parse(&content.to_json().unwrap()).unwrap(), content);
}

#[test]
fn grant_that_contradicts_its_rule_is_refused() {
    let world = world();
    let contradicting = [
        (
            Grant {
                push: Some(Span::DAY),
                ..granted()
            },
            GrantError::PushBesideRule,
        ),
        (
            Grant {
                aggregations: model::Aggregation::USUAL.into(),
                ..granted()
            },
            GrantError::OtherAggregation {
                aggregation: model::Aggregation::Latest,
            },
        ),
        (
            Grant {
                elements: vec!["M1/1-0:32.7.0*255".parse().unwrap()],
                ..granted()
            },
            GrantError::NamedMeter,
        ),
        (
            Grant {
                elements: vec!["*/7-0:3.0.0*255".parse().unwrap()],
                ..granted()
            },
            GrantError::NothingInCommon,
        ),
    ];
    for (grant, expected) in contradicting {
        let grants = vec![grant];
        let content = Content::Bundle(Bundle {
            grants,
            ..bundle(&world)
        });
        match content.to_json() {
            Err(ContentError::Grant { id, source }) => {
                assert_eq!((id.as_str(), source), ("grid", expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn delivery_rules_are_bounded() {
    let world = world();
    let content = |count| {
        Content::Bundle(Bundle {
            grants: vec![granted(); count],
            ..bundle(&world)
        })
    };
    assert!(content(MAX_DELIVERIES).to_json().is_ok());
    let error = content(MAX_DELIVERIES + 1).to_json().unwrap_err();
    let is_bound = matches!(
        error,
        ContentError::TooMany {
            list: List::Deliveries,
            ..
        }
    );
    assert!(is_bound, "{error}");
}

#[test]
fn push_says_by_which_rule_and_why_it_was_sent() {
    let obis = "1-0:32.7.0*255".parse().unwrap();
    for (cause, json) in [
        (Cause::Due, r#""due""#),
        (Cause::Left(obis), r#"{"left":"1-0:32.7.0*255"}"#),
        (Cause::Returned(obis), r#"{"returned":"1-0:32.7.0*255"}"#),
    ] {
        let content = Content::Push(Push {
            delivery: Some(Delivered {
                rule: "taf-10".to_owned().try_into().unwrap(),
                taf: 10,
                cause,
                pseudonymous: true,
            }),
            ..push()
        });
        let written = content.to_json().unwrap();
        let expected =
            format!(r#""delivery":{{"rule":"taf-10","taf":10,"cause":{json},"pseudonymous":true}}"#);
        let text = String::from_utf8(written.clone()).unwrap();
        assert!(text.contains(&expected), "{text}");
        assert_eq!(Content::parse(&written).unwrap(), content);
    }
}
