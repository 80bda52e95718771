//! Any stream of bytes is taken apart into frames that stand in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mbus::link::{Decoder, Frame};

fuzz_target!(|stream: &[u8]| {
    let mut decoder = Decoder::new();
    let mut input = stream;
    let mut found = Vec::new();
    while let Some(frame) = decoder.next_frame(&mut input) {
        found.extend(frame);
    }
    assert!(input.is_empty());
    while let Some(frame) = decoder.end_of_transmission() {
        found.extend(frame);
    }
    for frame in found {
        let bytes = frame.encode();
        assert!(stream.windows(bytes.len()).any(|window| window == bytes));
        assert_eq!(Frame::parse(&bytes), Ok(frame));
    }
});
