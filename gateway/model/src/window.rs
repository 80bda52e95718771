//! Windows: which stretches of time are evaluated one by one, on the wall clock of which zone.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::text::serde_as_text;
use crate::{ParseTimeError, Period, Span, Timestamp};

/// The most bytes of a zone's rule; those in use have some 30.
const MAX_RULE: usize = 64;

/// A time zone by its rule, such as `CET-1CEST,M3.5.0,M10.5.0/3` (Berlin) or `UTC0`, so that nothing has to be looked up to
/// know what its clocks say.
///
/// Spec: IEEE Std 1003.1-2024, section 8.3, `TZ` of the third form; RFC 9636, section 3.3.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    rule: String,
    zone: TimeZone,
}

impl Zone {
    /// The most changes of the clock that [`Zone::offsets`] gives: a century, twice a year.
    pub const MAX_CHANGES: usize = 200;

    /// Returns the rule.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Returns how many minutes local time is ahead of UTC from the start of a period on, and from each change in it on.
    #[must_use]
    pub fn offsets(&self, period: Period) -> Vec<(Timestamp, i16)> {
        let Ok(start) = jiff::Timestamp::from_second(period.from().unix_seconds()) else {
            return Vec::new();
        };
        let mut offsets = vec![(period.from(), minutes(self.zone.to_offset(start)))];
        for change in self.zone.following(start).take(Self::MAX_CHANGES) {
            match Timestamp::from_unix_seconds(change.timestamp().as_second()) {
                Ok(time) if period.contains(time) => offsets.push((time, minutes(change.offset()))),
                _ => break,
            }
        }
        offsets
    }

    fn date(&self, time: Timestamp) -> Option<Date> {
        let time = jiff::Timestamp::from_second(time.unix_seconds()).ok()?;
        Some(self.zone.to_offset(time).to_datetime(time).date())
    }

    /// Returns when a local day begins.
    fn start_of(&self, date: Date) -> Option<Timestamp> {
        let start = self.zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
        Timestamp::from_unix_seconds(start.as_second()).ok()
    }
}

fn minutes(offset: jiff::tz::Offset) -> i16 {
    let minutes = offset.seconds().checked_div(60).unwrap_or_default();
    i16::try_from(minutes).unwrap_or_default()
}

impl FromStr for Zone {
    type Err = ParseWindowError;

    fn from_str(text: &str) -> Result<Self, ParseWindowError> {
        if text.len() > MAX_RULE || !text.is_ascii() {
            return Err(ParseWindowError::Zone);
        }
        Ok(Self {
            zone: TimeZone::posix(text).map_err(|_| ParseWindowError::Zone)?,
            rule: text.to_owned(),
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.rule)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Zone({})", self.rule)
    }
}

/// How time is cut into windows, text form `day`, `month`, or the step of a grid such as `PT1H`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Days of the local calendar: 23, 24 or 25 hours.
    Day,
    /// Months of the local calendar.
    Month,
    /// The grid that a span lays over UTC from 1970 on.
    Grid(Span),
}

impl Window {
    /// Returns the window that a time lies in, the start included; `None` beyond what can be represented.
    #[must_use]
    pub fn at(self, time: Timestamp, zone: &Zone) -> Option<Period> {
        let (from, to) = match self {
            Self::Day => {
                let date = zone.date(time)?;
                (zone.start_of(date)?, zone.start_of(date.tomorrow().ok()?)?)
            }
            Self::Month => {
                let first = zone.date(time)?.first_of_month();
                let next = first.last_of_month().tomorrow().ok()?;
                (zone.start_of(first)?, zone.start_of(next)?)
            }
            Self::Grid(span) => (span.grid_at_or_before(time), span.grid_after(time)),
        };
        Period::new(from, to).ok()
    }

    /// Returns the first window that begins at a time or behind it.
    #[must_use]
    pub fn from(self, time: Timestamp, zone: &Zone) -> Option<Period> {
        let first = self.at(time, zone)?;
        if first.from() == time {
            Some(first)
        } else {
            self.at(first.to(), zone)
        }
    }
}

