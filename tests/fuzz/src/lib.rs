//! What the card's targets share: a card in every state, its partners in miniature, and a judge.

pub mod card_world;
