//! What the master knows of the line, whichever meter it asks.

use core::time::Duration;

use super::timing::{BaudRate, Timing};

/// What the master knows of a line from one machine to the next: its speed, until when an answer
/// may still come that nobody waits for any more, and what has been counted.
///
/// One exists for each line; every machine on the line borrows it, so that no two run at once.
#[derive(Debug, Clone)]
pub struct Line {
    /// The timing at the speed that the line has at the moment.
    pub(super) timing: Timing,
    /// The speed of meters that have none of their own.
    home: BaudRate,
    /// Until then a late acknowledgement may come, which carries no address.
    pub(super) late_until: Duration,
    pub(super) counters: Counters,
}

impl Line {
    /// Builds the line of a bus at its usual speed, on which nothing was asked yet.
    #[must_use]
    pub const fn new(timing: Timing) -> Self {
        Self {
            timing,
            home: timing.baud_rate,
            late_until: Duration::ZERO,
            counters: Counters::NONE,
        }
    }

    /// Returns the timing at the speed that the line has at the moment.
    #[must_use]
    pub const fn timing(&self) -> Timing {
        self.timing
    }

    /// Returns the speed of meters that have none of their own.
    #[must_use]
    pub const fn home(&self) -> BaudRate {
        self.home
    }

    /// Returns what was counted since the last call, and counts anew.
    pub const fn take_counters(&mut self) -> Counters {
        core::mem::replace(&mut self.counters, Counters::NONE)
    }

    /// Takes notice that the port was opened anew, at the usual speed.
    pub const fn reopened(&mut self) {
        self.timing.baud_rate = self.home;
    }
}

/// What has been counted on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames that were sent, repetitions included.
    pub sent: u64,
    /// Frames among them that repeated an earlier one.
    pub retries: u64,
    /// Frames that answered a request.
    pub received: u64,
    /// Tries that nothing answered in time.
    pub timeouts: u64,
    /// Tries in which damaged frames came: a wrong checksum, noise, half a frame.
    pub damaged: u64,
    /// Tries in which several meters answered at once.
    pub collisions: u64,
    /// Sound frames that answered nothing: late ones, or those of another meter.
    pub strays: u64,
}

impl Counters {
    const NONE: Self = Self {
        sent: 0,
        retries: 0,
        received: 0,
        timeouts: 0,
        damaged: 0,
        collisions: 0,
        strays: 0,
    };

    /// Returns the sum of both, each number up to its greatest.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            retries: self.retries.saturating_add(other.retries),
            received: self.received.saturating_add(other.received),
            timeouts: self.timeouts.saturating_add(other.timeouts),
            damaged: self.damaged.saturating_add(other.damaged),
            collisions: self.collisions.saturating_add(other.collisions),
            strays: self.strays.saturating_add(other.strays),
        }
    }
}

/// Counts one more.
pub(super) const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
