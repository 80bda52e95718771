//! The door of the TSM: mutual TLS 1.3, in bounded number and time.
//!
//! A client has to show a certificate of this trust centre and prove that it has the key; that it is a supplier's, and not
//! revoked meanwhile, is looked up at each of its requests.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use counterparty::exchange::{ExchangeError, Identity, own_certificate};
use messages::certificate::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Connections at the same time, handshakes among them; suppliers are few, and one program of theirs has one connection.
const MAX_CONNECTIONS: usize = 128;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last, and so the longest request: an application over a slow line. A client simply comes again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait after a connection could not be accepted, as without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The reason why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsSetupError {
    /// The own key or certificate cannot be used.
    #[error("the TSM's TLS certificate cannot be used")]
    Own(#[from] ExchangeError),
    /// rustls does not accept them.
    #[error("the TSM's TLS certificate cannot be used; renew it (`trust-center renew --tsm`)")]
    Rustls(#[from] rustls::Error),
    /// The root is not accepted.
    #[error("the trust centre's root cannot be used for TLS")]
    Root(#[from] rustls::server::VerifierBuilderError),
}

/// Who is connected: an address, and the certificate whose key it has.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Its certificate; its role and whether it is revoked are not judged yet.
    pub(crate) certificate: Arc<Certificate>,
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Connections whose handshake is done.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    ready: mpsc::Receiver<(Connection, Peer)>,
}

impl Door {
    /// Opens the door; it is closed when it is dropped or told to stop.
    pub(crate) fn open(
        listener: TcpListener,
        tsm: Identity<'_>,
        stop: CancellationToken,
    ) -> Result<Self, TlsSetupError> {
        let acceptor = TlsAcceptor::from(server_config(tsm)?);
        let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        let (sender, ready) = mpsc::channel(MAX_CONNECTIONS);
        tokio::spawn(accept_all(listener, acceptor, sender, stop));
        Ok(Self { address, ready })
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The program is about to end; nobody comes any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        // Only its address would be of any use, and that is known to whoever opened it.
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{} has no peer", self.address),
        ))
    }
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(Connection, Peer)>,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            () = ready.closed() => break,
            Some(_) = handshakes.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!(%address, "connection refused: too many at the same time");
            continue;
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake(&acceptor, stream, address)).await;
            match shaken {
                Ok(Ok((stream, peer))) => {
                    let connection = Connection {
                        stream,
                        end: Box::pin(tokio::time::sleep(CONNECTION_TIMEOUT)),
                        _slot: slot,
                    };
                    // Without a receiver the program is about to end.
                    drop(ready.send((connection, peer)).await);
                }
                Ok(Err(error)) => tracing::info!(%address, "handshake refused: {error}"),
                Err(_) => tracing::info!(%address, "handshake refused: it took too long"),
            }
        });
    }
}

async fn shake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    let stream = acceptor.accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates();
    let shown = shown
        .and_then(<[_]>::first)
        .ok_or_else(|| io::Error::other("no certificate was shown"))?;
    let certificate = Certificate::from_der(shown).map_err(io::Error::other)?;
    let certificate = Arc::new(certificate);
    Ok((stream, Peer { address, certificate }))
}

/// A connection whose time is bounded.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    end: Pin<Box<Sleep>>,
    /// Given back when the connection ends.
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Err(error) = self.check_time(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = self.check_time(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = self.check_time(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = self.check_time(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn server_config(tsm: Identity<'_>) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in std::iter::once(tsm.anchor.certificate()).chain(tsm.anchor.issuing()) {
        roots.add(CertificateDer::from(authority.as_der().to_vec()))?;
    }
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let (chain, key) = own_certificate(tsm)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    // Every connection proves anew that the key is there.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
