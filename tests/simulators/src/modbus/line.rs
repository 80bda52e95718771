//! A serial line: what its bits take.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

/// Bytes that arrive together, so that nobody is woken for each.
const PIECE: usize = 16;
/// Above this speed, silences no longer follow from it.
const FAST: u32 = 19_200;
/// The silence between frames at higher speeds.
const FAST_SILENCE: Duration = Duration::from_micros(1_750);

/// A serial line on which bits take their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialLine {
    /// The speed, in bits per second.
    pub baud_rate: u32,
    /// The bits of a character, start and stop bits among them: 11 with parity, 10 without.
    pub bits: u32,
}

impl SerialLine {
    /// A line with a parity bit or a second stop bit, as the standard wants it.
    #[must_use]
    pub const fn new(baud_rate: u32) -> Self {
        Self { baud_rate, bits: 11 }
    }

    /// Returns what so many characters take.
    #[must_use]
    pub fn characters(self, count: usize) -> Duration {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Duration::from_secs(1) * self.bits * count / self.baud_rate.max(1)
    }

    /// Returns the silence that ends a frame.
    ///
    /// Spec: MODBUS over Serial Line V1.02, section 2.5.1.1.
    #[must_use]
    pub fn silence(self) -> Duration {
        if self.baud_rate > FAST {
            FAST_SILENCE
        } else {
            self.characters(7) / 2
        }
    }
}

/// When a line is free again, and how it was treated.
#[derive(Debug)]
pub(super) struct Traffic {
    line: Option<SerialLine>,
    /// When the last character was complete.
    quiet_since: Option<Instant>,
    /// How many requests came before the line was silent for long enough.
    pub(super) hurried: u64,
}

impl Traffic {
    pub(super) const fn new(line: Option<SerialLine>) -> Self {
        Self {
            line,
            quiet_since: None,
            hurried: 0,
        }
    }

    /// Takes a request that began to come now; returns when it is complete.
    ///
    /// A master that does not wait for the silence gains nothing by it.
    pub(super) fn request(&mut self, length: usize, now: Instant) -> Instant {
        let Some(line) = self.line else {
            return now;
        };
        let free = self.quiet_since.map(|quiet| quiet + line.silence());
        let begun = free.map_or(now, |free| free.max(now));
        if begun > now {
            self.hurried += 1;
        }
        let end = begun + line.characters(length);
        self.quiet_since = Some(end);
        end
    }

    /// Returns how long a meter with that latency is silent before it answers.
    pub(super) fn pause(&self, latency: Duration) -> Duration {
        self.line.map_or(latency, |line| latency.max(line.silence()))
    }

    /// Returns when an answer of so many bytes that begins at an instant has gone over the line.
    pub(super) fn answer(&mut self, length: usize, begun: Instant) -> Instant {
        let Some(line) = self.line else {
            return begun;
        };
        let end = begun + line.characters(length);
        self.quiet_since = Some(end);
        end
    }

    /// Writes an answer that begins at an instant, its bytes as they get over the line.
    pub(super) async fn write(
        &mut self,
        bytes: &[u8],
        begun: Instant,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<()> {
        let mut begun = begun;
        for piece in bytes.chunks(PIECE) {
            begun = self.answer(piece.len(), begun);
            sleep_until(begun).await;
            writer.write_all(piece).await?;
        }
        writer.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: SerialLine = SerialLine::new(9_600);

    #[test]
    fn characters_take_their_bits() {
        assert_eq!(LINE.characters(96), Duration::from_millis(110));
        let without_parity = SerialLine { bits: 10, ..LINE };
        assert_eq!(without_parity.characters(96), Duration::from_millis(100));
    }

    #[test]
    fn silences_are_three_and_a_half_characters_or_fixed() {
        assert_eq!(LINE.silence(), LINE.characters(7) / 2);
        assert_eq!(SerialLine::new(115_200).silence(), FAST_SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hurried_request_begins_behind_the_silence() {
        let mut traffic = Traffic::new(Some(LINE));
        let start = Instant::now();
        let end = traffic.request(8, start);
        assert_eq!(end - start, LINE.characters(8));
        let answered = traffic.answer(9, end + traffic.pause(Duration::from_millis(20)));
        let next = traffic.request(8, answered);
        assert_eq!(next - answered, LINE.silence() + LINE.characters(8));
        assert_eq!(traffic.hurried, 1);
        traffic.request(8, next + LINE.silence());
        assert_eq!(traffic.hurried, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_arrives_as_fast_as_its_bits() {
        let mut traffic = Traffic::new(Some(LINE));
        let begun = Instant::now();
        let mut written = Vec::new();
        traffic.write(&[7; 165], begun, &mut written).await.unwrap();
        assert_eq!(written.len(), 165);
        let taken = begun.elapsed();
        let bits = LINE.characters(165);
        assert!(
            taken >= bits && taken < bits + Duration::from_millis(2),
            "{taken:?}"
        );
        let mut traffic = Traffic::new(None);
        let begun = Instant::now();
        traffic.write(&[7; 165], begun, &mut written).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
