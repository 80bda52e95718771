//! Why a content is refused.

use std::fmt;

use model::{CardId, GrantError, SeriesError};

use crate::certificate::Role;
use crate::content::words::WordError;
use crate::content::{MAX_DEPTH, MAX_TEXT, VERSION};

/// The reason why bytes are no content, or a content cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The content is larger than its type may be.
    #[error("the content has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Arrays and objects are nested deeper than [`MAX_DEPTH`].
    #[error("the content is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A text is longer than [`MAX_TEXT`].
    #[error("the content has a text of more than {MAX_TEXT} bytes")]
    TextTooLong,
    /// The content is no JSON object with a type and a version.
    #[error("the content is no JSON object with a type and a version")]
    Header(#[source] serde_json::Error),
    /// The type is not known.
    #[error("the content is of the unknown type {found:?}")]
    UnknownType {
        /// The type that was found.
        found: String,
    },
    /// The version of the schema is not known.
    #[error("the content has the schema version {found}, known is {VERSION}")]
    UnknownVersion {
        /// The version that was found.
        found: u32,
    },
    /// A field is missing, unknown, repeated or malformed; the source names it.
    #[error("the content does not follow the schema of its type")]
    Schema(#[source] serde_json::Error),
    /// A list is longer than its limit.
    #[error("the content has {found} {list}, more than the limit of {limit}")]
    TooMany {
        /// The list.
        list: List,
        /// How many entries it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The columns of a series do not fit each other.
    #[error("the content has a series that contradicts itself")]
    Series(#[source] SeriesError),
    /// An assignment ends before it has begun.
    #[error("the assignment {name:?} of the content ends before it has begun")]
    EmptyAssignment {
        /// Its name.
        name: String,
    },
    /// Two assignments of one application have one name at the same time.
    #[error(
        "the content has two assignments of one application with the name {name:?} that hold at the same time; end the \
         earlier one with `to`, where the later one has `from`"
    )]
    RepeatedAssignment {
        /// The name.
        name: String,
    },
    /// A grant's name is empty, too long or not printable.
    #[error("the content has a grant without a proper name")]
    GrantName(#[source] WordError),
    /// A grant and its delivery rule contradict each other.
    #[error("the content has the grant {id:?}, which contradicts its delivery rule")]
    Grant {
        /// The grant.
        id: String,
        /// What contradicts what.
        #[source]
        source: GrantError,
    },
}

/// A list in a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// The queries of a request.
    Queries,
    /// The series of an answer.
    Series,
    /// The refusals of an answer.
    Refusals,
    /// The suppliers of a bundle.
    Suppliers,
    /// The issuing authorities of a bundle.
    Issuing,
    /// The grants of a bundle.
    Grants,
    /// The delivery rules of a bundle.
    Deliveries,
    /// The energy applications of a bundle or a report.
    Applications,
    /// The revoked certificates of a bundle.
    Revoked,
    /// The pieces that an application arrives in.
    Pieces,
    /// The findings of a report.
    Findings,
    /// The limits of a bundle.
    Limits,
    /// The element patterns of a grant, a limit, or a role of an application.
    Patterns,
    /// The assignments of an application.
    Assignments,
    /// The roles of an assignment.
    Roles,
    /// The commands to a card.
    Commands,
    /// The answers of a card.
    Answers,
}

impl fmt::Display for List {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Queries => "queries",
            Self::Series => "series",
            Self::Refusals => "refusals",
            Self::Suppliers => "suppliers",
            Self::Issuing => "issuing authorities",
            Self::Grants => "grants",
            Self::Deliveries => "delivery rules",
            Self::Applications => "applications",
            Self::Revoked => "revoked certificates",
            Self::Pieces => "pieces of an application",
            Self::Findings => "findings",
            Self::Limits => "limits",
            Self::Patterns => "element patterns",
            Self::Assignments => "assignments of an application",
            Self::Roles => "roles of an assignment",
            Self::Commands => "commands",
            Self::Answers => "answers",
        })
    }
}

/// The reason why a content does not belong to the message that it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// A party of this role never sends such a content.
    #[error("the content can come from a {expected} only, its sender is a {found}")]
    Role {
        /// The role that may send it.
        expected: Role,
        /// The sender's role.
        found: Role,
    },
    /// The content names another sender than the one who signed the message.
    #[error("the content names another sender than the one who signed the message")]
    Sender,
    /// The content is for another gateway.
    #[error("the content is for the gateway {named}")]
    Recipient {
        /// The gateway that it names.
        named: CardId,
    },
    /// Contents of this type never go to gateways.
    #[error("contents of this type never go to gateways")]
    NotForGateways,
}
