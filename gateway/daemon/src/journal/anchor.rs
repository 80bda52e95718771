//! The card's signature over the heads of the logs, made and checked.

use card::Partner;
use messages::certificate::Certificate;
use model::Fingerprint;
use store::{HeadAnchor, HeadRefusal, HeadSignature, HeadVerifier};

use crate::card::{CardFault, CardHandle};

/// Has the bound card sign with its SIG key.
#[derive(Debug, Clone)]
pub(crate) struct CardAnchor {
    card: CardHandle,
    /// The certificate of the SIG key, DER.
    certificate: Vec<u8>,
}

impl CardAnchor {
    /// Uses a card whose SIG certificate has been verified.
    pub(crate) fn new(card: CardHandle, certificate: &Certificate) -> Self {
        Self {
            card,
            certificate: certificate.as_der().to_vec(),
        }
    }
}

impl HeadAnchor for CardAnchor {
    type Error = CardFault;

    /// Signs on the card; the caller is where it may block.
    fn sign(&mut self, digest: &[u8; 32]) -> Result<HeadSignature, CardFault> {
        let digest = *digest;
        // The TSM's way to use SIG is open as soon as the card is bound; a supplier's is not.
        let signature = self
            .card
            .call(move |session| session.sign(Partner::Tsm, &digest))?;
        Ok(HeadSignature {
            signature: *signature.as_bytes(),
            certificate: self.certificate.clone(),
        })
    }
}

/// Checks signatures by the certificate that comes with them, whose key must be the bound card's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CardKeyVerifier {
    key: Option<Fingerprint>,
}

impl CardKeyVerifier {
    /// Checks against the key that the binding names; without one, any key will do.
    pub(crate) const fn new(key: Option<Fingerprint>) -> Self {
        Self { key }
    }

    /// Returns whether the key is compared.
    pub(crate) const fn has_key(&self) -> bool {
        self.key.is_some()
    }
}

impl HeadVerifier for CardKeyVerifier {
    fn verify(&self, digest: &[u8; 32], signature: &HeadSignature) -> Result<(), HeadRefusal> {
        let certificate = Certificate::from_der(&signature.certificate).map_err(|_| HeadRefusal::Key)?;
        if self.key.is_some_and(|key| key != certificate.spki_digest()) {
            return Err(HeadRefusal::Key);
        }
        if certificate.public_key().verifies(digest, &signature.signature) {
            Ok(())
        } else {
            Err(HeadRefusal::Signature)
        }
    }
}
