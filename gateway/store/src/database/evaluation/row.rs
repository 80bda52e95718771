//! The row of an evaluation, byte by byte.
//!
//! | label | bytes |
//! |---|---|
//! | version of the format, 1 | 1 |
//! | assignment, a digest | 32 |
//! | window: its start, its end | 8, 8 |
//! | revision, from 1 on | 4 |
//! | when it was made | 8 |
//! | application, its digest | 32 |
//! | digest of what it was given | 32 |
//! | times of the first and the last value that is kept; the window's ends if there is none | 8, 8 |
//! | the time from which on a part of it is forgotten, and all of it | 8, 8 |
//! | elements: how many | number |
//! | each: length of the meter's identity (1), identity, groups of the code (6) | |
//! | CRC-32C over `V1`, number (8) and all bytes before | 4 |
//!
//! | made | bytes |
//! |---|---|
//! | version of the format, 1 | 1 |
//! | what the next window is given: length, bytes | number, |
//! | values: how many | number |
//! | each: index of its element, time less the window's start, start of its period less the time, time from which on it is forgotten less the time, stage, first reading that it is made of, how many, kind, digits | number, 3 signed numbers, 3 numbers, as `point` has it, signed number |
//! | CRC-32C over `W1`, number (8) and all bytes before | 4 |
//!
//! What was given is the bytes and a CRC-32C over `X1`, number (8) and the bytes. Numbers of fixed length are big-endian,
//! the others are those of `bytes`.

use model::{Element, Fingerprint, MeterId, Obis, Period, Timestamp};

use super::super::bytes::{Reader, push, push_signed};
use super::super::checksum::{self, split_sound};
use super::super::point::{Kind, Point};
use super::Derived;

const VERSION: u8 = 1;

/// What is known of an evaluation without reading what it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) assignment: [u8; 32],
    pub(super) window: Period,
    pub(super) revision: u32,
    pub(super) time: Timestamp,
    pub(super) application: Fingerprint,
    pub(super) digest: [u8; 32],
    /// The times of the first and the last value.
    pub(super) span: (Timestamp, Timestamp),
    /// When a part of it is to be forgotten, and all of it.
    pub(super) due: (Timestamp, Timestamp),
    pub(super) elements: Vec<Element>,
}

/// What an application has made in one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// What the window behind is given.
    pub state: Vec<u8>,
    /// The values.
    pub values: Vec<Derived>,
}

impl Label {
    pub(super) fn encode(&self, number: i64) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.assignment);
        let time = |bytes: &mut Vec<u8>, time: Timestamp| bytes.extend(time.unix_seconds().to_be_bytes());
        time(&mut bytes, self.window.from());
        time(&mut bytes, self.window.to());
        bytes.extend(self.revision.to_be_bytes());
        time(&mut bytes, self.time);
        bytes.extend(self.application.as_bytes());
        bytes.extend(self.digest);
        for at in [self.span.0, self.span.1, self.due.0, self.due.1] {
            time(&mut bytes, at);
        }
        push_count(&mut bytes, self.elements.len());
        for element in &self.elements {
            let meter = element.meter.as_str();
            bytes.push(u8::try_from(meter.len()).unwrap_or(u8::MAX));
            bytes.extend(meter.as_bytes());
            bytes.extend(element.obis.groups());
        }
        sealed(bytes, b"V1", number)
    }

    /// Reads a label; `None` if it is damaged.
    pub(super) fn decode(number: i64, bytes: &[u8]) -> Option<Self> {
        let bytes = split_sound(bytes, |content| checksum_of(b"V1", number, content))?;
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let assignment = *take(&mut rest)?;
        let window = (time(&mut rest)?, time(&mut rest)?);
        let revision = u32::from_be_bytes(*take(&mut rest)?);
        let made = time(&mut rest)?;
        let application = Fingerprint::new(*take(&mut rest)?);
        let digest = *take(&mut rest)?;
        let span = (time(&mut rest)?, time(&mut rest)?);
        let due = (time(&mut rest)?, time(&mut rest)?);
        let mut reader = Reader::new(rest);
        let count = reader.count()?;
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(&mut reader)?);
        }
        reader.is_at_end().then_some(Self {
            assignment,
            window: Period::new(window.0, window.1).ok()?,
            revision,
            time: made,
            application,
            digest,
            span,
            due,
            elements,
        })
    }

    /// Takes over what the values say: their elements, their times, and how long they are kept.
    pub(super) fn describe(&mut self, values: &[Derived], until: Timestamp) {
        let times = values.iter().map(|value| value.reading.time);
        let first = times.clone().min().unwrap_or_else(|| self.window.from());
        let last = times.max().unwrap_or_else(|| self.window.to());
        self.span = (first, last);
        let ends = values.iter().map(|value| value.until);
        self.due = (
            ends.clone().min().unwrap_or(until).min(until),
            ends.max().unwrap_or(until).max(until),
        );
        let elements: std::collections::BTreeSet<_> =
            values.iter().map(|value| &value.reading.element).collect();
        self.elements = elements.into_iter().cloned().collect();
    }
}

