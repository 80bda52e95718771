//! Certificates (X.509): reading and judging them, and the profile by which they are issued.
//!
//! Everybody has three certificates, one per key: SIG, ENC and TLS ([`model::KeySlot`]). Who somebody is
//! stands in the subject ([`Subject`]): the name, the role and, for a card, its GUID. The trust
//! centre's root certificate ([`TrustAnchor`]) is what everything is judged by. Who writes
//! certificates ([`profile`]) and who judges them ([`TrustAnchor::verify`]) share their constants.
//!
//! Spec: RFC 5280.

mod anchor;
mod error;
mod extensions;
mod party;
pub mod profile;
mod request;
mod revocation;
mod subject;

use std::borrow::Cow;
use std::fmt;

use base64ct::{Base64, Encoding};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::{Decode, Encode, pem};
use model::{Fingerprint, KeySlot, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use x509_cert::certificate::Version;

pub use anchor::{TrustAnchor, VerifiedCertificate};
pub use error::CertificateError;
pub use party::{Triple, VerifiedParty};
pub use request::{CertificationRequest, RequestError};
pub use revocation::{ListContent, Revocation, RevocationList, RevocationReason, UnknownReason};
pub use subject::{DnsName, PartyName, Role, Subject, SubjectError};

use crate::keys::PublicPoint;
use crate::time::from_asn1;

/// The only signature algorithm of certificates, requests and messages: ECDSA with SHA-256.
///
/// Spec: RFC 5758, section 3.2; the parameters are absent.
pub(crate) const SIGNATURE_ALGORITHM: ObjectIdentifier = ECDSA_WITH_SHA_256;

/// A certificate that has been read but not judged. It keeps its DER.
///
/// In JSON it is the base64 text of its DER (RFC 4648, section 4, with padding).
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    public_key: PublicPoint,
    key_identifier: Vec<u8>,
}

impl Certificate {
    /// The greatest size in DER, bounded by what a card's file holds; ours have some 600 bytes.
    pub const MAX_DER: usize = 4_096;
    /// The greatest size in PEM: base64, line ends, and some text around it.
    pub const MAX_PEM: usize = 8_192;

    const PEM_LABEL: &str = "CERTIFICATE";

