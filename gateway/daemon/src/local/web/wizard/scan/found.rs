//! A meter that a scan has found, as a page shows it and as it is kept.

use bus::modbus_discovery::FoundUnit;
use mbus::link::{LongFrame, SecondaryAddress};
use mbus::master::{MeterAddress, Station};
use model::{Medium, Obis, Quantity, Sample};
use serde::{Deserialize, Serialize};

use crate::report::Chain;

/// The most values that are kept of one meter: what a dial shows is among the first.
const MOST_READINGS: usize = 12;
/// The most telegrams that are kept of one meter.
const MOST_TELEGRAMS: usize = 3;

/// A meter that has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct FoundMeter {
    /// The primary address, or the unit.
    pub(in super::super) address: String,
    /// Who it says it is.
    pub(in super::super) id: Option<String>,
    pub(in super::super) manufacturer: Option<String>,
    pub(in super::super) number: Option<String>,
    pub(in super::super) medium: Option<Medium>,
    /// The profile that fits a Modbus meter.
    #[serde(default)]
    pub(in super::super) profile: Option<String>,
    /// Whether the meter says itself that it is of that profile's family.
    #[serde(default)]
    pub(in super::super) is_proven: bool,
    #[serde(default)]
    pub(in super::super) readings: Vec<(Obis, Quantity)>,
    /// Why it gives no values, if it does not.
    #[serde(default)]
    pub(in super::super) error: Option<String>,
    /// What it has sent, in hexadecimal digits.
    #[serde(default)]
    pub(in super::super) telegrams: Vec<String>,
}

impl FoundMeter {
    /// Takes what a meter on an M-Bus has sent.
    pub(super) fn on_mbus(address: MeterAddress, telegrams: &[LongFrame]) -> Self {
        let readout = Station::new(address).readout(telegrams);
        let identity = readout.as_ref().ok().map(|readout| readout.meter.to_string());
        let secondary = identity
            .as_deref()
            .and_then(|id| id.parse::<SecondaryAddress>().ok());
        let text = secondary.map(|secondary| secondary.to_string());
        let part = |place: usize| text.as_ref()?.split('-').nth(place).map(str::to_owned);
        let error = readout.as_ref().err().map(|error| Chain(error).to_string());
        let (medium, samples) = readout.map_or((None, Vec::new()), |readout| {
            (Some(readout.medium), readout.samples)
        });
        Self {
            address: address.to_string(),
            manufacturer: part(0),
            number: part(1),
            id: identity,
            medium,
            profile: None,
            is_proven: false,
            readings: samples.iter().filter_map(reading).take(MOST_READINGS).collect(),
            error,
            telegrams: telegrams
                .iter()
                .take(MOST_TELEGRAMS)
                .map(|frame| hex::encode(frame.encode()))
                .collect(),
        }
    }

    /// Takes what is known of a Modbus unit.
    pub(super) fn on_modbus(found: &FoundUnit) -> Self {
        let best = found.fitting.first();
        let id = best.and_then(|fit| fit.meter.as_ref()).map(ToString::to_string);
        let part = |place: usize| id.as_ref()?.splitn(2, '-').nth(place).map(str::to_owned);
        let closest = found.others.first();
        let misfit = closest.map(|other| format!("not {}: {}", other.profile, Chain(&other.reason)));
        let fault = found.fault.as_ref().map(|fault| Chain(fault).to_string());
        Self {
            address: found.unit.to_string(),
            manufacturer: best
                .map(|fit| fit.profile.manufacturer().to_owned())
                .or_else(|| part(0)),
            number: part(1),
            medium: best.map(|fit| fit.profile.medium()),
            profile: best.map(|fit| fit.profile.name().to_owned()),
            is_proven: best.is_some_and(|fit| fit.is_proven),
            readings: Vec::new(),
            error: fault.or_else(|| misfit.filter(|_| best.is_none())),
            telegrams: Vec::new(),
            id,
        }
    }
}

fn reading(sample: &Sample) -> Option<(Obis, Quantity)> {
    let quantity = sample.value.ok()?;
    Some((sample.element.obis, quantity))
}

#[cfg(test)]
mod tests {
    use mbus::link::{Frame, PrimaryAddress};

    use super::*;

    const WATER: &str = "681515680801727803491177040e160a0000000c13214305008116";

    #[test]
    fn meter_on_an_mbus_is_named_with_its_reading_and_its_frame() {
        let bytes = hex::decode(WATER).unwrap();
        let Ok(Frame::Long(frame)) = Frame::parse(&bytes) else {
            panic!("no frame")
        };
        let address = PrimaryAddress::try_from(1).unwrap();
        let found = FoundMeter::on_mbus(address.into(), &[frame.to_owned()]);
        assert_eq!(found.address, "1");
        assert_eq!(found.number.as_deref(), Some("11490378"));
        assert_eq!(found.manufacturer.as_deref(), Some("ACW"));
        assert_eq!(found.medium, Some(Medium::Water));
        assert_eq!(found.telegrams, [WATER]);
        assert_eq!(found.readings.len(), 1, "{:?}", found.readings);
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<FoundMeter>(&json).unwrap(), found);
    }

    #[test]
    fn meter_that_says_nothing_is_still_there() {
        let address = PrimaryAddress::try_from(2).unwrap();
        let found = FoundMeter::on_mbus(address.into(), &[]);
        assert!(found.error.is_some() && found.id.is_none());
    }
}
