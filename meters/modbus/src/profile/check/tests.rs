use model::{Medium, MeterIdError, Obis, ParseObisError, Unit};
use proptest::prelude::*;

use super::*;
use crate::profile::{Phase, PollClass, ProfileError};

/// A valid profile; each test breaks one line of it.
const VALID: &str = r#"name = "acme-one"
manufacturer = "Acme"
models = ["One"]
medium = "electricity"
unit_ids = { first = 1, last = 32 }
defaults = { function = 4 }
identification = [
    { register = { function = 3, address = 5, type = "u16", one_of = ["112"] } },
    { device = { object = "vendor-name", one_of = ["Acme*"] } },
]
parameters = [
    { name = "sf", address = 0x0010, type = "i16" },
    { name = "unit", address = 0x0011, type = "u16", units = [{ code = 1, unit = "Wh", scale = 3 }] },
]
registers = [
    { obis = "1-0:1.8.0*255", tariff = 0, address = 0x0048, type = "f32", scale = 3, unit = "Wh" },
    { obis = "1-0:32.7.0*255", phase = "L1", address = 0x0000, type = "u16", not_available = ["FFFF"], unit = "V" },
    { obis = "1-0:2.8.0*255", address = 0x0020, type = "u32", scale_from = "sf", unit_from = "unit" },
    { obis = "0-0:97.97.0*255", address = 0x0030, type = "bitfield", count = 1, bits = { lowest = 0, count = 4 }, unit = "1" },
    { obis = "0-0:97.97.1*255", address = 0x0030, type = "bitfield", count = 1, bits = { lowest = 4, count = 4 }, unit = "1" },
    { obis = "1-0:1.7.0*255", negative_obis = "1-0:2.7.0*255", address = 0x0040, type = "i16", unit = "W", poll = "fast" },
    { obis = "1-0:3.8.0*255", address = 0x0050, type = "i32", ratio = { numerator = 1, denominator = 8 }, fraction = { address = 0x0052, type = "u16", scale = -3 }, unit = "varh" },
]

[source]
document = "Register map"
edition = "1"

[limits]
registers_per_request = 80
largest_gap = 16
pause_ms = 20
answer_timeout_ms = 500
one_connection = true
forbidden = [{ function = 4, first = 0x0060, last = 0x006F }]

[serial_number]
prefix = "ACM"
digits = 8
function = 3
address = 0xFC00
type = "u32"

[[self_tests]]
title = "one voltage"
registers = [{ function = 3, address = 0xFC00, words = "0000 0001" }, { address = 0, words = "00E6" }]
meter = "ACM-00000001"
elements = [
    { obis = "1-0:32.7.0*255", value = "230", unit = "V" },
]
"#;

const VOLTAGE: &str = "address = 0x0000, type = \"u16\", not_available = [\"FFFF\"], unit = \"V\"";

fn broken(part: &str, replacement: &str) -> ProfileError {
    assert_eq!(
        VALID.matches(part).count(),
        1,
        "{part:?} does not stand once in the profile"
    );
    Profile::parse(&VALID.replace(part, replacement)).unwrap_err()
}

#[track_caller]
fn assert_fault(part: &str, replacement: &str, line: usize, field: &str, fault: ProfileFault) {
    let error = broken(part, replacement);
    assert_eq!((error.line, error.field.as_str()), (line, field), "{error:?}");
    assert_eq!(*error.fault, fault);
    // Whoever reads the error is told more than a line number.
    assert!(!error.fault.to_string().is_empty());
}

#[track_caller]
fn assert_form(part: &str, replacement: &str, line: usize, field: &str, cause: &str) {
    let error = broken(part, replacement);
    assert_eq!((error.line, error.field.as_str()), (line, field), "{error:?}");
    match *error.fault {
        ProfileFault::Form(source) => assert!(source.message().contains(cause), "{}", source.message()),
        other => panic!("{other:?}"),
    }
}

fn obis(text: &str) -> Obis {
    text.parse().unwrap()
}

