//! Any encrypted telegram is opened or refused, whatever the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mbus::application::{Key, Opener, Scratch, Telegram};

fuzz_target!(|input: &[u8]| {
    let Some((key, [ci, data @ ..])) = input.split_first_chunk::<16>() else {
        return;
    };
    let key = Key::new(*key);
    let opener = Opener {
        key: Some(&key),
        ..Opener::default()
    };
    let mut scratch = Scratch::new();
    if let Ok(telegram) = Telegram::open_message(*ci, data, &opener, &mut scratch) {
        telegram.records().for_each(drop);
    }
});
