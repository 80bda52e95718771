//! The queue before the card: bounded, urgent jobs first, and whoever no longer waits is not served.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many jobs of each priority can wait for the card: a handshake and a message for each connection.
const CAPACITY: usize = 64;

/// Which jobs come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Somebody holds a connection open meanwhile: handshakes.
    Urgent,
    /// Everything else.
    Bulk,
}

/// The reason why a job is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many wait already.
    Full,
    /// The card's thread has ended, or is about to.
    Closed,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<J> {
    /// A job.
    Job(J),
    /// The card is to be looked after: the time has come, or something moved in the reader.
    Look,
    /// Nothing any more: nobody holds a handle.
    End,
}

/// Jobs on their way to the thread that owns the card.
#[derive(Debug)]
pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<J> {
    urgent: VecDeque<Waiting<J>>,
    bulk: VecDeque<Waiting<J>>,
    /// Something moved in the reader.
    moved: bool,
    closed: bool,
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    /// When whoever asked gives up.
    until: Instant,
}

impl<J> Queue<J> {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                urgent: VecDeque::new(),
                bulk: VecDeque::new(),
                moved: false,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Puts a job into the queue; it is dropped undone when it has not begun in time.
    pub(super) fn push(&self, priority: Priority, patience: Duration, job: J) -> Result<(), Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        let jobs = match priority {
            Priority::Urgent => &mut state.urgent,
            Priority::Bulk => &mut state.bulk,
        };
        if jobs.len() >= CAPACITY {
            return Err(Refused::Full);
        }
        let now = Instant::now();
        let until = now.checked_add(patience).unwrap_or(now);
        jobs.push_back(Waiting { job, until });
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Says that something moved in the reader.
    pub(super) fn moved(&self) {
        self.state().moved = true;
        self.changed.notify_all();
    }

    /// Takes no more jobs; what waits is dropped.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.urgent.clear();
        state.bulk.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the queue is closed, but not longer than given; returns whether it is.
    pub(super) fn closed_within(&self, patience: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), patience, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Waits for what is to be done next; the card is looked after at the given time at the latest, before any job.
    pub(super) fn next(&self, look: Instant) -> Next<J> {
        let mut state = self.state();
        loop {
            if state.closed {
                return Next::End;
            }
            let now = Instant::now();
            if std::mem::take(&mut state.moved) || now >= look {
                return Next::Look;
            }
            if let Some(job) = state.take(now) {
                return Next::Job(job);
            }
            let rest = look.saturating_duration_since(now);
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A panic elsewhere leaves the queue as it is, and it is still whole.
    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> State<J> {
    /// Takes the next job for which somebody still waits. The loop ends with the bounded queues.
    fn take(&mut self, now: Instant) -> Option<J> {
        while let Some(waiting) = self.urgent.pop_front().or_else(|| self.bulk.pop_front()) {
            if waiting.until > now {
                return Some(waiting.job);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn later() -> Instant {
        Instant::now() + LONG
    }

    #[test]
    fn urgent_jobs_come_first_and_each_kind_in_its_order() {
        let queue = Queue::new();
        for (priority, job) in [
            (Priority::Bulk, "answer"),
            (Priority::Urgent, "handshake"),
            (Priority::Bulk, "log"),
            (Priority::Urgent, "another"),
        ] {
            queue.push(priority, LONG, job).unwrap();
        }
        let order: Vec<_> = (0..4).map(|_| queue.next(later())).collect();
        let expected = ["handshake", "another", "answer", "log"].map(Next::Job);
        assert_eq!(order, expected);
    }

    #[test]
    fn the_card_is_looked_after_before_any_job() {
        let queue = Queue::new();
        queue.push(Priority::Urgent, LONG, ()).unwrap();
        assert_eq!(queue.next(Instant::now()), Next::Look);
        queue.moved();
        assert_eq!(queue.next(later()), Next::Look);
        assert_eq!(queue.next(later()), Next::Job(()));
        assert_eq!(queue.next(Instant::now() + Duration::from_millis(5)), Next::Look);
    }

    #[test]
    fn job_for_which_nobody_waits_any_more_is_not_done() {
        let queue = Queue::new();
        queue.push(Priority::Urgent, Duration::ZERO, "late").unwrap();
        queue.push(Priority::Bulk, LONG, "in time").unwrap();
        assert_eq!(queue.next(later()), Next::Job("in time"));
    }

    #[test]
    fn full_queue_refuses_and_leaves_the_other_priority_alone() {
        let queue = Queue::new();
        for _ in 0..CAPACITY {
            queue.push(Priority::Bulk, LONG, ()).unwrap();
        }
        assert_eq!(queue.push(Priority::Bulk, LONG, ()), Err(Refused::Full));
        assert_eq!(queue.push(Priority::Urgent, LONG, ()), Ok(()));
    }

    #[test]
    fn closed_queue_ends_every_wait() {
        let queue = Queue::new();
        assert!(!queue.closed_within(Duration::ZERO));
        queue.push(Priority::Bulk, LONG, ()).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.closed_within(LONG));
            queue.close();
            assert!(waiting.join().unwrap());
        });
        assert_eq!(queue.next(later()), Next::End);
        assert_eq!(queue.push(Priority::Bulk, LONG, ()), Err(Refused::Closed));
    }
}
