//! The proof that something may leave the gateway.

use model::{
    DeliveryRule, Element, ElementPattern, Fingerprint, Grant, Limit, MeterId, Purpose, Query, Restriction,
    Series, Span, Timestamp,
};

use crate::rules::Layer;
use crate::{DenialReason, Release};

/// Something that may leave the gateway, for one supplier, by the rules that permit it.
///
/// It is made by [`decide`](crate::decide) and turned into an answer by a [`Release`];
/// nothing else can make or change one.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Granted<'a, T> {
    value: T,
    supplier: Fingerprint,
    permits: Vec<Permit<'a>>,
    scope: Scope<'a>,
}

/// A grant that permits something, as the consumer's log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// The name of the grant.
    pub id: &'a str,
    /// What the data are for.
    pub purpose: &'a Purpose,
}

/// One pattern of a grant that says how often it may be asked: from now on it has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paced<'a> {
    /// The grant.
    pub grant: &'a Grant,
    /// The pattern.
    pub pattern: &'a ElementPattern,
    /// For how long at most.
    pub at_most: Span,
}

/// One pattern of a grant that permits something of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permit<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) pattern: &'a ElementPattern,
    /// When something of it was granted before, on another occasion.
    pub(crate) last: Option<Timestamp>,
}

impl Permit<'_> {
    /// Returns whether grant and delivery rule, if there is one, permit an element.
    fn has(&self, element: &Element) -> bool {
        let rule = self.grant.delivery.as_deref();
        self.pattern.matches(element) && rule.is_none_or(|rule| rule.delivers(element.obis))
    }
}

/// What limits and restrictions leave of the permits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    /// What limits for all suppliers leave, and what those for this one leave of that.
    pub(crate) ceilings: [Ceiling<'a>; 2],
    /// The restrictions that stand in the way at the resolution of the query.
    pub(crate) obstacles: Vec<&'a Restriction>,
    pub(crate) now: Timestamp,
}

/// Some elements of a query that limits leave.
pub(crate) struct Room<'a> {
    elements: ElementPattern,
    /// Whether these are all that is asked for, of which every permit has something.
    is_whole: bool,
    /// The longest of the times between two requests that the limits say, and the limit that says it.
    pace: Option<(Span, &'a Limit)>,
    /// The restriction that takes away all of them.
    taken_by: Option<&'a Restriction>,
}

impl Room<'_> {
    /// Returns whether a permit has something there.
    pub(crate) fn has_of(&self, permit: &Permit<'_>) -> bool {
        self.is_whole || permit.pattern.overlaps(&self.elements)
    }

    /// Returns whether it has all that is asked for.
    pub(crate) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Returns the restriction that takes away all of it, if one does.
    pub(crate) const fn taken_by(&self) -> Option<&Restriction> {
        self.taken_by
    }
}

/// The rule by which nothing is left.
pub(crate) enum Refusing<'a> {
    Grant(&'a Grant),
    Limit(&'a Limit),
    Restriction(&'a Restriction),
}

impl Refusing<'_> {
    pub(crate) const fn layer(&self) -> Layer {
        match self {
            Self::Grant(_) => Layer::Grant,
            Self::Limit(_) => Layer::Policy,
            Self::Restriction(_) => Layer::Consumer,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Grant(grant) => grant.id.clone(),
            Self::Limit(limit) => limit.id.clone(),
            Self::Restriction(restriction) => restriction.name(),
        }
    }
}

/// What the limits of some suppliers leave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ceiling<'a> {
    /// All: there is no limit.
    Open,
    /// What any of these leaves.
    Limits(Vec<&'a Limit>),
}

static EVERYTHING: ElementPattern = ElementPattern::ANY;

impl<'a> Ceiling<'a> {
    /// Returns the patterns of which something is left, each with its limit.
    fn parts(&self) -> impl Iterator<Item = (Option<&'a Limit>, &'a ElementPattern)> + '_ {
        let (limits, open) = match self {
            Self::Open => (&[][..], Some((None, &EVERYTHING))),
            Self::Limits(limits) => (limits.as_slice(), None),
        };
        let patterns = limits
            .iter()
            .flat_map(|limit| limit.elements.iter().map(|pattern| (Some(*limit), pattern)));
        open.into_iter().chain(patterns)
    }

    fn limits(&self) -> &[&'a Limit] {
        match self {
            Self::Open => &[],
            Self::Limits(limits) => limits,
        }
    }

    /// Returns whether an element is left, of what has to wait since a time.
    fn leaves(&self, element: &Element, last: Option<Timestamp>, now: Timestamp) -> bool {
        match self {
            Self::Open => true,
            Self::Limits(limits) => limits
                .iter()
                .any(|limit| limit.covers(element) && again(last, limit.at_most, now).is_none()),
        }
    }
}

