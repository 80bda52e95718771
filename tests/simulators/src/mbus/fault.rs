//! What can go wrong with an answer.

use std::time::Duration;

/// Bytes that start no frame, and one of each that would start one: what a loose contact yields.
const NOISE: [u8; 6] = [0x00, 0xFF, 0x68, 0x55, 0x10, 0xA3];

/// What goes wrong with an answer of a slave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The checksum does not fit; of an acknowledgement, the only byte is another.
    WrongChecksum,
    /// Nothing is sent, although the slave has taken the request.
    Silence,
    /// The answer comes that much later.
    Late(Duration),
    /// The second half of the answer is missing; an acknowledgement is missing as a whole.
    HalfFrame,
    /// Other bytes come in front of the answer.
    Noise,
    /// So many other bytes follow the answer without a pause.
    Babble(u16),
}

/// An answer as it goes onto the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) delay: Duration,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) const fn prompt(bytes: Vec<u8>) -> Self {
        Self {
            delay: Duration::ZERO,
            bytes,
        }
    }
}

impl Fault {
    /// Spoils an answer; `None` if nothing is left of it.
    pub(super) fn spoil(self, mut bytes: Vec<u8>) -> Option<Answer> {
        match self {
            Self::WrongChecksum => {
                let place = bytes.len().saturating_sub(2);
                let checksum = bytes.get_mut(place)?;
                *checksum ^= 0xFF;
                Some(Answer::prompt(bytes))
            }
            Self::Silence => None,
            Self::Late(delay) => Some(Answer { delay, bytes }),
            Self::HalfFrame => {
                bytes.truncate(bytes.len() / 2);
                (!bytes.is_empty()).then(|| Answer::prompt(bytes))
            }
            Self::Noise => Some(Answer::prompt([&NOISE[..], &bytes].concat())),
            Self::Babble(length) => {
                bytes.extend(NOISE.iter().cycle().take(length.into()));
                Some(Answer::prompt(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_spoils_in_its_way() {
        let good = vec![0x10, 0x08, 0x01, 0x09, 0x16];
        let spoiled = |fault: Fault| fault.spoil(good.clone()).map(|answer| answer.bytes);
        assert_eq!(
            spoiled(Fault::WrongChecksum),
            Some(vec![0x10, 0x08, 0x01, 0xF6, 0x16])
        );
        assert_eq!(spoiled(Fault::Silence), None);
        assert_eq!(spoiled(Fault::HalfFrame), Some(vec![0x10, 0x08]));
        assert!(spoiled(Fault::Noise).unwrap().ends_with(&good));
        let babble = spoiled(Fault::Babble(300)).unwrap();
        assert!(babble.starts_with(&good));
        assert_eq!(babble.len(), good.len() + 300);
        let late = Fault::Late(Duration::from_secs(1)).spoil(good.clone()).unwrap();
        assert_eq!((late.delay, late.bytes), (Duration::from_secs(1), good));
    }

    #[test]
    fn acknowledgements_can_be_spoiled_too() {
        assert_eq!(Fault::WrongChecksum.spoil(vec![0xE5]).unwrap().bytes, [0x1A]);
        assert_eq!(Fault::HalfFrame.spoil(vec![0xE5]), None);
    }
}
