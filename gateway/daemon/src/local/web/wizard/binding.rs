//! The step that cannot be undone: gateway and card become one unit.
//!
//! What would be burned is read back first. The phases are told from what is burned and what the card says, so that a page
//! behind a power cut shows how far the binding has come; the gateway itself brings it to its end with the same card.

use super::Site;
use super::check::{Check, Verdict};
use super::what::What;
use super::{card, device};
use crate::card::{BindingOfCard, CardView};
use crate::report::Chain;

/// How many characters of the GUID are wanted.
pub(super) const CHARACTERS: usize = 4;

/// Binds the card whose GUID ends so, and says what came of it. It waits for the card.
pub(super) fn bind(site: &Site, characters: String) -> Vec<Check> {
    match site.card.confirm(characters) {
        Ok(Ok(confirmed)) => vec![Check::of(What::Confirmation, true).measured(confirmed.guid.to_string())],
        Ok(Err(refusal)) => vec![Check {
            code: Some(refusal.code().to_owned()),
            ..Check::of(What::Confirmation, false).because(refusal.to_string())
        }],
        Err(fault) => vec![Check::of(What::Confirmation, false).because(Chain(&fault).to_string())],
    }
}

/// How far a phase of the binding has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The card was looked at, and nothing is in its way.
    Examined,
    /// The gateway has written down with which card it begins.
    Begun,
    /// The card knows its gateway.
    CardBound,
    /// The gateway has burned the binding.
    Burned,
    /// The card serves the gateway.
    Serving,
}

impl Phase {
    /// Every phase, in order.
    pub(super) const ALL: [Self; 5] = [
        Self::Examined,
        Self::Begun,
        Self::CardBound,
        Self::Burned,
        Self::Serving,
    ];
}

/// What would be burned, or is.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadBack {
    /// The GUID of the card in the reader.
    pub(super) card: Option<String>,
    /// The GUID of the card that the gateway is bound to.
    pub(super) bound_to: Option<String>,
    /// The gateway's own identity: it is drawn with the beginning of the binding.
    pub(super) gateway: Option<String>,
    /// Since when.
    pub(super) since: Option<model::Timestamp>,
    /// SHA-256 of the public key of the card's SIG certificate, behind the beginning of the binding.
    pub(super) card_key: Option<String>,
    /// Who certified the card.
    pub(super) trust_centre: Option<String>,
    /// What has to be so before the card may be bound.
    pub(super) preconditions: Vec<Check>,
    /// Which phases are behind us.
    pub(super) done: Vec<Phase>,
    /// Whether a card is bound only after a confirmation.
    pub(super) waits_for_confirmation: bool,
}

impl ReadBack {
    /// Reads everything back. It waits for the card, and reads files.
    pub(super) fn take(site: &Site) -> Self {
        let inspected = site.card.inspect();
        let mut read = Self {
            waits_for_confirmation: site.bindings.waits_for_confirmation,
            ..Self::default()
        };
        read.take_burned(site);
        let view = inspected.as_ref().ok();
        if let Some(view) = view {
            read.card = view.guid.map(|guid| guid.to_string());
            read.trust_centre.clone_from(&view.trust_centre);
        }
        read.note_phases(site, view);
        read.preconditions = preconditions(site, view);
        if let Err(fault) = &inspected {
            let check = Check::of(What::Reader, false).because(Chain(fault).to_string());
            read.preconditions.insert(0, check);
        }
        read
    }

    fn take_burned(&mut self, site: &Site) {
        let Ok(bindings) = site.source.store.bindings() else {
            return;
        };
        let burned = bindings.binding().ok().flatten();
        let begun = bindings.intent().ok().flatten().map(|intent| intent.binding);
        self.bound_to = burned.as_ref().map(|binding| binding.card.to_string());
        if burned.is_some() {
            self.done.push(Phase::Burned);
        }
        if let Some(binding) = burned.or(begun) {
            self.gateway = Some(binding.gateway.to_string());
            self.since = Some(binding.time);
            self.card_key = Some(binding.card_key.to_string());
            self.done.push(Phase::Begun);
        }
    }

    fn note_phases(&mut self, site: &Site, view: Option<&CardView>) {
        let binding = view.map(|view| view.binding);
        if view.is_some_and(|view| view.guid.is_some() && view.is_in_order()) {
            self.done.push(Phase::Examined);
        }
        if matches!(binding, Some(BindingOfCard::Begun | BindingOfCard::Here)) {
            self.done.push(Phase::CardBound);
        }
        if site.bindings.standing.borrow().identity.is_some() {
            self.done.push(Phase::Serving);
        }
    }

    /// Returns whether the card in the reader may be bound now.
    pub(super) fn is_ready(&self) -> bool {
        let is_sound = |check: &Check| check.verdict != Verdict::Problem;
        self.bound_to.is_none() && self.card.is_some() && self.preconditions.iter().all(is_sound)
    }

    /// Returns whether gateway and card are one unit, and serve.
    pub(super) fn is_done(&self) -> bool {
        self.done.contains(&Phase::Burned) && self.done.contains(&Phase::Serving)
    }
}

/// Says what has to be so before a card may be bound, and whether it is.
fn preconditions(site: &Site, view: Option<&CardView>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(view) = view {
        let is_readable = view.guid.is_some();
        checks.push(Check::of(What::Guid, is_readable));
        checks.push(
            Check::of(What::BoundTo, view.binding != BindingOfCard::Elsewhere)
                .measured(view.binding.to_string()),
        );
        checks.extend(card::obstacles(view));
    }
    checks.push(device::clock());
    checks.extend(device::bindings(site));
    checks
}
