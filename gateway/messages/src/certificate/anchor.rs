//! Judging certificates by the trust centre's root certificate.

use der::Encode;
use model::{CardId, KeySlot, Timestamp};
use sha2::{Digest, Sha256};

use crate::certificate::{Certificate, CertificateError, PartyName, Role, SIGNATURE_ALGORITHM, extensions};
use crate::keys::{PublicPoint, signature_from_der};

/// The trust centre's root certificate, by which all others are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    certificate: Certificate,
    name: PartyName,
}

impl TrustAnchor {
    /// The greatest number of certificates between the root (excluded) and a party (included).
    ///
    /// The root signs the parties' certificates itself.
    pub const MAX_CHAIN: usize = 1;

    /// Accepts a root certificate that the caller has a reason to trust.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] if it is not the self-signed certificate of a trust centre. Its
    /// validity is checked at each use.
    pub fn new(certificate: Certificate) -> Result<Self, CertificateError> {
        let tbs = certificate.tbs();
        if tbs.issuer() != tbs.subject() {
            return Err(CertificateError::UnknownIssuer);
        }
        extensions::check_critical(certificate.extensions())?;
        if !extensions::is_authority(certificate.extensions())? {
            return Err(CertificateError::NotAnAuthority);
        }
        let subject = certificate.subject()?;
        check_role(Role::TrustCenter, subject.role())?;
        check_signature(&certificate, certificate.public_key())?;
        Ok(Self {
            name: subject.name().clone(),
            certificate,
        })
    }

    /// Returns the root certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns the trust centre's name.
    #[must_use]
    pub const fn name(&self) -> &PartyName {
        &self.name
    }

    /// Checks that the trust centre issued the certificate to a party of this role for this key,
    /// and that it is valid now.
    ///
    /// Revocation is not checked.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] names the first thing that is wrong.
    ///
    /// Spec: RFC 5280, section 6.1.
    pub fn verify(
        &self,
        certificate: &Certificate,
        now: Timestamp,
        role: Role,
        slot: KeySlot,
    ) -> Result<VerifiedCertificate, CertificateError> {
        let verified = self.verify_any_role(certificate, now, slot)?;
        check_role(role, verified.role)?;
        Ok(verified)
    }

    /// Checks as [`TrustAnchor::verify`] does, whatever the party's role is.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] names the first thing that is wrong.
    pub fn verify_any_role(
        &self,
        certificate: &Certificate,
        now: Timestamp,
        slot: KeySlot,
    ) -> Result<VerifiedCertificate, CertificateError> {
        check_validity(&self.certificate, now)
            .map_err(|error| CertificateError::Authority(Box::new(error)))?;
        let issuer = extensions::authority_key_identifier(certificate.extensions())?;
        if certificate.tbs().issuer() != self.certificate.tbs().subject()
            || issuer.as_deref() != Some(self.certificate.key_identifier())
        {
            return Err(CertificateError::UnknownIssuer);
        }
        check_signature(certificate, self.certificate.public_key())?;
        extensions::check_critical(certificate.extensions())?;
        if extensions::claims_authority(certificate.extensions())? {
            return Err(CertificateError::IsAnAuthority);
        }
        check_validity(certificate, now)?;
        let found = certificate.slot()?;
        if found != slot {
            return Err(CertificateError::WrongSlot {
                expected: slot,
                found,
            });
        }
        let subject = certificate.subject()?;
        Ok(VerifiedCertificate {
            certificate: certificate.clone(),
            name: subject.name().clone(),
            role: subject.role(),
            card_id: subject.card_id(),
            slot,
        })
    }
}

/// A certificate that a [`TrustAnchor`] has found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCertificate {
    certificate: Certificate,
    name: PartyName,
    role: Role,
    card_id: Option<CardId>,
    slot: KeySlot,
}

impl VerifiedCertificate {
    /// Returns the certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns the name of the party.
    #[must_use]
    pub const fn name(&self) -> &PartyName {
        &self.name
    }

    /// Returns the role of the party.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the GUID, if the party is a card.
    #[must_use]
    pub const fn card_id(&self) -> Option<CardId> {
        self.card_id
    }

    /// Returns which of the party's keys the certificate is for.
    #[must_use]
    pub const fn slot(&self) -> KeySlot {
        self.slot
    }
}

fn check_role(expected: Role, found: Role) -> Result<(), CertificateError> {
    if found == expected {
        Ok(())
    } else {
        Err(CertificateError::WrongRole { expected, found })
    }
}

fn check_validity(certificate: &Certificate, now: Timestamp) -> Result<(), CertificateError> {
    let (not_before, not_after) = certificate.validity()?;
    if now < not_before {
        return Err(CertificateError::NotYetValid { not_before });
    }
    if now > not_after {
        return Err(CertificateError::Expired { not_after });
    }
    Ok(())
}

fn check_signature(certificate: &Certificate, issuer: &PublicPoint) -> Result<(), CertificateError> {
    let parsed = certificate.parsed();
    let algorithm = parsed.signature_algorithm();
    if algorithm.oid != SIGNATURE_ALGORITHM
        || algorithm.parameters.is_some()
        || algorithm != parsed.tbs_certificate().signature()
    {
        return Err(CertificateError::UnsupportedAlgorithm { oid: algorithm.oid });
    }
    let signed = parsed
        .tbs_certificate()
        .to_der()
        .map_err(CertificateError::Malformed)?;
    let digest = Sha256::digest(signed).into();
    let signature = parsed.signature().as_bytes().and_then(signature_from_der);
    match signature {
        Some(signature) if issuer.verifies(&digest, &signature) => Ok(()),
        _ => Err(CertificateError::BadSignature),
    }
}
