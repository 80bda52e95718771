//! Refusals, each with its reason and the rule that refused.

use std::fmt;

use model::{Aggregation, Effect, Restriction, Span, Timestamp};
use serde::Serialize;

use crate::rules::Layer;

/// The refusal of a query.
///
/// Serialized form: `{"code":"too-fine","asked":"PT1M","finest":"PT15M","layer":"grant","rule":"billing"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Denied {
    /// Why the query is refused.
    #[serde(flatten)]
    pub reason: DenialReason,
    /// The layer whose rules refuse it.
    pub layer: Layer,
    /// The rule that refuses it, or of several the one that came closest to permitting it; none if no rule of the layer
    /// speaks of the query at all.
    pub rule: Option<String>,
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(formatter)?;
        match (&self.rule, self.layer) {
            (Some(rule), Layer::Grant) => write!(formatter, " (rule {rule:?})"),
            (Some(rule), layer) => write!(formatter, " ({layer}, rule {rule:?})"),
            (None, Layer::Grant) => Ok(()),
            (None, layer) => write!(formatter, " ({layer})"),
        }
    }
}

impl From<DenialReason> for Denied {
    fn from(reason: DenialReason) -> Self {
        Self {
            reason,
            layer: Layer::Grant,
            rule: None,
        }
    }
}

/// The reason why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum DenialReason {
    /// No grant names the supplier.
    #[error("no grant names this supplier")]
    NoGrant,
    /// The whole period lies in the future.
    #[error("the supplier asked for values from {from} on, which is in the future")]
    InFuture {
        /// The start of the period.
        from: Timestamp,
    },
    /// The period has more points than one series can hold.
    #[error("the supplier asked for {points} values of each element at once, more than {limit}")]
    TooManyPoints {
        /// The number of points in the period.
        points: usize,
        /// The greatest number, [`Series::MAX_POINTS`](model::Series::MAX_POINTS).
        limit: usize,
    },
    /// No rule of the layer covers any of the elements.
    #[error("no grant of the supplier covers the elements that it asked for")]
    ElementNotGranted,
    /// The rule does not hold yet.
    #[error("the rule holds only from {from} on")]
    NotYetValid {
        /// The first point at which it holds.
        from: Timestamp,
    },
    /// The rule holds no more.
    #[error("the rule ended at {since}")]
    Expired {
        /// The first point at which it held no more.
        since: Timestamp,
    },
    /// No grant permits values that are made in this way.
    #[error("the supplier asked for values of the kind {asked}, which it is not granted")]
    AggregationNotGranted {
        /// How the values were to be made.
        asked: Aggregation,
    },
    /// The values asked for are closer together than granted.
    #[error("the supplier asked for values every {asked}, finer than the {finest} that it is granted")]
    TooFine {
        /// The resolution of the query.
        asked: Span,
        /// The finest resolution that is granted.
        finest: Span,
    },
    /// The resolution is coarser than granted but no multiple of it: values in between could be
    /// computed from two such queries.
    #[error("the supplier asked for values every {asked}, which is no multiple of the granted {finest}")]
    OffGrid {
        /// The resolution of the query.
        asked: Span,
        /// The resolution whose multiples are granted.
        finest: Span,
    },
    /// The period begins earlier than the grant reaches back.
    #[error("the supplier asked for values before {earliest}, farther back than it is granted")]
    TooFarBack {
        /// The earliest start that was permitted when the query was decided; it moves on with the clock.
        earliest: Timestamp,
    },
    /// The values are delivered by the grant's rule, and not on this occasion.
    #[error("the grant's delivery rule says when the values are sent, and this is no occasion that it names")]
    NotOnDemand,
    /// The values are delivered under a pseudonym, and were asked for by the meter's name.
    #[error("the supplier gets these values under a pseudonym only, and asked for a meter by its name")]
    PseudonymOnly,
    /// The consumer objects.
    #[error("the consumer objects to handing these values out to the supplier")]
    ConsumerObjects,
    /// The consumer leaves coarser values only.
    #[error(
        "the consumer leaves values at multiples of {finest} only, and the supplier asked for every {asked}"
    )]
    ConsumerCoarser {
        /// The resolution of the query.
        asked: Span,
        /// The resolution whose multiples are left.
        finest: Span,
    },
    /// The supplier has asked before, and too short a time ago.
    #[error("the supplier may ask for these values every {at_most} at most, and again from {again} on")]
    TooOften {
        /// The least time between two requests.
        at_most: Span,
        /// When the next one may be made.
        again: Timestamp,
    },
}

