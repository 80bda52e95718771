//! The grid: starts a round on every bus at each point of the wall clock's registration grid, and live rounds between them.

use std::time::Duration;

use bus::{Bus, StartRoundError};
use model::{Span, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::registrar::Missed;
use crate::clock;

/// The longest wait before the clock is looked at again, so that a clock that was set is noticed.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Starts rounds until it is stopped.
pub(crate) async fn keep_the_grid(
    period: Span,
    buses: Vec<Bus>,
    missed: mpsc::Sender<Missed>,
    stop: CancellationToken,
) {
    let mut grid = Grid::new(period, clock::now());
    while grid.wait(&stop).await {
        if let Some(time) = grid.due(clock::now()) {
            start_round(&buses, time, &missed).await;
        }
    }
}

/// Starts live rounds until it is stopped; at the points of the registration grid everything is read anyhow.
pub(crate) async fn keep_the_live_grid(
    period: Span,
    registration: Span,
    buses: Vec<Bus>,
    stop: CancellationToken,
) {
    let mut grid = Grid::new(period, clock::now());
    while grid.wait(&stop).await {
        if let Some(time) = grid.due_beside(registration, clock::now()) {
            for bus in &buses {
                bus.start_live(time);
            }
        }
    }
}

/// The next point of the grid, whatever the clock does.
#[derive(Debug)]
struct Grid {
    period: Span,
    next: Timestamp,
}

impl Grid {
    fn new(period: Span, now: Timestamp) -> Self {
        Self {
            period,
            next: period.grid_after(now),
        }
    }

    /// Waits until the clock is to be looked at; returns whether to go on.
    async fn wait(&self, stop: &CancellationToken) -> bool {
        let nap = clock::until(self.next).min(LONGEST_NAP);
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(nap) => true,
        }
    }

    /// Returns the point of the grid that is due now, if one is.
    ///
    /// Points that a clock jumped over are left out. When the clock was set back, its grid is taken up
    /// again: points come twice then, and the store keeps the first value of each.
    fn due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let following = self.period.grid_after(now);
        if self.next > following {
            tracing::warn!(%now, expected = %self.next, "the clock was set back; reading goes on from here");
            self.next = following;
        }
        if now < self.next {
            return None;
        }
        self.next = following;
        Some(self.period.grid_at_or_before(now))
    }

    /// Returns the point that is due if it is none of the other grid.
    fn due_beside(&mut self, other: Span, now: Timestamp) -> Option<Timestamp> {
        self.due(now).filter(|time| !other.has_on_grid(*time))
    }
}

async fn start_round(buses: &[Bus], time: Timestamp, missed: &mpsc::Sender<Missed>) {
    for bus in buses {
        match bus.start_round(time) {
            Ok(()) | Err(StartRoundError::Stopped) => {}
            Err(error @ StartRoundError::StillRunning) => {
                tracing::warn!(bus = bus.name(), %time, "{error}; its elements have a gap at this time");
                let bus = bus.name().to_owned();
                if missed.send(Missed { bus, time }).await.is_err() {
                    tracing::debug!("nobody registers any more");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn grid(now: i64) -> Grid {
        Grid::new(Span::from_seconds(10).unwrap(), at(now))
    }

    #[test]
    fn every_point_is_due_once() {
        let mut grid = grid(101);
        let due: Vec<_> = (101..=125).filter_map(|now| grid.due(at(now))).collect();
        assert_eq!(due, [at(110), at(120)]);
    }

    #[test]
    fn points_of_the_other_grid_are_left_to_it() {
        let mut grid = grid(101);
        let other = Span::from_seconds(30).unwrap();
        let due = (101..=155).filter_map(|now| grid.due_beside(other, at(now)));
        assert_eq!(due.collect::<Vec<_>>(), [110, 130, 140].map(at));
    }

    #[test]
    fn points_that_were_jumped_over_are_left_out() {
        let mut grid = grid(101);
        assert_eq!(grid.due(at(1_000_003)), Some(at(1_000_000)));
        assert_eq!(grid.due(at(1_000_009)), None);
        assert_eq!(grid.due(at(1_000_010)), Some(at(1_000_010)));
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_at_once() {
        let mut grid = grid(1_000_001);
        assert_eq!(grid.due(at(1_000_010)), Some(at(1_000_010)));
        assert_eq!(grid.due(at(105)), None);
        assert_eq!(grid.due(at(110)), Some(at(110)));
        assert_eq!(grid.due(at(120)), Some(at(120)));
    }

    #[test]
    fn a_step_back_within_a_period_repeats_no_point() {
        let mut grid = grid(101);
        assert_eq!(grid.due(at(110)), Some(at(110)));
        assert_eq!(grid.due(at(112)), None);
        assert_eq!(grid.due(at(111)), None);
        assert_eq!(grid.due(at(120)), Some(at(120)));
    }
}
