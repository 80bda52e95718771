//! Work on threads and in tasks, whose machinery is built once.
//!
//! tokio builds what queues, wakes and ends a task anew for each type of work, 4 KB for each, and a gateway has a hundred of
//! them. Here the work stands behind a pointer, and what moves it is there once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinError;

/// What a task does, behind a pointer.
pub(crate) type Task<R = ()> = Pin<Box<dyn Future<Output = R> + Send>>;

/// A thread has panicked, or the runtime has stopped before the work began.
#[derive(Debug, thiserror::Error)]
#[error("a thread has failed")]
pub(crate) struct ThreadFailed(#[source] Option<JoinError>);

/// Has something done that may block, on a thread for that, and waits for it. It is done to its end even if nobody waits any
/// more.
///
/// # Errors
///
/// [`ThreadFailed`] if it has panicked.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, ThreadFailed> {
    let result = Arc::new(Mutex::new(None));
    let place = Arc::clone(&result);
    start(Box::new(move || {
        let done = work();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }))
    .await
    .map_err(|error| ThreadFailed(Some(error)))?;
    let done = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    done.ok_or(ThreadFailed(None))
}

async fn start(work: Box<dyn FnOnce() + Send>) -> Result<(), JoinError> {
    tokio::task::spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_comes_back_and_a_panic_is_an_error() {
        let there = String::from("there");
        let done = blocking(move || format!("{there} and back")).await;
        assert_eq!(done.unwrap(), "there and back");
        let failed = blocking(|| -> u8 { panic!("a fault") }).await.unwrap_err();
        let why = std::error::Error::source(&failed).unwrap().to_string();
        assert!(why.contains("a fault"), "{why}");
    }

    #[tokio::test]
    async fn work_goes_on_to_its_end_when_nobody_waits() {
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let (end, ended) = tokio::sync::oneshot::channel();
        let mut working = Box::pin(blocking(move || {
            begun.recv().unwrap();
            end.send(()).unwrap();
        }));
        assert!(futures_util::poll!(working.as_mut()).is_pending());
        drop(working);
        begin.send(()).unwrap();
        ended.await.unwrap();
    }
}