#[test]
fn the_valid_profile_is_read() {
    let profile = Profile::parse(VALID).unwrap();
    assert_eq!(profile.name(), "acme-one");
    assert_eq!(profile.manufacturer(), "Acme");
    assert_eq!(profile.models(), ["One"]);
    assert_eq!(profile.medium(), Medium::Electricity);
    assert_eq!(profile.source().edition, "1");
    assert!(profile.unit_ids().contains(32) && !profile.unit_ids().contains(33));
    assert_eq!(profile.limits().largest_gap, 16);
    assert_eq!(profile.limits().pause, Duration::from_millis(20));
    assert_eq!(profile.limits().answer_timeout, Duration::from_millis(500));
    assert!(profile.limits().one_connection);
    assert_eq!(profile.limits().forbidden[0].count, 16);
    assert_eq!(profile.identification().len(), 2);
    assert_eq!(profile.serial_number().unwrap().prefix, "ACM");
    assert_eq!(profile.parameters().len(), 2);
    assert_eq!(profile.registers().len(), 7);
    assert_eq!(profile.registers()[0].tariff(), Some(0));
    assert_eq!(profile.registers()[1].phase(), Some(Phase::L1));
    assert_eq!(profile.registers()[5].poll, PollClass::Fast);
    assert!(profile.is_placed() && profile.sunspec().is_none());
    assert_eq!(profile.blocks().len(), 3);
    assert_eq!(profile.self_tests()[0].run(&profile), Ok(()));
}

#[test]
fn a_class_is_read_with_its_parameters_alone() {
    let profile = Profile::parse(VALID).unwrap();
    let requests = |classes: &[PollClass]| {
        let mut plan = profile.plan(classes, &crate::Refusals::default());
        let mut addresses = Vec::new();
        while let Some(block) = plan.next_request() {
            addresses.push((block.address, block.count));
            plan.handle_answer(&vec![0; block.count.into()]).unwrap();
        }
        addresses
    };
    assert_eq!(requests(&[PollClass::Fast]), [(0x40, 1)]);
    assert_eq!(requests(&[PollClass::Static]), []);
    assert_eq!(requests(&[PollClass::Normal]).len(), 3);
}

#[test]
fn text_that_is_no_toml_names_its_line() {
    assert_form("largest_gap = 16", "largest_gap = ", 31, "largest_gap", "");
    let error = Profile::parse("= 1").unwrap_err();
    assert_eq!((error.line, error.field.as_str()), (1, "the whole text"));
}

#[test]
fn unknown_and_missing_keys_are_named_with_line_and_field() {
    assert_form(
        "largest_gap = 16",
        "largest_hole = 16",
        31,
        "limits.largest_hole",
        "unknown field",
    );
    assert_form(
        "tariff = 0",
        "tarif = 0",
        16,
        "registers[0].tarif",
        "unknown field `tarif`",
    );
    assert_form(
        "prefix = \"ACM\"\n",
        "",
        37,
        "serial_number.prefix",
        "missing field `prefix`",
    );
}

#[test]
fn bad_words_are_named_with_line_and_field() {
    let form = ParseObisError::Form.to_string();
    assert_form("\"1-0:1.8.0*255\"", "\"1.8.0\"", 16, "registers[0].obis", &form);
    let digits = "four hexadecimal digits";
    assert_form(
        "[\"FFFF\"]",
        "[\"FFF\"]",
        17,
        "registers[1].not_available",
        digits,
    );
    assert_form(
        "digits = 8\nfunction = 3",
        "digits = 8\nfunction = 6",
        40,
        "serial_number.function",
        "function code 6",
    );
    assert_form(
        "scale = 3, unit = \"Wh\" },\n    { obis",
        "unit = \"kWh\" },\n    { obis",
        16,
        "registers[0].unit",
        "\"kWh\"",
    );
    assert_form(
        "type = \"u32\"\n",
        "type = \"u31\"\n",
        42,
        "serial_number.type",
        "unknown variant `u31`",
    );
}

#[test]
fn a_profile_that_is_too_long_is_refused() {
    let found = Profile::MAX_LENGTH + 1;
    let error = Profile::parse(&" ".repeat(found)).unwrap_err();
    assert_eq!(*error.fault, ProfileFault::TooLong { found });
}

#[test]
fn names_are_maker_and_model() {
    for found in ["acme", "Acme-one", "acme-", "acme one"] {
        let fault = ProfileFault::Name {
            found: found.to_owned(),
        };
        assert_fault("acme-one", found, 1, "name", fault);
    }
}

