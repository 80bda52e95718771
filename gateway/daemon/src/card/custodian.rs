//! The thread that owns the card.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use card::CardSession;
use model::GatewayState;
use store::Store;
use tokio::sync::watch;

use super::examination;
use super::handle::{CardHandle, Job, QUEUE, Session};
use super::obstacle::Obstacle;
use super::reader;
use super::standing::{Identity, Standing};
use crate::config::CardSlot;
use crate::report::Chain;

/// How often the card is looked for, or looked after. It bounds how long a card can be gone
/// before the service stops.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Owns the reader, the session with the card, and the binding.
pub(crate) struct Custodian {
    slot: CardSlot,
    store: Arc<Store>,
    session: Option<Session>,
    standing: watch::Sender<Standing>,
}

/// The running thread; it ends when the last handle is gone.
#[derive(Debug)]
pub(crate) struct CustodianThread {
    thread: JoinHandle<()>,
    /// Closed by the end of the thread.
    ended: Receiver<()>,
}

impl CustodianThread {
    /// Waits for the end of the thread, but not longer than given: a card that hangs must not keep the
    /// daemon from ending. The caller has dropped every handle.
    pub(crate) fn join(self, patience: Duration) {
        if self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the card's thread does not end; it is left behind");
        } else if self.thread.join().is_err() {
            tracing::error!("the card's thread has panicked");
        }
    }
}

impl Custodian {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub(crate) fn start(
        slot: CardSlot,
        store: Arc<Store>,
    ) -> std::io::Result<(CardHandle, watch::Receiver<Standing>, CustodianThread)> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let (standing, watch) = watch::channel(Standing::unknown());
        let custodian = Self {
            slot,
            store,
            session: None,
            standing,
        };
        let (end, ended) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("card".to_owned())
            .spawn(move || {
                // Dropped with the closure, also when the thread panics.
                let _end: SyncSender<()> = end;
                custodian.run(&queue);
            })?;
        Ok((CardHandle { jobs }, watch, CustodianThread { thread, ended }))
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        self.examine();
        loop {
            match jobs.recv_timeout(HEARTBEAT) {
                Ok(Job::Use(job)) => job(self.session.as_mut()),
                Ok(Job::Examine(done)) => {
                    self.examine();
                    if done.try_send(()).is_err() {
                        tracing::debug!("whoever asked for the examination has given up waiting");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_after_the_card();
        }
    }

    /// Notices a card that went, came, or moved on in its life.
    fn look_after_the_card(&mut self) {
        let Some(session) = &mut self.session else {
            return self.examine();
        };
        let anchored = session.anchor().map(|anchor| (anchor.version, anchor.digest));
        let known = self
            .standing
            .borrow()
            .identity
            .as_ref()
            .map(|identity| identity.anchored());
        if anchored.ok() != known {
            self.examine();
        }
    }

    /// Examines whatever is in the reader, from the start, and publishes what follows.
    fn examine(&mut self) {
        let store = Arc::clone(&self.store);
        let outcome = self.open().and_then(|mut session| {
            let identity = examination::examine(&mut session, &store)?;
            Ok((session, identity))
        });
        let next = match outcome {
            Ok((session, identity)) => {
                self.session = Some(session);
                Standing {
                    state: state_of(&identity),
                    detail: None,
                    bound_to: Some(identity.guid),
                    identity: Some(Arc::new(identity)),
                }
            }
            Err(obstacle) => self.stand_down(&obstacle),
        };
        self.publish(next);
    }

    /// Takes the session that is open, if the card still answers, or opens one.
    fn open(&mut self) -> Result<Session, Obstacle> {
        if let Some(mut session) = self.session.take()
            && session.life_cycle().is_ok()
        {
            return Ok(session);
        }
        Ok(CardSession::open(reader::power_on(&self.slot)?)?)
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

    /// Publishes a standing, and logs it once when it differs from the last.
    fn publish(&self, next: Standing) {
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

/// The gateway is operational once the bundle that the card vouches for is there.
const fn state_of(identity: &Identity) -> GatewayState {
    match &identity.bundle {
        Some(_) => GatewayState::Operational,
        None => GatewayState::Bound,
    }
}
