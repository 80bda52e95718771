//! Why a message is not sealed or not opened.

use std::fmt;

use const_oid::ObjectIdentifier;
use model::KeySlot;

use crate::certificate::CertificateError;
use crate::envelope::{MAX_CONTENT, MAX_FRAME, MAX_MESSAGE};

/// The reason why a message was not sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError<E: std::error::Error + 'static> {
    /// The content is larger than [`MAX_CONTENT`].
    #[error("the content has {size} bytes, more than the limit of {MAX_CONTENT}")]
    TooLarge {
        /// The size that was given, in bytes.
        size: usize,
    },
    /// The recipient's certificate is not for the key that opens messages.
    #[error("the recipient's certificate is for the {found} key, expected the ENC key")]
    RecipientSlot {
        /// The slot that it is for.
        found: KeySlot,
    },
    /// The key agreement with the recipient was refused.
    #[error("the key agreement with the recipient was refused")]
    KeyAgreement(#[source] E),
    /// The signature was refused.
    #[error("the signature was refused")]
    Signature(#[source] E),
    /// The key that signed is not that of the sender's certificate.
    #[error("the key that signed is not that of the sender's certificate")]
    WrongKey,
    /// The signing time cannot be represented in a message.
    #[error("the signing time lies outside the years 1970 to 9999")]
    SigningTime,
    /// The content could not be encrypted.
    #[error("the content could not be encrypted")]
    Encryption,
    /// The message could not be encoded.
    #[error("the message could not be encoded")]
    Encoding(#[from] der::Error),
}

/// The reason why a message was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError<E: std::error::Error + 'static> {
    /// The message is larger than [`MAX_MESSAGE`].
    #[error("the message has {size} bytes, more than the limit of {MAX_MESSAGE}")]
    TooLarge {
        /// The size that was received, in bytes.
        size: usize,
    },
    /// What stands around the content is larger than [`MAX_FRAME`].
    #[error("the message has {size} bytes around its content, more than the limit of {MAX_FRAME}")]
    FrameTooLarge {
        /// The size that was received, in bytes.
        size: usize,
    },
    /// The message ends before its end.
    #[error("the message is cut off")]
    Truncated,
    /// A part of the message is not what its place requires.
    #[error("the message's {part} is malformed")]
    Malformed {
        /// The part.
        part: Part,
        /// What the decoder says.
        #[source]
        source: der::Error,
    },
    /// The message can be read but is not encoded by the distinguished rules.
    #[error("the message's {part} is not encoded by the distinguished rules")]
    NotCanonical {
        /// The part.
        part: Part,
    },
    /// A part that must be there is absent, or one that must not be there is present.
    #[error("the message's {part} does not have the required fields")]
    Fields {
        /// The part whose fields are wrong.
        part: Part,
    },
    /// A part is of another version.
    #[error("the message's {part} is of another version")]
    Version {
        /// The part.
        part: Part,
    },
    /// There are more of a part than the limit.
    #[error("the message has {found} times a {part}, more than the limit of {limit}")]
    TooMany {
        /// The part.
        part: Part,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An algorithm or type of content is not supported.
    #[error("the message uses {oid}, which is not supported")]
    UnsupportedAlgorithm {
        /// The algorithm or type.
        oid: ObjectIdentifier,
    },
    /// The parameters of an algorithm are not supported.
    #[error("the message uses {oid} with parameters that are not supported")]
    UnsupportedParameters {
        /// The algorithm.
        oid: ObjectIdentifier,
    },
    /// The sender's certificate does not go with the message.
    #[error("the message does not contain its sender's certificate")]
    SenderMissing,
    /// The sender's certificate is refused.
    #[error("the message's sender is not known to the trust centre")]
    UnknownSender(#[from] CertificateError),
    /// The content is not the one that was signed.
    #[error("the message is not the one that its sender signed")]
    WrongDigest,
    /// The signature is not the sender's.
    #[error("the message's signature is not its sender's")]
    BadSignature,
    /// The message is for somebody else.
    #[error("the message is for another recipient")]
    NotForThisRecipient,
    /// The sender's ephemeral key is no point of the curve.
    #[error("the message's ephemeral key is no point of the recipient's curve")]
    EphemeralKey,
    /// The own key or card refused the key agreement.
    #[error("the key agreement with the sender was refused")]
    KeyAgreement(#[source] E),
    /// The content key could not be unwrapped.
    #[error("the message's content key is damaged or was made for another key")]
    ContentKey,
    /// The content is not authentic.
    #[error("the message's content is damaged")]
    Authentication,
}

impl<E: std::error::Error + 'static> OpenError<E> {
    /// Says which part the decoder stumbled over.
    pub(crate) fn malformed(part: Part) -> impl Fn(der::Error) -> Self {
        move |source| Self::Malformed { part, source }
    }
}

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The outermost frame.
    ContentInfo,
    /// The signed data.
    SignedData,
    /// A certificate that goes with the message.
    Certificate,
    /// A signature and who made it.
    SignerInfo,
    /// An attribute that is signed along.
    SignedAttribute,
    /// The encrypted data.
    AuthEnvelopedData,
    /// A recipient and the content key for it.
    RecipientInfo,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::ContentInfo => "content info",
            Self::SignedData => "signed data",
            Self::Certificate => "certificate",
            Self::SignerInfo => "signer info",
            Self::SignedAttribute => "signed attribute",
            Self::AuthEnvelopedData => "enveloped data",
            Self::RecipientInfo => "recipient info",
        })
    }
}
