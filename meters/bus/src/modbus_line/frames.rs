//! Whether what came is the answer to what was asked.
//!
//! The library behind the driver looks for a frame wherever one could begin, and waits on when it
//! finds none; so a checksum that is wrong shows as silence there, and bytes behind an answer do not
//! show at all. Here every answer is compared with its request before the library sees it.
//!
//! Spec: Modbus Application Protocol V1.1b3; MODBUS over Serial Line V1.02, section 2.5.1; Modbus
//! Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.

use modbus::device_identification;

/// What is wrong with an answer. Nothing is taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// The checksum does not belong to the bytes: the line is disturbed.
    #[error("the answer's checksum is {found:#06x}, its bytes give {computed:#06x}")]
    Checksum {
        /// The CRC of the bytes.
        computed: u16,
        /// The CRC that came with them.
        found: u16,
    },
    /// Another unit has answered.
    #[error("unit {found} has answered in the place of unit {expected}")]
    Unit {
        /// The unit that was asked.
        expected: u8,
        /// The unit that has answered.
        found: u8,
    },
    /// The answer belongs to another request.
    #[error("the answer belongs to transaction {found}, not to {expected}")]
    Transaction {
        /// The transaction of the request.
        expected: u16,
        /// The transaction of the answer.
        found: u16,
    },
    /// The answer is one to another function.
    #[error("the answer is one to function {found}, not to {expected}")]
    Function {
        /// The function that was asked for.
        expected: u8,
        /// The function of the answer.
        found: u8,
    },
    /// The header names another protocol.
    #[error("the answer's header names protocol {found}, Modbus is 0")]
    Protocol {
        /// The protocol identifier that came.
        found: u16,
    },
    /// The header announces a length that no answer has.
    #[error("the answer's header announces {found} bytes, which no answer has")]
    Header {
        /// The length that came.
        found: u16,
    },
    /// The answer does not hold what it announces.
    #[error("the answer announces {announced} bytes of values and has {held}")]
    Inconsistent {
        /// The bytes that are announced.
        announced: usize,
        /// The bytes that are there.
        held: usize,
    },
    /// The answer has fewer values than were asked for.
    #[error("the answer is too short: {expected} bytes of values were asked for, {found} came")]
    TooShort {
        /// The bytes of the values that were asked for.
        expected: usize,
        /// The bytes that came.
        found: usize,
    },
    /// The answer has more values than were asked for.
    #[error("the answer is too long: {expected} bytes of values were asked for, {found} came")]
    TooLong {
        /// The bytes of the values that were asked for.
        expected: usize,
        /// The bytes that came.
        found: usize,
    },
    /// The answer broke off.
    #[error("the answer broke off after {found} bytes")]
    Truncated {
        /// The bytes that came.
        found: usize,
    },
    /// More bytes came than the answer has.
    #[error("{surplus} bytes too many came with the answer")]
    Surplus {
        /// The bytes behind the answer's end.
        surplus: usize,
    },
    /// An answer was late, and then came another one.
    #[error("a late answer came along, so that nobody knows which one is right")]
    Ambiguous,
    /// The bytes are no answer of Modbus.
    #[error("the answer is no frame of Modbus")]
    Malformed,
}

/// The form of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// With a header that names transaction and length.
    Tcp,
    /// With a checksum.
    Rtu,
}

/// What came of the bytes up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// More must come.
    Incomplete,
    /// The answer is there.
    Answer,
    /// A frame of that length is not the answer, or nothing can be told apart if there is no length.
    Faulty {
        fault: AnswerFault,
        length: Option<usize>,
    },
}

impl Judged {
    const fn faulty(fault: AnswerFault) -> Self {
        Self::Faulty { fault, length: None }
    }
}

const READ_COILS: u8 = 1;
const READ_DISCRETE_INPUTS: u8 = 2;
const READ_INPUT_REGISTERS: u8 = 4;
/// The bit that marks an exception.
const EXCEPTION: u8 = 0x80;
/// The longest frame on a serial line.
///
/// Spec: MODBUS over Serial Line V1.02, section 2.5.1.
const LONGEST_RTU_FRAME: usize = 256;
/// Transaction, protocol and length.
const TCP_PREFIX: usize = 6;
/// The lengths that the header can announce: unit, function and at least one byte; 254 at most.
const ANNOUNCED: std::ops::RangeInclusive<u16> = 3..=254;
const CHECKSUM: usize = 2;
const CRC: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_MODBUS);

/// Judges what has come since the request was sent.
pub(super) fn judge(framing: Framing, request: &[u8], bytes: &[u8]) -> Judged {
    match framing {
        Framing::Tcp => judge_tcp(request, bytes),
        Framing::Rtu => judge_rtu(request, bytes),
    }
}

