//! What the gateway may do, as one enum.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of the gateway. It alone decides what is served.
///
/// Metering goes on in every state. The WAN is served in [`GatewayState::Bound`] (the TSM only)
/// and [`GatewayState::Operational`]; each state has a code, a cause and a remedy, which read the
/// same in the log, on the command line and on the web. A gateway that serves although something is
/// wrong with the device is reported as [`GatewayState::Degraded`]. With a log that is full
/// ([`GatewayState::StorageFull`]) or lost ([`GatewayState::Degraded`]) the TSM is served, and suppliers
/// are told why they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayState {
    /// No card has been bound yet.
    Unbound,
    /// A binding has begun and is not yet confirmed.
    Binding,
    /// Bound to its card; the TSM has not yet unlocked a supplier.
    Bound,
    /// At least one supplier is unlocked.
    Operational,
    /// The bound card is not there.
    CardMissing,
    /// The card that is there is not the bound one.
    CardForeign,
    /// The stored binding or a log contradicts itself or the card.
    Tampered,
    /// The clock cannot be trusted; values are registered but marked.
    ClockUnknown,
    /// The storage is full.
    StorageFull,
    /// Something is wrong that the other states don't name.
    Degraded,
}

impl GatewayState {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 10] = [
        Self::Unbound,
        Self::Binding,
        Self::Bound,
        Self::Operational,
        Self::CardMissing,
        Self::CardForeign,
        Self::Tampered,
        Self::ClockUnknown,
        Self::StorageFull,
        Self::Degraded,
    ];

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unbound => "SMGW-S-0001",
            Self::Binding => "SMGW-S-0002",
            Self::Bound => "SMGW-S-0003",
            Self::Operational => "SMGW-S-0004",
            Self::CardMissing => "SMGW-S-0101",
            Self::CardForeign => "SMGW-S-0102",
            Self::Tampered => "SMGW-S-0103",
            Self::ClockUnknown => "SMGW-S-0201",
            Self::StorageFull => "SMGW-S-0202",
            Self::Degraded => "SMGW-S-0203",
        }
    }

    /// Returns the cause, as a sentence.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Unbound => "No card has been bound to this gateway yet.",
            Self::Binding => "The binding to the card has begun and is not yet confirmed.",
            Self::Bound => "The gateway is bound to its card; no supplier is unlocked yet.",
            Self::Operational => "The gateway is bound to its card and serves unlocked suppliers.",
            Self::CardMissing => "The card that this gateway is bound to is not in the reader.",
            Self::CardForeign => "The card in the reader is not the one that this gateway is bound to.",
            Self::Tampered => "The stored binding or a log contradicts itself or the card.",
            Self::ClockUnknown => "The clock cannot be trusted; values are registered but marked.",
            Self::StorageFull => "The storage is full.",
            Self::Degraded => "Something is wrong with the device; what it is stands beside this.",
        }
    }

    /// Returns the remedy, as a sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unbound => "Insert a personalised card that has never been bound.",
            Self::Binding => "Leave the card in the reader; the gateway completes the binding by itself.",
            Self::Bound => "Wait for the trust centre's first contact.",
            Self::Operational => "Nothing needs to be done.",
            Self::CardMissing => "Put the bound card back, or replace gateway and card together.",
            Self::CardForeign => "Put the bound card back; another card will never be accepted.",
            Self::Tampered => "Replace gateway and card together and keep this one for the auditor.",
            Self::ClockUnknown => "Connect a time source.",
            Self::StorageFull => {
                "Read out the logs, then free the disk or give the full log more room in the configuration."
            }
            Self::Degraded => "Do what is said beside each of the things that are wrong.",
        }
    }

    /// Returns whether messages of the TSM are answered.
    #[must_use]
    pub const fn serves_tsm(self) -> bool {
        matches!(self, Self::Bound | Self::Operational)
    }

    /// Returns whether requests of suppliers are decided; in every other state nothing is served.
    #[must_use]
    pub const fn serves_suppliers(self) -> bool {
        matches!(self, Self::Operational)
    }
}

impl fmt::Display for GatewayState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Unbound => "unbound",
            Self::Binding => "binding",
            Self::Bound => "bound",
            Self::Operational => "operational",
            Self::CardMissing => "card-missing",
            Self::CardForeign => "card-foreign",
            Self::Tampered => "tampered",
            Self::ClockUnknown => "clock-unknown",
            Self::StorageFull => "storage-full",
            Self::Degraded => "degraded",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_state_has_its_own_code() {
        let codes: BTreeSet<_> = GatewayState::ALL.into_iter().map(GatewayState::code).collect();
        assert_eq!(codes.len(), GatewayState::ALL.len());
    }

    #[test]
    fn states_are_written_as_they_are_serialized() {
        for state in GatewayState::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
    }

    #[test]
    fn suppliers_are_served_in_one_state_only() {
        let serving: Vec<_> = GatewayState::ALL
            .into_iter()
            .filter(|s| s.serves_suppliers())
            .collect();
        assert_eq!(serving, [GatewayState::Operational]);
    }
}
