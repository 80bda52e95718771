//! Connections from the WAN: accepted in bounded number and time, and only while the gateway serves.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use messages::envelope::MAX_MESSAGE;
use model::{Fingerprint, LogText, SystemEvent};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::exchange::{Exchange, Outcome};
use super::rejection::Rejection;
use super::turns::{Turn, Turns};
use crate::card::{CardHandle, Identity, Standing, server_config};
use crate::http;
use crate::network::Network;
use crate::report::Chain;
use crate::threads::{self, Task};

/// Connections of parties that have proved who they are; a household has few suppliers.
const MAX_CONNECTIONS: usize = 16;
/// Connections of one party: none keeps the TSM and the others out.
const MAX_CONNECTIONS_OF_ONE: usize = 4;
/// Handshakes at the same time. Each costs the card a signature of up to 300 ms.
const MAX_HANDSHAKES: usize = 8;
/// Handshakes at the same time from one network: whoever has not proved who he is does not keep the
/// others out.
const MAX_HANDSHAKES_OF_ONE: usize = 2;
/// How long a handshake may take: as many signatures as there are handshakes, and the network.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the header of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the body of a request may take: a message of the greatest size over a mobile network.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may last; a client simply comes again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a connection may take to end once the card is gone: together with the time until that is noticed, less than
/// a second.
const LAST_WORDS: Duration = Duration::from_millis(200);
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
        .with_state(exchange.clone());
    let handshakes = Turns::new(MAX_HANDSHAKES, MAX_HANDSHAKES_OF_ONE);
    let parties = Turns::new(MAX_CONNECTIONS, MAX_CONNECTIONS_OF_ONE);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection from the WAN could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(handshake) = handshakes.begin(Network::from(peer.ip())) else {
            tracing::debug!(%peer, "connection refused: too many handshakes");
            continue;
        };
        let connection = Connection {
            peer,
            card: card.clone(),
            exchange: exchange.clone(),
            standing: standing.clone(),
            router: router.clone(),
            parties: parties.clone(),
        };
        let stop = stop.clone();
        connections.spawn(Box::pin(connection.run(stream, handshake, stop)) as Task);
    }
    connections.shutdown().await;
}

struct Connection {
    peer: SocketAddr,
    card: CardHandle,
    exchange: Exchange,
    standing: watch::Receiver<Standing>,
    router: Router,
    parties: Turns<Fingerprint>,
}

impl Connection {
    /// Serves the connection until it ends, its time is up, the session with the card ends in which it
    /// began, or the daemon stops.
    async fn run(self, stream: TcpStream, handshake: Turn<Network>, stop: CancellationToken) {
        let Ok((_, identity)) = self.exchange.serving() else {
            return;
        };
        let mut standing = self.standing.clone();
        let (peer, session) = (self.peer, identity.session);
        let closing = CancellationToken::new();
        let serving = self.serve(stream, handshake, &identity, closing.clone());
        let mut serving = std::pin::pin!(tokio::time::timeout(CONNECTION_TIMEOUT, serving));
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = &mut serving => outcome,
            () = end_of_session(&mut standing, session) => {
                tracing::info!(%peer, "connection closed: the session with the card has ended");
                closing.cancel();
                // An answer that is sealed already, as that the card has ended its life, may still go.
                drop(tokio::time::timeout(LAST_WORDS, serving).await);
                return;
            }
        };
        if outcome.is_err() {
            tracing::info!(%peer, "connection closed: its time is up");
        }
    }

    async fn serve(
        self,
        stream: TcpStream,
        handshake: Turn<Network>,
        identity: &Identity,
        closing: CancellationToken,
    ) {
        let peer = self.peer;
        let config = match server_config(&self.card, identity) {
            Ok(config) => config,
            Err(error) => return tracing::error!(%peer, "{}", Chain(&error)),
        };
        let accepting = TlsAcceptor::from(config).accept(stream);
        let accepting = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting);
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            () = closing.cancelled() => return,
        };
        let stream = match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.refuse(&error.to_string()).await,
            Err(_) => return self.refuse("it took too long").await,
        };
        drop(handshake);
        let Some(_turn) = party_of(&stream).and_then(|party| self.parties.begin(party)) else {
            return tracing::warn!(%peer, "connection closed: too many at the same time");
        };
        let router = self.router.layer(Extension(ConnectInfo(peer)));
        let serving = http::serve(Box::new(stream), router, HEADER_TIMEOUT);
        let mut serving = std::pin::pin!(serving);
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = closing.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%peer, "connection ended: {error}");
        }
    }

    /// Logs a handshake that failed.
    async fn refuse(&self, reason: &str) {
        let peer = self.peer;
        tracing::warn!(%peer, "handshake failed: {reason}");
        let event = SystemEvent::HandshakeRefused {
            // The port is another one each time and says nothing.
            peer: LogText::cut(&peer.ip().to_string()),
            reason: LogText::cut(reason),
        };
        let journal = self.exchange.journal.clone();
        let noting = threads::blocking(move || journal.note_outside(event));
        if let Err(error) = noting.await {
            tracing::error!("nothing was written into the journal: {}", Chain(&error));
        }
    }
}

/// Waits for the end of a session with the card, or of the thread that has it.
pub(super) async fn end_of_session(standing: &mut watch::Receiver<Standing>, session: u64) {
    drop(standing.wait_for(|standing| !standing.continues(session)).await);
}

/// Takes a message and answers it, where blocking is permitted.
async fn receive(
    State(exchange): State<Exchange>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    request: Request,
) -> Response {
    let answer = match body_of(request).await {
        Ok(message) => threads::blocking(move || exchange.handle_from(peer, &message))
            .await
            .unwrap_or(Err(Rejection::Thread)),
        Err(rejection) => Err(rejection),
    };
    match answer {
        Ok(Outcome::Answered(answer)) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], answer.bytes).into_response(),
        Ok(Outcome::Received) => StatusCode::NO_CONTENT.into_response(),
        Err(rejection) => {
            tracing::warn!(%peer, code = rejection.code(), "rejected: {}", rejection.reason());
            rejection.into_response()
        }
    }
}

/// Reads a message, bounded in size and time; a size that is announced too large is refused at once.
async fn body_of(request: Request) -> Result<Bytes, Rejection> {
    let too_large = || Rejection::TooLarge { limit: MAX_MESSAGE };
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > MAX_MESSAGE)) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), MAX_MESSAGE);
    match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) | Err(_) => Err(Rejection::Incomplete),
    }
}

/// Returns the digest of the TLS certificate with which a client has proved who he is.
fn party_of(stream: &TlsStream<TcpStream>) -> Option<Fingerprint> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    Some(Fingerprint::new(Sha256::digest(certificate).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_is_announced_too_large_is_refused_at_once() {
        let request = Request::builder()
            .header(header::CONTENT_LENGTH, "1099511627776")
            .body(axum::body::Body::empty())
            .unwrap();
        assert!(matches!(body_of(request).await, Err(Rejection::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_body_that_grows_too_large_is_refused() {
        let request = Request::new(axum::body::Body::from(vec![0; MAX_MESSAGE + 1]));
        assert!(matches!(body_of(request).await, Err(Rejection::TooLarge { .. })));
        let small = Request::new(axum::body::Body::from("hello"));
        assert_eq!(body_of(small).await.unwrap(), "hello");
    }
}
