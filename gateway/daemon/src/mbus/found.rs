//! What is shown of a meter that was found or read.

use bus::PollError;
use bus::discovery::Discovery;
use mbus::application::Key;
use mbus::link::{LongFrame, SecondaryAddress};
use mbus::master::{MeterAddress, Station};
use mbus::readout::{Readout, ReadoutError};
use model::Medium;
use serde::Serialize;

use super::session::show_progress;
use crate::report::Chain;

/// What a scan, a search or a read has brought to light.
#[derive(Serialize)]
pub(super) struct Result {
    schema: &'static str,
    bus: String,
    /// Whether it came to its end, or was cancelled or failed before.
    pub(super) complete: bool,
    meters: Vec<Meter>,
    /// Addresses at which several meters answer, or one is never understood.
    shared: Vec<String>,
    /// Meters that were asked for and are not there, or do not answer well.
    missing: Vec<Missing>,
    /// What opens the telegrams of meters that encrypt them.
    #[serde(skip)]
    key: Option<Key>,
}

/// A meter.
#[derive(Debug, Serialize)]
struct Meter {
    /// The address by which it was asked.
    address: String,
    /// Its primary address, as its answer names it.
    primary: Option<u8>,
    /// Its secondary address, if its telegrams name one.
    secondary: Option<String>,
    /// The 8 digits of its identification.
    id: Option<String>,
    manufacturer: Option<String>,
    version: Option<u8>,
    /// The code of its device type.
    device_type: Option<u8>,
    medium: Option<Medium>,
    readings: Vec<Reading>,
    /// Why its telegrams give no readings, if they do not.
    error: Option<String>,
    /// Its telegrams as they came, in hexadecimal digits.
    telegrams: Vec<String>,
}

/// A value, or the reason why there is none.
#[derive(Debug, Serialize)]
struct Reading {
    obis: String,
    value: Option<String>,
    unit: Option<String>,
    gap: Option<String>,
}

/// A meter that gave nothing.
#[derive(Debug, Serialize)]
struct Missing {
    address: String,
    error: String,
}

impl Result {
    pub(super) const fn new(schema: &'static str, bus: String, key: Option<Key>) -> Self {
        Self {
            schema,
            bus,
            complete: false,
            meters: Vec::new(),
            shared: Vec::new(),
            missing: Vec::new(),
            key,
        }
    }

    /// Takes what a search reports, and shows how far it has come.
    pub(super) fn take(&mut self, report: Discovery) {
        match report {
            Discovery::Asking { address, done, open } => {
                let found = self.meters.len();
                show_progress(&format!(
                    "{address}: {done} asked, {open} or more to go, {found} found"
                ));
            }
            Discovery::Meter { address, telegrams } => self.add(address, &telegrams),
            Discovery::Shared(address) => self.shared.push(address.to_string()),
            Discovery::Missing { address, error } => self.miss(address.into(), &error),
        }
    }

    pub(super) fn add(&mut self, address: MeterAddress, telegrams: &[LongFrame]) {
        let readout = self.station(address).readout(telegrams);
        self.meters.push(Meter::of(address, telegrams, readout));
    }

    /// Returns the station of a meter, with what opens its telegrams.
    pub(super) fn station(&self, address: MeterAddress) -> Station {
        let station = Station::new(address);
        match &self.key {
            None => station,
            Some(key) => station.with_key(key.clone()),
        }
    }

    pub(super) fn miss(&mut self, address: MeterAddress, error: &PollError) {
        self.missing.push(Missing {
            address: address.to_string(),
            error: Chain(error).to_string(),
        });
    }

    /// Returns whether everybody who was asked for gave an answer that can be read.
    pub(super) fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.meters.iter().all(|meter| meter.error.is_none())
    }

    /// Says it in words.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for meter in &self.meters {
            meter.write(&mut text);
        }
        for address in &self.shared {
            text.push_str(address);
            text.push_str("  several meters, or one that is never understood\n");
        }
        for Missing { address, error } in &self.missing {
            text.push_str(address);
            text.push_str("  ");
            text.push_str(error);
            text.push('\n');
        }
        text
    }
}

impl Meter {
    fn of(
        address: MeterAddress,
        telegrams: &[LongFrame],
        readout: std::result::Result<Readout, ReadoutError>,
    ) -> Self {
        let identity = match (&readout, address) {
            (Ok(readout), _) => readout.meter.as_str().parse::<SecondaryAddress>().ok(),
            (Err(_), MeterAddress::Secondary(address)) => Some(address),
            (Err(_), MeterAddress::Single | MeterAddress::Primary(_)) => None,
        };
        let text = identity.map(|identity| identity.to_string());
        let part = |place: usize| text.as_ref()?.split('-').nth(place).map(str::to_owned);
        let (medium, readings, error) = match readout {
            Ok(readout) => (
                Some(readout.medium),
                readout.samples.iter().map(Reading::of).collect(),
                None,
            ),
            Err(error) => (None, Vec::new(), Some(Chain(&error).to_string())),
        };
        Self {
            address: address.to_string(),
            primary: telegrams.first().map(LongFrame::address),
            manufacturer: part(0),
            id: part(1),
            version: identity.map(SecondaryAddress::version),
            device_type: identity.map(SecondaryAddress::device_type),
            secondary: text,
            medium,
            readings,
            error,
            telegrams: telegrams
                .iter()
                .map(|frame| hex::encode(frame.encode()))
                .collect(),
        }
    }

    fn write(&self, text: &mut String) {
        let medium = self.medium.map(|medium| medium.to_string());
        text.push_str(&format!(
            "{:<20} primary {:<4} {:<20} {}\n",
            self.address,
            self.primary
                .map_or_else(|| "-".to_owned(), |primary| primary.to_string()),
            self.secondary.as_deref().unwrap_or("-"),
            medium.as_deref().unwrap_or("-"),
        ));
        for reading in &self.readings {
            let value = match (&reading.value, &reading.gap) {
                (Some(value), _) => value,
                (None, Some(gap)) => gap,
                (None, None) => "-",
            };
            let unit = reading.unit.as_deref().unwrap_or("");
            text.push_str(&format!("  {:<24} {value:>18} {unit}\n", reading.obis));
        }
        if let Some(error) = &self.error {
            text.push_str(&format!("  {error}\n"));
        }
    }
}

impl Reading {
    fn of(sample: &model::Sample) -> Self {
        let quantity = sample.value.as_ref().ok();
        Self {
            obis: sample.element.obis.to_string(),
            value: quantity.map(|quantity| quantity.value.to_string()),
            unit: quantity.map(|quantity| quantity.unit.to_string()),
            gap: sample.value.as_ref().err().map(ToString::to_string),
        }
    }
}
