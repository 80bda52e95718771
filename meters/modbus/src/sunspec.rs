//! The walk over the models of a SunSpec device.
//!
//! A device shows the marker `SunS` at one of a few addresses and behind it its models, one after
//! the other: identifier, length, contents. [`Walk`] is the machine that a driver asks for the next
//! request; the [`ModelMap`] that it ends with places a profile's registers.
//!
//! Spec: SunSpec Information Model Specification, version 1.9, section 6.

use std::collections::{BTreeMap, VecDeque};

use crate::image::{ImageError, RegisterImage};
use crate::plan::Block;
use crate::profile::{Function, Profile, SunSpec};

/// `SunS` in ASCII.
const MARKER: [u16; 2] = [0x5375, 0x6E53];
/// The identifier behind the last model.
const END: u16 = 0xFFFF;
/// The registers of identifier and length, with which each model begins.
const HEADER: u16 = 2;
/// The greatest number of models that a walk follows; the standard has some 120 kinds, a meter ten.
const MAX_MODELS: usize = 64;

/// Where a device has its models: for each identifier, the address of the register that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelMap(BTreeMap<u16, u16>);

impl ModelMap {
    /// Returns the address of the first model with that identifier.
    #[must_use]
    pub fn address_of(&self, model: u16) -> Option<u16> {
        self.0.get(&model).copied()
    }

    /// Returns the identifiers of the models, in their order.
    pub fn models(&self) -> impl Iterator<Item = u16> {
        self.0.keys().copied()
    }
}

/// The reason why a profile's registers have no place in a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The device is no SunSpec device, or has none of the models that the profile describes.
    #[error("the device has none of the SunSpec models that the profile describes")]
    NoModel,
    /// A model begins so late that its registers would lie beyond the last address.
    #[error("the model at {start:#06x} would end beyond the last register")]
    AddressSpace {
        /// Where the model begins.
        start: u16,
    },
}

/// The walk over a device's models.
#[derive(Debug, Clone)]
pub struct Walk {
    function: Function,
    /// The addresses at which the marker has not been looked for yet.
    bases: VecDeque<u16>,
    /// The model that comes next, once the marker is found.
    header: Option<u16>,
    models_left: usize,
    models: ModelMap,
}

impl Walk {
    /// Starts a walk over the addresses at which the marker may stand.
    #[must_use]
    pub fn new(sunspec: &SunSpec) -> Self {
        Self {
            function: sunspec.function,
            bases: sunspec.bases.iter().copied().collect(),
            header: None,
            models_left: MAX_MODELS,
            models: ModelMap::default(),
        }
    }

    /// Returns the request that comes next; `None` at the end of the walk.
    #[must_use]
    pub fn next_request(&self) -> Option<Block> {
        let address = self.header.or_else(|| self.bases.front().copied())?;
        Some(Block {
            function: self.function,
            address,
            count: HEADER,
        })
    }

    /// Takes the answer to the request.
    ///
    /// # Errors
    ///
    /// [`ImageError::Length`] if the answer has not two registers: nothing is taken from it, and the
    /// request still comes next.
    pub fn handle_answer(&mut self, words: &[u16]) -> Result<(), ImageError> {
        let &[first, second] = words else {
            return Err(ImageError::Length {
                expected: HEADER,
                found: words.len(),
            });
        };
        let Some(address) = self.header else {
            let base = self.bases.pop_front();
            if [first, second] == MARKER {
                self.bases.clear();
                self.header = base.and_then(|base| base.checked_add(HEADER));
            }
            return Ok(());
        };
        self.header = None;
        self.models_left = self.models_left.saturating_sub(1);
        if first != END && self.models_left > 0 {
            self.models.0.entry(first).or_insert(address);
            let next = address
                .checked_add(HEADER)
                .and_then(|body| body.checked_add(second));
            // The last header must have room for both of its registers.
            self.header = next.filter(|next| *next < u16::MAX);
        }
        Ok(())
    }

    /// Takes an exception, or whatever else came instead of an answer: nothing is there.
    pub fn handle_refusal(&mut self) {
        if self.header.take().is_none() {
            self.bases.pop_front();
        }
    }

