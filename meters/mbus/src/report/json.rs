//! One JSON object on one line for each telegram.

use super::words::{
    Known, fault, function, push_hex, push_number, push_obis, push_quantity, push_unit, push_value,
    with_codes,
};
use crate::application::{Record, Telegram};

/// What a telegram of 20 records takes, so that the line seldom moves while it grows.
const TYPICAL_LINE: usize = 6 * 1024;

/// Writes the telegram as one JSON object, without the end of the line.
///
/// `address` is the A field of the frame, `None` for a frame that has none. The fields and their
/// order are part of the format `smgw mbus decode --json`.
#[must_use]
pub fn json_line(address: Option<u8>, telegram: &Telegram<'_>) -> String {
    let mut out = String::with_capacity(TYPICAL_LINE);
    let header = telegram.header();
    let known = Known::of(header);
    out.push_str("{\"ok\":true,\"address\":");
    push_or_null(&mut out, address.is_some(), |out| {
        push_number(out, address.unwrap_or_default().into());
    });
    out.push_str(",\"id\":");
    push_or_null(&mut out, known.identification, |out| {
        out.push('"');
        for byte in header.identification.digits().to_be_bytes() {
            for nibble in [byte >> 4, byte & 0x0F] {
                let digit = char::from_digit(nibble.into(), 16).unwrap_or('0');
                out.push(digit.to_ascii_uppercase());
            }
        }
        out.push('"');
    });
    out.push_str(",\"manufacturer\":");
    push_or_null(&mut out, known.maker, |out| {
        push_string(out, &header.manufacturer.to_string());
    });
    out.push_str(",\"version\":");
    push_or_null(&mut out, known.maker, |out| {
        push_number(out, header.version.into())
    });
    out.push_str(",\"medium\":");
    push_or_null(&mut out, known.identification, |out| {
        push_string(out, header.device_type.words());
    });
    out.push_str(",\"access\":");
    push_or_null(&mut out, known.state, |out| {
        push_number(out, header.access_number.into());
    });
    out.push_str(",\"status\":");
    push_or_null(&mut out, known.state, |out| {
        push_number(out, header.status.bits().into());
    });
    out.push_str(",\"more\":");
    out.push_str(if telegram.more_follows() { "true" } else { "false" });
    out.push_str(",\"records\":[");
    for (number, (record, code)) in with_codes(telegram).enumerate() {
        if number > 0 {
            out.push(',');
        }
        push_record(&mut out, &record, code);
    }
    out.push_str("]}");
    out
}

/// Writes the JSON object for a frame that could not be read, without the end of the line.
#[must_use]
pub fn json_error(code: &str, message: &str) -> String {
    let mut out = String::from("{\"ok\":false,\"error\":");
    push_error(&mut out, code, message);
    out.push('}');
    out
}

fn push_record(out: &mut String, record: &Record<'_>, code: model::Obis) {
    out.push_str("{\"function\":\"");
    out.push_str(function(record.function));
    out.push_str("\",\"storage\":");
    push_number(out, record.storage);
    out.push_str(",\"tariff\":");
    push_number(out, record.tariff.into());
    out.push_str(",\"subunit\":");
    push_number(out, record.subunit.into());
    out.push_str(",\"quantity\":\"");
    push_quantity(out, record);
    out.push_str("\",\"unit\":");
    push_text(out, |text| push_unit(text, record));
    out.push_str(",\"value\":");
    push_text(out, |text| push_value(text, record));
    out.push_str(",\"obis\":\"");
    push_obis(out, code);
    out.push_str("\",\"raw\":\"");
    push_hex(out, record.raw);
    out.push_str("\",\"error\":");
    match fault(record) {
        Some((code, message)) => push_error(out, code, &message),
        None => out.push_str("null"),
    }
    out.push('}');
}

fn push_error(out: &mut String, code: &str, message: &str) {
    out.push_str("{\"code\":");
    push_string(out, code);
    out.push_str(",\"message\":");
    push_string(out, message);
    out.push('}');
}

fn push_or_null(out: &mut String, known: bool, push: impl FnOnce(&mut String)) {
    if known {
        push(out);
    } else {
        out.push_str("null");
    }
}

