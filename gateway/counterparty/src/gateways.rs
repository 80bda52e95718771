//! The gateways that a party knows: `gateways/<GUID with dashes>/{sig,enc,tls}.pem`.
//!
//! The trust centre puts the certificates there. They are judged by the root at every use, so that
//! whoever can write the folder can still not pass for a gateway.

use std::path::{Path, PathBuf};

use messages::certificate::{Certificate, CertificateError, Role, Triple, TrustAnchor, VerifiedParty};
use model::{CardId, KeySlot, Timestamp};

use crate::files::{self, Access, FileError};

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

/// The reason why a certificate was not put into a folder.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The certificate cannot be encoded.
    #[error("the certificate cannot be written as PEM")]
    Pem(#[source] CertificateError),
    /// The file cannot be written.
    #[error("the certificate cannot be kept; free the disk")]
    File(#[from] FileError),
}

/// The folder with the certificates of one gateway's card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFolder {
    guid: CardId,
    path: PathBuf,
}

impl CardFolder {
    /// Names the folder of a gateway's card in the home of a party; there need not be one.
    #[must_use]
    pub fn of_gateway(home: &Path, guid: CardId) -> Self {
        let path = home.join("gateways").join(folder_name(guid));
        Self { guid, path }
    }

    /// Returns the certificates, judged by the root: they are this card's.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] if they are not there, cannot be read or do not hold.
    pub fn read(&self, anchor: &TrustAnchor, now: Timestamp) -> Result<VerifiedParty, GatewayError> {
        let guid = self.guid;
        let certificates = Triple {
            sig: self.read_one(KeySlot::Sig)?,
            enc: self.read_one(KeySlot::Enc)?,
            tls: self.read_one(KeySlot::Tls)?,
        };
        let party = anchor
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

    /// Writes all three certificates, for whoever is to know them, and makes the folder if need be.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if one cannot be written.
    pub fn write(&self, card: &VerifiedParty) -> Result<(), PublishError> {
        self.write_one(KeySlot::Sig, card.sig.certificate())?;
        self.write_one(KeySlot::Enc, card.enc.certificate())?;
        self.write_one(KeySlot::Tls, card.tls.certificate())
    }

    /// Writes one certificate, or replaces it, and makes the folder if need be.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if it cannot be written.
    pub fn write_one(&self, slot: KeySlot, certificate: &Certificate) -> Result<(), PublishError> {
        files::make_folder(&self.path)?;
        let pem = certificate.to_pem().map_err(PublishError::Pem)?;
        Ok(files::replace(&self.file(slot), pem.as_bytes(), Access::Public)?)
    }

    fn read_one(&self, slot: KeySlot) -> Result<Certificate, GatewayError> {
        let (guid, path) = (self.guid, self.file(slot));
        let text = files::read_text(&path, Certificate::MAX_PEM).map_err(|source| match source {
            FileError::Missing { .. } => GatewayError::Unknown { guid },
            source => GatewayError::File { guid, source },
        })?;
        Certificate::from_pem(&text).map_err(|source| GatewayError::Certificate { path, source })
    }

    fn file(&self, slot: KeySlot) -> PathBuf {
        self.path.join(format!("{slot}.pem"))
    }
}

/// Returns the name of the folder of a card: its GUID, with dashes for the colons.
#[must_use]
pub fn folder_name(guid: CardId) -> String {
    guid.to_string().replace(':', "-")
}
