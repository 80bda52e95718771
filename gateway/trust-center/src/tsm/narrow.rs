//! Which of two grants is narrower: what a policy leaves of what a supplier asks for.
//!
//! Pure: policy, grants and time come in as arguments.

use std::collections::{BTreeSet, HashSet};

use messages::content::{MAX_PATTERNS, RuleName};
use model::{ElementPattern, Grant, GrantError, Limit, Period, Span, Timestamp};

/// The reason why grants contradict themselves, each other or the policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    /// There are none.
    #[error("no grant is asked for; name at least one")]
    NoGrants,
    /// Two have one name.
    #[error("two grants have the id {id:?}; name each differently")]
    RepeatedId {
        /// The name.
        id: String,
    },
    /// A grant is for somebody else.
    #[error("the grant {id:?} is for another supplier; ask for your own")]
    OtherSupplier {
        /// The grant.
        id: String,
    },
    /// A grant covers nothing.
    #[error("the grant {id:?} names no elements; name some")]
    NoElements {
        /// The grant.
        id: String,
    },
    /// A grant has ended.
    #[error("the grant {id:?} has ended at {end}; correct valid_until")]
    Ended {
        /// The grant.
        id: String,
        /// When it ended.
        end: Timestamp,
    },
    /// A grant reaches back less far than one value is long.
    #[error("the grant {id:?} reaches back {history}, less than one value of {finest}; lengthen history")]
    ShortHistory {
        /// The grant.
        id: String,
        /// How far back it reaches.
        history: Span,
        /// Its resolution.
        finest: Span,
    },
    /// A grant is to be sent in the middle of a value.
    #[error("the grant {id:?} is to be sent every {push}, which is no multiple of {finest}; correct push")]
    PushOffGrid {
        /// The grant.
        id: String,
        /// How often it is to be sent.
        push: Span,
        /// Its resolution.
        finest: Span,
    },
    /// A grant and its delivery rule contradict each other.
    #[error("the grant {id:?} contradicts its delivery rule: {source}")]
    Delivery {
        /// The grant.
        id: String,
        /// What contradicts what.
        source: GrantError,
    },
    /// The policy permits nothing of a grant.
    #[error(
        "the policy permits nothing of the grant {id:?}; ask for other elements, or for coarser or less old values"
    )]
    Nothing {
        /// The grant.
        id: String,
    },
    /// What is left cannot be written.
    #[error("the grant {id:?} and the policy have too many elements in common; ask for fewer at once")]
    TooManyPatterns {
        /// The grant.
        id: String,
    },
}

/// Checks that grants of one supplier do not contradict themselves or each other.
pub(crate) fn check(grants: &[Grant], now: Timestamp) -> Result<(), Contradiction> {
    if grants.is_empty() {
        return Err(Contradiction::NoGrants);
    }
    let mut names = HashSet::new();
    for grant in grants {
        let id = grant.id.clone();
        if !names.insert(&grant.id) {
            return Err(Contradiction::RepeatedId { id });
        }
        if grant.elements.is_empty() {
            return Err(Contradiction::NoElements { id });
        }
        let (finest, history, end) = (grant.finest, grant.history, grant.validity.to());
        if end <= now {
            return Err(Contradiction::Ended { id, end });
        }
        if history < finest {
            return Err(Contradiction::ShortHistory { id, history, finest });
        }
        if let Some(push) = grant.push.filter(|push| !push.is_multiple_of(finest)) {
            return Err(Contradiction::PushOffGrid { id, push, finest });
        }
        if let Err(source) = grant.check() {
            return Err(Contradiction::Delivery { id, source });
        }
    }
    Ok(())
}

/// Returns what the limits leave of the grants; without limits, all.
///
/// A grant that one limit covers wholly stays as it is. Of another one, what each limit leaves is a grant of its own, since
/// limits on different elements may differ.
pub(crate) fn narrow(grants: &[Grant], limits: Option<&[Limit]>) -> Result<Vec<Grant>, Contradiction> {
    let Some(limits) = limits else {
        return Ok(grants.to_vec());
    };
    let mut narrowed = Vec::with_capacity(grants.len());
    for grant in grants {
        narrowed.extend(narrow_one(grant, limits)?);
    }
    Ok(narrowed)
}

