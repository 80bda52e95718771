//! What the card in the reader says of itself, and what would keep it from being bound.
//!
//! An inspection only reads: whoever asks for it changes neither the card nor the gateway. Each thing that cannot be
//! read is left out, since a technician wants to see the rest.

use card::{CardKey, CardSession, LifeCycle, Pairing};
use messages::certificate::Certificate;
use model::{KeySlot, Status};
use store::{Bindings, Store};

use super::examination::{recognise, refuse_given_up, verify};
use super::handle::Session;
use super::obstacle::Obstacle;
use super::slot::Slot;
use super::view::{BindingOfCard, CardView, CertificateView};
use crate::clock;

/// Inspects the card in the slot, in the session that is open or else in one of its own.
///
/// Without a store, as when no daemon runs, the card is not compared with the gateway.
pub(crate) fn inspect(slot: &Slot, open: Option<&mut Session>, store: Option<&Store>) -> CardView {
    let mut own = None;
    let session = match open {
        Some(session) => Ok(session),
        None => open_own(slot).map(|session| own.insert(session)),
    };
    let mut view = CardView::new();
    match session {
        Ok(session) => read(session, store, &mut view),
        Err(obstacle) => view.note(&given_up(store).unwrap_or(obstacle)),
    }
    let facts = slot.facts();
    view.soft_card = slot.is_soft();
    if let Some(facts) = facts {
        view.atr = facts.atr.map(hex::encode_upper);
        view.reader = Some(facts.name);
    }
    view
}

fn open_own(slot: &Slot) -> Result<Session, Obstacle> {
    CardSession::open(slot.power_on()?).map_err(Obstacle::of_selection)
}

/// Reads what the card says, and judges it.
fn read(session: &mut Session, store: Option<&Store>, view: &mut CardView) {
    let mut obstacles = Vec::new();
    if let Err(obstacle) = read_card(session, view, &mut obstacles) {
        obstacles.push(obstacle);
    }
    match store.map(|store| read_gateway(session, store, view)) {
        Some(Err(obstacle)) => obstacles.push(obstacle),
        Some(Ok(())) => view.was_compared = true,
        None => {}
    }
    obstacles.iter().for_each(|obstacle| view.note(obstacle));
}

/// Reads the card; returns what it could not get past, and collects what it could.
fn read_card(
    session: &mut Session,
    view: &mut CardView,
    obstacles: &mut Vec<Obstacle>,
) -> Result<(), Obstacle> {
    let life_cycle = session.life_cycle()?;
    view.life_cycle = Some(life_cycle);
    if life_cycle == LifeCycle::Blank {
        return Err(Obstacle::Blank);
    }
    let shown = session.identity()?;
    view.guid = Some(shown.guid);
    view.trust_centre = Some(shown.contact.name.clone());
    let now = clock::now();
    let certificates = &shown.certificates;
    for (key, der) in [
        (CardKey::Slot(KeySlot::Sig), &certificates.sig),
        (CardKey::Slot(KeySlot::Enc), &certificates.enc),
        (CardKey::Slot(KeySlot::Tls), &certificates.tls),
        (CardKey::Attestation, &certificates.attestation),
    ] {
        let certificate = Certificate::from_der(der)?;
        view.certificates
            .push(CertificateView::of(key, &certificate, now)?);
    }
    if clock::status_at(now) == Status::GOOD {
        if let Err(obstacle) = verify(&shown) {
            obstacles.push(obstacle);
        }
    } else {
        obstacles.push(Obstacle::ClockUnset);
    }
    Ok(())
}

/// Compares the card with what the gateway has burned.
fn read_gateway(session: &mut Session, store: &Store, view: &mut CardView) -> Result<(), Obstacle> {
    let bindings = store.bindings()?;
    refuse_given_up(bindings)?;
    // A card that cannot be read that far has its obstacle already.
    let (Some(life_cycle), Some(_)) = (view.life_cycle, view.guid) else {
        return Ok(());
    };
    if let Some(binding) = bindings.binding()? {
        let shown = session.identity()?;
        recognise(session, &shown, &binding, life_cycle)?;
        view.binding = BindingOfCard::Here;
        return last_pairing(session);
    }
    bound_elsewhere(session, bindings, view)
}

/// Judges by its tries whether the bound card took the pairing secret when it was last asked. It is not asked now: that
/// could cost a try.
fn last_pairing(session: &mut Session) -> Result<(), Obstacle> {
    match session.pairing()?.tries {
        0 => Err(Obstacle::PairingBlocked),
        Pairing::MAX_TRIES.. => Ok(()),
        tries => Err(Obstacle::PairingRefused { tries }),
    }
}

/// Judges a card while the gateway is bound to none: it may have begun with this one.
fn bound_elsewhere(session: &mut Session, bindings: &Bindings, view: &mut CardView) -> Result<(), Obstacle> {
    let Some((gateway, _)) = session.bound_to()? else {
        view.binding = BindingOfCard::None;
        return Ok(());
    };
    if bindings
        .intent()?
        .is_some_and(|intent| intent.binding.gateway == gateway)
    {
        view.binding = BindingOfCard::Begun;
        return Ok(());
    }
    view.binding = BindingOfCard::Elsewhere;
    Err(Obstacle::BoundElsewhere { gateway })
}

/// Returns whether the gateway was given up, which matters more than whatever is wrong with the reader.
fn given_up(store: Option<&Store>) -> Option<Obstacle> {
    let bindings = store?.bindings().ok()?;
    refuse_given_up(bindings).err()
}
