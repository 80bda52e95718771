//! What the acts of two facilities print as their results.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use messages::certificate::{PartyName, VerifiedParty};
use model::{CardId, Fingerprint};
use serde::Serialize;

use crate::books::{DeliveryId, PendingDelivery};
use crate::output::print;

/// The result of an act.
#[derive(Debug, Serialize)]
#[serde(tag = "schema")]
pub(crate) enum FacilityOutput {
    /// Of `certify-facility`.
    #[serde(rename = "trust-center.certify-facility/1")]
    Certified {
        /// The facility's name.
        name: PartyName,
        /// The SIG certificate.
        fingerprint: Fingerprint,
    },
    /// Of `facility init`.
    #[serde(rename = "trust-center.facility-init/1")]
    Init {
        /// The facility's name.
        name: PartyName,
    },
    /// Of `facility serve`, once it listens.
    #[serde(rename = "trust-center.facility/1")]
    Serve {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// Of `facility answer` and `facility report --out`.
    #[serde(rename = "trust-center.facility-file/1")]
    File {
        /// The file for the other side.
        file: PathBuf,
    },
    /// Of `facility export`.
    #[serde(rename = "trust-center.facility-export/1")]
    Export {
        /// The delivery's name.
        delivery: DeliveryId,
        /// The file for the facility.
        file: PathBuf,
    },
    /// Of `facility deliveries`.
    #[serde(rename = "trust-center.facility-deliveries/1")]
    Deliveries {
        /// What is pending, oldest first.
        deliveries: Vec<PendingDelivery>,
    },
    /// Of `facility cancel`.
    #[serde(rename = "trust-center.facility-cancel/1")]
    Cancelled {
        /// The delivery's name.
        delivery: DeliveryId,
        /// For whom it was.
        facility: PartyName,
        /// The GUIDs of its cards.
        guids: Vec<CardId>,
    },
    /// Of `facility order` and `facility import`.
    #[serde(rename = "trust-center.facility-stock/1")]
    Stock {
        /// The GUIDs of the material that has arrived.
        guids: Vec<CardId>,
    },
    /// Of `facility discard`.
    #[serde(rename = "trust-center.facility-discard/1")]
    Discarded {
        /// The GUID, which is used up.
        guid: CardId,
    },
    /// Of `facility personalize`.
    #[serde(rename = "trust-center.facility-personalize/1")]
    Made {
        /// The card's GUID.
        guid: CardId,
        /// The SIG certificate.
        sig: Fingerprint,
        /// The ENC certificate.
        enc: Fingerprint,
        /// The TLS certificate.
        tls: Fingerprint,
    },
    /// Of `facility personalize --batch`.
    #[serde(rename = "trust-center.facility-batch/1")]
    Batch {
        /// The batch's name.
        batch: String,
        /// The GUIDs of its cards.
        guids: Vec<CardId>,
        /// How many cards of this run were not completed.
        failed: u32,
    },
    /// Of `facility report`.
    #[serde(rename = "trust-center.facility-report/1")]
    Report,
}

impl FacilityOutput {
    pub(crate) fn made(guid: CardId, card: &VerifiedParty) -> Self {
        Self::Made {
            guid,
            sig: card.sig.certificate().fingerprint(),
            enc: card.enc.certificate().fingerprint(),
            tls: card.tls.certificate().fingerprint(),
        }
    }

    /// Prints the result on the standard output.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        print(json, self, || self.sentence())
    }

    fn sentence(&self) -> String {
        match self {
            Self::Certified { name, fingerprint } => {
                format!(
                    "The facility {name} is certified. Its SIG certificate has the SHA-256 {fingerprint}."
                )
            }
            Self::Init { name } => {
                format!("Keys, requests and books of {name} are made. Have the trust centre certify them.")
            }
            Self::Serve { listen } => format!("Facilities are served at {listen}."),
            Self::File { file } => {
                format!("{} is written; carry it to the other facility.", file.display())
            }
            Self::Export { delivery, file } => format!(
                "Delivery {delivery} is in {}. It is pending until its confirmation is here.",
                file.display()
            ),
            Self::Deliveries { deliveries } => {
                let line = |pending: &PendingDelivery| {
                    format!(
                        "{}  {}  {} cards for {}\n",
                        pending.delivery, pending.given, pending.cards, pending.facility
                    )
                };
                let lines: String = deliveries.iter().map(line).collect();
                format!("{lines}{} deliveries are pending.", deliveries.len())
            }
            Self::Cancelled {
                delivery,
                facility,
                guids,
            } => format!(
                "Delivery {delivery} for {facility} is cancelled, and the certificates of its {} cards are revoked.",
                guids.len()
            ),
            Self::Stock { guids } => {
                format!("The material of {} cards is here.", guids.len())
            }
            Self::Discarded { guid } => {
                format!(
                    "The material of {guid} is gone. Tell the trust centre with `trust-center facility report`."
                )
            }
            Self::Made { guid, sig, .. } => {
                format!("The card is made. Its GUID is {guid}, its SIG certificate has the SHA-256 {sig}.")
            }
            Self::Batch { batch, guids, failed } => format!(
                "Batch {batch} is complete: {} cards. {failed} cards of this run were not completed.",
                guids.len()
            ),
            Self::Report => "The trust centre knows what became of the cards.".to_owned(),
        }
    }
}
