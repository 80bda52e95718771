//! What messages say: requests, answers, bundles, reports and card commands, as versioned JSON.
//!
//! Every content is one JSON object with a `type` and a `version` of its schema (now 1). Unknown
//! types, versions and fields are refused. A content names its sender and recipient where the
//! envelope alone does not bind them; see [`Content::check_sender`].
//!
//! Limits on size, depth and counts stand here and are checked before anything large is built.

mod assignment;
mod bodies;
mod error;
mod freshness;
mod parties;
mod words;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use model::{Fingerprint, Grant, Limit, Series, Timestamp};

pub use assignment::{Assignment, MAX_ASSIGNMENTS, MAX_PARAMETERS, MAX_PLAYERS, MAX_ROLES};
pub use bodies::{
    Answer, Application, ApplicationEntry, Bundle, CardAnswers, CardCommands, Cause, Delivered,
    InstallationRequest, Push, Receipt, Refusal, Refused, Report, ReportRequest, ReportedFinding, Request,
    RevokedCertificate, SupplierEntry, UnitReport,
};
pub use error::{ContentError, List, PartyError};
pub use freshness::{FreshnessError, check_freshness};
pub use words::{
    Apdu, ApplicationName, MessageId, Piece, RefusalCode, RefusalReason, RuleName, SoftwareVersion, WordError,
};

use crate::certificate::TrustAnchor;
use crate::envelope::MAX_CONTENT;

/// The version of the schema that this crate writes and reads.
pub const VERSION: u32 = 1;

/// The greatest depth of nested arrays and objects; the deepest content, a day in the calendar of a bundle's assignment, has
/// 11.
pub const MAX_DEPTH: usize = 12;

/// The greatest length of one text, in bytes: the hexadecimal digits of the longest APDU. It also
/// bounds what an error quotes.
pub const MAX_TEXT: usize = 2 * Apdu::MAX_LENGTH;

/// The greatest size of every content but answers, pushes, bundles and applications, in bytes: the greatest number of
/// card commands fits in, and a gateway never unfolds more for a request.
pub const MAX_SMALL: usize = 640 * 1_024;

/// The greatest number of queries in a request.
pub const MAX_QUERIES: usize = 64;

/// The greatest number of series in an answer: every element that a gateway knows, once.
pub const MAX_SERIES: usize = 16_384;

/// The greatest number of refusals in an answer: one for every query and element.
pub const MAX_REFUSALS: usize = 256;

/// The greatest number of suppliers in a bundle, bounded by the list that a card keeps.
pub const MAX_SUPPLIERS: usize = 32;

/// The greatest number of grants in a bundle.
pub const MAX_GRANTS: usize = 1_024;

/// The greatest number of delivery rules in a bundle: two for each supplier. A gateway watches the values of each.
pub const MAX_DELIVERIES: usize = 64;

/// The greatest number of limits of the TSM's policy in a bundle: two for each supplier.
pub const MAX_LIMITS: usize = 64;

/// The greatest number of element patterns in one grant or limit.
pub const MAX_PATTERNS: usize = 64;

/// The greatest number of energy applications in a bundle: two for each supplier that a card keeps.
pub const MAX_APPLICATIONS: usize = 32;

/// The greatest size of an energy application, in bytes: an evaluation in WebAssembly has some 100 KiB, and a gateway
/// holds a few of these in memory while one arrives.
pub const MAX_APPLICATION: usize = 1_024 * 1_024;

/// The greatest number of pieces that an application arrives in.
pub const MAX_PIECES: usize = MAX_APPLICATION.div_ceil(Piece::MAX_LENGTH);

/// The greatest number of findings in a report: more than a gateway has codes for.
pub const MAX_FINDINGS: usize = 64;

/// The greatest number of commands or answers that pass to or from the card in one message.
pub const MAX_APDUS: usize = 64;

/// A content of any type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Content {
    /// A supplier asks a gateway for readings.
    Request(Request),
    /// A gateway answers a request.
    Answer(Answer),
    /// The TSM installs suppliers and grants on a gateway.
    Bundle(Bundle),
    /// A gateway reports what is installed and how it is.
    Report(Report),
    /// The TSM asks a gateway how it is.
    ReportRequest(ReportRequest),
    /// The TSM sends an energy application that a later bundle names.
    Application(Application),
    /// A supplier asks the TSM for an installation.
    InstallationRequest(InstallationRequest),
    /// The TSM sends commands to a gateway's card.
    CardCommands(CardCommands),
    /// A gateway passes on its card's answers.
    CardAnswers(CardAnswers),
    /// A gateway refuses a message as a whole.
    Refused(Refused),
    /// A supplier or the TSM has what a gateway sent.
    Receipt(Receipt),
    /// A gateway sends what a grant has it send by itself.
    Push(Push),
}

/// How much of an unknown type is quoted in the error, in characters.
const QUOTED: usize = 40;

