//! The installation of a bundle that the TSM has put in force on the card, or is about to.
//!
//! The TSM sends a bundle before the card vouches for it. It waits in memory then, and the one before it stays in force, so
//! that the gateway serves on until the very command with which the card changes over. If it is lost in between, the TSM
//! sends it again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evaluation::Package;
use messages::certificate::{Certificate, Role, TrustAnchor, VerifiedCertificate};
use messages::content::{Application, Bundle, Content, application_digest, bundle_digest, is_module};
use messages::envelope::Opened;
use messages::package::{self, Place, SignatureError};
use model::{ConsumerEvent, Fingerprint, LogEvent, LogText, SystemEvent};
use store::{BundleError, Store};
use zeroize::Zeroizing;

use super::exchange::Exchange;
use super::rejection::Rejection;
use crate::app;
use crate::applications::{
    Assigned, Frame, application_name, check_assignments, manifest_of, revoked_author,
};
use crate::card::Identity;
use crate::clock;
use crate::journal::Journal;
use crate::report::Chain;

/// A bundle that waits for the card to vouch for it; there is one at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Option<Waited>>>);

/// A bundle that has been checked, as it came.
#[derive(Debug)]
pub(super) struct Waited {
    digest: Fingerprint,
    bundle: Bundle,
    json: Zeroizing<Vec<u8>>,
    /// Who is answered while it is in force: its suppliers, and the TSM that sent it.
    heard: BTreeSet<Fingerprint>,
}

impl Waiting {
    fn put(&self, waited: Waited) {
        *self.lock() = Some(waited);
    }