/// Returns when something may be asked for again that was asked for last at a time; `None` if that is now.
fn again(last: Option<Timestamp>, at_most: Option<Span>, now: Timestamp) -> Option<Timestamp> {
    let again = last?.saturating_add(at_most?);
    (again > now).then_some(again)
}

impl<'a> Scope<'a> {
    /// Returns the elements of a query that the limits leave, by what else the limits say of them.
    pub(crate) fn rooms(&self, asked: &ElementPattern) -> Vec<Room<'a>> {
        let [all, one] = &self.ceilings;
        let mut rooms = Vec::new();
        for (limit_of_all, pattern_of_all) in all.parts() {
            let Some(left) = asked.intersection(pattern_of_all) else {
                continue;
            };
            for (limit_of_one, pattern_of_one) in one.parts() {
                let Some(elements) = left.intersection(pattern_of_one) else {
                    continue;
                };
                let limits = [limit_of_all, limit_of_one].into_iter().flatten();
                let paces = limits.filter_map(|limit| Some((limit.at_most?, limit)));
                let mut obstacles = self.obstacles.iter().copied();
                rooms.push(Room {
                    pace: paces.max_by_key(|(at_most, _)| *at_most),
                    taken_by: obstacles.find(|obstacle| elements.is_within(&obstacle.elements)),
                    is_whole: elements == *asked,
                    elements,
                });
            }
        }
        rooms
    }

    /// Returns why nothing is left in one room of a permit that has something there.
    pub(crate) fn refusal(
        &self,
        permit: &Permit<'a>,
        room: &Room<'a>,
        resolution: Span,
    ) -> Option<(Refusing<'a>, DenialReason)> {
        let mut obstacles = self.obstacles.iter().copied();
        let taken_by = room.taken_by.or_else(|| {
            obstacles.find(|obstacle| {
                permit
                    .pattern
                    .common_is_within(&room.elements, &obstacle.elements)
            })
        });
        if let Some(restriction) = taken_by {
            let reason = DenialReason::of_restriction(restriction, resolution)?;
            return Some((Refusing::Restriction(restriction), reason));
        }
        let (at_most, rule) = match (permit.grant.at_most, room.pace) {
            (Some(own), Some((at_most, limit))) if at_most > own => (at_most, Refusing::Limit(limit)),
            (Some(own), _) => (own, Refusing::Grant(permit.grant)),
            (None, Some((at_most, limit))) => (at_most, Refusing::Limit(limit)),
            (None, None) => return None,
        };
        let again = again(permit.last, Some(at_most), self.now)?;
        Some((rule, DenialReason::TooOften { at_most, again }))
    }

    /// Returns whether all layers leave an element of a permit.
    fn leaves(&self, permit: &Permit<'_>, element: &Element) -> bool {
        again(permit.last, permit.grant.at_most, self.now).is_none()
            && self
                .ceilings
                .iter()
                .all(|ceiling| ceiling.leaves(element, permit.last, self.now))
    }
}

