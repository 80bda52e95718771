//! The wire: what a master hears when meters answer, one alone or several at once.

use std::time::Duration;

/// Bits of a byte on the wire: start, 8 data bits, even parity, stop.
pub(super) const BITS: u32 = 11;
/// Samples for each bit when answers overlap: fine enough to tell half a bit's shift.
const SAMPLES: usize = 8;

/// Bytes that one slave puts on the wire without a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transmission {
    pub(super) start: Duration,
    pub(super) bytes: Vec<u8>,
}

impl Transmission {
    pub(super) fn end(&self, bit: Duration) -> Duration {
        let bytes = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.start + bit * BITS * bytes
    }
}

/// Returns the bytes that a receiver gets, and when each is complete.
///
/// Alone, a transmission arrives as it is. Where several overlap, the wire is low whenever one of
/// them is low, since each slave draws current for a zero; what the receiver makes of that is what it
/// samples in the middle of each bit. A byte with wrong parity is passed on all the same, as most
/// converters do.
pub(super) fn received(transmissions: &[Transmission], bit: Duration) -> Vec<(Duration, u8)> {
    let mut sorted: Vec<&Transmission> = transmissions.iter().collect();
    sorted.sort_by_key(|transmission| transmission.start);
    let mut bytes = Vec::new();
    let mut cluster: Vec<&Transmission> = Vec::new();
    let mut end = Duration::ZERO;
    for transmission in sorted {
        if transmission.start >= end {
            bytes.extend(sampled(&cluster, bit));
            cluster.clear();
        }
        end = end.max(transmission.end(bit));
        cluster.push(transmission);
    }
    bytes.extend(sampled(&cluster, bit));
    bytes
}

fn sampled(cluster: &[&Transmission], bit: Duration) -> Vec<(Duration, u8)> {
    match cluster {
        [] => Vec::new(),
        [alone] => (1..)
            .zip(&alone.bytes)
            .map(|(number, byte)| (alone.start + bit * BITS * number, *byte))
            .collect(),
        [first, ..] => {
            let start = first.start;
            receive(&levels(cluster, start, bit))
                .into_iter()
                .map(|(sample, byte)| {
                    let samples = u32::try_from(sample).unwrap_or(u32::MAX);
                    (start + bit * samples / 8, byte)
                })
                .collect()
        }
    }
}

/// Returns the level of the wire at each sample; true is the idle level.
fn levels(cluster: &[&Transmission], start: Duration, bit: Duration) -> Vec<bool> {
    let mut levels = Vec::new();
    for transmission in cluster {
        let offset = (transmission.start - start).as_nanos() * 8 / bit.as_nanos().max(1);
        let mut place = usize::try_from(offset).unwrap_or(0);
        for byte in &transmission.bytes {
            let parity = byte.count_ones() % 2 == 1;
            let data = (0..8).map(|place| byte >> place & 1 == 1);
            for level in std::iter::once(false).chain(data).chain([parity, true]) {
                let end = place + SAMPLES;
                if levels.len() < end {
                    levels.resize(end, true);
                }
                if !level && let Some(samples) = levels.get_mut(place..end) {
                    samples.fill(false);
                }
                place = end;
            }
        }
    }
    levels
}

/// Reads bytes as a UART does; the number is that of the sample at which the byte is complete.
fn receive(levels: &[bool]) -> Vec<(usize, u8)> {
    let mut bytes = Vec::new();
    let mut place = 0;
    let at = |place: usize| levels.get(place).copied().unwrap_or(true);
    while place < levels.len() {
        let middle = place + SAMPLES / 2;
        if at(place) || at(middle) {
            place += 1;
            continue;
        }
        let byte = (1..=8u8).fold(0, |byte, number| {
            let level = at(middle + SAMPLES * usize::from(number));
            byte | u8::from(level) << (number - 1)
        });
        let stop = middle + SAMPLES * 10;
        bytes.push((stop + SAMPLES / 2, byte));
        place = stop;
        while place < levels.len() && !at(place) {
            // No stop bit: the wire has to become idle before another byte can start.
            place += 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIT: Duration = Duration::from_micros(400);

    fn transmission(bits: u32, bytes: &[u8]) -> Transmission {
        Transmission {
            start: BIT * bits,
            bytes: bytes.to_vec(),
        }
    }

    fn bytes(transmissions: &[Transmission]) -> Vec<u8> {
        received(transmissions, BIT)
            .into_iter()
            .map(|(_, byte)| byte)
            .collect()
    }

    #[test]
    fn answer_alone_arrives_byte_by_byte_in_its_time() {
        let answer = [transmission(11, &[0xE5, 0x16])];
        assert_eq!(received(&answer, BIT), [(BIT * 22, 0xE5), (BIT * 33, 0x16)]);
    }

    #[test]
    fn equal_answers_at_the_same_instant_look_like_one() {
        let answers = [transmission(11, &[0xE5]), transmission(11, &[0xE5])];
        assert_eq!(bytes(&answers), [0xE5]);
    }

    #[test]
    fn overlapping_answers_are_garbled() {
        let answers = [transmission(11, &[0xE5]), transmission(14, &[0xE5])];
        assert_ne!(bytes(&answers), [0xE5]);
        let first = [0x68, 0x10, 0x10, 0x68, 0x08];
        let second = [0x68, 0x20, 0x20, 0x68, 0x08];
        let both = bytes(&[transmission(0, &first), transmission(0, &second)]);
        assert_eq!(both, [0x68, 0x00, 0x00, 0x68, 0x08]);
    }

    #[test]
    fn answers_one_after_the_other_are_both_heard() {
        let answers = [transmission(30, &[2]), transmission(11, &[1])];
        assert_eq!(bytes(&answers), [1, 2]);
    }

    #[test]
    fn sampled_bytes_are_those_that_were_sent() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let alone = transmission(0, &all);
        let levels = levels(&[&alone], Duration::ZERO, BIT);
        let read: Vec<u8> = receive(&levels).into_iter().map(|(_, byte)| byte).collect();
        assert_eq!(read, all);
    }
}
