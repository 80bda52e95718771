//! How long and how often a unit is waited for.

use std::time::Duration;

/// The number of times that a request is sent before it has failed.
pub(super) const MAX_TRIES: u8 = 3;
/// What a wait that has adapted to a meter allows on top of twice the time that the meter took:
/// gateways collect requests of several clients, and mobile networks have their moods.
const ADAPTED_MARGIN: Duration = Duration::from_millis(100);

/// How long and how often a unit is waited for, as it has shown itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patience {
    /// The longest time that the unit may take to begin an answer.
    longest: Duration,
    /// The longest time that it has lately taken.
    answer_time: Option<Duration>,
    tries: u8,
    /// It did not answer the last time.
    lost: bool,
}

impl Patience {
    pub(super) const fn new(longest: Duration) -> Self {
        Self {
            longest,
            answer_time: None,
            tries: MAX_TRIES,
            lost: false,
        }
    }

    pub(super) const fn with_tries(mut self, tries: u8) -> Self {
        self.tries = tries;
        self
    }

    pub(super) const fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Returns how often a request is sent: one that was lost gets one try until it is back.
    pub(super) const fn tries(&self) -> u8 {
        if self.lost { 1 } else { self.tries }
    }

    /// Returns how long the answer to that try is waited for. One that is known to be quick is not
    /// waited for as long as it may take, but for the last try.
    pub(super) fn wait(&self, number: u8) -> Duration {
        match self.answer_time {
            Some(time) if number < self.tries() => time
                .saturating_mul(2)
                .saturating_add(ADAPTED_MARGIN)
                .min(self.longest),
            _ => self.longest,
        }
    }

    /// Takes notice of how long the unit took; what it once took counts less with every answer.
    pub(super) fn answered(&mut self, answer_time: Duration) {
        let fading = self.answer_time.unwrap_or_default();
        let fading = fading.saturating_sub(fading.checked_div(8).unwrap_or_default());
        self.answer_time = Some(fading.max(answer_time));
        self.lost = false;
    }

    /// Takes notice that the unit has not answered to any try.
    pub(super) const fn unanswered(&mut self) {
        self.lost = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_quick_unit_is_waited_for_no_longer_than_it_needs_but_for_the_last_try() {
        let mut patience = Patience::new(1_000 * MILLISECOND);
        assert_eq!(patience.wait(1), 1_000 * MILLISECOND);
        patience.answered(20 * MILLISECOND);
        assert_eq!(patience.wait(1), 140 * MILLISECOND);
        assert_eq!(patience.wait(2), 140 * MILLISECOND);
        assert_eq!(patience.wait(3), 1_000 * MILLISECOND);
        patience.answered(800 * MILLISECOND);
        assert_eq!(patience.wait(1), 1_000 * MILLISECOND);
    }

    #[test]
    fn what_a_unit_once_took_is_forgotten_little_by_little() {
        let mut patience = Patience::new(1_000 * MILLISECOND);
        patience.answered(400 * MILLISECOND);
        for _ in 0..40 {
            patience.answered(10 * MILLISECOND);
        }
        assert_eq!(patience.wait(1), 120 * MILLISECOND);
    }

    #[test]
    fn a_lost_unit_gets_one_full_try_until_it_is_back() {
        let mut patience = Patience::new(1_000 * MILLISECOND);
        patience.answered(20 * MILLISECOND);
        patience.unanswered();
        assert_eq!((patience.tries(), patience.wait(1)), (1, 1_000 * MILLISECOND));
        patience.answered(20 * MILLISECOND);
        assert_eq!(patience.tries(), MAX_TRIES);
    }
}
