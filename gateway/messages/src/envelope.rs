//! The envelope of a message: CMS SignedData over AuthEnvelopedData over the content.
//!
//! [`seal`] encrypts for one recipient and signs what came out; [`open`] checks the signature
//! first and decrypts only what a known sender has signed. The signature does not say what the
//! sender knew of the content, since it is made over the ciphertext. Therefore each content names
//! its own sender, and [`crate::content::Content::check_sender`] compares the two.
//!
//! eContentType is id-ct-contentInfo (RFC 5652, section 3): what is signed is the ContentInfo of the
//! AuthEnvelopedData. So `openssl cms -verify` writes just what `openssl cms -decrypt` reads.
//!
//! Spec: RFC 5652 (CMS); RFC 5083 (AuthEnvelopedData); RFC 5084 (AES-GCM); RFC 5753 (elliptic
//! curves); BSI TR-03116-3:2025, chapter 8, for the shape.

mod enveloped;
mod error;
mod frame;
mod signed;
mod suite;

use model::{KeySlot, Timestamp};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use error::{OpenError, Part, SealError};
pub use suite::Suite;

use crate::certificate::{Certificate, TrustAnchor, VerifiedCertificate};
use crate::keys::{EphemeralKeyAgreement, KeyAgreement, Signer};
use signed::Signing;

/// The greatest size of a content, in bytes.
///
/// Four years of quarter hours of one element have some 2.5 MiB; what is larger is asked for in
/// parts, so that the gateway never holds more than a few contents of this size in memory.
pub const MAX_CONTENT: usize = 4 * 1_024 * 1_024;

/// The greatest size of what CMS puts around the content, in bytes: certificate, signature,
/// recipient, and the attributes of a foreign implementation (ours has some 1,000 bytes).
///
/// It is checked before anything is built from it, since a few bytes of CMS can unfold into many.
pub const MAX_FRAME: usize = 16 * 1_024;

/// The greatest size of a message, in bytes.
pub const MAX_MESSAGE: usize = MAX_CONTENT + MAX_FRAME;

/// The greatest number of certificates in a message: the sender's and its issuing authority's.
pub const MAX_CERTIFICATES: usize = TrustAnchor::MAX_CHAIN;

/// The greatest number of signatures on a message: the sender's.
pub const MAX_SIGNERS: usize = 1;

/// The greatest number of signed attributes: our three, and a few that foreign implementations
/// add.
pub const MAX_ATTRIBUTES: usize = 8;

/// The greatest number of recipients of a message: it is for one party alone.
pub const MAX_RECIPIENTS: usize = 1;

/// The random bytes that seal one message. They must come from a good generator and never be
/// used for a second one; the type can be neither copied nor printed.
#[derive(Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct EnvelopeRandom {
    content_key: [u8; 16],
    nonce: [u8; 12],
}

impl EnvelopeRandom {
    /// The number of random bytes that one message needs.
    pub const LENGTH: usize = 28;

    /// Takes over the random bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; Self::LENGTH]>) -> Self {
        let mut random = Self {
            content_key: [0; 16],
            nonce: [0; 12],
        };
        let (content_key, nonce) = bytes.split_at(16);
        random.content_key.copy_from_slice(content_key);
        random.nonce.copy_from_slice(nonce);
        random
    }
}

/// Who sends a message, and with which keys.
#[derive(Debug)]
pub struct Sender<'a, S, A> {
    /// The certificate of the key that signs; it goes with the message.
    pub certificate: &'a Certificate,
    /// The issuing authority of that certificate, if it is not by the root itself; it goes with the message, so that
    /// whoever has the root alone can verify it.
    pub issuing: Option<&'a Certificate>,
    /// The key that signs.
    pub signer: S,
    /// What makes the ephemeral key for the recipient.
    pub agreement: A,
}

/// Encrypts the content for one recipient and signs the result.
///
/// Returns the message in DER.
///
/// # Errors
///
/// [`SealError`] if the content is too large, the recipient's certificate is not for encryption,
/// a key refuses, or the key that signed is not that of the sender's certificate.
pub fn seal<S, A>(
    content: &[u8],
    recipient: &VerifiedCertificate,
    mut sender: Sender<'_, S, A>,
    random: &EnvelopeRandom,
    signing_time: Timestamp,
) -> Result<Vec<u8>, SealError<S::Error>>
where
    S: Signer,
    A: EphemeralKeyAgreement<Error = S::Error>,
{
    if content.len() > MAX_CONTENT {
        return Err(SealError::TooLarge { size: content.len() });
    }
    if recipient.slot() != KeySlot::Enc {
        return Err(SealError::RecipientSlot {
            found: recipient.slot(),
        });
    }
    let recipient = recipient.certificate();
    let (ephemeral, secret) = sender
        .agreement
        .agree_ephemeral(recipient.public_key())
        .map_err(SealError::KeyAgreement)?;
    let enveloped = enveloped::encrypt(content, recipient, &ephemeral, &secret, random)?;
    let signing = Signing {
        certificate: sender.certificate,
        issuing: sender.issuing,
        signer: sender.signer,
        time: signing_time,
    };
    signed::sign(enveloped, signing)
}

