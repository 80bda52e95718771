//! What does the wizard's work: steps may take longer than a browser waits.

use std::time::{Duration, Instant};

use model::{LogText, SystemEvent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::book::Step;
use super::check::Check;
use super::scan::{self, Order, Scan};
use super::{Site, Wizard, binding, card, device, meters, report, wan};
use crate::local::web::TECHNICIAN;
use crate::report::Chain;
use crate::threads::{self, Task};

/// How many steps may wait to be begun: each of them once.
pub(super) const LONGEST_QUEUE: usize = Step::ALL.len();
/// How long the answer that says so has before the daemon starts again.
const FAREWELL: Duration = Duration::from_millis(500);

/// A step that is to be done.
#[derive(Debug)]
pub(super) enum Job {
    /// Look at the device.
    Device,
    /// Look at the card.
    Card,
    /// Scan a line.
    Scan(Order),
    /// Look at the meters.
    Meters,
    /// Try the way to the TSM.
    Wan,
    /// Have the daemon start again.
    Restart,
    /// Put the report together.
    Report,
    /// Bind the card whose GUID ends so.
    Bind(String),
}

/// The task that does the work.
pub(crate) struct Worker {
    wizard: Wizard,
    queue: mpsc::Receiver<Job>,
}

impl Worker {
    pub(super) const fn new(wizard: Wizard, queue: mpsc::Receiver<Job>) -> Self {
        Self { wizard, queue }
    }

    /// Works until it is stopped. What is at work then is interrupted, and says so at the next start.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut at_work = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(job) = self.queue.recv() => {
                    at_work.spawn(Box::pin(carry_out(self.wizard.clone(), job)) as Task);
                }
                Some(done) = at_work.join_next(), if !at_work.is_empty() => {
                    if let Err(error) = done {
                        tracing::error!("a step of the wizard has failed: {error}");
                    }
                }
            }
        }
        at_work.shutdown().await;
    }
}

/// Does one step, and writes down what came of it, whatever it was.
async fn carry_out(wizard: Wizard, job: Job) {
    let begun = Instant::now();
    let site = wizard.site.clone();
    let (step, outcome) = match job {
        Job::Device => (Step::Device, blocking(move || device::look(&site)).await),
        Job::Card => (Step::Card, blocking(move || card::look(&site)).await),
        Job::Scan(order) => (Step::Bus, scan_line(&wizard, order).await),
        Job::Meters => {
            let book = wizard.book.clone();
            (Step::Meters, blocking(move || meters::look(&site, &book)).await)
        }
        Job::Wan => (Step::Wan, climb(&wizard, &site).await),
        Job::Restart => {
            tokio::task::block_in_place(|| note_restart(&site));
            tokio::time::sleep(FAREWELL).await;
            return site.restart.cancel();
        }
        Job::Report => {
            let book = wizard.book.clone();
            (Step::Report, blocking(move || report::make(&site, &book)).await)
        }
        Job::Bind(characters) => {
            let bound = blocking(move || binding::bind(&site, characters)).await;
            (Step::Binding, bound)
        }
    };
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let written = threads::blocking(move || wizard.finish(step, outcome, took_ms)).await;
    if let Err(error) = written {
        tracing::error!("the wizard cannot go on: {}", Chain(&error));
    }
}

/// Writes down that the technician wants a restart. A log that cannot be written stops the gateway by itself.
fn note_restart(site: &Site) {
    let event = SystemEvent::RestartOrdered {
        account: LogText::cut(TECHNICIAN),
    };
    site.source.journal.note([event.into()]);
}

/// Scans a line; what has been found is shown as it comes, and is on the disk.
async fn scan_line(wizard: &Wizard, order: Order) -> Vec<Check> {
    let book = wizard.book.clone();
    let keep = move |scan: &Scan| {
        let scan = scan.clone();
        let kept = tokio::task::block_in_place(|| book.change(|progress| progress.scan = Some(scan)));
        if let Err(error) = kept {
            tracing::warn!(
                "the wizard cannot write down what it has found: {}",
                Chain(&error)
            );
        }
    };
    scan::run(&wizard.site, &wizard.board, order, keep).await
}

/// Tries the way to the TSM; what has been found is shown as it comes.
async fn climb(wizard: &Wizard, site: &Site) -> Vec<Check> {
    let book = wizard.book.clone();
    let show = |checks: &[Check]| {
        if let Err(error) = tokio::task::block_in_place(|| book.note(Step::Wan, checks)) {
            tracing::warn!(
                "the wizard cannot write down what it has found: {}",
                Chain(&error)
            );
        }
    };
    wan::climb(site, show).await
}

/// Has something looked at that may block. A thread that fails has found a problem, which its log names.
async fn blocking(look: impl FnOnce() -> Vec<Check> + Send + 'static) -> Vec<Check> {
    match threads::blocking(look).await {
        Ok(checks) => checks,
        Err(error) => {
            tracing::error!("the wizard cannot go on: {}", Chain(&error));
            let failed = Check::of(super::what::What::Software, false);
            vec![failed.because("a thread of the gateway has failed; its log says why")]
        }
    }
}
