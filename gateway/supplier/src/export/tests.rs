//! Exports as foreign programs read them.

use std::path::PathBuf;
use std::process::Command;

use messages::content::{Answer, MessageId};
use model::{Decimal, Fingerprint, Medium, Series, Span, Status, Unit};

use super::*;
use crate::store::StorePlace;

/// Reads a Parquet file with Apache Arrow, and prints it as CSV; the digits and the power of ten must make the value.
const READ_PARQUET: &str = "
import sys, decimal
import pyarrow.parquet as parquet
decimal.getcontext().prec = 60
table = parquet.read_table(sys.argv[1])
assert str(table.schema.field('time').type) == 'timestamp[ms, tz=UTC]', table.schema
assert str(table.schema.field('mantissa').type) == 'decimal128(38, 0)', table.schema
print(','.join(name for name in table.column_names if name not in ('mantissa', 'scaler')))
for row in table.to_pylist():
    mantissa, scaler = row.pop('mantissa'), row.pop('scaler')
    if row['value'] is not None:
        assert mantissa.scaleb(scaler) == decimal.Decimal(row['value']), row
    row['time'] = row['time'].strftime('%Y-%m-%dT%H:%M:%SZ')
    print(','.join('' if value is None else str(value) for value in row.values()))
";

/// Reads CSV with Python's own reader, and prints it again.
const READ_CSV: &str = "
import csv, sys
with open(sys.argv[1], newline='') as file:
    for row in csv.reader(file, strict=True):
        assert len(row) == 12, row
        print(','.join(row))
";

const READ_JSON: &str = "
import json, sys
with open(sys.argv[1]) as file:
    export = json.load(file)
assert export['schema'] == 'supplier.export/1'
names = 'gateway,meter,obis,aggregation,step,time,value,unit,status,reason,message,digest'
print(names)
for row in export['readings']:
    assert ','.join(row) == names, row
    print(','.join('' if value is None else str(value) for value in row.values()))
";

fn python(script: &str, file: &Path) -> Vec<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut python = Command::new(format!("{root}/target/foreign-python/bin/python"));
    let output = match python.args(["-c", script]).arg(file).output() {
        Ok(output) => output,
        Err(error) => panic!("{error}; `cargo verify` installs Python's packages into target/foreign-python"),
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn series(meter: &str, values: &[Option<&str>]) -> Series {
    let values: Vec<Option<Decimal>> = values
        .iter()
        .map(|value| value.map(|value| value.parse().unwrap()))
        .collect();
    Series {
        element: Element {
            meter: meter.parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        },
        medium: Medium::Electricity,
        unit: Unit::WattHour,
        start: "2026-03-29T00:45:00Z".parse().unwrap(),
        step: Span::QUARTER_HOUR,
        aggregation: Aggregation::Value,
        status: vec![Status::FROM_FLOAT; values.len()],
        gaps: (0..)
            .zip(&values)
            .filter(|(_, value)| value.is_none())
            .map(|(index, _)| (index, GapReason::NoAnswer))
            .collect(),
        values,
    }
}

async fn scene(series: Vec<Series>) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::File(folder.path().join("store.db")))
        .await
        .unwrap();
    let answer = Answer {
        id: MessageId::new([0xab; 16]),
        in_reply_to: MessageId::new([1; 16]),
        gateway: "fd5a::1".parse().unwrap(),
        supplier: Fingerprint::new([1; 32]),
        time: "2026-03-29T12:00:00Z".parse().unwrap(),
        series,
        refusals: Vec::new(),
        rest: Vec::new(),
    };
    store.keep(&answer, b"signed", None).await.unwrap();
    (folder, store)
}

