//! The installation wizard, for the technician: from a device that has just been powered up to the first contact with the TSM.
//!
//! Each step has a state that outlives a power cut and is the same on every phone. No step blocks another one: what cannot be
//! done now is left, or skipped with a reason, and every check can be made again. What has been found is shown as it was
//! measured, with what to do about it.
//!
//! The steps only look, with two exceptions that have a page each: the binding, which cannot be undone, and the meters, whose
//! configuration goes into a file of its own ([`crate::config`]).

mod binding;
mod book;
mod card;
mod check;
mod device;
mod handed;
mod meters;
mod pages;
mod report;
mod scan;
mod terms;
mod wan;
mod what;
mod words;
mod work;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::MeterId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::binding::BindingSource;
use crate::card::CardHandle;
use crate::config::{Config, Point};
use crate::doctor::Climber;
use crate::report::Chain;
use crate::status::StatusSource;

use book::{Book, BookError, State, Step};
use check::Check;
use scan::Board;
use work::{Job, LONGEST_QUEUE, Worker};

pub(crate) use handed::{INSTALLATION_REPORT, InstallationReport, report_router};
pub(super) use pages::routes;
pub(crate) use scan::Line;

/// What the wizard looks at. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The card.
    pub(crate) card: CardHandle,
    /// What is burned.
    pub(crate) bindings: BindingSource,
    /// The state of the gateway.
    pub(crate) source: StatusSource,
    /// The folder of the store.
    pub(crate) data: PathBuf,
    /// What climbs the way to the TSM.
    pub(crate) climber: Climber,
    /// The lines that are read for metering.
    pub(crate) lines: Arc<[Line]>,
    /// The accounts of the consumers.
    pub(crate) consumers: Vec<String>,
    /// Where meters measure, and for whom.
    pub(crate) points: Arc<[Point]>,
    /// The file of the configuration.
    pub(crate) config: PathBuf,
    /// The files of installed meters that were there when the daemon was started.
    pub(crate) installed: Arc<[String]>,
    /// Has the daemon start again, with the configuration as it is then.
    pub(crate) restart: CancellationToken,
}

impl Site {
    /// Puts together what a gateway of this configuration has.
    pub(crate) fn of(
        config: &Config,
        (card, bindings, source): (&CardHandle, &BindingSource, &StatusSource),
        (lines, climber): (Vec<Line>, Climber),
        restart: CancellationToken,
    ) -> Self {
        let names = source.store.installed().names();
        let installed = names.unwrap_or_else(|error| {
            tracing::warn!("the files of installed meters are not known: {}", Chain(&error));
            Vec::new()
        });
        let consumers = config.https.iter().flat_map(|https| &https.consumers);
        Self {
            card: card.clone(),
            bindings: bindings.clone(),
            source: source.clone(),
            data: config.data.clone(),
            climber,
            lines: lines.into(),
            consumers: consumers.map(|consumer| consumer.name.clone()).collect(),
            points: config.points.clone().into(),
            config: config.file.clone(),
            installed: installed.into(),
            restart,
        }
    }
}

/// The wizard. Clones share everything.
#[derive(Clone)]
pub(crate) struct Wizard {
    site: Site,
    book: Book,
    /// The steps that are at work in this life of the daemon.
    running: Arc<Mutex<BTreeSet<Step>>>,
    jobs: mpsc::Sender<Job>,
    /// Where a scan is seen.
    board: Board,
}

/// The reason why a step was not begun.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// The step is at work already.
    #[error("this step is at work already; wait for its end")]
    AtWork,
    /// Too much waits.
    #[error("the wizard has too much to do; try again")]
    Busy,
    /// It cannot be written down.
    #[error(transparent)]
    Book(#[from] BookError),
}

impl Wizard {
    /// Opens the wizard where it was left, and returns with it what does its work.
    pub(crate) fn open(site: Site) -> (Self, Worker) {
        let book = Book::open(Arc::clone(&site.source.store));
        let (jobs, queue) = mpsc::channel(LONGEST_QUEUE);
        let wizard = Self {
            board: Board::showing(book.progress().scan),
            site,
            book,
            running: Arc::default(),
            jobs,
        };
        let worker = Worker::new(wizard.clone(), queue);
        (wizard, worker)
    }

    /// Returns the metering point for which a meter measures, where the configuration names one.
    pub(super) fn metering_point(&self, meter: &MeterId) -> Option<String> {
        let point = meters::point_of(&self.site.points, Some(meter))?;
        point.metering_point.clone()
    }

    /// Begins a step; that it runs is on the disk when the call returns. It blocks.
    fn start(&self, step: Step, job: Job) -> Result<(), StartError> {
        if !self.running().insert(step) {
            return Err(StartError::AtWork);
        }
        let begun = self.book.begin(step).map_err(StartError::from);
        let queued = begun.and_then(|()| self.jobs.try_send(job).map_err(|_| StartError::Busy));
        queued.inspect_err(|_| self.rest(step))
    }

    /// Writes down what a step has found.
    fn finish(&self, step: Step, checks: Vec<Check>, took_ms: u64) {
        // In this order: what is at rest and still running on the disk is shown as interrupted.
        if let Err(error) = self.book.finish(step, checks, took_ms) {
            tracing::error!(
                "the wizard cannot write down what it has found: {}",
                Chain(&error)
            );
        }
        self.rest(step);
    }

    fn rest(&self, step: Step) {
        self.running().remove(&step);
    }

    fn is_running(&self, step: Step) -> bool {
        self.running().contains(&step)
    }

    /// A panic under the lock leaves nothing half done.
    fn running(&self) -> MutexGuard<'_, BTreeSet<Step>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the wizard's work until it is stopped.
pub(crate) async fn work(worker: Worker, stop: CancellationToken) {
    worker.run(stop).await;
}

/// Returns the state of a step as people see it: one that a power cut has interrupted does not run any more.
fn seen(state: &State, is_running: bool) -> State {
    match state {
        State::Running if !is_running => State::Interrupted,
        state => state.clone(),
    }
}

#[cfg(test)]
mod tests;
