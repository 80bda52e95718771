//! The handle through which everybody else uses the card.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use card::{CardError, CardSession};
use messages::certificate::CertificateError;
use zeroize::Zeroizing;

use super::confirmation::{Confirmed, NotConfirmed};
use super::queue::{Priority, Queue, Refused};
use super::reader::{Reader, ReaderError};
use super::view::CardView;

/// How long a job may take, the wait in the queue included. A signature takes 300 ms on a slow card.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a signature for a handshake may take: as long as the handshake itself.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// A session with the card that is inserted.
pub(crate) type Session = CardSession<Reader>;

/// What the card's thread is to do.
pub(super) enum Job {
    /// Something with the card, if it is there.
    Use(Box<CardWork>),
    /// Examine the card again, since what the store holds has changed; answer when that is done.
    Examine(SyncSender<()>),
    /// Look at the card without changing anything.
    Inspect(SyncSender<CardView>),
    /// Bind the card whose GUID ends so.
    Confirm(String, SyncSender<Result<Confirmed, NotConfirmed>>),
    /// Pass the trust centre's commands to whatever card is there.
    Relay(RelayedCommands, SyncSender<Result<RelayedAnswers, CardFault>>),
    /// The daemon was told to stop: a card that goes from here on is no concern.
    TakeLeave(SyncSender<()>),
    /// Have the card vouch for the store as it is now.
    Vouch(SyncSender<()>),
}

/// Commands of the trust centre to a card, as bytes.
pub(super) type RelayedCommands = Vec<Vec<u8>>;

/// The card's answers to them.
pub(super) type RelayedAnswers = Vec<Zeroizing<Vec<u8>>>;

/// Work with the card, or without one if it is not there.
type CardWork = dyn FnOnce(Option<&mut Session>) -> Reached + Send;

/// Whether the card could be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It could, or nobody tried.
    Yes,
    /// It could not: it is gone, or may be, or the session with it has ended.
    No,
}

/// Sends jobs to the thread that owns the card.
#[derive(Debug, Clone)]
pub(crate) struct CardHandle {
    jobs: Arc<Door>,
}

/// The way into the queue; it is closed when nobody holds it any more.
#[derive(Debug)]
struct Door {
    queue: Arc<Queue<Job>>,
    calls: AtomicU64,
    failures: AtomicU64,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// How often the card was asked for something since the daemon was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CardCalls {
    /// How often it was asked.
    pub(crate) calls: u64,
    /// How often nothing came of it: it is absent, busy or late, or has refused.
    pub(crate) failures: u64,
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
    /// What is to be shown to the card as the TSM's certificate is none that is valid now.
    #[error("the TSM's certificate is not valid; have the trust centre issue another one")]
    TsmCertificate(#[source] CertificateError),
    /// The clock was never set, so that nobody can say whether the TSM's certificate is valid.
    #[error("the clock was never set, so that the TSM's certificate cannot be judged; connect a time source")]
    ClockUnset,
    /// The card refused or could not be reached.
    #[error(transparent)]
    Card(#[from] CardError<ReaderError>),
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Use(_) => "Use",
            Self::Examine(_) => "Examine",
            Self::Inspect(_) => "Inspect",
            Self::Confirm(..) => "Confirm",
            Self::Relay(..) => "Relay",
            Self::TakeLeave(_) => "TakeLeave",
            Self::Vouch(_) => "Vouch",
        })
    }
}

impl CardHandle {
    /// Makes the first handle for a queue; the queue is closed with the last one.
    pub(super) fn new(queue: Arc<Queue<Job>>) -> Self {
        Self {
            jobs: Arc::new(Door {
                queue,
                calls: AtomicU64::new(0),
                failures: AtomicU64::new(0),
            }),
        }
    }

    /// Returns how often the card was asked for something.
    pub(crate) fn calls(&self) -> CardCalls {
        CardCalls {
            calls: self.jobs.calls.load(Ordering::Relaxed),
            failures: self.jobs.failures.load(Ordering::Relaxed),
        }
    }

    /// Makes the handle of a card whose thread has ended.
    #[cfg(test)]
    pub(crate) fn ended() -> Self {
        let queue = Queue::new();
        queue.close();
        Self::new(Arc::new(queue))
    }

