//! Whether a message is fresh.

use model::{Span, Timestamp};

/// Checks that a content was written not longer than `window` ago, and not further than `window`
/// in the future, since clocks differ.
///
/// Identities of messages have to be remembered for twice the window, so that none can be
/// repeated while it is fresh.
///
/// # Errors
///
/// [`FreshnessError`] if the time lies outside.
pub fn check_freshness(time: Timestamp, now: Timestamp, window: Span) -> Result<(), FreshnessError> {
    if time < now.saturating_sub(window) {
        return Err(FreshnessError::Stale { time, now });
    }
    if time > now.saturating_add(window) {
        return Err(FreshnessError::FromTheFuture { time, now });
    }
    Ok(())
}

/// The reason why a content is not fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FreshnessError {
    /// It was written too long ago.
    #[error("the message was written at {time}, too long before {now}")]
    Stale {
        /// When it was written, by its sender's clock.
        time: Timestamp,
        /// The own clock.
        now: Timestamp,
    },
    /// It was written too far in the future; one of the two clocks is wrong.
    #[error("the message was written at {time}, too long after {now}")]
    FromTheFuture {
        /// When it was written, by its sender's clock.
        time: Timestamp,
        /// The own clock.
        now: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    #[test]
    fn window_is_closed_at_both_ends() {
        let window = Span::from_seconds(300).unwrap();
        let now = at(1_000);
        for seconds in [700, 1_000, 1_300] {
            assert_eq!(check_freshness(at(seconds), now, window), Ok(()));
        }
        assert_eq!(
            check_freshness(at(699), now, window),
            Err(FreshnessError::Stale { time: at(699), now })
        );
        assert_eq!(
            check_freshness(at(1_301), now, window),
            Err(FreshnessError::FromTheFuture { time: at(1_301), now })
        );
    }
}
