//! A site in operation: a TCP server, a serial server, or a serial port.

use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_serial::{SerialPort, SerialStream};
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::frame::{Carrier, LONGEST_RTU_FRAME, Request, SerialInput, receive_tcp};
use super::registers::Registers;
use super::site::{Memory, Reaction, Running, Site};
use crate::terminal::Terminal;

/// The silence after which the beginning of a frame is none: far beyond what a line between processes
/// delays its pieces.
const FRAME_GAP: Duration = Duration::from_millis(100);
/// How long a connection that its client has closed may still count as the only one.
const GRACE: Duration = Duration::from_millis(50);

/// A simulated SDM630 in a house, whose values follow from the time.
#[derive(Debug)]
pub struct Sdm630(Server);

impl Sdm630 {
    /// Starts the meter on the address (port 0: any free one), as that unit, with that serial number.
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be listened on.
    pub async fn start(listen: SocketAddr, unit: u8, serial_number: u32) -> io::Result<Self> {
        let site = Site::new().with_sdm630(unit, serial_number);
        site.listen(listen).await.map(Self)
    }

    /// Stops the meter; when that is done, its address is free and its connections are closed.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

impl Deref for Sdm630 {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// A site behind a TCP address; it lives until it is stopped or dropped, which closes its connections too.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    service: Service,
}

impl Server {
    /// The greatest number of connections at a time; more are closed at once.
    pub const MAX_CONNECTIONS: usize = 16;

    /// Starts a meter with these registers on the address (port 0: any free one), as that unit.
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be listened on.
    pub async fn start(listen: SocketAddr, unit: u8, registers: Registers) -> io::Result<Self> {
        Site::new().with_meter(unit, registers).listen(listen).await
    }

    /// Stops the meters; when that is done, their address is free and their connections are closed.
    pub async fn stop(self) {
        self.service.stop().await;
    }

    /// Returns the address that the meters listen on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Deref for Server {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

/// A site in operation; it lives until it is stopped or dropped.
#[derive(Debug)]
pub struct Service {
    running: Arc<Running>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Service {
    /// Has the fault happen to that many requests to any unit, after those that were injected before.
    pub fn inject(&self, fault: Fault, requests: u32) {
        self.running.state().faults.push(fault, requests);
    }

    /// Has the fault happen to that many requests to that unit, after those that were injected into it
    /// before; false if there is no such unit.
    pub fn inject_into(&self, unit: u8, fault: Fault, requests: u32) -> bool {
        let mut state = self.running.state();
        let meter = state.meter(unit);
        meter.map(|meter| meter.faults.push(fault, requests)).is_some()
    }

    /// Has the fault happen to each request of that function that touches one of these registers, unless
    /// another one does.
    pub fn inject_always(&self, function: u8, addresses: RangeInclusive<u16>, fault: Fault) {
        self.running.state().habits.push((function, addresses, fault));
    }

    /// Takes back all faults that have not happened yet.
    pub fn heal(&self) {
        self.running.state().heal();
    }

    /// Returns how many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.running.state().requests
    }

    /// Returns how many requests have come for that unit; 0 if there is no such unit.
    #[must_use]
    pub fn requests_to(&self, unit: u8) -> u64 {
        let mut state = self.running.state();
        state.meter(unit).map_or(0, |meter| meter.requests)
    }

    /// Returns how many connections have been accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.running.state().connections
    }

    /// Returns how many connections were closed at once, because there were others.
    #[must_use]
    pub fn refused_connections(&self) -> u64 {
        self.running.state().refused
    }

    /// Returns how many requests came before the line was silent for as long as frames need it.
    pub async fn hurried_requests(&self) -> u64 {
        self.running.line.lock().await.hurried
    }

    /// Stops the meters; when that is done, their connections are closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Site {
    /// Starts the meters as a Modbus TCP server on the address (port 0: any free one).
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be listened on.
    pub async fn listen(self, listen: SocketAddr) -> io::Result<Server> {
        self.serve(listen, Language::Tcp).await
    }

    /// Starts the meters behind a serial server, which passes the frames of the line on as they are, on
    /// the address (port 0: any free one).
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be listened on.
    pub async fn listen_serial(self, listen: SocketAddr) -> io::Result<Server> {
        self.serve(listen, Language::Serial).await
    }

    /// Starts the meters on a serial port. On a line with a speed, they understand no other one.
    #[must_use]
    pub fn attach(self, terminal: Terminal) -> Service {
        let running = Arc::new(Running::new(self));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (meters, stopped) = (Arc::clone(&running), stop.clone());
        tasks.spawn(async move {
            // As a whole: the master's end, which it holds open, must live as long.
            let mut terminal = terminal;
            let mut port = Port {
                stream: &mut terminal.port,
                baud_rate: |port: &SerialStream| port.baud_rate().ok(),
                can_close: false,
            };
            tokio::select! {
                () = stopped.cancelled() => {}
                () = serve_serial(&mut port, &meters) => {}
            }
        });
        Service { running, stop, tasks }
    }

    async fn serve(self, listen: SocketAddr, language: Language) -> io::Result<Server> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let running = Arc::new(Running::new(self));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, language, Arc::clone(&running), stop.clone()));
        Ok(Server {
            address,
            service: Service { running, stop, tasks },
        })
    }
}

