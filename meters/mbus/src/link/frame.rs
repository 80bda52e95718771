//! Frames: what stands on the wire between two silences.

use super::Control;

const SINGLE_CHARACTER: u8 = 0xE5;
const SHORT_START: u8 = 0x10;
const LONG_START: u8 = 0x68;
const STOP: u8 = 0x16;
/// Start, C, A, checksum, stop.
const SHORT_LENGTH: usize = 5;
/// C, A and CI: the least that the length field of a long frame can count.
const LEAST_COUNT: u8 = 3;
/// Two starts, two lengths, checksum, stop: what the length field does not count.
const UNCOUNTED: usize = 6;
/// The length of a control frame, the least that a long frame can have.
pub(super) const SHORTEST_LONG: usize = 9;

/// A frame whose form and checksum hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The single character `E5`: understood.
    Acknowledgement,
    /// A short frame, which only a master sends.
    Short {
        /// What is asked.
        control: Control,
        /// The A field: whom it is for.
        address: u8,
    },
    /// A long frame, or a control frame, which is a long frame without data.
    Long(LongFrame),
}

impl Frame {
    /// The length of the longest frame, in bytes.
    pub const MAX_LENGTH: usize = 261;

    /// Reads a frame that takes up all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`FrameError`] names the first fault, from the left.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let expected = expected_length(bytes)?.unwrap_or(SHORTEST_LONG);
        if bytes.len() < expected {
            return Err(FrameError::Truncated {
                expected,
                found: bytes.len(),
            });
        }
        if bytes.len() > expected {
            return Err(FrameError::Trailing {
                expected,
                found: bytes.len(),
            });
        }
        match bytes {
            [SHORT_START, control, address, checksum, stop] => {
                check_end([control, address], *checksum, *stop)?;
                let control = Control::from_byte(*control);
                if !control.fits_short() {
                    return Err(FrameError::Control {
                        found: control.byte(),
                    });
                }
                Ok(Self::Short {
                    control,
                    address: check_address(*address)?,
                })
            }
            [
                LONG_START,
                _,
                _,
                _,
                control,
                address,
                ci,
                data @ ..,
                checksum,
                stop,
            ] => {
                check_end([control, address, ci].into_iter().chain(data), *checksum, *stop)?;
                let control = Control::from_byte(*control);
                if !control.fits_long() {
                    return Err(FrameError::Control {
                        found: control.byte(),
                    });
                }
                Ok(Self::Long(LongFrame {
                    control,
                    address: check_address(*address)?,
                    control_information: *ci,
                    data: data.to_vec(),
                }))
            }
            // The length was found, so that only the single character is left.
            _ => Ok(Self::Acknowledgement),
        }
    }

    /// Returns the bytes of the frame, at most [`Frame::MAX_LENGTH`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Acknowledgement => vec![SINGLE_CHARACTER],
            Self::Short { control, address } => {
                let body = [control.byte(), *address];
                let mut bytes = vec![SHORT_START];
                bytes.extend(body);
                bytes.extend([checksum(&body), STOP]);
                bytes
            }
            Self::Long(frame) => frame.encode(),
        }
    }
}

/// A long frame: `68 L L 68 C A CI data… checksum 16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongFrame {
    control: Control,
    address: u8,
    control_information: u8,
    data: Vec<u8>,
}

impl LongFrame {
    /// The greatest number of bytes behind the CI field, since L counts them and three fields more.
    pub const MAX_DATA: usize = 252;

    /// Builds the frame, unless there are more than [`LongFrame::MAX_DATA`] bytes of data.
    #[must_use]
    pub fn new(control: Control, address: u8, control_information: u8, data: Vec<u8>) -> Option<Self> {
        (data.len() <= Self::MAX_DATA).then_some(Self {
            control,
            address,
            control_information,
            data,
        })
    }

    /// Returns the C field.
    #[must_use]
    pub const fn control(&self) -> Control {
        self.control
    }

    /// Returns the A field: in a response, the primary address of the meter that sends it.
    #[must_use]
    pub const fn address(&self) -> u8 {
        self.address
    }

    /// Returns the CI field, which says how the data is to be read.
    #[must_use]
    pub const fn control_information(&self) -> u8 {
        self.control_information
    }

