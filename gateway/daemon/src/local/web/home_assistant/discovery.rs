//! What is pinned up: each meter as a device with its sensors, and its last values. Pure.
//!
//! Spec: Home Assistant 2026, "MQTT", sections "Device discovery payload" and "MQTT sensor"; "Sensor entity", sections
//! "Available device classes" and "Available state classes".

use std::collections::BTreeMap;

use model::{CardId, Element, Medium, Span};
use serde_json::{Map, Value, json};

use super::super::household::Measured;
use super::super::language::{Language, for_people};

/// What stands at the topic of the availability while the gateway tells something, and otherwise.
pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";
/// The most meters that are told of, and the most elements of each: a message has 64 KiB at most.
const MOST_METERS: usize = 100;
const MOST_ELEMENTS: usize = 64;
/// Behind how many registration periods without a value Home Assistant takes a sensor for unavailable.
const PERIODS: u32 = 3;

/// The gateway as it is named in topics.
#[derive(Debug, Clone)]
pub(super) struct Node(String);

/// Something to be pinned up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) topic: String,
    pub(super) text: String,
}

impl Node {
    /// Names the gateway after the GUID that it is bound to.
    pub(super) fn of(guid: Option<CardId>) -> Self {
        Self(guid.map_or_else(|| "unbound".to_owned(), |guid| slug(&guid.to_string())))
    }

    /// Returns the client identifier.
    pub(super) fn client(&self) -> String {
        format!("smgw-{}", self.0)
    }

    /// Returns the topic that says whether the gateway is there.
    pub(super) fn availability(&self) -> String {
        format!("smgw-home/{}/availability", self.0)
    }

    fn state(&self, meter: &str) -> String {
        format!("smgw-home/{}/{meter}/state", self.0)
    }
}

/// Returns what is to be pinned up of meters: for each, the device with its sensors, then its values.
pub(super) fn notices(
    node: &Node,
    prefix: &str,
    (language, period): (Language, Span),
    seen: &[Measured],
) -> Vec<Notice> {
    let mut meters: BTreeMap<String, Vec<&Measured>> = BTreeMap::new();
    for one in seen {
        meters
            .entry(one.last.element.meter.to_string())
            .or_default()
            .push(one);
    }
    let mut notices = Vec::new();
    for (id, elements) in meters.iter().take(MOST_METERS) {
        let elements: Vec<_> = elements.iter().copied().take(MOST_ELEMENTS).collect();
        let Some(first) = elements.first() else { continue };
        let meter = slug(id);
        let expire_after_s = period.seconds().saturating_mul(PERIODS);
        let components: Map<_, _> = elements
            .iter()
            .map(|one| {
                (
                    key(&one.last.element),
                    sensor(language, &meter, one, expire_after_s),
                )
            })
            .collect();
        let device = json!({
            "device": {"identifiers": [format!("smgw-{meter}")], "name": first.name, "serial_number": id},
            "origin": {"name": "smgw", "sw_version": env!("CARGO_PKG_VERSION")},
            "components": components,
            "state_topic": node.state(&meter),
            "availability_topic": node.availability(),
            "payload_available": ONLINE,
            "payload_not_available": OFFLINE,
            "qos": 1,
        });
        notices.push(Notice {
            topic: format!("{prefix}/device/smgw-{meter}/config"),
            text: device.to_string(),
        });
        notices.push(Notice {
            topic: node.state(&meter),
            text: values(&elements).to_string(),
        });
    }
    notices
}

/// The last values of a meter, with the times that they are of: so that a value that stays the same is new again.
fn values(elements: &[&Measured]) -> Value {
    let mut values = Map::new();
    for one in elements {
        let (value, _) = for_people(one.last.quantity);
        let value = json!({"value": value.to_string(), "time": one.last.time});
        values.insert(key(&one.last.element), value);
    }
    Value::Object(values)
}

fn sensor(language: Language, meter: &str, one: &Measured, expire_after_s: u32) -> Value {
    let key = key(&one.last.element);
    let (_, unit) = for_people(one.last.quantity);
    let state = if one.is_register() {
        "total_increasing"
    } else {
        "measurement"
    };
    let mut sensor = json!({
        "platform": "sensor",
        "unique_id": format!("smgw-{meter}-{key}"),
        "name": language.measure(one.last.element.obis),
        "state_class": state,
        "value_template": format!("{{{{ value_json['{key}'].value }}}}"),
        "expire_after": expire_after_s,
    });
    if !unit.is_empty() {
        sensor["unit_of_measurement"] = unit.into();
    }
    if let Some(class) = device_class(one.medium, unit) {
        sensor["device_class"] = class.into();
    }
    sensor
}

