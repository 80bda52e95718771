//! The pulse of a task or a thread: whether it still gets on.
//!
//! A task shows three things, and one that fails in any of them is stuck:
//!
//! - It is polled when it is woken. Whoever looks wakes it, and the answer is that the runtime comes to it: a runtime whose
//!   threads are all blocked does not.
//! - Its poll returns: a task that spins, or waits for a lock, is not polled again.
//! - The work that it has handed to a blocking thread ends. It says so by calling [`work`].
//!
//! A task that merely waits for the world, such as for a broker, is alive. A thread says by itself that it gets on.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::threads::{self, ThreadFailed};
use tokio::time::Instant;

/// How long the card's thread may be silent: every call into a reader can hang with it, and is a state of the gateway, in
/// which it measures on. Behind this time a new connection with the card service is worth a restart.
const LONGEST_CALL: Duration = Duration::from_secs(600);

tokio::task_local! {
    /// The pulse of the task that is polled.
    static PULSE: Arc<Pulse>;
}

/// The pulses of everything that has to be alive. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulses(Arc<Mutex<Vec<Weak<Pulse>>>>);

#[derive(Debug)]
struct Pulse {
    name: &'static str,
    /// What it may take beyond what a task may.
    grace: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waker: Option<Waker>,
    /// Since when no answer has come.
    asked: Option<Instant>,
    /// Since when blocking work goes on, and what it may take beyond what work may.
    working: Option<(Instant, Duration)>,
}

/// The pulse of a thread; it ends with the thread.
#[derive(Debug)]
pub(crate) struct ThreadPulse(Arc<Pulse>);

impl Pulses {
    /// Runs a task under observation, until it ends.
    pub(crate) fn watch<F: Future>(
        &self,
        name: &'static str,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let pulse = self.add(name, Duration::ZERO);
        async move {
            let mut task = pin!(PULSE.scope(Arc::clone(&pulse), task));
            std::future::poll_fn(|context| {
                pulse.answer(context.waker());
                task.as_mut().poll(context)
            })
            .await
        }
    }

    /// Has a thread under observation, which has to call [`ThreadPulse::beat`].
    pub(crate) fn watch_thread(&self, name: &'static str) -> ThreadPulse {
        ThreadPulse(self.add(name, LONGEST_CALL))
    }

