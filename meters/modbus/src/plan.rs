//! The planning of reads: many registers in few requests.

use crate::profile::{Function, Limits};

/// Registers that one request reads: `count` of them from `address` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The table that is read.
    pub function: Function,
    /// The address of the first register as it goes over the wire, counted from 0.
    pub address: u16,
    /// The number of registers, at least 1.
    pub count: u16,
}

impl Block {
    /// Returns the first address behind the block, at most 65536.
    #[must_use]
    pub fn end(self) -> u32 {
        u32::from(self.address).saturating_add(u32::from(self.count))
    }

    /// Returns whether both have a register in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.function == other.function
            && u32::from(self.address) < other.end()
            && u32::from(other.address) < self.end()
    }

    /// Returns the block from the start of this one to the end of `next`, if one request may read it.
    fn extended_to(self, next: Self, limits: Limits) -> Option<Self> {
        let gap = u32::from(next.address).saturating_sub(self.end());
        let count = next.end().max(self.end()).checked_sub(u32::from(self.address))?;
        let count = u16::try_from(count).ok()?;
        let allowed = self.function == next.function
            && gap <= u32::from(limits.largest_gap)
            && count <= limits.registers_per_request;
        allowed.then_some(Self { count, ..self })
    }
}

/// Joins registers to the fewest blocks that the limits allow, in the order of their addresses.
///
/// A block starts at the first register that is not yet covered and takes in as many of the next
/// ones as the limits allow; no other choice of blocks needs fewer.
pub(crate) fn plan(registers: impl IntoIterator<Item = Block>, limits: Limits) -> Vec<Block> {
    let mut registers: Vec<Block> = registers.into_iter().collect();
    registers.sort_unstable();
    let mut blocks: Vec<Block> = Vec::new();
    for register in registers {
        match blocks.last_mut().and_then(|last| {
            let joined = last.extended_to(register, limits)?;
            *last = joined;
            Some(())
        }) {
            Some(()) => {}
            None => blocks.push(register),
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        registers_per_request: 10,
        largest_gap: 2,
    };

    fn input(address: u16, count: u16) -> Block {
        Block {
            function: Function::InputRegisters,
            address,
            count,
        }
    }

    #[test]
    fn neighbours_share_a_request_in_whatever_order_they_stand() {
        assert_eq!(
            plan([input(4, 2), input(0, 2), input(2, 2)], LIMITS),
            [input(0, 6)]
        );
    }

    #[test]
    fn a_gap_is_read_across_up_to_its_limit() {
        assert_eq!(plan([input(0, 2), input(4, 2)], LIMITS), [input(0, 6)]);
        assert_eq!(
            plan([input(0, 2), input(5, 2)], LIMITS),
            [input(0, 2), input(5, 2)]
        );
    }

    #[test]
    fn a_request_holds_no_more_registers_than_the_meter_takes() {
        let registers = (0..6).map(|index| input(index * 2, 2));
        assert_eq!(plan(registers, LIMITS), [input(0, 10), input(10, 2)]);
    }

    #[test]
    fn tables_are_read_apart() {
        let holding = Block {
            function: Function::HoldingRegisters,
            ..input(2, 2)
        };
        assert_eq!(
            plan([input(0, 2), holding, input(4, 2)], LIMITS),
            [holding, input(0, 6)]
        );
    }

    #[test]
    fn the_last_register_of_the_address_space_is_reached() {
        assert_eq!(plan([input(65_534, 2)], LIMITS), [input(65_534, 2)]);
        assert_eq!(input(65_534, 2).end(), 65_536);
    }

    proptest! {
        #[test]
        fn every_register_is_read_once_and_no_limit_is_broken(addresses in prop::collection::btree_set(0u16..200, 1..60)) {
            let registers: Vec<Block> = addresses.iter().map(|address| input(address.saturating_mul(2), 2)).collect();
            let blocks = plan(registers.clone(), LIMITS);
            for register in &registers {
                let covering = blocks.iter().filter(|block| block.overlaps(*register)).count();
                prop_assert_eq!(covering, 1);
            }
            for block in &blocks {
                prop_assert!(block.count <= LIMITS.registers_per_request);
            }
        }
    }
}
