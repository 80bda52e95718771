//! Readers: where a card can be inserted, and why one cannot be reached.

use card::Transport;

use super::removal::Sight;

#[cfg(all(test, feature = "soft-card"))]
use super::slot::Slot;
#[cfg(all(test, feature = "soft-card"))]
use crate::config::CardSlot;

/// Whether this build can use a card in a file; such a build is never for production.
pub(crate) const SOFT_CARD: bool = cfg!(feature = "soft-card");

/// A card that is inserted and has power.
pub(crate) type Reader = Box<dyn Transport<Error = ReaderError> + Send>;

/// The reason why a card cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReaderError {
    /// There is no card in the reader.
    #[error("there is no card in the reader")]
    NoCard,
    /// No reader is attached.
    #[error("no card reader is attached")]
    NoReader,
    /// More than one reader is attached, and none is named.
    #[error("several card readers are attached; name one in [card] reader: {names}")]
    SeveralReaders {
        /// Their names.
        names: String,
    },
    /// The reader that is named is not attached.
    #[error("the card reader {name:?} is not attached; there is {there}")]
    OtherReaders {
        /// The name in the configuration.
        name: String,
        /// The names of those that are attached.
        there: String,
    },
    /// pcscd does not run.
    #[error("the smart card service does not answer; start pcscd")]
    NoService,
    /// pcscd's policy keeps the daemon out.
    #[error("the smart card service does not permit this user to use cards; see its polkit rules")]
    NotPermitted,
    /// Another program has the card.
    #[error("the card is in use by another program")]
    InUse,
    /// The card does not answer to power and reset.
    #[error("the card does not answer; put it in the right way round, or clean its contacts")]
    Mute,
    /// The card does not speak T=1.
    #[error("the card does not speak T=1 and is no card for a gateway")]
    OtherProtocol,
    /// The card was taken out, exchanged or reset under an open session.
    #[error("the card was taken out or reset while it was in use")]
    Lost,
    /// A call to the reader does not come back.
    #[error("the card reader does not come back from a command")]
    Hangs,
    /// The system gave no thread for the reader.
    #[error("the system gives no thread for the card reader")]
    Thread(#[source] std::io::Error),
    /// The reader or pcscd fails in another way.
    #[error("the card reader fails")]
    Pcsc(#[source] pcsc::Error),
    /// The card's file cannot be read or written.
    #[cfg(feature = "soft-card")]
    #[error("the soft card's file is out of reach")]
    File(#[from] std::io::Error),
    /// The card's file is damaged.
    #[cfg(feature = "soft-card")]
    #[error("the soft card's file is no card")]
    Damaged(#[from] card::applet::CardStateError),
}

impl From<pcsc::Error> for ReaderError {
    fn from(error: pcsc::Error) -> Self {
        use pcsc::Error as E;
        match error {
            E::NoSmartcard => Self::NoCard,
            E::NoReadersAvailable | E::UnknownReader | E::ReaderUnavailable => Self::NoReader,
            E::NoService | E::ServiceStopped | E::CommError | E::InvalidHandle => Self::NoService,
            E::SecurityViolation => Self::NotPermitted,
            E::SharingViolation => Self::InUse,
            E::UnresponsiveCard | E::UnpoweredCard => Self::Mute,
            E::ProtoMismatch | E::UnsupportedCard => Self::OtherProtocol,
            E::NotTransacted | E::RemovedCard | E::ResetCard => Self::Lost,
            error => Self::Pcsc(error),
        }
    }
}

impl ReaderError {
    /// Returns what it says about where the bound card is.
    pub(super) const fn sight(&self) -> Sight {
        match self {
            Self::NoCard => Sight::Out,
            Self::NoReader
            | Self::SeveralReaders { .. }
            | Self::OtherReaders { .. }
            | Self::NoService
            | Self::NotPermitted
            | Self::InUse
            | Self::Thread(_) => Sight::Blind,
            Self::Mute | Self::OtherProtocol | Self::Lost | Self::Hangs | Self::Pcsc(_) => Sight::Unclear,
            #[cfg(feature = "soft-card")]
            Self::File(_) | Self::Damaged(_) => Sight::Unclear,
        }
    }
}

/// Gives power to the card in a slot that nobody else knows.
#[cfg(all(test, feature = "soft-card"))]
pub(super) fn power_on(place: &CardSlot) -> Result<Reader, ReaderError> {
    Slot::new(place.clone()).power_on()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pcsc_says_becomes_a_cause_with_a_remedy() {
        use pcsc::Error as E;
        for (error, said) in [
            (E::NoSmartcard, "no card in the reader"),
            (E::NoReadersAvailable, "no card reader"),
            (E::NoService, "start pcscd"),
            (E::ServiceStopped, "start pcscd"),
            (E::CommError, "start pcscd"),
            (E::SecurityViolation, "polkit"),
            (E::SharingViolation, "another program"),
            (E::UnresponsiveCard, "right way round"),
            (E::UnpoweredCard, "right way round"),
            (E::ProtoMismatch, "T=1"),
            (E::NotTransacted, "while it was in use"),
            (E::RemovedCard, "while it was in use"),
            (E::ResetCard, "while it was in use"),
            (E::NoMemory, "the card reader fails"),
        ] {
            let text = ReaderError::from(error).to_string();
            assert!(text.contains(said), "{error:?}: {text}");
        }
    }
}
