//! How much each log keeps.

use model::{LogKind, Span};

use super::segment::SEGMENT_BYTES;

/// The least number of segments of a log, so that one stays when the oldest goes.
const MIN_SEGMENTS: u64 = 2;

/// How much each log keeps. Sizes are in bytes on disk, in whole segments of 64 KiB, at least two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// The size of the system log; older entries are deleted.
    pub system_bytes: u64,
    /// How long an entry of the system log is kept at most.
    pub system_age: Span,
    /// The size of the consumer log; older entries are deleted.
    pub consumer_bytes: u64,
    /// How long an entry of the consumer log is kept at most.
    pub consumer_age: Span,
    /// The size at which the calibration log is full; nothing of it is ever deleted.
    pub calibration_bytes: u64,
}

impl LogLimits {
    /// 4 MiB: some 20,000 events, ten a day for five years.
    pub const SYSTEM_BYTES: u64 = 4 << 20;
    /// 8 MiB: some 15,000 answers, twenty a day for two years.
    pub const CONSUMER_BYTES: u64 = 8 << 20;
    /// 16 MiB: some 80,000 events, twenty a day for ten years.
    pub const CALIBRATION_BYTES: u64 = 16 << 20;
    /// Two years, as long as a household's values are kept.
    pub const DAYS: u32 = 730;

    /// Returns the most segments of a log.
    pub(super) fn segments(&self, kind: LogKind) -> usize {
        let bytes = match kind {
            LogKind::System => self.system_bytes,
            LogKind::Consumer => self.consumer_bytes,
            LogKind::Calibration => self.calibration_bytes,
        };
        let size = u64::try_from(SEGMENT_BYTES).unwrap_or(u64::MAX);
        let segments = bytes.checked_div(size).unwrap_or(0).max(MIN_SEGMENTS);
        usize::try_from(segments).unwrap_or(usize::MAX)
    }

    /// Returns how long an entry of a log is kept; `None` for ever.
    pub(super) const fn age(&self, kind: LogKind) -> Option<Span> {
        match kind {
            LogKind::System => Some(self.system_age),
            LogKind::Consumer => Some(self.consumer_age),
            LogKind::Calibration => None,
        }
    }
}

impl Default for LogLimits {
    fn default() -> Self {
        let days = Self::DAYS.saturating_mul(Span::DAY.seconds());
        let age = Span::from_seconds(days).unwrap_or(Span::DAY);
        Self {
            system_bytes: Self::SYSTEM_BYTES,
            system_age: age,
            consumer_bytes: Self::CONSUMER_BYTES,
            consumer_age: age,
            calibration_bytes: Self::CALIBRATION_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_segments_and_at_least_two() {
        let limits = LogLimits {
            calibration_bytes: 200_000,
            consumer_bytes: 0,
            ..LogLimits::default()
        };
        assert_eq!(limits.segments(LogKind::Calibration), 3);
        assert_eq!(limits.segments(LogKind::Consumer), 2);
        assert_eq!(limits.segments(LogKind::System), 64);
    }

    #[test]
    fn calibration_log_is_kept_for_ever() {
        let limits = LogLimits::default();
        assert_eq!(limits.age(LogKind::Calibration), None);
        assert_eq!(limits.age(LogKind::Consumer).unwrap().to_string(), "P730D");
    }
}
