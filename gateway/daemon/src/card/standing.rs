//! What the gateway may do at the moment, and with whose identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use messages::certificate::{Certificate, TrustAnchor, VerifiedParty};
use messages::content::{ApplicationEntry, RevokedCertificate, SupplierEntry};
use model::{CardId, Fingerprint, GatewayState, Grant, Limit};
use tokio::sync::watch;

/// The code of an obstacle, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Explained {
    /// The stable code.
    pub(crate) code: &'static str,
    /// The remedy, as a sentence.
    pub(crate) remedy: &'static str,
}

/// What the custodian publishes: the state, and what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// What the gateway may do.
    pub(crate) state: GatewayState,
    /// Why, if there is more to say than the state itself says.
    pub(crate) detail: Option<String>,
    /// What keeps the gateway from serving, if it is the card or the binding.
    pub(crate) obstacle: Option<Explained>,
    /// Whether the card is a file, or a program on a virtual reader: never so in production.
    pub(crate) soft_card: bool,
    /// The GUID that the gateway is bound to, whether its card is there or not.
    pub(crate) bound_to: Option<CardId>,
    /// The identity of the bound card while it is there; nothing is served without it.
    pub(crate) identity: Option<Arc<Identity>>,
}

impl Standing {
    /// Returns whether messages are taken at all. A gateway whose log is full or lost serves no supplier, but
    /// tells so to whoever asks, and to the TSM what is in force.
    pub(crate) fn answers(&self) -> bool {
        let tells = matches!(self.state, GatewayState::StorageFull | GatewayState::Degraded);
        (self.state.serves_tsm() || tells) && self.identity.is_some()
    }

    /// The standing before the first examination.
    pub(crate) const fn unknown() -> Self {
        Self {
            state: GatewayState::Unbound,
            detail: None,
            obstacle: None,
            soft_card: false,
            bound_to: None,
            identity: None,
        }
    }

    /// The standing with a card that is in order. The gateway is operational once the bundle that the card vouches for
    /// is there.
    pub(crate) fn serving(identity: Arc<Identity>, soft_card: bool) -> Self {
        Self {
            state: match &identity.bundle {
                Some(_) => GatewayState::Operational,
                None => GatewayState::Bound,
            },
            detail: None,
            obstacle: None,
            soft_card,
            bound_to: Some(identity.guid),
            identity: Some(identity),
        }
    }

    /// Returns whether whoever began to be served in a session with the card may go on: a card that was away, however
    /// shortly, has begun another one.
    pub(crate) fn continues(&self, session: u64) -> bool {
        self.answers()
            && self
                .identity
                .as_ref()
                .is_some_and(|identity| identity.session == session)
    }
}

/// Ends the service at once, on whichever thread notices first that the card has moved or does not answer. The card's own
/// thread may hang with it, and what follows for good is decided there, when the card has been examined.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    standing: Arc<watch::Sender<Standing>>,
    was_closed: Arc<AtomicBool>,
}

impl Gate {
    pub(super) fn new(standing: Arc<watch::Sender<Standing>>) -> Self {
        Self {
            standing,
            was_closed: Arc::default(),
        }
    }

    /// Ends the service, if there is any.
    pub(super) fn close(&self, why: &'static str) {
        let closed = self.standing.send_if_modified(|current| {
            let is_open = current.identity.take().is_some();
            if is_open {
                current.state = GatewayState::CardMissing;
                current.detail = Some(why.to_owned());
                current.obstacle = None;
            }
            is_open
        });
        // Behind the change: who published a standing meanwhile is told that it does not hold.
        self.was_closed.store(true, Ordering::SeqCst);
        if closed {
            tracing::warn!("nobody is served for now: {why}");
        }
    }

    /// Returns whether it was closed since the last [`Gate::open`].
    pub(super) fn is_closed(&self) -> bool {
        self.was_closed.load(Ordering::SeqCst)
    }

    /// Notes that the card is examined anew, and a standing published behind that.
    pub(super) fn open(&self) {
        self.was_closed.store(false, Ordering::SeqCst);
    }
}

/// The identity with which the gateway speaks to the WAN.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The GUID.
    pub(crate) guid: CardId,
    /// Which session with the card it is, counted since the start.
    pub(crate) session: u64,
    /// The card's certificates, verified when it was examined.
    pub(crate) card: VerifiedParty,
    /// The trust centre that the card trusts.
    pub(crate) anchor: TrustAnchor,
    /// The version of the bundle that the card says is in force, 0 for none.
    pub(crate) anchored_version: u64,
    /// The digest of that bundle.
    pub(crate) anchored_digest: Fingerprint,
    /// The bundle, if the stored one is the one that the card says is in force.
    pub(crate) bundle: Option<Bundle>,
}

impl Identity {
    /// Returns version and digest of the bundle that the card says is in force.
    pub(crate) const fn anchored(&self) -> (u64, Fingerprint) {
        (self.anchored_version, self.anchored_digest)
    }
}

/// A bundle that is in force.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its version.
    pub(crate) version: u64,
    /// Its digest.
    pub(crate) digest: Fingerprint,
    issuing: Vec<Certificate>,
    suppliers: Vec<SupplierEntry>,
    grants: Vec<Grant>,
    policy: Vec<Limit>,
    applications: Vec<ApplicationEntry>,
    revoked: Vec<RevokedCertificate>,
}

impl Bundle {
    /// Takes over the content of a bundle that the card vouches for.
    pub(crate) fn new(version: u64, digest: Fingerprint, content: messages::content::Bundle) -> Self {
        Self {
            version,
            digest,
            issuing: content.issuing,
            suppliers: content.suppliers,
            grants: content.grants,
            policy: content.policy,
            applications: content.applications,
            revoked: content.revoked,
        }
    }

    /// Returns the energy applications that it names, with what they are run on.
    pub(crate) fn applications(&self) -> &[ApplicationEntry] {
        &self.applications
    }

    /// Returns what is revoked of the certificates of their authors.
    pub(crate) fn revoked(&self) -> &[RevokedCertificate] {
        &self.revoked
    }

    /// Returns the issuing authorities that it brings along.
    pub(crate) fn issuing(&self) -> &[Certificate] {
        &self.issuing
    }

    /// Returns the grants.
    pub(crate) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Returns what the TSM's policy leaves of the grants.
    pub(crate) fn policy(&self) -> &[Limit] {
        &self.policy
    }

    /// Returns the unlocked suppliers.
    pub(crate) fn suppliers(&self) -> &[SupplierEntry] {
        &self.suppliers
    }

    /// Finds an unlocked supplier by the fingerprint of its SIG certificate.
    pub(crate) fn supplier(&self, fingerprint: Fingerprint) -> Option<&SupplierEntry> {
        let named = |entry: &&SupplierEntry| sig(entry).fingerprint() == fingerprint;
        self.suppliers.iter().find(named)
    }
}

const fn sig(entry: &SupplierEntry) -> &Certificate {
    &entry.certificates.sig
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gate_tells_that_it_was_closed_until_a_standing_is_published_behind_it() {
        let (standing, watch) = watch::channel(Standing::unknown());
        let gate = Gate::new(Arc::new(standing));
        assert!(!gate.is_closed());
        gate.close("the card moved");
        assert!(gate.is_closed());
        assert!(watch.borrow().detail.is_none(), "nobody was served");
        gate.open();
        assert!(!gate.is_closed());
    }
}
