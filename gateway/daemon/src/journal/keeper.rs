//! The keeper: has the heads of the logs signed every day, watches the clock, looks for room.

use std::time::Duration;

use model::{CalibrationEvent, LogEvent, LogKind, Span, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::anchor::CardAnchor;
use super::{Journal, moment};
use crate::card::{CardHandle, Standing};
use crate::clock;
use crate::liveness;
use crate::report::Chain;

/// How often the clock and the logs are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long after a signature the next one is due.
const SIGNATURE_SPAN: Span = Span::DAY;
/// How long to wait after the card did not sign.
const SIGNATURE_PAUSE: Duration = Duration::from_secs(600);
/// How often it is written down what was only counted.
const COUNTED_SPAN: Duration = Duration::from_secs(3_600);

/// The task that keeps the logs.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    journal: Journal,
    card: CardHandle,
    standing: watch::Receiver<Standing>,
    /// The greatest jump of the clock that is permitted, in seconds.
    permitted_jump: i64,
}

/// What the clock showed at an instant that no clock can change.
#[derive(Debug, Clone, Copy)]
struct Glance {
    instant: Instant,
    time: Timestamp,
    trusted: bool,
}

impl Glance {
    fn take() -> Self {
        let moment = moment();
        Self {
            instant: Instant::now(),
            time: moment.time,
            trusted: moment.clock_trusted,
        }
    }

    /// Returns what the clock should show at a later glance.
    fn expected_at(&self, later: Instant) -> Timestamp {
        let elapsed = later.saturating_duration_since(self.instant);
        // Half a second more, since the clock is read in whole seconds.
        let seconds = elapsed.saturating_add(Duration::from_millis(500)).as_secs();
        let span = u32::try_from(seconds).ok().and_then(Span::from_seconds);
        span.map_or(self.time, |span| self.time.saturating_add(span))
    }
}

impl Keeper {
    /// Builds the keeper for a gateway that registers with the given period.
    pub(crate) fn new(
        journal: Journal,
        card: CardHandle,
        standing: watch::Receiver<Standing>,
        registration_period: Span,
    ) -> Self {
        Self {
            journal,
            card,
            standing,
            permitted_jump: clock::permitted_deviation(registration_period),
        }
    }

    /// Keeps the logs until it is stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut glance = self.first_glance().await;
        let mut not_before = Instant::now();
        let mut counted = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = Instant::now();
            glance = self.watch_clock(glance).await;
            let journal = self.journal.clone();
            let flush = now.saturating_duration_since(counted) >= COUNTED_SPAN;
            if flush {
                counted = now;
            }
            blocking(move || {
                journal.look_for_room();
                if flush {
                    journal.note_counted();
                }
            })
            .await;
            if now >= not_before && self.can_sign() && self.is_due() && !self.sign().await {
                not_before = now.checked_add(SIGNATURE_PAUSE).unwrap_or(now);
            }
        }
    }

    /// Has the card sign the heads, if it is there and the logs are sound; returns whether it has.
    pub(crate) async fn sign(&self) -> bool {
        let identity = self.standing.borrow().identity.clone();
        let Some(identity) = identity else { return false };
        let mut anchor = CardAnchor::new(self.card.clone(), identity.card.sig.certificate());
        let journal = self.journal.clone();
        blocking(move || sign(&journal, &mut anchor))
            .await
            .unwrap_or(false)
    }

    fn can_sign(&self) -> bool {
        self.standing.borrow().identity.is_some() && !self.journal.is_damaged()
    }

    /// Returns whether the last signature is a day old, or from the future.
    fn is_due(&self) -> bool {
        let now = clock::now();
        let is_young = |signed: Timestamp| signed <= now && now < signed.saturating_add(SIGNATURE_SPAN);
        !self
            .journal
            .logs()
            .last_signed()
            .is_some_and(|(_, signed)| is_young(signed))
    }

    /// Compares the clock with the last entry: it does not run backwards while the gateway is off.
    async fn first_glance(&self) -> Glance {
        let glance = Glance::take();
        let journal = self.journal.clone();
        let permitted = self.permitted_jump;
        blocking(move || {
            let last = last_time(&journal);
            let mut events: Vec<LogEvent> = Vec::new();
            if !glance.trusted {
                events.push(CalibrationEvent::ClockUnset.into());
            } else if let Some(last) = last.filter(|last| last.seconds_since(glance.time) > permitted) {
                events.push(jump(last, glance.time));
            }
            if !events.is_empty() {
                journal.note(events);
            }
        })
        .await;
        glance
    }

    /// Compares the clock with what it showed at the last glance.
    async fn watch_clock(&self, last: Glance) -> Glance {
        let glance = Glance::take();
        let events = changes(&last, &glance, self.permitted_jump);
        if !events.is_empty() {
            let journal = self.journal.clone();
            blocking(move || journal.note(events)).await;
        }
        glance
    }
}

