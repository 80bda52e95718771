//! Energy applications through the control socket: which there are, what they would make, and how a value came about.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use model::{Element, Period, Timestamp};
use serde::{Deserialize, Serialize};

use super::blocking;
use super::grants::Outcome;
use crate::applications::{AppsView, Explainer, ExplanationView, Refusal, RunView};
use crate::report::Chain;

/// What can be asked for.
pub(crate) const APPS: &str = "/v1/apps";
pub(crate) const RUN: &str = "/v1/apps/run";
pub(crate) const EXPLAIN: &str = "/v1/apps/explain";

/// What is to be run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) period: Period,
}

/// What is to be explained.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explain {
    pub(crate) element: ElementName,
    pub(crate) time: Timestamp,
}

/// An element as a message between two ends of the socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ElementName {
    meter: model::MeterId,
    obis: model::Obis,
}

impl From<Element> for ElementName {
    fn from(element: Element) -> Self {
        let Element { meter, obis } = element;
        Self { meter, obis }
    }
}

impl From<ElementName> for Element {
    fn from(name: ElementName) -> Self {
        let ElementName { meter, obis } = name;
        Self { meter, obis }
    }
}

/// Answers what the command line asks about applications.
pub(super) fn router(explainer: Explainer) -> Router {
    Router::new()
        .route(APPS, get(list))
        .route(RUN, post(run))
        .route(EXPLAIN, post(explain))
        .with_state(explainer)
}

async fn list(State(explainer): State<Explainer>) -> Result<Json<Outcome<AppsView>>, StatusCode> {
    blocking(move || outcome(explainer.list())).await.map(Json)
}

async fn run(
    State(explainer): State<Explainer>,
    Json(order): Json<Run>,
) -> Result<Json<Outcome<RunView>>, StatusCode> {
    blocking(move || outcome(explainer.run(&order.id, order.period)))
        .await
        .map(Json)
}

async fn explain(
    State(explainer): State<Explainer>,
    Json(question): Json<Explain>,
) -> Result<Json<Outcome<ExplanationView>>, StatusCode> {
    blocking(move || outcome(explainer.explain(&question.element.into(), question.time)))
        .await
        .map(Json)
}

fn outcome<T>(answer: Result<T, Refusal>) -> Outcome<T> {
    match answer {
        Ok(answer) => Outcome::Done(answer),
        Err(refusal) => Outcome::Refused(Chain(&refusal).to_string()),
    }
}
