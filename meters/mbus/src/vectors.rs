//! The golden files in `tests/vectors/mbus`: telegrams and what a foreign decoder makes of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::application::{Record, Telegram, Value};
use crate::link::{Control, Frame, LongFrame};
use crate::obis;
use crate::readout::{Readout, meter_id};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/mbus");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect()
}

fn frame(line: &str) -> LongFrame {
    let bytes = hex::decode(line.replace(' ', "")).unwrap();
    match Frame::parse(&bytes).unwrap() {
        Frame::Long(frame) => frame,
        other => panic!("not a long frame: {other:?}"),
    }
}

/// Says of a frame what the golden file says of it.
fn describe(frame: &LongFrame) -> String {
    let telegram = Telegram::parse(frame).unwrap();
    let header = telegram.header();
    let end = if telegram.more_follows() { "more" } else { "last" };
    let mut text = format!(
        "header {} {} {:02X} {end}\n",
        meter_id(header).unwrap(),
        header.access_number,
        header.status.bits()
    );
    for record in telegram.records() {
        writeln!(
            text,
            "record {:?} {} {} {} {:?} {} {}",
            record.function,
            record.storage,
            record.tariff,
            record.subunit,
            record.vib.measurand(),
            obis::code_of(&record, header.device_type),
            describe_value(&record),
        )
        .unwrap();
    }
    if let Some(data) = telegram.manufacturer_data() {
        writeln!(text, "{}", format!("maker {}", hex::encode(data)).trim_end()).unwrap();
    }
    text
}

fn describe_value(record: &Record<'_>) -> String {
    match record.value {
        Ok(Value::Nothing) => "nothing".to_owned(),
        Ok(Value::Number { value, unit, .. }) => {
            unit.map_or_else(|| value.to_string(), |unit| format!("{value} {unit}"))
        }
        Ok(Value::Date(date)) => date.to_string(),
        Ok(Value::DateTime(time)) => time.to_string(),
        Ok(Value::Time(time)) => time.to_string(),
        Ok(Value::Text(text)) => text.to_string(),
        Ok(Value::Raw(bytes)) => format!("raw {}", hex::encode(bytes)),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn golden_telegrams_say_what_their_files_say() {
    let files = files();
    assert!(files.len() >= 6, "golden files are missing");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (mut expected, mut found, mut frames) = (String::new(), String::new(), Vec::new());
        for line in lines {
            match line.strip_prefix("frame ") {
                Some(bytes) => {
                    let frame = frame(bytes);
                    found.push_str(&describe(&frame));
                    frames.push(frame);
                }
                None => writeln!(expected, "{line}").unwrap(),
            }
        }
        assert_eq!(found, expected, "{}", path.display());
        let readout = Readout::from_frames(&frames).unwrap();
        assert!(!readout.samples.is_empty(), "{}", path.display());
    }
}

/// What pyMeterBus makes of one record of each VIF and coding; `make_foreign.py` says what is left out, and why.
#[test]
fn foreign_decoder_agrees_on_each_vif_and_coding() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/mbus/foreign.lines");
    let text = std::fs::read_to_string(path).unwrap();
    let mut compared = 0;
    for line in text.lines() {
        let (record, expected) = line.split_once(' ').unwrap();
        let bytes = hex::decode(record).unwrap();
        let frame = LongFrame::new(Control::RSP_UD, 1, 0x78, bytes).unwrap();
        let telegram = Telegram::parse(&frame).unwrap();
        let records: Vec<_> = telegram.records().collect();
        assert_eq!(records.len(), 1, "{line}");
        match records[0].value {
            Ok(Value::Number { value, .. }) => {
                let expected: model::Decimal = expected.parse().unwrap();
                assert!(value.same_value(expected), "{line}: {value}");
            }
            _ => assert_eq!(describe_value(&records[0]), expected, "{line}"),
        }
        compared += 1;
    }
    assert!(compared > 180, "{compared}");
}
