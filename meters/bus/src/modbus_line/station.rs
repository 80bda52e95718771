//! A Modbus meter as the master knows it.

use std::sync::Arc;
use std::time::Duration;

use modbus::{Profile, Refusals};
use model::MeterId;

use super::patience::Patience;

/// A Modbus meter: its unit, what it has in its registers, and what earlier reads have taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusStation {
    pub(super) unit: u8,
    pub(super) profile: Arc<Profile>,
    /// The identity that was given by hand.
    pub(super) identity: Option<MeterId>,
    /// The profile with its registers where this meter has them, once the meter was looked at.
    pub(super) placed: Option<Arc<Profile>>,
    pub(super) refusals: Refusals,
    pub(super) patience: Patience,
    /// The identity that the meter has told last.
    pub(super) told: Option<MeterId>,
}

impl ModbusStation {
    /// Builds the station of a meter that was not read yet.
    ///
    /// Units go from 1 to 247; 255 is a meter that is its own TCP server.
    #[must_use]
    pub fn new(unit: u8, profile: Arc<Profile>) -> Self {
        Self {
            unit,
            patience: Patience::new(profile.limits().answer_timeout),
            profile,
            identity: None,
            placed: None,
            refusals: Refusals::default(),
            told: None,
        }
    }

    /// Names the meter; one whose profile has no serial number needs it.
    #[must_use]
    pub fn with_identity(mut self, identity: MeterId) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Has an answer waited for that long at most, instead of what the profile says.
    #[must_use]
    pub fn with_answer_timeout(mut self, longest: Duration) -> Self {
        self.patience = self.patience.with_longest(longest);
        self
    }

    /// Returns the unit.
    #[must_use]
    pub const fn unit(&self) -> u8 {
        self.unit
    }

    /// Returns the profile as it was given.
    #[must_use]
    pub const fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Returns what the meter has refused up to now.
    #[must_use]
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Forgets what was learned of the meter, since it may be another one now, or have new firmware.
    pub(super) fn forget(&mut self) {
        self.placed = None;
        self.refusals = Refusals::default();
        self.told = None;
    }
}
