//! The last values as they come, by server-sent events (HTML Living Standard, section 9.2).
//!
//! What is sent is what lies in memory anyway: no meter is asked for it, and nothing is read from the disk. A stream ends
//! with its session, and does not prolong it; it has a bounded life too, and the browser comes again.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use model::{Element, ElementPattern, Reading, Timestamp};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::gate::Gate;
use super::headers::cookie;
use super::language::Language;
use super::pages::of_script;
use super::portal::{Portal, SESSION, retry_after};
use super::roster::{Own, Role};
use super::secret::Secret;
use super::zone::Zone;
use crate::clock;
use crate::metering::MeterView;

/// Streams at the same time: a few displays, so that most connections are left to pages.
const MOST_STREAMS: usize = 12;
/// Streams of one account at the same time.
const MOST_OF_ONE: usize = 4;
/// The least time between two events of a stream.
const PAUSE: Duration = Duration::from_secs(1);
/// After how long the ages are told again though no value is new, and the session is looked at.
const REPEAT: Duration = Duration::from_secs(10);
/// How long a stream lasts: less than its connection may, so that it ends in order.
const LONGEST: Duration = Duration::from_secs(25);
/// How soon the browser comes again.
const RETURN: Duration = Duration::from_secs(1);
/// The most values of one event: a house has some hundred.
const MOST_VALUES: usize = 1_024;

const SCRIPT: &str = include_str!("../../../templates/web/live.js");

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/now/live", get(live))
        .route("/live.js", get(script))
}

async fn script() -> Response {
    of_script(SCRIPT)
}

/// How many streams each account has. Clones share everything.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<Arc<str>, usize>>>);

/// A stream of an account, until it is dropped.
struct Place {
    all: Streams,
    account: Arc<str>,
}

impl Streams {
    fn take(&self, account: Arc<str>) -> Option<Place> {
        let mut counts = self.counts();
        let all = counts.values().copied().fold(0, usize::saturating_add);
        let own = counts.get(&account).copied().unwrap_or_default();
        if all >= MOST_STREAMS || own >= MOST_OF_ONE {
            return None;
        }
        counts.insert(Arc::clone(&account), own.saturating_add(1));
        drop(counts);
        Some(Place {
            all: self.clone(),
            account,
        })
    }

    /// A panic elsewhere leaves the counts as they are, and they are still right.
    fn counts(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.all.counts();
        match counts.get_mut(&self.account) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(counts.remove(&self.account)),
        }
    }
}

/// A value as a page shows it.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Value {
    element: String,
    value: String,
    age: String,
}

/// A stream, between two events.
struct Stream {
    gate: Gate,
    session: Secret,
    own: Own,
    language: Language,
    zone: Zone,
    meters: watch::Receiver<Vec<MeterView>>,
    /// When it ends.
    end: Instant,
    /// Whether an event was sent already.
    has_begun: bool,
    /// Whether the last event was sent.
    is_over: bool,
    _place: Place,
}

async fn live(State(portal): State<Portal>, headers: HeaderMap) -> Response {
    let id = cookie(&headers, SESSION).and_then(Secret::parse);
    let session = id.and_then(|id| portal.gate.look(&id).map(|session| (id, session)));
    let Some((id, session)) = session.filter(|(_, session)| !session.must_change) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let Role::Consumer(own) = session.identity.role else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let Some(place) = portal.gate.streams().take(session.identity.name) else {
        let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
        retry_after(&mut response, LONGEST.as_secs());
        return response;
    };
    let now = Instant::now();
    let stream = Stream {
        gate: portal.gate.clone(),
        session: id,
        own,
        language: Language::of(&headers),
        zone: portal.zone.clone(),
        meters: portal.source.meters.clone(),
        end: now.checked_add(LONGEST).unwrap_or(now),
        has_begun: false,
        is_over: false,
        _place: place,
    };
    Sse::new(stream::unfold(stream, Stream::next)).into_response()
}

