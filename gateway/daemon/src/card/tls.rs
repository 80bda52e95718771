//! TLS with the key on the card.

use std::sync::Arc;

use card::CardError;
use messages::certificate::Certificate;
use p256::ecdsa;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::handle::{CardFault, CardHandle};
use super::standing::Identity;
use crate::report::Chain;

/// The TLS key of the card, as rustls wants it.
#[derive(Debug, Clone)]
struct CardTlsKey {
    card: CardHandle,
}

impl SigningKey for CardTlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for CardTlsKey {
    /// Signs on the card. rustls signs synchronously, so the runtime is told that this blocks.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let sign = || {
            self.card
                .call_in_handshake(move |session| session.sign_handshake(&digest))
        };
        let signed = blocking(sign).and_then(|signature| {
            let signature = ecdsa::Signature::from_slice(signature.as_bytes());
            Ok(signature.map_err(|_| CardError::Answer {
                command: "PSO: COMPUTE DIGITAL SIGNATURE",
            })?)
        });
        match signed {
            Ok(signature) => Ok(signature.to_der().as_bytes().to_vec()),
            Err(fault) => Err(general(&fault)),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// Blocks, and has the other workers of the runtime take over what this one was doing.
///
/// Only a runtime with several threads can do that; tokio panics in any other, where blocking is all that is left.
fn blocking<R>(work: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn general(fault: &CardFault) -> rustls::Error {
    rustls::Error::General(Chain(fault).to_string())
}

/// The reason why there is no TLS for this identity.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up for the card's identity")]
pub(crate) enum TlsSetupError {
    /// rustls does not accept a certificate or key.
    Rustls(#[from] rustls::Error),
    /// The trust centre's certificate is not accepted as a root.
    Root(#[from] rustls::server::VerifierBuilderError),
}

/// Builds the server's side of mutual TLS 1.3: the card's key, and clients of its trust centre only.
pub(crate) fn server_config(
    card: &CardHandle,
    identity: &Identity,
) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    // With the issuing authorities beside the root, a client need not show the chain.
    for authority in std::iter::once(identity.anchor.certificate()).chain(identity.anchor.issuing()) {
        roots.add(der(authority))?;
    }
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let key = certified_key(card, identity);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    // A resumed session would need no signature of the card: every connection proves that the card is there.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Builds the client's side of mutual TLS 1.3: the card's key, and servers of its trust centre, or of another root too.
pub(crate) fn client_config(
    card: &CardHandle,
    identity: &Identity,
    root: Option<&Certificate>,
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    let authorities = std::iter::once(identity.anchor.certificate()).chain(identity.anchor.issuing());
    for authority in authorities.chain(root) {
        roots.add(der(authority))?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified_key(card, identity))));
    // As for the server: every connection proves that the card is there.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn certified_key(card: &CardHandle, identity: &Identity) -> CertifiedKey {
    let own = identity.card.tls.certificate();
    let chain = std::iter::once(own).chain(identity.anchor.issuing_of(own));
    CertifiedKey::new(
        chain.map(der).collect(),
        Arc::new(CardTlsKey { card: card.clone() }),
    )
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.as_der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_works_in_every_runtime_and_without_one() {
        assert_eq!(blocking(|| 1), 1);
        let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(one.block_on(async { blocking(|| 2) }), 2);
        let many = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        assert_eq!(
            many.block_on(async { tokio::spawn(async { blocking(|| 3) }).await.unwrap() }),
            3
        );
    }
}