#[test]
fn lists_are_bounded() {
    let (_, rest) = VALID.split_once("registers = [\n").unwrap();
    let (entries, _) = rest.split_once("]\n\n[source]").unwrap();
    let most = Profile::MAX_REGISTERS;
    assert_fault(
        entries,
        "",
        15,
        "registers",
        ProfileFault::Entries { found: 0, most },
    );
    let found = most + 1;
    let entry = "{obis=\"1-0:1.8.0*255\",address=0,type=\"u16\",unit=\"Wh\"},";
    assert_fault(
        entries,
        &entry.repeat(found),
        15,
        "registers",
        ProfileFault::Entries { found, most },
    );
    let parameter = "{ name = \"sf\", address = 0x0010, type = \"i16\" },";
    let most = Profile::MAX_PARAMETERS;
    let fault = ProfileFault::Entries {
        found: most + 2,
        most,
    };
    assert_fault(
        parameter,
        &parameter.repeat(most + 1),
        12,
        &format!("parameters[{most}]"),
        fault,
    );
    let probe = "{ device = { object = \"vendor-name\", one_of = [\"Acme*\"] } },";
    let most = Probe::MAX;
    let fault = ProfileFault::Entries {
        found: most + 1,
        most,
    };
    assert_fault(
        probe,
        &probe.repeat(most),
        9,
        &format!("identification[{most}]"),
        fault,
    );
    let most = Probe::MAX_PATTERNS;
    let fault = ProfileFault::Entries { found: 0, most };
    assert_fault("[\"112\"]", "[]", 8, "identification[0].register.one_of", fault);
    let fault = ProfileFault::Entries { found: 0, most };
    assert_fault("[\"Acme*\"]", "[]", 9, "identification[1].device.one_of", fault);
}

#[test]
fn unit_identifiers_go_upwards_from_one() {
    for replacement in ["first = 0", "first = 33"] {
        assert_fault("first = 1", replacement, 5, "unit_ids", ProfileFault::UnitIds);
    }
}

#[test]
fn limits_must_fit_the_protocol_and_the_widest_number() {
    for found in [126, 1] {
        let fault = ProfileFault::PerRequest {
            found,
            least: 2,
            most: 125,
        };
        let replacement = format!("registers_per_request = {found}");
        let field = "limits.registers_per_request";
        assert_fault("registers_per_request = 80", &replacement, 29, field, fault);
    }
    let fault = ProfileFault::PerRequest {
        found: 2_001,
        least: 1,
        most: 2_000,
    };
    let field = "limits.bits_per_request";
    assert_fault("pause_ms = 20", "bits_per_request = 2001", 29, field, fault);
}

#[test]
fn waits_are_those_of_meters() {
    let wait = |found_ms| ProfileFault::Wait { found_ms };
    assert_fault(
        "pause_ms = 20",
        "pause_ms = 60001",
        29,
        "limits.pause_ms",
        wait(60_001),
    );
    let field = "limits.answer_timeout_ms";
    assert_fault(
        "answer_timeout_ms = 500",
        "answer_timeout_ms = 0",
        29,
        field,
        wait(0),
    );
}

#[test]
fn a_function_code_is_given_or_a_default() {
    let fault = ProfileFault::NoFunction;
    assert_fault(
        "defaults = { function = 4 }",
        "",
        12,
        "parameters[0].function",
        fault,
    );
}

#[test]
fn only_sunspec_profiles_have_models() {
    let replacement = format!("model = \"common\", {VOLTAGE}");
    assert_fault(
        VOLTAGE,
        &replacement,
        17,
        "registers[1].model",
        ProfileFault::NoSunSpec,
    );
}

#[test]
fn a_number_beyond_the_last_address_is_refused() {
    let fault = |address| ProfileFault::BeyondAddressSpace { address };
    assert_fault(
        "0xFC00\ntype",
        "0xFFFF\ntype",
        37,
        "serial_number.address",
        fault(0xFFFF),
    );
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    let reversed = ProfileFault::Reversed {
        first: 0x70,
        last: 0x6F,
    };
    let field = "limits.forbidden[0].last";
    assert_fault("first = 0x0060", "first = 0x0070", 35, field, reversed);
    let plain = "address = 0x0010, type = \"i16\" }";
    let range = "address = 0x0010, type = \"i16\", range = { least = 2, most = 1 } }";
    let reversed = ProfileFault::Reversed { first: 2, last: 1 };
    assert_fault(plain, range, 12, "parameters[0].range", reversed);
}

