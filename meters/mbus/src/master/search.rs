//! The search for secondary addresses: which selection to try next.

use std::collections::{BTreeSet, VecDeque};

use super::probe::Found;
use super::read::Read;
use crate::link::{LongFrame, SecondaryAddress};

/// The search for every meter that a selection matches, nibble by nibble.
///
/// It holds no line: [`Search::next_probe`] gives the selection to probe, and [`Search::report`]
/// takes what the probe found. Where several meters answer, the next open nibble is tried with each
/// value, the identification from its most significant digit on, then manufacturer, version and
/// device type. Digits may be hexadecimal; `F` is the wildcard and cannot be asked for: where all
/// meters of a selection have it, the next position tells them apart, and one that has it beside
/// others that have not stays hidden, as the standard has no way to it.
///
/// Noise on the line looks like several meters and costs time, but hides none: where several meters
/// were heard and fewer than two are then found, those that were silent are asked again, once. A
/// meter that compares version and device type only as whole bytes is silent to nibbles; then the
/// whole byte is tried. Two meters that differ in nothing but `F` nibbles, or in the manufacturer
/// while they compare it only as a whole, are given as one [`Hit::Inseparable`].
///
/// Meters that were read just before are told to the search with [`Search::expect`]: a selection
/// that is known to match several is divided without a probe.
#[derive(Debug)]
pub struct Search {
    /// The selections that are still to be tried, the next one at the front.
    open: VecDeque<Task>,
    /// The branches that were divided and are not finished yet, the innermost last.
    branches: Vec<Branch>,
    known: BTreeSet<SecondaryAddress>,
    found: BTreeSet<SecondaryAddress>,
    tries: u8,
    probes: u32,
}

/// A selection, and how it is divided if several meters answer to it.
#[derive(Debug, Clone, Copy)]
struct Task {
    selection: SecondaryAddress,
    /// The first position that may be divided.
    position: usize,
    step: Step,
    /// Somebody is there for sure, so that silence is not believed at once.
    promised: bool,
    /// Dividing it at an earlier position has brought nothing to light.
    second_thought: bool,
}

/// How a position is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nibble,
    Byte,
}

/// A selection to which several meters have answered.
#[derive(Debug)]
struct Branch {
    task: Task,
    /// Tasks that are open when all of this branch's are done.
    rest: usize,
    /// Meters that were found before it was divided.
    found_before: usize,
    /// Selections in it that nobody answered.
    silent: Vec<Task>,
    repeated: bool,
    /// A selection in it was answered, whatever came of it.
    heard: bool,
}

/// What a report has brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hit {
    /// A meter.
    Meter {
        /// Its secondary address. What its telegram does not name is as it was selected.
        address: SecondaryAddress,
        /// Its first telegram.
        telegram: LongFrame,
    },
    /// Several meters that no selection tells apart, or one that is never understood.
    Inseparable {
        /// The narrowest selection that they answer to.
        selection: SecondaryAddress,
    },
}

/// The greatest number of probes of one search: 250 meters whose identifications and versions all
/// clash take fewer; noise that never ends is given up.
const MAX_PROBES: u32 = 100_000;
/// The positions at which a byte begins that can be tried as a whole: version and device type.
const BYTES: [usize; 2] = [12, 14];
/// The nibble that cannot be asked for.
const WILDCARD: u8 = 0xF;

impl Search {
    /// Begins the search for the meters that the selection matches.
    #[must_use]
    pub fn new(selection: SecondaryAddress) -> Self {
        let task = Task {
            selection,
            position: 0,
            step: Step::Nibble,
            promised: true,
            second_thought: false,
        };
        Self {
            open: VecDeque::from([task]),
            branches: Vec::new(),
            known: BTreeSet::new(),
            found: BTreeSet::new(),
            tries: 1,
            probes: 0,
        }
    }

    /// Has every silent selection asked so many times, for lines on which requests get lost.
    #[must_use]
    pub const fn with_tries(mut self, tries: u8) -> Self {
        self.tries = tries;
        self
    }

    /// Tells the search of a meter that is on the line for sure.
    pub fn expect(&mut self, meter: SecondaryAddress) {
        self.known.insert(meter);
    }

