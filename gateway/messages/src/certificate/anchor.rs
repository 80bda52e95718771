//! Judging certificates by the trust centre's root certificate.

use std::collections::BTreeMap;

use der::Encode;
use model::{CardId, KeySlot, Timestamp};
use sha2::{Digest, Sha256};
use x509_cert::name::Name;

use crate::certificate::{
    Certificate, CertificateError, PartyName, Revocation, RevocationList, Role, SIGNATURE_ALGORITHM,
    extensions,
};
use crate::keys::{PublicPoint, signature_from_der};

/// The trust centre's root certificate, by which all others are judged, with the issuing authorities that it has
/// certified and what is known to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    certificate: Certificate,
    name: PartyName,
    issuing: Vec<Certificate>,
    revoked: BTreeMap<RevokedKey, Revocation>,
}

/// Which certificate is revoked: the identifier of its issuer's key, and its serial number.
type RevokedKey = (Vec<u8>, Vec<u8>);

impl TrustAnchor {
    /// The greatest number of certificates between the root (excluded) and a party (included).
    ///
    /// An issuing authority may stand between them.
    pub const MAX_CHAIN: usize = 2;
    /// The greatest number of issuing authorities that are known at once: the present one, and former ones whose
    /// certificates are still in use.
    pub const MAX_ISSUING: usize = 8;

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
            issuing: Vec::new(),
            revoked: BTreeMap::new(),
        })
    }

    /// Accepts an issuing authority, whose certificate the root must have issued. Its validity is checked at each use.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] if it is no authority of this root, may have others below it, or if there are
    /// [`TrustAnchor::MAX_ISSUING`] already.
    pub fn with_issuing(mut self, certificate: Certificate) -> Result<Self, CertificateError> {
        if self.issuing.contains(&certificate) {
            return Ok(self);
        }
        let issuer = certificate.issuer_key_identifier()?;
        if certificate.tbs().issuer() != self.certificate.tbs().subject()
            || issuer != self.certificate.key_identifier()
            || self.issuing.len() >= Self::MAX_ISSUING
        {
            return Err(CertificateError::UnknownIssuer);
        }
        check_signature(&certificate, self.certificate.public_key())?;
        extensions::check_critical(certificate.extensions())?;
        if !extensions::is_last_authority(certificate.extensions())? {
            return Err(CertificateError::NotAnAuthority);
        }
        check_role(Role::IssuingAuthority, certificate.subject()?.role())?;
        self.issuing.push(certificate);
        Ok(self)
    }

    /// Accepts several issuing authorities.
    ///
    /// # Errors
    ///
    /// As [`TrustAnchor::with_issuing`] has; the first one that is not accepted ends it.
    pub fn with_chain(
        self,
        issuing: impl IntoIterator<Item = Certificate>,
    ) -> Result<Self, CertificateError> {
        issuing.into_iter().try_fold(self, Self::with_issuing)
    }

    /// Takes note of certificates that the trust centre has revoked, by who issued them (the identifier of its key)
    /// and their serial numbers.
    #[must_use]
    pub fn with_revoked(
        mut self,
        issuer: &[u8],
        revoked: impl IntoIterator<Item = (Vec<u8>, Revocation)>,
    ) -> Self {
        let revoked = revoked
            .into_iter()
            .map(|(serial, revocation)| ((issuer.to_vec(), serial), revocation));
        self.revoked.extend(revoked);
        self
    }

    /// Takes note of a list of revoked certificates that the root or an issuing authority has signed.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] if nobody of these has signed it, or a newer one was due.
    pub fn with_list(self, list: &RevocationList, now: Timestamp) -> Result<Self, CertificateError> {
        let issuer = self.issuer(list.issuer(), list.issuer_key_identifier())?;
        list.verify(issuer, now)?;
        let issuer = issuer.key_identifier().to_vec();
        Ok(self.with_revoked(&issuer, list.revoked().iter().cloned()))
    }

    /// Returns the issuing authorities.
    #[must_use]
    pub fn issuing(&self) -> &[Certificate] {
        &self.issuing
    }

    /// Returns the issuing authority that issued the certificate, or `None` if the root did, or nobody who is known.
    ///
    /// Whoever shows the certificate to somebody who knows the root alone shows this one with it.
    #[must_use]
    pub fn issuing_of(&self, certificate: &Certificate) -> Option<&Certificate> {
        let identifier = certificate.issuer_key_identifier().ok()?;
        self.issuing
            .iter()
            .find(|issuing| issuing.key_identifier() == identifier)
    }

    fn issuer(&self, name: &Name, key_identifier: &[u8]) -> Result<&Certificate, CertificateError> {
        std::iter::once(&self.certificate)
            .chain(&self.issuing)
            .find(|issuer| issuer.tbs().subject() == name && issuer.key_identifier() == key_identifier)
            .ok_or(CertificateError::UnknownIssuer)
    }

    /// Returns since when and why a certificate is known to be revoked, or the issuing authority that it comes from.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] if it does not name its issuer.
    pub fn revocation(&self, certificate: &Certificate) -> Result<Option<Revocation>, CertificateError> {
        let own = self.revocation_of(certificate)?;
        match (own, self.issuing_of(certificate)) {
            (None, Some(issuing)) => self.revocation_of(issuing),
            (own, _) => Ok(own),
        }
    }

    fn revocation_of(&self, certificate: &Certificate) -> Result<Option<Revocation>, CertificateError> {
        if self.revoked.is_empty() {
            return Ok(None);
        }
        let key = (
            certificate.issuer_key_identifier()?,
            certificate.serial_number().to_vec(),
        );
        Ok(self.revoked.get(&key).copied())
    }

    fn check_revoked(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        match self.revocation_of(certificate)? {
            None => Ok(()),
            Some(Revocation { time, reason }) => Err(CertificateError::Revoked { time, reason }),
        }
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
    /// What is known to be revoked is refused, and so is whatever a revoked authority has issued.
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
        let of_authority = |error| CertificateError::Authority(Box::new(error));
        check_validity(&self.certificate, now).map_err(of_authority)?;
        let identifier = certificate.issuer_key_identifier()?;
        let issuer = self.issuer(certificate.tbs().issuer(), &identifier)?;
        check_validity(issuer, now)
            .and_then(|()| self.check_revoked(issuer))
            .map_err(of_authority)?;
        check_signature(certificate, issuer.public_key())?;
        extensions::check_critical(certificate.extensions())?;
        if extensions::claims_authority(certificate.extensions())? {
            return Err(CertificateError::IsAnAuthority);
        }
        check_validity(certificate, now)?;
        self.check_revoked(certificate)?;
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
