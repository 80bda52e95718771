//! A bad network between two ends of a TCP connection, with faults on demand.
//!
//! Whatever connects is connected to one target, and bytes are passed on as they come; an [`Order`] says what goes wrong
//! from then on, for connections that stand and for those to come. What is in the bytes is nothing to a proxy: it
//! spoils TLS as it would spoil anything.

mod flow;
mod order;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use order::{Cut, Faults, Order, UnknownOrder};

/// The connections that are passed on at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 4_096;
/// The longest line of an order.
const LONGEST_LINE: u64 = 256;
/// How long whoever connects may take for his order.
const ORDER_PATIENCE: Duration = Duration::from_secs(5);

/// Passes connections on to a target.
#[derive(Debug)]
pub struct Proxy {
    listener: TcpListener,
    target: String,
    handle: ProxyHandle,
}

/// Says what goes wrong, and counts.
#[derive(Debug, Clone)]
pub struct ProxyHandle {
    faults: Arc<watch::Sender<Faults>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    cut: AtomicU64,
}

impl Proxy {
    /// Listens, and passes on to `target`, which is `HOST:PORT`. Nothing goes wrong yet.
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be listened on.
    pub async fn bind(listen: SocketAddr, target: &str) -> io::Result<Self> {
        let handle = ProxyHandle {
            faults: Arc::new(watch::Sender::new(Faults::default())),
            counts: Arc::default(),
        };
        Ok(Self {
            listener: TcpListener::bind(listen).await?,
            target: target.to_owned(),
            handle,
        })
    }

    /// Returns where it listens.
    ///
    /// # Errors
    ///
    /// What the system says if it does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns what says what goes wrong.
    #[must_use]
    pub fn handle(&self) -> ProxyHandle {
        self.handle.clone()
    }

    /// Passes connections on until it is dropped.
    ///
    /// # Errors
    ///
    /// What the system says if no connection can be accepted any more.
    pub async fn run(self) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let (client, _) = tokio::select! {
                accepted = self.listener.accept() => accepted?,
                Some(_) = connections.join_next() => continue,
            };
            if connections.len() >= MAX_CONNECTIONS {
                continue;
            }
            self.handle.counts.accepted.fetch_add(1, Ordering::Relaxed);
            let (target, handle) = (self.target.clone(), self.handle.clone());
            connections.spawn(async move {
                if let Err(error) = pass(client, &target, &handle).await {
                    tracing::debug!("a connection to {target} has ended: {error}");
                }
            });
        }
    }
}

impl ProxyHandle {
    /// Lets something go wrong, or all be well, from now on.
    pub fn order(&self, order: Order) {
        self.faults.send_modify(|faults| faults.take(order));
    }

    /// Returns how many connections were accepted, and how many were cut.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let Counts { accepted, cut } = &*self.counts;
        (accepted.load(Ordering::Relaxed), cut.load(Ordering::Relaxed))
    }

    /// Takes orders from a Unix socket, one line for each connection, until it is dropped. The answer is
    /// `ACCEPTED CUT`, or what is wrong with the line.
    ///
    /// # Errors
    ///
    /// What the system says if the socket cannot be listened on.
    pub async fn take_orders(self, socket: &Path) -> io::Result<()> {
        let listener = UnixListener::bind(socket)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let conversing = tokio::time::timeout(ORDER_PATIENCE, self.converse(stream));
            if let Ok(Err(error)) = conversing.await {
                tracing::warn!("an order was not taken: {error}");
            }
        }
    }

    async fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut line = String::new();
        let (read, mut write) = stream.split();
        BufReader::new(read.take(LONGEST_LINE))
            .read_line(&mut line)
            .await?;
        let answer = match line.trim_end() {
            "counts" => self.said(),
            line => match line.parse() {
                Ok(order) => {
                    self.order(order);
                    self.said()
                }
                Err(error) => format!("{error}\n"),
            },
        };
        write.write_all(answer.as_bytes()).await
    }

    fn said(&self) -> String {
        let (accepted, cut) = self.counts();
        format!("{accepted} {cut}\n")
    }
}

/// Passes a connection on until one side ends it, or it is cut.
async fn pass(client: TcpStream, target: &str, handle: &ProxyHandle) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    let echo = if handle.faults.borrow().doubled {
        Some(TcpStream::connect(target).await?)
    } else {
        None
    };
    let ended = flow::both_ways(client, server, echo, handle.faults.subscribe()).await?;
    if ended == flow::End::Cut {
        handle.counts.cut.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
