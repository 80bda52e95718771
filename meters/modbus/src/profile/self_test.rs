//! The test vectors of a profile: registers, and the elements that they must give.

use std::collections::BTreeMap;

use model::{GapReason, MeterId, Obis, Quantity};

use super::{Function, Profile, Words};
use crate::decode::{DecodeError, DecodedValue, ValueFault};
use crate::image::{ImageError, RegisterImage};
use crate::plan::Block;
use crate::sunspec::{self, PlacementError};

/// A test vector: contents of registers, and what they must be decoded to.
///
/// Only the elements whose registers are given are expected, and all of them are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfTest {
    /// What the vector shows, in a few words.
    pub title: String,
    /// The registers that the meter is supposed to have answered with, the serial number's among them.
    pub registers: Vec<TestBlock>,
    /// The identity that they must give, if the profile has a serial number.
    pub meter: Option<MeterId>,
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
        let image = self.image()?;
        let models = sunspec::walk_image(profile, &image);
        let profile = profile.placed(&models)?;
        let found = match profile.serial_number() {
            Some(_) => Some(profile.identity(&image)?),
            None => None,
        };
        if found != self.meter {
            return Err(SelfTestError::Meter {
                expected: self.meter.clone(),
                found,
            });
        }
        self.compare(profile.values(&image))
    }

    /// Returns what the meter is supposed to have answered.
    ///
    /// # Errors
    ///
    /// [`ImageError`] if the registers go beyond the address space.
    pub fn image(&self) -> Result<RegisterImage, ImageError> {
        let mut image = RegisterImage::new();
        for block in &self.registers {
            image.insert(block.block(), block.words.as_slice())?;
        }
        Ok(image)
    }

    fn compare(&self, values: Vec<DecodedValue>) -> Result<(), SelfTestError> {
        let found: BTreeMap<Obis, Value> = values
            .into_iter()
            .map(|decoded| (decoded.obis, decoded.value.map_err(ValueFault::gap_reason)))
            .filter(|(_, value)| *value != Err(GapReason::NoAnswer))
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestBlock {
    /// The table.
    pub function: Function,
    /// The address of the first register, counted from 0.
    pub address: u16,
    /// The contents.
    pub words: Words,
}

impl TestBlock {
    pub(super) fn block(&self) -> Block {
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

/// The reason why a test vector failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// The vector's registers go beyond the address space.
    #[error("the test's registers are impossible")]
    Registers(#[from] ImageError),
    /// The registers could not be decoded.
    #[error("the test's registers cannot be decoded")]
    Decode(#[from] DecodeError),
    /// The registers hold no SunSpec models in which the profile's registers could lie.
    #[error("the test's registers do not hold the profile's models")]
    Placement(#[from] PlacementError),
    /// The registers give another identity, or one where none is expected, or none.
    #[error("expected meter {}, found {}", identity(expected.as_ref()), identity(found.as_ref()))]
    Meter {
        /// The identity of the vector, if it has one.
        expected: Option<MeterId>,
        /// The identity that was decoded, if the profile has a serial number.
        found: Option<MeterId>,
    },
    /// An element has another value, is missing, or was not expected.
    #[error("element {obis}: expected {}, found {}", outcome(*expected), outcome(*found))]
    Element {
        /// The element's code.
        obis: Obis,
        /// The value of the vector, if it has one.
        expected: Option<Result<Quantity, GapReason>>,
        /// The value that was decoded, if its registers are given.
        found: Option<Result<Quantity, GapReason>>,
    },
}

impl SelfTestError {
    /// Returns the field of the vector that is not as it should be, such as `elements[2]`.
    pub(super) fn place(&self, test: &SelfTest) -> String {
        match self {
            Self::Registers(_) | Self::Decode(_) | Self::Placement(_) => "registers".to_owned(),
            Self::Meter { .. } => "meter".to_owned(),
            Self::Element { obis, .. } => {
                let index = test.elements.iter().position(|element| element.obis == *obis);
                index.map_or_else(|| "elements".to_owned(), |index| format!("elements[{index}]"))
            }
        }
    }
}

fn identity(meter: Option<&MeterId>) -> String {
    meter.map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn outcome(value: Option<Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), text)
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
            meter: Some("EAS-12345678".parse().unwrap()),
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
        test.meter = Some("EAS-1".parse().unwrap());
        assert_eq!(
            test.run(&sdm630()),
            Err(SelfTestError::Meter {
                expected: Some("EAS-1".parse().unwrap()),
                found: Some("EAS-12345678".parse().unwrap())
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
}
