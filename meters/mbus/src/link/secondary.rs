//! Secondary addresses, and the wildcards of a selection.

use std::fmt;
use std::str::FromStr;

/// The secondary address of a meter, or a selection of several by wildcards.
///
/// It has 16 nibbles: 8 of the identification, 4 of the manufacturer, 2 of the version, 2 of the
/// device type, position 0 the most significant digit of the identification. A nibble `F` in a
/// selection matches every nibble, so a field that is all `F` matches every meter.
///
/// Text form: `ACW-12345678-14-07` as a meter's identity has it, with `*` for a field that matches
/// all, or the 8 digits of the identification alone. Digits may be hexadecimal.
///
/// Spec: EN 13757-7:2018 (secondary addressing); EN 13757-3:2013, section 11.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecondaryAddress(u64);

/// Bits of one nibble.
const NIBBLE: u32 = 4;
/// The first shift: position 0 is the most significant nibble.
const TOP: u32 = 60;
/// The nibble that matches every other in a selection.
const WILDCARD: u8 = 0xF;

impl SecondaryAddress {
    /// The number of nibbles.
    pub const POSITIONS: usize = 16;
    /// The number of nibbles of the identification, which come first.
    pub const DIGITS: usize = 8;
    /// The length on the wire, in bytes.
    pub const LENGTH: usize = 8;
    /// The selection that matches every meter.
    pub const ALL: Self = Self(u64::MAX);

    /// Puts an address together; the identification has one digit in each nibble.
    #[must_use]
    pub const fn new(identification: u32, manufacturer: u16, version: u8, device_type: u8) -> Self {
        let [i0, i1, i2, i3] = identification.to_be_bytes();
        let [m0, m1] = manufacturer.to_be_bytes();
        Self(u64::from_be_bytes([i0, i1, i2, i3, m0, m1, version, device_type]))
    }

    /// Takes the bytes of a header or a selection, least significant byte of each field first.
    #[must_use]
    pub const fn from_le_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        let [i0, i1, i2, i3, m0, m1, version, device_type] = bytes;
        Self(u64::from_be_bytes([i3, i2, i1, i0, m1, m0, version, device_type]))
    }

    /// Takes the bytes of a header or a selection, most significant byte of each field first.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Returns the bytes as they are sent with CI 52, least significant byte of each field first.
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; Self::LENGTH] {
        let [i3, i2, i1, i0, m1, m0, version, device_type] = self.0.to_be_bytes();
        [i0, i1, i2, i3, m0, m1, version, device_type]
    }

    /// Returns the bytes as they are sent with CI 56, most significant byte of each field first.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; Self::LENGTH] {
        self.0.to_be_bytes()
    }

    /// Returns the identification, one digit in each nibble.
    #[must_use]
    pub const fn identification(self) -> u32 {
        let [i3, i2, i1, i0, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([i3, i2, i1, i0])
    }

    /// Returns the bits of the manufacturer's three letters.
    #[must_use]
    pub const fn manufacturer(self) -> u16 {
        let [.., m1, m0, _, _] = self.0.to_be_bytes();
        u16::from_be_bytes([m1, m0])
    }

    /// Returns the version.
    #[must_use]
    pub const fn version(self) -> u8 {
        let [.., version, _] = self.0.to_be_bytes();
        version
    }

    /// Returns the code of the device type.
    #[must_use]
    pub const fn device_type(self) -> u8 {
        let [.., device_type] = self.0.to_be_bytes();
        device_type
    }

    /// Returns the nibble at a position, `F` behind the last.
    #[must_use]
    pub fn nibble(self, position: usize) -> u8 {
        let nibble = shift(position).and_then(|shift| u8::try_from(self.0 >> shift & 0xF).ok());
        nibble.unwrap_or(WILDCARD)
    }

    /// Returns the address with another nibble at a position; nothing changes behind the last.
    #[must_use]
    pub fn with_nibble(self, position: usize, nibble: u8) -> Self {
        shift(position).map_or(self, |shift| {
            Self(self.0 & !(0xF << shift) | u64::from(nibble & 0xF) << shift)
        })
    }

    /// Returns whether this, as a selection, matches a meter's address.
    #[must_use]
    pub fn matches(self, meter: Self) -> bool {
        (0..Self::POSITIONS).all(|position| {
            let nibble = self.nibble(position);
            nibble == WILDCARD || nibble == meter.nibble(position)
        })
    }

    /// Returns whether the selection may match several meters.
    #[must_use]
    pub fn has_wildcards(self) -> bool {
        (0..Self::POSITIONS).any(|position| self.nibble(position) == WILDCARD)
    }
}

