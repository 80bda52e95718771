//! How commands and answers that are longer than an APDU of the reader travel in parts.
//!
//! This lies below secure messaging: a protected command is protected as a whole and then sent in
//! parts, and so is a protected answer.
//!
//! Spec: ISO/IEC 7816-4:2020, sections 5.3.3 (command chaining) and 5.3.4 (response chaining).

use std::fmt;

use zeroize::Zeroizing;

use crate::{CommandApdu, Header, ResponseApdu, StatusWord};

/// The bit of CLA that says that the command goes on in the next one.
const CHAINED: u8 = 0x10;
/// The classes that the card knows with that bit: in clear and protected. The proprietary class has no
/// such bit.
const CHAINED_CLASSES: [u8; 2] = [CHAINED, CHAINED | 0x0C];
/// Each command of a run of GENERAL AUTHENTICATE has an answer of its own, although all but the last
/// carry the bit (BSI TR-03110-3, section B.1).
const GENERAL_AUTHENTICATE: u8 = 0x86;
const GET_RESPONSE: [u8; 4] = [0x00, 0xC0, 0x00, 0x00];

/// The greatest number of data bytes in a chain: the longest file, and what protects it.
const MAX_CHAIN: usize = 8_192;
/// The least number of expected bytes that means "whatever there is" (Le = 00).
const ALL_THERE_IS: usize = 256;

/// What has come of a command so far, and what has not gone out of an answer yet.
#[derive(Default)]
pub(super) struct Transmission {
    chain: Option<CommandApdu>,
    rest: Option<Zeroizing<Vec<u8>>>,
}

/// What an APDU was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A part of a command, and not its last.
    Part,
    /// A whole command, without the bit.
    Whole(CommandApdu),
    /// GET RESPONSE; this is what it gets.
    Rest(ResponseApdu),
}

impl Transmission {
    /// Takes in an APDU. Whatever is not the expected next one breaks off what was going on.
    pub(super) fn receive(&mut self, command: CommandApdu) -> Result<Received, StatusWord> {
        let rest = self.rest.take();
        let chain = self.chain.take();
        let header = command.header();
        let is_part = CHAINED_CLASSES.contains(&header.cla);
        let plain = Header {
            cla: if is_part {
                header.cla & !CHAINED
            } else {
                header.cla
            },
            ..header
        };
        let whole = match chain {
            Some(begun) if begun.header() == plain => join(&begun, &command)?,
            Some(_) => return Err(StatusWord::CHAIN_BROKEN),
            None => command.under(plain),
        };
        if is_part && header.ins != GENERAL_AUTHENTICATE {
            self.chain = Some(whole);
            return Ok(Received::Part);
        }
        if whole.header().to_bytes() == GET_RESPONSE {
            return self.give(rest, whole.expected()).map(Received::Rest);
        }
        Ok(Received::Whole(whole))
    }

    /// Gives out an answer, or as much of it as is expected.
    pub(super) fn send(&mut self, response: ResponseApdu, expected: Option<usize>) -> ResponseApdu {
        let expected = expected.unwrap_or(0);
        if !response.status().is_ok() || response.data().len() <= expected {
            return response;
        }
        let Some((now, later)) = response.data().split_at_checked(expected) else {
            return response;
        };
        self.rest = Some(Zeroizing::new(later.to_vec()));
        ResponseApdu::with_status(now.to_vec(), StatusWord::more(later.len()))
    }

    /// Gives out more of the answer; whoever expects too much is told how much there is.
    fn give(
        &mut self,
        rest: Option<Zeroizing<Vec<u8>>>,
        expected: Option<usize>,
    ) -> Result<ResponseApdu, StatusWord> {
        let rest = rest.ok_or(StatusWord::CONDITIONS)?;
        let expected = expected.ok_or(StatusWord::WRONG_LENGTH)?;
        if expected < ALL_THERE_IS && expected > rest.len() {
            let there = rest.len();
            self.rest = Some(rest);
            return Err(StatusWord::exactly(there));
        }
        Ok(self.send(ResponseApdu::ok(rest.to_vec()), Some(expected)))
    }
}

