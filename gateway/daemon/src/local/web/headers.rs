//! What every answer of the local web carries, and what is read of a request: cookies, and by which name it asks.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::host;
use super::language::Language;
use super::portal::Portal;

/// What a browser may load: our own style sheet and scripts, nothing else and nothing inline; and where it may send forms: to us.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src \
                                       'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) own: IpAddr,
}

/// Refuses foreign host names, and puts the protective headers on every answer.
pub(super) async fn protect(State(portal): State<Portal>, request: Request, next: Next) -> Response {
    let ends = request.extensions().get::<Ends>();
    let ours = asked_host(request.headers(), request.uri())
        .zip(ends)
        .is_some_and(|(host, ends)| host::is_ours(host, ends.own, &portal.names));
    let mut response = if ours {
        next.run(request).await
    } else {
        let text = Language::of(request.headers()).words().foreign_name;
        (StatusCode::MISDIRECTED_REQUEST, format!("{text}\n")).into_response()
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns by which host something is asked for: the one that the header says, once, and that the target does not contradict
/// (RFC 9112, section 3.2).
pub(super) fn asked_host<'a>(headers: &'a HeaderMap, target: &Uri) -> Option<&'a str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let is_only = hosts.next().is_none();
    let agrees = target
        .authority()
        .is_none_or(|target| target.as_str().eq_ignore_ascii_case(host));
    (is_only && agrees).then_some(host)
}

/// Returns a cookie of the request.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok());
    let pairs = pairs.flat_map(|line| line.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
    named.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Adds a cookie to an answer. Names that begin with `__Host-` bind it to this very origin.
pub(super) fn set_cookie(response: &mut Response, name: &str, value: &str, attributes: &str) {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{attributes}");
    if let Ok(text) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_said_once_and_as_the_target_says_it() {
        let asked = |hosts: &[&'static str], target: &str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            asked_host(&headers, &target.parse().unwrap()).map(str::to_owned)
        };
        assert_eq!(asked(&["smgw.local"], "/now").as_deref(), Some("smgw.local"));
        let whole = "https://SMGW.local/now";
        assert_eq!(asked(&["smgw.local"], whole).as_deref(), Some("smgw.local"));
        assert_eq!(asked(&["smgw.local"], "http://evil.example/now"), None);
        assert_eq!(asked(&["smgw.local", "evil.example"], "/now"), None);
        assert_eq!(asked(&[], "/now"), None);
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; bb=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3=4"));
        assert_eq!(cookie(&headers, "bb"), Some("2"));
        assert_eq!(cookie(&headers, "c"), Some("3=4"));
        assert_eq!(cookie(&headers, "b"), None);
    }
}
