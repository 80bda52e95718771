//! The store: everything that the gateway persists, and nothing else does.
//!
//! What a call has confirmed survives a power cut. Two engines share the work. The [`Bindings`] are
//! rows that can be burned once, in sled with fsync, read-back and sealed copies around it. The
//! [`Database`] is one SQLite file with readings and gaps, what applications make of them, the outbox, the ids of requests already seen, the installed
//! bundle and the consumer's restrictions. This crate knows only the model's words; whatever else it keeps is opaque bytes
//! to it.
//!
//! Every call blocks and belongs on a blocking thread. One process at a time owns a folder.
//!
//! | path in the folder | what it is |
//! |---|---|
//! | `gateway.db`, `gateway.db-wal` | the database |
//! | `gateway.db.damaged`, `gateway.db.damaged-wal` | the latest database that was damaged so that it was salvaged |
//! | `gateway.db.new` | what takes its place, while it is made |
//! | `gateway.db.suspect` | empty: the next start looks at the whole database |
//! | `gateway.head` | which commit of the database was the last one |
//! | `device.key` | what the bindings are sealed with, unless a better place for it is configured |
//! | `milestone-a`, `milestone-b` | how far the store has come, as the card is told |
//! | `bindings/` | the burned rows: sled, two sealed copies and space kept aside |
//! | `applications/` | the energy applications that bundles name, each under its digest |
//! | `web-accounts`, `web-certificate`, `web-prices`, `web-installation` | passwords and tokens of the local web, its key and certificate, the prices that consumers have entered, and how far the installation is |
//! | `meters.d/` | the meters that were installed through the local web, each in a file of configuration |
//! | `pseudonym.key` | the secret that pseudonyms are made with |
//! | `sent/` | what suppliers were given, word for word, each message under its digest |
//! | `schedules` | how far what the gateway sends by itself has been sent |
//! | `logs/` | the three logs, opened apart as [`Logs`] |
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod access;
mod applications;
mod bindings;
#[cfg(test)]
mod crash;
mod database;
mod files;
mod installed;
mod logs;
mod milestone;
mod pseudonyms;
mod schedules;
mod sent;

use std::path::Path;

use model::LogKind;

use database::Opening;
use milestone::Milestones;
use pseudonyms::Pseudonyms;
use zeroize::Zeroizing;

pub use access::{Access, AccessError, AccessRecord};
pub use applications::{ApplicationError, Applications};
pub use bindings::{
    Bindings, BindingsError, BurnError, Burned, Counter, DeviceKey, DeviceKeyError, EngineError, Health,
    Intent, OtpError, OtpPlace, PartReport, Protection, Repair, Report, RowFault, RowReport, Strength,
    Tamper, Tampering, Termination,
};
pub use database::{
    Arrears, Asked, AskedError, BundleError, ChangedTimes, Checked, Damaged, Database, DatabaseError,
    Derived, Evaluation, Forgotten, Holdings, InstalledBundle, LEAD, Latest, Loss, Lost, Made, NewEvaluation,
    OutboxError, OutboxMessage, Page, Pending, Receipt, RegisterError, Registered, Remembered, RequestError,
    RestrictionsError, Round, RowKind, Sealed, Stored,
};
pub use files::FileError;
pub use installed::{Installed, InstalledError};
pub use logs::{
    AnchorError, HeadAnchor, HeadRefusal, HeadSignature, HeadVerifier, Heads, HeadsFault, HeadsSummary,
    LogEntry, LogError, LogFault, LogLimits, LogPage, LogRepair, LogSpan, LogVerdict, Logs, Moment,
    SignedHeads, Verification,
};
pub use milestone::{DatabasePosition, Milestone};
pub use pseudonyms::PseudonymError;
pub use schedules::{ScheduleKey, Schedules};
pub use sent::{Sent, SentError, SentLimits};

