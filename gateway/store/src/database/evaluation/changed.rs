//! At which times something was registered, for whoever waits for another try at a window.

use std::collections::BTreeSet;

use model::{Period, Timestamp};

use super::super::Database;
use super::LEAD;

/// How many times are told apart, a meter's quarter hours of some 40 days; behind that, every time between the first and the
/// last counts as changed.
const MAX_TIMES: usize = 4_096;

/// The times at which something was registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangedTimes {
    times: BTreeSet<Timestamp>,
    /// Between these ends, both included, any time may have changed.
    between: Option<(Timestamp, Timestamp)>,
}

impl ChangedTimes {
    pub(super) fn add(&mut self, time: Timestamp) {
        if let Some((first, last)) = &mut self.between {
            (*first, *last) = ((*first).min(time), (*last).max(time));
            return;
        }
        self.times.insert(time);
        if self.times.len() > MAX_TIMES {
            self.between = self.times.first().copied().zip(self.times.last().copied());
            self.times.clear();
        }
    }

    /// Returns whether a reading of one of them may be given to a window: it lies in it, either end included, or no more than
    /// [`LEAD`] before it.
    #[must_use]
    pub fn touch(&self, window: Period) -> bool {
        let (from, to) = (window.from().saturating_sub(LEAD), window.to());
        let between = self.between;
        between.is_some_and(|(first, last)| first <= to && from <= last)
            || self.times.range(from..=to).next().is_some()
    }

    /// Returns the earliest of them.
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        let first = self.between.map(|(first, _)| first);
        first.or_else(|| self.times.first().copied())
    }
}

impl Database {
    /// Returns at which times something was registered since it was last asked, or since the start. One may ask.
    #[must_use]
    pub fn take_changed_times(&self) -> ChangedTimes {
        std::mem::take(&mut self.lock().evaluations.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_times_are_taken_together() {
        let at = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
        let window = |from, to| Period::new(at(from), at(to)).unwrap();
        let mut changed = ChangedTimes::default();
        assert_eq!(changed.earliest(), None);
        let lead = i64::from(LEAD.seconds());
        changed.add(at(100));
        changed.add(at(lead + 9_000));
        assert!(changed.touch(window(50, 100)) && !changed.touch(window(50, 99)));
        assert!(changed.touch(window(lead + 100, lead + 200)));
        assert!(!changed.touch(window(lead + 101, lead + 8_999)));
        for time in 10_000..20_000 {
            changed.add(at(lead + time));
        }
        changed.add(at(90));
        assert!(changed.times.is_empty());
        assert!(changed.touch(window(lead + 101, lead + 8_999)) && changed.touch(window(0, 90)));
        assert!(!changed.touch(window(0, 89)));
        assert!(!changed.touch(window(2 * lead + 20_000, 2 * lead + 30_000)));
        assert_eq!(changed.earliest(), Some(at(90)));
    }
}
