//! The journal: what the daemon writes into the three logs, and what follows from their state.
//!
//! Whoever has something to log calls [`Journal::write`] and goes on when it returns: the entries are
//! on the disk then. A log that cannot be written stops the daemon, since nothing may be served that
//! was not kept; a full one is a state instead, in which measuring goes on and no supplier is served.
//! Events that a stranger can cause are only counted when they come too often.

mod anchor;
mod damage;
mod flood;
mod keeper;
mod meters;
mod start;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Fingerprint, GatewayState, LogEvent, LogKind, LogText, Status, SystemEvent};
use store::{LogError, Logs, Moment, Verification};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::codes::device as codes;
use crate::mounts::Finding;
use crate::report::Chain;
use damage::Damage;
use flood::Flood;

pub(crate) use anchor::CardKeyVerifier;
pub(crate) use keeper::Keeper;
pub(crate) use meters::MeterBook;
pub(crate) use start::{FOLDER, lost, open, start_up};

/// Writes into the logs. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    logs: Logs,
    /// Cancelled when a log cannot be written; then the daemon stops.
    broken: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    verifier: CardKeyVerifier,
    /// What is wrong with the logs, found at the start or since.
    damage: Option<Damage>,
    /// Which logs it is in.
    damaged: BTreeSet<LogKind>,
    /// The log that is full.
    full: Option<LogKind>,
    flood: Flood,
}

/// What the logs say about what the gateway may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// The state that the gateway is in because of it.
    pub(crate) state: GatewayState,
    /// Why.
    pub(crate) detail: String,
}

impl Journal {
    /// Takes over the logs, verifies them, and notes what is wrong with them.
    ///
    /// # Errors
    ///
    /// [`LogError`] if they cannot be read.
    pub(crate) fn new(logs: Logs, verifier: CardKeyVerifier) -> Result<Self, LogError> {
        let journal = Self {
            inner: Arc::new(Inner {
                logs,
                broken: CancellationToken::new(),
                state: Mutex::new(State {
                    verifier,
                    damage: None,
                    damaged: BTreeSet::new(),
                    full: None,
                    flood: Flood::default(),
                }),
            }),
        };
        for repair in journal.inner.logs.repairs() {
            tracing::warn!(log = %repair.log, behind = repair.behind, bytes = repair.bytes, "the end of a log was repaired");
        }
        journal.verify()?;
        journal.look_for_room();
        Ok(journal)
    }

    /// Returns the logs, for reading.
    pub(crate) fn logs(&self) -> &Logs {
        &self.inner.logs
    }

    /// Walks the logs, see [`Logs::verify`]; what is wrong is logged once, and is an alarm from then on.
    pub(crate) fn verify(&self) -> Result<Verification, LogError> {
        let verifier = self.state().verifier;
        let verification = self.inner.logs.verify(&verifier)?;
        let found = damage::of(&verification);
        if let Some(worst) = damage::worst(&found) {
            let logs = verification.logs.iter();
            let damaged = logs.filter(|verdict| verdict.fault.is_some());
            self.state().damaged.extend(damaged.map(|verdict| verdict.log));
            let known = self.state().damage.replace(worst).is_some();
            if !known {
                for damage in &found {
                    tracing::error!("{}: {}", damage.event, damage.reason);
                }
                self.note(found.into_iter().map(|damage| damage.event.into()));
            }
        }
        Ok(verification)
    }

    /// Returns whether signatures are compared with the bound card's key.
    pub(crate) fn compares_keys(&self) -> bool {
        self.state().verifier.has_key()
    }

    /// Compares signatures with the key of a card from now on, once the gateway is bound to it.
    pub(crate) fn compare_with(&self, key: Fingerprint) {
        self.state().verifier = CardKeyVerifier::new(Some(key));
    }

    /// Resolves when a log could not be written and the daemon has to stop.
    pub(crate) async fn broken(&self) {
        self.inner.broken.cancelled().await;
    }

