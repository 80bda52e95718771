//! Any telegram in plain is decoded or refused, and no record is made up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mbus::application::{Formats, Opener, Scratch, Telegram};
use mbus::report::{json_line, table};

fuzz_target!(|input: &[u8]| {
    let Some((ci, data)) = input.split_first() else {
        return;
    };
    let mut formats = Formats::new();
    for _ in 0..2 {
        let learned = formats.clone();
        let opener = Opener {
            formats: Some(&learned),
            ..Opener::default()
        };
        let mut scratch = Scratch::new();
        let Ok(telegram) = Telegram::open_message(*ci, data, &opener, &mut scratch) else {
            return;
        };
        let bytes: usize = telegram.records().map(|record| record.raw.len()).sum();
        assert!(bytes <= data.len().max(512));
        assert!(!json_line(Some(1), &telegram).contains('\n'));
        drop(table(None, &telegram));
        formats.learn(&telegram);
    }
});
