//! Where cards are put in: the ways to a card that this build knows.

use card::Transport;
use zeroize::Zeroizing;

use crate::arguments::CardPlace;
#[cfg(feature = "soft-card")]
use crate::soft_card::{SoftCard, SoftCardError};

/// A card that is inserted. A build without any way to a card has none.
#[derive(Debug)]
pub(crate) enum InsertedCard {
    /// A card in a file.
    #[cfg(feature = "soft-card")]
    Soft(SoftCard),
}

/// The reason why a card cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReaderError {
    /// The soft card fails.
    #[cfg(feature = "soft-card")]
    #[error(transparent)]
    Soft(#[from] SoftCardError),
    /// This build knows no soft cards.
    #[cfg(not(feature = "soft-card"))]
    #[error("this build has no soft card, as is proper in production; build it with the feature soft-card")]
    NoSoftCard,
}

impl InsertedCard {
    /// Inserts the card of a place.
    #[cfg(feature = "soft-card")]
    pub(crate) fn insert(place: &CardPlace) -> Result<Self, ReaderError> {
        let CardPlace::Soft(file) = place;
        Ok(Self::Soft(SoftCard::insert(file)?))
    }

    /// Inserts the card of a place.
    #[cfg(not(feature = "soft-card"))]
    pub(crate) const fn insert(place: &CardPlace) -> Result<Self, ReaderError> {
        let CardPlace::Soft(_) = place;
        Err(ReaderError::NoSoftCard)
    }
}

impl Transport for InsertedCard {
    type Error = ReaderError;

    #[cfg(feature = "soft-card")]
    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        let Self::Soft(card) = self;
        Ok(card.transmit(command)?)
    }

    #[cfg(not(feature = "soft-card"))]
    fn transmit(&mut self, _command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        match *self {}
    }
}

#[cfg(all(test, not(feature = "soft-card")))]
mod tests {
    use super::*;

    #[test]
    fn production_refuses_soft_cards() {
        let refused = InsertedCard::insert(&CardPlace::Soft("card".into()));
        assert!(matches!(refused, Err(ReaderError::NoSoftCard)));
    }
}
