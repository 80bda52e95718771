//! The decision: one query against the rules of all layers.
//!
//! A value leaves only if every layer lets it: a grant permits it, a limit for all suppliers leaves it (if there is any),
//! a limit for this supplier leaves it (if there is any), and no restriction of the consumer stands in its way. So the
//! narrower wins in every dimension.
//!
//! The resolution has to be a multiple of the finest one of each rule that counts, and so is a multiple of their least
//! common multiple: of 15 minutes and a restriction to 1 hour, multiples of 1 hour are left; of 10 and 15 minutes, those of
//! 30. Every value then lies on one grid of whole multiples, and no set of shifted or overlapping queries yields a finer
//! one: what is made of a step begins and ends on that grid, too. Two grants of one supplier for the same element, and two
//! limits for the same suppliers, each stand for themselves: who is granted 10 and 15 minutes may have both grids. A
//! restriction holds for all grants together.

use std::collections::BTreeSet;

use model::{
    Aggregation, Element, ElementPattern, Grant, Limit, Period, Query, Restriction, Series, Span, Timestamp,
};

use crate::denial::Closest;
use crate::granted::{Ceiling, Permit, Room, Scope};
use crate::rules::{Asker, Layer, Occasion, Rules};
use crate::trace::{Explanation, Looked, Trace};
use crate::{DenialReason, Denied, Granted};

/// Decides whether a supplier may have what it asks for, and holds the answer to the rules that permit it.
///
/// A grant permits a query if it names the supplier, holds at `now`, covers at least one element of
/// the query, reaches back to the start of its period, and if the resolution asked for is a
/// multiple of the grant's finest. What is made of the values between two points of that grid, as a
/// mean is, has to be granted by name. Limits are held against it in the same way, and restrictions by supplier, element
/// and resolution. Of a query for many elements, those that all layers let pass are released and the others left out. A
/// validity is about when is asked; how old the values may be is the history. The period is cut off behind `now`.
///
/// Of a grant with a delivery rule nothing else is permitted than the rule says, on no other occasion. Where a pseudonym stands
/// for the meter, nobody gets anything who asks by the meter's name, and what is granted is of one such grant only: where a
/// grant names the meter, that one counts and none under a pseudonym.
///
/// A grant or limit that says how often it may be asked is held against the time at which something of the same pattern
/// of the grant was granted before. If that lies in the future, since the clock was set back, it still counts.
///
/// # Errors
///
/// [`Denied`] if nothing is left of the query, with the reason of the rule that came closest, in the last layer that was
/// reached.
pub fn decide<'a>(
    query: &Query,
    asker: Asker<'_>,
    rules: &Rules<'a>,
    occasion: &Occasion<'_>,
    now: Timestamp,
) -> Result<Granted<'a, Query>, Denied> {
    weigh(query, asker, rules, (occasion, now), &mut ())
}

/// Decides as [`decide`] does, and says which rules it looked at.
#[must_use]
pub fn explain(
    query: &Query,
    asker: Asker<'_>,
    rules: &Rules<'_>,
    occasion: &Occasion<'_>,
    now: Timestamp,
) -> Explanation {
    let mut looked: Vec<Looked> = Vec::new();
    let outcome = weigh(query, asker, rules, (occasion, now), &mut looked);
    let outcome = outcome.map(|granted| granted.rules().map(|rule| rule.id.to_owned()).collect());
    Explanation { looked, outcome }
}

fn weigh<'a>(
    query: &Query,
    asker: Asker<'_>,
    rules: &Rules<'a>,
    (occasion, now): (&Occasion<'_>, Timestamp),
    trace: &mut impl Trace,
) -> Result<Granted<'a, Query>, Denied> {
    let supplier = asker.supplier;
    if rules.grants.iter().all(|grant| grant.supplier != supplier) {
        return Err(DenialReason::NoGrant.into());
    }
    let asked = Query {
        period: until_now(query, now)?,
        ..query.clone()
    };
    check_size(&asked)?;
    let of_all = |limit: &&Limit| limit.supplier.is_none();
    let of_one = |limit: &&Limit| limit.supplier == Some(supplier);
    let is_paced = rules.policy.iter().any(|limit| limit.at_most.is_some());
    let own = rules.grants.iter().filter(|grant| grant.supplier == supplier);
    let held = Asked::new(&asked, now);
    let permits = permits(&held, own, (occasion, is_paced), trace)?;
    let permits = of_one_name(permits);
    let scope = Scope {
        ceilings: [
            ceiling(&held, rules.policy.iter().filter(of_all), trace)?,
            ceiling(&held, rules.policy.iter().filter(of_one), trace)?,
        ],
        obstacles: obstacles(&asked, asker, rules.restrictions, now, trace),
        now,
    };
    let permits = left_of(permits, &asked, &scope, trace)?;
    Ok(Granted::new(asked, supplier, permits, scope))
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

