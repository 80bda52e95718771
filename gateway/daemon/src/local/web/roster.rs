//! Who there is: the technician, and the consumers of the configuration with their metering points.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Element, MeterId};

/// The name of the technician's account.
pub(crate) const TECHNICIAN: &str = "technician";
/// The name of the consumer's account in a household of its own.
pub(crate) const CONSUMER: &str = "consumer";
/// The most consumers of one gateway: a house of many flats.
pub(crate) const MOST_CONSUMERS: usize = 32;

/// A consumer of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) meters: BTreeSet<MeterId>,
}

/// Which meters are somebody's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Own {
    /// Every one, also those that come later: a household of its own.
    All,
    /// These.
    Meters(Arc<BTreeSet<MeterId>>),
}

impl Own {
    /// Returns whether the meter is one of them.
    pub(crate) fn has(&self, meter: &MeterId) -> bool {
        match self {
            Self::All => true,
            Self::Meters(own) => own.contains(meter),
        }
    }

    /// Returns whether the element is measured by one of them.
    pub(crate) fn measures(&self, element: &Element) -> bool {
        self.has(&element.meter)
    }
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Looks after the device, and sees no consumption history.
    Technician,
    /// Sees what its own meters have measured, and who was given it.
    Consumer(Own),
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
}

/// Everybody who can have a password.
#[derive(Debug, Clone)]
pub(crate) struct Roster(Arc<[Identity]>);

impl Roster {
    /// Takes the consumers of the configuration; without any, there is one for all meters.
    pub(crate) fn new(consumers: &[Consumer]) -> Self {
        let technician = Identity {
            name: TECHNICIAN.into(),
            role: Role::Technician,
        };
        let mut all = vec![technician];
        all.extend(consumers.iter().map(|consumer| Identity {
            name: consumer.name.as_str().into(),
            role: Role::Consumer(Own::Meters(Arc::new(consumer.meters.clone()))),
        }));
        if consumers.is_empty() {
            all.push(Identity {
                name: CONSUMER.into(),
                role: Role::Consumer(Own::All),
            });
        }
        Self(all.into())
    }

    /// Finds somebody by the name of the account.
    pub(crate) fn find(&self, name: &str) -> Option<&Identity> {
        self.0.iter().find(|identity| *identity.name == *name)
    }

    /// Returns the names of all accounts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|identity| &*identity.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn household_of_its_own_has_one_consumer_for_all_meters() {
        let roster = Roster::new(&[]);
        assert_eq!(roster.names().collect::<Vec<_>>(), [TECHNICIAN, CONSUMER]);
        let consumer = roster.find(CONSUMER).unwrap();
        assert!(matches!(&consumer.role, Role::Consumer(own) if own.has(&"M1".parse().unwrap())));
        assert!(roster.find("somebody").is_none());
    }

    #[test]
    fn flats_have_meters_of_their_own() {
        let flat = |name: &str, meter: &str| Consumer {
            name: name.to_owned(),
            meters: BTreeSet::from([meter.parse().unwrap()]),
        };
        let roster = Roster::new(&[flat("flat-1", "M1"), flat("flat-2", "M2")]);
        assert!(roster.find(CONSUMER).is_none());
        let Role::Consumer(own) = &roster.find("flat-2").unwrap().role else {
            panic!("no consumer")
        };
        assert!(own.has(&"M2".parse().unwrap()) && !own.has(&"M1".parse().unwrap()));
    }
}
