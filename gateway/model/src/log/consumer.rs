//! What is written into the consumer log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LogText;
use crate::{Aggregation, ElementPattern, Fingerprint, Period, Purpose, Restriction, Span};

/// An event for the consumer log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ConsumerEvent {
    /// A supplier was given values.
    Answered {
        /// The supplier, by the fingerprint of its SIG certificate.
        supplier: Fingerprint,
        /// The supplier's name.
        name: LogText,
        /// The message that asked, by its id in hexadecimal digits.
        request: LogText,
        /// The grants that permitted it.
        rules: Vec<String>,
        /// What the values are for, by those grants.
        purpose: Vec<Purpose>,
        /// The elements that were asked for.
        elements: ElementPattern,
        /// From when until when.
        period: Period,
        /// The distance between two values.
        resolution: Span,
        /// How each value was made of what is registered.
        #[serde(default, skip_serializing_if = "Aggregation::is_value")]
        aggregation: Aggregation,
        /// How many values left the gateway.
        values: u64,
        /// Whether pseudonyms stood for the meters.
        #[serde(default, skip_serializing_if = "is_false")]
        pseudonymous: bool,
        /// The length of the sealed message in bytes; entries of one request share it.
        bytes: u64,
        /// The SHA-256 digest of what the message says, in JSON; entries of one request share it. Absent in entries of
        /// versions that did not note it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Fingerprint>,
    },
    /// A supplier was refused.
    Denied {
        /// The supplier, by the fingerprint of its SIG certificate.
        supplier: Fingerprint,
        /// The supplier's name.
        name: LogText,
        /// The message that asked, by its id in hexadecimal digits.
        request: LogText,
        /// The stable code of the reason.
        code: LogText,
        /// The grant that came closest to permitting it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// The elements that were asked for.
        elements: ElementPattern,
        /// From when until when.
        period: Period,
        /// The distance between two values.
        resolution: Span,
        /// How each value was to be made of what is registered.
        #[serde(default, skip_serializing_if = "Aggregation::is_value")]
        aggregation: Aggregation,
    },
    /// The trust centre has changed who may have what.
    GrantsChanged {
        /// The version of the bundle.
        version: u64,
        /// How many suppliers it unlocks.
        suppliers: u64,
        /// How many grants it has.
        grants: u64,
    },
    /// The consumer has restricted what suppliers get.
    Restricted {
        /// The restriction.
        restriction: Restriction,
    },
    /// The consumer has lifted a restriction.
    RestrictionLifted {
        /// The restriction.
        restriction: Restriction,
    },
}

impl ConsumerEvent {
    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "SMGW-L-2001",
            Self::Denied { .. } => "SMGW-L-2002",
            Self::GrantsChanged { .. } => "SMGW-L-2003",
            Self::Restricted { .. } => "SMGW-L-2004",
            Self::RestrictionLifted { .. } => "SMGW-L-2005",
        }
    }
}

impl fmt::Display for ConsumerEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered {
                name,
                purpose,
                elements,
                period,
                resolution,
                aggregation,
                values,
                pseudonymous,
                ..
            } => {
                let (from, to) = (period.from(), period.to());
                write!(
                    formatter,
                    "{name} was given {values} {} of {elements} from {from} to {to}",
                    many(*aggregation)
                )?;
                write!(formatter, " every {resolution}")?;
                if *pseudonymous {
                    write!(formatter, ", under a pseudonym and without the meter's name")?;
                }
                purpose
                    .iter()
                    .try_for_each(|purpose| write!(formatter, ", for {purpose}"))
            }
            Self::Denied {
                name,
                code,
                elements,
                period,
                ..
            } => {
                let (from, to) = (period.from(), period.to());
                write!(
                    formatter,
                    "{name} was refused {elements} from {from} to {to}: {code}"
                )
            }
            Self::GrantsChanged {
                version,
                suppliers,
                grants,
            } => write!(
                formatter,
                "who may have what was changed by bundle {version}: {suppliers} suppliers, {grants} grants"
            ),
            Self::Restricted { restriction } => {
                write!(formatter, "you have restricted what ")?;
                describe(restriction, formatter)
            }
            Self::RestrictionLifted { restriction } => {
                write!(formatter, "you have lifted the restriction of what ")?;
                describe(restriction, formatter)
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

fn describe(restriction: &Restriction, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &restriction.supplier {
        Some(supplier) => write!(formatter, "{} gets", supplier.name)?,
        None => write!(formatter, "all suppliers get")?,
    }
    write!(
        formatter,
        " of {}: {} from {} on ({})",
        restriction.elements,
        restriction.effect,
        restriction.from,
        restriction.name()
    )
}

/// Names what several values of an aggregation are.
const fn many(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Value => "values",
        Aggregation::Difference => "differences",
        Aggregation::Minimum => "least values",
        Aggregation::Maximum => "greatest values",
        Aggregation::Mean => "means",
        Aggregation::Latest => "latest values",
    }
}
