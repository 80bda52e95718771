//! Days, weeks, months and years of the wall clock, and the parts that a chart of each has.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use model::Timestamp;

use super::zone::Zone;

/// The length of a part of a day in seconds: an hour.
const HOUR: i64 = 3_600;
/// The most parts: a month has 31 days, the longest day 25 hours.
const MOST_PARTS: usize = 32;

/// What is looked at at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Day,
    Week,
    Month,
    Year,
}

impl Span {
    /// All of them, the shortest first.
    pub(super) const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    /// Returns how it is written in an address.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Reads how it is written in an address.
    pub(super) fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|span| span.code() == code)
    }

    /// Returns the first day of the one that a day lies in; weeks begin on Mondays (ISO 8601).
    pub(super) fn first_day(self, day: Date) -> Option<Date> {
        match self {
            Self::Day => Some(day),
            Self::Week => {
                let since_monday = day.weekday().since(Weekday::Monday);
                day.checked_sub(i32::from(since_monday).days()).ok()
            }
            Self::Month => Some(day.first_of_month()),
            Self::Year => Some(day.first_of_year()),
        }
    }

    /// Returns the first day of the next one, or of the one before.
    pub(super) fn neighbour(self, first: Date, is_next: bool) -> Option<Date> {
        let length = match self {
            Self::Day => 1.days(),
            Self::Week => 1.weeks(),
            Self::Month => 1.months(),
            Self::Year => 1.years(),
        };
        let moved = if is_next {
            first.checked_add(length)
        } else {
            first.checked_sub(length)
        };
        moved.ok()
    }

    /// Returns the times at which its parts begin, and where the last one ends.
    pub(super) fn bounds(self, zone: &Zone, first: Date) -> Option<Vec<Timestamp>> {
        let end = self.neighbour(first, true)?;
        let mut bounds = Vec::new();
        match self {
            Self::Day => {
                let (from, to) = (zone.midnight(first)?, zone.midnight(end)?);
                for hour in 0..i64::try_from(MOST_PARTS).ok()? {
                    let seconds = from.unix_seconds().checked_add(hour.checked_mul(HOUR)?)?;
                    if seconds >= to.unix_seconds() {
                        break;
                    }
                    bounds.push(Timestamp::from_unix_seconds(seconds).ok()?);
                }
            }
            Self::Week | Self::Month | Self::Year => {
                let step = if self == Self::Year {
                    Self::Month
                } else {
                    Self::Day
                };
                let mut day = first;
                while day < end && bounds.len() < MOST_PARTS {
                    bounds.push(zone.midnight(day)?);
                    day = step.neighbour(day, true)?;
                }
            }
        }
        bounds.push(zone.midnight(end)?);
        Some(bounds)
    }

    /// Returns what stands below a part of a chart: the hour, the day or the month.
    pub(super) fn label(self, zone: &Zone, time: Timestamp) -> String {
        let clock = zone.wall_clock(time);
        match self {
            Self::Day => clock.hour().to_string(),
            Self::Week | Self::Month => clock.day().to_string(),
            Self::Year => clock.month().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn lengths(span: Span, first: Date) -> Vec<i64> {
        let bounds = span.bounds(&Zone::central_europe(), first).unwrap();
        bounds
            .windows(2)
            .map(|pair| pair[1].seconds_since(pair[0]))
            .collect()
    }

    #[test]
    fn days_have_as_many_hours_as_the_wall_clock_says() {
        for (day, hours) in [
            (date(2026, 3, 29), 23),
            (date(2026, 10, 25), 25),
            (date(2026, 11, 30), 24),
        ] {
            assert_eq!(lengths(Span::Day, day), vec![3_600; hours]);
        }
    }

    #[test]
    fn weeks_begin_on_mondays_and_months_have_their_days() {
        assert_eq!(Span::Week.first_day(date(2026, 11, 29)), Some(date(2026, 11, 23)));
        assert_eq!(Span::Week.first_day(date(2026, 11, 30)), Some(date(2026, 11, 30)));
        assert_eq!(lengths(Span::Week, date(2026, 10, 19))[6], 25 * 3_600);
        assert_eq!(lengths(Span::Month, date(2028, 2, 1)).len(), 29);
        assert_eq!(lengths(Span::Month, date(2026, 12, 1)).len(), 31);
        assert_eq!(lengths(Span::Year, date(2026, 1, 1)).len(), 12);
        assert_eq!(
            Span::Month.neighbour(date(2026, 1, 1), false),
            Some(date(2025, 12, 1))
        );
    }

    #[test]
    fn hour_that_comes_twice_is_labelled_twice() {
        let zone = Zone::central_europe();
        let bounds = Span::Day.bounds(&zone, date(2026, 10, 25)).unwrap();
        let labels = bounds.iter().take(5).map(|time| Span::Day.label(&zone, *time));
        assert_eq!(labels.collect::<Vec<_>>(), ["0", "1", "2", "2", "3"]);
    }

    proptest! {
        #[test]
        fn parts_follow_each_other_without_a_gap(days in 0i32..40_000, which in 0usize..4) {
            let (span, zone) = (Span::ALL[which], Zone::central_europe());
            let day = date(1990, 1, 1).checked_add(days.days()).unwrap();
            let first = span.first_day(day).unwrap();
            let bounds = span.bounds(&zone, first).unwrap();
            prop_assert!(bounds.is_sorted_by(|one, two| one < two));
            prop_assert!(bounds.len() <= MOST_PARTS + 1);
            let next = span.neighbour(first, true).unwrap();
            prop_assert!(first <= day && day < next);
            prop_assert_eq!(span.neighbour(next, false), Some(first));
            prop_assert_eq!(bounds.last().copied(), span.bounds(&zone, next).unwrap().first().copied());
        }
    }
}
