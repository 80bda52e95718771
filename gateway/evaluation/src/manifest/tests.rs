//! The manifest: every fault has a name.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::samples::MANIFEST;

fn fault(from: &str, to: &str) -> ManifestError {
    assert!(MANIFEST.contains(from), "{from}");
    Manifest::parse(MANIFEST.replacen(from, to, 1).as_bytes())
        .map(|_| ())
        .unwrap_err()
}

fn given(name: &str, value: serde_json::Value) -> Result<Vec<Option<Value>>, ParameterError> {
    let given = BTreeMap::from([(name.to_owned(), value)]);
    crate::samples::manifest().values(&given)
}

#[test]
fn manifest_says_what_it_is() {
    let manifest = crate::samples::manifest();
    assert_eq!(manifest.id().to_string(), "sample");
    assert_eq!(manifest.version().to_string(), "1.2.3");
    assert_eq!((manifest.taf(), manifest.name().de.as_str()), (Some(2), "Muster"));
    assert_eq!(manifest.description().en, "For tests.");
    assert_eq!(manifest.inputs()[0].at_most, 4);
    assert_eq!(manifest.limits().fuel_for(1000), 5_500_000);
    assert_eq!(manifest.limits().fuel_for(u32::MAX), crate::limits::MAX_FUEL);
}

#[test]
fn every_fault_is_named() {
    assert!(matches!(
        fault("\"taf\": 2,", "\"taf\": 2, \"more\": 1,"),
        ManifestError::Json { line: 6, .. }
    ));
    assert!(matches!(
        fault("\"optional\": true", "\"other\": true"),
        ManifestError::Json { .. }
    ));
    assert_eq!(fault("manifest/1", "manifest/2"), ManifestError::Schema);
    assert_eq!(fault("tariff/1", "tariff/2"), ManifestError::Interface);
    assert_eq!(fault("\"taf\": 2", "\"taf\": 17"), ManifestError::Taf);
    assert_eq!(fault("\"Muster\"", "\"\""), ManifestError::Texts);
    assert_eq!(
        fault("\"stage-1\"", "\"peak\""),
        ManifestError::Name { name: "peak".into() }
    );
    assert_eq!(
        fault("\"energy\"", "\"Energy\""),
        ManifestError::Name {
            name: "Energy".into()
        }
    );
    assert_eq!(
        fault("\"fuel_base\": 5000000", "\"fuel_base\": 50000001"),
        ManifestError::Limit { limit: "fuel_base" }
    );
    assert_eq!(
        fault("[\"Wh\"]", "[]"),
        ManifestError::Input {
            role: "energy".into()
        }
    );
    assert_eq!(
        fault("\"least\": 0, \"most\": 9", "\"least\": 9, \"most\": 0"),
        ManifestError::Parameter {
            name: "count".into(),
            source: ParameterError::Bounds
        }
    );
    assert_eq!(
        fault("\"default\": 3", "\"default\": 10"),
        ManifestError::Parameter {
            name: "count".into(),
            source: ParameterError::OutOfBounds { name: "count".into() }
        }
    );
    assert_eq!(
        fault(
            "{ \"text\": { \"most_bytes\": 8 } }, \"default\": \"none\"",
            "\"calendar\""
        ),
        ManifestError::TwoCalendars
    );
}

#[test]
fn counts_lengths_and_versions_are_bounded() {
    let without = MANIFEST.split_once("\"outputs\": [").unwrap();
    let behind = without.1.split_once("],\n    \"parameters\"").unwrap().1;
    let empty = format!("{}\"outputs\": [],\n \"parameters\"{behind}", without.0);
    assert_eq!(
        Manifest::parse(empty.as_bytes()),
        Err(ManifestError::Count {
            part: "outputs",
            found: 0
        })
    );
    let long = vec![b' '; MAX_MANIFEST_BYTES + 1];
    assert_eq!(
        Manifest::parse(&long),
        Err(ManifestError::TooLong { bytes: long.len() })
    );
    for text in ["1.2", "1.2.3.4", "01.2.3", "1.2.x", "+1.2.3", "1.2.65536"] {
        assert_eq!(
            text.parse::<Version>(),
            Err(model::AppWordError::Version),
            "{text}"
        );
    }
}

#[test]
fn versions_are_compared_by_their_parts() {
    let version = |text: &str| text.parse::<Version>().unwrap();
    assert!(version("1.10.0") > version("1.9.9"));
    assert!(version("2.0.0") > version("1.10.10"));
}

#[test]
fn parameters_are_ordered_bounded_and_have_defaults() {
    let defaults = crate::samples::manifest().values(&BTreeMap::new()).unwrap();
    assert_eq!(defaults[0], Some(Value::Integer(3)));
    assert_eq!(defaults[1], None);
    assert_eq!(defaults[2], Some(Value::Text("none".into())));
    let price = given("price", json!("1.50")).unwrap();
    assert_eq!(price[1], Some(Value::Decimal("1.50".parse().unwrap())));
    assert_eq!(
        given("colour", json!(1)),
        Err(ParameterError::Unknown {
            name: "colour".into()
        })
    );
    assert_eq!(
        given("count", json!(10)),
        Err(ParameterError::OutOfBounds { name: "count".into() })
    );
    assert_eq!(
        given("note", json!("too long a text")),
        Err(ParameterError::OutOfBounds { name: "note".into() })
    );
    assert!(matches!(
        given("price", json!(1.5)),
        Err(ParameterError::Kind { .. })
    ));
    let wanted = MANIFEST.replace(", \"default\": 3", "");
    let manifest = Manifest::parse(wanted.as_bytes()).unwrap();
    assert_eq!(
        manifest.values(&BTreeMap::new()),
        Err(ParameterError::Missing { name: "count".into() })
    );
}

#[test]
fn open_groups_of_an_output_are_those_of_its_input() {
    let manifest = crate::samples::manifest();
    let feed_in: Obis = "1-0:2.8.0*255".parse().unwrap();
    assert_eq!(
        manifest.outputs()[0].obis_of(feed_in).to_string(),
        "1-0:2.8.1*255"
    );
    assert_eq!(
        manifest.outputs()[1].obis_of(feed_in).to_string(),
        "1-0:1.6.0*255"
    );
    assert_eq!(manifest.outputs()[0].unit_of(Unit::CubicMetre), Unit::CubicMetre);
    assert_eq!(manifest.outputs()[1].unit_of(Unit::CubicMetre), Unit::Watt);
}
