//! The card scripts on the card in the reader.
//!
//! A script says what cards it is for and whether it changes them for good. Those that do not run on every card, the
//! gateway's own as well. Those that do are for a bench: they need the order, a word that names the card, and a gateway
//! that keeps no bindings yet, so that nobody ends the card that a gateway lives on.

mod view;

use std::path::{Path, PathBuf};

use card::script::{BUILT_IN, ParseScriptError, Script, ScriptError};
use card::{CardError, CardSession, LifeCycle, StatusWord, Transport};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use model::CardId;
use zeroize::Zeroizing;

use super::reader::{Reader, ReaderError};
use super::slot::Slot;
use crate::report::Chain;
pub(crate) use view::SelftestView;
use view::{Outcome, ScriptView};

/// The word that confirms a card which has no GUID yet.
const BLANK: &str = "blank";
/// How many of the last characters of the GUID confirm a card.
const CONFIRMED: usize = 4;
/// The greatest length of a script's file in bytes.
const MAX_SCRIPT: u64 = 256 * 1024;

/// What is to be tested.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Whether the scripts that change the card for good are run too.
    pub(crate) dangerous: bool,
    /// The last characters of the card's GUID, or `blank`.
    pub(crate) confirmation: Option<String>,
    /// Scripts to run in place of those that are built in.
    pub(crate) files: Vec<PathBuf>,
}

/// The reason why a card is not tested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelftestError {
    /// The card is out of reach.
    #[error("the card cannot be tested; if the gateway is running, stop it first")]
    Reader(#[from] ReaderError),
    /// The card does not say who it is.
    #[error("the card cannot be tested")]
    Card(#[from] CardError<ReaderError>),
    /// A script cannot be read.
    #[error("the card script {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A script says nothing that can be run.
    #[error("the card script {name} cannot be run")]
    Script {
        /// Its name, or its file.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ParseScriptError,
    },
    /// This is a gateway, and no bench.
    #[error(
        "a gateway keeps its bindings in {}, so nothing here changes a card for good; for a bench, name a configuration whose data folder is not there yet",
        folder.display()
    )]
    Gateway {
        /// Where the bindings are.
        folder: PathBuf,
    },
    /// The confirmation is not there, or is another card's.
    #[error("the card is {life_cycle}{}; to change it for good, add --confirm {wanted}", of_guid(*guid))]
    Unconfirmed {
        /// The card's state.
        life_cycle: LifeCycle,
        /// Its GUID, if it has one.
        guid: Option<CardId>,
        /// What would confirm it.
        wanted: String,
    },
}

impl SelftestError {
    /// Returns whether the test was refused, rather than failed.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Gateway { .. } | Self::Unconfirmed { .. })
    }
}

fn of_guid(guid: Option<CardId>) -> String {
    guid.map(|guid| format!(", its GUID {guid}")).unwrap_or_default()
}

/// Runs scripts on the card in the slot; `data` is where the gateway of this configuration keeps what it has.
///
/// # Errors
///
/// [`SelftestError`] if nothing was run. A script that fails is a result.
pub(crate) fn selftest(slot: &Slot, data: &Path, order: &Order) -> Result<SelftestView, SelftestError> {
    let scripts = scripts(&order.files)?;
    let mut card = CardUnderTest::power_on(slot.clone())?;
    let life_cycle = card.life_cycle()?;
    let guid = card.guid(life_cycle)?;
    if order.dangerous {
        permit(data, order.confirmation.as_deref(), life_cycle, guid)?;
    }
    let mut view = SelftestView::new(slot.facts().map(|facts| facts.name), slot.is_soft(), guid);
    let mut out_of_reach = false;
    for (name, script) in &scripts {
        let outcome = if out_of_reach {
            Outcome::skipped("the card is out of reach")
        } else {
            card.run(script, order.dangerous)
        };
        out_of_reach |= matches!(outcome, Outcome::Unreachable { .. });
        view.scripts.push(ScriptView::of(
            name,
            script.title(),
            script.is_dangerous(),
            outcome,
        ));
    }
    view.life_cycle = card.life_cycle().ok();
    Ok(view)
}

/// Permits to change the card for good, or says what that would take.
fn permit(
    data: &Path,
    confirmation: Option<&str>,
    life_cycle: LifeCycle,
    guid: Option<CardId>,
) -> Result<(), SelftestError> {
    let folder = data.join("bindings");
    // What cannot be looked at is taken for a gateway.
    if folder.try_exists().unwrap_or(true) {
        return Err(SelftestError::Gateway { folder });
    }
    if life_cycle == LifeCycle::Terminated {
        return Ok(());
    }
    let wanted = guid.map_or_else(|| BLANK.to_owned(), last_characters);
    if confirmation == Some(wanted.as_str()) {
        return Ok(());
    }
    Err(SelftestError::Unconfirmed {
        life_cycle,
        guid,
        wanted,
    })
}

