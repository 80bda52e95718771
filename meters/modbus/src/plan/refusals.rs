//! What a meter has refused to show.

use std::collections::{BTreeMap, BTreeSet};

use super::Block;
use crate::profile::Function;

/// What earlier polls of one meter have learned about its refusals.
///
/// It is as long as the profile at most: each entry belongs to one of its registers. Whoever keeps
/// it should forget it when the meter may have changed: after a new firmware, a replaced meter, or a
/// restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusals {
    /// Where a new request must begin, since the meter refused to be read across.
    cuts: BTreeSet<(Function, u16)>,
    /// Registers that the meter does not have, and the codes of the exceptions that said so.
    absent: BTreeMap<Block, u8>,
}

impl Refusals {
    /// Returns whether nothing was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.absent.is_empty()
    }

    /// Returns the registers that the meter does not have.
    pub fn absent(&self) -> impl Iterator<Item = Block> {
        self.absent.keys().copied()
    }

    /// Returns the addresses at which a new request must begin.
    pub fn cuts(&self) -> impl Iterator<Item = (Function, u16)> {
        self.cuts.iter().copied()
    }

    /// Returns the code of the exception that said that the meter does not have the register.
    pub(super) fn refusal(&self, block: Block) -> Option<u8> {
        self.absent.get(&block).copied()
    }

    /// Returns whether a request that holds `before` may go on to `next`.
    pub(super) fn permit(&self, before: Block, next: Block) -> bool {
        let cut = self.cuts.contains(&(next.function, next.address));
        let between = Block::between(before, next);
        let across = between.is_some_and(|gap| self.absent.keys().any(|absent| absent.overlaps(gap)));
        !cut && !across
    }

    pub(super) fn cut_before(&mut self, block: Block) {
        self.cuts.insert((block.function, block.address));
    }

    pub(super) fn add_absent(&mut self, block: Block, code: u8) {
        self.absent.insert(block, code);
    }
}