    /// Ends the walk and returns what it has found.
    #[must_use]
    pub fn finish(self) -> ModelMap {
        self.models
    }
}

/// Walks over models that have been read already.
pub(crate) fn walk_image(profile: &Profile, image: &RegisterImage) -> ModelMap {
    let Some(sunspec) = profile.sunspec() else {
        return ModelMap::default();
    };
    let mut walk = Walk::new(sunspec);
    while let Some(block) = walk.next_request() {
        match image.words(block) {
            // A block of two registers gives two words.
            Some(words) => drop(walk.handle_answer(&words)),
            None => walk.handle_refusal(),
        }
    }
    walk.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sunspec() -> SunSpec {
        SunSpec {
            function: Function::HoldingRegisters,
            bases: SunSpec::BASES.to_vec(),
            models: vec![203],
        }
    }

    fn walk_over(words: &BTreeMap<u16, [u16; 2]>) -> (ModelMap, Vec<u16>) {
        let mut walk = Walk::new(&sunspec());
        let mut asked = Vec::new();
        while let Some(block) = walk.next_request() {
            asked.push(block.address);
            match words.get(&block.address) {
                Some(answer) => walk.handle_answer(answer).unwrap(),
                None => walk.handle_refusal(),
            }
        }
        (walk.finish(), asked)
    }

    #[test]
    fn models_are_found_from_the_marker_to_the_end() {
        let words = BTreeMap::from([
            (50_000, MARKER),
            (50_002, [1, 66]),
            (50_070, [203, 105]),
            (50_177, [END, 0]),
        ]);
        let (models, asked) = walk_over(&words);
        assert_eq!(asked, [40_000, 50_000, 50_002, 50_070, 50_177]);
        assert_eq!(models.models().collect::<Vec<_>>(), [1, 203]);
        assert_eq!(models.address_of(203), Some(50_070));
        assert_eq!(models.address_of(201), None);
    }

    #[test]
    fn a_device_without_the_marker_has_no_models() {
        let words = BTreeMap::from([(40_000, [0, 0]), (0, [1, 66])]);
        let (models, asked) = walk_over(&words);
        assert_eq!(models, ModelMap::default());
        assert_eq!(asked, [40_000, 50_000, 0]);
    }

    #[test]
    fn of_two_models_of_a_kind_the_first_one_counts() {
        let words = BTreeMap::from([
            (40_000, MARKER),
            (40_002, [203, 105]),
            (40_109, [203, 105]),
            (40_216, [END, 0]),
        ]);
        assert_eq!(walk_over(&words).0.address_of(203), Some(40_002));
    }

    #[test]
    fn a_walk_ends_at_the_last_register_and_after_enough_models() {
        let words = BTreeMap::from([(40_000, MARKER), (40_002, [1, u16::MAX])]);
        assert_eq!(walk_over(&words).1, [40_000, 40_002]);
        // Models of no length, without an end.
        let mut words: BTreeMap<u16, [u16; 2]> =
            (0..1_000).map(|index| (40_002 + index * 2, [7, 0])).collect();
        words.insert(40_000, MARKER);
        assert_eq!(walk_over(&words).1.len(), 1 + MAX_MODELS);
    }

    #[test]
    fn an_answer_of_another_length_changes_nothing() {
        let mut walk = Walk::new(&sunspec());
        let before = walk.next_request();
        let error = ImageError::Length {
            expected: 2,
            found: 1,
        };
        assert_eq!(walk.handle_answer(&[MARKER[0]]), Err(error));
        assert_eq!(walk.next_request(), before);
    }

    proptest! {
        #[test]
        fn any_answers_end_the_walk(answers in prop::collection::vec(any::<[u16; 2]>(), 100)) {
            let mut walk = Walk::new(&sunspec());
            // The marker, and as many models as a walk follows.
            let answers = [MARKER].into_iter().chain(answers).take(1 + MAX_MODELS);
            for answer in answers {
                if walk.next_request().is_some() {
                    walk.handle_answer(&answer).unwrap();
                }
            }
            prop_assert_eq!(walk.next_request(), None);
        }
    }
}
