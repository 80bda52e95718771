//! Contents of registers as a foreign library reads them.

use model::GapReason;

use crate::decode::{Content, content};
use crate::{Block, ByteOrder, Field, Function, Place, RegisterImage, RegisterType, WordOrder, Words};

/// Written by pymodbus; see the README beside it.
const REGISTERS: &str = include_str!("../../../tests/vectors/modbus/registers.txt");

fn register_type(name: &str) -> RegisterType {
    match name {
        "u16" => RegisterType::U16,
        "i16" => RegisterType::I16,
        "u32" => RegisterType::U32,
        "i32" => RegisterType::I32,
        "u48" => RegisterType::U48,
        "u64" => RegisterType::U64,
        "i64" => RegisterType::I64,
        "f32" => RegisterType::F32,
        "f64" => RegisterType::F64,
        other => panic!("{other}"),
    }
}

fn word_order(name: &str) -> WordOrder {
    match name {
        "high-word-first" => WordOrder::HighWordFirst,
        "low-word-first" => WordOrder::LowWordFirst,
        "low-half-first" => WordOrder::LowHalfFirst,
        other => panic!("{other}"),
    }
}

/// Reads the words of a line and writes out what they are.
fn decoded(kind: &str, order: &str, words: &[u16], byte_order: ByteOrder) -> String {
    let field = Field {
        function: Function::HoldingRegisters,
        address: 7,
        place: Place::Wire,
        count: words.len().try_into().unwrap(),
        register_type: register_type(kind),
        word_order: word_order(order),
        byte_order,
        bits: None,
        not_available: Vec::new(),
    };
    let mut image = RegisterImage::new();
    let block: Block = field.block();
    image.insert(block, words).unwrap();
    match content(&field, &image) {
        Ok(Content::Number(number)) => number.to_string(),
        Ok(Content::Text(text)) => panic!("{text}"),
        Err(fault) => match fault.gap_reason() {
            gap @ (GapReason::NotAvailable | GapReason::BadAnswer) => gap.to_string(),
            gap => panic!("{gap}"),
        },
    }
}

#[test]
fn registers_are_read_as_pymodbus_reads_them() {
    let mut lines = 0;
    for line in REGISTERS.lines().filter(|line| !line.starts_with('#')) {
        let (left, expected) = line.split_once(" = ").unwrap();
        let (kind, rest) = left.split_once(' ').unwrap();
        let (order, words) = rest.split_once(' ').unwrap();
        let words: Words = words.parse().unwrap();
        let found = decoded(kind, order, words.as_slice(), ByteOrder::HighByteFirst);
        assert_eq!(found, expected, "{line}");
        let swapped: Vec<u16> = words.as_slice().iter().map(|word| word.swap_bytes()).collect();
        assert_eq!(
            decoded(kind, order, &swapped, ByteOrder::LowByteFirst),
            expected,
            "{line}"
        );
        lines += 1;
    }
    assert!(lines > 500, "{lines}");
}
