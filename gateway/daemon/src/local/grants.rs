//! Who may have what, through the control socket: what there is, why something is decided, and the consumer's restrictions.

use std::sync::Arc;

use authorization::{Asker, Explanation, Rules, explain};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use model::{
    Aggregation, Effect, ElementPattern, Fingerprint, LogText, Period, Query, RestrictedSupplier,
    Restriction, Span, Timestamp,
};
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::watch;

use super::blocking;
use crate::card::{Bundle, Identity, Standing};
use crate::clock;
use crate::grants::{
    ExplanationView, GrantsView, LiftedView, NewRestriction, Pace, Pacing, RestrictionView, Restrictions,
    RestrictionsFault, SupplierView,
};
use crate::report::Chain;

/// What can be asked for.
pub(crate) const GRANTS: &str = "/v1/grants";
pub(crate) const EXPLAIN: &str = "/v1/grants/explain";
/// What can be ordered.
pub(crate) const RESTRICT: &str = "/v1/grants/restrict";
pub(crate) const LIFT: &str = "/v1/grants/lift";

/// What came of an order: it was carried out, or why not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome<T> {
    /// It was.
    Done(T),
    /// It was not; the reason is for whoever gave the order.
    Refused(String),
}

/// What is to be explained.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    /// The supplier, by name or fingerprint.
    pub(crate) supplier: String,
    pub(crate) elements: ElementPattern,
    pub(crate) resolution: Span,
    pub(crate) aggregation: Aggregation,
    /// The period; the last point of the grid, if there is none.
    pub(crate) period: Option<Period>,
}

/// What is to be restricted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The supplier, by name or fingerprint; all, if there is none.
    pub(crate) supplier: Option<String>,
    pub(crate) elements: ElementPattern,
    pub(crate) effect: Effect,
    /// From when on; from now on, if there is no time.
    pub(crate) from: Option<Timestamp>,
}

