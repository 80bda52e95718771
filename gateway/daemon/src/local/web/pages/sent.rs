//! What exactly was sent with one delivery of the consumer log.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::super::asked::Query;
use super::super::language::Language;
use super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::sent::{self, Delivery, Kept, Message, Point, remarks};
use super::super::zone::Zone;
use super::recipients::{Line as Entry, line as entry_line};
use super::{Frame, rendered, working};

/// The values of a page; a message has up to some ten thousand.
const PAGE: usize = 200;

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/recipients/sent", get(page))
        .route("/recipients/sent.json", get(json))
}

#[derive(Deserialize)]
struct Wanted {
    /// The place of the delivery in the consumer log.
    entry: u64,
    /// How many values to pass over.
    #[serde(default)]
    skip: usize,
}

/// A value as the page shows it: as it was sent, without any rounding or conversion.
struct Line {
    time: String,
    /// The time as it was sent, for programs.
    sent_time: String,
    element: String,
    value: Option<String>,
    remark: String,
}

/// What is shown of a message.
struct Shown {
    digest: String,
    is_whole: bool,
    values: usize,
    lines: Vec<Line>,
    more: Option<usize>,
}

#[derive(Template)]
#[template(path = "web/sent.html")]
struct SentPage {
    frame: Frame,
    sequence: u64,
    hash: String,
    entry: Entry,
    /// The digest of what is not shown, and why not.
    missing: Option<(&'static str, String)>,
    shown: Option<Shown>,
}

async fn page(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let frame = consumer.member.frame(&portal);
    let zone = portal.zone.clone();
    let (entry, skip) = (wanted.entry, wanted.skip);
    let found = find(&portal, consumer, entry).await?;
    let words = language.words();
    let missing = |text, digest: Option<model::Fingerprint>| {
        let digest = digest.map(|digest| digest.to_string());
        Some((text, digest.unwrap_or_default()))
    };
    let (missing, shown) = match &found.kept {
        Kept::Nothing => (missing(words.sent_nothing, None), None),
        Kept::Forgotten(digest) => (missing(words.sent_forgotten, Some(*digest)), None),
        Kept::Damaged(digest) => (missing(words.sent_damaged, Some(*digest)), None),
        Kept::Here(message) => (None, Some(show(language, &zone, message, skip))),
    };
    let page = SentPage {
        frame,
        sequence: entry,
        hash: found.hash.to_string(),
        entry: entry_line(language, &zone, &found.entry),
        missing,
        shown,
    };
    rendered(language, &page)
}

/// Hands out the message as JSON, word for word, so that its digest can be checked with any tool.
async fn json(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let found = find(&portal, consumer, wanted.entry).await?;
    let Kept::Here(Message { json: Some(json), .. }) = found.kept else {
        return Err(Barrier::Missing(language));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"sent.json\""),
    ];
    Ok((headers, json.to_vec()).into_response())
}

async fn find(portal: &Portal, consumer: AsConsumer, sequence: u64) -> Result<Delivery, Barrier> {
    let language = consumer.member.language;
    let (journal, store) = (portal.source.journal.clone(), portal.source.store.clone());
    let found = working(language, move || {
        sent::find(journal.logs(), store.sent(), &consumer.own, sequence)
    });
    found.await?.ok_or(Barrier::Missing(language))
}

fn show(language: Language, zone: &Zone, message: &Message, skip: usize) -> Shown {
    let values = message.points().count();
    let points = message.points().skip(skip).take(PAGE);
    let next = skip.saturating_add(PAGE);
    Shown {
        digest: message.digest.to_string(),
        is_whole: message.json.is_some(),
        values,
        lines: points.map(|point| line(language, zone, &point)).collect(),
        more: (next < values).then_some(next),
    }
}

fn line(language: Language, zone: &Zone, point: &Point<'_>) -> Line {
    let words = language.words();
    let remark = match point.value {
        Ok(_) => remarks(language, point.status),
        Err(Some(reason)) => words.gap(reason).to_owned(),
        Err(None) => words.nothing_registered.to_owned(),
    };
    let unit = point.series.unit.symbol();
    Line {
        time: format!(
            "{} ({})",
            language.time(zone, point.time),
            zone.offset(point.time)
        ),
        sent_time: point.time.to_string(),
        element: model::ElementPattern::from(point.series.element.clone()).to_string(),
        value: point.value.ok().map(|value| format!("{value} {unit}")),
        remark,
    }
}
