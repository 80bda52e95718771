//! The life of the daemon: it opens the store, takes the card into custody, starts its tasks, and
//! stops them in order.
//!
//! No task ends by itself. If one does, the daemon stops, and the service manager starts it again.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use store::Store;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::card::{CardHandle, Custodian, CustodianThread};
use crate::config::Config;
use crate::local::{control, web};
use crate::metering::{self, Registrar, RegistrationFailed};
use crate::report::Chain;
use crate::status::StatusSource;
use crate::wan::{self, Exchange};

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

/// Runs the daemon until it is told to stop or has to.
pub(crate) fn run(config: Config) -> Result<(), LifeError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(LifeError::System)?;
    let store = Arc::new(Store::open(&config.data)?);
    let (card, standing, custodian) =
        Custodian::start(config.card.clone(), Arc::clone(&store)).map_err(LifeError::System)?;
    let outcome = runtime.block_on(live(config, store, card, standing));
    stop(runtime, custodian);
    outcome
}

/// Ends what is left when the tasks are gone: blocking threads, then the card.
fn stop(runtime: Runtime, custodian: CustodianThread) {
    runtime.shutdown_timeout(STOP_TIMEOUT);
    custodian.join();
    tracing::info!("stopped");
}

async fn live(
    config: Config,
    store: Arc<Store>,
    card: CardHandle,
    standing: tokio::sync::watch::Receiver<crate::card::Standing>,
) -> Result<(), LifeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(LifeError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(LifeError::System)?;
    let stop = CancellationToken::new();
    let mut tasks: JoinSet<TaskEnd> = JoinSet::new();
    let mut buses_tasks = JoinSet::new();

    let web = listen("the local page", config.web).await?;
    let wan = listen("the WAN listener", config.wan).await?;
    let (registrar, meters) = Registrar::new(Arc::clone(&store), &config.buses);
    let source = StatusSource {
        standing: standing.clone(),
        meters,
        registration_period: config.registration_period,
        web: web.as_ref().and_then(|listener| listener.local_addr().ok()),
        wan: wan.as_ref().and_then(|listener| listener.local_addr().ok()),
    };
    let control = open_control(&config.control_socket)?;

    let (sender, reports) = mpsc::channel(metering::REPORTS);
    let buses = config.buses.into_iter();
    let buses = buses.map(|bus| bus::spawn(bus, &mut buses_tasks, stop.clone(), sender.clone()));
    let grid = metering::keep_the_grid(config.registration_period, buses.collect(), stop.clone());
    tasks.spawn(named("grid", grid));
    let registering = registrar.run(reports, stop.clone());
    tasks.spawn(async move { Ok(registering.await.map(|()| "registrar")?) });
    tasks.spawn(named(
        "control",
        control::serve(control, source.clone(), stop.clone()),
    ));
    if let Some(listener) = web {
        tasks.spawn(named(
            "local page",
            web::serve(listener, source.clone(), stop.clone()),
        ));
    }
    if let Some(listener) = wan {
        let exchange = Exchange::new(card.clone(), store, standing.clone());
        let serving = wan::serve(listener, card, exchange, standing, stop.clone());
        tasks.spawn(named("WAN", serving));
    }
    tracing::info!(web = ?source.web, wan = ?source.wan, period = %source.registration_period, "running");

    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(ended) = tasks.join_next() => Err(untimely(ended)),
        Some(ended) = buses_tasks.join_next() => Err(untimely(ended.map(|()| Ok("bus")))),
    };
    stop.cancel();
    let all = async {
        while tasks.join_next().await.is_some() {}
        while buses_tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
        tracing::warn!("some tasks did not stop in time");
    }
    // A socket that is left behind would be replaced at the next start anyway.
    drop(std::fs::remove_file(&config.control_socket));
    outcome
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> TaskEnd {
    task.await;
    Ok(name)
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

async fn listen(what: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, LifeError> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(source) => Err(LifeError::Listen {
            what,
            at: address.to_string(),
            source,
        }),
    }
}

fn open_control(path: &Path) -> Result<tokio::net::UnixListener, LifeError> {
    control::listen(path).map_err(|source| LifeError::Listen {
        what: "the control socket",
        at: path.display().to_string(),
        source,
    })
}
