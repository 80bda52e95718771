//! The long header: which meter sends, and how it is.

use std::fmt;

/// The long header of a telegram: the meter's secondary address and its state.
///
/// On the wire 12 bytes, least significant byte first: identification (4), manufacturer (2),
/// version, device type, access number, status, configuration field (2).
///
/// Spec: EN 13757-3:2013, section 5; EN 13757-7:2018.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The number on the meter's case, as a rule.
    pub identification: Identification,
    /// Who made it.
    pub manufacturer: Manufacturer,
    /// The maker's version (generation) of the meter.
    pub version: u8,
    /// What it measures.
    pub device_type: DeviceType,
    /// Counts the meter's telegrams, modulo 256.
    pub access_number: u8,
    /// How the meter is.
    pub status: MeterStatus,
    /// The configuration field, once named signature; 0 if nothing is encrypted.
    pub configuration: u16,
}

impl Header {
    /// The length on the wire, in bytes.
    pub const LENGTH: usize = 12;

    pub(super) const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        let [
            i0,
            i1,
            i2,
            i3,
            m0,
            m1,
            version,
            device_type,
            access_number,
            status,
            c0,
            c1,
        ] = bytes;
        Self {
            identification: Identification(u32::from_le_bytes([i0, i1, i2, i3])),
            manufacturer: Manufacturer(u16::from_le_bytes([m0, m1])),
            version,
            device_type: DeviceType(device_type),
            access_number,
            status: MeterStatus(status),
            configuration: u16::from_le_bytes([c0, c1]),
        }
    }

    /// Returns the number of the encryption mode, 0 if the records are in plain.
    ///
    /// Spec: EN 13757-7:2018 (configuration field, bits 8 to 12).
    #[must_use]
    pub const fn encryption_mode(&self) -> u8 {
        let [_, high] = self.configuration.to_le_bytes();
        high & 0x1F
    }

    /// Returns whether both headers come from the same meter.
    #[must_use]
    pub fn same_meter(&self, other: &Self) -> bool {
        self.identification == other.identification
            && self.manufacturer == other.manufacturer
            && self.version == other.version
            && self.device_type == other.device_type
    }
}

/// The meter's identification number: 8 digits, as a rule decimal ones.
///
/// Text form: 8 digits with upper-case letters, since some meters use hexadecimal ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identification(u32);

impl Identification {
    /// Takes the number with one digit in each nibble: `0x1234_5678` is 12345678.
    #[must_use]
    pub const fn from_digits(digits: u32) -> Self {
        Self(digits)
    }

    /// Returns the number with one digit in each nibble.
    #[must_use]
    pub const fn digits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Identification {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08X}", self.0)
    }
}

impl fmt::Debug for Identification {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identification({self})")
    }
}

/// The maker of a meter, after the list of the FLAG association.
///
/// Three letters of 5 bits each, the first in bits 10 to 14. Text form: the letters, or 4
/// hexadecimal digits if the bits are not three letters A to Z.
///
/// Spec: EN 13757-3:2013, section 5 (manufacturer identification); EN 62056-21.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Manufacturer(u16);

impl Manufacturer {
    /// Takes the bits as they were received.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns the three letters, if there are any.
    #[must_use]
    pub fn letters(self) -> Option<[char; 3]> {
        let [low, high] = self.0.to_le_bytes();
        if high & 0x80 != 0 {
            return None;
        }
        let letter = |code: u8| match code {
            1..=26 => Some(char::from(code.saturating_add(b'A').saturating_sub(1))),
            _ => None,
        };
        Some([
            letter(high >> 2)?,
            letter((high & 0x03) << 3 | low >> 5)?,
            letter(low & 0x1F)?,
        ])
    }
}

impl fmt::Display for Manufacturer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.letters() {
            Some([first, second, third]) => write!(formatter, "{first}{second}{third}"),
            None => write!(formatter, "{:04X}", self.0),
        }
    }
}

impl fmt::Debug for Manufacturer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Manufacturer({self})")
    }
}

/// What a meter measures, by the code in its header (once named medium).
///
/// Spec: EN 13757-3:2013, section 5 (device type); EN 13757-7:2018.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceType(u8);

impl DeviceType {
    /// Takes the code as it was received.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// Returns the code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Returns the medium; a meter of heat and cooling together counts as one of heat.
    #[must_use]
    pub const fn medium(self) -> model::Medium {
        match self.0 {
            0x02 => model::Medium::Electricity,
            0x03 => model::Medium::Gas,
            0x04 | 0x0C | 0x0D => model::Medium::Heat,
            0x06 | 0x15 => model::Medium::WarmWater,
            0x07 | 0x16 => model::Medium::Water,
            0x08 => model::Medium::HeatCostAllocator,
            0x0A | 0x0B => model::Medium::Cooling,
            _ => model::Medium::Other,
        }
    }
}