/// Names what is wrong with bytes that nothing follows any more; there is at least one.
pub(super) fn judge_rest(framing: Framing, request: &[u8], bytes: &[u8]) -> AnswerFault {
    let truncated = AnswerFault::Truncated { found: bytes.len() };
    if framing == Framing::Tcp {
        return truncated;
    }
    // A frame of a function that nobody asked for has no length that would be known.
    match (bytes, request) {
        ([_, found, _, ..], [_, expected, ..]) if checksum_fault(bytes).is_none() => AnswerFault::Function {
            expected: *expected,
            found: found & !EXCEPTION,
        },
        _ => truncated,
    }
}

/// Returns what follows the function code in an answer.
pub(super) fn body(framing: Framing, answer: &[u8]) -> &[u8] {
    let (start, end) = match framing {
        Framing::Tcp => (TCP_PREFIX.saturating_add(2), answer.len()),
        Framing::Rtu => (2, answer.len().saturating_sub(CHECKSUM)),
    };
    answer.get(start..end).unwrap_or_default()
}

fn judge_rtu(request: &[u8], bytes: &[u8]) -> Judged {
    let Some(length) = rtu_length(bytes).filter(|length| *length <= bytes.len()) else {
        return if bytes.len() > LONGEST_RTU_FRAME {
            Judged::faulty(AnswerFault::Malformed)
        } else {
            Judged::Incomplete
        };
    };
    let frame = bytes.get(..length).unwrap_or_default();
    if let Some(fault) = checksum_fault(frame) {
        return Judged::faulty(fault);
    }
    let data_end = length.saturating_sub(CHECKSUM);
    let request_end = request.len().saturating_sub(CHECKSUM);
    judge_frame(
        request.get(..request_end).unwrap_or_default(),
        frame.get(..data_end).unwrap_or_default(),
        length,
        bytes.len(),
    )
}

fn judge_tcp(request: &[u8], bytes: &[u8]) -> Judged {
    let [t1, t0, p1, p0, l1, l0, ..] = bytes else {
        return Judged::Incomplete;
    };
    let protocol = u16::from_be_bytes([*p1, *p0]);
    if protocol != 0 {
        return Judged::faulty(AnswerFault::Protocol { found: protocol });
    }
    let announced = u16::from_be_bytes([*l1, *l0]);
    if !ANNOUNCED.contains(&announced) {
        return Judged::faulty(AnswerFault::Header { found: announced });
    }
    let length = TCP_PREFIX.saturating_add(announced.into());
    let Some(frame) = bytes.get(TCP_PREFIX..length) else {
        return Judged::Incomplete;
    };
    let [r1, r0, ..] = request else {
        return Judged::faulty(AnswerFault::Malformed);
    };
    let (expected, found) = (u16::from_be_bytes([*r1, *r0]), u16::from_be_bytes([*t1, *t0]));
    if expected != found {
        let fault = AnswerFault::Transaction { expected, found };
        return Judged::Faulty {
            fault,
            length: Some(length),
        };
    }
    judge_frame(
        request.get(TCP_PREFIX..).unwrap_or_default(),
        frame,
        length,
        bytes.len(),
    )
}

/// Judges unit, function and what follows them.
fn judge_frame(request: &[u8], frame: &[u8], length: usize, held: usize) -> Judged {
    let faulty = |fault| Judged::Faulty {
        fault,
        length: Some(length),
    };
    let ([unit, function, asked @ ..], [found_unit, found_function, body @ ..]) = (request, frame) else {
        return faulty(AnswerFault::Malformed);
    };
    if unit != found_unit {
        return faulty(AnswerFault::Unit {
            expected: *unit,
            found: *found_unit,
        });
    }
    if *function != found_function & !EXCEPTION {
        return faulty(AnswerFault::Function {
            expected: *function,
            found: found_function & !EXCEPTION,
        });
    }
    let fault = if found_function & EXCEPTION != 0 {
        (body.len() != 1).then_some(AnswerFault::Malformed)
    } else {
        values_fault(*function, asked, body)
    };
    if let Some(fault) = fault {
        return faulty(fault);
    }
    match held.checked_sub(length) {
        Some(surplus) if surplus > 0 => Judged::faulty(AnswerFault::Surplus { surplus }),
        _ => Judged::Answer,
    }
}

