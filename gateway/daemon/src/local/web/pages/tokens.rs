//! Tokens for reading: made, shown once, revoked.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::super::asked::Form;
use super::super::gate::GateError;
use super::super::portal::{AsConsumer, Barrier, Member, Portal};
use super::{Frame, rendered};
use crate::threads;

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/tokens", get(page).post(make))
        .route("/tokens/revoke", post(revoke))
}

/// A token as the page shows it.
struct Line {
    name: String,
    made: String,
}

#[derive(Template)]
#[template(path = "web/tokens.html")]
struct TokensPage {
    frame: Frame,
    form_token: String,
    /// The secret of a token that was made just now.
    secret: Option<String>,
    /// A name that was refused, and why.
    refused: Option<(String, &'static str)>,
    lines: Vec<Line>,
}

async fn tokens_page(
    portal: Portal,
    member: Member,
    (secret, refused): (Option<String>, Option<(String, &'static str)>),
) -> Result<Response, Barrier> {
    let (language, account) = (member.language, member.session.identity.name.to_string());
    let frame = Frame::new(language, "/tokens", Some(&member.session), &portal);
    let zone = portal.zone.clone();
    let tokens = at_the_gate(&member, move || portal.gate.tokens(&account)).await?;
    let tokens = tokens.map_err(|error| Barrier::at_the_gate(language, &error))?;
    let lines = tokens.into_iter().map(|token| Line {
        made: language.time(&zone, token.made),
        name: token.name,
    });
    let page = TokensPage {
        frame,
        form_token: member.session.form_token.reveal().to_string(),
        secret,
        refused,
        lines: lines.collect(),
    };
    rendered(language, &page)
}

/// Has the gate do something that may block.
async fn at_the_gate<T: Send + 'static>(
    member: &Member,
    work: impl FnOnce() -> Result<T, GateError> + Send + 'static,
) -> Result<Result<T, GateError>, Barrier> {
    let done = threads::blocking(work).await;
    done.map_err(|error| Barrier::failed(member.language, &error))
}

async fn page(State(portal): State<Portal>, consumer: AsConsumer) -> Result<Response, Barrier> {
    tokens_page(portal, consumer.member, (None, None)).await
}

#[derive(Deserialize)]
struct TokenForm {
    name: String,
    form: String,
}

async fn make(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Form(form): Form<TokenForm>,
) -> Result<Response, Barrier> {
    let member = consumer.member;
    member.check(&form.form)?;
    let (gate, account) = (portal.gate.clone(), member.session.identity.name.to_string());
    let name = form.name.clone();
    match at_the_gate(&member, move || gate.make_token(&account, &name)).await? {
        Ok(secret) => tokens_page(portal, member, (Some(secret.reveal().to_string()), None)).await,
        Err(GateError::Token) => {
            let fault = member.language.words().token_refused;
            let mut response = tokens_page(portal, member, (None, Some((form.name, fault)))).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(error) => Err(Barrier::at_the_gate(member.language, &error)),
    }
}

async fn revoke(
    State(portal): State<Portal>,
    consumer: AsConsumer,
    Form(form): Form<TokenForm>,
) -> Result<Response, Barrier> {
    let member = consumer.member;
    member.check(&form.form)?;
    let (gate, account) = (portal.gate.clone(), member.session.identity.name.to_string());
    let revoked = at_the_gate(&member, move || gate.revoke_token(&account, &form.name)).await?;
    revoked.map_err(|error| Barrier::at_the_gate(member.language, &error))?;
    Ok(Redirect::to("/tokens").into_response())
}
