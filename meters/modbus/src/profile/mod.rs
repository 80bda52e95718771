//! Profiles: what a family of meters has in its registers.
//!
//! The file form is TOML with the keys of [`Profile`] and the types below it; the profile
//! `eastron-sdm630.toml` explains every key in comments. Unknown keys are refused.

mod document;
mod error;
mod self_test;

use model::{Medium, MeterId, Obis, Unit};
use serde::Deserialize;

pub use error::ProfileError;
pub use self_test::{Expected, SelfTest, SelfTestError, TestBlock, Words, WordsError};

use crate::plan::{self, Block};

/// A family of meters: its registers, what they mean, and how they may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: String,
    manufacturer: String,
    models: Vec<String>,
    medium: Medium,
    source: Source,
    limits: Limits,
    serial_number: SerialNumber,
    registers: Vec<Register>,
    self_tests: Vec<SelfTest>,
    blocks: Vec<Block>,
}

impl Profile {
    /// The greatest length of a profile's text in bytes; the longest known register maps need a tenth.
    pub const MAX_LENGTH: usize = 256 * 1024;
    /// The greatest number of registers with a meaning; a SunSpec meter with all its models has 400.
    pub const MAX_REGISTERS: usize = 1_000;

    /// Returns the name, maker-model as in `eastron-sdm630`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the maker's name.
    #[must_use]
    pub fn manufacturer(&self) -> &str {
        &self.manufacturer
    }

    /// Returns the models that the profile was written for.
    #[must_use]
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Returns what the meter measures.
    #[must_use]
    pub const fn medium(&self) -> Medium {
        self.medium
    }

    /// Returns where the register map was taken from.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Returns how the meter may be read.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns where the serial number stands.
    #[must_use]
    pub const fn serial_number(&self) -> &SerialNumber {
        &self.serial_number
    }

    /// Returns the registers with a measured value, in the order of the file.
    #[must_use]
    pub fn registers(&self) -> &[Register] {
        &self.registers
    }

    /// Returns the test vectors, in the order of the file.
    #[must_use]
    pub fn self_tests(&self) -> &[SelfTest] {
        &self.self_tests
    }

    /// Returns the requests that read everything: the fewest that the limits allow.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    fn planned(mut self) -> Self {
        let values = self.registers.iter().map(|register| register.field.block());
        let serial_number = self.serial_number.field.block();
        self.blocks = plan::plan(values.chain([serial_number]), self.limits);
        self
    }
}

/// Where a register map was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The document's title.
    pub document: String,
    /// Its edition, as it stands on the document.
    pub edition: String,
    /// What could not be checked against the maker's document, one sentence each.
    #[serde(default)]
    pub unchecked: Vec<String>,
}

/// How a meter may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The greatest number of registers in one request, 1 to 125.
    pub registers_per_request: u16,
    /// The greatest number of registers without a meaning that a request may read across.
    pub largest_gap: u16,
}

impl Limits {
    /// The greatest number of registers that one answer can hold.
    ///
    /// Spec: Modbus Application Protocol V1.1b3, sections 6.3 and 6.4.
    pub const MAX_REGISTERS_PER_REQUEST: u16 = 125;
}

/// A measured value in the meter's registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// What the value measures.
    pub obis: Obis,
    /// Where the number stands and how it is written.
    pub field: Field,
    /// The power of ten that turns the register's number into the unit: 3 for kWh to Wh.
    pub scale: i8,
    /// The unit, after scaling.
    pub unit: Unit,
}

impl Register {
    /// The greatest absolute power of ten, so that a real with few digits is still a decimal.
    pub const MAX_SCALE: i8 = 18;
}

/// The register with the serial number, and how the meter's identity is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialNumber {
    /// Where the number stands and how it is written; its type is an unsigned integer.
    pub field: Field,
    /// The maker's letters, the first part of the identity.
    pub prefix: String,
    /// The number of digits that the serial number is filled up to with zeros.
    pub digits: u8,
}

