//! Card scripts: commands and the answers that they must get, as data that runs on every kind of card.
//!
//! | line | what it says |
//! |---|---|
//! | `# …` | a comment; the first one is the script's title |
//! | `card bound operational` | the states that the card may be in; the first line that says anything |
//! | `dangerous` | the script changes the card for good |
//! | `reset` | the card loses its power and gets it back |
//! | `> 00 A4 02 0C 02 01 01` | a command |
//! | `< 90 00` | its answer, status word included |
//! | `pair SECRET` | the pairing (SELECT and PACE) with a secret of 16 bytes; its answer is the last status word |
//! | `>> 00 B0 00 00 00` | a command under the secure messaging of the pairing |
//! | `<< {*} 90 00` | its answer, protected as well; with `<` it is one in clear, which ends the session |
//! | `identity` | reads, in clear, the card's GUID as `{guid}` and its public keys as `{sig-x}`, `{sig-y}`, `{enc-x}` … `{attestation-y}` |
//! | `digest NAME BYTES…` | names the SHA-256 of the bytes |
//! | `seal NAME SECRET NONCE` | seals a pairing secret for BIND, both 16 bytes: `{NAME}`, and `{NAME-point}` for the ephemeral point |
//! | `verify KEY DIGEST SIGNATURE` | the signature is by the card's key `sig`, `tls` or `attestation` |
//!
//! Bytes are hexadecimal. In an answer `{name:16}` stands for 16 bytes that may be anything, and `{*}`, once,
//! for any number of them. A name that has stood in an answer, or was given by a word, can be used as `{name}` in what
//! follows, in commands and in answers: there it stands for the same bytes. What is computed needs `identity` before it.

mod player;
mod reader;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use rand_core::CryptoRng;

use crate::{CardError, CardKey, LifeCycle, Transport};
use player::Player;
use reader::ScriptReader;

/// The greatest number of lines in a script; a script is one thought, and written by hand.
const MAX_LINES: usize = 1_000;

/// A script that is built in: its name and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// The name of its file, without the ending.
    pub name: &'static str,
    /// What stands in it.
    pub text: &'static str,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(BuiltIn {
            name: $name,
            text: include_str!(concat!("../../../tests/vectors/card/", $name, ".script")),
        }),*]
    };
}

/// Every script of `tests/vectors/card`, in the order in which they can run one after the other: those that
/// change the card come late, those that end its life last of all.
pub const BUILT_IN: &[BuiltIn] = built_in![
    "blank-refused",
    "reading",
    "refused",
    "in-clear",
    "pairing",
    "tsm-order",
    "blank",
    "imported-keys",
    "same-gateway",
    "paired",
    "wrong-secret",
    "bind",
    "another-gateway",
    "terminated",
];

/// A script that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    title: String,
    cards: Vec<LifeCycle>,
    is_dangerous: bool,
    steps: Vec<Step>,
}

/// What a line has done, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    line: usize,
    act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Reset,
    Exchange {
        command: Vec<Part>,
        is_protected: bool,
        answer: Answer,
    },
    Pair {
        secret: Vec<Part>,
        answer: Answer,
    },
    Identity,
    Digest {
        name: String,
        bytes: Vec<Part>,
    },
    Seal {
        name: String,
        secret: Part,
        nonce: Part,
    },
    Verify {
        key: CardKey,
        digest: Part,
        signature: Part,
    },
}

/// What has to be answered, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    parts: Vec<Part>,
    is_protected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    /// Bytes that get a name.
    New(String, usize),
    /// Bytes that have a name, and their number.
    Known(String, usize),
    Any,
}

impl Part {
    const fn length(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::New(_, length) | Self::Known(_, length) => *length,
            Self::Any => 0,
        }
    }
}

/// A line of a script that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the card script is wrong: {fault}")]
pub struct ParseScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: ScriptFault,
}

/// What is wrong with a line of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// The line begins with no known word.
    #[error("it begins with none of the known words")]
    Word,
    /// A state of the card is unknown or named twice, or the line does not come first and once.
    #[error("a state of the card is unknown or named twice, or the line does not come first and once")]
    Card,
    /// Something is neither a byte nor a placeholder.
    #[error("a part is neither bytes nor a placeholder that is known here")]
    Part,
    /// A command has no answer, or an answer no command.
    #[error("a command has one answer, and it follows at once")]
    Order,
    /// The operands of a word are not what it takes.
    #[error("the word takes other operands, or a name that is not known here")]
    Operand,
    /// The script is too long.
    #[error("the script has more than {MAX_LINES} lines")]
    Length,
}

/// The reason why a script did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError<E: std::error::Error + 'static> {
    /// The card cannot be reached.
    #[error("the card cannot be reached")]
    Transport(#[source] E),
    /// The card answered something else.
    #[error("the card answers line {line} with {found}")]
    Answer {
        /// The line of the expected answer's command, from 1.
        line: usize,
        /// The answer, in hexadecimal digits.
        found: String,
    },
    /// The line cannot be carried out with this card.
    #[error("line {line} cannot be carried out with this card")]
    Session {
        /// The line, from 1.
        line: usize,
        /// Why not.
        #[source]
        source: CardError<E>,
    },
    /// The signature is by no key, or by another one.
    #[error("the signature of line {line} is not by the card's {key} key")]
    Signature {
        /// The line, from 1.
        line: usize,
        /// Whose signature it should be.
        key: CardKey,
    },
    /// Something was to be computed from the card's identity, which is not known.
    #[error("line {line} needs `identity` before it")]
    NoIdentity {
        /// The line, from 1.
        line: usize,
    },
}

impl FromStr for Script {
    type Err = ParseScriptError;

    fn from_str(text: &str) -> Result<Self, ParseScriptError> {
        let mut reader = ScriptReader::default();
        for (line, content) in (1..).zip(text.lines()) {
            let fault = |fault| ParseScriptError { line, fault };
            if line > MAX_LINES {
                return Err(fault(ScriptFault::Length));
            }
            reader.read(line, content.trim()).map_err(fault)?;
        }
        reader.finish().map_err(|fault| ParseScriptError {
            line: text.lines().count(),
            fault,
        })
    }
}

impl Script {
    /// Returns what the script shows, in words.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Returns the states that the card may be in, one at least.
    #[must_use]
    pub fn cards(&self) -> &[LifeCycle] {
        &self.cards
    }

    /// Returns whether the script changes the card for good.
    #[must_use]
    pub const fn is_dangerous(&self) -> bool {
        self.is_dangerous
    }

    /// Runs the script on a card that has just got its power; `reset` takes it away and gives it back. The random bytes
    /// are for the pairings.
    ///
    /// # Errors
    ///
    /// [`ScriptError`] names the first line that does not come true.
    pub fn run<T: Transport>(
        &self,
        transport: &mut T,
        mut reset: impl FnMut(&mut T) -> Result<(), T::Error>,
        random: &mut dyn CryptoRng,
    ) -> Result<(), ScriptError<T::Error>> {
        let mut player = Player::new(transport, random);
        for step in &self.steps {
            player.take(step, &mut reset)?;
        }
        Ok(())
    }
}
