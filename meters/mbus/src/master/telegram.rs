//! What the master has to know of a telegram: who sends it, and whether another one follows.

use crate::application::{Opener, Scratch, Telegram};
use crate::link::{LongFrame, SecondaryAddress};

/// Returns whether the meter announces another telegram, as far as the telegram can be opened.
pub(super) fn more_follows(frame: &LongFrame, opener: &Opener<'_>) -> bool {
    let mut scratch = Scratch::new();
    Telegram::open(frame, opener, &mut scratch).is_ok_and(|telegram| telegram.more_follows())
}

/// Returns the secondary address in the telegram's header, as far as the header names it.
///
/// The fixed data structure (CI 73 and 77) has the identification alone; the other nibbles are
/// wildcards then. Without a long header there is no address.
///
/// Spec: EN 13757-7:2018 (long header); EN 13757-3:2013, annex (fixed data structure).
pub(super) fn secondary_address(frame: &LongFrame) -> Option<SecondaryAddress> {
    let bytes = frame.data().first_chunk::<{ SecondaryAddress::LENGTH }>();
    let [i0, i1, i2, i3, ..] = *frame.data().first_chunk::<4>()?;
    let rest = u16::MAX;
    match frame.control_information() {
        0x72 => Some(SecondaryAddress::from_le_bytes(*bytes?)),
        0x76 => Some(SecondaryAddress::from_be_bytes(*bytes?)),
        0x73 => Some(SecondaryAddress::new(
            u32::from_le_bytes([i0, i1, i2, i3]),
            rest,
            u8::MAX,
            u8::MAX,
        )),
        0x77 => Some(SecondaryAddress::new(
            u32::from_be_bytes([i0, i1, i2, i3]),
            rest,
            u8::MAX,
            u8::MAX,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Control;

    fn frame(control_information: u8, data: &[u8]) -> LongFrame {
        LongFrame::new(Control::RSP_UD, 1, control_information, data.to_vec()).unwrap()
    }

    #[test]
    fn headers_name_their_meter_in_both_byte_orders() {
        let low = [0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x14, 0x07, 0x55, 0, 0, 0];
        let high = [0x12, 0x34, 0x56, 0x78, 0x04, 0x77, 0x14, 0x07, 0x55, 0, 0, 0];
        let text = |frame: &LongFrame| secondary_address(frame).map(|address| address.to_string());
        let meter = Some("ACW-12345678-14-07".to_owned());
        assert_eq!(text(&frame(0x72, &low)), meter);
        assert_eq!(text(&frame(0x76, &high)), meter);
        let number = Some("*-12345678-*-*".to_owned());
        assert_eq!(text(&frame(0x73, &low)), number);
        assert_eq!(text(&frame(0x77, &high)), number);
        assert_eq!(text(&frame(0x7A, &low)), None);
        assert_eq!(text(&frame(0x72, &low[..7])), None);
        assert_eq!(text(&frame(0x73, &low[..3])), None);
    }

    #[test]
    fn telegram_that_cannot_be_read_announces_nothing() {
        assert!(!more_follows(&frame(0x72, &[0x1F]), &Opener::default()));
    }
}
