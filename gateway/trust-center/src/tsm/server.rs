//! `tsm serve`: takes suppliers' requests, as [`counterparty::tsm`] describes, and works on the queues of the gateways.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use counterparty::stop::stopped;
use counterparty::tsm::{RefusalView, RequestView, RequestsView, TsmView};
use messages::certificate::{Role, Triple};
use messages::content::{Content, MAX_APPLICATION, MAX_SMALL, MessageId, RefusalReason};
use messages::envelope::MAX_FRAME;
use model::{Fingerprint, KeySlot, Timestamp};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, AdmissionError};
use super::listener::{Door, Peer, TlsSetupError};
use super::policy::{Policy, PolicyError};
use super::trust::Trust;
use super::worker::{WorkerError, WorkerName, Workshop, work};
use crate::applications::{Applications, ApplicationsError};
use crate::authority::{Authority, AuthorityError};
use crate::books::{Books, BooksError, Filter, RequestEntry, RequestState};
use crate::bundles::{self, BundlesError};
use crate::output::Output;
use crate::personalize::card_judged_by;

/// How many requests wait for the books at most; who comes later is told to come again.
const MAX_WAITING: usize = 64;

/// The reason why the TSM does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The address is taken or not this machine's.
    #[error("the TSM cannot listen at {listen}; name another address")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The TSM's keys cannot be used.
    #[error("the TSM's keys cannot be used")]
    Tsm(#[from] AuthorityError),
    /// The policy cannot be followed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The work on the queues cannot begin.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// What is in force cannot be read.
    #[error("what is in force on the gateways cannot be read")]
    Bundles(#[from] BundlesError),
    /// The result could not be printed, or the server has failed.
    #[error("the TSM cannot be served any longer")]
    Serve(#[source] io::Error),
}

/// What the handlers have in common.
struct Service {
    trust: Arc<Trust>,
    books: Arc<Books>,
    applications: Applications,
    waiting: Semaphore,
    clock: fn() -> Timestamp,
}

/// Serves suppliers and visits gateways until the program is told to end.
pub(crate) async fn serve(
    authority: Authority,
    books: Books,
    listen: SocketAddr,
    json: bool,
    clock: fn() -> Timestamp,
) -> Result<(), ServeError> {
    // A policy that cannot be followed is better noticed now than at the first request.
    Policy::of_home(authority.home())?;
    bundles::adopt_all(authority.home(), &books)?;
    let name = WorkerName::take(authority.home(), &books)?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|source| ServeError::Listen { listen, source })?;
    let listen = listener.local_addr().map_err(ServeError::Serve)?;
    let stopped = stopped().map_err(ServeError::Serve)?;
    let stop = CancellationToken::new();
    let door = Door::open(listener, authority.tsm()?, stop.clone())?;
    let trust = Arc::new(Trust::new(authority));
    let books = Arc::new(books);
    let workshop = Workshop {
        name,
        trust: Arc::clone(&trust),
        books: Arc::clone(&books),
        clock,
    };
    let working = tokio::spawn(work(Arc::new(workshop), stop.clone()));
    let service = Service {
        applications: Applications::of_home(trust.authority().home()),
        trust,
        books,
        waiting: Semaphore::new(MAX_WAITING),
        clock,
    };
    Output::Tsm { listen }.print(json).map_err(ServeError::Serve)?;
    let router = router(service).into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(door, router)
        .with_graceful_shutdown({
            let stop = stop.clone();
            async move {
                stopped.await;
                stop.cancel();
            }
        })
        .await;
    stop.cancel();
    if let Err(error) = working.await {
        tracing::error!("the work on the queues has failed: {error}");
    }
    served.map_err(ServeError::Serve)
}

fn router(service: Service) -> Router {
    Router::new()
        .route("/tsm/v1/certificates", get(certificates))
        .route(
            "/tsm/v1/applications/{digest}",
            put(upload)
                .get(look_for)
                .layer(DefaultBodyLimit::max(MAX_APPLICATION)),
        )
        .route(
            "/tsm/v1/requests",
            post(request)
                .get(requests)
                .layer(DefaultBodyLimit::max(MAX_SMALL.saturating_add(MAX_FRAME))),
        )
        .route("/tsm/v1/requests/{id}", get(state))
        .with_state(Arc::new(service))
}

type Tsm = State<Arc<Service>>;
type Who = ConnectInfo<Peer>;

async fn certificates(State(tsm): Tsm, ConnectInfo(peer): Who) -> Response {
    let shown = of_supplier(tsm, peer, |call| {
        let party = call.tsm.trust.authority().tsm()?.party;
        Ok(Json(TsmView {
            sig: party.sig.certificate().clone(),
            enc: party.enc.certificate().clone(),
        }))
    });
    answered(shown.await)
}

async fn look_for(State(tsm): Tsm, ConnectInfo(peer): Who, Path(digest): Path<String>) -> Response {
    let looked = of_supplier(tsm, peer, move |call| {
        let digest = fingerprint(&digest)?;
        call.tsm.applications.read(digest)?;
        Ok(StatusCode::OK)
    });
    answered(looked.await)
}

async fn upload(
    State(tsm): Tsm,
    ConnectInfo(peer): Who,
    Path(digest): Path<String>,
    body: Bytes,
) -> Response {
    let kept = of_supplier(tsm, peer, move |call| {
        call.tsm.applications.keep(fingerprint(&digest)?, &body)?;
        Ok(StatusCode::NO_CONTENT)
    });
    answered(kept.await)
}

async fn request(State(tsm): Tsm, ConnectInfo(peer): Who, body: Bytes) -> Response {
    let admitted = of_supplier(tsm, peer, move |call| {
        let Service {
            trust,
            books,
            applications,
            ..
        } = &*call.tsm;
        let policy = Policy::of_home(trust.authority().home())?;
        let anchor = trust.anchor(books)?;
        let admission = Admission {
            tsm: trust.identity(&anchor)?,
            books,
            applications,
            policy: &policy,
            now: call.now,
        };
        let entry = admission.admit(&body, &call.peer.certificate)?;
        tracing::info!(request = %entry.id, supplier = %entry.name, guid = %entry.guid, state = %entry.state, "request");
        Ok(Json(view(&entry)?))
    });
    answered(admitted.await)
}

/// Where a page of requests begins.
#[derive(Debug, Deserialize)]
struct Behind {
    #[serde(default)]
    behind: u64,
}

async fn requests(State(tsm): Tsm, ConnectInfo(peer): Who, Query(page): Query<Behind>) -> Response {
    let found = of_supplier(tsm, peer, move |call| {
        let filter = Filter {
            supplier: Some(call.supplier),
            behind: page.behind,
            ..Filter::default()
        };
        let entries = call.tsm.books.requests(filter)?;
        let requests = entries.iter().map(view).collect::<Result<_, _>>()?;
        Ok(Json(RequestsView { requests }))
    });
    answered(found.await)
}

async fn state(State(tsm): Tsm, ConnectInfo(peer): Who, Path(id): Path<String>) -> Response {
    let found = of_supplier(tsm, peer, move |call| {
        let id: MessageId = id.parse().map_err(|_| Refusal::Unknown)?;
        let entry = call.tsm.books.request_of(id, call.supplier)?;
        let mut shown = view(&entry)?;
        if entry.state == RequestState::Installed {
            let anchor = call.tsm.trust.anchor(&call.tsm.books)?;
            let card = card_judged_by(&anchor, &call.tsm.books, entry.guid, call.now);
            let card = card.map_err(|error| Refusal::Card(Box::new(error)))?;
            shown.certificates = Some(Triple {
                sig: card.sig.certificate().clone(),
                enc: card.enc.certificate().clone(),
                tls: card.tls.certificate().clone(),
            });
            shown.issuing = anchor.issuing().to_vec();
        }
        Ok(Json(shown))
    });
    answered(found.await)
}

/// Shows a request as its supplier may see it.
fn view(entry: &RequestEntry) -> Result<RequestView, Refusal> {
    let content = Content::parse(entry.content.as_bytes()).map_err(AdmissionError::Content)?;
    let application = match content {
        Content::InstallationRequest(request) => request.application.map(|entry| entry.digest),
        _ => return Err(AdmissionError::Kind.into()),
    };
    Ok(RequestView {
        id: entry.id,
        number: entry.number,
        gateway: entry.guid,
        state: entry.state.as_str().to_owned(),
        reason: entry.reason.clone(),
        received: entry.received,
        changed: entry.changed,
        grants: entry.granted.clone(),
        application,
        certificates: None,
        issuing: Vec::new(),
    })
}

fn fingerprint(text: &str) -> Result<Fingerprint, Refusal> {
    text.parse().map_err(|_| Refusal::Unknown)
}

/// A call of somebody who is a supplier at this moment.
struct Call {
    tsm: Arc<Service>,
    peer: Peer,
    /// The supplier's SIG certificate.
    supplier: Fingerprint,
    now: Timestamp,
}

/// Does what a supplier asks for, on a thread that may wait for the books.
async fn of_supplier<T: Send + 'static>(
    tsm: Arc<Service>,
    peer: Peer,
    act: impl FnOnce(&Call) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let for_permit = Arc::clone(&tsm);
    let _permit = for_permit.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
    let address = peer.address;
    let acting = tokio::task::spawn_blocking(move || {
        let now = (tsm.clock)();
        let anchor = tsm.trust.anchor(&tsm.books)?;
        anchor
            .verify(&peer.certificate, now, Role::Supplier, KeySlot::Tls)
            .map_err(AdmissionError::Supplier)?;
        let supplier = tsm.books.sig_beside(peer.certificate.fingerprint())?;
        act(&Call {
            tsm,
            peer,
            supplier,
            now,
        })
    });
    let acted = acting.await.unwrap_or(Err(Refusal::Thread));
    acted.inspect_err(|refusal| match refusal.code() {
        (code, StatusCode::INTERNAL_SERVER_ERROR) => {
            tracing::error!(%address, code, "{}", crate::chain(refusal));
        }
        (code, _) => tracing::info!(%address, code, "refused: {}", crate::chain(refusal)),
    })
}

