//! The check of test vectors.

use std::ops::Range;

use model::Quantity;

use super::Fault;
use super::claims::Claims;
use super::place::Context;
use crate::plan::Block;
use crate::profile::document::{ExpectedEntry, SelfTestEntry};
use crate::profile::{Expected, ProfileFault, SelfTest, TestBlock};

impl SelfTestEntry {
    pub(super) fn checked(self, context: &Context, claims: &Claims<'_>) -> Result<SelfTest, Fault> {
        let mut codes = Vec::with_capacity(self.elements.len());
        let mut elements = Vec::with_capacity(self.elements.len());
        for entry in self.elements {
            let span = entry.span();
            let element = entry.into_inner().checked(&span)?;
            claims.check_expected(element.obis, &codes, &span)?;
            codes.push((span, element.obis));
            elements.push(element);
        }
        let mut blocks: Vec<(Range<usize>, Block)> = Vec::with_capacity(self.registers.len());
        let mut registers = Vec::with_capacity(self.registers.len());
        for entry in self.registers {
            let span = entry.span();
            let entry = entry.into_inner();
            let test = TestBlock {
                function: context.function(entry.function, &span)?,
                address: entry.address,
                words: entry.words,
            };
            claims.check_contents(test.block(), &blocks, &span)?;
            blocks.push((span, test.block()));
            registers.push(test);
        }
        Ok(SelfTest {
            title: self.title,
            registers,
            meter: self.meter,
            elements,
        })
    }
}

impl ExpectedEntry {
    fn checked(self, span: &Range<usize>) -> Result<Expected, Fault> {
        let obis = self.obis;
        let value = match (self.value, self.unit, self.gap) {
            (Some(value), Some(unit), None) => Ok(Quantity { value, unit }),
            (None, None, Some(gap)) => Err(gap),
            _ => return Err(ProfileFault::Expectation { obis }.at_key(span, "value")),
        };
        Ok(Expected { obis, value })
    }
}
