//! The header: which meter sends, and how it is.

use crate::link;
use std::fmt;

use super::value::ByteOrder;

/// The header of a telegram: the meter's secondary address and its state.
///
/// On the wire the long one has 12 bytes, least significant byte first in the usual byte order:
/// identification (4), manufacturer (2), version, device type, access number, status,
/// configuration field (2). The short one begins with the access number.
///
/// Spec: EN 13757-3:2013, section 5; EN 13757-7:2018.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which of the fields the telegram has; the others are 0.
    pub kind: HeaderKind,
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

/// Which fields a header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderKind {
    /// All of them.
    Long,
    /// Access number, status and configuration; the sender is known by its address on the link.
    Short,
    /// Identification, device type, access number and status: the fixed data structure.
    Fixed,
    /// None: the sender is known by its address on the link.
    None,
}

impl Header {
    /// The length on the wire, in bytes.
    pub const LENGTH: usize = 12;
    /// The length of a short header on the wire, in bytes.
    pub const SHORT_LENGTH: usize = 4;

    /// The header of a telegram that has none.
    pub(super) const ABSENT: Self = Self {
        kind: HeaderKind::None,
        identification: Identification(0),
        manufacturer: Manufacturer(0),
        version: 0,
        device_type: DeviceType(0),
        access_number: 0,
        status: MeterStatus(0),
        configuration: 0,
    };

    pub(super) const fn from_bytes(bytes: [u8; Self::LENGTH], order: ByteOrder) -> Self {
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
        let (identification, manufacturer, configuration) = match order {
            ByteOrder::LeastFirst => (
                u32::from_le_bytes([i0, i1, i2, i3]),
                u16::from_le_bytes([m0, m1]),
                u16::from_le_bytes([c0, c1]),
            ),
            ByteOrder::MostFirst => (
                u32::from_be_bytes([i0, i1, i2, i3]),
                u16::from_be_bytes([m0, m1]),
                u16::from_be_bytes([c0, c1]),
            ),
        };
        Self {
            kind: HeaderKind::Long,
            identification: Identification(identification),
            manufacturer: Manufacturer(manufacturer),
            version,
            device_type: DeviceType(device_type),
            access_number,
            status: MeterStatus(status),
            configuration,
        }
    }

    /// Reads a short header; who sends is known from the link, if at all.
    pub(super) fn from_short(bytes: [u8; Self::SHORT_LENGTH], sender: Option<&SecondaryAddress>) -> Self {
        let [access_number, status, c0, c1] = bytes;
        Self {
            kind: HeaderKind::Short,
            access_number,
            status: MeterStatus(status),
            configuration: u16::from_le_bytes([c0, c1]),
            ..Self::sent_by(sender)
        }
    }

    /// The header of a telegram that has none, with its sender if that is known from the link.
    pub(super) fn sent_by(sender: Option<&SecondaryAddress>) -> Self {
        sender.map_or(Self::ABSENT, |sender| Self {
            identification: sender.identification,
            manufacturer: sender.manufacturer,
            version: sender.version,
            device_type: sender.device_type,
            ..Self::ABSENT
        })
    }

    /// Returns the number of the encryption mode, 0 if the records are in plain.
    ///
    /// Spec: EN 13757-7:2018 (configuration field, bits 8 to 12).
    #[must_use]
    pub const fn encryption_mode(&self) -> u8 {
        let [_, high] = self.configuration.to_le_bytes();
        high & 0x1F
    }

    /// Returns the sender.
    #[must_use]
    pub const fn sender(&self) -> SecondaryAddress {
        SecondaryAddress {
            identification: self.identification,
            manufacturer: self.manufacturer,
            version: self.version,
            device_type: self.device_type,
        }
    }

    /// Returns what the values of the telegram are marked with.
    ///
    /// Bits 0 and 1 of the fixed data structure describe its counters, and not the meter's state.
    #[must_use]
    pub const fn status_of_values(&self) -> model::Status {
        const COUNTERS: u8 = 0x03;
        match self.kind {
            HeaderKind::Fixed => MeterStatus(self.status.0 & !COUNTERS).of_values(),
            HeaderKind::Long | HeaderKind::Short | HeaderKind::None => self.status.of_values(),
        }
    }

    /// Returns whether both headers come from the same meter.
    #[must_use]
    pub fn same_meter(&self, other: &Self) -> bool {
        self.sender() == other.sender()
    }
}

/// What tells a meter from every other one.
///
/// Spec: EN 13757-3:2013, section 5; EN 13757-7:2018 (secondary address).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecondaryAddress {
    /// The number on the meter's case, as a rule.
    pub identification: Identification,
    /// Who made it.
    pub manufacturer: Manufacturer,
    /// The maker's version (generation) of the meter.
    pub version: u8,
    /// What it measures.
    pub device_type: DeviceType,
}

