//! What the books record.

use std::fmt;
use std::str::FromStr;

use messages::certificate::{PartyName, RevocationReason};
use messages::content::MessageId;
use model::{CardId, Fingerprint, GatewayState, Timestamp};
use serde::{Deserialize, Serialize};

use crate::books::certificates::from_hex;
use crate::books::hex;
use crate::books::requests::{Decider, RequestState};

/// What the trust centre has done.
///
/// The JSON of an act is what the hash chain covers, so a variant that has been released is never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub(crate) enum Act {
    /// It made its authority and certified the TSM.
    Founded {
        /// Its name.
        name: PartyName,
        /// The root certificate.
        root: Fingerprint,
        /// The TSM's SIG certificate.
        tsm: Fingerprint,
    },
    /// It certified a supplier.
    Certified {
        /// The supplier's name.
        name: PartyName,
        /// The SIG certificate.
        sig: Fingerprint,
        /// The ENC certificate.
        enc: Fingerprint,
        /// The TLS certificate.
        tls: Fingerprint,
    },
    /// It took over the books of an earlier version; the records before this one are theirs.
    Imported {
        /// How many records those are.
        records: u64,
        /// The SHA-256 digest of the file.
        file: Fingerprint,
    },
    /// It issued certificates.
    Issued {
        /// To whom: the name in the subject.
        name: String,
        /// The certificates, by their fingerprints.
        certificates: Vec<Fingerprint>,
    },
    /// It revoked certificates.
    Revoked {
        /// Whose: the name in the subject.
        name: String,
        /// The serial numbers, in hexadecimal digits.
        serials: Vec<String>,
        /// Why.
        reason: RevocationReason,
    },
    /// It signed a list of revoked certificates.
    ListSigned {
        /// The authority's certificate.
        issuer: Fingerprint,
        /// The list's number.
        list: u64,
        /// When the next one is due.
        next: Timestamp,
    },
    /// It gave a GUID away. Whether a card has got it or not, it is never given again.
    GuidGiven {
        /// The GUID.
        guid: CardId,
    },
    /// It completed a card.
    Personalized {
        /// The card's GUID.
        guid: CardId,
        /// The SIG certificate.
        sig: Fingerprint,
        /// The ENC certificate.
        enc: Fingerprint,
        /// The TLS certificate.
        tls: Fingerprint,
    },
    /// The card that was to get the GUID has stayed blank. The GUID is used up.
    LeftBlank {
        /// The GUID.
        guid: CardId,
    },
    /// The card that was to get the GUID may have been completed and is out of reach, or is not what it should be:
    /// it is scrap.
    Scrapped {
        /// The GUID.
        guid: CardId,
    },
    /// As TSM it set out to install a bundle.
    InstallBegun {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The bundle's version.
        version: u64,
        /// The bundle's digest.
        digest: Fingerprint,
    },
    /// The gateway reported that the bundle is in force.
    Installed {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The bundle's version.
        version: u64,
        /// The state that the gateway reported.
        state: GatewayState,
    },
    /// As TSM it set out to give a card its tries back.
    UnlockBegun {
        /// The card's GUID.
        guid: CardId,
    },
    /// The card has its tries back.
    Unlocked {
        /// The card's GUID.
        guid: CardId,
    },
    /// As TSM it set out to end a card's life.
    TerminationBegun {
        /// The card's GUID.
        guid: CardId,
    },
    /// The card has ended its life.
    Terminated {
        /// The card's GUID.
        guid: CardId,
        /// Who says so.
        witness: Witness,
    },
    /// A supplier has asked for an installation.
    Requested {
        /// The request.
        request: MessageId,
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The supplier's SIG certificate.
        supplier: Fingerprint,
        /// The digest of what it said, signed.
        content: Fingerprint,
    },
    /// A request was decided.
    Decided {
        /// The request.
        request: MessageId,
        /// Whether it was approved.
        approved: bool,
        /// By whom.
        by: Decider,
    },
    /// A request that was approved has left the queue.
    RequestEnded {
        /// The request.
        request: MessageId,
        /// What became of it.
        state: RequestState,
    },
    /// It took note of where a gateway listens.
    GatewayAddressed {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// Where, unless at its GUID.
        address: Option<String>,
    },
    /// A gateway has reported a state that is another than before.
    Reported {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// The state.
        state: GatewayState,
    },
    /// It moved its books to a server; the records before this one are those of the file.
    BooksMoved {
        /// How many records those are.
        records: u64,
        /// The hash of the last of them.
        head: Fingerprint,
    },
    /// It gave a second facility what cards are made of. The GUIDs have been given before.
    MaterialGiven {
        /// The delivery.
        delivery: DeliveryId,
        /// The facility's name.
        facility: PartyName,
        /// The GUIDs.
        guids: Vec<CardId>,
    },
    /// Both sides know that the delivery has arrived; the one that gave it keeps nothing of it any more.
    MaterialConfirmed {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// It gave a delivery up, or, as second facility, knows that the trust centre has: nothing of it is to become a card.
    MaterialCancelled {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// As second facility it set out to get what cards are made of.
    MaterialOrdered {
        /// The delivery.
        delivery: DeliveryId,
        /// The name of the trust centre.
        facility: PartyName,
    },
    /// As second facility it has got what cards are made of.
    MaterialReceived {
        /// The delivery.
        delivery: DeliveryId,
        /// The GUIDs.
        guids: Vec<CardId>,
    },
    /// As second facility it set out to make a card of what it has got.
    CardBegun {
        /// The card's GUID.
        guid: CardId,
    },
    /// As second facility it has told the trust centre what became of cards.
    OutcomesReported {
        /// The cards' GUIDs.
        guids: Vec<CardId>,
    },
}

/// The name of a delivery: 16 random bytes, written as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct DeliveryId([u8; 16]);

impl DeliveryId {
    /// Makes the name from random bytes.
    pub(crate) const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&hex(&self.0))
    }
}