    /// Returns the data behind the CI field.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the bytes of the frame, at most [`Frame::MAX_LENGTH`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![self.control.byte(), self.address, self.control_information];
        body.extend_from_slice(&self.data);
        // The constructor bounds the data so that the length fits its byte.
        let count = u8::try_from(body.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![LONG_START, count, count, LONG_START];
        bytes.extend_from_slice(&body);
        bytes.extend([checksum(&body), STOP]);
        bytes
    }
}

/// Returns the length of the frame that begins with `bytes`, or `None` while too few are known.
pub(super) fn expected_length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    match *bytes {
        [] | [LONG_START] => Ok(None),
        [SINGLE_CHARACTER, ..] => Ok(Some(1)),
        [SHORT_START, ..] => Ok(Some(SHORT_LENGTH)),
        [LONG_START, found, ..] if found < LEAST_COUNT => Err(FrameError::Length { found }),
        [LONG_START, _] => Ok(None),
        [LONG_START, first, second, ..] if first != second => {
            Err(FrameError::LengthMismatch { first, second })
        }
        [LONG_START, _, _] => Ok(None),
        [LONG_START, _, _, found, ..] if found != LONG_START => Err(FrameError::SecondStart { found }),
        [LONG_START, count, ..] => Ok(Some(UNCOUNTED.saturating_add(count.into()))),
        [found, ..] => Err(FrameError::Start { found }),
    }
}

/// Returns whether a frame can begin with the byte.
pub(super) const fn is_start(byte: u8) -> bool {
    matches!(byte, SINGLE_CHARACTER | SHORT_START | LONG_START)
}

/// Takes an A field; 251 and 252 are nobody's.
///
/// Spec: EN 13757-2:2018, section 5.
const fn check_address(address: u8) -> Result<u8, FrameError> {
    match address {
        251 | 252 => Err(FrameError::Address { found: address }),
        _ => Ok(address),
    }
}

fn check_end<'a>(body: impl IntoIterator<Item = &'a u8>, found: u8, stop: u8) -> Result<(), FrameError> {
    let expected = checksum(body);
    if found != expected {
        return Err(FrameError::Checksum { expected, found });
    }
    if stop != STOP {
        return Err(FrameError::Stop { found: stop });
    }
    Ok(())
}