/// What is spoken over a TCP connection.
#[derive(Debug, Clone, Copy)]
enum Language {
    Tcp,
    Serial,
}

async fn accept(listener: TcpListener, language: Language, running: Arc<Running>, stop: CancellationToken) {
    let most = if running.manners.one_connection {
        1
    } else {
        Server::MAX_CONNECTIONS
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => {
                    while connections.try_join_next().is_some() {}
                    if connections.len() >= most && timeout(GRACE, connections.join_next()).await.is_err() {
                        running.state().refused += 1;
                        tracing::debug!("too many connections");
                        continue;
                    }
                    running.state().connections += 1;
                    connections.spawn(converse(connection, language, Arc::clone(&running)));
                }
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn converse(mut connection: TcpStream, language: Language, running: Arc<Running>) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection cannot be served without delay");
    }
    match language {
        Language::Tcp => serve_tcp(&mut connection, &running).await,
        Language::Serial => {
            let mut port = Port {
                stream: &mut connection,
                baud_rate: |_: &TcpStream| None,
                can_close: true,
            };
            serve_serial(&mut port, &running).await;
        }
    }
}

async fn serve_tcp(connection: &mut TcpStream, running: &Running) {
    /// What a request and an answer have on a serial line besides what they have over TCP.
    const CHECKSUM: usize = 2;
    const TCP_HEADER: usize = 6;

    let mut memory = Memory::default();
    while let Some((transaction, request)) = receive_tcp(connection).await {
        let arrived = Instant::now();
        let carrier = Carrier::Tcp { transaction };
        let reaction = running.state().react(request, carrier, &mut memory);
        let (answer, delay) = match reaction {
            Reaction::Answer(frame, delay) => ([std::mem::take(&mut memory.held), frame].concat(), delay),
            Reaction::Hold(frame) => (std::mem::replace(&mut memory.held, frame), Duration::ZERO),
            Reaction::Ignore => (std::mem::take(&mut memory.held), Duration::ZERO),
            Reaction::Close => return,
        };
        let latency = running.manners.latency + delay;
        if running.manners.line.is_some() {
            let mut line = running.line.lock().await;
            let begun = line.request(REQUEST_LENGTH, arrived) + latency;
            let length = (answer.len() + CHECKSUM).saturating_sub(TCP_HEADER);
            tokio::time::sleep_until(line.answer(length, begun)).await;
        } else {
            tokio::time::sleep_until(arrived + latency).await;
        }
        if connection.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The bytes of a request for registers on a serial line.
const REQUEST_LENGTH: usize = 8;

/// A stream on which frames go as they go over a serial line.
struct Port<'a, S> {
    stream: &'a mut S,
    /// The speed that the master has set, if the stream has one.
    baud_rate: fn(&S) -> Option<u32>,
    /// Whether the meters' end can close it.
    can_close: bool,
}

async fn serve_serial<S: AsyncRead + AsyncWrite + Unpin>(port: &mut Port<'_, S>, running: &Running) {
    let mut input = SerialInput::default();
    let mut memory = Memory::default();
    let mut bytes = [0; LONGEST_RTU_FRAME];
    loop {
        let read = port.stream.read(&mut bytes);
        let read = if input.is_empty() {
            Ok(read.await)
        } else {
            timeout(FRAME_GAP, read).await
        };
        let arrived = Instant::now();
        let mut complete = match read {
            Err(_) => input.end(),
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(length)) => {
                if running.manners.echo {
                    let echo = bytes.get(..length).unwrap_or_default();
                    if port.stream.write_all(echo).await.is_err() {
                        return;
                    }
                }
                let line = running.manners.line;
                let speeds = line.map(|line| line.baud_rate).zip((port.baud_rate)(port.stream));
                if speeds.is_some_and(|(ours, theirs)| ours != theirs) {
                    continue;
                }
                input.extend(bytes.get(..length).unwrap_or_default());
                input.take()
            }
        };
        while let Some((length, request)) = complete {
            if exchange(port, running, &mut memory, (length, request), arrived)
                .await
                .is_err()
            {
                return;
            }
            complete = input.take();
        }
    }
}

/// Answers a request of so many bytes, with what the line's bits take.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    port: &mut Port<'_, S>,
    running: &Running,
    memory: &mut Memory,
    (length, request): (usize, Request),
    arrived: Instant,
) -> io::Result<()> {
    let mut line = running.line.lock().await;
    let end = line.request(length, arrived);
    let reaction = running.state().react(request, Carrier::Serial, memory);
    let held = std::mem::take(&mut memory.held);
    let (answer, delay) = match reaction {
        Reaction::Answer(frame, delay) => ([held, frame].concat(), delay),
        Reaction::Hold(frame) => {
            memory.held = frame;
            (held, Duration::ZERO)
        }
        Reaction::Close if port.can_close => return Err(io::ErrorKind::ConnectionAborted.into()),
        Reaction::Ignore | Reaction::Close => (held, Duration::ZERO),
    };
    if answer.is_empty() {
        return Ok(());
    }
    let begun = end + line.pause(running.manners.latency) + delay;
    tokio::time::sleep_until(begun).await;
    line.write(&answer, begun, port.stream).await
}
