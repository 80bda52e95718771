//! What a bus tells the daemon.

use std::time::Duration;

use mbus::master::Counters;
use model::{Medium, MeterId, Sample, Timestamp};

use crate::PollError;

/// The outcome of one meter in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The name of the bus.
    pub bus: String,
    /// The name of the meter.
    pub meter: String,
    /// What the round is for.
    pub kind: RoundKind,
    /// The time that the round was started for.
    pub round: Timestamp,
    /// How many meters of the round are still to be reported; 0 marks the end of the round. It is 0 throughout a live
    /// round, of which nobody waits for the end.
    pub remaining: usize,
    /// What the meter gave, or the reason why it gave nothing.
    pub outcome: Result<MeterAnswer, PollError>,
    /// What has been counted for the meter since the task began.
    pub statistics: Statistics,
}

/// What a round is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundKind {
    /// Every meter is read, and its values are registered for good.
    Registration,
    /// The fast values are read for the live display; they are not registered, and what is missing is no gap.
    Live,
}

/// What a meter gave in one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterAnswer {
    /// Who the meter says it is.
    pub id: MeterId,
    /// What it measures.
    pub medium: Medium,
    /// Its elements.
    pub samples: Vec<Sample>,
}

/// What has been counted for a meter since the task of its bus began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Rounds in which the meter was asked; live ones are not counted, here and in the next two.
    pub polls: u64,
    /// Rounds in which it gave its values.
    pub answers: u64,
    /// Rounds in which it was left out, because it had not answered before.
    pub skipped: u64,
    /// Requests that were sent to it, in live rounds too, repetitions included.
    pub requests: u64,
    /// Requests among them that repeated an earlier one.
    pub retries: u64,
    /// Connections that were opened in order to ask it.
    pub connections: u64,
    /// What went to and fro on the M-Bus; all zero for a Modbus meter.
    pub link: Counters,
    /// How long the last poll took that gave values.
    pub answer_time: Option<Duration>,
}
