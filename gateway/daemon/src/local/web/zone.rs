//! The time zone of what is shown: days, months and years of the wall clock, as periods of time.
//!
//! The zone is described as POSIX does it, so that no database of zones is needed on the device. A day on which the clock is
//! put forward has 23 hours, one on which it is put back has 25.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use model::Timestamp;

/// The zone of Germany since 1996 (directive 2000/84/EC), as POSIX writes it.
const CENTRAL_EUROPE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// A time zone.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    zone: TimeZone,
    text: String,
}

/// The text is no zone in the form of POSIX.
#[derive(Debug, thiserror::Error)]
#[error("it is no time zone in the form of POSIX")]
pub(crate) struct ZoneError(#[source] jiff::Error);

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        Ok(Self {
            zone: TimeZone::posix(text).map_err(ZoneError)?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Zone {
    /// Returns the zone of Central Europe.
    pub(crate) fn central_europe() -> Self {
        Self {
            zone: TimeZone::posix(CENTRAL_EUROPE).unwrap_or(TimeZone::UTC),
            text: CENTRAL_EUROPE.to_owned(),
        }
    }

    /// Returns the zone for reckoning with windows of its clock.
    pub(super) fn time_zone(&self) -> TimeZone {
        self.zone.clone()
    }

    /// Returns the wall clock at a time.
    pub(super) fn wall_clock(&self, time: Timestamp) -> DateTime {
        self.zone.to_datetime(instant(time))
    }

    /// Returns the day by the wall clock.
    pub(super) fn day(&self, time: Timestamp) -> Date {
        self.wall_clock(time).date()
    }

    /// Returns when the wall clock shows this: the first time if it does so twice, and if it is left out, as much later as
    /// the clock jumps.
    pub(super) fn time(&self, clock: DateTime) -> Option<Timestamp> {
        let instant = self.zone.to_timestamp(clock).ok()?;
        Timestamp::from_unix_seconds(instant.as_second()).ok()
    }

    /// Returns when a day begins.
    pub(super) fn midnight(&self, day: Date) -> Option<Timestamp> {
        self.time(day.at(0, 0, 0, 0))
    }

    /// Returns how far the wall clock is ahead of UTC, as in `+01:00`.
    pub(super) fn offset(&self, time: Timestamp) -> String {
        let seconds = self.zone.to_offset(instant(time)).seconds();
        let minutes = seconds.unsigned_abs().div_euclid(60);
        let sign = if seconds < 0 { '-' } else { '+' };
        format!(
            "{sign}{:02}:{:02}",
            minutes.div_euclid(60),
            minutes.rem_euclid(60)
        )
    }
}

/// Returns what a clock in UTC shows at a time.
pub(super) fn in_utc(time: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(instant(time))
}

fn instant(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.unix_seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn central_europe_has_days_of_23_and_25_hours() {
        let zone = Zone::central_europe();
        let hours = |day: Date| {
            let next = zone.midnight(day.tomorrow().unwrap()).unwrap();
            next.seconds_since(zone.midnight(day).unwrap()) / 3_600
        };
        assert_eq!(hours(date(2026, 3, 28)), 24);
        assert_eq!(hours(date(2026, 3, 29)), 23);
        assert_eq!(hours(date(2026, 10, 25)), 25);
        let midnight = zone.midnight(date(2026, 7, 1)).unwrap();
        assert_eq!(midnight.to_string(), "2026-06-30T22:00:00Z");
        assert_eq!(zone.offset(midnight), "+02:00");
        assert_eq!(zone.day(midnight), date(2026, 7, 1));
    }

    #[test]
    fn other_zones_are_taken_and_what_is_none_is_refused() {
        let zone: Zone = "GMT0BST,M3.5.0/1,M10.5.0".parse().unwrap();
        assert_eq!(
            zone.midnight(date(2026, 1, 1)).unwrap().to_string(),
            "2026-01-01T00:00:00Z"
        );
        assert_eq!(zone.to_string(), "GMT0BST,M3.5.0/1,M10.5.0");
        assert!("Europe/Berlin".parse::<Zone>().is_err());
    }
}
