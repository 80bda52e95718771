//! What is shown of the meters: the last values, and whether they answer.

use bus::{BusConfig, Port};
use model::{Decimal, Medium, MeterId, Obis, Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// A meter as the local page and the command line show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MeterView {
    /// The name in the configuration.
    pub(crate) name: String,
    /// The bus that it is on.
    pub(crate) bus: String,
    /// Who the meter says it is, once it has answered.
    pub(crate) id: Option<MeterId>,
    /// What it measures.
    pub(crate) medium: Option<Medium>,
    /// The point of the grid for which it last gave values.
    pub(crate) last_success: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    pub(crate) error: Option<String>,
    /// The last values.
    pub(crate) values: Vec<ValueView>,
}

/// The last value of an element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ValueView {
    /// What is measured.
    pub(crate) obis: Obis,
    /// The value.
    pub(crate) value: Decimal,
    /// Its unit.
    pub(crate) unit: Unit,
    /// The point of the grid that it belongs to.
    pub(crate) time: Timestamp,
}

/// Returns the meters of the configuration, before any has been read.
pub(super) fn unread(buses: &[BusConfig]) -> Vec<MeterView> {
    let meters = buses.iter().flat_map(|bus| {
        let names: Vec<&String> = match &bus.port {
            Port::MbusTcp { meters, .. } => meters.iter().map(|meter| &meter.name).collect(),
            Port::ModbusTcp { meters, .. } => meters.iter().map(|meter| &meter.name).collect(),
        };
        names.into_iter().map(|name| (bus.name.clone(), name.clone()))
    });
    meters
        .map(|(bus, name)| MeterView {
            name,
            bus,
            id: None,
            medium: None,
            last_success: None,
            error: None,
            values: Vec::new(),
        })
        .collect()
}
