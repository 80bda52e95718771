//! The control field (C field).

use std::fmt;

/// The C field of a short or long frame.
///
/// Bit 6 tells the master's frames from the meters'. The master sets bit 4 if bit 5, the frame
/// count bit (FCB), is valid; a meter sets bit 5 to ask for a class 1 request (ACD) and bit 4 to
/// ask for a pause (DFC). Bits 0 to 3 hold the function.
///
/// Spec: EN 13757-2:2018, section 5.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Control(u8);

impl Control {
    /// Initialises the link of a meter, which forgets its frame count bit and answers `E5`.
    pub const SND_NKE: Self = Self(0x40);
    /// Carries the data that a meter was asked for; neither ACD nor DFC is set.
    pub const RSP_UD: Self = Self(0x08);

    /// Asks a meter for its data (class 2); a repeated frame count bit asks for the same again.
    #[must_use]
    pub const fn req_ud2(frame_count_bit: bool) -> Self {
        if frame_count_bit { Self(0x7B) } else { Self(0x5B) }
    }

    /// Asks a meter for its alarm (class 1); one that has none answers `E5`.
    #[must_use]
    pub const fn req_ud1(frame_count_bit: bool) -> Self {
        if frame_count_bit { Self(0x7A) } else { Self(0x5A) }
    }

    /// Sends data to a meter, which answers `E5`.
    #[must_use]
    pub const fn snd_ud(frame_count_bit: bool) -> Self {
        if frame_count_bit { Self(0x73) } else { Self(0x53) }
    }

    /// Takes the byte as it was received.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns the byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Returns whether this is a request for class 2 data, with either frame count bit.
    #[must_use]
    pub const fn is_req_ud2(self) -> bool {
        self.0 & 0xDF == 0x5B
    }

    /// Returns whether this is a request for class 1 data, with either frame count bit.
    #[must_use]
    pub const fn is_req_ud1(self) -> bool {
        self.0 & 0xDF == 0x5A
    }

    /// Returns whether this sends data to a meter, with either frame count bit.
    #[must_use]
    pub const fn is_snd_ud(self) -> bool {
        self.0 & 0xDF == 0x53
    }

    /// Returns whether this is a meter's data, whatever its ACD and DFC.
    #[must_use]
    pub const fn is_rsp_ud(self) -> bool {
        self.0 & 0xCF == 0x08
    }

    /// Returns whether this is a meter's data with ACD set: the meter has an alarm to be asked for.
    #[must_use]
    pub const fn has_class_1_data(self) -> bool {
        self.is_rsp_ud() && self.0 & 0x20 != 0
    }

    /// Returns the frame count bit, if this is a frame of the master in which it is valid.
    #[must_use]
    pub const fn frame_count_bit(self) -> Option<bool> {
        if self.0 & 0x50 == 0x50 {
            Some(self.0 & 0x20 != 0)
        } else {
            None
        }
    }

    /// Returns whether a short frame may carry this: SND_NKE, REQ_UD1 and REQ_UD2.
    pub(super) const fn fits_short(self) -> bool {
        self.0 == Self::SND_NKE.0 || self.is_req_ud1() || self.is_req_ud2()
    }

    /// Returns whether a long frame may carry this: SND_UD and RSP_UD.
    pub(super) const fn fits_long(self) -> bool {
        self.is_snd_ud() || self.is_rsp_ud()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Control({:#04x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_the_frame_count_bit() {
        assert_eq!(Control::req_ud2(true).byte(), 0x7B);
        assert_eq!(Control::req_ud2(true).frame_count_bit(), Some(true));
        assert_eq!(Control::req_ud2(false).frame_count_bit(), Some(false));
        assert_eq!(Control::snd_ud(true).frame_count_bit(), Some(true));
        assert_eq!(Control::SND_NKE.frame_count_bit(), None);
        assert_eq!(Control::RSP_UD.frame_count_bit(), None);
    }

    #[test]
    fn responses_may_ask_for_more() {
        for byte in [0x08, 0x18, 0x28, 0x38] {
            assert!(Control::from_byte(byte).is_rsp_ud());
            assert_eq!(Control::from_byte(byte).has_class_1_data(), byte & 0x20 != 0);
        }
        assert!(!Control::req_ud2(true).is_rsp_ud());
        assert!(Control::req_ud2(false).is_req_ud2());
        assert!(!Control::SND_NKE.is_req_ud2());
    }

    #[test]
    fn each_function_has_its_kind_of_frame() {
        let fitting = |fits: fn(Control) -> bool| -> Vec<u8> {
            (0..=u8::MAX)
                .filter(|byte| fits(Control::from_byte(*byte)))
                .collect()
        };
        assert_eq!(fitting(Control::fits_short), [0x40, 0x5A, 0x5B, 0x7A, 0x7B]);
        assert_eq!(fitting(Control::fits_long), [0x08, 0x18, 0x28, 0x38, 0x53, 0x73]);
    }
}
