//! The examination of a card: is it the bound one, and if none is bound yet, the binding.
//!
//! The binding has two phases, each safe to repeat after a power cut at any instant. First the
//! gateway writes down what it is about to burn, the card is told to bind, and its receipt is checked,
//! which proves that it has the secret. Then the gateway burns the binding, pairs and confirms to the
//! card. The card takes the same gateway with the same secret again until it is confirmed, and the store
//! burns the same binding again without complaint, so the whole is simply done again from the start.
//!
//! The card counts its pairings; see [`super::pairings`] for what the gateway makes of that.

use card::session::{BindOrder, CardIdentity};
use card::{Anchor, CardError, Contact, LifeCycle, StatusWord};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use messages::certificate::{Certificate, CertificateError, Role, Triple, TrustAnchor, VerifiedParty};
use messages::content::Content;
use model::{Binding, CardId, Fingerprint, GatewayId, KeySlot, Status};
use store::{Bindings, Intent, Store};
use zeroize::Zeroizing;

use super::handle::Session;
use super::obstacle::Obstacle;
use super::pairings::{FEW_TRIES, MOST_OPEN, Pairings};
use super::reader::ReaderError;
use super::standing::{Bundle, Identity};
use crate::clock;
use crate::random;
use crate::report::Chain;

/// The length of the secret that card and gateway share.
const PAIRING_SECRET: usize = 16;

/// Whether a card may be bound that is not bound yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// The first one that fits.
    Automatic,
    /// The one whose GUID the technician has confirmed.
    Given(CardId),
    /// None before the technician has confirmed it.
    Awaited,
}

/// Examines the card, binds it if none is bound yet, and returns the identity that it gives.
///
/// A session that is paired already stays so. A gateway that was given up ends the life of its card instead.
pub(super) fn examine(session: &mut Session, store: &Store, consent: Consent) -> Result<Identity, Obstacle> {
    let bindings = store.bindings()?;
    if bindings.tampered()?.is_some() {
        end_life_of_own(session, bindings)?;
    }
    refuse_given_up(bindings)?;
    let life_cycle = session.life_cycle()?;
    if life_cycle == LifeCycle::Blank {
        return Err(Obstacle::Blank);
    }
    let shown = session.identity()?;
    let binding = bindings.binding()?;
    // The bound card proves itself first: what is wrong with clock or certificates is no doubt about which card it is.
    if let Some(binding) = &binding {
        recognise(session, &shown, binding, life_cycle)?;
        pair(session, bindings, consent == Consent::Given(binding.card))?;
        confirm(session, bindings, binding)?;
    }
    if clock::status_at(clock::now()) != Status::GOOD {
        return Err(Obstacle::ClockUnset);
    }
    let (anchor, card) = verify(&shown)?;
    if binding.is_none() {
        bind(session, bindings, (&shown, &card), consent)?;
    }
    session
        .prove(random::bytes()?, &shown)
        .map_err(|error| match error {
            // It shows the certificates of the bound card and does not hold their keys.
            CardError::Signature { .. } => Obstacle::OtherKey,
            error => error.into(),
        })?;
    let anchored = session.anchor()?;
    let bundle = bundle_in_force(store, &anchored)?;
    let anchor = knowing(anchor, bundle.as_ref())?;
    Ok(Identity {
        guid: shown.guid,
        session: 0,
        card,
        anchor,
        anchored_version: anchored.version,
        anchored_digest: anchored.digest,
        bundle,
    })
}

/// Refuses every card once the gateway was given up, or its card is known to be dead.
pub(super) fn refuse_given_up(bindings: &Bindings) -> Result<(), Obstacle> {
    let card = bindings.card_terminated()?;
    match (bindings.tampered()?, card) {
        (Some(tamper), card) => Err(Obstacle::GivenUp { tamper, card }),
        (None, Some(card)) => Err(Obstacle::OwnTerminated(card.time)),
        (None, None) => Ok(()),
    }
}

