//! What a monitoring system is told beside the status: which tasks get on, how the card is used, how much is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{Holdings, Store};
use tokio::time::Instant;

use super::Pulses;
use crate::card::{CardCalls, CardHandle};

/// After how long without an answer a task counts as stuck. The watchdog, which restarts the daemon, is more patient.
const LONGEST: Duration = Duration::from_secs(60);

/// Where vital signs come from. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Vitals {
    /// The tasks and threads.
    pub(crate) pulses: Pulses,
    /// The card.
    pub(crate) card: CardHandle,
}

/// The vital signs at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VitalSigns {
    /// Which tasks and threads there are, and whether they get on.
    pub(crate) tasks: BTreeMap<&'static str, bool>,
    pub(crate) card: CardCalls,
    pub(crate) store: Holdings,
}

impl Vitals {
    /// Takes the vital signs; the calling thread may block while the database is written.
    pub(crate) fn take(&self, store: &Store) -> VitalSigns {
        VitalSigns {
            tasks: self.pulses.alive(Instant::now(), LONGEST),
            card: self.card.calls(),
            store: store.database().holdings(),
        }
    }
}