    /// Returns the number of probes so far.
    #[must_use]
    pub const fn probes(&self) -> u32 {
        self.probes
    }

    /// Returns how many selections are known to be open: a lower bound of what is to come.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Returns the selection to probe next and in how many tries, or `None` when all are found.
    #[must_use]
    pub fn next_probe(&mut self) -> Option<(SecondaryAddress, u8)> {
        loop {
            self.close_branches();
            let task = *self.open.front()?;
            if self.probes >= MAX_PROBES {
                return None;
            }
            let known = self.known.iter();
            let known = known.filter(|meter| task.selection.matches(**meter)).take(2);
            let known = known.count();
            if known == 2 && !task.second_thought && divisible(task).is_some() {
                self.open.pop_front();
                self.note_heard();
                self.divide(task);
                continue;
            }
            let promised = task.promised || known == 1;
            let tries = if promised { Read::MAX_TRIES } else { self.tries };
            return Some((task.selection, tries));
        }
    }

    /// Takes what the probe of the last [`Search::next_probe`] found.
    pub fn report(&mut self, found: Found) -> Option<Hit> {
        let task = self.open.pop_front()?;
        self.probes = self.probes.saturating_add(1);
        match found {
            Found::Nobody => {
                if let Some(branch) = self.branches.last_mut() {
                    branch.silent.push(task);
                }
                None
            }
            Found::Meter { address, telegram } => {
                self.note_heard();
                let address = address.map_or(task.selection, |address| merge(address, task.selection));
                let is_new = self.found.insert(address);
                is_new.then_some(Hit::Meter { address, telegram })
            }
            Found::Several | Found::Unclear => {
                self.note_heard();
                if self.divide(task) {
                    return None;
                }
                let selection = task.selection;
                let is_new = self.found.insert(selection);
                is_new.then_some(Hit::Inseparable { selection })
            }
        }
    }

    fn note_heard(&mut self) {
        if let Some(branch) = self.branches.last_mut() {
            branch.heard = true;
        }
    }

    /// Opens a selection for each value of the first open position; false if there is none.
    fn divide(&mut self, task: Task) -> bool {
        let Some(position) = divisible(task) else {
            return false;
        };
        let task = Task { position, ..task };
        self.branches.push(Branch {
            task,
            rest: self.open.len(),
            found_before: self.found.len(),
            silent: Vec::new(),
            repeated: false,
            heard: false,
        });
        let parts: Vec<Task> = match task.step {
            Step::Nibble => (0..WILDCARD).map(|nibble| part(task, &[nibble])).collect(),
            Step::Byte => (0..u8::MAX)
                .map(|byte| part(task, &[byte >> 4, byte & 0xF]))
                .collect(),
        };
        self.open_first(parts);
        true
    }

    fn open_first(&mut self, tasks: Vec<Task>) {
        for task in tasks.into_iter().rev() {
            self.open.push_front(task);
        }
    }

    /// Ends the branches that have nothing open any more, or tries them in another way.
    fn close_branches(&mut self) {
        while let Some(branch) = self.branches.pop_if(|branch| branch.rest >= self.open.len()) {
            let yielded = self.found.len().saturating_sub(branch.found_before);
            let task = branch.task;
            if yielded < 2 && !branch.repeated && !branch.silent.is_empty() && task.step == Step::Nibble {
                self.open_first(branch.silent.clone());
                self.branches.push(Branch {
                    silent: Vec::new(),
                    repeated: true,
                    ..branch
                });
            } else if !branch.heard {
                // Several were heard, and none of them answers to any value of the position.
                let as_byte = task.step == Step::Nibble && BYTES.contains(&task.position);
                let (step, onwards) = match (as_byte, task.step) {
                    (true, _) => (Step::Byte, 0),
                    (false, Step::Nibble) => (Step::Nibble, 1),
                    (false, Step::Byte) => (Step::Nibble, 2),
                };
                self.open.push_front(Task {
                    position: task.position.saturating_add(onwards),
                    step,
                    second_thought: true,
                    ..task
                });
            }
        }
    }
}

/// Returns the first position that is open and may be divided, if there is one.
fn divisible(task: Task) -> Option<usize> {
    (task.position..SecondaryAddress::POSITIONS).find(|position| task.selection.nibble(*position) == WILDCARD)
}

