//! The answer to a supplier's request. Values get into it as `Granted` and in no other way.

use std::collections::BTreeSet;

use authorization::{Denied, Granted, decide};
use messages::content::{Answer, MessageId, Refusal, Request};
use model::{
    CardId, ConsumerEvent, Fingerprint, Gap, LogText, Period, Purpose, Query, Reading, Series, Timestamp,
};
use store::Store;

use super::rejection::Rejection;
use crate::card::Bundle;
use crate::random;

/// The greatest number of rows that one answer is made from: 300 days of quarter hours of four
/// elements, which stays below the size of a message.
const MAX_ROWS: usize = 115_200;

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
    },
    /// It was denied.
    Denied {
        code: &'static str,
        rule: Option<String>,
    },
}

impl Outcome {
    /// Says by which rules a query was granted, and for which purposes; no value is counted yet.
    fn of(granted: &Granted<Query>) -> Self {
        let purpose: BTreeSet<Purpose> = granted.rules().map(|rule| rule.purpose.clone()).collect();
        Self::Answered {
            rules: granted.rules().map(|rule| rule.id.to_owned()).collect(),
            purpose: purpose.into_iter().collect(),
            values: 0,
        }
    }
}

impl Note {
    fn new(request: &Request, bundle: &Bundle, query: &Query, outcome: Outcome) -> Self {
        let supplier = bundle.supplier(request.sender);
        Self {
            supplier: request.sender,
            name: LogText::cut(supplier.map_or("", |supplier| supplier.name.as_str())),
            request: LogText::cut(&request.id.to_string()),
            query: query.clone(),
            outcome,
        }
    }

    /// Says how many values are handed out.
    fn with_values(mut self, count: usize) -> Self {
        if let Outcome::Answered { values, .. } = &mut self.outcome {
            *values = u64::try_from(count).unwrap_or(u64::MAX);
        }
        self
    }

    /// Returns the entry, once it is known how long the message is that carries the answer.
    pub(super) fn into_event(self, bytes: u64) -> ConsumerEvent {
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
        } = query;
        match outcome {
            Outcome::Answered {
                rules,
                purpose,
                values,
            } => ConsumerEvent::Answered {
                supplier,
                name,
                request,
                rules,
                purpose,
                elements,
                period,
                resolution,
                values,
                bytes,
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
            },
        }
    }
}

/// Decides each query and answers it from the store, or says why not.
pub(super) fn answer(
    request: &Request,
    bundle: &Bundle,
    store: &Store,
    gateway: CardId,
    now: Timestamp,
) -> Result<(Answer, Vec<Note>), Rejection> {
    let mut released = Vec::new();
    let mut notes = Vec::new();
    let mut refusals = Vec::new();
    let mut room = MAX_ROWS;
    for query in &request.queries {
        match decide(query, request.sender, bundle.grants(), now) {
            Ok(granted) => {
                trace(&granted, request);
                let note = Note::new(request, bundle, granted.query(), Outcome::of(&granted));
                released.push((release(granted, store, &mut room)?, note));
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
                notes.push(Note::new(request, bundle, query, Outcome::Denied { code, rule }));
            }
        }
    }
    let id = MessageId::new(random::bytes()?);
    let (answer, answered) = assemble(id, request, gateway, now, released, refusals);
    notes.extend(answered);
    Ok((answer, notes))
}

/// Puts the answer together. This is the only place that takes values out of a `Granted`.
fn assemble(
    id: MessageId,
    request: &Request,
    gateway: CardId,
    now: Timestamp,
    released: Vec<(Granted<Vec<Series>>, Note)>,
    refusals: Vec<Refusal>,
) -> (Answer, Vec<Note>) {
    let own = released
        .into_iter()
        .filter(|(granted, _)| granted.supplier() == request.sender);
    let (series, notes): (Vec<_>, Vec<_>) = own
        .map(|(granted, note)| {
            let series = granted.into_inner();
            let values = series.iter().map(|series| series.points().count()).sum();
            (series, note.with_values(values))
        })
        .unzip();
    let answer = Answer {
        id,
        in_reply_to: request.id,
        gateway,
        supplier: request.sender,
        time: now,
        series: series.into_iter().flatten().collect(),
        refusals,
    };
    (answer, notes)
}

fn trace(granted: &Granted<Query>, request: &Request) {
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

#[cfg(test)]
mod tests {
    use messages::content::MessageId;
    use model::LogEvent;

    use super::*;

    fn note(outcome: Outcome) -> Note {
        let at = |text: &str| text.parse().unwrap();
        let period = Period::new(at("2026-11-22T00:00:00Z"), at("2026-11-23T00:00:00Z"));
        Note {
            supplier: Fingerprint::new([1; 32]),
            name: LogText::cut("Stadtwerke"),
            request: LogText::cut(&MessageId::new([0xab; 16]).to_string()),
            query: Query {
                elements: "*/1-0:1.8.0*255".parse().unwrap(),
                period: period.unwrap(),
                resolution: model::Span::QUARTER_HOUR,
            },
            outcome,
        }
    }

    #[test]
    fn the_consumer_reads_who_was_given_what_and_for_which_purpose() {
        let answered = note(Outcome::Answered {
            rules: vec!["billing".to_owned()],
            purpose: vec!["billing by consumption".parse().unwrap()],
            values: 96,
        });
        let event = LogEvent::from(answered.into_event(4_711));
        let json = serde_json::to_value(&event).unwrap();
        for (key, value) in [
            ("event", "answered"),
            ("name", "Stadtwerke"),
            ("request", "abababababababababababababababab"),
        ] {
            assert_eq!(json[key], value);
        }
        assert_eq!(
            (json["values"].as_u64(), json["bytes"].as_u64()),
            (Some(96), Some(4_711))
        );
        assert!(
            event
                .to_string()
                .ends_with("every PT15M, for billing by consumption"),
            "{event}"
        );
    }

    #[test]
    fn the_consumer_reads_what_was_denied_and_by_which_rule() {
        let denied = note(Outcome::Denied {
            code: "too-fine",
            rule: Some("billing".to_owned()),
        });
        let event = LogEvent::from(denied.into_event(100));
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            (&json["code"], &json["rule"]),
            (&"too-fine".into(), &"billing".into())
        );
        assert_eq!(event.code(), "SMGW-L-2002");
    }
}
