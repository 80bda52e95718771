//! Assignments: what an energy application of a bundle is run on, with which parameters, and when.

use std::collections::BTreeMap;

use model::{ElementPattern, Timestamp, Window, Zone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ContentError, List, RuleName, check_count, check_size};

/// The greatest number of assignments of one application in a bundle: some for each medium of a house.
pub const MAX_ASSIGNMENTS: usize = 8;

/// The greatest number of roles of an application, as its manifest has them.
pub const MAX_ROLES: usize = 16;

/// The greatest number of element patterns that play one role.
pub const MAX_PLAYERS: usize = 16;

/// The greatest size of an assignment's parameters as JSON, in bytes: a calendar with twelve seasons and ten years of
/// holidays.
pub const MAX_PARAMETERS: usize = 48 * 1_024;

/// What an energy application is run on, with which parameters, and when.
///
/// What the parameters may be is for the application's manifest to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Its name. Those of the same application and supplier with one name follow upon each other: they make one series, and
    /// none of them begins before the one before it has ended.
    pub name: RuleName,
    /// The elements that play each role of the application.
    pub inputs: BTreeMap<String, Vec<ElementPattern>>,
    /// The parameters, by the manifest's names; what is not given has the manifest's default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// How time is cut into windows; each is evaluated by itself when it is over.
    pub window: Window,
    /// The zone of windows and calendar.
    pub zone: Zone,
    /// The first window is the first one that does not begin before this time.
    pub from: Timestamp,
    /// No window begins at this time or behind it; without it there is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

impl Assignment {
    /// Returns whether a window that begins at a time is one of its own.
    #[must_use]
    pub fn covers(&self, time: Timestamp) -> bool {
        self.from <= time && self.to.is_none_or(|to| time < to)
    }

    /// Returns whether there is a time at which both have windows that begin.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        let begins_before_end_of = |one: &Self, two: &Self| two.to.is_none_or(|to| one.from < to);
        begins_before_end_of(self, other) && begins_before_end_of(other, self)
    }

    fn check(&self) -> Result<(), ContentError> {
        if self.to.is_some_and(|to| to <= self.from) {
            return Err(ContentError::EmptyAssignment {
                name: self.name.to_string(),
            });
        }
        check_count(List::Roles, self.inputs.len(), MAX_ROLES)?;
        for patterns in self.inputs.values() {
            check_count(List::Patterns, patterns.len(), MAX_PLAYERS)?;
        }
        let parameters = serde_json::to_vec(&self.parameters).map_err(ContentError::Schema)?;
        check_size(parameters.len(), MAX_PARAMETERS)
    }
}

/// Checks the assignments of one application.
pub(super) fn check(assignments: &[Assignment]) -> Result<(), ContentError> {
    check_count(List::Assignments, assignments.len(), MAX_ASSIGNMENTS)?;
    for (index, assignment) in assignments.iter().enumerate() {
        assignment.check()?;
        let mut others = assignments.iter().take(index);
        if others.any(|other| other.name == assignment.name && other.is_beside(assignment)) {
            return Err(ContentError::RepeatedAssignment {
                name: assignment.name.to_string(),
            });
        }
    }
    Ok(())
}
