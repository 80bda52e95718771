//! Version 3 knew no restrictions, and not how often grants are asked; version 4 has a table for each.
//!
//! The head accounts for the descriptions of the tables, so that it changes with them. Its generation does not: nothing
//! that was confirmed is another. The witness still tells of the head as it was, which [`before`] makes again.

use rusqlite::{Connection, Transaction};

use super::super::head::{Head, Tally, tally_of};
use super::super::{examination, restrictions};

/// Takes up the new tables in the head, and makes the first row of the restrictions.
pub(super) fn carry_over(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    restrictions::make(transaction)?;
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

/// Returns the head that version 3 would have had for the same rows.
pub(in super::super) fn before(head: &Head, connection: &Connection) -> rusqlite::Result<Head> {
    Ok(Head {
        schema: tables(connection)?,
        ..*head
    })
}

/// Counts the descriptions of the tables that version 3 had.
fn tables(connection: &Connection) -> rusqlite::Result<Tally> {
    let sql = "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name NOT IN ('asked', 'restriction', 'evaluation')";
    tally_of(connection, b's', sql, [])
}
