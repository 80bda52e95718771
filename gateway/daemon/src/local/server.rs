//! Connections on the device itself, bounded in number and time, whatever the door.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at the same time at one door: some browsers with their usual six.
const MAX_CONNECTIONS: usize = 32;
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
                    connections.spawn(converse(stream, router.clone()));
                } else {
                    tracing::warn!("somebody who is not permitted was refused on the device");
                }
            }
        }
    }
    connections.shutdown().await;
}

async fn converse<I>(stream: I, router: Router)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
    use tokio::net::{TcpListener, TcpStream};

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
