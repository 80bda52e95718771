//! Which evaluation goes for another one: each assignment has its share of the room, and nobody's values go for somebody
//! else's as long as they are no more than that.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Evaluations;
use crate::Database;

/// The greatest number of evaluations; some 10 MB of labels, and 60 years of days for one assignment.
const MAX_EVALUATIONS: usize = 20_000;

impl Database {
    /// The greatest number of evaluations, revisions included. Behind it, the oldest one of the assignment goes that has the
    /// most.
    pub const MAX_EVALUATIONS: usize = MAX_EVALUATIONS;
}

impl Evaluations {
    /// Returns whether one has to go for the next one.
    pub(super) fn are_full(&self) -> bool {
        self.rows.len() >= MAX_EVALUATIONS
    }

    /// Returns the evaluation that has to go for another one of an assignment: the oldest one of the assignment that has the
    /// most then.
    pub(super) fn outdated(&self, assignment: [u8; 32]) -> Option<i64> {
        if !self.are_full() {
            return None;
        }
        let mut held: BTreeMap<[u8; 32], (usize, i64)> = BTreeMap::new();
        for (number, entry) in &self.rows {
            let (count, _) = held.entry(entry.label.assignment).or_insert((0, *number));
            *count = count.saturating_add(1);
        }
        if let Some((count, _)) = held.get_mut(&assignment) {
            *count = count.saturating_add(1);
        }
        let most = held
            .values()
            .max_by_key(|(count, first)| (*count, Reverse(*first)));
        most.map(|(_, first)| *first)
    }
}

#[cfg(test)]
mod tests {
    use model::{Fingerprint, Period, Timestamp};
    use proptest::prelude::*;

    use super::super::Label;
    use super::*;

    /// Adds an evaluation of the next window of an assignment, and removes what has to go for it.
    fn add(evaluations: &mut Evaluations, assignment: u8) {
        let last = evaluations.rows.keys().next_back().copied();
        let number = last.unwrap_or_default().saturating_add(1);
        let at = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
        let window = Period::new(at(number), at(number.saturating_add(1))).unwrap();
        let outdated = evaluations.outdated([assignment; 32]);
        let label = Label {
            assignment: [assignment; 32],
            window,
            revision: 1,
            time: window.to(),
            application: Fingerprint::new([1; 32]),
            digest: [1; 32],
            span: (window.from(), window.to()),
            due: (window.to(), window.to()),
            elements: Vec::new(),
        };
        evaluations.add(number, label, false);
        outdated.into_iter().for_each(|number| evaluations.remove(number));
    }

    fn count(evaluations: &Evaluations, assignment: u8) -> usize {
        let rows = evaluations.rows.values();
        rows.filter(|entry| entry.label.assignment == [assignment; 32])
            .count()
    }

    #[test]
    fn one_with_many_windows_flushes_out_nobody_elses_values() {
        let mut evaluations = Evaluations::default();
        (0..730).for_each(|_| add(&mut evaluations, 1));
        (0..MAX_EVALUATIONS).for_each(|_| add(&mut evaluations, 2));
        assert_eq!(count(&evaluations, 1), 730, "the bills of two years stay");
        assert_eq!(evaluations.rows.len(), MAX_EVALUATIONS);
        let first = evaluations.newest.range(([2; 32], Timestamp::EPOCH)..).next();
        let kept = evaluations.rows.keys().nth(730).unwrap();
        assert_eq!(first.unwrap().1, kept, "its own oldest have gone");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

        /// Whoever makes how many windows in whatever order: nobody has fewer left than he made or his share is.
        #[test]
        fn nobody_falls_below_the_share(runs in prop::collection::vec((0u8..4, 0usize..1_000), 6)) {
            let mut evaluations = Evaluations::default();
            (0..MAX_EVALUATIONS.saturating_sub(1_000)).for_each(|_| add(&mut evaluations, 0));
            let mut made = [MAX_EVALUATIONS, 0, 0, 0];
            for (assignment, windows) in runs {
                (0..windows).for_each(|_| add(&mut evaluations, assignment));
                let made = &mut made[usize::from(assignment)];
                *made = made.saturating_add(windows);
            }
            let share = MAX_EVALUATIONS / 4;
            for (assignment, made) in (0u8..).zip(made) {
                prop_assert!(count(&evaluations, assignment) >= made.min(share));
            }
            prop_assert!(evaluations.rows.len() <= MAX_EVALUATIONS);
        }
    }
}
