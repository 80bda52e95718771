//! The task of a bus, and its handle.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use model::{GapReason, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::mbus_line::MbusMaster;
use crate::{
    BusConfig, MeterAnswer, MeterConfig, ModbusMaster, PollError, Port, Report, RoundKind, Statistics,
};

/// The handle of the task that reads a bus.
#[derive(Debug, Clone)]
pub struct Bus {
    name: Arc<str>,
    /// Its only permit is held by the round that is running, or by whoever has borrowed the line.
    idle: Arc<Semaphore>,
    rounds: mpsc::Sender<Work>,
    /// The time of the live round that was wanted last.
    live: watch::Sender<Option<Timestamp>>,
}

impl Bus {
    /// Returns the name of the bus.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has every meter read once; a report comes for each, all of them with this time.
    ///
    /// # Errors
    ///
    /// [`StartRoundError::StillRunning`] if an earlier round is not over: rounds do not queue, so
    /// the caller registers gaps, or starts the round later. [`StartRoundError::Stopped`] after the
    /// stop token.
    pub fn start_round(&self, time: Timestamp) -> Result<(), StartRoundError> {
        let permit = match Arc::clone(&self.idle).try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => return Err(StartRoundError::StillRunning),
            Err(TryAcquireError::Closed) => return Err(StartRoundError::Stopped),
        };
        let round = Work::Round(Round { time, permit });
        self.rounds.try_send(round).map_err(|_| StartRoundError::Stopped)
    }

    /// Borrows the line for something else: the port is closed, and nobody reads the bus until the loan is dropped. A round
    /// that is to start meanwhile is refused as [`StartRoundError::StillRunning`], so whoever borrows gives back in time.
    ///
    /// It waits for the end of the round that is running.
    ///
    /// # Errors
    ///
    /// [`StartRoundError::Stopped`] after the stop token.
    pub async fn borrow_line(&self) -> Result<Loan, StartRoundError> {
        let permit = Arc::clone(&self.idle).acquire_owned().await;
        let permit = permit.map_err(|_| StartRoundError::Stopped)?;
        let (lent, is_lent) = oneshot::channel();
        let (back, is_back) = oneshot::channel();
        let lending = Work::Lend(Lending { lent, is_back });
        self.rounds
            .try_send(lending)
            .map_err(|_| StartRoundError::Stopped)?;
        is_lent.await.map_err(|_| StartRoundError::Stopped)?;
        Ok(Loan {
            _back: back,
            _permit: permit,
        })
    }

    /// Has the fast values read of the meters that have some, for the live display. A report comes for each that was
    /// asked, with this time.
    ///
    /// It holds nothing up: the bus reads it when it has nothing else to do, a later live round stands for one that still
    /// waits, and one that runs is given up between two meters when a round comes that [`start_round`](Self::start_round)
    /// has started.
    pub fn start_live(&self, time: Timestamp) {
        self.live.send_replace(Some(time));
    }
}

/// A line that is borrowed, until this is dropped.
#[derive(Debug)]
pub struct Loan {
    /// Dropped first: the task goes on, and then a round may start.
    _back: oneshot::Sender<()>,
    _permit: OwnedSemaphorePermit,
}

/// The task that reads a bus, before it runs.
pub type BusTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The reason why a round was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartRoundError {
    /// The round before it is still running.
    #[error("the bus is still being read for the round before")]
    StillRunning,
    /// The task of the bus was stopped.
    #[error("the bus is no longer read")]
    Stopped,
}

/// Starts the task of a bus in the set; it ends when `stop` is cancelled, and never otherwise.
///
/// The task waits when `reports` is full, so the channel's capacity bounds what is not yet stored.
pub fn spawn(
    config: BusConfig,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
    reports: mpsc::Sender<Report>,
) -> Bus {
    let (bus, task) = prepare(config, stop, reports);
    tasks.spawn(task);
    bus
}

