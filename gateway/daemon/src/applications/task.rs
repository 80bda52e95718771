//! The task that evaluates, and forgets what was kept long enough.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evaluation::Run;
use evaluation::protocol::Failure;
use messages::content::SupplierEntry;
use model::{Fingerprint, LogText, Period, Reading, Span, SystemEvent, Timestamp};
use store::{DatabaseError, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::due::{self, Moment, Patience};
use super::evaluate::{Evaluated, Evaluator};
use super::view::AUTHOR_REVOKED;
use super::{Assigned, assigned};
use crate::card::Standing;
use crate::clock;
use crate::journal::Journal;
use crate::liveness;
use crate::report::Chain;
use crate::threads::ThreadFailed;

/// How long to wait before it is looked again whether a window is over; a shorter registration period shortens it.
const LOOK: Duration = Duration::from_secs(5);
/// How long to rest between two evaluations, so that whoever waits for the store comes first.
const BETWEEN_STEPS: Duration = Duration::from_millis(20);
/// How many evaluations are made, and how often is forgotten, between two looks at the clock and the bundle.
const MAX_STEPS: usize = 256;

/// How many seconds lie between two looks at what is to be forgotten.
const BETWEEN_FORGETTING: u64 = 600;

/// Runs an application, given by its package, over an input blob.
pub(crate) type Host = fn(&[u8], &[u8]) -> Result<Run, Failure>;

/// The reason why nothing is evaluated any more, and the daemon stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluationFailed {
    /// The store failed.
    #[error("what applications make could not be read or stored")]
    Store(#[from] DatabaseError),
    /// The thread that evaluated has panicked.
    #[error("the thread that evaluates has failed")]
    Thread(#[from] ThreadFailed),
}

/// What the task and whoever asks about applications share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(super) store: Arc<Store>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) host: Host,
    /// The registration period.
    pub(super) period: Span,
    /// How long readings are kept.
    pub(super) history: Span,
    patience: Arc<Mutex<Patience>>,
}

/// The task that evaluates.
#[derive(Debug)]
pub(crate) struct ApplicationsTask {
    shared: Shared,
    journal: Journal,
    /// The latest values that were made, for whoever shows them.
    latest: watch::Sender<Vec<Reading>>,
    /// The bundle that the assignments are of, and those.
    known: (Option<Fingerprint>, Vec<Assigned>),
    /// When it was last looked what is to be forgotten, and nothing more was.
    looked: Option<Timestamp>,
}

/// What a step has come to.
enum Step {
    /// Nothing is due.
    Idle,
    /// Something was done, and there may be more.
    Done,
    /// The store has no room.
    Full,
}

impl Shared {
    /// Returns the assignments of the bundle in force, and which it is.
    pub(super) fn assigned(&self) -> (Option<Fingerprint>, Vec<Assigned>) {
        let identity = self.standing.borrow().identity.clone();
        let Some(bundle) = identity.as_ref().and_then(|identity| identity.bundle.as_ref()) else {
            return (None, Vec::new());
        };
        let names: BTreeMap<_, _> = bundle
            .suppliers()
            .iter()
            .map(|entry| (entry.certificates.sig.fingerprint(), entry.name.to_string()))
            .collect();
        let all = Assigned::all(&self.store, (bundle.applications(), bundle.revoked()), &names);
        (Some(bundle.digest), all)
    }

    /// Returns the name of the supplier on whose behalf the bundle in force names an application.
    pub(super) fn supplier_of(&self, application: Fingerprint) -> Option<String> {
        let identity = self.standing.borrow().identity.clone()?;
        let bundle = identity.bundle.as_ref()?;
        let entry = bundle
            .applications()
            .iter()
            .find(|entry| entry.digest == application)?;
        let of = |supplier: &&SupplierEntry| supplier.certificates.sig.fingerprint() == entry.supplier;
        Some(bundle.suppliers().iter().find(of)?.name.to_string())
    }

    fn bundle(&self) -> Option<Fingerprint> {
        let standing = self.standing.borrow();
        let bundle = standing.identity.as_ref()?.bundle.as_ref()?;
        Some(bundle.digest)
    }

    pub(super) fn evaluator(&self, now: Timestamp) -> Evaluator<'_> {
        Evaluator {
            store: &self.store,
            host: self.host,
            period: self.period,
            history: self.history,
            now,
        }
    }

    /// Returns how many failures in a row an application has, and until when it is left alone.
    pub(super) fn failures(&self, application: Fingerprint) -> Option<(u32, Timestamp)> {
        self.patience().of(application)
    }

    /// A panic under the lock leaves counts of failures, nothing else.
    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApplicationsTask {
    /// Builds the task; returns with it what others need to ask about applications, and the latest values.
    pub(crate) fn new(
        (store, journal): (Arc<Store>, Journal),
        standing: watch::Receiver<Standing>,
        (period, history): (Span, Span),
        host: Host,
    ) -> (Self, Shared, watch::Receiver<Vec<Reading>>) {
        let shared = Shared {
            store,
            standing,
            host,
            period,
            history,
            patience: Arc::default(),
        };
        let (latest, values) = watch::channel(Vec::new());
        let task = Self {
            shared: shared.clone(),
            journal,
            latest,
            known: (None, Vec::new()),
            looked: None,
        };
        (task, shared, values)
    }

    /// Evaluates until it is stopped, or until the store fails.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), EvaluationFailed> {
        let look = LOOK.min(Duration::from_secs(self.shared.period.seconds().into()));
        self = blocking(self, |task| task.show().map(|()| Step::Idle)).await?.0;
        loop {
            for _ in 0..MAX_STEPS {
                let (task, step) = tokio::select! {
                    // What runs meanwhile ends with its process, and is evaluated again.
                    () = stop.cancelled() => return Ok(()),
                    stepped = blocking(self, |task| task.step(clock::now())) => stepped?,
                };
                self = task;
                if !matches!(step, Step::Done) {
                    break;
                }
                tokio::time::sleep(BETWEEN_STEPS).await;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(look) => {}
            }
        }
    }

    /// Evaluates the next window that is due, or else forgets a part of what is to be forgotten.
    fn step(&mut self, now: Timestamp) -> Result<Step, DatabaseError> {
        if self.shared.bundle() != self.known.0 {
            self.known = self.shared.assigned();
            self.shared.patience().keep_only(&self.known.1);
            for stopped in self.known.1.iter().filter(|assigned| assigned.stopped.is_some()) {
                let (application, assignment) = (stopped.name(), stopped.assignment.name.as_str());
                tracing::warn!(
                    application,
                    assignment,
                    code = AUTHOR_REVOKED,
                    "an application is stopped"
                );
            }
        }
        let changed = self.shared.store.database().take_changed_times();
        let mut patience = self.shared.patience();
        patience.reopen(&self.shared.store, &self.known.1, &changed);
        drop(patience);
        let moment = Moment {
            now,
            period: self.shared.period,
            history: self.shared.history,
        };
        let mut running = self.known.1.iter().filter(|assigned| assigned.stopped.is_none());
        let due = running.find_map(|assigned| {
            let window = due::next(&self.shared.store, &mut self.shared.patience(), assigned, moment)?;
            Some((assigned.clone(), window))
        });
        let due = match due {
            Some(due) => Some(due),
            // Without a bundle nobody knows what is assigned no more.
            None if self.known.1.is_empty() && self.known.0.is_none() => None,
            None => due::next_left(&self.shared.store, &self.shared.patience(), &self.known.1, moment)?,
        };
        let done = match due {
            Some((assigned, window)) => self.evaluate(&assigned, window, now).map(|()| Step::Done),
            None => self.forget(now),
        };
        match done {
            // Nothing was stored; the window is due until it is.
            Err(error @ DatabaseError::Full) => {
                tracing::warn!("nothing is evaluated: {}", Chain(&error));
                Ok(Step::Full)
            }
            done => done,
        }
    }

    fn evaluate(&self, assigned: &Assigned, window: Period, now: Timestamp) -> Result<(), DatabaseError> {
        let name = assigned.name();
        match self.shared.evaluator(now).evaluate(assigned, window)? {
            Evaluated::Stored { revision, values } => {
                self.shared.patience().succeeded(assigned, window);
                let assignment = assigned.assignment.name.as_str();
                tracing::info!(application = name, assignment, from = %window.from(), to = %window.to(), revision, values, "window evaluated");
                self.show()?;
            }
            Evaluated::Same => self.shared.patience().succeeded(assigned, window),
            Evaluated::Later => tracing::debug!(application = name, "readings keep coming"),
            Evaluated::Failed(failure) => {
                let until = self
                    .shared
                    .patience()
                    .failed(assigned, window, (&failure.code, now));
                tracing::warn!(application = name, from = %window.from(), code = failure.code, %until, "an application failed: {}", failure.text);
                let event = SystemEvent::ApplicationFailed {
                    application: LogText::cut(&name),
                    assignment: LogText::cut(assigned.assignment.name.as_str()),
                    digest: assigned.digest,
                    window,
                    code: LogText::cut(&failure.code),
                    reason: LogText::cut(&failure.text),
                };
                self.journal.note([event.into()]);
            }
        }
        Ok(())
    }

    /// Forgets values that were kept long enough.
    fn forget(&mut self, now: Timestamp) -> Result<Step, DatabaseError> {
        if self
            .looked
            .is_some_and(|looked| now.seconds_since(looked).unsigned_abs() < BETWEEN_FORGETTING)
        {
            return Ok(Step::Idle);
        }
        let database = self.shared.store.database();
        let forgotten = database.forget_evaluations(self.shared.history, now)?;
        if forgotten.rows == 0 {
            self.looked = Some(now);
            return Ok(Step::Idle);
        }
        tracing::info!(rows = forgotten.rows, "what applications have made was forgotten");
        self.show()?;
        Ok(Step::Done)
    }

    /// Shows the latest values to whoever looks.
    fn show(&self) -> Result<(), DatabaseError> {
        let latest = self.shared.store.database().latest_derived()?;
        self.latest.send_replace(latest);
        Ok(())
    }
}

