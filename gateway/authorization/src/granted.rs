//! The proof that something may leave the gateway.

use model::{Element, Fingerprint, Grant, Purpose, Query};

use crate::Release;

/// Something that may leave the gateway, for one supplier, by the grants that permit it.
///
/// It is made by [`decide`](crate::decide) and turned into an answer by a [`Release`];
/// nothing else can make or change one.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Granted<T> {
    value: T,
    supplier: Fingerprint,
    grants: Vec<Grant>,
}

/// A grant that permits something, as the consumer's log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// The name of the grant.
    pub id: &'a str,
    /// What the data are for.
    pub purpose: &'a Purpose,
}

impl<T> Granted<T> {
    pub(crate) const fn new(value: T, supplier: Fingerprint, grants: Vec<Grant>) -> Self {
        Self {
            value,
            supplier,
            grants,
        }
    }

    /// Returns the supplier that it is granted to; it is to be sealed for no other.
    #[must_use]
    pub const fn supplier(&self) -> Fingerprint {
        self.supplier
    }

    /// Returns the grants that permit it.
    pub fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        self.grants.iter().map(|grant| Rule {
            id: &grant.id,
            purpose: &grant.purpose,
        })
    }

    /// Returns the value itself, for sealing.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl Granted<Query> {
    /// Returns what is granted: the query that was asked, its period cut off behind the present.
    #[must_use]
    pub const fn query(&self) -> &Query {
        &self.value
    }

    /// Begins to release the readings and gaps that are granted, as the store hands them over.
    pub const fn begin(self) -> Release {
        Release::new(self)
    }

    /// Returns whether an element is asked for, and granted.
    pub(crate) fn covers(&self, element: &Element) -> bool {
        self.value.elements.matches(element) && self.grants.iter().any(|grant| grant.covers(element))
    }

    /// Returns what was made of the query, by the same grants.
    pub(crate) fn map<U>(self, value: impl FnOnce(Query) -> U) -> Granted<U> {
        let Self {
            value: query,
            supplier,
            grants,
        } = self;
        Granted::new(value(query), supplier, grants)
    }
}
