//! Dates and times as meters keep them: local, without a zone.

use std::fmt;

use super::fault::RecordError;

/// A date of the meter's calendar that exists.
///
/// Text form after ISO 8601: `2026-11-23`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDate {
    year: u16,
    month: u8,
    day: u8,
}

impl CivilDate {
    fn new(year: u16, month: u8, day: u8) -> Result<Self, RecordError> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return Err(RecordError::InvalidDate),
        };
        if day == 0 || day > days {
            return Err(RecordError::InvalidDate);
        }
        Ok(Self { year, month, day })
    }

    /// Reads type G, 2 bytes: day, month, and a year of two digits.
    ///
    /// Years 81 to 99 belong to the 20th century, 0 to 80 to the 21st.
    ///
    /// Spec: EN 13757-3:2018, annex A (type G).
    pub(super) fn from_type_g(data: &[u8]) -> Result<Self, RecordError> {
        Self::from_day_and_month(data, 0)
    }

    /// Reads the two bytes that types F and G have in common.
    fn from_day_and_month(data: &[u8], hundreds: u8) -> Result<Self, RecordError> {
        let [low, high] = *data else {
            return Err(RecordError::InvalidDate);
        };
        let in_century = u16::from(low >> 5 | high >> 4 << 3);
        let century = match (hundreds, in_century) {
            (_, 100..) => return Err(RecordError::InvalidDate),
            // Meters without the hundreds leave them 0.
            (0, 0..=80) => 2000,
            (hundreds, _) => u16::from(hundreds).saturating_mul(100).saturating_add(1900),
        };
        Self::new(century.saturating_add(in_century), high & 0x0F, low & 0x1F)
    }

    /// Returns the year, 1900 to 2299.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// Returns the month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Returns the day of the month, 1 to 31.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.day
    }
}

impl fmt::Display for CivilDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for CivilDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CivilDate({self})")
    }
}

/// A date and the time of day by the meter's own clock.
///
/// Text form after ISO 8601: `2026-11-23T12:05`, and `2026-11-23T12:05:30` if the meter keeps seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilTime {
    date: CivilDate,
    clock: TimeOfDay,
    summer_time: bool,
}

impl CivilTime {
    /// Reads type F, 4 bytes: minute, hour, and the date with its hundreds of years.
    ///
    /// Spec: EN 13757-3:2018, annex A (type F).
    pub(super) fn from_type_f(data: &[u8]) -> Result<Self, RecordError> {
        let [first, second, date @ ..] = data else {
            return Err(RecordError::InvalidDate);
        };
        if first & 0x80 != 0 {
            return Err(RecordError::InvalidDate);
        }
        Ok(Self {
            date: CivilDate::from_day_and_month(date, second >> 5 & 0x03)?,
            clock: TimeOfDay::new(second & 0x1F, first & 0x3F, None)?,
            summer_time: second & 0x80 != 0,
        })
    }

    /// Reads type I, 6 bytes: second, minute, hour, the date, and the week, which the date tells too.
    ///
    /// Spec: EN 13757-3:2018, annex A (type I).
    pub(super) fn from_type_i(data: &[u8]) -> Result<Self, RecordError> {
        let [second, minute, hour, date @ .., _week] = data else {
            return Err(RecordError::InvalidDate);
        };
        if minute & 0x80 != 0 {
            return Err(RecordError::InvalidDate);
        }
        Ok(Self {
            date: CivilDate::from_day_and_month(date, 0)?,
            clock: TimeOfDay::new(hour & 0x1F, minute & 0x3F, Some(second & 0x3F))?,
            summer_time: second & 0x40 != 0,
        })
    }

    /// Returns the date.
    #[must_use]
    pub const fn date(self) -> CivilDate {
        self.date
    }

    /// Returns the time of day.
    #[must_use]
    pub const fn clock(self) -> TimeOfDay {
        self.clock
    }

    /// Returns the hour, 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u8 {
        self.clock.hour
    }

    /// Returns the minute, 0 to 59.
    #[must_use]
    pub const fn minute(self) -> u8 {
        self.clock.minute
    }

    /// Returns whether the meter's clock shows summer time.
    #[must_use]
    pub const fn is_summer_time(self) -> bool {
        self.summer_time
    }
}

impl fmt::Display for CivilTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}T{}", self.date, self.clock)
    }
}

impl fmt::Debug for CivilTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CivilTime({self})")
    }
}

/// A time of day.
///
/// Text form after ISO 8601: `12:05`, and `12:05:30` if the meter keeps seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
    second: Option<u8>,
}

impl TimeOfDay {
    fn new(hour: u8, minute: u8, second: Option<u8>) -> Result<Self, RecordError> {
        if hour > 23 || minute > 59 || second.is_some_and(|second| second > 59) {
            return Err(RecordError::InvalidDate);
        }
        Ok(Self { hour, minute, second })
    }