/// Prepares the task of a bus as [`spawn`] does, for whoever runs tasks in a way of his own.
pub fn prepare(config: BusConfig, stop: CancellationToken, reports: mpsc::Sender<Report>) -> (Bus, BusTask) {
    // The permit lets one round exist at a time, so the channel never holds more.
    let (sender, rounds) = mpsc::channel(1);
    let (live, wanted) = watch::channel(None);
    let bus = Bus {
        name: config.name.as_str().into(),
        idle: Arc::new(Semaphore::new(1)),
        rounds: sender,
        live,
    };
    let name = config.name;
    let task: BusTask = match config.port {
        Port::Mbus {
            endpoint,
            timing,
            meters,
        } => {
            let line = MbusMaster::new(endpoint, timing);
            let task = Task::new(name, line, meters, reports);
            Box::pin(task.run(rounds, wanted, stop))
        }
        Port::Modbus { endpoint, meters } => {
            let line = ModbusMaster::new(endpoint);
            let task = Task::new(name, line, meters, reports);
            Box::pin(task.run(rounds, wanted, stop))
        }
    };
    (bus, task)
}

/// A line with meters on it, which are asked one after the other.
pub(crate) trait Line: Send {
    /// What the line has to know of a meter, from one poll to the next.
    type Meter: Send;

    /// Reads a meter, tries and reconnects as often as its bounds allow.
    fn poll(
        &mut self,
        meter: &mut Self::Meter,
        statistics: &mut Statistics,
    ) -> impl Future<Output = Result<MeterAnswer, PollError>> + Send;

    /// Reads the fast values of a meter for the live display; `None` if it has none, or is not to be asked for them.
    ///
    /// Whatever comes of it, the next [`poll`](Self::poll) of the meter does as if this one had not been.
    fn poll_live(
        &mut self,
        meter: &mut Self::Meter,
        statistics: &mut Statistics,
    ) -> impl Future<Output = Option<Result<MeterAnswer, PollError>>> + Send;

    /// Gives back what others may want to use until the next round.
    fn end_round(&mut self);

    /// Closes the port, for whoever borrows the line.
    fn let_go(&mut self);
}

/// What the task of a bus is to do. There is one at a time, since each comes with the only permit.
#[derive(Debug)]
enum Work {
    Round(Round),
    Lend(Lending),
}

/// Somebody borrows the line.
#[derive(Debug)]
struct Lending {
    lent: oneshot::Sender<()>,
    /// Ends when the loan is dropped.
    is_back: oneshot::Receiver<()>,
}

#[derive(Debug)]
struct Round {
    time: Timestamp,
    /// Given back when the last meter has been read.
    permit: OwnedSemaphorePermit,
}

struct Task<L: Line> {
    name: String,
    line: L,
    meters: Vec<Meter<L::Meter>>,
    reports: mpsc::Sender<Report>,
}

struct Meter<M> {
    name: String,
    link: M,
    breaker: Breaker,
    /// Leaves a meter out of live rounds that fails in them.
    live_breaker: Breaker,
    statistics: Statistics,
}

impl<L: Line> Task<L> {
    fn new(name: String, line: L, meters: Vec<MeterConfig<L::Meter>>, reports: mpsc::Sender<Report>) -> Self {
        let meters = meters.into_iter().map(|meter| Meter {
            name: meter.name,
            link: meter.address,
            breaker: Breaker::default(),
            live_breaker: Breaker::default(),
            statistics: Statistics::default(),
        });
        Self {
            name,
            line,
            meters: meters.collect(),
            reports,
        }
    }

    async fn run(
        mut self,
        mut rounds: mpsc::Receiver<Work>,
        mut live: watch::Receiver<Option<Timestamp>>,
        stop: CancellationToken,
    ) {
        let reading = async {
            loop {
                tokio::select! {
                    biased;
                    Some(work) = rounds.recv() => match work {
                        Work::Round(round) => self.read_all(round).await,
                        Work::Lend(lending) => self.lend(lending).await,
                    },
                    Ok(()) = live.changed() => {
                        let time = *live.borrow_and_update();
                        if let Some(time) = time {
                            self.read_live(time, &rounds).await;
                        }
                    }
                    else => break,
                }
            }
            // All handles are gone; the task stays, since one that ends means that the daemon is broken.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = reading => {}
        }
    }

