//! How long to wait, from the bit times of the standard.

use core::time::Duration;

/// Bits that one byte takes on the wire: start bit, 8 data bits, even parity, stop bit.
const BITS_PER_BYTE: u32 = 11;
/// Bit times after which a meter has begun to answer, to which [`ANSWER_PAUSE`] is added.
///
/// Spec: EN 13757-2:2018, section 5.
const ANSWER_BITS: u32 = 330;
/// Bit times that a meter waits at least before it answers.
///
/// Spec: EN 13757-2:2018, section 5.
const LEAST_ANSWER_BITS: u32 = 11;
/// What a meter may take for an answer besides its bit times.
const ANSWER_PAUSE: Duration = Duration::from_millis(50);
/// Bit times of silence that end a transmission; within a telegram there are no pauses.
///
/// Spec: EN 13757-2:2018, section 5 (33 idle bits after an error, EN 60870-5-1).
const SILENCE_BITS: u32 = 33;
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// The speed of a bus.
///
/// Spec: EN 13757-2:2018, section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the rates in bits per second")]
pub enum BaudRate {
    B300,
    B600,
    B1200,
    B2400,
    B4800,
    B9600,
    B19200,
    B38400,
}

impl BaudRate {
    /// Every rate, from the slowest.
    pub const ALL: [Self; 8] = [
        Self::B300,
        Self::B600,
        Self::B1200,
        Self::B2400,
        Self::B4800,
        Self::B9600,
        Self::B19200,
        Self::B38400,
    ];

    /// Returns the rate in bits per second.
    #[must_use]
    pub const fn bits_per_second(self) -> u32 {
        match self {
            Self::B300 => 300,
            Self::B600 => 600,
            Self::B1200 => 1200,
            Self::B2400 => 2400,
            Self::B4800 => 4800,
            Self::B9600 => 9600,
            Self::B19200 => 19_200,
            Self::B38400 => 38_400,
        }
    }
}

impl TryFrom<u32> for BaudRate {
    type Error = UnknownBaudRate;

    fn try_from(bits_per_second: u32) -> Result<Self, Self::Error> {
        Self::ALL
            .into_iter()
            .find(|rate| rate.bits_per_second() == bits_per_second)
            .ok_or(UnknownBaudRate { bits_per_second })
    }
}

/// The error for a speed that no M-Bus runs at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an M-Bus runs at 300, 600, 1200, 2400, 4800, 9600, 19200 or 38400 bits per second, not {bits_per_second}"
)]
pub struct UnknownBaudRate {
    /// The speed that was given.
    pub bits_per_second: u32,
}

/// What the waits of the master are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The speed of the bus.
    pub baud_rate: BaudRate,
    /// What the level converter and the way to it add, both to the first byte and between bytes.
    pub allowance: Duration,
}

impl Timing {
    /// What USB and TCP converters add at most: they collect bytes before they pass them on.
    pub const CONVERTER_ALLOWANCE: Duration = Duration::from_millis(100);

    /// Builds the timing of a bus.
    #[must_use]
    pub const fn new(baud_rate: BaudRate, allowance: Duration) -> Self {
        Self { baud_rate, allowance }
    }

    /// Returns how long the given number of bytes takes on the wire.
    #[must_use]
    pub fn transmission(self, bytes: usize) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bits(bytes.saturating_mul(BITS_PER_BYTE))
    }

    /// Returns how long after the end of a request its answer begins at the latest.
    #[must_use]
    pub fn answer(self) -> Duration {
        self.bits(ANSWER_BITS)
            .saturating_add(ANSWER_PAUSE)
            .saturating_add(self.allowance)
    }

    /// Returns how long after the end of a request its answer begins at the earliest.
    #[must_use]
    pub fn least_answer(self) -> Duration {
        self.bits(LEAST_ANSWER_BITS)
    }

    /// Returns the silence after which a transmission has ended.
    #[must_use]
    pub fn silence(self) -> Duration {
        self.bits(SILENCE_BITS).saturating_add(self.allowance)
    }

    fn bits(self, count: u32) -> Duration {
        let nanoseconds = u64::from(count).saturating_mul(NANOSECONDS_PER_SECOND);
        let per_second = u64::from(self.baud_rate.bits_per_second());
        Duration::from_nanos(nanoseconds.checked_div(per_second).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_the_bit_times() {
        let timing = Timing::new(BaudRate::B2400, Duration::ZERO);
        assert_eq!(timing.answer(), Duration::from_micros(187_500));
        assert_eq!(timing.transmission(5).as_micros(), 22_916);
        assert_eq!(timing.silence(), Duration::from_micros(13_750));
        assert_eq!(timing.least_answer().as_micros(), 4583);
        let slow = Timing::new(BaudRate::B300, Timing::CONVERTER_ALLOWANCE);
        assert_eq!(slow.answer(), Duration::from_millis(1250));
    }

    #[test]
    fn only_the_speeds_of_the_standard_are_known() {
        for rate in BaudRate::ALL {
            assert_eq!(BaudRate::try_from(rate.bits_per_second()), Ok(rate));
        }
        assert_eq!(
            BaudRate::try_from(115_200),
            Err(UnknownBaudRate {
                bits_per_second: 115_200
            })
        );
    }
}
