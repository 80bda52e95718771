//! A Modbus meter as the master knows it.

use std::sync::Arc;
use std::time::Duration;

use modbus::{Profile, Refusals};
use model::{MeterId, Sample};
use tokio::time::Instant;

use super::patience::Patience;
use super::reading::Proof;

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
    /// Whether it is read under that identity although it does not tell it at present.
    pub(super) is_nameless: bool,
    /// What came out of its identification.
    pub(super) proof: Option<Proof>,
    /// The values that never change.
    pub(super) statics: Option<Statics>,
}

/// The values of a meter that never change, as they were read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statics {
    pub(super) since: Instant,
    pub(super) samples: Vec<Sample>,
}

impl Statics {
    /// How long they count: a meter that was set up anew is noticed on the next day.
    pub(super) const LONGEST: Duration = Duration::from_secs(86_400);
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
            is_nameless: false,
            proof: None,
            statics: None,
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

    /// Returns what came out of the meter's identification, once it was asked for.
    #[must_use]
    pub const fn proof(&self) -> Option<Proof> {
        self.proof
    }

    /// Forgets what was learned of the meter, since it may be another one now, or have new firmware.
    pub(super) fn forget(&mut self) {
        self.placed = None;
        self.refusals = Refusals::default();
        self.told = None;
        self.is_nameless = false;
        self.proof = None;
        self.statics = None;
    }
}
