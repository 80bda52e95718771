use model::Unit;
use proptest::prelude::*;

use super::*;
use crate::{Block, Function};

/// Serial number 7, and one register of the given type at address 0 of the input registers.
fn profile(register: &str) -> Profile {
    with_parameters("", register)
}

/// As [`profile`], with parameters, which stand in the holding registers behind the serial number.
fn with_parameters(parameters: &str, register: &str) -> Profile {
    Profile::parse(&format!(
        r#"
        name = "acme-one"
        manufacturer = "Acme"
        models = ["One"]
        medium = "electricity"
        source = {{ document = "none", edition = "none" }}
        limits = {{ registers_per_request = 16, largest_gap = 0 }}
        defaults = {{ function = 3 }}
        serial_number = {{ prefix = "ACM", digits = 1, address = 0, type = "u16", not_available = ["0000"] }}
        parameters = [{parameters}]
        registers = [{{ obis = "1-0:1.8.0*255", function = 4, address = 0, {register} }}]
        "#
    ))
    .unwrap()
}

fn block(function: Function, address: u16, words: &[u16]) -> Block {
    Block {
        function,
        address,
        count: words.len().try_into().unwrap(),
    }
}

/// The holding registers from the serial number on, and the input registers.
fn image(holding: &[u16], input: &[u16]) -> RegisterImage {
    let mut image = RegisterImage::new();
    for (function, words) in [
        (Function::HoldingRegisters, holding),
        (Function::InputRegisters, input),
    ] {
        image.insert(block(function, 0, words), words).unwrap();
    }
    image
}

fn decoded(register: &str, words: &[u16]) -> Sample {
    let register = format!("unit = \"Wh\", {register}");
    let readout = profile(&register).decode(&image(&[7], words)).unwrap();
    assert_eq!(readout.meter.as_str(), "ACM-7");
    assert_eq!(readout.medium, Medium::Electricity);
    readout.samples.into_iter().next().unwrap()
}

#[track_caller]
fn assert_value(register: &str, words: &[u16], mantissa: i128, scaler: i8, status: Status) {
    let sample = decoded(register, words);
    let value = Decimal::new(mantissa, scaler).unwrap();
    let unit = Unit::WattHour;
    assert_eq!(sample.value, Ok(Quantity { value, unit }));
    assert_eq!(sample.status, status);
}

#[track_caller]
fn assert_gap(register: &str, words: &[u16], reason: GapReason) {
    let sample = decoded(register, words);
    assert_eq!((sample.value, sample.status), (Err(reason), Status::GOOD));
}

/// The texts of all values of a profile with parameters.
fn texts(parameters: &str, register: &str, holding: &[u16], input: &[u16]) -> Vec<String> {
    let values = with_parameters(parameters, register).values(&image(holding, input));
    let texts = values.into_iter().map(|decoded| match decoded.value {
        Ok(quantity) => format!("{} {quantity}", decoded.obis),
        Err(fault) => format!("{} {}", decoded.obis, fault.gap_reason()),
    });
    texts.collect()
}