/// Has the task do something that may block.
async fn blocking<R: Send + 'static>(
    mut task: ApplicationsTask,
    work: impl FnOnce(&mut ApplicationsTask) -> Result<R, DatabaseError> + Send + 'static,
) -> Result<(ApplicationsTask, R), EvaluationFailed> {
    let worked = liveness::work(move || {
        let done = work(&mut task);
        (task, done)
    });
    let (task, done) = worked.await?;
    Ok((task, done?))
}

/// Returns id and version of an application whose package is kept.
pub(crate) fn name_of(store: &Store, digest: Fingerprint) -> Option<String> {
    let manifest = assigned::manifest_of(store, digest)?;
    Some(assigned::name(manifest.id(), manifest.version()))
}

#[cfg(test)]
impl ApplicationsTask {
    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(super) const fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn evaluator(&self, now: Timestamp) -> Evaluator<'_> {
        self.shared.evaluator(now)
    }

    pub(super) fn known(&self) -> &[Assigned] {
        &self.known.1
    }

    /// Takes assignments over as those of the bundle in force, of which there is none.
    pub(super) fn assign(&mut self, all: Vec<Assigned>) {
        self.known.1 = all;
    }

    /// Makes a step, and returns whether there may be more to do.
    pub(super) fn step_once(&mut self, now: Timestamp) -> bool {
        matches!(self.step(now).unwrap(), Step::Done)
    }

    pub(super) fn explain(&self, element: &model::Element, time: Timestamp) -> super::ExplanationView {
        super::Explainer::new(self.shared.clone())
            .explain(element, time)
            .unwrap()
    }
}
