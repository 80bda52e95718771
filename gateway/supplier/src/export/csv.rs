//! Comma-separated values. Nothing needs quotes: none of the words that are written has a comma, a quote or a line's end.

use std::fs::File;
use std::io::{BufWriter, Write};

use crate::export::{ExportError, Row};

/// The head; an absent value, and everything that belongs to it, is empty.
const HEAD: &str = "gateway,meter,obis,aggregation,step,time,value,unit,status,reason,message,digest";

pub(super) struct Sheet(BufWriter<File>);

impl Sheet {
    pub(super) fn begin(mut out: BufWriter<File>) -> Result<Self, ExportError> {
        write!(out, "{HEAD}\r\n")?;
        Ok(Self(out))
    }
}

impl super::Sheet for Sheet {
    fn row(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        let (meter, obis) = (&row.element.meter, row.element.obis);
        let step = row.within.map(|step| step.to_string()).unwrap_or_default();
        let (guid, aggregation, time) = (row.guid, row.aggregation, row.time);
        write!(self.0, "{guid},{meter},{obis},{aggregation},{step},{time},")?;
        match row.content {
            Ok(reading) => {
                let (value, unit) = (reading.quantity.value, reading.quantity.unit);
                let (status, proof) = (reading.status.bits(), reading.proof);
                write!(
                    self.0,
                    "{value},{unit},{status},,{},{}\r\n",
                    proof.message, proof.digest
                )?;
            }
            Err(reason) => write!(self.0, ",,,{reason},,\r\n")?,
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        Ok(self.0.flush()?)
    }
}