/// The whole store of one gateway.
#[derive(Debug)]
pub struct Store {
    access: Access,
    applications: Applications,
    bindings: Result<Bindings, BindingsError>,
    database: Database,
    installed: Installed,
    milestones: Result<Milestones, FileError>,
    pseudonyms: Pseudonyms,
    schedules: Schedules,
    sent: Sent,
}

impl Store {
    /// Opens the store in a folder, and makes folder and store at the first start.
    ///
    /// Bindings that cannot be opened don't keep the database shut: the gateway measures on and
    /// serves nothing, and [`Store::bindings`] says why. The same holds if there is no device key to
    /// protect them with.
    ///
    /// A database without a past beside a binding that is burned is a loss, which
    /// [`Database::losses`] reports.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the folder cannot be made or the database cannot be opened.
    pub fn open(folder: &Path, protection: Result<Protection, DeviceKeyError>) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        files::make_private(folder)?;
        // The database's lock keeps other processes from the bindings too, so it is taken first.
        let database = Opening::begin(&folder.join("gateway.db"))?;
        let bindings = match protection {
            Ok(protection) => Bindings::open(&folder.join("bindings"), protection),
            Err(error) => Err(error.into()),
        };
        let binding = bindings.as_ref().ok().map(Bindings::binding);
        let is_provisioned = matches!(binding, Some(Ok(Some(_))));
        let database = database.finish(is_provisioned)?;
        Ok(Self {
            access: Access::open(folder),
            applications: Applications::open(folder),
            bindings,
            database,
            installed: Installed::open(folder),
            milestones: Milestones::open(folder),
            pseudonyms: Pseudonyms::open(folder),
            schedules: Schedules::open(folder),
            sent: Sent::open(folder),
        })
    }

    /// Returns the bindings.
    ///
    /// # Errors
    ///
    /// The [`BindingsError`] that kept them from being opened; it stays until the store is opened again.
    pub const fn bindings(&self) -> Result<&Bindings, &BindingsError> {
        self.bindings.as_ref()
    }

    /// Returns what decides who may use the local web.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the configuration of the meters that were installed through the local web.
    #[must_use]
    pub const fn installed(&self) -> &Installed {
        &self.installed
    }

    /// Returns the energy applications.
    #[must_use]
    pub const fn applications(&self) -> &Applications {
        &self.applications
    }

    /// Returns the pseudonym of what a label names: HMAC-SHA-256 under a secret of this gateway. At the first one the secret
    /// is made of `random`, and is on the disk before anything is made with it.
    ///
    /// # Errors
    ///
    /// [`PseudonymError`] if the secret is damaged or out of reach, or there is no device key.
    pub fn pseudonym(&self, label: &[u8], random: &Zeroizing<[u8; 32]>) -> Result<[u8; 32], PseudonymError> {
        let bindings = self.bindings().map_err(|_| PseudonymError::NoDeviceKey)?;
        self.pseudonyms.tag(bindings, label, random)
    }

    /// Returns how far the schedules have been kept.
    #[must_use]
    pub const fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// Returns what has left the gateway, as far as it is kept.
    #[must_use]
    pub const fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Returns the database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the last milestone that was reached, or `None` before the first, or if both copies are damaged.
    ///
    /// # Errors
    ///
    /// The [`FileError`] that kept the copies from being read; it stays until the store is opened again.
    pub fn milestone(&self) -> Result<Option<Milestone>, &FileError> {
        Ok(self.milestones.as_ref()?.last())
    }

    /// Builds the milestone behind the last one: the store and the logs as they are now. It is not written yet.
    ///
    /// # Errors
    ///
    /// As for [`Store::milestone`].
    pub fn next_milestone(&self, logs: &Logs) -> Result<Milestone, &FileError> {
        let last = self.milestone()?;
        Ok(Milestone {
            counter: last.map_or(0, |last| last.counter).saturating_add(1),
            before: last.map_or(Milestone::NOTHING_BEFORE, |last| last.digest()),
            database: self.database.position(),
            system: logs.head(LogKind::System),
            consumer: logs.head(LogKind::Consumer),
            calibration: logs.head(LogKind::Calibration),
        })
    }

    /// Writes a milestone down; on return it is on the disk, and the card may be told.
    ///
    /// # Errors
    ///
    /// [`ReachError`] if it is not; the card must not be told then.
    pub fn reach(&self, milestone: &Milestone) -> Result<(), ReachError> {
        self.milestones
            .as_ref()
            .map_err(|_| ReachError::Closed)?
            .reach(milestone)
            .map_err(ReachError::File)
    }
}

