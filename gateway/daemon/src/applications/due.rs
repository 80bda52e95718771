//! Which window is to be evaluated next.

use std::collections::BTreeMap;

use model::{Fingerprint, Period, Span, Timestamp};
use store::{ChangedTimes, DatabaseError, Evaluation, Store};

use super::{Assigned, manifest_of};

/// How many windows are looked at in one go, so that a long time without evaluation is caught up with piece by piece.
const MAX_LOOK: usize = 4_096;
/// How often a window is tried before it is left until its readings or its application change.
const MAX_TRIES: u8 = 3;
/// How long an application is left alone after its first failure in a row; it doubles with each.
const FIRST_REST: Span = match Span::from_seconds(60) {
    Some(rest) => rest,
    None => Span::QUARTER_HOUR,
};
/// How often that doubles, up to some 17 hours.
const MAX_DOUBLINGS: u32 = 10;
/// How often it doubles if the system is at fault, up to some hour: what is wrong with it may be over any time.
const MAX_DOUBLINGS_OF_SYSTEM: u32 = 6;
/// The codes of failures that are the system's: the process was not started, ended, or did not get the time that it needed.
const OF_SYSTEM: [&str; 4] = ["start", "died", "time", "stopped"];
/// How many windows that have failed are kept in mind; behind that, the earliest is left until a reading comes for it.
const MAX_FAILED: usize = 1_024;

/// What is known of windows and applications that have failed, since the start.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// The failures in a row of each application, and until when it is left alone.
    applications: BTreeMap<Fingerprint, (u32, Timestamp)>,
    /// The tries of each window with an application, and where the window ends.
    windows: BTreeMap<(Timestamp, [u8; 32], Fingerprint), (u8, Timestamp)>,
    /// Before which time there is nothing to be evaluated for the first time, by series and the assignment's beginning.
    cursors: BTreeMap<([u8; 32], Timestamp), Timestamp>,
}

impl Patience {
    /// Takes note of a failure with a code; returns until when the application is left alone. If the system is at fault, it
    /// was no try.
    pub(super) fn failed(
        &mut self,
        assigned: &Assigned,
        window: Period,
        (code, now): (&str, Timestamp),
    ) -> Timestamp {
        let is_of_system = OF_SYSTEM.contains(&code);
        if !is_of_system {
            let place = (window.from(), assigned.key, assigned.digest);
            let tries = self.windows.entry(place);
            let (tries, _) = tries.or_insert_with(|| (0, window.to()));
            *tries = tries.saturating_add(1);
            if self.windows.len() > MAX_FAILED {
                self.windows.pop_first();
            }
        }
        let most = if is_of_system {
            MAX_DOUBLINGS_OF_SYSTEM
        } else {
            MAX_DOUBLINGS
        };
        let (count, until) = self.applications.entry(assigned.digest).or_insert((0, now));
        let doublings = (*count).min(most);
        *count = count.saturating_add(1);
        let rest = FIRST_REST
            .seconds()
            .checked_shl(doublings)
            .and_then(Span::from_seconds);
        *until = now.saturating_add(rest.unwrap_or(Span::DAY));
        *until
    }

    /// Takes note of a success.
    pub(super) fn succeeded(&mut self, assigned: &Assigned, window: Period) {
        self.applications.remove(&assigned.digest);
        self.windows
            .remove(&(window.from(), assigned.key, assigned.digest));
    }

    /// Takes note of when something was registered: a window that a reading came for is tried as if it had never failed.
    pub(super) fn reopen(&mut self, store: &Store, all: &[Assigned], changed: &ChangedTimes) {
        let Some(earliest) = changed.earliest() else {
            return;
        };
        self.windows.retain(|(from, ..), (_, to)| {
            let window = Period::new(*from, *to);
            !window.is_ok_and(|window| changed.touch(window))
        });
        let second = Span::from_seconds(1).unwrap_or(Span::DAY);
        for assigned in all {
            let schedule = &assigned.assignment;
            // A time is the end of a window, too.
            let first = schedule
                .window
                .at(earliest.saturating_sub(second), &schedule.zone);
            let back = first.map_or(earliest, Period::from);
            let back = back.max(least(store, assigned));
            if let Some(cursor) = self.cursors.get_mut(&(assigned.key, schedule.from)) {
                *cursor = (*cursor).min(back);
            }
        }
    }

    /// Returns how many failures in a row an application has, and until when it is left alone.
    pub(super) fn of(&self, application: Fingerprint) -> Option<(u32, Timestamp)> {
        self.applications.get(&application).copied()
    }

    /// Drops what belongs to nothing that is assigned.
    pub(super) fn keep_only(&mut self, all: &[Assigned]) {
        let is_assigned = |key: &[u8; 32]| all.iter().any(|assigned| assigned.key == *key);
        self.cursors.retain(|(key, _), _| is_assigned(key));
        self.windows.retain(|(_, key, _), _| is_assigned(key));
        self.applications
            .retain(|digest, _| all.iter().any(|assigned| assigned.digest == *digest));
    }

    fn may_try(&self, assigned: &Assigned, window: Period) -> bool {
        self.may_try_of((window.from(), assigned.key, assigned.digest))
    }

    fn may_try_of(&self, place: (Timestamp, [u8; 32], Fingerprint)) -> bool {
        let tries = self.windows.get(&place);
        tries.is_none_or(|(tries, _)| *tries < MAX_TRIES)
    }
}

/// What decides whether a window is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    /// The registration period.
    pub(super) period: Span,
    /// How long readings are kept.
    pub(super) history: Span,
}