fn last_characters(guid: CardId) -> String {
    let text = guid.to_string();
    let begin = text.chars().count().saturating_sub(CONFIRMED);
    text.chars().skip(begin).collect()
}

/// Reads the scripts of the files, or takes those that are built in.
fn scripts(files: &[PathBuf]) -> Result<Vec<(String, Script)>, SelftestError> {
    let parse = |name: String, text: &str| match text.parse() {
        Ok(script) => Ok((name, script)),
        Err(source) => Err(SelftestError::Script { name, source }),
    };
    if files.is_empty() {
        let built_in = BUILT_IN.iter();
        return built_in
            .map(|script| parse(script.name.to_owned(), script.text))
            .collect();
    }
    files
        .iter()
        .map(|path| {
            let text = read(path).map_err(|source| SelftestError::File {
                path: path.clone(),
                source,
            })?;
            parse(path.display().to_string(), &text)
        })
        .collect()
}

fn read(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_SCRIPT {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    std::fs::read_to_string(path)
}

/// A card whose power comes and goes.
struct CardUnderTest {
    slot: Slot,
    /// Absent only while the power is away.
    card: Option<Reader>,
}

impl CardUnderTest {
    fn power_on(slot: Slot) -> Result<Self, ReaderError> {
        let card = Some(slot.power_on()?);
        Ok(Self { slot, card })
    }

    /// Takes the power away and gives it back.
    fn reset(&mut self) -> Result<(), ReaderError> {
        self.card = None;
        self.card = Some(self.slot.power_on()?);
        Ok(())
    }

    fn life_cycle(&mut self) -> Result<LifeCycle, CardError<ReaderError>> {
        self.reset().map_err(CardError::Transport)?;
        match CardSession::open(self) {
            Ok(mut session) => session.life_cycle(),
            Err(CardError::Refused { status, .. }) if status == StatusWord::TERMINATED => {
                Ok(LifeCycle::Terminated)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the GUID of a card that is somebody and alive.
    fn guid(&mut self, life_cycle: LifeCycle) -> Result<Option<CardId>, CardError<ReaderError>> {
        if matches!(life_cycle, LifeCycle::Blank | LifeCycle::Terminated) {
            return Ok(None);
        }
        Ok(Some(CardSession::open(self)?.identity()?.guid))
    }

    /// Runs a script if it is for this card as it is now.
    fn run(&mut self, script: &Script, dangerous: bool) -> Outcome {
        if script.is_dangerous() && !dangerous {
            return Outcome::skipped("it changes the card for good; --dangerous runs it");
        }
        let life_cycle = match self.life_cycle() {
            Ok(life_cycle) => life_cycle,
            Err(error) => return Outcome::unreachable(&error),
        };
        if !script.cards().contains(&life_cycle) {
            let names: Vec<_> = script.cards().iter().map(ToString::to_string).collect();
            let needed = names.join(" or ");
            return Outcome::skipped(&format!(
                "it is for a card that is {needed}, and this one is {life_cycle}"
            ));
        }
        if let Err(error) = self.reset() {
            return Outcome::unreachable(&error);
        }
        // The kernel's generator does not fail once it has given keys to the program's start.
        match script.run(self, Self::reset, &mut UnwrapErr(SysRng)) {
            Ok(()) => Outcome::Passed,
            Err(ScriptError::Answer { line, found }) => Outcome::Failed {
                line,
                answer: Some(found.to_uppercase()),
                reason: None,
            },
            Err(ScriptError::Transport(error)) => Outcome::unreachable(&error),
            Err(
                error @ (ScriptError::Session { line, .. }
                | ScriptError::Signature { line, .. }
                | ScriptError::NoIdentity { line }),
            ) => Outcome::Failed {
                line,
                answer: None,
                reason: Some(Chain(&error).to_string()),
            },
        }
    }
}

impl Transport for CardUnderTest {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        self.card.as_mut().ok_or(ReaderError::Lost)?.transmit(command)
    }
}

impl Outcome {
    fn skipped(reason: &str) -> Self {
        Self::Skipped {
            reason: reason.to_owned(),
        }
    }

    fn unreachable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unreachable {
            reason: Chain(error).to_string(),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "soft-card")]
mod tests;
