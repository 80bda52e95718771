//! Where each setting comes from: a line of the file, or a default.
//!
//! What stands in the file is shown as it stands there. A key that is not in it is shown with what holds in its place.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use bus::{MbusEndpoint, Port};
use serde::Serialize;
use serde_json::{Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{CardSlot, Config};

/// The name of the schema and its version; additive within the version.
const SCHEMA: &str = "smgw.config/1";
/// How deep tables lie in each other at most: `bus`, `meter`, and a table of each to come.
const MAX_DEPTH: usize = 8;

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The key with the tables that it lies in; the first element of an array has the number 0.
    key: String,
    /// The value as TOML; none if the key is not set and nothing holds in its place.
    value: Option<String>,
    /// The line of the file, counted from 1; none for a default.
    line: Option<usize>,
}

/// The configuration as it is shown.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    file: &'a Path,
    digest: model::Fingerprint,
    settings: Vec<Setting>,
    /// Whether defaults are among them.
    effective: bool,
    /// Whether people are shown where each comes from.
    with_origin: bool,
}

impl<'a> Settings<'a> {
    /// Takes the settings of a file that has been checked, and the defaults too if what is effective is asked for.
    pub(crate) fn of(
        (file, text): (&'a Path, &str),
        config: &Config,
        (effective, with_origin): (bool, bool),
    ) -> Self {
        let mut settings = written(text);
        if effective {
            let keys: BTreeSet<_> = settings.iter().map(|setting| setting.key.clone()).collect();
            let is_written = |key: &str| keys.contains(key) || keys.iter().any(|known| is_below(known, key));
            let defaults = defaults(config).into_iter().filter(|(key, _)| !is_written(key));
            settings.extend(defaults.map(|(key, value)| Setting {
                key,
                value,
                line: None,
            }));
        }
        Self {
            file,
            digest: config.digest,
            settings,
            effective,
            with_origin,
        }
    }

    /// Leaves out what names people of the house.
    pub(crate) fn without_names(mut self) -> Self {
        self.settings
            .retain(|setting| !setting.key.starts_with("web.https.consumer"));
        self
    }

    /// Returns the document.
    pub(crate) fn to_json(&self) -> Value {
        let settings = self.settings.iter().map(|setting| {
            let origin = setting.line.map_or_else(
                || json!("default"),
                |line| json!({ "file": self.file, "line": line }),
            );
            json!({ "key": setting.key, "value": setting.value, "origin": origin })
        });
        json!({
            "schema": SCHEMA,
            "file": self.file,
            "digest": self.digest,
            "effective": self.effective,
            "settings": settings.collect::<Vec<_>>(),
        })
    }
}

impl Serialize for Settings<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Returns whether a key lies in the table of another one.
fn is_below(key: &str, table: &str) -> bool {
    key.strip_prefix(table)
        .is_some_and(|rest| rest.starts_with('.') || rest.starts_with('['))
}

/// Returns what stands in a file, in its order. One that is no TOML has nothing.
fn written(text: &str) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Ok(table) = DeTable::parse(text) {
        walk_table(text, "", table.get_ref(), (MAX_DEPTH, &mut settings));
    }
    settings.sort_by_key(|setting| setting.line);
    settings
}

fn walk_table(text: &str, prefix: &str, table: &DeTable<'_>, (depth, settings): (usize, &mut Vec<Setting>)) {
    for (key, value) in table {
        let dot = if prefix.is_empty() { "" } else { "." };
        let key = format!("{prefix}{dot}{}", key.get_ref());
        walk(text, key, value, (depth, settings));
    }
}

