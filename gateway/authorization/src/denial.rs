//! Refusals, each with its reason and the rule that refused.

use std::fmt;

use model::{Aggregation, Span, Timestamp};
use serde::Serialize;

/// The refusal of a query.
///
/// Serialized form: `{"code":"too-fine","asked":"PT1M","finest":"PT15M","rule":"billing"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Denied {
    /// Why the query is refused.
    #[serde(flatten)]
    pub reason: DenialReason,
    /// The grant that came closest to permitting it; none if no grant speaks of the query at all.
    pub rule: Option<String>,
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(formatter, "{} (rule {rule:?})", self.reason),
            None => self.reason.fmt(formatter),
        }
    }
}

impl From<DenialReason> for Denied {
    fn from(reason: DenialReason) -> Self {
        Self { reason, rule: None }
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
    /// No grant of the supplier covers any of the elements.
    #[error("no grant of the supplier covers the elements that it asked for")]
    ElementNotGranted,
    /// The grant does not hold yet.
    #[error("the grant holds only from {from} on")]
    NotYetValid {
        /// The first point at which it holds.
        from: Timestamp,
    },
    /// The grant holds no more.
    #[error("the grant ended at {since}")]
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
            Self::AggregationNotGranted { .. } => (4, 0),
            Self::TooFine { finest, .. } => (5, coarse(finest)),
            Self::OffGrid { finest, .. } => (6, coarse(finest)),
            Self::TooFarBack { earliest } => (7, earliest.unix_seconds().saturating_neg()),
        }
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
            rule: Some("billing".to_owned()),
        };
        assert_eq!(
            serde_json::to_string(&denied).unwrap(),
            r#"{"code":"too-fine","asked":"PT1M","finest":"PT15M","rule":"billing"}"#
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
