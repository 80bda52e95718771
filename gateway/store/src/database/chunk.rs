//! Chunks: what one element has for one past day, or for a part of it, one row of the table `chunk`.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of the format, 1 |
//! | number | n, how many points there are |
//! | number | the time of the first point, in seconds since the day began |
//! | numbers | the steps to the other points, as runs: seconds (number), how many times (number) |
//! | … | the kinds of the n points, as runs: kind (see `point`), how many times (number) |
//! | signed numbers | for each value, its digits less those of the value before it; the first as they are |
//! | 4 | CRC-32C, big-endian, over `C1`, the row's key (8, big-endian), the element and all bytes before |
//!
//! Times rise. Differences of digits are modulo 2^128, so that every pair of digits has one. The
//! checksum covers the element by name (its meter's identity, preceded by its length in one byte,
//! and the six groups of its OBIS code), so that a damaged row of `element` can't hand a chunk to another
//! meter.

use model::Element;

use super::bytes::{Reader, push, push_signed};
use super::checksum::{self, split_sound};
use super::keys::{Day, part_and_element};
use super::point::{Kind, Point};

const VERSION: u8 = 1;

/// The greatest number of points: a day has no more seconds.
const MAX_POINTS: usize = 86_400;

/// A chunk while it is written.
#[derive(Debug)]
pub(super) struct Chunk {
    first: i64,
    last: i64,
    points: usize,
    steps: Run<i64>,
    kinds: Run<Kind>,
    digits: i128,
    values: Vec<u8>,
}

/// Equal things in a row, and the bytes of the rows before.
#[derive(Debug)]
struct Run<T> {
    open: Option<(T, u128)>,
    bytes: Vec<u8>,
}

impl<T: Copy + PartialEq> Run<T> {
    const fn new() -> Self {
        let bytes = Vec::new();
        Self { open: None, bytes }
    }

    fn add(&mut self, thing: T, push_thing: impl Fn(T, &mut Vec<u8>)) {
        match &mut self.open {
            Some((open, times)) if *open == thing => *times = times.saturating_add(1),
            _ => {
                self.close(push_thing);
                self.open = Some((thing, 1));
            }
        }
    }

    fn close(&mut self, push_thing: impl Fn(T, &mut Vec<u8>)) {
        if let Some((thing, times)) = self.open.take() {
            push_thing(thing, &mut self.bytes);
            push(&mut self.bytes, times);
        }
    }
}

fn push_step(seconds: i64, bytes: &mut Vec<u8>) {
    push(bytes, u128::from(seconds.unsigned_abs()));
}

impl Chunk {
    /// Begins a chunk.
    pub(super) const fn new() -> Self {
        Self {
            first: 0,
            last: 0,
            points: 0,
            steps: Run::new(),
            kinds: Run::new(),
            digits: 0,
            values: Vec::new(),
        }
    }

    /// Adds a point, which is later than the one before.
    pub(super) fn add(&mut self, point: &Point) {
        if self.points == 0 {
            self.first = point.time;
        } else {
            self.steps.add(point.time.saturating_sub(self.last), push_step);
        }
        self.kinds.add(point.kind, Kind::push);
        if let Kind::Value { .. } = point.kind {
            push_signed(&mut self.values, point.mantissa.wrapping_sub(self.digits));
            self.digits = point.mantissa;
        }
        self.last = point.time;
        self.points = self.points.saturating_add(1);
    }

