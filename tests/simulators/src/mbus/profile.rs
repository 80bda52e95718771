//! How a rate runs over time, and what it adds up to.

use std::time::Duration;

const MILLISECONDS_PER_HOUR: u128 = 3_600_000;

/// A rate that repeats itself: steps of a duration in seconds and a rate per hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile(pub(super) &'static [(u32, u32)]);

impl Profile {
    /// Returns the rate per hour at a time.
    pub(super) fn rate(self, at: Duration) -> u32 {
        let mut left = at.as_millis().checked_rem(self.period()).unwrap_or(0);
        for (seconds, rate) in self.0 {
            let length = u128::from(*seconds) * 1000;
            if left < length {
                return *rate;
            }
            left -= length;
        }
        0
    }

    /// Returns what the rate has added up to since time 0: it never falls.
    pub(super) fn total(self, until: Duration) -> u64 {
        let milliseconds = until.as_millis();
        let Some(periods) = milliseconds.checked_div(self.period()) else {
            return 0;
        };
        let mut left = milliseconds - periods * self.period();
        let (mut in_period, mut in_part) = (0, 0);
        for (seconds, rate) in self.0 {
            let length = u128::from(*seconds) * 1000;
            in_period += length * u128::from(*rate);
            in_part += left.min(length) * u128::from(*rate);
            left = left.saturating_sub(length);
        }
        let sum = periods.saturating_mul(in_period).saturating_add(in_part);
        u64::try_from(sum / MILLISECONDS_PER_HOUR).unwrap_or(u64::MAX)
    }

    fn period(self) -> u128 {
        self.0
            .iter()
            .map(|(seconds, _)| u128::from(*seconds) * 1000)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: Profile = Profile(&[(10, 3600), (20, 0), (30, 7200)]);

    #[test]
    fn rate_follows_the_steps_and_repeats() {
        for (second, rate) in [(0, 3600), (9, 3600), (10, 0), (30, 7200), (59, 7200), (60, 3600)] {
            assert_eq!(STEPS.rate(Duration::from_secs(second)), rate, "{second}");
        }
    }

    #[test]
    fn total_is_the_sum_of_the_rate() {
        for (second, total) in [(0, 0), (5, 5), (10, 10), (30, 10), (31, 12), (60, 70), (125, 145)] {
            assert_eq!(STEPS.total(Duration::from_secs(second)), total, "{second}");
        }
    }

    #[test]
    fn profile_without_steps_stands_still() {
        assert_eq!(Profile(&[]).total(Duration::from_secs(5)), 0);
        assert_eq!(Profile(&[]).rate(Duration::from_secs(5)), 0);
    }
}