/// Returns the selection with these nibbles at its position.
fn part(task: Task, nibbles: &[u8]) -> Task {
    let position = task.position.saturating_add(nibbles.len());
    let places = (task.position..).zip(nibbles);
    let selection = places.fold(task.selection, |selection, (position, nibble)| {
        selection.with_nibble(position, *nibble)
    });
    Task {
        selection,
        position,
        step: Step::Nibble,
        promised: false,
        second_thought: false,
    }
}

/// Puts the selection's nibbles where the telegram names none.
fn merge(address: SecondaryAddress, selection: SecondaryAddress) -> SecondaryAddress {
    (0..SecondaryAddress::POSITIONS)
        .filter(|position| address.nibble(*position) == WILDCARD)
        .fold(address, |address, position| {
            address.with_nibble(position, selection.nibble(position))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::link::Control;

    fn telegram(meter: SecondaryAddress) -> LongFrame {
        let data = [&meter.to_le_bytes()[..], &[0; 4]].concat();
        LongFrame::new(Control::RSP_UD, 1, 0x72, data).unwrap()
    }

    fn found(meter: SecondaryAddress) -> Found {
        Found::Meter {
            address: Some(meter),
            telegram: telegram(meter),
        }
    }

    fn meter(text: &str) -> SecondaryAddress {
        text.parse().unwrap()
    }

    /// Searches a line whose answers are computed, and returns what was found in order.
    fn search(mut search: Search, mut answer: impl FnMut(SecondaryAddress) -> Found) -> (Vec<String>, u32) {
        let mut hits = Vec::new();
        while let Some((selection, _)) = search.next_probe() {
            assert!(search.probes() < 20_000, "the search has no end");
            match search.report(answer(selection)) {
                Some(Hit::Meter { address, .. }) => hits.push(address.to_string()),
                Some(Hit::Inseparable { selection }) => hits.push(format!("? {selection}")),
                None => {}
            }
        }
        (hits, search.probes())
    }

    /// A line with these meters, which compare nibble by nibble.
    fn line(meters: &[SecondaryAddress]) -> impl FnMut(SecondaryAddress) -> Found {
        |selection| {
            let matching: Vec<_> = meters.iter().filter(|meter| selection.matches(**meter)).collect();
            match matching[..] {
                [] => Found::Nobody,
                [only] => found(*only),
                _ => Found::Several,
            }
        }
    }

    #[test]
    fn empty_line_takes_one_probe() {
        assert_eq!(
            search(Search::new(SecondaryAddress::ALL), |_| Found::Nobody),
            (vec![], 1)
        );
    }

    #[test]
    fn each_position_can_tell_meters_apart() {
        let base = SecondaryAddress::new(0x1234_5678, 0x0477, 0x14, 0x07);
        for position in 0..SecondaryAddress::POSITIONS {
            let other = base.with_nibble(position, 0xE);
            let (hits, _) = search(Search::new(SecondaryAddress::ALL), line(&[base, other]));
            assert_eq!(hits, [base.to_string(), other.to_string()], "{position}");
        }
    }

    #[test]
    fn selection_bounds_the_search() {
        let meters = [meter("ACW-12345678-14-07"), meter("ACW-22345678-14-07")];
        let (hits, probes) = search(Search::new(meter("2FFFFFFF")), line(&meters));
        assert_eq!((hits, probes), (vec![meters[1].to_string()], 1));
    }

    #[test]
    fn known_meters_save_the_probes_of_their_collisions() {
        let meters = [meter("ACW-12345678-14-07"), meter("ACW-12345679-14-07")];
        let (_, without) = search(Search::new(SecondaryAddress::ALL), line(&meters));
        let mut knowing = Search::new(SecondaryAddress::ALL);
        meters.iter().for_each(|meter| knowing.expect(*meter));
        let (hits, with) = search(knowing, line(&meters));
        assert_eq!(hits.len(), 2);
        assert_eq!(without - with, 8);
    }

    #[test]
    fn noise_that_passes_costs_probes_and_hides_no_meter() {
        let meters = [meter("ACW-12345678-14-07"), meter("ACW-82345678-14-07")];
        for noisy in 0..40 {
            let mut count = 0;
            let mut quiet = line(&meters);
            let (hits, probes) = search(Search::new(SecondaryAddress::ALL), |selection| {
                count += 1;
                if count == noisy {
                    Found::Several
                } else {
                    quiet(selection)
                }
            });
            assert_eq!(hits.len(), 2, "{noisy}");
            assert!(probes < 100, "{probes}");
        }
    }

    #[test]
    fn meter_that_was_silent_once_is_found_all_the_same() {
        let meters = [meter("ACW-12345678-14-07"), meter("ACW-82345678-14-07")];
        for silent in 2..17 {
            let mut count = 0;
            let mut good = line(&meters);
            let (hits, _) = search(Search::new(SecondaryAddress::ALL), |selection| {
                count += 1;
                if count == silent {
                    Found::Nobody
                } else {
                    good(selection)
                }
            });
            assert_eq!(hits.len(), 2, "{silent}");
        }
    }

    #[test]
    fn digits_that_cannot_be_asked_for_are_passed_by() {
        let meters = [meter("ACW-F2345678-14-07"), meter("ACW-F2345679-14-07")];
        let (hits, _) = search(Search::new(SecondaryAddress::ALL), line(&meters));
        assert_eq!(hits, meters.map(|meter| meter.to_string()));
    }

    #[test]
    fn meters_that_compare_whole_bytes_are_told_apart_by_them() {
        let whole = |selection: SecondaryAddress, meter: SecondaryAddress| {
            let fits = |asked: u8, own: u8| asked == 0xFF || asked == own;
            (selection.manufacturer() == 0xFFFF || selection.manufacturer() == meter.manufacturer())
                && SecondaryAddress::new(selection.identification(), 0xFFFF, 0xFF, 0xFF).matches(meter)
                && fits(selection.version(), meter.version())
                && fits(selection.device_type(), meter.device_type())
        };
        let meters = [meter("ACW-12345678-14-07"), meter("ACW-12345678-25-07")];
        let (hits, _) = search(Search::new(SecondaryAddress::ALL), |selection| {
            let matching: Vec<_> = meters.iter().filter(|meter| whole(selection, **meter)).collect();
            match matching[..] {
                [] => Found::Nobody,
                [only] => found(*only),
                _ => Found::Several,
            }
        });
        assert_eq!(hits, meters.map(|meter| meter.to_string()));
    }

    #[test]
    fn twins_are_named_as_such() {
        let twin = meter("ACW-12345678-14-07");
        let (hits, _) = search(Search::new(SecondaryAddress::ALL), line(&[twin, twin]));
        assert_eq!(hits, [format!("? {twin}")]);
    }

    #[test]
    fn telegram_without_a_full_address_is_completed_by_the_selection() {
        let (hits, _) = search(Search::new(meter("1234FFFF")), |_| Found::Meter {
            address: Some(meter("12345678")),
            telegram: telegram(meter("12345678")),
        });
        assert_eq!(hits, ["*-12345678-*-*"]);
    }

    proptest! {
        #[test]
        fn every_meter_is_found_once(
            nibbles in proptest::collection::btree_set(proptest::array::uniform16(0u8..WILDCARD), 0..20),
        ) {
            let address = |nibbles: [u8; 16]| (0..).zip(nibbles).fold(
                SecondaryAddress::ALL,
                |address, (position, nibble)| address.with_nibble(position, nibble),
            );
            let meters: Vec<_> = nibbles.into_iter().map(address).collect();
            let (hits, _) = search(Search::new(SecondaryAddress::ALL), line(&meters));
            let expected: BTreeSet<_> = meters.iter().map(ToString::to_string).collect();
            prop_assert_eq!(hits.len(), expected.len());
            prop_assert_eq!(hits.into_iter().collect::<BTreeSet<_>>(), expected);
        }

        #[test]
        fn any_answers_come_to_an_end(answers in proptest::collection::vec(0u8..4, 0..600)) {
            let mut answers = answers.into_iter();
            let twin = meter("ACW-12345678-14-07");
            search(Search::new(SecondaryAddress::ALL), |_| match answers.next() {
                None | Some(0) => Found::Nobody,
                Some(1) => found(twin),
                Some(2) => Found::Several,
                Some(_) => Found::Unclear,
            });
        }
    }
}