/// The reason why a milestone was not written down.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The copies could not be read when the store was opened, as [`Store::milestone`] says.
    #[error("the milestones were out of reach when the store was opened")]
    Closed,
    /// A copy cannot be written.
    #[error("the milestone cannot be written")]
    File(#[source] FileError),
}

/// The reason why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store's folder cannot be made.
    #[error("the store's folder is out of reach")]
    Folder(#[from] FileError),
    /// The database cannot be opened.
    #[error("the store's database cannot be opened")]
    Database(#[from] DatabaseError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Result<Store, StoreError> {
        let protection = Protection {
            key: DeviceKey::new([0x5a; 32]),
            otp: None,
        };
        Store::open(folder, Ok(protection))
    }

    #[test]
    fn store_is_made_at_the_first_start_and_found_at_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("var/smgw");
        for _ in 0..2 {
            let store = open(&folder).unwrap();
            assert_eq!(store.bindings().unwrap().binding().unwrap(), None);
            assert_eq!(store.database().elements(), []);
        }
    }

    #[test]
    fn store_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let _owner = open(folder.path()).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(
            matches!(error, StoreError::Database(DatabaseError::Locked)),
            "{error:?}"
        );
    }

    #[test]
    fn unreadable_bindings_leave_the_readings_open() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()).unwrap());
        for copy in ["copy-a", "copy-b"] {
            std::fs::write(folder.path().join("bindings").join(copy), "?").unwrap();
        }
        std::fs::remove_dir_all(folder.path().join("bindings/sled")).unwrap();
        let store = open(folder.path()).unwrap();
        assert!(matches!(store.bindings(), Err(BindingsError::Tampered(_))));
        drop(store);
        let missing = DeviceKey::read(&folder.path().join("key"));
        let protection = missing.map(|key| Protection { key, otp: None });
        let store = Store::open(folder.path(), protection).unwrap();
        assert!(matches!(store.bindings(), Err(BindingsError::DeviceKey(_))));
        assert_eq!(store.database().elements(), []);
    }

    #[test]
    fn database_that_is_missing_beside_a_burned_binding_is_a_loss() {
        use model::{Binding, Fingerprint, GatewayId};
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        let binding = Binding {
            card: "fd5a::1".parse().unwrap(),
            card_key: Fingerprint::new([7; 32]),
            gateway: GatewayId::new([9; 16]),
            time: "2026-11-23T12:00:00Z".parse().unwrap(),
        };
        let pairing = Zeroizing::new(vec![0xab; 16]);
        let bindings = store.bindings().unwrap();
        bindings
            .begin(&Intent {
                binding: binding.clone(),
                pairing,
            })
            .unwrap();
        bindings.burn(&binding).unwrap();
        drop(store);
        assert_eq!(open(folder.path()).unwrap().database().losses(), []);
        std::fs::remove_file(folder.path().join("gateway.db")).unwrap();
        std::fs::remove_file(folder.path().join("gateway.head")).unwrap();
        // A power cut before the loss is stored changes nothing.
        drop(Opening::begin(&folder.path().join("gateway.db")).unwrap());
        let store = open(folder.path()).unwrap();
        let [loss] = store.database().new_losses().try_into().unwrap();
        assert_eq!(loss.lost, Lost::Database);
    }

    #[test]
    fn folder_that_others_may_enter_is_closed_to_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        drop(open(folder.path()).unwrap());
        let mode = std::fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn folder_that_is_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = open(&file.join("store")).unwrap_err();
        assert!(matches!(error, StoreError::Folder(_)), "{error:?}");
    }
}