    /// Writes events down; on return they are on the disk.
    ///
    /// # Errors
    ///
    /// [`LogError`] if they are not; what depends on them must not happen then.
    pub(crate) fn write(&self, events: impl IntoIterator<Item = LogEvent>) -> Result<(), LogError> {
        let events: Vec<LogEvent> = events.into_iter().collect();
        let outcome = self.inner.logs.append(moment(), &events);
        match &outcome {
            Ok(()) => {}
            Err(LogError::Full { log }) => self.note_full(*log),
            Err(LogError::TooLong { .. }) => {
                tracing::error!("an event is too long for its log and cannot be written");
            }
            Err(error) => {
                tracing::error!("stopping: {}", Chain(error));
                self.inner.broken.cancel();
            }
        }
        outcome
    }

    /// Writes down what has happened and cannot be undone if it cannot be written.
    ///
    /// A full log has been reported by then, and a broken one stops the daemon.
    pub(crate) fn note(&self, events: impl IntoIterator<Item = LogEvent>) {
        if let Err(error) = self.write(events) {
            tracing::warn!("an event is not in its log: {}", Chain(&error));
        }
    }

    /// Notes an event that a stranger can cause; what comes too often is only counted.
    pub(crate) fn note_outside(&self, event: SystemEvent) {
        let admitted = self
            .state()
            .flood
            .admit(event.code(), tokio::time::Instant::now());
        if admitted {
            self.note([event.into()]);
        }
    }

    /// Writes down how many events were only counted.
    pub(crate) fn note_counted(&self) {
        let counted = self.state().flood.take_counted();
        if counted.is_empty() {
            return;
        }
        let event = |(code, count)| SystemEvent::EventsCounted {
            code: LogText::cut(code),
            count,
        };
        self.note(counted.into_iter().map(event).map(LogEvent::from));
    }

    /// Finds out whether the logs have room, as after a disk was full.
    pub(crate) fn look_for_room(&self) {
        if self.inner.logs.is_full(LogKind::Calibration) {
            return self.note_full(LogKind::Calibration);
        }
        if self.state().full.is_none() {
            return;
        }
        match self.inner.logs.reserve() {
            Ok(()) => {
                self.state().full = None;
                tracing::info!("the logs have room again");
            }
            Err(LogError::Full { log }) => self.note_full(log),
            Err(error) => {
                tracing::error!("stopping: {}", Chain(&error));
                self.inner.broken.cancel();
            }
        }
    }

    /// Keeps in mind that a log is full, and writes it down once.
    fn note_full(&self, log: LogKind) {
        let known = self.state().full.replace(log) == Some(log);
        if known {
            return;
        }
        tracing::error!(%log, "the log is full");
        let event = SystemEvent::LogFull { log };
        if let Err(error) = self.inner.logs.append(moment(), &[event.into()]) {
            tracing::warn!("an event is not in its log: {}", Chain(&error));
        }
    }

    /// Returns what the logs say about what the gateway may do; damage comes first.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        let state = self.state();
        let damage = state.damage.as_ref().map(|damage| Alarm {
            state: damage.cause.state(),
            detail: format!("{}; smgw log verify says more", damage.event),
        });
        damage.or_else(|| {
            state.full.map(|log| Alarm {
                state: GatewayState::StorageFull,
                detail: format!("the {log} log is full; suppliers are not served"),
            })
        })
    }

    /// Returns whether something is wrong with the logs, so that the card does not sign them.
    pub(crate) fn is_damaged(&self) -> bool {
        self.state().damage.is_some()
    }

    /// Returns whether something is wrong with this log.
    pub(crate) fn is_log_damaged(&self, log: LogKind) -> bool {
        self.state().damaged.contains(&log)
    }

    /// Returns what is wrong with the logs, and what to do about it, whatever the state of the card.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let state = self.state();
        let damage = state.damage.as_ref().map(Damage::finding);
        let full = state.full.map(|log| {
            let text = format!("The {log} log is full: metering goes on, and no supplier is served.");
            Finding::new(codes::LOG_FULL, text)
        });
        damage.into_iter().chain(full).collect()
    }

    /// A panic under the lock leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns this moment, and whether the clock can be trusted.
pub(crate) fn moment() -> Moment {
    let time = clock::now();
    Moment {
        time,
        clock_trusted: !clock::status_at(time).contains(Status::CLOCK_UNKNOWN),
    }
}

#[cfg(test)]
mod tests;