/// Signs bytes that stay where they are, such as the package of an energy application.
///
/// Returns a detached SignedData in DER, with the signer's certificate and that of its issuing authority: whoever knows the
/// root can judge it. `openssl cms -verify -content FILE` reads it.
///
/// # Errors
///
/// [`SealError`] if the key refuses, or is not that of the certificate.
///
/// Spec: RFC 5652, section 5.2 (an external signature).
pub fn sign_apart<S: Signer>(
    bytes: &[u8],
    certificate: &Certificate,
    issuing: Option<&Certificate>,
    signer: S,
    signing_time: Timestamp,
) -> Result<Vec<u8>, SealError<S::Error>> {
    let signing = Signing {
        certificate,
        issuing,
        signer,
        time: signing_time,
    };
    signed::sign_apart(bytes, signing)
}

/// Checks a signature that [`sign_apart`] has made, and that the trust centre knows who made it; returns who, and when by
/// its own clock. Whether its role may sign this is for the caller to check.
///
/// # Errors
///
/// [`OpenError`] names the first thing that is wrong.
pub fn verify_apart(
    signature: &[u8],
    bytes: &[u8],
    anchor: &TrustAnchor,
    now: Timestamp,
) -> Result<(VerifiedCertificate, Timestamp), OpenError<std::convert::Infallible>> {
    signed::verify_apart(signature, bytes, anchor, now)
}

/// Returns the certificate that goes with a signature as its signer's; nothing is checked.
#[must_use]
pub fn claimed_signer(signature: &[u8]) -> Option<Certificate> {
    signed::claimed_signer(signature)
}

/// What a message contained, and who signed it.
#[expect(missing_debug_implementations, reason = "the content is never printed")]
pub struct Opened {
    /// The sender's SIG certificate. Whether its role may send this is for the caller to check.
    pub sender: VerifiedCertificate,
    /// When the sender says to have signed, by its own clock.
    pub signing_time: Timestamp,
    /// The content; it is wiped when it goes.
    pub content: Zeroizing<Vec<u8>>,
}

/// Checks a message's signature and sender, and decrypts it.
///
/// `recipient` is the ENC certificate whose key `agreement` has. Freshness and repetition are for
/// the caller to check, by the content; two messages of different bytes can be the same one.
///
/// # Errors
///
/// [`OpenError`] names the first thing that is wrong. The key is not used unless a sender that
/// the trust centre knows has signed the message.
pub fn open<A: KeyAgreement>(
    message: &[u8],
    anchor: &TrustAnchor,
    now: Timestamp,
    recipient: &Certificate,
    agreement: A,
) -> Result<Opened, OpenError<A::Error>> {
    open_from(message, anchor, now, recipient, |_| agreement)
}

/// Checks a message's signature and sender, and decrypts it with a key that depends on who sent it.
///
/// # Errors
///
/// As for [`open`].
pub fn open_from<A: KeyAgreement>(
    message: &[u8],
    anchor: &TrustAnchor,
    now: Timestamp,
    recipient: &Certificate,
    agreement: impl FnOnce(&VerifiedCertificate) -> A,
) -> Result<Opened, OpenError<A::Error>> {
    if message.len() > MAX_MESSAGE {
        return Err(OpenError::TooLarge { size: message.len() });
    }
    let signed = signed::verify(message, anchor, now)?;
    let agreement = agreement(&signed.sender);
    let content = enveloped::decrypt(signed.content, recipient, agreement)?;
    Ok(Opened {
        sender: signed.sender,
        signing_time: signed.signing_time,
        content,
    })
}

/// Checks the length of a structure that has been emptied of what it carries, or that could not be, before it is read.
///
/// # Errors
///
/// [`OpenError::FrameTooLarge`]; a few bytes of CMS can unfold into many.
const fn check_frame<E: std::error::Error>(structure: &[u8]) -> Result<(), OpenError<E>> {
    let size = structure.len();
    if size > MAX_FRAME {
        return Err(OpenError::FrameTooLarge { size });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
