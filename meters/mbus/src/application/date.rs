//! Dates and times as meters keep them: local, without a zone.

use std::fmt;

use super::record::RecordError;

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

/// A date and the time of day by the meter's own clock, to the minute.
///
/// Text form after ISO 8601: `2026-11-23T12:05`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilTime {
    date: CivilDate,
    hour: u8,
    minute: u8,
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
        let marked_invalid = first & 0x80 != 0;
        let (minute, hour) = (first & 0x3F, second & 0x1F);
        if marked_invalid || minute > 59 || hour > 23 {
            return Err(RecordError::InvalidDate);
        }
        Ok(Self {
            date: CivilDate::from_day_and_month(date, second >> 5 & 0x03)?,
            hour,
            minute,
            summer_time: second & 0x80 != 0,
        })
    }

    /// Returns the date.
    #[must_use]
    pub const fn date(self) -> CivilDate {
        self.date
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

    /// Returns whether the meter's clock shows summer time.
    #[must_use]
    pub const fn is_summer_time(self) -> bool {
        self.summer_time
    }
}

impl fmt::Display for CivilTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}T{:02}:{:02}", self.date, self.hour, self.minute)
    }
}

impl fmt::Debug for CivilTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CivilTime({self})")
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
}
