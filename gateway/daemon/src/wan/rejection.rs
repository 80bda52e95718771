//! Why a message is not answered as its sender wished.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use messages::content::{ContentError, FreshnessError, PartyError};
use messages::envelope::OpenError;
use serde::Serialize;
use store::{AskedError, BundleError, DatabaseError, OutboxError, RequestError};

use crate::card::CardFault;
use crate::grants::RestrictionsFault;
use crate::random::RandomError;
use crate::report::Chain;

/// The reason why a message is rejected. Each has a stable code and a sentence.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    /// The gateway serves nobody at the moment.
    #[error("the gateway does not serve at the moment: {cause}")]
    NotServing {
        /// Why.
        cause: &'static str,
    },
    /// The message could not be opened.
    #[error("the message cannot be opened")]
    Envelope(#[from] OpenError<CardFault>),
    /// The message's content cannot be read.
    #[error("the content of the message cannot be read")]
    Content(#[from] ContentError),
    /// The message is not by whom or for whom it says to be.
    #[error("the message is not from or for the right party")]
    Party(#[from] PartyError),
    /// The message is too old, or from the future.
    #[error("the message is not fresh")]
    Freshness(#[from] FreshnessError),
    /// The message was received before.
    #[error("the message was received before")]
    Replayed,
    /// The content is of a kind that a gateway does not take.
    #[error("a gateway does not take this kind of message")]
    WrongKind,
    /// No bundle in force names the supplier.
    #[error("no grant names this supplier; the trust centre installs grants")]
    NoGrant,
    /// The certificate to which the answer should go is not the TSM's.
    #[error("the certificate for the answer is not the TSM's")]
    ReplyTo(#[source] messages::certificate::CertificateError),
    /// The bundle is older than the one that the card vouches for.
    #[error("the bundle is version {version}, but the card vouches for {anchored} already; send that one")]
    OlderBundle {
        /// The bundle's version.
        version: u64,
        /// The version that the card vouches for.
        anchored: u64,
    },
    /// The bundle has the version that the card vouches for, and says something else.
    #[error("the bundle is not the version {version} that the card vouches for; somebody has altered it")]
    AlteredBundle {
        /// The bundle's version.
        version: u64,
    },
    /// A supplier in the bundle has a certificate that is not in order.
    #[error("the certificates of supplier {supplier} in the bundle are not in order")]
    BundleSupplier {
        /// Its name.
        supplier: String,
        /// Why.
        #[source]
        source: messages::certificate::CertificateError,
    },
    /// An issuing authority in the bundle is none of the trust centre's.
    #[error("an issuing authority in the bundle is none of the trust centre's")]
    BundleIssuing(#[source] messages::certificate::CertificateError),
    /// A grant or an application names a supplier that the bundle does not have.
    #[error("{grant} names a supplier that is not in the bundle")]
    BundleGrant {
        /// The grant or application.
        grant: String,
    },
    /// A bundle names an application that is not here.
    #[error("the bundle names the application {digest}, which is not here; send it first")]
    NoApplication {
        /// Its digest.
        digest: model::Fingerprint,
    },
    /// An application is not what its digest says.
    #[error("the application that arrived is not the one of the digest {named}; send it again")]
    OtherApplication {
        /// The digest that was named.
        named: model::Fingerprint,
    },
    /// An application has no form that could ever run.
    #[error("the application {digest} is no WebAssembly module of version 1; build it anew")]
    NoModule {
        /// Its digest.
        digest: model::Fingerprint,
    },
    /// An application is no package.
    #[error("the application {digest} is no package of an energy application; see `smgw app check`")]
    NoPackage {
        /// Its digest.
        digest: model::Fingerprint,
        /// What is wrong with it.
        source: evaluation::PackageError,
    },
    /// An application does not do what its manifest says.
    #[error("the application {digest} does not do here what its manifest says; see `smgw app check`")]
    NotProven {
        /// Its digest.
        digest: model::Fingerprint,
        /// What it does.
        source: Box<evaluation::VectorError>,
    },
    /// An application is not signed by whom it has to be.
    #[error(
        "the application {digest} is not signed as it has to be; its author signs with `supplier app sign`"
    )]
    NotSigned {
        /// Its digest.
        digest: model::Fingerprint,
        /// What is wrong.
        source: messages::package::SignatureError,
    },
    /// An application's author has a certificate that is revoked.
    #[error(
        "the certificate of the author of the application {digest} is revoked since {since}; have the module signed anew"
    )]
    RevokedAuthor {
        /// Its digest.
        digest: model::Fingerprint,
        /// Since when.
        since: model::Timestamp,
    },
    /// An application is an earlier version than one that is kept, or other bytes under the same version.
    #[error(
        "the application {offered} is no higher version than {kept}, which the gateway has had; give it a higher one"
    )]
    OlderApplication {
        /// Its id and version.
        offered: String,
        /// The highest version that is kept.
        kept: String,
    },
    /// An application cannot be run on what it is assigned to.
    #[error("the assignment {assignment} of the bundle cannot be carried out")]
    Assignment {
        /// Its name, and its application's id.
        assignment: String,
        /// Why not.
        source: crate::applications::AssignmentFault,
    },
    /// An application cannot be kept.
    #[error("the application cannot be kept")]
    Application(#[from] store::ApplicationError),
    /// The applications cannot be read.
    #[error("the applications cannot be read")]
    Applications(#[from] store::FileError),
    /// A certificate of the own card cannot be read.
    #[error("a certificate of the gateway's card cannot be read")]
    OwnCertificate(#[source] messages::certificate::CertificateError),
    /// The values of one time alone are more than fits an answer.
    #[error(
        "what was asked for of one time has more than the {limit} bytes of an answer; ask for fewer elements"
    )]
    TooMuch {
        /// The length of the longest answer, in bytes.
        limit: usize,
    },
    /// One aggregated value is made of more than is read for an answer.
    #[error(
        "one value of what was asked for is made of more than {limit} registered ones; ask for fewer elements, or a finer \
         resolution"
    )]
    LongStep {
        /// How many values are read at most.
        limit: usize,
    },
    /// The card cannot be reached or refuses.
    #[error("the card did not take part")]
    Card(#[from] CardFault),
    /// The card has carried out the order to end its life; a dead card signs no answer.
    #[error("the card has ended its life, as it was told")]
    CardTerminated,
    /// The answer could not be sealed.
    #[error("the answer cannot be sealed")]
    Seal(#[source] Box<messages::envelope::SealError<CardFault>>),
    /// The store failed.
    #[error("the store cannot be read or written")]
    Store(#[from] DatabaseError),
    /// The memory of requests failed.
    #[error("the request cannot be remembered")]
    Requests(#[from] RequestError),
    /// What the consumer has restricted cannot be told.
    #[error("what the consumer has restricted cannot be told, so that nothing is handed out")]
    Restrictions(#[from] RestrictionsFault),
    /// When something was granted cannot be remembered.
    #[error("when this was granted cannot be remembered")]
    Asked(#[from] AskedError),
    /// The bundle could not be stored.
    #[error("the bundle cannot be stored")]
    Bundle(#[from] BundleError),
    /// How far what is sent by itself has been sent cannot be written down.
    #[error("how far the schedules have been kept cannot be written down")]
    Schedules(#[source] store::FileError),
    /// There is no pseudonym to hand values out under.
    #[error(transparent)]
    Pseudonym(#[from] store::PseudonymError),
    /// What leaves cannot be kept for the consumer to see.
    #[error("what is sent cannot be kept for the consumer to see, so that it is not sent")]
    Sent(#[source] store::FileError),
    /// No random bytes could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The message is larger than any that is taken.
    #[error("the message is larger than the {limit} bytes that a gateway takes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is larger than what the way bears.
    #[error("the answer is larger than the {limit} bytes that this way bears; ask for a shorter period")]
    AnswerTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The message came under the name of another party.
    #[error(
        "the message came over the topic of another party; use the one with the fingerprint of its signer"
    )]
    OtherParty,
    /// The topic is none that a gateway takes messages from.
    #[error("the message came over a topic that is none of this gateway's")]
    Topic,
    /// The sender has not said that it has what it was sent before.
    #[error("{waiting} answers wait for your receipts; send them, and ask again")]
    ReceiptsDue {
        /// How many answers wait.
        waiting: u64,
    },
    /// The outbox cannot be read or written.
    #[error("the answer cannot be queued")]
    Outbox(#[from] OutboxError),
    /// The message did not arrive in time, or its connection broke.
    #[error("the message did not arrive as a whole and in time")]
    Incomplete,
    /// A log is full, and what is not logged is not answered.
    #[error("the gateway's log is full; it measures on and serves no supplier")]
    StorageFull,
    /// A log is lost or damaged.
    #[error("a log of the gateway is lost or damaged; it measures on and serves no supplier")]
    LogDamaged,
    /// A log could not be written.
    #[error("what is answered cannot be logged")]
    Log(#[source] store::LogError),
    /// The thread that worked on the message has failed.
    #[error("the message could not be worked on")]
    Thread,
}

impl From<store::LogError> for Rejection {
    fn from(error: store::LogError) -> Self {
        match error {
            store::LogError::Full { .. } => Self::StorageFull,
            other => Self::Log(other),
        }
    }
}

impl Rejection {
    /// Returns the stable code.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NotServing { .. } => "not-serving",
            Self::Envelope(OpenError::UnknownSender(_)) => "unknown-sender",
            Self::Envelope(_) => "envelope",
            Self::Content(_) => "content",
            Self::Party(_) => "party",
            Self::Freshness(_) => "not-fresh",
            Self::Replayed => "replayed",
            Self::WrongKind => "wrong-kind",
            Self::NoGrant => "no-grant",
            Self::ReplyTo(_) => "reply-to",
            Self::OlderBundle { .. } => "older-bundle",
            Self::AlteredBundle { .. } => "altered-bundle",
            Self::BundleSupplier { .. } | Self::BundleIssuing(_) | Self::BundleGrant { .. } => "bundle",
            Self::NoApplication { .. } => "no-application",
            Self::OtherApplication { .. }
            | Self::NoModule { .. }
            | Self::NoPackage { .. }
            | Self::NotProven { .. } => "application",
            Self::NotSigned { .. } => "application-signature",
            Self::RevokedAuthor { .. } => "author-revoked",
            Self::OlderApplication { .. } => "application-version",
            Self::Assignment { .. } => "assignment",
            Self::Application(store::ApplicationError::Full | store::ApplicationError::TooLarge { .. }) => {
                "application-room"
            }
            Self::TooMuch { .. } | Self::LongStep { .. } => "too-much",
            Self::OwnCertificate(_) | Self::Card(_) | Self::Seal(_) => "card",
            Self::CardTerminated => "card-terminated",
            Self::Restrictions(_) => "restrictions-lost",
            Self::Store(_)
            | Self::Requests(_)
            | Self::Asked(_)
            | Self::Bundle(_)
            | Self::Schedules(_)
            | Self::Pseudonym(_)
            | Self::Sent(_)
            | Self::Applications(_)
            | Self::Application(store::ApplicationError::File(_)) => "store",
            Self::StorageFull => "storage-full",
            Self::LogDamaged => "log-damaged",
            Self::Log(_) => "log",
            Self::TooLarge { .. } => "too-large",
            Self::AnswerTooLarge { .. } => "answer-too-large",
            Self::OtherParty => "other-party",
            Self::Topic => "topic",
            Self::ReceiptsDue { .. } => "receipts-due",
            Self::Outbox(_) => "outbox",
            Self::Incomplete => "incomplete",
            Self::Random(_) | Self::Thread => "system",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Envelope(OpenError::UnknownSender(_)) | Self::NoGrant => StatusCode::FORBIDDEN,
            Self::Envelope(_)
            | Self::Content(_)
            | Self::Party(_)
            | Self::WrongKind
            | Self::ReplyTo(_)
            | Self::BundleSupplier { .. }
            | Self::BundleIssuing(_)
            | Self::BundleGrant { .. }
            | Self::OtherApplication { .. }
            | Self::NoModule { .. }
            | Self::NoPackage { .. }
            | Self::NotProven { .. }
            | Self::NotSigned { .. }
            | Self::RevokedAuthor { .. }
            | Self::Assignment { .. }
            | Self::OtherParty
            | Self::Topic => StatusCode::BAD_REQUEST,
            Self::Freshness(_)
            | Self::Replayed
            | Self::OlderBundle { .. }
            | Self::AlteredBundle { .. }
            | Self::OlderApplication { .. }
            | Self::NoApplication { .. } => StatusCode::CONFLICT,
            Self::ReceiptsDue { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Application(store::ApplicationError::Full | store::ApplicationError::TooLarge { .. })
            | Self::TooMuch { .. }
            | Self::LongStep { .. }
            | Self::TooLarge { .. }
            | Self::AnswerTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::CardTerminated => StatusCode::GONE,
            Self::NotServing { .. }
            | Self::OwnCertificate(_)
            | Self::Card(_)
            | Self::Seal(_)
            | Self::StorageFull
            | Self::LogDamaged
            | Self::Restrictions(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_)
            | Self::Requests(_)
            | Self::Asked(_)
            | Self::Outbox(_)
            | Self::Bundle(_)
            | Self::Schedules(_)
            | Self::Pseudonym(_)
            | Self::Sent(_)
            | Self::Applications(_)
            | Self::Application(store::ApplicationError::File(_))
            | Self::Log(_)
            | Self::Random(_)
            | Self::Thread => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the reason as its sender may read it: what went wrong inside is nobody else's business.
    pub(super) fn public_reason(&self) -> String {
        match self {
            Self::Card(_) | Self::Seal(_) | Self::OwnCertificate(_) => {
                "the gateway's card did not take part; try again later".to_owned()
            }
            Self::Restrictions(_) => {
                "what the consumer has restricted is lost; nothing is handed out until it is set anew"
                    .to_owned()
            }
            Self::Store(_)
            | Self::Requests(_)
            | Self::Asked(_)
            | Self::Outbox(_)
            | Self::Bundle(_)
            | Self::Schedules(_)
            | Self::Pseudonym(_)
            | Self::Sent(_)
            | Self::Applications(_)
            | Self::Application(store::ApplicationError::File(_))
            | Self::Log(_)
            | Self::Random(_)
            | Self::Thread => "the gateway has a fault; its log has the details".to_owned(),
            other => other.reason(),
        }
    }

    /// Returns the reason in words, with its causes, for the log.
    pub(super) fn reason(&self) -> String {
        Chain(self).to_string()
    }
}

/// A rejection as it goes over the wire, when there is nobody to encrypt it to.
#[derive(Serialize)]
struct Body {
    code: &'static str,
    reason: String,
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let body = Body {
            code: self.code(),
            reason: self.public_reason(),
        };
        (self.status(), Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_inside_stays_inside() {
        let damaged = Rejection::Card(CardFault::Absent);
        assert!(damaged.reason().contains("not in the reader"));
        assert!(!damaged.public_reason().contains("not in the reader"));
        assert_eq!(damaged.code(), "card");
    }

    #[test]
    fn what_the_sender_did_wrong_is_said() {
        for (rejection, code, status) in [
            (Rejection::Replayed, "replayed", StatusCode::CONFLICT),
            (Rejection::NoGrant, "no-grant", StatusCode::FORBIDDEN),
            (
                Rejection::StorageFull,
                "storage-full",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (
                Rejection::LogDamaged,
                "log-damaged",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (
                Rejection::NoApplication {
                    digest: model::Fingerprint::new([1; 32]),
                },
                "no-application",
                StatusCode::CONFLICT,
            ),
            (
                Rejection::OtherApplication {
                    named: model::Fingerprint::new([1; 32]),
                },
                "application",
                StatusCode::BAD_REQUEST,
            ),
            (
                Rejection::NoModule {
                    digest: model::Fingerprint::new([1; 32]),
                },
                "application",
                StatusCode::BAD_REQUEST,
            ),
            (
                Rejection::Application(store::ApplicationError::Full),
                "application-room",
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            (
                Rejection::TooMuch { limit: 7 },
                "too-much",
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            (
                Rejection::TooLarge { limit: 7 },
                "too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            (Rejection::Incomplete, "incomplete", StatusCode::REQUEST_TIMEOUT),
            (Rejection::CardTerminated, "card-terminated", StatusCode::GONE),
            (Rejection::WrongKind, "wrong-kind", StatusCode::BAD_REQUEST),
        ] {
            assert_eq!((rejection.code(), rejection.status()), (code, status));
            assert_eq!(rejection.public_reason(), rejection.reason());
        }
    }
}
