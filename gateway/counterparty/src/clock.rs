//! The clock. Everything else takes the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Returns the present second, by the system's clock.
///
/// A clock that stands before 1970 gives the epoch, at which no certificate is valid.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the counterparties that reads the clock"
)]
#[must_use]
pub fn now() -> Timestamp {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok())
        .unwrap_or(Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn present_lies_behind_the_year_2025() {
        assert!(now() > "2025-01-01T00:00:00Z".parse().unwrap());
    }
}
