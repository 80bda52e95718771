//! The local web through the control socket: first passwords, and its certificate.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use model::Fingerprint;
use serde::{Deserialize, Serialize};
use store::Store;

use super::certificate::CertificateFault;
use super::gate::{Gate, GateError, Tokens};
use super::password::Password;
use super::roster::Roster;
use super::shelf::Shelf;
use crate::config::HttpsConfig;
use crate::journal::Journal;
use crate::local::blocking;
use crate::local::grants::Outcome;
use crate::report::Chain;

/// What can be asked for.
pub(crate) const CERTIFICATE: &str = "/v1/web/certificate";
/// What can be ordered.
pub(crate) const PASSWORD: &str = "/v1/web/password";
pub(crate) const RESET: &str = "/v1/web/reset";

/// Who is to get a first password.
#[derive(Serialize, Deserialize)]
pub(crate) struct Issue {
    pub(crate) account: String,
    /// The password; one is drawn, if there is none.
    pub(crate) password: Option<Password>,
    /// Whether the tokens of the account stay; they end otherwise.
    #[serde(default)]
    pub(crate) keep_tokens: bool,
}

/// A first password that was issued.
#[derive(Serialize, Deserialize)]
pub(crate) struct Issued {
    pub(crate) account: String,
    pub(crate) password: Password,
}

/// That a new certificate is to be made.
#[derive(Serialize, Deserialize)]
pub(crate) struct NewCertificate {}

/// That all passwords and tokens are to be deleted, or were.
#[derive(Serialize, Deserialize)]
pub(crate) struct Reset {}

/// The certificate in use.
#[derive(Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// The SHA-256 digest; none, if the stored certificate is damaged.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// Why an order is not carried out where there is no local web.
const OFF: &str =
    "the local web over HTTPS is off; give it an address under [web.https] in the configuration";

/// What orders are carried out with, if there is a local web.
#[derive(Clone)]
pub(crate) struct AccessSource(pub(crate) Option<(Gate, Shelf)>);

impl AccessSource {
    /// Opens the gate and takes the certificate into use, if the configuration has a local web.
    pub(crate) fn open(config: Option<&HttpsConfig>, store: &Arc<Store>, journal: &Journal) -> Self {
        Self(config.map(|config| {
            let roster = Roster::new(&config.consumers);
            let shelf = Shelf::open(Arc::clone(store), config.names.clone().into());
            (Gate::new(Arc::clone(store), journal.clone(), roster), shelf)
        }))
    }

    /// Returns where the certificate is.
    pub(crate) fn shelf(&self) -> Option<Shelf> {
        self.0.as_ref().map(|(_, shelf)| shelf.clone())
    }
}

/// Carries out what the command line orders about the local web.
pub(crate) fn router(source: AccessSource) -> Router {
    Router::new()
        .route(CERTIFICATE, get(certificate).post(new_certificate))
        .route(PASSWORD, post(issue))
        .route(RESET, post(reset))
        .with_state(source)
}

async fn certificate(State(source): State<AccessSource>) -> Json<Outcome<Certificate>> {
    Json(match source.0 {
        Some((_, shelf)) => Outcome::Done(Certificate {
            fingerprint: shelf.fingerprint(),
        }),
        None => Outcome::Refused(OFF.to_owned()),
    })
}

async fn new_certificate(
    State(source): State<AccessSource>,
    Json(NewCertificate {}): Json<NewCertificate>,
) -> Result<Json<Outcome<Certificate>>, StatusCode> {
    let Some((gate, shelf)) = source.0 else {
        return Ok(Json(Outcome::Refused(OFF.to_owned())));
    };
    let renewed = blocking(move || {
        let made = shelf.renew()?;
        // A broken log stops the gateway by itself.
        Ok::<_, CertificateFault>((made, gate.note_certificate(made)))
    });
    Ok(Json(match renewed.await? {
        Ok((fingerprint, Ok(()))) => Outcome::Done(Certificate {
            fingerprint: Some(fingerprint),
        }),
        Ok((_, Err(error))) => refused(&error),
        Err(fault) => refused(&fault),
    }))
}

async fn issue(State(source): State<AccessSource>, Json(issue): Json<Issue>) -> Json<Outcome<Issued>> {
    let Issue {
        account,
        password,
        keep_tokens,
    } = issue;
    let tokens = if keep_tokens { Tokens::Stay } else { Tokens::End };
    let Some((gate, _)) = source.0 else {
        return Json(Outcome::Refused(OFF.to_owned()));
    };
    Json(match gate.issue(account.clone(), password, tokens).await {
        Ok(password) => Outcome::Done(Issued { account, password }),
        Err(error) => refused(&error),
    })
}

async fn reset(
    State(source): State<AccessSource>,
    Json(Reset {}): Json<Reset>,
) -> Result<Json<Outcome<Reset>>, StatusCode> {
    let Some((gate, _)) = source.0 else {
        return Ok(Json(Outcome::Refused(OFF.to_owned())));
    };
    let done: Result<(), GateError> = blocking(move || gate.reset()).await?;
    Ok(Json(match done {
        Ok(()) => Outcome::Done(Reset {}),
        Err(error) => refused(&error),
    }))
}

fn refused<T>(error: &dyn std::error::Error) -> Outcome<T> {
    let reason = Chain(error).to_string();
    tracing::warn!("an order about the local web is not carried out: {reason}");
    Outcome::Refused(reason)
}
