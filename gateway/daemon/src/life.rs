//! The life of the daemon: it opens the store, takes the card into custody, starts its tasks, and
//! stops them in order.
//!
//! No task ends by itself. If one does, the daemon stops, and the service manager starts it again.

mod serving;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{LogEvent, LogText, Reading, Span, SystemEvent};
use store::{DeviceKey, Protection, Store};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::app;
use crate::applications::{ApplicationsTask, EvaluationFailed, Explainer};
use crate::card::{CardFault, CardHandle, Custodian, CustodianThread, Standing};
use crate::config::Config;
use crate::diagnostics;
use crate::heap;
use crate::journal::{self, Journal, Keeper, MeterBook};
use crate::liveness::{Feeder, Notifier, Pulses};
use crate::local::control;
use crate::local::web::Line;
use crate::metering::{self, HistoryFailed, MeterView, Registrar, RegistrationFailed};
use crate::mounts::{self, Finding};
use crate::report::Chain;
use crate::threads::{self, Task};
use serving::start_serving;

/// Threads of the runtime: one may block on the card while the other serves.
const WORKERS: usize = 2;
/// How long tasks may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why the daemon did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LifeError {
    /// The store could not be opened.
    #[error("the store cannot be opened")]
    Store(#[from] store::StoreError),
    /// The logs could not be opened or read.
    #[error("the logs cannot be opened")]
    Logs(#[from] store::LogError),
    /// The last readings could not be read.
    #[error("the last readings cannot be read")]
    Readings(#[from] store::DatabaseError),
    /// A log could not be written.
    #[error("a log cannot be written")]
    JournalBroken,
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A socket could not be opened.
    #[error("{what} cannot be opened at {at}")]
    Listen {
        /// Which.
        what: &'static str,
        /// Where.
        at: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The system gave no thread or signal handler.
    #[error("the system gives no thread or signal handler")]
    System(#[source] std::io::Error),
    /// Readings could not be registered.
    #[error(transparent)]
    Registration(#[from] RegistrationFailed),
    /// The history could not be sealed or forgotten.
    #[error(transparent)]
    History(#[from] HistoryFailed),
    /// What applications make could not be stored.
    #[error(transparent)]
    Evaluation(#[from] EvaluationFailed),
    /// A task has ended that should not have.
    #[error("the task {task} has ended by itself")]
    TaskEnded {
        /// Its name.
        task: &'static str,
    },
    /// A task has panicked.
    #[error("a task has panicked")]
    TaskPanicked(#[source] tokio::task::JoinError),
}

/// How a task ended.
type TaskEnd = Result<&'static str, LifeError>;

/// The tasks that run until the daemon stops, each under observation.
#[derive(Debug, Default)]
struct Tasks {
    set: JoinSet<TaskEnd>,
    pulses: Pulses,
}

impl Tasks {
    /// Starts a task that can only be stopped.
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.start(
            name,
            Box::pin(async move {
                task.await;
                Ok(name)
            }),
        );
    }

    /// Starts a task that may fail, and the daemon with it.
    fn try_spawn<E: Into<LifeError>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.start(
            name,
            Box::pin(async move { task.await.map(|()| name).map_err(Into::into) }),
        );
    }

    fn start(&mut self, name: &'static str, task: Task<TaskEnd>) {
        self.set.spawn(self.pulses.watch(name, task));
    }
}

/// How the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to stop.
    Stopped,
    /// It is to start again, with the configuration as it is then.
    Restart,
}

/// Runs the daemon until it is told to stop or has to.
pub(crate) fn run(config: Config) -> Result<End, LifeError> {
    diagnostics::begin();
    heap::settle();
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(LifeError::System)?;
    let notifier = Notifier::from_environment().map_err(LifeError::System)?;
    let tasks = Tasks::default();
    let store = Arc::new(open_store(&config)?);
    let findings = mounts::examine(&config.data);
    let journal = journal::open(&config, &store)?;
    journal.note(journal::start_up(&config, &store, &findings));
    // What can fail and be mended comes first; a card that is bound stays bound.
    let doors = runtime.block_on(async { Doors::open(&config) });
    let doors = doors.inspect_err(|error| journal.note([stopped(Some(error))]))?;
    let (data, pulses) = (Arc::clone(&store), tasks.pulses.clone());
    let custodian = Custodian::start(config.card.clone(), data, journal.clone(), &pulses);
    let (card, standing, custodian) = custodian.map_err(LifeError::System)?;
    let gateway = Gateway {
        store,
        journal,
        card,
        standing,
        findings: findings.into(),
        restart: CancellationToken::new(),
    };
    let restart = gateway.restart.clone();
    let keeper = gateway.keeper(config.registration_period);
    let feeder = Feeder::new(pulses, notifier, gateway.standing.clone());
    let outcome = runtime.block_on(live((config, doors), gateway.clone(), tasks, feeder));
    let card = gateway.card.clone();
    gateway.journal.note([stopped(outcome.as_ref().err())]);
    drop(gateway);
    runtime.block_on(take_leave(keeper, card));
    stop(runtime, custodian);
    outcome.map(|()| {
        if restart.is_cancelled() {
            End::Restart
        } else {
            End::Stopped
        }
    })
}

/// What the tasks of the daemon share.
#[derive(Debug, Clone)]
struct Gateway {
    store: Arc<Store>,
    journal: Journal,
    card: CardHandle,
    standing: watch::Receiver<Standing>,
    findings: Arc<[Finding]>,
    /// Whoever cancels it has the daemon start again.
    restart: CancellationToken,
}

impl Gateway {
    fn keeper(&self, period: Span) -> Keeper {
        Keeper::new(
            self.journal.clone(),
            self.card.clone(),
            self.standing.clone(),
            period,
        )
    }
}

/// Returns the entry about the end, and why.
fn stopped(error: Option<&LifeError>) -> LogEvent {
    let reason = error.map_or_else(|| "it was told to".to_owned(), |error| Chain(error).to_string());
    let reason = LogText::cut(&reason);
    SystemEvent::Stopped { reason }.into()
}

/// Has the card sign the logs, and vouch for the store, for the time until the next start.
async fn take_leave(keeper: Keeper, card: CardHandle) {
    let leaving = async {
        ask(card.clone(), CardHandle::take_leave).await;
        keeper.sign().await;
        ask(card, CardHandle::vouch).await;
    };
    if tokio::time::timeout(STOP_TIMEOUT, leaving).await.is_err() {
        tracing::warn!("the card did not sign the heads of the logs in time");
    }
}

/// Asks the card's thread for something that the end does not depend on.
async fn ask(card: CardHandle, what: fn(&CardHandle) -> Result<(), CardFault>) {
    match threads::blocking(move || what(&card)).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::warn!("{}", Chain(&fault)),
        Err(error) => tracing::error!("{}", Chain(&error)),
    }
}

/// Opens the store.
///
/// Without a device key the gateway measures on and serves nothing, as [`Store::bindings`] says.
fn open_store(config: &Config) -> Result<Store, LifeError> {
    let key = match &config.device_key {
        Some(file) => DeviceKey::read(file),
        None => {
            let mut random = Zeroizing::new([0; DeviceKey::LENGTH]);
            getrandom::fill(random.as_mut_slice()).map_err(|_| LifeError::Random)?;
            DeviceKey::read_or_make(&config.data, random)
        }
    };
    let otp = config.otp.clone();
    let store = Store::open(&config.data, key.map(|key| Protection { key, otp }))?;
    store.sent().limit(config.sent);
    if let Err(error) = store.bindings() {
        tracing::error!("the bindings cannot be opened: {}", Chain(error));
    }
    Ok(store)
}

/// Ends what is left when the tasks are gone: blocking threads, then the card.
fn stop(runtime: Runtime, custodian: CustodianThread) {
    runtime.shutdown_timeout(STOP_TIMEOUT);
    custodian.join(STOP_TIMEOUT);
    tracing::info!("stopped");
}

/// Every way into the daemon.
struct Doors {
    control: UnixListener,
    web: Option<TcpListener>,
    https: Option<TcpListener>,
    wan: Option<TcpListener>,
}

impl Doors {
    fn open(config: &Config) -> Result<Self, LifeError> {
        let web = listen("the local page", config.web)?;
        let https = config.https.as_ref().map(|https| https.listen);
        let https = listen("the local web", https)?;
        let wan = listen("the WAN listener", config.wan)?;
        Ok(Self {
            control: open_control(&config.control_socket)?,
            web,
            https,
            wan,
        })
    }
}

async fn live(
    (config, doors): (Config, Doors),
    gateway: Gateway,
    mut tasks: Tasks,
    feeder: Feeder,
) -> Result<(), LifeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(LifeError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(LifeError::System)?;
    let stop = CancellationToken::new();
    let metering = start_metering(&config, &gateway, &mut tasks, &stop)?;
    let keeper = gateway.keeper(config.registration_period);
    tasks.spawn("keeper", keeper.run(stop.clone()));
    let (journal, restart) = (gateway.journal.clone(), gateway.restart.clone());
    let applications = start_applications(&config, &gateway, &mut tasks, &stop);
    start_serving(
        &config,
        doors,
        gateway,
        (metering, applications),
        (&mut tasks, &stop),
    );
    tasks.spawn("feeder", feeder.run(stop.clone()));
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = restart.cancelled() => Ok(()),
        () = journal.broken() => Err(LifeError::JournalBroken),
        Some(ended) = tasks.set.join_next() => Err(untimely(ended)),
    };
    stop.cancel();
    let end = tokio::time::timeout(STOP_TIMEOUT, end_all(&mut tasks.set)).await;
    // A socket that is left behind would be replaced at the next start anyway.
    drop(std::fs::remove_file(&config.control_socket));
    match (outcome, end) {
        (Ok(()), Ok(end)) => end,
        (outcome, Ok(_)) => outcome,
        (outcome, Err(_)) => {
            tracing::warn!("some tasks did not stop in time");
            outcome
        }
    }
}

/// The view of the meters, and the lines that they are on.
type Metering = (watch::Receiver<Vec<MeterView>>, Vec<Line>);

/// What is asked about applications, and the latest values that they have made.
type Made = (Explainer, watch::Receiver<Vec<Reading>>);

/// Starts the task that runs the applications of the bundle in force.
fn start_applications(
    config: &Config,
    gateway: &Gateway,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Made {
    let (task, shared, made) = ApplicationsTask::new(
        (Arc::clone(&gateway.store), gateway.journal.clone()),
        gateway.standing.clone(),
        (config.registration_period, config.history),
        app::host,
    );
    tasks.try_spawn("applications", task.run(stop.clone()));
    (Explainer::new(shared), made)
}

/// Starts the buses, the grid, the registrar and the keeper of the history; returns the view of the meters, and the lines.
fn start_metering(
    config: &Config,
    Gateway { store, journal, .. }: &Gateway,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Result<Metering, LifeError> {
    let book = (journal.clone(), read_book(store, journal)?);
    let (registrar, meters) = Registrar::new(
        Arc::clone(store),
        book,
        (&config.buses, config.registration_period),
    );
    let (sender, reports) = mpsc::channel(metering::REPORTS);
    let (missed, misses) = mpsc::channel(metering::MISSED);
    let mut bus_tasks = JoinSet::new();
    let buses = config.buses.iter().cloned().map(|bus| {
        let (bus, reading) = bus::prepare(bus, stop.clone(), sender.clone());
        bus_tasks.spawn(tasks.pulses.watch("bus", reading));
        bus
    });
    let buses: Vec<_> = buses.collect();
    let lines = config.buses.iter().zip(&buses);
    let lines: Vec<_> = lines.map(|(config, bus)| Line::of(config, bus.clone())).collect();
    if let Some(live) = config.live_period {
        let registration = config.registration_period;
        let grid = metering::keep_the_live_grid(live, registration, buses.clone(), stop.clone());
        tasks.spawn("live grid", grid);
    }
    let grid = metering::keep_the_grid(config.registration_period, buses, missed, stop.clone());
    tasks.spawn("grid", grid);
    if !bus_tasks.is_empty() {
        // One bus that ends is one too many, whether it was told to or not.
        tasks.try_spawn("bus", async move {
            let first = bus_tasks.join_next().await;
            while bus_tasks.join_next().await.is_some() {}
            first.map_or(Ok(()), |ended| ended.map_err(LifeError::TaskPanicked))
        });
    }
    let registering = registrar.run(reports, misses, stop.clone());
    tasks.try_spawn("registrar", registering);
    let keeping =
        metering::keep_the_history(Arc::clone(store), journal.clone(), config.history, stop.clone());
    tasks.try_spawn("history", keeping);
    Ok((meters, lines))
}

/// Reads what is known of the meters, and for which point of the grid there are readings.
fn read_book(store: &Store, journal: &Journal) -> Result<MeterBook, LifeError> {
    let latest = store.database().latest()?;
    let last_round = latest.readings.iter().map(|reading| reading.time).max();
    Ok(MeterBook::read(journal, last_round)?)
}

/// Waits for the end of every task; the first failure among them counts.
async fn end_all(tasks: &mut JoinSet<TaskEnd>) -> Result<(), LifeError> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(LifeError::TaskPanicked).flatten();
        if let (Ok(()), Err(error)) = (&outcome, ended) {
            outcome = Err(error);
        }
    }
    outcome
}

/// Says how a task ended that should have gone on.
fn untimely(ended: Result<TaskEnd, tokio::task::JoinError>) -> LifeError {
    let error = match ended {
        Ok(Ok(task)) => LifeError::TaskEnded { task },
        Ok(Err(error)) => error,
        Err(error) => LifeError::TaskPanicked(error),
    };
    tracing::error!("stopping: {}", Chain(&error));
    error
}

fn listen(what: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, LifeError> {
    let Some(address) = address else { return Ok(None) };
    let listener = open_door(address).map_err(|source| LifeError::Listen {
        what,
        at: address.to_string(),
        source,
    })?;
    Ok(Some(listener))
}

/// Listens at an address, even at one that the gateway gets later: a cable that is not in yet stops nobody from measuring.
fn open_door(address: SocketAddr) -> std::io::Result<TcpListener> {
    /// Connections that wait to be taken up: the doors take them up at once.
    const WAITING: u32 = 128;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A daemon that starts again does not wait for the connections of the last one to be forgotten.
    socket.set_reuseaddr(true)?;
    rustix::net::sockopt::set_ip_freebind(&socket, true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

fn open_control(path: &Path) -> Result<UnixListener, LifeError> {
    control::listen(path).map_err(|source| LifeError::Listen {
        what: "the control socket",
        at: path.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_door_opens_at_an_address_that_the_gateway_does_not_have_yet() {
        // Addresses for documentation (RFC 5737, RFC 3849), which nobody has.
        for address in ["192.0.2.1:0", "[2001:db8::1]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let door = listen("the local web", Some(address)).unwrap().unwrap();
            assert_eq!(door.local_addr().unwrap().ip(), address.ip());
        }
        let first = listen("the local web", "127.0.0.1:0".parse().ok())
            .unwrap()
            .unwrap();
        let taken = listen("the local web", first.local_addr().ok()).unwrap_err();
        assert!(matches!(
            taken,
            LifeError::Listen {
                what: "the local web",
                ..
            }
        ));
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_stops_the_daemon() {
        let mut tasks = Tasks::default();
        tasks.spawn("grid", async {});
        let error = untimely(tasks.set.join_next().await.unwrap());
        assert!(matches!(error, LifeError::TaskEnded { task: "grid" }));
        tasks.spawn("grid", async { panic!("a fault") });
        let error = untimely(tasks.set.join_next().await.unwrap());
        assert!(matches!(error, LifeError::TaskPanicked(_)));
    }

    #[tokio::test]
    async fn a_failure_while_stopping_is_not_lost() {
        let mut tasks = Tasks::default();
        tasks.spawn("grid", async {});
        tasks.try_spawn("registrar", async {
            Err(LifeError::TaskEnded { task: "registrar" })
        });
        assert!(end_all(&mut tasks.set).await.is_err());
        assert!(end_all(&mut tasks.set).await.is_ok());
    }
}
