//! The database: one connection, and transactions that come one after the other.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use counterparty::files::{self, Access};
use sqlx::any::{AnyRow, install_default_drivers};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row, query, raw_sql};
use tokio::runtime::Runtime;

use crate::books::BooksError;
use crate::books::schema;

/// How long one operator waits for another one's transaction; each lasts milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which engine keeps the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// The database of one trust centre.
pub(super) struct Database {
    engine: Engine,
    /// Taken when the database is dropped.
    connection: Mutex<Option<AnyConnection>>,
    /// Taken when the database is dropped.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Database")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        if let Ok(connection) = self.connection.get_mut()
            && let Some(connection) = connection.take()
        {
            // Closed in order, SQLite puts its log into the database. What was confirmed is on the disk either way.
            let closed = on_a_thread(&runtime, async || Ok(connection.close().await?));
            if let Err(error) = closed {
                tracing::debug!(%error, "the database was not closed in order");
            }
        }
        // A runtime that is dropped waits for its threads, which is not allowed within another one.
        runtime.shutdown_background();
    }
}

impl Database {
    /// Makes the file of a database that is not there yet; nobody else may read it.
    pub(super) fn make_file(path: &Path) -> Result<(), BooksError> {
        Ok(files::write_new(path, b"", Access::Private)?)
    }

    /// Connects to the database of a file.
    pub(super) fn open_file(path: &Path) -> Result<Self, BooksError> {
        let path = std::path::absolute(path).map_err(files::FileError::at(path))?;
        let text = path.to_str().ok_or(BooksError::Address)?;
        // What would end the path in a URL is written in hexadecimal digits.
        let mut address = String::from("sqlite://");
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
                address.push(char::from(byte));
            } else {
                address.push_str(&format!("%{byte:02X}"));
            }
        }
        address.push_str("?mode=rw");
        let database = Self::connect(&address, Engine::Sqlite)?;
        let settings = format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON;",
            PATIENCE.as_millis()
        );
        database.run(async move |connection: &mut AnyConnection| {
            raw_sql(AssertSqlSafe(settings)).execute(connection).await?;
            Ok(())
        })?;
        Ok(database)
    }

    /// Connects to a PostgreSQL server.
    pub(super) fn open_server(address: &str) -> Result<Self, BooksError> {
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| address.starts_with(scheme))
        {
            return Err(BooksError::Address);
        }
        let database = Self::connect(address, Engine::Postgres)?;
        let settings = format!("SET lock_timeout = {}", PATIENCE.as_millis());
        database.run(async move |connection: &mut AnyConnection| {
            raw_sql(AssertSqlSafe(settings)).execute(connection).await?;
            Ok(())
        })?;
        Ok(database)
    }

    fn connect(address: &str, engine: Engine) -> Result<Self, BooksError> {
        install_default_drivers();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BooksError::Runtime)?;
        let connection = on_a_thread(&runtime, async || {
            tokio::time::timeout(PATIENCE, AnyConnection::connect(address))
                .await
                .map_err(|_| BooksError::Busy)?
                .map_err(BooksError::from)
        });
        match connection {
            Ok(connection) => Ok(Self {
                engine,
                connection: Mutex::new(Some(connection)),
                runtime: Some(runtime),
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Makes the tables, in a database that has none.
    pub(super) fn define(&self) -> Result<(), BooksError> {
        if self.version()?.is_some() {
            return Err(BooksError::Exists);
        }
        self.upgrade(0)
    }

    /// Brings the tables of an earlier version to today's, all of it or nothing; another program may have done so
    /// meanwhile.
    pub(super) fn upgrade(&self, found: i64) -> Result<(), BooksError> {
        let engine = self.engine;
        let script = match engine {
            Engine::Sqlite => schema::upgrade_sqlite(found),
            Engine::Postgres => schema::upgrade_postgres(found),
        };
        self.run(async move |connection: &mut AnyConnection| {
            begin(connection, engine, found > 0).await?;
            let made = match found {
                0 => make(connection, script, 0).await,
                found => match version(connection).await {
                    Ok(version) if version == found => make(connection, script, found).await,
                    other => other.map(|_| ()),
                },
            };
            finish(connection, made).await
        })
    }

    /// Begins a transaction in a database that has no tables, and makes them; [`Database::finish`] ends it.
    pub(super) fn begin_empty(&self) -> Result<(), BooksError> {
        let engine = self.engine;
        let script = match engine {
            Engine::Sqlite => schema::upgrade_sqlite(0),
            Engine::Postgres => schema::upgrade_postgres(0),
        };
        self.run(async move |connection: &mut AnyConnection| {
            begin(connection, engine, false).await?;
            match make(connection, script, 0).await {
                Ok(()) => Ok(()),
                made => finish(connection, made).await,
            }
        })
    }

    /// Ends a transaction that [`Database::begin_empty`] has begun: with all that was done, or with nothing.
    pub(super) fn finish<T: Send>(&self, done: Result<T, BooksError>) -> Result<T, BooksError> {
        self.run(async move |connection: &mut AnyConnection| finish(connection, done).await)
    }

    /// Returns whether the books are in a file.
    pub(super) fn is_file(&self) -> bool {
        self.engine == Engine::Sqlite
    }

    /// Returns the version of the tables, or `None` if there are none.
    pub(super) fn version(&self) -> Result<Option<i64>, BooksError> {
        let engine = self.engine;
        self.run(async |connection: &mut AnyConnection| {
            if !has(connection, engine, "books").await? {
                return Ok(None);
            }
            version(connection).await.map(Some)
        })
    }

    /// Does all of the work or none of it, while nobody else writes.
    pub(super) fn transact<T: Send>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, BooksError> + Send,
    ) -> Result<T, BooksError> {
        let engine = self.engine;
        self.run(async move |connection: &mut AnyConnection| {
            begin(connection, engine, true).await?;
            let done = work(connection).await;
            finish(connection, done).await
        })
    }

    /// Reads; what others write meanwhile may be seen or not.
    pub(super) fn run<T: Send>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, BooksError> + Send,
    ) -> Result<T, BooksError> {
        let runtime = self.runtime.as_ref().ok_or(BooksError::Broken)?;
        let mut connection = self.connection.lock().map_err(|_| BooksError::Broken)?;
        let connection = connection.as_mut().ok_or(BooksError::Broken)?;
        on_a_thread(runtime, async move || work(connection).await)
    }
}

