//! The decision: one query against the grants.

use model::{ElementPattern, Fingerprint, Grant, ObisPattern, Period, Query, Series, Span, Timestamp};

use crate::{DenialReason, Denied, Granted};

/// Decides whether a supplier may have what it asks for, and holds the answer to the grants that permit it.
///
/// A grant permits a query if it names the supplier, holds at `now`, covers at least one element of
/// the query, reaches back to the start of its period, and if the resolution asked for is a
/// multiple of the grant's finest: then every value lies on the grant's own grid, and no set of
/// shifted or overlapping queries yields a finer one. What is made of the values between two points of that grid, as a
/// mean is, has to be granted by name. Of a query for many elements, those that a
/// permitting grant covers are released and the others left out. A grant's validity is about when
/// is asked; how old the values may be is its history. The period is cut off behind `now`.
///
/// # Errors
///
/// [`Denied`] if no grant permits the query, with the reason of the grant that came closest.
pub fn decide(
    query: &Query,
    supplier: Fingerprint,
    grants: &[Grant],
    now: Timestamp,
) -> Result<Granted<Query>, Denied> {
    let own = || grants.iter().filter(|grant| grant.supplier == supplier);
    if own().next().is_none() {
        return Err(DenialReason::NoGrant.into());
    }
    let asked = Query {
        period: until_now(query, now)?,
        ..query.clone()
    };
    check_size(&asked)?;
    let mut permitting = Vec::new();
    let mut closest: Option<Denied> = None;
    for grant in own() {
        match judge(&asked, grant, now) {
            Ok(()) => permitting.push(grant.clone()),
            Err(reason) => {
                let known = closest.as_ref().map(|denied| denied.reason.closeness());
                if known.is_none_or(|known| reason.closeness() > known) {
                    let rule = (reason != DenialReason::ElementNotGranted).then(|| grant.id.clone());
                    closest = Some(Denied { reason, rule });
                }
            }
        }
    }
    if permitting.is_empty() {
        return Err(closest.unwrap_or_else(|| DenialReason::NoGrant.into()));
    }
    Ok(Granted::new(asked, supplier, permitting))
}

/// Cuts the period off behind `now`, whose own value still belongs to it.
fn until_now(query: &Query, now: Timestamp) -> Result<Period, Denied> {
    let from = query.period.from();
    let end = Span::from_seconds(1).map_or(now, |second| now.saturating_add(second));
    Period::new(from, query.period.to().min(end)).map_err(|_| DenialReason::InFuture { from }.into())
}

fn check_size(query: &Query) -> Result<(), Denied> {
    let seconds = query.period.to().seconds_since(query.period.from());
    let steps = u64::try_from(seconds).map(|s| s.div_ceil(u64::from(query.resolution.seconds())));
    let points = steps.map_or(usize::MAX, |steps| usize::try_from(steps).unwrap_or(usize::MAX));
    let limit = Series::MAX_POINTS;
    if points > limit {
        return Err(DenialReason::TooManyPoints { points, limit }.into());
    }
    Ok(())
}

/// Judges the query by one grant of the supplier; the first condition that fails is the reason.
fn judge(query: &Query, grant: &Grant, now: Timestamp) -> Result<(), DenialReason> {
    let (asked, finest) = (query.resolution, grant.finest);
    let earliest = now.saturating_sub(grant.history);
    if !speaks_of(grant, &query.elements) {
        Err(DenialReason::ElementNotGranted)
    } else if now < grant.validity.from() {
        let from = grant.validity.from();
        Err(DenialReason::NotYetValid { from })
    } else if now >= grant.validity.to() {
        let since = grant.validity.to();
        Err(DenialReason::Expired { since })
    } else if !grant.aggregations.contains(&query.aggregation) {
        let asked = query.aggregation;
        Err(DenialReason::AggregationNotGranted { asked })
    } else if asked < finest {
        Err(DenialReason::TooFine { asked, finest })
    } else if !asked.is_multiple_of(finest) {
        Err(DenialReason::OffGrid { asked, finest })
    } else if query.period.from() < earliest {
        Err(DenialReason::TooFarBack { earliest })
    } else {
        Ok(())
    }
}

/// Returns whether the grant covers an element that the pattern can stand for.
fn speaks_of(grant: &Grant, asked: &ElementPattern) -> bool {
    match asked.exact() {
        Some(element) => grant.covers(&element),
        None => grant.elements.iter().any(|granted| overlap(granted, asked)),
    }
}

