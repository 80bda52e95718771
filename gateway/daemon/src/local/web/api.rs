//! The same as JSON, for programs: read only, by a token or by the session of a browser.

use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::{ConsumerEvent, Element, Medium, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::deliveries::{self, Entry};
use super::language::for_people;
use super::openapi::{self, ElementWords, Endpoint, EventWords, MediumWords};
use super::pages::history::{Document, Wanted, find, json_of};
use super::pages::now::see;
use super::pages::recipients::Before;
use super::portal::{AsConsumer, Portal};
use super::roster::{Own, Role};
use super::secret::Secret;
use crate::clock;
use crate::report::Chain;
use crate::threads;

/// The names of the schemas and their version; additive within the version.
const VALUES_SCHEMA: &str = "smgw.web-values/1";
const DELIVERIES_SCHEMA: &str = "smgw.web-deliveries/1";

const VALUES: Endpoint = Endpoint::new::<Values>(
    "/api/v1/values",
    "The last value of each element of the own meters.",
);
const HISTORY: Endpoint = Endpoint::new::<Document>(
    "/api/v1/history",
    "What was consumed in each part of a day, week, month or year.",
)
.asking::<Wanted>()
.or_missing();
const DELIVERIES: Endpoint = Endpoint::new::<Deliveries>(
    "/api/v1/deliveries",
    "The consumer log: who was given what, the latest first.",
)
.asking::<Before>();
/// Everything that a program can ask for.
pub(super) const ENDPOINTS: [Endpoint; 3] = [VALUES, HISTORY, DELIVERIES];

pub(super) fn routes() -> Router<Portal> {
    Router::new()
        .route(VALUES.path, get(values))
        .route(HISTORY.path, get(history))
        .route(DELIVERIES.path, get(deliveries))
        .route(openapi::PATH, get(openapi::serve))
}

/// Somebody who may read, and of which meters.
struct Reader(Own);

impl FromRequestParts<Portal> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, ApiError> {
        let bearer = parts.headers.get(header::AUTHORIZATION);
        let Some(bearer) = bearer else {
            let consumer = AsConsumer::from_request_parts(parts, portal).await;
            return consumer
                .map(|consumer| Self(consumer.own))
                .map_err(|_| ApiError::Token);
        };
        let token = bearer.to_str().ok().and_then(token_of).ok_or(ApiError::Token)?;
        let gate = portal.gate.clone();
        let bearer = threads::blocking(move || gate.bearer(&token)).await;
        let bearer = bearer.map_err(|error| ApiError::failed(&error))?;
        match bearer.map_err(|_| ApiError::Token)?.role {
            Role::Consumer(own) => Ok(Self(own)),
            Role::Technician => Err(ApiError::Token),
        }
    }
}

/// Returns the token of a header. The name of its scheme may be written in any case (RFC 9110, section 11.1).
fn token_of(credentials: &str) -> Option<Secret> {
    let (scheme, token) = credentials.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    Secret::parse(token.trim_start()).filter(|_| is_bearer)
}

/// Why a program gets nothing.
enum ApiError {
    /// It has no token, or none that is known.
    Token,
    /// There is nothing of that name.
    Missing,
    /// We have failed; the log says why.
    Failed,
}

impl ApiError {
    fn failed(error: &dyn std::error::Error) -> Self {
        tracing::error!("the local web could not answer a program: {}", Chain(error));
        Self::Failed
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::Token => {
                let answer = (StatusCode::UNAUTHORIZED, Json(json!({"error": "token"})));
                return ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response();
            }
            Self::Missing => (StatusCode::NOT_FOUND, "missing"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        };
        (status, Json(json!({"error": code}))).into_response()
    }
}

/// Has something done that may block.
async fn working<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    match threads::blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(ApiError::failed(&error)),
        Err(error) => Err(ApiError::failed(&error)),
    }
}

/// The last values.
#[derive(Serialize, JsonSchema)]
struct Values {
    /// The name of the schema and its version; additive within the version.
    schema: &'static str,
    /// The gateway's clock.
    #[schemars(with = "String", extend("format" = "date-time"))]
    time: Timestamp,
    values: Vec<Value>,
}

/// The last value of an element, in the unit that the pages show.
#[derive(Serialize, JsonSchema)]
struct Value {
    /// The name of the meter.
    name: String,
    #[schemars(with = "MediumWords")]
    medium: Medium,
    #[schemars(with = "ElementWords")]
    element: Element,
    /// An exact decimal number.
    value: String,
    unit: &'static str,
    /// When it was measured.
    #[schemars(with = "String", extend("format" = "date-time"))]
    time: Timestamp,
    age_seconds: i64,
    /// Whether newer values should have come.
    stale: bool,
    /// Whether the meter is not read any more: it was removed or exchanged.
    retired: bool,
    /// Why the meter gave nothing the last time, if it did not.
    error: Option<String>,
}

async fn values(State(portal): State<Portal>, Reader(own): Reader) -> Result<Response, ApiError> {
    let now = clock::now();
    let seen = working(move || see(&portal, &own, now)).await?;
    let values = seen.into_iter().map(|one| {
        let (value, unit) = for_people(one.last.quantity);
        Value {
            name: one.name,
            medium: one.medium,
            value: value.to_string(),
            unit,
            time: one.last.time,
            age_seconds: now.seconds_since(one.last.time),
            stale: one.is_stale,
            retired: one.is_retired,
            error: one.error,
            element: one.last.element,
        }
    });
    let values: Vec<_> = values.collect();
    let (schema, time) = (VALUES_SCHEMA, now);
    Ok(Json(Values { schema, time, values }).into_response())
}

async fn history(
    State(portal): State<Portal>,
    Reader(own): Reader,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let found = working(move || find(&portal, &own, &wanted)).await?;
    json_of(found).ok_or(ApiError::Missing)
}

/// A page of the consumer log.
#[derive(Serialize, JsonSchema)]
struct Deliveries {
    /// The name of the schema and its version; additive within the version.
    schema: &'static str,
    /// What to ask for to get what is older, if there is something.
    before: Option<u64>,
    deliveries: Vec<Delivery>,
}

/// An entry of the consumer log.
#[derive(Serialize, JsonSchema)]
struct Delivery {
    /// Its number in the log.
    sequence: u64,
    #[schemars(with = "String", extend("format" = "date-time"))]
    time: Timestamp,
    /// The stable code of the event.
    code: &'static str,
    #[schemars(with = "EventWords")]
    event: ConsumerEvent,
}

async fn deliveries(
    State(portal): State<Portal>,
    Reader(own): Reader,
    Query(Before { before }): Query<Before>,
) -> Result<Response, ApiError> {
    let page = working(move || deliveries::read(portal.source.journal.logs(), &own, before)).await?;
    let entry = |entry: Entry| Delivery {
        sequence: entry.sequence,
        time: entry.time,
        code: entry.event.code(),
        event: entry.event,
    };
    let entries: Vec<_> = page.entries.into_iter().map(entry).collect();
    Ok(Json(Deliveries {
        schema: DELIVERIES_SCHEMA,
        before: page.before,
        deliveries: entries,
    })
    .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_of_a_token_may_be_written_in_any_case() {
        let token = "0a".repeat(Secret::LENGTH);
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert!(token_of(&format!("{scheme} {token}")).is_some(), "{scheme}");
        }
        for credentials in [&format!("Basic {token}"), "Bearer", "Bearer x", &token] {
            assert!(token_of(credentials).is_none(), "{credentials}");
        }
    }
}