fn shift(position: usize) -> Option<u32> {
    let below = u32::try_from(position).ok()?.checked_mul(NIBBLE)?;
    TOP.checked_sub(below)
}

/// The three letters of a manufacturer, if the bits are three.
fn letters(bits: u16) -> Option<[char; 3]> {
    let letter = |shift: u32| match u8::try_from(bits >> shift & 0x1F) {
        Ok(code @ 1..=26) => Some(char::from(code.saturating_add(b'@'))),
        _ => None,
    };
    if bits & 0x8000 != 0 {
        return None;
    }
    Some([letter(10)?, letter(5)?, letter(0)?])
}

impl fmt::Display for SecondaryAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.manufacturer() {
            u16::MAX => formatter.write_str("*")?,
            bits => match letters(bits) {
                Some(letters) => letters
                    .iter()
                    .try_for_each(|letter| write!(formatter, "{letter}"))?,
                None => write!(formatter, "{bits:04X}")?,
            },
        }
        match self.identification() {
            u32::MAX => formatter.write_str("-*")?,
            digits => write!(formatter, "-{digits:08X}")?,
        }
        for byte in [self.version(), self.device_type()] {
            match byte {
                u8::MAX => formatter.write_str("-*")?,
                byte => write!(formatter, "-{byte:02X}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SecondaryAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecondaryAddress({self})")
    }
}

impl FromStr for SecondaryAddress {
    type Err = ParseSecondaryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let (Some(first), second) = (parts.next(), parts.next()) else {
            return Err(ParseSecondaryError::Parts);
        };
        let Some(digits) = second else {
            return Ok(Self::new(identification(first)?, u16::MAX, u8::MAX, u8::MAX));
        };
        let (Some(version), Some(device_type), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ParseSecondaryError::Parts);
        };
        Ok(Self::new(
            identification(digits)?,
            manufacturer(first)?,
            byte(version).ok_or(ParseSecondaryError::Version)?,
            byte(device_type).ok_or(ParseSecondaryError::DeviceType)?,
        ))
    }
}

