//! The answer to a supplier's request. Values get into it as `Granted` and in no other way.

use std::collections::BTreeSet;

use authorization::{Asker, Denied, Granted, Registration, Release, Released, Rules, decide};
use messages::content::{Answer, Content, ContentError, MessageId, Refusal, Request};
use messages::envelope::MAX_FRAME;
use model::{
    Aggregation, CardId, ConsumerEvent, DeliveryRule, Element, Fingerprint, LogText, MeterId, Period,
    Pseudonym, Purpose, Query, Reading, Series, Span, Timestamp,
};
use store::{Asked, Store};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::rejection::Rejection;
use crate::card::Bundle;
use crate::grants::{Pace, Pacing, Restrictions};
use crate::metering::MeterView;
use crate::random;

/// How many bytes of an answer a row takes at most, as a rule: a value has some ten digits, and its status one.
const BYTES_OF_A_ROW: usize = 64;

/// The greatest number of rows that are read for the first step of an aggregation: a year of quarter hours of 30 elements,
/// which takes seconds.
const MAX_STEP: usize = 1 << 20;

/// How often an answer that turns out too long is made from half as many rows.
const MAX_HALVINGS: usize = 4;

/// What a pseudonym begins with: no meter's identity does, which has a manufacturer in capitals, or a maker's name.
const PSEUDONYM: &str = "pseudonym-";

/// How many bytes of the MAC a pseudonym has: as many as find room in a meter's identity, and more than anybody guesses.
const PSEUDONYM_BYTES: usize = 15;

/// How much an answer may hold; what finds no room is left to the next request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The number of rows behind which no further page of the store is read.
    rows: usize,
    /// The length of the longest content, in bytes.
    bytes: usize,
}

impl Room {
    /// Returns the room in a message of this length, in bytes.
    pub(super) const fn of_message(longest: usize) -> Self {
        let bytes = longest.saturating_sub(MAX_FRAME);
        Self {
            rows: bytes / BYTES_OF_A_ROW,
            bytes,
        }
    }

    const fn halved(self) -> Self {
        Self {
            rows: self.rows / 2,
            ..self
        }
    }
}

/// An answer as it is sealed, and what the consumer's log says about it.
pub(super) struct Written {
    /// The answer's id.
    pub(super) id: MessageId,
    /// The answer in JSON.
    pub(super) json: Zeroizing<Vec<u8>>,
    /// The entries.
    pub(super) notes: Vec<Note>,
    /// What may not be asked for again at once.
    pub(super) asked: Vec<Asked>,
}

/// What the consumer's log is to say about one query.
pub(super) struct Note {
    supplier: Fingerprint,
    name: LogText,
    request: LogText,
    query: Query,
    outcome: Outcome,
}

/// What became of a query.
enum Outcome {
    /// It was granted, by these rules.
    Answered {
        rules: Vec<String>,
        purpose: Vec<Purpose>,
        values: u64,
        /// Whether pseudonyms stand for the meters.
        pseudonymous: bool,
    },
    /// It was denied.
    Denied {
        code: &'static str,
        rule: Option<String>,
    },
}

impl Outcome {
    /// Says by which rules a query was granted, and for which purposes; no value is counted yet.
    fn of(granted: &Granted<'_, Query>) -> Self {
        let purpose: BTreeSet<Purpose> = granted.rules().map(|rule| rule.purpose.clone()).collect();
        Self::Answered {
            rules: granted.rules().map(|rule| rule.id.to_owned()).collect(),
            purpose: purpose.into_iter().collect(),
            values: 0,
            pseudonymous: granted.pseudonymous().is_some(),
        }
    }
}

impl Note {
    fn new(request: &Request, name: &str, query: &Query, outcome: Outcome) -> Self {
        Self {
            supplier: request.sender,
            name: LogText::cut(name),
            request: LogText::cut(&request.id.to_string()),
            query: query.clone(),
            outcome,
        }
    }

    /// Returns whether values are handed out.
    pub(super) const fn has_values(&self) -> bool {
        matches!(self.outcome, Outcome::Answered { values, .. } if values > 0)
    }

    /// Says how many values are handed out.
    fn with_values(mut self, count: usize) -> Self {
        if let Outcome::Answered { values, .. } = &mut self.outcome {
            *values = u64::try_from(count).unwrap_or(u64::MAX);
        }
        self
    }

