//! What the master knows of a meter from one read to the next.

use core::fmt;
use core::time::Duration;

use super::exchange::Manner;
use super::frames::ByteOrder;
use super::timing::{BaudRate, Timing};
use crate::application::{Formats, Key, Opener, Scratch, Telegram};
use crate::link::{LongFrame, PrimaryAddress, SELECTED, SecondaryAddress, TEST};
use crate::readout::{Readout, ReadoutError};

/// How a meter is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MeterAddress {
    /// By the test address 254, for the only meter on a line: it answers whatever its own address is.
    Single,
    /// By its primary address.
    Primary(PrimaryAddress),
    /// By selection: the secondary address, in which wildcards stand for what is not known.
    Secondary(SecondaryAddress),
}

impl MeterAddress {
    /// Returns the A field of requests to the meter.
    pub(super) const fn field(self) -> u8 {
        match self {
            Self::Single => TEST,
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
            Self::Single => TEST.fmt(formatter),
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
#[derive(Clone, PartialEq, Eq)]
pub struct Station {
    address: MeterAddress,
    key: Option<Key>,
    /// The formats of the meter's compact frames, as far as it has told them.
    formats: Formats,
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
            key: None,
            formats: Formats::new(),
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

    /// Has the meter's encrypted telegrams opened with this key.
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Self {
        self.key = Some(key);
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

    /// Puts together what the meter has sent in one read, opened with what is known of the meter, and
    /// keeps the formats that it teaches for its compact frames.
    ///
    /// # Errors
    ///
    /// [`ReadoutError`], as [`Readout::of`].
    pub fn readout(&mut self, frames: &[LongFrame]) -> Result<Readout, ReadoutError> {
        let readout = Readout::of(frames, &self.opener());
        let mut learned = core::mem::take(&mut self.formats);
        for frame in frames {
            let mut scratch = Scratch::new();
            if let Ok(telegram) = Telegram::open(frame, &self.opener(), &mut scratch) {
                learned.learn(&telegram);
            }
        }
        self.formats = learned;
        readout
    }

    /// Returns what opens the meter's telegrams.
    pub(super) fn opener(&self) -> Opener<'_> {
        let sender = match self.address {
            MeterAddress::Secondary(address) if !address.has_wildcards() => Some(address.into()),
            MeterAddress::Single | MeterAddress::Primary(_) | MeterAddress::Secondary(_) => None,
        };
        Opener {
            key: self.key.as_ref(),
            formats: Some(&self.formats),
            sender,
            is_lenient: false,
        }
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

impl fmt::Debug for Station {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Station")
            .field("address", &self.address)
            .field("baud_rate", &self.baud_rate)
            .field("has_key", &self.key.is_some())
            .field("link", &self.link)
            .field("answer_time", &self.answer_time)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::TelegramError;
    use crate::link::Control;

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

    fn frame(control_information: u8, data: &[u8]) -> LongFrame {
        LongFrame::new(Control::RSP_UD, 5, control_information, data.to_vec()).unwrap()
    }

    fn values(readout: &Readout) -> Vec<String> {
        let samples = readout.samples.iter();
        samples
            .map(|sample| format!("{} {}", sample.element.obis, sample.value.unwrap()))
            .collect()
    }

    #[test]
    fn encrypted_telegram_of_a_selected_meter_is_read_with_its_key() {
        // The gas meter of OMS volume 2, annex N: a short header, which does not say who sends.
        let data = "2A0020255923C95AAA26D1B2E7493B013EC4A6F6D3529B520EDFF0EA6DEFC99D6D69EBF3";
        let telegrams = [frame(0x7A, &hex::decode(data).unwrap())];
        let address = SecondaryAddress::new(0x1234_5678, 0x1593, 0x33, 0x03);
        let key = Key::new(
            hex::decode("0102030405060708090A0B0C0D0E0F11")
                .unwrap()
                .try_into()
                .unwrap(),
        );
        let mut known = Station::new(address).with_key(key.clone());
        let readout = known.readout(&telegrams).unwrap();
        assert_eq!(readout.meter.as_str(), "ELS-12345678-33-03");
        assert_eq!(
            values(&readout),
            ["7-0:3.0.0*255 28504.27 m3", "7-0:97.97.0*255 0 1"]
        );
        let error = Station::new(address).readout(&telegrams).unwrap_err();
        assert!(matches!(
            error,
            ReadoutError::Telegram(TelegramError::Encrypted { mode: 5 })
        ));
        let error = station().with_key(key).readout(&telegrams).unwrap_err();
        assert!(matches!(error, ReadoutError::Telegram(TelegramError::WrongKey)));
        assert!(!format!("{known:?}").contains("01, 02"), "{known:?}");
    }

    #[test]
    fn compact_telegram_is_read_once_its_format_was_heard() {
        let address: SecondaryAddress = "ACW-12345678-14-07".parse().unwrap();
        let mut station = Station::new(address);
        let record = [0x0C, 0x13, 0x21, 0x43, 0x05, 0x00];
        let full = [&[0x55, 0, 0, 0][..], &record].concat();
        let signature = crate::application::signature(&[0x0C, 0x13]).to_le_bytes();
        let changed = [0x0C, 0x13, 0x21, 0x43, 0x05, 0x01];
        let check = crate::application::signature(&changed).to_le_bytes();
        let compact = [&[0x56, 0, 0, 0][..], &signature, &check, &changed[2..]].concat();
        let compact = [frame(0x7B, &compact)];
        assert!(station.readout(&compact).is_err());
        assert_eq!(
            values(&station.readout(&[frame(0x7A, &full)]).unwrap()),
            ["8-0:1.0.0*255 54.321 m3"]
        );
        assert_eq!(
            values(&station.readout(&compact).unwrap()),
            ["8-0:1.0.0*255 1054.321 m3"]
        );
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
