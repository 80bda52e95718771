//! Runs of registers that one request reads.

use super::Refusals;
use crate::profile::{Function, Limits};

/// Registers that one request reads: `count` of them from `address` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The table that is read.
    pub function: Function,
    /// The address of the first register as it goes over the wire, counted from 0.
    pub address: u16,
    /// The number of registers (of bits in the tables of bits), at least 1.
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

    /// Returns whether every register of the other one is in this one.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.function == other.function && self.address <= other.address && other.end() <= self.end()
    }

    /// Returns the registers between two blocks of a table, if there are any.
    pub(super) fn between(before: Self, next: Self) -> Option<Self> {
        let address = u16::try_from(before.end()).ok()?;
        let count = next.address.checked_sub(address).filter(|count| *count > 0)?;
        Some(Self {
            address,
            count,
            ..before
        })
    }

    /// Returns the block from the start of this one to the end of the other.
    pub(super) fn joined_with(self, next: Self) -> Option<Self> {
        let count = next.end().max(self.end()).checked_sub(self.address.into())?;
        Some(Self {
            count: u16::try_from(count).ok()?,
            ..self
        })
    }
}

/// The wanted registers that one request reads, in the order of their addresses; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) members: Vec<Block>,
    /// From the start of the first to the end of the last.
    pub(super) block: Block,
}

impl Run {
    pub(super) fn of(members: Vec<Block>) -> Option<Self> {
        let first = *members.first()?;
        let block = members
            .iter()
            .try_fold(first, |joined, next| joined.joined_with(*next))?;
        Some(Self { members, block })
    }

    /// Takes in the next register, if one request may read both.
    fn take_in(&mut self, next: Block, limits: &Limits, refusals: &Refusals) -> bool {
        let Some(joined) = self.block.joined_with(next) else {
            return false;
        };
        let gap = Block::between(self.block, next);
        let allowed = self.block.function == next.function
            && gap.is_none_or(|gap| gap.count <= limits.largest_gap)
            && gap.is_none_or(|gap| limits.forbidden.iter().all(|forbidden| !forbidden.overlaps(gap)))
            && joined.count <= limits.most(next.function)
            && refusals.permit(self.block, next);
        if allowed {
            self.block = joined;
            self.members.push(next);
        }
        allowed
    }
}

/// Joins registers to the fewest blocks that the limits allow, in the order of their addresses.
pub(crate) fn blocks(
    wanted: impl IntoIterator<Item = Block>,
    limits: &Limits,
    refusals: &Refusals,
) -> Vec<Block> {
    let runs = runs(wanted, limits, refusals);
    runs.into_iter().map(|run| run.block).collect()
}

/// Joins registers to the fewest runs that the limits allow, in the order of their addresses.
///
/// A run starts at the first register that is not yet covered and takes in as many of the next
/// ones as the limits allow. Whatever a run may hold, each part of it may be a run too; so no
/// other choice of runs needs fewer.
pub(super) fn runs(
    wanted: impl IntoIterator<Item = Block>,
    limits: &Limits,
    refusals: &Refusals,
) -> Vec<Run> {
    let mut wanted: Vec<Block> = wanted.into_iter().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut runs: Vec<Run> = Vec::new();
    for next in wanted {
        let taken_in = runs
            .last_mut()
            .is_some_and(|run| run.take_in(next, limits, refusals));
        if !taken_in {
            runs.push(Run {
                members: vec![next],
                block: next,
            });
        }
    }
    runs
}