#[test]
fn what_names_nothing_is_refused() {
    let most = Profile::MAX_MODELS;
    let none = ProfileFault::Entries { found: 0, most };
    assert_fault("[\"One\"]", "[]", 3, "models", none);
    assert_fault(
        "[\"One\"]",
        "[\"One\", \" \"]",
        3,
        "models[1]",
        ProfileFault::Blank,
    );
    assert_fault("= \"Acme\"", "= \"\"", 2, "manufacturer", ProfileFault::Blank);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let twice = "not_available = [\"FFFF\", \"ffff\"]";
    let field = "registers[1].not_available";
    assert_fault(
        "not_available = [\"FFFF\"]",
        twice,
        17,
        field,
        ProfileFault::RepeatedContents,
    );
    let gap = ProfileFault::Gap { found: 80, most: 80 };
    assert_fault(
        "largest_gap = 16",
        "largest_gap = 80",
        29,
        "limits.largest_gap",
        gap,
    );
}

#[test]
fn a_total_has_parts_of_one_unit() {
    let with = |totals: &str| format!("]\ntotals = [{totals}]\n\n[source]");
    let total = |of: &str| with(&format!("{{ obis = \"1-0:1.8.9*255\", of = {of} }}"));
    let obis = obis("1-0:1.8.9*255");
    for of in [
        "[\"1-0:1.8.0*255\"]",
        "[\"1-0:1.8.0*255\", \"1-0:1.8.0*255\"]",
        "[\"1-0:1.8.0*255\", \"1-0:3.8.0*255\"]",
    ] {
        assert_fault(
            "]\n\n[source]",
            &total(of),
            24,
            "totals[0].of",
            ProfileFault::Total { obis },
        );
    }
    let unknown = ProfileFault::UnknownElement {
        obis: "1-0:9.8.0*255".parse().unwrap(),
    };
    let of = "[\"1-0:1.8.0*255\", \"1-0:9.8.0*255\"]";
    assert_fault("]\n\n[source]", &total(of), 24, "totals[0].of", unknown);
    let taken = with("{ obis = \"1-0:1.8.0*255\", of = [\"1-0:1.8.0*255\", \"1-0:2.8.0*255\"] }");
    let fault = ProfileFault::DuplicateObis {
        obis: "1-0:1.8.0*255".parse().unwrap(),
        other_line: 16,
    };
    assert_fault("]\n\n[source]", &taken, 24, "totals[0].obis", fault);
    let good = total("[\"1-0:1.8.0*255\", \"1-0:2.8.0*255\"]");
    assert_eq!(
        Profile::parse(&VALID.replace("]\n\n[source]", &good))
            .unwrap()
            .totals()
            .len(),
        1
    );
}

#[test]
fn a_self_test_that_fails_has_a_line_and_a_field() {
    let checked = |part: &str, replacement: &str| {
        let errors = Profile::check(&VALID.replace(part, replacement)).unwrap_err();
        let places = errors.into_iter().map(|error| (error.line, error.field));
        places.collect::<Vec<_>>()
    };
    assert_eq!(Profile::check(VALID).unwrap().name(), "acme-one");
    let place = |line, field: &str| vec![(line, field.to_owned())];
    assert_eq!(
        checked("value = \"230\"", "value = \"231\""),
        place(49, "self_tests[0].elements[0]")
    );
    assert_eq!(
        checked("meter = \"ACM-00000001\"", "meter = \"ACM-00000002\""),
        place(47, "self_tests[0].meter")
    );
    assert_eq!(
        checked("meter = \"ACM-00000001\"\n", "")[0].1,
        "self_tests[0].meter"
    );
    let (untested, _) = VALID.split_once("[[self_tests]]").unwrap();
    let errors = Profile::check(untested).unwrap_err();
    assert_eq!(*errors[0].fault, ProfileFault::NoSelfTest);
    assert_eq!((errors[0].line, errors[0].field.as_str()), (1, "self_tests"));
    // Every test that fails is told.
    let twice = VALID.replace("value = \"230\"", "value = \"231\"");
    let (_, test) = twice.split_once("[[self_tests]]").unwrap();
    let errors = Profile::check(&format!("{twice}\n[[self_tests]]{test}")).unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["self_tests[0].elements[0]", "self_tests[1].elements[0]"]);
    assert_eq!(
        std::error::Error::source(&*errors[0].fault).unwrap().to_string(),
        "element 1-0:32.7.0*255: expected 231 V, found 230 V"
    );
}

