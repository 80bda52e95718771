//! Why a certificate is refused.

use const_oid::ObjectIdentifier;
use model::{CardId, KeySlot, Timestamp};

use crate::certificate::{Certificate, RevocationReason, Role, SubjectError};
use crate::keys::PointError;

/// The reason why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate is larger than [`Certificate::MAX_DER`] or [`Certificate::MAX_PEM`].
    #[error(
        "the certificate has {size} bytes, more than the limit of {} in DER",
        Certificate::MAX_DER
    )]
    TooLarge {
        /// The size that was given, in bytes.
        size: usize,
    },
    /// The text is no certificate in PEM.
    #[error("the text is no certificate in PEM")]
    Pem,
    /// The bytes are no certificate in DER.
    #[error("the bytes are no certificate in DER")]
    Malformed(#[source] der::Error),
    /// The encoding is readable but not the distinguished one.
    #[error("the certificate is not encoded by the distinguished rules")]
    NotCanonical,
    /// The certificate is not of version 3.
    #[error("the certificate is not of version 3")]
    NotVersion3,
    /// The public key is not on a supported curve.
    #[error("the certificate's public key cannot be used")]
    PublicKey(#[source] PointError),
    /// The certificate does not state the identifier of its key.
    #[error("the certificate does not state the identifier of its key")]
    KeyIdentifierMissing,
    /// The signature algorithm is not ECDSA with SHA-256.
    #[error("the certificate is signed by the algorithm {oid}, which is not supported")]
    UnsupportedAlgorithm {
        /// The algorithm that was found.
        oid: ObjectIdentifier,
    },
    /// The certificate names another issuer than the trust centre.
    #[error("the certificate was issued by somebody else than the trust centre")]
    UnknownIssuer,
    /// The signature is not the trust centre's.
    #[error("the certificate's signature is not the trust centre's")]
    BadSignature,
    /// A time of the validity cannot be represented.
    #[error("the certificate's validity cannot be represented")]
    Validity,
    /// The certificate is not valid yet.
    #[error("the certificate is valid from {not_before} on only")]
    NotYetValid {
        /// The first second at which it is valid.
        not_before: Timestamp,
    },
    /// The certificate is no longer valid.
    #[error("the certificate expired at {not_after}")]
    Expired {
        /// The last second at which it was valid.
        not_after: Timestamp,
    },
    /// The trust centre's own certificate is not valid now.
    #[error("the trust centre's own certificate cannot be relied on")]
    Authority(#[source] Box<Self>),
    /// The trust centre has revoked the certificate.
    #[error("the certificate was revoked at {time}: {reason}")]
    Revoked {
        /// Since when.
        time: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
    /// The list of revoked certificates is malformed or has a version, field or extension that is not understood.
    #[error("the list of revoked certificates cannot be used")]
    MalformedList,
    /// The next list of revoked certificates was due.
    #[error("a newer list of revoked certificates was due at {due}")]
    ListOverdue {
        /// When it was due.
        due: Timestamp,
    },
    /// The certificate may not issue others, so that it is no root.
    #[error("the certificate is not that of an authority")]
    NotAnAuthority,
    /// The certificate may issue others, so that it stands for no party.
    #[error("the certificate is that of an authority, not that of a party")]
    IsAnAuthority,
    /// The certificate has a critical extension that this system does not know.
    #[error("the certificate has the unknown critical extension {oid}")]
    UnknownCriticalExtension {
        /// The extension.
        oid: ObjectIdentifier,
    },
    /// An extension stands more than once.
    #[error("the certificate has the extension {oid} more than once")]
    RepeatedExtension {
        /// The extension.
        oid: ObjectIdentifier,
    },
    /// The subject is not of this system's form.
    #[error("the certificate's subject cannot be used")]
    Subject(#[source] SubjectError),
    /// The GUID in the subject is not the address in the subject's alternative name.
    #[error("the certificate's subject and its alternative name disagree about the card's GUID")]
    CardIdMismatch {
        /// The GUID in the subject.
        subject: Option<CardId>,
        /// The GUID in the alternative name.
        address: Option<CardId>,
    },
    /// The key usage is that of no slot.
    #[error("the certificate's key usage is that of none of the three keys")]
    WrongKeyUsage,
    /// The certificate is that of another of the three keys.
    #[error("the certificate is that of the {found} key, expected the {expected} key")]
    WrongSlot {
        /// The slot that the certificate is needed for.
        expected: KeySlot,
        /// The slot that it was issued for.
        found: KeySlot,
    },
    /// The certificate's owner has another role.
    #[error("the certificate's owner is a {found}, expected a {expected}")]
    WrongRole {
        /// The role that the owner must have.
        expected: Role,
        /// The role that it has.
        found: Role,
    },
    /// Three certificates that should be one party's name different subjects.
    #[error("the three certificates do not belong to one party")]
    DifferentSubjects,
    /// Two of a party's three certificates are for the same key.
    #[error("two of the three certificates are for the same key")]
    RepeatedKey,
}
