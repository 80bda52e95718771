//! Connections on the device itself, bounded in number and time, whatever the door.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::serve::Listener;
use axum::{Extension, Router};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::web::Ends;
use crate::http::{self, Stream};
use crate::threads::Task;

/// Connections at the same time at one door: some browsers with their usual six.
const MAX_CONNECTIONS: usize = 32;
/// Connections at the same time from one address, so that nobody keeps the others of the house out.
const MAX_CONNECTIONS_OF_ONE: usize = 12;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the header of a request may take, and how long a connection may stay idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last; a browser simply comes again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves a door until it is stopped. Connections that are not permitted are closed at once.
pub(super) async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    is_permitted: fn(&L::Io) -> bool,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, _) = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                if is_permitted(&stream) {
                    connections.spawn(Box::pin(converse(Box::new(stream), router.clone())) as Task);
                } else {
                    tracing::warn!("somebody who is not permitted was refused on the device");
                }
            }
        }
    }
    connections.shutdown().await;
}

/// Serves a door behind TLS until it is stopped. While there is no certificate, connections are closed at once.
pub(super) async fn serve_tls(
    mut listener: TcpListener,
    router: Router,
    config: impl Fn() -> Option<Arc<ServerConfig>>,
    stop: CancellationToken,
) {
    let places = Places::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, peer) = Listener::accept(&mut listener), if connections.len() < MAX_CONNECTIONS => {
                let place = places.take(peer.ip());
                if let (Some(config), Some(place)) = (config(), place) {
                    connections.spawn(Box::pin(shake_hands(stream, config, router.clone(), place)) as Task);
                }
            }
        }
    }
    connections.shutdown().await;
}

async fn shake_hands(stream: TcpStream, config: Arc<ServerConfig>, router: Router, place: Place) {
    let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else {
        return;
    };
    let accepting = TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await {
        Ok(Ok(stream)) => {
            let ends = Ends { peer, own: own.ip() };
            converse(Box::new(stream), router.layer(Extension(ends))).await;
        }
        Ok(Err(error)) => tracing::debug!("a TLS handshake on the device failed: {error}"),
        Err(_) => tracing::debug!("a TLS handshake on the device took too long"),
    }
    drop(place);
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection of an address, until it is dropped.
struct Place {
    all: Places,
    address: IpAddr,
}

impl Places {
    fn take(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= MAX_CONNECTIONS_OF_ONE {
            return None;
        }
        *count = count.saturating_add(1);
        drop(counts);
        let all = self.clone();
        Some(Place { all, address })
    }

    /// A panic elsewhere leaves the counts as they are, and they are still right.
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.all.counts();
        match counts.get_mut(&self.address) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(counts.remove(&self.address)),
        }
    }
}

async fn converse(stream: Box<dyn Stream>, router: Router) {
    let serving = http::serve(stream, router, HEADER_TIMEOUT);
    match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection on the device ended: {error}"),
        Err(_) => tracing::debug!("a connection on the device was closed, its time was up"),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn served() -> (std::net::SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(serve(listener, router, |_| true, stop.clone()));
        (address, stop)
    }

    async fn ask(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn half_sent_requests_hold_nobody_up_for_long() {
        let (address, stop) = served().await;
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HT").await.unwrap();
            idle.push(stream);
        }
        let answer = tokio::time::timeout(HEADER_TIMEOUT * 3, ask(address))
            .await
            .unwrap();
        assert!(answer.ends_with("here"), "{answer}");
        stop.cancel();
    }

    #[test]
    fn one_address_does_not_keep_the_others_out() {
        let places = Places::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut taken: Vec<_> = (0..20).filter_map(|_| places.take(one)).collect();
        assert_eq!(taken.len(), MAX_CONNECTIONS_OF_ONE);
        assert!(places.take(other).is_some());
        taken.pop();
        assert!(places.take(one).is_some());
        drop(taken);
        assert!(places.counts().is_empty());
    }

    #[tokio::test]
    async fn the_door_is_shut_when_it_is_stopped() {
        let (address, stop) = served().await;
        assert!(ask(address).await.ends_with("here"));
        stop.cancel();
        let shut = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(CONNECTION_TIMEOUT, shut).await.unwrap();
    }
}