impl DenialReason {
    /// Returns the stable code, the same as in the serialized form.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoGrant => "no-grant",
            Self::InFuture { .. } => "in-future",
            Self::TooManyPoints { .. } => "too-many-points",
            Self::ElementNotGranted => "element-not-granted",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
            Self::AggregationNotGranted { .. } => "aggregation-not-granted",
            Self::TooFine { .. } => "too-fine",
            Self::OffGrid { .. } => "off-grid",
            Self::TooFarBack { .. } => "too-far-back",
            Self::NotOnDemand => "not-on-demand",
            Self::PseudonymOnly => "pseudonym-only",
            Self::ConsumerObjects => "consumer-objects",
            Self::ConsumerCoarser { .. } => "consumer-coarser",
            Self::TooOften { .. } => "too-often",
        }
    }

    /// Returns how close the query came to being granted, for choosing the refusal to report:
    /// first by the kind of reason, then by how little would have to change.
    pub(crate) fn closeness(&self) -> (u8, i64) {
        let coarse = |finest: &Span| i64::from(finest.seconds()).saturating_neg();
        match self {
            Self::NoGrant | Self::InFuture { .. } | Self::TooManyPoints { .. } => (0, 0),
            Self::ElementNotGranted => (1, 0),
            Self::Expired { since } => (2, since.unix_seconds()),
            Self::NotYetValid { from } => (3, from.unix_seconds().saturating_neg()),
            Self::NotOnDemand => (4, 0),
            Self::PseudonymOnly => (5, 0),
            Self::AggregationNotGranted { .. } => (6, 0),
            Self::TooFine { finest, .. } => (7, coarse(finest)),
            Self::OffGrid { finest, .. } => (8, coarse(finest)),
            Self::TooFarBack { earliest } => (9, earliest.unix_seconds().saturating_neg()),
            Self::ConsumerObjects => (10, 0),
            Self::ConsumerCoarser { finest, .. } => (11, coarse(finest)),
            Self::TooOften { again, .. } => (12, again.unix_seconds().saturating_neg()),
        }
    }

    /// Returns why a restriction of the consumer stands in the way of values at a resolution, if it does.
    pub(crate) fn of_restriction(restriction: &Restriction, asked: Span) -> Option<Self> {
        match restriction.effect {
            Effect::Object => Some(Self::ConsumerObjects),
            Effect::Coarser(finest) if !asked.is_multiple_of(finest) => {
                Some(Self::ConsumerCoarser { asked, finest })
            }
            Effect::Coarser(_) => None,
        }
    }

    /// Returns the resolution whose multiples the rule that refused would have let pass, if that is what it is about.
    #[must_use]
    pub const fn finest(&self) -> Option<Span> {
        match self {
            Self::TooFine { finest, .. }
            | Self::OffGrid { finest, .. }
            | Self::ConsumerCoarser { finest, .. } => Some(*finest),
            Self::NoGrant
            | Self::InFuture { .. }
            | Self::TooManyPoints { .. }
            | Self::ElementNotGranted
            | Self::NotYetValid { .. }
            | Self::Expired { .. }
            | Self::AggregationNotGranted { .. }
            | Self::TooFarBack { .. }
            | Self::NotOnDemand
            | Self::PseudonymOnly
            | Self::ConsumerObjects
            | Self::TooOften { .. } => None,
        }
    }
}

/// Keeps the refusal that came closest to a permission.
pub(crate) struct Closest {
    layer: Layer,
    known: Option<((u8, i64), Denied)>,
}

impl Closest {
    /// Begins with no rule of a layer that speaks of the query.
    pub(crate) const fn new(layer: Layer) -> Self {
        Self { layer, known: None }
    }

    /// Takes the refusal of one rule of the layer.
    pub(crate) fn offer(&mut self, reason: DenialReason, rule: impl FnOnce() -> String) {
        self.offer_of(self.layer, reason, rule);
    }

    /// Takes the refusal of one rule of any layer.
    pub(crate) fn offer_of(&mut self, layer: Layer, reason: DenialReason, rule: impl FnOnce() -> String) {
        let closeness = reason.closeness();
        if self.known.as_ref().is_none_or(|(known, _)| closeness > *known) {
            let rule = (reason != DenialReason::ElementNotGranted).then(rule);
            self.known = Some((closeness, Denied { reason, layer, rule }));
        }
    }

    /// Returns the refusal that came closest.
    pub(crate) fn denial(self) -> Denied {
        let layer = self.layer;
        let known = self.known.map(|(_, denied)| denied);
        known.unwrap_or(Denied {
            reason: DenialReason::ElementNotGranted,
            layer,
            rule: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons() -> Vec<DenialReason> {
        let from = Timestamp::EPOCH;
        let (asked, finest) = (Span::QUARTER_HOUR, Span::DAY);
        vec![
            DenialReason::NoGrant,
            DenialReason::InFuture { from },
            DenialReason::TooManyPoints { points: 2, limit: 1 },
            DenialReason::ElementNotGranted,
            DenialReason::NotYetValid { from },
            DenialReason::Expired { since: from },
            DenialReason::TooFine { asked, finest },
            DenialReason::OffGrid { asked, finest },
            DenialReason::TooFarBack { earliest: from },
            DenialReason::AggregationNotGranted {
                asked: Aggregation::Mean,
            },
            DenialReason::NotOnDemand,
            DenialReason::PseudonymOnly,
            DenialReason::ConsumerObjects,
            DenialReason::ConsumerCoarser { asked, finest },
            DenialReason::TooOften {
                at_most: asked,
                again: from,
            },
        ]
    }

    #[test]
    fn every_code_is_the_serialized_one() {
        for reason in reasons() {
            let json = serde_json::to_value(&reason).unwrap();
            assert_eq!(json["code"], reason.code());
        }
    }

    #[test]
    fn refusal_has_a_stable_form_and_a_sentence() {
        let denied = Denied {
            reason: DenialReason::TooFine {
                asked: "PT1M".parse().unwrap(),
                finest: Span::QUARTER_HOUR,
            },
            layer: Layer::Grant,
            rule: Some("billing".to_owned()),
        };
        assert_eq!(
            serde_json::to_string(&denied).unwrap(),
            r#"{"code":"too-fine","asked":"PT1M","finest":"PT15M","layer":"grant","rule":"billing"}"#
        );
        assert_eq!(
            denied.to_string(),
            "the supplier asked for values every PT1M, finer than the PT15M that it is granted (rule \"billing\")"
        );
        assert_eq!(
            Denied::from(DenialReason::NoGrant).to_string(),
            "no grant names this supplier"
        );
    }
}
