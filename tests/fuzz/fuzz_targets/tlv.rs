//! Any bytes are data objects or are refused, and so are the files that are made of them.
#![no_main]

use card::tlv::{Reader, Tlv, exactly, push};
use card::{Anchor, Contact, StoreHead, Suppliers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let objects: Result<Vec<Tlv<'_>>, _> = Reader::new(input).collect();
    let mut again = Vec::new();
    for object in objects.iter().flatten() {
        push(&mut again, object.tag, object.value).expect("what was read can be written");
    }
    match objects.as_deref() {
        Ok([one]) => {
            assert_eq!(exactly(input, [one.tag]), Ok([one.value]));
            assert_eq!(again, input, "there is one way to write an object");
        }
        Ok(_) => assert_eq!(again, input, "there is one way to write objects"),
        Err(_) => assert!(exactly(input, [0x80]).is_err() && exactly(input, [0x7C]).is_err()),
    }
    if let Ok(contact) = Contact::parse(input) {
        assert_eq!(contact.to_bytes().expect("a contact"), input);
    }
    if let Ok(suppliers) = Suppliers::parse(input) {
        assert!(suppliers.entries().len() <= Suppliers::MAX);
        assert_eq!(suppliers.to_bytes(), input);
    }
    if let Ok(anchor) = Anchor::parse(input) {
        assert_eq!(anchor.to_bytes(), input);
    }
    if let Ok(head) = StoreHead::parse(input) {
        assert_eq!(head.to_bytes(), input);
    }
});