/// Ends the life of the bound card, which a gateway that was given up sees again.
///
/// Such a gateway is none any more: it speaks to the card in the name of another one, which the card takes as the proof
/// that it was carried away, and dies. That needs neither the pairing nor tries. Only the card that was burned is
/// spoken to so; any other would be bound to nobody. Its answer proves nothing, so that it is not burned.
fn end_life_of_own(session: &mut Session, bindings: &Bindings) -> Result<(), Obstacle> {
    let life_cycle = session.life_cycle()?;
    let Some(binding) = bindings.binding()?.filter(|_| life_cycle >= LifeCycle::Bound) else {
        return Ok(());
    };
    let shown = session.identity()?;
    recognise(session, &shown, &binding, life_cycle)?;
    let secret: Zeroizing<[u8; PAIRING_SECRET]> = Zeroizing::new(random::bytes()?);
    let order = BindOrder {
        gateway: GatewayId::new(random::bytes()?),
        pairing_secret: secret,
        nonce: random::bytes()?,
    };
    match session.bind(&order, &shown) {
        Err(CardError::Refused { status, .. }) if status == StatusWord::TERMINATED => {
            // It says so in clear, as does whoever stands in its place: that is no reason to write it down for good.
            tracing::warn!(guid = %shown.guid, "the card of this gateway, which was given up, says that it has ended its life");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(()) => Err(Obstacle::SetBack { found: life_cycle }),
    }
}

/// Compares what the card shows with what was burned.
pub(super) fn recognise(
    session: &mut Session,
    shown: &CardIdentity,
    binding: &Binding,
    life_cycle: LifeCycle,
) -> Result<(), Obstacle> {
    if shown.guid != binding.card {
        return Err(Obstacle::OtherCard {
            found: shown.guid,
            bound: binding.card,
        });
    }
    let certificate = Certificate::from_der(&shown.certificates.sig)?;
    if certificate.spki_digest() != binding.card_key {
        return Err(Obstacle::OtherKey);
    }
    match session.bound_to()? {
        Some((gateway, _)) if gateway == binding.gateway => Ok(()),
        Some((gateway, _)) => Err(Obstacle::BoundElsewhere { gateway }),
        None => Err(Obstacle::SetBack { found: life_cycle }),
    }
}

/// Verifies the card's certificates with the trust centre that the card itself names.
pub(super) fn verify(shown: &CardIdentity) -> Result<(TrustAnchor, VerifiedParty), Obstacle> {
    let anchor = anchor_of(&shown.contact)?;
    let certificates = Triple {
        sig: Certificate::from_der(&shown.certificates.sig)?,
        enc: Certificate::from_der(&shown.certificates.enc)?,
        tls: Certificate::from_der(&shown.certificates.tls)?,
    };
    let card = anchor.verify_party(&certificates, clock::now(), Role::Card)?;
    // The attestation key is certified as a SIG key is, but it has to be another key: the SIG key signs
    // whatever its gateway sends, and proves nothing.
    let attestation = Certificate::from_der(&shown.certificates.attestation)?;
    let attested = anchor.verify(&attestation, clock::now(), Role::Card, KeySlot::Sig)?;
    if card.card_id != Some(shown.guid) || attested.card_id() != Some(shown.guid) {
        return Err(Obstacle::CertificateGuid { guid: shown.guid });
    }
    if attestation.spki_digest() == card.sig.certificate().spki_digest() {
        return Err(Obstacle::AttestationKey);
    }
    Ok((anchor, card))
}

/// Returns the trust centre that a card names.
pub(super) fn anchor_of(contact: &Contact) -> Result<TrustAnchor, CertificateError> {
    let anchor = TrustAnchor::new(Certificate::from_der(&contact.certificate)?)?;
    match &contact.issuing {
        Some(issuing) => anchor.with_issuing(Certificate::from_der(issuing)?),
        None => Ok(anchor),
    }
}

/// Has the trust centre of the card know the issuing authorities that its bundle brings along.
fn knowing(anchor: TrustAnchor, bundle: Option<&Bundle>) -> Result<TrustAnchor, Obstacle> {
    let issuing = bundle.map_or(&[][..], Bundle::issuing);
    Ok(anchor.with_chain(issuing.iter().cloned())?)
}

/// Pairs with the bound card, unless the session is paired already, and compares its session counter.
///
/// A card to which few tries are left is paired only when somebody orders it.
fn pair(session: &mut Session, bindings: &Bindings, is_ordered: bool) -> Result<(), Obstacle> {
    if session.is_paired() {
        return Ok(());
    }
    let intent = bindings.intent()?.ok_or(Obstacle::NoPairing)?;
    let secret = secret_of(&intent)?;
    let pairings = Pairings::read(bindings)?;
    // In clear: whatever it says, it decides only whether the secret is tried.
    let tries = session.pairing()?.tries;
    if tries == 0 {
        return Err(Obstacle::PairingBlocked);
    }
    if !is_ordered && (tries <= FEW_TRIES || pairings.open() >= MOST_OPEN) {
        let open = pairings.open();
        return Err(Obstacle::PairingPaused { tries, open });
    }
    let pairings = pairings.begin(bindings)?;
    session
        .pair(&secret, &mut UnwrapErr(SysRng))
        .map_err(pairing_obstacle)?;
    pairings.settle(bindings, session.pairing()?.sessions)
}

/// A secret that the card does not take is not tried again, since every try runs down a counter.
fn pairing_obstacle(error: CardError<ReaderError>) -> Obstacle {
    match error {
        CardError::Refused { status, .. } if status == StatusWord::BLOCKED => Obstacle::PairingBlocked,
        CardError::Refused { status, .. } if status.tries().is_some() => Obstacle::PairingRefused {
            tries: status.tries().unwrap_or(0),
        },
        // It has answered everything, and does not know the secret.
        CardError::Pairing => Obstacle::SecretUnknown,
        error => error.into(),
    }
}

/// Tells the card that the binding is burned, if a power cut kept it from being told.
fn confirm(session: &mut Session, bindings: &Bindings, binding: &Binding) -> Result<(), Obstacle> {
    if let Some((_, true)) = session.bound_to()? {
        return Ok(());
    }
    let intent = bindings.intent()?.filter(|intent| intent.binding == *binding);
    let intent = intent.ok_or(Obstacle::NoPairing)?;
    session.confirm(&order(&intent)?)?;
    Ok(())
}

/// Binds card and gateway to each other, irreversibly.
fn bind(
    session: &mut Session,
    bindings: &Bindings,
    (shown, card): (&CardIdentity, &VerifiedParty),
    consent: Consent,
) -> Result<(), Obstacle> {
    let begun = bindings.intent()?;
    let card_key = card.sig.certificate().spki_digest();
    let ours = begun.as_ref().map(|intent| intent.binding.gateway);
    if let Some((gateway, _)) = session.bound_to()?
        && ours != Some(gateway)
    {
        return Err(Obstacle::BoundElsewhere { gateway });
    }
    let intent = match begun {
        Some(intent) if (intent.binding.card, intent.binding.card_key) == (shown.guid, card_key) => intent,
        // It may be bound to this gateway already, and only this intent can complete that.
        Some(intent) if consent != Consent::Given(shown.guid) => {
            return Err(Obstacle::BindingBegun {
                begun: intent.binding.card,
                found: shown.guid,
            });
        }
        // What was begun was permitted; anything else has to be.
        _ if consent == Consent::Automatic || consent == Consent::Given(shown.guid) => {
            let intent = new_intent(shown, card_key, ours)?;
            bindings.begin(&intent)?;
            intent
        }
        _ => return Err(Obstacle::AwaitsConfirmation { guid: shown.guid }),
    };
    let order = order(&intent)?;
    tracing::info!(guid = %shown.guid, gateway = %intent.binding.gateway, "binding to the card in the reader");
    session.bind(&order, shown)?;
    bindings.burn(&intent.binding)?;
    pair(session, bindings, consent == Consent::Given(shown.guid))?;
    session.confirm(&order)?;
    tracing::info!(guid = %shown.guid, "bound for good");
    Ok(())
}

fn new_intent(
    shown: &CardIdentity,
    card_key: Fingerprint,
    gateway: Option<GatewayId>,
) -> Result<Intent, Obstacle> {
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => GatewayId::new(random::bytes()?),
    };
    let secret: Zeroizing<[u8; PAIRING_SECRET]> = Zeroizing::new(random::bytes()?);
    Ok(Intent {
        binding: Binding {
            card: shown.guid,
            card_key,
            gateway,
            time: clock::now(),
        },
        pairing: Zeroizing::new(secret.to_vec()),
    })
}

