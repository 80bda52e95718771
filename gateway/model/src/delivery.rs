//! Delivery rules: tariff use cases that compute nothing and say only what goes when to whom.
//!
//! TAF 9 (feed-in as it is), 10 (state of the grid) and 14 (frequent values) hand out readings that the gateway has anyhow. A
//! module would have nothing to do; the rule is data with the schema name `smgw.delivery/1`, it stands in the grant of its
//! recipient, and the narrower of the two holds.
//!
//! Values of the grid say nothing about a contract, and their recipient need not know whose they are: the rule for TAF 10
//! must name its elements by a pseudonym, which changes with the rule, the recipient and time, so that nobody can follow a
//! meter through them. The caller makes it: a MAC, keyed with a secret of the gateway, over [`Pseudonym::label`].
//!
//! Spec: BSI TR-03109-1 (tariff use cases 9, 10 and 14, and their pseudonyms).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Aggregation, AppId, Decimal, Fingerprint, MeterId, Obis, ObisPattern, Quantity, Span, Texts, Timestamp,
    Unit, Version,
};

/// The schema name that a rule states.
const SCHEMA: &str = "smgw.delivery/1";
/// The most patterns of elements in a rule.
const MAX_ELEMENTS: usize = 64;
/// The most reasons to deliver in a rule.
const MAX_TRIGGERS: usize = 64;
/// The most bytes of the name in one language.
const MAX_NAME_BYTES: usize = 80;
/// The most bytes of the description in one language.
const MAX_DESCRIPTION_BYTES: usize = 600;
/// The number of the use case whose values are the grid's.
const STATE_OF_THE_GRID: u8 = 10;

/// A delivery rule, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRule", into = "RawRule")]
pub struct DeliveryRule(RawRule);

/// A delivery rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    schema: String,
    id: AppId,
    version: Version,
    taf: u8,
    name: Texts,
    description: Texts,
    elements: Vec<ObisPattern>,
    finest: Span,
    aggregation: Aggregation,
    triggers: Vec<Trigger>,
    identity: Identity,
}

/// A reason to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trigger {
    /// The recipient asks.
    OnDemand,
    /// A point of the grid that this period lays over time has come.
    Every(Span),
    /// A value has left a band; it is delivered then, and again when it comes back.
    Outside {
        /// The code of the value.
        obis: Obis,
        /// The least value in the band.
        least: Decimal,
        /// The greatest value in the band.
        most: Decimal,
        /// The unit of both.
        unit: Unit,
        /// How far inside the band a value that was outside has to be to count as back, so that one that wavers at an end
        /// is no reason again and again; not at all, if it does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hysteresis: Option<Decimal>,
    },
}

/// On which side of the ends of a band a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the band.
    Inside,
    /// Below or above it, or not yet far enough back in it.
    Outside,
}

/// How a delivery names the meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Identity {
    /// By its identity.
    Meter,
    /// By a pseudonym that is another one after so long.
    Pseudonym {
        /// How long a pseudonym holds, on its grid over time.
        rotation: Span,
    },
}

impl TryFrom<RawRule> for DeliveryRule {
    type Error = DeliveryError;

    fn try_from(rule: RawRule) -> Result<Self, DeliveryError> {
        if rule.schema != SCHEMA {
            return Err(DeliveryError::Schema);
        }
        if !(1..=16).contains(&rule.taf) {
            return Err(DeliveryError::Taf);
        }
        if !(rule.name.fit(MAX_NAME_BYTES) && rule.description.fit(MAX_DESCRIPTION_BYTES)) {
            return Err(DeliveryError::Texts);
        }
        if rule.elements.is_empty() || rule.elements.len() > MAX_ELEMENTS {
            return Err(DeliveryError::Elements {
                found: rule.elements.len(),
            });
        }
        if rule.triggers.is_empty() || rule.triggers.len() > MAX_TRIGGERS {
            return Err(DeliveryError::Triggers {
                found: rule.triggers.len(),
            });
        }
        if let Some(index) = rule.triggers.iter().position(|trigger| !rule.permits(trigger)) {
            return Err(DeliveryError::Trigger { index });
        }
        let watched = |trigger: &Trigger| matches!(trigger, Trigger::Outside { .. });
        if rule.aggregation != Aggregation::Latest && rule.triggers.iter().any(watched) {
            return Err(DeliveryError::NotLatest);
        }
        if rule.taf == STATE_OF_THE_GRID && rule.identity == Identity::Meter {
            return Err(DeliveryError::GridNamed);
        }
        Ok(Self(rule))
    }
}

