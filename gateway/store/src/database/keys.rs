//! Days, and the keys of rounds and chunks: one number each, so that a table is one tree.
//!
//! | key | from the most significant bit on |
//! |---|---|
//! | of a round's part | time in seconds since 1970-01-01T00:00:00Z (48, signed), part (16) |
//! | of a chunk | day since 1970-01-01 (32, signed), part (8), element (24) |
//!
//! A day is one of UTC: it has 86,400 seconds, in every time zone and in summer too.

use std::ops::Range;

use model::{Period, Timestamp};

const DAY_SECONDS: i64 = 86_400;

const ROUND_PARTS: i64 = 1 << 16;
const CHUNK_DAY: i64 = 1 << 32;
const CHUNK_PART: i64 = 1 << 24;

/// The greatest part of a round. Each part brings a new point, a gap or a value for it, of one of
/// 16,384 elements: there are never more.
pub(super) const LAST_ROUND_PART: u16 = u16::MAX;

/// The greatest part of a day's chunks.
pub(super) const LAST_CHUNK_PART: u8 = u8::MAX;

/// The greatest number of an element: what fits a chunk's key.
pub(super) const LAST_ELEMENT: u32 = (1 << 24) - 1;

/// A day of UTC, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

impl Day {
    /// A day before the year -9999, earlier than any that can be stored.
    pub(super) const FIRST: Self = Self(-5_000_000);

    /// Returns the day that a time lies in.
    pub(super) const fn of(time: i64) -> Self {
        Self(time.div_euclid(DAY_SECONDS))
    }

    /// Returns the day of a round's key.
    pub(super) const fn of_round(key: i64) -> Self {
        Self::of(time_of_round(key))
    }

    /// Returns the day of a chunk's key.
    pub(super) const fn of_chunk(key: i64) -> Self {
        Self(key.div_euclid(CHUNK_DAY))
    }

    /// Returns the day with a number, counted from 1970-01-01.
    pub(super) const fn with_number(number: i64) -> Self {
        Self(number)
    }

    /// Returns its number, counted from 1970-01-01.
    pub(super) const fn number(self) -> i64 {
        self.0
    }

    /// Returns the day behind it.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns its first second.
    pub(super) const fn start(self) -> i64 {
        self.0.saturating_mul(DAY_SECONDS)
    }

    /// Returns its period, unless it lies outside what can be represented.
    pub(super) fn period(self) -> Option<Period> {
        let from = Timestamp::from_unix_seconds(self.start()).ok()?;
        let to = Timestamp::from_unix_seconds(self.next().start()).ok()?;
        Period::new(from, to).ok()
    }

    /// Returns the keys of its rounds.
    pub(super) fn rounds(self) -> Range<i64> {
        round_key(self.start(), 0)..round_key(self.next().start(), 0)
    }

    /// Returns the keys of its chunks.
    pub(super) const fn chunks(self) -> Range<i64> {
        let first = self.0.saturating_mul(CHUNK_DAY);
        first..first.saturating_add(CHUNK_DAY)
    }

    /// Returns the keys of its chunks of one part.
    pub(super) fn chunk_part(self, part: u8) -> Range<i64> {
        let first = self.chunk(part, 0);
        first..first.saturating_add(CHUNK_PART)
    }

    /// Returns the key of one chunk.
    pub(super) fn chunk(self, part: u8, element: u32) -> i64 {
        self.chunks()
            .start
            .saturating_add(i64::from(part).saturating_mul(CHUNK_PART))
            .saturating_add(i64::from(element))
    }
}

/// Returns the key of a round's part.
pub(super) fn round_key(time: i64, part: u16) -> i64 {
    time.saturating_mul(ROUND_PARTS).saturating_add(i64::from(part))
}

/// Returns the time of a round's key.
pub(super) const fn time_of_round(key: i64) -> i64 {
    key.div_euclid(ROUND_PARTS)
}

/// Returns the part in a round's key.
pub(super) fn part_of_round(key: i64) -> u16 {
    u16::try_from(key.rem_euclid(ROUND_PARTS)).unwrap_or(LAST_ROUND_PART)
}

/// Returns part and element of a chunk's key.
pub(super) fn part_and_element(key: i64) -> (u8, u32) {
    let rest = key.rem_euclid(CHUNK_DAY);
    let part = u8::try_from(rest.div_euclid(CHUNK_PART)).unwrap_or(LAST_CHUNK_PART);
    let element = u32::try_from(rest.rem_euclid(CHUNK_PART)).unwrap_or(LAST_ELEMENT);
    (part, element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_apart_as_they_were_put_together() {
        for time in [-62_135_596_800, -1, 0, 86_399, 86_400, 253_402_207_200] {
            let key = round_key(time, 7);
            assert_eq!((time_of_round(key), part_of_round(key)), (time, 7));
            let day = Day::of(time);
            assert_eq!(Day::of_round(key), day);
            assert!(day.rounds().contains(&key) && day.start() <= time);
            let key = day.chunk(LAST_CHUNK_PART, LAST_ELEMENT);
            assert_eq!(Day::of_chunk(key), day);
            assert_eq!(part_and_element(key), (LAST_CHUNK_PART, LAST_ELEMENT));
            assert!(day.chunks().contains(&key) && day.chunk_part(LAST_CHUNK_PART).contains(&key));
            assert_eq!(day.chunks().end, day.next().chunks().start);
            assert_eq!(day.rounds().end, day.next().rounds().start);
        }
    }

    #[test]
    fn day_is_one_of_utc() {
        let period = Day::of(1_795_435_200).period().unwrap();
        assert_eq!(period.from().to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(period.to().to_string(), "2026-11-24T00:00:00Z");
        assert_eq!(Day::of(i64::MAX).period(), None);
    }
}