/// Returns the device class that permits the unit; there is none for some units, and such a sensor has none.
fn device_class(medium: Medium, unit: &str) -> Option<&'static str> {
    let class = match (unit, medium) {
        ("kWh" | "MJ", _) => "energy",
        ("m³", Medium::Gas) => "gas",
        ("m³", Medium::Water | Medium::WarmWater) => "water",
        ("m³", _) => "volume",
        ("m³/h", _) => "volume_flow_rate",
        ("W", _) => "power",
        ("VA", _) => "apparent_power",
        ("var", _) => "reactive_power",
        ("V", _) => "voltage",
        ("A", _) => "current",
        ("Hz", _) => "frequency",
        ("°C" | "K", _) => "temperature",
        ("bar", _) => "pressure",
        _ => return None,
    };
    Some(class)
}

/// Returns how an element is named among those of its meter.
fn key(element: &Element) -> String {
    slug(&element.obis.to_string())
}

/// Writes a name with nothing but what topics and identifiers of Home Assistant may have.
fn slug(text: &str) -> String {
    let characters = text.chars().map(|character| {
        if character.is_ascii_alphanumeric() || character == '-' {
            character
        } else {
            '_'
        }
    });
    characters.collect()
}

#[cfg(test)]
mod tests {
    use model::{Quantity, Reading, Status};

    use super::*;

    fn one(meter: &str, obis: &str, value: &str, unit: &str) -> Measured {
        let obis: model::Obis = obis.parse().unwrap();
        let last = Reading {
            element: Element {
                meter: meter.parse().unwrap(),
                obis,
            },
            time: "2026-11-30T12:00:00Z".parse().unwrap(),
            quantity: Quantity {
                value: value.parse().unwrap(),
                unit: unit.parse().unwrap(),
            },
            status: Status::GOOD,
        };
        Measured {
            name: "the meter".to_owned(),
            medium: Medium::of(obis),
            registered: None,
            is_stale: false,
            is_retired: false,
            error: None,
            last,
        }
    }

    #[test]
    fn each_meter_is_a_device_with_the_right_classes_and_exact_values() {
        let seen = [
            one("ELS-12345678-3C-03", "7-0:3.0.0*255", "4711.234", "m3"),
            one("ESY-10000001-01-02", "1-0:1.8.0*255", "1234567", "Wh"),
            one("ESY-10000001-01-02", "1-0:16.7.0*255", "-12.5", "W"),
        ];
        let node = Node::of(Some("fd5a::1".parse().unwrap()));
        let notices = notices(
            &node,
            "homeassistant",
            (Language::English, Span::QUARTER_HOUR),
            &seen,
        );
        let topics: Vec<_> = notices.iter().map(|notice| notice.topic.as_str()).collect();
        assert_eq!(
            topics,
            [
                "homeassistant/device/smgw-ELS-12345678-3C-03/config",
                "smgw-home/fd5a__1/ELS-12345678-3C-03/state",
                "homeassistant/device/smgw-ESY-10000001-01-02/config",
                "smgw-home/fd5a__1/ESY-10000001-01-02/state",
            ]
        );
        let json = |at: usize| serde_json::from_str::<Value>(&notices[at].text).unwrap();
        let gas = &json(0)["components"]["7-0_3_0_0_255"];
        assert_eq!(
            (
                &gas["device_class"],
                &gas["unit_of_measurement"],
                &gas["state_class"],
                &gas["expire_after"]
            ),
            (
                &"gas".into(),
                &"m³".into(),
                &"total_increasing".into(),
                &2_700.into()
            )
        );
        let electricity = json(2);
        assert_eq!(
            electricity["availability_topic"],
            "smgw-home/fd5a__1/availability"
        );
        assert_eq!(electricity["state_topic"], topics[3]);
        let energy = &electricity["components"]["1-0_1_8_0_255"];
        assert_eq!(
            energy["value_template"],
            "{{ value_json['1-0_1_8_0_255'].value }}"
        );
        let power = &electricity["components"]["1-0_16_7_0_255"];
        assert_eq!(
            (&power["device_class"], &power["state_class"]),
            (&"power".into(), &"measurement".into())
        );
        assert_eq!(json(3)["1-0_1_8_0_255"]["value"], "1234.567");
        assert_eq!(json(3)["1-0_16_7_0_255"]["value"], "-12.5");
    }

    #[test]
    fn nobody_smuggles_a_topic_or_a_template_in() {
        assert_eq!(slug("a/#'}}+\u{0}ä"), "a________");
    }

    #[test]
    fn meters_are_bounded() {
        let seen: Vec<_> = (0..150)
            .map(|number| one(&format!("M{number}"), "8-0:1.0.0*255", "1", "m3"))
            .collect();
        let node = Node::of(None);
        let notices = notices(
            &node,
            "homeassistant",
            (Language::German, Span::QUARTER_HOUR),
            &seen,
        );
        assert_eq!(notices.len(), 2 * MOST_METERS);
    }
}
