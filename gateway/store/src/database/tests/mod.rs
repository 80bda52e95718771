//! The database as a whole.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]

mod asked;
mod clock;
mod damage;
mod evaluations;
mod exchange;
mod flips;
mod history;
mod losses;
mod outbox;
mod random_steps;
mod readings;
mod salvage;
mod versions;

use std::fs;
use std::path::PathBuf;

use model::{Decimal, ElementPattern, Gap, GapReason, Period, Quantity, Reading, Span, Status, Unit};
use tempfile::TempDir;

use super::elements::Elements as ElementTable;
use super::keys::round_key;
use super::pages::PageSize;
use super::*;
use crate::crash::copy_folder;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn period(from: i64, to: i64) -> Period {
    Period::new(at(from), at(to)).unwrap()
}

fn always() -> Period {
    period(-100_000, 10_000_000_000)
}

fn element(meter: &str) -> Element {
    Element {
        meter: meter.parse().unwrap(),
        obis: "1-0:1.8.0*255".parse().unwrap(),
    }
}

fn reading(meter: &str, seconds: i64, value: &str) -> Reading {
    Reading {
        element: element(meter),
        time: at(seconds),
        quantity: Quantity {
            value: value.parse().unwrap(),
            unit: Unit::WattHour,
        },
        status: Status::GOOD,
    }
}

fn gap(meter: &str, seconds: i64) -> Gap {
    Gap {
        element: element(meter),
        time: at(seconds),
        reason: GapReason::NoAnswer,
    }
}

fn round(readings: impl Into<Vec<Reading>>, gaps: impl Into<Vec<Gap>>) -> Round {
    Round {
        readings: readings.into(),
        gaps: gaps.into(),
    }
}

/// A database in a folder of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("gateway.db")
    }

    fn open(&self) -> Database {
        Database::open(&self.path()).unwrap()
    }

    /// Runs SQL behind the back of the store.
    fn tamper(&self, sql: &str) {
        let connection = Connection::open(self.path()).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Changes the content of a row behind the back of the store.
    fn alter(&self, table: &str, key: i64, change: impl FnOnce(&mut Vec<u8>)) {
        let connection = Connection::open(self.path()).unwrap();
        let select = format!("SELECT content FROM {table} WHERE key = ?1");
        let mut content = connection.query_row(&select, [key], |row| row.get(0)).unwrap();
        change(&mut content);
        let update = format!("UPDATE {table} SET content = ?2 WHERE key = ?1");
        connection
            .execute(&update, rusqlite::params![key, content])
            .unwrap();
    }
}

/// Seals and forgets until there is nothing left to be done.
fn seal(database: &Database, before: i64) {
    while database.seal_days(at(before)).unwrap().more {}
}

/// Returns how many rows a table has.
fn rows(database: &Database, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    database
        .lock()
        .connection
        .query_row(&sql, [], |row| row.get(0))
        .unwrap()
}

fn all(database: &Database) -> Page {
    database.readings(&ElementPattern::ANY, always()).unwrap()
}
