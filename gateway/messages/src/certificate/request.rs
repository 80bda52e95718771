//! Requests for certificates (PKCS#10), with proof that the requester has the key.
//!
//! Spec: RFC 2986; the slot stands as key usage in an extensionRequest (RFC 2985, section 5.4.2).

use std::fmt;

use const_oid::ObjectIdentifier;
use der::asn1::BitString;
use der::{Decode, Encode, pem};
use model::KeySlot;
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};

use crate::certificate::profile::{IssueError, sign_bytes, signature_algorithm};
use crate::certificate::{CertificateError, SIGNATURE_ALGORITHM, Subject, SubjectError, extensions};
use crate::keys::{PointError, PublicPoint, Signer, signature_from_der};

/// A request for a certificate, whose sender has proved to have the private key.
///
/// Nobody has checked whether the sender is who it says it is; that is the trust centre's task.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificationRequest {
    der: Vec<u8>,
    subject: Subject,
    slot: KeySlot,
    public_key: PublicPoint,
}

impl CertificationRequest {
    /// The greatest size in DER; ours have some 350 bytes.
    pub const MAX_DER: usize = 4_096;
    /// The greatest size in PEM: base64, line ends, and some text around it.
    pub const MAX_PEM: usize = 8_192;

    const PEM_LABEL: &str = "CERTIFICATE REQUEST";

    /// Writes a request and signs it with the key that it is about.
    ///
    /// # Errors
    ///
    /// [`IssueError`] if the key does not sign or is not `public_key`.
    pub fn build<S: Signer>(
        subject: Subject,
        slot: KeySlot,
        public_key: &PublicPoint,
        mut signer: S,
    ) -> Result<Self, IssueError<S::Error>> {
        let mut info = CertReqInfo {
            version: Version::V1,
            subject: subject.to_name()?,
            public_key: SubjectPublicKeyInfoOwned::from_der(&public_key.to_spki())?,
            attributes: Default::default(),
        };
        let extensions = ExtensionReq(extensions::for_slot(slot)?);
        info.attributes.insert(Attribute::try_from(extensions)?)?;
        let signature = sign_bytes(&info.to_der()?, public_key, &mut signer)?;
        let request = CertReq {
            info,
            algorithm: signature_algorithm(),
            signature: BitString::from_bytes(&signature)?,
        };
        Ok(Self {
            der: request.to_der()?,
            subject,
            slot,
            public_key: *public_key,
        })
    }

    /// Reads a request from DER and checks the proof of possession.
    ///
    /// # Errors
    ///
    /// [`RequestError`] names the first thing that is wrong.
    pub fn from_der(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > Self::MAX_DER {
            return Err(RequestError::TooLarge { size: bytes.len() });
        }
        let request = CertReq::from_der(bytes).map_err(RequestError::Malformed)?;
        if request.to_der().map_err(RequestError::Malformed)? != bytes {
            return Err(RequestError::NotCanonical);
        }
        let public_key = PublicPoint::try_from(&request.info.public_key).map_err(RequestError::PublicKey)?;
        check_possession(&request, &public_key)?;
        let subject = Subject::from_name(&request.info.subject).map_err(RequestError::Subject)?;
        let slot = extensions::slot(&requested_extensions(&request)?)
            .map_err(|error| RequestError::Slot(Some(error)))?
            .ok_or(RequestError::Slot(None))?;
        Ok(Self {
            der: bytes.to_vec(),
            subject,
            slot,
            public_key,
        })
    }

