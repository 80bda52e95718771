//! The machine that reads what is wanted, request by request.

use std::collections::VecDeque;

use model::GapReason;

use super::blocks::{Run, runs};
use super::{Block, Refusals};
use crate::image::{ImageError, RegisterImage};
use crate::profile::Limits;

/// The reading of a meter: which request comes next, and what its answer means.
///
/// The driver sends [`next_request`](Self::next_request) until there is none, and says each time
/// what came of it: [`handle_answer`](Self::handle_answer), [`handle_exception`](Self::handle_exception)
/// or [`give_up`](Self::give_up). Time, retries and the line are the driver's.
///
/// A refused request is split where it reads across the widest hole, or in its middle if it has
/// none. When both halves are then answered, the meter has refused to be read across that place,
/// which is remembered. A lone register that is refused is one that the meter does not have.
///
/// Until something was answered, every request has its turn before a part of one has, and few are
/// split: a meter that refuses everything is not worth a request for each register.
///
/// It ends: an answer or a failure takes a request away, and a split replaces one by two that have
/// fewer registers each, so that `n` registers need fewer than `2n` requests.
#[derive(Debug, Clone)]
pub struct Plan {
    pending: VecDeque<Pending>,
    /// The splits whose halves are still being read.
    splits: Vec<Split>,
    splits_left: usize,
    /// The same, until something is answered.
    blind_splits_left: usize,
    image: RegisterImage,
    /// What earlier polls have learned.
    known: Refusals,
    /// The same, and what this one has learned.
    refusals: Refusals,
    any_answered: bool,
}

#[derive(Debug, Clone)]
struct Pending {
    run: Run,
    /// The split that the run is a half of.
    half_of: Option<usize>,
}

/// A request that was split in two.
#[derive(Debug, Clone)]
struct Split {
    /// The first register of the second half.
    second: Block,
    /// How many halves were answered as a whole.
    answered: u8,
}

/// What became of an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The request was split in two, which come next.
    Split,
    /// The meter does not have the registers of the request, which is done.
    Absent,
    /// The exception says nothing about the registers; the request still comes next.
    Unchanged,
}

/// What a finished plan has read and learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was read.
    pub image: RegisterImage,
    /// What the meter refuses, for its next poll.
    pub refusals: Refusals,
}

impl Plan {
    /// The greatest number of splits in one poll; a meter that fits its profile needs a few.
    pub const MAX_SPLITS: usize = 100;
    /// The greatest number of splits before anything was answered: the quarters of a few requests. One
    /// that refuses all of them has hardly anything of its profile.
    pub const MAX_BLIND_SPLITS: usize = 6;
    /// Illegal data address, and illegal data value: the registers, or their number, are refused.
    ///
    /// Spec: Modbus Application Protocol V1.1b3, section 7.
    const REFUSALS: [u8; 2] = [2, 3];

    /// Plans the reading of the wanted registers, each of which is read as a whole.
    ///
    /// A request that is for `last` alone comes behind all the others.
    pub(crate) fn new(
        wanted: impl IntoIterator<Item = Block>,
        last: Option<Block>,
        limits: &Limits,
        refusals: &Refusals,
    ) -> Self {
        let mut image = RegisterImage::new();
        let mut present = Vec::new();
        for block in wanted {
            match refusals.refusal(block) {
                Some(code) => image.refuse(block, code),
                None => present.push(block),
            }
        }
        let mut runs = runs(present, limits, refusals);
        runs.sort_by_key(|run| matches!(run.members.as_slice(), [only] if Some(*only) == last));
        let pending = runs.into_iter().map(|run| Pending { run, half_of: None });
        Self {
            pending: pending.collect(),
            splits: Vec::new(),
            splits_left: Self::MAX_SPLITS,
            blind_splits_left: Self::MAX_BLIND_SPLITS,
            image,
            known: refusals.clone(),
            refusals: refusals.clone(),
            any_answered: false,
        }
    }

    /// Returns the request that comes next, until everything is read or given up.
    #[must_use]
    pub fn next_request(&self) -> Option<Block> {
        self.pending.front().map(|pending| pending.run.block)
    }

    /// Returns what has been read up to now.
    #[must_use]
    pub const fn image(&self) -> &RegisterImage {
        &self.image
    }