/// Reads exactly so many hexadecimal digits, without a sign.
fn hexadecimal(text: &str, digits: usize) -> Option<u32> {
    let sound = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

fn identification(text: &str) -> Result<u32, ParseSecondaryError> {
    match text {
        "*" => Ok(u32::MAX),
        digits => hexadecimal(digits, SecondaryAddress::DIGITS).ok_or(ParseSecondaryError::Identification),
    }
}

fn byte(text: &str) -> Option<u8> {
    match text {
        "*" => Some(u8::MAX),
        digits => u8::try_from(hexadecimal(digits, 2)?).ok(),
    }
}

fn manufacturer(text: &str) -> Result<u16, ParseSecondaryError> {
    let fault = ParseSecondaryError::Manufacturer;
    if text == "*" {
        return Ok(u16::MAX);
    }
    let letters = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if letters {
        return Ok(text
            .bytes()
            .fold(0, |bits, letter| bits << 5 | u16::from(letter & 0x1F)));
    }
    hexadecimal(text, 4)
        .and_then(|bits| u16::try_from(bits).ok())
        .ok_or(fault)
}

/// The error for a text that is no secondary address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseSecondaryError {
    /// There are neither 8 digits nor four parts.
    #[error("a secondary address has 8 digits, or looks like ACW-12345678-14-07")]
    Parts,
    /// The identification has not 8 hexadecimal digits.
    #[error("the identification of a secondary address has 8 digits")]
    Identification,
    /// The manufacturer has neither three capital letters nor 4 hexadecimal digits.
    #[error("the manufacturer of a secondary address has 3 capital letters, or 4 hexadecimal digits")]
    Manufacturer,
    /// The version has not 2 hexadecimal digits.
    #[error("the version of a secondary address has 2 hexadecimal digits")]
    Version,
    /// The device type has not 2 hexadecimal digits.
    #[error("the device type of a secondary address has 2 hexadecimal digits")]
    DeviceType,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const METER: SecondaryAddress = SecondaryAddress::new(0x1234_5678, 0x0477, 0x14, 0x07);

    #[test]
    fn fields_stand_on_the_wire_in_either_byte_order() {
        let low = [0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x14, 0x07];
        let high = [0x12, 0x34, 0x56, 0x78, 0x04, 0x77, 0x14, 0x07];
        assert_eq!((METER.to_le_bytes(), METER.to_be_bytes()), (low, high));
        assert_eq!(SecondaryAddress::from_le_bytes(low), METER);
        assert_eq!(SecondaryAddress::from_be_bytes(high), METER);
        assert_eq!(
            (METER.identification(), METER.manufacturer()),
            (0x1234_5678, 0x0477)
        );
        assert_eq!((METER.version(), METER.device_type()), (0x14, 0x07));
    }

    #[test]
    fn texts_are_those_of_a_meters_identity() {
        assert_eq!(METER.to_string(), "ACW-12345678-14-07");
        assert_eq!(SecondaryAddress::ALL.to_string(), "*-*-*-*");
        assert_eq!("*-*-*-*".parse(), Ok(SecondaryAddress::ALL));
        let by_number: SecondaryAddress = "1234567A".parse().unwrap();
        assert_eq!(by_number.to_string(), "*-1234567A-*-*");
        assert_eq!(
            "8123-12345678-14-07"
                .parse::<SecondaryAddress>()
                .unwrap()
                .manufacturer(),
            0x8123
        );
    }

    #[test]
    fn texts_that_are_no_address_name_the_fault() {
        for (text, error) in [
            ("ACW-12345678", ParseSecondaryError::Parts),
            ("ACW-12345678-14-07-1", ParseSecondaryError::Parts),
            ("", ParseSecondaryError::Identification),
            ("+1234567", ParseSecondaryError::Identification),
            ("acw-12345678-14-07", ParseSecondaryError::Manufacturer),
            ("ACW-12345678-1-07", ParseSecondaryError::Version),
            ("ACW-12345678-14-007", ParseSecondaryError::DeviceType),
        ] {
            assert_eq!(text.parse::<SecondaryAddress>(), Err(error), "{text}");
        }
    }

    #[test]
    fn wildcards_match_nibble_by_nibble() {
        assert!(SecondaryAddress::ALL.matches(METER));
        assert!(METER.matches(METER) && !METER.has_wildcards());
        for position in 0..SecondaryAddress::POSITIONS {
            let open = METER.with_nibble(position, 0xF);
            assert!(open.matches(METER) && open.has_wildcards(), "{position}");
            let other = METER.with_nibble(position, METER.nibble(position) ^ 0x1);
            assert!(!other.matches(METER), "{position}");
            assert!(open.matches(other), "{position}");
        }
        assert_eq!(METER.nibble(16), 0xF);
        assert_eq!(METER.with_nibble(16, 0), METER);
    }

    proptest! {
        #[test]
        fn any_address_round_trips(bytes: [u8; 8]) {
            let address = SecondaryAddress::from_le_bytes(bytes);
            prop_assert_eq!(address.to_le_bytes(), bytes);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
            prop_assert_eq!(SecondaryAddress::from_be_bytes(address.to_be_bytes()), address);
        }

        #[test]
        fn any_text_is_an_address_or_refused(text: String) {
            if let Ok(address) = text.parse::<SecondaryAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
