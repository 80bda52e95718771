//! What the gateway sends by itself, on the schedules of the grants.
//!
//! A grant may say how often: then, at each point of that grid, what has been registered since the point before goes into
//! the outbox, decided, logged, encrypted and signed as if the supplier had asked for it. It takes a broker, since suppliers
//! have no door.
//!
//! Each message has an id that follows from card, supplier, grant, period and part. The outbox is written before the
//! schedule; what a power cut lets the gateway make twice is the same message to its recipient.

mod bands;
mod deliveries;
mod parcel;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Aggregation, CardId, Fingerprint, Grant, Limit, Period, Query, Span, Timestamp};
use sha2::{Digest, Sha256};
use store::ScheduleKey;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;
use super::rejection::Rejection;
use crate::card::{Bundle, Identity};
use crate::clock;
use crate::liveness;
use deliveries::Deliveries;
use parcel::{Parcel, send, short};

pub(crate) use samples::{Samples, sample};

/// How often the schedules are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// How long lies between two looks at least, however fast values come that a delivery rule watches.
const LEAST_LOOK: Duration = Duration::from_secs(1);

/// How long to wait at first, and at most, after something could not be sent on the schedule of a grant.
const FIRST_PAUSE_SECONDS: u32 = 20;
const LONGEST_PAUSE_SECONDS: u32 = 3_600;

/// How long after a point of the grid the values before it are registered, on the slowest bus.
const SETTLING_SECONDS: u32 = 60;

/// Over how long the gateways of a fleet are spread, at most: they all have the same grid.
const SPREAD_SECONDS: u32 = 3_600;

/// How many periods are caught up with, of those that passed while the gateway was off or served nobody.
const MAX_CAUGHT_UP: u32 = 32;

/// How many periods are sent between two looks, and as many times what delivery rules have sent: each takes the card as long
/// as a signature.
const MAX_AT_ONCE: usize = 8;

/// How long that may take, at most some hundred messages, each signed by a slow card.
const LONGEST_SENDING: Duration = Duration::from_secs(600);

/// Sends what is due until the daemon stops.
pub(crate) async fn keep_the_schedules(exchange: Exchange, samples: Samples, stop: CancellationToken) {
    let mut pauses = Pauses::default();
    let mut deliveries = Deliveries::new(samples.clone());
    loop {
        let looked = tokio::time::Instant::now();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
            () = samples.arrived() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(looked + LEAST_LOOK) => {}
        }
        let working = exchange.clone();
        let sending = liveness::long_work(LONGEST_SENDING, move || {
            let sent = send_due(&working, &mut pauses, &mut deliveries, clock::now());
            (pauses, deliveries, sent)
        });
        (pauses, deliveries) = match sending.await {
            Ok((pauses, deliveries, sent)) => {
                // Nobody is served at the moment: the periods are caught up with.
                if let Err(rejection) = sent
                    && !matches!(rejection, Rejection::NotServing { .. })
                {
                    not_sent(&rejection);
                }
                (pauses, deliveries)
            }
            Err(error) => {
                tracing::error!("a thread that sent what is due has failed: {error}");
                tokio::time::sleep(Duration::from_secs(u64::from(LONGEST_PAUSE_SECONDS))).await;
                (Pauses::default(), Deliveries::new(samples.clone()))
            }
        };
    }
}

fn not_sent(rejection: &Rejection) {
    let reason = rejection.reason();
    tracing::warn!(
        code = rejection.code(),
        "what is due for suppliers is not sent: {reason}"
    );
}