impl From<link::SecondaryAddress> for SecondaryAddress {
    fn from(address: link::SecondaryAddress) -> Self {
        Self {
            identification: Identification::from_digits(address.identification()),
            manufacturer: Manufacturer::from_bits(address.manufacturer()),
            version: address.version(),
            device_type: DeviceType::from_code(address.device_type()),
        }
    }
}

impl SecondaryAddress {
    /// The address that stands for none, where nothing says who sends.
    pub const NOBODY: Self = Header::ABSENT.sender();
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

    /// Returns the words for what the meter measures: lower case and stable.
    ///
    /// Spec: EN 13757-7:2018, table 13 (device types); EN 13757-3:2013, section 5.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self.0 {
            0x00 => "other",
            0x01 => "oil",
            0x02 => "electricity",
            0x03 => "gas",
            0x04 => "heat",
            0x05 => "steam",
            0x06 => "warm water",
            0x07 => "water",
            0x08 => "heat cost allocator",
            0x09 => "compressed air",
            0x0A => "cooling",
            0x0B => "cooling (inlet)",
            0x0C => "heat (inlet)",
            0x0D => "heat and cooling",
            0x0E => "bus or system component",
            0x0F => "unknown",
            0x10 => "irrigation water",
            0x11 => "water data logger",
            0x12 => "gas data logger",
            0x13 => "gas converter",
            0x14 => "calorific value",
            0x15 => "hot water",
            0x16 => "cold water",
            0x17 => "dual water",
            0x18 => "pressure",
            0x19 => "analogue-digital converter",
            0x1A => "smoke detector",
            0x1B => "room sensor",
            0x1C => "gas detector",
            0x1D => "carbon monoxide alarm",
            0x1E => "heat alarm",
            0x1F => "sensor",
            0x20 => "circuit breaker",
            0x21 => "valve",
            0x25 => "customer unit",
            0x28 => "waste water",
            0x29 => "garbage",
            0x2A => "carbon dioxide",
            0x30 => "service tool",
            0x31 => "communication controller",
            0x32 => "unidirectional repeater",
            0x33 => "bidirectional repeater",
            0x36 => "radio converter (system side)",
            0x37 => "radio converter (meter side)",
            0x38 => "wired adapter",
            _ => "reserved",
        }
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
        let header = Header::from_bytes(
            [
                0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x14, 0x07, 0x55, 0x04, 0x00, 0x05,
            ],
            ByteOrder::LeastFirst,
        );
        assert_eq!(header.identification.to_string(), "12345678");
        assert_eq!(header.manufacturer.to_string(), "ACW");
        assert_eq!((header.version, header.device_type.code()), (0x14, 0x07));
        assert_eq!((header.access_number, header.status.bits()), (0x55, 0x04));
        assert_eq!(header.encryption_mode(), 5);
        let turned = Header::from_bytes(
            [
                0x12, 0x34, 0x56, 0x78, 0x04, 0x77, 0x14, 0x07, 0x55, 0x04, 0x05, 0x00,
            ],
            ByteOrder::MostFirst,
        );
        assert_eq!(turned, header);
    }

    #[test]
    fn short_header_takes_its_sender_from_the_link() {
        let long = Header::from_bytes(
            [
                0x78, 0x56, 0x34, 0x12, 0x77, 0x04, 0x14, 0x07, 0x55, 0x04, 0x00, 0x05,
            ],
            ByteOrder::LeastFirst,
        );
        let short = Header::from_short([0x55, 0x04, 0x00, 0x05], Some(&long.sender()));
        assert!(short.same_meter(&long));
        assert_eq!(short.kind, HeaderKind::Short);
        assert_eq!((short.access_number, short.configuration), (0x55, 0x0500));
        let unknown = Header::from_short([0x55, 0x04, 0x00, 0x05], None);
        assert_eq!(unknown.sender(), Header::ABSENT.sender());
    }

    #[test]
    fn each_device_type_has_its_word() {
        for (code, words) in [
            (0x02, "electricity"),
            (0x04, "heat"),
            (0x06, "warm water"),
            (0x07, "water"),
            (0x08, "heat cost allocator"),
            (0x0A, "cooling"),
            (0x0D, "heat and cooling"),
            (0x16, "cold water"),
            (0x37, "radio converter (meter side)"),
            (0xFF, "reserved"),
        ] {
            assert_eq!(DeviceType::from_code(code).words(), words);
        }
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
