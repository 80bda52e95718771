//! The thread that owns the card.

mod publication;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use card::{CardError, CardSession, StatusWord};
use model::{CardId, Fingerprint};
use store::{Burned, Counter, Store};
use tokio::sync::watch;

use super::confirmation::{self, Confirmed, NotConfirmed};
use super::examination::{self, Consent};
use super::handle::{CardFault, CardHandle, Job, Reached, RelayedAnswers, RelayedCommands, Session};
use super::hold::Hold;
use super::inspection;
use super::monitor;
use super::obstacle::Obstacle;
use super::queue::{Next, Queue};
use super::reader::ReaderError;
use super::relay;
use super::removal::{Events, RemovalWatch, Sight};
use super::rollback::StoreAnchor;
use super::slot::Slot;
use super::standing::{Gate, Identity, Standing};
use crate::clock;
use crate::config::{CardConfig, CardSlot};
use crate::journal::{Alarm, Journal};
use crate::liveness::{Pulses, ThreadPulse};
use crate::report::Chain;

/// How often a card is looked for at the most.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How long a card keeps its power for the trust centre, which has several things to say to it, each over a network.
const RELAY_PATIENCE: Duration = Duration::from_secs(30);

/// What stands in the tamper row of a removal.
const REMOVED: &str = "the bound card was taken out while the gateway ran";

