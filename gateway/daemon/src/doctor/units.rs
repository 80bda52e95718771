//! The services of systemd, as far as it is there and says something.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::check::{Area, Check};
use crate::codes::examination as codes;

/// What exists while systemd runs the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// What is looked at: our service, that of the reader, and the data partition of a device that has one.
const UNITS: [&str; 3] = ["smgw.service", "pcscd.socket", DATA];
/// The mount of the data partition, which a system that was there before the gateway has not.
const DATA: &str = "data.mount";
/// What systemd is asked of each.
const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,UnitFileState,NRestarts";

/// Looks at each service.
pub(crate) fn units() -> Vec<Check> {
    if !Path::new(BOOTED).is_dir() {
        let why = "systemd does not run this machine";
        return vec![Check::not_checked(Area::Service, "units", why)];
    }
    UNITS.into_iter().map(|unit| judge(unit, &ask(unit))).collect()
}

/// Asks systemd, which gives up by itself after 25 seconds.
fn ask(unit: &str) -> io::Result<BTreeMap<String, String>> {
    let asked = Command::new("systemctl")
        .args(["show", PROPERTIES, "--", unit])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&asked.stdout);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    Ok(lines
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

fn judge(unit: &str, answer: &io::Result<BTreeMap<String, String>>) -> Check {
    let properties = match answer {
        Ok(properties) if !properties.is_empty() => properties,
        Ok(_) => return Check::not_checked(Area::Service, unit, "systemd says nothing"),
        Err(error) => return Check::not_checked(Area::Service, unit, format!("systemctl: {error}")),
    };
    let property = |key: &str| properties.get(key).map_or("", String::as_str);
    let is_ours = unit == UNITS[0];
    let (active, sub) = (property("ActiveState"), property("SubState"));
    let found = match property("NRestarts") {
        "" => format!("{active} ({sub})"),
        restarts => format!("{active} ({sub}), started again {restarts} times"),
    };
    if property("LoadState") != "loaded" {
        let found = format!("systemd knows it as {}", property("LoadState"));
        return if is_ours {
            Check::error(Area::Service, unit, codes::UNIT_MISSING, found)
        } else {
            Check::not_checked(Area::Service, unit, found)
        };
    }
    if unit == DATA && active != "active" {
        return Check::error(Area::Service, unit, codes::DATA_NOT_MOUNTED, found);
    }
    if active == "failed" {
        return Check::error(Area::Service, unit, codes::UNIT_FAILED, found);
    }
    if is_ours && property("UnitFileState") == "disabled" {
        return Check::warning(Area::Service, unit, codes::UNIT_OFF, found);
    }
    Check::good(Area::Service, unit, found)
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    fn answer(load: &str, active: &str, file: &str) -> io::Result<BTreeMap<String, String>> {
        let pairs = [
            ("LoadState", load),
            ("ActiveState", active),
            ("UnitFileState", file),
        ];
        Ok(pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into())
    }

    #[test]
    fn service_is_judged_by_what_systemd_says() {
        for (unit, answer, code) in [
            (UNITS[0], answer("loaded", "active", "enabled"), None),
            (UNITS[0], answer("not-found", "inactive", ""), Some("SMGW-D-0304")),
            (
                UNITS[0],
                answer("loaded", "failed", "enabled"),
                Some("SMGW-D-0305"),
            ),
            (
                UNITS[0],
                answer("loaded", "active", "disabled"),
                Some("SMGW-D-0306"),
            ),
            (
                UNITS[1],
                answer("loaded", "failed", "enabled"),
                Some("SMGW-D-0305"),
            ),
            (UNITS[1], answer("not-found", "inactive", ""), None),
            (DATA, answer("not-found", "inactive", ""), None),
            (DATA, answer("loaded", "active", "enabled"), None),
            (DATA, answer("loaded", "inactive", "enabled"), Some("SMGW-D-0307")),
        ] {
            assert_eq!(judge(unit, &answer).code.as_deref(), code, "{answer:?}");
        }
        let silent = judge(UNITS[0], &Ok(BTreeMap::new()));
        assert_eq!(silent.outcome, Outcome::NotChecked);
        let missing = Err(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(judge(UNITS[0], &missing).outcome, Outcome::NotChecked);
    }
}
