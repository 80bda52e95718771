//! The bundle that the TSM has installed: one blob with a version that only grows.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::head::{Tally, tally_of};
use super::{Database, DatabaseError, Inner};

/// The bundle that is installed; its content is opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledBundle {
    /// Its version.
    pub version: u64,
    /// The digest that it was installed with.
    pub digest: [u8; 32],
    /// Its content.
    pub content: Vec<u8>,
}

impl InstalledBundle {
    /// The greatest length of a bundle's content in bytes: some dozens of apps and thousands of grants.
    pub const MAX_CONTENT: usize = 8 << 20;
}

/// The reason why a bundle cannot be installed or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Its version does not grow.
    #[error("the bundle has version {offered}, but version {installed} is installed")]
    StaleBundle {
        /// The version that is installed.
        installed: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// Its content is longer than [`InstalledBundle::MAX_CONTENT`].
    #[error("the bundle has {found} bytes, more than can be installed")]
    TooLarge {
        /// The length of its content in bytes.
        found: usize,
    },
    /// The bundle that is installed is damaged; a later one may be installed over it.
    #[error("the installed bundle is damaged")]
    Damaged,
    /// The database failed.
    #[error("the bundle cannot be read or written")]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for BundleError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Database {
    /// Installs a bundle in place of the earlier one; on return it is on the disk.
    ///
    /// # Errors
    ///
    /// [`BundleError::StaleBundle`] unless the version is greater than the installed one,
    /// [`BundleError::TooLarge`], or the failure of the database; the earlier bundle stays in each case.
    pub fn install_bundle(&self, version: u64, digest: [u8; 32], content: &[u8]) -> Result<(), BundleError> {
        if content.len() > InstalledBundle::MAX_CONTENT {
            return Err(BundleError::TooLarge { found: content.len() });
        }
        self.lock().install_bundle(version, digest, content)
    }

    /// Returns the bundle that is installed, or `None` before the first one.
    ///
    /// # Errors
    ///
    /// [`BundleError::Damaged`] if it is not what was installed, or the failure of the database.
    pub fn bundle(&self) -> Result<Option<InstalledBundle>, BundleError> {
        self.lock().bundle()
    }
}

impl Inner {
    fn install_bundle(&mut self, version: u64, digest: [u8; 32], content: &[u8]) -> Result<(), BundleError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let installed: Option<i64> = transaction
            .query_row("SELECT version FROM bundle", [], |row| row.get(0))
            .optional()?;
        if let Some(installed) = installed.map(i64::cast_unsigned)
            && installed >= version
        {
            return Err(BundleError::StaleBundle {
                installed,
                offered: version,
            });
        }
        let mut head = self.head.next();
        head.bundle.remove_all(tally(&transaction)?);
        transaction.execute(
            "INSERT OR REPLACE INTO bundle (slot, version, digest, content, seal) VALUES (1, ?1, ?2, ?3, ?4)",
            params![
                version.cast_signed(),
                digest,
                content,
                seal(version, &digest, content)
            ],
        )?;
        head.bundle.add_all(tally(&transaction)?);
        head.store(&transaction)?;
        transaction.commit()?;
        Ok(self.confirm(head)?)
    }

    fn bundle(&self) -> Result<Option<InstalledBundle>, BundleError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT version, digest, content, seal FROM bundle")?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let version = row.get::<_, i64>(0)?.cast_unsigned();
        let blob = |column| row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from);
        let (digest, content) = (blob(1)?, blob(2)?);
        let digest: [u8; 32] = digest.try_into().map_err(|_| BundleError::Damaged)?;
        if blob(3)? != seal(version, &digest, content) {
            return Err(BundleError::Damaged);
        }
        let content = content.to_vec();
        Ok(Some(InstalledBundle {
            version,
            digest,
            content,
        }))
    }
}

/// Returns what the head says about the bundle that is there.
pub(super) fn tally(connection: &Connection) -> rusqlite::Result<Tally> {
    tally_of(connection, b'u', "SELECT version, digest, seal FROM bundle", [])
}

/// Returns whether a seal is that of a bundle.
pub(super) fn is_sound(version: i64, digest: &[u8], content: &[u8], found: &[u8]) -> bool {
    let digest = digest.try_into();
    digest.is_ok_and(|digest| found == seal(version.cast_unsigned(), digest, content))
}

/// Returns the SHA-256 digest of `B1`, version (8, big-endian), digest (32) and content.
fn seal(version: u64, digest: &[u8; 32], content: &[u8]) -> [u8; 32] {
    let mut seal = Sha256::new();
    seal.update(b"B1");
    seal.update(version.to_be_bytes());
    seal.update(digest);
    seal.update(content);
    seal.finalize().into()
}