/// What is to be lifted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lift {
    pub(crate) id: u64,
}

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the gateway knows no grants at the moment: {cause}")]
    NotServing { cause: &'static str },
    #[error("no bundle names the supplier {named:?}; there are: {known}")]
    Supplier { named: String, known: String },
    #[error(transparent)]
    Restrictions(#[from] RestrictionsFault),
    #[error("when was asked before cannot be read")]
    Store(#[from] store::DatabaseError),
    #[error("the clock gives no period")]
    Period(#[from] model::ParseTimeError),
}

/// What is answered from.
#[derive(Debug, Clone)]
pub(crate) struct GrantsSource {
    standing: watch::Receiver<Standing>,
    store: Arc<Store>,
    restrictions: Restrictions,
}

impl GrantsSource {
    pub(crate) const fn new(
        standing: watch::Receiver<Standing>,
        store: Arc<Store>,
        restrictions: Restrictions,
    ) -> Self {
        Self {
            standing,
            store,
            restrictions,
        }
    }

    fn identity(&self) -> Result<Arc<Identity>, Refusal> {
        let standing = self.standing.borrow();
        let cause = standing.state.cause();
        standing.identity.clone().ok_or(Refusal::NotServing { cause })
    }

    fn list(&self) -> GrantsView {
        let identity = self.identity();
        let bundle = identity
            .as_ref()
            .ok()
            .and_then(|identity| identity.bundle.as_ref());
        let restrictions = self.restrictions.all();
        let lost = restrictions.as_ref().err().map(|fault| Chain(fault).to_string());
        let fault = lost.or_else(|| identity.as_ref().err().map(ToString::to_string));
        let rules = bundle.map_or((&[][..], &[][..]), |bundle| (bundle.grants(), bundle.policy()));
        let suppliers = bundle.map(suppliers).unwrap_or_default();
        GrantsView::new(suppliers, rules, restrictions.unwrap_or_default(), fault)
    }

    fn explain(&self, question: Question) -> Result<ExplanationView, Refusal> {
        let now = clock::now();
        let identity = self.identity()?;
        let supplier = find(&identity, &question.supplier)?;
        let resolution = question.resolution;
        let query = Query {
            elements: question.elements,
            period: question.period.map_or_else(|| last_point(resolution, now), Ok)?,
            resolution,
            aggregation: question.aggregation,
        };
        let restrictions = Restrictions::of(&self.store, now)?;
        let bundle = identity.bundle.as_ref();
        let rules = Rules {
            grants: bundle.map_or(&[], Bundle::grants),
            policy: bundle.map_or(&[], Bundle::policy),
            restrictions: &restrictions,
        };
        let asker = Asker {
            supplier: supplier.supplier,
            name: &supplier.name,
        };
        let pace = Pace::new(self.store.database(), supplier.supplier, Pacing::Asked, now);
        let continues = pace.continues(&query)?;
        let explanation: Explanation = pace.decide(continues, |occasion| {
            explain(&query, asker, &rules, occasion, now)
        })?;
        Ok(ExplanationView::new(supplier.clone(), query, &explanation, now))
    }

    /// Returns the suppliers that the gateway knows.
    pub(super) fn suppliers(&self) -> Vec<SupplierView> {
        let standing = self.standing.borrow();
        let identity = standing.identity.as_ref();
        let bundle = identity.and_then(|identity| identity.bundle.as_ref());
        bundle.map(suppliers).unwrap_or_default()
    }

    /// Returns the consumer's restrictions.
    pub(super) fn restrictions(&self) -> Result<Vec<Restriction>, RestrictionsFault> {
        self.restrictions.all()
    }

    pub(super) fn restrict(&self, order: Order) -> Result<RestrictionView, Refusal> {
        let now = clock::now();
        let supplier = order.supplier.map(|named| find(&*self.identity()?, &named));
        let supplier = supplier.transpose()?.map(|known| RestrictedSupplier {
            fingerprint: known.supplier,
            name: LogText::cut(&known.name),
        });
        let new = NewRestriction {
            supplier,
            elements: order.elements,
            effect: order.effect,
            from: order.from.unwrap_or(now),
        };
        Ok(self.restrictions.restrict(new, now)?.into())
    }

    pub(super) fn lift(&self, id: u64) -> Result<LiftedView, Refusal> {
        Ok(self.restrictions.lift(id)?.into())
    }
}

/// Returns the last point of a grid and what lies behind it.
fn last_point(resolution: Span, now: Timestamp) -> Result<Period, Refusal> {
    let end = Span::from_seconds(1).map_or(now, |second| now.saturating_add(second));
    Ok(Period::new(resolution.grid_at_or_before(now), end)?)
}

fn suppliers(bundle: &Bundle) -> Vec<SupplierView> {
    let known = bundle.suppliers().iter();
    known
        .map(|entry| SupplierView {
            name: entry.name.to_string(),
            supplier: entry.certificates.sig.fingerprint(),
        })
        .collect()
}

/// Finds a supplier by its name or its fingerprint.
fn find(identity: &Identity, named: &str) -> Result<SupplierView, Refusal> {
    let mut known = identity.bundle.as_ref().map(suppliers).unwrap_or_default();
    let fingerprint = named.parse::<Fingerprint>().ok();
    let is_meant = |entry: &SupplierView| Some(entry.supplier) == fingerprint || entry.name == named;
    match known.iter().position(is_meant) {
        Some(place) => Ok(known.swap_remove(place)),
        None => Err(Refusal::Supplier {
            named: named.to_owned(),
            known: names(&known),
        }),
    }
}

fn names(known: &[SupplierView]) -> String {
    let names: Vec<_> = known.iter().map(|entry| entry.name.as_str()).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Answers what the command line asks about grants, and takes its orders.
pub(super) fn router(source: GrantsSource) -> Router {
    Router::new()
        .route(GRANTS, get(list))
        .route(EXPLAIN, post(explained))
        .route(RESTRICT, post(restrict))
        .route(LIFT, post(lift))
        .with_state(source)
}

async fn list(State(source): State<GrantsSource>) -> Result<Json<GrantsView>, StatusCode> {
    blocking(move || source.list()).await.map(Json)
}

async fn explained(
    State(source): State<GrantsSource>,
    Json(question): Json<Question>,
) -> Result<Json<Outcome<ExplanationView>>, StatusCode> {
    blocking(move || outcome(source.explain(question)))
        .await
        .map(Json)
}

async fn restrict(
    State(source): State<GrantsSource>,
    Json(order): Json<Order>,
) -> Result<Json<Outcome<RestrictionView>>, StatusCode> {
    blocking(move || outcome(source.restrict(order))).await.map(Json)
}

async fn lift(
    State(source): State<GrantsSource>,
    Json(lift): Json<Lift>,
) -> Result<Json<Outcome<LiftedView>>, StatusCode> {
    blocking(move || outcome(source.lift(lift.id))).await.map(Json)
}

fn outcome<T>(done: Result<T, Refusal>) -> Outcome<T> {
    match done {
        Ok(done) => Outcome::Done(done),
        Err(refusal) => {
            let reason = Chain(&refusal).to_string();
            tracing::info!("an order about grants is not carried out: {reason}");
            Outcome::Refused(reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use store::{DeviceKey, LogLimits, Logs, Protection};

    use super::*;
    use crate::journal::{CardKeyVerifier, Journal, moment};

    #[test]
    fn consumer_restricts_while_the_gateway_serves_nobody_and_is_told_that_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let key = DeviceKey::new([0x5a; DeviceKey::LENGTH]);
        let store = Store::open(&folder.path().join("data"), Ok(Protection { key, otp: None })).unwrap();
        let store = Arc::new(store);
        let logs = Logs::open(&folder.path().join("logs"), LogLimits::default(), false, moment()).unwrap();
        let journal = Journal::new(logs, CardKeyVerifier::new(None)).unwrap();
        let standing = watch::channel(Standing::unknown()).1;
        let restrictions = Restrictions::new(Arc::clone(&store), journal);
        let source = GrantsSource::new(standing, Arc::clone(&store), restrictions);
        let order = |supplier: Option<&str>| Order {
            supplier: supplier.map(str::to_owned),
            elements: ElementPattern::ANY,
            effect: Effect::Object,
            from: None,
        };
        let set = source.restrict(order(None)).unwrap().to_string();
        assert!(
            set.starts_with("restriction  1: all suppliers get of */*: nothing, from "),
            "{set}"
        );
        let error = source.restrict(order(Some("City Works"))).err().unwrap();
        assert!(matches!(error, Refusal::NotServing { .. }), "{error}");
        let question = Question {
            supplier: "City Works".to_owned(),
            elements: ElementPattern::ANY,
            resolution: Span::DAY,
            aggregation: Aggregation::Value,
            period: None,
        };
        assert!(source.explain(question).is_err());
        let shown = source.list().to_string();
        assert!(
            shown.contains("restriction  1") && shown.contains("Nothing is handed out: "),
            "{shown}"
        );
        let lifted = source.lift(1).unwrap().to_string();
        assert!(lifted.starts_with("Lifted: restriction  1"), "{lifted}");
        store.database().set_restrictions(b"{}").unwrap();
        let shown = source.list().to_string();
        assert!(shown.contains("set them anew"), "{shown}");
        assert!(
            matches!(outcome(source.lift(1)), Outcome::Refused(reason) if reason.contains("set them anew"))
        );
    }
}
