//! One bit of one file is flipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Kind;
use crate::torture::bases::{Base, Bases};
use crate::torture::bench::Bench;
use crate::torture::error::TortureError;
use crate::torture::folders;
use crate::torture::random::Random;
use crate::torture::verdict::Outcome;

/// The number of bits that are flipped in the readings.
const READINGS: usize = 10_000;

/// The number of bits that are flipped in the database's log, and in the three logs.
const FEWER: usize = 2_000;

/// The space that the bindings keep aside: what is in it means nothing.
const FILLER: &str = "reserve";

/// In a run of zeros, which sled fills its file up with, one bit is tried in each piece of so many bytes.
const PADDING: usize = 256;

/// So many zeros in a row are padding.
const LEAST_PADDING: usize = 1_024;

struct Flips<'a> {
    places: Vec<Place<'a>>,
    /// Place, byte, bit.
    flips: Vec<(usize, usize, u8)>,
    sampled: usize,
}

struct Place<'a> {
    base: &'a Base,
    file: PathBuf,
    content: Vec<u8>,
}

/// Prepares a flip of every bit of every file of the bindings, for a store that was never opened again, for one
/// that was, and for one that was given up.
pub(super) fn bindings<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let mut kind = Flips {
        places: Vec::new(),
        flips: Vec::new(),
        sampled: 0,
    };
    for base in bases.three.iter().skip(1).chain([&bases.given_up]) {
        for file in folders::files(&base.folder)? {
            if file.starts_with("store/bindings") && !file.ends_with(FILLER) {
                let place = kind.places.len();
                let content = read(base, &file)?;
                kind.sampled += every_bit(place, &content, &mut kind.flips);
                kind.places.push(Place { base, file, content });
            }
        }
    }
    Ok(Box::new(kind))
}

/// Prepares flips in the database of some days.
pub(super) fn readings<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    drawn(&bases.days, &|file| file.ends_with("store/gateway.db"), READINGS)
}

/// Prepares flips in the log that a kill leaves beside the database.
pub(super) fn wal<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    drawn(
        &bases.killed,
        &|file| file.ends_with("store/gateway.db-wal"),
        FEWER,
    )
}

/// Prepares a flip of every bit of the file that knows the database's last commit.
pub(super) fn witness<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let base = &bases.days;
    let file = PathBuf::from("store/gateway.head");
    let content = read(base, &file)?;
    let mut flips = Vec::new();
    let sampled = every_bit(0, &content, &mut flips);
    let places = vec![Place { base, file, content }];
    Ok(Box::new(Flips {
        places,
        flips,
        sampled,
    }))
}

/// Prepares flips in the three logs and in their signed heads.
pub(super) fn logs<'a>(bases: &'a Bases, _: &Bench) -> Result<Box<dyn Kind + 'a>, TortureError> {
    drawn(&bases.days, &|file| file.starts_with("store/logs"), FEWER)
}

/// Draws bits of files by lot, no bit twice.
fn drawn<'a>(
    base: &'a Base,
    is_wanted: &dyn Fn(&Path) -> bool,
    number: usize,
) -> Result<Box<dyn Kind + 'a>, TortureError> {
    let mut places = Vec::new();
    for file in folders::files(&base.folder)? {
        if is_wanted(&file) {
            let content = read(base, &file)?;
            places.push(Place { base, file, content });
        }
    }
    let bits: usize = places.iter().map(|place| place.content.len() * 8).sum();
    let mut random = Random::new(1);
    let mut flips = BTreeSet::new();
    while flips.len() < number.min(bits) {
        let mut bit = random.below(bits);
        for (place, Place { content, .. }) in places.iter().enumerate() {
            if bit < content.len() * 8 {
                flips.insert((place, bit / 8, u8::try_from(bit % 8).unwrap_or(0)));
                break;
            }
            bit -= content.len() * 8;
        }
    }
    Ok(Box::new(Flips {
        places,
        flips: flips.into_iter().collect(),
        sampled: 0,
    }))
}

fn read(base: &Base, file: &PathBuf) -> Result<Vec<u8>, TortureError> {
    let path = base.folder.join(file);
    fs::read(&path).map_err(TortureError::file(&path))
}

/// Adds every bit of a file, and of each padding a sample; returns how many bytes were only sampled.
fn every_bit(place: usize, content: &[u8], flips: &mut Vec<(usize, usize, u8)>) -> usize {
    let mut sampled = 0;
    let mut begin = 0;
    while begin < content.len() {
        let is_zero = content[begin] == 0;
        let length = content[begin..]
            .iter()
            .take_while(|byte| (**byte == 0) == is_zero)
            .count();
        let run = begin..begin + length;
        if is_zero && length >= LEAST_PADDING {
            sampled += length;
            for (number, byte) in run.clone().step_by(PADDING).enumerate() {
                flips.push((place, byte, u8::try_from(number % 8).unwrap_or(0)));
            }
        } else {
            flips.extend(
                run.clone()
                    .flat_map(|byte| (0..8).map(move |bit| (place, byte, bit))),
            );
        }
        begin = run.end;
    }
    sampled
}

impl Kind for Flips<'_> {
    fn count(&self) -> usize {
        self.flips.len()
    }

    fn torture(&self, number: usize, bench: &mut Bench) -> Result<Outcome, TortureError> {
        let Some((place, byte, bit)) = self.flips.get(number).copied() else {
            return Ok(Outcome::default());
        };
        let Place { base, file, content } = &self.places[place];
        let folder = base.copy(bench)?;
        let mut flipped = content.clone();
        flipped[byte] ^= 1 << bit;
        let path = folder.join(file);
        fs::write(&path, flipped).map_err(TortureError::file(&path))?;
        Ok(Outcome {
            what: format!("{}, {} byte {byte} bit {bit}", base.name, file.display()),
            acknowledged: base.acknowledged.len(),
            verdict: bench.check(&folder.join("store"), &base.acknowledged, false)?,
            ..Outcome::default()
        })
    }

    fn describe(&self) -> String {
        let bytes: usize = self.places.iter().map(|place| place.content.len()).sum();
        if self.sampled == 0 {
            return format!("{} bits of {bytes} bytes", self.flips.len());
        }
        format!(
            "every bit of {} bytes; of {} zeros of padding one bit in {PADDING} bytes",
            bytes - self.sampled,
            self.sampled
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_flipped_but_those_of_long_padding() {
        let mut flips = Vec::new();
        let mut content = vec![1, 0, 0, 2];
        content.extend([0; 2_048]);
        content.push(3);
        assert_eq!(every_bit(5, &content, &mut flips), 2_048);
        assert_eq!(flips.len(), 5 * 8 + 2_048 / PADDING);
        assert!(flips.contains(&(5, 2_052, 7)));
    }
}
