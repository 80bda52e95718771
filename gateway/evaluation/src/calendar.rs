//! Tariff calendars, and how they are rolled out into slots.
//!
//! A calendar says which stage holds at which time on the wall clock, by season and kind of day. A guest never sees it: the
//! host rolls it out over the window, with the offsets of the time zone that its caller hands in, and daylight saving is
//! solved once. A slot lies within one local day.
//!
//! The calendar follows the wall clock. When the clock is put forward, a change in the hour that is left out takes effect
//! when the clock jumps; when it is put back, the hour that comes twice is rated by the clock both times.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use model::{Period, Timestamp, Zone};
use serde::{Deserialize, Serialize};

use crate::limits::MAX_SLOTS;

/// The most seasons of a calendar.
pub const MAX_SEASONS: usize = 12;
/// The most changes of the stage in a day.
pub const MAX_CHANGES: usize = 96;
/// The most holidays of a calendar: ten years with forty each.
pub const MAX_HOLIDAYS: usize = 400;
/// The most changes of the offset that a zone is described with: a century, twice a year.
pub const MAX_TRANSITIONS: usize = 200;
/// The highest stage; 63 is the register for what cannot be assigned.
pub const MAX_STAGE: u16 = 62;

const SECONDS_OF_DAY: i64 = 86_400;
const MINUTES_OF_DAY: u16 = 1_440;

/// The stages of a tariff by season, kind of day and time of day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawCalendar", into = "RawCalendar")]
pub struct Calendar {
    seasons: Vec<Season>,
    holidays: BTreeSet<Date>,
}

/// What holds from a day of the year on, until the next season begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Season {
    /// The first day.
    pub from: MonthDay,
    /// Mondays to Fridays.
    pub work: Schedule,
    /// Saturdays.
    pub saturday: Schedule,
    /// Sundays.
    pub sunday: Schedule,
    /// Holidays, on whatever day of the week.
    pub holiday: Schedule,
}

/// The changes of the stage in a day, the first at 00:00.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(ClockTime, u16)>", into = "Vec<(ClockTime, u16)>")]
pub struct Schedule(Vec<(ClockTime, u16)>);

/// A time of day in minutes from midnight on the wall clock, text form `06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockTime(u16);

/// A day of any year, text form `03-31`; the 29th of February begins with the 1st of March in other years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonthDay {
    month: i8,
    day: i8,
}

/// The kind of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayKind {
    /// Monday to Friday.
    Work,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
    /// A holiday of the calendar.
    Holiday,
}

impl DayKind {
    /// Returns the code in the input blob.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Work => 0,
            Self::Saturday => 1,
            Self::Sunday => 2,
            Self::Holiday => 3,
        }
    }

    /// Returns the kind of a code in the input blob.
    #[must_use]
    pub const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Work),
            1 => Some(Self::Saturday),
            2 => Some(Self::Sunday),
            3 => Some(Self::Holiday),
            _ => None,
        }
    }
}

/// A time in which one stage holds, within one local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its first second.
    pub from: Timestamp,
    /// The first second behind it.
    pub to: Timestamp,
    /// How far local time is ahead of UTC, in minutes.
    pub offset_minutes: i16,
    /// The stage.
    pub stage: u16,
    /// The kind of the local day.
    pub day: DayKind,
}

/// How far the local time of a zone is ahead of UTC, in minutes: from a time on, until the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Timestamp, i16)>", into = "Vec<(Timestamp, i16)>")]
pub struct Offsets(Vec<(Timestamp, i16)>);

impl Offsets {
    /// The most minutes that local time is ahead of UTC or behind it.
    pub const MAX_MINUTES: u16 = 18 * 60;

    /// Returns a zone that never changes its clock.
    #[must_use]
    pub fn fixed(from: Timestamp, minutes: i16) -> Option<Self> {
        Self::try_from(vec![(from, minutes)]).ok()
    }