    /// Returns whether a bundle waits.
    pub(super) fn is_some(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes the bundle out if it is this one.
    pub(super) fn take(&self, digest: Fingerprint) -> Option<Waited> {
        self.lock().take_if(|waited| waited.digest == digest)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks the bundle, and puts it in force if the card vouches for it; one that is newer waits until the card does.
pub(super) fn take(
    exchange: &Exchange,
    bundle: &Bundle,
    opened: &Opened,
    identity: &Identity,
) -> Result<(), Rejection> {
    let json = opened.content.as_slice();
    let digest = bundle_digest(json);
    let anchored = exchange.card.call(|session| session.anchor())?;
    let offered = (bundle.bundle_version, digest);
    let is_awaited = is_awaited((anchored.version, anchored.digest), offered)?;
    let mut heard = check(bundle, identity)?;
    check_applications(&exchange.store, bundle, exchange.frame)?;
    heard.insert(opened.sender.certificate().fingerprint());
    let waited = Waited {
        digest,
        bundle: bundle.clone(),
        json: Zeroizing::new(json.to_vec()),
        heard,
    };
    if is_awaited {
        tracing::info!(version = offered.0, %digest, "the bundle waits for the card to vouch for it");
        exchange.waiting.put(waited);
        return Ok(());
    }
    keep(&exchange.store, &exchange.journal, &waited)?;
    exchange.card.examine()?;
    Ok(())
}

/// Stores a bundle that the card vouches for, as a whole; the card's thread puts it in force when it examines the card next.
///
/// The same bundle may come again: then nothing changes.
pub(super) fn keep(store: &Store, journal: &Journal, waited: &Waited) -> Result<(), Rejection> {
    let Waited {
        digest,
        bundle,
        json,
        heard,
    } = waited;
    let version = bundle.bundle_version;
    let applications = store.applications();
    let mut named = BTreeSet::new();
    for entry in &bundle.applications {
        let digest = entry.digest;
        if applications.read(digest)?.is_none() {
            return Err(Rejection::NoApplication { digest });
        }
        named.insert(digest);
    }
    let stored = store.database().bundle()?;
    if stored.is_none_or(|stored| stored.version < version) {
        let stopped = stopped(store, bundle)?;
        journal.write(events(bundle, *digest).into_iter().chain(stopped))?;
    }
    // Before, so that none is left of an earlier bundle when the power fails in between; and behind it, for what was
    // answered in between.
    forget_answers(store, heard)?;
    match store.database().install_bundle(version, *digest.as_bytes(), json) {
        Ok(()) => tracing::info!(version, %digest, grants = bundle.grants.len(), "bundle stored"),
        Err(BundleError::StaleBundle { installed, .. }) if installed == version => {
            tracing::info!(version, "the bundle was stored before");
        }
        Err(error) => return Err(error.into()),
    }
    forget_answers(store, heard)?;
    // What the earlier bundle alone has named is of no use any more, unless it has made values that are kept; whatever stays
    // goes with the next one.
    named.extend(store.database().evaluated_applications());
    if let Err(error) = applications.keep_only(&named) {
        tracing::warn!(error = %Chain(&error), "applications that no bundle names cannot be removed");
    }
    Ok(())
}

/// Forgets the answers that wait for the receipts of anybody but these: whom no bundle names any more, he gets nothing
/// any more, also not what he was granted when he asked.
fn forget_answers(store: &Store, heard: &BTreeSet<Fingerprint>) -> Result<(), Rejection> {
    let withheld = store.database().withhold_from_all_but(heard)?;
    if withheld > 0 {
        tracing::info!(
            withheld,
            "answers that waited are withheld from whom no bundle names any more"
        );
    }
    Ok(())
}

/// Keeps an application for the bundle that is to name it. It has to be the one of its digest, a package that its author and
/// the TSM have signed, no earlier version than any that is kept, and to do on this device what the vectors of its manifest
/// say; they are run in processes of their own.
pub(super) fn keep_application(
    store: &Store,
    application: &Application,
    anchor: &TrustAnchor,
) -> Result<(), Rejection> {
    let pieces = application.content.iter();
    let bytes: Vec<u8> = pieces
        .flat_map(|piece| piece.as_bytes().iter().copied())
        .collect();
    let digest = application.digest;
    if application_digest(&bytes) != digest {
        return Err(Rejection::OtherApplication { named: digest });
    }
    if !is_module(&bytes) {
        return Err(Rejection::NoModule { digest });
    }
    let package = Package::parse(&bytes).map_err(|source| Rejection::NoPackage { digest, source })?;
    let signed = |source| Rejection::NotSigned { digest, source };
    let author = verified(&package, Place::Author, anchor).map_err(signed)?;
    verified(&package, Place::Tsm, anchor).map_err(signed)?;
    check_author(store, digest, author.certificate())?;
    check_version(store, &package, author.name().as_str())?;
    app::prove(&package).map_err(|source| Rejection::NotProven {
        digest,
        source: Box::new(source),
    })?;
    store.applications().keep(&bytes)?;
    tracing::info!(%digest, bytes = bytes.len(), author = %author.name(), "application kept");
    Ok(())
}

/// Checks one of the signatures of a package, over the bytes that its own reader says it covers.
fn verified(
    package: &Package<'_>,
    place: Place,
    anchor: &TrustAnchor,
) -> Result<VerifiedCertificate, SignatureError> {
    let signature = match place {
        Place::Author => package.author(),
        Place::Tsm => package.tsm(),
    };
    let signature = signature.ok_or(SignatureError::Missing { place })?;
    package::verify_over(signature.cms, signature.covered, place, anchor, clock::now())
}

/// Refuses an application whose author's certificate is revoked by the bundle in force, unless that one names it: it may have
/// been lost.
fn check_author(store: &Store, digest: Fingerprint, author: &Certificate) -> Result<(), Rejection> {
    let Some(installed) = installed(store)? else {
        return Ok(());
    };
    let author = author.fingerprint();
    let revoked = installed.revoked.iter().find(|known| known.certificate == author);
    match revoked {
        Some(revoked) if !installed.applications.iter().any(|entry| entry.digest == digest) => {
            let since = revoked.time;
            Err(Rejection::RevokedAuthor { digest, since })
        }
        _ => Ok(()),
    }
}

/// Refuses to run an application on anything new whose author's certificate is revoked by the very bundle.
fn check_authors(store: &Store, bundle: &Bundle) -> Result<(), Rejection> {
    // A gateway that has lost its data takes what it had.
    let Some(installed) = installed(store)? else {
        return Ok(());
    };
    for entry in &bundle.applications {
        let Some(revoked) = revoked_author(store, entry.digest, &bundle.revoked) else {
            continue;
        };
        let known = installed.applications.iter();
        let known = known.filter(|known| (known.digest, known.supplier) == (entry.digest, entry.supplier));
        let known: Vec<_> = known.flat_map(|known| &known.assignments).collect();
        if !entry
            .assignments
            .iter()
            .all(|assignment| known.contains(&assignment))
        {
            let (digest, since) = (entry.digest, revoked.time);
            return Err(Rejection::RevokedAuthor { digest, since });
        }
    }
    Ok(())
}

/// Refuses a version that is not higher than every other one of the same author that is kept, be it for what it has made
/// alone; the very same module and manifest, signed once more, is no other one. What the bundle in force names may stay.
fn check_version(store: &Store, offered: &Package<'_>, author: &str) -> Result<(), Rejection> {
    let named: BTreeSet<_> = installed(store)?
        .iter()
        .flat_map(|bundle| &bundle.applications)
        .map(|entry| entry.digest)
        .collect();
    // It may come again because it is damaged here.
    if named.contains(&application_digest(offered.bytes())) {
        return Ok(());
    }
    let (id, version) = (offered.manifest().id(), offered.manifest().version());
    let mut higher = None;
    for digest in store.applications().list()? {
        let Some(bytes) = store.applications().read(digest)? else {
            continue;
        };
        let Ok(known) = Package::parse(&bytes) else {
            continue;
        };
        if known.manifest().id() != id || author_of(&known).as_deref() != Some(author) {
            continue;
        }
        if signed_content(&known) == signed_content(offered) {
            if named.contains(&digest) {
                return Ok(());
            }
        } else if version <= known.manifest().version() {
            higher = higher.max(Some(known.manifest().version()));
        }
    }
    match higher {
        Some(kept) => Err(Rejection::OlderApplication {
            offered: format!("{id} {version}"),
            kept: kept.to_string(),
        }),
        None => Ok(()),
    }
}

/// Returns the bundle that is stored, if it can be read.
fn installed(store: &Store) -> Result<Option<Bundle>, Rejection> {
    let Some(stored) = store.database().bundle()? else {
        return Ok(None);
    };
    match Content::parse(&stored.content) {
        Ok(Content::Bundle(bundle)) => Ok(Some(bundle)),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Returns what the author has signed: module and manifest.
fn signed_content<'a>(package: &Package<'a>) -> &'a [u8] {
    package
        .author()
        .map_or_else(|| package.bytes(), |signature| signature.covered)
}

/// Returns the name of whoever has signed a package that was verified when it was kept.
fn author_of(package: &Package<'_>) -> Option<String> {
    let signature = package.author()?;
    let certificate = package::claimed_signer(signature.cms)?;
    Some(certificate.subject().ok()?.name().to_string())
}

/// Checks what a bundle says of applications: that each is here and no earlier version than any that is kept, and that what
/// it is assigned to fits its manifest, and nothing else makes the same elements.
fn check_applications(store: &Store, bundle: &Bundle, frame: Frame) -> Result<(), Rejection> {
    for entry in &bundle.applications {
        let digest = entry.digest;
        let bytes = store.applications().read(digest)?;
        let bytes = bytes.ok_or(Rejection::NoApplication { digest })?;
        let package = Package::parse(&bytes).map_err(|source| Rejection::NoPackage { digest, source })?;
        if let Some(author) = author_of(&package) {
            check_version(store, &package, &author)?;
        }
        if manifest_of(store, digest).is_none() {
            return Err(Rejection::NoApplication { digest });
        }
    }
    let suppliers = bundle.suppliers.iter();
    let names: BTreeMap<_, _> = suppliers
        .map(|entry| (entry.certificates.sig.fingerprint(), entry.name.to_string()))
        .collect();
    check_authors(store, bundle)?;
    let all = Assigned::all(store, (&bundle.applications, &bundle.revoked), &names);
    check_assignments(&all, frame)
        .map_err(|(assignment, source)| Rejection::Assignment { assignment, source })
}

/// Returns whether a bundle is newer than the one that the card vouches for, by version and digest.
fn is_awaited(
    anchored: (u64, Fingerprint),
    (version, digest): (u64, Fingerprint),
) -> Result<bool, Rejection> {
    match version.cmp(&anchored.0) {
        Ordering::Less => Err(Rejection::OlderBundle {
            version,
            anchored: anchored.0,
        }),
        Ordering::Equal if digest != anchored.1 => Err(Rejection::AlteredBundle { version }),
        Ordering::Equal => Ok(false),
        Ordering::Greater => Ok(true),
    }
}

/// Returns what the operator and the consumer are to know. It is logged before the bundle is stored, so that none
/// is ever in force that the logs don't have.
fn events(bundle: &Bundle, digest: Fingerprint) -> [LogEvent; 2] {
    let version = bundle.bundle_version;
    let suppliers = u64::try_from(bundle.suppliers.len()).unwrap_or(u64::MAX);
    let grants = u64::try_from(bundle.grants.len()).unwrap_or(u64::MAX);
    let installed = SystemEvent::BundleInstalled {
        version,
        digest,
        suppliers,
        grants,
    };
    let changed = ConsumerEvent::GrantsChanged {
        version,
        suppliers,
        grants,
    };
    [installed.into(), changed.into()]
}

/// Returns which applications the bundle stops that ran before.
fn stopped(store: &Store, bundle: &Bundle) -> Result<Vec<LogEvent>, Rejection> {
    let before = installed(store)?.map_or_else(Vec::new, |installed| installed.revoked);
    let running = bundle
        .applications
        .iter()
        .filter(|entry| !entry.assignments.is_empty());
    let stopped = running.filter_map(|entry| {
        let digest = entry.digest;
        let revoked = revoked_author(store, digest, &bundle.revoked)?;
        if before.contains(&revoked) || !revoked.condemns_earlier_signatures() {
            return None;
        }
        let event = SystemEvent::ApplicationStopped {
            application: LogText::cut(&application_name(store, digest)?),
            digest,
            since: revoked.time,
            reason: LogText::cut(revoked.reason.as_str()),
        };
        Some(event.into())
    });
    Ok(stopped.collect())
}

/// Checks that every issuing authority and supplier is one of the trust centre's, and every grant one of theirs, and
/// returns the suppliers.
fn check(bundle: &Bundle, identity: &Identity) -> Result<BTreeSet<Fingerprint>, Rejection> {
    let now = clock::now();
    let anchor = identity.anchor.clone().with_chain(bundle.issuing.iter().cloned());
    let anchor = anchor.map_err(Rejection::BundleIssuing)?;
    let mut suppliers = BTreeSet::new();
    for supplier in &bundle.suppliers {
        let verified = anchor.verify_party(&supplier.certificates, now, Role::Supplier);
        let verified = verified.map_err(|source| Rejection::BundleSupplier {
            supplier: supplier.name.to_string(),
            source,
        })?;
        suppliers.insert(verified.sig.certificate().fingerprint());
    }
    let grants = bundle
        .grants
        .iter()
        .map(|grant| (grant.supplier, grant.id.clone()));
    let applications = bundle.applications.iter();
    let applications = applications.map(|entry| (entry.supplier, entry.name.to_string()));
    match grants
        .chain(applications)
        .find(|(supplier, _)| !suppliers.contains(supplier))
    {
        Some((_, grant)) => Err(Rejection::BundleGrant { grant }),
        None => Ok(suppliers),
    }
}

#[cfg(test)]
mod tests;
