//! A table for people.

use super::words::{
    Known, fault, function, push_hex, push_obis, push_quantity, push_unit, push_value, with_codes,
};
use crate::application::Telegram;

/// The columns; the last one is not filled up.
const TITLES: [&str; 7] = [
    "function", "storage", "tariff", "subunit", "quantity", "value", "OBIS",
];

/// Writes the telegram as a line for the meter and a table of its records.
#[must_use]
pub fn table(address: Option<u8>, telegram: &Telegram<'_>) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    for (record, code) in with_codes(telegram) {
        let mut quantity = String::new();
        push_quantity(&mut quantity, &record);
        let mut value = String::new();
        match fault(&record) {
            Some((_, message)) => value.push_str(&message),
            None => {
                push_value(&mut value, &record);
                value.push(' ');
                push_unit(&mut value, &record);
            }
        }
        let mut obis = String::new();
        push_obis(&mut obis, code);
        rows.push([
            function(record.function).to_owned(),
            record.storage.to_string(),
            record.tariff.to_string(),
            record.subunit.to_string(),
            quantity,
            value.trim_end().to_owned(),
            obis,
        ]);
    }
    let mut widths = [0; TITLES.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = meter(address, telegram);
    for row in &rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if let Some(data) = telegram.manufacturer_data().filter(|data| !data.is_empty()) {
        out.push_str("  the maker's own data: ");
        push_hex(&mut out, data);
        out.push('\n');
    }
    out
}

/// Writes the line for a frame that could not be read.
#[must_use]
pub fn table_error(code: &str, message: &str) -> String {
    format!("error {code}: {message}\n")
}

/// The line that says which meter sent the telegram.
fn meter(address: Option<u8>, telegram: &Telegram<'_>) -> String {
    let header = telegram.header();
    let known = Known::of(header);
    let mut parts = Vec::new();
    if known.identification {
        parts.push(format!("meter {}", header.identification));
    } else {
        parts.push("unnamed meter".to_owned());
    }
    if known.maker {
        parts.push(format!("{} version {}", header.manufacturer, header.version));
    }
    if known.identification {
        parts.push(header.device_type.words().to_owned());
    }
    if let Some(address) = address {
        parts.push(format!("address {address}"));
    }
    if known.state {
        parts.push(format!(
            "access {}, status {:#04x}",
            header.access_number,
            header.status.bits()
        ));
    }
    if telegram.more_follows() {
        parts.push("more follows".to_owned());
    }
    parts.join(", ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Control, LongFrame};

    #[test]
    fn table_has_a_line_for_the_meter_and_one_for_each_record() {
        let data = [
            0x78, 0x03, 0x49, 0x11, 0x77, 0x04, 0x0E, 0x16, 0x0A, 0x00, 0x00, 0x00, 0x0C, 0x13, 0x21, 0x43,
            0x05, 0x00, 0x0A, 0x3B, 0xBB, 0x00, 0x1F, 0xAB,
        ];
        let frame = LongFrame::new(Control::RSP_UD, 1, 0x72, data.to_vec()).unwrap();
        let text = table(Some(1), &Telegram::parse(&frame).unwrap());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "meter 11490378, ACW version 14, cold water, address 1, access 10, status 0x00, more follows"
        );
        assert!(lines[1].starts_with("  function       storage"), "{text}");
        assert!(lines[2].contains("54.321 m3"), "{text}");
        assert!(lines[3].contains("faulty with the digit B"), "{text}");
        assert_eq!(lines[4], "  the maker's own data: ab");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn nameless_telegram_is_shown_too() {
        let frame = LongFrame::new(Control::RSP_UD, 1, 0x78, vec![0x01, 0x13, 0x05]).unwrap();
        let text = table(None, &Telegram::parse(&frame).unwrap());
        assert!(text.starts_with("unnamed meter\n"), "{text}");
        assert_eq!(table_error("hex", "no"), "error hex: no\n");
    }
}
