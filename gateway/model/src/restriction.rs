//! Restrictions: what the consumer takes away of what suppliers are granted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ElementPattern, Fingerprint, LogText, Span, Timestamp};

/// A restriction that the consumer has set: for one supplier or for all, until it is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restriction {
    /// Its number, which no other restriction of the gateway ever has.
    pub id: u64,
    /// The supplier that it is for; all, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplier: Option<RestrictedSupplier>,
    /// The elements that it is about.
    pub elements: ElementPattern,
    /// What is left of them.
    pub effect: Effect,
    /// From when on it holds: for what is asked then, however old the values are.
    pub from: Timestamp,
}

/// A supplier that a restriction is for, by certificate and by name: it is meant with its next certificate, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestrictedSupplier {
    /// The fingerprint of its SIG certificate.
    pub fingerprint: Fingerprint,
    /// Its name.
    pub name: LogText,
}

/// What a restriction leaves.
///
/// Serialized form: `"object"` or `{"coarser":"PT1H"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing: the consumer objects.
    Object,
    /// Resolutions that are a multiple of this one.
    Coarser(Span),
}

impl Restriction {
    /// Returns whether it is for the supplier with this certificate or name.
    #[must_use]
    pub fn is_for(&self, supplier: Fingerprint, name: &str) -> bool {
        self.supplier
            .as_ref()
            .is_none_or(|meant| meant.fingerprint == supplier || meant.name.as_str() == name)
    }

    /// Returns the name that a refusal quotes.
    #[must_use]
    pub fn name(&self) -> String {
        format!("restriction {}", self.id)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object => formatter.write_str("nothing"),
            Self::Coarser(finest) => write!(formatter, "every {finest} at the finest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restriction_reads_back_its_json_and_is_for_whom_it_names() {
        let one = r#"{"id":3,"supplier":{"fingerprint":"abababababababababababababababababababababababababababababababab","name":"City Works"},"elements":"*/1-0:1.8.0*255","effect":"object","from":"2026-01-01T00:00:00Z"}"#;
        let all = r#"{"id":4,"elements":"*/*","effect":{"coarser":"PT1H"},"from":"2026-01-01T00:00:00Z"}"#;
        let [one, all] = [one, all].map(|json| {
            let restriction: Restriction = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&restriction).unwrap(), json);
            restriction
        });
        let (meant, other) = (Fingerprint::new([0xab; 32]), Fingerprint::new([1; 32]));
        assert!(one.is_for(meant, "") && one.is_for(other, "City Works"));
        assert!(!one.is_for(other, "Country Works"));
        assert!(all.is_for(other, ""));
        assert_eq!(
            (one.name().as_str(), all.effect.to_string()),
            ("restriction 3", "every PT1H at the finest".to_owned())
        );
    }
}