    /// Reads a certificate from DER.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] if it is too large, not DER in the strict sense, its key is not on
    /// P-256, or it states no identifier of the key.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > Self::MAX_DER {
            return Err(CertificateError::TooLarge { size: bytes.len() });
        }
        let parsed = x509_cert::Certificate::from_der(bytes).map_err(CertificateError::Malformed)?;
        if parsed.to_der().map_err(CertificateError::Malformed)? != bytes {
            return Err(CertificateError::NotCanonical);
        }
        let tbs = parsed.tbs_certificate();
        if tbs.version() != Version::V3 {
            return Err(CertificateError::NotVersion3);
        }
        let public_key =
            PublicPoint::try_from(tbs.subject_public_key_info()).map_err(CertificateError::PublicKey)?;
        let key_identifier = extensions::subject_key_identifier(tbs.extensions().map_or(&[], Vec::as_slice))?
            .ok_or(CertificateError::KeyIdentifierMissing)?;
        Ok(Self {
            der: bytes.to_vec(),
            parsed,
            public_key,
            key_identifier,
        })
    }

    /// Reads a certificate from PEM (`BEGIN CERTIFICATE`), one only.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Pem`] if the text is not of that form, else as
    /// [`Certificate::from_der`].
    ///
    /// Spec: RFC 7468, section 5.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        if text.len() > Self::MAX_PEM {
            return Err(CertificateError::TooLarge { size: text.len() });
        }
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| CertificateError::Pem)?;
        if label != Self::PEM_LABEL {
            return Err(CertificateError::Pem);
        }
        Self::from_der(&der)
    }

    /// Reads the certificates of a PEM text, one after the other.
    ///
    /// # Errors
    ///
    /// As [`Certificate::from_pem`] for each of them, and [`CertificateError::Pem`] if there is none or more than
    /// [`TrustAnchor::MAX_ISSUING`].
    pub fn from_pem_chain(text: &str) -> Result<Vec<Self>, CertificateError> {
        const END: &str = "-----END CERTIFICATE-----";
        let texts: Vec<_> = text
            .split_inclusive(END)
            .filter(|text| !text.trim().is_empty())
            .collect();
        if texts.is_empty() || texts.len() > TrustAnchor::MAX_ISSUING {
            return Err(CertificateError::Pem);
        }
        texts
            .into_iter()
            .map(|text| Self::from_pem(text.trim_start()))
            .collect()
    }

    /// Writes the certificate as PEM.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Pem`] if it cannot be encoded.
    pub fn to_pem(&self) -> Result<String, CertificateError> {
        pem::encode_string(Self::PEM_LABEL, pem::LineEnding::LF, &self.der).map_err(|_| CertificateError::Pem)
    }

    /// Returns the DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the SHA-256 digest of the DER.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(Sha256::digest(&self.der).into())
    }

    /// Returns the public key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicPoint {
        &self.public_key
    }

    /// Returns the SHA-256 digest of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_digest(&self) -> Fingerprint {
        self.public_key.spki_digest()
    }

    /// Returns whom the certificate claims to be about; nobody has checked the claim.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Subject`] if the subject is not of this system's form,
    /// [`CertificateError::CardIdMismatch`] if it names another GUID than the address does.
    pub fn subject(&self) -> Result<Subject, CertificateError> {
        let subject = Subject::from_name(self.tbs().subject()).map_err(CertificateError::Subject)?;
        let address = extensions::card_id(self.extensions())?;
        if address != subject.card_id() {
            return Err(CertificateError::CardIdMismatch {
                subject: subject.card_id(),
                address,
            });
        }
        Ok(subject)
    }

    /// Returns what the key may be used for.
    ///
    /// # Errors
    ///
    /// [`CertificateError::WrongKeyUsage`] if the key usage is that of no slot.
    pub fn slot(&self) -> Result<KeySlot, CertificateError> {
        extensions::slot(self.extensions())?.ok_or(CertificateError::WrongKeyUsage)
    }

    /// Returns the first and the last second at which the certificate is valid.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Validity`] if a time cannot be represented.
    pub fn validity(&self) -> Result<(Timestamp, Timestamp), CertificateError> {
        let point = |time| from_asn1(time).ok_or(CertificateError::Validity);
        let validity = self.tbs().validity();
        Ok((point(validity.not_before)?, point(validity.not_after)?))
    }

    /// Returns the serial number, big-endian, as the certificate writes it.
    #[must_use]
    pub fn serial_number(&self) -> &[u8] {
        self.tbs().serial_number().as_bytes()
    }

    /// Returns the identifier of the issuer's key, empty if none is stated.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] if the extension is malformed.
    pub fn issuer_key_identifier(&self) -> Result<Vec<u8>, CertificateError> {
        Ok(extensions::authority_key_identifier(self.extensions())?.unwrap_or_default())
    }

    pub(crate) const fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    pub(crate) fn tbs(&self) -> &x509_cert::TbsCertificate {
        self.parsed.tbs_certificate()
    }

    pub(crate) fn extensions(&self) -> &[x509_cert::ext::Extension] {
        self.tbs().extensions().map_or(&[], Vec::as_slice)
    }

    /// Returns the identifier of the key that the certificate states; its issuer chose it.
    #[must_use]
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificate({})", self.fingerprint())
    }
}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64::encode_string(&self.der))
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        if text.len() > Self::MAX_PEM {
            let error = CertificateError::TooLarge { size: text.len() };
            return Err(serde::de::Error::custom(error));
        }
        let der = Base64::decode_vec(&text)
            .map_err(|_| serde::de::Error::custom("a certificate is written in base64"))?;
        Self::from_der(&der).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
