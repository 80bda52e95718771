//! The gateways that the supplier knows: `gateways/<GUID with dashes>/{sig,enc,tls}.pem`.
//!
//! The trust centre puts the certificates there. They are judged by the root at every use, so that
//! whoever can write the folder can still not pass for a gateway.

use std::path::PathBuf;

use counterparty::files::{self, FileError};
use messages::certificate::{Certificate, CertificateError, Role, Triple, VerifiedParty};
use model::{CardId, KeySlot, Timestamp};

use crate::home::Home;

/// The reason why the certificates of a gateway cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The gateway is not known.
    #[error(
        "the gateway {guid} is not known; have the trust centre install a grant on it (`trust-center install`)"
    )]
    Unknown {
        /// The GUID of the gateway's card.
        guid: CardId,
    },
    /// A file cannot be read.
    #[error("the certificates of the gateway {guid} cannot be read")]
    File {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// Why not.
        #[source]
        source: FileError,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate; have the trust centre install the grant again", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// The certificates do not hold.
    #[error("the certificates of the gateway {guid} do not hold; ask the trust centre")]
    Refused {
        /// The GUID of the gateway's card.
        guid: CardId,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// The certificates are another gateway's.
    #[error("the certificates of the gateway {guid} are those of {found:?}; ask the trust centre")]
    Foreign {
        /// The GUID that was asked for.
        guid: CardId,
        /// The GUID that they name.
        found: Option<CardId>,
    },
}

impl Home {
    /// Returns the certificates of a gateway's card, judged by the root.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] if the supplier does not know the gateway, or its certificates do not hold.
    pub fn gateway(&self, guid: CardId, now: Timestamp) -> Result<VerifiedParty, GatewayError> {
        let certificates = Triple {
            sig: self.read(guid, KeySlot::Sig)?,
            enc: self.read(guid, KeySlot::Enc)?,
            tls: self.read(guid, KeySlot::Tls)?,
        };
        let party = self
            .anchor()
            .verify_party(&certificates, now, Role::Card)
            .map_err(|source| GatewayError::Refused { guid, source })?;
        if party.card_id == Some(guid) {
            return Ok(party);
        }
        Err(GatewayError::Foreign {
            guid,
            found: party.card_id,
        })
    }

    fn read(&self, guid: CardId, slot: KeySlot) -> Result<Certificate, GatewayError> {
        let folder = self.folder().join("gateways");
        let path = folder
            .join(guid.to_string().replace(':', "-"))
            .join(format!("{slot}.pem"));
        let text = files::read_text(&path, Certificate::MAX_PEM).map_err(|source| match source {
            FileError::Missing { .. } => GatewayError::Unknown { guid },
            source => GatewayError::File { guid, source },
        })?;
        Certificate::from_pem(&text).map_err(|source| GatewayError::Certificate { path, source })
    }
}