/// Returns whether some element matches both patterns.
fn overlap(one: &ElementPattern, two: &ElementPattern) -> bool {
    let meters = match (&one.meter, &two.meter) {
        (Some(one), Some(two)) => one == two,
        (None, _) | (_, None) => true,
    };
    meters && obis_overlap(one.obis, two.obis)
}

/// Compares the six groups of the text form, `x` being any value and `*` any code.
fn obis_overlap(one: ObisPattern, two: ObisPattern) -> bool {
    if one == ObisPattern::ANY || two == ObisPattern::ANY {
        return true;
    }
    let (one, two) = (one.to_string(), two.to_string());
    let between = ['-', ':', '.', '*'];
    one.split(between)
        .zip(two.split(between))
        .all(|(one, two)| one == two || one == "x" || two == "x")
}

#[cfg(test)]
mod tests {
    use model::Aggregation;

    use super::*;

    const SUPPLIER: Fingerprint = Fingerprint::new([1; 32]);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-11-23T12:00:00Z")
    }

    fn period(from: &str, to: &str) -> Period {
        Period::new(at(from), at(to)).unwrap()
    }

    fn grant() -> Grant {
        Grant {
            id: "billing".to_owned(),
            supplier: SUPPLIER,
            elements: vec!["*/1-0:1.8.0*255".parse().unwrap()],
            finest: Span::QUARTER_HOUR,
            aggregations: Aggregation::USUAL.into(),
            history: "P30D".parse().unwrap(),
            validity: period("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            push: None,
            purpose: "billing".parse().unwrap(),
        }
    }

    fn query() -> Query {
        Query {
            elements: "M1/1-0:1.8.0*255".parse().unwrap(),
            period: period("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
            resolution: Span::QUARTER_HOUR,
            aggregation: Aggregation::Value,
        }
    }

    fn refusal(query: &Query, grants: &[Grant]) -> Denied {
        decide(query, SUPPLIER, grants, now()).unwrap_err()
    }

    fn by_rule(reason: DenialReason) -> Denied {
        Denied {
            reason,
            rule: Some("billing".to_owned()),
        }
    }

    #[test]
    fn covered_query_is_granted_with_its_rule() {
        let granted = decide(&query(), SUPPLIER, &[grant()], now()).unwrap();
        assert_eq!(granted.query(), &query());
        assert_eq!(granted.supplier(), SUPPLIER);
        let rules: Vec<_> = granted
            .rules()
            .map(|rule| (rule.id, rule.purpose.to_string()))
            .collect();
        assert_eq!(rules, [("billing", "billing".to_owned())]);
    }

    #[test]
    fn stranger_is_refused() {
        let stranger = Fingerprint::new([2; 32]);
        let denied = decide(&query(), stranger, &[grant()], now()).unwrap_err();
        assert_eq!(denied, DenialReason::NoGrant.into());
        assert_eq!(refusal(&query(), &[]), DenialReason::NoGrant.into());
    }

    #[test]
    fn other_elements_are_refused() {
        for elements in ["M1/7-0:3.0.0*255", "*/7-0:x.0.0*255", "M1/1-0:x.7.0*255"] {
            let elements = elements.parse().unwrap();
            let denied = refusal(&Query { elements, ..query() }, &[grant()]);
            assert_eq!(denied, DenialReason::ElementNotGranted.into());
        }
    }

    #[test]
    fn query_for_many_elements_needs_one_in_common() {
        for elements in ["*", "M1/*", "*/1-0:x.8.0*255", "M1/1-0:1.8.x*255"] {
            let elements = elements.parse().unwrap();
            assert!(decide(&Query { elements, ..query() }, SUPPLIER, &[grant()], now()).is_ok());
        }
        let one_meter = Grant {
            elements: vec!["M2/*".parse().unwrap()],
            ..grant()
        };
        let elements = "M1/*".parse().unwrap();
        assert_eq!(
            refusal(&Query { elements, ..query() }, &[one_meter]),
            DenialReason::ElementNotGranted.into()
        );
    }

    #[test]
    fn finer_than_granted_is_refused() {
        let resolution = "PT1M".parse().unwrap();
        let finest = Span::QUARTER_HOUR;
        assert_eq!(
            refusal(
                &Query {
                    resolution,
                    ..query()
                },
                &[grant()]
            ),
            by_rule(DenialReason::TooFine {
                asked: resolution,
                finest
            })
        );
    }

    #[test]
    fn coarser_but_shifted_is_refused() {
        let resolution = "PT16M".parse().unwrap();
        let finest = Span::QUARTER_HOUR;
        assert_eq!(
            refusal(
                &Query {
                    resolution,
                    ..query()
                },
                &[grant()]
            ),
            by_rule(DenialReason::OffGrid {
                asked: resolution,
                finest
            })
        );
        let resolution = Span::DAY;
        assert!(
            decide(
                &Query {
                    resolution,
                    ..query()
                },
                SUPPLIER,
                &[grant()],
                now()
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_made_of_values_in_between_is_granted_by_name() {
        let of = |aggregation| Query {
            aggregation,
            resolution: Span::DAY,
            ..query()
        };
        let asked = Aggregation::Mean;
        assert_eq!(
            refusal(&of(asked), &[grant()]),
            by_rule(DenialReason::AggregationNotGranted { asked })
        );
        assert!(decide(&of(Aggregation::Difference), SUPPLIER, &[grant()], now()).is_ok());
        let means = Grant {
            aggregations: [Aggregation::Mean].into(),
            ..grant()
        };
        assert!(decide(&of(asked), SUPPLIER, std::slice::from_ref(&means), now()).is_ok());
        let asked = Aggregation::Value;
        assert_eq!(
            refusal(&of(asked), &[means]),
            by_rule(DenialReason::AggregationNotGranted { asked })
        );
    }

    #[test]
    fn history_is_bounded_to_the_second() {
        let earliest = at("2026-10-24T12:00:00Z");
        let end = query().period.to();
        let just = Period::new(earliest, end).unwrap();
        assert!(
            decide(
                &Query {
                    period: just,
                    ..query()
                },
                SUPPLIER,
                &[grant()],
                now()
            )
            .is_ok()
        );
        let early = period("2026-10-24T11:59:59Z", "2026-11-23T00:00:00Z");
        assert_eq!(
            refusal(
                &Query {
                    period: early,
                    ..query()
                },
                &[grant()]
            ),
            by_rule(DenialReason::TooFarBack { earliest })
        );
    }

    #[test]
    fn grant_holds_only_within_its_validity() {
        let later = Grant {
            validity: period("2026-11-23T12:00:01Z", "2027-01-01T00:00:00Z"),
            ..grant()
        };
        let from = later.validity.from();
        assert_eq!(
            refusal(&query(), &[later]),
            by_rule(DenialReason::NotYetValid { from })
        );
        let over = Grant {
            validity: period("2026-01-01T00:00:00Z", "2026-11-23T12:00:00Z"),
            ..grant()
        };
        let since = over.validity.to();
        assert_eq!(
            refusal(&query(), &[over]),
            by_rule(DenialReason::Expired { since })
        );
    }

    #[test]
    fn future_is_cut_off_behind_now() {
        let open = Query {
            period: period("2026-11-23T00:00:00Z", "2026-12-01T00:00:00Z"),
            ..query()
        };
        let granted = decide(&open, SUPPLIER, &[grant()], now()).unwrap();
        assert_eq!(granted.query().period.to(), at("2026-11-23T12:00:01Z"));
        let period = period("2026-11-23T12:00:01Z", "2026-12-01T00:00:00Z");
        assert_eq!(
            refusal(&Query { period, ..query() }, &[grant()]),
            DenialReason::InFuture { from: period.from() }.into()
        );
    }

    #[test]
    fn period_of_too_many_points_is_refused() {
        let long = Grant {
            history: "P2000D".parse().unwrap(),
            ..grant()
        };
        let asked = Query {
            period: period("2022-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
            ..query()
        };
        let (points, limit) = (Series::MAX_POINTS + 1, Series::MAX_POINTS);
        assert_eq!(
            refusal(&asked, &[long]),
            DenialReason::TooManyPoints { points, limit }.into()
        );
    }

    #[test]
    fn refusal_names_the_rule_that_came_closest() {
        let coarse = Grant {
            id: "monthly".to_owned(),
            finest: Span::DAY,
            ..grant()
        };
        let gas = Grant {
            id: "gas".to_owned(),
            elements: vec!["*/7-0:3.0.0*255".parse().unwrap()],
            ..grant()
        };
        let short = Grant {
            history: Span::QUARTER_HOUR,
            ..grant()
        };
        let earliest = at("2026-11-23T11:45:00Z");
        assert_eq!(
            refusal(&query(), &[gas, coarse, short]),
            by_rule(DenialReason::TooFarBack { earliest })
        );
    }
}
