//! What a browser sends, read. What cannot be read is answered by a page in the language of whoever has sent it, with a way
//! back, instead of the bare line of the library below.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::de::DeserializeOwned;

use super::language::Language;
use super::portal::{Barrier, Portal};

/// A form, as a browser sends it.
pub(super) struct Form<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Portal> for Form<T> {
    type Rejection = Barrier;

    async fn from_request(request: Request, portal: &Portal) -> Result<Self, Barrier> {
        let language = Language::of(request.headers());
        let read = axum::extract::Form::from_request(request, portal).await;
        match read {
            Ok(axum::extract::Form(form)) => Ok(Self(form)),
            Err(rejection) => Err(Barrier::Unread(language, rejection.status())),
        }
    }
}

/// What stands behind the question mark of an address.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Portal> for Query<T> {
    type Rejection = Barrier;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Barrier> {
        let language = Language::of(&parts.headers);
        let read = axum::extract::Query::from_request_parts(parts, portal).await;
        match read {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Barrier::Unread(language, rejection.status())),
        }
    }
}

/// A part of an address.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Portal> for Path<T> {
    type Rejection = Barrier;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Barrier> {
        let language = Language::of(&parts.headers);
        let read = axum::extract::Path::from_request_parts(parts, portal).await;
        match read {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(_) => Err(Barrier::Missing(language)),
        }
    }
}

/// Answers what is asked by a method that the address does not have. A browser that loads the address of a form again, as a
/// phone does that was out of sight for long, is led to the page that has the form.
pub(super) async fn other_method(parts: Parts) -> Response {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Redirect::to(page_of(parts.uri.path())).into_response();
    }
    let language = Language::of(&parts.headers);
    Barrier::Unread(language, StatusCode::METHOD_NOT_ALLOWED).into_response()
}

/// Returns the page that has the form of this address: what stands above it.
fn page_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((above, _)) if !above.is_empty() => above,
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_a_form_leads_to_the_page_above_it() {
        assert_eq!(page_of("/wizard/bus/scan"), "/wizard/bus");
        assert_eq!(page_of("/costs/price/remove"), "/costs/price");
        assert_eq!(page_of("/costs/price"), "/costs");
        assert_eq!(page_of("/logout"), "/");
    }
}
