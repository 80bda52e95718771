//! The handle through which everybody else uses the card.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use card::{CardError, CardSession};

use super::reader::{Reader, ReaderError};

/// How many jobs can wait for the card: a handshake and a message for each connection.
pub(super) const QUEUE: usize = 64;

/// How long a job may take, the wait in the queue included. A signature takes 300 ms on a slow card.
const DEADLINE: Duration = Duration::from_secs(10);

/// A session with the card that is inserted.
pub(crate) type Session = CardSession<Reader>;

/// What the card's thread is to do.
pub(super) enum Job {
    /// Something with the card, if it is there.
    Use(Box<CardWork>),
    /// Examine the card again, since what the store holds has changed; answer when that is done.
    Examine(SyncSender<()>),
}

/// Work with the card, or without one if it is not there.
type CardWork = dyn FnOnce(Option<&mut Session>) + Send;

/// Sends jobs to the thread that owns the card.
#[derive(Debug, Clone)]
pub(crate) struct CardHandle {
    pub(super) jobs: SyncSender<Job>,
}

/// The reason why the card did not do a job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CardFault {
    /// There is no card, or none that belongs to this gateway.
    #[error("the gateway's card is not in the reader")]
    Absent,
    /// Too much waits for the card.
    #[error("the card is busy; try again")]
    Busy,
    /// The card did not answer in time.
    #[error("the card did not answer in time")]
    Deadline,
    /// The card refused or could not be reached.
    #[error(transparent)]
    Card(#[from] CardError<ReaderError>),
}

impl CardHandle {
    /// Has the card's thread do a job and waits for it.
    ///
    /// The calling thread blocks; asynchronous code calls this where it may block.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> Result<R, CardError<ReaderError>> + Send + 'static,
    ) -> Result<R, CardFault> {
        let (reply, result) = mpsc::sync_channel(1);
        self.submit(Job::Use(Box::new(move |session| {
            let outcome = session
                .ok_or(CardFault::Absent)
                .and_then(|session| Ok(job(session)?));
            // Nobody waits any more when the deadline has passed.
            drop(reply.try_send(outcome));
        })))?;
        wait(&result)?
    }

    /// Has the card examined again and waits until the standing that follows is published.
    pub(crate) fn examine(&self) -> Result<(), CardFault> {
        let (reply, done) = mpsc::sync_channel(1);
        self.submit(Job::Examine(reply))?;
        wait(&done)
    }

    fn submit(&self, job: Job) -> Result<(), CardFault> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => CardFault::Busy,
            TrySendError::Disconnected(_) => CardFault::Absent,
        })
    }
}

fn wait<R>(reply: &Receiver<R>) -> Result<R, CardFault> {
    reply.recv_timeout(DEADLINE).map_err(|error| match error {
        RecvTimeoutError::Timeout => CardFault::Deadline,
        RecvTimeoutError::Disconnected => CardFault::Absent,
    })
}
