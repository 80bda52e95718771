//! Hostile frames: real ones, altered at random, through link layer and decoder.
//!
//! The fuzz targets in `tests/fuzz` go deeper; this is what every check of the project runs.

use mbus::application::{Formats, Key, Opener, Scratch, Telegram};
use mbus::link::{Decoder, Frame, LongFrame};
use mbus::report::json_line;

use super::corpus;

/// Mutated frames; an unoptimised program gets a tenth, so that it takes seconds too.
pub(crate) const FRAMES: u32 = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};
/// Every how many frames the telegram is written out too.
const WRITTEN: u32 = 16;

/// Random numbers that are the same in each run (xorshift, G. Marsaglia 2003).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from((self.next() >> 16) % bound).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Bytes that mean something to the decoder come more often than by chance.
        const SPECIAL: [u8; 16] = [
            0x00, 0x0D, 0x0F, 0x1F, 0x2F, 0x6D, 0x7C, 0x7F, 0x80, 0x8D, 0xC9, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF,
        ];
        if self.next() & 0x100 == 0 {
            SPECIAL[self.below(SPECIAL.len())]
        } else {
            self.next().to_le_bytes()[3]
        }
    }
}

pub(crate) fn mutate(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let place = random.below(frame.len());
        match random.below(8) {
            0 => frame.truncate(place),
            1 => frame.insert(place, random.byte()),
            2 if !frame.is_empty() => {
                frame.remove(place);
            }
            3 => {
                let copied = frame[place..].to_vec();
                frame.extend(copied);
                frame.truncate(Frame::MAX_LENGTH + 3);
            }
            _ => {
                let byte = random.byte();
                if let Some(old) = frame.get_mut(place) {
                    *old = byte;
                }
            }
        }
    }
    // Most frames are made good for the link layer again, so that the decoder gets them.
    if random.below(8) != 0 && frame.len() >= 9 && frame.len() <= Frame::MAX_LENGTH {
        let count = u8::try_from(frame.len() - 6).unwrap();
        let end = frame.len() - 2;
        let sum = frame[4..end]
            .iter()
            .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        frame[..4].copy_from_slice(&[0x68, count, count, 0x68]);
        frame[end..].copy_from_slice(&[sum, 0x16]);
    }
}

/// Decodes, and checks that each record stands where it says and that none is made up.
fn decode(frame: &LongFrame, opener: &Opener<'_>, written: bool) -> usize {
    let mut scratch = Scratch::new();
    let Ok(telegram) = Telegram::open(frame, opener, &mut scratch) else {
        return 0;
    };
    let mut records = 0;
    let mut bytes = 0;
    for record in telegram.records() {
        assert!(!record.raw.is_empty());
        records += 1;
        bytes += record.raw.len();
    }
    let room = match frame.control_information() {
        0x73 | 0x79 | 0x7B | 0x90 => 512,
        _ => frame.data().len(),
    };
    assert!(bytes <= room, "{bytes} bytes of records in {frame:02x?}");
    if written {
        let line = json_line(Some(frame.address()), &telegram);
        assert!(line.ends_with('}') && !line.contains('\n'));
    }
    records
}

#[test]
fn mutated_frames_are_decoded_or_refused() {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    let seeds = [corpus::golden(), corpus::of_each_kind()].concat();
    let mut formats = Formats::new();
    let teaching = corpus::frame(0x69, &hex::decode("0734DD02FF2004134413").unwrap());
    let Ok(Frame::Long(teaching)) = Frame::parse(&teaching) else {
        panic!("the frame is good");
    };
    formats.learn(&Telegram::parse(&teaching).unwrap());
    let key = Key::new([0x11; 16]);
    let opener = Opener {
        key: Some(&key),
        formats: Some(&formats),
        sender: None,
        is_lenient: true,
    };
    let mut decoder = Decoder::new();
    let (mut telegrams, mut records) = (0u64, 0);
    for number in 0..FRAMES {
        let mut frame = seeds[random.below(seeds.len())].clone();
        mutate(&mut frame, &mut random);
        let mut input = frame.as_slice();
        // At most one result for each byte, and the end.
        for _ in 0..=frame.len() {
            match decoder.next_frame(&mut input) {
                Some(Ok(Frame::Long(found))) => {
                    telegrams += 1;
                    records += decode(&found, &opener, number % WRITTEN == 0);
                }
                Some(_) => {}
                None => break,
            }
        }
        assert!(input.is_empty());
        while decoder.end_of_transmission().is_some() {}
    }
    assert!(telegrams > u64::from(FRAMES / 2), "{telegrams}");
    assert!(records > usize::try_from(FRAMES).unwrap(), "{records}");
}