/// Sends what is due now, as much as there is room and time for. What is wrong with one grant keeps no other waiting.
fn send_due(
    exchange: &Exchange,
    pauses: &mut Pauses,
    deliveries: &mut Deliveries,
    now: Timestamp,
) -> Result<(), Rejection> {
    let (state, identity) = exchange.serving()?;
    let Some(bundle) = identity.bundle.as_ref().filter(|_| state.serves_suppliers()) else {
        return Ok(());
    };
    let schedules = exchange.store.schedules();
    let grants = bundle.grants().iter();
    let mut pushing: Vec<_> = grants
        .filter_map(|grant| Some((grant, interval(grant, bundle.policy())?, key_of(grant))))
        .collect();
    let mut known: BTreeSet<_> = pushing.iter().map(|(.., key)| *key).collect();
    known.extend(deliveries::keys(bundle));
    schedules.keep_only(&known).map_err(Rejection::Schedules)?;
    pauses.keep_only(&known);
    // Another one is the first each time, so that those with many periods leave room for all.
    let looks = now.unix_seconds().unsigned_abs().checked_div(LOOK.as_secs());
    let grants = u64::try_from(pushing.len()).unwrap_or(u64::MAX);
    let first = looks.and_then(|looks| looks.checked_rem(grants)).unwrap_or(0);
    pushing.rotate_left(usize::try_from(first).unwrap_or(0));
    // Each has its own share, so that neither keeps the other waiting.
    let (mut left, mut left_of_rules) = (MAX_AT_ONCE, MAX_AT_ONCE);
    deliveries.deliver(exchange, (&identity, bundle), pauses, &mut left_of_rules, now)?;
    for (grant, every, key) in pushing {
        if pauses.holds(&key, now) || owes_receipts(exchange, grant.supplier)? {
            continue;
        }
        let settled = now.saturating_sub(delay(identity.guid, every));
        let kept_until = schedules.kept_until(&key);
        let due = due(grant, every, kept_until, (settled, now));
        if let (Some(kept_until), Some(next)) = (kept_until, due.first())
            && next.from() > kept_until
        {
            tracing::warn!(grant = grant.id, from = %kept_until, to = %next.from(), "left for the supplier to pull");
        }
        for period in due.into_iter().take(left) {
            left = left.saturating_sub(1);
            match keep_one(exchange, (&identity, bundle), (grant, period), now) {
                Ok(()) => pauses.end(&key),
                Err(rejection) => {
                    not_sent(&rejection);
                    pauses.begin(key, now);
                    break;
                }
            }
            if owes_receipts(exchange, grant.supplier)? {
                break;
            }
        }
    }
    Ok(())
}

/// Returns whether a supplier has to say first that it has what it was sent.
fn owes_receipts(exchange: &Exchange, supplier: Fingerprint) -> Result<bool, Rejection> {
    Ok(exchange.store.database().waiting_for(supplier)?.are_too_many())
}

/// Sends what was registered in one period of one grant.
fn keep_one(
    exchange: &Exchange,
    parties: (&Identity, &Bundle),
    (grant, period): (&Grant, Period),
    now: Timestamp,
) -> Result<(), Rejection> {
    let parcel = Parcel {
        grant,
        period,
        queries: queries(grant, period),
        delivery: None,
        held: &[],
    };
    send(exchange, parties, &parcel, now)?;
    let kept = exchange.store.schedules().keep(key_of(grant), period.to());
    kept.map_err(Rejection::Schedules)
}

/// The schedules on which nothing could be sent, until when they rest. Each attempt is logged for the consumer, so that
/// they are not made in a hurry.
#[derive(Debug, Default)]
struct Pauses(BTreeMap<ScheduleKey, (Timestamp, u32)>);

impl Pauses {
    /// Forgets what is no schedule any more.
    fn keep_only(&mut self, known: &BTreeSet<ScheduleKey>) {
        self.0.retain(|key, _| known.contains(key));
    }

    /// Returns whether a schedule rests. A clock that was set back does not prolong that beyond the longest pause.
    fn holds(&self, key: &ScheduleKey, now: Timestamp) -> bool {
        let left = self.0.get(key).map(|(until, _)| until.seconds_since(now));
        left.is_some_and(|left| (1..=i64::from(LONGEST_PAUSE_SECONDS)).contains(&left))
    }