    /// Reads type J, 3 bytes: second, minute, hour.
    ///
    /// Spec: EN 13757-3:2018, annex A (type J).
    pub(super) fn from_type_j(data: &[u8]) -> Result<Self, RecordError> {
        let [second, minute, hour] = data else {
            return Err(RecordError::InvalidDate);
        };
        Self::new(hour & 0x1F, minute & 0x3F, Some(second & 0x3F))
    }

    /// Returns the hour, 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// Returns the minute, 0 to 59.
    #[must_use]
    pub const fn minute(self) -> u8 {
        self.minute
    }

    /// Returns the second, 0 to 59, if the meter keeps them.
    #[must_use]
    pub const fn second(self) -> Option<u8> {
        self.second
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}:{:02}", self.hour, self.minute)?;
        self.second
            .map_or(Ok(()), |second| write!(formatter, ":{second:02}"))
    }
}

impl fmt::Debug for TimeOfDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TimeOfDay({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(data: [u8; 2]) -> Result<String, RecordError> {
        CivilDate::from_type_g(&data).map(|date| date.to_string())
    }

    fn time(data: [u8; 4]) -> Result<String, RecordError> {
        CivilTime::from_type_f(&data).map(|time| time.to_string())
    }

    #[test]
    fn dates_of_two_bytes_are_read() {
        assert_eq!(date([0x57, 0x3B]).as_deref(), Ok("2026-11-23"));
        assert_eq!(date([0x1F, 0xCC]).as_deref(), Ok("1996-12-31"));
        assert_eq!(date([0x3D, 0x32]), Err(RecordError::InvalidDate));
        assert_eq!(date([0x9D, 0x32]).as_deref(), Ok("2028-02-29"));
    }

    #[test]
    fn times_of_four_bytes_carry_their_century() {
        assert_eq!(time([0x05, 0x0C, 0x57, 0x3B]).as_deref(), Ok("2026-11-23T12:05"));
        assert_eq!(time([0x05, 0x2C, 0x77, 0x3B]).as_deref(), Ok("2027-11-23T12:05"));
        assert_eq!(time([0x3B, 0x17, 0x1F, 0xCC]).as_deref(), Ok("1996-12-31T23:59"));
        let summer = CivilTime::from_type_f(&[0x05, 0x8C, 0x57, 0x3B]).unwrap();
        assert!(summer.is_summer_time());
        assert_eq!((summer.hour(), summer.minute()), (12, 5));
        assert_eq!(
            (summer.date().year(), summer.date().month(), summer.date().day()),
            (2026, 11, 23)
        );
    }

    #[test]
    fn dates_that_do_not_exist_are_no_dates() {
        for data in [
            [0xFF, 0xFF],
            [0x00, 0x00],
            [0x5F, 0x3B],
            [0x57, 0x3D],
            [0x80, 0x31],
        ] {
            assert_eq!(date(data), Err(RecordError::InvalidDate), "{data:02x?}");
        }
        for data in [
            [0x80, 0x0C, 0x57, 0x3B],
            [0x3C, 0x0C, 0x57, 0x3B],
            [0x00, 0x18, 0x57, 0x3B],
            [0xFF, 0xFF, 0xFF, 0xFF],
        ] {
            assert_eq!(time(data), Err(RecordError::InvalidDate), "{data:02x?}");
        }
    }

    #[test]
    fn times_of_six_and_of_three_bytes_have_seconds() {
        let six = |data: [u8; 6]| CivilTime::from_type_i(&data).map(|time| time.to_string());
        assert_eq!(
            six([0x1E, 0x05, 0x4C, 0x57, 0x3B, 0x30]).as_deref(),
            Ok("2026-11-23T12:05:30")
        );
        let summer = CivilTime::from_type_i(&[0x40, 0x05, 0x0C, 0x57, 0x3B, 0x30]).unwrap();
        assert!(summer.is_summer_time());
        assert_eq!(summer.clock().second(), Some(0));
        for data in [
            [0x1E, 0x85, 0x0C, 0x57, 0x3B, 0x30],
            [0x3F, 0x05, 0x0C, 0x57, 0x3B, 0x30],
            [0xFF; 6],
            [0; 6],
        ] {
            assert_eq!(six(data), Err(RecordError::InvalidDate), "{data:02x?}");
        }
        let three = |data: [u8; 3]| TimeOfDay::from_type_j(&data).map(|time| time.to_string());
        assert_eq!(three([0x1E, 0x05, 0x0C]).as_deref(), Ok("12:05:30"));
        assert_eq!(three([0xFF; 3]), Err(RecordError::InvalidDate));
    }
}
