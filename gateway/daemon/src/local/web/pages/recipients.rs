//! Who was given what, and the consumer's restrictions of it.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use model::{ConsumerEvent, Effect, ElementPattern, MeterId, Restriction, Span};
use serde::Deserialize;

use super::super::asked::{Form, Query};
use super::super::deliveries::{self, Entry, is_own, restrictions_of};
use super::super::denials::why;
use super::super::gate::GateError;
use super::super::home_assistant::SWITCH;
use super::super::language::Language;
use super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::roster::Own;
use super::super::zone::Zone;
use super::now::see;
use super::{Frame, rendered, working};
use crate::clock;
use crate::local::grants::Order;
use crate::report::Chain;
use crate::threads;

/// The coarsest steps that a consumer can choose, in seconds.
const HOUR_SECONDS: u32 = 3_600;
const DAY_SECONDS: u32 = 86_400;

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/recipients", get(page))
        .route("/recipients/restrict", post(restrict))
        .route("/recipients/lift", post(lift))
}

/// An entry of the consumer log, as the page shows it.
pub(super) struct Line {
    pub(super) time: String,
    pub(super) who: String,
    pub(super) what: String,
    pub(super) purpose: String,
    pub(super) resolution: String,
    pub(super) outcome: String,
    /// The place in the log, if values left.
    pub(super) sent: Option<u64>,
}

/// A restriction as the page shows it.
struct Restricted {
    id: u64,
    text: String,
    may_lift: bool,
}

#[derive(Template)]
#[template(path = "web/recipients.html")]
struct RecipientsPage {
    frame: Frame,
    form_token: String,
    lines: Vec<Line>,
    older: Option<u64>,
    suppliers: Vec<String>,
    meters: Vec<String>,
    is_for_all: bool,
    restrictions: Vec<Restricted>,
    /// Why the restrictions cannot be read.
    fault: Option<String>,
    home: Option<HomeAssistantLine>,
}

/// What the consumer's own Home Assistant is told, as the page shows it.
struct HomeAssistantLine {
    broker: String,
    elements: Vec<String>,
    is_on: bool,
}

#[derive(Deserialize, schemars::JsonSchema)]
pub(in super::super) struct Before {
    /// Only what is older than the entry of this number.
    pub(in super::super) before: Option<u64>,
}

async fn page(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Query(Before { before }): Query<Before>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let frame = consumer.member.frame(&portal);
    let form_token = consumer.member.session.form_token.reveal().to_string();
    let own = consumer.own;
    let account = consumer.member.session.identity.name;
    let page = working(language, move || {
        let log = deliveries::read(portal.source.journal.logs(), &own, before)?;
        let restrictions = portal.granting.restrictions();
        let fault = restrictions.as_ref().err().map(|fault| Chain(fault).to_string());
        let restrictions = restrictions_of(&own, restrictions.unwrap_or_default());
        let known = portal
            .granting
            .suppliers()
            .into_iter()
            .map(|supplier| supplier.name);
        Ok::<_, RecipientsError>(RecipientsPage {
            frame,
            form_token,
            lines: log
                .entries
                .iter()
                .map(|entry| line(language, &portal.zone, entry))
                .collect(),
            older: log.before,
            suppliers: known.collect(),
            meters: meters_of(&portal, &own)?,
            is_for_all: own == Own::All,
            restrictions: restrictions
                .iter()
                .map(|one| restricted(language, &portal.zone, &own, one))
                .collect(),
            fault,
            home: home_assistant(&portal, &account)?,
        })
    });
    rendered(language, &page.await?)
}

/// Says what the account's own Home Assistant is told, if the configuration knows one of it.
fn home_assistant(portal: &Portal, account: &str) -> Result<Option<HomeAssistantLine>, GateError> {
    let config = portal.home_assistant.as_ref();
    let Some(config) = config.filter(|config| config.account == account) else {
        return Ok(None);
    };
    let tokens = portal.gate.tokens(account)?;
    Ok(Some(HomeAssistantLine {
        broker: config.broker.to_string(),
        elements: config.elements.iter().map(ElementPattern::to_string).collect(),
        is_on: tokens.iter().any(|token| token.name == SWITCH),
    }))
}

