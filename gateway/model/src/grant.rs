//! Grants (authorisations): who may see what, how finely, how far back, for how long.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::serde_as_text;
use crate::{Aggregation, DeliveryRule, Element, ElementPattern, Fingerprint, Period, Span};

/// An authorisation that the TSM installs: what one supplier may have.
///
/// Everything that no grant permits is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// A name for the rule, unique among the supplier's grants; a refusal quotes it.
    pub id: String,
    /// The supplier, by the fingerprint of its SIG certificate.
    pub supplier: Fingerprint,
    /// The elements that it may have.
    pub elements: Vec<ElementPattern>,
    /// The finest resolution at which it may have them.
    pub finest: Span,
    /// How its values may be made of what is registered; values and their differences if it does not say.
    #[serde(default = "Aggregation::usual", skip_serializing_if = "is_usual")]
    pub aggregations: BTreeSet<Aggregation>,
    /// How far back from now it may ask.
    pub history: Span,
    /// From when until when the grant holds.
    pub validity: Period,
    /// How often the gateway sends by itself what has been registered since, at the granted resolution; never, if it does
    /// not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Span>,
    /// How often it may be asked at most: the least time between two requests that are granted something of one of its
    /// patterns of elements; as often as wished, if it does not say. What the gateway sends by itself is not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Span>,
    /// The rule by which alone the values are delivered; then nothing else of the grant leaves the gateway, and on no other
    /// occasion. Without one the supplier asks, and `push` says what is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Box<DeliveryRule>>,
    /// What the data are for.
    pub purpose: Purpose,
}

pub(crate) fn is_usual(aggregations: &BTreeSet<Aggregation>) -> bool {
    aggregations.iter().eq(&Aggregation::USUAL)
}

impl Grant {
    /// Returns whether one of the grant's patterns covers the element.
    #[must_use]
    pub fn covers(&self, element: &Element) -> bool {
        self.elements.iter().any(|pattern| pattern.matches(element))
    }

    /// Returns the rule of the grant if it has a pseudonym stand for the meter.
    #[must_use]
    pub fn pseudonymous(&self) -> Option<&DeliveryRule> {
        self.delivery.as_deref().filter(|rule| rule.is_pseudonymous())
    }

    /// Returns the elements that both the grant and its delivery rule name; none, if it has no rule.
    #[must_use]
    pub fn delivered(&self) -> Vec<ElementPattern> {
        let Some(rule) = self.delivery.as_deref() else {
            return Vec::new();
        };
        let mut delivered: Vec<ElementPattern> = Vec::new();
        for granted in &self.elements {
            for obis in rule.elements() {
                let named = ElementPattern {
                    meter: None,
                    obis: *obis,
                };
                let common = granted.intersection(&named);
                delivered.extend(common.filter(|common| !delivered.contains(common)));
            }
        }
        delivered
    }

    /// Checks that the grant and its delivery rule, if it has one, leave something to deliver, and no name beside a pseudonym.
    ///
    /// # Errors
    ///
    /// [`GrantError`] names what contradicts itself.
    pub fn check(&self) -> Result<(), GrantError> {
        let Some(rule) = self.delivery.as_deref() else {
            return Ok(());
        };
        if self.push.is_some() {
            return Err(GrantError::PushBesideRule);
        }
        let aggregation = rule.aggregation();
        if !self.aggregations.contains(&aggregation) {
            return Err(GrantError::OtherAggregation { aggregation });
        }
        if rule.is_pseudonymous() && self.elements.iter().any(|pattern| pattern.meter.is_some()) {
            return Err(GrantError::NamedMeter);
        }
        if self.delivered().is_empty() || self.finest.common_multiple(rule.finest()).is_none() {
            return Err(GrantError::NothingInCommon);
        }
        Ok(())
    }
}

/// The reason why a grant and its delivery rule contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It has a schedule of its own, too.
    #[error("a grant with a delivery rule has no push; have the rule say how often")]
    PushBesideRule,
    /// The values are made in a way that the grant does not name.
    #[error(
        "the delivery rule delivers values of the kind {aggregation}, which the grant does not permit; add it to aggregations"
    )]
    OtherAggregation {
        /// How the rule has them made.
        aggregation: Aggregation,
    },
    /// It names the meter that a pseudonym is to stand for.
    #[error("the delivery rule has a pseudonym stand for the meter, and the grant names one; grant */OBIS")]
    NamedMeter,
    /// No element and resolution belong to both.
    #[error(
        "the grant and its delivery rule have no element or no resolution in common; correct elements or finest"
    )]
    NothingInCommon,
}

/// What data are handed out for, in up to 60 characters; the consumer reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purpose(String);

impl FromStr for Purpose {
    type Err = PurposeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = text.chars().count();
        if length == 0 || length > 60 || text.chars().any(char::is_control) {
            return Err(PurposeError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

serde_as_text!(Purpose);

/// The error for a purpose that is empty, too long or not printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a purpose has 1 to 60 printable characters")]
pub struct PurposeError;

/// What a supplier asks for: elements, a period and a resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The elements.
    pub elements: ElementPattern,
    /// The period.
    pub period: Period,
    /// The distance between two values.
    pub resolution: Span,
    /// How each value is made of what is registered.
    #[serde(default, skip_serializing_if = "Aggregation::is_value")]
    pub aggregation: Aggregation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_reads_back_its_json() {
        let json = r#"{"id":"billing","supplier":"abababababababababababababababababababababababababababababababab","elements":["*/1-0:1.8.0*255"],"finest":"PT15M","history":"P730D","validity":{"from":"2026-01-01T00:00:00Z","to":"2027-01-01T00:00:00Z"},"purpose":"billing"}"#;
        let grant: Grant = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&grant).unwrap(), json);
        assert!(grant.covers(&Element {
            meter: "M1".parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        }));
    }

    #[test]
    fn grant_that_says_how_values_are_made_reads_back_its_json() {
        let json = r#"{"id":"load","supplier":"abababababababababababababababababababababababababababababababab","elements":["*"],"finest":"PT15M","aggregations":["maximum","mean"],"history":"P730D","validity":{"from":"2026-01-01T00:00:00Z","to":"2027-01-01T00:00:00Z"},"purpose":"load"}"#;
        let grant: Grant = serde_json::from_str(json).unwrap();
        assert_eq!(
            serde_json::to_string(&grant).unwrap(),
            json.replace(r#"["*"]"#, r#"["*/*"]"#)
        );
        assert_eq!(
            grant.aggregations,
            [Aggregation::Maximum, Aggregation::Mean].into()
        );
    }

    #[test]
    fn grant_that_says_how_often_it_may_be_asked_reads_back_its_json() {
        let json = r#"{"id":"load","supplier":"abababababababababababababababababababababababababababababababab","elements":["*/*"],"finest":"PT15M","history":"P730D","validity":{"from":"2026-01-01T00:00:00Z","to":"2027-01-01T00:00:00Z"},"push":"P1D","at_most":"PT1H","purpose":"load"}"#;
        let grant: Grant = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&grant).unwrap(), json);
        assert_eq!(grant.at_most.map(Span::seconds), Some(3_600));
    }

    #[test]
    fn grant_with_an_unknown_key_is_refused() {
        let error = serde_json::from_str::<Query>(r#"{"elements":"*","extra":1}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `extra`"));
    }

    #[test]
    fn purpose_is_short_and_printable() {
        assert!("billing".parse::<Purpose>().is_ok());
        for text in ["", "a\nb", &"a".repeat(61)] {
            assert_eq!(text.parse::<Purpose>(), Err(PurposeError));
        }
    }
}