impl Made {
    pub(super) fn encode(&self, number: i64, label: &Label) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        push_count(&mut bytes, self.state.len());
        bytes.extend(&self.state);
        push_count(&mut bytes, self.values.len());
        let start = label.window.from();
        for value in &self.values {
            let element = label.elements.binary_search(&value.reading.element);
            push_count(&mut bytes, element.unwrap_or_default());
            let time = value.reading.time;
            for (later, earlier) in [(time, start), (value.from, time), (value.until, time)] {
                push_signed(&mut bytes, i128::from(later.seconds_since(earlier)));
            }
            push(&mut bytes, u128::from(value.stage));
            push(&mut bytes, u128::from(value.basis.start));
            push(
                &mut bytes,
                u128::from(value.basis.end.saturating_sub(value.basis.start)),
            );
            let point = Point::of_reading(&value.reading, 0);
            point.kind.push(&mut bytes);
            push_signed(&mut bytes, point.mantissa);
        }
        sealed(bytes, b"W1", number)
    }

    /// Reads what was made; `None` if it is damaged.
    pub(super) fn decode(number: i64, label: &Label, bytes: &[u8]) -> Option<Self> {
        let bytes = split_sound(bytes, |content| checksum_of(b"W1", number, content))?;
        let mut reader = Reader::new(bytes.strip_prefix(&[VERSION])?);
        let length = reader.count()?;
        let mut state = Vec::new();
        for _ in 0..length {
            state.push(reader.byte()?);
        }
        let count = reader.count()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(value(&mut reader, label)?);
        }
        reader.is_at_end().then_some(Self { state, values })
    }
}

fn value(reader: &mut Reader<'_>, label: &Label) -> Option<Derived> {
    let element = label.elements.get(reader.count()?)?;
    let time = later(reader, label.window.from())?;
    let (from, until) = (later(reader, time)?, later(reader, time)?);
    let stage = u16::try_from(reader.number()?).ok()?;
    let first = u32::try_from(reader.number()?).ok()?;
    let basis = first..first.checked_add(u32::try_from(reader.number()?).ok()?)?;
    let point = Point {
        time: time.unix_seconds(),
        element: 0,
        kind: Kind::read(reader)?,
        mantissa: reader.signed()?,
    };
    Some(Derived {
        reading: point.reading(element)?,
        from,
        stage,
        basis,
        until,
    })
}

fn later(reader: &mut Reader<'_>, than: Timestamp) -> Option<Timestamp> {
    let seconds = i64::try_from(reader.signed()?).ok()?;
    Timestamp::from_unix_seconds(than.unix_seconds().checked_add(seconds)?).ok()
}

/// Seals what an application was given.
pub(super) fn seal_given(number: i64, given: &[u8]) -> Vec<u8> {
    sealed(given.to_vec(), b"X1", number)
}

/// Returns what an application was given; `None` if it is damaged.
pub(super) fn given(number: i64, bytes: &[u8]) -> Option<&[u8]> {
    split_sound(bytes, |content| checksum_of(b"X1", number, content))
}

/// Returns whether the columns are those of an evaluation, in order.
pub(super) fn is_sound(number: i64, label: &[u8], made: &[u8], was_given: &[u8]) -> bool {
    let label = Label::decode(number, label);
    label.is_some_and(|label| Made::decode(number, &label, made).is_some())
        && given(number, was_given).is_some()
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    push(bytes, u128::try_from(count).unwrap_or(u128::MAX));
}

fn sealed(mut bytes: Vec<u8>, letters: &[u8; 2], number: i64) -> Vec<u8> {
    let sum = checksum_of(letters, number, &bytes);
    bytes.extend(sum.to_be_bytes());
    bytes
}

fn checksum_of(letters: &[u8; 2], number: i64, content: &[u8]) -> u32 {
    let mut digest = checksum::begin();
    digest.update(letters);
    digest.update(&number.to_be_bytes());
    digest.update(content);
    digest.finalize()
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(taken)
}

fn time(rest: &mut &[u8]) -> Option<Timestamp> {
    Timestamp::from_unix_seconds(i64::from_be_bytes(*take(rest)?)).ok()
}

fn element(reader: &mut Reader<'_>) -> Option<Element> {
    let mut text = Vec::new();
    for _ in 0..reader.byte()? {
        text.push(reader.byte()?);
    }
    let mut groups = [0; 6];
    for group in &mut groups {
        *group = reader.byte()?;
    }
    Some(Element {
        meter: MeterId::try_from(String::from_utf8(text).ok()?).ok()?,
        obis: Obis::new(groups),
    })
}
