//! `smgw modbus scan`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bus::modbus_discovery::{FoundUnit, ModbusDiscovery, scan};
use bus::{ModbusEndpoint, ModbusMaster};
use clap::Args;
use modbus::Profile;
use model::Medium;
use serde::Serialize;

use super::source;
use crate::cli::{CONFIGURATION, fail};
use crate::mbus::session::{End, end_progress, failure, print, show_progress, until_cancelled};
use crate::report::Chain;

/// How long an answer is waited for: on a line of one's own, and on a host that may be far away or
/// have a slow line behind it.
const WAIT_ON_LINE: Duration = Duration::from_millis(300);
const WAIT_ON_HOST: Duration = Duration::from_secs(1);
/// How many of the profiles that do not fit are shown to people.
const SHOWN_OTHERS: usize = 3;

/// Asks units and shows which meters they are.
#[derive(Debug, Args)]
#[command(
    after_help = "A meter is identified if it says itself that it is of a profile's family; \"looks like\" means that its values do.\nExit codes: 0 done, 2 wrong usage, 69 the line or host cannot be reached, 78 no such profile, 130 cancelled by Ctrl-C; what was found until then is shown.\nWith --json: schema smgw.modbus.scan/1."
)]
pub(crate) struct Options {
    /// The line or host: tcp:HOST:PORT, rtu:DEVICE:BAUD:8E1 such as rtu:/dev/ttyUSB0:9600:8E1, or rtutcp:HOST:PORT for RTU over TCP.
    #[arg(value_name = "ENDPOINT")]
    endpoint: ModbusEndpoint,
    /// The units to ask, such as 1-247 or 1,5,10-20.
    #[arg(long, default_value = "1-247", value_parser = units)]
    units: Units,
    /// Profiles in files to try beside the built-in ones.
    #[arg(long, value_name = "FILE")]
    profile: Vec<String>,
    /// How long an answer can take, in milliseconds; default 300 on a serial line, 1000 on TCP.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: Option<u64>,
    /// How often a unit is asked that does not answer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    tries: u8,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Units, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Units(Vec<u8>);

/// Takes units and ranges of them, separated by commas.
fn units(text: &str) -> Result<Units, String> {
    let error = || format!("{text:?} names no units; they are given as 1-247 or 1,5,10-20, and 255");
    let unit = |text: &str| match text.trim().parse::<u8>() {
        Ok(unit @ (1..=247 | 255)) => Ok(unit),
        _ => Err(error()),
    };
    let mut units = BTreeSet::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => {
                units.insert(unit(part)?);
            }
            Some((first, last)) => {
                let (first, last) = (unit(first)?, unit(last)?);
                if first > last {
                    return Err(error());
                }
                units.extend((first..=last).filter(|unit| !(248..=254).contains(unit)));
            }
        }
    }
    Ok(Units(units.into_iter().collect()))
}

/// What a scan has brought to light.
#[derive(Debug, Serialize)]
struct Shown {
    schema: &'static str,
    endpoint: String,
    /// Whether it came to its end, or was cancelled or failed before.
    complete: bool,
    /// How many units were asked.
    asked: usize,
    units: Vec<Unit>,
    /// The meter that the host answers with for every unit, if it does; the scan ended there.
    every_unit: Option<String>,
    /// Requests that went over the wire.
    requests: u64,
    /// Why it did not come to its end, if it did not.
    error: Option<String>,
}

/// A unit that has answered.
#[derive(Debug, Serialize)]
struct Unit {
    unit_id: u8,
    /// The best of the profiles that fit.
    profile: Option<String>,
    /// Whether the meter says itself that it is of that profile's family; otherwise its values look like it.
    identified: bool,
    /// Who the meter says it is.
    meter: Option<String>,
    medium: Option<Medium>,
    /// Every profile that fits, the best one first.
    fitting: Vec<String>,
    /// The profiles that do not fit, the closest one first.
    not_fitting: Vec<NotFitting>,
    error: Option<String>,
}

/// A profile that does not fit.
#[derive(Debug, Serialize)]
struct NotFitting {
    profile: String,
    reason: String,
}

pub(super) fn run(options: Options) -> ExitCode {
    let files = options.profile.iter().map(|file| source::load(file));
    let profiles: Result<Vec<Profile>, _> = modbus::built_in_names().map(source::load).chain(files).collect();
    let profiles: Vec<Arc<Profile>> = match profiles {
        Ok(profiles) => profiles.into_iter().map(Arc::new).collect(),
        Err(error) => return fail(CONFIGURATION, &error),
    };
    let wait = match (options.timeout_ms, &options.endpoint) {
        (Some(wait), _) => Duration::from_millis(wait),
        (None, ModbusEndpoint::Rtu { .. }) => WAIT_ON_LINE,
        (None, ModbusEndpoint::Tcp { .. } | ModbusEndpoint::RtuOverTcp { .. }) => WAIT_ON_HOST,
    };
    let mut shown = Shown::new(&options.endpoint);
    let mut master = ModbusMaster::new(options.endpoint);
    let Units(units) = options.units;
    let work = scan(&mut master, &units, &profiles, wait, options.tries, |report| {
        shown.take(report);
    });
    let end = match until_cancelled(work) {
        Ok(end) => end,
        Err(error) => return failure(&error),
    };
    end_progress();
    shown.complete = end == End::Done;
    shown.error = match &end {
        End::Done => None,
        End::Cancelled => Some("cancelled".to_owned()),
        End::Failed(error) => Some(Chain(error).to_string()),
    };
    shown.requests = master.take_counters().requests;
    match print(&shown, options.json, Shown::text) {
        Ok(()) => end.exit_code(),
        Err(error) => failure(&error),
    }
}

