//! Readers: where a card can be inserted.

use card::Transport;

use crate::config::CardSlot;

/// Whether this build can use a card in a file; such a build is never for production.
pub(crate) const SOFT_CARD: bool = cfg!(feature = "soft-card");

/// A card that is inserted and has power.
pub(crate) type Reader = Box<dyn Transport<Error = ReaderError> + Send>;

/// The reason why a card cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReaderError {
    /// There is no card in the reader.
    #[cfg(feature = "soft-card")]
    #[error("there is no card in the reader")]
    NoCard,
    /// No reader is configured.
    #[error("no reader is configured")]
    NoReader,
    /// The card's file is in use by another program.
    #[cfg(feature = "soft-card")]
    #[error("the soft card is in use by another program")]
    InUse,
    /// The card's file cannot be read or written.
    #[cfg(feature = "soft-card")]
    #[error("the soft card's file is out of reach")]
    File(#[from] std::io::Error),
    /// The card's file is damaged.
    #[cfg(feature = "soft-card")]
    #[error("the soft card's file is no card")]
    Damaged(#[from] card::applet::CardStateError),
}

/// Gives power to the card in the slot, if there is one.
pub(super) fn power_on(slot: &CardSlot) -> Result<Reader, ReaderError> {
    match slot {
        CardSlot::None => Err(ReaderError::NoReader),
        #[cfg(feature = "soft-card")]
        CardSlot::Soft(file) => Ok(Box::new(super::soft::SoftCard::insert(file)?)),
    }
}
