//! What a query is held against: rules of three layers, who asks, and on which occasion.

use std::fmt;

use model::{ElementPattern, Fingerprint, Grant, Limit, Restriction, Timestamp};
use serde::{Deserialize, Serialize};

/// The rules that are in force, of every layer.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// What suppliers are granted; everything else is denied.
    pub grants: &'a [Grant],
    /// What the TSM's policy leaves of it; all, if it has no limit.
    pub policy: &'a [Limit],
    /// What the consumer has taken away of it.
    pub restrictions: &'a [Restriction],
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The fingerprint of its SIG certificate.
    pub supplier: Fingerprint,
    /// Its name, by which the consumer may have restricted it.
    pub name: &'a str,
}

/// Tells when something of one pattern of a grant was granted to a request the last time.
pub type LastAsked<'a> = &'a dyn Fn(&Grant, &ElementPattern) -> Option<Timestamp>;

/// On which occasion values are to leave.
///
/// All queries of one request are one occasion: they are decided by what was asked before the request.
#[derive(Clone, Copy)]
pub enum Occasion<'a> {
    /// The supplier asks.
    Asked {
        /// When it was granted something before.
        last: LastAsked<'a>,
        /// The time of the request that left this very query as its rest, if one did: it belongs to that occasion.
        continues: Option<Timestamp>,
    },
    /// The gateway sends by itself; the interval of the grant says how often.
    Scheduled,
    /// The gateway sends by itself, since a grant's delivery rule says so; grants without one permit nothing then.
    Delivered,
}

impl fmt::Debug for Occasion<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { continues, .. } => formatter
                .debug_struct("Asked")
                .field("continues", continues)
                .finish_non_exhaustive(),
            Self::Scheduled => formatter.write_str("Scheduled"),
            Self::Delivered => formatter.write_str("Delivered"),
        }
    }
}

impl Occasion<'_> {
    /// A supplier asks for the first time.
    pub const FIRST: Occasion<'static> = Occasion::Asked {
        last: &|_, _| None,
        continues: None,
    };

    /// Returns whether a grant permits something then: with a delivery rule only what and when the rule says.
    pub(crate) fn has(&self, grant: &Grant) -> bool {
        match (self, grant.delivery.as_deref()) {
            (Self::Asked { .. }, Some(rule)) => rule.is_on_demand(),
            (Self::Delivered, Some(_)) | (Self::Asked { .. } | Self::Scheduled, None) => true,
            (Self::Scheduled, Some(_)) | (Self::Delivered, None) => false,
        }
    }

    /// Returns the earlier occasion by which one pattern of a grant has to wait, if there is one.
    pub(crate) fn last(&self, grant: &Grant, pattern: &ElementPattern) -> Option<Timestamp> {
        match self {
            Self::Asked { last, continues } => last(grant, pattern).filter(|last| Some(*last) != *continues),
            Self::Scheduled | Self::Delivered => None,
        }
    }
}

/// A layer of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// What the supplier is granted.
    Grant,
    /// What the TSM's policy leaves of it.
    Policy,
    /// What the consumer has taken away of it.
    Consumer,
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Grant => "grant",
            Self::Policy => "policy",
            Self::Consumer => "consumer",
        })
    }
}
