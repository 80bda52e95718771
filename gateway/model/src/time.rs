//! Points and lengths of time. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// A point in time: whole seconds since 1970-01-01T00:00:00Z, without leap seconds, 64 bits.
///
/// Text form after RFC 3339 in UTC: `2026-11-23T12:00:00Z`. Bounded to the years -9999 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// Builds the point from its seconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`ParseTimeError::Range`] outside the years -9999 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, ParseTimeError> {
        jiff::Timestamp::from_second(seconds)
            .map(Self)
            .map_err(|_| ParseTimeError::Range)
    }

    /// Returns the seconds since the epoch.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Returns the point one span later, at most the greatest that can be represented.
    #[must_use]
    pub fn saturating_add(self, span: Span) -> Self {
        Self::clamped(self.unix_seconds().saturating_add(span.seconds_i64()))
    }

    /// Returns the point one span earlier, at least the least that can be represented.
    #[must_use]
    pub fn saturating_sub(self, span: Span) -> Self {
        Self::clamped(self.unix_seconds().saturating_sub(span.seconds_i64()))
    }

    /// Returns the seconds from `earlier` to `self`, negative if `earlier` is the later one.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.unix_seconds().saturating_sub(earlier.unix_seconds())
    }

    fn clamped(seconds: i64) -> Self {
        let least = jiff::Timestamp::MIN.as_second();
        let greatest = jiff::Timestamp::MAX.as_second();
        jiff::Timestamp::from_second(seconds.clamp(least, greatest)).map_or(Self::EPOCH, Self)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed: jiff::Timestamp = text.parse().map_err(|_| ParseTimeError::Instant)?;
        Self::from_unix_seconds(parsed.as_second())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Timestamp({})", self.0)
    }
}

/// A positive length of time in whole seconds, at most some 136 years.
///
/// Text form after ISO 8601: `PT15M`, `PT5S`, `P730D`, `P1DT12H`; years and months have no fixed
/// length and are refused. It is written in the largest unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u32);

impl Span {
    /// One day of 24 hours.
    pub const DAY: Self = Self(86_400);
    /// A quarter of an hour, the usual registration period.
    pub const QUARTER_HOUR: Self = Self(900);

    /// Builds the span, unless it is zero.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self(seconds)) }
    }

    /// Returns the length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// Returns whether this span is a whole multiple of the other.
    #[must_use]
    pub const fn is_multiple_of(self, other: Self) -> bool {
        self.0.is_multiple_of(other.0)
    }

    /// Returns whether the point lies on the grid that this span lays over UTC from the epoch.
    #[must_use]
    pub fn has_on_grid(self, time: Timestamp) -> bool {
        time.unix_seconds().checked_rem_euclid(self.seconds_i64()) == Some(0)
    }

    /// Returns the least span that is a multiple of both, whose grid has no point that is not on both of theirs; `None` if it
    /// is too long for a span.
    #[must_use]
    pub fn common_multiple(self, other: Self) -> Option<Self> {
        let (mut a, mut b) = (self.0, other.0);
        while b != 0 {
            (a, b) = (b, a.checked_rem(b)?);
        }
        Self::from_seconds(self.0.checked_div(a)?.checked_mul(other.0)?)
    }

    /// Returns the latest point of the grid that is not after `time`.
    #[must_use]
    pub fn grid_at_or_before(self, time: Timestamp) -> Timestamp {
        let seconds = time.unix_seconds();
        let past = seconds.checked_rem_euclid(self.seconds_i64()).unwrap_or(0);
        Timestamp::clamped(seconds.saturating_sub(past))
    }

    /// Returns the earliest point of the grid that is after `time`.
    #[must_use]
    pub fn grid_after(self, time: Timestamp) -> Timestamp {
        self.grid_at_or_before(time).saturating_add(self)
    }

    const fn seconds_i64(self) -> i64 {
        self.0 as i64
    }
}

impl FromStr for Span {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix('P').ok_or(ParseTimeError::Span)?;
        let (days, clock) = match rest.split_once('T') {
            Some((_, "")) => return Err(ParseTimeError::Span),
            Some((days, clock)) => (days, clock),
            None => (rest, ""),
        };
        let date = sum_components(days, &[('W', 604_800), ('D', 86_400)])?;
        let time = sum_components(clock, &[('H', 3_600), ('M', 60), ('S', 1)])?;
        let seconds = date.checked_add(time).ok_or(ParseTimeError::Range)?;
        Self::from_seconds(seconds).ok_or(ParseTimeError::Span)
    }
}

/// Adds up components such as `1H30M`; each unit may stand once, in the given order.
fn sum_components(mut text: &str, units: &[(char, u32)]) -> Result<u32, ParseTimeError> {
    let mut seconds = 0u32;
    for (letter, factor) in units {
        let Some((count, rest)) = text.split_once(*letter) else {
            continue;
        };
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseTimeError::Span);
        }
        let count: u32 = count.parse().map_err(|_| ParseTimeError::Range)?;
        seconds = count
            .checked_mul(*factor)
            .and_then(|part| seconds.checked_add(part))
            .ok_or(ParseTimeError::Range)?;
        text = rest;
    }
    if text.is_empty() {
        Ok(seconds)
    } else {
        Err(ParseTimeError::Span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = [
            (86_400, "P", "D"),
            (3_600, "PT", "H"),
            (60, "PT", "M"),
            (1, "PT", "S"),
        ]
        .into_iter()
        .find_map(|(length, before, letter)| {
            let count = self.0.checked_div(length)?;
            self.0.is_multiple_of(length).then_some((before, count, letter))
        });
        match largest {
            Some((before, count, letter)) => write!(formatter, "{before}{count}{letter}"),
            None => write!(formatter, "PT{}S", self.0),
        }
    }
}

