//! Whatever the rules of all layers and the query are, a decision is made, and it is the one that is explained.
#![no_main]

use authorization::{Asker, Occasion, Rules, decide, explain};
use libfuzzer_sys::fuzz_target;
use model::{Element, ElementPattern, Fingerprint, Grant, Limit, Query, Reading, Restriction, Span, Timestamp};
use serde::Deserialize;

/// What is decided by, as JSON.
#[derive(Deserialize)]
struct Scene {
    supplier: Fingerprint,
    now: Timestamp,
    #[serde(default)]
    last: Option<Timestamp>,
    #[serde(default)]
    continues: Option<Timestamp>,
    query: Query,
    grants: Vec<Grant>,
    #[serde(default)]
    policy: Vec<Limit>,
    #[serde(default)]
    restrictions: Vec<Restriction>,
}

fuzz_target!(|input: &[u8]| {
    let Ok(scene) = serde_json::from_slice::<Scene>(input) else {
        return;
    };
    let Scene { supplier, now, last, continues, query, grants, policy, restrictions } = scene;
    for grant in &grants {
        let json = serde_json::to_string(grant).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&json).unwrap(), *grant);
    }
    for limit in &policy {
        let json = serde_json::to_string(limit).unwrap();
        assert_eq!(serde_json::from_str::<Limit>(&json).unwrap(), *limit);
    }
    let rules = Rules { grants: &grants, policy: &policy, restrictions: &restrictions };
    let asker = Asker { supplier, name: "City Works" };
    let occasion = Occasion::Asked { last: &|_, _| last, continues };
    let explanation = explain(&query, asker, &rules, &occasion, now);
    let decided = decide(&query, asker, &rules, &occasion, now);
    match (&decided, &explanation.outcome) {
        (Ok(granted), Ok(named)) => {
            let ids: Vec<_> = granted.rules().map(|rule| rule.id).collect();
            assert_eq!(ids, *named);
            assert!(grants.iter().any(|grant| grant.supplier == supplier));
            assert!(granted.query().period.from() == query.period.from());
        }
        (Err(denied), Err(explained)) => {
            assert_eq!(denied, explained);
            assert!(!denied.to_string().is_empty() && denied.reason.code().len() <= 32);
        }
        _ => panic!("what is explained is not what is decided"),
    }
    let Ok(granted) = decided else {
        return;
    };
    let times = [query.period.from(), now, query.resolution.grid_at_or_before(now)];
    let patterns = grants.iter().flat_map(|grant| &grant.elements);
    let elements: Vec<Element> = patterns.filter_map(ElementPattern::exact).take(8).collect();
    let readings = elements.iter().flat_map(|element| {
        times.map(|time| Reading {
            element: element.clone(),
            time,
            quantity: model::Quantity { value: model::Decimal::whole(1), unit: model::Unit::WattHour },
            status: model::Status::GOOD,
        })
    });
    let mut release = granted.begin();
    let registration = authorization::Registration { period: query.resolution, is_made: &|_| false };
    release.take(readings.collect::<Vec<_>>(), []);
    let released = release.finish(None, registration).series;
    let named = released.into_series(|_, meter| Ok::<_, std::convert::Infallible>(meter.clone()));
    for series in named.unwrap_or_default() {
        let covering = grants.iter().filter(|grant| grant.supplier == supplier && grant.covers(&series.element));
        let mut grids = covering.map(|grant| grant.finest);
        assert!(grids.any(|finest: Span| series.step.is_multiple_of(finest)));
        assert!(!restrictions.iter().any(|restriction| {
            restriction.from <= now
                && restriction.is_for(supplier, "City Works")
                && restriction.elements.matches(&series.element)
                && restriction.effect == model::Effect::Object
        }));
    }
});
