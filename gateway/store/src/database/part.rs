//! Parts of a round: what was registered for one time, one row of the table `round`.
//!
//! A round has one part as a rule. It has more if it is long, or if something was registered for its
//! time later: what is stored is never edited.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of the format: 1, or 2 with a head |
//! | number | how many kinds follow, then each kind (see `point`) |
//! | number | how many points follow, then each point, by rising element |
//! | 24 | in format 2: the generation of the commit, count and digest of the rounds' rows before this one (see `head`) |
//! | 4 | CRC-32C, big-endian, over `P1`, the row's key (8, big-endian) and all bytes before |
//!
//! | bytes of a point | what |
//! |---|---|
//! | number | its element, less the element before it; the first one as it is |
//! | number | its kind, by its place in the list |
//! | signed number | the digits, if the kind is a value |

use super::bytes::{Reader, push, push_signed};
use super::checksum::{self, split_sound};
use super::head::Before;
use super::keys::time_of_round;
use super::point::{Kind, Point};

const VERSION: u8 = 1;
const VERSION_WITH_HEAD: u8 = 2;

/// The length behind which a part ends. A row of it fits a page of 4 KiB, so that no part takes
/// pages of its own, and a damaged page costs little more than itself.
const PART_BYTES: usize = 3_900;

/// The greatest number of points of a part: one takes two bytes at least.
const MAX_POINTS: usize = PART_BYTES;

/// A part while it is written.
#[derive(Debug, Default)]
pub(super) struct Part {
    kinds: Vec<Kind>,
    points: usize,
    last: u32,
    body: Vec<u8>,
}