/// Verifies what is on the disk, so that no damage is ever covered by a signature, and has it signed.
fn sign(journal: &Journal, anchor: &mut CardAnchor) -> bool {
    match journal.verify() {
        Ok(verification) if verification.is_sound() => {}
        Ok(_) => {
            tracing::error!("the logs are damaged and are not signed; smgw log verify says more");
            return false;
        }
        Err(error) => {
            tracing::warn!("the logs cannot be verified: {}", Chain(&error));
            return false;
        }
    }
    match journal.logs().sign(moment(), anchor) {
        Ok(signed) => {
            tracing::info!(
                number = signed.heads.number,
                "the card signed the heads of the logs"
            );
            true
        }
        Err(error) => {
            tracing::warn!("{}", Chain(&error));
            false
        }
    }
}

/// Returns what has happened to the clock between two glances.
fn changes(last: &Glance, glance: &Glance, permitted: i64) -> Vec<LogEvent> {
    let expected = last.expected_at(glance.instant);
    let mut events = Vec::new();
    if expected.seconds_since(glance.time).saturating_abs() > permitted {
        events.push(jump(expected, glance.time));
    }
    match (last.trusted, glance.trusted) {
        (false, true) => events.push(CalibrationEvent::ClockSet.into()),
        (true, false) => events.push(CalibrationEvent::ClockUnset.into()),
        (true, true) | (false, false) => {}
    }
    events
}

fn jump(expected: Timestamp, found: Timestamp) -> LogEvent {
    CalibrationEvent::ClockJumped { expected, found }.into()
}

/// Returns the time of the last entry that was written by a clock that could be trusted.
fn last_time(journal: &Journal) -> Option<Timestamp> {
    let logs = journal.logs();
    let count = logs.head(LogKind::System).count;
    // The last but one: the daemon's own start has been written already.
    let page = logs.page(LogKind::System, count.saturating_sub(2), None).ok()?;
    let trusted = page.entries.iter().filter(|entry| entry.at.clock_trusted);
    trusted.map(|entry| entry.at.time).max()
}

/// Runs something that blocks on the disk or the card; `None` if its thread has failed.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    match liveness::work(work).await {
        Ok(result) => Some(result),
        Err(error) => {
            tracing::error!("the keeper of the logs: {}", Chain(&error));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(start: Instant, after: u64, time: &str) -> Glance {
        let time: Timestamp = time.parse().unwrap();
        Glance {
            instant: start + Duration::from_secs(after),
            time,
            trusted: time > "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn codes(last: &Glance, next: &Glance) -> Vec<&'static str> {
        changes(last, next, 27).iter().map(LogEvent::code).collect()
    }

    #[test]
    fn a_clock_that_runs_is_not_worth_an_entry() {
        let start = Instant::now();
        let last = glance(start, 0, "2026-11-23T12:00:00Z");
        assert!(codes(&last, &glance(start, 10, "2026-11-23T12:00:10Z")).is_empty());
        assert!(codes(&last, &glance(start, 10, "2026-11-23T12:00:37Z")).is_empty());
    }

    #[test]
    fn jumps_ahead_and_back_are_logged() {
        let start = Instant::now();
        let last = glance(start, 0, "2026-11-23T12:00:00Z");
        for time in [
            "2026-11-23T12:00:38Z",
            "2026-11-23T11:00:10Z",
            "2036-11-23T12:00:10Z",
        ] {
            assert_eq!(codes(&last, &glance(start, 10, time)), ["SMGW-L-3003"], "{time}");
        }
    }

    #[test]
    fn a_clock_that_is_set_or_lost_is_logged() {
        let start = Instant::now();
        let unset = glance(start, 0, "1970-01-01T00:00:00Z");
        let set = glance(start, 10, "2026-11-23T12:00:00Z");
        assert_eq!(codes(&unset, &set), ["SMGW-L-3003", "SMGW-L-3002"]);
        let lost = glance(start, 20, "1970-01-01T00:00:00Z");
        assert_eq!(codes(&set, &lost), ["SMGW-L-3003", "SMGW-L-3001"]);
    }
}