#[test]
fn counts_suit_their_types() {
    use RegisterType::{Bcd, Bitfield, U16};

    for (replacement, register_type) in [
        ("address = 0, type = \"u16\", count = 1, unit = \"V\"", U16),
        ("address = 0, type = \"bcd\", unit = \"V\"", Bcd),
        ("address = 0, type = \"bcd\", count = 10, unit = \"V\"", Bcd),
        (
            "address = 0, type = \"bitfield\", count = 0, unit = \"V\"",
            Bitfield,
        ),
        (
            "address = 0, type = \"bitfield\", count = 5, unit = \"V\"",
            Bitfield,
        ),
        (
            "function = 2, address = 0, type = \"bitfield\", count = 65, unit = \"V\"",
            Bitfield,
        ),
    ] {
        let fault = ProfileFault::Count { register_type };
        assert_fault(VOLTAGE, replacement, 17, "registers[1].count", fault);
    }
}

#[test]
fn tables_of_bits_hold_bitfields_only() {
    let fault = ProfileFault::NotBits {
        register_type: RegisterType::U16,
    };
    assert_fault(
        VOLTAGE,
        &format!("function = 1, {VOLTAGE}"),
        17,
        "registers[1].type",
        fault,
    );
    let sunspec = "defaults = { function = 1 }\nsunspec = { models = [203] }";
    let error = broken("defaults = { function = 4 }", sunspec);
    assert!(matches!(*error.fault, ProfileFault::NotBits { .. }), "{error:?}");
}

#[test]
fn orders_suit_their_types() {
    let fault = |register_type| ProfileFault::Order { register_type };
    let one = format!("word_order = \"low-word-first\", {VOLTAGE}");
    assert_fault(
        VOLTAGE,
        &one,
        17,
        "registers[1].word_order",
        fault(RegisterType::U16),
    );
    let half = "type = \"f32\", word_order = \"low-half-first\", scale = 3";
    let field = "registers[0].word_order";
    assert_fault(
        "type = \"f32\", scale = 3",
        half,
        16,
        field,
        fault(RegisterType::F32),
    );
    // A default passes over what it says nothing of.
    let defaults = "defaults = { function = 4, word_order = \"low-word-first\" }";
    let profile = Profile::parse(&VALID.replace("defaults = { function = 4 }", defaults)).unwrap();
    assert_eq!(
        profile.registers()[0].field.word_order,
        crate::WordOrder::LowWordFirst
    );
}

#[test]
fn bits_lie_within_their_field() {
    let part = "lowest = 0, count = 4 }";
    for replacement in ["lowest = 13, count = 4 }", "lowest = 0, count = 0 }"] {
        assert_fault(part, replacement, 19, "registers[3].bits", ProfileFault::Bits);
    }
    let number = format!("bits = {{ lowest = 0, count = 1 }}, {VOLTAGE}");
    assert_fault(VOLTAGE, &number, 17, "registers[1].bits", ProfileFault::Bits);
}

#[test]
fn a_not_available_value_of_another_width_is_refused() {
    let fault = ProfileFault::NotAvailableWidth {
        expected: 1,
        found: 2,
    };
    assert_fault(
        "[\"FFFF\"]",
        "[\"FFFF FFFF\"]",
        17,
        "registers[1].not_available",
        fault,
    );
}

#[test]
fn overlapping_registers_are_refused() {
    let overlap = |address, other_line| ProfileFault::Overlap { address, other_line };
    assert_fault(
        "address = 0x0000",
        "address = 0x0049",
        17,
        "registers[1].address",
        overlap(0x49, 16),
    );
    assert_fault(
        "address = 0x0020",
        "address = 0x000F",
        18,
        "registers[2].address",
        overlap(0x0F, 12),
    );
    assert_fault(
        "address = 0x0052",
        "address = 0x0051",
        22,
        "registers[6].address",
        overlap(0x51, 22),
    );
    assert_fault(
        "lowest = 4",
        "lowest = 3",
        20,
        "registers[4].address",
        overlap(0x30, 19),
    );
}