impl From<DeliveryRule> for RawRule {
    fn from(rule: DeliveryRule) -> Self {
        rule.0
    }
}

impl DeliveryRule {
    /// Returns the rule's name, the same for every version.
    #[must_use]
    pub const fn id(&self) -> &AppId {
        &self.0.id
    }

    /// Returns the version, which grows with every change.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.0.version
    }

    /// Returns the number of the tariff use case of BSI TR-03109-1.
    #[must_use]
    pub const fn taf(&self) -> u8 {
        self.0.taf
    }

    /// Returns the name for people.
    #[must_use]
    pub const fn name(&self) -> &Texts {
        &self.0.name
    }

    /// Returns what is delivered, for people.
    #[must_use]
    pub const fn description(&self) -> &Texts {
        &self.0.description
    }

    /// Returns the patterns of the codes whose values are delivered.
    #[must_use]
    pub fn elements(&self) -> &[ObisPattern] {
        &self.0.elements
    }

    /// Returns whether values of that code are delivered.
    #[must_use]
    pub fn delivers(&self, obis: Obis) -> bool {
        self.0.elements.iter().any(|pattern| pattern.matches(obis))
    }

    /// Returns the finest distance between two delivered values.
    #[must_use]
    pub const fn finest(&self) -> Span {
        self.0.finest
    }

    /// Returns how each delivered value is made of what was registered.
    #[must_use]
    pub const fn aggregation(&self) -> Aggregation {
        self.0.aggregation
    }

    /// Returns the reasons to deliver.
    #[must_use]
    pub fn triggers(&self) -> &[Trigger] {
        &self.0.triggers
    }

    /// Returns how the meter is named.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Returns whether the meter is not named, but a pseudonym stands for it.
    #[must_use]
    pub const fn is_pseudonymous(&self) -> bool {
        matches!(self.0.identity, Identity::Pseudonym { .. })
    }

    /// Returns whether the recipient may ask.
    #[must_use]
    pub fn is_on_demand(&self) -> bool {
        self.0.triggers.contains(&Trigger::OnDemand)
    }
}