fn narrow_one(grant: &Grant, limits: &[Limit]) -> Result<Vec<Grant>, Contradiction> {
    let id = || grant.id.clone();
    let mut parts: Vec<Grant> = Vec::new();
    for limit in limits {
        let Some(part) = common(grant, limit) else {
            continue;
        };
        if part == *grant {
            return Ok(vec![part]);
        }
        if part.elements.len() > MAX_PATTERNS {
            return Err(Contradiction::TooManyPatterns { id: id() });
        }
        if !parts.iter().any(|other| is_within(&part, other)) {
            parts.retain(|other| !is_within(other, &part));
            parts.push(part);
        }
    }
    if parts.is_empty() {
        return Err(Contradiction::Nothing { id: id() });
    }
    for (index, part) in parts.iter_mut().enumerate().skip(1) {
        part.id = numbered(&part.id, index.saturating_add(1));
    }
    Ok(parts)
}

/// Returns the name with a number behind it, cut to what a name may have.
fn numbered(id: &str, number: usize) -> String {
    let behind = format!(" ({number})");
    let room = RuleName::MAX_LENGTH.saturating_sub(behind.chars().count());
    let begin: String = id.chars().take(room).collect();
    begin + &behind
}

/// Returns what grant and limit have in common.
fn common(grant: &Grant, limit: &Limit) -> Option<Grant> {
    let mut elements: Vec<ElementPattern> = Vec::new();
    for asked in &grant.elements {
        for permitted in &limit.elements {
            elements.extend(
                asked
                    .intersection(permitted)
                    .filter(|found| !elements.contains(found)),
            );
        }
    }
    let finest = grant.finest.common_multiple(limit.finest)?;
    let history = grant.history.min(limit.history);
    let aggregations: BTreeSet<_> = grant
        .aggregations
        .intersection(&limit.aggregations)
        .copied()
        .collect();
    let validity = match limit.validity {
        Some(validity) => common_period(grant.validity, validity)?,
        None => grant.validity,
    };
    if elements.is_empty() || aggregations.is_empty() || history < finest {
        return None;
    }
    let common = Grant {
        elements,
        finest,
        aggregations,
        push: grant.push.and_then(|push| push.common_multiple(finest)),
        at_most: grant.at_most.max(limit.at_most),
        history,
        validity,
        ..grant.clone()
    };
    // Of a delivery rule that has nothing in common with the limit, nothing is left.
    common.check().is_ok().then_some(common)
}

/// Returns whether one grant gives nothing that the other one does not.
pub(crate) fn is_within(one: &Grant, other: &Grant) -> bool {
    let covered = |pattern: &ElementPattern| {
        other
            .elements
            .iter()
            .any(|permitted| pattern.is_within(permitted))
    };
    let in_time =
        |period: Period| other.validity.from() <= period.from() && period.to() <= other.validity.to();
    one.elements.iter().all(covered)
        && one.finest.is_multiple_of(other.finest)
        && one.aggregations.is_subset(&other.aggregations)
        && one.history <= other.history
        && (one.push.is_none() || one.push == other.push)
        // None comes before every span: it is asked as often as wished.
        && one.at_most >= other.at_most
        && one.delivery == other.delivery
        && in_time(one.validity)
}

/// Returns the time that belongs to both periods, if there is any.
fn common_period(one: Period, other: Period) -> Option<Period> {
    Period::new(one.from().max(other.from()), one.to().min(other.to())).ok()
}

#[cfg(test)]
mod tests {
    use model::Aggregation;

    use super::*;

    fn span(text: &str) -> Span {
        text.parse().unwrap()
    }

    fn patterns(texts: &[&str]) -> Vec<ElementPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn grant(elements: &[&str], finest: &str, history: &str) -> Grant {
        let at = |text: &str| text.parse().unwrap();
        Grant {
            id: "billing".to_owned(),
            supplier: model::Fingerprint::new([1; 32]),
            elements: patterns(elements),
            finest: span(finest),
            aggregations: Aggregation::USUAL.into(),
            history: span(history),
            validity: Period::new(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).unwrap(),
            push: None,
            at_most: None,
            delivery: None,
            purpose: "billing".parse().unwrap(),
        }
    }