/// Returns the patterns of the supplier's grants that permit something of the query.
fn permits<'a>(
    asked: &Asked<'_>,
    grants: impl Iterator<Item = &'a Grant>,
    (occasion, is_paced): (&Occasion<'_>, bool),
    trace: &mut impl Trace,
) -> Result<Vec<Permit<'a>>, Denied> {
    let mut permits = Vec::new();
    let mut has_pace = is_paced;
    let mut closest = Closest::new(Layer::Grant);
    for grant in grants {
        let mut patterns = grant.elements.iter().filter(|pattern| asked.meets(pattern));
        let first = patterns.next();
        let judged = asked
            .judge(first.is_some(), &Terms::of_grant(grant))
            .and_then(|()| asked.judge_delivery(grant, occasion));
        trace.note(Layer::Grant, || grant.id.clone(), judged.as_ref().err());
        if let Err(reason) = judged {
            closest.offer(reason, || grant.id.clone());
            continue;
        }
        has_pace |= grant.at_most.is_some();
        // One by one, which for the one or two of most grants costs less than to extend by an iterator.
        for pattern in first.into_iter().chain(patterns) {
            permits.push(Permit {
                grant,
                pattern,
                last: None,
            });
        }
    }
    if has_pace {
        let paced = permits
            .iter_mut()
            .filter(|permit| is_paced || permit.grant.at_most.is_some());
        for permit in paced {
            permit.last = occasion.last(permit.grant, permit.pattern);
        }
    }
    if permits.is_empty() {
        return Err(closest.denial());
    }
    Ok(permits)
}

/// Keeps the permits that name the meter, or else those of one grant that has a pseudonym stand for it: under two of them one
/// answer would tell which pseudonyms are the same meter's.
fn of_one_name(mut permits: Vec<Permit<'_>>) -> Vec<Permit<'_>> {
    if permits.iter().any(|permit| permit.grant.pseudonymous().is_none()) {
        permits.retain(|permit| permit.grant.pseudonymous().is_none());
    } else if let Some(grant) = permits.first().map(|permit| permit.grant) {
        permits.retain(|permit| std::ptr::eq(permit.grant, grant));
    }
    permits
}

/// Returns what the limits of some suppliers leave.
fn ceiling<'a>(
    asked: &Asked<'_>,
    limits: impl Iterator<Item = &'a Limit>,
    trace: &mut impl Trace,
) -> Result<Ceiling<'a>, Denied> {
    let mut leaving = Vec::new();
    let mut closest = Closest::new(Layer::Policy);
    let mut is_open = true;
    for limit in limits {
        is_open = false;
        let meets = limit.elements.iter().any(|pattern| asked.meets(pattern));
        let judged = asked.judge(meets, &Terms::of_limit(limit));
        trace.note(Layer::Policy, || limit.id.clone(), judged.as_ref().err());
        match judged {
            Ok(()) => leaving.push(limit),
            Err(reason) => closest.offer(reason, || limit.id.clone()),
        }
    }
    if is_open {
        Ok(Ceiling::Open)
    } else if leaving.is_empty() {
        Err(closest.denial())
    } else {
        Ok(Ceiling::Limits(leaving))
    }
}

/// Returns the consumer's restrictions that stand in the way of the query.
fn obstacles<'a>(
    query: &Query,
    asker: Asker<'_>,
    restrictions: &'a [Restriction],
    now: Timestamp,
    trace: &mut impl Trace,
) -> Vec<&'a Restriction> {
    let concerned = restrictions.iter().filter(|restriction| {
        restriction.from <= now
            && restriction.is_for(asker.supplier, asker.name)
            && restriction.elements.overlaps(&query.elements)
    });
    let concerned = concerned.filter(|restriction| {
        let reason = DenialReason::of_restriction(restriction, query.resolution);
        trace.note(Layer::Consumer, || restriction.name(), reason.as_ref());
        reason.is_some()
    });
    concerned.collect()
}