#[test]
fn forbidden_registers_have_no_entry() {
    let fault = ProfileFault::Forbidden { address: 0x60 };
    assert_fault(
        "address = 0x0040",
        "address = 0x0060",
        21,
        "registers[5].address",
        fault,
    );
}

#[test]
fn the_same_code_twice_is_refused() {
    let fault = |code| ProfileFault::DuplicateObis {
        obis: obis(code),
        other_line: 16,
    };
    let energy = "obis = \"1-0:1.8.0*255\", address = 0x0020";
    let part = "obis = \"1-0:2.8.0*255\", address = 0x0020";
    assert_fault(part, energy, 18, "registers[2].obis", fault("1-0:1.8.0*255"));
}

#[test]
fn an_impossible_scale_is_refused() {
    let fault = |scale| ProfileFault::Scale { scale };
    assert_fault(
        "\"f32\", scale = 3",
        "\"f32\", scale = -19",
        16,
        "registers[0].scale",
        fault(-19),
    );
    assert_fault(
        "\"Wh\", scale = 3",
        "\"Wh\", scale = 19",
        13,
        "parameters[1].scale",
        fault(19),
    );
}

#[test]
fn a_ratio_is_a_finite_decimal() {
    for (numerator, denominator) in [(0, 8), (1, 0), (1, 3)] {
        let replacement = format!("numerator = {numerator}, denominator = {denominator}");
        let fault = ProfileFault::Ratio {
            numerator,
            denominator,
        };
        assert_fault(
            "numerator = 1, denominator = 8",
            &replacement,
            22,
            "registers[6].ratio",
            fault,
        );
    }
}

#[test]
fn parameters_are_known_unique_used_and_of_use() {
    let name = |name: &str| name.to_owned();
    let fault = ProfileFault::UnknownParameter { name: name("fs") };
    assert_fault(
        "scale_from = \"sf\"",
        "scale_from = \"fs\"",
        18,
        "registers[2].scale_from",
        fault,
    );
    let fault = ProfileFault::DuplicateParameter {
        name: name("sf"),
        other_line: 12,
    };
    assert_fault(
        "name = \"unit\"",
        "name = \"sf\"",
        13,
        "parameters[1].name",
        fault,
    );
    let fault = ProfileFault::UnusedParameter { name: name("sf") };
    assert_fault("scale_from = \"sf\", ", "", 12, "parameters[0].name", fault);
    let wrong = |parameter: &str| ProfileFault::ParameterUse {
        name: name(parameter),
    };
    assert_fault(
        "scale_from = \"sf\"",
        "scale_from = \"unit\"",
        18,
        "registers[2].scale_from",
        wrong("unit"),
    );
    for key in ["times", "over"] {
        let field = format!("registers[2].{key}");
        let factor = format!("{key} = [\"fs\"]");
        let fault = ProfileFault::UnknownParameter { name: name("fs") };
        assert_fault("scale_from = \"sf\"", &factor, 18, &field, fault);
    }
    let field = "registers[2].unit_from";
    assert_fault(
        "unit_from = \"unit\"",
        "unit_from = \"sf\"",
        18,
        field,
        wrong("sf"),
    );
    let text = "type = \"ascii\", count = 1 }";
    assert_fault("type = \"i16\" }", text, 12, "parameters[0].type", wrong("sf"));
    let twice = "{ code = 1, unit = \"Wh\" }, { code = 1, unit = \"Wh\", scale = 3 }";
    let part = "{ code = 1, unit = \"Wh\", scale = 3 }";
    assert_fault(part, twice, 13, "parameters[1].units", wrong("unit"));
}

#[test]
fn a_register_has_one_unit() {
    let fault = || ProfileFault::UnitChoice;
    assert_fault(", unit_from = \"unit\"", "", 18, "registers[2].unit", fault());
    let both = "unit = \"Wh\", unit_from";
    assert_fault("unit_from", both, 18, "registers[2].unit", fault());
}

