//! HTTP/1.1, whatever carries it: one server, built once, for a socket, for TCP and for TLS.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

/// What carries requests and answers.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that is served while it is polled.
pub(crate) type Connection = http1::Connection<TokioIo<Box<dyn Stream>>, TowerToHyperService<Router>>;

/// Serves a connection. The header of a request may take so long, and the connection be idle for as long.
pub(crate) fn serve(stream: Box<dyn Stream>, router: Router, header_timeout: Duration) -> Connection {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
