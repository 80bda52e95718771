//! Ten thousand ways to change a log that was written and signed: each one is found.

use std::fs;

use super::*;
use crate::logs::record::{Draft, encode};

const KIND: LogKind = LogKind::Consumer;
const ENTRIES: usize = 8;
const MUTATIONS: u64 = 10_000;

/// Numbers that look random and are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next() & 0xff).unwrap()
    }
}

/// A segment, the places of its entries, and the entries.
struct Written {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Written {
    fn end(&self) -> usize {
        *self.starts.last().unwrap()
    }

    fn entry(&self, index: usize) -> &[u8] {
        &self.bytes[self.starts[index]..self.starts[index + 1]]
    }

    /// Puts other entries behind the header.
    fn with(&self, entries: &[&[u8]]) -> Vec<u8> {
        let mut bytes = [&self.bytes[..segment::HEADER_BYTES], &entries.concat()].concat();
        bytes.resize(self.bytes.len(), 0);
        bytes
    }

    /// Writes the entries anew from one on, with other content, so that the chain itself is whole.
    fn forged(&self, from: usize, until: usize) -> Vec<u8> {
        let read = segment::read(KIND, &self.bytes);
        let mut previous = genesis(KIND);
        let mut entries = Vec::new();
        for (index, record) in read.records.iter().enumerate() {
            let changed = String::from_utf8(record.content.to_vec()).unwrap();
            let changed = changed.replace("Stadtwerke", "Nobody at all");
            let content = if index == from {
                changed.as_bytes()
            } else {
                record.content
            };
            let draft = Draft {
                sequence: record.sequence,
                at: record.at,
                continued: record.continued,
                content,
            };
            let (bytes, hash) = encode(KIND, previous, &draft).unwrap();
            let kept = index < from || index >= until;
            entries.push(if kept { self.entry(index).to_vec() } else { bytes });
            previous = if kept { record.hash } else { hash };
        }
        self.with(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// Changes the segment in one of many ways; says which entry is the first bad one, if that is certain.
    fn mutated(&self, random: &mut Random) -> (Vec<u8>, Option<usize>) {
        let entries: Vec<&[u8]> = (0..ENTRIES).map(|index| self.entry(index)).collect();
        let (one, other) = (random.below(ENTRIES), random.below(ENTRIES));
        let mut changed = entries.clone();
        match random.below(11) {
            0..=2 => {
                let place = random.below(self.end());
                let mut bytes = self.bytes.clone();
                bytes[place] ^= 1 << random.below(8);
                let bad = self.starts.iter().rposition(|start| *start <= place).unwrap_or(0);
                (bytes, Some(bad))
            }
            3 => {
                let place = random.below(self.end());
                let mut bytes = self.bytes.clone();
                let length = 1 + random.below(300);
                for byte in bytes.iter_mut().skip(place).take(length) {
                    *byte = random.byte();
                }
                (bytes, None)
            }
            4 => (self.bytes[..random.below(self.end())].to_vec(), None),
            5 => {
                let mut bytes = self.bytes.clone();
                bytes[random.below(self.end())..].fill(0);
                (bytes, None)
            }
            6 => {
                changed.truncate(one);
                (self.with(&changed), Some(one))
            }
            7 => {
                changed.remove(one);
                (self.with(&changed), Some(one))
            }
            8 => {
                changed.insert(other, entries[one]);
                (self.with(&changed), None)
            }
            9 => {
                changed.swap(one, other);
                (self.with(&changed), Some(one.min(other)))
            }
            _ => {
                let until = one + 1 + random.below(ENTRIES - one);
                (self.forged(one, until), None)
            }
        }
    }
}

#[test]
fn every_change_of_a_signed_log_is_found() {
    let place = Place::new();
    let logs = place.open();
    for value in 0..ENTRIES {
        logs.append(at(1), &[answered(value as u64, 0)]).unwrap();
    }
    logs.append(at(1), &[started("a"), clock_set()]).unwrap();
    logs.sign(at(2), &mut TestCard).unwrap();
    drop(logs);
    assert!(place.verify().is_sound());
    let path = place.segment(KIND);
    let bytes = fs::read(&path).unwrap();
    let starts = offsets(KIND, &bytes);
    let written = Written { bytes, starts };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut found = 0;
    while found < MUTATIONS {
        let (bytes, bad) = written.mutated(&mut random);
        if bytes.starts_with(&written.bytes[..written.end()]) {
            continue;
        }
        overwrite(&path, &bytes);
        let verification = place.verify();
        let fault = fault_of(&verification, KIND);
        let Some(fault) = fault else {
            panic!("mutation {found} is not found: {bad:?}")
        };
        if let Some(bad) = bad {
            assert_eq!(fault.sequence(), bad as u64 + 1, "mutation {found}: {fault}");
        }
        assert_eq!(fault_of(&verification, LogKind::System), None);
        found += 1;
    }
}

#[test]
fn entries_that_are_moved_to_another_log_are_found() {
    let place = Place::new();
    let logs = place.open();
    logs.append(at(1), &[started("a"), clock_set()]).unwrap();
    drop(logs);
    let system = fs::read(place.segment(LogKind::System)).unwrap();
    let mut bytes = fs::read(place.segment(LogKind::Calibration)).unwrap();
    fs::write(place.segment(LogKind::Calibration), &system).unwrap();
    assert_eq!(
        fault_of(&place.verify(), LogKind::Calibration),
        Some(LogFault::Header { sequence: 1 })
    );
    bytes[segment::HEADER_BYTES..].copy_from_slice(&system[segment::HEADER_BYTES..]);
    fs::write(place.segment(LogKind::Calibration), &bytes).unwrap();
    assert_eq!(
        fault_of(&place.verify(), LogKind::Calibration),
        Some(LogFault::Chain { sequence: 1 })
    );
}

#[test]
fn a_segment_under_another_name_is_found() {
    let place = Place::new();
    place.open().append(at(1), &[started("a")]).unwrap();
    let path = place.segment(LogKind::System);
    fs::copy(&path, path.with_file_name(segment::name(2))).unwrap();
    assert_eq!(
        fault_of(&place.verify(), LogKind::System),
        Some(LogFault::Header { sequence: 2 })
    );
}
