//! The bus: level converters on TCP and on a pseudo-terminal, with slaves behind them.

use std::io;
use std::time::Duration;

use mbus::link::{PrimaryAddress, SecondaryAddress};
use mbus::master::BaudRate;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::{Heard, converse, converse_serial};
use super::fault::Fault;
use super::segment::{CHUNK, Segment};
use super::slave::Slave;
use crate::terminal::Terminal;

/// Requests that wait for the bus at most; a master has one open.
const QUEUE: usize = 64;
/// Pieces of answers that wait for a client at most; one that does not take them loses them.
const ANSWERS: usize = 256;
/// Clients at one time at most: a master, a technician, and room for a test's strays.
const MAX_CLIENTS: usize = 16;

/// Level converters and the slaves behind them.
#[derive(Debug)]
pub struct Bus {
    segment: Segment,
    terminal: Option<Terminal>,
    requests: mpsc::Receiver<Request>,
    handle: BusHandle,
    clients: Vec<mpsc::Sender<Vec<u8>>>,
}

/// Makes the answers of a [`Bus`] go wrong.
#[derive(Debug, Clone)]
pub struct BusHandle {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
pub(super) enum Request {
    Heard(Heard),
    Inject {
        meter: Meters,
        fault: Fault,
        answers: u32,
        found: oneshot::Sender<bool>,
    },
    Babble(Vec<u8>),
}

/// Whose answers go wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meters {
    Primary(PrimaryAddress),
    Secondary(SecondaryAddress),
}

impl Bus {
    /// Builds a bus on which bits take next to no time, and its handle.
    #[must_use]
    pub fn new(slaves: Vec<Slave>) -> (Self, BusHandle) {
        Self::of(Segment::fast(slaves).in_chunks(CHUNK))
    }

    /// Builds a bus on which bits take as long as the rate says, and its handle.
    #[must_use]
    pub fn timed(slaves: Vec<Slave>, rate: BaudRate) -> (Self, BusHandle) {
        Self::of(Segment::timed(slaves, rate).in_chunks(CHUNK))
    }

    fn of(segment: Segment) -> (Self, BusHandle) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let handle = BusHandle { requests: sender };
        let bus = Self {
            segment,
            terminal: None,
            requests,
            handle: handle.clone(),
            clients: Vec::new(),
        };
        (bus, handle)
    }

    /// Serves a serial port besides, whose speed is that of the bus.
    #[must_use]
    pub fn with_terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// Serves clients until it is told to stop. What the slaves send goes to all of them.
    ///
    /// # Errors
    ///
    /// [`BusError::Accept`] if the listener fails.
    pub async fn serve(mut self, listener: TcpListener, stop: CancellationToken) -> Result<(), BusError> {
        let started = Instant::now();
        let mut clients = JoinSet::new();
        if let Some(terminal) = self.terminal.take() {
            let (sender, answers) = mpsc::channel(ANSWERS);
            self.clients.push(sender);
            let requests = self.handle.requests.clone();
            clients.spawn(converse_serial(terminal, requests, answers, stop.clone()));
        }
        loop {
            let event = self.segment.next_event();
            let due = event.and_then(|event| started.checked_add(event));
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(due.unwrap_or(started)), if due.is_some() => {
                    self.deliver(started.elapsed());
                }
                Some(request) = self.requests.recv() => self.handle_request(request, started.elapsed()),
                accepted = listener.accept(), if clients.len() < MAX_CLIENTS => {
                    let (stream, peer) = accepted.map_err(BusError::Accept)?;
                    tracing::debug!(%peer, "client of the M-Bus converter connected");
                    let (sender, answers) = mpsc::channel(ANSWERS);
                    self.clients.push(sender);
                    let requests = self.handle.requests.clone();
                    clients.spawn(converse(stream, requests, answers, stop.clone()));
                }
                Some(ended) = clients.join_next() => {
                    if let Ok(Err(error)) = ended {
                        tracing::debug!(%error, "client of the M-Bus converter lost");
                    }
                }
            }
        }
        clients.shutdown().await;
        Ok(())
    }

    /// Passes on what the slaves have sent until now.
    fn deliver(&mut self, now: Duration) {
        let bytes = self.segment.receive(now);
        if !bytes.is_empty() {
            // A client that is slow loses bytes, as on a real line; one that is gone is forgotten.
            self.clients
                .retain(|client| match client.try_send(bytes.clone()) {
                    Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => true,
                    Err(mpsc::error::TrySendError::Closed(_)) => false,
                });
        }
    }

    fn handle_request(&mut self, request: Request, now: Duration) {
        match request {
            Request::Heard(Heard { bytes, rate }) => {
                if let Some(rate) = rate {
                    self.segment.set_rate(rate);
                }
                self.segment.send(&bytes, now);
            }
            Request::Inject {
                meter,
                fault,
                answers,
                found,
            } => {
                let known = match meter {
                    Meters::Primary(address) => {
                        let mut slaves = self.segment.slaves_mut().iter_mut();
                        let slave = slaves.find(|slave| slave.address() == address);
                        slave.map(|slave| slave.inject(fault, answers)).is_some()
                    }
                    Meters::Secondary(meters) => self.segment.inject(meters, fault, answers),
                };
                found.send(known).unwrap_or_default();
            }
            Request::Babble(bytes) => self.segment.babble(bytes, now),
        }
    }
}

