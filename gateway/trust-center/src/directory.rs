//! The public directory (610): certificates by GUID and lists of revoked ones over HTTP, for everybody, read-only.
//!
//! | path | what |
//! |---|---|
//! | `/root.pem`, `/chain.pem` | the root's certificate; those of the issuing authorities, the present one first |
//! | `/root.crl`, `/issuing.crl` | the latest lists of the root and the present issuing authority, DER (RFC 5280; `application/pkix-crl`) |
//! | `/lists/KEY` | the latest list of any authority, by the identifier of its key in hexadecimal digits, DER |
//! | `/certificates/GUID` | every certificate of the card that is not revoked, the latest first, PEM |
//! | `/certificates/GUID/SLOT` | the latest certificate of the slot `sig`, `enc` or `tls` that is not revoked, DER |
//!
//! Every answer has an ETag and says for how long it may be kept; who has it already is told so (304).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use counterparty::stop::stopped;
use messages::certificate::{Certificate, CertificateError, RevocationList};
use model::{CardId, Fingerprint, KeySlot};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::books::{Books, BooksError, Entry, hex};
use crate::output::Output;

/// For how long an answer may be kept without asking again: a revocation is seen as soon afterwards.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How many requests wait for the books at most; who comes later is told to come again.
const MAX_WAITING: usize = 64;

/// The reason why there is no directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// The address is taken or not this machine's.
    #[error("the directory cannot listen at {listen}; name another address")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The result could not be printed, or the server has failed.
    #[error("the directory cannot be served any longer")]
    Serve(#[source] io::Error),
}

/// What is published.
struct Published {
    /// The root, and the issuing authorities, the present one first.
    authorities: Vec<Certificate>,
    books: Books,
    waiting: tokio::sync::Semaphore,
}

/// Serves the directory until the program is told to end.
pub(crate) async fn serve(
    authority: Authority,
    books: Books,
    listen: SocketAddr,
    json: bool,
) -> Result<(), DirectoryError> {
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|source| DirectoryError::Listen { listen, source })?;
    let listen = listener.local_addr().map_err(DirectoryError::Serve)?;
    let published = Published {
        authorities: authority.authorities().into_iter().cloned().collect(),
        books,
        waiting: tokio::sync::Semaphore::new(MAX_WAITING),
    };
    let stopped = stopped().map_err(DirectoryError::Serve)?;
    Output::Directory { listen }
        .print(json)
        .map_err(DirectoryError::Serve)?;
    axum::serve(listener, router(published))
        .with_graceful_shutdown(stopped)
        .await
        .map_err(DirectoryError::Serve)
}

fn router(published: Published) -> Router {
    Router::new()
        .route("/root.pem", get(root))
        .route("/chain.pem", get(chain))
        .route("/root.crl", get(root_list))
        .route("/issuing.crl", get(issuing_list))
        .route("/lists/{key}", get(list_of))
        .route("/certificates/{guid}", get(certificates))
        .route("/certificates/{guid}/{slot}", get(certificate))
        .with_state(Arc::new(published))
}

type Directory = State<Arc<Published>>;

async fn root(State(directory): Directory, headers: HeaderMap) -> Response {
    page(&headers, PEM, pem(directory.authorities.iter().take(1)))
}

async fn chain(State(directory): Directory, headers: HeaderMap) -> Response {
    page(&headers, PEM, pem(directory.authorities.iter().skip(1)))
}

fn pem<'a>(certificates: impl Iterator<Item = &'a Certificate>) -> Result<Option<Vec<u8>>, LookError> {
    let text = certificates
        .map(Certificate::to_pem)
        .collect::<Result<String, _>>()?;
    Ok(Some(text.into_bytes()).filter(|text| !text.is_empty()))
}

async fn root_list(State(directory): Directory, headers: HeaderMap) -> Response {
    let issuer = directory.authorities.first().map(Certificate::fingerprint);
    list(directory, headers, issuer).await
}

async fn issuing_list(State(directory): Directory, headers: HeaderMap) -> Response {
    let issuer = directory.authorities.get(1).map(Certificate::fingerprint);
    list(directory, headers, issuer).await
}

