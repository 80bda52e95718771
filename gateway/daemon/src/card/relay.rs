//! The relay: the trust centre speaks to the card in the reader, whatever state the gateway is in.
//!
//! A card whose pairing is blocked serves no gateway, so no message over the WAN reaches it. Its trust centre still can:
//! its channel ends in the card, and whoever carries the commands can neither read nor forge what goes through it. So
//! `smgw card relay` reads a line with commands and prints one with the answers, and `trust-center unlock --relay` runs
//! it, over whatever way there is to the device. Only the commands of the TSM's access go through.

use std::io::{BufRead, Read, Write};

use card::{CardError, CardSession};
use serde::{Deserialize, Serialize};

use super::handle::{CardFault, RelayedAnswers, RelayedCommands, Session};
use super::slot::Slot;

/// The longest line that is read: as many commands as an installation has, hexadecimal digits.
const MAX_LINE: u64 = 1024 * 1024;

/// The reason why the relay ended before its input did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError<E: std::error::Error + 'static> {
    /// A line holds something else than commands.
    #[error("a line is no list of commands in hexadecimal digits")]
    Line,
    /// Nothing can be read or written.
    #[error("the relay's input or output broke")]
    Broken(#[from] std::io::Error),
    /// The card took no part.
    #[error("the card took no part")]
    Card(#[source] E),
}

/// Commands or answers: the bytes of each in hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apdus {
    apdus: Vec<String>,
}

impl Apdus {
    /// Reads the words of a line.
    fn of_line(line: &str) -> Self {
        Self {
            apdus: line.split_whitespace().map(str::to_owned).collect(),
        }
    }

    fn line(&self) -> String {
        self.apdus.join(" ")
    }

    pub(crate) fn of(answers: &RelayedAnswers) -> Self {
        Self {
            apdus: answers
                .iter()
                .map(|answer| hex::encode(answer.as_slice()))
                .collect(),
        }
    }

    /// Returns the bytes; `None` if they are no hexadecimal digits.
    pub(crate) fn to_bytes(&self) -> Option<RelayedCommands> {
        self.apdus.iter().map(|apdu| hex::decode(apdu).ok()).collect()
    }
}

/// Answers every line of the input with one line of the output, until the input ends.
///
/// # Errors
///
/// [`RelayError`] says what ended it before.
pub(crate) fn relay_lines<E: std::error::Error + 'static>(
    mut input: impl BufRead,
    mut output: impl Write,
    mut pass: impl FnMut(&Apdus) -> Result<Apdus, E>,
) -> Result<(), RelayError<E>> {
    loop {
        let mut line = String::new();
        if input.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let commands = Apdus::of_line(&line);
        if commands.to_bytes().is_none() {
            return Err(RelayError::Line);
        }
        let answers = pass(&commands).map_err(RelayError::Card)?;
        writeln!(output, "{}", answers.line())?;
        output.flush()?;
    }
}

/// A card that no daemon has.
pub(crate) struct DirectCard(Session);

impl std::fmt::Debug for DirectCard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DirectCard")
    }
}

impl DirectCard {
    /// Gives power to the card in the slot.
    pub(crate) fn open(slot: &Slot) -> Result<Self, CardFault> {
        let card = slot.power_on().map_err(CardError::Transport)?;
        Ok(Self(CardSession::open(card)?))
    }

    /// Passes commands to it.
    pub(crate) fn pass(&mut self, commands: &Apdus) -> Result<Apdus, CardFault> {
        let commands = commands.to_bytes().unwrap_or_default();
        let pass = |command: &Vec<u8>| Ok(self.0.pass(command)?);
        let answers: Result<RelayedAnswers, CardFault> = commands.iter().map(pass).collect();
        answers.map(|answers| Apdus::of(&answers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relayed(input: &str) -> (Result<(), RelayError<CardFault>>, String) {
        let mut output = Vec::new();
        let echo = |commands: &Apdus| match commands.apdus.first() {
            Some(first) if first == "00" => Err(CardFault::Absent),
            _ => Ok(commands.clone()),
        };
        let outcome = relay_lines(input.as_bytes(), &mut output, echo);
        (outcome, String::from_utf8(output).unwrap())
    }

    #[test]
    fn every_line_is_answered_by_one() {
        let (outcome, answers) = relayed("0084000010 00c20000\n\nff\n");
        assert!(outcome.is_ok());
        assert_eq!(answers, "0084000010 00c20000\n\nff\n");
    }

    #[test]
    fn line_that_is_none_and_card_that_takes_no_part_end_the_relay() {
        let (outcome, answers) = relayed("01\n0x02\n03\n");
        assert!(matches!(outcome, Err(RelayError::Line)));
        assert_eq!(answers, "01\n");
        let (outcome, answers) = relayed("00\n03\n");
        assert!(matches!(outcome, Err(RelayError::Card(CardFault::Absent))));
        assert_eq!(answers, "");
    }

    #[test]
    fn line_without_an_end_is_not_read_for_ever() {
        let (outcome, _) = relayed(&"0".repeat(usize::try_from(MAX_LINE).unwrap() + 1));
        assert!(matches!(outcome, Err(RelayError::Line)));
    }
}