impl SerialNumber {
    /// Returns the identity, such as `EAS-00012345`.
    pub(crate) fn identity(&self, number: i128) -> Result<MeterId, model::MeterIdError> {
        let width = usize::from(self.digits);
        format!("{}-{number:0width$}", self.prefix).try_into()
    }
}

/// Where a number stands in the registers and how it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The table.
    pub function: Function,
    /// The address of the first register as it goes over the wire, counted from 0.
    pub address: u16,
    /// How the number is written.
    pub register_type: RegisterType,
    /// Which of its registers comes first.
    pub word_order: WordOrder,
    /// Contents that stand for "no value", as they go over the wire. A NaN needs no entry.
    pub not_available: Vec<Words>,
}

impl Field {
    /// Returns the registers that the number occupies.
    #[must_use]
    pub const fn block(&self) -> Block {
        Block {
            function: self.function,
            address: self.address,
            count: self.register_type.registers(),
        }
    }
}

/// The function code that reads a table of registers; its number in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "u8")]
pub enum Function {
    /// 3, Read Holding Registers.
    HoldingRegisters,
    /// 4, Read Input Registers.
    InputRegisters,
}

impl Function {
    /// Returns the code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::HoldingRegisters => 3,
            Self::InputRegisters => 4,
        }
    }
}

impl TryFrom<u8> for Function {
    type Error = FunctionError;

    fn try_from(code: u8) -> Result<Self, Self::Error> {
        match code {
            3 => Ok(Self::HoldingRegisters),
            4 => Ok(Self::InputRegisters),
            code => Err(FunctionError { code }),
        }
    }
}

/// The error for a function code that reads no registers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("function code {code} reads no registers; 3 (holding) and 4 (input) do")]
pub struct FunctionError {
    /// The code that was given.
    pub code: u8,
}

/// How a number is written in registers; `u16`, `f32` and so on in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisterType {
    /// Unsigned integer in one register.
    U16,
    /// Signed integer, two's complement, in one register.
    I16,
    /// Unsigned integer in two registers.
    U32,
    /// Signed integer, two's complement, in two registers.
    I32,
    /// Unsigned integer in four registers.
    U64,
    /// Signed integer, two's complement, in four registers.
    I64,
    /// IEEE 754 real of single precision in two registers.
    F32,
}

impl RegisterType {
    /// Returns the number of registers that a number of this type occupies.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 => 4,
        }
    }

    /// Returns whether the type counts from 0 upwards in whole numbers.
    #[must_use]
    pub const fn is_unsigned_integer(self) -> bool {
        match self {
            Self::U16 | Self::U32 | Self::U64 => true,
            Self::I16 | Self::I32 | Self::I64 | Self::F32 => false,
        }
    }
}

/// Which register of a number comes first; within a register the high byte always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WordOrder {
    /// The most significant one (ABCD); the usual order.
    #[default]
    HighWordFirst,
    /// The least significant one (CDAB).
    LowWordFirst,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_codes_read_back() {
        for function in [Function::HoldingRegisters, Function::InputRegisters] {
            assert_eq!(Function::try_from(function.code()), Ok(function));
        }
        let error = Function::try_from(6).unwrap_err();
        assert_eq!(
            error.to_string(),
            "function code 6 reads no registers; 3 (holding) and 4 (input) do"
        );
    }

    #[test]
    fn identity_is_filled_up_with_zeros() {
        let serial_number = SerialNumber {
            field: Field {
                function: Function::HoldingRegisters,
                address: 0,
                register_type: RegisterType::U32,
                word_order: WordOrder::HighWordFirst,
                not_available: Vec::new(),
            },
            prefix: "EAS".to_owned(),
            digits: 8,
        };
        assert_eq!(serial_number.identity(12_345).unwrap().as_str(), "EAS-00012345");
        assert_eq!(
            serial_number.identity(123_456_789).unwrap().as_str(),
            "EAS-123456789"
        );
    }
}
