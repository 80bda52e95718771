//! What can be wrong with a profile.

use model::{MeterIdError, Obis};

use super::{Limits, Profile, Register, RegisterType};

/// The reason why a text is no profile. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The text is longer than any profile needs to be.
    #[error("the profile has {found} bytes, the limit is {}", Profile::MAX_LENGTH)]
    TooLong {
        /// The length that was given, in bytes.
        found: usize,
    },
    /// The text is not TOML, a key is unknown or missing, or a value has not the form of its key.
    #[error("line {line}: the profile does not have the documented form")]
    Form {
        /// The line of the fault; 0 if it cannot be told.
        line: usize,
        /// The key and the cause.
        source: toml::de::Error,
    },
    /// There are more registers than a meter is read for.
    #[error("the profile has {found} registers, the limit is {}", Profile::MAX_REGISTERS)]
    TooManyRegisters {
        /// The number of registers that were given.
        found: usize,
    },
    /// `registers_per_request` asks for more than a Modbus answer can hold, or for less than one number.
    #[error(
        "line {line}: registers_per_request is {found}; it must be {least} to {}",
        Limits::MAX_REGISTERS_PER_REQUEST
    )]
    RegistersPerRequest {
        /// The line of the key.
        line: usize,
        /// The number that was given.
        found: u16,
        /// The number of registers of the widest number in the profile.
        least: u16,
    },
    /// `address` and `type` of a register lead beyond the last address.
    #[error("line {line}: address {address:#06x} leaves no room for the register's type")]
    BeyondAddressSpace {
        /// The line of the register.
        line: usize,
        /// The address that was given.
        address: u16,
    },
    /// Two entries claim the same register.
    #[error("line {line}: address {address:#06x} is already part of the register on line {other_line}")]
    Overlap {
        /// The line of the later register.
        line: usize,
        /// Its address.
        address: u16,
        /// The line of the register that has it already.
        other_line: usize,
    },
    /// Two registers have the same `obis`.
    #[error("line {line}: obis {obis} already stands on line {other_line}")]
    DuplicateObis {
        /// The line of the later register.
        line: usize,
        /// The code that they share.
        obis: Obis,
        /// The line of the earlier register.
        other_line: usize,
    },
    /// `scale` is no power of ten that a meter would use.
    #[error("line {line}: scale {scale} is not within ±{}", Register::MAX_SCALE)]
    Scale {
        /// The line of the register.
        line: usize,
        /// The power of ten that was given.
        scale: i8,
    },
    /// An entry of `not_available` has not as many registers as the number itself.
    #[error("line {line}: not_available has {found} registers where the type has {expected}")]
    NotAvailableWidth {
        /// The line of the register.
        line: usize,
        /// The number of registers of the type.
        expected: u16,
        /// The number of registers of the entry.
        found: usize,
    },
    /// The serial number has a `type` that is no unsigned integer.
    #[error("line {line}: a serial number cannot have the type {found:?}")]
    SerialNumberType {
        /// The line of the serial number.
        line: usize,
        /// The type that was given.
        found: RegisterType,
    },
    /// `prefix` and `digits` of the serial number make no valid identity.
    #[error("line {line}: prefix and digits of the serial number make no meter identity")]
    Identity {
        /// The line of the serial number.
        line: usize,
        /// What is wrong with the longest identity that they make.
        source: MeterIdError,
    },
    /// An expected element of a self-test has neither a value with unit nor a gap, or both.
    #[error("line {line}: expected element {obis} needs either value and unit, or gap")]
    Expectation {
        /// The line of the element.
        line: usize,
        /// Its code.
        obis: Obis,
    },
}
