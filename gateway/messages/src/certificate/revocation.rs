//! Lists of revoked certificates (CRL): making, reading and judging them.
//!
//! Version 2, complete, signed by the authority that issued the certificates; the number only grows, and every list says
//! when the next one is due.
//!
//! Spec: RFC 5280, section 5.

use std::fmt;
use std::str::FromStr;

use der::asn1::BitString;
use der::{Decode, Encode, pem};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_cert::certificate::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::CrlReason;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use crate::certificate::profile::{IssueError, sign_bytes, signature_algorithm};
use crate::certificate::{Certificate, CertificateError, SIGNATURE_ALGORITHM, extensions};
use crate::keys::{Signer, signature_from_der};
use crate::time::{from_asn1, to_date_time};

/// Why a certificate was revoked.
///
/// Spec: RFC 5280, section 5.3.1; those that fit this system. A certificate is never put on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// For no reason that is told.
    Unspecified,
    /// The private key is known to somebody else, or may be.
    KeyCompromise,
    /// The key of the authority that issued the certificate is known to somebody else.
    AuthorityCompromise,
    /// The owner has another name, or is with somebody else.
    AffiliationChanged,
    /// Another certificate takes its place.
    Superseded,
    /// The owner has ceased to do what the certificate was for.
    CessationOfOperation,
    /// What the owner was permitted to do was withdrawn.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AuthorityCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// Returns the name by which the command line and the books know the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AuthorityCompromise => "authority-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    const fn to_asn1(self) -> CrlReason {
        match self {
            Self::Unspecified => CrlReason::Unspecified,
            Self::KeyCompromise => CrlReason::KeyCompromise,
            Self::AuthorityCompromise => CrlReason::CaCompromise,
            Self::AffiliationChanged => CrlReason::AffiliationChanged,
            Self::Superseded => CrlReason::Superseded,
            Self::CessationOfOperation => CrlReason::CessationOfOperation,
            Self::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
        }
    }

    /// Takes reasons that this system does not give as unspecified: the certificate is revoked all the same.
    fn from_asn1(reason: Option<CrlReason>) -> Self {
        Self::ALL
            .into_iter()
            .find(|candidate| Some(candidate.to_asn1()) == reason)
            .unwrap_or(Self::Unspecified)
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for RevocationReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

/// A text is no reason for a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reason is one of unspecified, key-compromise, authority-compromise, affiliation-changed, superseded, \
     cessation-of-operation, privilege-withdrawn"
)]
pub struct UnknownReason;

/// That a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Since when.
    pub time: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// A list of revoked certificates that has been read but not judged. It keeps its DER.
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationList {
    der: Vec<u8>,
    parsed: CertificateList,
    number: u64,
    issuer_key_identifier: Vec<u8>,
    next_update: Timestamp,
    revoked: Vec<(Vec<u8>, Revocation)>,
}

/// What a list is to say.
#[derive(Debug, Clone, Copy)]
pub struct ListContent<'a> {
    /// The list's number, greater than that of every list before.
    pub number: u64,
    /// When it is signed.
    pub time: Timestamp,
    /// When the next one is due.
    pub next: Timestamp,
    /// The serial numbers of the revoked certificates, each once.
    pub revoked: &'a [(Vec<u8>, Revocation)],
}

impl RevocationList {
    /// The greatest size in DER; an entry has some 50 bytes, so this is for 300,000 of them.
    pub const MAX_DER: usize = 16 * 1_024 * 1_024;

    const PEM_LABEL: &str = "X509 CRL";

    /// Signs a list with the authority's key.
    ///
    /// # Errors
    ///
    /// [`IssueError`] if the key does not sign, is not that of the certificate, or the list cannot be written.
    pub fn issue<S: Signer>(
        content: ListContent<'_>,
        issuer: &Certificate,
        mut signer: S,
    ) -> Result<Self, IssueError<S::Error>> {
        let time = |time| {
            to_date_time(time)
                .map(Time::from)
                .ok_or(CertificateError::Validity)
        };
        let mut revoked: Vec<RevokedCert> = Vec::with_capacity(content.revoked.len());
        for (serial, revocation) in content.revoked {
            let reason = match revocation.reason {
                RevocationReason::Unspecified => None,
                reason => Some(vec![extensions::reason(reason.to_asn1())?]),
            };
            revoked.push(RevokedCert {
                serial_number: SerialNumber::new(serial)?,
                revocation_date: time(revocation.time)?,
                crl_entry_extensions: reason,
            });
        }
        let list = TbsCertList {
            version: Version::V2,
            signature: signature_algorithm(),
            issuer: issuer.tbs().subject().clone(),
            this_update: time(content.time)?,
            next_update: Some(time(content.next)?),
            revoked_certificates: Some(revoked).filter(|revoked| !revoked.is_empty()),
            crl_extensions: Some(extensions::of_list(content.number, issuer.key_identifier())?),
        };
        let signature = sign_bytes(&list.to_der()?, issuer.public_key(), &mut signer)?;
        let list = CertificateList {
            tbs_cert_list: list,
            signature_algorithm: signature_algorithm(),
            signature: BitString::from_bytes(&signature)?,
        };
        Ok(Self::from_der(&list.to_der()?)?)
    }