impl FromStr for Window {
    type Err = ParseWindowError;

    fn from_str(text: &str) -> Result<Self, ParseWindowError> {
        match text {
            "day" => Ok(Self::Day),
            "month" => Ok(Self::Month),
            span => Ok(Self::Grid(span.parse()?)),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day => formatter.pad("day"),
            Self::Month => formatter.pad("month"),
            Self::Grid(span) => span.fmt(formatter),
        }
    }
}

serde_as_text!(Zone, Window);

/// The reason why a text is no zone or window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseWindowError {
    /// The text is no rule of a zone.
    #[error("a time zone has the form CET-1CEST,M3.5.0,M10.5.0/3 or UTC0")]
    Zone,
    /// The text is neither of the calendar's windows nor a span.
    #[error("a window is a day, a month, or a span such as PT1H")]
    Window(#[from] ParseTimeError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn berlin() -> Zone {
        "CET-1CEST,M3.5.0,M10.5.0/3".parse().unwrap()
    }

    fn hours(window: Window, time: &str) -> (String, i64) {
        let window = window.at(at(time), &berlin()).unwrap();
        let length = window.to().seconds_since(window.from()) / 3_600;
        (window.from().to_string(), length)
    }

    #[test]
    fn local_days_have_23_to_25_hours_and_months_follow_them() {
        let of = |from: &str, hours| (from.to_owned(), hours);
        assert_eq!(
            hours(Window::Day, "2026-03-29T12:00:00Z"),
            of("2026-03-28T23:00:00Z", 23)
        );
        assert_eq!(
            hours(Window::Day, "2026-10-25T12:00:00Z"),
            of("2026-10-24T22:00:00Z", 25)
        );
        assert_eq!(
            hours(Window::Day, "2026-11-30T22:59:59Z"),
            of("2026-11-29T23:00:00Z", 24)
        );
        assert_eq!(
            hours(Window::Month, "2026-10-31T22:59:59Z"),
            of("2026-09-30T22:00:00Z", 31 * 24 + 1)
        );
        assert_eq!(
            hours(Window::Month, "2028-02-29T22:59:59Z"),
            of("2028-01-31T23:00:00Z", 29 * 24)
        );
        let hour: Window = "PT1H".parse().unwrap();
        assert_eq!(hours(hour, "2026-11-30T22:59:59Z"), of("2026-11-30T22:00:00Z", 1));
    }

    #[test]
    fn windows_follow_each_other_without_gap_or_overlap() {
        let zone = berlin();
        for window in ["day", "month", "PT15M"] {
            let window: Window = window.parse().unwrap();
            let mut last = window.from(at("2026-01-01T12:00:00Z"), &zone).unwrap();
            assert!(last.from() >= at("2026-01-01T12:00:00Z"));
            for _ in 0..400 {
                let next = window.from(last.to(), &zone).unwrap();
                assert_eq!(next.from(), last.to());
                last = next;
            }
        }
    }

    #[test]
    fn offsets_begin_with_the_period_and_change_with_the_clock() {
        let year = Period::new(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).unwrap();
        let expected = [
            (at("2026-01-01T00:00:00Z"), 60),
            (at("2026-03-29T01:00:00Z"), 120),
            (at("2026-10-25T01:00:00Z"), 60),
        ];
        assert_eq!(berlin().offsets(year), expected);
        let utc: Zone = "UTC0".parse().unwrap();
        assert_eq!(utc.offsets(year), [(year.from(), 0)]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "Europe/Berlin",
            "CET-1CEST,M3.5.0,M10.5.0/3 ",
            &"X".repeat(65),
        ] {
            assert_eq!(text.parse::<Zone>(), Err(ParseWindowError::Zone), "{text}");
        }
        for text in ["", "week", "P0D"] {
            assert!(
                matches!(text.parse::<Window>(), Err(ParseWindowError::Window(_))),
                "{text}"
            );
        }
        for text in ["day", "month", "PT1H"] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        assert_eq!(berlin().to_string(), berlin().rule());
    }
}
