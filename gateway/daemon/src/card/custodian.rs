//! The thread that owns the card.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use card::CardSession;
use model::{Fingerprint, GatewayState, LogEvent, LogKind, LogText, SystemEvent};
use store::Store;
use tokio::sync::watch;

use super::examination;
use super::handle::{CardHandle, Job, Reached, Session};
use super::inspection;
use super::monitor;
use super::obstacle::Obstacle;
use super::queue::{Next, Queue};
use super::reader::ReaderError;
use super::slot::Slot;
use super::standing::{Identity, Standing};
use crate::config::{CardConfig, CardSlot};
use crate::journal::{Alarm, Journal};
use crate::report::Chain;

/// How often a card is looked for at the most.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Owns the reader, the session with the card, and the binding.
pub(crate) struct Custodian {
    slot: Slot,
    /// How often the card is looked for, or looked after.
    heartbeat: Duration,
    store: Arc<Store>,
    journal: Journal,
    session: Option<Session>,
    /// Version and digest of the bundle that the card last said is in force.
    anchored: Option<(u64, Fingerprint)>,
    /// What the logs last said about the standing.
    alarm: Option<Alarm>,
    /// Whether the system log has the binding.
    binding_noted: bool,
    standing: watch::Sender<Standing>,
    /// The card that refused the pairing secret. It is not asked again before it is inserted anew: every try
    /// runs down a counter, and a card without tries needs the trust centre.
    refusal: Option<Refusal>,
}

/// A card's refusal of the pairing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    /// How many tries the card has left.
    tries: u8,
    /// The insertion that the card came by, as its reader counts them.
    insertion: Option<u16>,
}

impl Refusal {
    /// Returns whether a card that came by the insertion is still the one that refused.
    fn is_of(&self, insertion: Option<u16>) -> bool {
        self.insertion == insertion
    }

    /// Returns what is left of a refusal after an examination of a card that came by the insertion.
    ///
    /// A failure says nothing about which card there is: a card that another program has for a moment, or whose
    /// reader hangs, has not been taken out.
    const fn after(
        before: Option<Self>,
        outcome: Result<(), &Obstacle>,
        insertion: Option<u16>,
    ) -> Option<Self> {
        match outcome {
            Ok(()) | Err(Obstacle::Reader(ReaderError::NoCard | ReaderError::NoReader)) => None,
            Err(Obstacle::PairingRefused { tries }) => Some(Self {
                tries: *tries,
                insertion,
            }),
            Err(_) => before,
        }
    }
}

/// The running thread, and that of the monitor; they end when the last handle is gone.
#[derive(Debug)]
pub(crate) struct CustodianThread {
    threads: Vec<JoinHandle<()>>,
    /// Closed by the end of the threads.
    ended: Receiver<()>,
}

impl CustodianThread {
    /// Waits for the end of the thread, but not longer than given: a card that hangs must not keep the
    /// daemon from ending. The caller has dropped every handle.
    pub(crate) fn join(self, patience: Duration) {
        if self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the card's thread does not end; it is left behind");
            return;
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the card has panicked");
            }
        }
    }
}