#[test]
fn codes_suit_medium_unit_phase_and_tariff() {
    let voltage = obis("1-0:32.7.0*255");
    let fault = ProfileFault::MediumMismatch {
        obis: obis("1-0:1.8.0*255"),
        medium: Medium::Gas,
    };
    assert_fault("\"electricity\"", "\"gas\"", 16, "registers[0].obis", fault);
    let fault = ProfileFault::UnitMismatch {
        obis: voltage,
        unit: Unit::Ampere,
    };
    let part = "[\"FFFF\"], unit = \"V\"";
    assert_fault(part, "[\"FFFF\"], unit = \"A\"", 17, "registers[1].unit", fault);
    let fault = ProfileFault::UnitMismatch {
        obis: obis("1-0:2.8.0*255"),
        unit: Unit::VarHour,
    };
    let part = "code = 1, unit = \"Wh\"";
    assert_fault(part, "code = 1, unit = \"varh\"", 18, "registers[2].unit", fault);
    let fault = ProfileFault::PhaseMismatch { obis: voltage };
    assert_fault("\"L1\"", "\"L2\"", 17, "registers[1].phase", fault);
    let fault = ProfileFault::TariffMismatch {
        obis: obis("1-0:1.8.0*255"),
    };
    assert_fault("tariff = 0", "tariff = 1", 16, "registers[0].tariff", fault);
}

#[test]
fn only_numbers_with_a_sign_have_a_sign_rule() {
    let fault = || ProfileFault::NoSign {
        register_type: RegisterType::U16,
    };
    assert_fault(
        "type = \"i16\", unit = \"W\"",
        "type = \"u16\", unit = \"W\"",
        21,
        "registers[5].negative_obis",
        fault(),
    );
    let inverted = format!("inverted = true, {VOLTAGE}");
    assert_fault(VOLTAGE, &inverted, 17, "registers[1].inverted", fault());
}

#[test]
fn only_numbers_are_split() {
    let register_type = RegisterType::Bitfield;
    let part = "type = \"u16\", scale = -3";
    let bits = "type = \"bitfield\", count = 1, scale = -3";
    assert_fault(
        part,
        bits,
        22,
        "registers[6].fraction",
        ProfileFault::NotSplittable { register_type },
    );
}

#[test]
fn a_serial_number_is_a_whole_number_or_a_text() {
    let fault = ProfileFault::SerialNumberType {
        register_type: RegisterType::F32,
    };
    assert_fault(
        "type = \"u32\"\n",
        "type = \"f32\"\n",
        37,
        "serial_number.type",
        fault,
    );
}

#[test]
fn a_serial_number_must_make_an_identity() {
    let identity = ProfileFault::Identity;
    let slash = MeterIdError::Character { character: '/' };
    assert_fault("\"ACM\"", "\"AC/M\"", 37, "serial_number.prefix", identity(slash));
    let length = MeterIdError::Length { found: 44 };
    assert_fault(
        "digits = 8",
        "digits = 40",
        37,
        "serial_number.prefix",
        identity(length),
    );
}

#[test]
fn a_probe_asks_one_thing() {
    let part = "{ device = { object = \"vendor-name\", one_of = [\"Acme*\"] } }";
    assert_fault(part, "{}", 9, "identification[1]", ProfileFault::ProbeChoice);
}

#[test]
fn an_expected_element_has_a_value_or_a_gap() {
    let obis = obis("1-0:32.7.0*255");
    for replacement in [
        "",
        ", value = \"230\"",
        ", value = \"230\", unit = \"V\", gap = \"no-answer\"",
    ] {
        let part = ", value = \"230\", unit = \"V\"";
        let fault = ProfileFault::Expectation { obis };
        assert_fault(part, replacement, 49, "self_tests[0].elements[0].value", fault);
    }
}

#[test]
fn reserved_unit_identifiers_are_refused() {
    for last in ["248", "254"] {
        let units = format!("last = {last}");
        assert_fault("last = 32", &units, 5, "unit_ids", ProfileFault::UnitIds);
    }
    assert!(Profile::parse(&VALID.replace("last = 32", "last = 255")).is_ok());
}

#[test]
fn both_directions_are_of_one_phase_and_tariff() {
    let codes = "obis = \"1-0:1.7.0*255\", negative_obis = \"1-0:2.7.0*255\"";
    let other_phase = "obis = \"1-0:21.7.0*255\", negative_obis = \"1-0:42.7.0*255\"";
    let fault = ProfileFault::PhaseMismatch {
        obis: obis("1-0:42.7.0*255"),
    };
    assert_fault(codes, other_phase, 21, "registers[5].negative_obis", fault);
    let counters = "address = 0x0040, type = \"i16\", unit = \"W\"";
    assert_eq!(VALID.matches(counters).count(), 1);
    let text = VALID.replace(counters, "address = 0x0040, type = \"i16\", unit = \"Wh\"");
    let other_tariff = "obis = \"1-0:1.8.1*255\", negative_obis = \"1-0:2.8.2*255\"";
    let error = Profile::parse(&text.replace(codes, other_tariff)).unwrap_err();
    let fault = ProfileFault::TariffMismatch {
        obis: obis("1-0:2.8.2*255"),
    };
    assert_eq!((error.line, *error.fault), (21, fault));
}