/// The reason why the page cannot be made.
#[derive(Debug, thiserror::Error)]
enum RecipientsError {
    #[error("the consumer log cannot be read")]
    Log(#[from] store::LogError),
    #[error("the last values cannot be read")]
    Database(#[from] store::DatabaseError),
    #[error(transparent)]
    Gate(#[from] GateError),
}

fn meters_of(portal: &Portal, own: &Own) -> Result<Vec<String>, store::DatabaseError> {
    let seen = see(portal, own, clock::now())?;
    let mut meters: Vec<_> = seen
        .iter()
        .map(|one| one.last.element.meter.to_string())
        .collect();
    meters.sort();
    meters.dedup();
    Ok(meters)
}

pub(super) fn line(language: Language, zone: &Zone, entry: &Entry) -> Line {
    let words = language.words();
    let time = language.time(zone, entry.time);
    let bare = |who: &str, what: String| Line {
        time: time.clone(),
        who: who.to_owned(),
        what,
        purpose: String::new(),
        resolution: String::new(),
        outcome: String::new(),
        sent: None,
    };
    let asked = |elements: &ElementPattern, period: &model::Period| {
        let (from, to) = (
            language.time(zone, period.from()),
            language.time(zone, period.to()),
        );
        format!("{elements}, {from} – {to}")
    };
    match &entry.event {
        ConsumerEvent::Answered {
            name,
            purpose,
            elements,
            period,
            resolution,
            aggregation,
            values,
            pseudonymous,
            ..
        } => {
            let purposes: Vec<_> = purpose.iter().map(ToString::to_string).collect();
            let outcome = format!("{} {values} {}", words.given, words.values);
            Line {
                purpose: purposes.join(", "),
                resolution: format!("{resolution}, {aggregation}"),
                outcome: if *pseudonymous {
                    format!("{outcome}, {}", words.under_a_pseudonym)
                } else {
                    outcome
                },
                sent: (*values > 0).then_some(entry.sequence),
                ..bare(name.as_str(), asked(elements, period))
            }
        }
        ConsumerEvent::Denied {
            name,
            code,
            elements,
            period,
            resolution,
            ..
        } => Line {
            resolution: resolution.to_string(),
            outcome: format!("{} ({})", words.refused, why(language, code.as_str())),
            ..bare(name.as_str(), asked(elements, period))
        },
        ConsumerEvent::GrantsChanged { .. } => bare("", words.grants_changed.to_owned()),
        ConsumerEvent::Restricted { restriction } => bare("", told(words.restricted, language, restriction)),
        ConsumerEvent::RestrictionLifted { restriction } => {
            bare("", told(words.lifted, language, restriction))
        }
    }
}

/// Tells of a restriction.
fn told(what: &str, language: Language, restriction: &Restriction) -> String {
    let words = language.words();
    let supplier = restriction.supplier.as_ref();
    let supplier = supplier.map_or(words.all_suppliers, |supplier| supplier.name.as_str());
    let effect = match restriction.effect {
        Effect::Object => words.effect_object.to_owned(),
        Effect::Coarser(finest) => format!("{} ≥ {finest}", words.resolution),
    };
    format!("{what}: {supplier}, {}, {effect}", restriction.elements)
}

fn restricted(language: Language, zone: &Zone, own: &Own, one: &Restriction) -> Restricted {
    let since = language.time(zone, one.from);
    let number = format!("{}", one.id);
    Restricted {
        id: one.id,
        text: format!(
            "{} {} {since}",
            told(&number, language, one),
            language.words().since
        ),
        may_lift: is_own(own, &one.elements),
    }
}

#[derive(Deserialize)]
struct RestrictForm {
    /// The supplier's name; empty for all.
    supplier: String,
    /// The meter; empty for all.
    meter: String,
    effect: String,
    form: String,
}

impl RestrictForm {
    /// Reads what is wanted; `None` if it is nothing that the page offers.
    fn order(&self, own: &Own) -> Option<Order> {
        let elements = match self.meter.as_str() {
            "" => ElementPattern::ANY,
            meter => ElementPattern {
                meter: Some(meter.parse::<MeterId>().ok()?),
                ..ElementPattern::ANY
            },
        };
        let effect = match self.effect.as_str() {
            "object" => Effect::Object,
            "hour" => Effect::Coarser(Span::from_seconds(HOUR_SECONDS)?),
            "day" => Effect::Coarser(Span::from_seconds(DAY_SECONDS)?),
            _ => return None,
        };
        is_own(own, &elements).then(|| Order {
            supplier: (!self.supplier.is_empty()).then(|| self.supplier.clone()),
            elements,
            effect,
            from: None,
        })
    }
}

async fn restrict(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Form(form): Form<RestrictForm>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    consumer.member.check(&form.form)?;
    let order = form.order(&consumer.own).ok_or(Barrier::Forbidden(language))?;
    carried_out(language, move || portal.granting.restrict(order).map(drop)).await
}

#[derive(Deserialize)]
struct LiftForm {
    id: u64,
    form: String,
}

async fn lift(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Form(form): Form<LiftForm>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    consumer.member.check(&form.form)?;
    let granting = portal.granting.clone();
    let all = working(language, move || granting.restrictions()).await?;
    let meant = all.iter().find(|restriction| restriction.id == form.id);
    if !meant.is_some_and(|restriction| is_own(&consumer.own, &restriction.elements)) {
        return Err(Barrier::Forbidden(language));
    }
    carried_out(language, move || portal.granting.lift(form.id).map(drop)).await
}

/// Has an order carried out, and shows the page again or why it was not.
async fn carried_out<E: std::error::Error + Send + 'static>(
    language: Language,
    order: impl FnOnce() -> Result<(), E> + Send + 'static,
) -> Result<Response, Barrier> {
    match threads::blocking(order).await {
        Ok(Ok(())) => Ok(Redirect::to("/recipients").into_response()),
        Ok(Err(refusal)) => Err(Barrier::Refused(language, Chain(&refusal).to_string())),
        Err(error) => Err(Barrier::failed(language, &error)),
    }
}
