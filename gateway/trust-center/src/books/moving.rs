//! Moving the books from the file to a PostgreSQL server.
//!
//! All rows go over in one transaction of the server, while nobody can append to the old books. The chain is verified
//! there, and its head compared, before the old books are marked, which refuses every further record to programs that
//! have them open. Only then `books.url` names the server, and the file becomes `books.db.moved`. Whenever the work is cut
//! off, either the old books are in force, or they are marked and the same command ends the work.

use std::path::Path;

use counterparty::files::{self, Access, FileError};
use model::Timestamp;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row, query, raw_sql};

use crate::books::database::Database;
use crate::books::schema::{self, Table};
use crate::books::{Act, Books, BooksError, Verified, chain, read_address};

/// How many rows are read at once.
const PAGE: i64 = 1_000;

/// Moves the books of the folder to the server; returns what was verified there.
pub(crate) fn move_to_server(home: &Path, address: &str, time: Timestamp) -> Result<Verified, BooksError> {
    if read_address(home)?.is_some() {
        return Err(BooksError::OnServer);
    }
    let path = home.join("books.db");
    std::fs::metadata(&path).map_err(FileError::at(&path))?;
    let old = Books::of(Database::open_file(&path)?)?.database;
    let new = Database::open_server(address)?;
    let mark = !is_moved(&old)?;
    let verified = old.transact(async |source: &mut AnyConnection| {
        let before = chain::verify(source, super::PAGE).await?;
        let verified = match new.version()? {
            None if mark => copy(source, &new, before, time).await?,
            // They were moved to another database, in which something may have been added.
            None => return Err(BooksError::Different),
            Some(_) => Books::of(Database::open_server(address)?)?.moved_from(before)?,
        };
        if mark {
            raw_sql(AssertSqlSafe(schema::mark_moved()))
                .execute(source)
                .await?;
        }
        Ok(verified)
    })?;
    // The mark goes into the file itself, so that a copy of it has it too.
    old.run(async |connection: &mut AnyConnection| {
        raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(connection)
            .await?;
        Ok(())
    })?;
    drop((old, new));
    files::write_new(&home.join("books.url"), address.as_bytes(), Access::Private)?;
    finish(home)?;
    Ok(verified)
}

impl Books {
    /// Checks that these books are those with this head, and nothing has been added but that they were moved.
    fn moved_from(&self, before: Verified) -> Result<Verified, BooksError> {
        let verified = self.verify()?;
        let is_moved = |act: &Act| matches!(act, Act::BooksMoved { records, head } if (*records, *head) == (before.records, before.head));
        match self.page(before.records)?.as_slice() {
            [last] if is_moved(&last.act) => Ok(verified),
            _ => Err(BooksError::Different),
        }
    }
}

/// Gives the file of books that are on a server its other name, if that has not been done.
pub(super) fn finish(home: &Path) -> Result<(), BooksError> {
    let old = home.join("books.db");
    if read_address(home)?.is_none() || !old.exists() {
        return Ok(());
    }
    // The log goes with the file; it is there if another program has the books open still.
    for suffix in ["-wal", "-shm", ""] {
        let (old, new) = ["books.db", "books.db.moved"]
            .map(|name| home.join(format!("{name}{suffix}")))
            .into();
        match std::fs::rename(&old, &new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::at(&new)(error).into());
            }
            _ => {}
        }
    }
    Ok(files::sync_folder_of(&old)?)
}

/// Returns whether the books in this file have been moved.
pub(super) fn is_moved(database: &Database) -> Result<bool, BooksError> {
    if !database.is_file() {
        return Ok(false);
    }
    database.run(async |connection: &mut AnyConnection| {
        let row = query("SELECT count(*) FROM sqlite_master WHERE name = $1").bind(schema::MOVED);
        let count: i64 = row.fetch_one(connection).await?.try_get(0)?;
        Ok(count > 0)
    })
}

/// Copies everything into a database that has no tables, and verifies it there.
async fn copy(
    source: &mut AnyConnection,
    new: &Database,
    before: Verified,
    time: Timestamp,
) -> Result<Verified, BooksError> {
    // The connection to the server waits on a thread of its own, so each page is read before it is written.
    new.begin_empty()?;
    let copied = async {
        for table in schema::tables().filter(|table| table.name != "books") {
            let mut offset = 0;
            loop {
                let rows = read(source, table, offset).await?;
                if rows.is_empty() {
                    break;
                }
                new.run(async |target: &mut AnyConnection| write(target, table, &rows).await)?;
                offset = offset.saturating_add(PAGE);
            }
        }
        new.run(async |target: &mut AnyConnection| {
            if chain::verify(target, super::PAGE).await? != before {
                return Err(BooksError::Different);
            }
            let moved = Act::BooksMoved {
                records: before.records,
                head: before.head,
            };
            chain::append(target, time, &moved).await?;
            chain::verify(target, super::PAGE).await
        })
    };
    let copied = copied.await;
    new.finish(copied)
}

fn columns(table: &Table) -> String {
    let columns: Vec<_> = table.texts.iter().chain(table.numbers).copied().collect();
    columns.join(", ")
}

async fn read(source: &mut AnyConnection, table: &Table, offset: i64) -> Result<Vec<AnyRow>, BooksError> {
    let Table { name, order, .. } = table;
    let statement = format!(
        "SELECT {} FROM {name} ORDER BY {order} LIMIT $1 OFFSET $2",
        columns(table)
    );
    let rows = query(AssertSqlSafe(statement)).bind(PAGE).bind(offset);
    Ok(rows.fetch_all(source).await?)
}

async fn write(target: &mut AnyConnection, table: &Table, rows: &[AnyRow]) -> Result<(), BooksError> {
    let places: Vec<_> = (1..=table.texts.len().saturating_add(table.numbers.len()))
        .map(|number| format!("${number}"))
        .collect();
    let statement = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name,
        columns(table),
        places.join(", ")
    );
    for row in rows {
        let mut insert: Query<'_, Any, AnyArguments> = query(AssertSqlSafe(statement.clone()));
        for column in table.texts {
            insert = insert.bind(row.try_get::<Option<String>, _>(*column)?);
        }
        for column in table.numbers {
            insert = insert.bind(row.try_get::<Option<i64>, _>(*column)?);
        }
        insert.execute(&mut *target).await?;
    }
    Ok(())
}
