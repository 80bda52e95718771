//! The pages, rendered here: whole without a script, nothing from elsewhere.

mod costs;
mod device;
mod door;
pub(super) mod history;
pub(super) mod now;
pub(super) mod recipients;
mod sent;
mod tokens;
mod transparency;

use askama::Template;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use super::asked::Query;
use super::catalogue::Words;
use super::headers::set_cookie;
use super::language::{COOKIE, Language};
use super::portal::{Barrier, Portal, Visitor, start_of};
use super::roster::Role;
use super::session::Session;
use crate::threads;

const STYLE: &str = include_str!("../../../templates/web/style.css");
const ICON: &str = include_str!("../../../templates/web/icon.svg");
/// How long a browser keeps the choice of the language: a year.
const LANGUAGE_AGE: &str = "; Max-Age=31536000";

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route("/", get(start))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        .route("/language", get(choose_language))
        .route("/now", get(now::page))
        .route("/history", get(history::page))
        .route("/history.csv", get(history::csv))
        .merge(transparency::routes())
        .route("/device", get(device::page))
        .merge(super::live::routes())
        .merge(costs::routes())
        .merge(door::routes())
        .merge(recipients::routes())
        .merge(sent::routes())
        .merge(tokens::routes())
        .merge(super::wizard::routes())
}

async fn start(visitor: Visitor) -> Redirect {
    let start = visitor.session.as_ref();
    Redirect::to(start.map_or("/login", |(_, session)| start_of(&session.identity)))
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn icon() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON)
}

/// Hands out a script.
pub(super) fn of_script(script: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], script).into_response()
}

/// Which language, and where to go on.
#[derive(Deserialize)]
struct Choice {
    to: String,
    back: String,
}

/// Sets the language. It changes nothing but the language of the one who asks, so that it needs no form.
async fn choose_language(visitor: Visitor, Query(choice): Query<Choice>) -> Result<Response, Barrier> {
    let missing = Barrier::Missing(visitor.language);
    let chosen = Language::parse(&choice.to).ok_or(missing)?;
    let back = if is_ours(&choice.back) {
        choice.back.as_str()
    } else {
        "/"
    };
    let mut response = Redirect::to(back).into_response();
    set_cookie(&mut response, COOKIE, chosen.code(), LANGUAGE_AGE);
    Ok(response)
}

/// Returns whether a place lies in this web: browsers take `//` and `/\` for the beginning of another one.
fn is_ours(place: &str) -> bool {
    let leads_away = place.starts_with("//") || place.starts_with("/\\");
    place.starts_with('/') && !leads_away && place.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What surrounds every page.
pub(super) struct Frame {
    pub(super) language: Language,
    pub(super) words: &'static Words,
    here: String,
    pub(super) soft_card: bool,
    pub(super) member: Option<FrameOfMember>,
}

/// What surrounds the pages of somebody who has logged in.
pub(super) struct FrameOfMember {
    pub(super) account: String,
    pub(super) is_technician: bool,
    pub(super) must_change: bool,
    pub(super) form_token: String,
}

impl Frame {
    pub(super) fn new(language: Language, here: &str, session: Option<&Session>, portal: &Portal) -> Self {
        Self {
            language,
            words: language.words(),
            here: here.to_owned(),
            soft_card: portal.source.has_soft_card(),
            member: session.map(|session| FrameOfMember {
                account: session.identity.name.to_string(),
                is_technician: session.identity.role == Role::Technician,
                must_change: session.must_change,
                form_token: session.form_token.reveal().to_string(),
            }),
        }
    }

    /// Returns where the language is switched.
    pub(super) fn switch(&self) -> String {
        let back = percent_encoded(&self.here);
        format!("/language?to={}&back={back}", self.language.other().code())
    }

    /// Returns whether this is the page, for `aria-current`.
    pub(super) fn is_at(&self, path: &str) -> bool {
        self.here.split('?').next() == Some(path)
    }
}

/// Writes a text so that it can stand in a query (RFC 3986, section 2.3).
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Has something done that may block; a failure is told of in the log.
pub(super) async fn working<T, E>(
    language: Language,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Barrier>
where
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    match threads::blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Barrier::failed(language, &error)),
        Err(error) => Err(Barrier::failed(language, &error)),
    }
}

/// Renders a page.
pub(super) fn rendered(language: Language, page: &impl Template) -> Result<Response, Barrier> {
    match page.render() {
        Ok(html) => Ok(Html(html).into_response()),
        Err(error) => Err(Barrier::failed(language, &error)),
    }
}

/// A page that says why there is no other one.
#[derive(Template)]
#[template(path = "web/message.html")]
struct Message<'a> {
    language: Language,
    words: &'static Words,
    text: &'a str,
    detail: Option<&'a str>,
}

/// Says why there is no other page.
pub(super) fn message(status: StatusCode, language: Language, text: &str, detail: Option<&str>) -> Response {
    let page = Message {
        language,
        words: language.words(),
        text,
        detail,
    };
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!("a page of the local web could not be rendered: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        assert!(is_ours("/") && is_ours("/history?by=day"));
        for place in [
            "",
            "now",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
        ] {
            assert!(!is_ours(place), "{place}");
        }
    }

    #[test]
    fn what_stands_in_a_query_is_encoded() {
        assert_eq!(
            percent_encoded("/a?b=M1/1-0:1.8.0*255&c"),
            "%2Fa%3Fb%3DM1%2F1-0%3A1.8.0%2A255%26c"
        );
        assert_eq!(percent_encoded("ö~"), "%C3%B6~");
    }
}