serde_as_text!(Timestamp, Span);

/// A period of time: from its start (included) to its end (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "RawPeriod")]
pub struct Period {
    from: Timestamp,
    to: Timestamp,
}

impl Period {
    /// Builds the period.
    ///
    /// # Errors
    ///
    /// [`ParseTimeError::EmptyPeriod`] unless `from` lies before `to`.
    pub fn new(from: Timestamp, to: Timestamp) -> Result<Self, ParseTimeError> {
        if from < to {
            Ok(Self { from, to })
        } else {
            Err(ParseTimeError::EmptyPeriod { from, to })
        }
    }

    /// Returns the first point that belongs to the period.
    #[must_use]
    pub const fn from(self) -> Timestamp {
        self.from
    }

    /// Returns the first point that no longer belongs to the period.
    #[must_use]
    pub const fn to(self) -> Timestamp {
        self.to
    }

    /// Returns whether the point belongs to the period.
    #[must_use]
    pub fn contains(self, time: Timestamp) -> bool {
        self.from <= time && time < self.to
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeriod {
    from: Timestamp,
    to: Timestamp,
}

impl TryFrom<RawPeriod> for Period {
    type Error = ParseTimeError;

    fn try_from(raw: RawPeriod) -> Result<Self, Self::Error> {
        Self::new(raw.from, raw.to)
    }
}

/// The reason why a text or number is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTimeError {
    /// The text is no instant after RFC 3339.
    #[error("an instant has the form 2026-11-23T12:00:00Z")]
    Instant,
    /// The text is no span after ISO 8601 in weeks, days, hours, minutes and seconds.
    #[error("a span has the form PT15M or P30D and is not zero")]
    Span,
    /// The time lies outside what can be represented.
    #[error("the time lies outside what this gateway can represent")]
    Range,
    /// The period ends before it begins, or is empty.
    #[error("the period from {from} to {to} is empty")]
    EmptyPeriod {
        /// Its start.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn instants_are_utc_seconds() {
        let time = at("2026-11-23T12:00:00Z");
        assert_eq!(time.unix_seconds(), 1_795_435_200);
        assert_eq!(time.to_string(), "2026-11-23T12:00:00Z");
        assert_eq!(at("2026-11-23T13:00:00+01:00"), time);
        assert_eq!("yesterday".parse::<Timestamp>(), Err(ParseTimeError::Instant));
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX), Err(ParseTimeError::Range));
    }

    #[test]
    fn instants_reach_past_2038() {
        assert_eq!(at("2106-02-07T06:28:16Z").unix_seconds(), 4_294_967_296);
    }

    #[test]
    fn grids_that_do_not_fit_meet_in_a_coarser_one() {
        let span = |seconds| Span::from_seconds(seconds).unwrap();
        for (one, other, common) in [(900, 3_600, 3_600), (600, 900, 1_800), (7, 5, 35), (60, 60, 60)] {
            assert_eq!(span(one).common_multiple(span(other)), Some(span(common)));
            assert_eq!(span(other).common_multiple(span(one)), Some(span(common)));
        }
        assert_eq!(span(u32::MAX).common_multiple(span(u32::MAX - 1)), None);
    }

    #[test]
    fn spans_are_written_in_the_largest_unit() {
        for text in ["PT15M", "PT5S", "P730D", "PT36H", "PT90M"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("P1DT12H".parse::<Span>().unwrap().to_string(), "PT36H");
        for text in [
            "", "P", "PT", "15M", "PT0S", "P1M", "P1Y", "PT1.5S", "PT-1S", "PT1S1M",
        ] {
            assert_eq!(text.parse::<Span>(), Err(ParseTimeError::Span), "{text:?}");
        }
        assert_eq!("P99999D".parse::<Span>(), Err(ParseTimeError::Range));
    }

    #[test]
    fn grid_lies_on_the_wall_clock() {
        let quarter = Span::QUARTER_HOUR;
        assert_eq!(
            quarter.grid_at_or_before(at("2026-11-23T12:14:59Z")),
            at("2026-11-23T12:00:00Z")
        );
        assert_eq!(
            quarter.grid_at_or_before(at("2026-11-23T12:15:00Z")),
            at("2026-11-23T12:15:00Z")
        );
        assert_eq!(
            quarter.grid_after(at("2026-11-23T12:15:00Z")),
            at("2026-11-23T12:30:00Z")
        );
        assert_eq!(
            quarter.grid_at_or_before(at("1969-12-31T23:59:59Z")),
            at("1969-12-31T23:45:00Z")
        );
    }

    #[test]
    fn period_excludes_its_end() {
        let period = Period::new(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")).unwrap();
        assert!(period.contains(at("2026-01-01T00:00:00Z")));
        assert!(!period.contains(at("2026-01-02T00:00:00Z")));
        let from = period.from();
        assert_eq!(
            Period::new(from, from),
            Err(ParseTimeError::EmptyPeriod { from, to: from })
        );
    }

    proptest! {
        #[test]
        fn any_span_round_trips(seconds in 1u32..) {
            let span = Span::from_seconds(seconds).unwrap();
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn grid_brackets_every_instant(seconds in -4_000_000_000i64..10_000_000_000, length in 1u32..10_000_000) {
            let span = Span::from_seconds(length).unwrap();
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            prop_assert!(span.has_on_grid(span.grid_at_or_before(time)));
            prop_assert!(span.grid_at_or_before(time) <= time && time < span.grid_after(time));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            if let Ok(span) = text.parse::<Span>() {
                prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
            }
            if let Ok(time) = text.parse::<Timestamp>() {
                prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
            }
        }
    }
}