impl Shown {
    fn new(endpoint: &ModbusEndpoint) -> Self {
        Self {
            schema: "smgw.modbus.scan/1",
            endpoint: endpoint.to_string(),
            complete: false,
            asked: 0,
            units: Vec::new(),
            every_unit: None,
            requests: 0,
            error: None,
        }
    }

    /// Takes what the scan reports, and shows how far it has come.
    fn take(&mut self, report: ModbusDiscovery) {
        match report {
            ModbusDiscovery::Asking { unit, done, open } => {
                self.asked = done.saturating_add(1);
                let found = self.units.len();
                show_progress(&format!("unit {unit}: {done} asked, {open} to go, {found} found"));
            }
            ModbusDiscovery::Trying { unit, profile } => {
                show_progress(&format!("unit {unit} is there: is it {profile}?"));
            }
            ModbusDiscovery::Unit(found) => self.units.push(Unit::of(*found)),
            ModbusDiscovery::EveryUnit { meter, .. } => self.every_unit = Some(meter.to_string()),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for unit in &self.units {
            unit.write(&mut text);
        }
        if let Some(meter) = &self.every_unit {
            text.push_str(&format!("the host answers with {meter} for every unit\n"));
        }
        let found = self.units.len();
        text.push_str(&format!("{} units asked, {found} have answered\n", self.asked));
        text
    }
}

impl Unit {
    fn of(found: FoundUnit) -> Self {
        let best = found.fitting.first();
        let name = |profile: &Profile| profile.name().to_owned();
        Self {
            unit_id: found.unit,
            profile: best.map(|fit| name(&fit.profile)),
            identified: best.is_some_and(|fit| fit.is_proven),
            meter: best.and_then(|fit| fit.meter.as_ref()).map(ToString::to_string),
            medium: best.map(|fit| fit.profile.medium()),
            fitting: found.fitting.iter().map(|fit| name(&fit.profile)).collect(),
            not_fitting: found
                .others
                .into_iter()
                .map(|other| NotFitting {
                    reason: Chain(&other.reason).to_string(),
                    profile: other.profile,
                })
                .collect(),
            error: found.fault.map(|fault| Chain(&fault).to_string()),
        }
    }

    fn write(&self, text: &mut String) {
        let what = match &self.profile {
            None => "no profile fits".to_owned(),
            Some(profile) => {
                let relation = if self.identified { "is" } else { "looks like" };
                let meter = self.meter.as_deref().unwrap_or("no serial number");
                format!("{relation} {profile}, {meter}")
            }
        };
        text.push_str(&format!("unit {:<3} {what}\n", self.unit_id));
        if let Some(error) = &self.error {
            text.push_str(&format!("         {error}\n"));
        }
        let others = self.fitting.iter().skip(1);
        for other in others {
            text.push_str(&format!("         fits {other} too\n"));
        }
        if self.profile.is_none() {
            for NotFitting { profile, reason } in self.not_fitting.iter().take(SHOWN_OTHERS) {
                text.push_str(&format!("         not {profile}: {reason}\n"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bus::modbus_discovery::{Fit, Mismatch, NoFit};

    use super::*;

    fn profile(name: &str) -> Arc<Profile> {
        Arc::new(source::load(name).unwrap())
    }

    #[test]
    fn units_are_lists_and_ranges() {
        assert_eq!(units("1-3,7, 255").unwrap(), Units(vec![1, 2, 3, 7, 255]));
        assert_eq!(units("247-255").unwrap(), Units(vec![247, 255]));
        assert_eq!(units("1-247").unwrap().0.len(), 247);
        for text in ["", "0", "3-1", "1-", "248", "x"] {
            assert!(units(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_found_is_shown_with_what_does_not_fit() {
        let mut shown = Shown::new(&"tcp:127.0.0.1:502".parse().unwrap());
        shown.take(ModbusDiscovery::Asking {
            unit: 1,
            done: 0,
            open: 1,
        });
        shown.take(ModbusDiscovery::Unit(Box::new(FoundUnit {
            unit: 1,
            fitting: vec![
                Fit {
                    profile: profile("eastron-sdm630"),
                    is_proven: false,
                    meter: Some("EAS-12345678".parse().unwrap()),
                },
                Fit {
                    profile: profile("eastron-sdm120"),
                    is_proven: false,
                    meter: None,
                },
            ],
            others: Vec::new(),
            fault: None,
        })));
        shown.take(ModbusDiscovery::Unit(Box::new(FoundUnit {
            unit: 2,
            fitting: Vec::new(),
            others: vec![NoFit {
                profile: "saia-ale3".to_owned(),
                reason: Mismatch::Hidden { shown: 1, values: 12 },
            }],
            fault: None,
        })));
        let text = shown.text();
        assert_eq!(
            text,
            "unit 1   looks like eastron-sdm630, EAS-12345678\n\
             \x20        fits eastron-sdm120 too\n\
             unit 2   no profile fits\n\
             \x20        not saia-ale3: 1 of its 12 values are shown\n\
             1 units asked, 2 have answered\n"
        );
        let document = serde_json::to_value(&shown).unwrap();
        assert_eq!(document["units"][0]["profile"], "eastron-sdm630");
        assert_eq!(document["units"][0]["identified"], false);
        assert_eq!(document["units"][1]["not_fitting"][0]["profile"], "saia-ale3");
    }
}
