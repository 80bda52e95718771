//! The three certificates of one party, judged together.

use model::{CardId, KeySlot, Timestamp};
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, CertificateError, PartyName, Role, TrustAnchor, VerifiedCertificate};

/// The three certificates of one party, not yet judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triple {
    /// For the key that signs messages.
    pub sig: Certificate,
    /// For the key that opens messages.
    pub enc: Certificate,
    /// For the key that proves identity when a connection is made.
    pub tls: Certificate,
}

/// A party whose three certificates a [`TrustAnchor`] has found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedParty {
    /// Its name.
    pub name: PartyName,
    /// What it does in the system.
    pub role: Role,
    /// Its GUID, if it is a card.
    pub card_id: Option<CardId>,
    /// For the key that signs messages.
    pub sig: VerifiedCertificate,
    /// For the key that opens messages.
    pub enc: VerifiedCertificate,
    /// For the key that proves identity when a connection is made.
    pub tls: VerifiedCertificate,
}

impl TrustAnchor {
    /// Checks the three certificates of one party, and that they are one party's.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] as for [`TrustAnchor::verify`],
    /// [`CertificateError::DifferentSubjects`] if they name more than one party,
    /// [`CertificateError::RepeatedKey`] if two of them are for the same key.
    pub fn verify_party(
        &self,
        certificates: &Triple,
        now: Timestamp,
        role: Role,
    ) -> Result<VerifiedParty, CertificateError> {
        let sig = self.verify(&certificates.sig, now, role, KeySlot::Sig)?;
        let enc = self.verify(&certificates.enc, now, role, KeySlot::Enc)?;
        let tls = self.verify(&certificates.tls, now, role, KeySlot::Tls)?;
        let subject = certificates.sig.tbs().subject();
        if certificates.enc.tbs().subject() != subject || certificates.tls.tbs().subject() != subject {
            return Err(CertificateError::DifferentSubjects);
        }
        let keys = [&certificates.sig, &certificates.enc, &certificates.tls].map(Certificate::public_key);
        let [sig_key, enc_key, tls_key] = keys;
        if sig_key == enc_key || enc_key == tls_key || sig_key == tls_key {
            return Err(CertificateError::RepeatedKey);
        }
        Ok(VerifiedParty {
            name: sig.name().clone(),
            role,
            card_id: sig.card_id(),
            sig,
            enc,
            tls,
        })
    }
}