    /// Returns the first that has been stuck for longer than a task may be, and asks all others again.
    pub(super) fn find_stuck(&self, now: Instant, longest: Duration) -> Option<&'static str> {
        let mut stuck = None;
        for pulse in self.living() {
            if pulse.is_stuck(now, longest) {
                stuck.get_or_insert(pulse.name);
            }
            pulse.ask(now);
        }
        stuck
    }

    /// Returns the names of all that have not ended, and whether each of that name gets on: it owes no answer, and its work has
    /// not gone on, for longer than that.
    pub(crate) fn alive(&self, now: Instant, longest: Duration) -> BTreeMap<&'static str, bool> {
        let mut alive = BTreeMap::new();
        for pulse in self.living() {
            let gets_on = !pulse.is_stuck(now, longest);
            *alive.entry(pulse.name).or_insert(true) &= gets_on;
        }
        alive
    }

    /// Returns whether each has answered what it was last asked: at the start, that it was polled at all.
    pub(super) fn have_all_answered(&self) -> bool {
        self.living().iter().all(|pulse| pulse.state().asked.is_none())
    }

    fn add(&self, name: &'static str, grace: Duration) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            name,
            grace,
            state: Mutex::new(State {
                waker: None,
                asked: Some(Instant::now()),
                working: None,
            }),
        });
        self.pulses().push(Arc::downgrade(&pulse));
        pulse
    }

    /// Returns those that have not ended, and forgets the others: a task that ends stops the daemon anyway.
    fn living(&self) -> Vec<Arc<Pulse>> {
        let mut pulses = self.pulses();
        pulses.retain(|pulse| pulse.strong_count() > 0);
        pulses.iter().filter_map(Weak::upgrade).collect()
    }

    fn pulses(&self) -> MutexGuard<'_, Vec<Weak<Pulse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    fn answer(&self, waker: &Waker) {
        let mut state = self.state();
        state.asked = None;
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Asks for an answer, unless one is still owed.
    fn ask(&self, now: Instant) {
        let waker = {
            let mut state = self.state();
            state.asked.get_or_insert(now);
            state.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_stuck(&self, now: Instant, longest: Duration) -> bool {
        let state = self.state();
        let asked = state.asked.map(|since| (since, self.grace));
        [asked, state.working]
            .into_iter()
            .flatten()
            .any(|(since, grace)| now.saturating_duration_since(since) > longest.saturating_add(grace))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThreadPulse {
    /// Says that the thread gets on.
    pub(crate) fn beat(&self) {
        self.0.state().asked = None;
    }
}

/// Has a blocking thread do something that the calling task waits for. A task under observation is stuck if it takes too
/// long.
///
/// # Errors
///
/// [`ThreadFailed`] if the thread has panicked.
pub(crate) async fn work<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, ThreadFailed> {
    long_work(Duration::ZERO, work).await
}

/// As [`work`], for something that may take so much longer than work may.
///
/// # Errors
///
/// [`ThreadFailed`] if the thread has panicked.
pub(crate) async fn long_work<R: Send + 'static>(
    grace: Duration,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, ThreadFailed> {
    let _working = PULSE.try_with(|pulse| Working::begin(Arc::clone(pulse), grace));
    threads::blocking(work).await
}

/// Work that goes on, until it is dropped.
struct Working(Arc<Pulse>);

impl Working {
    fn begin(pulse: Arc<Pulse>, grace: Duration) -> Self {
        pulse.state().working = Some((Instant::now(), grace));
        Self(pulse)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.state().working = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONGEST: Duration = Duration::from_millis(200);
    const LOOK: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Looks until something is stuck.
    async fn stuck(pulses: &Pulses) -> &'static str {
        let looking = async {
            loop {
                if let Some(name) = pulses.find_stuck(Instant::now(), LONGEST) {
                    return name;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap()
    }

    /// Looks for longer than anything may take.
    async fn assert_alive(pulses: &Pulses) {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST * 5 {
            assert_eq!(pulses.find_stuck(Instant::now(), LONGEST), None);
            tokio::time::sleep(LOOK).await;
        }
    }

    #[tokio::test]
    async fn a_task_that_waits_for_the_world_is_alive() {
        let pulses = Pulses::default();
        let waiting = tokio::spawn(pulses.watch("broker", std::future::pending::<()>()));
        assert!(!pulses.have_all_answered());
        tokio::task::yield_now().await;
        assert!(pulses.have_all_answered());
        assert_alive(&pulses).await;
        waiting.abort();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_whose_poll_does_not_return_is_stuck() {
        let pulses = Pulses::default();
        let (go_on, blocked) = mpsc::sync_channel::<()>(1);
        let blocking = async move {
            tokio::task::yield_now().await;
            blocked.recv().unwrap();
        };
        let tasks = [
            tokio::spawn(pulses.watch("grid", std::future::pending())),
            tokio::spawn(pulses.watch("bus", blocking)),
        ];
        assert_eq!(stuck(&pulses).await, "bus");
        go_on.send(()).unwrap();
        tasks.into_iter().for_each(|task| task.abort());
    }

    #[tokio::test]
    async fn a_task_whose_work_does_not_end_is_stuck_and_gets_on_with_it() {
        let pulses = Pulses::default();
        let (go_on, blocked) = mpsc::sync_channel::<()>(1);
        let writing = async {
            drop(work(move || blocked.recv()).await);
            std::future::pending::<()>().await;
        };
        let task = tokio::spawn(pulses.watch("registrar", writing));
        assert_eq!(stuck(&pulses).await, "registrar");
        go_on.send(()).unwrap();
        let recovering = async {
            while pulses.find_stuck(Instant::now(), LONGEST).is_some() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, recovering).await.unwrap();
        task.abort();
    }

    #[test]
    fn a_thread_that_is_silent_is_stuck_at_last() {
        let pulses = Pulses::default();
        let thread = pulses.watch_thread("card");
        assert!(!pulses.have_all_answered());
        thread.beat();
        assert!(pulses.have_all_answered());
        let asked = Instant::now();
        assert_eq!(pulses.find_stuck(asked, LONGEST), None);
        let longest = LONGEST_CALL + LONGEST;
        assert_eq!(pulses.find_stuck(asked + longest, LONGEST), None);
        assert_eq!(pulses.find_stuck(asked + longest + LOOK, LONGEST), Some("card"));
        thread.beat();
        assert_eq!(pulses.find_stuck(asked + longest + LOOK, LONGEST), None);
    }

    #[tokio::test]
    async fn work_that_is_known_to_be_long_may_take_so_long() {
        let pulses = Pulses::default();
        let (go_on, blocked) = mpsc::sync_channel::<()>(1);
        let sending = long_work(LONGEST * 100, move || blocked.recv().unwrap());
        let task = tokio::spawn(pulses.watch("schedules", sending));
        assert_alive(&pulses).await;
        let later = Instant::now() + LONGEST * 102;
        assert_eq!(pulses.find_stuck(later, LONGEST), Some("schedules"));
        go_on.send(()).unwrap();
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_has_ended_is_not_looked_for() {
        let pulses = Pulses::default();
        drop(pulses.watch("grid", std::future::pending::<()>()));
        pulses.watch("keeper", async {}).await;
        drop(pulses.watch_thread("card"));
        assert!(pulses.have_all_answered());
        assert!(pulses.living().is_empty());
    }

    #[tokio::test]
    async fn work_of_nobody_under_observation_is_done_too() {
        assert_eq!(work(|| 7).await.unwrap(), 7);
        assert!(work(|| panic!("a fault")).await.is_err());
    }
}
