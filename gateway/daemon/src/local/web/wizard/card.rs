//! The second step: the card, as it says itself and as the gateway judges it.

use super::Site;
use super::check::{Check, Verdict};
use super::what::What;
use crate::card::{BindingOfCard, CardView};
use crate::doctor::card;
use crate::report::Chain;

/// Looks at the card; nothing is changed. It waits for the card, and so belongs on a thread that may block.
pub(super) fn look(site: &Site) -> Vec<Check> {
    match site.card.inspect() {
        Ok(view) => told(&view),
        Err(fault) => vec![Check::of(What::Reader, false).because(Chain(&fault).to_string())],
    }
}

/// What is wrong with the certificates: their chain, the GUID in them, the attestation key.
const FAULTS_OF_CHAIN: [&str; 3] = ["SMGW-C-0212", "SMGW-C-0213", "SMGW-C-0214"];
/// The clock was never set, so that nobody can say.
const CLOCK_UNSET: &str = "SMGW-C-0315";

/// Says whether the certificates lead to the trust centre of the card, if there are any.
fn chain(view: &CardView) -> Option<Check> {
    let has = |codes: &[&str]| {
        view.causes
            .iter()
            .any(|cause| codes.contains(&cause.code.as_str()))
    };
    let verdict = if has(&[CLOCK_UNSET]) {
        Verdict::NotReached
    } else if has(&FAULTS_OF_CHAIN) {
        Verdict::Problem
    } else {
        Verdict::Good
    };
    let is_there = !view.certificates.is_empty();
    is_there.then(|| Check::new(What::Chain, verdict))
}

/// Tells what keeps the card from serving, each with its code and remedy.
pub(super) fn obstacles(view: &CardView) -> impl Iterator<Item = Check> {
    card::obstacles(view).map(|check| Check::examined(What::Obstacle, &check))
}

/// Says what the card says.
pub(super) fn told(view: &CardView) -> Vec<Check> {
    let mut checks = Vec::new();
    let known = |what, text: &Option<String>| text.as_ref().map(|text| Check::of(what, true).measured(text));
    checks.extend(known(What::Reader, &view.reader));
    checks.extend(card::soft(view).map(|check| Check::examined(What::SoftCard, &check)));
    let texts = [
        (What::LifeCycle, view.life_cycle.map(|stage| stage.to_string())),
        (What::Guid, view.guid.map(|guid| guid.to_string())),
        (What::TrustCentre, view.trust_centre.clone()),
    ];
    checks.extend(texts.iter().filter_map(|(what, text)| known(*what, text)));
    let certificates = card::certificates(view, crate::clock::now());
    checks.extend(certificates.map(|check| Check::examined(What::Certificate, &check)));
    checks.extend(chain(view));
    let verdict = match view.binding {
        BindingOfCard::None | BindingOfCard::Begun | BindingOfCard::Here => Verdict::Good,
        BindingOfCard::Unknown => Verdict::NotReached,
        BindingOfCard::Elsewhere => Verdict::Problem,
    };
    checks.push(Check::new(What::BoundTo, verdict).measured(view.binding.to_string()));
    checks.extend(obstacles(view));
    checks
}
