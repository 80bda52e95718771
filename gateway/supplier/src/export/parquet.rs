//! Apache Parquet. Rows are gathered into groups, so that the memory stays bounded whatever the length of the export.

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::export::{ExportError, Row};

/// How many rows a group has: some ten megabytes in memory.
const GROUP: usize = 50_000;
/// The greatest number of the digits that a decimal of Parquet has: 38 nines.
const MAX_DIGITS: u128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// The columns; an absent value, and everything that belongs to it, is null.
const SCHEMA: &str = "
message readings {
    required binary gateway (STRING);
    required binary meter (STRING);
    required binary obis (STRING);
    required binary aggregation (STRING);
    optional binary step (STRING);
    required int64 time (TIMESTAMP(MILLIS, true));
    optional binary value (STRING);
    optional fixed_len_byte_array(16) mantissa (DECIMAL(38, 0));
    optional int32 scaler;
    optional binary unit (STRING);
    optional int64 status;
    optional binary reason (STRING);
    optional binary message (STRING);
    optional binary digest (STRING);
}";

/// One column of a group.
struct Column<T> {
    values: Vec<T>,
    /// For each row, whether it has a value.
    present: Vec<i16>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            present: Vec::new(),
        }
    }
}

impl<T> Column<T> {
    fn push(&mut self, value: Option<T>) {
        self.present.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

#[derive(Default)]
struct Group {
    rows: usize,
    gateway: Column<ByteArray>,
    meter: Column<ByteArray>,
    obis: Column<ByteArray>,
    aggregation: Column<ByteArray>,
    step: Column<ByteArray>,
    time: Column<i64>,
    value: Column<ByteArray>,
    mantissa: Column<FixedLenByteArray>,
    scaler: Column<i32>,
    unit: Column<ByteArray>,
    status: Column<i64>,
    reason: Column<ByteArray>,
    message: Column<ByteArray>,
    digest: Column<ByteArray>,
}

pub(super) struct Sheet {
    writer: SerializedFileWriter<BufWriter<File>>,
    group: Group,
}

impl Sheet {
    pub(super) fn begin(out: BufWriter<File>) -> Result<Self, ExportError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?;
        Ok(Self {
            writer,
            group: Group::default(),
        })
    }

    fn write_group(&mut self) -> Result<(), ExportError> {
        let group = std::mem::take(&mut self.group);
        if group.rows == 0 {
            return Ok(());
        }
        let mut writer = self.writer.next_row_group()?;
        required::<ByteArrayType>(&mut writer, &group.gateway)?;
        required::<ByteArrayType>(&mut writer, &group.meter)?;
        required::<ByteArrayType>(&mut writer, &group.obis)?;
        required::<ByteArrayType>(&mut writer, &group.aggregation)?;
        optional::<ByteArrayType>(&mut writer, &group.step)?;
        required::<Int64Type>(&mut writer, &group.time)?;
        optional::<ByteArrayType>(&mut writer, &group.value)?;
        optional::<FixedLenByteArrayType>(&mut writer, &group.mantissa)?;
        optional::<Int32Type>(&mut writer, &group.scaler)?;
        optional::<ByteArrayType>(&mut writer, &group.unit)?;
        optional::<Int64Type>(&mut writer, &group.status)?;
        optional::<ByteArrayType>(&mut writer, &group.reason)?;
        optional::<ByteArrayType>(&mut writer, &group.message)?;
        optional::<ByteArrayType>(&mut writer, &group.digest)?;
        writer.close()?;
        Ok(())
    }
}

type RowGroup<'a> = SerializedRowGroupWriter<'a, BufWriter<File>>;

fn required<T: DataType>(group: &mut RowGroup<'_>, column: &Column<T::T>) -> Result<(), ExportError> {
    write_column::<T>(group, &column.values, None)
}

fn optional<T: DataType>(group: &mut RowGroup<'_>, column: &Column<T::T>) -> Result<(), ExportError> {
    write_column::<T>(group, &column.values, Some(&column.present))
}

fn write_column<T: DataType>(
    group: &mut RowGroup<'_>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> Result<(), ExportError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, present, None)?;
        column.close()?;
    }
    Ok(())
}

fn text(word: impl ToString) -> ByteArray {
    ByteArray::from(word.to_string().into_bytes())
}

impl super::Sheet for Sheet {
    fn row(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        let group = &mut self.group;
        let reading = row.content.ok();
        let value = reading.map(|reading| reading.quantity.value);
        if value.is_some_and(|value| value.mantissa().unsigned_abs() > MAX_DIGITS) {
            return Err(ExportError::Digits {
                element: row.element.clone(),
                time: row.time,
            });
        }
        group.rows = group.rows.saturating_add(1);
        group.gateway.push(Some(text(row.guid)));
        group.meter.push(Some(text(&row.element.meter)));
        group.obis.push(Some(text(row.element.obis)));
        group.aggregation.push(Some(text(row.aggregation)));
        group.step.push(row.within.map(text));
        group
            .time
            .push(Some(row.time.unix_seconds().saturating_mul(1_000)));
        group.value.push(value.map(text));
        let mantissa = value.map(|value| value.mantissa().to_be_bytes().to_vec());
        group.mantissa.push(mantissa.map(FixedLenByteArray::from));
        group.scaler.push(value.map(|value| i32::from(value.scaler())));
        group
            .unit
            .push(reading.map(|reading| text(reading.quantity.unit)));
        group
            .status
            .push(reading.map(|reading| i64::from(reading.status.bits())));
        group.reason.push(row.content.err().map(text));
        group
            .message
            .push(reading.map(|reading| text(reading.proof.message)));
        group
            .digest
            .push(reading.map(|reading| text(reading.proof.digest)));
        if group.rows >= GROUP {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        self.write_group()?;
        self.writer.close()?;
        Ok(())
    }
}
