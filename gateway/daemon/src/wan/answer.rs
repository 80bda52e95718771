//! The answer to a supplier's request. Values get into it as `Granted` and in no other way.

use authorization::{Denied, Granted, decide};
use messages::content::{Answer, MessageId, Refusal, Request};
use model::{CardId, Gap, Period, Query, Reading, Series, Timestamp};
use store::Store;

use super::rejection::Rejection;
use crate::card::Bundle;
use crate::random;

/// The greatest number of rows that one answer is made from: 300 days of quarter hours of four
/// elements, which stays below the size of a message.
const MAX_ROWS: usize = 115_200;

/// Decides each query and answers it from the store, or says why not.
pub(super) fn answer(
    request: &Request,
    bundle: &Bundle,
    store: &Store,
    gateway: CardId,
    now: Timestamp,
) -> Result<Answer, Rejection> {
    let mut released = Vec::new();
    let mut refusals = Vec::new();
    let mut room = MAX_ROWS;
    for query in &request.queries {
        match decide(query, request.sender, bundle.grants(), now) {
            Ok(granted) => {
                note(&granted, request);
                released.push(release(granted, store, &mut room)?);
            }
            Err(denied) => {
                tracing::info!(
                    supplier = %request.sender,
                    elements = %query.elements,
                    code = denied.reason.code(),
                    rule = denied.rule,
                    "denied: {}",
                    denied.reason
                );
                refusals.push(refusal(query, &denied)?);
            }
        }
    }
    let id = MessageId::new(random::bytes()?);
    Ok(assemble(id, request, gateway, now, released, refusals))
}

/// Puts the answer together. This is the only place that takes values out of a `Granted`.
fn assemble(
    id: MessageId,
    request: &Request,
    gateway: CardId,
    now: Timestamp,
    released: Vec<Granted<Vec<Series>>>,
    refusals: Vec<Refusal>,
) -> Answer {
    let own = released
        .into_iter()
        .filter(|granted| granted.supplier() == request.sender);
    Answer {
        id,
        in_reply_to: request.id,
        gateway,
        supplier: request.sender,
        time: now,
        series: own.flat_map(Granted::into_inner).collect(),
        refusals,
    }
}

fn note(granted: &Granted<Query>, request: &Request) {
    let query = granted.query();
    let rules: Vec<_> = granted.rules().map(|rule| rule.id).collect();
    tracing::info!(
        supplier = %request.sender,
        elements = %query.elements,
        from = %query.period.from(),
        to = %query.period.to(),
        resolution = %query.resolution,
        rules = rules.join(", "),
        "granted"
    );
}

/// Reads what is granted, page by page, and lets the grant decide once more what goes out.
fn release(
    granted: Granted<Query>,
    store: &Store,
    room: &mut usize,
) -> Result<Granted<Vec<Series>>, Rejection> {
    let query = granted.query();
    let mut readings: Vec<Reading> = Vec::new();
    let mut gaps: Vec<Gap> = Vec::new();
    let mut rest: Option<Period> = Some(query.period);
    while let Some(period) = rest {
        let page = store.database().readings(&query.elements, period)?;
        let rows = page.readings.len().saturating_add(page.gaps.len());
        *room = room
            .checked_sub(rows)
            .ok_or(Rejection::TooMuch { limit: MAX_ROWS })?;
        if !page.damaged.is_empty() {
            tracing::error!(
                rows = page.damaged.len(),
                "damaged readings were left out of an answer"
            );
        }
        readings.extend(page.readings);
        gaps.extend(page.gaps);
        rest = page.rest;
    }
    Ok(granted.release(readings, gaps))
}

fn refusal(query: &Query, denied: &Denied) -> Result<Refusal, Rejection> {
    let rule = denied.rule.as_deref().map(str::parse).transpose();
    Ok(Refusal {
        query: query.clone(),
        code: denied.reason.code().parse().map_err(|_| Rejection::WrongKind)?,
        reason: denied
            .reason
            .to_string()
            .parse()
            .map_err(|_| Rejection::WrongKind)?,
        rule: rule.map_err(|_| Rejection::WrongKind)?,
    })
}
