//! What the gateway shows on the device: the local page, and the socket of the command line.

pub(crate) mod apps;
pub(crate) mod control;
pub(crate) mod grants;
pub(crate) mod logs;
pub(crate) mod readings;
mod server;
pub(crate) mod web;

use crate::report::Chain;
use crate::threads;
use axum::http::StatusCode;

/// Has something done that may block, and waits for it. A thread that fails is told of in the log.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, StatusCode> {
    threads::blocking(work).await.map_err(|error| {
        tracing::error!("there is no answer: {}", Chain(&error));
        StatusCode::INTERNAL_SERVER_ERROR
    })
}
