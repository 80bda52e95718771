//! Version 2 did not account for its rows; version 3 has a head, and a list of each sealed day's chunks.
//!
//! What is there is taken for what was confirmed: version 2 left nothing by which to tell.

use rusqlite::Transaction;

use super::super::head::{Head, Tally};
use super::super::keys::Day;
use super::super::{day, examination};

/// The generation of a head to which nothing was added yet.
const FIRST_GENERATION: u64 = 1;

/// Makes the lists of the days and the first head.
pub(super) fn carry_over(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut from = Day::FIRST.chunks().start;
    // Each key that is found belongs to a later day than the one before.
    while let Some(key) = first_chunk(transaction, from)? {
        let found = Day::of_chunk(key);
        // The head counts the lists below.
        let mut tally = Tally::default();
        day::store(transaction, &mut tally, found, &day::list(transaction, found)?)?;
        from = found.chunks().end;
    }
    let head = Head {
        generation: FIRST_GENERATION,
        ..examination::count_version_3(transaction)?.rows
    };
    head.store(transaction)
}

fn first_chunk(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<Option<i64>> {
    transaction
        .prepare_cached("SELECT min(key) FROM chunk WHERE key >= ?1")?
        .query_row([from], |row| row.get(0))
}