/// The reason why a supplier is not served.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("too many requests at the same time; try again")]
    Busy,
    #[error("there is nothing of this name; check it")]
    Unknown,
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error(transparent)]
    Application(#[from] ApplicationsError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Tsm(#[from] AuthorityError),
    #[error(transparent)]
    Books(#[from] BooksError),
    #[error(transparent)]
    Card(Box<crate::personalize::CardCertificatesError>),
    #[error("the request could not be worked on")]
    Thread,
}

impl Refusal {
    /// Returns the stable code and the status.
    fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unknown => ("unknown", StatusCode::NOT_FOUND),
            Self::Admission(error) => admission_code(error),
            Self::Application(error) => application_code(error),
            Self::Books(error) => books_code(error),
            Self::Card(_) => ("card", StatusCode::CONFLICT),
            Self::Policy(_) | Self::Tsm(_) | Self::Thread => ("system", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Returns the cause as a supplier may read it: what went wrong inside is nobody else's business.
    fn public_reason(&self) -> String {
        match self.code() {
            (_, StatusCode::INTERNAL_SERVER_ERROR) => {
                "the TSM has a fault; try again later, its log has the details".to_owned()
            }
            _ => crate::chain(self),
        }
    }
}

fn admission_code(error: &AdmissionError) -> (&'static str, StatusCode) {
    match error {
        AdmissionError::Supplier(_) => ("supplier", StatusCode::FORBIDDEN),
        AdmissionError::OtherSupplier => ("other-supplier", StatusCode::FORBIDDEN),
        AdmissionError::Envelope(_) => ("envelope", StatusCode::BAD_REQUEST),
        AdmissionError::Content(_) | AdmissionError::Kind => ("content", StatusCode::BAD_REQUEST),
        AdmissionError::Party(_) => ("party", StatusCode::BAD_REQUEST),
        AdmissionError::Freshness(_) => ("not-fresh", StatusCode::CONFLICT),
        AdmissionError::Gateway { .. } => ("gateway", StatusCode::NOT_FOUND),
        AdmissionError::Terminated { .. } => ("terminated", StatusCode::GONE),
        AdmissionError::Contradiction(_) => ("grants", StatusCode::UNPROCESSABLE_ENTITY),
        AdmissionError::ApplicationSize { .. } => ("application", StatusCode::UNPROCESSABLE_ENTITY),
        AdmissionError::Application(error) => application_code(error),
        AdmissionError::Books(error) => books_code(error),
        AdmissionError::Policy(_) | AdmissionError::Tsm(_) => ("system", StatusCode::INTERNAL_SERVER_ERROR),
    }
}

const fn application_code(error: &ApplicationsError) -> (&'static str, StatusCode) {
    match error {
        ApplicationsError::Missing { .. } => ("no-application", StatusCode::NOT_FOUND),
        ApplicationsError::Digest { .. }
        | ApplicationsError::NoModule
        | ApplicationsError::TooLarge { .. } => ("application", StatusCode::UNPROCESSABLE_ENTITY),
        ApplicationsError::Signature(_) => ("application-signature", StatusCode::UNPROCESSABLE_ENTITY),
        ApplicationsError::Full { .. }
        | ApplicationsError::Altered { .. }
        | ApplicationsError::Sign(_)
        | ApplicationsError::File(_) => ("system", StatusCode::INTERNAL_SERVER_ERROR),
    }
}

const fn books_code(error: &BooksError) -> (&'static str, StatusCode) {
    match error {
        BooksError::NoRequest { .. } => ("no-request", StatusCode::NOT_FOUND),
        BooksError::NotIssued { .. } => ("supplier", StatusCode::FORBIDDEN),
        BooksError::OtherRequest { .. } => ("repeated-id", StatusCode::CONFLICT),
        BooksError::TooManyRequests => ("too-many", StatusCode::TOO_MANY_REQUESTS),
        BooksError::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE),
        _ => ("system", StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn answered<T: IntoResponse>(done: Result<T, Refusal>) -> Response {
    let refusal = match done {
        Ok(done) => return done.into_response(),
        Err(refusal) => refusal,
    };
    let (code, status) = refusal.code();
    let printable = refusal.public_reason();
    let printable = printable.chars().filter(|character| !character.is_control());
    let reason: String = printable.take(RefusalReason::MAX_LENGTH).collect();
    match (code.parse(), reason.parse()) {
        (Ok(code), Ok(reason)) => (status, Json(RefusalView { code, reason })).into_response(),
        _ => status.into_response(),
    }
}
