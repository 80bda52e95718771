//! Logging in and out, and changing one's password.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, http::HeaderMap};
use serde::Deserialize;

use super::super::asked::Form;
use super::super::gate::{GateError, Opened};
use super::super::headers::{cookie, set_cookie};
use super::super::language::Language;
use super::super::password::Password;
use super::super::portal::{Barrier, Member, Portal, SESSION, Visitor, retry_after, start_of};
use super::super::secret::Secret;
use super::{Frame, of_script, rendered};
use crate::threads;

/// The cookie that a login form is compared with, since there is no session yet.
const FORM: &str = "__Host-smgw-form";
const SCRIPT: &str = include_str!("../../../../templates/web/login.js");
/// Takes a cookie away.
const GONE: &str = "; Max-Age=0";

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/login", get(login).post(log_in))
        .route("/login.js", get(script))
        .route("/logout", post(log_out))
        .route("/password", get(password).post(change))
}

#[derive(Template)]
#[template(path = "web/login.html")]
struct LoginPage {
    frame: Frame,
    form_token: String,
    /// The account of the try before.
    account: String,
    /// What was wrong with it.
    fault: Option<String>,
}

/// A try that failed: at which account, by which status that is said, and why.
struct Failed {
    account: String,
    status: StatusCode,
    fault: String,
}

fn login_page(portal: &Portal, language: Language, failed: Option<Failed>) -> Result<Response, Barrier> {
    let token = Secret::draw().map_err(|error| Barrier::failed(language, &error))?;
    let (status, account, fault) = match failed {
        None => (StatusCode::OK, String::new(), None),
        Some(Failed {
            account,
            status,
            fault,
        }) => (status, account, Some(fault)),
    };
    let page = LoginPage {
        frame: Frame::new(language, "/login", None, portal),
        form_token: token.reveal().to_string(),
        account,
        fault,
    };
    let mut response = rendered(language, &page)?;
    *response.status_mut() = status;
    set_cookie(&mut response, FORM, &token.reveal(), "");
    Ok(response)
}

async fn script() -> Response {
    of_script(SCRIPT)
}

async fn login(State(portal): State<Portal>, visitor: Visitor) -> Result<Response, Barrier> {
    match &visitor.session {
        Some((_, session)) => Ok(Redirect::to(start_of(&session.identity)).into_response()),
        None => login_page(&portal, visitor.language, None),
    }
}

#[derive(Deserialize)]
struct LoginForm {
    account: String,
    password: Password,
    form: String,
}

