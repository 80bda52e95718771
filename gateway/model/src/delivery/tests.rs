use super::*;

const TAF_9: &str = include_str!("../../../apps/taf-9/delivery.json");
const TAF_10: &str = include_str!("../../../apps/taf-10/delivery.json");
const TAF_14: &str = include_str!("../../../apps/taf-14/delivery.json");

fn rule(json: &str) -> DeliveryRule {
    serde_json::from_str(json).unwrap()
}

fn fault(from: &str, to: &str) -> String {
    assert!(TAF_10.contains(from), "{from}");
    let text = TAF_10.replacen(from, to, 1);
    serde_json::from_str::<DeliveryRule>(&text)
        .unwrap_err()
        .to_string()
}

fn is(fault: &str, error: &DeliveryError) -> bool {
    fault.starts_with(&error.to_string())
}

#[test]
fn shipped_rules_say_what_goes_when() {
    for (json, taf, obis) in [
        (TAF_9, 9, "1-0:2.7.0*255"),
        (TAF_10, 10, "1-0:52.7.0*255"),
        (TAF_14, 14, "1-0:1.8.0*255"),
    ] {
        let rule = rule(json);
        assert_eq!((rule.taf(), rule.id().to_string()), (taf, format!("taf-{taf}")));
        assert_eq!(rule.version().to_string(), "1.0.0");
        assert!(rule.delivers(obis.parse().unwrap()) && !rule.delivers("7-0:3.0.0*255".parse().unwrap()));
        assert!(
            !rule.triggers().is_empty() && !rule.name().de.is_empty() && !rule.description().en.is_empty()
        );
    }
    assert_eq!(rule(TAF_10).aggregation(), Aggregation::Latest);
    assert_eq!(rule(TAF_14).finest().to_string(), "PT1M");
}

#[test]
fn values_that_leave_their_band_are_a_reason_to_deliver() {
    let rule = rule(TAF_10);
    let side = |before, obis: &str, value: &str, unit| {
        let quantity = Quantity {
            value: value.parse().unwrap(),
            unit,
        };
        let mut triggers = rule.triggers().iter();
        triggers.find_map(|trigger| trigger.side(before, obis.parse().unwrap(), quantity))
    };
    let volts = |before, value| side(before, "1-0:32.7.0*255", value, Unit::Volt);
    for value in ["207", "230.1", "253"] {
        assert_eq!(volts(Side::Inside, value), Some(Side::Inside), "{value}");
    }
    for value in ["206.9", "253.1"] {
        assert_eq!(volts(Side::Inside, value), Some(Side::Outside), "{value}");
    }
    assert_eq!(side(Side::Inside, "1-0:32.7.0*255", "253.1", Unit::Watt), None);
    assert_eq!(side(Side::Inside, "1-0:31.7.0*255", "99", Unit::Ampere), None);
    // Back in the band is who is two volts inside.
    for (value, expected) in [
        ("207", Side::Outside),
        ("208.9", Side::Outside),
        ("209", Side::Inside),
        ("251", Side::Inside),
        ("251.1", Side::Outside),
    ] {
        assert_eq!(volts(Side::Outside, value), Some(expected), "{value}");
    }
}

#[test]
fn pseudonyms_change_with_rule_recipient_meter_and_time() {
    let grid = rule(TAF_10);
    let other = rule(&TAF_10.replace("\"taf-10\"", "\"taf-10b\""));
    let [one, two]: [MeterId; 2] = ["M1", "M2"].map(|meter| meter.parse().unwrap());
    let at: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let first = Pseudonym {
        rule: &grid,
        recipient: Fingerprint::new([1; 32]),
        meter: &one,
        at,
    };
    let mut labels = vec![
        first.label().unwrap(),
        Pseudonym {
            rule: &other,
            ..first.clone()
        }
        .label()
        .unwrap(),
        Pseudonym {
            recipient: Fingerprint::new([2; 32]),
            ..first.clone()
        }
        .label()
        .unwrap(),
        Pseudonym {
            meter: &two,
            ..first.clone()
        }
        .label()
        .unwrap(),
        Pseudonym {
            at: at.saturating_add("P30D".parse().unwrap()),
            ..first.clone()
        }
        .label()
        .unwrap(),
    ];
    assert_eq!(
        Pseudonym {
            at: at.saturating_add(Span::QUARTER_HOUR),
            ..first.clone()
        }
        .label()
        .unwrap(),
        labels[0]
    );
    labels.sort();
    labels.dedup();
    assert_eq!(labels.len(), 5);
    let named = rule(TAF_14);
    assert_eq!(
        Pseudonym {
            rule: &named,
            ..first
        }
        .label(),
        None
    );
}

#[test]
fn every_fault_is_named() {
    assert!(fault("\"taf\"", "\"tag\"").starts_with("unknown field `tag`"));
    let unknown = fault("\"rotation\": \"P30D\"", "\"rotation\": \"P30D\", \"x\": 1");
    assert!(unknown.starts_with("unknown field `x`"), "{unknown}");
    let cases = [
        ("delivery/1", "delivery/2", DeliveryError::Schema),
        ("\"taf\": 10", "\"taf\": 0", DeliveryError::Taf),
        ("\"Netzzustandsdaten\"", "\"\"", DeliveryError::Texts),
        ("\"PT15M\"", "\"PT7S\"", DeliveryError::Trigger { index: 1 }),
        (
            "\"least\": \"207\"",
            "\"least\": \"253\"",
            DeliveryError::Trigger { index: 2 },
        ),
        (
            "\"hysteresis\": \"2\"",
            "\"hysteresis\": \"-2\"",
            DeliveryError::Trigger { index: 2 },
        ),
        (
            "\"hysteresis\": \"2\"",
            "\"hysteresis\": \"23\"",
            DeliveryError::Trigger { index: 2 },
        ),
        ("\"latest\"", "\"value\"", DeliveryError::NotLatest),
        (
            "{ \"pseudonym\": { \"rotation\": \"P30D\" } }",
            "\"meter\"",
            DeliveryError::GridNamed,
        ),
    ];
    for (from, to, expected) in cases {
        let fault = fault(from, to);
        assert!(is(&fault, &expected), "{fault}");
    }
    let cut = |list: &str| {
        let mut value: serde_json::Value = serde_json::from_str(TAF_10).unwrap();
        value[list] = serde_json::json!([]);
        serde_json::from_value::<DeliveryRule>(value)
            .unwrap_err()
            .to_string()
    };
    assert!(is(&cut("elements"), &DeliveryError::Elements { found: 0 }));
    assert!(is(&cut("triggers"), &DeliveryError::Triggers { found: 0 }));
}

#[test]
fn rule_is_told_in_one_line() {
    let text = rule(TAF_10).to_string();
    assert!(
        text.starts_with("taf-10 1.0.0 (TAF 10), latest every PT1M, on demand, each PT15M, "),
        "{text}"
    );
    let band = ", when 1-0:14.7.0*255 leaves 49.5 to 50.5 Hz and is back by 0.1, under a pseudonym for P30D";
    assert!(text.ends_with(band), "{text}");
    assert!(rule(TAF_14).to_string().ends_with("each PT1M"));
}

#[test]
fn rule_reads_back_its_json() {
    for json in [TAF_9, TAF_10, TAF_14] {
        let rule = rule(json);
        let written = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<DeliveryRule>(&written).unwrap(), rule);
    }
}