fn walk(
    text: &str,
    key: String,
    value: &Spanned<DeValue<'_>>,
    (depth, settings): (usize, &mut Vec<Setting>),
) {
    let Some(deeper) = depth.checked_sub(1) else {
        return;
    };
    match value.get_ref() {
        DeValue::Table(table) => walk_table(text, &key, table, (deeper, settings)),
        DeValue::Array(array)
            if !array.is_empty() && array.iter().all(|element| element.get_ref().is_table()) =>
        {
            for (number, element) in array.iter().enumerate() {
                walk(text, format!("{key}[{number}]"), element, (deeper, settings));
            }
        }
        _ => {
            let span = value.span();
            settings.push(Setting {
                key,
                value: text.get(span.clone()).map(one_line),
                line: Some(super::fault::line_at(text, span.start)),
            });
        }
    }
}

/// Puts an array that stands on several lines on one.
fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns what holds where a key is left out.
fn defaults(config: &Config) -> Vec<(String, Option<String>)> {
    let quoted = |text: &dyn fmt::Display| Some(format!("\"{text}\""));
    let number = |number: u64| Some(number.to_string());
    let logs = config.logs;
    let slot = match &config.card.slot {
        CardSlot::Reader(_) => Some("card.reader"),
        #[cfg(feature = "soft-card")]
        CardSlot::Soft(_) => None,
    };
    let heartbeat = u64::try_from(config.card.heartbeat.as_millis()).unwrap_or(u64::MAX);
    let binding = if config.card.waits_for_confirmation {
        "confirmed"
    } else {
        "automatic"
    };
    let own_key = config.data.join("device.key");
    let mut defaults = vec![
        ("registration_period", quoted(&config.registration_period)),
        ("live_period", None),
        ("store.device_key", quoted(&own_key.display())),
        ("store.otp", None),
        ("store.history", quoted(&config.history)),
        ("logs.system_bytes", number(logs.system_bytes)),
        ("logs.system_age", quoted(&logs.system_age)),
        ("logs.consumer_bytes", number(logs.consumer_bytes)),
        ("logs.consumer_age", quoted(&logs.consumer_age)),
        ("logs.calibration_bytes", number(logs.calibration_bytes)),
        ("card.heartbeat_ms", number(heartbeat)),
        ("card.binding", quoted(&binding)),
        ("web.listen", None),
        ("wan.listen", None),
    ];
    defaults.extend(slot.map(|key| (key, None)));
    if config.https.is_some() {
        defaults.push(("web.https.names", Some("[]".to_owned())));
        defaults.push(("web.https.zone", quoted(&"CET-1CEST,M3.5.0,M10.5.0/3")));
    } else {
        defaults.push(("web.https", None));
    }
    match &config.broker {
        Some(broker) => {
            let delay = format!("PT{}S", broker.start_delay.as_secs());
            defaults.push(("wan.broker.mqtt", quoted(&"5")));
            defaults.push(("wan.broker.start_delay", quoted(&delay)));
            defaults.push(("wan.broker.root", None));
        }
        None => defaults.push(("wan.broker", None)),
    }
    let owned = defaults.into_iter().map(|(key, value)| (key.to_owned(), value));
    owned.chain(of_buses(config)).collect()
}

/// Returns what holds for the lines whose speed and delay are left out.
fn of_buses(config: &Config) -> Vec<(String, Option<String>)> {
    let buses = config.buses.iter().enumerate();
    let defaults = buses.flat_map(|(number, bus)| match &bus.port {
        Port::Mbus { endpoint, .. } => {
            let latency = crate::mbus::DEFAULT_LATENCY_MS.to_string();
            let baud = match endpoint {
                MbusEndpoint::Tcp { .. } => Some(endpoint.baud_rate().bits_per_second().to_string()),
                MbusEndpoint::Serial { .. } => None,
            };
            let baud = baud.map(|baud| (format!("bus[{number}].baud"), Some(baud)));
            let latency = (format!("bus[{number}].latency_ms"), Some(latency));
            baud.into_iter().chain([latency]).collect()
        }
        Port::Modbus { .. } => Vec::new(),
    });
    defaults.collect()
}