    /// Has the card's thread do a job and waits for it.
    ///
    /// The calling thread blocks; asynchronous code calls this where it may block.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> Result<R, CardError<ReaderError>> + Send + 'static,
    ) -> Result<R, CardFault> {
        self.call_within(Priority::Bulk, DEADLINE, job)
    }

    /// As [`CardHandle::call`], before everybody who is not in a handshake.
    pub(crate) fn call_in_handshake<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> Result<R, CardError<ReaderError>> + Send + 'static,
    ) -> Result<R, CardFault> {
        self.call_within(Priority::Urgent, HANDSHAKE_DEADLINE, job)
    }

    fn call_within<R: Send + 'static>(
        &self,
        priority: Priority,
        deadline: Duration,
        job: impl FnOnce(&mut Session) -> Result<R, CardError<ReaderError>> + Send + 'static,
    ) -> Result<R, CardFault> {
        let (reply, result) = mpsc::sync_channel(1);
        let work = move |session: Option<&mut Session>| {
            let outcome = session
                .ok_or(CardFault::Absent)
                .and_then(|session| Ok(job(session)?));
            let reached = match &outcome {
                Err(CardFault::Card(
                    CardError::Transport(_)
                    | CardError::Channel { .. }
                    | CardError::SessionEnded { .. }
                    | CardError::NotSent { .. },
                )) => Reached::No,
                _ => Reached::Yes,
            };
            // Nobody waits any more when the deadline has passed.
            drop(reply.try_send(outcome));
            reached
        };
        let submitted = self.submit(priority, deadline, Job::Use(Box::new(work)));
        let outcome = submitted.and_then(|()| wait(&result, deadline)?);
        self.count(&outcome);
        outcome
    }

    /// Has the card examined again and waits until the standing that follows is published.
    pub(crate) fn examine(&self) -> Result<(), CardFault> {
        self.ask(Job::Examine)
    }

    /// Has the card looked at, whichever it is.
    pub(crate) fn inspect(&self) -> Result<CardView, CardFault> {
        self.ask(Job::Inspect)
    }

    /// Binds the card in the reader if its GUID ends with these characters.
    pub(crate) fn confirm(&self, characters: String) -> Result<Result<Confirmed, NotConfirmed>, CardFault> {
        self.ask(|reply| Job::Confirm(characters, reply))
    }

    /// Passes commands of the trust centre's access to whatever card is there, in one session with those before.
    pub(crate) fn relay(&self, commands: RelayedCommands) -> Result<RelayedAnswers, CardFault> {
        self.ask(|reply| Job::Relay(commands, reply))?
    }

    /// Says that the daemon was told to stop: from here on the card may be taken out.
    pub(crate) fn take_leave(&self) -> Result<(), CardFault> {
        self.ask(Job::TakeLeave)
    }

    /// Has the card vouch for the store as it is now, if it serves.
    pub(crate) fn vouch(&self) -> Result<(), CardFault> {
        self.ask(Job::Vouch)
    }

    fn ask<R>(&self, job: impl FnOnce(SyncSender<R>) -> Job) -> Result<R, CardFault> {
        let (reply, answer) = mpsc::sync_channel(1);
        let submitted = self.submit(Priority::Bulk, DEADLINE, job(reply));
        let outcome = submitted.and_then(|()| wait(&answer, DEADLINE));
        self.count(&outcome);
        outcome
    }

    fn count<R>(&self, outcome: &Result<R, CardFault>) {
        self.jobs.calls.fetch_add(1, Ordering::Relaxed);
        if outcome.is_err() {
            self.jobs.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn submit(&self, priority: Priority, deadline: Duration, job: Job) -> Result<(), CardFault> {
        let pushed = self.jobs.queue.push(priority, deadline, job);
        pushed.map_err(|refused| match refused {
            Refused::Full => CardFault::Busy,
            Refused::Closed => CardFault::Absent,
        })
    }
}

fn wait<R>(reply: &Receiver<R>, deadline: Duration) -> Result<R, CardFault> {
    reply.recv_timeout(deadline).map_err(|error| match error {
        RecvTimeoutError::Timeout => CardFault::Deadline,
        RecvTimeoutError::Disconnected => CardFault::Absent,
    })
}
