//! The bundles of one gateway, as the TSM keeps them: `NNNNNNNN-bundle.json` for each version, and
//! `installed.json` for the one that the gateway has reported to be in force.
//!
//! A bundle is on the disk, byte for byte as its digest wants it, before anything of it is sent.
//! After a cut the same bytes are sent again while they are fresh; behind that the next version is
//! made, so that a version never stands for two bundles.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use counterparty::files::{self, Access, FileError};
use counterparty::gateways::folder_name;
use counterparty::random::{self, RandomError};
use messages::certificate::Triple;
use messages::certificate::{Certificate, Role, TrustAnchor, VerifiedParty};
use messages::content::{
    Bundle, Content, ContentError, MessageId, SupplierEntry, bundle_digest, check_freshness,
};
use messages::envelope::MAX_CONTENT;
use model::{CardId, Fingerprint, GatewayState, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::books::{Act, Books, BooksError};
use crate::grants::{GrantsError, GrantsFile};

/// How long a bundle that was not confirmed is sent again as it is. Gateways take messages for
/// 300 s; the difference is for the exchange.
const SENT_AGAIN_SECONDS: u32 = 180;
/// The greatest size of `installed.json` in bytes.
const MAX_INSTALLED: usize = 4_096;

/// The reason why there is no bundle to install.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundlesError {
    /// Somebody else installs on this gateway at this moment.
    #[error("another installation on the gateway {guid} is going on; wait for its end")]
    Busy {
        /// The GUID of the gateway's card.
        guid: CardId,
    },
    /// A file is missing or cannot be reached.
    #[error("the bundles of the gateway cannot be kept; free the disk or restore the backup")]
    File(#[from] FileError),
    /// A stored file holds something else.
    #[error("{} is damaged; restore it from its backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The grants make no bundle.
    #[error("the grants cannot be used")]
    Grants(#[from] GrantsError),
    /// The content exceeds a limit.
    #[error("the bundle cannot be written; give fewer grants")]
    Content(#[from] ContentError),
    /// The file about the installation cannot be written.
    #[error("the installation cannot be written down")]
    Installed(#[source] serde_json::Error),
    /// No random bytes could be drawn.
    #[error("no message id can be drawn")]
    Random(#[from] RandomError),
    /// The versions have run out.
    #[error("the gateway {guid} has had the greatest version of a bundle; replace its card")]
    Versions {
        /// The GUID of the gateway's card.
        guid: CardId,
    },
    /// The books cannot be kept.
    #[error("the books cannot be kept")]
    Books(#[from] BooksError),
}

/// What is to be installed: one supplier and its grants, beside those that the gateway has.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The supplier.
    pub(crate) supplier: &'a VerifiedParty,
    /// What it is to have.
    pub(crate) grants: &'a GrantsFile,
    /// The root, by which the certificates of the other suppliers are judged.
    pub(crate) anchor: &'a TrustAnchor,
    /// The certificate to which the gateway encrypts its report.
    pub(crate) reply_to: &'a Certificate,
}

/// A bundle that is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredBundle {
    /// What it says.
    pub(crate) bundle: Bundle,
    /// The very bytes that the digest is made of.
    pub(crate) json: Vec<u8>,
    /// The digest that stands on the card.
    pub(crate) digest: Fingerprint,
}

/// What is known about the bundle in force.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InForce {
    version: u64,
    digest: Fingerprint,
    time: Timestamp,
    state: GatewayState,
}

/// The bundles of one gateway, held by this process alone.
#[derive(Debug)]
pub(crate) struct Bundles {
    guid: CardId,
    folder: PathBuf,
    /// Held until this is dropped.
    _lock: File,
}

impl Bundles {
    /// Opens the bundles of a gateway.
    pub(crate) fn open(home: &Path, guid: CardId) -> Result<Self, BundlesError> {
        let folder = home.join("gateways").join(folder_name(guid));
        files::make_folder(&folder)?;
        let path = folder.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(FileError::at(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                guid,
                folder,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(BundlesError::Busy { guid }),
            Err(TryLockError::Error(source)) => Err(FileError::at(&path)(source).into()),
        }
    }

    /// Returns the bundle that is to be sent for what is wanted; it is on the disk.
    pub(crate) fn prepare(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<StoredBundle, BundlesError> {
        let in_force = self.in_force()?;
        let latest = self.latest_version()?;
        if let Some(version) = latest
            && in_force
                .as_ref()
                .is_none_or(|known| known.bundle.bundle_version < version)
        {
            let pending = self.read(version)?;
            let again = self.compose(wanted, in_force.as_ref(), &Frame::of(&pending.bundle))?;
            if again == pending.bundle && is_fresh(pending.bundle.time, now) {
                return Ok(pending);
            }
        }
        let version = latest.unwrap_or(0).checked_add(1);
        let frame = Frame {
            id: MessageId::new(*random::bytes()?),
            version: version.ok_or(BundlesError::Versions { guid: self.guid })?,
            time: now,
        };
        self.store(self.compose(wanted, in_force.as_ref(), &frame)?)
    }

    /// Writes down that the gateway has reported the bundle to be in force.
    pub(crate) fn installed(
        &self,
        stored: &StoredBundle,
        state: GatewayState,
        books: &Books,
        now: Timestamp,
    ) -> Result<(), BundlesError> {
        let version = stored.bundle.bundle_version;
        let in_force = InForce {
            version,
            digest: stored.digest,
            time: now,
            state,
        };
        let json = serde_json::to_vec(&in_force).map_err(BundlesError::Installed)?;
        files::replace(&self.folder.join("installed.json"), &json, Access::Private)?;
        let guid = self.guid;
        Ok(books.record(now, &Act::Installed { guid, version, state })?)
    }

    /// Puts the bundle together: the other suppliers of the bundle in force with their grants, and
    /// the wanted one.
    fn compose(
        &self,
        wanted: &Wanted<'_>,
        in_force: Option<&StoredBundle>,
        frame: &Frame,
    ) -> Result<Bundle, BundlesError> {
        let own = wanted.supplier.sig.certificate().fingerprint();
        let (mut suppliers, mut grants) = (Vec::new(), Vec::new());
        if let Some(StoredBundle { bundle, .. }) = in_force {
            for entry in &bundle.suppliers {
                let fingerprint = entry.certificates.sig.fingerprint();
                let judged = wanted
                    .anchor
                    .verify_party(&entry.certificates, frame.time, Role::Supplier);
                match judged {
                    Ok(_) if fingerprint == own => {}
                    Ok(_) => {
                        suppliers.push(entry.clone());
                        let theirs = bundle.grants.iter().filter(|grant| grant.supplier == fingerprint);
                        grants.extend(theirs.cloned());
                    }
                    Err(error) => {
                        tracing::warn!(%fingerprint, %error, "leaving out a supplier that no longer holds");
                    }
                }
            }
        }
        suppliers.push(entry_of(wanted.supplier));
        grants.extend(wanted.grants.grants(own, frame.time)?);
        Ok(Bundle {
            id: frame.id,
            recipient: self.guid,
            bundle_version: frame.version,
            time: frame.time,
            reply_to: wanted.reply_to.clone(),
            suppliers,
            grants,
            applications: Vec::new(),
        })
    }

    fn store(&self, bundle: Bundle) -> Result<StoredBundle, BundlesError> {
        let path = self.path(bundle.bundle_version);
        let content = Content::Bundle(bundle);
        let json = content.to_json()?;
        files::write_new(&path, &json, Access::Private)?;
        stored(&path, json)
    }

    fn in_force(&self) -> Result<Option<StoredBundle>, BundlesError> {
        let path = self.folder.join("installed.json");
        let json = match files::read(&path, MAX_INSTALLED) {
            Ok(json) => json,
            Err(FileError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let in_force: InForce = serde_json::from_slice(&json).map_err(damaged(&path))?;
        self.read(in_force.version).map(Some)
    }

    fn read(&self, version: u64) -> Result<StoredBundle, BundlesError> {
        let path = self.path(version);
        let json = files::read(&path, MAX_CONTENT)?;
        stored(&path, json)
    }

    fn latest_version(&self) -> Result<Option<u64>, BundlesError> {
        let at_folder = || FileError::at(&self.folder);
        let mut latest = None;
        for entry in std::fs::read_dir(&self.folder).map_err(at_folder())? {
            let name = entry.map_err(at_folder())?.file_name();
            let version = name.to_str().and_then(|name| name.strip_suffix("-bundle.json"));
            latest = latest.max(version.and_then(|version| version.parse().ok()));
        }
        Ok(latest)
    }

    fn path(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{version:08}-bundle.json"))
    }
}

/// What two bundles with the same sense differ in.
struct Frame {
    id: MessageId,
    version: u64,
    time: Timestamp,
}

impl Frame {
    const fn of(bundle: &Bundle) -> Self {
        Self {
            id: bundle.id,
            version: bundle.bundle_version,
            time: bundle.time,
        }
    }
}

/// Reads a stored bundle back from its bytes.
fn stored(path: &Path, json: Vec<u8>) -> Result<StoredBundle, BundlesError> {
    match Content::parse(&json).map_err(damaged(path))? {
        Content::Bundle(bundle) => Ok(StoredBundle {
            bundle,
            digest: bundle_digest(&json),
            json,
        }),
        _ => Err(damaged(path)("the content is no bundle")),
    }
}

fn entry_of(supplier: &VerifiedParty) -> SupplierEntry {
    SupplierEntry {
        name: supplier.name.clone(),
        certificates: Triple {
            sig: supplier.sig.certificate().clone(),
            enc: supplier.enc.certificate().clone(),
            tls: supplier.tls.certificate().clone(),
        },
    }
}

fn is_fresh(time: Timestamp, now: Timestamp) -> bool {
    Span::from_seconds(SENT_AGAIN_SECONDS).is_some_and(|window| check_freshness(time, now, window).is_ok())
}

fn damaged<E: Into<Box<dyn std::error::Error + Send + Sync>>>(path: &Path) -> impl Fn(E) -> BundlesError {
    move |source| BundlesError::Damaged {
        path: path.to_owned(),
        source: source.into(),
    }
}