async fn log_in(
    State(portal): State<Portal>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Barrier> {
    let language = visitor.language;
    let kept = cookie(&headers, FORM).and_then(Secret::parse);
    let sent = Secret::parse(&form.form);
    if !matches!((kept, sent), (Some(kept), Some(sent)) if kept == sent) {
        return Err(Barrier::Form(language));
    }
    let account = form.account.trim().to_owned();
    let entered = portal.gate.log_in(visitor.peer, account.clone(), form.password);
    match entered.await {
        Ok(opened) => {
            // Whoever logs in over a session leaves none behind that nobody would end.
            if let Some((id, _)) = &visitor.session {
                portal.gate.end(id);
            }
            let to = if opened.must_change { "/password" } else { "/" };
            let mut response = let_in(&opened, to);
            set_cookie(&mut response, FORM, "", GONE);
            Ok(response)
        }
        Err(error) => refused(&portal, language, account, &error),
    }
}

/// Hands a browser its session.
fn let_in(opened: &Opened, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    set_cookie(&mut response, SESSION, &opened.id.reveal(), "");
    response
}

fn refused(
    portal: &Portal,
    language: Language,
    account: String,
    error: &GateError,
) -> Result<Response, Barrier> {
    let words = language.words();
    let failed = |status, fault| {
        Some(Failed {
            account,
            status,
            fault,
        })
    };
    match error {
        GateError::Wrong => {
            let failed = failed(StatusCode::UNAUTHORIZED, words.password_wrong.to_owned());
            login_page(portal, language, failed)
        }
        GateError::TooOften { wait } => {
            let seconds = wait.as_secs().saturating_add(1);
            let fault = format!("{} {seconds}", words.too_often);
            let failed = failed(StatusCode::TOO_MANY_REQUESTS, fault);
            let mut response = login_page(portal, language, failed)?;
            retry_after(&mut response, seconds);
            Ok(response)
        }
        error => Err(Barrier::at_the_gate(language, error)),
    }
}

#[derive(Deserialize)]
struct Bare {
    form: String,
}

async fn log_out(
    State(portal): State<Portal>,
    member: Member,
    Form(form): Form<Bare>,
) -> Result<Response, Barrier> {
    member.check(&form.form)?;
    let (language, gate) = (member.language, portal.gate.clone());
    let logged_out =
        threads::blocking(move || gate.log_out(&member.id, (member.peer, &member.session.identity)));
    let logged_out = logged_out
        .await
        .map_err(|error| Barrier::failed(language, &error))?;
    logged_out.map_err(|error| Barrier::at_the_gate(language, &error))?;
    let mut response = Redirect::to("/login").into_response();
    set_cookie(&mut response, SESSION, "", GONE);
    Ok(response)
}

#[derive(Template)]
#[template(path = "web/password.html")]
struct PasswordPage {
    frame: Frame,
    must_change: bool,
    form_token: String,
    /// What was wrong, and with which field.
    fault: Option<(Field, String)>,
}

impl PasswordPage {
    /// Returns what was wrong with a field.
    fn fault_at(&self, field: Field) -> Option<&str> {
        let (at, text) = self.fault.as_ref()?;
        (*at == field).then_some(text.as_str())
    }
}

/// A field of the form in which a password is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Old,
    New,
    Again,
}

fn password_page(
    portal: &Portal,
    member: &Member,
    fault: Option<(Field, String)>,
) -> Result<Response, Barrier> {
    let page = PasswordPage {
        frame: Frame::new(member.language, "/password", Some(&member.session), portal),
        must_change: member.session.must_change,
        form_token: member.session.form_token.reveal().to_string(),
        fault,
    };
    rendered(member.language, &page)
}

async fn password(State(portal): State<Portal>, member: Member) -> Result<Response, Barrier> {
    password_page(&portal, &member, None)
}

#[derive(Deserialize)]
struct PasswordForm {
    old: Password,
    new: Password,
    again: Password,
    form: String,
}

async fn change(
    State(portal): State<Portal>,
    member: Member,
    Form(form): Form<PasswordForm>,
) -> Result<Response, Barrier> {
    member.check(&form.form)?;
    let words = member.language.words();
    if form.new.reveal() != form.again.reveal() {
        let fault = Some((Field::Again, words.password_differs.to_owned()));
        return faulty(
            password_page(&portal, &member, fault)?,
            StatusCode::UNPROCESSABLE_ENTITY,
        );
    }
    let identity = member.session.identity.clone();
    let changed = portal
        .gate
        .change_password((member.peer, identity), form.old, form.new)
        .await;
    let unfit = StatusCode::UNPROCESSABLE_ENTITY;
    let (field, fault, status) = match &changed {
        Ok(opened) => return Ok(let_in(opened, "/")),
        Err(GateError::Wrong) => (Field::Old, words.password_old_wrong, StatusCode::UNAUTHORIZED),
        Err(GateError::Weak(_)) => (Field::New, words.password_weak, unfit),
        Err(GateError::Same) => (Field::New, words.password_same, unfit),
        Err(GateError::TooOften { wait }) => {
            let seconds = wait.as_secs().saturating_add(1);
            let fault = (Field::Old, format!("{} {seconds}", words.too_often));
            let mut response = password_page(&portal, &member, Some(fault))?;
            retry_after(&mut response, seconds);
            return Ok(response);
        }
        Err(error) => return Err(Barrier::at_the_gate(member.language, error)),
    };
    let fault = Some((field, fault.to_owned()));
    faulty(password_page(&portal, &member, fault)?, status)
}

fn faulty(mut response: Response, status: StatusCode) -> Result<Response, Barrier> {
    *response.status_mut() = status;
    Ok(response)
}