impl Custodian {
    /// Starts the thread, and for a card in a reader the monitor's.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub(crate) fn start(
        config: CardConfig,
        store: Arc<Store>,
        journal: Journal,
    ) -> std::io::Result<(CardHandle, watch::Receiver<Standing>, CustodianThread)> {
        let queue = Arc::new(Queue::new());
        let handle = CardHandle::new(Arc::clone(&queue));
        let (standing, watch) = watch::channel(Standing::unknown());
        let slot = Slot::new(config.slot);
        let custodian = Self {
            slot: slot.clone(),
            heartbeat: config.heartbeat,
            store,
            journal,
            session: None,
            anchored: None,
            alarm: None,
            binding_noted: false,
            standing,
            refusal: None,
        };
        let (end, ended) = mpsc::sync_channel(1);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let end: SyncSender<()> = end.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                // Dropped with the closure, also when the thread panics.
                let _end = end;
                run();
            })
        };
        let mut threads = Vec::new();
        if matches!(slot.place(), CardSlot::Reader(_)) {
            let queue = Arc::clone(&queue);
            threads.push(spawn(
                "card monitor",
                Box::new(move || monitor::watch(&slot, &queue)),
            )?);
        }
        threads.push(spawn("card", Box::new(move || custodian.run(&queue)))?);
        Ok((handle, watch, CustodianThread { threads, ended }))
    }

    fn run(mut self, queue: &Queue<Job>) {
        let mut look = Instant::now();
        loop {
            match queue.next(look) {
                Next::Job(Job::Use(job)) => {
                    // A card that went is missed at once, not at the next heartbeat.
                    if job(self.session.as_mut()) == Reached::No {
                        look = Instant::now();
                    }
                }
                Next::Job(Job::Examine(done)) => {
                    self.examine();
                    if done.try_send(()).is_err() {
                        tracing::debug!("whoever asked for the examination has given up waiting");
                    }
                }
                Next::Job(Job::Inspect(reply)) => {
                    let view = inspection::inspect(&self.slot, self.session.as_mut(), Some(&self.store));
                    if reply.try_send(view).is_err() {
                        tracing::debug!("whoever asked for the inspection has given up waiting");
                    }
                }
                Next::Look => {
                    self.look_after_the_card();
                    // Without a card in use a look gives power to whatever is there and reads it, which it can be spared.
                    let pause = match &self.session {
                        Some(_) => self.heartbeat,
                        None => self.heartbeat.max(LOOK_AGAIN),
                    };
                    let now = Instant::now();
                    look = now.checked_add(pause).unwrap_or(now);
                }
                Next::End => return,
            }
        }
    }

    /// Notices a card that went, came, or moved on in its life.
    fn look_after_the_card(&mut self) {
        let Some(session) = &mut self.session else {
            return self.examine();
        };
        let anchored = session.anchor().map(|anchor| (anchor.version, anchor.digest));
        if anchored.ok() != self.anchored || self.journal.alarm() != self.alarm {
            self.examine();
        }
    }

    /// Examines whatever is in the reader, from the start, and publishes what follows.
    fn examine(&mut self) {
        let store = Arc::clone(&self.store);
        let refusal = self.refusal;
        let outcome = self.open().and_then(|mut session| {
            if let Some(refusal) = refusal.filter(|refusal| refusal.is_of(self.slot.insertion())) {
                return Err(Obstacle::PairingRefused { tries: refusal.tries });
            }
            let identity = examination::examine(&mut session, &store)?;
            Ok((session, identity))
        });
        self.anchored = None;
        let said = outcome.as_ref().map(|_| ());
        self.refusal = Refusal::after(self.refusal, said, self.slot.insertion());
        let next = match outcome {
            Ok((session, identity)) => {
                self.session = Some(session);
                self.anchored = Some(identity.anchored());
                self.note_binding();
                Standing {
                    state: state_of(&identity),
                    detail: None,
                    bound_to: Some(identity.guid),
                    identity: Some(Arc::new(identity)),
                }
            }
            Err(obstacle) => self.stand_down(&obstacle),
        };
        self.alarm = self.journal.alarm();
        let next = under_alarm(next, self.alarm.as_ref());
        self.publish(next);
    }

    /// Writes the binding into the system log, if a power cut kept it from being written when it was burned.
    fn note_binding(&mut self) {
        if self.binding_noted {
            return;
        }
        let Ok(Ok(Some(binding))) = self.store.bindings().map(store::Bindings::binding) else {
            return;
        };
        self.journal.compare_with(binding.card_key);
        match self.knows_binding() {
            Ok(false) => self.journal.note([LogEvent::from(SystemEvent::BindingBurned {
                card: binding.card,
                gateway: binding.gateway,
                time: binding.time,
            })]),
            Ok(true) => {}
            Err(error) => return tracing::warn!("{}", Chain(&error)),
        }
        self.binding_noted = true;
    }

    /// Returns whether the system log has the binding, or is so old that its beginning is gone.
    fn knows_binding(&self) -> Result<bool, store::LogError> {
        let mut after = Some(0);
        while let Some(behind) = after {
            let page = self.journal.logs().page(LogKind::System, behind, None)?;
            let is_binding =
                |event| matches!(event, Some(LogEvent::System(SystemEvent::BindingBurned { .. })));
            let is_shortened = page
                .entries
                .first()
                .is_some_and(|entry| behind == 0 && entry.sequence > 1);
            if is_shortened || page.entries.iter().any(|entry| is_binding(entry.event())) {
                return Ok(true);
            }
            after = page.next;
        }
        Ok(false)
    }

    /// Takes the session that is open, if the card still answers, or opens one.
    fn open(&mut self) -> Result<Session, Obstacle> {
        if let Some(mut session) = self.session.take()
            && session.life_cycle().is_ok()
        {
            return Ok(session);
        }
        Ok(CardSession::open(self.slot.power_on()?)?)
    }

    fn stand_down(&self, obstacle: &Obstacle) -> Standing {
        let binding = match self.store.bindings().map(store::Bindings::binding) {
            Ok(Ok(binding)) => binding,
            Ok(Err(_)) | Err(_) => None,
        };
        // Bindings that cannot be read are no proof that there is none, and come before the card.
        let unreadable = self.store.bindings().err().map(Obstacle::from);
        let obstacle = unreadable.as_ref().unwrap_or(obstacle);
        Standing {
            state: obstacle.state(binding.is_some()),
            detail: Some(Chain(obstacle).to_string()),
            bound_to: binding.map(|binding| binding.card),
            identity: None,
        }
    }

    /// Writes a change of the state, or of its cause, into the system log before it is acted on.
    fn note_change(&self, next: &Standing) {
        let is_change = {
            let current = self.standing.borrow();
            current.state != next.state || current.detail != next.detail
        };
        if is_change {
            self.journal.note_outside(SystemEvent::StandingChanged {
                state: next.state,
                code: LogText::cut(next.state.code()),
                detail: next.detail.as_deref().map(LogText::cut),
            });
        }
    }

    /// Publishes a standing, and logs it once when it differs from the last.
    fn publish(&self, next: Standing) {
        self.note_change(&next);
        self.standing.send_if_modified(|current| {
            let same_identity = current.identity.is_none() && next.identity.is_none();
            if same_identity && current.state == next.state && current.detail == next.detail {
                return false;
            }
            let detail = next.detail.as_deref().unwrap_or_else(|| next.state.cause());
            let code = next.state.code();
            if next.state.serves_tsm() {
                tracing::info!(state = %next.state, code, "{detail}");
            } else {
                tracing::warn!(state = %next.state, code, remedy = next.state.remedy(), "{detail}");
            }
            *current = next;
            true
        });
    }
}

