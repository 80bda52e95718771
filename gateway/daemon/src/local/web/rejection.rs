//! What a program is told where a request is refused before an endpoint has seen it: JSON, as by the endpoints themselves.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Where programs ask.
const PROGRAMS: &str = "/api/";
/// The longest reason that is told, in bytes; of a longer one nothing is.
const LONGEST_REASON: usize = 1_024;

/// Puts JSON in the place of a refusal that is none.
pub(super) async fn to_programs(request: Request, next: Next) -> Response {
    let is_program = request.uri().path().starts_with(PROGRAMS);
    let response = next.run(request).await;
    if !is_program || !response.status().is_client_error() || has_kind(response.headers(), "application/json")
    {
        return response;
    }
    let error = match response.status() {
        StatusCode::NOT_FOUND => "missing",
        StatusCode::METHOD_NOT_ALLOWED => "method",
        _ => "query",
    };
    let (refused, body) = response.into_parts();
    let reason = match has_kind(&refused.headers, "text/plain") {
        true => reason_of(body).await,
        false => None,
    };
    let told = Json(json!({"error": error, "reason": reason}));
    let mut told = (refused.status, told).into_response();
    if let Some(methods) = refused.headers.get(header::ALLOW) {
        told.headers_mut().insert(header::ALLOW, methods.clone());
    }
    told
}

fn has_kind(headers: &HeaderMap, kind: &str) -> bool {
    let found = headers.get(header::CONTENT_TYPE);
    found.is_some_and(|found| found.as_bytes().starts_with(kind.as_bytes()))
}

async fn reason_of(body: Body) -> Option<String> {
    let reason = to_bytes(body, LONGEST_REASON).await.ok()?;
    String::from_utf8(reason.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Query;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;

    use super::*;

    type Number = Query<std::collections::BTreeMap<String, u8>>;

    async fn asked(method: &str, target: &str) -> (StatusCode, bool, String) {
        let router = Router::new()
            .route("/page", get(|_: Number| async { "a page" }))
            .route("/api/number", get(|_: Number| async { "1" }))
            .layer(from_fn(to_programs));
        let request = axum::http::Request::builder().method(method).uri(target);
        let request = request.body(Body::empty()).unwrap();
        let response = TowerToHyperService::new(router).call(request).await.unwrap();
        let (answer, body) = response.into_parts();
        let text = to_bytes(body, 10_000).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        (answer.status, answer.headers.contains_key(header::ALLOW), text)
    }

    #[tokio::test]
    async fn programs_are_refused_by_json_with_the_reason() {
        for (method, target, status, error) in [
            ("GET", "/api/number?a=x", StatusCode::BAD_REQUEST, "query"),
            ("POST", "/api/number", StatusCode::METHOD_NOT_ALLOWED, "method"),
            ("GET", "/api/nothing", StatusCode::NOT_FOUND, "missing"),
        ] {
            let (found, has_methods, text) = asked(method, target).await;
            let told: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((found, &told["error"]), (status, &Value::from(error)), "{text}");
            assert_eq!(has_methods, error == "method");
            assert_eq!(told["reason"].is_string(), error == "query", "{text}");
        }
        assert_eq!(asked("GET", "/api/number?a=1").await.2, "1");
    }

    #[tokio::test]
    async fn pages_are_left_alone() {
        let (status, _, text) = asked("GET", "/page?a=x").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(!text.contains("error\""), "{text}");
    }
}