/// Returns what is wrong with the values of an answer.
fn values_fault(function: u8, asked: &[u8], body: &[u8]) -> Option<AnswerFault> {
    if !(READ_COILS..=READ_INPUT_REGISTERS).contains(&function) {
        return None;
    }
    let ([_, _, c1, c0, ..], [announced, values @ ..]) = (asked, body) else {
        return Some(AnswerFault::Malformed);
    };
    let announced = usize::from(*announced);
    if announced != values.len() {
        return Some(AnswerFault::Inconsistent {
            announced,
            held: values.len(),
        });
    }
    let count = usize::from(u16::from_be_bytes([*c1, *c0]));
    let expected = match function {
        READ_COILS | READ_DISCRETE_INPUTS => count.div_ceil(8),
        _ => count.saturating_mul(2),
    };
    match announced.cmp(&expected) {
        std::cmp::Ordering::Less => Some(AnswerFault::TooShort {
            expected,
            found: announced,
        }),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(AnswerFault::TooLong {
            expected,
            found: announced,
        }),
    }
}

/// Returns the length of the frame that begins with these bytes, as soon as it is known.
fn rtu_length(bytes: &[u8]) -> Option<usize> {
    /// Unit, function and a byte.
    const SHORTEST: usize = 3;
    match bytes {
        [_, function, ..] if function & EXCEPTION != 0 => Some(SHORTEST.saturating_add(CHECKSUM)),
        [_, READ_COILS..=READ_INPUT_REGISTERS, count, ..] => {
            let values = usize::from(*count);
            Some(SHORTEST.saturating_add(values).saturating_add(CHECKSUM))
        }
        [_, device_identification::FUNCTION, ..] => identification_length(bytes),
        _ => None,
    }
}

/// Spec: Modbus Application Protocol V1.1b3, section 6.21.
fn identification_length(bytes: &[u8]) -> Option<usize> {
    /// Where the number of objects stands, behind which they follow.
    const OBJECTS: usize = 7;
    let mut end = OBJECTS.saturating_add(1);
    for _ in 0..*bytes.get(OBJECTS)? {
        let length = usize::from(*bytes.get(end.saturating_add(1))?);
        end = end.saturating_add(2).saturating_add(length);
    }
    Some(end.saturating_add(CHECKSUM))
}