    /// Returns the offsets that a zone has in a window.
    ///
    /// # Errors
    ///
    /// [`CalendarError::Offsets`] if its clock changes more often than a zone's does.
    pub fn of(zone: &Zone, window: Period) -> Result<Self, CalendarError> {
        Self::try_from(zone.offsets(window))
    }

    /// Cuts the window where the offset changes; `None` if it begins before the first entry.
    fn pieces(&self, window: Period) -> Option<Vec<(i64, i64, i16)>> {
        let (from, to) = (window.from().unix_seconds(), window.to().unix_seconds());
        let ends = self.0.iter().skip(1).map(|(next, _)| next.unix_seconds());
        let ends = ends.chain([i64::MAX]);
        let known_from = self.0.first()?.0;
        if known_from > window.from() {
            return None;
        }
        let pieces = self.0.iter().zip(ends).map(|((begin, minutes), end)| {
            let begin = begin.unix_seconds().max(from);
            (begin, end.min(to), *minutes)
        });
        Some(pieces.filter(|(begin, end, _)| begin < end).collect())
    }
}

impl TryFrom<Vec<(Timestamp, i16)>> for Offsets {
    type Error = CalendarError;

    fn try_from(entries: Vec<(Timestamp, i16)>) -> Result<Self, CalendarError> {
        let ordered = entries.is_sorted_by(|(one, _), (two, _)| one < two);
        let sensible = entries
            .iter()
            .all(|(_, minutes)| minutes.unsigned_abs() <= Self::MAX_MINUTES);
        if entries.is_empty() || entries.len() > MAX_TRANSITIONS || !ordered || !sensible {
            return Err(CalendarError::Offsets);
        }
        Ok(Self(entries))
    }
}

impl From<Offsets> for Vec<(Timestamp, i16)> {
    fn from(offsets: Offsets) -> Self {
        offsets.0
    }
}

impl Calendar {
    /// Builds a calendar.
    ///
    /// # Errors
    ///
    /// [`CalendarError`] if there are no seasons, too many, or they are out of order, or too many holidays.
    pub fn new(seasons: Vec<Season>, holidays: BTreeSet<Date>) -> Result<Self, CalendarError> {
        let ordered = seasons.is_sorted_by(|one, two| one.from < two.from);
        if seasons.is_empty() || seasons.len() > MAX_SEASONS || !ordered {
            return Err(CalendarError::Seasons);
        }
        if holidays.len() > MAX_HOLIDAYS {
            return Err(CalendarError::Holidays);
        }
        Ok(Self { seasons, holidays })
    }

    /// Rolls the calendar out over the window: slots that cover it without gaps, in order.
    ///
    /// # Errors
    ///
    /// [`CalendarError::OffsetUnknown`] if the window begins before the first offset,
    /// [`CalendarError::TooManySlots`] if it is too long for the interface.
    pub fn slots(&self, window: Period, zone: &Offsets) -> Result<Vec<Slot>, CalendarError> {
        let mut slots = Vec::new();
        let pieces = zone.pieces(window);
        for (from, to, minutes) in
            pieces.ok_or_else(|| CalendarError::OffsetUnknown { from: window.from() })?
        {
            let ahead = i64::from(minutes).saturating_mul(60);
            let mut local = from.saturating_add(ahead);
            let end = to.saturating_add(ahead);
            while local < end {
                let rated = self.at(local).ok_or(CalendarError::Time)?;
                let until = rated.until.min(end);
                if slots.len() >= MAX_SLOTS {
                    return Err(CalendarError::TooManySlots);
                }
                slots.push(Slot {
                    from: timestamp(local.saturating_sub(ahead))?,
                    to: timestamp(until.saturating_sub(ahead))?,
                    offset_minutes: minutes,
                    stage: rated.stage,
                    day: rated.day,
                });
                local = until;
            }
        }
        Ok(slots)
    }