    /// Returns the entry, once it is known how long the message is that carries the answer, and the digest of what it says.
    pub(super) fn into_event(self, bytes: u64, content: Option<Fingerprint>) -> ConsumerEvent {
        let Self {
            supplier,
            name,
            request,
            query,
            outcome,
        } = self;
        let Query {
            elements,
            period,
            resolution,
            aggregation,
        } = query;
        match outcome {
            Outcome::Answered {
                rules,
                purpose,
                values,
                pseudonymous,
            } => ConsumerEvent::Answered {
                supplier,
                name,
                request,
                rules,
                purpose,
                elements,
                period,
                resolution,
                aggregation,
                values,
                pseudonymous,
                bytes,
                content,
            },
            Outcome::Denied { code, rule } => ConsumerEvent::Denied {
                supplier,
                name,
                request,
                code: LogText::cut(code),
                rule,
                elements,
                period,
                resolution,
                aggregation,
            },
        }
    }
}

/// What queries are answered from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    /// What is registered.
    pub(super) store: &'a Store,
    /// What is in memory of the meters.
    pub(super) meters: &'a watch::Receiver<Vec<MeterView>>,
    /// How often values are registered.
    pub(super) registration_period: Span,
    /// What is held in memory besides, for a delivery rule.
    pub(super) held: &'a [Reading],
}

impl<'a> Sources<'a> {
    /// Has what is held in memory for a delivery rule answer, too.
    pub(super) const fn with(self, held: &'a [Reading]) -> Self {
        Self { held, ..self }
    }

    /// Returns what is in memory of the elements of a query.
    fn in_memory(self, query: &Query) -> Vec<Reading> {
        let meters = self.meters.borrow();
        let readings = meters.iter().flat_map(MeterView::readings);
        readings
            .chain(self.held.iter().cloned())
            .filter(|reading| query.elements.matches(&reading.element))
            .collect()
    }

    /// Gives out what has come in, whole steps held against how often values are registered.
    pub(super) fn finish(self, release: Release<'_>, reached: Option<Timestamp>) -> Released<'_> {
        let is_made = &|element: &Element| self.store.database().is_made(element);
        let period = self.registration_period;
        release.finish(reached, Registration { period, is_made })
    }
}

/// Decides each query and answers it, or says why not, with as much as there is room for: from the store, and the latest
/// values from memory.
pub(super) fn answer(
    request: &Request,
    bundle: &Bundle,
    sources: Sources<'_>,
    gateway: CardId,
    now: Timestamp,
    room: Room,
) -> Result<Written, Rejection> {
    let supplier = bundle.supplier(request.sender);
    let restrictions = Restrictions::of(sources.store, now)?;
    let desk = Desk {
        request,
        rules: Rules {
            grants: bundle.grants(),
            policy: bundle.policy(),
            restrictions: &restrictions,
        },
        pacing: Pacing::Asked,
        name: supplier.map_or("", |supplier| supplier.name.as_str()),
        sources,
        now,
    };
    let (written, _) = desk.write(gateway, room, Content::Answer)?;
    Ok(written)
}

/// Where a request is answered: by which grants, from what, and for when.
pub(super) struct Desk<'a> {
    /// What is asked for, by whom.
    pub(super) request: &'a Request,
    /// The rules of all layers.
    pub(super) rules: Rules<'a>,
    /// Whether it was asked for.
    pub(super) pacing: Pacing,
    /// The supplier's name.
    pub(super) name: &'a str,
    /// Where the values are.
    pub(super) sources: Sources<'a>,
    /// The present time.
    pub(super) now: Timestamp,
}

