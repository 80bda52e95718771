//! The answer to a supplier's request. Values get into it as `Granted` and in no other way.

use std::collections::BTreeSet;

use authorization::{Denied, Granted, Released, decide};
use messages::content::{Answer, Content, ContentError, MessageId, Refusal, Request};
use messages::envelope::MAX_FRAME;
use model::{CardId, ConsumerEvent, Fingerprint, Grant, LogText, Period, Purpose, Query, Series, Timestamp};
use store::Store;
use zeroize::Zeroizing;

use super::rejection::Rejection;
use crate::card::Bundle;
use crate::random;

/// How many bytes of an answer a row takes at most, as a rule: a value has some ten digits, and its status one.
const BYTES_OF_A_ROW: usize = 64;

/// The greatest number of rows that are read for the first step of an aggregation: a year of quarter hours of 30 elements,
/// which takes seconds.
const MAX_STEP: usize = 1 << 20;

/// How often an answer that turns out too long is made from half as many rows.
const MAX_HALVINGS: usize = 4;

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
            aggregation,
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
                aggregation,
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
                aggregation,
            },
        }
    }
}

/// Decides each query and answers it from the store, or says why not, with as much as there is room for.
pub(super) fn answer(
    request: &Request,
    bundle: &Bundle,
    store: &Store,
    gateway: CardId,
    now: Timestamp,
    room: Room,
) -> Result<Written, Rejection> {
    let supplier = bundle.supplier(request.sender);
    let desk = Desk {
        request,
        grants: bundle.grants(),
        name: supplier.map_or("", |supplier| supplier.name.as_str()),
        store,
        now,
    };
    let (written, _) = desk.write(gateway, room, Content::Answer)?;
    Ok(written)
}