impl BusHandle {
    /// Makes the next answers of a slave go wrong; a fault injected before is replaced.
    ///
    /// # Errors
    ///
    /// [`InjectError`] if there is no such slave, or no bus any more.
    pub async fn inject(
        &self,
        address: PrimaryAddress,
        fault: Fault,
        answers: u32,
    ) -> Result<(), InjectError> {
        let meter = Meters::Primary(address);
        if self.inject_into(meter, fault, answers).await? {
            return Ok(());
        }
        Err(InjectError::NoSlave { address })
    }

    /// Makes the next answers of each slave go wrong whose secondary address matches.
    ///
    /// # Errors
    ///
    /// [`InjectError`] if none matches, or there is no bus any more.
    pub async fn inject_selected(
        &self,
        meters: SecondaryAddress,
        fault: Fault,
        answers: u32,
    ) -> Result<(), InjectError> {
        let meter = Meters::Secondary(meters);
        if self.inject_into(meter, fault, answers).await? {
            return Ok(());
        }
        Err(InjectError::NoMeter { meters })
    }

    /// Puts bytes on the wire that nobody has asked for.
    ///
    /// # Errors
    ///
    /// [`InjectError::Stopped`] if there is no bus any more.
    pub async fn babble(&self, bytes: Vec<u8>) -> Result<(), InjectError> {
        let sent = self.requests.send(Request::Babble(bytes)).await;
        sent.map_err(|_| InjectError::Stopped)
    }

    async fn inject_into(&self, meter: Meters, fault: Fault, answers: u32) -> Result<bool, InjectError> {
        let (found, known) = oneshot::channel();
        let request = Request::Inject {
            meter,
            fault,
            answers,
            found,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| InjectError::Stopped)?;
        known.await.map_err(|_| InjectError::Stopped)
    }
}

/// The reason why a bus stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The listener takes no clients any more.
    #[error("the simulated M-Bus converter cannot accept clients")]
    Accept(#[source] io::Error),
}

/// The reason why a fault was not injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// No slave has the address.
    #[error("the simulated bus has no slave with primary address {address}")]
    NoSlave {
        /// The address that was given.
        address: PrimaryAddress,
    },
    /// No slave has a secondary address that matches.
    #[error("the simulated bus has no slave with secondary address {meters}")]
    NoMeter {
        /// The address that was given.
        meters: SecondaryAddress,
    },
    /// The bus has stopped.
    #[error("the simulated bus has stopped")]
    Stopped,
}
