//! The description of the JSON interface, made from the very types that its answers are written from.
//!
//! Spec: OpenAPI 3.1.1; its schemas are JSON Schema 2020-12.

mod words;

use axum::Json;
use axum::response::{IntoResponse, Response};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

pub(super) use words::{ElementWords, EventWords, MediumWords};

use super::portal::SESSION;

/// Where the description is.
pub(super) const PATH: &str = "/api/v1/openapi.json";
/// The version of the interface: the first number is the one in the paths, the second grows with what is added.
const VERSION: &str = "1.1.0";
/// Where the schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";

/// Something that a program can ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    /// Where it is.
    pub(super) path: &'static str,
    /// What it is, in a sentence.
    summary: &'static str,
    /// What can be asked, as a schema whose properties are the keys of the query.
    query: Option<fn(&mut SchemaGenerator) -> Schema>,
    answer: fn(&mut SchemaGenerator) -> Schema,
    is_missing_possible: bool,
}

impl Endpoint {
    /// Describes an endpoint whose answer is written from a type.
    pub(super) const fn new<A: JsonSchema>(path: &'static str, summary: &'static str) -> Self {
        Self {
            path,
            summary,
            query: None,
            answer: SchemaGenerator::subschema_for::<A>,
            is_missing_possible: false,
        }
    }

    /// Adds what can be asked in the query.
    pub(super) const fn asking<Q: JsonSchema>(self) -> Self {
        Self {
            query: Some(Q::json_schema),
            ..self
        }
    }

    /// Says that what is asked for may not be there.
    pub(super) const fn or_missing(self) -> Self {
        Self {
            is_missing_possible: true,
            ..self
        }
    }

    fn operation(&self, generator: &mut SchemaGenerator) -> Value {
        let parameters = self.query.map(|query| parameters(&query(generator)));
        let fault =
            |meaning: &str| json!({"description": meaning, "content": content(&reference("ApiFault"))});
        let mut answers = json!({
            "200": {"description": self.summary, "content": content((self.answer)(generator).as_value())},
            "400": fault("The query cannot be read; the answer says why."),
            "401": fault("There is no token, or none that is known."),
            "500": fault("The gateway has failed; its log says why."),
        });
        if self.is_missing_possible {
            answers["404"] = fault("There is nothing of that name.");
        }
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let mut operation = json!({"operationId": name, "summary": self.summary, "responses": answers});
        if let Some(parameters) = parameters {
            operation["parameters"] = parameters;
        }
        json!({"get": operation})
    }
}

/// What a program is told that gets nothing.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is written down for its schema alone")]
struct ApiFault {
    /// Why: `token`, `missing`, `failed`, `query` or `method`.
    error: String,
    /// What cannot be read of a query.
    reason: Option<String>,
}

/// Hands the description out. It tells nothing about the gateway but what it can be asked, and needs no login.
pub(super) async fn serve() -> Response {
    Json(document(&super::api::ENDPOINTS)).into_response()
}

/// Describes endpoints.
pub(super) fn document(endpoints: &[Endpoint]) -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = SCHEMAS.into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let _described = generator.subschema_for::<ApiFault>();
    let mut paths = Map::new();
    for endpoint in endpoints {
        paths.insert(endpoint.path.to_owned(), endpoint.operation(&mut generator));
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Smart-meter gateway, local web",
            "version": VERSION,
            "summary": "What a consumer's own meters have measured, and who was given what. Read only.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The gateway that this description comes from."}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token that the consumer has made for a program."},
                "session": {"type": "apiKey", "in": "cookie", "name": SESSION, "description": "The session of a browser."},
            },
        },
    })
}

/// Makes parameters of the properties of a schema.
fn parameters(query: &Schema) -> Value {
    let properties = query.get("properties").and_then(Value::as_object);
    let parameters = properties.into_iter().flatten().map(|(name, schema)| {
        let meaning = schema.get("description").cloned().unwrap_or_default();
        json!({"name": name, "in": "query", "required": false, "description": meaning, "schema": schema})
    });
    parameters.collect()
}

fn content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#{SCHEMAS}/{name}")})
}

#[cfg(test)]
mod tests;