/// Appends the next part; what the last one expects counts.
fn join(begun: &CommandApdu, next: &CommandApdu) -> Result<CommandApdu, StatusWord> {
    let length = begun.data().len().saturating_add(next.data().len());
    if length > MAX_CHAIN {
        return Err(StatusWord::WRONG_LENGTH);
    }
    // Set aside at once, so that a secret is not left behind where a growing buffer stood.
    let mut data = Vec::with_capacity(length);
    data.extend_from_slice(begun.data());
    data.extend_from_slice(next.data());
    let joined = CommandApdu::new(begun.header(), data);
    Ok(match next.expected() {
        Some(expected) => joined.expecting(expected),
        None => joined,
    })
}

impl fmt::Debug for Transmission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transmission")
            .field("chain", &self.chain)
            .field("rest_length", &self.rest.as_ref().map(|rest| rest.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(header: [u8; 4], data: &[u8]) -> CommandApdu {
        CommandApdu::new(Header::new(header), data.to_vec())
    }

    #[test]
    fn parts_are_joined_to_one_command() {
        let mut transmission = Transmission::default();
        for part in [&[1, 2][..], &[3]] {
            let received = transmission.receive(command([0x10, 0xD6, 0, 0], part));
            assert_eq!(received, Ok(Received::Part));
        }
        let last = command([0x00, 0xD6, 0, 0], &[4]).expecting(16);
        let whole = command([0x00, 0xD6, 0, 0], &[1, 2, 3, 4]).expecting(16);
        assert_eq!(transmission.receive(last), Ok(Received::Whole(whole)));
    }

    #[test]
    fn a_chain_is_broken_by_another_command_and_bounded() {
        let mut transmission = Transmission::default();
        transmission.receive(command([0x10, 0xD6, 0, 0], &[1])).unwrap();
        let other = command([0x00, 0xD6, 0, 1], &[2]);
        assert_eq!(transmission.receive(other.clone()), Err(StatusWord::CHAIN_BROKEN));
        assert_eq!(transmission.receive(other.clone()), Ok(Received::Whole(other)));
        let part = command([0x10, 0xD6, 0, 0], &[0; MAX_CHAIN]);
        assert_eq!(transmission.receive(part), Ok(Received::Part));
        let last = command([0x00, 0xD6, 0, 0], &[0]);
        assert_eq!(transmission.receive(last), Err(StatusWord::WRONG_LENGTH));
    }

    #[test]
    fn each_step_of_general_authenticate_is_a_command() {
        let mut transmission = Transmission::default();
        let whole = command([0x00, 0x86, 0, 0], &[1]);
        let received = transmission.receive(command([0x10, 0x86, 0, 0], &[1]));
        assert_eq!(received, Ok(Received::Whole(whole)));
    }

    #[test]
    fn other_classes_have_no_chains() {
        for class in [0x90, 0x11] {
            let whole = command([class, 0x10, 0, 0], &[1]);
            let received = Transmission::default().receive(whole.clone());
            assert_eq!(received, Ok(Received::Whole(whole)));
        }
    }

    #[test]
    fn long_answers_are_fetched_in_parts() {
        let mut transmission = Transmission::default();
        let get = |expected| command(GET_RESPONSE, &[]).expecting(expected);
        let long: Vec<u8> = (0..=255).cycle().take(600).collect();
        let first = transmission.send(ResponseApdu::ok(long.clone()), Some(256));
        assert_eq!((first.data(), first.status().value()), (&long[..256], 0x6100));
        let mut next = |expected| match transmission.receive(get(expected)) {
            Ok(Received::Rest(response)) => (response.data().to_vec(), response.status().value()),
            Err(status) => (Vec::new(), status.value()),
            other => panic!("{other:?}"),
        };
        assert_eq!(next(256), (long[256..512].to_vec(), 0x6158));
        assert_eq!(next(100), (Vec::new(), 0x6C58));
        assert_eq!(next(8), (long[512..520].to_vec(), 0x6150));
        assert_eq!(next(256), (long[520..].to_vec(), 0x9000));
        assert_eq!(next(256), (Vec::new(), 0x6985));
    }

    #[test]
    fn another_command_gives_up_the_rest() {
        let mut transmission = Transmission::default();
        transmission.send(ResponseApdu::ok(vec![1, 2]), None);
        transmission.receive(command([0x00, 0xA4, 0, 0], &[])).unwrap();
        let get = command(GET_RESPONSE, &[]).expecting(256);
        assert_eq!(transmission.receive(get), Err(StatusWord::CONDITIONS));
    }
}