/// Writes what `push` writes as a JSON string, or null if it writes nothing because there is nothing.
fn push_text(out: &mut String, push: impl FnOnce(&mut String) -> Option<()>) {
    let start = out.len();
    out.push('"');
    let content = out.len();
    if push(out).is_none() {
        out.truncate(start);
        out.push_str("null");
        return;
    }
    if out.bytes().skip(content).any(needs_escape) {
        let text = out.split_off(content);
        push_escaped(out, &text);
    }
    out.push('"');
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

/// Returns whether the byte cannot stand in a JSON string as it is.
const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                out.push_str("\\u00");
                push_hex(out, &[u8::try_from(control).unwrap_or(b'?')]);
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Control, LongFrame};

    fn line(ci: u8, data: &[u8]) -> String {
        let frame = LongFrame::new(Control::RSP_UD, 1, ci, data.to_vec()).unwrap();
        json_line(Some(1), &Telegram::parse(&frame).unwrap())
    }

    const HEADER: [u8; 12] = [
        0x78, 0x03, 0x49, 0x11, 0x77, 0x04, 0x0E, 0x16, 0x0A, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn telegram_is_one_object_with_its_fields_in_order() {
        let records = [0x0C, 0x13, 0x21, 0x43, 0x05, 0x00];
        assert_eq!(
            line(0x72, &[&HEADER[..], &records].concat()),
            "{\"ok\":true,\"address\":1,\"id\":\"11490378\",\"manufacturer\":\"ACW\",\"version\":14,\
             \"medium\":\"cold water\",\"access\":10,\"status\":0,\"more\":false,\"records\":[\
             {\"function\":\"instantaneous\",\"storage\":0,\"tariff\":0,\"subunit\":0,\"quantity\":\"volume\",\
             \"unit\":\"m3\",\"value\":\"54.321\",\"obis\":\"8-0:1.0.0*255\",\"raw\":\"0c1321430500\",\"error\":null}]}"
        );
    }

    #[test]
    fn what_is_not_known_is_null() {
        let found = line(0x78, &[0x0A, 0x13, 0xBB, 0x00]);
        assert!(
            found.starts_with(
                "{\"ok\":true,\"address\":1,\"id\":null,\"manufacturer\":null,\"version\":null,\"medium\":null,\
                 \"access\":null,\"status\":null,\"more\":false,"
            ),
            "{found}"
        );
        assert!(
            found.contains("\"unit\":\"m3\",\"value\":null,\"obis\":\"15-0:"),
            "{found}"
        );
        assert!(
            found.ends_with(
                "\"raw\":\"0a13bb00\",\"error\":{\"code\":\"bcd-digit\",\
                 \"message\":\"the meter marks the value as faulty with the digit B\"}}]}"
            ),
            "{found}"
        );
        assert!(line(0x78, &[0x00, 0x13]).contains("\"value\":null,\"obis\":\"15-0:"));
        assert!(line(0x78, &[0x00, 0x13]).contains("\"code\":\"no-data\""));
    }

    #[test]
    fn values_of_each_kind_are_strings() {
        for (record, expected) in [
            (
                &[0x0D, 0xFD, 0x10, 0x03, 0x22, 0x5C, 0x41][..],
                "\"unit\":null,\"value\":\"A\\\\\\\"\"",
            ),
            (
                &[0x02, 0x6C, 0x57, 0x3B],
                "\"unit\":null,\"value\":\"2026-11-23\"",
            ),
            (
                &[0x04, 0x6D, 0x05, 0x0C, 0x57, 0x3B],
                "\"value\":\"2026-11-23T12:05\"",
            ),
            (
                &[0x06, 0x6D, 0x1E, 0x05, 0x0C, 0x57, 0x3B, 0],
                "\"value\":\"2026-11-23T12:05:30\"",
            ),
            (&[0x03, 0x6D, 0x1E, 0x05, 0x0C], "\"value\":\"12:05:30\""),
            (
                &[0x0D, 0xFD, 0x3B, 0xE2, 0x34, 0x12],
                "\"unit\":null,\"value\":\"3412\"",
            ),
            (
                &[0x01, 0x7F, 0xFE],
                "\"quantity\":\"manufacturer specific\",\"unit\":null,\"value\":\"-2\"",
            ),
            (
                &[0x02, 0xFC, 0x03, 0x48, 0x52, 0x25, 0x74, 0x44, 0x0D],
                "\"quantity\":\"plain text\",\"unit\":\"%RH\",\"value\":\"33.96\"",
            ),
            (
                b"\x0d\x7c\x08DI .tsuc\x044321",
                "\"quantity\":\"plain text\",\"unit\":\"cust. ID\",\"value\":\"1234\"",
            ),
            (
                &[0x01, 0xAB, 0xBC, 0xFC, 0x02, 0x05],
                "\"quantity\":\"power, negative contributions only, phase L2\",\"unit\":\"W\"",
            ),
            (
                &[0x02, 0xFD, 0xC9, 0xFF, 0x01, 0xE4, 0x08],
                "\"quantity\":\"voltage, phase L1\",\"unit\":\"V\",\"value\":\"2276\"",
            ),
            (
                &[0x01, 0x93, 0x7F, 0x05],
                "\"quantity\":\"volume, manufacturer specific\"",
            ),
            (
                &[0x0D, 0xFF, 0x5F, 0x03, 0x01, 0x42, 0x43],
                "\"unit\":null,\"value\":\"014243\"",
            ),
            (&[0x01, 0x93, 0x23, 0x05], "\"unit\":\"m3/d\",\"value\":\"0.005\""),
            (&[0x31, 0x13, 0x05], "\"function\":\"error\""),
        ] {
            let found = line(0x72, &[&HEADER[..], record].concat());
            assert!(found.contains(expected), "{found}\n{expected}");
        }
    }

    #[test]
    fn no_two_records_share_a_code() {
        let found = line(0x72, &[&HEADER[..], &[0x01, 0x13, 1, 0x01, 0x13, 2]].concat());
        assert_eq!(found.matches("8-0:1.0.0*255").count(), 1, "{found}");
    }

    #[test]
    fn errors_are_escaped() {
        assert_eq!(
            json_error("hex", "a \"z\"\n"),
            "{\"ok\":false,\"error\":{\"code\":\"hex\",\"message\":\"a \\\"z\\\"\\u000a\"}}"
        );
    }
}
