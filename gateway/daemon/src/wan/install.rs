//! The installation of a bundle that the TSM has put in force on the card.

use std::collections::BTreeSet;

use messages::certificate::Role;
use messages::content::{Bundle, bundle_digest};
use model::{ConsumerEvent, Fingerprint, LogEvent, SystemEvent};
use store::BundleError;

use super::exchange::Exchange;
use super::rejection::Rejection;
use crate::card::Identity;
use crate::clock;

/// Checks the bundle, stores it as a whole, and has the card's thread put it in force.
///
/// The same bundle may come again: then nothing changes.
pub(super) fn install(
    exchange: &Exchange,
    bundle: &Bundle,
    json: &[u8],
    identity: &Identity,
) -> Result<(), Rejection> {
    let version = bundle.bundle_version;
    let digest = bundle_digest(json);
    let anchored = exchange.card.call(|session| session.anchor())?;
    if (anchored.version, anchored.digest) != (version, digest) {
        return Err(Rejection::NotAnchored { version });
    }
    check(bundle, identity)?;
    let stored = exchange.store.database().bundle()?;
    if stored.is_none_or(|stored| stored.version < version) {
        exchange.journal.write(events(bundle, digest))?;
    }
    match exchange
        .store
        .database()
        .install_bundle(version, *digest.as_bytes(), json)
    {
        Ok(()) => tracing::info!(version, %digest, grants = bundle.grants.len(), "bundle stored"),
        Err(BundleError::StaleBundle { installed, .. }) if installed == version => {
            tracing::info!(version, "the bundle was stored before");
        }
        Err(error) => return Err(error.into()),
    }
    exchange.card.examine()?;
    Ok(())
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

/// Checks that every supplier is one of the trust centre's, and every grant one of theirs.
fn check(bundle: &Bundle, identity: &Identity) -> Result<(), Rejection> {
    let now = clock::now();
    let mut suppliers = BTreeSet::new();
    for supplier in &bundle.suppliers {
        let verified = identity
            .anchor
            .verify_party(&supplier.certificates, now, Role::Supplier);
        let verified = verified.map_err(|source| Rejection::BundleSupplier {
            supplier: supplier.name.to_string(),
            source,
        })?;
        suppliers.insert(verified.sig.certificate().fingerprint());
    }
    match bundle
        .grants
        .iter()
        .find(|grant| !suppliers.contains(&grant.supplier))
    {
        Some(grant) => Err(Rejection::BundleGrant {
            grant: grant.id.clone(),
        }),
        None => Ok(()),
    }
}
