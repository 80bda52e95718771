//! The database: one connection, and transactions that come one after the other.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use counterparty::files::{self, Access, FileError};
use sqlx::any::{AnyRow, install_default_drivers};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row, query, raw_sql};
use tokio::sync::{Mutex, MutexGuard};
use url::Url;

use crate::store::error::StoreError;
use crate::store::schema;

/// How long one program waits for another one's transaction, and for a server to let it in; a transaction lasts
/// milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// In a file (SQLite), which is made if it is not there.
    File(PathBuf),
    /// On a PostgreSQL server, `postgres://USER:PASSWORD@HOST/DATABASE`.
    Server(String),
}

impl FromStr for StorePlace {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return Ok(Self::Server(text.to_owned()));
        }
        if text.is_empty() || text.contains("://") {
            return Err(StoreError::Address);
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

impl fmt::Debug for StorePlace {
    /// Leaves the address of a server out: a password may stand in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
            Self::Server(_) => formatter.debug_tuple("Server").finish_non_exhaustive(),
        }
    }
}

/// Which engine keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// The database of one store; clones share its connection.
#[derive(Clone)]
pub(super) struct Database {
    engine: Engine,
    address: Arc<str>,
    connection: Arc<Mutex<Option<AnyConnection>>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Database")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// The connection, for as long as one piece of work needs it.
///
/// It is given back by [`Turn::end`] only: work that was given up halfway leaves a transaction open, and takes the
/// connection with it.
pub(super) struct Turn<'a> {
    place: MutexGuard<'a, Option<AnyConnection>>,
    connection: AnyConnection,
    /// The engine.
    pub(super) engine: Engine,
}

impl Database {
    /// Opens the database and brings its tables to today's version.
    pub(super) async fn open(place: &StorePlace) -> Result<Self, StoreError> {
        install_default_drivers();
        let (engine, address) = match place {
            StorePlace::File(path) => {
                match files::write_new(path, b"", Access::Private) {
                    Ok(()) | Err(FileError::Exists { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                (Engine::Sqlite, file_address(path)?)
            }
            StorePlace::Server(address) => (Engine::Postgres, address.clone()),
        };
        let database = Self {
            engine,
            address: address.into(),
            connection: Arc::default(),
        };
        database.bring_up_to_date().await?;
        Ok(database)
    }

    async fn bring_up_to_date(&self) -> Result<(), StoreError> {
        let mut turn = self.begin().await?;
        let done = turn.bring_up_to_date().await;
        turn.end(done).await
    }

    /// Begins to read; what others write meanwhile may be seen or not.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let mut place = self.connection.lock().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Turn {
            place,
            connection,
            engine: self.engine,
        })
    }

    /// Begins a transaction: all of it will be done, or nothing.
    pub(super) async fn begin(&self) -> Result<Turn<'_>, StoreError> {
        let mut turn = self.turn().await?;
        let statement = match self.engine {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN",
        };
        match raw_sql(statement).execute(&mut turn.connection).await {
            Ok(_) => Ok(turn),
            Err(error) => {
                let error = StoreError::from(error);
                // A server that has restarted is found so: the next turn has a new connection.
                if !error.is_lost() {
                    turn.give_back();
                }
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<AnyConnection, StoreError> {
        let connecting = AnyConnection::connect(&self.address);
        let mut connection = tokio::time::timeout(PATIENCE, connecting)
            .await
            .map_err(|_| StoreError::Silent)??;
        let patience = PATIENCE.as_millis();
        let settings = match self.engine {
            Engine::Sqlite => format!(
                "PRAGMA busy_timeout = {patience}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA foreign_keys = ON;"
            ),
            Engine::Postgres => format!("SET lock_timeout = {patience}"),
        };
        raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Closes the connection in order; SQLite puts its log into the file then.
    pub(super) async fn close(&self) {
        let connection = self.connection.lock().await.take();
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            // What was confirmed is on the disk either way.
            tracing::debug!(%error, "the store was not closed in order");
        }
    }
}

impl Turn<'_> {
    /// Returns the connection.
    pub(super) const fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    /// Ends what [`Database::turn`] has begun.
    pub(super) fn read<T>(self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if !done.as_ref().is_err_and(StoreError::is_lost) {
            self.give_back();
        }
        done
    }

    /// Ends what [`Database::begin`] has begun: with all that was done, or with nothing.
    pub(super) async fn end<T>(mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let failed = match done {
            Ok(value) => match raw_sql("COMMIT").execute(&mut self.connection).await {
                Ok(_) => {
                    self.give_back();
                    return Ok(value);
                }
                Err(error) => error.into(),
            },
            Err(error) => error,
        };
        // The database may have rolled back by itself, or be gone; the first error is the one that counts.
        match raw_sql("ROLLBACK").execute(&mut self.connection).await {
            Ok(_) => self.give_back(),
            Err(error) => tracing::debug!(%error, "nothing was there to roll back"),
        }
        Err(failed)
    }

    fn give_back(self) {
        let Self {
            mut place,
            connection,
            ..
        } = self;
        *place = Some(connection);
    }

    async fn bring_up_to_date(&mut self) -> Result<(), StoreError> {
        let found = self.version().await?;
        if found > schema::VERSION {
            return Err(StoreError::Version { found });
        }
        if found == schema::VERSION {
            return Ok(());
        }
        let script = schema::upgrade(found, self.engine);
        raw_sql(AssertSqlSafe(script))
            .execute(&mut self.connection)
            .await?;
        for version in found.saturating_add(1)..=schema::VERSION {
            query("INSERT INTO store (version) VALUES ($1)")
                .bind(version)
                .execute(&mut self.connection)
                .await?;
        }
        Ok(())
    }

    /// Returns the version of the tables, 0 if there are none. While one program makes them, others wait here.
    async fn version(&mut self) -> Result<i64, StoreError> {
        let listed = match self.engine {
            Engine::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'store'",
            Engine::Postgres => {
                // "supplier" in ASCII: whoever else makes tables here has another number.
                raw_sql("SELECT pg_advisory_xact_lock(8319399168498066802)")
                    .execute(&mut self.connection)
                    .await?;
                "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'store'"
            }
        };
        let row = query(listed).fetch_one(&mut self.connection).await?;
        if number(&row, 0)? == 0 {
            return Ok(0);
        }
        let row = query("SELECT coalesce(max(version), 0) FROM store")
            .fetch_one(&mut self.connection)
            .await?;
        number(&row, 0)
    }
}

/// Writes the path of a file as the address of its database.
fn file_address(path: &Path) -> Result<String, StoreError> {
    let path = std::path::absolute(path).map_err(FileError::at(path))?;
    let url = Url::from_file_path(&path).map_err(|()| StoreError::Address)?;
    Ok(format!("sqlite://{}?mode=rw", url.path()))
}

/// Reads a column of whole numbers.
pub(super) fn number(row: &AnyRow, column: usize) -> Result<i64, StoreError> {
    Ok(row.try_get(column)?)
}

/// Reads a column of text as what it should be.
pub(super) fn word<T: FromStr>(row: &AnyRow, column: usize, what: &'static str) -> Result<T, StoreError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| StoreError::Damaged { what })
}
