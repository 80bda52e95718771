//! The test vectors of a profile: registers, and the elements that they must give.

use std::collections::BTreeMap;
use std::str::FromStr;

use model::{GapReason, MeterId, Obis, Quantity};
use serde::Deserialize;

use super::{Function, Limits, Profile};
use crate::decode::DecodeError;
use crate::image::{ImageError, RegisterImage};
use crate::plan::Block;

/// A test vector: contents of registers, and what they must be decoded to.
///
/// Only the elements whose registers are given are expected, and all of them are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfTest {
    /// What the vector shows, in a few words.
    pub title: String,
    /// The registers that the meter is supposed to have answered with, the serial number's among them.
    pub registers: Vec<TestBlock>,
    /// The identity that they must give.
    pub meter: MeterId,
    /// The elements that they must give.
    pub elements: Vec<Expected>,
}

impl SelfTest {
    /// Decodes the registers with the profile and compares the outcome.
    ///
    /// # Errors
    ///
    /// [`SelfTestError`] with the first difference.
    pub fn run(&self, profile: &Profile) -> Result<(), SelfTestError> {
        let mut image = RegisterImage::new();
        for block in &self.registers {
            image.insert(block.block(), block.words.as_slice())?;
        }
        let readout = profile.decode(&image)?;
        if readout.meter != self.meter {
            return Err(SelfTestError::Meter {
                expected: self.meter.clone(),
                found: readout.meter,
            });
        }
        let found: BTreeMap<Obis, Value> = readout
            .samples
            .into_iter()
            .filter(|sample| sample.value != Err(GapReason::NoAnswer))
            .map(|sample| (sample.element.obis, sample.value))
            .collect();
        let expected: BTreeMap<Obis, Value> = self
            .elements
            .iter()
            .map(|element| (element.obis, element.value))
            .collect();
        for obis in found.keys().chain(expected.keys()) {
            let (expected, found) = (expected.get(obis).copied(), found.get(obis).copied());
            if expected.map(text) != found.map(text) {
                return Err(SelfTestError::Element {
                    obis: *obis,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

/// A value or the reason why there is none.
type Value = Result<Quantity, GapReason>;

/// Writes a value out, so that 12 × 10³ and 12000 count as the same digits.
fn text(value: Value) -> String {
    match value {
        Ok(quantity) => quantity.to_string(),
        Err(gap) => gap.to_string(),
    }
}

/// Contents of registers from an address on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestBlock {
    /// The table.
    pub function: Function,
    /// The address of the first register, counted from 0.
    pub address: u16,
    /// The contents.
    pub words: Words,
}

impl TestBlock {
    fn block(&self) -> Block {
        Block {
            function: self.function,
            address: self.address,
            // `Words` is bounded, so the number fits; a longer one would be refused by the image.
            count: u16::try_from(self.words.as_slice().len()).unwrap_or(u16::MAX),
        }
    }
}

/// An element that a test vector must give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// What is measured.
    pub obis: Obis,
    /// The value, or the reason why there is none.
    pub value: Result<Quantity, GapReason>,
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

/// The reason why a test vector failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// The vector's registers go beyond the address space.
    #[error("the test's registers are impossible")]
    Registers(#[from] ImageError),
    /// The registers could not be decoded.
    #[error("the test's registers cannot be decoded")]
    Decode(#[from] DecodeError),
    /// The registers give another identity.
    #[error("expected meter {expected}, found {found}")]
    Meter {
        /// The identity of the vector.
        expected: MeterId,
        /// The identity that was decoded.
        found: MeterId,
    },
    /// An element has another value, is missing, or was not expected.
    #[error("element {obis}: expected {expected:?}, found {found:?}")]
    Element {
        /// The element's code.
        obis: Obis,
        /// The value of the vector, if it has one.
        expected: Option<Result<Quantity, GapReason>>,
        /// The value that was decoded, if its registers are given.
        found: Option<Result<Quantity, GapReason>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdm630() -> Profile {
        Profile::parse(include_str!("../../profiles/eastron-sdm630.toml")).unwrap()
    }

    fn block(function: Function, address: u16, words: &str) -> TestBlock {
        TestBlock {
            function,
            address,
            words: words.parse().unwrap(),
        }
    }

    /// Serial number 12345678 and 230.1 V in phase 1.
    fn vector() -> SelfTest {
        SelfTest {
            title: "voltage".to_owned(),
            registers: vec![
                block(Function::HoldingRegisters, 0xFC00, "00BC 614E"),
                block(Function::InputRegisters, 0, "4366 199A"),
            ],
            meter: "EAS-12345678".parse().unwrap(),
            elements: vec![Expected {
                obis: "1-0:32.7.0*255".parse().unwrap(),
                value: Ok(Quantity {
                    value: "230.1".parse().unwrap(),
                    unit: model::Unit::Volt,
                }),
            }],
        }
    }

    #[test]
    fn a_true_vector_passes() {
        assert_eq!(vector().run(&sdm630()), Ok(()));
    }

    #[test]
    fn another_meter_fails() {
        let mut test = vector();
        test.meter = "EAS-1".parse().unwrap();
        assert_eq!(
            test.run(&sdm630()),
            Err(SelfTestError::Meter {
                expected: "EAS-1".parse().unwrap(),
                found: "EAS-12345678".parse().unwrap()
            })
        );
    }

    #[test]
    fn elements_too_many_too_few_or_different_fail() {
        let profile = sdm630();
        let expected = vector().elements.remove(0);
        let mut test = vector();
        test.elements.clear();
        assert_eq!(
            test.run(&profile),
            Err(SelfTestError::Element {
                obis: expected.obis,
                expected: None,
                found: Some(expected.value)
            })
        );
        let mut test = vector();
        test.registers.pop();
        assert_eq!(
            test.run(&profile),
            Err(SelfTestError::Element {
                obis: expected.obis,
                expected: Some(expected.value),
                found: None
            })
        );
        let mut test = vector();
        test.elements[0].value = Err(GapReason::NotAvailable);
        assert!(matches!(test.run(&profile), Err(SelfTestError::Element { .. })));
    }

    #[test]
    fn impossible_and_undecodable_registers_fail() {
        let mut test = vector();
        test.registers[1].address = u16::MAX;
        assert!(matches!(test.run(&sdm630()), Err(SelfTestError::Registers(_))));
        let mut test = vector();
        test.registers.remove(0);
        assert_eq!(
            test.run(&sdm630()),
            Err(SelfTestError::Decode(DecodeError::SerialNumberNotRead))
        );
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