impl<'a, T> Granted<'a, T> {
    pub(crate) const fn new(
        value: T,
        supplier: Fingerprint,
        permits: Vec<Permit<'a>>,
        scope: Scope<'a>,
    ) -> Self {
        Self {
            value,
            supplier,
            permits,
            scope,
        }
    }

    /// Returns the supplier that it is granted to; it is to be sealed for no other.
    #[must_use]
    pub const fn supplier(&self) -> Fingerprint {
        self.supplier
    }

    /// Returns the grants that permit it.
    pub fn rules(&self) -> impl Iterator<Item = Rule<'a>> + '_ {
        let mut last: Option<&Grant> = None;
        let grants = self.permits.iter().filter_map(move |permit| {
            // The patterns of one grant stand together.
            let is_new = last.is_none_or(|last| !std::ptr::eq(last, permit.grant));
            last = Some(permit.grant);
            is_new.then_some(permit.grant)
        });
        grants.map(|grant| Rule {
            id: &grant.id,
            purpose: &grant.purpose,
        })
    }

    /// Returns the delivery rule by which a pseudonym stands for the meter, if one does.
    #[must_use]
    pub fn pseudonymous(&self) -> Option<&'a DeliveryRule> {
        self.permits.iter().find_map(|permit| permit.grant.pseudonymous())
    }

    /// Returns what has to wait from now on, if it is released to who asked for it.
    pub fn paced(&self) -> impl Iterator<Item = Paced<'a>> + '_ {
        let limits = self.scope.ceilings.iter().flat_map(Ceiling::limits);
        let longest = limits.filter_map(|limit| limit.at_most).max();
        self.permits.iter().filter_map(move |permit| {
            Some(Paced {
                grant: permit.grant,
                pattern: permit.pattern,
                at_most: permit.grant.at_most.max(longest)?,
            })
        })
    }
}

impl Granted<'_, Vec<Series>> {
    /// Returns the values themselves, for sealing. `name` gives the pseudonym of a meter for the supplier by a delivery rule;
    /// it is asked where one has to stand for the meter, and then no other name gets out.
    ///
    /// # Errors
    ///
    /// That of `name`; nothing gets out then.
    pub fn into_series<E>(
        self,
        mut name: impl FnMut(&DeliveryRule, &MeterId) -> Result<MeterId, E>,
    ) -> Result<Vec<Series>, E> {
        let rule = self.pseudonymous();
        let mut released = self.value;
        if let Some(rule) = rule {
            for series in &mut released {
                series.element.meter = name(rule, &series.element.meter)?;
            }
            // The order of the meters' own names would tell something of them.
            released.sort_by(|one, other| one.element.cmp(&other.element));
        }
        Ok(released)
    }

    /// Returns the values themselves, of grants that name the meter.
    #[cfg(test)]
    pub(crate) fn into_inner(self) -> Vec<Series> {
        assert_eq!(self.pseudonymous(), None);
        self.value
    }
}

impl<'a> Granted<'a, Query> {
    /// Returns what is granted: the query that was asked, its period cut off behind the present.
    #[must_use]
    pub const fn query(&self) -> &Query {
        &self.value
    }

    /// Begins to release the readings and gaps that are granted, as the store hands them over.
    pub const fn begin(self) -> Release<'a> {
        Release::new(self)
    }

    /// Returns whether an element is asked for, and granted.
    pub(crate) fn covers(&self, element: &Element) -> bool {
        self.value.elements.matches(element)
            && !self
                .scope
                .obstacles
                .iter()
                .any(|obstacle| obstacle.elements.matches(element))
            && self
                .permits
                .iter()
                .any(|permit| permit.has(element) && self.scope.leaves(permit, element))
    }

    /// Returns what was made of the query, by the same rules.
    pub(crate) fn map<U>(self, value: impl FnOnce(Query) -> U) -> Granted<'a, U> {
        let Self {
            value: query,
            supplier,
            permits,
            scope,
        } = self;
        Granted::new(value(query), supplier, permits, scope)
    }
}
