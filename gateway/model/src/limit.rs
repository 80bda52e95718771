//! Limits: what the TSM's policy leaves of grants, for all suppliers or for one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::grant::is_usual;
use crate::{Aggregation, Element, ElementPattern, Fingerprint, Period, Span};

/// A limit of the TSM's policy: the most that suppliers get of some elements, whatever they are granted.
///
/// It permits nothing by itself. Of two limits for the same suppliers each stands for itself, as two grants do; what a
/// limit for all suppliers leaves, one for a single supplier may narrow further. Where there is none, nothing is narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// A name for the rule, unique in the policy; a refusal quotes it.
    pub id: String,
    /// The supplier that it is for, by the fingerprint of its SIG certificate; all, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplier: Option<Fingerprint>,
    /// The elements of which something is left.
    pub elements: Vec<ElementPattern>,
    /// The finest resolution that is left.
    pub finest: Span,
    /// How values may be made of what is registered; values and their differences if it does not say.
    #[serde(default = "Aggregation::usual", skip_serializing_if = "is_usual")]
    pub aggregations: BTreeSet<Aggregation>,
    /// How far back from now anybody may ask.
    pub history: Span,
    /// From when until when anything is left; always, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Period>,
    /// How often anybody may ask at most; as often as granted, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Span>,
}

impl Limit {
    /// Returns whether one of the limit's patterns covers the element.
    #[must_use]
    pub fn covers(&self, element: &Element) -> bool {
        self.elements.iter().any(|pattern| pattern.matches(element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_reads_back_its_json() {
        for json in [
            r#"{"id":"policy 1","elements":["*/1-0:1.8.0*255"],"finest":"PT15M","history":"P730D"}"#,
            r#"{"id":"policy 1 for City Works","supplier":"abababababababababababababababababababababababababababababababab","elements":[],"finest":"PT15M","aggregations":["mean"],"history":"P730D","validity":{"from":"2026-01-01T00:00:00Z","to":"2027-01-01T00:00:00Z"},"at_most":"PT1H"}"#,
        ] {
            let limit: Limit = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&limit).unwrap(), json);
        }
        let covering: Limit =
            serde_json::from_str(r#"{"id":"1","elements":["M1/*"],"finest":"PT15M","history":"P1D"}"#)
                .unwrap();
        let element = |meter: &str| Element {
            meter: meter.parse().unwrap(),
            obis: "1-0:1.8.0*255".parse().unwrap(),
        };
        assert!(covering.covers(&element("M1")) && !covering.covers(&element("M2")));
    }
}
