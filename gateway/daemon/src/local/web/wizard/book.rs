//! How far the installation has come, as it is on the disk: steps, their states, and what was found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use serde::{Deserialize, Serialize};
use store::{AccessError, AccessRecord, Store};

use super::check::{Check, Verdict};
use super::meters::Comparison;
use super::report::SignedReport;
use super::scan::Scan;
use crate::clock;
use crate::report::Chain;

/// The name of the schema and its version. What is of another version is begun anew: everything can be checked again.
const SCHEMA: &str = "smgw.wizard/1";
/// The longest reason for skipping a step, in characters.
pub(super) const LONGEST_REASON: usize = 200;
/// The most checks that are kept of one step.
const MOST_CHECKS: usize = 64;

/// A step of the installation, in the order in which they are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// The device checks itself, its network and its clock.
    Device,
    /// The card is looked at.
    Card,
    /// A line is scanned for meters.
    Bus,
    /// The meters are named, and compared with their dials.
    Meters,
    /// The card is bound, for good.
    Binding,
    /// The way to the TSM is tried, rung by rung.
    Wan,
    /// What was found is put together, and signed by the card.
    Report,
}

impl Step {
    /// Every step, in order.
    pub(super) const ALL: [Self; 7] = [
        Self::Device,
        Self::Card,
        Self::Bus,
        Self::Meters,
        Self::Binding,
        Self::Wan,
        Self::Report,
    ];

    /// Returns the name in addresses.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Card => "card",
            Self::Bus => "bus",
            Self::Meters => "meters",
            Self::Binding => "binding",
            Self::Wan => "wan",
            Self::Report => "report",
        }
    }

    /// Finds a step by its name in addresses.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// The state of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Nobody has begun it.
    #[default]
    ToDo,
    /// It is at work.
    Running,
    /// It was at work when the power went, or the gateway was restarted.
    Interrupted,
    /// All is well.
    Good,
    /// Something is to be looked after.
    Problem,
    /// The technician has left it out.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) state: State,
    /// When it last came into this state.
    #[serde(default)]
    pub(super) time: Option<Timestamp>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub(super) took_ms: Option<u64>,
    #[serde(default)]
    pub(super) checks: Vec<Check>,
}

/// Everything that is on the disk. It is additive within its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    schema: String,
    #[serde(default)]
    steps: BTreeMap<Step, Entry>,
    /// The report that was made last.
    #[serde(default)]
    pub(super) report: Option<SignedReport>,
    /// The scan that was made last.
    #[serde(default)]
    pub(super) scan: Option<Scan>,
    /// What was compared with a dial.
    #[serde(default)]
    pub(super) comparisons: Vec<Comparison>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            steps: BTreeMap::new(),
            report: None,
            scan: None,
            comparisons: Vec::new(),
        }
    }
}

impl Progress {
    /// Returns what is known of a step.
    pub(super) fn entry(&self, step: Step) -> Entry {
        self.steps.get(&step).cloned().unwrap_or_default()
    }
}

/// The reason why something was not written down.
#[derive(Debug, thiserror::Error)]
pub(super) enum BookError {
    /// The store does not take it.
    #[error("the progress of the installation cannot be written; free space on the data partition")]
    Store(#[from] AccessError),
    /// It cannot be put into JSON.
    #[error("the progress of the installation cannot be put into JSON")]
    Json(#[from] serde_json::Error),
}

/// The book. Clones share it.
#[derive(Clone)]
pub(super) struct Book {
    store: Arc<Store>,
    progress: Arc<Mutex<Progress>>,
}

impl Book {
    /// Opens the book where it was left. One that is damaged, or of another version, is begun anew: nothing in it is more
    /// than what can be looked at again.
    pub(super) fn open(store: Arc<Store>) -> Self {
        let progress = match store.access().read(AccessRecord::Installation) {
            Ok(Some(content)) => read(&content),
            Ok(None) => Progress::default(),
            Err(error) => {
                tracing::warn!("the installation is begun anew: {}", Chain(&error));
                Progress::default()
            }
        };
        Self {
            store,
            progress: Arc::new(Mutex::new(progress)),
        }
    }

    /// Returns everything as it is now.
    pub(super) fn progress(&self) -> Progress {
        self.lock().clone()
    }

    /// Notes that a step runs. What it found before is shown until it has found something else.
    pub(super) fn begin(&self, step: Step) -> Result<(), BookError> {
        self.change(|progress| {
            let entry = progress.steps.entry(step).or_default();
            entry.state = State::Running;
            entry.time = Some(clock::now());
            entry.took_ms = None;
        })
    }

    /// Notes what a step that runs has found so far.
    pub(super) fn note(&self, step: Step, checks: &[Check]) -> Result<(), BookError> {
        let checks: Vec<_> = checks.iter().take(MOST_CHECKS).cloned().collect();
        self.change(|progress| progress.steps.entry(step).or_default().checks = checks)
    }

    /// Notes what a step has found: it is good if nothing in it is a problem. Of what is too much to be kept, problems are
    /// kept first.
    pub(super) fn finish(&self, step: Step, mut checks: Vec<Check>, took_ms: u64) -> Result<(), BookError> {
        let is_good = checks.iter().all(|check| check.verdict != Verdict::Problem);
        if checks.len() > MOST_CHECKS {
            checks.sort_by_key(|check| check.verdict != Verdict::Problem);
            checks.truncate(MOST_CHECKS);
        }
        let entry = Entry {
            state: if is_good { State::Good } else { State::Problem },
            time: Some(clock::now()),
            took_ms: Some(took_ms),
            checks,
        };
        self.change(|progress| drop(progress.steps.insert(step, entry)))
    }

    /// Notes that a step is left out, and why.
    pub(super) fn skip(&self, step: Step, reason: &str) -> Result<(), BookError> {
        let reason = reason.chars().take(LONGEST_REASON).collect();
        self.change(|progress| {
            let entry = progress.steps.entry(step).or_default();
            entry.state = State::Skipped { reason };
            entry.time = Some(clock::now());
        })
    }

    /// Changes what is known; it is on the disk when the call returns, and in memory not before.
    pub(super) fn change(&self, how: impl FnOnce(&mut Progress)) -> Result<(), BookError> {
        let mut progress = self.lock();
        let mut changed = progress.clone();
        how(&mut changed);
        let content = serde_json::to_vec(&changed)?;
        self.store.access().write(AccessRecord::Installation, &content)?;
        *progress = changed;
        Ok(())
    }

    /// A panic under the lock leaves nothing half done: what is in memory changes behind the disk.
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(content: &[u8]) -> Progress {
    match serde_json::from_slice::<Progress>(content) {
        Ok(progress) if progress.schema == SCHEMA => progress,
        Ok(other) => {
            tracing::warn!(
                schema = other.schema,
                "the installation is begun anew: it is of another version"
            );
            Progress::default()
        }
        Err(error) => {
            tracing::warn!("the installation is begun anew: {error}");
            Progress::default()
        }
    }
}