/// Content and version on one level of JSON.
#[derive(Serialize, Deserialize)]
struct Document<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// What is read first, to know how to read the rest.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "type")]
    kind: String,
    version: u32,
}

/// The types of content, as `type` names them.
const KINDS: [&str; 12] = [
    "request",
    "answer",
    "bundle",
    "report",
    "report-request",
    "application",
    "installation-request",
    "card-commands",
    "card-answers",
    "refused",
    "receipt",
    "push",
];

impl Content {
    /// Reads a content from JSON.
    ///
    /// # Errors
    ///
    /// [`ContentError`] names the limit that is exceeded, the unknown type or version, or what the
    /// schema does not permit.
    pub fn parse(json: &[u8]) -> Result<Self, ContentError> {
        check_size(json.len(), MAX_CONTENT)?;
        check_nesting(json)?;
        let header: Header = serde_json::from_slice(json).map_err(ContentError::Header)?;
        if !KINDS.contains(&header.kind.as_str()) {
            let found = header.kind.chars().take(QUOTED).collect();
            return Err(ContentError::UnknownType { found });
        }
        if header.version != VERSION {
            return Err(ContentError::UnknownVersion {
                found: header.version,
            });
        }
        if !matches!(header.kind.as_str(), "answer" | "bundle" | "application" | "push") {
            check_size(json.len(), MAX_SMALL)?;
        }
        let document: Document<Self> = serde_json::from_slice(json).map_err(ContentError::Schema)?;
        document.content.check()?;
        Ok(document.content)
    }

    /// Writes the content as JSON.
    ///
    /// # Errors
    ///
    /// [`ContentError`] if the content exceeds a limit, so that its recipient would refuse it.
    pub fn to_json(&self) -> Result<Vec<u8>, ContentError> {
        self.check()?;
        let document = Document {
            version: VERSION,
            content: self,
        };
        let json = serde_json::to_vec(&document).map_err(ContentError::Schema)?;
        let limit = match self {
            Self::Answer(_) | Self::Bundle(_) | Self::Application(_) | Self::Push(_) => MAX_CONTENT,
            Self::Request(_)
            | Self::Report(_)
            | Self::ReportRequest(_)
            | Self::InstallationRequest(_)
            | Self::CardCommands(_)
            | Self::CardAnswers(_)
            | Self::Refused(_)
            | Self::Receipt(_) => MAX_SMALL,
        };
        check_size(json.len(), limit)?;
        Ok(json)
    }

    /// Returns the message's identity, by which a repetition is recognised.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        match self {
            Self::Request(body) => body.id,
            Self::Answer(body) => body.id,
            Self::Bundle(body) => body.id,
            Self::Report(body) => body.id,
            Self::ReportRequest(body) => body.id,
            Self::Application(body) => body.id,
            Self::InstallationRequest(body) => body.id,
            Self::CardCommands(body) => body.id,
            Self::CardAnswers(body) => body.id,
            Self::Refused(body) => body.id,
            Self::Receipt(body) => body.id,
            Self::Push(body) => body.id,
        }
    }

    /// Returns when the content was written, by its sender's clock.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Request(body) => body.time,
            Self::Answer(body) => body.time,
            Self::Bundle(body) => body.time,
            Self::Report(body) => body.time,
            Self::ReportRequest(body) => body.time,
            Self::Application(body) => body.time,
            Self::InstallationRequest(body) => body.time,
            Self::CardCommands(body) => body.time,
            Self::CardAnswers(body) => body.time,
            Self::Refused(body) => body.time,
            Self::Receipt(body) => body.time,
            Self::Push(body) => body.time,
        }
    }

    /// Returns the identity of the message that this one answers, if it is an answer.
    #[must_use]
    pub const fn in_reply_to(&self) -> Option<MessageId> {
        match self {
            Self::Request(_)
            | Self::Bundle(_)
            | Self::ReportRequest(_)
            | Self::Application(_)
            | Self::InstallationRequest(_)
            | Self::CardCommands(_)
            | Self::Receipt(_)
            | Self::Push(_) => None,
            Self::Answer(body) => Some(body.in_reply_to),
            Self::Report(body) => Some(body.in_reply_to),
            Self::CardAnswers(body) => Some(body.in_reply_to),
            Self::Refused(body) => Some(body.in_reply_to),
        }
    }

    /// Checks the counts, and the columns of series.
    fn check(&self) -> Result<(), ContentError> {
        match self {
            Self::Request(body) => check_count(List::Queries, body.queries.len(), MAX_QUERIES),
            Self::Answer(body) => {
                check_count(List::Series, body.series.len(), MAX_SERIES)?;
                check_count(List::Refusals, body.refusals.len(), MAX_REFUSALS)?;
                check_count(List::Queries, body.rest.len(), MAX_QUERIES)?;
                check_series(&body.series)
            }
            Self::Push(body) => {
                check_count(List::Series, body.series.len(), MAX_SERIES)?;
                check_series(&body.series)
            }
            Self::Bundle(body) => {
                check_count(List::Issuing, body.issuing.len(), TrustAnchor::MAX_ISSUING)?;
                check_count(List::Suppliers, body.suppliers.len(), MAX_SUPPLIERS)?;
                check_count(List::Applications, body.applications.len(), MAX_APPLICATIONS)?;
                check_count(List::Revoked, body.revoked.len(), MAX_APPLICATIONS)?;
                let mut entries = body.applications.iter();
                entries.try_for_each(|entry| assignment::check(&entry.assignments))?;
                check_limits(&body.policy)?;
                check_grants(&body.grants)
            }
            Self::Application(body) => check_count(List::Pieces, body.content.len(), MAX_PIECES),
            Self::InstallationRequest(body) => {
                let mut entries = body.application.iter();
                entries.try_for_each(|entry| assignment::check(&entry.assignments))?;
                check_grants(&body.grants)
            }
            Self::CardCommands(body) => check_count(List::Commands, body.commands.len(), MAX_APDUS),
            Self::CardAnswers(body) => check_count(List::Answers, body.answers.len(), MAX_APDUS),
            Self::Report(body) => {
                let findings = body.unit.as_ref().map_or(0, |unit| unit.findings.len());
                check_count(List::Findings, findings, MAX_FINDINGS)?;
                let applications = body.unit.as_ref().map_or(0, |unit| unit.applications.len());
                check_count(List::Applications, applications, MAX_APPLICATIONS)
            }
            Self::ReportRequest(_) | Self::Refused(_) | Self::Receipt(_) => Ok(()),
        }
    }
}