    /// Reads a request of any form from PEM, and returns the key that its sender has proved to have.
    ///
    /// What the request says about itself is not read: whoever calls this knows it from elsewhere.
    ///
    /// # Errors
    ///
    /// [`RequestError`] names the first thing that is wrong.
    pub fn proven_key(text: &str) -> Result<PublicPoint, RequestError> {
        if text.len() > Self::MAX_PEM {
            return Err(RequestError::TooLarge { size: text.len() });
        }
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| RequestError::Pem)?;
        if label != Self::PEM_LABEL {
            return Err(RequestError::Pem);
        }
        let request = CertReq::from_der(&der).map_err(RequestError::Malformed)?;
        let key = PublicPoint::try_from(&request.info.public_key).map_err(RequestError::PublicKey)?;
        check_possession(&request, &key)?;
        Ok(key)
    }

    /// Reads a request from PEM (`BEGIN CERTIFICATE REQUEST`).
    ///
    /// # Errors
    ///
    /// [`RequestError::Pem`] if the text is not of that form, else as
    /// [`CertificationRequest::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, RequestError> {
        if text.len() > Self::MAX_PEM {
            return Err(RequestError::TooLarge { size: text.len() });
        }
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| RequestError::Pem)?;
        if label != Self::PEM_LABEL {
            return Err(RequestError::Pem);
        }
        Self::from_der(&der)
    }

    /// Writes the request as PEM.
    ///
    /// # Errors
    ///
    /// [`RequestError::Pem`] if it cannot be encoded.
    pub fn to_pem(&self) -> Result<String, RequestError> {
        pem::encode_string(Self::PEM_LABEL, pem::LineEnding::LF, &self.der).map_err(|_| RequestError::Pem)
    }

    /// Returns the DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Returns whom the certificate is to be about, as the requester says.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Returns what the key is to be used for.
    #[must_use]
    pub const fn slot(&self) -> KeySlot {
        self.slot
    }

    /// Returns the key, whose private half the requester has.
    #[must_use]
    pub const fn public_key(&self) -> &PublicPoint {
        &self.public_key
    }
}

impl fmt::Debug for CertificationRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CertificationRequest")
            .field("subject", &self.subject)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

fn check_possession(request: &CertReq, key: &PublicPoint) -> Result<(), RequestError> {
    if request.algorithm.oid != SIGNATURE_ALGORITHM || request.algorithm.parameters.is_some() {
        return Err(RequestError::UnsupportedAlgorithm {
            oid: request.algorithm.oid,
        });
    }
    let signed = request.info.to_der().map_err(RequestError::Malformed)?;
    let digest = Sha256::digest(signed).into();
    let signature = request.signature.as_bytes().and_then(signature_from_der);
    match signature {
        Some(signature) if key.verifies(&digest, &signature) => Ok(()),
        _ => Err(RequestError::ProofOfPossession),
    }
}

fn requested_extensions(request: &CertReq) -> Result<Vec<Extension>, RequestError> {
    let oid = <ExtensionReq as const_oid::AssociatedOid>::OID;
    let mut attributes = request.info.attributes.iter();
    let Some(attribute) = attributes.find(|attribute| attribute.oid == oid) else {
        return Ok(Vec::new());
    };
    let value = attribute.values.get(0).ok_or(RequestError::Slot(None))?;
    value.decode_as().map_err(RequestError::Malformed)
}

/// The reason why a request for a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request is larger than the limit.
    #[error(
        "the request has {size} bytes, more than the limit of {} in DER",
        CertificationRequest::MAX_DER
    )]
    TooLarge {
        /// The size that was given, in bytes.
        size: usize,
    },
    /// The text is no request in PEM.
    #[error("the text is no request for a certificate in PEM")]
    Pem,
    /// The bytes are no request in DER.
    #[error("the bytes are no request for a certificate in DER")]
    Malformed(#[source] der::Error),
    /// The encoding is readable but not the distinguished one.
    #[error("the request is not encoded by the distinguished rules")]
    NotCanonical,
    /// The public key is not on a supported curve.
    #[error("the request's public key cannot be used")]
    PublicKey(#[source] PointError),
    /// The signature algorithm is not ECDSA with SHA-256.
    #[error("the request is signed by the algorithm {oid}, which is not supported")]
    UnsupportedAlgorithm {
        /// The algorithm that was found.
        oid: ObjectIdentifier,
    },
    /// The request is not signed with the key that it is about.
    #[error("the requester has not proved to have the private key")]
    ProofOfPossession,
    /// The subject is not of this system's form.
    #[error("the request's subject cannot be used")]
    Subject(#[source] SubjectError),
    /// The request does not say which of the three keys it is about.
    #[error("the request does not say which of the three keys it is about")]
    Slot(#[source] Option<CertificateError>),
}
