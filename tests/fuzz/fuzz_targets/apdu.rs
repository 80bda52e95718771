//! Any bytes are a command, or an answer, or are refused; what is read is written back as the same.
#![no_main]

use card::{CommandApdu, ResponseApdu};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(command) = CommandApdu::parse(input) {
        let bytes = command.to_bytes().expect("what was read can be written");
        assert!(bytes.len() <= input.len());
        assert_eq!(CommandApdu::parse(&bytes), Ok(command));
    }
    if let Ok(answer) = ResponseApdu::parse(input) {
        assert_eq!(answer.to_bytes().as_slice(), input);
        assert!(!answer.status().to_string().is_empty());
    }
});
