use proptest::prelude::*;

use model::{MeterIdError, ParseObisError};

use super::*;

/// A valid profile; each test breaks one line of it.
const VALID: &str = r#"name = "acme-one"
manufacturer = "Acme"
models = ["One"]
medium = "electricity"
registers = [
    { obis = "1-0:1.8.0*255", function = 4, address = 0x0048, type = "f32", scale = 3, unit = "Wh" },
    { obis = "1-0:32.7.0*255", function = 4, address = 0x0000, type = "u16", not_available = ["FFFF"], unit = "V" },
]

[source]
document = "Register map"
edition = "1"

[limits]
registers_per_request = 80
largest_gap = 16

[serial_number]
prefix = "ACM"
digits = 8
function = 3
address = 0xFC00
type = "u32"

[[self_tests]]
title = "one voltage"
registers = [{ function = 4, address = 0, words = "00E6" }]
meter = "ACM-00000001"
elements = [
    { obis = "1-0:32.7.0*255", value = "230", unit = "V" },
]
"#;

fn broken(line: &str, replacement: &str) -> ProfileError {
    assert!(VALID.contains(line), "{line:?} is not in the profile");
    Profile::parse(&VALID.replace(line, replacement)).unwrap_err()
}

#[track_caller]
fn assert_form(error: ProfileError, expected_line: usize, cause: &str) {
    match error {
        ProfileError::Form { line, source } => {
            assert_eq!(line, expected_line);
            assert!(source.message().contains(cause), "{}", source.message());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_valid_profile_is_read() {
    let profile = Profile::parse(VALID).unwrap();
    assert_eq!(profile.name(), "acme-one");
    assert_eq!(profile.manufacturer(), "Acme");
    assert_eq!(profile.models(), ["One"]);
    assert_eq!(profile.medium(), Medium::Electricity);
    assert_eq!(profile.source().edition, "1");
    assert_eq!(profile.limits().largest_gap, 16);
    assert_eq!(profile.serial_number().prefix, "ACM");
    assert_eq!(profile.registers().len(), 2);
    assert_eq!(profile.blocks().len(), 3);
}

#[test]
fn text_that_is_no_toml_names_its_line() {
    assert_form(broken("largest_gap = 16", "largest_gap = "), 16, "");
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    assert_form(
        broken("largest_gap = 16", "largest_hole = 16"),
        16,
        "unknown field `largest_hole`",
    );
}

#[test]
fn a_missing_key_is_named() {
    assert_form(broken("prefix = \"ACM\"\n", ""), 18, "missing field `prefix`");
}

#[test]
fn a_bad_obis_code_is_named_with_its_line() {
    assert_form(
        broken("1-0:1.8.0*255", "1.8.0"),
        6,
        &ParseObisError::Form.to_string(),
    );
}

#[test]
fn bad_words_functions_units_and_types_are_named_with_their_line() {
    assert_form(broken("[\"FFFF\"]", "[\"FFF\"]"), 7, "four hexadecimal digits");
    assert_form(broken("function = 3", "function = 6"), 21, "function code 6");
    assert_form(broken("unit = \"Wh\"", "unit = \"kWh\""), 6, "\"kWh\"");
    assert_form(broken("\"u32\"", "\"u31\""), 23, "unknown variant `u31`");
}

#[test]
fn a_profile_that_is_too_long_is_refused() {
    let found = Profile::MAX_LENGTH + 1;
    assert_eq!(
        Profile::parse(&" ".repeat(found)),
        Err(ProfileError::TooLong { found })
    );
}

#[test]
fn too_many_registers_are_refused() {
    let found = Profile::MAX_REGISTERS + 1;
    let entry = "{obis=\"1-0:1.8.0*255\",function=4,address=0,type=\"u16\",unit=\"Wh\"},";
    let registers = format!("registers = [{}]\n[source]", entry.repeat(found));
    let head: String = VALID.lines().take(4).map(|line| format!("{line}\n")).collect();
    let (_, tail) = VALID.split_once("[source]").unwrap();
    assert_eq!(
        Profile::parse(&format!("{head}{registers}{tail}")),
        Err(ProfileError::TooManyRegisters { found })
    );
}

#[test]
fn limits_must_fit_the_protocol_and_the_widest_number() {
    for found in [126, 1] {
        assert_eq!(
            broken(
                "registers_per_request = 80",
                &format!("registers_per_request = {found}")
            ),
            ProfileError::RegistersPerRequest {
                line: 14,
                found,
                least: 2
            }
        );
    }
}

#[test]
fn a_number_beyond_the_last_address_is_refused() {
    assert_eq!(
        broken("0xFC00", "0xFFFF"),
        ProfileError::BeyondAddressSpace {
            line: 18,
            address: 0xFFFF
        }
    );
}

#[test]
fn overlapping_registers_are_refused() {
    assert_eq!(
        broken("address = 0x0000", "address = 0x0049"),
        ProfileError::Overlap {
            line: 7,
            address: 0x49,
            other_line: 6
        }
    );
}

#[test]
fn the_same_code_twice_is_refused() {
    let obis = "1-0:1.8.0*255".parse().unwrap();
    assert_eq!(
        broken("1-0:32.7.0*255\", function", "1-0:1.8.0*255\", function"),
        ProfileError::DuplicateObis {
            line: 7,
            obis,
            other_line: 6
        }
    );
}

#[test]
fn an_impossible_scale_is_refused() {
    assert_eq!(
        broken("scale = 3", "scale = -19"),
        ProfileError::Scale { line: 6, scale: -19 }
    );
}

#[test]
fn a_not_available_value_of_another_width_is_refused() {
    assert_eq!(
        broken("[\"FFFF\"]", "[\"FFFF FFFF\"]"),
        ProfileError::NotAvailableWidth {
            line: 7,
            expected: 1,
            found: 2
        }
    );
}

#[test]
fn a_serial_number_must_be_an_unsigned_integer() {
    assert_eq!(
        broken("\"u32\"", "\"f32\""),
        ProfileError::SerialNumberType {
            line: 18,
            found: RegisterType::F32
        }
    );
}

#[test]
fn a_serial_number_must_make_an_identity() {
    assert_eq!(
        broken("\"ACM\"", "\"AC/M\""),
        ProfileError::Identity {
            line: 18,
            source: MeterIdError::Character { character: '/' }
        }
    );
    assert_eq!(
        broken("digits = 8", "digits = 40"),
        ProfileError::Identity {
            line: 18,
            source: MeterIdError::Length { found: 44 }
        }
    );
}

#[test]
fn an_expected_element_has_a_value_or_a_gap() {
    let obis = "1-0:32.7.0*255".parse().unwrap();
    for replacement in [
        "",
        ", value = \"230\"",
        ", value = \"230\", unit = \"V\", gap = \"no-answer\"",
    ] {
        assert_eq!(
            broken(", value = \"230\", unit = \"V\"", replacement),
            ProfileError::Expectation { line: 30, obis }
        );
    }
}

proptest! {
    #[test]
    fn any_line_in_a_profile_is_read_or_refused(line in 0usize..30, text in "[ -~]{0,60}") {
        let lines = VALID.lines().enumerate();
        let changed: Vec<&str> = lines.map(|(number, kept)| if number == line { &text } else { kept }).collect();
        if let Err(ProfileError::Form { line, .. }) = Profile::parse(&changed.join("\n")) {
            prop_assert!((1..=31).contains(&line));
        }
    }
}
