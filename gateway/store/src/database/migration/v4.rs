//! Version 4 knew nothing of energy applications; version 5 has a table for what they have made.
//!
//! As from version 3 to 4, the head changes with the descriptions of the tables, and its generation does not; the witness
//! still tells of the head as it was, which [`before`] makes again.

use rusqlite::{Connection, Transaction};

use super::super::examination;
use super::super::head::{Head, Tally, tally_of};

/// Takes up the new table in the head.
pub(super) fn carry_over(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    // A head that is lost, or of other tables, is found to be so when the database is examined.
    let Some(mut head) = Head::load(transaction)? else {
        return Ok(());
    };
    if head.schema != tables(transaction)? {
        return Ok(());
    }
    examination::count_rounds_of(transaction, &mut head)?;
    head.schema = examination::tables(transaction)?;
    head.store(transaction)
}

/// Returns the head that version 4 would have had for the same rows.
pub(in super::super) fn before(head: &Head, connection: &Connection) -> rusqlite::Result<Head> {
    Ok(Head {
        schema: tables(connection)?,
        ..*head
    })
}

/// Counts the descriptions of the tables that version 4 had.
fn tables(connection: &Connection) -> rusqlite::Result<Tally> {
    let sql = "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name <> 'evaluation'";
    tally_of(connection, b's', sql, [])
}