impl fmt::Debug for DeviceType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DeviceType({:#04x})", self.0)
    }
}

/// The status byte of a meter.
///
/// | bit | meaning |
/// |---|---|
/// | 0, 1 | state of the application |
/// | 2 | low power |
/// | 3 | permanent error |
/// | 4 | temporary error |
/// | 5 to 7 | the maker's own |
///
/// Spec: EN 13757-3:2013, section 5 (status byte).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MeterStatus(u8);

/// The state of a meter's application, bits 0 and 1 of its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplicationStatus {
    /// Nothing to remark.
    NoError,
    /// The application is busy.
    Busy,
    /// The application has failed.
    Error,
    /// The value is sound but unusual, or there is an alarm.
    Abnormal,
}

impl MeterStatus {
    /// Takes the byte as it was received.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns the byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the state of the application.
    #[must_use]
    pub const fn application(self) -> ApplicationStatus {
        match self.0 & 0x03 {
            0 => ApplicationStatus::NoError,
            1 => ApplicationStatus::Busy,
            2 => ApplicationStatus::Error,
            _ => ApplicationStatus::Abnormal,
        }
    }

    /// Returns what the values of the telegram are marked with.
    ///
    /// An error of the application counts as a temporary one. Busy, abnormal and the maker's own
    /// bits leave no mark: they say nothing against the values.
    #[must_use]
    pub const fn of_values(self) -> model::Status {
        let mut status = model::Status::GOOD;
        if self.0 & 0x04 != 0 {
            status = status.with(model::Status::LOW_POWER);
        }
        if self.0 & 0x08 != 0 {
            status = status.with(model::Status::PERMANENT_ERROR);
        }
        if self.0 & 0x10 != 0 || matches!(self.application(), ApplicationStatus::Error) {
            status = status.with(model::Status::TEMPORARY_ERROR);
        }
        status
    }
}

impl fmt::Debug for MeterStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MeterStatus({:#04x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_read_in_the_order_of_the_standard() {
        let header = Header::from_bytes([
            0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x14, 0x07, 0x55, 0x04, 0x00, 0x05,
        ]);
        assert_eq!(header.identification.to_string(), "12345678");
        assert_eq!(header.manufacturer.to_string(), "ACW");
        assert_eq!((header.version, header.device_type.code()), (0x14, 0x07));
        assert_eq!((header.access_number, header.status.bits()), (0x55, 0x04));
        assert_eq!(header.encryption_mode(), 5);
    }

    #[test]
    fn bits_that_are_no_letters_are_written_in_hexadecimal() {
        assert_eq!(Manufacturer::from_bits(0x4024).to_string(), "PAD");
        for bits in [0x0000, 0xFFFF, 0x8477] {
            assert_eq!(Manufacturer::from_bits(bits).letters(), None);
        }
        assert_eq!(Manufacturer::from_bits(0x8477).to_string(), "8477");
    }

    #[test]
    fn device_types_belong_to_a_medium() {
        use model::Medium;
        for (code, medium) in [
            (0x02, Medium::Electricity),
            (0x03, Medium::Gas),
            (0x04, Medium::Heat),
            (0x0C, Medium::Heat),
            (0x06, Medium::WarmWater),
            (0x07, Medium::Water),
            (0x16, Medium::Water),
            (0x08, Medium::HeatCostAllocator),
            (0x0A, Medium::Cooling),
            (0x0F, Medium::Other),
        ] {
            assert_eq!(DeviceType::from_code(code).medium(), medium, "{code:#04x}");
        }
    }

    #[test]
    fn status_bits_mark_the_values() {
        use model::Status;
        for (bits, application, status) in [
            (0x00, ApplicationStatus::NoError, Status::GOOD),
            (0x01, ApplicationStatus::Busy, Status::GOOD),
            (0x02, ApplicationStatus::Error, Status::TEMPORARY_ERROR),
            (0x03, ApplicationStatus::Abnormal, Status::GOOD),
            (0x04, ApplicationStatus::NoError, Status::LOW_POWER),
            (
                0x18,
                ApplicationStatus::NoError,
                Status::PERMANENT_ERROR.with(Status::TEMPORARY_ERROR),
            ),
            (0xE0, ApplicationStatus::NoError, Status::GOOD),
        ] {
            let found = MeterStatus::from_bits(bits);
            assert_eq!((found.application(), found.of_values()), (application, status));
        }
    }
}
