//! The engines: the gateway's store, and SQLite with one row for each reading, in two orders of the key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use model::{Decimal, Element, ElementPattern, Period, Quantity, Reading, Status, Timestamp, Unit};
use rusqlite::{Connection, params};
use store::{Database, Round};

use crate::error::BenchError;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// The gateway's store.
    Ours,
    /// SQLite, a row for each reading, keyed by time and element.
    TimeElement,
    /// SQLite, a row for each reading, keyed by element and time.
    ElementTime,
}

impl Name {
    /// Every engine.
    pub(super) const ALL: [Self; 3] = [Self::Ours, Self::TimeElement, Self::ElementTime];

    /// Returns the name on the command line.
    pub(super) const fn argument(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::TimeElement => "time-element",
            Self::ElementTime => "element-time",
        }
    }

    /// Returns the files of the engine in a folder, the write-ahead log last.
    pub(super) fn files(folder: &Path) -> [PathBuf; 2] {
        ["bench.db", "bench.db-wal"].map(|name| folder.join(name))
    }

    /// Opens the engine in a folder, and makes it there if there is none.
    pub(super) fn open(self, folder: &Path) -> Result<Engine, BenchError> {
        let [path, _] = Self::files(folder);
        Ok(match self {
            Self::Ours => Engine::Ours(Box::new(Database::open(&path)?)),
            Self::TimeElement => Engine::Rows(Rows::open(&path, "time, element")?),
            Self::ElementTime => Engine::Rows(Rows::open(&path, "element, time")?),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ours => "ours",
            Self::TimeElement => "rows (time, element)",
            Self::ElementTime => "rows (element, time)",
        })
    }
}

/// An engine that is open.
pub(super) enum Engine {
    Ours(Box<Database>),
    Rows(Rows),
}

impl Engine {
    /// Stores a round, durably.
    pub(super) fn register(&mut self, readings: Vec<Reading>) -> Result<(), BenchError> {
        match self {
            Self::Ours(database) => {
                let gaps = Vec::new();
                database.register(&Round { readings, gaps })?;
                Ok(())
            }
            Self::Rows(rows) => rows.register(&readings),
        }
    }

    /// Does what is due at the end of a day: the store seals it, rows stay rows.
    pub(super) fn end_day(&self, end: Timestamp) -> Result<(), BenchError> {
        if let Self::Ours(database) = self {
            while database.seal_days(end)?.more {}
        }
        Ok(())
    }

    /// Hands every reading of a period to `each`, in the order of their times.
    pub(super) fn read(
        &self,
        element: Option<&Element>,
        period: Period,
        mut each: impl FnMut(Reading),
    ) -> Result<(), BenchError> {
        match self {
            Self::Ours(database) => {
                let pattern = element.map_or(ElementPattern::ANY, |element| element.clone().into());
                let mut rest = Some(period);
                // Each page is later than the one before, and the period has an end.
                while let Some(period) = rest {
                    let page = database.readings(&pattern, period)?;
                    page.readings.into_iter().for_each(&mut each);
                    rest = page.rest;
                }
                Ok(())
            }
            Self::Rows(rows) => rows.read(element, period, each),
        }
    }
}

/// SQLite with one row for each reading, with the settings that the store has too.
pub(super) struct Rows {
    connection: Connection,
    ids: BTreeMap<Element, i64>,
    names: BTreeMap<i64, Element>,
}

const CREATE: &str = "CREATE TABLE IF NOT EXISTS element (id INTEGER PRIMARY KEY, meter TEXT NOT NULL, obis TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS reading (
        time INTEGER NOT NULL, element INTEGER NOT NULL, mantissa INTEGER NOT NULL, scaler INTEGER NOT NULL,
        unit TEXT NOT NULL, status INTEGER NOT NULL, PRIMARY KEY (KEY)
    ) STRICT, WITHOUT ROWID;";

impl Rows {
    fn open(path: &Path, key: &str) -> Result<Self, BenchError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -2_048)?;
        connection.execute_batch(&CREATE.replace("(KEY)", &format!("({key})")))?;
        let mut rows = Self {
            connection,
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        rows.load()?;
        Ok(rows)
    }

    fn load(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare("SELECT id, meter, obis FROM element")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, meter, obis): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if let (Ok(meter), Ok(obis)) = (meter.parse(), obis.parse()) {
                let element = Element { meter, obis };
                self.ids.insert(element.clone(), id);
                self.names.insert(id, element);
            }
        }
        Ok(())
    }

    fn register(&mut self, readings: &[Reading]) -> Result<(), BenchError> {
        let transaction = self.connection.transaction()?;
        for reading in readings {
            let id = match self.ids.get(&reading.element) {
                Some(id) => *id,
                None => {
                    transaction.execute(
                        "INSERT INTO element (meter, obis) VALUES (?1, ?2)",
                        params![reading.element.meter.as_str(), reading.element.obis.to_string()],
                    )?;
                    let id = transaction.last_insert_rowid();
                    self.ids.insert(reading.element.clone(), id);
                    self.names.insert(id, reading.element.clone());
                    id
                }
            };
            let value = reading.quantity.value;
            transaction
                .prepare_cached(
                    "INSERT INTO reading (time, element, mantissa, scaler, unit, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    reading.time.unix_seconds(),
                    id,
                    i64::try_from(value.mantissa()).unwrap_or(i64::MAX),
                    value.scaler(),
                    reading.quantity.unit.symbol(),
                    reading.status.bits(),
                ])?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn read(
        &self,
        element: Option<&Element>,
        period: Period,
        mut each: impl FnMut(Reading),
    ) -> Result<(), BenchError> {
        let one = element.map_or("", |_| "AND element = ?3 ");
        let sql = format!(
            "SELECT time, element, mantissa, scaler, unit, status FROM reading \
             WHERE time >= ?1 AND time < ?2 {one}ORDER BY time, element"
        );
        let id = element.and_then(|element| self.ids.get(element)).copied();
        let mut bounds = vec![period.from().unix_seconds(), period.to().unix_seconds()];
        bounds.extend(id);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(bounds))?;
        while let Some(row) = rows.next()? {
            if let Some(reading) = self.reading(row)? {
                each(reading);
            }
        }
        Ok(())
    }

    fn reading(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Reading>> {
        let (time, id): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (mantissa, scaler): (i64, i8) = (row.get(2)?, row.get(3)?);
        let unit: Option<Unit> = row.get_ref(4)?.as_str().ok().and_then(|unit| unit.parse().ok());
        let status: u32 = row.get(5)?;
        let build = || {
            Some(Reading {
                element: self.names.get(&id)?.clone(),
                time: Timestamp::from_unix_seconds(time).ok()?,
                quantity: Quantity {
                    value: Decimal::new(i128::from(mantissa), scaler)?,
                    unit: unit?,
                },
                status: Status::from_bits(status),
            })
        };
        Ok(build())
    }
}