    /// Takes the answer to the request. Bits come as words, 0 or 1.
    ///
    /// # Errors
    ///
    /// [`ImageError`] if the answer has not as many registers as were asked for: nothing is taken
    /// from it, and the request still comes next.
    pub fn handle_answer(&mut self, words: &[u16]) -> Result<(), ImageError> {
        let Some(pending) = self.pending.front() else {
            return Ok(());
        };
        self.image.insert(pending.run.block, words)?;
        self.any_answered = true;
        let half_of = self.pending.pop_front().and_then(|pending| pending.half_of);
        if let Some(split) = half_of.and_then(|index| self.splits.get_mut(index)) {
            split.answered = split.answered.saturating_add(1);
            if split.answered == 2 {
                // Each half is shown by itself, but not both at once.
                self.refusals.cut_before(split.second);
            }
        }
        Ok(())
    }

    /// Takes the exception that came instead of an answer.
    pub fn handle_exception(&mut self, code: u8) -> Handled {
        if !Self::REFUSALS.contains(&code) {
            return Handled::Unchanged;
        }
        let Some(Pending { run, .. }) = self.pending.pop_front() else {
            return Handled::Unchanged;
        };
        match run.members.as_slice() {
            [only] => {
                self.image.refuse(*only, code);
                self.refusals.add_absent(*only, code);
                Handled::Absent
            }
            members if !self.may_split() => {
                for member in members {
                    self.image.refuse(*member, code);
                }
                Handled::Absent
            }
            _ => {
                self.split(run);
                Handled::Split
            }
        }
    }

    /// Takes the exception of a meter that does not want to be asked again for the present: its
    /// registers are not available in this poll, and the next one asks for them as before.
    pub fn handle_refusal(&mut self, code: u8) {
        for member in self.take_members() {
            self.image.refuse(member, code);
        }
    }

    /// Gives the request up, after whatever the driver has tried; its registers have that reason.
    ///
    /// Returns the registers.
    pub fn give_up(&mut self, reason: GapReason) -> Vec<Block> {
        let members = self.take_members();
        for member in &members {
            self.image.miss(*member, reason);
        }
        members
    }

    fn take_members(&mut self) -> Vec<Block> {
        let pending = self.pending.pop_front();
        pending.map_or_else(Vec::new, |pending| pending.run.members)
    }

    /// Returns whether anything was answered.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.any_answered
    }

    /// Ends the plan. Registers that were not read, or given up, are not in the image.
    ///
    /// A meter that has refused everything, as some do while they start, has taught nothing.
    #[must_use]
    pub fn finish(self) -> Outcome {
        let refusals = if self.any_answered {
            self.refusals
        } else {
            self.known
        };
        Outcome {
            image: self.image,
            refusals,
        }
    }

    const fn may_split(&self) -> bool {
        self.splits_left > 0 && (self.any_answered || self.blind_splits_left > 0)
    }

    fn split(&mut self, run: Run) {
        self.splits_left = self.splits_left.saturating_sub(1);
        if !self.any_answered {
            self.blind_splits_left = self.blind_splits_left.saturating_sub(1);
        }
        let mut first = run.members;
        let second = first.split_off(place_of_split(&first));
        let Some(start) = second.first().copied() else {
            return;
        };
        let index = self.splits.len();
        self.splits.push(Split {
            second: start,
            answered: 0,
        });
        let halves = [first, second].into_iter().filter_map(Run::of);
        let halves = halves.map(|run| Pending {
            run,
            half_of: Some(index),
        });
        if self.any_answered {
            for half in halves.rev() {
                self.pending.push_front(half);
            }
        } else {
            self.pending.extend(halves);
        }
    }
}

/// Returns which register begins the second half: the one behind the widest hole, or else the
/// middle one. There are at least two.
fn place_of_split(members: &[Block]) -> usize {
    let middle = members.len().div_euclid(2).max(1);
    let holes = members.iter().zip(members.iter().skip(1)).enumerate();
    let widest = holes
        .filter_map(|(index, (before, next))| {
            let hole = Block::between(*before, *next)?;
            Some((hole.count, index.saturating_add(1)))
        })
        .max_by_key(|(width, _)| *width);
    widest.map_or(middle, |(_, index)| index)
}