impl Desk<'_> {
    /// Writes the answer as the content that it goes out in, from fewer rows if it turns out longer than there is room
    /// for; returns with it what is left.
    pub(super) fn write(
        &self,
        gateway: CardId,
        mut room: Room,
        wrap: impl Fn(Answer) -> Content,
    ) -> Result<(Written, Vec<Query>), Rejection> {
        for _ in 0..=MAX_HALVINGS {
            let (answer, notes, asked) = self.answer(gateway, room.rows)?;
            let rest = answer.rest.clone();
            let content = wrap(answer);
            let id = content.id();
            match content.to_json().map(Zeroizing::new) {
                Ok(json) if json.len() <= room.bytes => {
                    let written = Written {
                        id,
                        json,
                        notes,
                        asked,
                    };
                    return Ok((written, rest));
                }
                Ok(_) | Err(ContentError::TooLarge { .. }) => room = room.halved(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Rejection::TooMuch { limit: room.bytes })
    }

    /// Returns the pseudonym by which the supplier gets a meter's values from a delivery rule now.
    fn pseudonym(&self, rule: &DeliveryRule, meter: &MeterId) -> Result<MeterId, Rejection> {
        let made_of = Pseudonym {
            rule,
            recipient: self.request.sender,
            meter,
            at: self.now,
        };
        let label = made_of.label().ok_or(Rejection::WrongKind)?;
        let random = Zeroizing::new(random::bytes()?);
        let tag = self.sources.store.pseudonym(&label, &random)?;
        let (kept, _) = tag.split_at_checked(PSEUDONYM_BYTES).unwrap_or_default();
        let name = format!("{PSEUDONYM}{}", hex::encode(kept));
        name.parse().map_err(|_| Rejection::WrongKind)
    }

    fn answer(&self, gateway: CardId, mut rows: usize) -> Result<(Answer, Vec<Note>, Vec<Asked>), Rejection> {
        let request = self.request;
        let mut parts = Vec::new();
        let mut notes = Vec::new();
        let mut refusals = Vec::new();
        let mut rest = Vec::new();
        let asker = Asker {
            supplier: request.sender,
            name: self.name,
        };
        let database = self.sources.store.database();
        let mut pace = Pace::new(database, request.sender, self.pacing, self.now);
        for query in &request.queries {
            let continues = pace.continues(query)?;
            let decided = pace.decide(continues, |occasion| {
                decide(query, asker, &self.rules, occasion, self.now)
            })?;
            match decided {
                Ok(granted) => {
                    let waiting = pace.grant(continues, &granted)?;
                    pace.belongs(granted.query(), &waiting);
                    if rows == 0 {
                        rest.push(granted.query().clone());
                        continue;
                    }
                    trace(&granted, request);
                    let outcome = Outcome::of(&granted);
                    let released = release(granted, self.sources, &mut rows)?;
                    if let Some(left) = released.rest {
                        pace.belongs(&left, &waiting);
                        rest.push(left);
                    }
                    let note = Note::new(request, self.name, &released.query, outcome);
                    parts.push((released.series, note));
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
                    let (code, rule) = (denied.reason.code(), denied.rule);
                    notes.push(Note::new(
                        request,
                        self.name,
                        query,
                        Outcome::Denied { code, rule },
                    ));
                }
            }
        }
        let name = |rule: &DeliveryRule, meter: &MeterId| self.pseudonym(rule, meter);
        let (series, answered) = unwrap(parts, request.sender, name)?;
        notes.extend(answered);
        let answer = Answer {
            id: MessageId::new(random::bytes()?),
            in_reply_to: request.id,
            gateway,
            supplier: request.sender,
            time: self.now,
            series,
            refusals,
            rest,
        };
        Ok((answer, notes, pace.into_entries()))
    }
}

/// Takes the values of one supplier out of their `Granted`, with pseudonyms where they stand for meters. This is the only
/// place that does, for what is handed out.
fn unwrap(
    parts: Vec<(Granted<'_, Vec<Series>>, Note)>,
    supplier: Fingerprint,
    name: impl Fn(&DeliveryRule, &MeterId) -> Result<MeterId, Rejection>,
) -> Result<(Vec<Series>, Vec<Note>), Rejection> {
    let own = parts
        .into_iter()
        .filter(|(granted, _)| granted.supplier() == supplier);
    let (mut all, mut notes) = (Vec::new(), Vec::new());
    for (granted, note) in own {
        let series = granted.into_series(&name)?;
        let values = series.iter().map(|series| series.points().count()).sum();
        all.extend(series);
        notes.push(note.with_values(values));
    }
    Ok((all, notes))
}

fn trace(granted: &Granted<'_, Query>, request: &Request) {
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

/// Reads what is granted, page by page, and lets the grant decide once more what goes out. At least one page is read, and
/// the first step of what is aggregated; none behind the one that brings the rows to an end.
fn release<'a>(
    granted: Granted<'a, Query>,
    sources: Sources<'_>,
    rows: &mut usize,
) -> Result<Released<'a>, Rejection> {
    let mut release = granted.begin();
    if release.query().aggregation == Aggregation::Latest {
        let readings = sources.in_memory(release.query());
        *rows = rows.saturating_sub(readings.len());
        release.take(readings, []);
        return Ok(sources.finish(release, None));
    }
    let mut rest: Option<Period> = Some(release.query().period);
    let mut scanned: usize = 0;
    while let Some(period) = rest {
        let page = sources
            .store
            .database()
            .readings(&release.query().elements, period)?;
        let read = page.readings.len().saturating_add(page.gaps.len());
        if !page.damaged.is_empty() {
            tracing::error!(
                rows = page.damaged.len(),
                "damaged readings were left out of an answer"
            );
        }
        release.take(page.readings, page.gaps);
        rest = page.rest;
        *rows = rows.saturating_sub(read);
        scanned = scanned.saturating_add(read);
        match rest {
            Some(rest) if *rows == 0 && release.can_stop_at(rest.from()) => break,
            Some(_) if scanned > MAX_STEP => return Err(Rejection::LongStep { limit: MAX_STEP }),
            _ => {}
        }
    }
    Ok(sources.finish(release, rest.map(|rest| rest.from())))
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

#[cfg(test)]
mod tests;
