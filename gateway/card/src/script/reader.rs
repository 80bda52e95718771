//! How the lines of a script are read.

use std::collections::BTreeMap;

use super::player::point_of;
use super::{Act, Answer, Part, Script, ScriptFault, Step};
use crate::{CardKey, LifeCycle};

/// The greatest length of an answer: extended length, and the status word.
const MAX_ANSWER: usize = 65_538;
/// The length of a pairing secret, of a nonce and of a GUID.
const SECRET: usize = 16;
/// The length of a digest and of a coordinate.
const DIGEST: usize = 32;
const SIGNATURE: usize = 64;
const POINT: usize = crate::Point::LENGTH;

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct ScriptReader {
    title: Option<String>,
    cards: Option<Vec<LifeCycle>>,
    is_dangerous: bool,
    steps: Vec<Step>,
    question: Option<(usize, Question)>,
    lengths: BTreeMap<String, usize>,
}

/// What the next line has to answer.
#[derive(Debug)]
enum Question {
    Command { command: Vec<Part>, is_protected: bool },
    Pair { secret: Vec<Part> },
}

impl ScriptReader {
    pub(super) fn read(&mut self, line: usize, content: &str) -> Result<(), ScriptFault> {
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
            ("<" | "<<", Some(_)) => self.answer(rest, word == "<<"),
            _ if self.question.is_some() => Err(ScriptFault::Order),
            (">" | ">>", Some(_)) => {
                let command = self.parts(rest, false)?;
                let is_protected = word == ">>";
                self.question = Some((
                    line,
                    Question::Command {
                        command,
                        is_protected,
                    },
                ));
                Ok(())
            }
            ("pair", Some(_)) => {
                let secret = self.parts(rest, false)?;
                if secret.iter().map(Part::length).sum::<usize>() != SECRET {
                    return Err(ScriptFault::Operand);
                }
                self.question = Some((line, Question::Pair { secret }));
                Ok(())
            }
            ("dangerous", Some(_)) => {
                self.is_dangerous = true;
                Ok(())
            }
            (word, Some(_)) => {
                let act = self.act(word, rest)?;
                self.steps.push(Step { line, act });
                Ok(())
            }
        }
    }

    /// Reads an answer to the line before it.
    fn answer(&mut self, rest: &str, is_protected: bool) -> Result<(), ScriptFault> {
        let (line, question) = self.question.take().ok_or(ScriptFault::Order)?;
        // What goes in clear is answered in clear.
        let may_be_protected = matches!(
            question,
            Question::Command {
                is_protected: true,
                ..
            }
        );
        if is_protected && !may_be_protected {
            return Err(ScriptFault::Order);
        }
        let parts = self.parts(rest, true)?;
        let answer = Answer { parts, is_protected };
        let act = match question {
            Question::Command {
                command,
                is_protected,
            } => Act::Exchange {
                command,
                is_protected,
                answer,
            },
            Question::Pair { secret } => Act::Pair { secret, answer },
        };
        self.steps.push(Step { line, act });
        Ok(())
    }

    /// Reads a word that has no answer, and its operands.
    fn act(&mut self, word: &str, rest: &str) -> Result<Act, ScriptFault> {
        match word {
            "reset" if rest.is_empty() => Ok(Act::Reset),
            "identity" if rest.is_empty() => {
                self.lengths.insert("guid".to_owned(), SECRET);
                for key in CardKey::ALL {
                    self.lengths.insert(format!("{key}-x"), DIGEST);
                    self.lengths.insert(format!("{key}-y"), DIGEST);
                }
                Ok(Act::Identity)
            }
            "digest" => {
                let (name, bytes) = rest.split_once(' ').ok_or(ScriptFault::Operand)?;
                let bytes = self.parts(bytes, false)?;
                let name = self.name(name, DIGEST)?;
                Ok(Act::Digest { name, bytes })
            }
            "seal" => {
                let [name, secret, nonce] = operands(rest)?;
                let secret = self.operand(secret, SECRET)?;
                let nonce = self.operand(nonce, SECRET)?;
                self.lengths.insert(point_of(name), POINT);
                let name = self.name(name, SECRET)?;
                Ok(Act::Seal { name, secret, nonce })
            }
            "verify" => {
                let [key, digest, signature] = operands(rest)?;
                let is_named = |found: &CardKey| found.name() == key;
                let key = CardKey::ALL.into_iter().find(is_named);
                Ok(Act::Verify {
                    key: key.ok_or(ScriptFault::Operand)?,
                    digest: self.operand(digest, DIGEST)?,
                    signature: self.operand(signature, SIGNATURE)?,
                })
            }
            _ => Err(ScriptFault::Word),
        }
    }

    /// Gives a name to bytes of that number.
    fn name(&mut self, name: &str, length: usize) -> Result<String, ScriptFault> {
        if name.is_empty() || name.contains(['{', '}', ':']) {
            return Err(ScriptFault::Operand);
        }
        self.lengths.insert(name.to_owned(), length);
        Ok(name.to_owned())
    }

    /// Reads one operand, which has so many bytes.
    fn operand(&mut self, word: &str, length: usize) -> Result<Part, ScriptFault> {
        let mut parts = self.parts(word, false)?;
        match parts.pop() {
            Some(part) if part.length() == length => Ok(part),
            Some(_) | None => Err(ScriptFault::Operand),
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
                    if length > MAX_ANSWER {
                        return Err(ScriptFault::Part);
                    }
                    self.lengths.insert(name.to_owned(), length);
                    Part::New(name.to_owned(), length)
                }
                Some(Ok(_)) => return Err(ScriptFault::Part),
            };
            parts.push(part);
        }
        Ok(parts)
    }

    pub(super) fn finish(self) -> Result<Script, ScriptFault> {
        if self.question.is_some() {
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

fn operands<const N: usize>(text: &str) -> Result<[&str; N], ScriptFault> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.try_into().map_err(|_| ScriptFault::Operand)
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
