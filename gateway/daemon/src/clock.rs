//! The one place that reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{Span, Status, Timestamp};

/// A time before this software was written (2026-01-01T00:00:00Z) comes from a clock that was
/// never set, as after a power cut on a board without a battery.
const EARLIEST_UNIX_SECONDS: i64 = 1_767_225_600;

/// The part of the registration period that the clock may be wrong by, 3 % (BSI TR-03109-1), as a divisor.
const PERMITTED_PART: u32 = 33;
/// What is always permitted, in seconds: the clock is read in whole seconds.
const LEAST_PERMITTED: i64 = 2;

/// Reads the system's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one place that reads the clock"
)]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the time by the system's clock.
pub(crate) fn now() -> Timestamp {
    let seconds = i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}

/// Returns the time by the system's clock, in nanoseconds since 1970.
pub(crate) fn nanoseconds() -> i64 {
    i64::try_from(since_epoch().as_nanos()).unwrap_or(i64::MAX)
}

/// Returns by how many seconds the clock of a gateway may be wrong that registers with this period.
pub(crate) fn permitted_deviation(registration_period: Span) -> i64 {
    let permitted = registration_period.seconds().div_euclid(PERMITTED_PART);
    i64::from(permitted).max(LEAST_PERMITTED)
}

/// Returns how long it is until the given time, nothing if that has passed.
pub(crate) fn until(time: Timestamp) -> Duration {
    let target = u64::try_from(time.unix_seconds()).unwrap_or(0);
    Duration::from_secs(target).saturating_sub(since_epoch())
}

/// Returns what is to be marked on a value that is registered at this time.
pub(crate) fn status_at(time: Timestamp) -> Status {
    if time.unix_seconds() < EARLIEST_UNIX_SECONDS {
        Status::CLOCK_UNKNOWN
    } else {
        Status::GOOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_noticed() {
        assert_eq!(status_at(Timestamp::EPOCH), Status::CLOCK_UNKNOWN);
        assert_eq!(status_at("2026-01-01T00:00:00Z".parse().unwrap()), Status::GOOD);
        assert_eq!(status_at(now()), Status::GOOD);
    }

    #[test]
    fn three_percent_of_the_period_are_permitted() {
        assert_eq!(permitted_deviation(Span::QUARTER_HOUR), 27);
        assert_eq!(permitted_deviation(Span::from_seconds(10).unwrap()), 2);
    }

    #[test]
    fn what_has_passed_is_not_waited_for() {
        assert_eq!(until(Timestamp::EPOCH), Duration::ZERO);
        let in_an_hour = now().saturating_add(Span::from_seconds(3600).unwrap());
        assert!(until(in_an_hour) > Duration::from_secs(3500));
    }
}