impl From<DeliveryId> for String {
    fn from(delivery: DeliveryId) -> Self {
        delivery.to_string()
    }
}

impl TryFrom<String> for DeliveryId {
    type Error = DeliveryIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for DeliveryId {
    type Err = DeliveryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = from_hex(text).and_then(|bytes| bytes.try_into().ok());
        // One name has one form, since files and rows are called by it.
        bytes
            .map(Self)
            .filter(|delivery| delivery.to_string() == text)
            .ok_or(DeliveryIdError)
    }
}

/// A text is no name of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delivery is named by 32 hexadecimal digits, in small letters")]
pub(crate) struct DeliveryIdError;

/// Who says that a card has ended its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Witness {
    /// The card itself, through the channel that ends in it.
    Card,
    /// Its gateway, within the connection that the card had signed for: a dead card signs no message.
    Gateway,
}

impl fmt::Display for Act {
    #[expect(clippy::too_many_lines, reason = "it is a list: a line of text for each act")]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Founded { name, .. } => write!(formatter, "founded {name}"),
            Self::Certified { name, .. } => write!(formatter, "certified {name}"),
            Self::Imported { records, .. } => write!(formatter, "took over {records} records"),
            Self::Issued { name, certificates } => {
                write!(formatter, "issued {} certificates to {name}", certificates.len())
            }
            Self::Revoked {
                name,
                serials,
                reason,
            } => write!(
                formatter,
                "revoked {} certificates of {name}: {reason}",
                serials.len()
            ),
            Self::ListSigned { issuer, list, .. } => write!(formatter, "signed list {list} of {issuer}"),
            Self::GuidGiven { guid } => write!(formatter, "gave the GUID {guid}"),
            Self::Personalized { guid, .. } => write!(formatter, "completed the card {guid}"),
            Self::LeftBlank { guid } => write!(formatter, "left the card for {guid} blank"),
            Self::Scrapped { guid } => write!(formatter, "scrapped the card {guid}"),
            Self::InstallBegun { guid, version, .. } => {
                write!(formatter, "began to install bundle {version} on {guid}")
            }
            Self::Installed { guid, version, state } => {
                write!(
                    formatter,
                    "installed bundle {version} on {guid}, which is {state}"
                )
            }
            Self::UnlockBegun { guid } => write!(formatter, "began to unlock the card {guid}"),
            Self::Unlocked { guid } => write!(formatter, "unlocked the card {guid}"),
            Self::TerminationBegun { guid } => write!(formatter, "began to terminate the card {guid}"),
            Self::Requested {
                request,
                guid,
                supplier,
                ..
            } => write!(formatter, "took request {request} of {supplier} for {guid}"),
            Self::Decided {
                request,
                approved,
                by,
            } => {
                let verdict = if *approved { "approved" } else { "rejected" };
                let by = match by {
                    Decider::Operator => "an operator",
                    Decider::Policy => "the policy",
                };
                write!(formatter, "{verdict} request {request}, by {by}")
            }
            Self::RequestEnded { request, state } => write!(formatter, "request {request} is {state}"),
            Self::GatewayAddressed { guid, address } => {
                let address = address.as_deref().unwrap_or("its GUID");
                write!(formatter, "reaches the gateway {guid} at {address}")
            }
            Self::Reported { guid, state } => write!(formatter, "heard from {guid} that it is {state}"),
            Self::Terminated { guid, witness } => {
                let witness = match witness {
                    Witness::Card => "it says itself",
                    Witness::Gateway => "its gateway reports",
                };
                write!(formatter, "terminated the card {guid}, as {witness}")
            }
            Self::BooksMoved { records, .. } => write!(formatter, "moved {records} records to a server"),
            Self::MaterialGiven {
                delivery,
                facility,
                guids,
            } => write!(
                formatter,
                "gave {facility} the material of {} cards in delivery {delivery}",
                guids.len()
            ),
            Self::MaterialConfirmed { delivery } => {
                write!(
                    formatter,
                    "kept nothing of delivery {delivery}, which has arrived"
                )
            }
            Self::MaterialCancelled { delivery } => write!(formatter, "cancelled delivery {delivery}"),
            Self::MaterialOrdered { delivery, facility } => {
                write!(formatter, "asked {facility} for delivery {delivery}")
            }
            Self::MaterialReceived { delivery, guids } => write!(
                formatter,
                "received the material of {} cards in delivery {delivery}",
                guids.len()
            ),
            Self::CardBegun { guid } => write!(formatter, "began to make the card {guid}"),
            Self::OutcomesReported { guids } => {
                write!(formatter, "reported what became of {} cards", guids.len())
            }
        }
    }
}
