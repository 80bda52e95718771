//! The algorithms of an envelope, as data.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Key, Nonce, Tag};
use aes_kw::KwAes128;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_AES_128_GCM, ID_AES_128_WRAP};
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::OctetString;
use der::{Encode, Sequence};
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use crate::certificate::SIGNATURE_ALGORITHM;
use crate::keys::{Curve, SharedSecret};

/// The length of the content key and of the key that wraps it, in bytes.
const KEY_LENGTH: usize = 16;
/// The length of a wrapped content key, in bytes.
const WRAPPED_LENGTH: usize = KEY_LENGTH + aes_kw::IV_LEN;
/// The length of the key-encryption key as its derivation states it: bits, big-endian.
const KEY_BITS: [u8; 4] = [0, 0, 0, 128];

/// The algorithms of an envelope.
///
/// A suite is chosen by the recipient's curve when a message is sealed, and by the key agreement
/// that a message names when it is opened; callers never name one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// The curve of the recipient's key.
    pub curve: Curve,
    /// The key agreement, which implies the key derivation.
    pub key_agreement: ObjectIdentifier,
    /// The wrapping of the content key.
    pub key_wrap: ObjectIdentifier,
    /// The encryption of the content.
    pub content_encryption: ObjectIdentifier,
    /// The digest of the signature.
    pub digest: ObjectIdentifier,
    /// The signature.
    pub signature: ObjectIdentifier,
}

impl Suite {
    /// P-256, ECDH with the X9.63 derivation by SHA-256, AES-128 key wrap, AES-128-GCM, and
    /// ECDSA with SHA-256.
    ///
    /// Spec: RFC 5753, section 7.1.4 (dhSinglePass-stdDH-sha256kdf-scheme).
    pub const P256: Self = Self {
        curve: Curve::P256,
        key_agreement: ObjectIdentifier::new_unwrap("1.3.132.1.11.1"),
        key_wrap: ID_AES_128_WRAP,
        content_encryption: ID_AES_128_GCM,
        digest: ID_SHA_256,
        signature: SIGNATURE_ALGORITHM,
    };

    /// Every suite that messages may use.
    pub const ALL: [Self; 1] = [Self::P256];

    /// Returns the suite for a recipient with a key on this curve.
    pub(crate) const fn of(curve: Curve) -> Self {
        match curve {
            Curve::P256 => Self::P256,
        }
    }

    /// Returns the suite that has this key agreement.
    pub(crate) fn with_key_agreement(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.key_agreement == oid)
    }

    /// Returns the wrapping algorithm as messages name it, without parameters.
    pub(crate) const fn key_wrap_algorithm(&self) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned {
            oid: self.key_wrap,
            parameters: None,
        }
    }

    /// Derives the key that wraps the content key.
    ///
    /// Spec: RFC 5753, section 7.2; ANSI X9.63, section 5.6.3 (one block, counter 1).
    pub(crate) fn key_encryption_key(&self, secret: &SharedSecret) -> der::Result<KeyEncryptionKey> {
        let shared_info = SharedInfo {
            key_info: self.key_wrap_algorithm(),
            supp_pub_info: OctetString::new(KEY_BITS)?,
        };
        let mut hash = Sha256::new();
        hash.update(secret.as_bytes());
        hash.update([0, 0, 0, 1]);
        hash.update(shared_info.to_der()?);
        let block: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        key.iter_mut()
            .zip(block.iter())
            .for_each(|(to, from)| *to = *from);
        Ok(KeyEncryptionKey(key))
    }
}

/// What goes into the derivation beside the secret; no user keying material is used.
#[derive(Sequence)]
struct SharedInfo {
    key_info: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    supp_pub_info: OctetString,
}

/// The key that wraps a content key.
pub(crate) struct KeyEncryptionKey(Zeroizing<[u8; KEY_LENGTH]>);

impl KeyEncryptionKey {
    /// Wraps a content key.
    ///
    /// Spec: RFC 3394.
    pub(crate) fn wrap(&self, content_key: &[u8; KEY_LENGTH]) -> [u8; WRAPPED_LENGTH] {
        let content_key: &Key<Aes128Gcm> = content_key.into();
        KwAes128::new((&*self.0).into())
            .wrap_fixed_key(content_key)
            .into()
    }

    /// Unwraps a content key, or returns `None` if it is damaged or was wrapped for another key.
    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Option<Zeroizing<[u8; KEY_LENGTH]>> {
        let wrapped: [u8; WRAPPED_LENGTH] = wrapped.try_into().ok()?;
        let mut content_key = Zeroizing::new([0; KEY_LENGTH]);
        let cipher = KwAes128::new((&*self.0).into());
        cipher.unwrap_key(&wrapped, &mut *content_key).ok()?;
        Some(content_key)
    }
}

/// The parameters of AES-GCM: a nonce of 12 bytes and the length of the tag, 16 bytes.
///
/// Spec: RFC 5084, section 3.2.
#[derive(Sequence)]
pub(crate) struct GcmParameters {
    pub(crate) nonce: OctetString,
    #[asn1(default = "default_tag_length")]
    pub(crate) tag_length: u8,
}

/// The length of the tag that messages use, in bytes.
pub(crate) const TAG_LENGTH: u8 = 16;

const fn default_tag_length() -> u8 {
    12
}

/// Encrypts in place; returns the tag.
pub(crate) fn encrypt_in_place(
    content_key: &[u8; KEY_LENGTH],
    nonce: &[u8; 12],
    content: &mut [u8],
) -> Option<[u8; 16]> {
    let cipher = Aes128Gcm::new(content_key.into());
    let tag = cipher
        .encrypt_inout_detached(&Nonce::from(*nonce), &[], content.into())
        .ok()?;
    Some(tag.into())
}

/// Decrypts in place; returns `None`, and leaves no content, if the tag is wrong.
pub(crate) fn decrypt_in_place(
    content_key: &[u8; KEY_LENGTH],
    nonce: &[u8; 12],
    content: &mut [u8],
    tag: &[u8; 16],
) -> Option<()> {
    let cipher = Aes128Gcm::new(content_key.into());
    cipher
        .decrypt_inout_detached(&Nonce::from(*nonce), &[], content.into(), &Tag::from(*tag))
        .ok()
}