fn secret_of(intent: &Intent) -> Result<Zeroizing<[u8; PAIRING_SECRET]>, Obstacle> {
    let secret = intent.pairing.as_slice().try_into();
    secret.map(Zeroizing::new).map_err(|_| Obstacle::NoPairing)
}

fn order(intent: &Intent) -> Result<BindOrder, Obstacle> {
    Ok(BindOrder {
        gateway: intent.binding.gateway,
        pairing_secret: secret_of(intent)?,
        nonce: random::bytes()?,
    })
}

/// Returns the stored bundle if it is the one that the card vouches for.
///
/// The card vouches for a bundle before it is stored, so one that is altered or older than that is left
/// aside until the TSM sends the right one; a newer one proves that the card was set back.
fn bundle_in_force(store: &Store, anchored: &Anchor) -> Result<Option<Bundle>, Obstacle> {
    let Some(stored) = store.database().bundle()? else {
        return Ok(None);
    };
    let digest = messages::content::bundle_digest(&stored.content);
    if stored.version > anchored.version {
        return Err(Obstacle::BundleSetBack {
            anchored: anchored.version,
            stored: stored.version,
        });
    }
    if (stored.version, digest) != (anchored.version, anchored.digest) {
        tracing::info!(
            stored = stored.version,
            anchored = anchored.version,
            "the card vouches for a bundle that is not here yet; nothing is granted until the TSM sends it"
        );
        return Ok(None);
    }
    match Content::parse(&stored.content) {
        Ok(Content::Bundle(content)) => Ok(Some(Bundle::new(stored.version, digest, content))),
        Ok(_) => Ok(None),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the stored bundle is of a format that this software cannot read");
            Ok(None)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "soft-card")]
pub(super) mod tests;
