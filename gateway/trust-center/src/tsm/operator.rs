//! What an operator sees of suppliers' requests, and decides on them.

use std::fmt;

use counterparty::exchange::Identity;
use messages::certificate::{CertificateError, Role, VerifiedParty};
use messages::content::{Content, ContentError, InstallationRequest, MessageId};
use model::{CardId, Fingerprint, Grant, Timestamp};
use serde::Serialize;

use super::difference::{Difference, Told};
use super::narrow::{self, Contradiction};
use super::policy::{Policy, PolicyError};
use crate::applications::{Applications, ApplicationsError};
use crate::authority::{Authority, AuthorityError};
use crate::books::{Books, BooksError, RequestEntry, RequestState};
use crate::bundles::{Bundles, BundlesError, Change, Grants, Wanted};

/// The reason why a request was not shown or decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    /// The books cannot be kept, or have no such request.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The request cannot be read.
    #[error("the request in the books cannot be read; reject it and have the supplier ask again")]
    Content(#[source] ContentError),
    /// It is something else than a request.
    #[error("what is in the books is no request; reject it and have the supplier ask again")]
    NoRequest,
    /// The supplier is no longer one.
    #[error(
        "the supplier's certificates do not hold; reject the request, or certify the supplier anew and have it ask again"
    )]
    Supplier(#[source] CertificateError),
    /// The grants contradict themselves or the policy by now.
    #[error("the grants cannot be given any more; reject the request, or change the policy")]
    Contradiction(#[from] Contradiction),
    /// The policy cannot be followed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The TSM's keys cannot be used.
    #[error("the TSM's keys cannot be used")]
    Tsm(#[from] AuthorityError),
    /// The application cannot be installed.
    #[error("the application cannot be installed; reject the request")]
    Application(#[from] ApplicationsError),
    /// What is in force cannot be told.
    #[error("what the request would change cannot be told")]
    Bundles(#[from] BundlesError),
}

/// A request as an operator sees it.
#[derive(Debug, Serialize)]
#[serde(tag = "schema", rename = "trust-center.request/1")]
pub(crate) struct RequestShown {
    id: MessageId,
    state: RequestState,
    reason: Option<String>,
    gateway: CardId,
    supplier: Fingerprint,
    name: String,
    received: Timestamp,
    changed: Timestamp,
    asked: Vec<Grant>,
    granted: Vec<Grant>,
    application: Option<ApplicationShown>,
    /// What its installation would change, if it is still to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
}

#[derive(Debug, Serialize)]
struct ApplicationShown {
    name: String,
    digest: Fingerprint,
    size: u32,
}

/// Shows a request as it is in the books.
pub(crate) fn shown(entry: &RequestEntry) -> Result<RequestShown, OperatorError> {
    let request = content(entry)?;
    Ok(RequestShown {
        id: entry.id,
        state: entry.state,
        reason: entry.reason.clone(),
        gateway: entry.guid,
        supplier: entry.supplier,
        name: entry.name.clone(),
        received: entry.received,
        changed: entry.changed,
        asked: request.grants,
        granted: entry.granted.clone(),
        application: request.application.map(|application| ApplicationShown {
            name: application.name.to_string(),
            digest: application.digest,
            size: application.size,
        }),
        difference: None,
    })
}

/// Shows a request with what its installation would change.
pub(crate) fn shown_with_difference(
    authority: &Authority,
    books: &Books,
    id: MessageId,
    now: Timestamp,
) -> Result<RequestShown, OperatorError> {
    let entry = books.request(id)?;
    let mut shown = shown(&entry)?;
    if !matches!(entry.state, RequestState::Waiting | RequestState::Approved) {
        return Ok(shown);
    }
    let Judged {
        request,
        supplier,
        granted,
    } = judge(authority, &entry, now)?;
    let tsm = authority.tsm()?;
    let Identity { anchor, party, .. } = tsm;
    let store = Applications::of_home(authority.home());
    let application = request.application.as_ref();
    let application = application
        .map(|entry| store.countersigned(entry, tsm, anchor, now))
        .transpose()?;
    let wanted = Wanted {
        change: Some(Change {
            supplier: &supplier,
            grants: Grants::Approved(&granted),
            applications: Some(application.as_slice()),
        }),
        anchor,
        reply_to: party.enc.certificate(),
        policy: &Policy::of_home(authority.home())?,
    };
    let (before, after) = Bundles::open(authority.home(), entry.guid)?.preview(&wanted, now)?;
    shown.difference = Some(Difference::between(before.as_ref(), &after));
    Ok(shown)
}

/// Approves a request, with what the policy leaves of it at this moment.
pub(crate) fn approve(
    authority: &Authority,
    books: &Books,
    id: MessageId,
    now: Timestamp,
) -> Result<RequestShown, OperatorError> {
    let judged = judge(authority, &books.request(id)?, now)?;
    shown(&books.approve_request(now, id, &judged.granted)?)
}

/// Rejects a request.
pub(crate) fn reject(
    books: &Books,
    id: MessageId,
    reason: &str,
    now: Timestamp,
) -> Result<RequestShown, OperatorError> {
    shown(&books.reject_request(now, id, reason)?)
}

/// A request whose supplier still holds, with what it would get.
struct Judged {
    request: InstallationRequest,
    supplier: VerifiedParty,
    granted: Vec<Grant>,
}

fn judge(authority: &Authority, entry: &RequestEntry, now: Timestamp) -> Result<Judged, OperatorError> {
    let request = content(entry)?;
    let supplier = authority
        .anchor()
        .verify_party(&request.certificates, now, Role::Supplier)
        .map_err(OperatorError::Supplier)?;
    let granted = if entry.state == RequestState::Waiting {
        narrow::check(&request.grants, now)?;
        Policy::of_home(authority.home())?.narrow(&supplier.name, &request.grants)?
    } else {
        entry.granted.clone()
    };
    Ok(Judged {
        request,
        supplier,
        granted,
    })
}

fn content(entry: &RequestEntry) -> Result<InstallationRequest, OperatorError> {
    match Content::parse(entry.content.as_bytes()).map_err(OperatorError::Content)? {
        Content::InstallationRequest(request) => Ok(request),
        _ => Err(OperatorError::NoRequest),
    }
}

impl fmt::Display for RequestShown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.as_deref().map(|reason| format!(": {reason}"));
        write!(
            formatter,
            "{} {} since {}{}\n    {} asked at {} for the gateway {}",
            self.id,
            self.state,
            self.changed,
            reason.unwrap_or_default(),
            self.name,
            self.received,
            self.gateway
        )?;
        for grant in &self.granted {
            let narrowed = if self.asked.contains(grant) {
                ""
            } else {
                " (narrowed by the policy)"
            };
            write!(formatter, "\n    {:?}: {}{narrowed}", grant.id, Told(grant))?;
        }
        if let Some(ApplicationShown { name, digest, size }) = &self.application {
            write!(formatter, "\n    application {name}, {size} bytes ({digest})")?;
        }
        if let Some(difference) = &self.difference {
            write!(formatter, "\n{difference}")?;
        }
        Ok(())
    }
}