/// In one line.
impl fmt::Display for DeliveryRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.0;
        write!(
            formatter,
            "{} {} (TAF {}), {} every {}",
            rule.id, rule.version, rule.taf, rule.aggregation, rule.finest
        )?;
        for trigger in &rule.triggers {
            write!(formatter, ", {trigger}")?;
        }
        match rule.identity {
            Identity::Meter => Ok(()),
            Identity::Pseudonym { rotation } => write!(formatter, ", under a pseudonym for {rotation}"),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDemand => formatter.write_str("on demand"),
            Self::Every(period) => write!(formatter, "each {period}"),
            Self::Outside {
                obis,
                least,
                most,
                unit,
                hysteresis,
            } => {
                write!(formatter, "when {obis} leaves {least} to {most} {unit}")?;
                match hysteresis {
                    Some(hysteresis) => write!(formatter, " and is back by {hysteresis}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl RawRule {
    /// A period is no finer than the values, and a band has something in it and is one of the rule's elements.
    fn permits(&self, trigger: &Trigger) -> bool {
        match trigger {
            Trigger::OnDemand => true,
            Trigger::Every(period) => period.is_multiple_of(self.finest),
            Trigger::Outside {
                obis,
                least,
                most,
                hysteresis,
                ..
            } => {
                let ends = inner(*least, *most, hysteresis.unwrap_or(Decimal::whole(0)));
                ends.is_some() && self.elements.iter().any(|pattern| pattern.matches(*obis))
            }
        }
    }
}

/// Returns the ends between which a value is back in a band; `None` if nothing is, or the hysteresis is negative.
fn inner(least: Decimal, most: Decimal, hysteresis: Decimal) -> Option<(Decimal, Decimal)> {
    if hysteresis.compare(Decimal::whole(0))?.is_lt() {
        return None;
    }
    let (low, high) = (least.checked_add(hysteresis)?, most.checked_sub(hysteresis)?);
    low.compare(high)?.is_lt().then_some((low, high))
}

impl Trigger {
    /// Returns on which side of the band's ends a value is, of which the one before was on a side; `None` if the trigger
    /// does not look at it.
    #[must_use]
    pub fn side(&self, before: Side, found: Obis, quantity: Quantity) -> Option<Side> {
        let Self::Outside {
            obis,
            least,
            most,
            unit,
            hysteresis,
        } = self
        else {
            return None;
        };
        if *obis != found || *unit != quantity.unit {
            return None;
        }
        let (low, high) = match before {
            Side::Inside => (*least, *most),
            Side::Outside => inner(*least, *most, hysteresis.unwrap_or(Decimal::whole(0)))?,
        };
        let is_inside = quantity.value.compare(low)?.is_ge() && quantity.value.compare(high)?.is_le();
        Some(if is_inside { Side::Inside } else { Side::Outside })
    }
}

/// What a pseudonym is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pseudonym<'a> {
    /// The rule.
    pub rule: &'a DeliveryRule,
    /// Who gets the values: two recipients cannot put what they got together.
    pub recipient: Fingerprint,
    /// Whose values they are.
    pub meter: &'a MeterId,
    /// When they are delivered.
    pub at: Timestamp,
}

impl Pseudonym<'_> {
    /// Returns the bytes whose MAC, keyed with a secret of the gateway, is the pseudonym; `None` if the rule names the meter.
    ///
    /// Each part stands behind its length or has a fixed one, so that no two pseudonyms have the same label.
    #[must_use]
    pub fn label(&self) -> Option<Vec<u8>> {
        let Identity::Pseudonym { rotation } = self.rule.identity() else {
            return None;
        };
        let begun = rotation.grid_at_or_before(self.at);
        let mut label = SCHEMA.as_bytes().to_vec();
        for part in [
            self.rule.id().as_str(),
            &self.recipient.to_string(),
            self.meter.as_str(),
        ] {
            // Each of them is bounded far below what the length holds.
            label.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            label.extend(part.as_bytes());
        }
        label.extend(begun.unix_seconds().to_be_bytes());
        Some(label)
    }
}

/// The reason why something is no delivery rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Another schema.
    #[error("the delivery rule is not of the schema {SCHEMA}")]
    Schema,
    /// A number that no tariff use case has.
    #[error("tariff use cases have the numbers 1 to 16")]
    Taf,
    /// A name or description is empty, too long, or has control characters.
    #[error("the delivery rule has no name and description in German and English, or too long ones")]
    Texts,
    /// No elements, or too many.
    #[error("a delivery rule has 1 to {MAX_ELEMENTS} patterns of elements, found {found}")]
    Elements {
        /// Their number.
        found: usize,
    },
    /// No reason to deliver, or too many.
    #[error("a delivery rule has 1 to {MAX_TRIGGERS} triggers, found {found}")]
    Triggers {
        /// Their number.
        found: usize,
    },
    /// A period that is finer than the values, or a band that is empty or of no element of the rule.
    #[error("trigger {index} of the delivery rule does not fit its elements and their resolution")]
    Trigger {
        /// Its index.
        index: usize,
    },
    /// Something other than the latest values, with a band that they may leave: only these are looked at as they come.
    #[error(
        "the delivery rule looks at whether values leave a band, and does not deliver the latest ones; correct its aggregation"
    )]
    NotLatest,
    /// Values of the grid with the meter's name.
    #[error("the delivery rule names the meter of values that are the grid's; give it a pseudonym")]
    GridNamed,
}

#[cfg(test)]
mod tests;