async fn list_of(State(directory): Directory, Path(key): Path<String>, headers: HeaderMap) -> Response {
    let mut authorities = directory.authorities.iter();
    let issuer = authorities.find(|authority| hex(authority.key_identifier()) == key);
    let issuer = issuer.map(Certificate::fingerprint);
    list(directory, headers, issuer).await
}

async fn list(directory: Arc<Published>, headers: HeaderMap, issuer: Option<Fingerprint>) -> Response {
    let found = read(directory, move |books| {
        let Some(pem) = issuer.map(|issuer| books.list(issuer)).transpose()?.flatten() else {
            return Ok(None);
        };
        Ok(Some(RevocationList::from_pem(&pem)?.as_der().to_vec()))
    });
    page(&headers, "application/pkix-crl", found.await)
}

async fn certificates(State(directory): Directory, Path(guid): Path<String>, headers: HeaderMap) -> Response {
    let Ok(guid) = guid.parse::<CardId>() else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let found = read(directory, move |books| {
        let mut text = String::new();
        for entry in holding(books, guid)?.iter().rev() {
            text.push_str(&entry.certificate.to_pem()?);
        }
        Ok(Some(text.into_bytes()).filter(|text| !text.is_empty()))
    });
    page(&headers, PEM, found.await)
}

async fn certificate(
    State(directory): Directory,
    Path((guid, slot)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let slot = KeySlot::ALL
        .into_iter()
        .find(|candidate| candidate.name() == slot);
    let (Ok(guid), Some(slot)) = (guid.parse::<CardId>(), slot) else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let found = read(directory, move |books| {
        let entries = holding(books, guid)?;
        let latest = entries.iter().rev().find(|entry| entry.key == slot.name());
        Ok(latest.map(|entry| entry.certificate.as_der().to_vec()))
    });
    page(&headers, "application/pkix-cert", found.await)
}

const PEM: &str = "application/pem-certificate-chain";

/// Returns the certificates of a completed card that are not revoked.
pub(crate) fn holding(books: &Books, guid: CardId) -> Result<Vec<Entry>, BooksError> {
    if books.outcome(guid)? != Some(crate::books::Outcome::Completed) {
        return Ok(Vec::new());
    }
    let mut entries = books.certificates(&guid.to_string())?;
    entries.retain(|entry| !entry.revoked);
    Ok(entries)
}

/// Reads the books on a thread that may wait.
async fn read<T: Send + 'static>(
    directory: Arc<Published>,
    look: impl FnOnce(&Books) -> Result<Option<T>, BooksError> + Send + 'static,
) -> Result<Option<T>, LookError> {
    let _permit = directory.waiting.try_acquire().map_err(|_| LookError::Busy)?;
    let books = Arc::clone(&directory);
    let looked = tokio::task::spawn_blocking(move || look(&books.books)).await;
    looked
        .map_err(|_| LookError::Books(BooksError::Broken))?
        .map_err(LookError::Books)
}

/// The reason why nothing was looked up.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("too many requests at once")]
    Busy,
    #[error(transparent)]
    Books(BooksError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Answers with what was found, unless the client has it already.
fn page(headers: &HeaderMap, kind: &'static str, found: Result<Option<Vec<u8>>, LookError>) -> Response {
    let body = match found {
        Ok(Some(body)) => body,
        Ok(None) => return refusal(StatusCode::NOT_FOUND),
        Err(LookError::Busy) => return refusal(StatusCode::SERVICE_UNAVAILABLE),
        Err(error) => {
            tracing::error!("{}", crate::chain(&error));
            return refusal(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let tag = format!("\"{}\"", hex(&Sha256::digest(&body)));
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let is_known = known.any(|value| {
        matches!(value.trim().trim_start_matches("W/"), "*") || value.trim().trim_start_matches("W/") == tag
    });
    let age = format!("public, max-age={}", MAX_AGE.as_secs());
    let fields: Vec<(HeaderName, String)> = vec![
        (header::ETAG, tag),
        (header::CACHE_CONTROL, age),
        (header::CONTENT_TYPE, kind.to_owned()),
    ];
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body.into_response()
    };
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Answers without content; what is not there may come soon, so it is not kept.
fn refusal(status: StatusCode) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")]).into_response()
}
