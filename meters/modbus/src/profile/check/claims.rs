//! What the entries of a profile have taken: registers, bits, codes and names.

use std::ops::Range;

use model::Obis;

use super::Fault;
use crate::image::ADDRESS_SPACE;
use crate::plan::Block;
use crate::profile::locator::Locator;
use crate::profile::{Bits, Field, Parameter, Place, ProfileFault, Register};

/// The registers, codes and names that earlier entries have taken.
///
/// Where two entries contradict each other, the later one has the fault, which names the earlier one's line.
pub(super) struct Claims<'a> {
    locator: Locator<'a>,
    taken: Vec<Claim>,
    /// What probes look at, which other entries may too.
    shared: Vec<(Range<usize>, Place, Block)>,
    codes: Vec<(Range<usize>, Obis)>,
    names: Vec<(Range<usize>, String)>,
}

/// Registers, or bits of them, that an entry has taken.
struct Claim {
    span: Range<usize>,
    place: Place,
    block: Block,
    bits: Option<Bits>,
}

impl Claim {
    /// Returns whether both cannot be in one profile: the same register can only hold several
    /// values if they are different bits of the same field.
    fn contradicts(&self, other: &Self) -> bool {
        if self.place != other.place || !self.block.overlaps(other.block) {
            return false;
        }
        match (self.bits, other.bits) {
            (Some(one), Some(two)) => self.block != other.block || one.overlaps(two),
            _ => true,
        }
    }
}

impl<'a> Claims<'a> {
    pub(super) const fn new(locator: Locator<'a>) -> Self {
        Self {
            locator,
            taken: Vec::new(),
            shared: Vec::new(),
            codes: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Takes the registers of a field.
    pub(super) fn claim(&mut self, field: &Field, span: &Range<usize>) -> Result<(), Fault> {
        let claim = Claim {
            span: span.clone(),
            place: field.place,
            block: field.block(),
            bits: field.bits,
        };
        if let Some(other) = self.taken.iter().find(|other| other.contradicts(&claim)) {
            let fault = ProfileFault::Overlap {
                address: claim.block.address,
                other_line: self.locator.line_of(&other.span),
            };
            return Err(fault.at_key(span, "address"));
        }
        self.taken.push(claim);
        Ok(())
    }

    pub(super) fn claim_register(&mut self, register: &Register, span: &Range<usize>) -> Result<(), Fault> {
        self.claim(&register.field, span)?;
        if let Some(fraction) = &register.fraction {
            self.claim(&fraction.field, span)?;
        }
        for obis in register.codes() {
            self.claim_code(obis, span)?;
        }
        Ok(())
    }

    /// Takes the code of an element.
    pub(super) fn claim_code(&mut self, obis: Obis, span: &Range<usize>) -> Result<(), Fault> {
        if let Some((other, _)) = self.codes.iter().find(|(_, other)| *other == obis) {
            let other_line = self.locator.line_of(other);
            return Err(ProfileFault::DuplicateObis { obis, other_line }.at_key(span, "obis"));
        }
        self.codes.push((span.clone(), obis));
        Ok(())
    }

    /// Returns whether no register is read, but only bits.
    pub(super) fn are_only_bits(&self) -> bool {
        let taken = self.taken.iter().map(|claim| claim.block);
        let mut blocks = taken.chain(self.shared.iter().map(|(_, _, block)| *block));
        blocks.all(|block| block.function.reads_bits())
    }

    pub(super) fn claim_parameter(
        &mut self,
        name: &str,
        field: &Field,
        span: &Range<usize>,
    ) -> Result<(), Fault> {
        self.claim(field, span)?;
        if let Some((other, _)) = self.names.iter().find(|(_, other)| other == name) {
            let fault = ProfileFault::DuplicateParameter {
                name: name.to_owned(),
                other_line: self.locator.line_of(other),
            };
            return Err(fault.at_key(span, "name"));
        }
        self.names.push((span.clone(), name.to_owned()));
        Ok(())
    }

    /// Checks that each parameter is a parameter of something.
    pub(super) fn check_use(&self, registers: &[Register], parameters: &[Parameter]) -> Result<(), Fault> {
        let used: Vec<usize> = registers.iter().flat_map(Register::parameters).collect();
        let named = self.names.iter().zip(parameters).enumerate();
        for (index, ((span, _), parameter)) in named {
            if !used.contains(&index) {
                let name = parameter.name.clone();
                return Err(ProfileFault::UnusedParameter { name }.at_key(span, "name"));
            }
        }
        Ok(())
    }

    /// Checks that no entry lies where no request may read.
    pub(super) fn check_forbidden(&self, forbidden: &[Block]) -> Result<(), Fault> {
        let taken = self.taken.iter();
        let taken = taken.map(|claim| (&claim.span, claim.place, claim.block, "address"));
        let shared = self.shared.iter();
        let shared = shared.map(|(span, place, block)| (span, *place, *block, "register"));
        let on_the_wire = taken.chain(shared).filter(|(_, place, ..)| *place == Place::Wire);
        for (span, _, block, key) in on_the_wire {
            if forbidden.iter().any(|forbidden| forbidden.overlaps(block)) {
                let address = block.address;
                return Err(ProfileFault::Forbidden { address }.at_key(span, key));
            }
        }
        Ok(())
    }

    /// Notes a field that is read, but that other entries may share.
    pub(super) fn share(&mut self, field: &Field, span: &Range<usize>) {
        self.shared.push((span.clone(), field.place, field.block()));
    }

    /// Checks that a self-test expects an element of the profile, and once.
    pub(super) fn check_expected(
        &self,
        obis: Obis,
        earlier: &[(Range<usize>, Obis)],
        span: &Range<usize>,
    ) -> Result<(), Fault> {
        if let Some((other, _)) = earlier.iter().find(|(_, other)| *other == obis) {
            let other_line = self.locator.line_of(other);
            return Err(ProfileFault::DuplicateObis { obis, other_line }.at_key(span, "obis"));
        }
        if self.codes.iter().all(|(_, known)| *known != obis) {
            return Err(ProfileFault::UnknownElement { obis }.at_key(span, "obis"));
        }
        Ok(())
    }

    /// Checks that contents of registers in a self-test have a place, and no other contents.
    pub(super) fn check_contents(
        &self,
        block: Block,
        earlier: &[(Range<usize>, Block)],
        span: &Range<usize>,
    ) -> Result<(), Fault> {
        let address = block.address;
        if block.end() > ADDRESS_SPACE {
            return Err(ProfileFault::BeyondAddressSpace { address }.at_key(span, "address"));
        }
        if let Some((other, _)) = earlier.iter().find(|(_, other)| other.overlaps(block)) {
            let other_line = self.locator.line_of(other);
            return Err(ProfileFault::Overlap { address, other_line }.at_key(span, "address"));
        }
        Ok(())
    }

    /// Returns the count of the widest field in tables of bits, or in those of registers.
    pub(super) fn widest(&self, bits: bool) -> u16 {
        let taken = self.taken.iter().map(|claim| claim.block);
        let blocks = taken.chain(self.shared.iter().map(|(_, _, block)| *block));
        let counts = blocks.filter(|block| block.function.reads_bits() == bits);
        counts.map(|block| block.count).max().unwrap_or(1)
    }
}
