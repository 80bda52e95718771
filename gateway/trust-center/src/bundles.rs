//! The bundles of one gateway, as the TSM keeps them: `NNNNNNNN-bundle.json` for each version, and
//! `installed.json` for the one that the gateway has reported to be in force.
//!
//! A bundle is on the disk, byte for byte as its digest wants it, before anything of it is sent.
//! After a cut the same bytes are sent again while they are fresh; behind that the next version is
//! made, so that a version never stands for two bundles.

mod all;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use counterparty::files::{self, Access, FileError};
use counterparty::gateways::folder_name;
use counterparty::grants::{GrantsError, GrantsFile};
use counterparty::random::{self, RandomError};
use messages::certificate::Triple;
use messages::certificate::{Certificate, CertificateError, Revocation, Role, TrustAnchor, VerifiedParty};
use messages::content::{
    ApplicationEntry, Assignment, Bundle, Content, ContentError, MessageId, Report, RevokedCertificate,
    SupplierEntry, bundle_digest, check_freshness,
};
use messages::envelope::MAX_CONTENT;
use model::{CardId, Fingerprint, GatewayState, Grant, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::applications::{Applications, ApplicationsError};
use crate::books::{Books, BooksError};
use crate::tsm::narrow::{self, Contradiction};
use crate::tsm::policy::Policy;

pub(crate) use all::{adopt_all, gateways_with};

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
    /// The grants contradict themselves, or the policy.
    #[error("the grants contradict themselves, each other or the policy")]
    Contradiction(#[from] Contradiction),
    /// The gateway has a bundle that is not known here.
    #[error(
        "the gateway {guid} has bundle {found}, which is not known here; restore the trust centre's folder from its backup"
    )]
    UnknownBundle {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The version that the gateway has.
        found: u64,
    },
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
    /// An application cannot be read.
    #[error("the author of an application cannot be told")]
    Applications(#[from] ApplicationsError),
    /// The certificate of an author cannot be judged.
    #[error("the certificate of an application's author cannot be judged")]
    Author(#[from] CertificateError),
}

/// What is to be installed beside what the gateway has.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// A supplier with what it is to have from then on; without one, suppliers that no longer hold are left out, and nothing
    /// else changes.
    pub(crate) change: Option<Change<'a>>,
    /// The root, by which the certificates of the other suppliers are judged.
    pub(crate) anchor: &'a TrustAnchor,
    /// The certificate to which the gateway encrypts its report.
    pub(crate) reply_to: &'a Certificate,
    /// The policy, which holds at the gateway for what it has already, too.
    pub(crate) policy: &'a Policy,
}

/// What one supplier is to have in place of what it had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    /// The supplier.
    pub(crate) supplier: &'a VerifiedParty,
    /// Its grants.
    pub(crate) grants: Grants<'a>,
    /// Its energy applications; those that it has, if it is not said.
    pub(crate) applications: Option<&'a [ApplicationEntry]>,
}

/// Where grants come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Grants<'a> {
    /// From an operator's file, whose open times begin with the bundle, within a policy.
    File(&'a GrantsFile, &'a Policy),
    /// From a request that was approved; they are used as they are.
    Approved(&'a [Grant]),
}

