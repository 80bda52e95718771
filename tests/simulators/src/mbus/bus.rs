//! The bus: a TCP level converter with slaves behind it.

use std::io;
use std::time::Duration;

use mbus::link::{Decoder, Frame, PrimaryAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::fault::{Answer, Fault};
use super::slave::Slave;

/// Frames and injections that wait for the bus at most; a master has one request open.
const QUEUE: usize = 64;
/// Clients at one time at most: a master, a technician, and room for a test's strays.
const MAX_CLIENTS: usize = 16;
/// Answers that one client is owed at most; only late ones wait.
const MAX_OWED: usize = 16;
/// Bytes taken from a client at once; a request has 5.
const CHUNK: usize = 512;
/// How long a client may take to accept an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A TCP level converter and the slaves behind it.
#[derive(Debug)]
pub struct Bus {
    slaves: Vec<Slave>,
    requests: mpsc::Receiver<Request>,
    handle: BusHandle,
}

/// Makes the answers of a [`Bus`] go wrong.
#[derive(Debug, Clone)]
pub struct BusHandle {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Frame {
        frame: Frame,
        answer: oneshot::Sender<Option<Answer>>,
    },
    Inject {
        address: PrimaryAddress,
        fault: Fault,
        answers: u32,
        found: oneshot::Sender<bool>,
    },
}

impl Bus {
    /// Builds a bus and its handle.
    #[must_use]
    pub fn new(slaves: Vec<Slave>) -> (Self, BusHandle) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let handle = BusHandle { requests: sender };
        let bus = Self {
            slaves,
            requests,
            handle: handle.clone(),
        };
        (bus, handle)
    }

    /// Serves clients until it is told to stop.
    ///
    /// # Errors
    ///
    /// [`BusError::Accept`] if the listener fails.
    pub async fn serve(mut self, listener: TcpListener, stop: CancellationToken) -> Result<(), BusError> {
        let started = Instant::now();
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept(), if clients.len() < MAX_CLIENTS => {
                    let (stream, peer) = accepted.map_err(BusError::Accept)?;
                    tracing::debug!(%peer, "client of the M-Bus converter connected");
                    let client = Client::new(stream, self.handle.requests.clone());
                    clients.spawn(client.run(stop.clone()));
                }
                Some(ended) = clients.join_next() => {
                    if let Ok(Err(error)) = ended {
                        tracing::debug!(%error, "client of the M-Bus converter lost");
                    }
                }
                Some(request) = self.requests.recv() => self.handle_request(request, started.elapsed()),
            }
        }
        clients.shutdown().await;
        Ok(())
    }

    fn handle_request(&mut self, request: Request, now: Duration) {
        match request {
            Request::Frame { frame, answer } => {
                let heard = self.slaves.iter_mut().find_map(|slave| slave.hear(&frame, now));
                // A client that has gone away needs no answer.
                answer.send(heard).unwrap_or_default();
            }
            Request::Inject {
                address,
                fault,
                answers,
                found,
            } => {
                let slave = self.slaves.iter_mut().find(|slave| slave.address() == address);
                let known = slave.map(|slave| slave.inject(fault, answers)).is_some();
                found.send(known).unwrap_or_default();
            }
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
        let (found, known) = oneshot::channel();
        let request = Request::Inject {
            address,
            fault,
            answers,
            found,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| InjectError::Stopped)?;
        match known.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(InjectError::NoSlave { address }),
            Err(_) => Err(InjectError::Stopped),
        }
    }
}

/// One connection of the converter.
struct Client {
    stream: TcpStream,
    bus: mpsc::Sender<Request>,
    decoder: Decoder,
    /// Answers and when they are due.
    owed: Vec<(Instant, Vec<u8>)>,
}

impl Client {
    fn new(stream: TcpStream, bus: mpsc::Sender<Request>) -> Self {
        Self {
            stream,
            bus,
            decoder: Decoder::new(),
            owed: Vec::new(),
        }
    }

    async fn run(mut self, stop: CancellationToken) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        loop {
            let due = self.owed.iter().map(|(due, _)| *due).min();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.pay().await?,
                read = self.stream.read(&mut chunk) => match read? {
                    0 => return Ok(()),
                    length => self.hear(chunk.get(..length).unwrap_or_default()).await,
                },
            }
        }
    }

    /// Puts what the master sent onto the bus.
    async fn hear(&mut self, mut input: &[u8]) {
        while let Some(decoded) = self.decoder.next_frame(&mut input) {
            let Ok(frame) = decoded else {
                continue;
            };
            let (answer, answered) = oneshot::channel();
            if self.bus.send(Request::Frame { frame, answer }).await.is_err() {
                return;
            }
            if let Ok(Some(Answer { delay, bytes })) = answered.await
                && self.owed.len() < MAX_OWED
            {
                self.owed.push((Instant::now() + delay, bytes));
            }
        }
    }

    /// Sends the answers that are due.
    async fn pay(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let (due, owed) = std::mem::take(&mut self.owed)
            .into_iter()
            .partition(|(due, _)| *due <= now);
        self.owed = owed;
        let due: Vec<(Instant, Vec<u8>)> = due;
        for (_, bytes) in due {
            timeout(WRITE_TIMEOUT, self.stream.write_all(&bytes)).await??;
        }
        Ok(())
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
    /// The bus has stopped.
    #[error("the simulated bus has stopped")]
    Stopped,
}
