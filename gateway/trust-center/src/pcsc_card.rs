//! The card in a PC/SC reader, exclusively and by T=1.
//!
//! Personalising is done by a person who stands before the reader, one card at a time, so the calls simply block.

use std::ffi::CString;
use std::time::Duration;

use card::Transport;
use pcsc::{Card, Context, MAX_BUFFER_SIZE_EXTENDED, Protocols, ReaderState, Scope, ShareMode, State};
use zeroize::{Zeroize, Zeroizing};

/// After how long a reader is asked again whether it has a card; it tells by itself when that changes.
const WAIT: Duration = Duration::from_secs(10);

/// The reason why the card in a reader cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PcscCardError {
    /// pcscd does not run.
    #[error("the smart card service does not answer; start pcscd")]
    NoService,
    /// No reader has that name.
    #[error("there is no card reader {name:?}; there is {there}")]
    NoReader {
        /// The name that was given.
        name: String,
        /// Those that are attached.
        there: String,
    },
    /// There is no card.
    #[error("there is no card in the reader; insert one and try again")]
    NoCard,
    /// Another program has the card.
    #[error("the card is in use by another program; stop it and try again")]
    InUse,
    /// The card was taken out or reset.
    #[error("the card was taken out or reset; insert it and try again")]
    Lost,
    /// The reader or pcscd fails in another way.
    #[error("the card reader fails")]
    Pcsc(#[source] pcsc::Error),
}

impl From<pcsc::Error> for PcscCardError {
    fn from(error: pcsc::Error) -> Self {
        use pcsc::Error as E;
        match error {
            E::NoService | E::ServiceStopped | E::CommError => Self::NoService,
            E::NoSmartcard => Self::NoCard,
            E::SharingViolation => Self::InUse,
            E::NotTransacted | E::RemovedCard | E::ResetCard => Self::Lost,
            error => Self::Pcsc(error),
        }
    }
}

/// A card that has power. Dropping it resets the card.
pub(crate) struct PcscCard {
    card: Card,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for PcscCard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PcscCard").finish_non_exhaustive()
    }
}

impl PcscCard {
    /// Gives power to the card in the reader of that name.
    pub(crate) fn insert(name: &str) -> Result<Self, PcscCardError> {
        let context = Context::establish(Scope::System)?;
        let readers = match context.list_readers_owned() {
            Err(pcsc::Error::NoReadersAvailable) => Vec::new(),
            readers => readers?,
        };
        let reader = choose(&readers, name)?;
        let card = context.connect(reader, ShareMode::Exclusive, Protocols::T1)?;
        Ok(Self {
            card,
            buffer: vec![0; MAX_BUFFER_SIZE_EXTENDED],
        })
    }
}

impl Transport for PcscCard {
    type Error = PcscCardError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, PcscCardError> {
        let answer = self.card.transmit(command, &mut self.buffer)?;
        let (length, answer) = (answer.len(), Zeroizing::new(answer.to_vec()));
        self.buffer.iter_mut().take(length).for_each(Zeroize::zeroize);
        Ok(answer)
    }
}

/// Waits until there is a card in the reader of that name, or none.
pub(crate) fn wait(name: &str, present: bool) -> Result<(), PcscCardError> {
    let context = Context::establish(Scope::System)?;
    let readers = context.list_readers_owned()?;
    let mut states = [ReaderState::new(choose(&readers, name)?.clone(), State::UNAWARE)];
    loop {
        match context.get_status_change(WAIT, &mut states) {
            Ok(()) | Err(pcsc::Error::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
        for state in &mut states {
            if state.event_state().contains(State::PRESENT) == present {
                return Ok(());
            }
            state.sync_current_state();
        }
    }
}

/// Finds the reader of exactly that name: whoever personalises the wrong card has spoilt it.
fn choose<'a>(readers: &'a [CString], name: &str) -> Result<&'a CString, PcscCardError> {
    let found = readers.iter().find(|reader| reader.to_bytes() == name.as_bytes());
    found.ok_or_else(|| {
        let names: Vec<_> = readers.iter().map(|reader| reader.to_string_lossy()).collect();
        PcscCardError::NoReader {
            name: name.to_owned(),
            there: if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_is_named_exactly() {
        let readers = [c"Alpha 00 00".to_owned(), c"Alpha 00 01".to_owned()];
        assert_eq!(choose(&readers, "Alpha 00 01").unwrap(), &readers[1]);
        let error = choose(&readers, "Alpha").unwrap_err().to_string();
        assert!(error.contains("Alpha 00 00, Alpha 00 01"), "{error}");
        let error = choose(&[], "Alpha").unwrap_err().to_string();
        assert!(error.contains("there is none"), "{error}");
    }

    #[test]
    fn what_pcsc_says_becomes_a_cause_with_a_remedy() {
        use pcsc::Error as E;
        for (error, said) in [
            (E::NoService, "start pcscd"),
            (E::NoSmartcard, "insert one"),
            (E::SharingViolation, "another program"),
            (E::ResetCard, "taken out or reset"),
            (E::NoMemory, "the card reader fails"),
        ] {
            let text = PcscCardError::from(error).to_string();
            assert!(text.contains(said), "{error:?}: {text}");
        }
    }
}
