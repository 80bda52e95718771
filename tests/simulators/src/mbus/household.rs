//! The gas, water and heat meter of a household.

use std::time::Duration;

use super::meter::{Identity, Kind, Meter};
use super::profile::Profile;
use super::slave::Slave;

/// A boiler that heats up, modulates down, and pauses; litres per hour.
const GAS_FLOW: Profile = Profile(&[
    (150, 1840),
    (210, 1260),
    (240, 780),
    (120, 0),
    (90, 1520),
    (270, 640),
    (120, 0),
]);

/// A tap, a toilet, a washing machine, and pauses; litres per hour.
const WATER_FLOW: Profile = Profile(&[
    (35, 420),
    (85, 0),
    (25, 540),
    (95, 0),
    (180, 310),
    (40, 720),
    (140, 0),
    (60, 380),
    (240, 60),
]);

/// What the radiators take; watts.
const HEAT_POWER: Profile = Profile(&[(120, 8400), (180, 6900), (240, 5200), (180, 6100), (180, 7600)]);

/// What flows through them; litres per hour.
const HEAT_FLOW: Profile = Profile(&[(120, 455), (180, 402), (240, 338), (180, 371), (180, 429)]);

/// Returns the three meters of a household: gas at primary address 1, water at 2, heat at 3.
///
/// They begin with 4711.234 m3 of gas, 182.467 m3 of water, 23456.780 kWh and 1894.305 m3 of heat.
#[must_use]
pub fn household() -> Vec<Slave> {
    household_after(Duration::ZERO)
}

/// Returns the same meters as they are that long after they began.
///
/// A simulator that is started again goes on where it was if it is given a time that has gone on.
#[must_use]
pub fn household_after(age: Duration) -> Vec<Slave> {
    [(1, GAS), (2, WATER), (3, HEAT)]
        .into_iter()
        .filter_map(|(address, meter)| Some(Slave::new(address.try_into().ok()?, meter, age)))
        .collect()
}

/// Maker ELS.
const GAS: Meter = Meter {
    identity: Identity {
        identification: 0x4061_5273,
        manufacturer: 0x1593,
        version: 0x3C,
        device_type: 0x03,
    },
    kind: Kind::Gas {
        volume: 4_711_234,
        due: 4_502_871,
        flow: GAS_FLOW,
    },
};

/// Maker SEN.
const WATER: Meter = Meter {
    identity: Identity {
        identification: 0x2083_4719,
        manufacturer: 0x4CAE,
        version: 0x1A,
        device_type: 0x16,
    },
    kind: Kind::Water {
        volume: 182_467,
        due: 171_902,
        flow: WATER_FLOW,
    },
};

/// Maker KAM.
const HEAT: Meter = Meter {
    identity: Identity {
        identification: 0x6715_0382,
        manufacturer: 0x2C2D,
        version: 0x35,
        device_type: 0x04,
    },
    kind: Kind::Heat {
        energy: 23_456_780,
        volume: 1_894_305,
        power: HEAT_POWER,
        flow: HEAT_FLOW,
    },
};
