//! Keys: public points, and what a private key does for a message without ever being seen.
//!
//! The gateway implements the traits with its card, suppliers and the trust centre with
//! [`crate::software::SoftwareKey`]. The calls are synchronous: a card answers when it answers, and its
//! caller waits on a thread that may block.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1};
use der::Decode;
use model::Fingerprint;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

/// Signs digests with one private key (ECDSA).
pub trait Signer {
    /// What the key or its card can answer instead.
    type Error: std::error::Error + 'static;

    /// Signs a SHA-256 digest.
    ///
    /// Returns r and s, 32 bytes each in big-endian order.
    ///
    /// # Errors
    ///
    /// Whatever keeps the key from signing.
    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error>;
}

/// Agrees on secrets with one private key (static Diffie-Hellman, to open a message).
pub trait KeyAgreement {
    /// What the key or its card can answer instead.
    type Error: std::error::Error + 'static;

    /// Agrees on the secret with the sender's ephemeral point.
    ///
    /// # Errors
    ///
    /// Whatever keeps the key from agreeing.
    fn agree(&mut self, peer: &PublicPoint) -> Result<SharedSecret, Self::Error>;
}

/// Agrees on secrets with a fresh private key each time (to seal a message).
///
/// A card makes the fresh key inside itself, and refuses a recipient that is not on its list.
pub trait EphemeralKeyAgreement {
    /// What the card or the random number generator can answer instead.
    type Error: std::error::Error + 'static;

    /// Makes a fresh key, and agrees on the secret with the recipient's static point.
    ///
    /// Returns the fresh key's public point and the secret.
    ///
    /// # Errors
    ///
    /// Whatever keeps the card from agreeing with this recipient.
    fn agree_ephemeral(
        &mut self,
        recipient: &PublicPoint,
    ) -> Result<(PublicPoint, SharedSecret), Self::Error>;
}

impl<S: Signer + ?Sized> Signer for &mut S {
    type Error = S::Error;

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error> {
        (**self).sign_digest(digest)
    }
}

impl<A: KeyAgreement + ?Sized> KeyAgreement for &mut A {
    type Error = A::Error;

    fn agree(&mut self, peer: &PublicPoint) -> Result<SharedSecret, Self::Error> {
        (**self).agree(peer)
    }
}

impl<A: EphemeralKeyAgreement + ?Sized> EphemeralKeyAgreement for &mut A {
    type Error = A::Error;

    fn agree_ephemeral(
        &mut self,
        recipient: &PublicPoint,
    ) -> Result<(PublicPoint, SharedSecret), Self::Error> {
        (**self).agree_ephemeral(recipient)
    }
}

/// A secret that two parties have agreed on: the x coordinate, 32 bytes in big-endian order.
///
/// It is wiped when it goes.
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    /// Takes over what a key agreement has given.
    #[must_use]
    pub fn new(x_coordinate: [u8; 32]) -> Self {
        Self(Zeroizing::new(x_coordinate))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// An elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256 (secp256r1).
    P256,
}

impl Curve {
    /// Returns the curve's object identifier.
    ///
    /// Spec: RFC 5480, section 2.1.1.1.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => SECP_256_R_1,
        }
    }

    /// Returns what stands before an uncompressed point in a SubjectPublicKeyInfo in DER: the
    /// headers, id-ecPublicKey and the curve's object identifier.
    const fn spki_prefix(self) -> &'static [u8] {
        match self {
            Self::P256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
                0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ],
        }
    }
}

/// A public key: a point that lies on its curve and is not the point at infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicPoint {
    curve: Curve,
    sec1: [u8; Self::LENGTH],
}

impl PublicPoint {
    /// The length of the uncompressed form, in bytes.
    pub const LENGTH: usize = 65;

    /// Reads an uncompressed point of P-256: `04`, x, y, 32 bytes each in big-endian order.
    ///
    /// # Errors
    ///
    /// [`PointError`] if the bytes are another form or no point of the curve.
    ///
    /// Spec: SEC 1 version 2.0, section 2.3.4.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, PointError> {
        let sec1: [u8; Self::LENGTH] = bytes
            .try_into()
            .map_err(|_| PointError::Length { found: bytes.len() })?;
        p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| PointError::NotOnCurve)?;
        Ok(Self {
            curve: Curve::P256,
            sec1,
        })
    }

    /// Returns the uncompressed form, as [`PublicPoint::from_sec1`] reads it.
    #[must_use]
    pub const fn as_sec1(&self) -> &[u8; Self::LENGTH] {
        &self.sec1
    }

    /// Returns the curve that the point lies on.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// Reads the key from a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    ///
    /// [`PointError`] if it is no key on a curve that this crate knows.
    pub fn from_spki(bytes: &[u8]) -> Result<Self, PointError> {
        let spki = SubjectPublicKeyInfoOwned::from_der(bytes).map_err(PointError::Malformed)?;
        Self::try_from(&spki)
    }

    /// Returns the key as a SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        [self.curve.spki_prefix(), &self.sec1].concat()
    }

    /// Returns the SHA-256 digest of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_digest(&self) -> Fingerprint {
        Fingerprint::new(Sha256::digest(self.to_spki()).into())
    }

    /// Returns the key identifier: the leftmost 160 bits of the point's SHA-256 digest.
    ///
    /// Spec: RFC 7093, section 2, method 1.
    #[must_use]
    pub fn key_identifier(&self) -> [u8; 20] {
        let digest: [u8; 32] = Sha256::digest(self.sec1).into();
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// Returns whether `signature` (r and s, 32 bytes each) is this key's over the digest.
    #[must_use]
    pub fn verifies(&self, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        let (Ok(key), Ok(signature)) = (
            VerifyingKey::from_sec1_bytes(&self.sec1),
            Signature::from_slice(signature),
        ) else {
            return false;
        };
        key.verify_prehash(digest, &signature).is_ok()
    }
}

