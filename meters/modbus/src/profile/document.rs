//! The file form of a profile, and its check.

use std::ops::Range;

use model::{Decimal, GapReason, Medium, MeterId, Obis, Quantity, Unit};
use serde::Deserialize;
use toml::Spanned;

use super::{
    Expected, Field, Function, Limits, Profile, ProfileError, Register, RegisterType, SelfTest, SerialNumber,
    Source, TestBlock, WordOrder, Words,
};
use crate::image::ADDRESS_SPACE;
use crate::plan::Block;

impl Profile {
    /// Reads a profile from its TOML text.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] with the line and the cause; of several faults the first one found.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(ProfileError::TooLong { found: text.len() });
        }
        let lines = Lines(text);
        let document: Document = toml::from_str(text).map_err(|source| ProfileError::Form {
            line: source.span().map_or(0, |span| lines.line_of(&span)),
            source,
        })?;
        document.checked(lines)
    }
}

/// The text of a profile, for finding the line of a fault.
#[derive(Clone, Copy)]
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn line_of(self, span: &Range<usize>) -> usize {
        let before = self.0.bytes().take(span.start);
        before.filter(|byte| *byte == b'\n').count().saturating_add(1)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: String,
    manufacturer: String,
    models: Vec<String>,
    medium: Medium,
    source: Source,
    limits: Spanned<Limits>,
    serial_number: Spanned<SerialNumberEntry>,
    registers: Vec<Spanned<RegisterEntry>>,
    #[serde(default)]
    self_tests: Vec<SelfTestEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SerialNumberEntry {
    prefix: String,
    digits: u8,
    function: Function,
    address: u16,
    #[serde(rename = "type")]
    register_type: RegisterType,
    #[serde(default)]
    word_order: WordOrder,
    #[serde(default)]
    not_available: Vec<Words>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterEntry {
    obis: Obis,
    function: Function,
    address: u16,
    #[serde(rename = "type")]
    register_type: RegisterType,
    #[serde(default)]
    word_order: WordOrder,
    #[serde(default)]
    not_available: Vec<Words>,
    #[serde(default)]
    scale: i8,
    unit: Unit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfTestEntry {
    title: String,
    registers: Vec<TestBlock>,
    meter: MeterId,
    elements: Vec<Spanned<ExpectedEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedEntry {
    obis: Obis,
    value: Option<Decimal>,
    unit: Option<Unit>,
    gap: Option<GapReason>,
}

impl Document {
    fn checked(self, lines: Lines<'_>) -> Result<Profile, ProfileError> {
        if self.registers.len() > Profile::MAX_REGISTERS {
            return Err(ProfileError::TooManyRegisters {
                found: self.registers.len(),
            });
        }
        let serial_line = lines.line_of(&self.serial_number.span());
        let serial_number = self.serial_number.into_inner().checked(serial_line)?;
        let mut claims = Claims::default();
        claims.claim(serial_line, &serial_number.field)?;
        let mut registers: Vec<Register> = Vec::with_capacity(self.registers.len());
        for entry in self.registers {
            let line = lines.line_of(&entry.span());
            let register = entry.into_inner().checked(line)?;
            claims.claim(line, &register.field)?;
            claims.name(line, register.obis)?;
            registers.push(register);
        }
        let limits_line = lines.line_of(&self.limits.span());
        let limits = checked_limits(self.limits.into_inner(), limits_line, claims.widest())?;
        let self_tests = self
            .self_tests
            .into_iter()
            .map(|entry| entry.checked(lines))
            .collect::<Result<_, _>>()?;
        let profile = Profile {
            name: self.name,
            manufacturer: self.manufacturer,
            models: self.models,
            medium: self.medium,
            source: self.source,
            limits,
            serial_number,
            registers,
            self_tests,
            blocks: Vec::new(),
        };
        Ok(profile.planned())
    }
}

/// The registers and codes that earlier entries of the profile have taken, with their lines.
#[derive(Default)]
struct Claims {
    blocks: Vec<(usize, Block)>,
    codes: Vec<(usize, Obis)>,
}

impl Claims {
    fn claim(&mut self, line: usize, field: &Field) -> Result<(), ProfileError> {
        let block = field.block();
        if let Some((other_line, _)) = self.blocks.iter().find(|(_, other)| other.overlaps(block)) {
            return Err(ProfileError::Overlap {
                line,
                address: block.address,
                other_line: *other_line,
            });
        }
        self.blocks.push((line, block));
        Ok(())
    }

    fn name(&mut self, line: usize, obis: Obis) -> Result<(), ProfileError> {
        if let Some((other_line, _)) = self.codes.iter().find(|(_, other)| *other == obis) {
            return Err(ProfileError::DuplicateObis {
                line,
                obis,
                other_line: *other_line,
            });
        }
        self.codes.push((line, obis));
        Ok(())
    }

    fn widest(&self) -> u16 {
        self.blocks
            .iter()
            .map(|(_, block)| block.count)
            .max()
            .unwrap_or(1)
    }
}

fn checked_limits(limits: Limits, line: usize, least: u16) -> Result<Limits, ProfileError> {
    let found = limits.registers_per_request;
    if (least..=Limits::MAX_REGISTERS_PER_REQUEST).contains(&found) {
        Ok(limits)
    } else {
        Err(ProfileError::RegistersPerRequest { line, found, least })
    }
}

fn checked_field(field: Field, line: usize) -> Result<Field, ProfileError> {
    let block = field.block();
    if block.end() > ADDRESS_SPACE {
        return Err(ProfileError::BeyondAddressSpace {
            line,
            address: field.address,
        });
    }
    let width = usize::from(block.count);
    match field
        .not_available
        .iter()
        .find(|words| words.as_slice().len() != width)
    {
        Some(words) => Err(ProfileError::NotAvailableWidth {
            line,
            expected: block.count,
            found: words.as_slice().len(),
        }),
        None => Ok(field),
    }
}

impl SerialNumberEntry {
    fn checked(self, line: usize) -> Result<SerialNumber, ProfileError> {
        if !self.register_type.is_unsigned_integer() {
            return Err(ProfileError::SerialNumberType {
                line,
                found: self.register_type,
            });
        }
        let field = Field {
            function: self.function,
            address: self.address,
            register_type: self.register_type,
            word_order: self.word_order,
            not_available: self.not_available,
        };
        let serial_number = SerialNumber {
            field: checked_field(field, line)?,
            prefix: self.prefix,
            digits: self.digits,
        };
        // The greatest number of any unsigned type, so that every serial number makes an identity.
        match serial_number.identity(i128::from(u64::MAX)) {
            Ok(_) => Ok(serial_number),
            Err(source) => Err(ProfileError::Identity { line, source }),
        }
    }
}

impl RegisterEntry {
    fn checked(self, line: usize) -> Result<Register, ProfileError> {
        if !(-Register::MAX_SCALE..=Register::MAX_SCALE).contains(&self.scale) {
            return Err(ProfileError::Scale {
                line,
                scale: self.scale,
            });
        }
        let field = Field {
            function: self.function,
            address: self.address,
            register_type: self.register_type,
            word_order: self.word_order,
            not_available: self.not_available,
        };
        Ok(Register {
            obis: self.obis,
            field: checked_field(field, line)?,
            scale: self.scale,
            unit: self.unit,
        })
    }
}

impl SelfTestEntry {
    fn checked(self, lines: Lines<'_>) -> Result<SelfTest, ProfileError> {
        let elements = self.elements.into_iter().map(|entry| {
            let line = lines.line_of(&entry.span());
            entry.into_inner().checked(line)
        });
        Ok(SelfTest {
            title: self.title,
            registers: self.registers,
            meter: self.meter,
            elements: elements.collect::<Result<_, _>>()?,
        })
    }
}

impl ExpectedEntry {
    fn checked(self, line: usize) -> Result<Expected, ProfileError> {
        let obis = self.obis;
        let value = match (self.value, self.unit, self.gap) {
            (Some(value), Some(unit), None) => Ok(Quantity { value, unit }),
            (None, None, Some(gap)) => Err(gap),
            _ => return Err(ProfileError::Expectation { line, obis }),
        };
        Ok(Expected { obis, value })
    }
}

#[cfg(test)]
mod tests;