impl Grants<'_> {
    fn of(self, supplier: &VerifiedParty, time: Timestamp) -> Result<Vec<Grant>, BundlesError> {
        match self {
            Self::Approved(grants) => Ok(grants.to_vec()),
            Self::File(file, policy) => {
                let grants = file.grants(supplier.sig.certificate().fingerprint(), time)?;
                narrow::check(&grants, time)?;
                Ok(policy.narrow(&supplier.name, &grants)?)
            }
        }
    }
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
    applications: Applications,
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
                applications: Applications::of_home(home),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(BundlesError::Busy { guid }),
            Err(TryLockError::Error(source)) => Err(FileError::at(&path)(source).into()),
        }
    }

    /// Returns the bundle that is to be sent for what is wanted; it is on the disk.
    pub(crate) fn prepare(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<StoredBundle, BundlesError> {
        let in_force = self.in_force()?;
        if let Some(pending) = self.pending()? {
            let again = self.compose(wanted, in_force.as_ref(), &Frame::of(&pending.bundle))?;
            if again == pending.bundle && is_fresh(pending.bundle.time, now) {
                return Ok(pending);
            }
        }
        let frame = self.next_frame(now)?;
        self.store(self.compose(wanted, in_force.as_ref(), &frame)?)
    }

    /// Returns the bundle that is to be sent for what is wanted, unless what is in force says the same already.
    pub(crate) fn prepare_change(
        &self,
        wanted: &Wanted<'_>,
        now: Timestamp,
    ) -> Result<Option<StoredBundle>, BundlesError> {
        let in_force = self.in_force()?;
        let same = match &in_force {
            Some(known) => {
                let frame = Frame::of(&known.bundle);
                let again = self.compose(wanted, in_force.as_ref(), &frame)?;
                says_the_same(&again, &known.bundle)
            }
            None => wanted.change.is_none(),
        };
        if same {
            return Ok(None);
        }
        self.prepare(wanted, now).map(Some)
    }

    /// Returns what is in force, and what would be in force after an installation. Nothing is written.
    pub(crate) fn preview(
        &self,
        wanted: &Wanted<'_>,
        now: Timestamp,
    ) -> Result<(Option<Bundle>, Bundle), BundlesError> {
        let in_force = self.in_force()?;
        let frame = self.next_frame(now)?;
        let next = self.compose(wanted, in_force.as_ref(), &frame)?;
        Ok((in_force.map(|stored| stored.bundle), next))
    }

    /// Holds a gateway's report against what is known here: a bundle that was sent, and whose report was lost, is in force.
    pub(crate) fn reconcile(
        &self,
        report: &Report,
        books: &Books,
        now: Timestamp,
    ) -> Result<(), BundlesError> {
        let found = report.bundle_version;
        if found > self.latest_version()?.unwrap_or(0) {
            let guid = self.guid;
            return Err(BundlesError::UnknownBundle { guid, found });
        }
        match self.pending()? {
            Some(pending)
                if pending.bundle.bundle_version == found && report.bundle_digest == Some(pending.digest) =>
            {
                self.installed(&pending, report.state, books, now)
            }
            _ => Ok(()),
        }
    }

    /// Returns the bundle that the gateway should have and by its report has not: a new data folder has none, and one whose
    /// delivery was cut off after the card knew of it serves nobody. A first one that was never in force is nobody's loss:
    /// whoever asked for it waits in the queue, or was told why not.
    pub(crate) fn lost_by(&self, report: &Report) -> Result<Option<StoredBundle>, BundlesError> {
        let in_force = self.in_force()?;
        let has = |stored: &StoredBundle| {
            let version = stored.bundle.bundle_version;
            (report.bundle_version, report.bundle_digest) == (version, Some(stored.digest))
        };
        match in_force {
            Some(stored) if has(&stored) => Ok(None),
            None if report.bundle_version == 0 && report.bundle_digest.is_none() => Ok(None),
            // The card takes no older one than it knows of.
            in_force => Ok(self.pending()?.or(in_force)),
        }
    }

    /// Returns the version in force, 0 for none.
    pub(crate) fn version_in_force(&self) -> Result<u64, BundlesError> {
        let in_force = self.in_force()?;
        Ok(in_force.map_or(0, |stored| stored.bundle.bundle_version))
    }

    /// Returns what a supplier's applications are assigned to in the bundle in force.
    pub(crate) fn assignments_in_force(
        &self,
        supplier: Fingerprint,
    ) -> Result<Vec<Assignment>, BundlesError> {
        let bundle = self.in_force()?.map(|stored| stored.bundle);
        let entries = bundle.into_iter().flat_map(|bundle| bundle.applications);
        let own = entries.filter(|entry| entry.supplier == supplier);
        Ok(own.flat_map(|entry| entry.assignments).collect())
    }

    /// Returns the suppliers of the bundle in force, by their SIG certificates.
    pub(crate) fn suppliers_in_force(&self) -> Result<Vec<Fingerprint>, BundlesError> {
        Ok(self
            .in_force()?
            .map_or_else(Vec::new, |stored| fingerprints(&stored.bundle)))
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
        // The books come first: what is in force by the file is not written down again.
        let suppliers = fingerprints(&stored.bundle);
        books.record_installed(now, (self.guid, version, state), &suppliers)?;
        Ok(files::replace(
            &self.folder.join("installed.json"),
            &json,
            Access::Private,
        )?)
    }

    /// Puts the bundle together: the other suppliers of the bundle in force with their grants and applications, and the
    /// wanted one.
    fn compose(
        &self,
        wanted: &Wanted<'_>,
        in_force: Option<&StoredBundle>,
        frame: &Frame,
    ) -> Result<Bundle, BundlesError> {
        let change = wanted.change.as_ref();
        let own = change.map(|change| change.supplier.sig.certificate().fingerprint());
        let mut bundle = Bundle {
            id: frame.id,
            recipient: self.guid,
            bundle_version: frame.version,
            time: frame.time,
            reply_to: wanted.reply_to.clone(),
            issuing: wanted.anchor.issuing().to_vec(),
            suppliers: Vec::new(),
            grants: Vec::new(),
            applications: Vec::new(),
            revoked: Vec::new(),
            policy: Vec::new(),
        };
        for entry in in_force.iter().flat_map(|stored| &stored.bundle.suppliers) {
            let fingerprint = entry.certificates.sig.fingerprint();
            let judged = wanted
                .anchor
                .verify_party(&entry.certificates, frame.time, Role::Supplier);
            match judged {
                Ok(_) if Some(fingerprint) == own => {}
                Ok(_) => bundle.suppliers.push(entry.clone()),
                Err(error) => {
                    tracing::warn!(%fingerprint, %error, "leaving out a supplier that no longer holds");
                }
            }
        }
        let kept = fingerprints(&bundle);
        if let Some(StoredBundle { bundle: known, .. }) = in_force {
            let grants = known.grants.iter().filter(|grant| kept.contains(&grant.supplier));
            bundle.grants.extend(grants.cloned());
            let keeps_own = change.is_some_and(|change| change.applications.is_none());
            let applications = known
                .applications
                .iter()
                .filter(|entry| kept.contains(&entry.supplier) || (keeps_own && Some(entry.supplier) == own));
            bundle.applications.extend(applications.cloned());
        }
        if let Some(change) = change {
            bundle.suppliers.push(entry_of(change.supplier));
            bundle
                .grants
                .extend(change.grants.of(change.supplier, frame.time)?);
            let applications = change.applications.unwrap_or_default();
            bundle.applications.extend(applications.iter().cloned());
        }
        bundle.revoked = self.revoked_authors(&bundle.applications, wanted.anchor)?;
        let entries = bundle.suppliers.iter();
        let suppliers = entries.map(|entry| (&entry.name, entry.certificates.sig.fingerprint()));
        bundle.policy = wanted.policy.limits(suppliers);
        Ok(bundle)
    }

    /// Returns what is revoked of the certificates by which the authors of applications have signed.
    fn revoked_authors(
        &self,
        entries: &[ApplicationEntry],
        anchor: &TrustAnchor,
    ) -> Result<Vec<RevokedCertificate>, BundlesError> {
        let mut revoked = BTreeMap::new();
        for entry in entries {
            let Some(author) = self.applications.author(entry.digest)? else {
                continue;
            };
            if let Some(Revocation { time, reason }) = anchor.revocation(&author)? {
                let certificate = author.fingerprint();
                let known = RevokedCertificate {
                    certificate,
                    time,
                    reason,
                };
                revoked.insert(certificate, known);
            }
        }
        Ok(revoked.into_values().collect())
    }

    fn next_frame(&self, now: Timestamp) -> Result<Frame, BundlesError> {
        let version = self.latest_version()?.unwrap_or(0).checked_add(1);
        Ok(Frame {
            id: MessageId::new(*random::bytes()?),
            version: version.ok_or(BundlesError::Versions { guid: self.guid })?,
            time: now,
        })
    }

    /// Returns the bundle that was made last, if it is not known to be in force.
    pub(crate) fn pending(&self) -> Result<Option<StoredBundle>, BundlesError> {
        let in_force = self.version_in_force()?;
        let pending = self.latest_version()?.filter(|latest| *latest > in_force);
        pending.map(|version| self.read(version)).transpose()
    }

    fn store(&self, bundle: Bundle) -> Result<StoredBundle, BundlesError> {
        let path = self.path(bundle.bundle_version);
        let content = Content::Bundle(bundle);
        let json = content.to_json()?;
        files::write_new(&path, &json, Access::Private)?;
        stored(&path, json)
    }

    fn in_force(&self) -> Result<Option<StoredBundle>, BundlesError> {
        in_force(&self.folder)
    }

    fn read(&self, version: u64) -> Result<StoredBundle, BundlesError> {
        read(&path_of(&self.folder, version))
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
        path_of(&self.folder, version)
    }
}