    fn limit(elements: &[&str], finest: &str, history: &str) -> Limit {
        Limit {
            id: "policy 1".to_owned(),
            supplier: None,
            elements: patterns(elements),
            finest: span(finest),
            aggregations: Aggregation::USUAL.into(),
            history: span(history),
            validity: None,
            at_most: None,
        }
    }

    #[test]
    fn what_is_made_of_values_in_between_needs_a_limit_that_says_so() {
        let asked = Grant {
            aggregations: [Aggregation::Value, Aggregation::Maximum].into(),
            ..grant(&["*/1-0:1.7.0*255"], "PT15M", "P30D")
        };
        let usual = limit(&["*"], "PT15M", "P30D");
        let narrowed = narrow(std::slice::from_ref(&asked), Some(std::slice::from_ref(&usual))).unwrap();
        assert_eq!(narrowed[0].aggregations, [Aggregation::Value].into());
        assert!(is_within(&narrowed[0], &asked) && !is_within(&asked, &narrowed[0]));
        let more = Limit {
            aggregations: Aggregation::ALL.into(),
            ..usual.clone()
        };
        let narrowed = narrow(std::slice::from_ref(&asked), Some(&[more])).unwrap();
        assert_eq!(narrowed, std::slice::from_ref(&asked));
        let only = Grant {
            aggregations: [Aggregation::Maximum].into(),
            ..asked
        };
        let refused = narrow(&[only], Some(&[usual]));
        assert!(matches!(refused, Err(Contradiction::Nothing { .. })));
    }

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn narrower_of_grant_and_limit_wins() {
        let asked = grant(&["*"], "PT1S", "P730D");
        let limits = [limit(&["*/1-0:1.8.0*255"], "PT15M", "P365D")];
        let [left] = narrow(&[asked], Some(&limits)).unwrap().try_into().unwrap();
        assert_eq!(left, grant(&["*/1-0:1.8.0*255"], "PT15M", "P365D"));
        // Narrower already: nothing changes.
        let asked = grant(&["M1/1-0:1.8.0*255"], "PT1H", "P30D");
        assert_eq!(
            narrow(std::slice::from_ref(&asked), Some(&limits)).unwrap(),
            std::slice::from_ref(&asked)
        );
        assert_eq!(narrow(std::slice::from_ref(&asked), None).unwrap(), [asked]);
    }

