//! The consumer's restrictions: one blob, in a row that is never missing.
//!
//! So what is lost or damaged is never taken for "no restrictions": it is told, and whoever hands out values hands out none
//! until the consumer has stated the restrictions anew.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::head::{Tally, tally_of};
use super::{Database, DatabaseError, Inner};

/// The greatest length of the restrictions in bytes: some hundred.
const MAX_CONTENT: usize = 64 << 10;

/// The reason why the restrictions cannot be read or set.
#[derive(Debug, thiserror::Error)]
pub enum RestrictionsError {
    /// They are longer than what can be kept.
    #[error("the restrictions have {found} bytes, more than can be kept; lift some")]
    TooLarge {
        /// Their length in bytes.
        found: usize,
    },
    /// What was set is lost or damaged; others may be set over it.
    #[error("the consumer's restrictions are lost or damaged; set them anew")]
    Damaged,
    /// The database failed.
    #[error("the consumer's restrictions cannot be read or written")]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for RestrictionsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Database {
    /// Returns the restrictions that were set last; nothing, if none ever were.
    ///
    /// # Errors
    ///
    /// [`RestrictionsError::Damaged`] if that cannot be told, or the failure of the database.
    pub fn restrictions(&self) -> Result<Vec<u8>, RestrictionsError> {
        let inner = self.lock();
        let mut statement = inner
            .connection
            .prepare_cached("SELECT version, content, seal FROM restriction")?;
        statement
            .query_row([], read)
            .optional()?
            .flatten()
            .ok_or(RestrictionsError::Damaged)
    }

    /// Sets the restrictions in place of the earlier ones; on return they are on the disk.
    ///
    /// # Errors
    ///
    /// [`RestrictionsError::TooLarge`], or the failure of the database; the earlier ones stay then.
    pub fn set_restrictions(&self, content: &[u8]) -> Result<(), RestrictionsError> {
        if content.len() > MAX_CONTENT {
            return Err(RestrictionsError::TooLarge { found: content.len() });
        }
        self.lock().set_restrictions(content)
    }
}

impl Inner {
    fn set_restrictions(&mut self, content: &[u8]) -> Result<(), RestrictionsError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: Option<i64> = transaction
            .query_row("SELECT version FROM restriction", [], |row| row.get(0))
            .optional()?;
        let mut head = self.head.next();
        head.bundle.remove_all(tally(&transaction)?);
        let version = version.unwrap_or_default().max(0).saturating_add(1);
        insert(&transaction, version, content)?;
        head.bundle.add_all(tally(&transaction)?);
        head.store(&transaction)?;
        transaction.commit()?;
        Ok(self.confirm(head)?)
    }
}

/// Makes the row in which nothing is restricted, at the first start.
pub(super) fn make(connection: &Connection) -> rusqlite::Result<()> {
    insert(connection, 0, &[])
}

fn insert(connection: &Connection, version: i64, content: &[u8]) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO restriction (slot, version, content, seal) VALUES (1, ?1, ?2, ?3)",
        params![version, content, seal(version, content)],
    )?;
    Ok(())
}

/// Reads columns `version, content, seal`; `None` if they are damaged.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    let columns = (row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?);
    let (ValueRef::Integer(version), ValueRef::Blob(content), ValueRef::Blob(found)) = columns else {
        return Ok(None);
    };
    Ok(is_sound(version, content, found).then(|| content.to_vec()))
}

/// Returns what the head says about the restrictions. The first row, in which there is nothing, is not accounted for.
pub(super) fn tally(connection: &Connection) -> rusqlite::Result<Tally> {
    tally_of(
        connection,
        b'c',
        "SELECT version, seal FROM restriction WHERE version > 0",
        [],
    )
}

/// Returns whether a seal is that of restrictions.
pub(super) fn is_sound(version: i64, content: &[u8], found: &[u8]) -> bool {
    found == seal(version, content)
}

/// Returns the SHA-256 digest of `C1`, version (8, big-endian) and content.
fn seal(version: i64, content: &[u8]) -> [u8; 32] {
    let mut seal = Sha256::new();
    seal.update(b"C1");
    seal.update(version.to_be_bytes());
    seal.update(content);
    seal.finalize().into()
}