/// Returns the standing that is left of one when a log is damaged or full.
///
/// Without its identity the gateway serves nobody. With a log that is full or lost it keeps it, to say so.
fn under_alarm(next: Standing, alarm: Option<&Alarm>) -> Standing {
    match alarm {
        Some(alarm) if alarm.state == GatewayState::Tampered && next.state != GatewayState::Tampered => {
            Standing {
                state: alarm.state,
                detail: Some(alarm.detail.clone()),
                identity: None,
                ..next
            }
        }
        Some(alarm) if next.state.serves_tsm() => Standing {
            state: alarm.state,
            detail: Some(alarm.detail.clone()),
            ..next
        },
        Some(_) | None => next,
    }
}

/// The gateway is operational once the bundle that the card vouches for is there.
const fn state_of(identity: &Identity) -> GatewayState {
    match &identity.bundle {
        Some(_) => GatewayState::Operational,
        None => GatewayState::Bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(state: GatewayState, alarm: GatewayState) -> GatewayState {
        let standing = Standing {
            state,
            ..Standing::unknown()
        };
        let alarm = Alarm {
            state: alarm,
            detail: "the consumer log is damaged".to_owned(),
        };
        under_alarm(standing, Some(&alarm)).state
    }

    #[test]
    fn refusal_lasts_until_the_card_is_inserted_anew() {
        let refused = Obstacle::PairingRefused { tries: 9 };
        let refusal = Refusal::after(None, Err(&refused), Some(3));
        let expected = Refusal {
            tries: 9,
            insertion: Some(3),
        };
        assert_eq!(refusal, Some(expected));
        for failure in [
            ReaderError::InUse,
            ReaderError::Lost,
            ReaderError::NoService,
            ReaderError::Hangs,
        ] {
            assert_eq!(Refusal::after(refusal, Err(&failure.into()), Some(3)), refusal);
        }
        assert!(expected.is_of(Some(3)));
        assert!(!expected.is_of(Some(5)), "another card, or this one again");
        for gone in [ReaderError::NoCard, ReaderError::NoReader] {
            assert_eq!(Refusal::after(refusal, Err(&gone.into()), Some(3)), None);
        }
        assert_eq!(Refusal::after(refusal, Ok(()), Some(5)), None);
    }

    #[test]
    fn alarm_ends_the_service_and_hides_nothing_that_is_worse() {
        let (lost, full, changed) = (
            GatewayState::Degraded,
            GatewayState::StorageFull,
            GatewayState::Tampered,
        );
        for serving in [GatewayState::Bound, GatewayState::Operational] {
            for alarm in [lost, full, changed] {
                assert_eq!(after(serving, alarm), alarm);
            }
        }
        for alarm in [lost, full] {
            assert_eq!(after(GatewayState::CardMissing, alarm), GatewayState::CardMissing);
        }
        assert_eq!(after(GatewayState::CardMissing, changed), changed);
    }
}