impl Moment {
    /// How long after its end a window waits for readings that are missing: what is on its way is registered by then.
    fn grace(self) -> Span {
        let least = Span::from_seconds(60).unwrap_or(Span::QUARTER_HOUR);
        if self.period.seconds() > least.seconds() {
            self.period
        } else {
            least
        }
    }
}

/// Returns the next window of an assignment that is due: one whose readings have changed, or the first that is over and was
/// not evaluated.
pub(super) fn next(
    store: &Store,
    patience: &mut Patience,
    assigned: &Assigned,
    moment: Moment,
) -> Option<Period> {
    let Moment { now, history, .. } = moment;
    if patience.of(assigned.digest).is_some_and(|(_, until)| until > now) {
        return None;
    }
    let earliest = earliest(assigned, now, history);
    let stale = store.database().stale_evaluations(&assigned.key);
    let windows = stale.into_iter().map(|evaluation| evaluation.window);
    let mut windows = windows.filter(|window| {
        window.from() >= earliest
            && assigned.assignment.covers(window.from())
            && patience.may_try(assigned, *window)
    });
    if let Some(window) = windows.next() {
        return Some(window);
    }
    first_open(store, patience, assigned, (earliest, moment))
}

/// Returns the next window whose readings have changed and that no assignment covers any more, with the assignment that it
/// was evaluated by. One of which that is not known, or that would be too old, stays as it is.
pub(super) fn next_left(
    store: &Store,
    patience: &Patience,
    all: &[Assigned],
    moment: Moment,
) -> Result<Option<(Assigned, Period)>, DatabaseError> {
    let is_left = |evaluation: &Evaluation| {
        let (key, window) = (evaluation.assignment, evaluation.window);
        !all.iter().any(|assigned| assigned.covers(key, window))
    };
    let stale = store.database().all_stale_evaluations();
    let mut manifests = BTreeMap::new();
    for evaluation in stale.iter().filter(|evaluation| is_left(evaluation)) {
        let (window, digest) = (evaluation.window, evaluation.application);
        if !patience.may_try_of((window.from(), evaluation.assignment, digest)) {
            continue;
        }
        let manifest = manifests
            .entry(digest)
            .or_insert_with(|| manifest_of(store, digest));
        // It is damaged, and the TSM sends it again.
        let Some(manifest) = manifest else {
            continue;
        };
        let assigned = Assigned::of_evaluation(store, evaluation, manifest)?;
        let is_young = |assigned: &Assigned| earliest(assigned, moment.now, moment.history) <= window.from();
        let Some(assigned) = assigned.filter(is_young) else {
            store.database().watch_window(window);
            store.database().confirm_evaluation(evaluation.number)?;
            tracing::warn!(application = %digest, from = %window.from(), "readings came late for a window whose assignment is gone; what was made stays");
            continue;
        };
        if patience.of(digest).is_none_or(|(_, until)| until <= moment.now) {
            return Ok(Some((assigned, window)));
        }
    }
    Ok(None)
}

/// Returns the time before which no window begins that is still evaluated: what its application may look back at, and what
/// would not be forgotten at once.
fn earliest(assigned: &Assigned, now: Timestamp, history: Span) -> Timestamp {
    let roles = assigned.manifest.inputs().iter().map(|role| role.history);
    let least = roles.min_by_key(|span| span.seconds()).unwrap_or(history);
    let kept = assigned.longest_keep(history);
    let span = if least.seconds() < kept.seconds() {
        least
    } else {
        kept
    };
    now.saturating_sub(span).max(assigned.assignment.from)
}

/// Returns from when on windows are looked at after a start. What had to go for later windows is not made again.
fn begin(store: &Store, assigned: &Assigned, (earliest, now): (Timestamp, Timestamp)) -> Timestamp {
    if store.database().evaluations_are_full() {
        store.database().evaluated_until(&assigned.key).unwrap_or(now)
    } else {
        earliest
    }
}

/// Returns the time before which nothing is evaluated for the first time: what had to go for later windows.
fn least(store: &Store, assigned: &Assigned) -> Timestamp {
    let database = store.database();
    let kept = database
        .evaluations_are_full()
        .then(|| database.evaluated_since(&assigned.key));
    kept.flatten().unwrap_or(Timestamp::EPOCH)
}

fn first_open(
    store: &Store,
    patience: &mut Patience,
    assigned: &Assigned,
    (earliest, moment): (Timestamp, Moment),
) -> Option<Period> {
    let schedule = &assigned.assignment;
    let place = (assigned.key, schedule.from);
    let cursor = patience.cursors.get(&place).copied();
    let from = cursor
        .unwrap_or_else(|| begin(store, assigned, (earliest, moment.now)))
        .max(earliest);
    let mut window = schedule.window.from(from, &schedule.zone)?;
    for _ in 0..MAX_LOOK {
        if window.to() > moment.now || !schedule.covers(window.from()) {
            return None;
        }
        let is_open = store
            .database()
            .evaluation(&assigned.key, window.from())
            .is_none();
        if is_open && patience.may_try(assigned, window) {
            return is_settled(store, assigned, window, moment).then_some(window);
        }
        patience.cursors.insert(place, window.to());
        window = schedule.window.from(window.to(), &schedule.zone)?;
    }
    None
}

/// Returns whether the readings of a window are in: each element has one from its end on, or there was time enough.
fn is_settled(store: &Store, assigned: &Assigned, window: Period, moment: Moment) -> bool {
    if window.to().saturating_add(moment.grace()) <= moment.now {
        return true;
    }
    let elements = store.database().measured_elements();
    let roles = assigned.manifest.inputs().iter();
    let mut players = roles
        .flat_map(|role| assigned.players(role, &elements))
        .peekable();
    players.peek().is_some()
        && players.all(|element| store.database().registered_until(element) >= Some(window.to()))
}
