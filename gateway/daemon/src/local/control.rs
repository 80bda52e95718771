//! The Unix socket between the command line and the daemon.
//!
//! The socket is for the daemon's own user and root: its mode says so, and the kernel's word on who
//! is at the other end is checked as well.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::blocking;
use super::grants::{self, GrantsSource};
use super::web::{self, AccessSource};
use super::{apps, logs, readings, server};
use crate::applications::Explainer;
use crate::binding::{BindingSource, BindingView, ConfirmationView};
use crate::card::{Apdus, CardFault, CardHandle, CardView, Confirmation};
use crate::doctor::{Climbed, Climber};
use crate::journal::Journal;
use crate::report::Chain;
use crate::status::{Status, StatusSource};

/// What can be asked for.
const STATUS: &str = "/v1/status";
pub(crate) const BINDING: &str = "/v1/binding";
pub(crate) const CARD: &str = "/v1/card";
/// What the way to the TSM is like: it is climbed for whoever asks.
pub(crate) const LADDER: &str = "/v1/wan/ladder";
/// What can be ordered.
pub(crate) const CONFIRM: &str = "/v1/binding/confirm";
pub(crate) const RELAY: &str = "/v1/card/relay";

/// The greatest size of an answer that the command line takes: thousands of meters fit.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How long the command line waits for the daemon, which may run an application for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens the socket, in place of one that a dead daemon has left behind.
///
/// # Errors
///
/// If another daemon answers on it, or the folder does not permit it.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another daemon answers on the control socket",
        ));
    }
    match fs::symlink_metadata(path) {
        Ok(left_over) if left_over.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            let what = "something that is no socket stands there; name another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers command lines until it is stopped.
pub(crate) async fn serve(
    listener: UnixListener,
    source: StatusSource,
    bindings: BindingSource,
    (journal, granting, explainer, access): (Journal, GrantsSource, Explainer, AccessSource),
    (card, climber): (CardHandle, Climber),
    stop: CancellationToken,
) {
    let store = Arc::clone(&source.store);
    let status = Router::new().route(STATUS, get(status)).with_state(source);
    let binding = Router::new().route(BINDING, get(binding)).with_state(bindings);
    let card = Router::new()
        .route(CARD, get(inspect))
        .route(CONFIRM, post(confirm))
        .route(RELAY, post(relay))
        .with_state(card);
    let ladder = Router::new().route(LADDER, get(ladder)).with_state(climber);
    let router = status.merge(binding).merge(card).merge(ladder);
    let router = router
        .merge(logs::router(journal))
        .merge(grants::router(granting))
        .merge(apps::router(explainer))
        .merge(web::report_router(Arc::clone(&store)))
        .merge(readings::router(store))
        .merge(web::control_router(access));
    server::serve(listener, router, is_permitted, stop).await;
}

async fn status(State(source): State<StatusSource>) -> Json<Status> {
    Json(source.status())
}

async fn binding(State(source): State<BindingSource>) -> Result<Json<BindingView>, StatusCode> {
    blocking(move || source.view()).await.map(Json)
}

async fn ladder(State(climber): State<Climber>) -> Json<Vec<Climbed>> {
    Json(climber.climb_in_time().await)
}

async fn inspect(State(card): State<CardHandle>) -> Result<Json<CardView>, StatusCode> {
    answered(blocking(move || card.inspect()).await?).map(Json)
}

async fn confirm(
    State(card): State<CardHandle>,
    Json(confirmation): Json<Confirmation>,
) -> Result<Json<ConfirmationView>, StatusCode> {
    let outcome = answered(blocking(move || card.confirm(confirmation.characters)).await?)?;
    Ok(Json(ConfirmationView::of(&outcome)))
}

async fn relay(
    State(card): State<CardHandle>,
    Json(commands): Json<Apdus>,
) -> Result<Json<Apdus>, StatusCode> {
    let commands = commands.to_bytes().ok_or(StatusCode::BAD_REQUEST)?;
    let answers = answered(blocking(move || card.relay(commands)).await?)?;
    Ok(Json(Apdus::of(&answers)))
}

/// Says in the log why the card's thread did not answer.
fn answered<R>(outcome: Result<R, CardFault>) -> Result<R, StatusCode> {
    outcome.map_err(|fault| {
        tracing::warn!("the card took no part: {}", Chain(&fault));
        StatusCode::SERVICE_UNAVAILABLE
    })
}

/// Permits root and the daemon's own user.
fn is_permitted(stream: &UnixStream) -> bool {
    let own = fs::metadata("/proc/self").map(|process| process.uid());
    match (stream.peer_cred(), own) {
        (Ok(peer), Ok(own)) => peer.uid() == 0 || peer.uid() == own,
        _ => false,
    }
}

/// The reason why the daemon did not answer the command line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nobody listens on the socket.
    #[error("no daemon answers on {}; start it with smgw run", path.display())]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Somebody may listen on the socket, and this user may not ask.
    #[error("this user may not ask the gateway on {}; run it as root or as the gateway's user", path.display())]
    NotPermitted {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the daemon's answer did not arrive")]
    Connection(#[from] hyper::Error),
    /// The answer is too large or broke off.
    #[error("the daemon's answer could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The daemon did not answer in time.
    #[error("the daemon did not answer in time")]
    Timeout,
    /// The daemon could not do what it was asked for.
    #[error("the daemon could not answer ({status}); its log says why")]
    Refused {
        /// What it said.
        status: StatusCode,
    },
    /// The answer is not what was asked for.
    #[error("the daemon is of another version: its answer is not understood")]
    Answer(#[from] serde_json::Error),
    /// The command line could not set itself up.
    #[error("the command line could not be set up")]
    Setup(#[source] io::Error),
    /// The request could not be built.
    #[error("the request could not be built")]
    Request(#[from] hyper::http::Error),
}

/// Asks the daemon for its status.
pub(crate) fn ask(path: &Path) -> Result<Status, ControlError> {
    ask_for(path, STATUS)
}

/// Asks the daemon for what stands at an address.
pub(crate) fn ask_for<T: DeserializeOwned>(path: &Path, address: &str) -> Result<T, ControlError> {
    let request = hyper::Request::get(address).header(header::HOST, "localhost");
    let answer = converse(path, request.body(Full::default())?)?;
    Ok(serde_json::from_slice(&answer)?)
}

/// Has the daemon do what stands at an address, and returns what came of it.
pub(crate) fn order<T: DeserializeOwned>(
    path: &Path,
    address: &str,
    order: &impl Serialize,
) -> Result<T, ControlError> {
    let request = hyper::Request::post(address)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json");
    let answer = converse(path, request.body(Full::from(serde_json::to_vec(order)?))?)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn converse(path: &Path, request: Request) -> Result<Bytes, ControlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ControlError::Setup)?;
    let asking = async { tokio::time::timeout(ANSWER_TIMEOUT, exchange(path, request)).await };
    runtime.block_on(asking).unwrap_or(Err(ControlError::Timeout))
}

/// Tells a user who may not ask from a daemon that is not there.
fn not_connected(path: &Path, source: io::Error) -> ControlError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => ControlError::NotPermitted { path, source },
        _ => ControlError::NoDaemon { path, source },
    }
}

/// A request of the command line.
type Request = hyper::Request<Full<Bytes>>;

async fn exchange(path: &Path, request: Request) -> Result<Bytes, ControlError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| not_connected(path, source))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(ControlError::Refused { status });
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        Ok(body.collect().await.map_err(ControlError::Body)?.to_bytes())
    };
    tokio::select! {
        answer = asking => answer,
        Err(error) = connection => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_is_replaced_by_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("smgw.sock");
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        drop(listen(&path).unwrap());
        assert!(path.exists());
        let second = listen(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(second);
    }

    #[test]
    fn a_daemon_that_has_no_answer_is_not_taken_for_another_version() {
        use std::io::{Read, Write};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("smgw.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
                let busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(busy).unwrap();
            });
            let error = ask_for::<CardView>(&path, CARD).unwrap_err();
            assert!(
                matches!(error, ControlError::Refused { status } if status == 503),
                "{error}"
            );
        });
    }

    #[test]
    fn without_a_daemon_the_remedy_is_named() {
        let error = ask(Path::new("/nonexistent/smgw.sock")).unwrap_err();
        assert!(matches!(error, ControlError::NoDaemon { .. }));
        assert!(error.to_string().contains("smgw run"));
    }
}
