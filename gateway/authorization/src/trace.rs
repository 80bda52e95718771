//! How a decision came about: every rule that was looked at, and what was found.

use serde::Serialize;

use crate::rules::Layer;
use crate::{DenialReason, Denied};

/// A rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// Its layer.
    pub layer: Layer,
    /// Its name.
    pub rule: String,
    /// Why it refuses; it does not, if there is no reason.
    pub refuses: Option<DenialReason>,
}

/// A decision with all that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The rules that were looked at, in the order in which they were; grants of other suppliers are not looked at.
    pub looked: Vec<Looked>,
    /// The grants that permit the query, or why it is denied.
    pub outcome: Result<Vec<String>, Denied>,
}

impl Explanation {
    /// Returns whether a rule is the one that decided, or one of several.
    #[must_use]
    pub fn has_decided(&self, looked: &Looked) -> bool {
        match &self.outcome {
            Ok(grants) => {
                looked.layer == Layer::Grant && looked.refuses.is_none() && grants.contains(&looked.rule)
            }
            Err(denied) => {
                looked.layer == denied.layer
                    && Some(&looked.rule) == denied.rule.as_ref()
                    && looked.refuses.as_ref() == Some(&denied.reason)
            }
        }
    }
}

/// Takes note of the rules that are looked at.
pub(crate) trait Trace {
    /// Takes note of one.
    fn note(&mut self, layer: Layer, rule: impl FnOnce() -> String, refuses: Option<&DenialReason>);
}

/// Nobody wants to know.
impl Trace for () {
    fn note(&mut self, _: Layer, _: impl FnOnce() -> String, _: Option<&DenialReason>) {}
}

impl Trace for Vec<Looked> {
    fn note(&mut self, layer: Layer, rule: impl FnOnce() -> String, refuses: Option<&DenialReason>) {
        self.push(Looked {
            layer,
            rule: rule(),
            refuses: refuses.cloned(),
        });
    }
}