fn check_series(series: &[Series]) -> Result<(), ContentError> {
    series
        .iter()
        .try_for_each(|series| series.check().map_err(ContentError::Series))
}

fn check_grants(grants: &[Grant]) -> Result<(), ContentError> {
    check_count(List::Grants, grants.len(), MAX_GRANTS)?;
    let deliveries = grants.iter().filter(|grant| grant.delivery.is_some()).count();
    check_count(List::Deliveries, deliveries, MAX_DELIVERIES)?;
    grants.iter().try_for_each(|grant| {
        check_rule(&grant.id, grant.elements.len())?;
        grant.check().map_err(|source| {
            let id = grant.id.clone();
            ContentError::Grant { id, source }
        })
    })
}

fn check_limits(limits: &[Limit]) -> Result<(), ContentError> {
    check_count(List::Limits, limits.len(), MAX_LIMITS)?;
    limits
        .iter()
        .try_for_each(|limit| check_rule(&limit.id, limit.elements.len()))
}

fn check_rule(id: &str, patterns: usize) -> Result<(), ContentError> {
    check_count(List::Patterns, patterns, MAX_PATTERNS)?;
    id.parse::<RuleName>().map(drop).map_err(ContentError::GrantName)
}

/// Returns the digest by which a bundle is known: SHA-256 of its JSON as it was received.
///
/// The TSM writes it on the card, and the gateway compares it at every start.
#[must_use]
pub fn bundle_digest(json: &[u8]) -> Fingerprint {
    Fingerprint::new(Sha256::digest(json).into())
}

/// Returns the digest by which an energy application is known everywhere: SHA-256 of its bytes.
#[must_use]
pub fn application_digest(bytes: &[u8]) -> Fingerprint {
    Fingerprint::new(Sha256::digest(bytes).into())
}

/// Returns whether bytes begin as a WebAssembly module of version 1 does, the only form of an energy application.
///
/// Spec: WebAssembly Core Specification 1.0, section 5.5.16.
#[must_use]
pub fn is_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

const fn check_size(size: usize, limit: usize) -> Result<(), ContentError> {
    if size > limit {
        return Err(ContentError::TooLarge { size, limit });
    }
    Ok(())
}

const fn check_count(list: List, found: usize, limit: usize) -> Result<(), ContentError> {
    if found > limit {
        return Err(ContentError::TooMany { list, found, limit });
    }
    Ok(())
}

/// Checks how deep arrays and objects are nested and how long texts are, before anything is built
/// from them.
fn check_nesting(json: &[u8]) -> Result<(), ContentError> {
    let mut depth = 0usize;
    let mut text: Option<usize> = None;
    let mut escaped = false;
    for byte in json {
        match (byte, &mut text) {
            (b'"', Some(_)) if !escaped => text = None,
            (_, Some(length)) => {
                escaped = *byte == b'\\' && !escaped;
                *length = length.saturating_add(1);
                if *length > MAX_TEXT {
                    return Err(ContentError::TextTooLong);
                }
            }
            (b'"', None) => text = Some(0),
            (b'{' | b'[', None) => depth = depth.saturating_add(1),
            (b'}' | b']', None) => depth = depth.saturating_sub(1),
            (_, None) => {}
        }
        if depth > MAX_DEPTH {
            return Err(ContentError::TooDeep);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