    /// Returns what holds at a local time, and until when it does at most.
    fn at(&self, local: i64) -> Option<Rated> {
        let days = local.div_euclid(SECONDS_OF_DAY);
        let midnight = days.checked_mul(SECONDS_OF_DAY)?;
        let second = local.checked_sub(midnight)?;
        let date = date(days)?;
        let day = self.kind(date);
        let season = self.season(date)?;
        let schedule = match day {
            DayKind::Work => &season.work,
            DayKind::Saturday => &season.saturday,
            DayKind::Sunday => &season.sunday,
            DayKind::Holiday => &season.holiday,
        };
        let past = schedule.0.iter().take_while(|(time, _)| time.seconds() <= second);
        let (_, stage) = past.last()?;
        let next = schedule.0.iter().map(|(time, _)| time.seconds());
        let next = next.into_iter().find(|seconds| *seconds > second);
        let until = midnight.checked_add(next.unwrap_or(SECONDS_OF_DAY))?;
        Some(Rated {
            stage: *stage,
            day,
            until,
        })
    }

    fn kind(&self, date: Date) -> DayKind {
        if self.holidays.contains(&date) {
            return DayKind::Holiday;
        }
        match date.weekday() {
            Weekday::Saturday => DayKind::Saturday,
            Weekday::Sunday => DayKind::Sunday,
            _ => DayKind::Work,
        }
    }

    /// Returns the season of the day: the latest that has begun this year, else the last one of the year before.
    fn season(&self, date: Date) -> Option<&Season> {
        let today = MonthDay {
            month: date.month(),
            day: date.day(),
        };
        let begun = self.seasons.iter().rev().find(|season| season.from <= today);
        begun.or_else(|| self.seasons.last())
    }
}

/// What holds at a local time.
struct Rated {
    stage: u16,
    day: DayKind,
    /// Local time, seconds.
    until: i64,
}

/// Returns the date that lies so many days behind 1970-01-01.
fn date(days: i64) -> Option<Date> {
    let seconds = days.checked_mul(SECONDS_OF_DAY)?;
    let midnight = jiff::Timestamp::from_second(seconds).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(midnight).date())
}

fn timestamp(seconds: i64) -> Result<Timestamp, CalendarError> {
    Timestamp::from_unix_seconds(seconds).map_err(|_| CalendarError::Time)
}

impl ClockTime {
    fn seconds(self) -> i64 {
        i64::from(self.0).saturating_mul(60)
    }
}

impl TryFrom<Vec<(ClockTime, u16)>> for Schedule {
    type Error = CalendarError;

    fn try_from(changes: Vec<(ClockTime, u16)>) -> Result<Self, CalendarError> {
        let begins = changes.first().is_some_and(|(time, _)| *time == ClockTime(0));
        let ordered = changes.is_sorted_by(|(one, _), (two, _)| one < two);
        if !begins || !ordered || changes.len() > MAX_CHANGES {
            return Err(CalendarError::Schedule);
        }
        if let Some((_, stage)) = changes.iter().find(|(_, stage)| !(1..=MAX_STAGE).contains(stage)) {
            return Err(CalendarError::Stage { found: *stage });
        }
        Ok(Self(changes))
    }
}

impl From<Schedule> for Vec<(ClockTime, u16)> {
    fn from(schedule: Schedule) -> Self {
        schedule.0
    }
}

impl FromStr for ClockTime {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let (hour, minute) = two_digits(text, ':').ok_or(CalendarError::ClockTime)?;
        let minutes = hour
            .checked_mul(60)
            .and_then(|minutes| minutes.checked_add(minute));
        let in_day = minutes.filter(|minutes| minute < 60 && *minutes < MINUTES_OF_DAY);
        in_day.map(Self).ok_or(CalendarError::ClockTime)
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute) = (self.0.checked_div(60), self.0.checked_rem(60));
        write!(
            formatter,
            "{:02}:{:02}",
            hour.unwrap_or_default(),
            minute.unwrap_or_default()
        )
    }
}