/// Returns the permits that all layers together leave something of.
fn left_of<'a>(
    mut permits: Vec<Permit<'a>>,
    query: &Query,
    scope: &Scope<'a>,
    trace: &mut impl Trace,
) -> Result<Vec<Permit<'a>>, Denied> {
    let rooms = scope.rooms(&query.elements);
    let mut closest = Closest::new(Layer::Policy);
    // Most queries meet no limit and no restriction, or a restriction that takes away all of them.
    let taken = rooms.iter().filter_map(Room::taken_by);
    if taken.clone().count() == rooms.len() {
        for restriction in taken {
            if let Some(reason) = DenialReason::of_restriction(restriction, query.resolution) {
                closest.offer_of(Layer::Consumer, reason, || restriction.name());
            }
        }
        return Err(closest.denial());
    }
    let is_free = scope.obstacles.is_empty() && rooms.iter().any(Room::is_whole);
    let is_left = |permit: &Permit<'_>| is_free && permit.last.is_none();
    if permits.iter().all(is_left) {
        return Ok(permits);
    }
    permits.retain(|permit| {
        if is_left(permit) {
            return true;
        }
        let of_permit = rooms.iter().filter(|room| room.has_of(permit));
        for room in of_permit {
            let Some((rule, reason)) = scope.refusal(permit, room, query.resolution) else {
                return true;
            };
            // That a restriction stands in the way was noted with the restriction.
            if rule.layer() != Layer::Consumer {
                trace.note(rule.layer(), || rule.name(), Some(&reason));
            }
            closest.offer_of(rule.layer(), reason, || rule.name());
        }
        false
    });
    if permits.is_empty() {
        return Err(closest.denial());
    }
    Ok(permits)
}

/// What is asked, and what every rule is held against.
struct Asked<'a> {
    query: &'a Query,
    /// The only element that is asked for, if it is one.
    exact: Option<Element>,
    now: Timestamp,
    /// How old the oldest value is that is asked for.
    age_seconds: i64,
}

/// What grants and limits have in common.
struct Terms<'a> {
    finest: Span,
    aggregations: &'a BTreeSet<Aggregation>,
    history: Span,
    validity: Option<Period>,
}

impl<'a> Terms<'a> {
    const fn of_grant(grant: &'a Grant) -> Self {
        Self {
            finest: grant.finest,
            aggregations: &grant.aggregations,
            history: grant.history,
            validity: Some(grant.validity),
        }
    }

    const fn of_limit(limit: &'a Limit) -> Self {
        Self {
            finest: limit.finest,
            aggregations: &limit.aggregations,
            history: limit.history,
            validity: limit.validity,
        }
    }
}

impl<'a> Asked<'a> {
    fn new(query: &'a Query, now: Timestamp) -> Self {
        Self {
            query,
            exact: query.elements.exact(),
            now,
            age_seconds: now.seconds_since(query.period.from()),
        }
    }

    /// Returns whether a pattern covers an element that the query's can stand for.
    fn meets(&self, pattern: &ElementPattern) -> bool {
        match &self.exact {
            Some(element) => pattern.matches(element),
            None => pattern.overlaps(&self.query.elements),
        }
    }

    /// Judges the query by the delivery rule of a grant, if it has one.
    fn judge_delivery(&self, grant: &Grant, occasion: &Occasion<'_>) -> Result<(), DenialReason> {
        if !occasion.has(grant) {
            return Err(DenialReason::NotOnDemand);
        }
        let Some(rule) = grant.delivery.as_deref() else {
            return Ok(());
        };
        if !rule
            .elements()
            .iter()
            .any(|pattern| pattern.overlaps(&self.query.elements.obis))
        {
            return Err(DenialReason::ElementNotGranted);
        }
        let names = self.query.elements.meter.is_some()
            || grant.elements.iter().any(|pattern| pattern.meter.is_some());
        if rule.is_pseudonymous() && names {
            return Err(DenialReason::PseudonymOnly);
        }
        if self.query.aggregation != rule.aggregation() {
            let asked = self.query.aggregation;
            return Err(DenialReason::AggregationNotGranted { asked });
        }
        self.keeps_to(rule.finest())
    }

    /// Judges the query's resolution by the finest one that a rule permits.
    fn keeps_to(&self, finest: Span) -> Result<(), DenialReason> {
        let asked = self.query.resolution;
        if asked < finest {
            return Err(DenialReason::TooFine { asked, finest });
        }
        if !asked.is_multiple_of(finest) {
            return Err(DenialReason::OffGrid { asked, finest });
        }
        Ok(())
    }

    /// Judges the query by one rule; the first condition that fails is the reason.
    fn judge(&self, meets: bool, rule: &Terms<'_>) -> Result<(), DenialReason> {
        let now = self.now;
        if !meets {
            return Err(DenialReason::ElementNotGranted);
        }
        if let Some(validity) = rule.validity {
            if now < validity.from() {
                let from = validity.from();
                return Err(DenialReason::NotYetValid { from });
            }
            if now >= validity.to() {
                let since = validity.to();
                return Err(DenialReason::Expired { since });
            }
        }
        if !rule.aggregations.contains(&self.query.aggregation) {
            let asked = self.query.aggregation;
            return Err(DenialReason::AggregationNotGranted { asked });
        }
        self.keeps_to(rule.finest)?;
        if self.age_seconds > i64::from(rule.history.seconds()) {
            let earliest = now.saturating_sub(rule.history);
            return Err(DenialReason::TooFarBack { earliest });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
