//! What the master knows of a meter from one read to the next.

use core::fmt;
use core::time::Duration;

use super::exchange::Manner;
use super::frames::ByteOrder;
use super::timing::{BaudRate, Timing};
use crate::link::{LongFrame, PrimaryAddress, SELECTED, SecondaryAddress};

/// How a meter is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MeterAddress {
    /// By its primary address.
    Primary(PrimaryAddress),
    /// By selection: the secondary address, in which wildcards stand for what is not known.
    Secondary(SecondaryAddress),
}

impl MeterAddress {
    /// Returns the A field of requests to the meter.
    pub(super) const fn field(self) -> u8 {
        match self {
            Self::Primary(address) => address.byte(),
            Self::Secondary(_) => SELECTED,
        }
    }
}

impl From<PrimaryAddress> for MeterAddress {
    fn from(address: PrimaryAddress) -> Self {
        Self::Primary(address)
    }
}

impl From<SecondaryAddress> for MeterAddress {
    fn from(address: SecondaryAddress) -> Self {
        Self::Secondary(address)
    }
}

impl fmt::Display for MeterAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary(address) => address.fmt(formatter),
            Self::Secondary(address) => address.fmt(formatter),
        }
    }
}

/// What the master knows of one meter from one read to the next: its address, how it is asked, its
/// frame count bit, and how long it takes for an answer.
///
/// A meter that was never read, or whose last read failed, is initialised with SND_NKE before the
/// next request: after a failure it is not known which frame count bit the meter saw last, and a
/// wrong guess would fetch its old telegram again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    address: MeterAddress,
    baud_rate: Option<BaudRate>,
    application_reset: Option<u8>,
    byte_order: ByteOrder,
    pub(super) link: Link,
    /// The longest time that the meter has lately taken to begin an answer.
    pub(super) answer_time: Option<Duration>,
    /// The meter did not answer the last time.
    pub(super) lost: bool,
    /// The first telegram of the last read, if the meter was selected for it.
    pub(super) last_telegram: Option<LongFrame>,
    /// The meter sends one and the same telegram over and over, and none of them is an old one.
    pub(super) stands_still: bool,
}

/// The state of the link between the master and one meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// SND_NKE comes first.
    Unknown,
    /// The meter follows the frame count bit, and this is the next one.
    Initialised { frame_count_bit: bool },
}

/// What a wait that has adapted to a meter allows on top of twice the time that the meter took.
const ADAPTED_MARGIN: Duration = Duration::from_millis(50);
/// The longest wait for a meter that takes longer than the standard permits; some are known to take
/// more than one second.
const LONGEST_PATIENCE: Duration = Duration::from_secs(2);

impl Station {
    /// Builds the station of a meter that was not read yet.
    #[must_use]
    pub fn new(address: impl Into<MeterAddress>) -> Self {
        Self {
            address: address.into(),
            baud_rate: None,
            application_reset: None,
            byte_order: ByteOrder::LeastFirst,
            link: Link::Unknown,
            answer_time: None,
            lost: false,
            last_telegram: None,
            stands_still: false,
        }
    }

    /// Has the meter asked at a speed of its own instead of the line's usual one.
    #[must_use]
    pub const fn at(mut self, baud_rate: BaudRate) -> Self {
        self.baud_rate = Some(baud_rate);
        self
    }

    /// Has each read begin with an application reset (CI 50) with this subcode, which chooses what the
    /// meter sends.
    ///
    /// Spec: EN 13757-3:2013, section 7 (application reset, subcodes).
    #[must_use]
    pub const fn with_application_reset(mut self, subcode: u8) -> Self {
        self.application_reset = Some(subcode);
        self
    }

    /// Has the meter selected with its secondary address in this order of bytes.
    #[must_use]
    pub const fn with_byte_order(mut self, byte_order: ByteOrder) -> Self {
        self.byte_order = byte_order;
        self
    }

    /// Returns how the meter is addressed.
    #[must_use]
    pub const fn address(&self) -> MeterAddress {
        self.address
    }

    /// Returns the meter's own speed, if it has one.
    #[must_use]
    pub const fn baud_rate(&self) -> Option<BaudRate> {
        self.baud_rate
    }

    /// Returns the longest time that the meter has lately taken to begin an answer.
    #[must_use]
    pub const fn answer_time(&self) -> Option<Duration> {
        self.answer_time
    }

    pub(super) const fn byte_order(&self) -> ByteOrder {
        self.byte_order
    }

    pub(super) const fn application_reset(&self) -> Option<u8> {
        self.application_reset
    }

    /// Forgets the frame count bit, so that the next read begins with SND_NKE.
    ///
    /// For a meter whose power or bus was away: it may have lost the bit too.
    pub const fn forget(&mut self) {
        self.link = Link::Unknown;
    }

    /// Says how often and how patiently the meter is asked.
    ///
    /// A meter that is known to be quick is not waited for as long as the standard permits, but for
    /// the last try; one that was lost gets one try until it is back.
    pub(super) fn manner(&self, timing: Timing, tries: u8) -> Manner {
        let standard = timing.answer();
        let slow = self.answer_time.unwrap_or_default();
        let slow = slow.saturating_add(slow.checked_div(4).unwrap_or_default());
        let longest = standard.max(slow.min(LONGEST_PATIENCE));
        let usual = self.answer_time.map_or(longest, |time| {
            time.saturating_mul(2)
                .saturating_add(ADAPTED_MARGIN)
                .saturating_add(timing.allowance)
                .min(longest)
        });
        Manner {
            tries: if self.lost { 1 } else { tries },
            usual,
            longest,
            shared: false,
        }
    }

    /// Takes notice of how long the meter took; what it once took counts less with every answer.
    pub(super) fn learn(&mut self, answer_time: Duration) {
        let fading = self.answer_time.unwrap_or_default();
        let fading = fading.saturating_sub(fading.checked_div(8).unwrap_or_default());
        self.answer_time = Some(fading.max(answer_time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn station() -> Station {
        Station::new(PrimaryAddress::try_from(5).unwrap())
    }

    #[test]
    fn quick_meter_is_waited_for_briefly_but_for_the_last_try() {
        let timing = Timing::new(BaudRate::B300, Duration::ZERO);
        let mut station = station();
        assert_eq!(station.manner(timing, 3).usual, timing.answer());
        station.learn(40 * MILLISECOND);
        let manner = station.manner(timing, 3);
        assert_eq!(
            (manner.usual, manner.longest),
            (130 * MILLISECOND, timing.answer())
        );
        station.learn(Duration::ZERO);
        assert_eq!(station.answer_time(), Some(35 * MILLISECOND));
    }

    #[test]
    fn slow_meter_gets_its_time_within_the_bound() {
        let timing = Timing::new(BaudRate::B2400, Duration::ZERO);
        let mut station = station();
        station.learn(400 * MILLISECOND);
        assert_eq!(station.manner(timing, 3).longest, 500 * MILLISECOND);
        station.learn(Duration::from_secs(60));
        assert_eq!(station.manner(timing, 3).longest, LONGEST_PATIENCE);
    }

    #[test]
    fn lost_meter_gets_one_try() {
        let mut station = station();
        station.lost = true;
        assert_eq!(
            station
                .manner(Timing::new(BaudRate::B300, Duration::ZERO), 3)
                .tries,
            1
        );
    }
}