impl FromStr for MonthDay {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        const LEAP_YEAR: i16 = 2000;
        let parsed = two_digits(text, '-').and_then(|(month, day)| {
            let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
            Date::new(LEAP_YEAR, month, day).ok()?;
            Some(Self { month, day })
        });
        parsed.ok_or(CalendarError::MonthDay)
    }
}

impl fmt::Display for MonthDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}-{:02}", self.month, self.day)
    }
}

/// Reads two numbers of two digits each.
fn two_digits(text: &str, between: char) -> Option<(u16, u16)> {
    let (one, two) = text.split_once(between)?;
    let number = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    Some((number(one)?, number(two)?))
}

macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(ClockTime, MonthDay);

/// The calendar as it is written: dates as text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCalendar {
    seasons: Vec<Season>,
    #[serde(default)]
    holidays: Vec<String>,
}

impl TryFrom<RawCalendar> for Calendar {
    type Error = CalendarError;

    fn try_from(raw: RawCalendar) -> Result<Self, CalendarError> {
        if raw.holidays.len() > MAX_HOLIDAYS {
            return Err(CalendarError::Holidays);
        }
        let dates = raw.holidays.iter().map(|text| text.parse::<Date>());
        let dates: Result<_, _> = dates.collect();
        Self::new(raw.seasons, dates.map_err(|_| CalendarError::Holidays)?)
    }
}