fn checksum_fault(frame: &[u8]) -> Option<AnswerFault> {
    let (data, found) = frame.split_last_chunk::<CHECKSUM>()?;
    // The low byte comes first.
    let (computed, found) = (CRC.checksum(data), u16::from_le_bytes(*found));
    (computed != found).then_some(AnswerFault::Checksum { computed, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit 1, input registers, two from 0x48 on.
    const PDU: [u8; 6] = [1, 4, 0, 0x48, 0, 2];

    fn rtu(data: &[u8]) -> Vec<u8> {
        let mut frame = data.to_vec();
        frame.extend(CRC.checksum(data).to_le_bytes());
        frame
    }

    fn tcp(transaction: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        [&[0, transaction, 0, 0, 0, length], data].concat()
    }

    fn rtu_fault(bytes: &[u8]) -> Option<AnswerFault> {
        match judge(Framing::Rtu, &rtu(&PDU), bytes) {
            Judged::Answer => None,
            Judged::Faulty { fault, .. } => Some(fault),
            Judged::Incomplete => panic!("incomplete"),
        }
    }

    fn tcp_fault(bytes: &[u8]) -> Option<AnswerFault> {
        match judge(Framing::Tcp, &tcp(7, &PDU), bytes) {
            Judged::Answer => None,
            Judged::Faulty { fault, .. } => Some(fault),
            Judged::Incomplete => panic!("incomplete"),
        }
    }

    #[test]
    fn a_checksum_is_the_one_of_the_specification() {
        // MODBUS over Serial Line V1.02, section 6.2.2: 02 07 gives 41 12.
        assert_eq!(rtu(&[2, 7]), [2, 7, 0x41, 0x12]);
    }

    #[test]
    fn the_answer_to_the_request_is_taken() {
        let data = [1, 4, 4, 0x44, 0x9A, 0x53, 0x33];
        assert_eq!(rtu_fault(&rtu(&data)), None);
        assert_eq!(tcp_fault(&tcp(7, &data)), None);
        assert_eq!(rtu_fault(&rtu(&[1, 0x84, 2])), None);
        assert_eq!(tcp_fault(&tcp(7, &[1, 0x84, 2])), None);
    }

    #[test]
    fn every_part_of_an_answer_is_incomplete() {
        let data = [1, 4, 4, 0x44, 0x9A, 0x53, 0x33];
        let (rtu_frame, tcp_frame) = (rtu(&data), tcp(7, &data));
        for end in 0..rtu_frame.len() {
            let judged = judge(Framing::Rtu, &rtu(&PDU), &rtu_frame[..end]);
            assert_eq!(judged, Judged::Incomplete);
        }
        for end in 0..tcp_frame.len() {
            let judged = judge(Framing::Tcp, &tcp(7, &PDU), &tcp_frame[..end]);
            assert_eq!(judged, Judged::Incomplete);
        }
    }

    #[test]
    fn faults_of_either_framing_have_their_names() {
        let unit = AnswerFault::Unit {
            expected: 1,
            found: 2,
        };
        let function = AnswerFault::Function {
            expected: 4,
            found: 3,
        };
        let short = AnswerFault::TooShort {
            expected: 4,
            found: 2,
        };
        let long = AnswerFault::TooLong {
            expected: 4,
            found: 6,
        };
        for (data, fault) in [
            ([2, 4, 4, 0, 0, 0, 0].as_slice(), unit),
            (&[1, 3, 4, 0, 0, 0, 0], function),
            (&[1, 0x83, 2], function),
            (&[1, 4, 2, 0, 0], short),
            (&[1, 4, 6, 0, 0, 0, 0, 0, 0], long),
        ] {
            assert_eq!(rtu_fault(&rtu(data)), Some(fault));
            assert_eq!(tcp_fault(&tcp(7, data)), Some(fault));
        }
        let surplus = AnswerFault::Surplus { surplus: 1 };
        let data = [1, 4, 4, 0, 0, 0, 0];
        assert_eq!(rtu_fault(&[rtu(&data), vec![9]].concat()), Some(surplus));
        assert_eq!(tcp_fault(&[tcp(7, &data), vec![9]].concat()), Some(surplus));
    }

    #[test]
    fn a_disturbed_frame_has_a_wrong_checksum() {
        let mut frame = rtu(&[1, 4, 4, 0x44, 0x9A, 0x53, 0x33]);
        frame[3] ^= 1;
        assert!(matches!(rtu_fault(&frame), Some(AnswerFault::Checksum { .. })));
    }

    #[test]
    fn faults_of_the_header_have_their_names() {
        let data = [1, 4, 4, 0, 0, 0, 0];
        assert_eq!(
            tcp_fault(&tcp(8, &data)),
            Some(AnswerFault::Transaction {
                expected: 7,
                found: 8
            })
        );
        assert_eq!(
            tcp_fault(&[0, 7, 0, 1, 0, 7]),
            Some(AnswerFault::Protocol { found: 1 })
        );
        assert_eq!(
            tcp_fault(&[0, 7, 0, 0, 1, 0]),
            Some(AnswerFault::Header { found: 256 })
        );
        assert_eq!(
            tcp_fault(&[0, 7, 0, 0, 0, 2]),
            Some(AnswerFault::Header { found: 2 })
        );
        assert_eq!(
            tcp_fault(&tcp(7, &[1, 4, 4, 0, 0])),
            Some(AnswerFault::Inconsistent {
                announced: 4,
                held: 2
            })
        );
        assert_eq!(tcp_fault(&tcp(7, &[1, 0x84, 2, 0])), Some(AnswerFault::Malformed));
    }

    #[test]
    fn bits_are_counted_in_bytes() {
        let request = rtu(&[1, 1, 0, 0, 0, 9]);
        let answer = rtu(&[1, 1, 2, 0xFF, 1]);
        assert_eq!(judge(Framing::Rtu, &request, &answer), Judged::Answer);
    }

    #[test]
    fn a_device_identification_ends_with_its_objects() {
        let request = rtu(&[1, 0x2B, 0x0E, 4, 0]);
        let answer = rtu(&[1, 0x2B, 0x0E, 4, 1, 0, 0, 1, 0, 3, b'A', b'B', b'B']);
        for end in 0..answer.len() {
            let judged = judge(Framing::Rtu, &request, &answer[..end]);
            assert_eq!(judged, Judged::Incomplete);
        }
        assert_eq!(judge(Framing::Rtu, &request, &answer), Judged::Answer);
    }

    #[test]
    fn what_nothing_follows_is_named_too() {
        let request = rtu(&PDU);
        let other = rtu(&[1, 6, 0, 0, 0, 1]);
        assert_eq!(judge(Framing::Rtu, &request, &other), Judged::Incomplete);
        assert_eq!(
            judge_rest(Framing::Rtu, &request, &other),
            AnswerFault::Function {
                expected: 4,
                found: 6
            }
        );
        assert_eq!(
            judge_rest(Framing::Rtu, &request, &[1, 4, 4, 0]),
            AnswerFault::Truncated { found: 4 }
        );
        let endless = [0; 300];
        assert_eq!(
            judge(Framing::Rtu, &request, &endless),
            Judged::faulty(AnswerFault::Malformed)
        );
    }
}