impl Part {
    /// Splits points of one time into parts. The points stand by rising element.
    pub(super) fn split(points: &[Point]) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = Self::default();
        for point in points {
            part.add(point);
            if part.body.len() >= PART_BYTES {
                parts.push(std::mem::take(&mut part));
            }
        }
        if part.points > 0 {
            parts.push(part);
        }
        parts
    }

    fn add(&mut self, point: &Point) {
        let kind = self.kinds.iter().position(|kind| *kind == point.kind);
        let kind = kind.unwrap_or_else(|| {
            self.kinds.push(point.kind);
            self.kinds.len().saturating_sub(1)
        });
        push(
            &mut self.body,
            u128::from(point.element.saturating_sub(self.last)),
        );
        push(&mut self.body, u128::try_from(kind).unwrap_or(u128::MAX));
        if let Kind::Value { .. } = point.kind {
            push_signed(&mut self.body, point.mantissa);
        }
        self.last = point.element;
        self.points = self.points.saturating_add(1);
    }

    /// Returns the bytes for the row with this key, and with what the head was before if that is to be said.
    pub(super) fn seal(&self, key: i64, before: Option<Before>) -> Vec<u8> {
        let mut bytes = vec![if before.is_some() {
            VERSION_WITH_HEAD
        } else {
            VERSION
        }];
        push(&mut bytes, u128::try_from(self.kinds.len()).unwrap_or(u128::MAX));
        for kind in &self.kinds {
            kind.push(&mut bytes);
        }
        push(&mut bytes, u128::try_from(self.points).unwrap_or(u128::MAX));
        bytes.extend_from_slice(&self.body);
        bytes.extend(before.into_iter().flat_map(Before::bytes));
        let sum = checksum_of(key, &bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// Returns the points of a part; `None` if it is damaged.
pub(super) fn read(key: i64, bytes: &[u8]) -> Option<Vec<Point>> {
    let (bytes, _) = split(key, bytes)?;
    let mut reader = Reader::new(bytes);
    let kinds = reader.count().filter(|count| *count <= MAX_POINTS)?;
    let kinds: Vec<Kind> = (0..kinds)
        .map(|_| Kind::read(&mut reader))
        .collect::<Option<_>>()?;
    let count = reader.count().filter(|count| *count <= MAX_POINTS)?;
    let mut points = Vec::with_capacity(count);
    let mut element = 0u32;
    for _ in 0..count {
        let step = u32::try_from(reader.number()?).ok().filter(|step| *step > 0)?;
        element = element.checked_add(step)?;
        let kind = *kinds.get(reader.count()?)?;
        let mantissa = match kind {
            Kind::Value { .. } => reader.signed()?,
            Kind::Gap(_) | Kind::Lost => 0,
        };
        points.push(Point {
            time: time_of_round(key),
            element,
            kind,
            mantissa,
        });
    }
    reader.is_at_end().then_some(points)
}

/// Returns whether the bytes are what was stored.
pub(super) fn is_sound(key: i64, bytes: &[u8]) -> bool {
    split(key, bytes).is_some()
}

/// Returns what the head was before a part was stored; `None` if the part does not say that, or is damaged.
pub(super) fn before(key: i64, bytes: &[u8]) -> Option<Before> {
    let (_, before) = split(key, bytes)?;
    before
}

/// Returns what stands between the version and the head, and the head.
fn split(key: i64, bytes: &[u8]) -> Option<(&[u8], Option<Before>)> {
    let bytes = split_sound(bytes, |content| checksum_of(key, content))?;
    let (version, bytes) = bytes.split_first()?;
    match *version {
        VERSION => Some((bytes, None)),
        VERSION_WITH_HEAD => {
            let (bytes, before) = bytes.split_last_chunk()?;
            Some((bytes, Some(Before::read(*before))))
        }
        _ => None,
    }
}

fn checksum_of(key: i64, content: &[u8]) -> u32 {
    let mut digest = checksum::begin();
    digest.update(b"P1");
    digest.update(&key.to_be_bytes());
    digest.update(content);
    digest.finalize()
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use model::{GapReason, Status, Unit};
    use proptest::prelude::*;

    use super::super::keys::round_key;
    use super::super::point::random;
    use super::*;

    const ENERGY: Kind = Kind::Value {
        unit: Unit::WattHour,
        scaler: 2,
        status: Status::GOOD,
    };

    fn points(time: i64, contents: Vec<(u32, (Kind, i128))>) -> Vec<Point> {
        let mut element = 0;
        let place = |(step, (kind, mantissa)): (u32, (Kind, i128))| {
            element += step;
            Point {
                time,
                element,
                kind,
                mantissa,
            }
        };
        contents.into_iter().map(place).collect()
    }

    #[test]
    fn part_has_the_bytes_that_are_written_down() {
        let gap = Kind::Gap(GapReason::BusDown);
        let points = points(900, vec![(3, (ENERGY, 300)), (1, (gap, 0)), (2, (ENERGY, -1))]);
        let [part] = Part::split(&points).try_into().unwrap();
        let bytes = part.seal(round_key(900, 1), None);
        let expected = [1, 2, 0, 2, 0, 0x83, 3, 3, 0, 0xd8, 0x04, 1, 1, 2, 0, 1];
        assert_eq!(bytes[..bytes.len() - 4], expected);
        assert_eq!(read(round_key(900, 1), &bytes), Some(points.clone()));
        assert_eq!(before(round_key(900, 1), &bytes), None);
        assert_eq!(read(round_key(900, 2), &bytes), None);
        let head = Before {
            generation: 1,
            count: 2,
            digest: 3,
        };
        let bytes = part.seal(round_key(900, 1), Some(head));
        assert_eq!(bytes[..16], [&[2], &expected[1..]].concat());
        let numbers = [1u64, 2, 3].map(u64::to_be_bytes).concat();
        assert_eq!(bytes[16..40], numbers);
        assert_eq!(read(round_key(900, 1), &bytes), Some(points));
        assert_eq!(before(round_key(900, 1), &bytes), Some(head));
    }

    #[test]
    fn long_round_is_split_so_that_each_part_fits_a_page() {
        let long = points(0, (0..5_000).map(|_| (1, (ENERGY, i128::MIN))).collect());
        let parts = Part::split(&long);
        let mut found = Vec::new();
        for part in &parts {
            let bytes = part.seal(0, None);
            assert!(bytes.len() < 4_000, "{}", bytes.len());
            found.extend(read(0, &bytes).unwrap());
        }
        assert!(found == long);
        assert!(Part::split(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn any_points_are_read_back(
            time in -1_000_000_000_000i64..1_000_000_000_000,
            contents in prop::collection::vec((1u32..40_000, random::content()), 0..300),
        ) {
            let points = points(time, contents);
            let mut found = Vec::new();
            for (index, part) in (0u16..).zip(Part::split(&points)) {
                let key = round_key(time, index);
                found.extend(read(key, &part.seal(key, None)).unwrap());
            }
            prop_assert_eq!(found, points);
        }

        #[test]
        fn any_bytes_are_read_or_refused(key: i64, mut bytes: Vec<u8>) {
            prop_assert_eq!(read(key, &bytes), None);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let sum = checksum_of(key, &bytes);
            bytes.extend_from_slice(&sum.to_be_bytes());
            if let Some(points) = read(key, &bytes) {
                prop_assert!(points.is_sorted_by_key(|point| point.element));
            }
        }
    }
}
