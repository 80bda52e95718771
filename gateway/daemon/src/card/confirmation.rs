//! The technician's confirmation of a binding: the last characters of the GUID, read from the card's label.

use model::CardId;
use serde::{Deserialize, Serialize};

use super::obstacle::Obstacle;
use super::standing::Standing;
use crate::codes::card as codes;
use crate::report::Chain;

/// How many characters of the GUID are wanted.
const CHARACTERS: usize = 4;

/// A binding that was confirmed and is burned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// The GUID of the card.
    pub(crate) guid: CardId,
}

/// The reason why a card was not bound although somebody confirmed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConfirmed {
    /// The gateway is bound already.
    #[error("this gateway is bound to the card {card} already, for good")]
    AlreadyBound {
        /// The GUID that was burned.
        card: CardId,
    },
    /// These are not the last characters of the GUID.
    #[error("the GUID of the card in the reader does not end like that; compare it with the card's label")]
    OtherCard,
    /// Something keeps the card from being bound.
    #[error("the card in the reader was not bound: {cause}")]
    Obstacle {
        /// The stable code.
        code: &'static str,
        /// What it is.
        cause: String,
    },
}

impl NotConfirmed {
    pub(super) fn of(obstacle: &Obstacle) -> Self {
        Self::Obstacle {
            code: obstacle.code(),
            cause: format!("{}. {}", Chain(obstacle), obstacle.remedy()),
        }
    }

    pub(super) fn of_standing(standing: &Standing) -> Self {
        let code = standing
            .obstacle
            .map_or_else(|| standing.state.code(), |obstacle| obstacle.code);
        let remedy = standing
            .obstacle
            .map_or_else(|| standing.state.remedy(), |obstacle| obstacle.remedy);
        let detail = standing
            .detail
            .as_deref()
            .unwrap_or_else(|| standing.state.cause());
        Self::Obstacle {
            code,
            cause: format!("{detail}. {remedy}"),
        }
    }

    /// Returns the stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyBound { .. } => codes::ALREADY_BOUND.code,
            Self::OtherCard => codes::OTHER_CHARACTERS.code,
            Self::Obstacle { code, .. } => code,
        }
    }
}

/// What `smgw binding confirm` asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    /// The last characters of the GUID.
    pub(crate) characters: String,
}

/// Returns whether these are the last four characters of the GUID: of its text, or of its 32 hexadecimal digits. The
/// text leaves zeros out, a label may have them.
pub(crate) fn are_last_characters(guid: CardId, characters: &str) -> bool {
    let characters = characters.to_ascii_lowercase();
    let texts = [guid.to_string(), hex::encode(guid.to_bytes())];
    characters.len() == CHARACTERS && texts.iter().any(|text| text.ends_with(&characters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_four_characters_are_taken_as_written_on_a_label_or_on_a_screen() {
        let guid: CardId = "fd5a:5d5e::12:a3f".parse().unwrap();
        for good in ["0a3f", "0A3F", ":a3f", ":A3F"] {
            assert!(are_last_characters(guid, good), "{good}");
        }
        for bad in ["", "f", "a3f", "2:a3f", "00120a3f", "0a3e", "fd5a", " a3f"] {
            assert!(!are_last_characters(guid, bad), "{bad}");
        }
    }
}
