//! Connections from the WAN: accepted in bounded number and time, and only while the gateway serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Extension, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use messages::envelope::MAX_MESSAGE;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;
use super::rejection::Rejection;
use crate::card::{CardHandle, Standing, server_config};
use crate::report::Chain;

/// Connections at the same time. Each handshake costs the card a signature, and a household has
/// few suppliers.
const MAX_CONNECTIONS: usize = 16;
/// How long a handshake may take: the queue of the card full of handshakes of 300 ms each.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the header of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last; a client simply comes again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait after a connection could not be accepted, as without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The media type of a message: CMS (RFC 8551, section 3.2.1).
const MEDIA_TYPE: &str = "application/pkcs7-mime";

/// Serves the WAN until it is stopped.
pub(crate) async fn serve(
    listener: TcpListener,
    card: CardHandle,
    exchange: Exchange,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/smgw/v1/messages", post(receive))
        .layer(DefaultBodyLimit::max(MAX_MESSAGE))
        .with_state(exchange.clone());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, peer, slot)) = accepted else {
            continue;
        };
        let connection = Connection {
            peer,
            card: card.clone(),
            exchange: exchange.clone(),
            standing: standing.clone(),
            router: router.clone(),
            _slot: slot,
        };
        let stop = stop.clone();
        connections.spawn(async move { connection.run(stream, stop).await });
    }
    connections.shutdown().await;
}

/// Waits for a free slot, then for a connection.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(error) => {
            tracing::warn!("a connection from the WAN could not be accepted: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

struct Connection {
    peer: SocketAddr,
    card: CardHandle,
    exchange: Exchange,
    standing: watch::Receiver<Standing>,
    router: Router,
    /// Given back when the connection ends.
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    /// Serves the connection until it ends, its time is up, the gateway ceases to serve, or the
    /// daemon stops.
    async fn run(self, stream: TcpStream, stop: CancellationToken) {
        let mut standing = self.standing.clone();
        let peer = self.peer;
        tokio::select! {
            () = stop.cancelled() => {}
            _ = standing.wait_for(|standing| !standing.state.serves_tsm()) => {
                tracing::info!(%peer, "connection closed: the gateway does not serve");
            }
            outcome = tokio::time::timeout(CONNECTION_TIMEOUT, self.serve(stream)) => {
                if outcome.is_err() {
                    tracing::info!(%peer, "connection closed: its time is up");
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        let peer = self.peer;
        let Ok((_, identity)) = self.exchange.serving() else {
            return;
        };
        let config = match server_config(&self.card, &identity) {
            Ok(config) => config,
            Err(error) => return tracing::error!(%peer, "{}", Chain(&error)),
        };
        let handshake = TlsAcceptor::from(config).accept(stream);
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::warn!(%peer, "handshake failed: {error}"),
            Err(_) => return tracing::warn!(%peer, "handshake failed: it took too long"),
        };
        let service = TowerToHyperService::new(self.router.layer(Extension(ConnectInfo(peer))));
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%peer, "connection ended: {error}");
        }
    }
}

/// Takes a message and answers it, where blocking is permitted.
async fn receive(
    State(exchange): State<Exchange>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    message: Bytes,
) -> Response {
    let work = tokio::task::spawn_blocking(move || exchange.handle(&message));
    match work.await.unwrap_or(Err(Rejection::Thread)) {
        Ok(answer) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], answer).into_response(),
        Err(rejection) => {
            tracing::warn!(%peer, code = rejection.code(), "rejected: {}", rejection.reason());
            rejection.into_response()
        }
    }
}
