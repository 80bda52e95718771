//! What several tests look at.

use std::collections::BTreeMap;

use model::{Period, Span, Status, Unit};

use crate::calendar::{Calendar, Offsets};
use crate::interface::{Channel, Flags, Input, InputReading, Record};
use crate::manifest::Manifest;

pub(crate) fn window(from: &str, to: &str) -> Period {
    Period::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
}

/// The last Sundays of March and October, 01:00 UTC, of some years.
pub(crate) fn berlin() -> Offsets {
    let entries: Vec<(model::Timestamp, i16)> = [
        ("1970-01-01T00:00:00Z", 60),
        ("2026-03-29T01:00:00Z", 120),
        ("2026-10-25T01:00:00Z", 60),
        ("2027-03-28T01:00:00Z", 120),
        ("2027-10-31T01:00:00Z", 60),
        ("2028-03-26T01:00:00Z", 120),
        ("2028-10-29T01:00:00Z", 60),
    ]
    .map(|(from, minutes)| (from.parse().unwrap(), minutes))
    .into();
    entries.try_into().unwrap()
}

/// High and low tariff; a third stage from March on, except at weekends.
pub(crate) fn calendar() -> Calendar {
    serde_json::from_str(
        r#"{
            "seasons": [
                {
                    "from": "03-01",
                    "work": [["00:00", 3]],
                    "saturday": [["00:00", 2]],
                    "sunday": [["00:00", 2], ["02:30", 1]],
                    "holiday": [["00:00", 2]]
                },
                {
                    "from": "11-01",
                    "work": [["00:00", 2], ["06:00", 1], ["22:00", 2]],
                    "saturday": [["00:00", 2]],
                    "sunday": [["00:00", 2]],
                    "holiday": [["00:00", 2]]
                }
            ],
            "holidays": ["2026-12-25"]
        }"#,
    )
    .unwrap()
}

/// A manifest with one input, two outputs and a parameter of each kind.
pub(crate) const MANIFEST: &str = r#"{
    "schema": "smgw.manifest/1",
    "id": "sample",
    "version": "1.2.3",
    "interface": "smgw:tariff/1",
    "taf": 2,
    "name": { "de": "Muster", "en": "Sample" },
    "description": { "de": "Zum Prüfen.", "en": "For tests." },
    "inputs": [
        { "role": "energy", "obis": "x-x:x.8.0*255", "units": ["Wh"], "finest": "PT15M", "history": "P730D", "at_most": 4 }
    ],
    "outputs": [
        { "output": "stage-1", "obis": "x-x:x.8.1*255" },
        { "output": "peak", "obis": "1-0:1.6.0*255", "unit": "W", "keep": "P42D" }
    ],
    "parameters": [
        { "name": "count", "label": { "de": "Zahl", "en": "Number" }, "domain": { "integer": { "least": 0, "most": 9 } }, "default": 3 },
        { "name": "price", "label": { "de": "Preis", "en": "Price" }, "domain": { "decimal": { "least": "0", "most": "9.99" } }, "optional": true },
        { "name": "note", "label": { "de": "Notiz", "en": "Note" }, "domain": { "text": { "most_bytes": 8 } }, "default": "none" },
        { "name": "stages", "label": { "de": "Stufen", "en": "Stages" }, "domain": "calendar", "optional": true }
    ],
    "limits": { "fuel_base": 5000000, "fuel_per_reading": 500, "memory_bytes": 2097152, "outputs": 4, "state_bytes": 64 },
    "vectors": []
}"#;

pub(crate) fn manifest() -> Manifest {
    Manifest::parse(MANIFEST.as_bytes()).unwrap()
}

/// An hour with five values, one of them missing.
pub(crate) fn input() -> Input {
    let window = window("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z");
    let readings =
        [("12:00", "100.0"), ("12:15", "100.25"), ("12:45", "101")].map(|(time, value)| InputReading {
            time: format!("2026-11-23T{time}:00Z").parse().unwrap(),
            value: value.parse().unwrap(),
            status: Status::GOOD,
            flags: Flags::NONE,
        });
    Input {
        run: 7,
        window,
        cutoff: window.to(),
        parameters: manifest().values(&BTreeMap::new()).unwrap(),
        channels: vec![Channel {
            role: 0,
            obis: "1-0:1.8.0*255".parse().unwrap(),
            unit: Unit::WattHour,
            step: Span::QUARTER_HOUR,
            readings: readings.to_vec(),
        }],
        slots: Vec::new(),
        state: b"state".to_vec(),
    }
}

/// An element that the sample's manifest permits.
pub(crate) fn record() -> Record {
    Record {
        output: 0,
        channel: 0,
        stage: 1,
        status: 0,
        from: input().window.from().unix_seconds(),
        to: input().window.to().unix_seconds(),
        value: 125,
        basis_first: 0,
        basis_count: 2,
        scaler: -1,
        unit: 30,
    }
}

/// A guest that has everything but a body of `evaluate`, which is given.
pub(crate) fn guest(body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "smgw1" "log" (func $log (param i32 i32 i32)))
            (import "smgw1" "fail" (func $fail (param i32 i32 i32)))
            (memory (export "memory") 2 32)
            (data (i32.const 16) "too little")
            (func (export "abi_version") (result i32) (i32.const 1))
            (func (export "smgw_alloc") (param i32) (result i32) (i32.const 4096))
            (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
            (func (export "evaluate") (param $in i32) (param $length i32) (result i64) {body}))"#
    ))
    .unwrap()
}

/// A guest that writes no element and no state.
pub(crate) fn echo() -> Vec<u8> {
    guest(
        "(i32.store (i32.const 1024) (i32.const 0x314f5453))
         (i32.store (i32.const 1028) (i32.const 0x00180001))
         (i32.store (i32.const 1032) (i32.const 24))
         (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 24))",
    )
}

pub(crate) fn module() -> Vec<u8> {
    echo()
}
