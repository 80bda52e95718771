//! Finds frames in a stream of bytes.

use super::frame::{Frame, FrameError, SHORTEST_LONG, expected_length, is_start};

/// Finds frames in a stream of bytes, and the next frame after noise.
///
/// Feed what arrives to [`Decoder::next_frame`] until it returns `None`. A start byte that leads to
/// no frame is dropped alone, so that a frame behind it is still found. When the line has fallen
/// silent, [`Decoder::end_of_transmission`] settles what was left open. It holds at most
/// [`Frame::MAX_LENGTH`] bytes.
///
/// An `E5` behind noise is taken for an acknowledgement only if silence follows it: the byte occurs
/// in data too, and a damaged telegram must not look like an answer.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// The bytes before the buffer, since the last frame or silence, were no frame.
    after_noise: bool,
}

impl Decoder {
    /// Builds a decoder for a line that is silent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the front of `input` up to the end of the next frame, or of the next fault.
    ///
    /// Returns `None` when all input is taken and the frame, if one has begun, is not complete. Of
    /// bytes in a row that start no frame only the first is reported.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Option<Result<Frame, FrameError>> {
        loop {
            if let Some(found) = self.examine(false) {
                return Some(found);
            }
            let (first, rest) = input.split_first()?;
            self.buffer.push(*first);
            *input = rest;
        }
    }

    /// Returns what silence makes of the bytes still held; call it until it returns `None`.
    pub fn end_of_transmission(&mut self) -> Option<Result<Frame, FrameError>> {
        if let Some(found) = self.examine(true) {
            return Some(found);
        }
        self.clear();
        None
    }

    /// Forgets everything received, as before a new request.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.after_noise = false;
    }

    /// Looks for a frame at the front of the buffer; drops what cannot be one.
    fn examine(&mut self, silent: bool) -> Option<Result<Frame, FrameError>> {
        while let Some(first) = self.buffer.first().copied() {
            if !is_start(first) || self.is_stray_acknowledgement() {
                let reported = self.after_noise;
                self.drop_first();
                if reported {
                    continue;
                }
                return Some(Err(FrameError::Start { found: first }));
            }
            let expected = match expected_length(&self.buffer) {
                Ok(expected) => expected,
                Err(error) => {
                    self.drop_first();
                    return Some(Err(error));
                }
            };
            let held = self.buffer.len();
            let complete = expected.filter(|length| *length <= held);
            let undecided = self.after_noise && expected == Some(1);
            return match complete {
                Some(_) if undecided && !silent => None,
                Some(length) => Some(self.take(length)),
                None if silent => {
                    self.drop_first();
                    Some(Err(FrameError::Truncated {
                        expected: expected.unwrap_or(SHORTEST_LONG),
                        found: held,
                    }))
                }
                None => None,
            };
        }
        None
    }

    /// Returns whether the buffer starts with an `E5` between noise and further bytes.
    fn is_stray_acknowledgement(&self) -> bool {
        let long_enough = self.buffer.len() > 1;
        self.after_noise && long_enough && expected_length(&self.buffer) == Ok(Some(1))
    }

    /// Reads the frame in the first `length` bytes; only a good one is taken as a whole.
    fn take(&mut self, length: usize) -> Result<Frame, FrameError> {
        let (bytes, _) = self
            .buffer
            .split_at_checked(length)
            .unwrap_or((&self.buffer, &[]));
        let parsed = Frame::parse(bytes);
        if parsed.is_ok() {
            self.buffer.drain(..length);
            self.after_noise = false;
        } else {
            self.drop_first();
        }
        parsed
    }

    fn drop_first(&mut self) {
        self.buffer.drain(..self.buffer.len().min(1));
        self.after_noise = true;
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::super::{Control, LongFrame};
    use super::*;

    const ACKNOWLEDGEMENT: u8 = 0xE5;

    fn response(data: Vec<u8>) -> Frame {
        Frame::Long(LongFrame::new(Control::RSP_UD, 1, 0x72, data).unwrap())
    }

    fn frames(decoder: &mut Decoder, mut input: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next_frame(&mut input))
            .flatten()
            .collect()
    }

    fn frames_to_the_end(input: &[u8]) -> Vec<Frame> {
        let mut decoder = Decoder::new();
        let mut found = frames(&mut decoder, input);
        found.extend(std::iter::from_fn(|| decoder.end_of_transmission()).flatten());
        found
    }

    #[test]
    fn frames_are_found_byte_by_byte() {
        let mut decoder = Decoder::new();
        let stream = [response(vec![1, 2, 3]).encode(), vec![ACKNOWLEDGEMENT]].concat();
        let found: Vec<_> = stream
            .iter()
            .flat_map(|byte| frames(&mut decoder, &[*byte]))
            .collect();
        assert_eq!(found, [response(vec![1, 2, 3]), Frame::Acknowledgement]);
    }

    #[test]
    fn noise_in_front_is_reported_once_and_skipped() {
        let mut decoder = Decoder::new();
        let stream = [vec![0xFF, 0x00, 0x68, 0x10], response(vec![9]).encode()].concat();
        let mut input = stream.as_slice();
        let found: Vec<_> = std::iter::from_fn(|| decoder.next_frame(&mut input)).collect();
        assert_eq!(found.first(), Some(&Err(FrameError::Start { found: 0xFF })));
        assert_eq!(found.last(), Some(&Ok(response(vec![9]))));
    }

    #[test]
    fn frame_behind_half_a_frame_is_found() {
        let whole = response(vec![7; 20]).encode();
        let stream = [&whole[..15], &whole[..]].concat();
        assert_eq!(frames_to_the_end(&stream), [response(vec![7; 20])]);
    }

    #[test]
    fn half_a_frame_is_truncated_once_the_line_is_silent() {
        let mut decoder = Decoder::new();
        let whole = response(vec![7; 20]).encode();
        assert_eq!(frames(&mut decoder, &whole[..15]), []);
        assert_eq!(
            decoder.end_of_transmission(),
            Some(Err(FrameError::Truncated {
                expected: 29,
                found: 15
            }))
        );
        assert_eq!(std::iter::from_fn(|| decoder.end_of_transmission()).count(), 1);
        assert_eq!(frames(&mut decoder, &whole), [response(vec![7; 20])]);
    }

    #[test]
    fn acknowledgement_behind_noise_needs_silence_behind_it() {
        assert_eq!(
            frames_to_the_end(&[0x55, ACKNOWLEDGEMENT]),
            [Frame::Acknowledgement]
        );
        assert_eq!(frames_to_the_end(&[0x55, ACKNOWLEDGEMENT, 0x55]), []);
    }

    #[test]
    fn damaged_telegram_with_e5_in_it_yields_nothing() {
        let mut bytes = response(vec![ACKNOWLEDGEMENT; 8]).encode();
        bytes[0] ^= 0x01;
        assert_eq!(frames_to_the_end(&bytes), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_consumed_within_the_bound(stream: Vec<u8>) {
            let mut decoder = Decoder::new();
            let mut input = stream.as_slice();
            for _ in 0..=stream.len() {
                if decoder.next_frame(&mut input).is_none() {
                    break;
                }
                prop_assert!(decoder.buffer.len() <= Frame::MAX_LENGTH);
            }
            prop_assert!(input.is_empty());
        }

        #[test]
        fn frame_behind_noise_and_silence_is_found(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            data in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            // Without the silence, noise and frame together could by chance be a frame.
            let mut decoder = Decoder::new();
            frames(&mut decoder, &noise);
            while decoder.end_of_transmission().is_some() {}
            prop_assert_eq!(frames(&mut decoder, &response(data.clone()).encode()), vec![response(data)]);
        }

        #[test]
        fn a_flipped_bit_is_never_accepted(
            data in proptest::collection::vec(any::<u8>(), 0..100),
            place: proptest::sample::Index,
        ) {
            let mut bytes = response(data).encode();
            let bit = place.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(frames_to_the_end(&bytes), vec![]);
        }
    }
}
