//! The meters that were installed through the local web: what their files may say, and what becomes of it.

use std::path::{Path, PathBuf};

use model::MeterId;
use serde::Deserialize;
use store::Installed;
use toml::Spanned;

use super::document::{BusSection, Document};
use super::{ConfigError, Fault, HttpsConfig, text_of};
use crate::local::web::CONSUMER;

/// The lengths of a metering point: 33 characters (VDE-AR-N 4400), or the 11 digits of a market location.
const METERING_POINT: usize = 33;
const MARKET_LOCATION: usize = 11;

/// Where a meter measures, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// The meter.
    pub(crate) meter: MeterId,
    /// The metering point.
    pub(crate) metering_point: Option<String>,
    /// The account of the consumer who sees what it measures.
    pub(crate) consumer: Option<String>,
}

/// A file of installed meters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DropIn {
    #[serde(default)]
    bus: Vec<BusSection>,
    #[serde(default)]
    point: Vec<PointSection>,
}

/// A point as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PointSection {
    meter: MeterId,
    metering_point: Option<Spanned<String>>,
    consumer: Option<Spanned<String>>,
}

impl DropIn {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        toml::from_str(text).map_err(|error| Fault::Toml(Box::new(error)))
    }

    /// Adds the buses and meters to those that there are, and returns the points.
    pub(super) fn add_to(self, document: &mut Document) -> Result<Vec<PointSection>, Fault> {
        for bus in self.bus {
            let known = document
                .bus
                .iter_mut()
                .find(|known| known.name.get_ref() == bus.name.get_ref());
            match known {
                Some(known) => known.take(bus)?,
                None => document.bus.push(bus),
            }
        }
        Ok(self.point)
    }
}

/// Checks the points, and gives each consumer his meters. In a household of its own everything is the one consumer's.
pub(super) fn check_points(
    sections: Vec<PointSection>,
    mut https: Option<&mut HttpsConfig>,
) -> Result<Vec<Point>, Fault> {
    let mut points = Vec::with_capacity(sections.len());
    for section in sections {
        if let Some(point) = &section.metering_point
            && !is_metering_point(point.get_ref())
        {
            let at = point.span().start;
            return Err(Fault::MeteringPoint { at });
        }
        if let Some(consumer) = &section.consumer {
            give(https.as_deref_mut(), consumer, &section.meter)?;
        }
        points.push(Point {
            meter: section.meter,
            metering_point: section.metering_point.map(Spanned::into_inner),
            consumer: section.consumer.map(Spanned::into_inner),
        });
    }
    Ok(points)
}

fn give(https: Option<&mut HttpsConfig>, name: &Spanned<String>, meter: &MeterId) -> Result<(), Fault> {
    let consumers = https.map_or(&mut [][..], |https| &mut https.consumers[..]);
    if consumers.is_empty() && name.get_ref() == CONSUMER {
        return Ok(());
    }
    let consumer = consumers
        .iter_mut()
        .find(|consumer| consumer.name == *name.get_ref());
    match consumer {
        Some(consumer) => {
            consumer.meters.insert(meter.clone());
            Ok(())
        }
        None => Err(Fault::PointConsumer {
            name: name.get_ref().clone(),
            at: name.span().start,
        }),
    }
}