fn checksum<'a>(body: impl IntoIterator<Item = &'a u8>) -> u8 {
    body.into_iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The reason why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte starts no frame.
    #[error("the sender's frame starts with {found:#04x}, which no frame does")]
    Start {
        /// The byte in its place.
        found: u8,
    },
    /// The start byte of a long frame is not repeated behind the lengths.
    #[error("the sender's long frame repeats its start byte as {found:#04x}")]
    SecondStart {
        /// The byte in its place.
        found: u8,
    },
    /// The length field counts less than the fields that each long frame has.
    #[error("the sender's long frame has length {found}, at least 3 are needed")]
    Length {
        /// The length field.
        found: u8,
    },
    /// The two length fields differ.
    #[error("the sender's long frame has two lengths, {first} and {second}")]
    LengthMismatch {
        /// The first length field.
        first: u8,
        /// The second length field.
        second: u8,
    },
    /// The checksum does not fit the bytes before it.
    #[error("the frame was damaged on the way: checksum {found:#04x} instead of {expected:#04x}")]
    Checksum {
        /// The sum of the bytes that were received.
        expected: u8,
        /// The checksum that was received.
        found: u8,
    },
    /// The last byte is not the stop byte.
    #[error("the sender's frame stops with {found:#04x} instead of 0x16")]
    Stop {
        /// The byte in its place.
        found: u8,
    },
    /// No frame of this kind has such a C field.
    #[error("the sender's frame has the C field {found:#04x}, which frames of its kind never have")]
    Control {
        /// The C field.
        found: u8,
    },
    /// The A field is one of those that are reserved.
    #[error("the sender's frame has the A field {found}, which is nobody's address")]
    Address {
        /// The A field.
        found: u8,
    },
    /// The sender fell silent before the frame was complete.
    #[error("the sender's frame ends after {found} of at least {expected} bytes")]
    Truncated {
        /// The least length that the frame could have had.
        expected: usize,
        /// The bytes that were received.
        found: usize,
    },
    /// More bytes than the frame has.
    #[error("{found} bytes were given for a frame of {expected}")]
    Trailing {
        /// The length of the frame.
        expected: usize,
        /// The bytes that were given.
        found: usize,
    },
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Frame, FrameError> {
        Frame::parse(&hex::decode(text.replace(' ', "")).unwrap())
    }

    #[test]
    fn requests_look_as_in_the_standard() {
        let request = |control| Frame::Short { control, address: 1 }.encode();
        assert_eq!(request(Control::SND_NKE), [0x10, 0x40, 0x01, 0x41, 0x16]);
        assert_eq!(request(Control::req_ud2(true)), [0x10, 0x7B, 0x01, 0x7C, 0x16]);
        assert_eq!(request(Control::req_ud2(false)), [0x10, 0x5B, 0x01, 0x5C, 0x16]);
        assert_eq!(Frame::Acknowledgement.encode(), [0xE5]);
    }

    #[test]
    fn each_kind_of_frame_is_read() {
        assert_eq!(parse("E5"), Ok(Frame::Acknowledgement));
        assert_eq!(
            parse("10 7B 05 80 16"),
            Ok(Frame::Short {
                control: Control::req_ud2(true),
                address: 5
            })
        );
        let Ok(Frame::Long(control)) = parse("68 03 03 68 53 FE BD 0E 16") else {
            panic!("a control frame is a long frame without data");
        };
        assert_eq!(control.control(), Control::from_byte(0x53));
        assert_eq!((control.address(), control.control_information()), (0xFE, 0xBD));
        assert!(control.data().is_empty());
    }

    #[test]
    fn each_fault_is_named() {
        for (text, error) in [
            ("11 7B 05 80 16", FrameError::Start { found: 0x11 }),
            (
                "68 03 03 69 53 FE BD 0E 16",
                FrameError::SecondStart { found: 0x69 },
            ),
            ("68 02 02 68 53 FE 51 16", FrameError::Length { found: 2 }),
            (
                "68 03 04 68 53 FE BD 0E 16",
                FrameError::LengthMismatch { first: 3, second: 4 },
            ),
            (
                "10 7B 05 81 16",
                FrameError::Checksum {
                    expected: 0x80,
                    found: 0x81,
                },
            ),
            ("10 7B 05 80 17", FrameError::Stop { found: 0x17 }),
            ("10 08 05 0D 16", FrameError::Control { found: 0x08 }),
            ("68 03 03 68 40 FE BD FB 16", FrameError::Control { found: 0x40 }),
            ("10 7B FB 76 16", FrameError::Address { found: 251 }),
            ("68 03 03 68 08 FC 72 76 16", FrameError::Address { found: 252 }),
            (
                "68 03 03 68 53 FE BD 0E",
                FrameError::Truncated {
                    expected: 9,
                    found: 8,
                },
            ),
            (
                "E5 E5",
                FrameError::Trailing {
                    expected: 1,
                    found: 2,
                },
            ),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(
            parse(""),
            Err(FrameError::Truncated {
                expected: 9,
                found: 0
            })
        );
    }

    #[test]
    fn data_beyond_the_length_field_is_refused() {
        assert!(LongFrame::new(Control::RSP_UD, 1, 0x72, vec![0; 252]).is_some());
        assert_eq!(LongFrame::new(Control::RSP_UD, 1, 0x72, vec![0; 253]), None);
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let data = proptest::collection::vec(any::<u8>(), 0..=LongFrame::MAX_DATA);
        let short = proptest::sample::select(vec![0x40, 0x5A, 0x5B, 0x7A, 0x7B]);
        let long = proptest::sample::select(vec![0x08, 0x18, 0x28, 0x38, 0x53, 0x73]);
        let address = || prop_oneof![0..=250u8, 253..=255u8];
        prop_oneof![
            Just(Frame::Acknowledgement),
            (short, address()).prop_map(|(control, address)| Frame::Short {
                control: Control::from_byte(control),
                address
            }),
            (long, address(), any::<u8>(), data).prop_map(|(control, address, ci, data)| {
                Frame::Long(LongFrame::new(Control::from_byte(control), address, ci, data).unwrap())
            }),
        ]
    }

    proptest! {
        #[test]
        fn any_frame_round_trips(frame in any_frame()) {
            prop_assert_eq!(Frame::parse(&frame.encode()), Ok(frame));
        }

        #[test]
        fn a_flipped_bit_is_never_accepted(frame in any_frame(), place: proptest::sample::Index) {
            let mut bytes = frame.encode();
            let bit = place.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Frame::parse(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_a_frame_or_refused(bytes: Vec<u8>) {
            if let Ok(frame) = Frame::parse(&bytes) {
                prop_assert_eq!(frame.encode(), bytes);
            }
        }
    }
}
