//! The door for the network of the house: who enters, as whom, and what stands in the way of others.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, GateError};
use super::headers::{Ends, cookie, protect};
use super::language::Language;
use super::pages::{self, Frame};
use super::rejection::to_programs;
use super::roster::{Identity, Own, Role};
use super::secret::Secret;
use super::session::Session;
use super::shelf::Shelf;
use super::wizard::Wizard;
use super::zone::Zone;
use super::{api, asked};
use crate::config::HomeAssistantConfig;
use crate::local::grants::GrantsSource;
use crate::local::server;
use crate::report::Chain;
use crate::status::StatusSource;

/// The cookie of a session.
pub(super) const SESSION: &str = "__Host-smgw";
/// The greatest form: some short fields.
const MAX_FORM: usize = 8 * 1_024;

/// What the pages are made of. Clones share everything.
#[derive(Clone)]
pub(crate) struct Portal {
    pub(crate) gate: Gate,
    pub(crate) granting: GrantsSource,
    pub(crate) source: StatusSource,
    pub(crate) zone: Zone,
    pub(crate) names: Arc<[String]>,
    /// What a consumer's own Home Assistant may be told, if anything.
    pub(crate) home_assistant: Option<Arc<HomeAssistantConfig>>,
    pub(crate) wizard: Wizard,
}

/// Serves the local web over HTTPS until it is stopped.
pub(crate) async fn serve(listener: TcpListener, portal: Portal, shelf: Shelf, stop: CancellationToken) {
    let config = move || shelf.server_config();
    server::serve_tls(listener, router(portal), config, stop).await;
}

pub(super) fn router(portal: Portal) -> Router {
    let routes = Router::new().merge(pages::routes()).merge(api::routes());
    let routes = routes.fallback(missing);
    routes
        .method_not_allowed_fallback(asked::other_method)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn(to_programs))
        .layer(middleware::from_fn_with_state(portal.clone(), protect))
        .with_state(portal)
}

async fn missing(parts: Parts) -> Barrier {
    Barrier::Missing(Language::of(&parts.headers))
}

/// Somebody who may be anybody.
pub(super) struct Visitor {
    pub(super) language: Language,
    pub(super) peer: IpAddr,
    /// The path, to come back to.
    pub(super) here: String,
    /// The session, if there is one, with its id.
    pub(super) session: Option<(Secret, Session)>,
}

impl FromRequestParts<Portal> for Visitor {
    type Rejection = Barrier;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Barrier> {
        let language = Language::of(&parts.headers);
        let ends = parts.extensions.get::<Ends>();
        let peer = ends.map(|ends| ends.peer.ip()).ok_or(Barrier::Failed(language))?;
        let id = cookie(&parts.headers, SESSION).and_then(Secret::parse);
        let session = id.and_then(|id| portal.gate.enter(&id).map(|session| (id, session)));
        let path = parts.uri.path_and_query().map(|path| path.as_str());
        Ok(Self {
            language,
            peer,
            here: path.unwrap_or("/").to_owned(),
            session,
        })
    }
}

/// Somebody who has logged in, perhaps with a first password.
pub(super) struct Member {
    pub(super) language: Language,
    pub(super) peer: IpAddr,
    pub(super) here: String,
    pub(super) id: Secret,
    pub(super) session: Session,
}

impl FromRequestParts<Portal> for Member {
    type Rejection = Barrier;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Barrier> {
        let visitor = Visitor::from_request_parts(parts, portal).await?;
        let (id, session) = visitor.session.ok_or(Barrier::LogIn)?;
        Ok(Self {
            language: visitor.language,
            peer: visitor.peer,
            here: visitor.here,
            id,
            session,
        })
    }
}

impl Member {
    /// Returns what the frame of a page is made of.
    pub(super) fn frame(&self, portal: &Portal) -> Frame {
        Frame::new(self.language, &self.here, Some(&self.session), portal)
    }

    /// Checks that a form comes from a page of this session.
    pub(super) fn check(&self, token: &str) -> Result<(), Barrier> {
        match Secret::parse(token) {
            Some(token) if token == self.session.form_token => Ok(()),
            _ => Err(Barrier::Form(self.language)),
        }
    }

    fn has_own_password(self) -> Result<Self, Barrier> {
        if self.session.must_change {
            Err(Barrier::ChangePassword)
        } else {
            Ok(self)
        }
    }
}

