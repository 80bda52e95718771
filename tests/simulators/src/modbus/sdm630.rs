//! The SDM630's registers, filled with the values of the house.
//!
//! The addresses are written down here once more, apart from the product's profile: a mistake in
//! one of the two shows in the tests.

use model::Decimal;

use super::house::{House, Phase};
use super::registers::{ILLEGAL_DATA_ADDRESS, ILLEGAL_DATA_VALUE, ILLEGAL_FUNCTION};

/// Read Holding Registers.
pub(super) const READ_HOLDING_REGISTERS: u8 = 3;
/// Read Input Registers.
pub(super) const READ_INPUT_REGISTERS: u8 = 4;
/// The first register behind those with measured values; registers without a meaning read as 0.
const INPUT_REGISTERS: u16 = 0x0180;
/// The first of the two registers with the serial number.
const SERIAL_NUMBER: u16 = 0xFC00;
/// The greatest number of registers that the meter takes in one request.
const REGISTERS_PER_REQUEST: u16 = 80;
/// Watt-seconds in a watt-hour.
const WATT_SECONDS: u64 = 3600;

/// Reads `count` registers from `address` on, or gives the exception code of the refusal.
pub(super) fn read(
    house: &House,
    serial_number: u32,
    function: u8,
    address: u16,
    count: u16,
) -> Result<Vec<u16>, u8> {
    let (first, end) = match function {
        READ_INPUT_REGISTERS => (0, u32::from(INPUT_REGISTERS)),
        READ_HOLDING_REGISTERS => (SERIAL_NUMBER, u32::from(SERIAL_NUMBER) + 2),
        _ => return Err(ILLEGAL_FUNCTION),
    };
    if count == 0 || count > REGISTERS_PER_REQUEST {
        return Err(ILLEGAL_DATA_VALUE);
    }
    if address < first || u32::from(address) + u32::from(count) > end {
        return Err(ILLEGAL_DATA_ADDRESS);
    }
    let pairs = if function == READ_INPUT_REGISTERS {
        input_registers(house)
    } else {
        vec![(SERIAL_NUMBER, serial_number)]
    };
    let word = |address: u16| {
        pairs.iter().find_map(|(start, bits)| {
            let [a, b, c, d] = bits.to_be_bytes();
            match address.checked_sub(*start) {
                Some(0) => Some(u16::from_be_bytes([a, b])),
                Some(1) => Some(u16::from_be_bytes([c, d])),
                _ => None,
            }
        })
    };
    Ok((address..)
        .take(count.into())
        .map(|address| word(address).unwrap_or(0))
        .collect())
}

/// Returns address and content of every real in the input registers.
fn input_registers(house: &House) -> Vec<(u16, u32)> {
    let mut reals = Vec::with_capacity(64);
    for (index, phase) in (0u16..).zip(Phase::ALL) {
        let offset = index * 2;
        reals.push((offset, real(house.voltage(phase).into(), -1)));
        reals.push((0x0006 + offset, real(house.current(phase).into(), -3)));
        reals.push((0x000C + offset, real(house.power(phase).into(), 0)));
        reals.push((0x0012 + offset, real(house.apparent_power(phase).into(), 0)));
        reals.push((0x0018 + offset, real(house.reactive_power(phase).into(), 0)));
        reals.push((0x001E + offset, real(house.power_factor().into(), -3)));
        reals.push((0x0024 + offset, real(house.angle().into(), -2)));
        let (imported, exported) = (house.imported(phase), house.exported(phase));
        reals.push((0x015A + offset, kilowatt_hours(imported)));
        reals.push((0x0160 + offset, kilowatt_hours(exported)));
        reals.push((0x0166 + offset, kilowatt_hours(imported + exported)));
        reals.push((0x016C + offset, kilowatt_hours(House::reactive(imported))));
        reals.push((0x0172 + offset, kilowatt_hours(House::reactive(exported))));
    }
    let phases = Phase::ALL;
    let power: i64 = phases.map(|phase| house.power(phase)).iter().sum();
    let imported: u64 = phases.map(|phase| house.imported(phase)).iter().sum();
    let exported: u64 = phases.map(|phase| house.exported(phase)).iter().sum();
    let current: u64 = phases.map(|phase| house.current(phase)).iter().sum();
    let apparent: u64 = phases.map(|phase| house.apparent_power(phase)).iter().sum();
    let reactive: i64 = phases.map(|phase| house.reactive_power(phase)).iter().sum();
    reals.extend([
        (0x0030, real(current.into(), -3)),
        (0x0034, real(power.into(), 0)),
        (0x0038, real(apparent.into(), 0)),
        (0x003C, real(reactive.into(), 0)),
        (0x003E, real(house.power_factor().into(), -3)),
        (0x0046, real(house.frequency().into(), -2)),
        (0x0048, kilowatt_hours(imported)),
        (0x004A, kilowatt_hours(exported)),
        (0x004C, kilowatt_hours(House::reactive(imported))),
        (0x004E, kilowatt_hours(House::reactive(exported))),
        (0x0156, kilowatt_hours(imported + exported)),
    ]);
    reals
}

fn kilowatt_hours(watt_seconds: u64) -> u32 {
    real((watt_seconds / WATT_SECONDS).into(), -3)
}

/// Returns the bits of the real that lies nearest to the decimal.
fn real(mantissa: i128, scaler: i8) -> u32 {
    let text = Decimal::new(mantissa, scaler).map(|decimal| decimal.to_string());
    text.and_then(|text| text.parse::<f32>().ok())
        .unwrap_or(f32::NAN)
        .to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_at(function: u8, address: u16, count: u16) -> Result<Vec<u16>, u8> {
        read(&House::new(), 12_345_678, function, address, count)
    }

    #[test]
    fn serial_number_is_two_holding_registers() {
        assert_eq!(read_at(3, 0xFC00, 2), Ok(vec![0x00BC, 0x614E]));
    }

    #[test]
    fn import_is_a_real_in_kilowatt_hours() {
        // (1482.12 + 1771.56 + 1190.88) MWs = 1234.6 kWh, whose real is 0x449A5333.
        assert_eq!(read_at(4, 0x0048, 2), Ok(vec![0x449A, 0x5333]));
    }

    #[test]
    fn registers_without_a_meaning_read_as_zero() {
        assert_eq!(read_at(4, 0x002A, 2), Ok(vec![0, 0]));
    }

    #[test]
    fn refusals_carry_their_exception_code() {
        assert_eq!(read_at(6, 0, 1), Err(ILLEGAL_FUNCTION));
        for (function, address, count) in [(4, 0x017F, 2), (3, 0xFC01, 2), (3, 0, 2)] {
            assert_eq!(read_at(function, address, count), Err(ILLEGAL_DATA_ADDRESS));
        }
        assert_eq!(read_at(4, 0, 0), Err(ILLEGAL_DATA_VALUE));
        assert_eq!(read_at(4, 0, 81), Err(ILLEGAL_DATA_VALUE));
    }
}