#[test]
fn a_parameter_is_one_factor() {
    let plain = "type = \"u32\", scale_from = \"sf\"";
    for (factors, field) in [
        ("times = [\"sf\"], over = [\"sf\"]", "registers[2].over"),
        ("times = [\"sf\", \"sf\"]", "registers[2].times"),
    ] {
        let fault = ProfileFault::ParameterUse {
            name: "sf".to_owned(),
        };
        let twice = format!("type = \"u32\", {factors}");
        assert_fault(plain, &twice, 18, field, fault);
    }
}

#[test]
fn probes_ask_for_what_can_be() {
    for found in ["abc", "70000", "-1", "1x*"] {
        let fault = ProfileFault::Pattern {
            found: found.to_owned(),
            register_type: RegisterType::U16,
        };
        let asked = format!("one_of = [{found:?}]");
        assert_fault(
            "one_of = [\"112\"]",
            &asked,
            8,
            "identification[0].register.one_of",
            fault,
        );
    }
    let text = "type = \"ascii\", count = 2, one_of = [\"ABCDE\"]";
    let fault = ProfileFault::Pattern {
        found: "ABCDE".to_owned(),
        register_type: RegisterType::Ascii,
    };
    let plain = "type = \"u16\", one_of = [\"112\"]";
    assert_fault(plain, text, 8, "identification[0].register.one_of", fault);
    for possible in ["65535", "112.0", "11*"] {
        let asked = VALID.replace("one_of = [\"112\"]", &format!("one_of = [{possible:?}]"));
        assert!(Profile::parse(&asked).is_ok(), "{possible}");
    }
    let forbidden = "first = 0x0060, last = 0x006F }";
    let probe_too = "first = 0x0060, last = 0x006F }, { function = 3, first = 5, last = 5 }";
    let fault = ProfileFault::Forbidden { address: 5 };
    assert_fault(forbidden, probe_too, 8, "identification[0].register", fault);
}

#[test]
fn self_tests_do_not_contradict_themselves() {
    let contents = "{ address = 0, words = \"00E6\" }";
    let twice = "{ address = 0, words = \"00E6\" },\n{ address = 0, words = \"00E7\" }";
    let fault = ProfileFault::Overlap {
        address: 0,
        other_line: 46,
    };
    assert_fault(contents, twice, 47, "self_tests[0].registers[2].address", fault);
    let fault = ProfileFault::BeyondAddressSpace { address: 65_535 };
    let beyond = "{ address = 65535, words = \"00E6 0000\" }";
    assert_fault(contents, beyond, 46, "self_tests[0].registers[1].address", fault);
    let element = "{ obis = \"1-0:32.7.0*255\", value = \"230\", unit = \"V\" },";
    let fault = ProfileFault::DuplicateObis {
        obis: obis("1-0:32.7.0*255"),
        other_line: 49,
    };
    let twice = format!("{element}\n{element}");
    assert_fault(element, &twice, 50, "self_tests[0].elements[1].obis", fault);
    let fault = ProfileFault::UnknownElement {
        obis: obis("1-0:52.7.0*255"),
    };
    let unknown = element.replace("32.7", "52.7");
    assert_fault(element, &unknown, 49, "self_tests[0].elements[0].obis", fault);
}

proptest! {
    #[test]
    fn any_line_in_a_profile_is_read_or_refused(line in 0usize..50, text in "[ -~]{0,60}") {
        let lines = VALID.lines().enumerate();
        let changed: Vec<&str> = lines.map(|(number, kept)| if number == line { &text } else { kept }).collect();
        if let Err(error) = Profile::parse(&changed.join("\n")) {
            prop_assert!((1..=51).contains(&error.line));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        prop_assert!(Profile::parse(&text).is_err());
    }
}
