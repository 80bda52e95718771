//! Where a number stands in the registers and how it is written there.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::Deserialize;

use super::{Limits, Place, SunSpec};
use crate::plan::Block;
use crate::sunspec::{ModelMap, PlacementError};

/// Where a number, a text or a few bits stand in the registers, and how they are written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The table.
    pub function: Function,
    /// The address of the first register, counted from the field's [`Place`].
    pub address: u16,
    /// What the address counts from.
    pub place: Place,
    /// The number of registers, or of bits in the tables of bits; 1 to 125.
    pub count: u16,
    /// How the number is written.
    pub register_type: RegisterType,
    /// Which of its registers comes first.
    pub word_order: WordOrder,
    /// Which byte of a register comes first.
    pub byte_order: ByteOrder,
    /// The bits that count, of a bitfield; all of them if there is no word of it.
    pub bits: Option<Bits>,
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
            count: self.count,
        }
    }

    /// Returns the whole numbers that the field can hold; `None` for reals and texts.
    pub(crate) fn whole_numbers(&self) -> Option<RangeInclusive<i128>> {
        let width = match self.bits {
            Some(run) => u32::from(run.count),
            None if self.function.reads_bits() => u32::from(self.count),
            None => u32::from(self.count).saturating_mul(16),
        };
        // No field is wider than 144 bits, those of nine registers with decimal digits, and these are
        // limited by their digits.
        let above = 1_i128.checked_shl(width.min(126)).unwrap_or(i128::MAX);
        match self.register_type {
            RegisterType::F32 | RegisterType::F64 | RegisterType::Ascii => None,
            RegisterType::Bcd => {
                let digits = u32::from(self.count).saturating_mul(4);
                Some(0..=10_i128.saturating_pow(digits).saturating_sub(1))
            }
            RegisterType::I16 | RegisterType::I32 | RegisterType::I64 => {
                let half = above >> 1;
                Some(half.saturating_neg()..=half.saturating_sub(1))
            }
            RegisterType::U16
            | RegisterType::U32
            | RegisterType::U48
            | RegisterType::U64
            | RegisterType::Bitfield => Some(0..=above.saturating_sub(1)),
        }
    }

    /// Moves the field to where a meter has its SunSpec models.
    pub(crate) fn place_in(&mut self, sunspec: &SunSpec, models: &ModelMap) -> Result<(), PlacementError> {
        let start = match self.place {
            Place::Wire => return Ok(()),
            Place::CommonModel => models.address_of(SunSpec::COMMON_MODEL),
            Place::MeterModel => sunspec.models.iter().find_map(|id| models.address_of(*id)),
        };
        let start = start.ok_or(PlacementError::NoModel)?;
        self.address = self
            .address
            .checked_add(start)
            .filter(|address| address.checked_add(self.count.saturating_sub(1)).is_some())
            .ok_or(PlacementError::AddressSpace { start })?;
        self.place = Place::Wire;
        Ok(())
    }
}

/// The function code that reads a table of registers or of bits; its number in files.
///
/// Spec: Modbus Application Protocol V1.1b3, sections 6.1 to 6.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "u8")]
pub enum Function {
    /// 1, Read Coils: a table of bits.
    Coils,
    /// 2, Read Discrete Inputs: a table of bits.
    DiscreteInputs,
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
            Self::Coils => 1,
            Self::DiscreteInputs => 2,
            Self::HoldingRegisters => 3,
            Self::InputRegisters => 4,
        }
    }

    /// Returns whether the table holds single bits. An image keeps each of them as a word, 0 or 1.
    #[must_use]
    pub const fn reads_bits(self) -> bool {
        match self {
            Self::Coils | Self::DiscreteInputs => true,
            Self::HoldingRegisters | Self::InputRegisters => false,
        }
    }
}

impl TryFrom<u8> for Function {
    type Error = FunctionError;

    fn try_from(code: u8) -> Result<Self, Self::Error> {
        match code {
            1 => Ok(Self::Coils),
            2 => Ok(Self::DiscreteInputs),
            3 => Ok(Self::HoldingRegisters),
            4 => Ok(Self::InputRegisters),
            code => Err(FunctionError { code }),
        }
    }
}

/// The error for a function code that reads no registers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "function code {code} reads no registers; 1 (coils), 2 (discrete inputs), 3 (holding) and 4 (input) do"
)]
pub struct FunctionError {
    /// The code that was given.
    pub code: u8,
}

/// How a number is written in registers; `u16`, `f32` and so on in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, schemars::JsonSchema)]
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
    /// Unsigned integer in three registers.
    U48,
    /// Unsigned integer in four registers.
    U64,
    /// Signed integer, two's complement, in four registers.
    I64,
    /// IEEE 754 real of single precision in two registers.
    F32,
    /// IEEE 754 real of double precision in four registers.
    F64,
    /// Unsigned decimal number, a digit in every four bits; `count` registers, at most 9.
    Bcd,
    /// Text of two ASCII characters in each of `count` registers, filled up with blanks or zeros.
    Ascii,
    /// Bits, the lowest of which is bit 0; `count` registers, at most 4, or `count` bits of a table of bits.
    Bitfield,
}

impl fmt::Display for RegisterType {
    /// Writes the type as it stands in profiles.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U48 => "u48",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bcd => "bcd",
            Self::Ascii => "ascii",
            Self::Bitfield => "bitfield",
        })
    }
}

