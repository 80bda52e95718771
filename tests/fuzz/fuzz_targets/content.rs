//! Any bytes are a content or refused, and what is read is written as what is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messages::content::{Content, check_freshness};
use model::{Span, Timestamp};

fuzz_target!(|input: &[u8]| {
    let content = match Content::parse(input) {
        Ok(content) => content,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let json = content.to_json().unwrap();
    let again = Content::parse(&json).unwrap();
    assert_eq!(again, content);
    assert_eq!(again.to_json().unwrap(), json);
    assert_eq!((again.id(), again.time()), (content.id(), content.time()));
    let _ = check_freshness(content.time(), Timestamp::EPOCH, Span::QUARTER_HOUR);
});
