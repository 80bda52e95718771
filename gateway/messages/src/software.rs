//! Private keys in software, for the counterparties that have no card.

use std::fmt;

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use p256::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::keys::{EphemeralKeyAgreement, KeyAgreement, PublicPoint, SharedSecret, Signer};

pub use p256::elliptic_curve::rand_core::TryCryptoRng;

/// One private key on P-256; it is wiped when it goes.
pub struct SoftwareKey {
    secret: SecretKey,
    public: PublicPoint,
}

impl SoftwareKey {
    /// The greatest size of a PEM text that is read; a P-256 key has some 250 bytes.
    pub const MAX_PEM: usize = 4_096;

    /// Draws a key from the random number generator.
    ///
    /// # Errors
    ///
    /// [`SoftwareKeyError::Random`] if the generator fails.
    pub fn generate<R: TryCryptoRng>(random: &mut R) -> Result<Self, SoftwareKeyError> {
        let secret = SecretKey::try_generate_from_rng(random).map_err(|_| SoftwareKeyError::Random)?;
        Self::new(secret)
    }

    /// Reads the key from PKCS#8 in PEM (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// [`SoftwareKeyError::Pkcs8`] if the text is no P-256 key in that form.
    ///
    /// Spec: RFC 5958; RFC 7468, section 10.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SoftwareKeyError> {
        if pem.len() > Self::MAX_PEM {
            return Err(SoftwareKeyError::Pkcs8);
        }
        let secret = SecretKey::from_pkcs8_pem(pem).map_err(|_| SoftwareKeyError::Pkcs8)?;
        Self::new(secret)
    }

    /// Writes the key as PKCS#8 in PEM, unencrypted.
    ///
    /// # Errors
    ///
    /// [`SoftwareKeyError::Pkcs8`] if it cannot be encoded.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, SoftwareKeyError> {
        self.secret
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| SoftwareKeyError::Pkcs8)
    }

    /// Writes the key as the bare number, big-endian, as a card takes it while it is blank.
    #[must_use]
    pub fn to_number(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes().into())
    }

    /// Returns the key's public point.
    #[must_use]
    pub const fn public_point(&self) -> &PublicPoint {
        &self.public
    }

    fn new(secret: SecretKey) -> Result<Self, SoftwareKeyError> {
        let encoded = secret.public_key().to_sec1_point(false);
        let public = PublicPoint::from_sec1(encoded.as_bytes()).map_err(|_| SoftwareKeyError::Arithmetic)?;
        Ok(Self { secret, public })
    }

    fn shared_secret(&self, peer: &PublicPoint) -> Result<SharedSecret, SoftwareKeyError> {
        let peer = PublicKey::from_sec1_bytes(peer.as_sec1()).map_err(|_| SoftwareKeyError::Arithmetic)?;
        let secret = self.secret.diffie_hellman(&peer);
        Ok(SharedSecret::new((*secret.raw_secret_bytes()).into()))
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SoftwareKey(..)")
    }
}

impl Signer for &SoftwareKey {
    type Error = SoftwareKeyError;

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error> {
        let signature: p256::ecdsa::Signature = SigningKey::from(&self.secret)
            .sign_prehash(digest)
            .map_err(|_| SoftwareKeyError::Arithmetic)?;
        Ok(signature.to_bytes().into())
    }
}

impl KeyAgreement for &SoftwareKey {
    type Error = SoftwareKeyError;

    fn agree(&mut self, peer: &PublicPoint) -> Result<SharedSecret, Self::Error> {
        self.shared_secret(peer)
    }
}

/// Agrees on secrets with keys that are drawn from a random number generator and used once.
#[derive(Debug)]
pub struct SoftwareEphemeral<R>(R);

impl<R: TryCryptoRng> SoftwareEphemeral<R> {
    /// Takes the random number generator that the keys are drawn from.
    pub const fn new(random: R) -> Self {
        Self(random)
    }
}

impl<R: TryCryptoRng> EphemeralKeyAgreement for SoftwareEphemeral<R> {
    type Error = SoftwareKeyError;

