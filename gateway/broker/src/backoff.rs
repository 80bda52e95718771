//! When to come back to a broker that could not be reached, or that sent the client away.
//!
//! Thousands of gateways lose the same broker in the same second, and power returns to all of them at once. So each
//! waits a random time out of a span that doubles with every failure ("full jitter"), and a random time after its start.
//! Pure: the random number comes in as an argument.

use std::time::Duration;

/// The spans between which the waits lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest wait after the first failure.
    pub first: Duration,
    /// The longest wait after many.
    pub longest: Duration,
}

impl Patience {
    /// A fleet's: from one second to a quarter of an hour.
    pub const FLEET: Self = Self {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(900),
    };
}

/// How often in a row it did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    patience: Patience,
    failures: u32,
}

impl Return {
    /// Begins without a failure.
    #[must_use]
    pub const fn new(patience: Patience) -> Self {
        Self {
            patience,
            failures: 0,
        }
    }

    /// Takes a connection that served for a success: the next failure is the first again.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Returns how long to wait after a failure; `random` is drawn evenly from all 32-bit numbers.
    pub fn failed(&mut self, random: u32) -> Duration {
        let span = self.span();
        self.failures = self.failures.saturating_add(1);
        part_of(span, random)
    }

    /// Returns how long to wait after the broker said that this client may not come in: that is not cured by coming
    /// soon, and every attempt costs the broker a handshake. At least half of the longest wait.
    pub fn refused(&mut self, random: u32) -> Duration {
        self.failures = u32::MAX;
        let half = self.patience.longest.checked_div(2).unwrap_or_default();
        half.saturating_add(part_of(half, random))
    }

    fn span(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.patience
            .first
            .saturating_mul(factor)
            .min(self.patience.longest)
    }
}

/// Returns the part of a span that a random number stands for: none for 0, nearly all for the greatest.
#[must_use]
pub fn part_of(span: Duration, random: u32) -> Duration {
    let nanoseconds = span.as_nanos().saturating_mul(u128::from(random)) >> u32::BITS;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(60),
    };

    #[test]
    fn waits_are_random_parts_of_a_span_that_doubles_up_to_its_limit() {
        let mut waits = Return::new(PATIENCE);
        let half = 1 << 31;
        let mut seen = Vec::new();
        for _ in 0..9 {
            seen.push(waits.failed(half).as_millis());
        }
        assert_eq!(
            seen,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
        );
        for _ in 0..100 {
            assert!(waits.failed(u32::MAX) < PATIENCE.longest);
        }
        assert_eq!(waits.failed(0), Duration::ZERO);
        waits.succeeded();
        assert_eq!(waits.failed(half), Duration::from_millis(500));
    }

    #[test]
    fn who_is_refused_comes_back_late() {
        let mut waits = Return::new(PATIENCE);
        assert_eq!(waits.refused(0), Duration::from_secs(30));
        assert!(waits.refused(u32::MAX) > Duration::from_secs(59));
        assert_eq!(waits.failed(1 << 31), Duration::from_secs(30));
    }
}