    /// Returns the bytes for the row with this key.
    pub(super) fn seal(mut self, key: i64, element: &Element) -> Vec<u8> {
        self.steps.close(push_step);
        self.kinds.close(Kind::push);
        let mut bytes = vec![VERSION];
        push(&mut bytes, u128::try_from(self.points).unwrap_or(u128::MAX));
        push_step(self.first.saturating_sub(Day::of_chunk(key).start()), &mut bytes);
        bytes.extend_from_slice(&self.steps.bytes);
        bytes.extend_from_slice(&self.kinds.bytes);
        bytes.extend_from_slice(&self.values);
        let sum = checksum_of(key, element, &bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// Returns the points of a chunk; `None` if it is damaged.
pub(super) fn read(key: i64, element: &Element, bytes: &[u8]) -> Option<Vec<Point>> {
    let bytes = split_sound(bytes, |content| checksum_of(key, element, content))?;
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let count = reader.count().filter(|count| (1..=MAX_POINTS).contains(count))?;
    let mut points = Vec::with_capacity(count);
    read_times(&mut reader, key, count, &mut points)?;
    read_kinds(&mut reader, &mut points)?;
    let mut digits = 0i128;
    for point in &mut points {
        if let Kind::Value { .. } = point.kind {
            digits = digits.wrapping_add(reader.signed()?);
            point.mantissa = digits;
        }
    }
    reader.is_at_end().then_some(points)
}

fn read_times(reader: &mut Reader<'_>, key: i64, count: usize, points: &mut Vec<Point>) -> Option<()> {
    let (_, element) = part_and_element(key);
    let day = Day::of_chunk(key);
    let end = day.next().start();
    let mut time = day.start().checked_add(reader.number()?.try_into().ok()?)?;
    let mut step = 0;
    let mut times = 1;
    while points.len() < count {
        while times > 0 && points.len() < count {
            time = time.checked_add(step).filter(|time| *time < end)?;
            times = usize::checked_sub(times, 1)?;
            points.push(Point {
                time,
                element,
                kind: Kind::Lost,
                mantissa: 0,
            });
        }
        if points.len() < count {
            step = i64::try_from(reader.number()?).ok().filter(|step| *step > 0)?;
            times = reader.count().filter(|times| *times > 0)?;
        }
    }
    (times == 0).then_some(())
}

fn read_kinds(reader: &mut Reader<'_>, points: &mut [Point]) -> Option<()> {
    let mut rest = points;
    while !rest.is_empty() {
        let kind = Kind::read(reader)?;
        let times = reader.count().filter(|times| *times > 0)?;
        let (these, others) = rest.split_at_mut_checked(times)?;
        for point in these {
            point.kind = kind;
        }
        rest = others;
    }
    Some(())
}

fn checksum_of(key: i64, element: &Element, content: &[u8]) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"C1");
    digest.update(&key.to_be_bytes());
    checksum::add_element(&mut digest, element);
    digest.update(content);
    digest.finalize()
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use model::{GapReason, Status, Unit};
    use proptest::prelude::*;

    use super::super::point::random;
    use super::*;

    const ENERGY: Kind = Kind::Value {
        unit: Unit::WattHour,
        scaler: 2,
        status: Status::GOOD,
    };

    fn element(meter: &str) -> Element {
        Element {
            meter: meter.parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        }
    }

    fn key() -> i64 {
        Day::of(-1).chunk(3, 42)
    }

    fn point(second: i64, kind: Kind, mantissa: i128) -> Point {
        Point {
            time: second - 86_400,
            element: 42,
            kind,
            mantissa,
        }
    }

    fn sealed(points: &[Point]) -> Vec<u8> {
        let mut chunk = Chunk::new();
        for point in points {
            chunk.add(point);
        }
        chunk.seal(key(), &element("M1"))
    }

    #[test]
    fn chunk_has_the_bytes_that_are_written_down() {
        let gap = Kind::Gap(GapReason::NoAnswer);
        let points = [
            point(900, ENERGY, 300),
            point(1_800, ENERGY, 301),
            point(2_700, gap, 0),
            point(2_701, ENERGY, 299),
        ];
        let bytes = sealed(&points);
        let expected = [
            1, 4, 0x84, 0x07, 0x84, 0x07, 2, 1, 1, 0, 2, 0, 2, 0x80, 1, 0, 2, 0, 1, 0xd8, 0x04, 2, 3,
        ];
        assert_eq!(bytes[..bytes.len() - 4], expected);
        assert_eq!(read(key(), &element("M1"), &bytes), Some(points.to_vec()));
    }

    #[test]
    fn chunk_belongs_to_its_day_and_element() {
        let bytes = sealed(&[point(0, ENERGY, 1)]);
        assert!(read(key(), &element("M1"), &bytes).is_some());
        assert_eq!(read(key(), &element("M2"), &bytes), None);
        assert_eq!(read(key() + 1, &element("M1"), &bytes), None);
    }

    #[test]
    fn day_of_quarter_hours_takes_little_more_than_its_digits() {
        let points: Vec<_> = (0..96)
            .map(|quarter| point(quarter * 900, ENERGY, 12_345_678 + i128::from(quarter) * 130))
            .collect();
        assert_eq!(sealed(&points).len(), 208);
    }

    #[test]
    fn content_that_contradicts_itself_is_refused_even_with_its_checksum() {
        let good = [1, 2, 0, 1, 1, 0, 2, 0, 2, 2, 2];
        let with_sum = |content: &[u8]| {
            let mut bytes = content.to_vec();
            bytes.extend(checksum_of(key(), &element("M1"), content).to_be_bytes());
            read(key(), &element("M1"), &bytes)
        };
        assert_eq!(with_sum(&good).unwrap().len(), 2);
        let changed = |index: usize, byte: u8| {
            let mut bytes = good;
            bytes[index] = byte;
            with_sum(&bytes)
        };
        // Version, count, a step of no seconds, a run of no steps and one too long, an unknown unit, runs of kinds.
        for (index, byte) in [
            (0, 2),
            (1, 0),
            (1, 3),
            (3, 0),
            (4, 0),
            (4, 2),
            (5, 0x7e),
            (8, 1),
            (8, 3),
        ] {
            assert_eq!(changed(index, byte), None, "{index} {byte}");
        }
        assert_eq!(with_sum(&[&good[..], &[0]].concat()), None);
        // The second point would lie in the next day.
        assert_eq!(with_sum(&[1, 2, 0, 0x80, 0xa3, 0x05, 1, 0, 2, 0, 2, 2, 2]), None);
    }

    proptest! {
        #[test]
        fn any_points_are_read_back(
            contents in prop::collection::vec((1i64..200, random::content()), 1..400),
        ) {
            let mut second = -1;
            let place = |(step, (kind, mantissa))| {
                second += step;
                point(second, kind, mantissa)
            };
            let points: Vec<_> = contents.into_iter().map(place).collect();
            prop_assert_eq!(read(key(), &element("M1"), &sealed(&points)), Some(points));
        }

        #[test]
        fn any_bytes_are_read_or_refused(key: i64, mut bytes: Vec<u8>) {
            prop_assert_eq!(read(key, &element("M1"), &bytes), None);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let sum = checksum_of(key, &element("M1"), &bytes);
            bytes.extend_from_slice(&sum.to_be_bytes());
            if let Some(points) = read(key, &element("M1"), &bytes) {
                prop_assert!(points.is_sorted_by(|one, two| one.time < two.time));
            }
        }
    }
}
