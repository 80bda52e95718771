//! The frames that a master sends.

use crate::link::{Control, Frame, LongFrame, PrimaryAddress, SELECTED, SecondaryAddress};

use super::timing::BaudRate;

/// CI of an application reset.
const APPLICATION_RESET: u8 = 0x50;
/// CI of data for the meter, least significant byte first.
const DATA: u8 = 0x51;
/// CI of a selection, least significant byte of each field first.
const SELECTION: u8 = 0x52;
/// CI of a selection, most significant byte of each field first.
const SELECTION_MSB: u8 = 0x56;
/// CI of the lowest speed; the others follow.
const BAUD_RATE_300: u8 = 0xB8;
/// DIF and VIF of the primary address.
const PRIMARY: [u8; 2] = [0x01, 0x7A];
/// DIF and VIF of the identification as 8 BCD digits.
const IDENTIFICATION: [u8; 2] = [0x0C, 0x79];
/// DIF and VIF of the whole secondary address as a 64-bit field.
const SECONDARY: [u8; 2] = [0x07, 0x79];

pub(super) const fn initialise(address: u8) -> Frame {
    Frame::Short {
        control: Control::SND_NKE,
        address,
    }
}

pub(super) const fn request_data(address: u8, frame_count_bit: bool) -> Frame {
    Frame::Short {
        control: Control::req_ud2(frame_count_bit),
        address,
    }
}

pub(super) const fn request_alarm(address: u8, frame_count_bit: bool) -> Frame {
    Frame::Short {
        control: Control::req_ud1(frame_count_bit),
        address,
    }
}

/// The order in which a meter takes the bytes of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteOrder {
    /// Least significant byte first (CI 52): almost every meter.
    #[default]
    LeastFirst,
    /// Most significant byte first (CI 56).
    MostFirst,
}

pub(super) fn select(meter: SecondaryAddress, order: ByteOrder) -> Frame {
    let (control_information, bytes) = match order {
        ByteOrder::LeastFirst => (SELECTION, meter.to_le_bytes()),
        ByteOrder::MostFirst => (SELECTION_MSB, meter.to_be_bytes()),
    };
    send(SELECTED, false, control_information, &bytes)
}

pub(super) fn application_reset(address: u8, frame_count_bit: bool, subcode: Option<u8>) -> Frame {
    send(address, frame_count_bit, APPLICATION_RESET, subcode.as_slice())
}

pub(super) fn set_primary(address: u8, frame_count_bit: bool, new: PrimaryAddress) -> Frame {
    let data = [&PRIMARY[..], &[new.byte()]].concat();
    send(address, frame_count_bit, DATA, &data)
}

pub(super) fn set_identification(address: u8, frame_count_bit: bool, digits: u32) -> Frame {
    let data = [&IDENTIFICATION[..], &digits.to_le_bytes()].concat();
    send(address, frame_count_bit, DATA, &data)
}

pub(super) fn set_secondary(address: u8, frame_count_bit: bool, new: SecondaryAddress) -> Frame {
    let data = [&SECONDARY[..], &new.to_le_bytes()].concat();
    send(address, frame_count_bit, DATA, &data)
}

pub(super) fn set_baud_rate(address: u8, frame_count_bit: bool, rate: BaudRate) -> Frame {
    let place = BaudRate::ALL.into_iter().position(|known| known == rate);
    let offset = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0);
    send(
        address,
        frame_count_bit,
        BAUD_RATE_300.saturating_add(offset),
        &[],
    )
}

fn send(address: u8, frame_count_bit: bool, control_information: u8, data: &[u8]) -> Frame {
    let control = Control::snd_ud(frame_count_bit);
    match LongFrame::new(control, address, control_information, data.to_vec()) {
        Some(frame) => Frame::Long(frame),
        // Not reached: all data above is shorter than a long frame can hold.
        None => initialise(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(frame: &Frame) -> String {
        hex::encode(frame.encode())
    }

    #[test]
    fn frames_look_as_in_the_standard() {
        let meter = SecondaryAddress::new(0x1234_5678, 0x0477, 0x14, 0x07);
        let eight: PrimaryAddress = 8.try_into().unwrap();
        for (frame, expected) in [
            (initialise(253), "1040fd3d16"),
            (request_alarm(1, true), "107a017b16"),
            (
                select(meter, ByteOrder::LeastFirst),
                "680b0b6853fd527856341277041407".to_owned().as_str(),
            ),
            (
                select(meter, ByteOrder::MostFirst),
                "680b0b6853fd561234567804771407",
            ),
            (application_reset(1, true, None), "680303687301"),
            (application_reset(1, true, Some(0x10)), "6804046873015010"),
            (set_primary(254, false, eight), "6806066853fe51017a08"),
            (
                set_identification(254, false, 0x1234_5678),
                "6809096853fe510c7978563412",
            ),
            (
                set_secondary(254, false, meter),
                "680d0d6853fe5107797856341277041407",
            ),
            (set_baud_rate(1, false, BaudRate::B300), "680303685301b8"),
            (set_baud_rate(1, false, BaudRate::B9600), "680303685301bd"),
            (set_baud_rate(1, false, BaudRate::B38400), "680303685301bf"),
        ] {
            assert!(hex(&frame).starts_with(expected), "{} {expected}", hex(&frame));
        }
    }
}
