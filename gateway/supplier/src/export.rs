//! Exports of the store: CSV, JSON and Parquet, a row for each reading, and for each gap if that is wanted.
//!
//! A value is exact in each of them. CSV and JSON have it as text with the meter's own digits. Parquet has that text too, and
//! beside it what can be reckoned with: the digits as `DECIMAL(38, 0)` and the power of ten in a column of its own, since a
//! column of decimals has one scale for all meters.

mod csv;
mod json;
mod parquet;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::str::FromStr;

use counterparty::files::FileError;
use model::{Aggregation, CardId, Element, ElementPattern, GapReason, Span, Timestamp};
use tempfile::NamedTempFile;

use crate::store::{Store, StoreError, StoredElement, StoredReading};

/// How many readings are read at once.
const PAGE: u32 = 10_000;

/// The reason why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be made.
    #[error("the export cannot be written; free the disk, or name another file")]
    File(#[from] FileError),
    /// The file cannot be written.
    #[error("the export cannot be written; free the disk, or name another file")]
    Write(#[from] io::Error),
    /// A row cannot be written as JSON.
    #[error("the export cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A row cannot be written as Parquet.
    #[error("the export cannot be written as Parquet; free the disk, or name another format")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// A value has more digits than Parquet takes.
    #[error(
        "a value of {element} at {time} has more than 38 digits, which Parquet cannot take; export CSV or JSON"
    )]
    Digits {
        /// The element.
        element: Element,
        /// When.
        time: Timestamp,
    },
}

/// In which form an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180), with a head.
    Csv,
    /// One object of the schema `supplier.export/1`.
    Json,
    /// Apache Parquet, compressed by Snappy.
    Parquet,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "parquet" => Ok(Self::Parquet),
            _ => Err(UnknownFormat),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        })
    }
}

/// A text names no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an export is csv, json or parquet")]
pub struct UnknownFormat;

/// What to export.
#[derive(Debug, Clone, Default)]
pub struct ExportOrder {
    /// The gateway, or all.
    pub guid: Option<CardId>,
    /// The elements, or all.
    pub elements: Vec<ElementPattern>,
    /// The first time that belongs to it, or as far back as there is something.
    pub from: Option<Timestamp>,
    /// The first time that no longer belongs to it, or to the end.
    pub to: Option<Timestamp>,
    /// Whether gaps have a row too.
    pub gaps: bool,
}

/// One row.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    guid: CardId,
    element: &'a Element,
    aggregation: Aggregation,
    /// The step that the value is made of, unless it was registered itself.
    within: Option<Span>,
    time: Timestamp,
    /// The reading, or why there is none.
    content: Result<&'a StoredReading, GapReason>,
}

impl<'a> Row<'a> {
    fn of(
        element: &'a StoredElement,
        time: Timestamp,
        content: Result<&'a StoredReading, GapReason>,
    ) -> Self {
        Self {
            guid: element.guid,
            element: &element.element,
            aggregation: element.aggregation,
            within: element.within(),
            time,
            content,
        }
    }
}

/// What takes the rows.
trait Sheet {
    fn row(&mut self, row: &Row<'_>) -> Result<(), ExportError>;
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

/// Writes an export, or replaces it: the file is there whole or as it was. Returns the number of rows.
///
/// # Errors
///
/// [`ExportError`] names what failed.
pub async fn export(
    store: &Store,
    order: &ExportOrder,
    format: Format,
    path: &Path,
) -> Result<u64, ExportError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file =
        NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new("."))).map_err(FileError::at(path))?;
    let rows = {
        let out = BufWriter::new(file.reopen()?);
        let mut sheet = sheet(format, out)?;
        let rows = write(store, order, sheet.as_mut()).await?;
        sheet.finish()?;
        rows
    };
    file.as_file().sync_all()?;
    file.persist(path)
        .map_err(|error| FileError::at(path)(error.error))?;
    Ok(rows)
}

fn sheet(format: Format, out: BufWriter<File>) -> Result<Box<dyn Sheet + Send>, ExportError> {
    Ok(match format {
        Format::Csv => Box::new(csv::Sheet::begin(out)?),
        Format::Json => Box::new(json::Sheet::begin(out)?),
        Format::Parquet => Box::new(parquet::Sheet::begin(out)?),
    })
}

async fn write(
    store: &Store,
    order: &ExportOrder,
    sheet: &mut (dyn Sheet + Send),
) -> Result<u64, ExportError> {
    let mut rows = 0_u64;
    for element in store.elements(order.guid).await? {
        let patterns = &order.elements;
        if patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(&element.element)) {
            rows = rows.saturating_add(write_element(store, order, &element, sheet).await?);
        }
    }
    Ok(rows)
}

async fn write_element(
    store: &Store,
    order: &ExportOrder,
    element: &StoredElement,
    sheet: &mut (dyn Sheet + Send),
) -> Result<u64, ExportError> {
    let Some((first, last)) = element.known() else {
        return Ok(0);
    };
    let from = order.from.map_or(first, |from| from.max(first));
    let within = |time: Timestamp| from <= time && order.to.is_none_or(|to| time < to);
    let gaps = if order.gaps {
        store.gaps(element.key, (from, last)).await?
    } else {
        Vec::new()
    };
    let mut gaps = gaps.iter().filter(|gap| within(gap.time)).peekable();
    let mut rows = 0_u64;
    let mut next = Some(from);
    while let Some(begin) = next {
        let page = store.readings(element.key, begin, PAGE).await?;
        next = None;
        for reading in page.iter().filter(|reading| within(reading.time)) {
            while let Some(gap) = gaps.next_if(|gap| gap.time < reading.time) {
                sheet.row(&Row::of(element, gap.time, Err(gap.reason)))?;
                rows = rows.saturating_add(1);
            }
            sheet.row(&Row::of(element, reading.time, Ok(reading)))?;
            rows = rows.saturating_add(1);
            // There may be more, unless the rest of the page lies behind the end.
            next = Span::from_seconds(1).map(|second| reading.time.saturating_add(second));
        }
    }
    for gap in gaps {
        sheet.row(&Row::of(element, gap.time, Err(gap.reason)))?;
        rows = rows.saturating_add(1);
    }
    Ok(rows)
}
