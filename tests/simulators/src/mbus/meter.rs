//! What the meters of the household send.

use std::time::Duration;

use mbus::link::SecondaryAddress;

use super::profile::Profile;

/// CI of variable data with a long header, least significant byte first.
pub(super) const VARIABLE_DATA: u8 = 0x72;

/// DIF that announces another telegram.
const MORE_FOLLOWS: u8 = 0x1F;

/// The last due date of the gas and the water meter, 2025-12-31 as type G.
const DUE_DATE: [u8; 2] = [0x3F, 0x3C];

/// The secondary address of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Identification, one decimal digit in each nibble.
    pub identification: u32,
    /// Three letters of 5 bits, as on the wire.
    pub manufacturer: u16,
    /// Version of the meter.
    pub version: u8,
    /// Device type: 03 gas, 04 heat, 16 cold water.
    pub device_type: u8,
}

impl Identity {
    /// Returns it as the address of a selection.
    #[must_use]
    pub const fn secondary(self) -> SecondaryAddress {
        SecondaryAddress::new(
            self.identification,
            self.manufacturer,
            self.version,
            self.device_type,
        )
    }
}

impl From<SecondaryAddress> for Identity {
    fn from(address: SecondaryAddress) -> Self {
        Self {
            identification: address.identification(),
            manufacturer: address.manufacturer(),
            version: address.version(),
            device_type: address.device_type(),
        }
    }
}

/// A meter and how its values run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    pub(super) identity: Identity,
    pub(super) kind: Kind,
}

/// What a meter measures. Volumes in litres, flows in litres per hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Volume as 8 BCD digits, flow as 4.
    Gas { volume: u64, due: u64, flow: Profile },
    /// Volume as 32-bit integer, flow as 16-bit integer.
    Water { volume: u64, due: u64, flow: Profile },
    /// Energy in Wh and volume in the first of two telegrams, all else in the second.
    Heat {
        energy: u64,
        volume: u64,
        power: Profile,
        flow: Profile,
    },
    /// Volume as 32-bit integer, and so many values of earlier months, up to 15.
    Months { volume: u64, months: u8 },
}

impl Meter {
    /// Builds a water meter that stands still and sends its volume in litres with so many values of
    /// earlier months, up to 15; 11 make a telegram of about 100 bytes.
    #[must_use]
    pub const fn with_months(identity: Identity, volume: u64, months: u8) -> Self {
        let kind = Kind::Months { volume, months };
        Self { identity, kind }
    }

    /// Returns who the meter is.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) const fn identity_mut(&mut self) -> &mut Identity {
        &mut self.identity
    }

    /// Returns the records of each telegram at a time, in their order.
    pub(super) fn telegrams(&self, at: Duration, only_counters: bool) -> Vec<Vec<u8>> {
        match self.kind {
            Kind::Gas { volume, due, flow } => vec![gas(volume + flow.total(at), due, flow.rate(at))],
            Kind::Water { volume, due, flow } => vec![water(volume + flow.total(at), due, flow.rate(at))],
            Kind::Heat {
                energy,
                volume,
                power,
                flow,
            } => {
                let mut counters = heat_counters(energy + power.total(at), volume + flow.total(at));
                if only_counters {
                    return vec![counters];
                }
                counters.push(MORE_FOLLOWS);
                vec![counters, heat_now(power.rate(at), flow.rate(at), at)]
            }
            Kind::Months { volume, months } => vec![monthly(volume, months)],
        }
    }

    /// Returns the 12 bytes of the long header.
    pub(super) fn header(&self, access_number: u8) -> Vec<u8> {
        let mut bytes = self.identity.identification.to_le_bytes().to_vec();
        bytes.extend(self.identity.manufacturer.to_le_bytes());
        bytes.extend([self.identity.version, self.identity.device_type, access_number]);
        bytes.extend([0, 0, 0]);
        bytes
    }
}

