//! The head of the gateway's store, which the card keeps so that an older store is noticed.

use model::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::tlv;
use crate::{FileContentError, FileId};

/// Counter and hash of the head of the gateway's store; the counter grows by one at a time.
///
/// File content: `80` counter (8 bytes, big-endian), `81` hash (32 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHead {
    /// The counter; 0 before the first head.
    pub counter: u64,
    /// The hash of everything that the store held when the counter had this value.
    pub hash: Fingerprint,
}

/// What the head that a card keeps says about the store of its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadVerdict {
    /// The store is the one that the card knows.
    Current,
    /// The store is one step ahead: its write was the last before a cut. The card is told now.
    OneStepAhead,
    /// The store is older than the one that the card knows: it was set back.
    Older,
    /// The store is not the one that the card knows, nor its successor.
    Foreign,
}

impl StoreHead {
    /// The head that a card keeps before it is told the first one.
    pub const NONE: Self = Self {
        counter: 0,
        hash: Fingerprint::new([0; 32]),
    };

    const ERROR: FileContentError = FileContentError {
        file: FileId::StoreHead,
    };

    /// Judges the store by the head that the card keeps.
    ///
    /// `store` is the store's head, and `before` the hash that it had one step before.
    #[must_use]
    pub fn judge(&self, store: &Self, before: &Fingerprint) -> HeadVerdict {
        if store == self {
            HeadVerdict::Current
        } else if self.is_followed_by(store) && *before == self.hash {
            HeadVerdict::OneStepAhead
        } else if store.counter < self.counter {
            HeadVerdict::Older
        } else {
            HeadVerdict::Foreign
        }
    }

    /// Returns whether the other head is one step further.
    pub(crate) const fn is_followed_by(&self, next: &Self) -> bool {
        matches!(self.counter.checked_add(1), Some(counter) if counter == next.counter)
    }

    /// Returns the file content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let counter = self.counter.to_be_bytes();
        tlv::encode([(0x80, &counter), (0x81, self.hash.as_bytes())]).unwrap_or_default()
    }

    /// Reads the file content.
    ///
    /// # Errors
    ///
    /// [`FileContentError`] if it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileContentError> {
        let [counter, hash] = tlv::exactly(bytes, [0x80, 0x81]).map_err(|_| Self::ERROR)?;
        Ok(Self {
            counter: u64::from_be_bytes(counter.try_into().map_err(|_| Self::ERROR)?),
            hash: Fingerprint::try_from(hash).map_err(|_| Self::ERROR)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn head(counter: u64, hash: u8) -> StoreHead {
        StoreHead {
            counter,
            hash: Fingerprint::new([hash; 32]),
        }
    }

    #[test]
    fn the_store_is_judged_by_what_the_card_keeps() {
        let card = head(7, 7);
        let judge = |store: StoreHead, before: u8| card.judge(&store, &Fingerprint::new([before; 32]));
        assert_eq!(judge(head(7, 7), 6), HeadVerdict::Current);
        assert_eq!(judge(head(8, 8), 7), HeadVerdict::OneStepAhead);
        assert_eq!(judge(head(8, 8), 6), HeadVerdict::Foreign);
        assert_eq!(judge(head(6, 6), 5), HeadVerdict::Older);
        assert_eq!(judge(head(7, 8), 6), HeadVerdict::Foreign);
        assert_eq!(judge(head(9, 9), 8), HeadVerdict::Foreign);
    }

    #[test]
    fn the_last_counter_has_no_successor() {
        assert!(!head(u64::MAX, 1).is_followed_by(&head(0, 1)));
    }

    #[test]
    fn contents_read_back() {
        assert_eq!(StoreHead::parse(&head(5, 9).to_bytes()), Ok(head(5, 9)));
        assert_eq!(StoreHead::parse(&[0x80, 0]), Err(StoreHead::ERROR));
    }
}
