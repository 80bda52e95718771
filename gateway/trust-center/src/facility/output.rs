//! What the acts of two facilities print as their results.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use messages::certificate::PartyName;
use model::{CardId, Fingerprint};
use serde::Serialize;

use crate::books::DeliveryId;
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
    /// Of `facility order` and `facility import`.
    #[serde(rename = "trust-center.facility-stock/1")]
    Stock {
        /// The GUIDs of the material that has arrived.
        guids: Vec<CardId>,
    },
    /// Of `facility report`.
    #[serde(rename = "trust-center.facility-report/1")]
    Report,
}

impl FacilityOutput {
    /// Prints the result on the standard output.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        print(self, json, Self::sentence)
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
            Self::Stock { guids } => {
                format!("The material of {} cards is here.", guids.len())
            }
            Self::Report => "The trust centre knows what became of the cards.".to_owned(),
        }
    }
}