/// Owns the reader, the session with the card, and the binding.
pub(crate) struct Custodian {
    slot: Slot,
    /// How often the card is looked for, or looked after.
    heartbeat: Duration,
    store: Arc<Store>,
    journal: Journal,
    /// Whether a card may be bound.
    consent: Consent,
    /// The session with the card that serves.
    session: Option<Session>,
    /// A session with a card that does not serve, and that is not to be opened again: it is paired, or the trust centre
    /// speaks to the card.
    parked: Option<Session>,
    /// Until when the trust centre may go on speaking to the card.
    relayed_until: Option<Instant>,
    /// How many sessions with a card have served.
    served: u64,
    /// Version and digest of the bundle that the card last said is in force.
    anchored: Option<(u64, Fingerprint)>,
    anchor: StoreAnchor,
    /// What the logs last said about the standing.
    alarm: Option<Alarm>,
    /// Whether the system log has the binding.
    binding_noted: bool,
    standing: Arc<watch::Sender<Standing>>,
    gate: Gate,
    hold: Option<Hold>,
    removal: RemovalWatch,
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
        pulses: &Pulses,
    ) -> std::io::Result<(CardHandle, watch::Receiver<Standing>, CustodianThread)> {
        let queue = Arc::new(Queue::new());
        let handle = CardHandle::new(Arc::clone(&queue));
        let (standing, watch) = watch::channel(Standing::unknown());
        let standing = Arc::new(standing);
        let gate = Gate::new(Arc::clone(&standing));
        let slot = Slot::new(config.slot);
        slot.guard(gate.clone());
        let custodian = Self {
            slot: slot.clone(),
            heartbeat: config.heartbeat,
            store,
            journal,
            consent: if config.waits_for_confirmation {
                Consent::Awaited
            } else {
                Consent::Automatic
            },
            session: None,
            parked: None,
            relayed_until: None,
            served: 0,
            anchored: None,
            anchor: StoreAnchor::default(),
            alarm: None,
            binding_noted: false,
            standing,
            gate,
            hold: None,
            removal: RemovalWatch::default(),
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
            let pulse = pulses.watch_thread("card monitor");
            threads.push(spawn(
                "card monitor",
                Box::new(move || monitor::watch(&slot, &queue, &pulse)),
            )?);
        }
        let pulse = pulses.watch_thread("card");
        threads.push(spawn("card", Box::new(move || custodian.run(&queue, &pulse)))?);
        Ok((handle, watch, CustodianThread { threads, ended }))
    }

    fn run(mut self, queue: &Queue<Job>, pulse: &ThreadPulse) {
        let mut look = Instant::now();
        loop {
            pulse.beat();
            match queue.next(look) {
                Next::Job(job) => {
                    // A card that went is missed at once, not at the next heartbeat; and one that answers late is back.
                    if self.carry_out(job) == Reached::No || self.gate.is_closed() {
                        look = Instant::now();
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

    /// Carries out a job; whoever asked may have given up waiting.
    fn carry_out(&mut self, job: Job) -> Reached {
        let answered = match job {
            Job::Use(work) => return work(self.session.as_mut()),
            Job::Examine(done) => {
                self.examine();
                done.try_send(()).is_ok()
            }
            Job::Inspect(reply) => {
                let session = self.session.as_mut().or(self.parked.as_mut());
                let view = inspection::inspect(&self.slot, session, Some(&self.store));
                reply.try_send(view).is_ok()
            }
            Job::Confirm(characters, reply) => reply.try_send(self.confirm(&characters)).is_ok(),
            Job::Relay(commands, reply) => reply.try_send(self.relay(&commands)).is_ok(),
            Job::TakeLeave(done) => {
                // From here on whoever has stopped the gateway may take the card out.
                self.removal = RemovalWatch::default();
                done.try_send(()).is_ok()
            }
            Job::Vouch(done) => {
                if let Some(session) = &mut self.session {
                    self.anchor.step(session, &self.store, &self.journal);
                }
                done.try_send(()).is_ok()
            }
        };
        if !answered {
            tracing::debug!("whoever asked has given up waiting");
        }
        Reached::Yes
    }

    /// Notices a card that went, came, died, or moved on in its life.
    fn look_after_the_card(&mut self) {
        let Some(session) = &mut self.session else {
            return self.examine();
        };
        // Under secure messaging: it is the same card, and the same session.
        let anchored = session.anchor().map(|anchor| (anchor.version, anchor.digest));
        match anchored {
            Ok(anchored)
                if Some(anchored) == self.anchored
                    && self.journal.alarm() == self.alarm
                    && !self.gate.is_closed() =>
            {
                let now = Instant::now();
                self.slot.note_proof();
                self.removal.see(Sight::Card, Events::None, now);
                self.anchor.keep_up(session, &self.store, &self.journal, now);
            }
            Ok(_) => self.examine(),
            Err(error) => {
                // What follows may take seconds, if the reader hangs.
                self.slot.stand_down("the card does not answer in its session");
                if is_proven_dead(session, &error) {
                    self.note_death();
                }
                self.examine();
            }
        }
    }

    /// Writes down that the card that served is dead, as it has said itself.
    fn note_death(&mut self) {
        self.session = None;
        let Ok(bindings) = self.store.bindings() else {
            return;
        };
        match bindings.burn_card_terminated(clock::now()) {
            Ok(_) => tracing::warn!("the bound card has ended its life"),
            Err(error) => tracing::error!("the end of the card cannot be burned: {}", Chain(&error)),
        }
    }

    /// Examines whatever is in the reader, from the start, and publishes what follows.
    fn examine(&mut self) {
        let outcome = self.attempt();
        let sight = match &outcome {
            Ok(_) => Sight::Card,
            Err(obstacle) => obstacle.sight(self.parked.as_ref().is_some_and(CardSession::is_paired)),
        };
        self.watch_for_removal(sight);
        if sight == Sight::Card {
            self.slot.note_proof();
        }
        self.anchored = None;
        let next = match outcome {
            // What is decided about the card stands, even if it is back now.
            Ok(_) if self.removal.is_removed() => self.stand_down(&Obstacle::Removed),
            Ok((session, identity)) => {
                self.session = Some(session);
                self.anchored = Some(identity.anchored());
                self.note_binding();
                Standing::serving(Arc::new(identity), self.slot.is_soft())
            }
            Err(obstacle) => self.stand_down(&obstacle),
        };
        self.alarm = self.journal.alarm();
        let next = publication::under_alarm(next, self.alarm.as_ref());
        self.publish(next);
        if let Some(session) = &mut self.session {
            self.anchor
                .keep_up(session, &self.store, &self.journal, Instant::now());
        }
    }

    /// Examines the card, unless something is held against it.
    fn attempt(&mut self) -> Result<(Session, Identity), Arc<Obstacle>> {
        let mut session = self.open().map_err(|obstacle| self.held(obstacle, false))?;
        if let Some(obstacle) = self
            .hold
            .as_ref()
            .and_then(|hold| hold.against(self.slot.insertion(), Instant::now()))
        {
            self.park(session);
            return Err(obstacle);
        }
        let before = self.pairings();
        let is_new = !session.is_paired();
        let examined = examination::examine(&mut session, &self.store, self.consent).and_then(|identity| {
            self.anchor.compare(&mut session, &self.store, &self.journal)?;
            Ok(identity)
        });
        let was_paired = session.is_paired() || self.pairings() != before;
        match examined {
            Ok(mut identity) => {
                self.hold = None;
                self.served = self.served.saturating_add(u64::from(is_new));
                identity.session = self.served;
                Ok((session, identity))
            }
            Err(obstacle) => {
                self.park(session);
                Err(self.held(obstacle, was_paired))
            }
        }
    }

    /// Takes an obstacle into what is held against the card.
    fn held(&mut self, obstacle: Obstacle, was_paired: bool) -> Arc<Obstacle> {
        let obstacle = Arc::new(obstacle);
        let (before, insertion) = (self.hold.take(), self.slot.insertion());
        self.hold = Hold::after(before, &obstacle, was_paired, insertion, Instant::now());
        obstacle
    }

    /// Returns how often this gateway has tried to pair with its card, as far as that can be read.
    fn pairings(&self) -> Option<u64> {
        let bindings = self.store.bindings().ok()?;
        bindings.counter(Counter::PairingAttempt).ok()
    }

    /// Keeps a session that would have to be paired again, or in which the trust centre speaks to the card. Any other
    /// card is let go of, so that other programs may look at it.
    fn park(&mut self, session: Session) {
        let is_relayed = self.relayed_until.is_some_and(|until| Instant::now() < until);
        self.parked = (session.is_paired() || is_relayed).then_some(session);
    }

    /// Takes the session that is open, if the card still answers, or opens one.
    fn open(&mut self) -> Result<Session, Obstacle> {
        let parked = self.parked.take();
        if let Some(mut session) = self.session.take().or(parked) {
            if session.life_cycle().is_ok() {
                return Ok(session);
            }
            // What follows may take seconds, if the reader hangs.
            self.slot.stand_down("the card does not answer in its session");
        }
        CardSession::open(self.slot.power_on()?).map_err(Obstacle::of_selection)
    }

    /// Gives the gateway up, for good, if the card was taken out while it ran. See [`super::removal`].
    fn watch_for_removal(&mut self, sight: Sight) {
        let now = Instant::now();
        if self.slot.take_blindness() {
            self.removal.see(Sight::Blind, Events::Unknown, now);
        }
        if !self.removal.see(sight, self.slot.events_since_proof(), now) {
            return;
        }
        (self.session, self.parked) = (None, None);
        let Ok(bindings) = self.store.bindings() else {
            return;
        };
        match bindings.burn_tamper(REMOVED, clock::now()) {
            Ok(Burned::Now) => tracing::error!("{REMOVED}; the gateway is given up"),
            Ok(Burned::AlreadyBurned) => {}
            Err(error) => tracing::error!("the removal of the card cannot be burned: {}", Chain(&error)),
        }
    }

    /// Binds the card in the reader, whose GUID the technician has confirmed; or pairs the bound one, if it does not serve.
    fn confirm(&mut self, characters: &str) -> Result<Confirmed, NotConfirmed> {
        let bound_before = self.bound_to();
        let is_serving = self.standing.borrow().identity.is_some();
        if let Some(card) = bound_before.filter(|_| is_serving) {
            return Err(NotConfirmed::AlreadyBound { card });
        }
        let mut session = self.open().map_err(|obstacle| NotConfirmed::of(&obstacle))?;
        let guid = match session.identity() {
            Ok(shown) => shown.guid,
            Err(_) => return Err(NotConfirmed::of(&Obstacle::Blank)),
        };
        if let Some(card) = bound_before.filter(|bound| *bound != guid) {
            return Err(NotConfirmed::AlreadyBound { card });
        }
        if !confirmation::are_last_characters(guid, characters) {
            return Err(NotConfirmed::OtherCard);
        }
        self.parked = Some(session);
        self.hold = None;
        let before = std::mem::replace(&mut self.consent, Consent::Given(guid));
        self.examine();
        self.consent = before;
        let is_in_use = bound_before.is_none() || self.standing.borrow().identity.is_some();
        if is_in_use && self.bound_to() == Some(guid) {
            return Ok(Confirmed { guid });
        }
        Err(NotConfirmed::of_standing(&self.standing.borrow()))
    }

    /// Returns the GUID of the card that the gateway is bound to, as far as that can be read.
    fn bound_to(&self) -> Option<CardId> {
        let binding = self.store.bindings().ok()?.binding().ok()?;
        binding.map(|binding| binding.card)
    }

    /// Passes the trust centre's commands to whatever card is there; what they mean is between those two.
    fn relay(&mut self, commands: &RelayedCommands) -> Result<RelayedAnswers, CardFault> {
        if self.session.is_none() && self.parked.is_none() {
            let card = self.slot.power_on().map_err(CardError::Transport)?;
            self.parked = Some(CardSession::open(card)?);
        }
        self.relayed_until = Instant::now().checked_add(RELAY_PATIENCE);
        let session = self.session.as_mut().or(self.parked.as_mut());
        let session = session.ok_or(CardFault::Absent)?;
        let pass = |command: &Vec<u8>| relay::pass(session, command);
        commands.iter().map(pass).collect()
    }
}

/// Returns whether the card itself has said that it is dead: under secure messaging. In clear anybody can say so who
/// stands between reader and card, and what is burned is burned for good.
pub(super) fn is_proven_dead(session: &Session, error: &CardError<ReaderError>) -> bool {
    let said = matches!(error, CardError::Refused { status, .. } if *status == StatusWord::TERMINATED);
    said && session.is_paired()
}