impl fmt::Display for Settings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Setting { key, value, line } in &self.settings {
            let value = value.as_deref().unwrap_or("off");
            if !self.with_origin {
                writeln!(formatter, "{key} = {value}")?;
                continue;
            }
            let shown = format!("{key} = {value}");
            match line {
                Some(line) => writeln!(formatter, "{shown:<60} # {}:{line}", self.file.display())?,
                None => writeln!(formatter, "{shown:<60} # default")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "data = \"/var/lib/smgw\"\n\n[control]\nsocket = \"/run/smgw.sock\"\n[logs]\nsystem_bytes = 5_000_000\n\
                        [web.https]\nlisten = \"192.0.2.1:443\"\nnames = [\n  \"a\",\n  \"b\",\n]\n\
                        [[bus]]\nname = \"cellar\"\nmbus = \"tcp:h:1\"\n[[bus.meter]]\nname = \"gas\"\nprimary = 1\n";

    fn shown(effective: bool) -> String {
        let config = Config::parse(TEXT).unwrap();
        Settings::of((Path::new("x.toml"), TEXT), &config, (effective, true)).to_string()
    }

    fn has(shown: &str, key: &str, value: &str, origin: &str) -> bool {
        let setting = format!("{key} = {value} ");
        shown
            .lines()
            .any(|line| line.starts_with(&setting) && line.ends_with(&format!(" # {origin}")))
    }

    #[test]
    fn what_stands_in_the_file_has_its_line() {
        let shown = shown(false);
        for (key, value, line) in [
            ("data", "\"/var/lib/smgw\"", 1),
            ("control.socket", "\"/run/smgw.sock\"", 4),
            ("logs.system_bytes", "5_000_000", 6),
            ("web.https.names", "[ \"a\", \"b\", ]", 9),
            ("bus[0].mbus", "\"tcp:h:1\"", 15),
            ("bus[0].meter[0].primary", "1", 18),
        ] {
            assert!(
                has(&shown, key, value, &format!("x.toml:{line}")),
                "{key}\n{shown}"
            );
        }
        assert!(!shown.contains("default"), "{shown}");
    }

    #[test]
    fn what_is_left_out_has_the_default_that_holds() {
        let shown = shown(true);
        for (key, value) in [
            ("registration_period", "\"PT15M\""),
            ("card.heartbeat_ms", "250"),
            ("logs.calibration_bytes", "16777216"),
            ("wan.broker", "off"),
            ("bus[0].baud", "2400"),
            ("web.https.zone", "\"CET-1CEST,M3.5.0,M10.5.0/3\""),
        ] {
            assert!(has(&shown, key, value, "default"), "{key}\n{shown}");
        }
        assert_eq!(shown.matches("logs.system_bytes").count(), 1, "{shown}");
        assert!(!shown.contains("web.https = "), "{shown}");
    }

    #[test]
    fn every_key_of_the_sample_is_shown_and_none_twice() {
        let sample = include_str!("../../smgw.toml");
        let config = Config::parse(sample).unwrap();
        let settings = Settings::of((Path::new("smgw.toml"), sample), &config, (true, true));
        let keys: BTreeSet<_> = settings.settings.iter().map(|setting| &setting.key).collect();
        assert_eq!(keys.len(), settings.settings.len());
        let document = settings.to_json();
        assert_eq!(document["schema"], "smgw.config/1");
        let written = document["settings"].as_array().unwrap().iter();
        let with_line = written.filter(|setting| setting["origin"]["line"].is_u64());
        let in_sample = sample.lines().filter(|line| {
            let line = line.trim_start();
            !line.starts_with('#') && line.contains(" = ")
        });
        assert_eq!(with_line.count(), in_sample.count());
    }

    #[test]
    fn names_of_people_can_be_left_out() {
        let text = format!("{TEXT}[[web.https.consumer]]\nname = \"flat-1\"\nmeters = [\"M1\"]\n");
        let config = Config::parse(&text).unwrap();
        let settings = Settings::of((Path::new("x"), &text), &config, (true, false));
        assert!(settings.to_string().contains("flat-1"));
        assert!(!settings.without_names().to_string().contains("flat-1"));
    }
}
