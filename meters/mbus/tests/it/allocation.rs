//! The pure decoder allocates nothing for a record.

use std::hint::black_box;

use mbus::application::{Opener, Scratch, Telegram};
use mbus::link::{Frame, LongFrame};
use mbus::obis;

use super::corpus;

fn long_frames() -> Vec<LongFrame> {
    [corpus::golden(), corpus::of_each_kind()]
        .concat()
        .iter()
        .filter_map(|bytes| match Frame::parse(bytes) {
            Ok(Frame::Long(frame)) => Some(frame),
            _ => None,
        })
        .collect()
}

#[test]
fn decoding_to_values_and_codes_allocates_nothing() {
    let mut records = 0;
    for frame in long_frames() {
        let mut scratch = Scratch::new();
        let allocated = allocation_counter::measure(|| {
            let Ok(telegram) = Telegram::open(&frame, &Opener::default(), &mut scratch) else {
                return;
            };
            for record in telegram.records() {
                records += 1;
                black_box(obis::code_of(&record, telegram.header().device_type));
            }
        });
        assert_eq!(allocated.count_total, 0, "{frame:02x?}");
    }
    assert!(records > 40, "{records}");
}