    #[test]
    fn validity_and_frequency_are_narrowed_too() {
        let asked = grant(&["*"], "PT15M", "P30D");
        let at = |text: &str| text.parse().unwrap();
        let half = Period::new(at("2025-01-01T00:00:00Z"), at("2026-07-01T00:00:00Z")).unwrap();
        let limit = Limit {
            validity: Some(half),
            at_most: Some(span("PT1H")),
            ..limit(&["*"], "PT15M", "P30D")
        };
        let [left] = narrow(std::slice::from_ref(&asked), Some(std::slice::from_ref(&limit)))
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(
            left.validity,
            Period::new(at("2026-01-01T00:00:00Z"), at("2026-07-01T00:00:00Z")).unwrap()
        );
        assert_eq!(left.at_most, Some(span("PT1H")));
        assert!(is_within(&left, &asked) && !is_within(&asked, &left));
        let slower = Grant {
            at_most: Some(span("P1D")),
            ..asked.clone()
        };
        let left = narrow(std::slice::from_ref(&slower), Some(std::slice::from_ref(&limit))).unwrap();
        assert_eq!(left[0].at_most, Some(span("P1D")));
        let over = Period::new(at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")).unwrap();
        let limit = Limit {
            validity: Some(over),
            ..limit
        };
        assert!(narrow(&[asked], Some(&[limit])).is_err());
    }

    #[test]
    fn limits_on_different_elements_make_grants_of_their_own() {
        let asked = grant(&["*/1-0:x.x.x*255"], "PT1M", "P730D");
        let limits = [
            limit(&["*/1-0:1.8.0*255"], "PT15M", "P730D"),
            limit(&["*/1-0:2.8.0*255"], "PT1H", "P30D"),
            limit(&["*/7-x:x.x.x*x"], "PT1H", "P30D"),
        ];
        let left = narrow(&[asked], Some(&limits)).unwrap();
        let named: Vec<_> = left
            .iter()
            .map(|grant| (grant.id.as_str(), grant.elements[0].to_string()))
            .collect();
        assert_eq!(
            named,
            [
                ("billing", "*/1-0:1.8.0*255".to_owned()),
                ("billing (2)", "*/1-0:2.8.0*255".to_owned())
            ]
        );
        assert!(numbered(&"ä".repeat(60), 12).parse::<RuleName>().is_ok());
    }

    #[test]
    fn grids_that_do_not_fit_meet_in_a_coarser_one() {
        let asked = grant(&["*"], "PT10M", "P30D");
        let limits = [limit(&["*"], "PT15M", "P30D")];
        assert_eq!(narrow(&[asked], Some(&limits)).unwrap()[0].finest, span("PT30M"));
    }

    #[test]
    fn what_the_policy_leaves_nothing_of_is_refused() {
        let limits = [limit(&["M1/1-0:1.8.0*255"], "PT15M", "P30D")];
        for asked in [
            grant(&["M2/1-0:1.8.0*255"], "PT15M", "P30D"),
            grant(&["*/7-0:3.0.0*255"], "PT15M", "P30D"),
        ] {
            assert_eq!(
                narrow(&[asked], Some(&limits)),
                Err(Contradiction::Nothing {
                    id: "billing".to_owned()
                })
            );
        }
        let asked = grant(&["*"], "PT15M", "P30D");
        assert!(
            narrow(&[asked], Some(&[])).is_err(),
            "no limit is left, so nothing is"
        );
    }

    #[test]
    fn patterns_that_multiply_beyond_a_grant_are_refused() {
        let many = |meter: &str| -> Vec<String> {
            (0..MAX_PATTERNS)
                .map(|number| format!("{meter}/1-{number}:x.x.x*x"))
                .collect()
        };
        let asked: Vec<String> = many("*");
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let limits = [limit(&["M1/*", "M2/*"], "PT15M", "P30D")];
        assert_eq!(
            narrow(&[grant(&asked, "PT15M", "P30D")], Some(&limits)),
            Err(Contradiction::TooManyPatterns {
                id: "billing".to_owned()
            })
        );
    }

    #[test]
    fn contradictions_are_named() {
        let good = grant(&["*"], "PT15M", "P30D");
        assert_eq!(check(std::slice::from_ref(&good), now()), Ok(()));
        assert_eq!(check(&[], now()), Err(Contradiction::NoGrants));
        assert!(matches!(
            check(&[good.clone(), good.clone()], now()),
            Err(Contradiction::RepeatedId { .. })
        ));
        let empty = grant(&[], "PT15M", "P30D");
        assert!(matches!(
            check(&[empty], now()),
            Err(Contradiction::NoElements { .. })
        ));
        let short = grant(&["*"], "P30D", "P1D");
        assert!(matches!(
            check(&[short], now()),
            Err(Contradiction::ShortHistory { .. })
        ));
        let late = "2028-01-01T00:00:00Z".parse().unwrap();
        assert!(matches!(check(&[good], late), Err(Contradiction::Ended { .. })));
    }

    #[test]
    fn grants_are_compared() {
        let wide = grant(&["*/1-0:x.x.x*255"], "PT15M", "P30D");
        assert!(is_within(&grant(&["*/1-0:1.8.0*255"], "PT30M", "P30D"), &wide));
        for other in [
            grant(&["*"], "PT15M", "P30D"),
            grant(&["*/1-0:1.8.0*255"], "PT10M", "P30D"),
            grant(&["*/1-0:1.8.0*255"], "PT20M", "P30D"),
            grant(&["*/1-0:1.8.0*255"], "PT15M", "P31D"),
        ] {
            assert!(!is_within(&other, &wide), "{other:?}");
        }
    }
}