impl RegisterType {
    /// Returns the number of registers that a number of this type occupies, if the type alone says it.
    #[must_use]
    pub const fn registers(self) -> Option<u16> {
        match self {
            Self::U16 | Self::I16 => Some(1),
            Self::U32 | Self::I32 | Self::F32 => Some(2),
            Self::U48 => Some(3),
            Self::U64 | Self::I64 | Self::F64 => Some(4),
            Self::Bcd | Self::Ascii | Self::Bitfield => None,
        }
    }

    /// Returns the greatest `count` of a type that leaves it open.
    pub(crate) const fn most_registers(self) -> u16 {
        match self {
            // 36 digits: the greatest number of them that a decimal's mantissa always holds.
            Self::Bcd => 9,
            // 64 characters, more than any serial number or type designation has.
            Self::Ascii => 32,
            // 64 bits, as many as the widest integer.
            Self::Bitfield => 4,
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U48 => 3,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }

    /// Returns whether the type is an IEEE real, whose decimal is marked as coming from one.
    #[must_use]
    pub const fn is_real(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// Returns whether a number of the type can be below zero. A text can hold a minus sign.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        match self {
            Self::I16 | Self::I32 | Self::I64 | Self::F32 | Self::F64 | Self::Ascii => true,
            Self::U16 | Self::U32 | Self::U48 | Self::U64 | Self::Bcd | Self::Bitfield => false,
        }
    }

    /// Returns whether the type can hold a serial number: whole numbers from 0 upwards, or text.
    #[must_use]
    pub const fn can_name_a_meter(self) -> bool {
        match self {
            Self::U16 | Self::U32 | Self::U48 | Self::U64 | Self::Bcd | Self::Ascii => true,
            Self::I16 | Self::I32 | Self::I64 | Self::F32 | Self::F64 | Self::Bitfield => false,
        }
    }
}

/// Which register of a number comes first.
///
/// The letters are the bytes of the number, A the most significant one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WordOrder {
    /// The most significant one (AB CD EF GH); the usual order.
    #[default]
    HighWordFirst,
    /// The least significant one (GH EF CD AB).
    LowWordFirst,
    /// The high word of the low half (EF GH AB CD), in numbers of four registers only.
    LowHalfFirst,
}

/// Which byte of a register comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ByteOrder {
    /// The most significant one, as the protocol wants it.
    #[default]
    HighByteFirst,
    /// The least significant one.
    LowByteFirst,
}

/// A run of bits in a bitfield.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bits {
    /// The lowest bit, counted from 0, the least significant one of the whole field.
    pub lowest: u8,
    /// The number of bits, 1 to 64.
    pub count: u8,
}

impl Bits {
    /// Returns the number behind the highest bit.
    #[must_use]
    pub const fn end(self) -> u16 {
        (self.lowest as u16).saturating_add(self.count as u16)
    }

    /// Returns whether both have a bit in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        (self.lowest as u16) < other.end() && (other.lowest as u16) < self.end()
    }
}

/// The contents of 1 to 125 registers as they go over the wire.
///
/// Text form: four hexadecimal digits for each register, separated by spaces, as in `4366 1999`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Words(Vec<u16>);

impl Words {
    /// Returns the registers in their order on the wire.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }
}

impl FromStr for Words {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<u16> = text
            .split_ascii_whitespace()
            .map(|word| match word.len() {
                4 if word.bytes().all(|byte| byte.is_ascii_hexdigit()) => u16::from_str_radix(word, 16).ok(),
                _ => None,
            })
            .collect::<Option<_>>()
            .ok_or(WordsError::Form)?;
        match words.len() {
            0 => Err(WordsError::Form),
            found if found > usize::from(Limits::MAX_REGISTERS_PER_REQUEST) => {
                Err(WordsError::TooMany { found })
            }
            _ => Ok(Self(words)),
        }
    }
}

impl TryFrom<String> for Words {
    type Error = WordsError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The reason why a text gives no contents of registers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A word has not four hexadecimal digits, or there is none.
    #[error("registers are written as four hexadecimal digits each, such as 4366 1999")]
    Form,
    /// There are more words than one answer can hold.
    #[error(
        "{found} registers are more than the {} of one answer",
        Limits::MAX_REGISTERS_PER_REQUEST
    )]
    TooMany {
        /// The number of words that were given.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_codes_read_back() {
        for code in 1..=4 {
            assert_eq!(Function::try_from(code).unwrap().code(), code);
        }
        assert!(Function::DiscreteInputs.reads_bits());
        assert!(!Function::InputRegisters.reads_bits());
        let error = Function::try_from(6).unwrap_err();
        assert_eq!(
            error.to_string(),
            "function code 6 reads no registers; 1 (coils), 2 (discrete inputs), 3 (holding) and 4 (input) do"
        );
    }

    #[test]
    fn runs_of_bits_overlap_where_they_share_one() {
        let bits = |lowest, count| Bits { lowest, count };
        assert!(bits(0, 4).overlaps(bits(3, 1)));
        assert!(!bits(0, 4).overlaps(bits(4, 60)));
        assert_eq!(bits(255, 255).end(), 510);
    }

    #[test]
    fn words_are_four_hexadecimal_digits_each() {
        assert_eq!("00e6 FFFF".parse::<Words>().unwrap().as_slice(), [0xE6, 0xFFFF]);
        for text in ["", "E6", "0x00E6", "+0E6", "00E6FFFF", "00G6"] {
            assert_eq!(text.parse::<Words>(), Err(WordsError::Form), "{text:?}");
        }
        assert_eq!(
            "0000 ".repeat(126).parse::<Words>(),
            Err(WordsError::TooMany { found: 126 })
        );
    }
}
