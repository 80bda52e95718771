//! The relay: a program that carries commands to a card and its answers back, line by line.
//!
//! It is `smgw card relay` on the gateway's device, reached however the operator reaches it. What goes through it is the
//! TSM's own channel, which ends in the card: the program can lose it, and nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use messages::content::{Apdu, WordError};

/// How long the card may take to answer a line: some signatures of 300 ms, and the way there and back.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest line that is read: as many answers as one line of commands has.
const MAX_LINE: u64 = 1024 * 1024;

/// The reason why the relay failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The program cannot be started.
    #[error("the relay cannot be started")]
    Start(#[source] std::io::Error),
    /// The program does not take what it is told.
    #[error("the relay ended; what it wrote says why")]
    Ended(#[source] std::io::Error),
    /// The program has ended, or does not answer.
    #[error("the relay gave no answer within {} s; what it wrote says why", PATIENCE.as_secs())]
    Silent,
    /// A line holds something else than answers.
    #[error("the relay answered with something else than its card's answers")]
    Line,
    /// An answer is longer than any.
    #[error("the relay answered with more than a card's answer")]
    Answer(#[from] WordError),
}

/// A program that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Relay {
    program: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Relay {
    /// Starts a command line.
    pub(crate) fn start(command_line: &str) -> Result<Self, RelayError> {
        let mut program = Command::new("sh")
            .args(["-c", command_line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(RelayError::Start)?;
        let (Some(commands), Some(output)) = (program.stdin.take(), program.stdout.take()) else {
            return Err(RelayError::Silent);
        };
        let (sender, answers) = mpsc::sync_channel(1);
        let read = move || {
            let mut output = BufReader::new(output);
            loop {
                let mut line = String::new();
                let length = output.by_ref().take(MAX_LINE).read_line(&mut line);
                // The end, and whatever else there is, shows as silence.
                if length.unwrap_or(0) == 0 || sender.send(line).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(read)
            .map_err(RelayError::Start)?;
        Ok(Self {
            program,
            commands,
            answers,
        })
    }

    /// Sends commands in one line and returns the answers of the next one.
    pub(crate) fn pass(&mut self, commands: &[Apdu]) -> Result<Vec<Apdu>, RelayError> {
        let words: Vec<_> = commands
            .iter()
            .map(|command| hex_of(command.as_bytes()))
            .collect();
        writeln!(self.commands, "{}", words.join(" ")).map_err(RelayError::Ended)?;
        self.commands.flush().map_err(RelayError::Ended)?;
        let line = self
            .answers
            .recv_timeout(PATIENCE)
            .map_err(|_| RelayError::Silent)?;
        let answer = |word: &str| Ok(Apdu::try_from(bytes_of(word).ok_or(RelayError::Line)?)?);
        line.split_whitespace().map(answer).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A program that has ended already needs no end.
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(word: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = word.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apdus(contents: &[&[u8]]) -> Vec<Apdu> {
        let apdu = |content: &&[u8]| Apdu::try_from(content.to_vec()).unwrap();
        contents.iter().map(apdu).collect()
    }

    #[test]
    fn lines_go_there_and_back() {
        let mut relay = Relay::start("cat").unwrap();
        let said = apdus(&[&[0x00, 0x84, 0x00, 0x00, 0x10], &[0xff, 0xa0]]);
        for _ in 0..3 {
            assert_eq!(relay.pass(&said).unwrap(), said);
        }
    }

    #[test]
    fn relay_that_ends_or_talks_nonsense_is_named() {
        let said = apdus(&[&[0x00, 0x84, 0x00, 0x00]]);
        for nonsense in ["echo 0x90", "echo 900", "echo -n zz"] {
            let refused = Relay::start(nonsense).unwrap().pass(&said);
            assert!(
                matches!(refused, Err(RelayError::Line | RelayError::Ended(_))),
                "{nonsense}"
            );
        }
        let refused = Relay::start("exit 3").unwrap().pass(&said);
        assert!(matches!(refused, Err(RelayError::Silent | RelayError::Ended(_))));
    }
}
