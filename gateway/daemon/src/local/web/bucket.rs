//! Token buckets: how often something may be tried by whom. The time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many tries at once, and how long until there is one more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) refill: Duration,
}

/// A bucket of tokens for each key; a key that was quiet for long enough takes no room.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    most: usize,
    /// When each bucket is full again.
    full_at: HashMap<K, Instant>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Makes full buckets for any key, of which so many at most are remembered.
    pub(super) fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most,
            full_at: HashMap::new(),
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one, if there is none.
    pub(super) fn take(&mut self, key: &K, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.get(key).copied().unwrap_or(now).max(now);
        let missing = full_at.saturating_duration_since(now);
        let most_missing = self.rate.refill.saturating_mul(self.rate.burst.saturating_sub(1));
        if missing > most_missing {
            return Err(missing.saturating_sub(most_missing));
        }
        self.make_room(key, now);
        if let Some(later) = full_at.checked_add(self.rate.refill) {
            self.full_at.insert(key.clone(), later);
        }
        Ok(())
    }

    /// Puts a token back that was taken for nothing.
    pub(super) fn give_back(&mut self, key: &K) {
        if let Some(full_at) = self.full_at.get_mut(key)
            && let Some(earlier) = full_at.checked_sub(self.rate.refill)
        {
            *full_at = earlier;
        }
    }

    /// Forgets full buckets, and the fullest one if there are too many all the same.
    fn make_room(&mut self, key: &K, now: Instant) {
        if self.full_at.len() < self.most || self.full_at.contains_key(key) {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= self.most {
            let fullest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
            if let Some(fullest) = fullest.map(|(key, _)| key.clone()) {
                self.full_at.remove(&fullest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        burst: 3,
        refill: Duration::from_secs(10),
    };

    #[test]
    fn burst_is_permitted_and_then_one_by_one() {
        let start = Instant::now();
        let mut buckets = Buckets::new(RATE, 4);
        for _ in 0..3 {
            buckets.take(&'a', start).unwrap();
        }
        assert_eq!(buckets.take(&'a', start), Err(Duration::from_secs(10)));
        buckets.take(&'b', start).unwrap();
        let later = start + Duration::from_secs(4);
        assert_eq!(buckets.take(&'a', later), Err(Duration::from_secs(6)));
        let refilled = start + Duration::from_secs(10);
        buckets.take(&'a', refilled).unwrap();
        assert!(buckets.take(&'a', refilled).is_err());
        buckets.give_back(&'a');
        buckets.take(&'a', refilled).unwrap();
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_the_rate_permits(steps in prop::collection::vec(0u64..30, 1..60)) {
            let start = Instant::now();
            let mut buckets = Buckets::new(RATE, 4);
            let (mut now, mut taken) = (start, 0);
            for step in steps {
                now += Duration::from_secs(step);
                taken += u64::from(buckets.take(&'a', now).is_ok());
                let elapsed = now.duration_since(start).as_secs();
                prop_assert!(taken <= 3 + elapsed / 10);
            }
        }

        #[test]
        fn keys_are_bounded_in_number(keys in prop::collection::vec(0u8..200, 1..300)) {
            let start = Instant::now();
            let mut buckets = Buckets::new(RATE, 4);
            for key in keys {
                buckets.take(&key, start).ok();
                prop_assert!(buckets.full_at.len() <= 4);
            }
        }
    }
}
