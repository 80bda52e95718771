//! The once-only tie of card and gateway.

use serde::{Deserialize, Serialize};

use crate::{CardId, Fingerprint, GatewayId, Timestamp};

/// What the gateway burns when it binds itself to a card; it can never be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The card's GUID. Data flows only while the card that is inserted has the same.
    pub card: CardId,
    /// The digest of the card's SIG public key (SubjectPublicKeyInfo), so that a card with the
    /// same GUID but other keys is noticed.
    pub card_key: Fingerprint,
    /// The gateway's identity, which the card has stored.
    pub gateway: GatewayId,
    /// When the binding was made, by the gateway's clock.
    pub time: Timestamp,
}
