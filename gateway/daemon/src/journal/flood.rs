//! Events that come too often are counted instead of written, so that nobody can wear out the flash or
//! flush the system log from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many events of one kind are written in a window; a technician at work causes fewer.
const PER_WINDOW: u32 = 20;
/// The length of a window. At most 480 events of one kind are written a day.
const WINDOW: Duration = Duration::from_secs(3_600);

/// Counts events by their code; there are as many codes as kinds of events.
#[derive(Debug, Default)]
pub(super) struct Flood {
    windows: BTreeMap<&'static str, Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    counted: u64,
}

impl Flood {
    /// Returns whether an event is to be written; if not, it is counted.
    pub(super) fn admit(&mut self, code: &'static str, now: Instant) -> bool {
        let window = self.windows.entry(code).or_insert(Window {
            since: now,
            written: 0,
            counted: 0,
        });
        if now.saturating_duration_since(window.since) >= WINDOW {
            (window.since, window.written) = (now, 0);
        }
        let admitted = window.written < PER_WINDOW;
        if admitted {
            window.written = window.written.saturating_add(1);
        } else {
            window.counted = window.counted.saturating_add(1);
        }
        admitted
    }

    /// Takes what was counted since the last call, by code.
    pub(super) fn take_counted(&mut self) -> Vec<(&'static str, u64)> {
        let counts = self
            .windows
            .iter_mut()
            .map(|(code, window)| (*code, std::mem::take(&mut window.counted)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_often_is_counted_until_the_window_is_over() {
        let mut flood = Flood::default();
        let start = Instant::now();
        let admitted = (0..50).filter(|_| flood.admit("a", start)).count();
        assert_eq!(admitted, 20);
        assert!(flood.admit("b", start));
        assert_eq!(flood.take_counted(), [("a", 30)]);
        assert_eq!(flood.take_counted(), []);
        assert!(flood.admit("a", start + WINDOW));
    }
}
