//! The grid: starts a round on every bus at each point of the wall clock's registration grid.

use std::time::Duration;

use bus::{Bus, StartRoundError};
use model::{Span, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::clock;

/// The longest wait before the clock is looked at again, so that a clock that was set is noticed.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Starts rounds until it is stopped. A point of the grid is never started twice, also when the
/// clock is set back.
pub(crate) async fn keep_the_grid(period: Span, buses: Vec<Bus>, stop: CancellationToken) {
    let mut next = period.grid_after(clock::now());
    loop {
        let nap = clock::until(next).min(LONGEST_NAP);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(nap) => {}
        }
        if clock::until(next).is_zero() {
            let time = period.grid_at_or_before(clock::now());
            start_round(&buses, time.max(next));
            next = period.grid_after(time.max(next));
        }
    }
}

fn start_round(buses: &[Bus], time: Timestamp) {
    for bus in buses {
        match bus.start_round(time) {
            Ok(()) | Err(StartRoundError::Stopped) => {}
            Err(error @ StartRoundError::StillRunning) => {
                tracing::warn!(bus = bus.name(), %time, "{error}; nothing is registered for this time");
            }
        }
    }
}