/// The technician, logged in with a password of its own.
pub(super) struct AsTechnician(pub(super) Member);

impl FromRequestParts<Portal> for AsTechnician {
    type Rejection = Barrier;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Barrier> {
        let member = Member::from_request_parts(parts, portal)
            .await?
            .has_own_password()?;
        match member.session.identity.role {
            Role::Technician => Ok(Self(member)),
            Role::Consumer(_) => Err(Barrier::Forbidden(member.language)),
        }
    }
}

/// A consumer, logged in with a password of its own.
pub(super) struct AsConsumer {
    pub(super) member: Member,
    pub(super) own: Own,
}

impl FromRequestParts<Portal> for AsConsumer {
    type Rejection = Barrier;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Barrier> {
        let member = Member::from_request_parts(parts, portal)
            .await?
            .has_own_password()?;
        match member.session.identity.role.clone() {
            Role::Consumer(own) => Ok(Self { member, own }),
            Role::Technician => Err(Barrier::ForbiddenHistory(member.language)),
        }
    }
}

/// Where somebody begins.
pub(super) const fn start_of(identity: &Identity) -> &'static str {
    match identity.role {
        Role::Technician => "/device",
        Role::Consumer(_) => "/now",
    }
}

/// What stands in the way of somebody.
pub(super) enum Barrier {
    /// Nobody has logged in, or the session is over.
    LogIn,
    /// The first password has to be changed.
    ChangePassword,
    /// It is not for this role.
    Forbidden(Language),
    /// The history is not for the technician.
    ForbiddenHistory(Language),
    /// The form does not come from a page of this session.
    Form(Language),
    /// There is no such page.
    Missing(Language),
    /// What was sent cannot be read, and by which status that is said.
    Unread(Language, StatusCode),
    /// What was asked for is refused, and why.
    Refused(Language, String),
    /// We have failed; the log says why.
    Failed(Language),
}

impl Barrier {
    /// Takes a failure of ours, and says in the log what it was.
    pub(super) fn failed(language: Language, error: &dyn std::error::Error) -> Self {
        tracing::error!("the local web could not answer: {}", Chain(error));
        Self::Failed(language)
    }

    /// Takes what the gate says about something that a member wants.
    pub(super) fn at_the_gate(language: Language, error: &GateError) -> Self {
        match error {
            GateError::Wrong
            | GateError::TooOften { .. }
            | GateError::Unknown { .. }
            | GateError::Weak(_)
            | GateError::Same
            | GateError::Token => Self::Refused(language, error.to_string()),
            GateError::Accounts(_)
            | GateError::Hash(_)
            | GateError::Random(_)
            | GateError::Log(_)
            | GateError::Thread(_) => Self::failed(language, error),
        }
    }
}

impl IntoResponse for Barrier {
    fn into_response(self) -> Response {
        let (status, language, text) = match &self {
            Self::LogIn => return Redirect::to("/login").into_response(),
            Self::ChangePassword => return Redirect::to("/password").into_response(),
            Self::Forbidden(language) => (StatusCode::FORBIDDEN, language, language.words().forbidden),
            Self::ForbiddenHistory(language) => {
                let text = language.words().forbidden_history;
                (StatusCode::FORBIDDEN, language, text)
            }
            Self::Form(language) => (StatusCode::FORBIDDEN, language, language.words().form_old),
            Self::Missing(language) => (StatusCode::NOT_FOUND, language, language.words().not_found),
            Self::Unread(language, status) => {
                let words = language.words();
                let text = match *status {
                    StatusCode::PAYLOAD_TOO_LARGE => words.form_long,
                    _ => words.form_unread,
                };
                (*status, language, text)
            }
            Self::Refused(language, _) => {
                let text = language.words().not_possible;
                (StatusCode::UNPROCESSABLE_ENTITY, language, text)
            }
            Self::Failed(language) => {
                let text = language.words().failed;
                (StatusCode::INTERNAL_SERVER_ERROR, language, text)
            }
        };
        let detail = match &self {
            Self::Refused(_, detail) => Some(detail.as_str()),
            _ => None,
        };
        pages::message(status, *language, text, detail)
    }
}

/// Answers that a try was one too many, and when there is another one.
pub(super) fn retry_after(response: &mut Response, seconds: u64) {
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
}
