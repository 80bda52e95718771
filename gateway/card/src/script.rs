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
//!
//! Bytes are hexadecimal. In an answer `{name:16}` stands for 16 bytes that may be anything, and `{*}`, once,
//! for any number of them. A name that has stood in an answer can be used as `{name}` in what follows, in
//! commands and in answers: there it stands for the same bytes.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::{LifeCycle, Transport};

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
    "same-gateway",
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

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Reset,
    Exchange {
        line: usize,
        command: Vec<Part>,
        answer: Vec<Part>,
    },
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

    /// Runs the script on a card that has just got its power; `reset` takes it away and gives it back.
    ///
    /// # Errors
    ///
    /// [`ScriptError::Answer`] at the first answer that is another one.
    pub fn run<T: Transport>(
        &self,
        transport: &mut T,
        mut reset: impl FnMut(&mut T) -> Result<(), T::Error>,
    ) -> Result<(), ScriptError<T::Error>> {
        let mut names = Names::new();
        for step in &self.steps {
            match step {
                Step::Reset => reset(transport).map_err(ScriptError::Transport)?,
                Step::Exchange {
                    line,
                    command,
                    answer,
                } => {
                    let command: Vec<u8> = command
                        .iter()
                        .flat_map(|part| bytes_of(part, &names))
                        .copied()
                        .collect();
                    let found = transport.transmit(&command).map_err(ScriptError::Transport)?;
                    if !matches(answer, &found, &mut names) {
                        return Err(ScriptError::Answer {
                            line: *line,
                            found: hex::encode(&found),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The bytes that have got a name.
type Names = BTreeMap<String, Vec<u8>>;

fn bytes_of<'a>(part: &'a Part, names: &'a Names) -> &'a [u8] {
    match part {
        Part::Bytes(bytes) => bytes,
        Part::Known(name, _) => names.get(name).map_or(&[], Vec::as_slice),
        Part::New(..) | Part::Any => &[],
    }
}

const fn length_of(part: &Part) -> usize {
    match part {
        Part::Bytes(bytes) => bytes.len(),
        Part::New(_, length) | Part::Known(_, length) => *length,
        Part::Any => 0,
    }
}

/// Compares an answer with what is expected, and gives names to its parts.
fn matches(parts: &[Part], found: &[u8], names: &mut Names) -> bool {
    let fixed: usize = parts.iter().map(length_of).sum();
    let Some(any) = found.len().checked_sub(fixed) else {
        return false;
    };
    let mut rest = found;
    for part in parts {
        let length = if matches!(part, Part::Any) {
            any
        } else {
            length_of(part)
        };
        let Some((bytes, behind)) = rest.split_at_checked(length) else {
            return false;
        };
        match part {
            Part::Any => {}
            Part::New(name, _) => {
                names.insert(name.clone(), bytes.to_vec());
            }
            Part::Bytes(_) | Part::Known(..) => {
                if bytes != bytes_of(part, names) {
                    return false;
                }
            }
        }
        rest = behind;
    }
    rest.is_empty()
}

/// What has been read so far.
#[derive(Debug, Default)]
struct ScriptReader {
    title: Option<String>,
    cards: Option<Vec<LifeCycle>>,
    is_dangerous: bool,
    steps: Vec<Step>,
    command: Option<(usize, Vec<Part>)>,
    lengths: BTreeMap<String, usize>,
}

impl ScriptReader {
    fn read(&mut self, line: usize, content: &str) -> Result<(), ScriptFault> {
        let (word, rest) = content.split_once(' ').unwrap_or((content, ""));
        match (word, &self.cards) {
            ("#", _) => {
                self.title.get_or_insert_with(|| rest.trim().to_owned());
                Ok(())
            }
            ("", _) => Ok(()),
            ("card", None) => {
                self.cards = Some(life_cycles(rest).ok_or(ScriptFault::Card)?);
                Ok(())
            }
            ("card", Some(_)) | (_, None) => Err(ScriptFault::Card),
            ("<", Some(_)) => {
                let (line, command) = self.command.take().ok_or(ScriptFault::Order)?;
                let answer = self.parts(rest, true)?;
                self.steps.push(Step::Exchange {
                    line,
                    command,
                    answer,
                });
                Ok(())
            }
            _ if self.command.is_some() => Err(ScriptFault::Order),
            (">", Some(_)) => {
                self.command = Some((line, self.parts(rest, false)?));
                Ok(())
            }
            ("dangerous", Some(_)) => {
                self.is_dangerous = true;
                Ok(())
            }
            ("reset", Some(_)) => {
                self.steps.push(Step::Reset);
                Ok(())
            }
            _ => Err(ScriptFault::Word),
        }
    }

    fn parts(&mut self, text: &str, is_answer: bool) -> Result<Vec<Part>, ScriptFault> {
        let mut parts = Vec::new();
        for word in text.split_whitespace() {
            let placeholder = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
            let part = match placeholder.map(|name| name.split_once(':').ok_or(name)) {
                None => Part::Bytes(hex::decode(word).map_err(|_| ScriptFault::Part)?),
                Some(Err("*")) if is_answer && !parts.contains(&Part::Any) => Part::Any,
                Some(Err(name)) => {
                    let length = self.lengths.get(name).ok_or(ScriptFault::Part)?;
                    Part::Known(name.to_owned(), *length)
                }
                Some(Ok((name, length))) if is_answer => {
                    let length = length.parse().map_err(|_| ScriptFault::Part)?;
                    self.lengths.insert(name.to_owned(), length);
                    Part::New(name.to_owned(), length)
                }
                Some(Ok(_)) => return Err(ScriptFault::Part),
            };
            parts.push(part);
        }
        Ok(parts)
    }

    fn finish(self) -> Result<Script, ScriptFault> {
        if self.command.is_some() {
            return Err(ScriptFault::Order);
        }
        Ok(Script {
            title: self.title.unwrap_or_default(),
            cards: self.cards.ok_or(ScriptFault::Card)?,
            is_dangerous: self.is_dangerous,
            steps: self.steps,
        })
    }
}

/// Reads the names of states: one at least, and none twice.
fn life_cycles(names: &str) -> Option<Vec<LifeCycle>> {
    use LifeCycle::{Blank, Bound, Operational, Personalized, Terminated};
    let states = [Blank, Personalized, Bound, Operational, Terminated];
    let mut found = Vec::new();
    for name in names.split_whitespace() {
        let state = states.into_iter().find(|state| state.to_string() == name)?;
        if found.contains(&state) {
            return None;
        }
        found.push(state);
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::applet::testing::TestCard;

    fn fault(text: &str) -> (usize, ScriptFault) {
        let error = text.parse::<Script>().unwrap_err();
        (error.line, error.fault)
    }

    fn run(text: &str) -> Result<(), ScriptError<std::convert::Infallible>> {
        let script: Script = text.parse().unwrap();
        let reset = |card: &mut TestCard| {
            card.reset();
            Ok(())
        };
        script.run(&mut TestCard::blank(1), reset)
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert_eq!(fault("card blank\nsend 00"), (2, ScriptFault::Word));
        assert_eq!(fault("reset"), (1, ScriptFault::Card));
        assert_eq!(fault("card dead"), (1, ScriptFault::Card));
        assert_eq!(fault("card"), (1, ScriptFault::Card));
        assert_eq!(fault("card bound blank bound"), (1, ScriptFault::Card));
        assert_eq!(fault("card blank\ncard blank"), (2, ScriptFault::Card));
        assert_eq!(fault(""), (0, ScriptFault::Card));
        assert_eq!(fault("card blank\n< 9000"), (2, ScriptFault::Order));
        assert_eq!(fault("card blank\n> 00\nreset"), (3, ScriptFault::Order));
        assert_eq!(fault("card blank\n> 00"), (2, ScriptFault::Order));
        for part in ["0", "xy", "{new:2}", "{new}", "{*}"] {
            assert_eq!(fault(&format!("card blank\n> {part}")), (2, ScriptFault::Part));
        }
        assert_eq!(fault("card blank\n> 00\n< {*} {*}"), (3, ScriptFault::Part));
        let long = format!("card blank\n{}", "# and on\n".repeat(MAX_LINES));
        assert_eq!(fault(&long), (MAX_LINES + 1, ScriptFault::Length));
    }

    #[test]
    fn head_of_a_script_says_what_it_shows_and_on_which_cards() {
        let script: Script = "# A title.\ncard bound operational\n# No title.\ndangerous"
            .parse()
            .unwrap();
        assert_eq!(script.title(), "A title.");
        assert_eq!(script.cards(), [LifeCycle::Bound, LifeCycle::Operational]);
        assert!(script.is_dangerous());
    }

    #[test]
    fn answers_are_compared_and_named() {
        let generate = "card blank\ndangerous\n> 00 47 80 00 05 B6 03 84 01 01 00\n";
        assert!(run(&format!("{generate}< 7F 49 43 86 41 04 {{x:32}} {{y:32}} 90 00")).is_ok());
        assert!(
            run(&format!(
                "{generate}< {{*}} 90 00\nreset\n> 00 A4 02 0C 02 07 01\n< 90 00"
            ))
            .is_ok()
        );
        let same = format!("{generate}< {{head:6}} {{*}} 90 00\n> 00 47 80 00 05 B6 03 84 01 01 00\n");
        assert!(run(&format!("{same}< {{head}} {{*}} 90 00")).is_ok());
        let other = run(&format!("{same}< {{head}} 90 00")).unwrap_err();
        assert!(matches!(other, ScriptError::Answer { line: 5, .. }), "{other}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_script_or_refused(text in "(card bound\n)?([ -~]{0,12}\n){0,6}") {
            drop(text.parse::<Script>());
        }
    }
}