impl From<Calendar> for RawCalendar {
    fn from(calendar: Calendar) -> Self {
        Self {
            seasons: calendar.seasons,
            holidays: calendar.holidays.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The reason why something is no calendar, or cannot be rolled out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// No season, too many, or not in the order of the year.
    #[error("a calendar has 1 to {MAX_SEASONS} seasons in the order of the year")]
    Seasons,
    /// Too many holidays, or one is no date.
    #[error("a calendar has at most {MAX_HOLIDAYS} holidays, written as 2026-12-25")]
    Holidays,
    /// The changes of a day do not begin at midnight, are too many or out of order.
    #[error("the stages of a day begin at 00:00 and follow in order, {MAX_CHANGES} at most")]
    Schedule,
    /// A stage that no tariff has.
    #[error("stage {found} is not between 1 and {MAX_STAGE}")]
    Stage {
        /// The stage.
        found: u16,
    },
    /// A text is no time of day.
    #[error("a time of day has the form 06:00")]
    ClockTime,
    /// A text is no day of the year.
    #[error("a day of the year has the form 03-31")]
    MonthDay,
    /// The offsets of the zone are none, too many, too great or out of order.
    #[error("the offsets of a zone are in order, within 18 hours, and at most {MAX_TRANSITIONS}")]
    Offsets,
    /// The zone's offset is not known where the window begins.
    #[error("the offset of the zone is not known at {from}")]
    OffsetUnknown {
        /// The start of the window.
        from: Timestamp,
    },
    /// A time cannot be represented.
    #[error("a time of the calendar lies outside the years -9999 to 9999")]
    Time,
    /// The window has too many changes.
    #[error("the calendar has more than {MAX_SLOTS} slots in the window")]
    TooManySlots,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{berlin, calendar, window};

    fn shown(slots: &[Slot]) -> Vec<String> {
        slots
            .iter()
            .map(|slot| {
                format!(
                    "{} {} {} {:?}",
                    slot.from, slot.offset_minutes, slot.stage, slot.day
                )
            })
            .collect()
    }

    #[test]
    fn hour_that_is_left_out_moves_a_change_to_the_jump() {
        // Sunday 2026-03-29, 02:00 becomes 03:00; the sample changes at 02:30 on Sundays.
        let slots = calendar()
            .slots(window("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), &berlin())
            .unwrap();
        assert_eq!(
            shown(&slots),
            [
                "2026-03-28T23:00:00Z 60 2 Sunday",
                "2026-03-29T01:00:00Z 120 1 Sunday",
            ]
        );
        assert_eq!(slots[1].to.to_string(), "2026-03-29T22:00:00Z");
    }

    #[test]
    fn hour_that_comes_twice_is_rated_by_the_clock_both_times() {
        let slots = calendar()
            .slots(window("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), &berlin())
            .unwrap();
        assert_eq!(
            shown(&slots),
            [
                "2026-10-24T22:00:00Z 120 2 Sunday",
                "2026-10-25T00:30:00Z 120 1 Sunday",
                "2026-10-25T01:00:00Z 60 2 Sunday",
                "2026-10-25T01:30:00Z 60 1 Sunday",
            ]
        );
    }

    #[test]
    fn holidays_seasons_and_leap_days_are_followed() {
        let slots = calendar()
            .slots(window("2028-02-28T23:00:00Z", "2028-03-01T23:00:00Z"), &berlin())
            .unwrap();
        // The 29th of February is a Tuesday; the season of the sample changes on the 1st of March.
        assert_eq!(
            shown(&slots),
            [
                "2028-02-28T23:00:00Z 60 2 Work",
                "2028-02-29T05:00:00Z 60 1 Work",
                "2028-02-29T21:00:00Z 60 2 Work",
                "2028-02-29T23:00:00Z 60 3 Work",
            ]
        );
        let slots = calendar()
            .slots(window("2026-12-24T23:00:00Z", "2026-12-25T23:00:00Z"), &berlin())
            .unwrap();
        assert_eq!(shown(&slots), ["2026-12-24T23:00:00Z 60 2 Holiday"]);
    }

    #[test]
    fn calendars_that_make_no_sense_are_refused() {
        let time = |text: &str| text.parse::<ClockTime>();
        assert_eq!(time("24:00"), Err(CalendarError::ClockTime));
        assert_eq!(time("6:00"), Err(CalendarError::ClockTime));
        assert_eq!("02-30".parse::<MonthDay>(), Err(CalendarError::MonthDay));
        assert_eq!(
            Schedule::try_from(vec![(time("01:00").unwrap(), 1)]),
            Err(CalendarError::Schedule)
        );
        assert_eq!(
            Schedule::try_from(vec![(time("00:00").unwrap(), 63)]),
            Err(CalendarError::Stage { found: 63 })
        );
        assert_eq!(
            Calendar::new(Vec::new(), BTreeSet::new()),
            Err(CalendarError::Seasons)
        );
        let seasons = calendar().seasons;
        let many = (0..=MAX_HOLIDAYS)
            .map(|day| date(i64::try_from(day).unwrap()).unwrap())
            .collect();
        assert_eq!(Calendar::new(seasons, many), Err(CalendarError::Holidays));
        assert_eq!(Offsets::try_from(Vec::new()), Err(CalendarError::Offsets));
    }

    #[test]
    fn windows_that_cannot_be_rolled_out_are_refused() {
        let early = window("1969-01-01T00:00:00Z", "1970-01-01T00:00:00Z");
        assert_eq!(
            calendar().slots(early, &berlin()),
            Err(CalendarError::OffsetUnknown { from: early.from() })
        );
        let long = window("2000-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
        assert_eq!(
            calendar().slots(long, &berlin()),
            Err(CalendarError::TooManySlots)
        );
        let last = window("9999-12-30T00:00:00Z", "9999-12-30T21:00:00Z");
        let ahead = Offsets::fixed(Timestamp::EPOCH, 1080).unwrap();
        assert!(matches!(
            calendar().slots(last, &ahead),
            Ok(_) | Err(CalendarError::Time)
        ));
    }

    #[test]
    fn calendar_reads_back_its_json() {
        let json = serde_json::to_string(&calendar()).unwrap();
        assert_eq!(serde_json::from_str::<Calendar>(&json).unwrap(), calendar());
    }
}
