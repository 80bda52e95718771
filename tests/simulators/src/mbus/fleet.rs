//! Many meters on one bus.

use std::time::Duration;

use mbus::link::PrimaryAddress;

use super::meter::{Identity, Meter};
use super::slave::Slave;

/// How the identifications of a fleet are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// One after the other, as meters come out of one box.
    Consecutive,
    /// All over the eight digits; the same seed gives the same numbers.
    Scattered {
        /// Where the numbers begin.
        seed: u32,
    },
}

/// The identification of the first meter of a consecutive fleet.
const FIRST: u32 = 47_110_000;
/// Identifications have eight decimal digits.
const NUMBERS: u64 = 100_000_000;
/// A step that shares no factor with the number of identifications, so that it meets each of them once.
const STEP: u64 = 38_196_601;
/// Values of earlier months in each telegram, so that it has about 100 bytes.
const MONTHS: u8 = 11;
/// Maker ELS.
const MANUFACTURER: u16 = 0x1593;

/// Returns water meters at the primary addresses from 1 on, 250 at most.
#[must_use]
pub fn fleet(count: u8, numbering: Numbering) -> Vec<Slave> {
    let addresses = (1..=count).map_while(|address| PrimaryAddress::try_from(address).ok());
    addresses
        .map(|address| {
            let identity = Identity {
                identification: digits(number(numbering, address.byte())),
                manufacturer: MANUFACTURER,
                version: 0x3C,
                device_type: 0x07,
            };
            let volume = 100_000 + 1000 * u64::from(address.byte());
            Slave::new(
                address,
                Meter::with_months(identity, volume, MONTHS),
                Duration::ZERO,
            )
        })
        .collect()
}

fn number(numbering: Numbering, address: u8) -> u32 {
    match numbering {
        Numbering::Consecutive => FIRST + u32::from(address),
        Numbering::Scattered { seed } => {
            let number = (u64::from(seed) + u64::from(address) * STEP) % NUMBERS;
            u32::try_from(number).unwrap_or(FIRST)
        }
    }
}

/// Returns the number with one decimal digit in each nibble.
fn digits(mut number: u32) -> u32 {
    (0..8).fold(0, |digits, place| {
        let digit = number % 10;
        number /= 10;
        digits | digit << (4 * place)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_meter_has_a_number_of_its_own() {
        assert_eq!(digits(47_110_815), 0x4711_0815);
        for numbering in [Numbering::Consecutive, Numbering::Scattered { seed: 1 }] {
            let slaves = fleet(255, numbering);
            let numbers: BTreeSet<_> = slaves.iter().map(Slave::identity).collect();
            assert_eq!((slaves.len(), numbers.len()), (250, 250));
        }
    }
}