/// Reads the bundle in force of a gateway's folder. Nobody need hold the folder: each of its files is replaced as a whole.
fn in_force(folder: &Path) -> Result<Option<StoredBundle>, BundlesError> {
    let path = folder.join("installed.json");
    let json = match files::read(&path, MAX_INSTALLED) {
        Ok(json) => json,
        Err(FileError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let in_force: InForce = serde_json::from_slice(&json).map_err(damaged(&path))?;
    read(&path_of(folder, in_force.version)).map(Some)
}

fn read(path: &Path) -> Result<StoredBundle, BundlesError> {
    let json = files::read(path, MAX_CONTENT)?;
    stored(path, json)
}

fn path_of(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("{version:08}-bundle.json"))
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

/// Returns whether two bundles have the same effect, in whatever order they say it.
fn says_the_same(one: &Bundle, other: &Bundle) -> bool {
    let sorted = |bundle: &Bundle| {
        let mut bundle = bundle.clone();
        bundle
            .suppliers
            .sort_by_key(|entry| entry.certificates.sig.fingerprint());
        bundle
            .grants
            .sort_by(|a, b| (a.supplier, &a.id).cmp(&(b.supplier, &b.id)));
        bundle
            .applications
            .sort_by_key(|entry| (entry.supplier, entry.digest));
        bundle
    };
    sorted(one) == sorted(other)
}

fn fingerprints(bundle: &Bundle) -> Vec<Fingerprint> {
    let entries = bundle.suppliers.iter();
    entries
        .map(|entry| entry.certificates.sig.fingerprint())
        .collect()
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