impl TryFrom<&SubjectPublicKeyInfoOwned> for PublicPoint {
    type Error = PointError;

    fn try_from(spki: &SubjectPublicKeyInfoOwned) -> Result<Self, Self::Error> {
        if spki.algorithm.oid != ID_EC_PUBLIC_KEY {
            return Err(PointError::UnknownAlgorithm {
                oid: spki.algorithm.oid,
            });
        }
        let parameters = spki.algorithm.parameters.as_ref();
        let curve: ObjectIdentifier = parameters
            .ok_or(PointError::CurveMissing)?
            .decode_as()
            .map_err(PointError::Malformed)?;
        if curve != Curve::P256.oid() {
            return Err(PointError::UnknownAlgorithm { oid: curve });
        }
        Self::from_sec1(spki.subject_public_key.as_bytes().unwrap_or_default())
    }
}

/// The reason why bytes are no public key that this crate knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// The bytes are not an uncompressed point of P-256.
    #[error("a point has 65 bytes, found {found}")]
    Length {
        /// The number of bytes that were given.
        found: usize,
    },
    /// The coordinates do not lie on the curve, or the form is not the uncompressed one.
    #[error("the bytes are no point of the curve")]
    NotOnCurve,
    /// The algorithm is not that of elliptic curve keys, or the curve is another one.
    #[error("a key of the kind {oid} is not supported")]
    UnknownAlgorithm {
        /// The algorithm or curve that was found.
        oid: ObjectIdentifier,
    },
    /// The key does not name its curve.
    #[error("the key does not name its curve")]
    CurveMissing,
    /// The SubjectPublicKeyInfo is not DER.
    #[error("the public key is not encoded in DER")]
    Malformed(#[source] der::Error),
}

/// Encodes a signature (r and s) as DER, or returns `None` if r or s is out of range.
///
/// Spec: RFC 3279, section 2.2.3.
pub(crate) fn signature_to_der(signature: &[u8; 64]) -> Option<Vec<u8>> {
    let signature = Signature::from_slice(signature).ok()?;
    Some(signature.to_der().as_bytes().to_vec())
}

/// Decodes a signature from DER into r and s, or returns `None` if it is malformed.
pub(crate) fn signature_from_der(bytes: &[u8]) -> Option<[u8; 64]> {
    let signature = Signature::from_der(bytes).ok()?;
    let canonical = signature.to_der().as_bytes() == bytes;
    canonical.then(|| signature.to_bytes().into())
}

#[cfg(test)]
mod tests {
    use der::Encode;
    use der::asn1::{Any, BitString};
    use spki::AlgorithmIdentifierOwned;

    use super::*;
    use crate::software::SoftwareKey;
    use crate::testing::TestRandom;

    fn point() -> PublicPoint {
        *SoftwareKey::generate(&mut TestRandom::new(1))
            .unwrap()
            .public_point()
    }

    fn spki(oid: ObjectIdentifier, parameters: Option<Any>) -> Vec<u8> {
        let spki = SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned { oid, parameters },
            subject_public_key: BitString::from_bytes(point().as_sec1()).unwrap(),
        };
        spki.to_der().unwrap()
    }

    #[test]
    fn point_reads_back_both_of_its_forms() {
        let point = point();
        assert_eq!(PublicPoint::from_sec1(point.as_sec1()), Ok(point));
        assert_eq!(PublicPoint::from_spki(&point.to_spki()), Ok(point));
        let curve = Any::from(Curve::P256.oid());
        assert_eq!(point.to_spki(), spki(ID_EC_PUBLIC_KEY, Some(curve)));
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        let oid = ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.7");
        assert_eq!(
            PublicPoint::from_spki(&spki(oid, None)),
            Err(PointError::UnknownAlgorithm { oid })
        );
        assert_eq!(
            PublicPoint::from_spki(&spki(ID_EC_PUBLIC_KEY, Some(Any::from(oid)))),
            Err(PointError::UnknownAlgorithm { oid })
        );
        assert_eq!(
            PublicPoint::from_spki(&spki(ID_EC_PUBLIC_KEY, None)),
            Err(PointError::CurveMissing)
        );
        assert!(matches!(
            PublicPoint::from_spki(b"key"),
            Err(PointError::Malformed(_))
        ));
    }

    #[test]
    fn bytes_that_are_no_point_are_refused() {
        assert_eq!(
            PublicPoint::from_sec1(&[4; 33]),
            Err(PointError::Length { found: 33 })
        );
        for first in [0, 2, 3, 5] {
            let mut bytes = *point().as_sec1();
            bytes[0] = first;
            assert_eq!(PublicPoint::from_sec1(&bytes), Err(PointError::NotOnCurve));
        }
        assert_eq!(PublicPoint::from_sec1(&[4; 65]), Err(PointError::NotOnCurve));
    }

    #[test]
    fn signature_belongs_to_its_key_and_digest() {
        let key = SoftwareKey::generate(&mut TestRandom::new(1)).unwrap();
        let signature = (&mut &key).sign_digest(&[1; 32]).unwrap();
        assert!(key.public_point().verifies(&[1; 32], &signature));
        assert!(!key.public_point().verifies(&[2; 32], &signature));
        assert!(!key.public_point().verifies(&[1; 32], &[0; 64]));
        let der = signature_to_der(&signature).unwrap();
        assert_eq!(signature_from_der(&der), Some(signature));
        assert_eq!(signature_from_der(&der[1..]), None);
        assert_eq!(signature_to_der(&[0; 64]), None);
    }
}
