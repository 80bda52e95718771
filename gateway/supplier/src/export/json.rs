//! One JSON object: `{"schema":"supplier.export/1","readings":[…]}`, a reading on each line.

use std::fs::File;
use std::io::{BufWriter, Write};

use messages::content::MessageId;
use model::{Aggregation, CardId, Decimal, Element, Fingerprint, GapReason, Span, Status, Timestamp, Unit};
use serde::Serialize;

use crate::export::{ExportError, Row};

#[derive(Serialize)]
struct Line<'a> {
    gateway: CardId,
    #[serde(flatten)]
    element: &'a Element,
    aggregation: Aggregation,
    step: Option<Span>,
    time: Timestamp,
    value: Option<Decimal>,
    unit: Option<Unit>,
    status: Option<Status>,
    reason: Option<GapReason>,
    message: Option<MessageId>,
    digest: Option<Fingerprint>,
}

pub(super) struct Sheet {
    out: BufWriter<File>,
    has_rows: bool,
}

impl Sheet {
    pub(super) fn begin(mut out: BufWriter<File>) -> Result<Self, ExportError> {
        write!(out, "{{\"schema\":\"supplier.export/1\",\"readings\":[")?;
        Ok(Self { out, has_rows: false })
    }
}

impl super::Sheet for Sheet {
    fn row(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        let reading = row.content.ok();
        let line = Line {
            gateway: row.guid,
            element: row.element,
            aggregation: row.aggregation,
            step: row.within,
            time: row.time,
            value: reading.map(|reading| reading.quantity.value),
            unit: reading.map(|reading| reading.quantity.unit),
            status: reading.map(|reading| reading.status),
            reason: row.content.err(),
            message: reading.map(|reading| reading.proof.message),
            digest: reading.map(|reading| reading.proof.digest),
        };
        let before = if self.has_rows { ",\n" } else { "\n" };
        self.has_rows = true;
        self.out.write_all(before.as_bytes())?;
        Ok(serde_json::to_writer(&mut self.out, &line)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        self.out.write_all(b"\n]}\n")?;
        Ok(self.out.flush()?)
    }
}
