//! Where cards are put in: the ways to a card that this build knows.

use card::Transport;
use zeroize::Zeroizing;

use crate::arguments::CardPlace;
use crate::pcsc_card::{PcscCard, PcscCardError};
#[cfg(feature = "soft-card")]
use crate::soft_card::{SoftCard, SoftCardError};

/// A card that is inserted.
#[derive(Debug)]
pub(crate) enum InsertedCard {
    /// A card in a PC/SC reader.
    Pcsc(PcscCard),
    /// A card in a file.
    #[cfg(feature = "soft-card")]
    Soft(Box<SoftCard>),
}

/// The reason why a card cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReaderError {
    /// The card in the reader fails.
    #[error(transparent)]
    Pcsc(#[from] PcscCardError),
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
    pub(crate) fn insert(place: &CardPlace) -> Result<Self, ReaderError> {
        match place {
            CardPlace::Pcsc(reader) => Ok(Self::Pcsc(PcscCard::insert(reader)?)),
            #[cfg(feature = "soft-card")]
            CardPlace::Soft(file) => Ok(Self::Soft(Box::new(SoftCard::insert(file)?))),
            #[cfg(not(feature = "soft-card"))]
            CardPlace::Soft(_) => Err(ReaderError::NoSoftCard),
        }
    }
}

impl Transport for InsertedCard {
    type Error = ReaderError;

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        match self {
            Self::Pcsc(card) => Ok(card.transmit(command)?),
            #[cfg(feature = "soft-card")]
            Self::Soft(card) => Ok(card.transmit(command)?),
        }
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