    fn agree_ephemeral(
        &mut self,
        recipient: &PublicPoint,
    ) -> Result<(PublicPoint, SharedSecret), Self::Error> {
        let ephemeral = SoftwareKey::generate(&mut self.0)?;
        Ok((ephemeral.public, ephemeral.shared_secret(recipient)?))
    }
}

/// The three private keys of one party.
#[derive(Debug)]
pub struct SoftwareKeys {
    /// Signs messages.
    pub sig: SoftwareKey,
    /// Opens messages.
    pub enc: SoftwareKey,
    /// Proves the party's identity to the other end of a connection.
    pub tls: SoftwareKey,
}

impl SoftwareKeys {
    /// Draws three keys.
    ///
    /// # Errors
    ///
    /// [`SoftwareKeyError::Random`] if the generator fails.
    pub fn generate<R: TryCryptoRng>(random: &mut R) -> Result<Self, SoftwareKeyError> {
        Ok(Self {
            sig: SoftwareKey::generate(random)?,
            enc: SoftwareKey::generate(random)?,
            tls: SoftwareKey::generate(random)?,
        })
    }
}

/// The reason why a software key failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SoftwareKeyError {
    /// The text is no P-256 private key in PKCS#8 and PEM.
    #[error("the text is no unencrypted P-256 private key in PKCS#8 and PEM")]
    Pkcs8,
    /// The random number generator failed.
    #[error("the random number generator failed")]
    Random,
    /// The arithmetic of the curve failed, which it does for no valid key and point.
    #[error("the arithmetic of the curve failed")]
    Arithmetic,
}

#[cfg(test)]
mod tests {
    use p256::elliptic_curve::rand_core::TryRng;

    use super::*;
    use crate::testing::{Refused, TestRandom};

    /// A generator that never gives anything.
    #[derive(Debug)]
    struct Dry;

    impl TryRng for Dry {
        type Error = Refused;

        fn try_next_u32(&mut self) -> Result<u32, Refused> {
            Err(Refused)
        }

        fn try_next_u64(&mut self) -> Result<u64, Refused> {
            Err(Refused)
        }

        fn try_fill_bytes(&mut self, _bytes: &mut [u8]) -> Result<(), Refused> {
            Err(Refused)
        }
    }

    impl TryCryptoRng for Dry {}

    #[test]
    fn key_reads_back_its_pem() {
        let key = SoftwareKey::generate(&mut TestRandom::new(1)).unwrap();
        let pem = key.to_pkcs8_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let read = SoftwareKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(read.public_point(), key.public_point());
        assert_eq!(format!("{key:?}"), "SoftwareKey(..)");
        let number = SecretKey::from_slice(key.to_number().as_slice()).unwrap();
        let again = SoftwareKey::new(number).unwrap();
        assert_eq!(again.public_point(), key.public_point());
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        for text in ["", "hello", &"-".repeat(SoftwareKey::MAX_PEM + 1)] {
            assert_eq!(
                SoftwareKey::from_pkcs8_pem(text).map(drop),
                Err(SoftwareKeyError::Pkcs8)
            );
        }
    }

    #[test]
    fn failing_generator_gives_no_keys() {
        assert_eq!(
            SoftwareKeys::generate(&mut Dry).map(drop),
            Err(SoftwareKeyError::Random)
        );
        let key = SoftwareKey::generate(&mut TestRandom::new(1)).unwrap();
        let agreed = SoftwareEphemeral::new(Dry).agree_ephemeral(key.public_point());
        assert_eq!(agreed.map(drop), Err(SoftwareKeyError::Random));
    }

    #[test]
    fn both_ends_agree_on_one_secret() {
        let key = SoftwareKey::generate(&mut TestRandom::new(1)).unwrap();
        let mut ephemeral = SoftwareEphemeral::new(TestRandom::new(2));
        let (point, ours) = ephemeral.agree_ephemeral(key.public_point()).unwrap();
        let theirs = (&mut &key).agree(&point).unwrap();
        assert_eq!(ours.as_bytes(), theirs.as_bytes());
        let (other, _) = ephemeral.agree_ephemeral(key.public_point()).unwrap();
        assert_ne!(point, other);
    }
}