/// Where a request is answered: by which grants, from what, and for when.
pub(super) struct Desk<'a> {
    /// What is asked for, by whom.
    pub(super) request: &'a Request,
    /// What is granted.
    pub(super) grants: &'a [Grant],
    /// The supplier's name.
    pub(super) name: &'a str,
    /// Where the values are.
    pub(super) store: &'a Store,
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
            let (answer, notes) = self.answer(gateway, room.rows)?;
            let rest = answer.rest.clone();
            let content = wrap(answer);
            let id = content.id();
            match content.to_json().map(Zeroizing::new) {
                Ok(json) if json.len() <= room.bytes => return Ok((Written { id, json, notes }, rest)),
                Ok(_) | Err(ContentError::TooLarge { .. }) => room = room.halved(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Rejection::TooMuch { limit: room.bytes })
    }

    fn answer(&self, gateway: CardId, mut rows: usize) -> Result<(Answer, Vec<Note>), Rejection> {
        let request = self.request;
        let mut parts = Vec::new();
        let mut notes = Vec::new();
        let mut refusals = Vec::new();
        let mut rest = Vec::new();
        for query in &request.queries {
            match decide(query, request.sender, self.grants, self.now) {
                Ok(granted) if rows == 0 => rest.push(granted.query().clone()),
                Ok(granted) => {
                    trace(&granted, request);
                    let outcome = Outcome::of(&granted);
                    let released = release(granted, self.store, &mut rows)?;
                    rest.extend(released.rest);
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
        let (series, answered) = unwrap(parts, request.sender);
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
        Ok((answer, notes))
    }
}

/// Takes the values of one supplier out of their `Granted`. This is the only place that does.
fn unwrap(parts: Vec<(Granted<Vec<Series>>, Note)>, supplier: Fingerprint) -> (Vec<Series>, Vec<Note>) {
    let own = parts
        .into_iter()
        .filter(|(granted, _)| granted.supplier() == supplier);
    let (series, notes): (Vec<_>, Vec<_>) = own
        .map(|(granted, note)| {
            let series = granted.into_inner();
            let values = series.iter().map(|series| series.points().count()).sum();
            (series, note.with_values(values))
        })
        .unzip();
    (series.into_iter().flatten().collect(), notes)
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

/// Reads what is granted, page by page, and lets the grant decide once more what goes out. At least one page is read, and
/// the first step of what is aggregated; none behind the one that brings the rows to an end.
fn release(granted: Granted<Query>, store: &Store, rows: &mut usize) -> Result<Released, Rejection> {
    let mut release = granted.begin();
    let mut rest: Option<Period> = Some(release.query().period);
    let mut scanned: usize = 0;
    while let Some(period) = rest {
        let page = store.database().readings(&release.query().elements, period)?;
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
    Ok(release.finish(rest.map(|rest| rest.from())))
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
    use model::{Aggregation, Element, LogEvent, Quantity, Reading, Status, Unit};
    use store::{DeviceKey, Protection, Round};

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
                aggregation: Aggregation::Value,
            },
            outcome,
        }
    }

    const SUPPLIER: Fingerprint = Fingerprint::new([1; 32]);
    const METERS: usize = 90;
    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    /// Two days of 90 meters, each more than a page of the store.
    fn two_days(folder: &std::path::Path) -> Store {
        let key = DeviceKey::read_or_make(folder, [7; DeviceKey::LENGTH].into()).unwrap();
        let store = Store::open(folder, Ok(Protection { key, otp: None })).unwrap();
        for time in (0..2 * DAY).step_by(900).map(at) {
            let readings = (0..METERS).map(|meter| Reading {
                element: Element {
                    meter: format!("M{meter}").parse().unwrap(),
                    obis: "1-0:1.8.0*255".parse().unwrap(),
                },
                time,
                quantity: Quantity {
                    value: "12345.678".parse().unwrap(),
                    unit: Unit::WattHour,
                },
                status: Status::GOOD,
            });
            let round = Round {
                readings: readings.collect(),
                gaps: Vec::new(),
            };
            store.database().register(&round).unwrap();
        }
        store
    }

    fn request(queries: Vec<Query>) -> Request {
        Request {
            id: MessageId::new([2; 16]),
            sender: SUPPLIER,
            recipient: "fd5a::1".parse().unwrap(),
            time: at(2 * DAY),
            queries,
        }
    }

    fn written(store: &Store, request: &Request, room: Room) -> Result<(Answer, Vec<Note>), Rejection> {
        let grant = Grant {
            id: "all".to_owned(),
            supplier: SUPPLIER,
            elements: vec![model::ElementPattern::ANY],
            finest: model::Span::QUARTER_HOUR,
            aggregations: Aggregation::ALL.into(),
            history: "P10D".parse().unwrap(),
            validity: Period::new(at(0), at(9 * DAY)).unwrap(),
            push: None,
            purpose: "billing".parse().unwrap(),
        };
        let desk = Desk {
            request,
            grants: &[grant],
            name: "Stadtwerke",
            store,
            now: at(2 * DAY),
        };
        let (written, _) = desk.write("fd5a::1".parse().unwrap(), room, Content::Answer)?;
        let Content::Answer(answer) = Content::parse(&written.json).unwrap() else {
            panic!("no answer");
        };
        assert_eq!(answer.id, written.id);
        assert!(written.json.len() <= room.bytes);
        Ok((answer, written.notes))
    }

    fn count(answer: &Answer) -> usize {
        answer.series.iter().map(|series| series.points().count()).sum()
    }

    fn two_days_of(elements: &str) -> Query {
        Query {
            elements: elements.parse().unwrap(),
            period: Period::new(at(0), at(2 * DAY)).unwrap(),
            resolution: model::Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
        }
    }

    #[test]
    fn what_has_no_room_is_left_to_the_next_request_and_logged_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = two_days(folder.path());
        let room = Room {
            rows: 100,
            bytes: 1 << 20,
        };
        let mut queries = vec![two_days_of("*"), two_days_of("M1/*")];
        let (mut values, mut answers) = (0, 0);
        while !queries.is_empty() {
            let (answer, notes) = written(&store, &request(queries), room).unwrap();
            let logged = notes.into_iter().map(|note| match note.outcome {
                Outcome::Answered { values, .. } => usize::try_from(values).unwrap(),
                Outcome::Denied { .. } => panic!("denied"),
            });
            assert_eq!(logged.sum::<usize>(), count(&answer));
            values += count(&answer);
            answers += 1;
            queries = answer.rest;
        }
        // Each day has more rows than a page: one answer for each, and one for what was not begun.
        assert_eq!((values, answers), ((METERS + 1) * 2 * 96, 3));
    }

    #[test]
    fn aggregation_is_read_on_until_its_first_step_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = two_days(folder.path());
        let room = Room {
            rows: 1,
            bytes: 1 << 20,
        };
        let mut queries = vec![Query {
            aggregation: Aggregation::Mean,
            resolution: model::Span::DAY,
            ..two_days_of("M1/*")
        }];
        queries[0].period = Period::new(at(0), at(2 * DAY + 1)).unwrap();
        let mut means = Vec::new();
        while !queries.is_empty() {
            let (answer, notes) = written(&store, &request(queries), room).unwrap();
            assert_eq!(notes.len(), 1);
            let points = answer.series.iter().flat_map(Series::points);
            means.extend(points.map(|(time, value, _)| (time, value.to_string())));
            queries = answer.rest;
        }
        let mean = "12345.6780".to_owned();
        assert_eq!(means, [(at(DAY), mean.clone()), (at(2 * DAY), mean)]);
    }

    #[test]
    fn answer_that_turns_out_too_long_is_made_from_fewer_rows() {
        let folder = tempfile::tempdir().unwrap();
        let store = two_days(folder.path());
        let all = request(vec![two_days_of("*")]);
        let (half, _) = written(
            &store,
            &all,
            Room {
                rows: 20_000,
                bytes: 200_000,
            },
        )
        .unwrap();
        assert_eq!((count(&half), half.rest.len()), (METERS * 96, 1));
        let too_little = Room {
            rows: 20_000,
            bytes: 1_000,
        };
        let error = written(&store, &all, too_little).err().unwrap();
        assert_eq!(error.code(), "too-much");
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
