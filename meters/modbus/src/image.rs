//! What was read from a meter in one poll.

use std::collections::BTreeMap;

use model::GapReason;

use crate::decode::ValueFault;
use crate::plan::Block;
use crate::profile::Function;

/// The registers that one poll has read, by table and address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterImage {
    words: BTreeMap<(Function, u16), u16>,
    /// What was asked for and is not there.
    absent: BTreeMap<Block, Absence>,
}

/// Why registers that were asked for are not in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// The meter has refused to show them, with this exception.
    Refused(u8),
    /// Their request has failed for this reason.
    Missed(GapReason),
}

impl RegisterImage {
    /// Builds an image in which nothing has been read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the answer to the request for a block.
    ///
    /// # Errors
    ///
    /// [`ImageError::Length`] unless there are as many words as registers were asked for, and
    /// [`ImageError::AddressSpace`] for a block that goes beyond the last register. Nothing is
    /// taken from either.
    pub fn insert(&mut self, block: Block, words: &[u16]) -> Result<(), ImageError> {
        if words.len() != usize::from(block.count) {
            return Err(ImageError::Length {
                expected: block.count,
                found: words.len(),
            });
        }
        if block.end() > ADDRESS_SPACE {
            return Err(ImageError::AddressSpace { block });
        }
        let addresses = block.address..=u16::MAX;
        self.words.extend(
            addresses
                .map(|address| (block.function, address))
                .zip(words.iter().copied()),
        );
        Ok(())
    }

    /// Returns the words of a block, if all of them were read.
    #[must_use]
    pub fn words(&self, block: Block) -> Option<Vec<u16>> {
        let last = block.address.checked_add(block.count.checked_sub(1)?)?;
        (block.address..=last)
            .map(|address| self.words.get(&(block.function, address)).copied())
            .collect()
    }

    /// Notes that the meter has refused to show a block by itself, with the exception of that code.
    pub fn refuse(&mut self, block: Block, code: u8) {
        self.absent.insert(block, Absence::Refused(code));
    }

    /// Returns the code of the exception with which the meter has refused to show a block.
    #[must_use]
    pub fn refusal(&self, block: Block) -> Option<u8> {
        match self.absent.get(&block)? {
            Absence::Refused(code) => Some(*code),
            Absence::Missed(_) => None,
        }
    }

    /// Notes that the request for a block has failed, and why.
    pub fn miss(&mut self, block: Block, reason: GapReason) {
        self.absent.insert(block, Absence::Missed(reason));
    }

    /// Returns whether a block was asked for by itself and is not there.
    #[must_use]
    pub fn is_absent(&self, block: Block) -> bool {
        self.absent.contains_key(&block)
    }

    /// Returns why a block has no words.
    pub(crate) fn gap(&self, block: Block) -> ValueFault {
        match self.absent.get(&block) {
            Some(Absence::Refused(code)) => ValueFault::Refused { code: *code },
            Some(Absence::Missed(reason)) => ValueFault::NotRead(*reason),
            None => ValueFault::NotRead(GapReason::NoAnswer),
        }
    }
}

/// The number of registers that a table can have: addresses have 16 bits.
pub(crate) const ADDRESS_SPACE: u32 = 1 << 16;

/// The reason why words are not the answer to the request for a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The meter sent more or fewer registers than it was asked for.
    #[error("the meter was asked for {expected} registers and sent {found}")]
    Length {
        /// The number of registers that were asked for.
        expected: u16,
        /// The number of registers that came.
        found: usize,
    },
    /// The block goes beyond the last register.
    #[error("the {} registers from {:#06x} on go beyond the last register", block.count, block.address)]
    AddressSpace {
        /// The block that was given.
        block: Block,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block {
        function: Function::InputRegisters,
        address: 0x10,
        count: 2,
    };

    #[test]
    fn words_are_found_where_they_were_read() {
        let mut image = RegisterImage::new();
        image.insert(BLOCK, &[1, 2]).unwrap();
        assert_eq!(image.words(BLOCK), Some(vec![1, 2]));
        assert_eq!(
            image.words(Block {
                address: 0x11,
                count: 1,
                ..BLOCK
            }),
            Some(vec![2])
        );
        assert_eq!(image.words(Block { count: 3, ..BLOCK }), None);
        assert_eq!(
            image.words(Block {
                function: Function::HoldingRegisters,
                ..BLOCK
            }),
            None
        );
    }

    #[test]
    fn an_answer_of_another_length_is_refused() {
        let mut image = RegisterImage::new();
        assert_eq!(
            image.insert(BLOCK, &[1]),
            Err(ImageError::Length {
                expected: 2,
                found: 1
            })
        );
        assert_eq!(
            image.insert(BLOCK, &[1, 2, 3]),
            Err(ImageError::Length {
                expected: 2,
                found: 3
            })
        );
        assert_eq!(image, RegisterImage::new());
    }

    #[test]
    fn what_is_absent_has_its_reason() {
        let mut image = RegisterImage::new();
        assert_eq!(
            (image.gap(BLOCK), image.refusal(BLOCK)),
            (ValueFault::NotRead(GapReason::NoAnswer), None)
        );
        image.refuse(BLOCK, 4);
        assert_eq!(
            (image.gap(BLOCK), image.refusal(BLOCK)),
            (ValueFault::Refused { code: 4 }, Some(4))
        );
        image.miss(BLOCK, GapReason::BadAnswer);
        assert_eq!(
            (image.gap(BLOCK), image.refusal(BLOCK)),
            (ValueFault::NotRead(GapReason::BadAnswer), None)
        );
    }

    #[test]
    fn a_block_beyond_the_last_register_is_refused() {
        let block = Block {
            address: u16::MAX,
            ..BLOCK
        };
        let mut image = RegisterImage::new();
        assert_eq!(
            image.insert(block, &[1, 2]),
            Err(ImageError::AddressSpace { block })
        );
        assert_eq!(image.words(block), None);
        let last = Block { count: 1, ..block };
        image.insert(last, &[7]).unwrap();
        assert_eq!(image.words(last), Some(vec![7]));
    }
}