    /// Lends the line, and waits until it is back. What was wanted for display meanwhile is read behind that.
    async fn lend(&mut self, Lending { lent, is_back }: Lending) {
        self.line.let_go();
        if lent.send(()).is_ok() {
            // Nothing is ever sent: the other end is dropped.
            drop(is_back.await);
        }
    }

    async fn read_all(&mut self, round: Round) {
        let mut permit = Some(round.permit);
        let mut remaining = self.meters.len();
        // All are due at the same time; who did not answer the last time comes last, so that waiting
        // in vain delays nobody's values. The order of the others stays.
        self.meters.sort_by_key(|meter| meter.breaker.is_open());
        for meter in &mut self.meters {
            remaining = remaining.saturating_sub(1);
            let outcome = meter.read(&mut self.line).await;
            let report = Report {
                bus: self.name.clone(),
                meter: meter.name.clone(),
                kind: RoundKind::Registration,
                round: round.time,
                remaining,
                outcome,
                statistics: meter.statistics,
            };
            if remaining == 0 {
                self.line.end_round();
                // Whoever gets the last report can start the next round at once.
                drop(permit.take());
            }
            if self.reports.send(report).await.is_err() {
                tracing::warn!(bus = self.name, "nobody takes the reports any more");
            }
        }
    }

    /// Reads for the live display, until a round waits that is to be registered.
    async fn read_live(&mut self, time: Timestamp, rounds: &mpsc::Receiver<Work>) {
        for meter in &mut self.meters {
            if !rounds.is_empty() {
                return;
            }
            let Some(outcome) = meter.read_live(&mut self.line).await else {
                continue;
            };
            let is_down = matches!(&outcome, Err(error) if error.gap_reason() == GapReason::BusDown);
            let report = Report {
                bus: self.name.clone(),
                meter: meter.name.clone(),
                kind: RoundKind::Live,
                round: time,
                remaining: 0,
                outcome,
                statistics: meter.statistics,
            };
            // Nobody waits for it: the next one says more.
            if self.reports.try_send(report).is_err() {
                tracing::debug!(bus = self.name, "a live report was left out");
            }
            if is_down {
                break;
            }
        }
        self.line.end_round();
    }
}

impl<M> Meter<M> {
    async fn read<L: Line<Meter = M>>(&mut self, line: &mut L) -> Result<MeterAnswer, PollError> {
        if let Some(rounds) = self.breaker.begin_round() {
            self.statistics.skipped = self.statistics.skipped.saturating_add(1);
            return Err(PollError::Skipped { rounds });
        }
        self.statistics.polls = self.statistics.polls.saturating_add(1);
        let start = Instant::now();
        let outcome = line.poll(&mut self.link, &mut self.statistics).await;
        match &outcome {
            Ok(_) => {
                self.statistics.answers = self.statistics.answers.saturating_add(1);
                self.statistics.answer_time = Some(start.elapsed());
                self.breaker.answered();
                self.live_breaker.answered();
            }
            Err(error) => match error.gap_reason() {
                GapReason::NoAnswer => self.breaker.unanswered(),
                GapReason::BadAnswer | GapReason::NotAvailable => self.breaker.answered(),
                // Nothing is known about the meter.
                GapReason::BusDown => {}
            },
        }
        outcome
    }

    /// Reads for the live display, unless the meter does not answer at present. No failure here counts for the rounds.
    async fn read_live<L: Line<Meter = M>>(
        &mut self,
        line: &mut L,
    ) -> Option<Result<MeterAnswer, PollError>> {
        if self.breaker.is_open() || self.live_breaker.begin_round().is_some() {
            return None;
        }
        let outcome = line.poll_live(&mut self.link, &mut self.statistics).await?;
        match outcome {
            Ok(_) => self.live_breaker.answered(),
            Err(_) => self.live_breaker.unanswered(),
        }
        Some(outcome)
    }
}
