//! The card's cryptography: P-256 keys, points, signatures, shared secrets.

use std::fmt;
use std::sync::OnceLock;

use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::elliptic_curve::Generate;
use p256::{PublicKey, SecretKey, ecdsa};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A point of P-256 that lies on the curve and is not the point at infinity.
///
/// 65 bytes uncompressed: 04, x and y, both big-endian.
///
/// Spec: SEC 1, section 2.3.3; FIPS 186-5 (curve P-256).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point(PublicKey);

impl Point {
    /// The number of bytes of the uncompressed form.
    pub const LENGTH: usize = 65;

    /// Returns the uncompressed form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        for (byte, value) in bytes.iter_mut().zip(self.0.to_sec1_bytes()) {
            *byte = value;
        }
        bytes
    }

    /// Verifies an ECDSA signature over a SHA-256 digest.
    #[must_use]
    pub fn verifies(&self, digest: &[u8; 32], signature: &Signature) -> bool {
        let Ok(signature) = ecdsa::Signature::from_slice(&signature.0) else {
            return false;
        };
        ecdsa::VerifyingKey::from(&self.0)
            .verify_prehash(digest, &signature)
            .is_ok()
    }
}

impl TryFrom<&[u8]> for Point {
    type Error = PointError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        if bytes.len() != Self::LENGTH {
            return Err(PointError);
        }
        PublicKey::from_sec1_bytes(bytes)
            .map(Self)
            .map_err(|_| PointError)
    }
}

/// The bytes are no uncompressed point of P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an uncompressed point of the curve P-256")]
pub struct PointError;

/// An ECDSA signature as cards give it: r and s, 32 bytes big-endian each.
///
/// Spec: BSI TR-03111, section 5.2.1 (plain format).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Returns r and s.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signature({})", hex::encode(self.0))
    }
}

/// The x coordinate of a Diffie-Hellman point, 32 bytes big-endian; wiped when dropped.
///
/// Spec: BSI TR-03111, section 4.3.1 (ECKA, value `Z_AB`).
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&[u8]> for SharedSecret {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(Zeroizing::new(bytes.try_into()?)))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedSecret")
    }
}

/// A private key. It is serialized only into the state of the soft card; wiped when dropped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "HexKey", into = "HexKey")]
pub(crate) struct PrivateKey {
    secret: SecretKey,
    /// Made at the first signature and kept: with it comes the public key, which costs as much as a signature.
    signing: OnceLock<ecdsa::SigningKey>,
}

impl From<SecretKey> for PrivateKey {
    fn from(secret: SecretKey) -> Self {
        Self {
            secret,
            signing: OnceLock::new(),
        }
    }
}

impl PrivateKey {
    /// The number of bytes of a private key, big-endian.
    pub(crate) const LENGTH: usize = 32;

    pub(crate) fn generate(random: &mut dyn CryptoRng) -> Self {
        SecretKey::generate_from_rng(random).into()
    }

    /// Derives a key pair from a secret that nobody else knows and a nonce that makes it serve once.
    pub(crate) fn derived(domain: &[u8], secret: &[u8], nonce: &[u8]) -> Option<Self> {
        // A digest is no private key once in 2^32 draws (it is not below the order), so a few suffice.
        const MAX_DRAWS: u8 = 8;
        (0..MAX_DRAWS).find_map(|draw| {
            let digest = Zeroizing::new(sha256(&[domain, secret, nonce, &[draw]]));
            SecretKey::from_slice(digest.as_slice()).ok().map(Self::from)
        })
    }

    pub(crate) fn point(&self) -> Point {
        Point(self.secret.public_key())
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; Self::LENGTH]> {
        Zeroizing::new(self.secret.to_bytes().into())
    }

    pub(crate) fn sign(&self, digest: &[u8; 32]) -> Option<Signature> {
        let key = self.signing.get_or_init(|| ecdsa::SigningKey::from(&self.secret));
        let signature: ecdsa::Signature = key.sign_prehash(digest).ok()?;
        Some(Signature(signature.to_bytes().into()))
    }

    pub(crate) fn agree(&self, peer: &Point) -> SharedSecret {
        let secret = self.secret.diffie_hellman(&peer.0);
        SharedSecret(Zeroizing::new((*secret.raw_secret_bytes()).into()))
    }
}

impl TryFrom<&[u8; Self::LENGTH]> for PrivateKey {
    type Error = PointError;

    /// Takes a number from 1 to the order of the curve less 1.
    fn try_from(bytes: &[u8; Self::LENGTH]) -> Result<Self, Self::Error> {
        SecretKey::from_slice(bytes)
            .map(Self::from)
            .map_err(|_| PointError)
    }
}

/// The serialized form of a private key: 64 hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct HexKey(Zeroizing<String>);

impl From<PrivateKey> for HexKey {
    fn from(key: PrivateKey) -> Self {
        Self(Zeroizing::new(hex::encode(key.to_bytes().as_slice())))
    }
}

impl TryFrom<HexKey> for PrivateKey {
    type Error = PointError;

    fn try_from(key: HexKey) -> Result<Self, Self::Error> {
        let bytes = Zeroizing::new(hex::decode(key.0.as_str()).map_err(|_| PointError)?);
        SecretKey::from_slice(&bytes)
            .map(Self::from)
            .map_err(|_| PointError)
    }
}

/// Returns the SHA-256 digest of the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