    /// Has a schedule rest for twice as long as the last time.
    fn begin(&mut self, key: ScheduleKey, now: Timestamp) {
        let seconds = self.0.get(&key).map_or(FIRST_PAUSE_SECONDS, |(_, seconds)| {
            seconds.saturating_mul(2).min(LONGEST_PAUSE_SECONDS)
        });
        let until = Span::from_seconds(seconds).map_or(now, |pause| now.saturating_add(pause));
        self.0.insert(key, (until, seconds));
    }

    fn end(&mut self, key: &ScheduleKey) {
        self.0.remove(key);
    }
}

/// Returns how often a grant has the gateway send: not more often than it, and the limits that are for its supplier, may be
/// asked. Then whole periods of the schedule are sent together.
fn interval(grant: &Grant, policy: &[Limit]) -> Option<Span> {
    slowed(grant.push?, grant, policy)
}

/// Returns how often something is sent that would be so often, were it not for the times between two requests that the grant
/// and the limits for its supplier say.
fn slowed(every: Span, grant: &Grant, policy: &[Limit]) -> Option<Span> {
    let limits = policy
        .iter()
        .filter(|limit| limit.supplier.is_none_or(|supplier| supplier == grant.supplier));
    let mut paces = grant
        .at_most
        .into_iter()
        .chain(limits.filter_map(|limit| limit.at_most));
    paces.try_fold(every, |every, pace| {
        if every < pace {
            every.common_multiple(pace)
        } else {
            Some(every)
        }
    })
}

/// Returns how long after a point of the grid this gateway sends.
fn delay(guid: CardId, every: Span) -> Span {
    let widest = every
        .seconds()
        .checked_div(4)
        .unwrap_or(0)
        .clamp(1, SPREAD_SECONDS);
    let digest = Sha256::digest(guid.to_string());
    let drawn = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let spread = drawn.checked_rem(widest).unwrap_or(0);
    // A schedule that is finer than that sends as soon as it can.
    let settling = SETTLING_SECONDS.min(every.seconds());
    Span::from_seconds(settling.saturating_add(spread)).unwrap_or(every)
}

/// Returns the periods that have passed and were not sent, the oldest first.
fn due(
    grant: &Grant,
    every: Span,
    kept_until: Option<Timestamp>,
    (settled, now): (Timestamp, Timestamp),
) -> Vec<Period> {
    let last = every.grid_at_or_before(settled);
    let mut farthest = last;
    for _ in 0..MAX_CAUGHT_UP {
        farthest = farthest.saturating_sub(every);
    }
    let reach = now.saturating_sub(grant.history).max(grant.validity.from());
    let earliest = if every.has_on_grid(reach) {
        reach
    } else {
        every.grid_after(reach)
    };
    let mut begin = kept_until.unwrap_or(farthest).max(farthest).max(earliest);
    let mut due = Vec::new();
    // MAX_CAUGHT_UP bounds it.
    while begin < last {
        let end = begin.saturating_add(every);
        due.extend(Period::new(begin, end));
        begin = end;
    }
    due
}

/// Asks for what a grant permits, as finely as it does, and in the first of the ways that it permits.
fn queries(grant: &Grant, period: Period) -> Vec<Query> {
    // The latest value belongs to no period.
    let mut permitted = grant.aggregations.iter().copied();
    let aggregation = permitted.find(|aggregation| *aggregation != Aggregation::Latest);
    let aggregation = aggregation.unwrap_or(Aggregation::Value);
    // What is made of a step belongs to the period in which the step ends.
    let behind = Span::from_seconds(1).filter(|_| !aggregation.is_value());
    let end = behind.map_or_else(|| period.to(), |second| period.to().saturating_add(second));
    let period = Period::new(period.from(), end).unwrap_or(period);
    let patterns = grant.elements.iter();
    patterns
        .map(|elements| Query {
            elements: elements.clone(),
            period,
            resolution: grant.finest,
            aggregation,
        })
        .collect()
}

/// Names the schedule of a grant.
fn key_of(grant: &Grant) -> ScheduleKey {
    short(&[grant.supplier.as_bytes(), grant.id.as_bytes()])
}

#[cfg(test)]
mod tests;