#[test]
fn integers_keep_every_digit() {
    let good = Status::GOOD;
    assert_value(r#"type = "u16""#, &[0xFFFE], 65_534, 0, good);
    assert_value(r#"type = "i16", scale = -2"#, &[0xFFFE], -2, -2, good);
    assert_value(r#"type = "u32""#, &[0xFFFF, 0xFFFE], 4_294_967_294, 0, good);
    assert_value(r#"type = "i32", scale = 1"#, &[0xFFFF, 0xFFFE], -2, 1, good);
    assert_value(
        r#"type = "u48""#,
        &[0xFFFF, 0xFFFF, 0xFFFE],
        281_474_976_710_654,
        0,
        good,
    );
    let minus_two = &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE];
    assert_value(r#"type = "u64""#, minus_two, 18_446_744_073_709_551_614, 0, good);
    assert_value(r#"type = "i64""#, minus_two, -2, 0, good);
    assert_value(
        r#"type = "bcd", count = 2"#,
        &[0x1234, 0x5678],
        12_345_678,
        0,
        good,
    );
    assert_value(
        r#"type = "bcd", count = 9"#,
        &[0x9999; 9],
        10i128.pow(36) - 1,
        0,
        good,
    );
}

#[test]
fn words_and_bytes_come_in_every_order() {
    let good = Status::GOOD;
    let low = r#"word_order = "low-word-first""#;
    assert_value(
        &format!(r#"type = "u32", {low}"#),
        &[0x0002, 0x0001],
        65_538,
        0,
        good,
    );
    assert_value(&format!(r#"type = "u64", {low}"#), &[4, 0, 0, 0], 4, 0, good);
    let low_half = r#"type = "u64", word_order = "low-half-first""#;
    assert_value(low_half, &[0x0001, 0x0002, 0, 0], 65_538, 0, good);
    let low_byte = r#"byte_order = "low-byte-first""#;
    assert_value(&format!(r#"type = "u16", {low_byte}"#), &[0x0100], 1, 0, good);
    assert_value(
        &format!(r#"type = "u32", {low}, {low_byte}"#),
        &[0x0200, 0x0100],
        65_538,
        0,
        good,
    );
}

#[test]
fn reals_keep_their_shortest_digits_and_are_marked() {
    // 1234.567 as a real of single precision is 0x449A5225, and as one of double precision as below.
    let float = Status::FROM_FLOAT;
    assert_value(
        r#"type = "f32", scale = 3"#,
        &[0x449A, 0x5225],
        1_234_567,
        0,
        float,
    );
    let double = &[0x4093, 0x4A44, 0x9BA5, 0xE354];
    assert_value(r#"type = "f64", scale = 3"#, double, 1_234_567, 0, float);
    assert_value(r#"type = "f32""#, &[0x8000, 0], 0, 0, float);
}

#[test]
fn texts_of_digits_are_numbers() {
    let ascii = r#"type = "ascii", count = 4"#;
    assert_value(ascii, &[0x2020, 0x3132, 0x2E35, 0x3000], 1_250, -2, Status::GOOD);
    assert_gap(ascii, &[0x2020, 0x3132, 0x2C35, 0x3000], GapReason::BadAnswer);
    assert_gap(ascii, &[0x2020, 0x2020, 0, 0], GapReason::NotAvailable);
    assert_gap(ascii, &[0xFF31, 0, 0, 0], GapReason::BadAnswer);
    assert_gap(ascii, &[0x0731, 0, 0, 0], GapReason::BadAnswer);
}

#[test]
fn bits_are_counted_from_the_lowest() {
    let bits = r#"type = "bitfield", count = 2, bits = { lowest = 4, count = 12 }"#;
    assert_value(bits, &[0xFFFF, 0x1230], 0xF123 & 0xFFF, 0, Status::GOOD);
    assert_value(
        r#"type = "bitfield", count = 4"#,
        &[0xFFFF; 4],
        u64::MAX.into(),
        0,
        Status::GOOD,
    );
}

#[test]
fn a_table_of_bits_has_its_lowest_bit_first() {
    let profile = profile(r#"unit = "Wh", type = "u16""#);
    let mut field = profile.registers()[0].field.clone();
    field.function = Function::DiscreteInputs;
    field.register_type = crate::RegisterType::Bitfield;
    field.count = 3;
    let mut image = RegisterImage::new();
    image.insert(field.block(), &[1, 0, 1]).unwrap();
    assert_eq!(content(&field, &image), Ok(Content::Number(Decimal::whole(5))));
}

#[test]
fn what_is_not_available_is_absent_with_its_reason() {
    assert_gap(r#"type = "f32""#, &[0x7FC0, 0], GapReason::NotAvailable);
    assert_gap(r#"type = "f64""#, &[0x7FF8, 0, 0, 0], GapReason::NotAvailable);
    assert_gap(
        r#"type = "i16", not_available = ["8000"]"#,
        &[0x8000],
        GapReason::NotAvailable,
    );
    // As on the wire, before words and bytes are put in order.
    let swapped = r#"type = "u32", word_order = "low-word-first", not_available = ["0001 FFFF"]"#;
    assert_gap(swapped, &[0x0001, 0xFFFF], GapReason::NotAvailable);
}

#[test]
fn what_no_decimal_can_hold_is_a_bad_answer() {
    assert_gap(r#"type = "f32""#, &[0x7F80, 0], GapReason::BadAnswer);
    assert_gap(r#"type = "f64""#, &[0xFFF0, 0, 0, 0], GapReason::BadAnswer);
    assert_gap(r#"type = "f32", scale = -18"#, &[0x2F00, 1], GapReason::BadAnswer);
    assert_gap(r#"type = "bcd", count = 1"#, &[0x12A4], GapReason::BadAnswer);
}

#[test]
fn a_register_that_was_not_read_or_is_refused_says_so() {
    assert_gap(r#"type = "u32""#, &[1], GapReason::NoAnswer);
    let profile = profile(r#"unit = "Wh", type = "u16""#);
    let mut image = RegisterImage::new();
    image.refuse(profile.registers()[0].field.block(), 2);
    let fault = ValueFault::Refused { code: 2 };
    assert_eq!(profile.values(&image)[0].value, Err(fault));
}

/// The values of a meter with these contents, and no parameters.
fn fault(register: &str, words: &[u16]) -> ValueFault {
    let profile = profile(&format!("unit = \"Wh\", {register}"));
    profile.values(&image(&[7], words))[0].value.unwrap_err()
}

#[test]
fn what_gives_no_value_is_named() {
    for (register, words, expected) in [
        (r#"type = "f32""#, &[0x7F80, 0][..], ValueFault::Infinite),
        (r#"type = "f64""#, &[0xFFF0, 0, 0, 0], ValueFault::Infinite),
        (
            r#"type = "f64""#,
            &[0x7E37, 0xE43C, 0x8800, 0x759C],
            ValueFault::Unrepresentable,
        ),
        (r#"type = "f32""#, &[0, 1], ValueFault::Unrepresentable),
        (r#"type = "f32""#, &[0x7FC0, 0], ValueFault::NotANumber),
        (r#"type = "f32", scale = -18"#, &[0x2F00, 1], ValueFault::Scaled),
        (r#"type = "bcd", count = 1"#, &[0x12A4], ValueFault::Digit),
        (r#"type = "ascii", count = 1"#, &[0x2020], ValueFault::EmptyText),
        (r#"type = "ascii", count = 1"#, &[0x4142], ValueFault::NoNumber),
        (r#"type = "ascii", count = 1"#, &[0x0731], ValueFault::Characters),
        (
            r#"type = "u16", not_available = ["FFFF"]"#,
            &[0xFFFF],
            ValueFault::NotAvailable,
        ),
    ] {
        assert_eq!(fault(register, words), expected, "{register}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn a_parameter_outside_its_range_spoils_the_value() {
    let parameter = r#"{ name = "n", address = 1, type = "u16", range = { least = 0, most = 7 } }"#;
    let register = r#"type = "u16", scale = -3, scale_from = "n", unit = "Wh""#;
    assert_eq!(
        texts(parameter, register, &[7, 7], &[5]),
        ["1-0:1.8.0*255 50000 Wh"]
    );
    assert_eq!(
        texts(parameter, register, &[7, 8], &[5]),
        ["1-0:1.8.0*255 bad-answer"]
    );
}

#[test]
fn a_total_is_the_exact_sum_of_its_parts_or_absent() {
    let registers = r#"unit = "Wh", type = "f32" }, { obis = "1-0:1.8.1*255", function = 4, address = 2, type = "f32", unit = "Wh" }]
        totals = [{ obis = "1-0:1.8.9*255", of = ["1-0:1.8.0*255", "1-0:1.8.1*255"]"#;
    let profile = profile(registers);
    assert_eq!(profile.codes().count(), 3);
    // 0.1 and 0.2 as reals: their shortest decimals are added, not the reals.
    let values = profile.values(&image(&[7], &[0x3DCC, 0xCCCD, 0x3E4C, 0xCCCD]));
    assert_eq!(values[2].value.unwrap().to_string(), "0.3 Wh");
    assert_eq!(values[2].status, Status::FROM_FLOAT);
    let values = profile.values(&image(&[7], &[0x3DCC, 0xCCCD, 0x7FC0, 0]));
    assert_eq!(
        (values[2].value, values[2].status),
        (Err(ValueFault::NotANumber), Status::GOOD)
    );
    let values = profile.values(&image(&[7], &[0x3DCC, 0xCCCD]));
    assert_eq!(values[2].value, Err(ValueFault::NotRead(GapReason::NoAnswer)));
}

#[test]
fn ratios_are_exact() {
    let kilocalories = r#"type = "u16", ratio = { numerator = 1163, denominator = 1000 }"#;
    assert_value(kilocalories, &[3], 3_489, -3, Status::GOOD);
    assert_value(
        r#"type = "u16", ratio = { numerator = 1, denominator = 8 }"#,
        &[1],
        125,
        -3,
        Status::GOOD,
    );
}

#[test]
fn a_scale_factor_register_moves_the_point() {
    let parameter = r#"{ name = "sf", address = 1, type = "i16", not_available = ["8000"] }"#;
    let register = r#"type = "u16", scale_from = "sf", unit = "Wh""#;
    let value = |factor: u16| texts(parameter, register, &[7, factor], &[123]);
    assert_eq!(value(0xFFFE), ["1-0:1.8.0*255 1.23 Wh"]);
    assert_eq!(value(2), ["1-0:1.8.0*255 12300 Wh"]);
    assert_eq!(value(0x8000), ["1-0:1.8.0*255 not-available"]);
    assert_eq!(value(200), ["1-0:1.8.0*255 bad-answer"]);
    assert_eq!(
        texts(parameter, register, &[7], &[123]),
        ["1-0:1.8.0*255 no-answer"]
    );
}

#[test]
fn transformer_ratios_multiply_and_divide() {
    let parameters = r#"
        { name = "primary", address = 1, type = "u16" },
        { name = "secondary", address = 2, type = "u16", scale = -1 },
        { name = "voltage", address = 3, type = "f32" }"#;
    let register = r#"type = "u16", times = ["primary", "voltage"], over = ["secondary"], unit = "Wh""#;
    let value = |primary, secondary| texts(parameters, register, &[7, primary, secondary, 0x3FC0, 0], &[10]);
    // 10 × 250 × 1.5 / 5.0; the quotient has no more digits than it needs.
    assert_eq!(value(250, 50), ["1-0:1.8.0*255 750 Wh"]);
    assert_eq!(value(250, 0), ["1-0:1.8.0*255 bad-answer"]);
    assert_eq!(value(1, 70), ["1-0:1.8.0*255 bad-answer"]);
    let profile = with_parameters(parameters, register);
    let values = profile.values(&image(&[7, 250, 50, 0x3FC0, 0], &[10]));
    assert_eq!(values[0].status, Status::FROM_FLOAT);
}

#[test]
fn a_unit_register_names_unit_and_power() {
    let parameter = r#"{ name = "unit", address = 1, type = "u16", units = [
        { code = 3, unit = "Wh", scale = 3 }, { code = 5, unit = "Wh", scale = 6 } ] }"#;
    let register = r#"type = "u16", unit_from = "unit""#;
    assert_eq!(
        texts(parameter, register, &[7, 5], &[2]),
        ["1-0:1.8.0*255 2000000 Wh"]
    );
    assert_eq!(
        texts(parameter, register, &[7, 4], &[2]),
        ["1-0:1.8.0*255 bad-answer"]
    );
}

#[test]
fn whole_part_and_fraction_are_added_exactly() {
    let register = r#"type = "i32", unit = "Wh", fraction = { function = 4, address = 2, type = "f32" }"#;
    let value = |words: &[u16]| texts("", register, &[7], words);
    // 70000 and the real that lies nearest to 0.1
    assert_eq!(
        value(&[0x0001, 0x1170, 0x3DCC, 0xCCCD]),
        ["1-0:1.8.0*255 70000.1 Wh"]
    );
    assert_eq!(value(&[0, 1, 0x7FC0, 0]), ["1-0:1.8.0*255 not-available"]);
    let profile = profile(register);
    let values = profile.values(&image(&[7], &[0, 1, 0x3F00, 0]));
    assert_eq!(values[0].status, Status::FROM_FLOAT);
    let milli =
        r#"type = "u16", unit = "Wh", fraction = { function = 4, address = 1, type = "u16", scale = -3 }"#;
    assert_eq!(texts("", milli, &[7], &[5, 42]), ["1-0:1.8.0*255 5.042 Wh"]);
}

#[test]
fn one_signed_register_is_split_to_import_and_export() {
    let register = r#"type = "i16", unit = "Wh", scale = -1, negative_obis = "1-0:2.8.0*255""#;
    let value = |word: u16| texts("", register, &[7], &[word]);
    assert_eq!(value(25), ["1-0:1.8.0*255 2.5 Wh", "1-0:2.8.0*255 0.0 Wh"]);
    assert_eq!(value(0xFFE7), ["1-0:1.8.0*255 0.0 Wh", "1-0:2.8.0*255 2.5 Wh"]);
    assert_eq!(value(0), ["1-0:1.8.0*255 0.0 Wh", "1-0:2.8.0*255 0.0 Wh"]);
    let inverted = format!("{register}, inverted = true");
    assert_eq!(
        texts("", &inverted, &[7], &[25]),
        ["1-0:1.8.0*255 0.0 Wh", "1-0:2.8.0*255 2.5 Wh"]
    );
    let absent = format!("{register}, not_available = [\"8000\"]");
    assert_eq!(
        texts("", &absent, &[7], &[0x8000]),
        ["1-0:1.8.0*255 not-available", "1-0:2.8.0*255 not-available"]
    );
}

#[test]
fn values_without_a_serial_number_are_nobodys() {
    let profile = profile(r#"unit = "Wh", type = "u16""#);
    assert_eq!(
        profile.decode(&RegisterImage::new()),
        Err(DecodeError::SerialNumberNotRead)
    );
    assert_eq!(
        profile.decode(&image(&[0], &[1])),
        Err(DecodeError::SerialNumberNotAvailable)
    );
}

#[test]
fn a_meter_without_a_serial_number_is_named_by_hand() {
    let text = r#"
        name = "acme-two"
        manufacturer = "Acme"
        models = ["One"]
        medium = "gas"
        source = { document = "none", edition = "none" }
        limits = { registers_per_request = 16, largest_gap = 0 }
        registers = [{ obis = "7-0:3.0.0*255", function = 4, address = 0, type = "u16", unit = "m3" }]
    "#;
    let profile = Profile::parse(text).unwrap();
    let image = image(&[], &[5]);
    assert_eq!(profile.decode(&image), Err(DecodeError::NoSerialNumber));
    let meter: MeterId = "gas-cellar".parse().unwrap();
    let readout = profile.decode_for(&meter, &image);
    assert_eq!((readout.meter, readout.medium), (meter, Medium::Gas));
    assert_eq!(readout.samples[0].value.unwrap().to_string(), "5 m3");
}

#[test]
fn a_text_can_be_the_serial_number() {
    let text = r#"
        name = "acme-three"
        manufacturer = "Acme"
        models = ["One"]
        medium = "gas"
        source = { document = "none", edition = "none" }
        limits = { registers_per_request = 16, largest_gap = 0 }
        serial_number = { prefix = "ACM", function = 3, address = 0, type = "ascii", count = 4 }
        registers = [{ obis = "7-0:3.0.0*255", function = 4, address = 0, type = "u16", unit = "m3" }]
    "#;
    let profile = Profile::parse(text).unwrap();
    let identity = |words: &[u16]| profile.identity(&image(words, &[]));
    assert_eq!(identity(&[0x4142, 0x2D37, 0, 0]).unwrap().as_str(), "ACM-AB-7");
    for nobody in [[0u16; 4], [0x4142, 0x2F37, 0, 0], [0xFFFF; 4]] {
        assert_eq!(identity(&nobody), Err(DecodeError::SerialNumberNotAvailable));
    }
}

/// Every type, and how many registers it has.
const TYPES: [(&str, usize); 13] = [
    ("u16\"", 1),
    ("i16\"", 1),
    ("u32\"", 2),
    ("i32\"", 2),
    ("u48\"", 3),
    ("u64\"", 4),
    ("i64\"", 4),
    ("f32\"", 2),
    ("f64\"", 4),
    ("bcd\", count = 4", 4),
    ("ascii\", count = 4", 4),
    ("bitfield\", count = 4", 4),
    ("bitfield\", count = 2, bits = { lowest = 3, count = 29 }", 2),
];

proptest! {
    #[test]
    fn any_registers_give_one_sample_each(words: [u16; 4], scale in -18i8..=18, kind in 0usize..TYPES.len(), low: bool) {
        let (name, width) = TYPES[kind];
        let order = if low && width > 1 { ", word_order = \"low-word-first\"" } else { "" };
        let register = format!("unit = \"Wh\", scale = {scale}, type = \"{name}{order}");
        let readout = profile(&register).decode(&image(&[7], &words)).unwrap();
        prop_assert_eq!(readout.samples.len(), 1);
        let sample = &readout.samples[0];
        if name.starts_with(['u', 'i']) || name.starts_with("bitfield") {
            prop_assert!(sample.value.is_ok());
        }
        prop_assert_eq!(
            sample.status == Status::FROM_FLOAT,
            sample.value.is_ok() && name.starts_with('f')
        );
    }

    #[test]
    fn any_parameters_give_a_value_or_a_gap(holding: [u16; 6], words: [u16; 4]) {
        let parameters = r#"
            { name = "sf", address = 1, type = "i16" },
            { name = "ct", address = 2, type = "f32" },
            { name = "over", address = 4, type = "u16" },
            { name = "unit", address = 5, type = "u16", units = [{ code = 1, unit = "Wh" }] }"#;
        let register = r#"type = "i32", scale_from = "sf", times = ["ct"], over = ["over"], unit_from = "unit",
            negative_obis = "1-0:2.8.0*255", fraction = { function = 4, address = 2, type = "f32" }"#;
        prop_assert_eq!(texts(parameters, register, &holding, &words).len(), 2);
    }
}