    /// Reads a list from DER.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] if it is too large, not DER in the strict sense, or says something that is not understood.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > Self::MAX_DER {
            return Err(CertificateError::TooLarge { size: bytes.len() });
        }
        let parsed = CertificateList::from_der(bytes).map_err(CertificateError::Malformed)?;
        if parsed.to_der().map_err(CertificateError::Malformed)? != bytes {
            return Err(CertificateError::NotCanonical);
        }
        let list = &parsed.tbs_cert_list;
        let stated = list.crl_extensions.as_deref().unwrap_or_default();
        // A critical extension of a list narrows its scope; ours have none.
        if list.version != Version::V2 || extensions::has_critical(stated).is_some() {
            return Err(CertificateError::MalformedList);
        }
        let time = |time| from_asn1(time).ok_or(CertificateError::Validity);
        let next_update = list.next_update.ok_or(CertificateError::MalformedList)?;
        let mut revoked = Vec::new();
        for entry in list.revoked_certificates.iter().flatten() {
            let stated = entry.crl_entry_extensions.as_deref().unwrap_or_default();
            if extensions::has_critical(stated).is_some() {
                return Err(CertificateError::MalformedList);
            }
            let revocation = Revocation {
                time: time(entry.revocation_date)?,
                reason: RevocationReason::from_asn1(extensions::stated_reason(stated)?),
            };
            revoked.push((entry.serial_number.as_bytes().to_vec(), revocation));
        }
        Ok(Self {
            number: extensions::list_number(stated)?.ok_or(CertificateError::MalformedList)?,
            issuer_key_identifier: extensions::authority_key_identifier(stated)?
                .ok_or(CertificateError::MalformedList)?,
            next_update: time(next_update)?,
            revoked,
            der: bytes.to_vec(),
            parsed,
        })
    }

    /// Reads a list from PEM (`BEGIN X509 CRL`).
    ///
    /// # Errors
    ///
    /// [`CertificateError::Pem`] if the text is not of that form, else as [`RevocationList::from_der`].
    ///
    /// Spec: RFC 7468, section 6.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| CertificateError::Pem)?;
        if label != Self::PEM_LABEL {
            return Err(CertificateError::Pem);
        }
        Self::from_der(&der)
    }

    /// Writes the list as PEM.
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

    /// Returns the list's number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the identifier of the key that has signed the list, in hexadecimal digits: what a file of it may be called.
    #[must_use]
    pub fn issuer_name(&self) -> String {
        let digits = self.issuer_key_identifier.iter();
        digits.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns when the next list is due.
    #[must_use]
    pub const fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// Returns the serial numbers of the revoked certificates.
    #[must_use]
    pub fn revoked(&self) -> &[(Vec<u8>, Revocation)] {
        &self.revoked
    }

    pub(crate) fn issuer(&self) -> &Name {
        &self.parsed.tbs_cert_list.issuer
    }

    pub(crate) fn issuer_key_identifier(&self) -> &[u8] {
        &self.issuer_key_identifier
    }

    /// Checks that the authority has signed the list, and that it is the present one.
    pub(crate) fn verify(&self, issuer: &Certificate, now: Timestamp) -> Result<(), CertificateError> {
        let algorithm = &self.parsed.signature_algorithm;
        if algorithm.oid != SIGNATURE_ALGORITHM
            || algorithm.parameters.is_some()
            || *algorithm != self.parsed.tbs_cert_list.signature
        {
            return Err(CertificateError::UnsupportedAlgorithm { oid: algorithm.oid });
        }
        let signed = self.parsed.tbs_cert_list.to_der();
        let digest = Sha256::digest(signed.map_err(CertificateError::Malformed)?).into();
        let signature = self.parsed.signature.as_bytes().and_then(signature_from_der);
        if !signature.is_some_and(|signature| issuer.public_key().verifies(&digest, &signature)) {
            return Err(CertificateError::BadSignature);
        }
        if now > self.next_update {
            let due = self.next_update;
            return Err(CertificateError::ListOverdue { due });
        }
        Ok(())
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RevocationList")
            .field("number", &self.number)
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}