fn gas(volume: u64, due: u64, flow: u32) -> Vec<u8> {
    let mut records = vec![0x0C, 0x13];
    records.extend(bcd(volume, 4));
    records.extend([0x0A, 0x3B]);
    records.extend(bcd(flow.into(), 2));
    records.extend([0x4C, 0x13]);
    records.extend(bcd(due, 4));
    records.extend([0x42, 0x6C]);
    records.extend(DUE_DATE);
    records
}

fn water(volume: u64, due: u64, flow: u32) -> Vec<u8> {
    let mut records = vec![0x04, 0x13];
    records.extend(integer(volume, 4));
    records.extend([0x02, 0x3B]);
    records.extend(integer(flow.into(), 2));
    records.extend([0x44, 0x13]);
    records.extend(integer(due, 4));
    records.extend([0x42, 0x6C]);
    records.extend(DUE_DATE);
    records.extend([0x02, 0xFD, 0x17, 0x00, 0x00]);
    records
}

/// The counter, and its values at the end of earlier months in every second storage.
fn monthly(volume: u64, months: u8) -> Vec<u8> {
    let mut records = vec![0x04, 0x13];
    records.extend(integer(volume, 4));
    for month in 1..=months.min(15) {
        records.extend([0x84, month, 0x13]);
        records.extend(integer(volume.saturating_sub(u64::from(month) * 1000), 4));
    }
    records
}

/// The first telegram of the heat meter.
fn heat_counters(energy: u64, volume: u64) -> Vec<u8> {
    let mut records = vec![0x04, 0x03];
    records.extend(integer(energy, 4));
    records.extend([0x04, 0x13]);
    records.extend(integer(volume, 4));
    records
}

/// The second telegram of the heat meter, which ends with bytes of the maker's own.
fn heat_now(power: u32, flow: u32, at: Duration) -> Vec<u8> {
    let flow_temperature = flow_temperature(at);
    let difference = temperature_difference(power, flow);
    let mut records = vec![0x02, 0x2B];
    records.extend(integer(power.into(), 2));
    records.extend([0x02, 0x3B]);
    records.extend(integer(flow.into(), 2));
    records.extend([0x02, 0x5A]);
    records.extend(integer(flow_temperature, 2));
    records.extend([0x02, 0x5E]);
    records.extend(integer(flow_temperature.saturating_sub(difference), 2));
    records.extend([0x02, 0x62]);
    records.extend(integer(difference, 2));
    records.extend([0x0F, 0x01, 0x42]);
    records
}

/// Swings by 1.6 degrees around 54.0 within some three minutes; in tenths of a degree.
fn flow_temperature(at: Duration) -> u64 {
    let phase = at.as_secs() % 192;
    532 + phase.min(191 - phase) / 6
}

/// What the water gives off, in tenths of a kelvin: water carries 1.163 Wh per litre and kelvin.
fn temperature_difference(power: u32, flow: u32) -> u64 {
    (u64::from(power) * 10_000)
        .checked_div(u64::from(flow) * 1163)
        .unwrap_or(0)
}

/// The low digits of a number, two in each byte, least significant byte first.
fn bcd(mut number: u64, bytes: usize) -> Vec<u8> {
    std::iter::repeat_with(|| {
        let pair = u8::try_from(number % 100).unwrap_or(0);
        number /= 100;
        ((pair / 10) << 4) | (pair % 10)
    })
    .take(bytes)
    .collect()
}

/// The low bytes of a number, least significant byte first.
fn integer(number: u64, bytes: usize) -> impl Iterator<Item = u8> {
    number.to_le_bytes().into_iter().take(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_coded_from_their_low_end() {
        assert_eq!(bcd(4_711_234, 4), [0x34, 0x12, 0x71, 0x04]);
        assert_eq!(integer(12_565, 4).collect::<Vec<_>>(), [0x15, 0x31, 0x00, 0x00]);
    }

    #[test]
    fn temperatures_fit_power_and_flow() {
        assert_eq!(temperature_difference(11_630, 500), 200);
        assert_eq!(temperature_difference(11_630, 0), 0);
        for second in 0..400 {
            let tenths = flow_temperature(Duration::from_secs(second));
            assert!((532..=548).contains(&tenths));
        }
    }
}
