//! The registers behind what the history shows, as XML by AR 2418-6.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::{MeterId, Timestamp, Unit};

use super::super::asked::Query;
use super::super::portal::{AsConsumer, Barrier, Portal};
use super::super::transparency::{MEDIA_TYPE, Origin, write};
use super::history::{Wanted, find};
use super::working;
use crate::clock;

pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/history.xml", get(xml))
}

async fn xml(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Barrier> {
    let language = consumer.member.language;
    let written = working(language, move || {
        let now = clock::now();
        let found = find(&portal, &consumer.own, &wanted)?;
        let Some(history) = found.history else {
            return Ok(None);
        };
        let mut known = found.elements.iter();
        let known = known.find(|one| one.last.element == history.element);
        let unit = known.map_or(Unit::One, |one| one.last.quantity.unit);
        let ends = history.rows.first().zip(history.rows.last());
        let period = ends.map(|(first, last)| (first.from, last.to));
        let account = &consumer.member.session.identity.name;
        let origin = origin(&portal, (account, &history.element.meter), now);
        let written = period.and_then(|period| {
            write(
                &origin,
                &portal.zone,
                (&history.element, unit),
                period,
                &history.registers,
            )
        });
        Ok::<_, store::DatabaseError>(written)
    });
    let written = written.await?.ok_or(Barrier::Missing(language))?;
    let headers = [
        (header::CONTENT_TYPE, MEDIA_TYPE),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"history.xml\"",
        ),
    ];
    Ok((headers, written).into_response())
}

fn origin(portal: &Portal, (customer, meter): (&str, &MeterId), time: Timestamp) -> Origin {
    let standing = portal.source.standing.borrow();
    let identity = standing.identity.as_ref();
    let certificate = identity.map(|identity| identity.card.sig.certificate().as_der().to_vec());
    Origin {
        guid: standing.bound_to,
        certificate,
        version: env!("CARGO_PKG_VERSION"),
        customer: customer.to_owned(),
        metering_point: portal.wizard.metering_point(meter),
        time,
    }
}
