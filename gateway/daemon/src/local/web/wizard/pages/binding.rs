//! The page of the binding.

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;

use super::super::super::asked::Form;
use super::super::super::pages::{Frame, rendered, working};
use super::super::super::portal::{AsTechnician, Barrier, Member, Portal};
use super::super::binding::{CHARACTERS, Phase, ReadBack};
use super::super::book::Step;
use super::super::words::{self, Words};
use super::super::work::Job;
use super::view::{CheckLine, StepView, Telling};
use super::{Faults, Typed, begin, frame, show};

pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/wizard/binding/confirm", post(confirm))
}

struct PhaseLine {
    text: &'static str,
    is_done: bool,
}

#[derive(Template)]
#[template(path = "web/wizard/binding.html")]
struct BindingPage {
    frame: Frame,
    words: &'static Words,
    view: StepView,
    read: ReadBack,
    since: Option<String>,
    preconditions: Vec<CheckLine>,
    phases: Vec<PhaseLine>,
    is_ready: bool,
    is_done: bool,
    has_begun: bool,
    entered: String,
    fault: Option<&'static str>,
}

/// Reads everything back from card and store, and shows it.
pub(super) async fn page(portal: &Portal, technician: &Member, faults: Faults) -> Result<Response, Barrier> {
    let language = technician.language;
    let site = portal.wizard.site.clone();
    let read = working(language, move || {
        Ok::<_, std::convert::Infallible>(ReadBack::take(&site))
    })
    .await?;
    let phases = Phase::ALL.into_iter().map(|phase| PhaseLine {
        text: words::phase(language, phase),
        is_done: read.done.contains(&phase),
    });
    let page = BindingPage {
        frame: frame(portal, technician, Step::Binding),
        words: words::words(language),
        since: read.since.map(|since| language.time(&portal.zone, since)),
        preconditions: CheckLine::all(Telling::now(portal, language), &read.preconditions),
        phases: phases.collect(),
        is_ready: read.is_ready(),
        is_done: read.is_done(),
        has_begun: read.done.contains(&Phase::Begun) && read.bound_to.is_none(),
        fault: faults.characters.as_ref().map(|typed| typed.fault),
        entered: faults
            .characters
            .as_ref()
            .map(|typed| typed.text.clone())
            .unwrap_or_default(),
        view: StepView::of(portal, technician, Step::Binding, faults),
        read,
    };
    rendered(language, &page)
}

#[derive(Deserialize)]
struct Confirming {
    form: String,
    #[serde(default)]
    characters: String,
}

async fn confirm(
    Shared(portal): Shared<Portal>,
    AsTechnician(technician): AsTechnician,
    Form(form): Form<Confirming>,
) -> Result<Response, Barrier> {
    technician.check(&form.form)?;
    let characters = form.characters.trim().to_owned();
    let words = words::words(technician.language);
    let faulty = |fault| Faults {
        characters: Some(Typed {
            text: form.characters.clone(),
            fault,
        }),
        ..Faults::default()
    };
    let is_permitted = |character: char| character.is_ascii_hexdigit() || character == ':';
    if characters.chars().count() != CHARACTERS || !characters.chars().all(is_permitted) {
        return show(&portal, &technician, Step::Binding, faulty(words.confirm_four)).await;
    }
    // The card has the last word on this; but who has mistyped hears it at the field, and nothing is begun.
    let site = portal.wizard.site.clone();
    let inspected = working(technician.language, move || {
        Ok::<_, std::convert::Infallible>(site.card.inspect())
    })
    .await?;
    // A card that was pulled meanwhile can be put back, and the form sent again.
    let fault = match inspected.ok().and_then(|view| view.guid) {
        None => Some(words.confirm_no_card),
        Some(guid) => (!crate::card::are_last_characters(guid, &characters)).then_some(words.confirm_other),
    };
    if let Some(fault) = fault {
        return show(&portal, &technician, Step::Binding, faulty(fault)).await;
    }
    begin(&portal, &technician, Step::Binding, Job::Bind(characters)).await
}