async fn has(connection: &mut AnyConnection, engine: Engine, table: &str) -> Result<bool, BooksError> {
    let listed = match engine {
        Engine::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1",
        Engine::Postgres => {
            "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"
        }
    };
    let row = query(listed).bind(table.to_owned()).fetch_one(connection).await?;
    let there: i64 = row.try_get(0)?;
    Ok(there > 0)
}

/// Waits for the work on a thread of its own, since the caller may itself be in a runtime, where nobody may wait.
fn on_a_thread<T: Send>(
    runtime: &Runtime,
    work: impl AsyncFnOnce() -> Result<T, BooksError> + Send,
) -> Result<T, BooksError> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| runtime.block_on(work()));
        thread.join().unwrap_or(Err(BooksError::Broken))
    })
}

async fn begin(connection: &mut AnyConnection, engine: Engine, has_tables: bool) -> Result<(), BooksError> {
    let statement = match (engine, has_tables) {
        (Engine::Sqlite, _) => "BEGIN IMMEDIATE",
        // The lock lets others read on.
        (Engine::Postgres, true) => "BEGIN; LOCK TABLE records IN EXCLUSIVE MODE",
        (Engine::Postgres, false) => "BEGIN",
    };
    match raw_sql(statement).execute(&mut *connection).await {
        Ok(_) => Ok(()),
        Err(error) => finish(connection, Err(error.into())).await,
    }
}

async fn finish<T>(connection: &mut AnyConnection, done: Result<T, BooksError>) -> Result<T, BooksError> {
    let failed = match done {
        Ok(value) => match raw_sql("COMMIT").execute(&mut *connection).await {
            Ok(_) => return Ok(value),
            Err(error) => error.into(),
        },
        Err(error) => error,
    };
    // The database may have rolled back by itself, or be gone; the first error is the one that counts.
    if let Err(error) = raw_sql("ROLLBACK").execute(&mut *connection).await {
        tracing::debug!(%error, "nothing was there to roll back");
    }
    Err(failed)
}

/// Makes the tables of the versions behind the one that was found.
async fn make(connection: &mut AnyConnection, script: String, found: i64) -> Result<(), BooksError> {
    raw_sql(AssertSqlSafe(script)).execute(&mut *connection).await?;
    for version in found.saturating_add(1)..=schema::VERSION {
        query("INSERT INTO books (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn version(connection: &mut AnyConnection) -> Result<i64, BooksError> {
    let row = query("SELECT max(version) FROM books")
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}

/// Reads a column of text.
pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, BooksError> {
    Ok(row.try_get(column)?)
}

/// Reads a column that counts.
pub(super) fn number(row: &AnyRow, column: &str) -> Result<u64, BooksError> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|_| BooksError::Broken)
}
