//! For random grants, limits, restrictions and earlier requests, nothing other than all layers leave is ever released.

use std::collections::BTreeMap;

use model::{Effect, ElementPattern, Limit, RestrictedSupplier, Restriction};

use super::*;
use crate::{Asker, Occasion, Rules, decide};

const OWN: Fingerprint = Fingerprint::new([0; 32]);
const NAME: &str = "City Works";

fn patterns() -> impl Strategy<Value = Vec<ElementPattern>> {
    prop::collection::vec(prop::sample::select(&PATTERNS[..]), 0..3)
        .prop_map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn aggregations() -> impl Strategy<Value = BTreeSet<Aggregation>> {
    prop::sample::select(vec![
        Aggregation::USUAL.into(),
        Aggregation::ALL.into(),
        [Aggregation::Mean].into(),
    ])
}

fn pace() -> impl Strategy<Value = Option<Span>> {
    prop::option::of((1u32..4_000).prop_map(|seconds| Span::from_seconds(seconds).unwrap()))
}

fn any_grant() -> impl Strategy<Value = Grant> {
    (grant(), aggregations(), pace()).prop_map(|(grant, aggregations, at_most)| Grant {
        aggregations,
        at_most,
        ..grant
    })
}

fn limit() -> impl Strategy<Value = Limit> {
    let who = prop::option::of((0u8..2).prop_map(|byte| Fingerprint::new([byte; 32])));
    let times = (1u32..12_000, prop::option::of(validity()), pace());
    (who, patterns(), span(), aggregations(), times).prop_map(
        |(supplier, elements, finest, aggregations, (history, validity, at_most))| Limit {
            id: "limit".to_owned(),
            supplier,
            elements,
            finest,
            aggregations,
            history: Span::from_seconds(history).unwrap(),
            validity,
            at_most,
        },
    )
}

fn restriction() -> impl Strategy<Value = Restriction> {
    let who = prop::sample::select(vec![
        None,
        Some((0, "Other")),
        Some((1, NAME)),
        Some((1, "Other")),
    ]);
    let effect = prop_oneof![
        Just(Effect::Object),
        span().prop_map(Effect::Coarser),
        span().prop_map(Effect::Coarser)
    ];
    let elements = prop::sample::select(&PATTERNS[1..]);
    (who, elements, effect, NOW - 100..NOW + 100).prop_map(|(who, elements, effect, from)| Restriction {
        id: 1,
        supplier: who.map(|(byte, name)| RestrictedSupplier {
            fingerprint: Fingerprint::new([byte; 32]),
            name: name.parse().unwrap(),
        }),
        elements: elements.parse().unwrap(),
        effect,
        from: at(from),
    })
}

fn any_query() -> impl Strategy<Value = Query> {
    (query(), prop::sample::select(&Aggregation::ALL[..]))
        .prop_map(|(query, aggregation)| Query { aggregation, ..query })
}

/// When something of a pattern was granted before: it differs from pattern to pattern, and some never were.
fn last_of(grant: &Grant, pattern: &ElementPattern) -> Option<Timestamp> {
    let seed = i64::try_from(pattern.to_string().len()).unwrap() * 97 + i64::from(grant.finest.seconds());
    (seed % 3 != 0).then(|| at(NOW - seed * 31 % 4_500))
}

/// Says whether a limit leaves a point; written apart from the code under test.
fn leaves(limit: &Limit, query: &Query, element: &Element, waited: i64) -> bool {
    limit.covers(element)
        && limit.validity.is_none_or(|validity| validity.contains(at(NOW)))
        && limit.aggregations.contains(&query.aggregation)
        && query.resolution.is_multiple_of(limit.finest)
        && query.period.from().unix_seconds() >= NOW - i64::from(limit.history.seconds())
        && limit
            .at_most
            .is_none_or(|at_most| waited >= i64::from(at_most.seconds()))
}

/// Says whether a restriction takes an element away; written apart from the code under test.
fn takes_away(restriction: &Restriction, query: &Query, element: &Element) -> bool {
    let is_meant = match &restriction.supplier {
        None => true,
        Some(meant) => meant.fingerprint == OWN || meant.name.as_str() == NAME,
    };
    let stands = match restriction.effect {
        Effect::Object => true,
        Effect::Coarser(finest) => !query.resolution.is_multiple_of(finest),
    };
    is_meant && stands && restriction.from.unix_seconds() <= NOW && restriction.elements.matches(element)
}

/// Says whether all layers let a point pass.
fn passes(rules: &Rules<'_>, query: &Query, element: &Element, time: Timestamp) -> bool {
    let ways = rules.grants.iter().filter(|grant| {
        permitted(grant, query, element, time) && grant.aggregations.contains(&query.aggregation)
    });
    let passes = |grant: &Grant, pattern: &ElementPattern| {
        let waited = last_of(grant, pattern).map_or(i64::MAX, |last| NOW - last.unix_seconds());
        let by = |who: Option<Fingerprint>| {
            let mut limits = rules
                .policy
                .iter()
                .filter(|limit| limit.supplier == who)
                .peekable();
            limits.peek().is_none() || limits.any(|limit| leaves(limit, query, element, waited))
        };
        grant
            .at_most
            .is_none_or(|at_most| waited >= i64::from(at_most.seconds()))
            && by(None)
            && by(Some(OWN))
    };
    let mut ways = ways.flat_map(|grant| grant.elements.iter().map(move |pattern| (grant, pattern)));
    ways.any(|(grant, pattern)| pattern.matches(element) && passes(grant, pattern))
        && !rules
            .restrictions
            .iter()
            .any(|restriction| takes_away(restriction, query, element))
}

/// Returns the point that everything is known of that is connected with a known point by a difference.
fn closure(known: &BTreeSet<(Element, i64)>, steps: &[(Element, i64, i64)]) -> BTreeSet<(Element, i64)> {
    let mut all = known.clone();
    loop {
        let before = all.len();
        for (element, from, to) in steps {
            let ends = [(element.clone(), *from), (element.clone(), *to)];
            if ends.iter().any(|end| all.contains(end)) {
                all.extend(ends);
            }
        }
        if all.len() == before {
            return all;
        }
    }
}

proptest! {
    #[test]
    fn exactly_what_all_layers_leave_is_released(
        grants in prop::collection::vec(any_grant(), 1..5),
        policy in prop::collection::vec(limit(), 0..4),
        restrictions in prop::collection::vec(restriction(), 0..3),
        query in query(),
    ) {
        let rules = Rules { grants: &grants, policy: &policy, restrictions: &restrictions };
        let all = everything();
        let expected: BTreeSet<_> = all
            .iter()
            .filter(|r| passes(&rules, &query, &r.element, r.time))
            .map(|r| (r.element.clone(), r.time))
            .collect();
        let asker = Asker { supplier: OWN, name: NAME };
        let occasion = Occasion::Asked { last: &last_of, continues: None };
        let Ok(granted) = decide(&query, asker, &rules, &occasion, at(NOW)) else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        let mut released = BTreeSet::new();
        for series in granted.release(all, []).into_inner() {
            released.extend(series.points().map(|(time, ..)| (series.element.clone(), time)));
        }
        prop_assert_eq!(released, expected);
    }

    /// Whatever is asked, however shifted and overlapping, with whichever grants: who puts all answers together knows
    /// points only that some grant's grid has in common with the grids of the limits and of the restriction. What is made
    /// of a step has both ends of the step there.
    #[test]
    fn what_can_be_computed_of_all_answers_together_lies_on_a_grid_that_was_left(
        grants in prop::collection::vec(any_grant(), 1..4),
        limits in prop::collection::vec(limit(), 0..2),
        coarser in span(),
        queries in prop::collection::vec(any_query(), 1..8),
    ) {
        let restriction = Restriction {
            id: 1,
            supplier: None,
            elements: ElementPattern::ANY,
            effect: Effect::Coarser(coarser),
            from: at(0),
        };
        let rules = Rules { grants: &grants, policy: &limits, restrictions: std::slice::from_ref(&restriction) };
        let asker = Asker { supplier: OWN, name: NAME };
        let (mut known, mut steps) = (BTreeSet::new(), Vec::new());
        for query in &queries {
            let Ok(granted) = decide(query, asker, &rules, &Occasion::FIRST, at(NOW)) else {
                continue;
            };
            for series in granted.release(everything(), []).into_inner() {
                for (time, ..) in series.points() {
                    let (to, step) = (time.unix_seconds(), i64::from(query.resolution.seconds()));
                    match query.aggregation {
                        Aggregation::Value | Aggregation::Latest => {
                            known.insert((series.element.clone(), to));
                        }
                        Aggregation::Difference
                        | Aggregation::Minimum
                        | Aggregation::Maximum
                        | Aggregation::Mean => steps.push((series.element.clone(), to - step, to)),
                    }
                }
            }
        }
        let mut reached = closure(&known, &steps);
        for (element, from, to) in steps {
            reached.extend([(element.clone(), from), (element, to)]);
        }
        let mut grids: BTreeMap<Element, Vec<Span>> = BTreeMap::new();
        for (element, time) in reached {
            let grids = grids.entry(element.clone()).or_insert_with(|| {
                let own = grants.iter().filter(|grant| grant.supplier == OWN && grant.covers(&element));
                own.map(|grant| grant.finest).collect()
            });
            prop_assert!(coarser.has_on_grid(at(time)));
            prop_assert!(grids.iter().any(|finest| finest.has_on_grid(at(time))));
            for who in [None, Some(OWN)] {
                let mut of_layer = limits.iter().filter(|limit| limit.supplier == who).peekable();
                let is_left = of_layer.peek().is_none()
                    || of_layer.any(|limit| limit.covers(&element) && limit.finest.has_on_grid(at(time)));
                prop_assert!(is_left);
            }
        }
    }

    /// A refused query stays refused, whatever is taken away besides.
    #[test]
    fn another_limit_or_restriction_never_gives_more(
        grants in prop::collection::vec(any_grant(), 1..4),
        (policy, restrictions) in (prop::collection::vec(limit(), 1..4), prop::collection::vec(restriction(), 1..3)),
        query in any_query(),
    ) {
        let decided = |policy, restrictions| {
            let rules = Rules { grants: &grants, policy, restrictions };
            let asker = Asker { supplier: OWN, name: NAME };
            let Ok(granted) = decide(&query, asker, &rules, &Occasion::FIRST, at(NOW)) else {
                return BTreeSet::new();
            };
            let series = granted.release(everything(), []).into_inner();
            let points = series.iter().flat_map(|series| {
                series.points().map(|(time, ..)| (series.element.clone(), time)).collect::<Vec<_>>()
            });
            points.collect()
        };
        let all = decided(&[], &[]);
        prop_assert!(decided(&policy, &[]).is_subset(&all));
        prop_assert!(decided(&[], &restrictions).is_subset(&all));
        prop_assert!(decided(&policy, &restrictions).is_subset(&decided(&policy, &restrictions[1..])));
    }
}