impl Stream {
    /// Waits for what is new, and tells it.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        if self.has_begun {
            sleep(PAUSE).await;
            // Whether something is new, the time is up, or metering has stopped: the ages are told in any case.
            let left = self.end.saturating_duration_since(Instant::now());
            let waited = timeout(REPEAT.min(left), self.meters.changed()).await;
            if matches!(waited, Ok(Err(_))) || Instant::now() >= self.end {
                return None;
            }
        }
        self.has_begun = true;
        if self.gate.look(&self.session).is_none() {
            self.is_over = true;
            return Some((Ok(Event::default().event("over").data("over")), self));
        }
        let meters = self.meters.borrow_and_update().clone();
        let values = values((self.language, &self.zone), &meters, &self.own, clock::now());
        let event = Event::default().event("values").retry(RETURN);
        match event.json_data(values) {
            Ok(event) => Some((Ok(event), self)),
            Err(error) => {
                tracing::error!("the last values cannot be written as JSON: {error}");
                None
            }
        }
    }
}

/// Returns the last value of each own element in memory, in words.
fn values(
    (language, zone): (Language, &Zone),
    meters: &[MeterView],
    own: &Own,
    now: Timestamp,
) -> Vec<Value> {
    let mut last: BTreeMap<Element, Reading> = BTreeMap::new();
    let readings = meters.iter().flat_map(MeterView::readings);
    for reading in readings.filter(|reading| own.measures(&reading.element)) {
        let is_older = last
            .get(&reading.element)
            .is_some_and(|known| known.time > reading.time);
        if !is_older {
            last.insert(reading.element.clone(), reading);
        }
    }
    let values = last.into_values().take(MOST_VALUES).map(|reading| Value {
        value: language.quantity(reading.quantity),
        age: format!(
            "{} ({})",
            language.age(now, reading.time),
            language.time(zone, reading.time)
        ),
        element: ElementPattern::from(reading.element).to_string(),
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::{Decimal, Quantity, Status, Unit};

    use super::*;
    use crate::metering::ValueView;

    fn meter(id: &str, power: i128, time: &str) -> MeterView {
        let reading = Reading {
            element: Element {
                meter: id.parse().unwrap(),
                obis: "1-0:16.7.0*255".parse().unwrap(),
            },
            time: time.parse().unwrap(),
            quantity: Quantity {
                value: Decimal::whole(power),
                unit: Unit::Watt,
            },
            status: Status::GOOD,
        };
        MeterView {
            name: id.to_lowercase(),
            bus: "cellar".to_owned(),
            id: Some(reading.element.meter.clone()),
            medium: None,
            last_success: None,
            error: None,
            values: vec![ValueView::from(&reading)],
            registered: Vec::new(),
            statistics: crate::metering::StatisticsView::default(),
        }
    }

    #[test]
    fn own_values_are_told_with_their_ages_and_no_others() {
        let meters = [
            meter("M1", 1_234, "2026-11-30T10:00:00Z"),
            meter("M2", 5, "2026-11-30T10:00:00Z"),
        ];
        let own = Own::Meters(Arc::new(BTreeSet::from(["M1".parse().unwrap()])));
        let zone = Zone::central_europe();
        let now = "2026-11-30T10:00:07Z".parse().unwrap();
        let told = values((Language::English, &zone), &meters, &own, now);
        let expected = Value {
            element: "M1/1-0:16.7.0*255".to_owned(),
            value: "1234 W".to_owned(),
            age: "7 s (2026-11-30 11:00)".to_owned(),
        };
        assert_eq!(told, [expected]);
        assert_eq!(
            values((Language::German, &zone), &meters, &Own::All, now).len(),
            2
        );
    }

    #[test]
    fn streams_are_bounded_for_each_and_for_all() {
        let streams = Streams::default();
        let take = |account: &str| streams.take(account.into());
        let mut own: Vec<_> = (0..9).filter_map(|_| take("flat-1")).collect();
        assert_eq!(own.len(), MOST_OF_ONE);
        let others: Vec<_> = (0..9)
            .filter_map(|number| take(&format!("flat-{}", number + 2)))
            .collect();
        assert_eq!(others.len(), MOST_STREAMS - MOST_OF_ONE);
        own.pop();
        assert!(take("flat-20").is_some());
        drop((own, others));
        assert!(streams.counts().is_empty());
    }
}