fn row(meter: &str, time: &str, value: Option<&str>) -> String {
    let head = format!("fd5a::1,{meter},1-0:1.8.0*255,value,,2026-03-29T{time}:00Z");
    match value {
        Some(value) => format!(
            "{head},{value},Wh,2,,{},4a3cdfae6f291c8f544daea5b72905cf9e74c1ed427d831ad0d7ca00c73c794d",
            "ab".repeat(16)
        ),
        None => format!("{head},,,,no-answer,,"),
    }
}

#[tokio::test]
async fn foreign_programs_read_the_same_in_every_format() {
    let great = "-99999999999999999999999999999999999999";
    let (folder, store) = scene(vec![
        series("M1", &[Some("12.340"), None, Some("0.000001"), None]),
        series("M2", &[Some(great), Some("7")]),
    ])
    .await;
    let head = "gateway,meter,obis,aggregation,step,time,value,unit,status,reason,message,digest".to_owned();
    let all = [
        head.clone(),
        row("M1", "00:45", Some("12.340")),
        row("M1", "01:00", None),
        row("M1", "01:15", Some("0.000001")),
        row("M1", "01:30", None),
        row("M2", "00:45", Some(great)),
        row("M2", "01:00", Some("7")),
    ];
    let some = [head, row("M1", "01:15", Some("0.000001"))];
    let file = |format: Format| -> PathBuf { folder.path().join(format!("export.{format}")) };
    for (format, script) in [
        (Format::Csv, READ_CSV),
        (Format::Json, READ_JSON),
        (Format::Parquet, READ_PARQUET),
    ] {
        let order = ExportOrder {
            gaps: true,
            ..ExportOrder::default()
        };
        assert_eq!(export(&store, &order, format, &file(format)).await.unwrap(), 6);
        assert_eq!(python(script, &file(format)), all, "{format}");
        let order = ExportOrder {
            guid: Some("fd5a::1".parse().unwrap()),
            elements: vec!["M1/*".parse().unwrap()],
            from: Some("2026-03-29T01:00:00Z".parse().unwrap()),
            to: Some("2026-03-29T01:30:00Z".parse().unwrap()),
            gaps: false,
        };
        assert_eq!(export(&store, &order, format, &file(format)).await.unwrap(), 1);
        assert_eq!(python(script, &file(format)), some, "{format}");
        let nobody = ExportOrder {
            guid: Some("fd5a::2".parse().unwrap()),
            ..ExportOrder::default()
        };
        assert_eq!(export(&store, &nobody, format, &file(format)).await.unwrap(), 0);
        assert_eq!(python(script, &file(format)).len(), 1, "{format}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with('.')
            })
            .count(),
        0,
        "nothing is left behind"
    );
}

#[tokio::test]
async fn long_exports_are_written_in_pages_and_groups() {
    let values = vec![Some("1"); 60_001];
    let (folder, store) = scene(vec![series("M1", &values)]).await;
    let file = folder.path().join("long.parquet");
    let rows = export(&store, &ExportOrder::default(), Format::Parquet, &file)
        .await
        .unwrap();
    assert_eq!(rows, 60_001);
    let lines = python(READ_PARQUET, &file);
    let times: std::collections::BTreeSet<_> = lines.iter().skip(1).collect();
    assert_eq!((lines.len(), times.len()), (60_002, 60_001));
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_leaves_the_old_file() {
    let (folder, store) = scene(vec![series(
        "M1",
        &[Some("170141183460469231731687303715884105727")],
    )])
    .await;
    let file = folder.path().join("export.parquet");
    std::fs::write(&file, "old").unwrap();
    let error = export(&store, &ExportOrder::default(), Format::Parquet, &file)
        .await
        .unwrap_err();
    assert!(matches!(error, ExportError::Digits { .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"old");
    let nowhere = folder.path().join("missing/export.csv");
    let error = export(&store, &ExportOrder::default(), Format::Csv, &nowhere)
        .await
        .unwrap_err();
    assert!(matches!(error, ExportError::File(_)), "{error}");
    assert_eq!("xml".parse::<Format>(), Err(UnknownFormat));
}