/// Returns whether a text is a metering point, or a market location.
pub(crate) fn is_metering_point(text: &str) -> bool {
    let is_point = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (text.len() == METERING_POINT && text.bytes().all(is_point))
        || (text.len() == MARKET_LOCATION && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads the files of the folder, in the order of their names; what is no `.toml` is none of them.
pub(super) fn read(folder: &Path) -> Result<Vec<(PathBuf, String)>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        file: folder.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    if files.len() > Installed::MOST {
        return Err(ConfigError::TooManyInstalled {
            folder: folder.to_owned(),
        });
    }
    let read = |file: PathBuf| {
        let text = text_of(&file)?;
        Ok((file, text))
    };
    files.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use crate::report::Chain;

    const OWN: &str = r#"
data = "DATA"

[control]
socket = "/run/smgw/smgw.sock"

[web.https]
listen = "127.0.0.1:0"

[[web.https.consumer]]
name = "flat-1"
meters = ["M1"]

[[bus]]
name = "cellar"
mbus = "tcp:127.0.0.1:10001"

[[bus.meter]]
name = "gas"
primary = 1
"#;
    const WATER: &str = r#"
[[bus]]
name = "cellar"
[[bus.meter]]
name = "water"
primary = 2
[[point]]
meter = "ACW-11490378-14-07"
metering_point = "DE0001234567890000000000000012345"
consumer = "flat-1"
"#;

    /// Writes everything, and reads it as the daemon does.
    fn read_with(installed: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("smgw.toml");
        let data = folder.path().join("data");
        std::fs::write(&file, OWN.replace("DATA", data.to_str().unwrap())).unwrap();
        std::fs::create_dir_all(Installed::folder(&data)).unwrap();
        for (number, text) in (1..).zip(installed) {
            std::fs::write(
                Installed::folder(&data).join(format!("meter-{number}.toml")),
                text,
            )
            .unwrap();
        }
        std::fs::write(Installed::folder(&data).join("note.txt"), "no configuration").unwrap();
        Config::read(&file).map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn installed_meter_is_read_on_its_bus_and_is_its_consumers() {
        let without = read_with(&[]).unwrap();
        let config = read_with(&[WATER]).unwrap();
        assert_ne!(config.digest, without.digest);
        assert!(
            config
                .to_string()
                .contains("M-Bus at tcp:127.0.0.1:10001: gas, water"),
            "{config}"
        );
        let [point] = config.points.as_slice() else {
            panic!("{:?}", config.points)
        };
        assert_eq!(
            point.metering_point.as_deref(),
            Some("DE0001234567890000000000000012345")
        );
        let consumers = config.https.unwrap().consumers;
        assert!(consumers[0].meters.contains(&point.meter) && consumers[0].meters.len() == 2);
    }

    #[test]
    fn bus_may_be_new_or_be_named_again_with_its_endpoint() {
        let other = WATER.replace("\"cellar\"", "\"attic\"\nmodbus = \"tcp:127.0.0.1:502\"");
        let other = other.replace("primary = 2", "unit = 1\nprofile = \"eastron-sdm630\"");
        assert_eq!(read_with(&[&other]).unwrap().buses.len(), 2);
        let again = WATER.replace("\"cellar\"", "\"cellar\"\nmbus = \"127.0.0.1:10001\"");
        assert_eq!(read_with(&[&again]).unwrap().buses.len(), 1);
    }

    #[test]
    fn file_line_and_key_of_a_fault_are_named() {
        let good = WATER
            .replace("water", "heat")
            .replace("primary = 2", "primary = 3");
        for (from, to, words) in [
            ("primary = 2", "primary = 1", "same address"),
            ("\"water\"", "\"gas\"", "used twice"),
            ("primary = 2", "primary = 251", "0 to 250"),
            ("primary = 2", "primry = 2", "unknown field `primry`"),
            (
                "\"cellar\"",
                "\"cellar\"\nmbus = \"127.0.0.1:9\"",
                "another endpoint",
            ),
            ("\"cellar\"", "\"attic\"", "either mbus or modbus"),
            ("12345\"", "1234\"", "33 capital letters"),
            ("flat-1", "flat-2", "no consumer flat-2"),
            ("[[point]]", "data = \"/\"\n[[point]]", "unknown field `data`"),
        ] {
            let bad = WATER.replace(from, to);
            let error = read_with(&[&good, &bad]).unwrap_err();
            assert!(error.contains("meter-2.toml, line "), "{error}");
            assert!(error.contains(words), "{to}: {error}");
            assert!(read_with(&[&good, WATER]).is_ok());
        }
    }

    #[test]
    fn metering_points_and_market_locations_are_told_from_other_texts() {
        for good in ["DE0001234567890000000000000012345", "51238696781"] {
            assert!(is_metering_point(good), "{good}");
        }
        for bad in [
            "",
            "5123869678",
            "de0001234567890000000000000012345",
            "DE000123456789000000000000001234ä",
        ] {
            assert!(!is_metering_point(bad), "{bad}");
        }
    }
}
